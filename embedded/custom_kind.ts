/**
 * A kind that a CustomResourceDefinition brings: schema, versions, subresources and columns from it.
 *
 * Objects are pruned, defaulted and validated in the order of apiextensions-apiserver
 * pkg/registry/customresource; versions differ in apiVersion only (conversion strategy None).
 * @module
 */
import type { FieldError } from "./errors.ts";
import { jsonPath } from "./json_path.ts";
import {
  type Column,
  type Decoded,
  groupVersion,
  type Kind,
  readPath,
  type ScalePaths,
  subdomainProblem,
} from "./kind.ts";
import { compileProblem, validateRules } from "./schema/cel.ts";
import { applyDefaults, dropNulls, hasDefaults } from "./schema/defaults.ts";
import { metadataSchema, type Schema } from "./schema/model.ts";
import { normalize, prune } from "./schema/prune.ts";
import { validate } from "./schema/validate.ts";
import { age, ageColumn, nameColumn } from "./table.ts";
import { clone, equal, isRecord, type Json, type KubeObject } from "./types.ts";

/** Reads a CustomResourceDefinition. */
export class CustomKind implements Kind {
  readonly group: string;
  readonly plural: string;
  readonly singular: string;
  readonly kind: string;
  readonly listKind: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly isNamespaced: boolean;
  readonly table: string;
  readonly versions: readonly string[];
  readonly storageVersion: string;
  readonly isCustom = true;
  readonly isUnconditionalUpdateAllowed = false;
  readonly isCreateOnUpdateAllowed = false;
  readonly #versions: Map<string, VersionOfKind>;
  readonly #read = new WeakMap<KubeObject, Map<string, KubeObject>>();

  constructor(crd: KubeObject) {
    const spec = crd.spec;
    this.group = spec.group;
    this.plural = spec.names.plural;
    this.kind = spec.names.kind;
    this.singular = spec.names.singular ?? this.kind.toLowerCase();
    this.listKind = spec.names.listKind ?? `${this.kind}List`;
    this.shortNames = spec.names.shortNames ?? [];
    this.categories = spec.names.categories ?? [];
    this.isNamespaced = spec.scope === "Namespaced";
    this.table = `${this.group}/${this.plural}`;
    this.versions = (spec.versions as Json[]).filter((version) => version.served)
      .map((version) => version.name as string).sort(comparePriority);
    this.storageVersion = (spec.versions as Json[]).find((version) => version.storage)?.name ??
      this.versions[0];
    this.#versions = new Map(
      (spec.versions as Json[]).map((version) => [version.name, readVersion(version)]),
    );
  }

  #version(name: string): VersionOfKind {
    const found = this.#versions.get(name);
    if (!found) throw new RangeError(`No version "${name}" of ${this.plural}.${this.group}`);
    return found;
  }

  hasGeneration = () => true;
  hasStatus = (version: string) => this.#version(version).hasStatus;
  scale = (version: string) => this.#version(version).scale;
  schema = (version: string) => this.#version(version).schema;
  columns = (version: string) => this.#version(version).columns;
  selectable = (version: string) => this.#version(version).selectable;
  nameProblem = subdomainProblem;

  decode(object: KubeObject, version: string, isApplied: boolean): Decoded {
    const { pruneSchema } = this.#version(version);
    const metadata = normalize(object.metadata, metadataSchema(), "metadata", "ObjectMeta");
    const unknown = prune(object, pruneSchema);
    if (!isApplied) dropNulls(object, pruneSchema);
    applyDefaults(object, pruneSchema);
    return { unknown: [...metadata.unknown, ...unknown], mismatches: metadata.mismatches };
  }

  toVersion(object: KubeObject, version: string): KubeObject {
    const known = this.#read.get(object)?.get(version);
    if (known) return known;
    const own = this.#version(version);
    const apiVersion = groupVersion(this.group, version);
    let read = object.apiVersion === apiVersion ? object : { ...object, apiVersion };
    if (own.hasDefaults) {
      const filled = clone(read);
      applyDefaults(filled, own.pruneSchema);
      if (!equal(filled, read)) read = filled;
    }
    let versions = this.#read.get(object);
    if (!versions) this.#read.set(object, versions = new Map());
    versions.set(version, read);
    return read;
  }

  toStorage(object: KubeObject): KubeObject {
    object.apiVersion = groupVersion(this.group, this.storageVersion);
    return object;
  }

  prepare(next: KubeObject, old: KubeObject | undefined, subresource: string): void {
    const version = next.apiVersion.split("/")[1] ?? this.storageVersion;
    const hasStatus = this.hasStatus(version);
    if (!old) {
      if (hasStatus) delete next.status;
      next.metadata.generation = 1;
      return;
    }
    if (subresource === "status") {
      const { status } = next;
      const managedFields = next.metadata.managedFields;
      for (const key of Object.keys(next)) if (key !== "apiVersion") delete next[key];
      Object.assign(next, clone(old), { apiVersion: next.apiVersion });
      delete next.status;
      if (status !== undefined) next.status = status;
      if (managedFields) next.metadata.managedFields = managedFields;
      return;
    }
    if (hasStatus) {
      if (old.status === undefined) delete next.status;
      else next.status = clone(old.status);
    }
    const changed = !equal(withoutMetadata(next, hasStatus), withoutMetadata(old, hasStatus));
    next.metadata.generation = (old.metadata.generation ?? 0) + (changed ? 1 : 0);
  }

  validate(
    next: KubeObject,
    old: KubeObject | undefined,
    version: string,
    subresource: string,
  ): FieldError[] {
    const { schema, hasRules } = this.#version(version);
    let errors = validate(next, schema, "", old);
    if (subresource === "status") errors = errors.filter(isAboutStatus).map(belowStatus);
    const scale = this.scale(version);
    if (scale) errors.push(...scaleErrors(next, scale));
    const blocking = errors.some((error) =>
      ["NotFound", "NotSupported", "Required", "TooLong", "TooMany", "TypeInvalid"].includes(error.type)
    );
    if (!blocking) return [...errors, ...validateRules(next, schema, "", old)];
    if (!hasRules) return errors;
    return [...errors, {
      type: "Invalid",
      field: "<nil>",
      value: null,
      detail:
        "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
    }];
  }
}

const isAboutStatus = ({ field }: FieldError) => field === "status" || /^status[.[]/.test(field);

/** The status endpoint's messages name fields from status on. */
const belowStatus = (error: FieldError): FieldError => ({
  ...error,
  ...(error.detail ? { detail: error.detail.replace(/^status\./, "") } : {}),
});

const withoutMetadata = (object: KubeObject, hasStatus: boolean): Json => {
  const { metadata: _metadata, apiVersion: _apiVersion, ...rest } = object;
  if (hasStatus) delete rest.status;
  return rest;
};

function scaleErrors(object: KubeObject, scale: ScalePaths): FieldError[] {
  const errors: FieldError[] = [];
  for (const path of [scale.specReplicasPath, scale.statusReplicasPath]) {
    const value = readPath(object, path);
    if (value !== undefined && !Number.isInteger(value)) {
      const is = typeof value === "number" ? "float64" : typeof value === "boolean" ? "bool" : typeof value;
      const detail = `${path} accessor error: ${cellText(value)} is of the type ${is}, expected int64`;
      errors.push({ type: "Invalid", field: path, value: 0, detail });
    } else if (typeof value === "number" && value < 0) {
      errors.push({ type: "Invalid", field: path, value, detail: "should be a non-negative integer" });
    }
  }
  return errors;
}

interface VersionOfKind {
  schema: Schema;
  pruneSchema: Schema;
  hasDefaults: boolean;
  hasRules: boolean;
  hasStatus: boolean;
  scale: ScalePaths | undefined;
  columns: readonly Column[];
  selectable: Readonly<Record<string, (object: KubeObject) => string>>;
}

function readVersion(version: Json): VersionOfKind {
  const own: Schema = version.schema?.openAPIV3Schema ?? { type: "object" };
  const schema: Schema = {
    ...own,
    properties: {
      ...own.properties,
      apiVersion: { type: "string" },
      kind: { type: "string" },
      metadata: own.properties?.metadata ?? { type: "object" },
    },
  };
  const columns = (version.additionalPrinterColumns as Json[] | undefined)?.map(printerColumn) ?? [ageColumn];
  return {
    schema,
    pruneSchema: schema,
    hasDefaults: hasDefaults(schema),
    hasRules: JSON.stringify(schema).includes('"x-kubernetes-validations"'),
    hasStatus: version.subresources?.status !== undefined,
    scale: version.subresources?.scale,
    columns: [nameColumn, ...columns],
    selectable: Object.fromEntries(
      ((version.selectableFields ?? []) as { jsonPath: string }[]).map(({ jsonPath: path }) => [
        path.slice(1),
        (object: KubeObject) => cellText(readPath(object, path) ?? ""),
      ]),
    ),
  };
}

function printerColumn(column: Json): Column {
  return {
    name: column.name,
    type: column.type,
    format: column.format,
    description: column.description ??
      `Custom resource definition column (in JSONPath format): ${column.jsonPath}`,
    priority: column.priority,
    cell: (object, nowMs) => {
      const values = jsonPath(column.jsonPath, object);
      if (values.length === 0 || values[0] === null) return null;
      if (column.type === "date") return age(nowMs - Date.parse(cellText(values[0])));
      if (column.type === "string") {
        return values.map(cellText).join(",");
      }
      if (column.type === "integer" && typeof values[0] === "number") return Math.trunc(values[0]);
      return values[0];
    },
  };
}

/** Text as it is, everything else as JSON. */
const cellText = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));

/** v2 before v1 before v1beta2 before v1alpha1 before anything else. */
export function comparePriority(a: string, b: string): number {
  const rank = (text: string): number[] => {
    const m = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(text);
    if (!m) return [0, 0, 0];
    return [m[2] === undefined ? 3 : m[2] === "beta" ? 2 : 1, Number(m[1]), Number(m[3] ?? 0)];
  };
  const [x, y] = [rank(a), rank(b)];
  for (let i = 0; i < 3; i++) if (x[i] !== y[i]) return (y[i] ?? 0) - (x[i] ?? 0);
  return a < b ? -1 : a > b ? 1 : 0;
}

/** What is wrong with a CustomResourceDefinition itself. */
export function definitionErrors(crd: KubeObject, old: KubeObject | undefined): FieldError[] {
  const errors: FieldError[] = [];
  const spec = crd.spec ?? {};
  const wanted = `${spec.names?.plural}.${spec.group}`;
  if (!spec.group) errors.push({ type: "Required", field: "spec.group" });
  if (!spec.names?.plural) errors.push({ type: "Required", field: "spec.names.plural" });
  if (!spec.names?.kind) errors.push({ type: "Required", field: "spec.names.kind" });
  if (crd.metadata.name !== wanted) {
    errors.push({
      type: "Invalid",
      field: "metadata.name",
      value: crd.metadata.name,
      detail: `must be spec.names.plural+"."+spec.group`,
    });
  }
  if (!["Namespaced", "Cluster"].includes(spec.scope)) {
    errors.push(
      spec.scope === undefined ? { type: "Required", field: "spec.scope" } : {
        type: "NotSupported",
        field: "spec.scope",
        value: spec.scope,
        detail: `supported values: "Cluster", "Namespaced"`,
      },
    );
  }
  if (old && spec.scope !== old.spec.scope) {
    errors.push({ type: "Invalid", field: "spec.scope", value: spec.scope, detail: "field is immutable" });
  }
  const versions: Json[] = Array.isArray(spec.versions) ? spec.versions : [];
  if (versions.filter((version) => version.storage).length !== 1) {
    errors.push({
      type: "Invalid",
      field: "spec.versions",
      value: versions,
      detail: "must have exactly one version marked as storage version",
    });
  }
  versions.forEach((version, index) => {
    const at = `spec.versions[${index}].schema.openAPIV3Schema`;
    const schema = version.schema?.openAPIV3Schema;
    if (!schema) errors.push({ type: "Required", field: at, detail: "schemas are required" });
    else errors.push(...schemaErrors(schema, at));
  });
  return errors;
}

function schemaErrors(schema: Schema, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const isTyped = schema.type || schema["x-kubernetes-int-or-string"] ||
    schema["x-kubernetes-preserve-unknown-fields"];
  if (!isTyped) {
    errors.push({
      type: "Required",
      field: `${at}.type`,
      detail: "must not be empty for specified object fields",
    });
  }
  (schema["x-kubernetes-validations"] ?? []).forEach((rule, index) => {
    const problem = compileProblem(rule.rule);
    if (problem) {
      errors.push({
        type: "Invalid",
        field: `${at}.x-kubernetes-validations[${index}].rule`,
        value: rule.rule,
        detail: `compilation failed: ERROR: <input>:1:1: ${problem}`,
      });
    }
  });
  for (const [name, child] of Object.entries(schema.properties ?? {})) {
    errors.push(...schemaErrors(child, `${at}.properties[${name}]`));
  }
  if (schema.items) errors.push(...schemaErrors(schema.items, `${at}.items`));
  if (isRecord(schema.additionalProperties)) {
    errors.push(...schemaErrors(schema.additionalProperties as Schema, `${at}.additionalProperties`));
  }
  return errors;
}
