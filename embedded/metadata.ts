/**
 * Rules on metadata that hold for every kind (apimachinery pkg/api/validation/objectmeta.go).
 * @module
 */
import type { FieldError } from "./errors.ts";
import { type Kind, subdomainProblem } from "./kind.ts";
import { isRecord, type Json, type KubeObject, type Random } from "./types.ts";

const labelValue = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/;
const qualifiedPart = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const annotationsBytesMax = 256 * 1024;

function qualifiedNameProblem(name: string): string | undefined {
  const [first = "", second, ...more] = name.split("/");
  const part = second ?? first;
  const words =
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
  if (more.length > 0) {
    return "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
  }
  if (second !== undefined) {
    if (first === "") return "prefix part must be non-empty";
    const problem = subdomainProblem(first);
    if (problem) return `prefix part ${problem}`;
  }
  if (part === "") return "name part must be non-empty";
  if (part.length > 63) return "name part must be no more than 63 bytes";
  return qualifiedPart.test(part) ? undefined : words;
}

/** What is wrong with an object's metadata. */
export function metadataErrors(kind: Kind, next: KubeObject, old: KubeObject | undefined): FieldError[] {
  const { metadata } = next;
  const errors: FieldError[] = [];
  if (!metadata.name && !metadata.generateName) {
    errors.push({ type: "Required", field: "metadata.name", detail: "name or generateName is required" });
  } else if (!old) {
    const problem = kind.nameProblem(metadata.name);
    if (problem) {
      errors.push({ type: "Invalid", field: "metadata.name", value: metadata.name, detail: problem });
    }
  }
  errors.push(...labelErrors(metadata.labels), ...annotationErrors(metadata.annotations));
  (metadata.ownerReferences ?? []).forEach((owner, index) => {
    for (const field of ["apiVersion", "kind", "name", "uid"] as const) {
      if (!owner[field]) {
        const detail = field === "apiVersion" ? "version must not be empty" : `${field} must not be empty`;
        const at = `metadata.ownerReferences[${index}].${field}`;
        errors.push({ type: "Invalid", field: at, value: owner[field] ?? "", detail });
      }
    }
  });
  const controllers = (metadata.ownerReferences ?? []).filter((owner) => owner.controller);
  if (controllers.length > 1) {
    errors.push({
      type: "Invalid",
      field: "metadata.ownerReferences",
      value: metadata.ownerReferences,
      detail: `Only one reference can have Controller set to true. Found "true" in references for ${
        controllers.map(({ name }) => name).join(" and ")
      }`,
    });
  }
  (metadata.finalizers ?? []).forEach((finalizer, index) => {
    const problem = qualifiedNameProblem(finalizer);
    if (problem) {
      errors.push({
        type: "Invalid",
        field: `metadata.finalizers[${index}]`,
        value: finalizer,
        detail: problem,
      });
    }
  });
  if (old) errors.push(...changeErrors(kind, next, old));
  return errors;
}

function labelErrors(labels: Record<string, string> | undefined): FieldError[] {
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(labels ?? {})) {
    const problem = qualifiedNameProblem(key);
    if (problem) errors.push({ type: "Invalid", field: "metadata.labels", value: key, detail: problem });
    if (value.length > 63) {
      errors.push({
        type: "Invalid",
        field: "metadata.labels",
        value,
        detail: "must be no more than 63 bytes",
      });
    } else if (!labelValue.test(value)) {
      errors.push({
        type: "Invalid",
        field: "metadata.labels",
        value,
        detail:
          "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
      });
    }
  }
  return errors;
}

function annotationErrors(annotations: Record<string, string> | undefined): FieldError[] {
  const errors: FieldError[] = [];
  let bytes = 0;
  for (const [key, value] of Object.entries(annotations ?? {})) {
    const problem = qualifiedNameProblem(key.toLowerCase());
    if (problem) errors.push({ type: "Invalid", field: "metadata.annotations", value: key, detail: problem });
    bytes += key.length + new TextEncoder().encode(value).length;
  }
  if (bytes > annotationsBytesMax) {
    errors.push({
      type: "TooLong",
      field: "metadata.annotations",
      detail: `may not be more than ${annotationsBytesMax} bytes`,
    });
  }
  return errors;
}

function changeErrors(kind: Kind, next: KubeObject, old: KubeObject): FieldError[] {
  const errors: FieldError[] = [];
  if (old.metadata.deletionTimestamp) {
    const added = (next.metadata.finalizers ?? []).filter((name) => !old.metadata.finalizers?.includes(name));
    if (added.length > 0) {
      const error: FieldError = {
        type: "Forbidden",
        field: "metadata.finalizers",
        detail:
          `no new finalizers can be added if the object is being deleted, found new finalizers []string{${
            added.sort().map((name) => JSON.stringify(name)).join(", ")
          }}`,
      };
      // Built-in kinds have their metadata validated twice.
      errors.push(error, ...(kind.isCustom ? [] : [error]));
    }
  }
  for (const field of ["name", "namespace", "uid", "creationTimestamp"] as const) {
    if (next.metadata[field] !== old.metadata[field]) {
      errors.push({
        type: "Invalid",
        field: `metadata.${field}`,
        value: next.metadata[field] ?? "",
        detail: "field is immutable",
      });
    }
  }
  return errors;
}

/** Letters and digits of generated names: no vowels, nothing that looks like another. */
const alphabet = "bcdfghjklmnpqrstvwxz2456789";

/** `length` random characters for a name. */
export function randomSuffix(random: Random, length = 5): string {
  return Array.from({ length }, () => alphabet[Math.floor(random() * alphabet.length)]).join("");
}

/** A name from metadata.generateName: the base cut to 58 characters, and five more. */
export const generatedName = (base: string, random: Random) => base.slice(0, 58) + randomSuffix(random);

/** Equal but for the times in managedFields? Such a write changes nothing and keeps its resourceVersion. */
export function isSame(a: KubeObject, b: KubeObject): boolean {
  const { metadata, ...fields } = a, { metadata: otherMetadata, ...otherFields } = b;
  const strip = ({ resourceVersion: _resourceVersion, managedFields, ...rest }: KubeObject["metadata"]) => ({
    ...rest,
    managedFields: managedFields?.map(({ time: _time, ...entry }) => entry),
  });
  return isAlike(fields, otherFields) && isAlike(strip(metadata), strip(otherMetadata));
}

/** Deep equality in which a field that is undefined is none. */
function isAlike(a: Json, b: Json): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item, index) => isAlike(item, b[index]));
  }
  if (!isRecord(a) || !isRecord(b)) return false;
  return Object.keys(a).every((key) => isAlike(a[key], Object.hasOwn(b, key) ? b[key] : undefined)) &&
    Object.keys(b).every((key) => b[key] === undefined || (Object.hasOwn(a, key) && a[key] !== undefined));
}
