/**
 * Objects seen through their schema: which fields they set, how two differ, how one merges into another.
 *
 * Lists are atomic unless the schema makes them a set or a map; objects are granular unless it makes
 * them atomic. Written after the behaviour of sigs.k8s.io/structured-merge-diff typed.
 * @module
 */
import {
  itemSchema,
  metadataSchema,
  propertySchema,
  resolve,
  type Schema,
  structsByValue,
} from "../schema/model.ts";
import { clone, equal, isRecord, type Json, setOwn } from "../types.ts";
import { type FieldPath, FieldSet, pathText } from "./field_set.ts";

type MaybeSchema = Schema | undefined;

const isAtomicMap = (schema: MaybeSchema) => schema?.["x-kubernetes-map-type"] === "atomic";
const listType = (schema: MaybeSchema) => schema?.["x-kubernetes-list-type"] ?? "atomic";

/** The schema of a kind's root with the metadata that every object has. */
export function rootSchema(schema: Schema): Schema {
  const metadata = schema.properties?.metadata;
  const isPlain = !metadata || !resolve(metadata).properties?.finalizers;
  return isPlain ? { ...schema, properties: { ...schema.properties, metadata: metadataSchema() } } : schema;
}

/** An item of a map list that lacks its keys. */
export class UnkeyedItem extends Error {
  constructor(path: FieldPath, index: number, keys: readonly string[]) {
    const names = keys.map((key) => JSON.stringify(key)).join(" ");
    super(
      `${
        pathText(path)
      }: element ${index}: associative list with keys has an element that omits all key fields ` +
        `[${names}] (and doesn't have default values for any key fields)`,
    );
    this.name = "UnkeyedItem";
  }
}

/** The path element of an item of a set or map list. */
export function itemElement(item: Json, schema: Schema, index: number, path: FieldPath = []): string {
  if (listType(schema) === "set") return `v:${JSON.stringify(item)}`;
  const items = itemSchema(schema);
  const key: Record<string, Json> = {};
  const keys = [...(schema["x-kubernetes-list-map-keys"] ?? [])].sort();
  for (const name of keys) {
    const value = item?.[name] ?? propertySchema(items, name)?.default;
    if (value === undefined) {
      throw new UnkeyedItem(path, index, keys);
    }
    key[name] = value;
  }
  return `k:${JSON.stringify(key)}`;
}

const keyed = (list: Json[], schema: Schema): Map<string, Json> =>
  new Map(list.map((item, index) => [itemElement(item, schema, index), item]));

/**
 * An applied configuration must fit the schema before anything else is looked at.
 *
 * @throws {TypeError} naming every field that is unknown or of another type
 */
export function checkTypes(value: Json, schema: MaybeSchema): void {
  const problems: string[] = [];
  checkType(value, schema, [], problems);
  if (problems.length === 1) throw new TypeError(problems[0]);
  if (problems.length > 1) throw new TypeError(`errors:\n  ${problems.join("\n  ")}`);
}

function checkType(value: Json, schema: MaybeSchema, path: FieldPath, problems: string[]): void {
  if (!schema || value === null || value === undefined) return;
  const isFree = schema["x-kubernetes-int-or-string"] || schema.oneOf || !schema.type;
  const report = (text: string) => problems.push(`${pathText(path)}: ${text}`);
  const shown = `&value.valueUnstructured{Value:${JSON.stringify(value)}}`;
  if (Array.isArray(value)) {
    if (!isFree && schema.type !== "array") return void report(`expected ${schema.type}, got ${shown}`);
    const items = itemSchema(schema);
    value.forEach((item, index) => {
      const isKeyed = listType(schema) !== "atomic";
      checkType(
        item,
        items,
        [...path, isKeyed ? itemElement(item, schema, index, path) : `i:${index}`],
        problems,
      );
    });
  } else if (isRecord(value)) {
    if (!isFree && schema.type !== "object") return void report(`expected ${schema.type}, got ${shown}`);
    const isOpen = !schema.properties || schema["x-kubernetes-preserve-unknown-fields"] ||
      schema.additionalProperties === true;
    for (const [key, item] of Object.entries(value)) {
      const child = propertySchema(schema, key);
      const at = [...path, `f:${key}`];
      if (child) checkType(item, child, at, problems);
      else if (!isOpen) problems.push(`${pathText(at)}: field not declared in schema`);
    }
  } else if (!isFree) {
    const is = typeof value;
    if (schema.type === "string" && is !== "string") report(`expected string, got ${shown}`);
    else if (schema.type === "boolean" && is !== "boolean") report(`expected boolean, got ${shown}`);
    else if (["integer", "number"].includes(schema.type ?? "") && is !== "number") {
      report(`expected numeric (int or float), got ${is}`);
    } else if (schema.type === "array") report(`expected list, got ${shown}`);
    else if (schema.type === "object") report(`expected map, got ${shown}`);
  }
}

/** The fields that an applied configuration sets. */
export function fieldsOf(value: Json, schema: MaybeSchema): FieldSet {
  const set = new FieldSet();
  collect(value, schema, [], set);
  return set;
}

function collect(value: Json, schema: MaybeSchema, path: FieldPath, set: FieldSet): void {
  if (Array.isArray(value)) {
    if (listType(schema) === "atomic" || !schema) return set.insert(path);
    value.forEach((item, index) => {
      const at = [...path, itemElement(item, schema, index, path)];
      set.insert(at);
      collect(item, itemSchema(schema), at, set);
    });
  } else if (isRecord(value)) {
    if (isAtomicMap(schema)) return set.insert(path);
    for (const [key, item] of Object.entries(value)) {
      const at = [...path, `f:${key}`];
      const isEmpty = item === null || (isRecord(item) && Object.keys(item).length === 0);
      if (isEmpty || !Object.hasOwn(schema?.properties ?? {}, key)) set.insert(at);
      if (!isEmpty) collect(item, propertySchema(schema, key), at, set);
    }
  } else set.insert(path);
}

/** What changed from one object to the other. */
export interface Comparison {
  added: FieldSet;
  modified: FieldSet;
  removed: FieldSet;
}

/** Compares two objects; structs that Go holds by value count as there on both sides. */
export function compare(before: Json, after: Json, schema: MaybeSchema): Comparison {
  const result = { added: new FieldSet(), modified: new FieldSet(), removed: new FieldSet() };
  diff(before, after, schema, [], result);
  return result;
}

const isNone = (value: Json) => value === undefined || value === null;
const isBlank = (value: Json) =>
  isNone(value) ||
  (Array.isArray(value) ? value.length === 0 : isRecord(value) && Object.keys(value).length === 0);

function leaf(before: Json, after: Json, path: FieldPath, result: Comparison): void {
  if (before === undefined) result.added.insert(path);
  else if (after === undefined) result.removed.insert(path);
  else if (!equal(before, after)) result.modified.insert(path);
}

type Form = "scalar" | "list" | "map";
const formOf = (value: Json): Form => (Array.isArray(value) ? "list" : isRecord(value) ? "map" : "scalar");
const isGranular = (form: Form, schema: MaybeSchema) =>
  form === "map"
    ? !isAtomicMap(schema)
    : form === "list" && schema !== undefined && listType(schema) !== "atomic";

function diff(before: Json, after: Json, schema: MaybeSchema, path: FieldPath, result: Comparison): void {
  if (before === undefined && after === undefined) return;
  const form = formOf(isNone(before) ? after : before);
  if (isBlank(before) && isBlank(after)) return leaf(before, after, path, result);
  if (!isNone(before) && !isNone(after) && form !== formOf(after)) {
    // Another form: what was below is gone, what is below is new, and a leaf on either side has changed.
    for (const [side, old, now] of [[before, before, undefined], [after, undefined, after]]) {
      if (isGranular(formOf(side), schema)) children(old, now, formOf(side), schema, path, result);
      else result.modified.insert(path);
    }
    return;
  }
  if (!isGranular(form, schema)) return leaf(before, after, path, result);
  children(before, after, form, schema, path, result);
  if (before === undefined) result.added.insert(path);
  else if (after === undefined) result.removed.insert(path);
}

function children(
  before: Json,
  after: Json,
  form: Form,
  schema: MaybeSchema,
  path: FieldPath,
  result: Comparison,
): void {
  if (form === "list" && schema) {
    const [old, now] = [keyed(before ?? [], schema), keyed(after ?? [], schema)];
    for (const element of new Set([...old.keys(), ...now.keys()])) {
      diff(old.get(element), now.get(element), itemSchema(schema), [...path, element], result);
    }
  } else {
    const [old, now] = [filled(before, schema), filled(after, schema)];
    for (const key of new Set([...Object.keys(old), ...Object.keys(now)])) {
      const [was, is] = [own(old, key), own(now, key)];
      if (!equal(was, is)) diff(was, is, propertySchema(schema, key), [...path, `f:${key}`], result);
    }
  }
}

const own = (value: Json, key: string): Json => (Object.hasOwn(value, key) ? value[key] : undefined);

/** The object with its missing by-value structs. */
function filled(value: Json, schema: MaybeSchema): Json {
  if (isNone(value)) return {};
  if (!schema) return value;
  const missing: Record<string, Json> = {};
  for (const [name] of structsByValue(schema)) if (value[name] === undefined) missing[name] = {};
  // A required list that is not there is null in Go's JSON, which is not the same as missing.
  for (const name of schema.required ?? []) {
    if (value[name] === undefined && propertySchema(schema, name)?.type === "array") missing[name] = null;
  }
  return Object.keys(missing).length === 0 ? value : { ...value, ...missing };
}

/** The live object with the applied configuration laid over it. */
export function merge(live: Json, applied: Json, schema: MaybeSchema): Json {
  if (applied === undefined) return clone(live);
  if (Array.isArray(applied) && Array.isArray(live) && schema && listType(schema) !== "atomic") {
    return mergeLists(live, applied, schema);
  }
  if (isRecord(applied) && isRecord(live) && !isAtomicMap(schema)) {
    const result: Record<string, Json> = {};
    for (const key of new Set([...Object.keys(live), ...Object.keys(applied)])) {
      setOwn(result, key, merge(own(live, key), own(applied, key), propertySchema(schema, key)));
    }
    return result;
  }
  return clone(applied);
}

/** Keeps the applied order; items that only the live list has stay near their old place. */
function mergeLists(live: Json[], applied: Json[], schema: Schema): Json[] {
  const [left, right] = [keyed(live, schema), keyed(applied, schema)];
  const [leftOrder, rightOrder] = [[...left.keys()], [...right.keys()]];
  const shared = rightOrder.filter((element) => left.has(element));
  const items = itemSchema(schema);
  const out: Json[] = [];
  const done = new Set<string>();
  let [l, r, s] = [0, 0, 0];
  const take = (element: string) => {
    out.push(merge(left.get(element), right.get(element), items));
    done.add(element);
    if (shared[s] === element) s++;
  };
  while (l < leftOrder.length || r < rightOrder.length) {
    const a = leftOrder[l];
    const b = rightOrder[r];
    if (a !== undefined && a === b) {
      take(a);
      l++;
      r++;
    } else if (
      a !== undefined && b !== undefined && right.has(a) && shared[s] !== undefined && shared[s] !== a
    ) {
      l++; // Shared, but not the one whose turn it is.
    } else if (a !== undefined && (!right.has(a) || done.has(a))) {
      if (!right.has(a)) out.push(clone(left.get(a)));
      l++;
    } else if (b !== undefined) {
      take(b);
      r++;
    } else l++;
  }
  return out;
}

/** The object without the fields of the set; of a container that loses its last field, null is left. */
export function removeFields(value: Json, set: FieldSet, schema: MaybeSchema): Json {
  if (set.isEmpty) return value;
  if (Array.isArray(value) && schema && listType(schema) !== "atomic") {
    const kept: Json[] = [];
    value.forEach((item, index) => {
      const element = itemElement(item, schema, index);
      if (set.members.has(element)) return;
      const below = set.children.get(element);
      kept.push(below ? removeFields(item, below, itemSchema(schema)) : item);
    });
    return kept.length === 0 ? null : kept;
  }
  if (isRecord(value) && !isAtomicMap(schema)) {
    const kept: Record<string, Json> = {};
    for (const [key, item] of Object.entries(value)) {
      const element = `f:${key}`;
      if (set.members.has(element)) continue;
      const below = set.children.get(element);
      setOwn(kept, key, below ? removeFields(item, below, propertySchema(schema, key)) : item);
    }
    return Object.keys(kept).length === 0 ? null : kept;
  }
  return value;
}
