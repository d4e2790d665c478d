/**
 * Schemas: one form for the built-in kinds (OpenAPI v3 components of Kubernetes 1.36) and for the
 * openAPIV3Schema of custom resources, so that pruning, server-side apply and printing read both.
 * @module
 */
import { readFileSync } from "node:fs";
import { isRecord, type Json } from "../types.ts";

/** A JSON schema with Kubernetes' extensions. */
export interface Schema {
  type?: string;
  format?: string;
  description?: string;
  title?: string;
  properties?: Record<string, Schema>;
  items?: Schema;
  additionalProperties?: boolean | Schema;
  required?: string[];
  default?: Json;
  nullable?: boolean;
  enum?: Json[];
  pattern?: string;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: boolean;
  exclusiveMaximum?: boolean;
  multipleOf?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  uniqueItems?: boolean;
  minProperties?: number;
  maxProperties?: number;
  oneOf?: Schema[];
  anyOf?: Schema[];
  allOf?: Schema[];
  not?: Schema;
  $ref?: string;
  "x-kubernetes-preserve-unknown-fields"?: boolean;
  "x-kubernetes-embedded-resource"?: boolean;
  "x-kubernetes-int-or-string"?: boolean;
  "x-kubernetes-list-type"?: "atomic" | "set" | "map";
  "x-kubernetes-list-map-keys"?: string[];
  "x-kubernetes-map-type"?: "atomic" | "granular";
  "x-kubernetes-patch-strategy"?: string;
  "x-kubernetes-patch-merge-key"?: string;
  "x-kubernetes-validations"?: ValidationRule[];
  "x-kubernetes-group-version-kind"?: { group: string; version: string; kind: string }[];
}

/** One of x-kubernetes-validations. */
export interface ValidationRule {
  rule: string;
  message?: string;
  messageExpression?: string;
  reason?: string;
  fieldPath?: string;
  optionalOldSelf?: boolean;
}

const prefix = "#/components/schemas/";
let loaded: Record<string, Schema> | undefined;

/** Every component schema of the built-in kinds, by its name such as `io.k8s.api.core.v1.Pod`. */
export function definitions(): Record<string, Schema> {
  return (loaded ??= JSON.parse(readFileSync(new URL("../openapi.json", import.meta.url), "utf8")) as Record<
    string,
    Schema
  >);
}

const resolvedRefs = new WeakMap<Schema, Schema>();

/** Follows `$ref`, also inside a lone `allOf`; keeps a default and description given beside it. */
export function resolve(schema: Schema): Schema {
  const reference = schema.$ref ?? (schema.allOf?.length === 1 ? schema.allOf[0]?.$ref : undefined);
  if (!reference) return schema;
  let found = resolvedRefs.get(schema);
  if (!found) {
    const target = definitions()[reference.slice(prefix.length)];
    if (!target) throw new RangeError(`Unknown schema ${reference}`);
    found = { ...resolve(target) };
    if (schema.default !== undefined) found.default = schema.default;
    if (schema.description !== undefined) found.description = schema.description;
    resolvedRefs.set(schema, found);
  }
  return found;
}

/** The schema of a field of an object or of a value of a map; undefined when nothing is said about it. */
export function propertySchema(schema: Schema | undefined, name: string): Schema | undefined {
  if (!schema) return undefined;
  const own = schema.properties;
  if (own && Object.hasOwn(own, name) && own[name]) return resolve(own[name]);
  return isRecord(schema.additionalProperties) ? resolve(schema.additionalProperties as Schema) : undefined;
}

/** The schema of a list's items. */
export function itemSchema(schema: Schema | undefined): Schema | undefined {
  return schema?.items ? resolve(schema.items) : undefined;
}

/** Is this a Go struct held by value: there even when nothing was written? */
const isStructByValue = (schema: Schema): boolean =>
  isRecord(schema.default) && Object.keys(schema.default as object).length === 0 && !!schema.properties;

const structs = new WeakMap<Schema, readonly (readonly [name: string, schema: Schema])[]>();

/** The fields that {@linkcode isStructByValue} is true of, with their schemas. */
export function structsByValue(schema: Schema): readonly (readonly [name: string, schema: Schema])[] {
  let found = structs.get(schema);
  if (!found) {
    found = Object.entries(schema.properties ?? {})
      .map(([name, raw]) => [name, resolve(raw)] as const)
      .filter(([, field]) => isStructByValue(field));
    structs.set(schema, found);
  }
  return found;
}

let byGvk: Map<string, Schema> | undefined;

/** The schema of a built-in kind. */
export function builtinSchema(group: string, version: string, kind: string): Schema {
  if (!byGvk) {
    byGvk = new Map();
    for (const schema of Object.values(definitions())) {
      for (const gvk of schema["x-kubernetes-group-version-kind"] ?? []) {
        byGvk.set(`${gvk.group}/${gvk.version}/${gvk.kind}`, schema);
      }
    }
  }
  return byGvk.get(`${group}/${version}/${kind}`) ?? { type: "object" };
}

/** The schema of ObjectMeta, used by custom resources too. */
export const metadataSchema = (): Schema =>
  resolve({ $ref: `${prefix}io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta` });
