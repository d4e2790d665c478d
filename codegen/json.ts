/**
 * JSON values, and the two questions that are asked of them everywhere.
 * @module
 */

/** Anything that JSON can hold. */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** An object of JSON. Keys such as `__proto__` are plain keys: read with {@link member}. */
export type JsonObject = { [key: string]: Json };

/** Whether the value is an object, not an array and not null. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The object's own member: `undefined` also for `constructor`, `toString` and whatever else is inherited. */
export function member(object: JsonObject, key: string): Json | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

/** Orders text by UTF-16 code units: the same on each machine, whatever its locale. */
export function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The object's entries in code unit order, so that a file and a cluster give the same output. */
export function sortedEntries<Value>(object: { [key: string]: Value }): [string, Value][] {
  return Object.entries(object).sort(([a], [b]) => byCodeUnit(a, b));
}

/** The value with sorted keys, at any depth. */
export function sorted(value: Json): Json {
  return JSON.parse(canonical(value)) as Json;
}

/** JSON text with sorted keys: equal values give equal text. */
export function canonical(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (isObject(value)) {
    return `{${
      sortedEntries(value).map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join(",")
    }}`;
  }
  return JSON.stringify(value);
}
