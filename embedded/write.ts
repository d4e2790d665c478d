/**
 * Create and update, in the order of the API server: decode, default, own fields, prepare,
 * validate, commit. HTTP handlers and the in-process controllers write through the same functions.
 * @module
 */
import { FieldSet } from "./apply/field_set.ts";
import { afterUpdate, type Writer } from "./apply/managed_fields.ts";
import { type Backend } from "./backend.ts";
import * as errors from "./errors.ts";
import { groupVersion, type Kind, readPath } from "./kind.ts";
import { generatedName, isSame, metadataErrors } from "./metadata.ts";
import { clone, isRecord, type Json, type KubeObject } from "./types.ts";

/** How a write was asked for. */
export interface WriteOptions {
  /** Field manager. */
  manager: string;
  subresource?: string;
  isDryRun?: boolean;
  fieldValidation?: "Ignore" | "Warn" | "Strict";
  /** Filled with the texts of Warning headers. */
  warnings?: string[];
  /** Server-side apply has already worked out who owns what. */
  hasManagedFields?: boolean;
}

/** Where an object is. */
export interface Target {
  kind: Kind;
  version: string;
  namespace: string | undefined;
  /** Of an existing object; on create it comes from the object. */
  name: string;
}

const ignoredOn = new Map<string, FieldSet>();

/** The fields that this endpoint resets and nobody comes to own through it. */
export function ignoredFields(kind: Kind, version: string, subresource: string): FieldSet {
  const mode = !kind.hasStatus(version)
    ? "none"
    : subresource !== "status"
    ? "status"
    : kind.isCustom
    ? "all but status"
    : "spec";
  let set = ignoredOn.get(mode);
  if (!set) {
    set = new FieldSet();
    if (mode === "status") set.insert(["f:status"]);
    if (mode === "spec") set.insert(["f:spec"]);
    if (mode === "all but status") { for (const name of ["f:spec", "f:metadata"]) set.insert([name]); }
    ignoredOn.set(mode, set);
  }
  return set;
}

/** Who writes, for managedFields. */
export function writer(backend: Backend, target: Target, options: WriteOptions): Writer {
  return {
    manager: options.manager,
    apiVersion: groupVersion(target.kind.group, target.version),
    subresource: options.subresource ?? "",
    ignored: ignoredFields(target.kind, target.version, options.subresource ?? ""),
    time: backend.time,
  };
}

/** Checks that the body is an object of the kind that the URL names, and fills in what is plain. */
export function checkBody(target: Target, body: Json): KubeObject {
  const { kind, version } = target;
  const apiVersion = groupVersion(kind.group, version);
  if (!isRecord(body)) throw errors.badRequest("the body of the request must be an object");
  if (kind.isCustom && !body.kind) {
    const text = JSON.stringify(body);
    const start = text.length > 30 ? `${text.slice(0, 30)} ...` : text;
    throw errors.badRequest(
      `the object provided is unrecognized (must be of type ${kind.kind}): Object 'Kind' is missing in '${text}' (${start})`,
    );
  }
  body.apiVersion ??= apiVersion;
  body.kind ??= kind.kind;
  if (body.apiVersion !== apiVersion || body.kind !== kind.kind) refuseType(target, body);
  if (body.metadata === undefined || body.metadata === null) body.metadata = {};
  if (!isRecord(body.metadata)) throw errors.badRequest("metadata must be an object");
  const { namespace } = body.metadata;
  if (kind.isNamespaced) {
    if (namespace && target.namespace !== undefined && namespace !== target.namespace) {
      throw errors.badRequest(
        "the namespace of the provided object does not match the namespace sent on the request",
      );
    }
    body.metadata.namespace = target.namespace ?? namespace;
  } else delete body.metadata.namespace;
  return body as KubeObject;
}

function refuseType({ kind, version }: Target, body: Json): never {
  const apiVersion = groupVersion(kind.group, version);
  if (kind.isCustom && body.apiVersion === apiVersion) {
    const subject = { group: kind.group, plural: kind.plural, kind: body.kind as string };
    const detail = `must be ${kind.kind}`;
    throw errors.invalid(subject, body.metadata?.name ?? "", [
      { type: "Invalid", field: "kind", value: body.kind, detail },
    ]);
  }
  if (kind.isCustom) {
    throw errors.badRequest(
      `the API version in the data (${body.apiVersion}) does not match the expected API version (${apiVersion})`,
    );
  }
  const [given = "", wanted = ""] = [body.apiVersion, apiVersion].map((text: string) =>
    text.split("/").at(-1)
  );
  const cannot = `${body.kind} in version ${JSON.stringify(given)} cannot be handled as a ${kind.kind}`;
  if (body.apiVersion === apiVersion) {
    throw errors.badRequest(
      `${cannot}: converting (${wanted}.${body.kind}) to (${
        kind.group.split(".")[0] || "core"
      }.${kind.kind}): unknown conversion`,
    );
  }
  throw errors.badRequest(
    `${cannot}: no kind "${body.kind}" is registered for version "${body.apiVersion}" in scheme "pkg/runtime/scheme.go:111"`,
  );
}

/** Prunes and defaults; unknown fields become warnings or a refusal. */
export function decode(target: Target, object: KubeObject, options: WriteOptions): void {
  const { unknown, mismatches } = target.kind.decode(
    object,
    target.version,
    options.hasManagedFields === true,
  );
  const cannot =
    `${target.kind.kind} in version "${target.version}" cannot be handled as a ${target.kind.kind}`;
  if (mismatches.length > 0) throw errors.badRequest(`${cannot}: ${mismatches[0]}`);
  if (unknown.length === 0) return;
  const texts = unknown.sort().map((path) => `unknown field ${JSON.stringify(path)}`);
  if (options.fieldValidation === "Strict") {
    throw errors.badRequest(`${cannot}: strict decoding error: ${texts.join(", ")}`);
  }
  if (options.fieldValidation !== "Ignore") options.warnings?.push(...texts);
}

/** The namespace of a new object must be there, and must not be going away. */
function checkNamespace(backend: Backend, { kind, namespace }: Target, name: string): void {
  if (!kind.isNamespaced) return;
  const found = backend.get("", "namespaces", undefined, namespace ?? "");
  if (!found) throw errors.notFound(backend.kind("", "namespaces"), namespace ?? "");
  if (found.metadata.deletionTimestamp) {
    throw errors.forbidden(
      kind,
      name,
      `unable to create new content in namespace ${namespace} because it is being terminated`,
      [{
        reason: "NamespaceTerminating",
        message: `namespace ${namespace} is being terminated`,
        field: "metadata.namespace",
      }],
    );
  }
}

/** Hooks that need the store: address allocation and the like. */
export type Admission = (backend: Backend, next: KubeObject, old: KubeObject | undefined) => void;

/** Creates an object; `body` is taken over. */
export function create(
  backend: Backend,
  target: Target,
  body: Json,
  options: WriteOptions,
  admission: Admission,
): KubeObject {
  const { kind, version, namespace } = target;
  const object = checkBody(target, body);
  const { metadata } = object;
  if (metadata.resourceVersion) {
    throw new errors.StatusError(500, "", "resourceVersion should not be set on objects to be created");
  }
  const isGenerated = !metadata.name && !!metadata.generateName;
  if (!isGenerated && !metadata.name) throw errors.invalid(kind, "", metadataErrors(kind, object, undefined));
  if (isGenerated) {
    for (let attempt = 0; attempt < 8; attempt++) {
      metadata.name = generatedName(metadata.generateName ?? "", backend.random);
      if (!backend.storage.get(kind.table, namespace, metadata.name)) break;
    }
  }
  checkNamespace(backend, target, metadata.name);
  const managedFields = metadata.managedFields;
  decode(target, object, options);
  metadata.uid = backend.uid();
  metadata.creationTimestamp = backend.time;
  delete metadata.deletionTimestamp;
  delete metadata.deletionGracePeriodSeconds;
  delete metadata.generation;
  if (options.hasManagedFields) setManagedFields(object, managedFields);
  else {setManagedFields(
      object,
      afterUpdate(undefined, object, kind.schema(version), writer(backend, target, options)),
    );}
  kind.prepare(object, undefined, "");
  admission(backend, object, undefined);
  const problems = [
    ...metadataErrors(kind, object, undefined),
    ...kind.validate(object, undefined, version, ""),
  ];
  if (problems.length > 0) throw errors.invalid(kind, metadata.name, problems);
  if (backend.storage.get(kind.table, namespace, metadata.name)) {
    throw errors.alreadyExists(kind, metadata.name);
  }
  const stored = kind.toStorage(object, kind.storageVersion);
  return options.isDryRun ? stored : backend.storage.put(kind.table, stored);
}

export function setManagedFields(object: KubeObject, entries: KubeObject["metadata"]["managedFields"]): void {
  if (entries && entries.length > 0) object.metadata.managedFields = entries;
  else delete object.metadata.managedFields;
}

/** What an update did. */
export interface Updated {
  object: KubeObject;
  /** The last finalizer went, and the object with it. */
  isDeleted: boolean;
}

/**
 * Updates an object.
 *
 * @param change the object to write, made from a copy of the live one
 */
export function update(
  backend: Backend,
  target: Target,
  change: (live: KubeObject) => Json,
  options: WriteOptions,
  admission: Admission,
): Updated {
  const { kind, version, namespace, name } = target;
  const subresource = options.subresource ?? "";
  const stored = backend.storage.get(kind.table, namespace, name);
  if (!stored) throw errors.notFound(kind, name);
  const live = kind.toVersion(stored, version);
  const next = checkBody(target, change(clone(live)));
  const { metadata } = next;
  if (!metadata.name) metadata.name = name;
  if (metadata.name !== name) {
    throw errors.badRequest(
      `the name of the object (${metadata.name}) does not match the name on the URL (${name})`,
    );
  }
  if (metadata.uid && metadata.uid !== live.metadata.uid) {
    const key = [
      "/registry",
      ...(kind.group && kind.isCustom ? [kind.group] : []),
      kind.plural,
      namespace,
      name,
    ]
      .filter(Boolean).join("/");
    throw errors.conflict(
      kind,
      name,
      `StorageError: invalid object, Code: 4, Key: ${key}, ResourceVersion: 0, AdditionalErrorMsg: ` +
        `Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${live.metadata.uid}`,
    );
  }
  if (metadata.resourceVersion && metadata.resourceVersion !== "0") {
    if (metadata.resourceVersion !== live.metadata.resourceVersion) throw errors.modified(kind, name);
  } else if (!kind.isUnconditionalUpdateAllowed) {
    throw errors.invalid({ group: kind.group, plural: kind.plural, kind: kind.plural }, name, [{
      type: "Invalid",
      field: "metadata.resourceVersion",
      value: 0,
      detail: "must be specified for an update",
    }]);
  }
  const managedFields = metadata.managedFields;
  decode(target, next, options);
  keepSystemFields(next, live);
  const ownership = writer(backend, target, options);
  if (subresource === "scale") {
    // A Scale of none has no replicas field to own, and scaling is recorded without a time.
    ownership.time = "";
    ownership.ownsNothing = readPath(next, kind.scale(version)?.specReplicasPath ?? "") === 0;
  }
  if (options.hasManagedFields) setManagedFields(next, managedFields);
  else setManagedFields(next, afterUpdate(live, next, kind.schema(version), ownership));
  const owned = next.metadata.managedFields;
  kind.prepare(next, live, subresource);
  setManagedFields(next, owned);
  admission(backend, next, live);
  const problems = [
    ...metadataErrors(kind, next, live),
    ...kind.validate(next, live, version, subresource),
  ];
  if (problems.length > 0) throw errors.invalid(kind, name, problems);
  if (isSame(next, live)) return { object: stored, isDeleted: false };
  const result = kind.toStorage(next, kind.storageVersion);
  if (options.isDryRun) return { object: result, isDeleted: false };
  const isHeld = result.metadata.finalizers?.length ||
    (kind.table === "/namespaces" && result.spec?.finalizers?.length);
  const isGone = !isHeld && result.metadata.deletionTimestamp !== undefined &&
    (result.metadata.deletionGracePeriodSeconds ?? 0) === 0;
  if (isGone) return { object: backend.storage.remove(kind.table, result), isDeleted: true };
  return { object: backend.storage.put(kind.table, result), isDeleted: false };
}

/** What no client can change. */
function keepSystemFields(next: KubeObject, live: KubeObject): void {
  const { metadata } = next;
  const old = live.metadata;
  metadata.uid = old.uid;
  if (old.resourceVersion) metadata.resourceVersion = old.resourceVersion;
  for (
    const field of [
      "creationTimestamp",
      "deletionTimestamp",
      "deletionGracePeriodSeconds",
      "generation",
    ] as const
  ) {
    if (old[field] === undefined) delete metadata[field];
    else (metadata as Json)[field] = old[field];
  }
}
