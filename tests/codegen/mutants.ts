/**
 * Changed objects: an accepted object, changed in one place along its schema.
 *
 * Nothing here knows whether a change is valid: a real API server says so.
 * @module
 */
import { isObject, type Json, type JsonObject, member } from "../../codegen/json.ts";

/** One changed object. */
export interface Mutant {
  what: string;
  object: Json;
}

/** All objects that differ from `object` in one place. */
export function* mutantsOf(object: JsonObject, schema: JsonObject): Generator<Mutant> {
  for (const [what, value] of changes(object, schema, "", ["apiVersion", "kind", "metadata"])) {
    if (isObject(value)) yield { what, object: value };
  }
}

type Change = [what: string, value: Json | undefined];

function* changes(
  value: Json,
  schema: JsonObject,
  path: string,
  fixed: readonly string[] = [],
): Generator<Change> {
  if (fixed.length === 0) {
    for (const wrong of otherTypes(value, schema)) yield [`${path} = ${JSON.stringify(wrong)}`, wrong];
  }
  if (isObject(value)) yield* objectChanges(value, schema, path, fixed);
  if (Array.isArray(value)) {
    const items = member(schema, "items");
    yield [`${path} + null`, [...value, null]];
    yield [`${path} + {}`, [...value, {}]];
    yield [`${path} + text`, [...value, "x"]];
    if (isObject(items)) {
      const sampled = sample(items);
      if (sampled !== undefined) yield [`${path} + sample`, [...value, sampled]];
      for (const [index, item] of value.slice(0, 2).entries()) {
        for (const [what, changed] of changes(item, items, `${path}[${index}]`)) {
          if (changed !== undefined) yield [what, value.with(index, changed)];
        }
      }
    }
  }
}

function* objectChanges(
  value: JsonObject,
  schema: JsonObject,
  path: string,
  fixed: readonly string[],
): Generator<Change> {
  yield [`${path} + zzUnknown`, { ...value, zzUnknown: "x" }];
  yield [`${path} + zzUnknown {}`, { ...value, zzUnknown: {} }];
  const properties = member(schema, "properties");
  const known = isObject(properties) ? properties : {};
  for (const key of Object.keys(value)) {
    if (fixed.includes(key)) continue;
    const { [key]: _, ...rest } = value;
    yield [`${path} - ${key}`, rest];
  }
  for (const [key, property] of Object.entries(known)) {
    if (fixed.includes(key) || !isObject(property)) continue;
    const inner = `${path}.${key}`;
    if (Object.hasOwn(value, key)) {
      for (const [what, changed] of changes(value[key]!, property, inner)) {
        if (changed !== undefined) yield [what, { ...value, [key]: changed }];
      }
      continue;
    }
    for (const isFull of [false, true]) {
      const sampled = sample(property, isFull);
      if (sampled !== undefined) yield [`${inner} added`, { ...value, [key]: sampled }];
    }
    for (const wrong of otherTypes(undefined, property)) {
      yield [`${inner} added = ${JSON.stringify(wrong)}`, { ...value, [key]: wrong }];
    }
  }
  const rest = member(schema, "additionalProperties");
  if (isObject(rest)) {
    for (
      const [key, item] of Object.entries(value).filter(([key]) => !Object.hasOwn(known, key)).slice(0, 2)
    ) {
      for (const [what, changed] of changes(item, rest, `${path}[${key}]`)) {
        if (changed !== undefined) yield [what, { ...value, [key]: changed }];
      }
    }
    const sampled = sample(rest);
    if (sampled !== undefined) yield [`${path} + zz`, { ...value, zz: sampled }];
    for (const wrong of otherTypes(undefined, rest)) {
      yield [`${path} + zz = ${JSON.stringify(wrong)}`, { ...value, zz: wrong }];
    }
  }
}

/** Values of other types, or of the same type and unlikely. Null only where the schema speaks of it. */
function otherTypes(value: Json | undefined, schema: JsonObject): Json[] {
  const found: Json[] = [7, "zz", true, {}, [], { zz: 1 }, ["zz"], [{}]];
  const speaksOfNull = member(schema, "nullable") !== undefined || Array.isArray(member(schema, "enum"));
  if (speaksOfNull) found.push(null);
  const text = JSON.stringify(value);
  return found.filter((one) => JSON.stringify(one) !== text);
}

/** A value that is likely to be valid: all that is required, or one level of everything. */
export function sample(schema: JsonObject, isFull = false, depth = 0): Json | undefined {
  const values = member(schema, "enum");
  if (Array.isArray(values) && values.length > 0) return values[values.length - 1];
  if (member(schema, "x-kubernetes-int-or-string") === true) return isFull ? "50%" : 3;
  if (depth > 12) return undefined;
  switch (member(schema, "type")) {
    case "string":
      return sampleText(schema);
    case "integer":
    case "number":
      return Math.max(1, Number(member(schema, "minimum") ?? 1));
    case "boolean":
      return true;
    case "array": {
      const items = member(schema, "items");
      const item = isObject(items) ? sample(items, isFull && depth < 3, depth + 1) : "x";
      return item === undefined ? [] : [item];
    }
    case "object":
      return sampleObject(schema, isFull, depth);
    default:
      return isFull ? { any: ["thing"] } : "anything";
  }
}

function sampleObject(schema: JsonObject, isFull: boolean, depth: number): JsonObject {
  const properties = member(schema, "properties");
  const requiredKeys = member(schema, "required");
  const required = Array.isArray(requiredKeys) ? requiredKeys : [];
  const object: JsonObject = {};
  if (member(schema, "x-kubernetes-embedded-resource") === true) {
    Object.assign(object, { apiVersion: "v1", kind: "ConfigMap" });
  }
  for (const [key, property] of isObject(properties) ? Object.entries(properties) : []) {
    if (!isObject(property) || !(required.includes(key) || isFull && depth < 2)) continue;
    const value = sample(property, isFull, depth + 1);
    if (value !== undefined) object[key] = value;
  }
  const rest = member(schema, "additionalProperties");
  if (isObject(rest)) object.key = sample(rest, false, depth + 1) ?? "x";
  return object;
}

const texts = [
  "abc",
  "a",
  "a.b/c",
  "10s",
  "1h",
  "2024-01-01T00:00:00Z",
  "https://example.com",
  "example.com",
  "10.0.0.1",
  "1Gi",
  "100m",
  "/path",
  "ABC",
  "v1",
  "a-b",
  "17",
  "1.2.3",
  "a/b",
  "sha256:abcdef",
  "0",
  "user@example.com",
  "*.example.com",
]; // deno-fmt-ignore-line

function sampleText(schema: JsonObject): string | undefined {
  const pattern = member(schema, "pattern");
  const min = Number(member(schema, "minLength") ?? 0);
  const max = Number(member(schema, "maxLength") ?? Infinity);
  const formats: { [format: string]: string } = {
    "date-time": "2024-01-01T00:00:00Z", "date": "2024-01-01", "duration": "1h", "uri": "https://example.com", "byte": "YWJj",
    "ipv4": "10.0.0.1", "ipv6": "fe80::1", "cidr": "10.0.0.0/8", "uuid": "123e4567-e89b-42d3-a456-426614174000", "email": "user@example.com",
    "mac": "00:00:5e:00:53:01", "hostname": "example.com", "int-or-string": "3",
  }; // deno-fmt-ignore-line
  const format = formats[String(member(schema, "format"))];
  const candidates = format === undefined ? texts : [format];
  let matches: (text: string) => boolean = () => true;
  try {
    const expression = typeof pattern === "string" ? new RegExp(pattern) : undefined;
    if (expression !== undefined) matches = (text) => expression.test(text);
  } catch {
    return undefined; // A pattern of Go's syntax only: no guess.
  }
  return candidates.map((text) => text.length < min ? text.padEnd(min, "a") : text)
    .find((text) => text.length <= max && matches(text));
}
