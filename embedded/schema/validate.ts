/**
 * Validation of custom resources against their structural schema, in the API server's words
 * (kube-openapi pkg/validation, apiextensions-apiserver pkg/apiserver/validation).
 *
 * Ratcheting: a value that an update leaves as it was is not held against the update.
 * @module
 */
import type { FieldError } from "../errors.ts";
import { equal, isRecord, type Json } from "../types.ts";
import { formatProblem } from "./formats.ts";
import type { Schema } from "./model.ts";

/**
 * Validates the value of a custom resource.
 *
 * @param old the value before an update; undefined on create
 */
export function validate(value: Json, schema: Schema, path = "", old?: Json): FieldError[] {
  const errors: FieldError[] = [];
  check(value, schema, path, old, errors);
  return errors;
}

function typeName(value: Json): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value;
}

/** Containers are shown by their type, scalars by their value. */
const shown = (value: Json): Json => (typeof value === "object" && value !== null ? typeName(value) : value);

const join = (path: string, name: string) => (path ? `${path}.${name}` : name);

function check(value: Json, schema: Schema, path: string, old: Json, errors: FieldError[]): void {
  if (old !== undefined && equal(old, value)) return;
  if (value === null && schema.nullable) return;
  const problem = typeProblem(value, schema);
  if (problem) {
    errors.push({
      type: "TypeInvalid",
      field: path || "<nil>",
      value: typeName(value),
      detail: `${path} in body must be of type ${problem}: ${JSON.stringify(typeName(value))}`.trimStart(),
    });
    if (problem === "integer" && typeof value === "number") {
      const detail = `Checked value must be of type integer (default format) in ${path}`;
      errors.push({ type: "Invalid", field: "<nil>", value: "", detail });
    }
    return;
  }
  const report = (type: FieldError["type"], detail: string, at: Json = shown(value)) =>
    errors.push({ type, field: path || "<nil>", value: at, detail });
  if (schema.enum && !schema.enum.some((choice) => equal(choice, value))) {
    const choices = schema.enum.map((choice) => JSON.stringify(choice)).join(", ");
    errors.push({
      type: "NotSupported",
      field: path,
      value: shown(value),
      detail: `supported values: ${choices}`,
    });
  }
  if (typeof value === "string") checkString(value, schema, path, errors, report);
  else if (typeof value === "number") checkNumber(value, schema, path, report);
  else if (Array.isArray(value)) checkList(value, schema, path, old, errors);
  else if (isRecord(value)) checkObject(value, schema, path, old, errors);
  checkCombinators(value, schema, path, errors);
}

type Report = (type: FieldError["type"], detail: string, at?: Json) => void;

function typeProblem(value: Json, schema: Schema): string | undefined {
  if (schema["x-kubernetes-int-or-string"]) {
    return typeof value === "string" || Number.isInteger(value) ? undefined : "integer,string";
  }
  const want = schema.type;
  if (!want) return undefined;
  const is = typeName(value);
  if (want === is || (want === "number" && is === "integer")) return undefined;
  return want;
}

function checkString(
  value: string,
  schema: Schema,
  path: string,
  errors: FieldError[],
  report: Report,
): void {
  // Only the first of these is told.
  if (schema.maxLength !== undefined && isLonger(value, schema.maxLength)) {
    errors.push({
      type: "TooLong",
      field: path,
      value,
      detail: `may not be more than ${schema.maxLength} bytes`,
    });
  } else if (schema.minLength !== undefined && !isLonger(value, schema.minLength - 1)) {
    report("Invalid", `${path} in body should be at least ${schema.minLength} chars long`);
  } else if (schema.pattern !== undefined && !goRegExp(schema.pattern).test(value)) {
    report("Invalid", `${path} in body should match '${schema.pattern}'`);
  }
  const problem = schema.format ? formatProblem(schema.format, value) : undefined;
  if (problem) {
    report("TypeInvalid", `${path} in body must be of type ${schema.format}: ${JSON.stringify(value)}`);
  }
}

/** Whether it has more than `length` characters, which are one or two units each. */
function isLonger(value: string, length: number): boolean {
  if (value.length <= length || value.length > 2 * length) return value.length > length;
  return Array.from(value).length > length;
}

const compiled = new Map<string, RegExp>();

/** A Go regular expression, as far as JavaScript has it. */
export function goRegExp(pattern: string): RegExp {
  let found = compiled.get(pattern);
  if (!found) {
    const flags = /^\(\?([ims]+)\)/.exec(pattern);
    const source = (flags ? pattern.slice(flags[0].length) : pattern)
      .replaceAll("\\A", "^").replaceAll("\\z", "$").replaceAll("(?P<", "(?<")
      .replaceAll("[:alnum:]", "a-zA-Z0-9").replaceAll("[:alpha:]", "a-zA-Z").replaceAll("[:digit:]", "0-9")
      .replaceAll("[:lower:]", "a-z").replaceAll("[:upper:]", "A-Z").replaceAll("[:space:]", "\\s");
    try {
      found = new RegExp(source, `u${flags?.[1] ?? ""}`);
    } catch {
      // The u flag refuses needless escapes such as \- that RE2 allows.
      found = new RegExp(source, flags?.[1] ?? "");
    }
    compiled.set(pattern, found);
  }
  return found;
}

function checkNumber(value: number, schema: Schema, path: string, report: Report): void {
  if (schema.multipleOf !== undefined) {
    // Whole numbers are divided as whole numbers, whatever the factor.
    const factor = Number.isInteger(value) ? Math.trunc(schema.multipleOf) : schema.multipleOf;
    if (factor <= 0) report("Invalid", `factor MultipleOf declared for ${path} must be positive: ${factor}`);
    else if (value % factor !== 0) report("Invalid", `${path} in body should be a multiple of ${factor}`);
  }
  if (schema.maximum !== undefined) {
    if (schema.exclusiveMaximum ? value >= schema.maximum : value > schema.maximum) {
      report(
        "Invalid",
        `${path} in body should be less than${orEqual(schema.exclusiveMaximum)} ${schema.maximum}`,
      );
    }
  }
  if (schema.minimum !== undefined) {
    if (schema.exclusiveMinimum ? value <= schema.minimum : value < schema.minimum) {
      report(
        "Invalid",
        `${path} in body should be greater than${orEqual(schema.exclusiveMinimum)} ${schema.minimum}`,
      );
    }
  }
  const range = schema.format === "int32" ? 2 ** 31 : schema.format === "int64" ? 2 ** 63 : undefined;
  if (range !== undefined && Number.isInteger(value) && (value < -range || value >= range)) {
    report("Invalid", `${path} in body must be of type ${schema.format}: ${JSON.stringify("integer")}`);
  }
}

const orEqual = (exclusive: boolean | undefined) => (exclusive ? "" : " or equal to");

function checkList(value: Json[], schema: Schema, path: string, old: Json, errors: FieldError[]): void {
  if (schema.maxItems !== undefined && value.length > schema.maxItems) {
    errors.push({
      type: "TooMany",
      field: path,
      value: value.length,
      detail: `must have at most ${schema.maxItems} items`,
    });
  }
  if (schema.minItems !== undefined && value.length < schema.minItems) {
    errors.push({
      type: "Invalid",
      field: path,
      value: value.length,
      detail: `${path} in body should have at least ${schema.minItems} items`,
    });
  }
  const kind = schema["x-kubernetes-list-type"];
  if (kind === "set" || kind === "map") checkDuplicates(value, schema, path, errors);
  const items = schema.items;
  if (!items) return;
  const before = Array.isArray(old) ? old : [];
  value.forEach((item, index) =>
    check(item, items, `${path}[${index}]`, matching(before, item, index, schema), errors)
  );
}

/** The old item that this one continues: by key in map lists, else the same place. */
function matching(before: Json[], item: Json, index: number, schema: Schema): Json {
  if (schema["x-kubernetes-list-type"] === "map") {
    const keys = schema["x-kubernetes-list-map-keys"] ?? [];
    return before.find((other) => keys.every((key) => equal(other?.[key], item?.[key])));
  }
  return before.find((other) => equal(other, item)) ?? before[index];
}

function checkDuplicates(value: Json[], schema: Schema, path: string, errors: FieldError[]): void {
  const seen = new Set<string>();
  const keys = schema["x-kubernetes-list-type"] === "map" ? schema["x-kubernetes-list-map-keys"] : undefined;
  value.forEach((item, index) => {
    const identity = keys
      ? Object.fromEntries(keys.map((key) => [key, item?.[key] ?? defaultOf(schema, key)]))
      : item;
    const text = JSON.stringify(identity);
    if (seen.has(text)) {
      errors.push({ type: "Duplicate", field: `${path}[${index}]`, value: identity });
    }
    seen.add(text);
  });
}

const defaultOf = (schema: Schema, key: string): Json => schema.items?.properties?.[key]?.default;

function checkObject(
  value: Record<string, Json>,
  schema: Schema,
  path: string,
  old: Json,
  errors: FieldError[],
): void {
  const keys = Object.keys(value);
  if (schema.maxProperties !== undefined && keys.length > schema.maxProperties) {
    errors.push({
      type: "TooMany",
      field: path,
      value: keys.length,
      detail: `must have at most ${schema.maxProperties} items`,
    });
  }
  if (schema.minProperties !== undefined && keys.length < schema.minProperties) {
    errors.push({
      type: "Invalid",
      field: path,
      value: keys.length,
      detail: `${path} in body should have at least ${schema.minProperties} properties`,
    });
  }
  for (const name of schema.required ?? []) {
    if (!Object.hasOwn(value, name)) errors.push({ type: "Required", field: join(path, name) });
  }
  const before = isRecord(old) ? old : {};
  for (const key of keys.sort()) {
    const own = schema.properties && Object.hasOwn(schema.properties, key)
      ? schema.properties[key]
      : undefined;
    const child = own ??
      (isRecord(schema.additionalProperties) ? schema.additionalProperties as Schema : undefined);
    if (child) check(value[key], child, join(path, key), before[key], errors);
  }
}

function checkCombinators(value: Json, schema: Schema, path: string, errors: FieldError[]): void {
  const problems = (part: Schema) => validate(value, part, path);
  const passes = (part: Schema) => problems(part).length === 0;
  const report = (detail: string) => errors.push({ type: "Invalid", field: "<nil>", value: "", detail });
  if (schema.allOf) {
    const found = schema.allOf.flatMap(problems);
    if (found.length > 0) report(`${quoted(path)} must validate all the schemas (allOf)`);
    errors.push(...found);
  }
  if (schema.anyOf && !schema["x-kubernetes-int-or-string"] && !schema.anyOf.some(passes)) {
    report(`${quoted(path)} must validate at least one schema (anyOf)`);
    errors.push(...problems(schema.anyOf[0] ?? {}));
  }
  if (schema.oneOf) {
    const count = schema.oneOf.filter(passes).length;
    const found = count === 0 ? "Found none valid" : `Found ${count} valid alternatives`;
    if (count !== 1) report(`${quoted(path)} must validate one and only one schema (oneOf). ${found}`);
    if (count === 0) errors.push(...problems(schema.oneOf[0] ?? {}));
  }
  if (schema.not && passes(schema.not)) report(`${quoted(path)} must not validate the schema (not)`);
}

const quoted = (path: string) => JSON.stringify(path || "<nil>");
