/**
 * Structural schema defaulting: on requests, and on objects read back from the store
 * (apiextensions-apiserver pkg/apiserver/schema/defaulting).
 * @module
 */
import { clone, isRecord, type Json } from "../types.ts";
import { itemSchema, propertySchema, resolve, type Schema } from "./model.ts";

/** Fills in defaults in place; nulls of non-nullable fields with a default are replaced. */
export function applyDefaults(value: Json, schema: Schema): void {
  if (Array.isArray(value)) {
    const items = itemSchema(schema);
    if (items) {
      for (const item of value) applyDefaults(item, items);
    }
    return;
  }
  if (!isRecord(value)) return;
  for (const [key, raw] of Object.entries(schema.properties ?? {})) {
    const child = resolve(raw);
    if (child.default === undefined) continue;
    const isMissing = !Object.hasOwn(value, key) || (value[key] === null && !child.nullable);
    if (isMissing) value[key] = clone(child.default);
  }
  for (const key of Object.keys(value)) {
    const child = propertySchema(schema, key);
    if (child) applyDefaults(value[key], child);
  }
}

/** Would {@link applyDefaults} ever change anything under this schema? */
export function hasDefaults(schema: Schema): boolean {
  if (schema.default !== undefined) return true;
  const children = [
    ...Object.values(schema.properties ?? {}),
    ...(schema.items ? [schema.items] : []),
    ...(isRecord(schema.additionalProperties) ? [schema.additionalProperties as Schema] : []),
  ];
  return children.some(hasDefaults);
}

/**
 * Drops nulls of fields that are not nullable, in place: the server prunes them before it defaults.
 */
export function dropNulls(value: Json, schema: Schema): void {
  if (Array.isArray(value)) {
    const items = itemSchema(schema);
    if (items) {
      for (const item of value) dropNulls(item, items);
    }
    return;
  }
  if (!isRecord(value)) return;
  for (const key of Object.keys(value)) {
    const child = propertySchema(schema, key);
    if (!child) continue;
    if (value[key] === null && !child.nullable) delete value[key];
    else dropNulls(value[key], child);
  }
}
