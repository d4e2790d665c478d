/**
 * The patch formats other than apply: JSON patch, merge patch, strategic merge patch.
 * @module
 */
import fastJsonPatch from "fast-json-patch";
import { badRequest, StatusError } from "./errors.ts";
import { itemSchema, propertySchema, type Schema } from "./schema/model.ts";
import { clone, equal, isRecord, type Json, setOwn } from "./types.ts";

/** RFC 6902. */
export function jsonPatch(object: Json, operations: Json): Json {
  if (!Array.isArray(operations)) {
    throw badRequest(
      "error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch",
    );
  }
  if (operations.length > 10_000) {
    throw new StatusError(
      413,
      "RequestEntityTooLarge",
      "The allowed maximum operations in a JSON patch is 10000",
    );
  }
  try {
    return fastJsonPatch.applyPatch(clone(object), operations, true, true, false).newDocument;
  } catch (error) {
    if (!(error instanceof fastJsonPatch.JsonPatchError)) throw error;
    throw new StatusError(
      422,
      "Invalid",
      "the server rejected our request due to an error in our request",
      {},
    );
  }
}

/** RFC 7386. */
export function mergePatch(object: Json, patch: Json): Json {
  if (!isRecord(patch)) return patch;
  const result: Record<string, Json> = isRecord(object) ? { ...object } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else setOwn(result, key, mergePatch(Object.hasOwn(result, key) ? result[key] : undefined, value));
  }
  return result;
}

/** A merge that knows which lists go by key (apimachinery pkg/util/strategicpatch). */
export function strategicMergePatch(object: Json, patch: Json, schema: Schema | undefined): Json {
  if (!isRecord(patch)) return clone(patch);
  if (patch.$patch === "replace") {
    const { $patch: _directive, ...rest } = patch;
    return clone(rest);
  }
  if (patch.$patch === "delete") return {};
  const result: Record<string, Json> = isRecord(object) ? { ...object } : {};
  const retained: string[] | undefined = patch.$retainKeys;
  for (const [key, value] of Object.entries(patch)) {
    if (key === "$patch" || key === "$retainKeys" || key.startsWith("$setElementOrder/")) continue;
    if (key.startsWith("$deleteFromPrimitiveList/")) {
      const name = key.slice("$deleteFromPrimitiveList/".length);
      result[name] = (result[name] ?? []).filter((item: Json) => !value.includes(item));
      continue;
    }
    if (value === null) delete result[key];
    else {setOwn(
        result,
        key,
        strategicValue(result[key], value, propertySchema(schema, key), patch[`$setElementOrder/${key}`]),
      );}
  }
  for (const key of Object.keys(patch)) {
    if (!key.startsWith("$setElementOrder/")) continue;
    const name = key.slice("$setElementOrder/".length);
    const field = propertySchema(schema, name);
    if (Array.isArray(result[name]) && patch[name] === undefined) {
      result[name] = ordered(result[name], patch[key], result[name], field?.["x-kubernetes-patch-merge-key"]);
    }
  }
  if (retained) { for (const key of Object.keys(result)) if (!retained.includes(key)) delete result[key]; }
  return result;
}

function strategicValue(old: Json, value: Json, schema: Schema | undefined, order: Json): Json {
  if (isRecord(value)) return strategicMergePatch(old, value, schema);
  const merges = schema?.["x-kubernetes-patch-strategy"]?.split(",").includes("merge") ?? false;
  if (!Array.isArray(value) || !merges) return clone(value);
  const before: Json[] = Array.isArray(old) ? old : [];
  const key = schema?.["x-kubernetes-patch-merge-key"];
  const merged = key
    ? mergeByKey(before, value, key, itemSchema(schema))
    : [...before, ...value.filter((item) => !before.some((other) => equal(other, item)))];
  return ordered(merged, Array.isArray(order) ? order : value, before, key);
}

function mergeByKey(before: Json[], patch: Json[], key: string, items: Schema | undefined): Json[] {
  if (patch.some((item) => item?.$patch === "replace")) {
    return patch.filter((item) => item?.$patch !== "replace").map(clone);
  }
  let result = [...before];
  const isIt = (item: Json) => (other: Json) => other?.[key] === item?.[key];
  for (const item of patch) {
    if (item?.[key] === undefined) {
      throw badRequest(`map: ${JSON.stringify(item)} does not contain declared merge key: ${key}`);
    }
    if (item.$patch === "delete") {
      result = result.filter((other) => !isIt(item)(other));
      continue;
    }
    const at = result.findIndex(isIt(item));
    if (at < 0) result.push(strategicMergePatch({}, item, items));
    else result[at] = strategicMergePatch(result[at], item, items);
  }
  return result;
}

/** Items that the order names come in that order; the others are interleaved by the order that they had. */
function ordered(list: Json[], order: Json[], before: Json[], key: string | undefined): Json[] {
  const isSame = (a: Json, b: Json) => (key ? a?.[key] === b?.[key] : equal(a, b));
  const rank = (item: Json) => order.findIndex((other) => isSame(other, item));
  const place = (item: Json) => before.findIndex((other) => isSame(other, item));
  const named = list.filter((item) => rank(item) >= 0).sort((a, b) => rank(a) - rank(b));
  const others = list.filter((item) => rank(item) < 0).sort((a, b) => place(a) - place(b));
  const result: Json[] = [];
  while (named.length > 0 && others.length > 0) {
    const [left, right] = [place(others[0]), place(named[0])];
    result.push(left >= 0 && right >= 0 && left < right ? others.shift() : named.shift());
  }
  return [...result, ...others, ...named];
}
