/**
 * Dropping what the schema does not know, and saying what was dropped.
 *
 * For custom resources this is structural schema pruning (apiextensions-apiserver
 * pkg/apiserver/schema/pruning); for built-in kinds it plays the round trip through a Go struct:
 * unknown fields and nulls go, empty optional lists, maps and strings go, structs held by value stay as {}.
 * @module
 */
import { isRecord, type Json } from "../types.ts";
import { itemSchema, metadataSchema, propertySchema, type Schema, structsByValue } from "./model.ts";

/** Removes unknown fields of a custom resource in place; returns their paths. */
export function prune(value: Json, schema: Schema, path = "", isRoot = true): string[] {
  const unknown: string[] = [];
  pruneValue(value, schema, path, isRoot, unknown);
  return unknown;
}

function pruneValue(value: Json, schema: Schema, path: string, isRoot: boolean, unknown: string[]): void {
  if (Array.isArray(value)) {
    const items = itemSchema(schema);
    if (items) value.forEach((item, index) => pruneValue(item, items, `${path}[${index}]`, false, unknown));
    return;
  }
  if (!isRecord(value)) return;
  const isResource = isRoot || schema["x-kubernetes-embedded-resource"];
  for (const key of Object.keys(value)) {
    const at = path ? `${path}.${key}` : key;
    if (isResource && (key === "apiVersion" || key === "kind")) continue;
    if (isResource && key === "metadata") {
      // An object's own metadata was decoded before; that of an embedded resource is decoded here.
      if (!isRoot && isRecord(value[key])) {
        unknown.push(...normalize(value[key], metadataSchema(), at).unknown);
      }
      continue;
    }
    const child = propertySchema(schema, key);
    if (child) {
      pruneValue(value[key], child, at, false, unknown);
    } else if (!schema["x-kubernetes-preserve-unknown-fields"] && schema.additionalProperties !== true) {
      unknown.push(at);
      delete value[key];
    }
  }
}

/** Optional Go fields whose zero value is not written (not pointers); the rest of the zeros stay. */
const omittedWhenFalse = new Set(
  "hostNetwork hostPID hostIPC stdin stdinOnce tty readOnly publishNotReadyAddresses paused isCA".split(" "),
);
const omittedWhenZero = new Set(
  ("minReadySeconds initialDelaySeconds nodePort hostPort currentReplicas updatedReplicas readyReplicas " +
    "unavailableReplicas observedGeneration failed succeeded active generation count deprecatedCount " +
    "restartPolicyRules").split(" "),
);
const keptWhenEmptyString = new Set(
  "storageClassName volumeAttributesClassName namespace preemptionPolicy defaultMode apiGroup name value key"
    .split(
      " ",
    ),
);

/** Result of {@link normalize}. */
export interface Normalized {
  unknown: string[];
  /** What could not be decoded, as Go's json package says it. */
  mismatches: string[];
}

/** Plays a built-in object's round trip through its Go type, in place. */
export function normalize(value: Json, schema: Schema, path = "", kind = ""): Normalized {
  const result: Normalized = { unknown: [], mismatches: [] };
  normalizeObject(value, schema, path, kind, result);
  return result;
}

function normalizeObject(value: Json, schema: Schema, path: string, kind: string, result: Normalized): void {
  const known = schema.properties;
  for (const key of Object.keys(value)) {
    const at = path ? `${path}.${key}` : key;
    const child = propertySchema(schema, key);
    if (!child) {
      if (known) {
        result.unknown.push(at);
        delete value[key];
      }
      continue;
    }
    if (value[key] === null || value[key] === undefined) {
      delete value[key];
      continue;
    }
    // Go names a map's values by the map's own path.
    normalizeValue(value[key], child, known ? at : path, kind, result);
    if (known && !schema.required?.includes(key) && isOmitted(key, value[key], child)) delete value[key];
  }
  for (const [key, child] of structsByValue(schema)) {
    if (value[key] === undefined && key !== "metadata") {
      value[key] = {};
      normalizeObject(value[key], child, key, kind, result);
    }
  }
}

function normalizeValue(value: Json, schema: Schema, at: string, kind: string, result: Normalized): void {
  const want = schema.oneOf ? undefined : schema.type;
  const is = Array.isArray(value) ? "array" : typeof value;
  const fits = want === undefined || want === is ||
    ((want === "integer" || want === "number") && is === "number") ||
    (want === "object" && is === "object");
  if (!fits) {
    const word = is === "boolean" ? "bool" : is;
    result.mismatches.push(
      `json: cannot unmarshal ${word} into Go struct field ${kind}.${at} of type ${goType(schema)}`,
    );
    return;
  }
  if (Array.isArray(value)) {
    const items = itemSchema(schema);
    if (items) value.forEach((item, index) => normalizeValue(item, items, `${at}[${index}]`, kind, result));
  } else if (isRecord(value)) {
    normalizeObject(value, schema, at, kind, result);
  }
}

function goType(schema: Schema): string {
  if (schema.type === "integer") return schema.format ?? "int32";
  if (schema.type === "boolean") return "bool";
  if (schema.type === "array") return "[]" + (itemSchema(schema)?.type ?? "string");
  if (schema.type === "object") return schema.additionalProperties ? "map[string]string" : "struct";
  return schema.type ?? "string";
}

function isOmitted(key: string, value: Json, schema: Schema): boolean {
  if (Array.isArray(value)) return value.length === 0;
  if (isRecord(value)) return Object.keys(value).length === 0 && !!schema.additionalProperties;
  if (value === "") return !keptWhenEmptyString.has(key);
  if (value === false) return omittedWhenFalse.has(key);
  if (value === 0) return omittedWhenZero.has(key);
  return false;
}
