/**
 * What `required`, `enum`, `oneOf`, `anyOf`, `allOf` and `not` say together, as a list of alternatives.
 *
 * A schema of the API server is a base (types, properties) and conditions on values of it. The conditions are
 * brought into disjunctive normal form: a value must meet one {@link Alternative}. What no type can say (patterns,
 * bounds, formats) counts as met in both directions, so that no accepted value is ever refused.
 * @module
 */
import { canonical, isObject, type Json, type JsonObject, member } from "../json.ts";

/** What a value must meet all of. */
export interface Alternative {
  /** Keys that must be there, and keys that must not. */
  required: ReadonlySet<string>;
  forbidden: ReadonlySet<string>;
  /** The only values, and values that it must not have; by canonical text. */
  values?: ReadonlyMap<string, Json>;
  except?: ReadonlyMap<string, Json>;
  /** The only JSON types. */
  types?: ReadonlySet<string>;
  /** Conditions on the value under a key, where it is there. */
  fields: ReadonlyMap<string, Constraint>;
  /** Conditions on each item, and on each value of a map. */
  items?: Constraint;
  rest?: Constraint;
}

/** One of these must be met; none can be met when it is empty. */
export type Constraint = readonly Alternative[];

const nothing: Alternative = { required: new Set(), forbidden: new Set(), fields: new Map() };
/** Met by any value. */
export const always: Constraint = [nothing];
/** Met by no value. */
export const never: Constraint = [];

/** More alternatives than a reader or a compiler would bear: such a condition is left to the validator. */
const alternativesMax = 128;

const allTypes = ["string", "number", "boolean", "array", "object", "null"];

const junctionKeywords = ["allOf", "anyOf", "oneOf", "not"];

/** Keywords that can fail a value and that no type can say. */
const unsayable = [
  "pattern",
  "format",
  "minimum",
  "maximum",
  "exclusiveMinimum",
  "exclusiveMaximum",
  "multipleOf",
  "minLength",
  "maxLength",
  "minItems",
  "maxItems",
  "uniqueItems",
  "minProperties",
  "maxProperties",
  "x-kubernetes-validations",
]; // deno-fmt-ignore-line

/** Whether any value meets it. */
export function isAlways(constraint: Constraint): boolean {
  return constraint.some((alternative) =>
    alternative === nothing ||
    alternative.required.size + alternative.forbidden.size + alternative.fields.size === 0 &&
      [alternative.values, alternative.except, alternative.types, alternative.items, alternative.rest].every((part) => part === undefined)
  );
}

/** Whether the value, with whatever defaults are filled in below it, can meet the condition. */
export function mayMeet(value: Json, constraint: Constraint): boolean {
  return constraint.some(({ forbidden, values, except, types, fields, items }) => {
    const text = canonical(value);
    if (values?.has(text) === false || except?.has(text) === true) return false;
    if (types?.has(typeNameOf(value)) === false) return false;
    if (Array.isArray(value)) return value.every((item) => items === undefined || mayMeet(item, items));
    if (!isObject(value)) return true;
    if ([...forbidden].some((key) => Object.hasOwn(value, key))) return false;
    return [...fields].every(([key, condition]) => {
      const inner = member(value, key);
      return inner === undefined || mayMeet(inner, condition);
    });
  });
}

function typeNameOf(value: Json): string {
  return value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
}

/** The condition that a schema's logical keywords are, without its own `required`, `enum` and properties. */
export function junctions(schema: JsonObject): Constraint {
  if (!junctionKeywords.some((keyword) => Object.hasOwn(schema, keyword))) return always;
  return all(junctionParts(schema));
}

/** The condition that a branch is. */
export function positive(schema: Json): Constraint {
  if (!isObject(schema)) return schema === false ? never : always;
  const parts: Constraint[] = [];
  const required = texts(member(schema, "required"));
  if (required.length > 0) parts.push([{ ...nothing, required: new Set(required) }]);
  const values = member(schema, "enum");
  if (Array.isArray(values)) parts.push([{ ...nothing, values: byText(values) }]);
  const type = typeOf(schema);
  if (type !== undefined) parts.push([{ ...nothing, types: new Set([type]) }]);
  for (const [key, property] of entries(schema, "properties")) {
    const condition = positive(property);
    if (isAlways(condition)) continue;
    parts.push(
      condition.length === 0
        ? [{ ...nothing, forbidden: new Set([key]) }]
        : [{ ...nothing, fields: new Map([[key, condition]]) }],
    );
  }
  for (const [keyword, place] of [["items", "items"], ["additionalProperties", "rest"]] as const) {
    const inner = member(schema, keyword);
    if (!isObject(inner)) continue;
    const condition = positive(inner);
    if (!isAlways(condition)) parts.push([{ ...nothing, [place]: condition }]);
  }
  return all([...parts, ...junctionParts(schema)]);
}

function junctionParts(schema: JsonObject): Constraint[] {
  const parts: Constraint[] = [];
  for (const branch of list(schema, "allOf")) parts.push(positive(branch));
  if (member(schema, "anyOf") !== undefined) parts.push(any(list(schema, "anyOf").map(positive)));
  const oneOf = list(schema, "oneOf");
  if (oneOf.length > 0) parts.push(exactlyOne(oneOf));
  const not = member(schema, "not");
  if (not !== undefined) parts.push(negative(not));
  return parts;
}

/** The condition that a branch is not met. */
function negative(schema: Json): Constraint {
  if (!isObject(schema)) return schema === false ? always : never;
  const ways: Constraint[] = [];
  for (const key of texts(member(schema, "required"))) ways.push([{ ...nothing, forbidden: new Set([key]) }]);
  const values = member(schema, "enum");
  if (Array.isArray(values)) ways.push([{ ...nothing, except: byText(values) }]);
  const type = typeOf(schema);
  if (type !== undefined) {
    ways.push([{ ...nothing, types: new Set(allTypes.filter((other) => other !== type)) }]);
  }
  for (const [key, property] of entries(schema, "properties")) {
    const condition = negative(property);
    if (condition.length === 0) continue;
    ways.push([{ ...nothing, required: new Set([key]), fields: new Map([[key, condition]]) }]);
  }
  for (const keyword of ["items", "additionalProperties"]) {
    const inner = member(schema, keyword);
    if (isObject(inner) && negative(inner).length > 0) ways.push(always);
  }
  if (unsayable.some((keyword) => member(schema, keyword) !== undefined)) ways.push(always);
  for (const branch of list(schema, "allOf")) ways.push(negative(branch));
  if (member(schema, "anyOf") !== undefined) ways.push(all(list(schema, "anyOf").map(negative)));
  const oneOf = list(schema, "oneOf");
  if (oneOf.length > 0) {
    ways.push(all(oneOf.map(negative)));
    for (const [index, one] of oneOf.entries()) {
      for (const other of oneOf.slice(index + 1)) ways.push(all([positive(one), positive(other)]));
    }
  }
  const not = member(schema, "not");
  if (not !== undefined) ways.push(positive(not));
  return any(ways);
}

/** Where "and no other" takes too many words, what is left is that one of the branches must be met. */
function exactlyOne(branches: readonly Json[]): Constraint {
  const positives = branches.map(positive);
  const one = any(
    positives.map((branch, index) =>
      all([branch, ...branches.filter((_, other) => other !== index).map(negative)])
    ),
  );
  if (!isAlways(one)) return one;
  const atLeastOne = absorb(positives.flat());
  return atLeastOne.length > alternativesMax * 4 ? always : atLeastOne;
}

/** One of several conditions. */
export function any(constraints: readonly Constraint[]): Constraint {
  const found = absorb(constraints.flat());
  return found.length > alternativesMax ? always : found;
}

/** All of several conditions. */
export function all(constraints: readonly Constraint[]): Constraint {
  let result: Constraint = always;
  for (const constraint of constraints) {
    if (result.length * constraint.length > alternativesMax * 16) continue;
    const next = absorb(result.flatMap((one) => constraint.flatMap((other) => both(one, other))));
    // A part that is long by itself was let through: it does not grow here.
    if (next.length <= Math.max(alternativesMax, result.length, constraint.length)) result = next;
  }
  return result;
}

/** Both alternatives in one, or none when they contradict each other. */
function both(one: Alternative, other: Alternative): Alternative[] {
  const required = new Set([...one.required, ...other.required]);
  const forbidden = new Set([...one.forbidden, ...other.forbidden]);
  const fields = new Map(one.fields);
  for (const [key, condition] of other.fields) {
    const before = fields.get(key);
    const both = before === undefined ? condition : all([before, condition]);
    fields.set(key, both);
    if (both.length === 0) forbidden.add(key);
  }
  for (const key of forbidden) {
    if (required.has(key)) return [];
    fields.delete(key);
  }
  const except = new Map([...one.except ?? [], ...other.except ?? []]);
  let values = one.values ?? other.values;
  if (values !== undefined) {
    const mayBe = (key: string) => other.values?.has(key) !== false && !except.has(key);
    values = new Map([...values].filter(([key]) => mayBe(key)));
    if (values.size === 0) return [];
  }
  let types = one.types ?? other.types;
  if (types !== undefined && other.types !== undefined) {
    types = new Set([...types].filter((type) => other.types!.has(type)));
    if (types.size === 0) return [];
  }
  const items = together(one.items, other.items);
  const rest = together(one.rest, other.rest);
  return [{
    required,
    forbidden,
    fields,
    ...(values === undefined ? except.size > 0 && { except } : { values }),
    ...(types !== undefined && { types }),
    ...(items !== undefined && { items }),
    ...(rest !== undefined && { rest }),
  }];
}

function together(one: Constraint | undefined, other: Constraint | undefined): Constraint | undefined {
  return one === undefined ? other : other === undefined ? one : all([one, other]);
}

/** Leaves out what another, weaker alternative already allows. */
function absorb(alternatives: Constraint): Constraint {
  const distinct = [...new Map(alternatives.map((one) => [keyOf(one), one])).values()];
  if (distinct.length > alternativesMax * 4) return distinct;
  return distinct.filter((one) => !distinct.some((other) => other !== one && isWeaker(other, one)));
}

/** Whether each condition of `weak` is one of `strong` as well. */
function isWeaker(weak: Alternative, strong: Alternative): boolean {
  return isSubset(weak.required, strong.required) &&
    isSubset(weak.forbidden, strong.forbidden) &&
    [...weak.fields].every(([key, condition]) =>
      strong.forbidden.has(key) || textOf(condition) === textOf(strong.fields.get(key))
    ) &&
    (weak.values === undefined ||
      strong.values !== undefined && [...strong.values.keys()].every((key) => weak.values!.has(key))) &&
    (weak.except === undefined ||
      [...weak.except.keys()].every((key) =>
        strong.values === undefined ? strong.except?.has(key) === true : !strong.values.has(key)
      )) &&
    (weak.types === undefined || strong.types !== undefined && isSubset(strong.types, weak.types)) &&
    (weak.items === undefined || textOf(weak.items) === textOf(strong.items)) &&
    (weak.rest === undefined || textOf(weak.rest) === textOf(strong.rest));
}

function isSubset(small: ReadonlySet<string>, large: ReadonlySet<string>): boolean {
  for (const key of small) if (!large.has(key)) return false;
  return true;
}

/** Text that is equal for equal alternatives. */
export function keyOf(alternative: Alternative): string {
  const { required, forbidden, values, except, types, fields, items, rest } = alternative;
  const parts = [
    `+${[...required].sort().map((key) => JSON.stringify(key)).join()}`,
    `-${[...forbidden].sort().map((key) => JSON.stringify(key)).join()}`,
    `=${values === undefined ? "" : [...values.keys()].sort().join("|")}`,
    `!${except === undefined ? "" : [...except.keys()].sort().join("|")}`,
    `:${types === undefined ? "" : [...types].sort().join()}`,
    `.${[...fields].map(([key, value]) => JSON.stringify(key) + textOf(value)).sort().join()}`,
    `[${textOf(items)}`,
    `*${textOf(rest)}`,
  ];
  return parts.join(";");
}

function textOf(constraint: Constraint | undefined): string {
  return constraint === undefined ? "" : `(${constraint.map(keyOf).sort().join("/")})`;
}

function typeOf(schema: JsonObject): string | undefined {
  const type = member(schema, "type");
  if (typeof type !== "string" || type === "") return undefined;
  return type === "integer" ? "number" : type;
}

function byText(values: readonly Json[]): Map<string, Json> {
  return new Map(values.map((value) => [canonical(value), value]));
}

function texts(value: Json | undefined): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}

function list(schema: JsonObject, keyword: string): Json[] {
  const value = member(schema, keyword);
  return Array.isArray(value) ? value : [];
}

function entries(schema: JsonObject, keyword: string): [string, Json][] {
  const value = member(schema, keyword);
  return isObject(value) ? Object.entries(value) : [];
}
