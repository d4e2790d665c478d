/**
 * Reading the few objects that kubectl sends as protobuf (`kubectl create namespace`, `create configmap`,
 * `auth can-i` and the like); everything else is JSON. Field numbers are those of the generated.proto
 * files of k8s.io/api and k8s.io/apimachinery.
 * @module
 */
import type { Json } from "./types.ts";

/** A field: its name, and how to read it; `[]` after the kind makes it a list. */
type Field = [
  name: string,
  kind: "string" | "bytes" | "bool" | "int" | "map" | "bytesMap" | Message,
  isList?: true,
];
interface Message {
  [number: number]: Field;
}

const ownerReference: Message = {
  1: ["kind", "string"],
  3: ["name", "string"],
  4: ["uid", "string"],
  5: ["apiVersion", "string"],
  6: ["controller", "bool"],
  7: ["blockOwnerDeletion", "bool"],
};

const metadata: Message = {
  1: ["name", "string"],
  2: ["generateName", "string"],
  3: ["namespace", "string"],
  5: ["uid", "string"],
  6: ["resourceVersion", "string"],
  11: ["labels", "map"],
  12: ["annotations", "map"],
  13: ["ownerReferences", ownerReference, true],
  14: ["finalizers", "string", true],
};

const rule: Message = {
  1: ["verbs", "string", true],
  2: ["apiGroups", "string", true],
  3: ["resources", "string", true],
  4: ["resourceNames", "string", true],
  5: ["nonResourceURLs", "string", true],
};
const subject: Message = {
  1: ["kind", "string"],
  2: ["apiGroup", "string"],
  3: ["name", "string"],
  4: ["namespace", "string"],
};
const roleRef: Message = { 1: ["apiGroup", "string"], 2: ["kind", "string"], 3: ["name", "string"] };
const role: Message = { 1: ["metadata", metadata], 2: ["rules", rule, true] };
const binding: Message = {
  1: ["metadata", metadata],
  2: ["subjects", subject, true],
  3: ["roleRef", roleRef],
};
const resourceAttributes: Message = {
  1: ["namespace", "string"],
  2: ["verb", "string"],
  3: ["group", "string"],
  4: ["version", "string"],
  5: ["resource", "string"],
  6: ["subresource", "string"],
  7: ["name", "string"],
};
const review: Message = {
  1: ["metadata", metadata],
  2: ["spec", {
    1: ["resourceAttributes", resourceAttributes],
    2: ["nonResourceAttributes", { 1: ["path", "string"], 2: ["verb", "string"] }],
  }],
};

const messages: Readonly<Record<string, Message>> = {
  Namespace: { 1: ["metadata", metadata] },
  ConfigMap: {
    1: ["metadata", metadata],
    2: ["data", "map"],
    3: ["binaryData", "bytesMap"],
    4: ["immutable", "bool"],
  },
  Secret: {
    1: ["metadata", metadata],
    2: ["data", "bytesMap"],
    3: ["type", "string"],
    4: ["stringData", "map"],
    5: ["immutable", "bool"],
  },
  ServiceAccount: { 1: ["metadata", metadata] },
  Role: role,
  ClusterRole: role,
  RoleBinding: binding,
  ClusterRoleBinding: binding,
  SelfSubjectAccessReview: review,
};

/** runtime.Unknown, the envelope. */
const envelope: Message = {
  1: ["typeMeta", { 1: ["apiVersion", "string"], 2: ["kind", "string"] }],
  2: ["raw", "bytes"],
};

const magic = "k8s\0";

/**
 * Decodes a protobuf body.
 *
 * @returns undefined when it is none, or of a kind that is not known here
 */
export function decodeProtobuf(bytes: Uint8Array): Json {
  if (String.fromCharCode(...bytes.subarray(0, 4)) !== magic) return undefined;
  const { typeMeta, raw } = read(bytes.subarray(4), envelope);
  const message = messages[typeMeta?.kind];
  return message && raw ? { ...typeMeta, ...read(raw, message) } : undefined;
}

function read(bytes: Uint8Array, message: Message): Json {
  const result: Record<string, Json> = {};
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; at < bytes.length; shift += 7) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    return value;
  };
  while (at < bytes.length) {
    const tag = varint();
    const type = tag & 7;
    let value: number | Uint8Array = 0;
    if (type === 0) value = varint();
    else if (type === 2) {
      const length = varint();
      value = bytes.subarray(at, at + length);
      at += length;
    } else at += type === 1 ? 8 : 4;
    const field = message[Math.floor(tag / 8)];
    if (field) set(result, field, value);
  }
  return result;
}

function set(result: Record<string, Json>, [name, kind, isList]: Field, value: number | Uint8Array): void {
  if (typeof value === "number") {
    if (kind === "bool") result[name] = value !== 0;
    else if (kind === "int") result[name] = value;
    return;
  }
  if (kind === "map" || kind === "bytesMap") {
    const entry = read(value, { 1: ["key", "string"], 2: ["value", kind === "map" ? "string" : "bytes"] });
    const text = kind === "map" ? entry.value ?? "" : base64(entry.value ?? new Uint8Array());
    (result[name] ??= {})[entry.key ?? ""] = text;
    return;
  }
  let item: Json;
  if (typeof kind === "object") item = read(value, kind);
  else item = kind === "bytes" ? value : new TextDecoder().decode(value);
  if (isList) (result[name] ??= []).push(item);
  else if (item !== "") result[name] = item;
}

const base64 = (bytes: Uint8Array) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
