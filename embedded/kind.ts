/**
 * A kind that the API serves, as the generic machinery sees it: built-in and custom ones look alike.
 * @module
 */
import type { FieldError, Subject } from "./errors.ts";
import type { Schema } from "./schema/model.ts";
import type { KubeObject } from "./types.ts";

/** Where the scale subresource finds its numbers. */
export interface ScalePaths {
  specReplicasPath: string;
  statusReplicasPath: string;
  labelSelectorPath?: string;
}

/** A column of `kubectl get`. */
export interface Column {
  name: string;
  type: string;
  format?: string;
  description?: string;
  priority?: number;
  /** The cell's value; undefined and null show as an empty cell. */
  cell(object: KubeObject, nowMs: number): unknown;
}

/** What decoding found that the schema does not allow. */
export interface Decoded {
  /** Paths of unknown fields, which were dropped. */
  unknown: string[];
  /** What could not be read at all; makes the request a 400. */
  mismatches: string[];
}

/** A served kind. */
export interface Kind extends Subject {
  readonly singular: string;
  readonly listKind: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly isNamespaced: boolean;
  /** Where it is stored: `group/plural`. */
  readonly table: string;
  /** Served versions, preferred first. */
  readonly versions: readonly string[];
  readonly storageVersion: string;
  readonly isCustom: boolean;
  readonly isUnconditionalUpdateAllowed: boolean;
  readonly isCreateOnUpdateAllowed: boolean;
  /** Seconds of grace that a delete gives when it names none; undefined for kinds that go at once. */
  gracePeriodSeconds?(object: KubeObject): number;
  hasGeneration(version: string): boolean;
  hasStatus(version: string): boolean;
  scale(version: string): ScalePaths | undefined;
  schema(version: string): Schema;
  columns(version: string): readonly Column[];
  /** Fields that a field selector may name, besides metadata.name and metadata.namespace. */
  selectable(version: string): Readonly<Record<string, (object: KubeObject) => string>>;
  nameProblem(name: string): string | undefined;
  /** Prunes and defaults a request's body in place; the outcome of an apply keeps its nulls. */
  decode(object: KubeObject, version: string, isApplied: boolean): Decoded;
  /** The stored form as an object of another version; may return the same object. */
  toVersion(object: KubeObject, version: string): KubeObject;
  toStorage(object: KubeObject, version: string): KubeObject;
  /** Last changes before validation: what the server itself decides about the object. */
  prepare(next: KubeObject, old: KubeObject | undefined, subresource: string): void;
  validate(
    next: KubeObject,
    old: KubeObject | undefined,
    version: string,
    subresource: string,
  ): FieldError[];
}

/** `group/version`, or `version` for the core group. */
export const groupVersion = (group: string, version: string) => (group ? `${group}/${version}` : version);

/** The group of an apiVersion. */
export const groupOf = (
  apiVersion: string,
) => (apiVersion.includes("/") ? apiVersion.split("/")[0] ?? "" : "");

/** Reads `.spec.a.b` in an object. */
export function readPath(object: unknown, path: string): unknown {
  let at = object;
  for (const name of path.split(".").filter(Boolean)) {
    if (typeof at !== "object" || at === null) return undefined;
    at = (at as Record<string, unknown>)[name];
  }
  return at;
}

const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const label1035 = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;

/** Is it a DNS subdomain (RFC 1123)? The problem, or undefined. */
export function subdomainProblem(name: string): string | undefined {
  if (name.length > 253) return "must be no more than 253 bytes";
  return subdomain.test(name)
    ? undefined
    : "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
}

/** Is it a DNS label (RFC 1123)? */
export function labelProblem(name: string): string | undefined {
  if (name.length > 63) return "must be no more than 63 bytes";
  return label.test(name)
    ? undefined
    : "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
}

/** Is it a DNS label that starts with a letter (RFC 1035)? */
export function label1035Problem(name: string): string | undefined {
  if (name.length > 63) return "must be no more than 63 bytes";
  return label1035.test(name)
    ? undefined
    : "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
}

/** Names of RBAC objects: anything that fits into a path. */
export function pathSegmentProblem(name: string): string | undefined {
  if (name === "." || name === "..") return `may not be '${name}'`;
  for (const c of ["/", "%"]) if (name.includes(c)) return `may not contain '${c}'`;
  return undefined;
}
