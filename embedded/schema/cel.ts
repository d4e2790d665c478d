/**
 * x-kubernetes-validations: CEL rules on custom resources, evaluated by cel-js with the functions
 * that Kubernetes adds to the language (k8s.io/apiserver pkg/cel/library).
 *
 * Rules that name oldSelf run only when there is an old value; a value that an update left alone is
 * not checked again (ratcheting). Cost limits are not played.
 * @module
 */
import { Environment } from "@marcbachmann/cel-js";
import type { FieldError } from "../errors.ts";
import { equal, isRecord, type Json } from "../types.ts";
import { registerLibrary } from "./cel_library.ts";
import type { Schema, ValidationRule } from "./model.ts";

type Program = (context: Record<string, unknown>) => unknown;

let environment: Environment | undefined;
const programs = new Map<string, Program>();

function program(rule: string): Program {
  let found = programs.get(rule);
  if (!found) {
    environment ??= registerLibrary(
      new Environment({
        unlistedVariablesAreDyn: false,
        enableOptionalTypes: true,
        homogeneousAggregateLiterals: false,
      }).registerVariable("self", "dyn").registerVariable("oldSelf", "dyn"),
    );
    found = environment.parse(rule) as Program;
    programs.set(rule, found);
  }
  return found;
}

/** What is wrong with the text of a rule; undefined when it compiles. */
export function compileProblem(rule: string): string | undefined {
  try {
    const parsed = program(rule) as Program & { check?: () => { valid: boolean; error?: Error } };
    const checked = parsed.check?.();
    return checked && !checked.valid ? firstLine(checked.error) : undefined;
  } catch (error) {
    return firstLine(error);
  }
}

const firstLine = (
  error: unknown,
) => (error instanceof Error ? error.message.split("\n")[0] ?? "" : String(error));

/** Runs every rule of the schema on the value; `old` is the value before an update. */
export function validateRules(
  value: Json,
  schema: Schema,
  path = "",
  old?: Json,
  isRoot = true,
): FieldError[] {
  const errors: FieldError[] = [];
  walk(value, schema, path, old, isRoot, errors);
  return errors;
}

const rulesBelow = new WeakMap<Schema, boolean>();

/** Has the schema a rule anywhere? Answers are kept, so that rule-free branches cost nothing. */
function hasRules(schema: Schema): boolean {
  let known = rulesBelow.get(schema);
  if (known === undefined) {
    known = (schema["x-kubernetes-validations"]?.length ?? 0) > 0 ||
      Object.values(schema.properties ?? {}).some(hasRules) ||
      (schema.items !== undefined && hasRules(schema.items)) ||
      (isRecord(schema.additionalProperties) && hasRules(schema.additionalProperties as Schema)) ||
      (schema.allOf ?? []).some(hasRules);
    rulesBelow.set(schema, known);
  }
  return known;
}

function walk(
  value: Json,
  schema: Schema,
  path: string,
  old: Json,
  isRoot: boolean,
  errors: FieldError[],
): void {
  if (value === undefined || value === null || !hasRules(schema)) return;
  for (const rule of schema["x-kubernetes-validations"] ?? []) {
    const error = evaluate(rule, value, schema, path, old, isRoot);
    if (error) errors.push(error);
  }
  if (Array.isArray(value)) {
    const items = schema.items;
    if (!items) return;
    value.forEach((item, index) =>
      walk(item, items, `${path}[${index}]`, oldItem(old, item, schema), false, errors)
    );
  } else if (isRecord(value)) {
    const isMap = !schema.properties && isRecord(schema.additionalProperties);
    for (const key of Object.keys(value)) {
      const child = schema.properties?.[key] ??
        (isRecord(schema.additionalProperties) ? schema.additionalProperties as Schema : undefined);
      const at = isMap ? `${path}[${key}]` : path ? `${path}.${key}` : key;
      if (child) walk(value[key], child, at, isRecord(old) ? old[key] : undefined, false, errors);
    }
  }
}

/** Only items of map lists can be told apart over time; the others have no old value. */
function oldItem(old: Json, item: Json, schema: Schema): Json {
  if (!Array.isArray(old) || schema["x-kubernetes-list-type"] !== "map") return undefined;
  const keys = schema["x-kubernetes-list-map-keys"] ?? [];
  return old.find((other: Json) => keys.every((key) => equal(other?.[key], item?.[key])));
}

function evaluate(
  rule: ValidationRule,
  value: Json,
  schema: Schema,
  path: string,
  old: Json,
  isRoot: boolean,
): FieldError | undefined {
  const isTransition = /\boldSelf\b/.test(rule.rule);
  if (isTransition && (old === undefined || old === null) && !rule.optionalOldSelf) return undefined;
  if (!isTransition && old !== undefined && equal(old, value)) return undefined;
  const self = toCel(value, schema, isRoot);
  const context: Record<string, unknown> = { self };
  if (isTransition) {
    const before = old === undefined || old === null ? undefined : toCel(old, schema, isRoot);
    context.oldSelf = rule.optionalOldSelf ? optional(before) : before;
  }
  try {
    if (program(rule.rule)(context) === true) return undefined;
  } catch (error) {
    return failure(rule, path, schema.type ?? "", `${celError(error)} evaluating rule: ${rule.rule}`);
  }
  return failure(rule, path, value, message(rule, context));
}

function optional(value: unknown): unknown {
  const context = { self: value };
  return value === undefined ? program("optional.none()")(context) : program("optional.of(self)")(context);
}

const celError = (error: unknown) => firstLine(error).replace(/^No such key/, "no such key");

function message(rule: ValidationRule, context: Record<string, unknown>): string {
  if (rule.messageExpression) {
    try {
      const text = program(rule.messageExpression)(context);
      if (typeof text === "string" && text.trim() !== "" && !text.includes("\n")) return text;
    } catch { /* the server falls back to the plain message, and so do we */ }
  }
  return rule.message?.trim() ?? `failed rule: ${rule.rule.trim()}`;
}

const types: Record<string, FieldError["type"]> = {
  FieldValueRequired: "Required",
  FieldValueForbidden: "Forbidden",
  FieldValueDuplicate: "Duplicate",
};

function failure(rule: ValidationRule, path: string, value: Json, detail: string): FieldError {
  const at = rule.fieldPath ? path + rule.fieldPath : path;
  const isValueOmitted = typeof value === "object";
  return { type: types[rule.reason ?? ""] ?? "Invalid", field: at || "<nil>", value, isValueOmitted, detail };
}

/** CEL's reserved words may be property names; Kubernetes escapes them. */
const reserved = new Set(
  "true false null in as break const continue else for function if import let loop package namespace return var void while"
    .split(" "),
);

function escapeName(name: string): string {
  if (reserved.has(name)) return `__${name}__`;
  if (/^[A-Za-z0-9]*$/.test(name)) return name;
  return name.replaceAll("__", "__underscores__").replaceAll(".", "__dot__").replaceAll("-", "__dash__")
    .replaceAll("/", "__slash__");
}

/** A JSON value as CEL sees it under its schema: integers are int, date-times are timestamps. */
function toCel(value: Json, schema: Schema | undefined, isResource = false): unknown {
  if (value === null || value === undefined) return null;
  if (typeof value === "number") {
    return schema?.type === "number" ? value : Number.isInteger(value) ? BigInt(value) : value;
  }
  if (typeof value === "string") {
    if (schema?.format === "date-time") return new Date(value);
    if (schema?.format === "date") return new Date(`${value}T00:00:00Z`);
    if (schema?.format === "byte") return Uint8Array.from(atob(value), (c) => c.charCodeAt(0));
    return value;
  }
  if (Array.isArray(value)) return value.map((item) => toCel(item, schema?.items));
  if (!isRecord(value)) return value;
  const fields: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    const own = schema?.properties?.[key];
    if (isResource || schema?.["x-kubernetes-embedded-resource"]) {
      if (key === "metadata") {
        // Rules may read the name only.
        fields.metadata = {
          ...(item.name ? { name: item.name } : {}),
          ...(item.generateName ? { generateName: item.generateName } : {}),
        };
        continue;
      }
    }
    if (own) fields[escapeName(key)] = toCel(item, own);
    else if (isRecord(schema?.additionalProperties)) {
      fields[key] = toCel(item, schema.additionalProperties as Schema);
    } else if (key === "apiVersion" || key === "kind") fields[key] = item;
  }
  return fields;
}
