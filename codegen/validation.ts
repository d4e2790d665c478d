/**
 * Checks objects as the API server does when it creates them (fieldValidation=Strict).
 *
 * A copy of this file is part of the output when validators are asked for, which is why it is one file and imports
 * nothing but ajv. The steps are the server's, in its order:
 * unknown fields; nulls dropped where null is not allowed; defaults; values (by ajv); rules (CEL), where an evaluator
 * is given. Sources: k8s.io/apiextensions-apiserver pkg/apiserver/schema and pkg/registry/customresource.
 * @module
 */
import { Ajv, type ErrorObject, type ValidateFunction } from "ajv";

/** A value under a JSON Schema keyword. */
// deno-lint-ignore no-explicit-any
type Schema = any;
type Value = unknown;

/** One thing that is wrong. */
export interface Problem {
  /** Where, as the API server writes it: `spec.members[0].name`; empty for the whole object. */
  path: string;
  /** What, as the API server says it: `Required value`. */
  message: string;
}

/**
 * Evaluates a CEL rule.
 *
 * @returns whether the rule holds
 * @throws when it cannot be evaluated, which the API server counts as broken
 */
export type RuleEvaluator = (rule: string, self: unknown, oldSelf?: unknown) => boolean;

/** How to check. */
export interface ValidateOptions {
  /** Evaluates x-kubernetes-validations; without it they are not checked. */
  rules?: RuleEvaluator;
  /** The object before the change, for rules that compare with it. */
  old?: unknown;
}

/** Says what is wrong with an object; nothing when the API server would take it. */
export type Validator = (object: unknown, options?: ValidateOptions) => Problem[];

/** A kind, and the schema of one version of it. */
export interface ValidatedKind {
  apiVersion: string;
  kind: string;
  /** Whether status is a subresource, and so dropped from what is written. */
  hasStatus: boolean;
  schema: Schema;
}

/** Thrown by {@link assertValid}. */
export class ValidationError extends TypeError {
  override name = "ValidationError";
  readonly problems: readonly Problem[];

  constructor(what: string, problems: readonly Problem[]) {
    super(`${what} is invalid: ${problems.map(textOf).join(", ")}`);
    this.problems = problems;
  }
}

/** A problem on one line: `spec.size: Required value`. */
export function textOf({ path, message }: Problem): string {
  return path === "" ? message : `${path}: ${message}`;
}

/** Makes the validator of a kind; the schema is compiled at the first use. */
export function createValidator({ apiVersion, kind, hasStatus, schema }: ValidatedKind): Validator {
  const root = rootSchema(schema, hasStatus);
  let compiled: ValidateFunction | undefined;
  return (object, options = {}) => {
    if (!isObject(object)) {
      return [{ path: "", message: `Invalid value: ${quoted(object)}: must be an object` }];
    }
    const problems: Problem[] = [];
    for (const [key, wanted] of [["apiVersion", apiVersion], ["kind", kind]] as const) {
      if (object[key] !== wanted) {
        problems.push({
          path: key,
          message: `Invalid value: ${quoted(object[key])}: must be ${quoted(wanted)}`,
        });
      }
    }
    if (problems.length > 0) return problems;
    unknownFields(object, root, "", problems, false);
    if (problems.length > 0) return problems;
    const value = structuredClone(object);
    if (hasStatus) delete value["status"];
    prepare(value, root);
    generateName(value["metadata"]);
    compiled ??= ajv.compile(valueSchema(root));
    if (!compiled(value)) problems.push(...problemsOf(compiled.errors ?? [], value));
    lists(value, root, "", problems);
    problems.push(...nameProblems(value));
    if (options.rules !== undefined && problems.length === 0) {
      rules(value, options.old, root, "", options.rules, problems);
    }
    return problems;
  };
}

/**
 * Throws unless the validator finds nothing wrong.
 *
 * @throws {ValidationError} with all problems
 */
export function assertValid(validator: Validator, object: unknown, options?: ValidateOptions): void {
  const problems = validator(object, options);
  if (problems.length > 0) {
    throw new ValidationError(isObject(object) ? String(object["kind"]) : "The object", problems);
  }
}

const text = { type: "string" };
const name = { type: "string", minLength: 1 };
const texts = { type: "object", additionalProperties: text };
const ownerReference = {
  type: "object",
  required: ["apiVersion", "kind", "name", "uid"],
  properties: {
    apiVersion: name,
    kind: name,
    name,
    uid: name,
    controller: { type: "boolean" },
    blockOwnerDeletion: { type: "boolean" },
  },
};
const objectMeta = {
  type: "object",
  properties: {
    name: text,
    generateName: text,
    namespace: text,
    uid: text,
    resourceVersion: text,
    selfLink: text,
    generation: { type: "integer" },
    creationTimestamp: { type: "string", nullable: true },
    deletionTimestamp: { type: "string", nullable: true },
    deletionGracePeriodSeconds: { type: "integer" },
    labels: texts,
    annotations: texts,
    finalizers: { type: "array", items: text },
    ownerReferences: { type: "array", items: ownerReference },
    managedFields: { type: "array", items: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
  },
};

/** The schema with what the API server adds to each root: apiVersion, kind and metadata. */
function rootSchema(schema: Schema, hasStatus: boolean): Schema {
  const required = (schema.required ?? []).filter((key: string) => !hasStatus || key !== "status");
  return {
    ...schema,
    required: [...new Set([...required, "metadata"])],
    properties: { ...schema.properties, apiVersion: text, kind: text, metadata: metadataOf(schema) },
  };
}

/** The schema of `metadata` in a root or an embedded resource: what the schema says of its keys is asked as well. */
function metadataOf(schema: Schema): Schema {
  const { properties = {}, required = [] } = schema.properties?.metadata ?? {};
  const known = Object.entries<Schema>(objectMeta.properties);
  const restricted = known.filter(([key]) => own(properties, key) !== undefined);
  if (restricted.length === 0 && required.length === 0) return objectMeta;
  const more = restricted.map(([key, one]) => [key, { ...one, ...own(properties, key) }]);
  return { ...objectMeta, required, properties: { ...objectMeta.properties, ...Object.fromEntries(more) } };
}

/** The properties of an embedded resource, whatever its schema lists. */
function withEmbedded(schema: Schema): Schema {
  if (schema["x-kubernetes-embedded-resource"] !== true) return schema;
  return {
    ...schema,
    required: [...new Set([...schema.required ?? [], "apiVersion", "kind"])],
    properties: { ...schema.properties, apiVersion: name, kind: name, metadata: metadataOf(schema) },
  };
}

function isObject(value: Value): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function own(object: Schema, key: string): Schema {
  return isObject(object) && Object.hasOwn(object, key) ? object[key] : undefined;
}

/** The schema of what is under a key; `true` where anything may be, `undefined` where nothing may. */
function schemaUnder(schema: Schema, key: string, isOpened: boolean): Schema {
  const property = own(schema.properties, key);
  if (property !== undefined) return property;
  if (isObject(schema.additionalProperties)) return schema.additionalProperties;
  if (schema["x-kubernetes-preserve-unknown-fields"] === true || isOpened) return true;
  // Under `additionalProperties: true` the server keeps the value and prunes what is below it.
  return schema.additionalProperties === true ? {} : undefined;
}

function unknownFields(
  value: Value,
  given: Schema,
  path: string,
  problems: Problem[],
  isOpened: boolean,
): void {
  const schema = withEmbedded(given);
  const isOpen = isOpened || schema["x-kubernetes-preserve-unknown-fields"] === true;
  if (Array.isArray(value)) {
    const items = schema.items ?? (isOpen ? true : {});
    if (items === true) return;
    for (const [index, item] of value.entries()) {
      unknownFields(item, items, `${path}[${index}]`, problems, isOpen);
    }
  } else if (isObject(value)) {
    for (const [key, item] of Object.entries(value)) {
      const inner = schemaUnder(schema, key, isOpened);
      const place = below(path, key);
      if (inner === undefined) problems.push({ path: "", message: `unknown field ${quoted(place)}` });
      else if (inner !== true) unknownFields(item, inner, place, problems, false);
    }
  }
}

/** Drops nulls that are not allowed and fills in defaults, as the API server does before it validates. */
function prepare(value: Value, given: Schema): void {
  const schema = withEmbedded(given);
  if (Array.isArray(value)) {
    if (isObject(schema.items)) { for (const item of value) prepare(item, schema.items); }
    return;
  }
  if (!isObject(value)) return;
  for (const [key, item] of Object.entries(value)) {
    const inner = schemaUnder(schema, key, false);
    if (
      item === null && isObject(inner) && inner["nullable"] !== true && Object.keys(inner).length > 0 &&
      isTyped(inner)
    ) delete value[key];
  }
  for (const [key, property] of Object.entries<Schema>(schema.properties ?? {})) {
    if (property.default !== undefined && property.default !== null && !Object.hasOwn(value, key)) {
      Object.defineProperty(value, key, {
        value: structuredClone(property.default),
        enumerable: true,
        writable: true,
        configurable: true,
      });
    }
  }
  for (const [key, item] of Object.entries(value)) {
    const inner = schemaUnder(schema, key, false);
    if (isObject(inner)) prepare(item, inner);
  }
}

function isTyped(schema: Schema): boolean {
  return schema.type !== undefined || schema["x-kubernetes-int-or-string"] === true;
}

const copied = [
  "minimum",
  "maximum",
  "multipleOf",
  "minLength",
  "maxLength",
  "minItems",
  "maxItems",
  "minProperties",
  "maxProperties",
  "required",
  "format",
]; // deno-fmt-ignore-line

/** The schema as JSON Schema, for values only: unknown fields are looked for elsewhere. */
function valueSchema(given: Schema, isBranch = false): Schema {
  if (given === true || given === false) return given;
  if (given === objectMeta && ajv.getSchema("objectMeta") !== undefined) return { $ref: "objectMeta" };
  const schema = isBranch ? given : withEmbedded(given);
  const result: Schema = {};
  for (const keyword of copied) if (schema[keyword] !== undefined) result[keyword] = schema[keyword];
  if (typeof schema.pattern === "string" && expressionOf(schema.pattern) !== undefined) result.goPattern = schema.pattern;
  if (schema.exclusiveMinimum === true) {
    result.exclusiveMinimum = schema.minimum;
    delete result.minimum;
  }
  if (schema.exclusiveMaximum === true) {
    result.exclusiveMaximum = schema.maximum;
    delete result.maximum;
  }
  const type = schema["x-kubernetes-int-or-string"] === true ? ["integer", "string"] : schema.type;
  if (type !== undefined && type !== "") result.type = schema.nullable === true ? [type, "null"].flat() : type;
  // The server finds null in no enum.
  if (Array.isArray(schema.enum)) result.enum = schema.enum.filter((value: Value) => value !== null);
  if (schema.properties !== undefined) result.properties = mapped(schema.properties, (one) => valueSchema(one, isBranch));
  if (isObject(schema.additionalProperties)) result.additionalProperties = valueSchema(schema.additionalProperties, isBranch);
  if (schema.items !== undefined) result.items = valueSchema(schema.items, isBranch);
  const logic: Schema = {};
  for (const keyword of ["allOf", "anyOf", "oneOf"]) {
    if (Array.isArray(schema[keyword])) logic[keyword] = schema[keyword].map((one: Schema) => valueSchema(one, true));
  }
  if (schema.not !== undefined) logic.not = valueSchema(schema.not, true);
  // Of null the server asks the type and the enum only.
  if (schema.nullable !== true || Object.keys(logic).length === 0) return Object.assign(result, logic);
  return { ...result, if: { type: "null" }, else: logic };
}

function mapped(object: Record<string, Schema>, change: (schema: Schema) => Schema): Record<string, Schema> {
  const result: Record<string, Schema> = Object.create(null);
  for (const [key, value] of Object.entries(object)) result[key] = change(value);
  return result;
}

/** A pattern of Go (RE2) as one of JavaScript; `undefined` where there is no such thing. */
function expressionOf(pattern: string): RegExp | undefined {
  try {
    return new RegExp(translated(pattern), "u");
  } catch {
    return undefined;
  }
}

const posix: Record<string, string> = {
  alnum: "0-9A-Za-z",
  alpha: "A-Za-z",
  ascii: "\\x00-\\x7F",
  blank: "\\t ",
  cntrl: "\\x00-\\x1F\\x7F",
  digit: "0-9",
  graph: "!-~",
  lower: "a-z",
  print: " -~",
  punct: "!-\\/:-@\\[-`\\{-~",
  space: "\\t\\n\\v\\f\\r ",
  upper: "A-Z",
  word: "0-9A-Za-z_",
  xdigit: "0-9A-Fa-f",
};

/**
 * What Go writes otherwise than JavaScript, token by token: classes of POSIX and Unicode, quoted texts, flags in the
 * middle, and escapes and braces that JavaScript takes for mistakes. Source: go.dev/s/re2syntax.
 */
function translated(pattern: string): string {
  const token =
    /\\Q(?:(?!\\E)[^])*(?:\\E|$)|\\x\{[0-9A-Fa-f]+\}|\\[pP](?:\{\^?\w+\}|\w)|\\[^]|\[:\^?\w+:\]|\(\?P<|\(\?[ims]*(?:-[ims]+)?\)|\{\d+(?:,\d*)?\}|\[\^?\]?|[^]/gu;
  let isClass = false;
  // For each open group, how many groups of flags end with it.
  const flagGroups = [0];
  let result = "";
  for (const [part] of pattern.matchAll(token)) {
    if (part.startsWith("\\")) result += translatedEscape(part, isClass);
    else if (isClass && part.startsWith("[:")) result += posix[part.slice(2, -2)] ?? unknownClass(part);
    else if (isClass) {
      if (part === "]") isClass = false;
      // What begins with a bracket is text here; "]" ends the class unless it is its first.
      const ends = part.length > 1 && part.endsWith("]");
      if (ends) isClass = false;
      result += part;
    } else if (part.startsWith("[")) {
      isClass = true;
      result += part.endsWith("]") ? `${part.slice(0, -1)}\\]` : part;
    } else if (part === "(?P<") {
      flagGroups.push(0);
      result += "(?<";
    } else if (part.startsWith("(?") && part.endsWith(")")) {
      flagGroups.push(flagGroups.pop()! + 1);
      result += `${part.slice(0, -1)}:`;
    } else if (part === "(") {
      flagGroups.push(0);
      result += part;
    } else if (part === ")") {
      result += ")".repeat(flagGroups.pop()! + 1);
    } else if (part === "{" || part === "}" || part === "]") {
      result += `\\${part}`;
    } else result += part;
  }
  return result + ")".repeat(flagGroups.pop() ?? 0);
}

function translatedEscape(part: string, isClass: boolean): string {
  const letter = part[1]!;
  if (letter === "Q") return part.slice(2).replace(/\\E$/, "").replace(/[\^$\\.*+?()[\]{}|/]/g, "\\$&");
  if (letter === "A") return "^";
  if (letter === "z") return "$";
  if (letter === "a") return "\\x07";
  if (letter === "s") return isClass ? "\\t\\n\\f\\r " : "[\\t\\n\\f\\r ]";
  if (letter === "x" && part[2] === "{") return `\\u${part.slice(2)}`;
  if (letter === "p" || letter === "P") {
    const name = part.slice(2).replace(/[{}]/g, "");
    return `\\${letter}{${/^[CLMNPSZ][a-z]?$/.test(name) ? name : `Script=${name}`}}`;
  }
  return /[A-Za-z0-9^$\\.*+?()[\]{}|/]/.test(letter) || isClass && letter === "-" ? part : letter;
}

function unknownClass(part: string): never {
  throw new SyntaxError(`Cannot translate ${part}`);
}

/** Lists in which each item, or each combination of keys, occurs once. */
function lists(value: Value, given: Schema, path: string, problems: Problem[]): void {
  const schema = withEmbedded(given);
  if (Array.isArray(value)) {
    const kind = schema["x-kubernetes-list-type"];
    const keys: string[] = schema["x-kubernetes-list-map-keys"] ?? [];
    if (kind === "set" || kind === "map") {
      const seen = new Set<string>();
      for (const [index, item] of value.entries()) {
        const key = kind === "set"
          ? item
          : Object.fromEntries(keys.map((name) => [name, own(item, name) ?? null]));
        const same = JSON.stringify(key);
        if (seen.has(same)) {
          problems.push({ path: `${path}[${index}]`, message: `Duplicate value: ${JSON.stringify(key)}` });
        }
        seen.add(same);
      }
    }
    if (isObject(schema.items)) {
      for (const [index, item] of value.entries()) lists(item, schema.items, `${path}[${index}]`, problems);
    }
  } else if (isObject(value)) {
    for (const [key, item] of Object.entries(value)) {
      const inner = schemaUnder(schema, key, false);
      if (isObject(inner)) lists(item, inner, below(path, key), problems);
    }
  }
}

function rules(
  value: Value,
  old: Value,
  given: Schema,
  path: string,
  evaluate: RuleEvaluator,
  problems: Problem[],
): void {
  const schema = withEmbedded(given);
  if (value === null || value === undefined) return;
  for (const rule of schema["x-kubernetes-validations"] ?? []) {
    const isTransition = /\boldSelf\b/.test(rule.rule);
    if (isTransition && old === undefined && rule.optionalOldSelf !== true) continue;
    const place = path + (rule.fieldPath ?? "");
    try {
      if (evaluate(rule.rule, value, old)) continue;
      problems.push({
        path: place,
        message: `Invalid value: ${rule.message ?? `failed rule: ${rule.rule}`}`,
      });
    } catch (error) {
      problems.push({
        path: place,
        message: `Invalid value: ${quoted(typeName(value))}: ${(error as Error).message} evaluating rule: ${
          rule.message ?? rule.rule
        }`,
      });
    }
  }
  if (Array.isArray(value)) {
    // Items have an old value only where they can be told apart.
    if (isObject(schema.items)) {
      for (const [index, item] of value.entries()) {
        rules(item, undefined, schema.items, `${path}[${index}]`, evaluate, problems);
      }
    }
  } else if (isObject(value)) {
    for (const [key, item] of Object.entries(value)) {
      const inner = schemaUnder(schema, key, false);
      if (isObject(inner)) rules(item, own(old, key), inner, below(path, key), evaluate, problems);
    }
  }
}

/** The API server makes the name before it looks at the object. */
function generateName(metadata: Value): void {
  if (!isObject(metadata) || typeof metadata["generateName"] !== "string") return;
  if (metadata["generateName"] === "" || (metadata["name"] ?? "") !== "") return;
  metadata["name"] = `${metadata["generateName"].slice(0, 58)}bcdfg`;
}

function nameProblems(value: Record<string, unknown>): Problem[] {
  const { metadata } = value;
  if (!isObject(metadata)) return [];
  const { name } = metadata;
  if (name === undefined || name === "") {
    return [{ path: "metadata.name", message: "Required value: name or generateName is required" }];
  }
  if (
    typeof name !== "string" ||
    name.length <= 253 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(name)
  ) return [];
  const rule =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'";
  return [{ path: "metadata.name", message: `Invalid value: ${quoted(name)}: ${rule}` }];
}

const formats: Record<string, (value: string) => boolean> = {
  "date-time": (value) =>
    /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/i.test(value) &&
    !Number.isNaN(Date.parse(value)) && isDay(value.slice(0, 10)),
  "date": (value) => /^\d{4}-\d{2}-\d{2}$/.test(value) && isDay(value),
  "byte": (value) =>
    /^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$/.test(value),
  "duration": isDuration,
  "email": (value) => /^[^\s@<>]+@[^\s@<>]+$/.test(value) || /^[^<>@]*<[^\s@<>]+@[^\s@<>]+>$/.test(value),
  "hostname": (value) =>
    value.length <= 255 &&
    /^([\p{L}\p{N}]([\p{L}\p{N}-]{0,62}[\p{L}\p{N}])?)(\.[\p{L}\p{N}]([\p{L}\p{N}-]{0,62}[\p{L}\p{N}])?)*\.?$/u
      .test(value),
  "ipv4": isIpv4,
  "ipv6": isIpv6,
  "ip": (value) => isIpv4(value) || isIpv6(value),
  "cidr": (value) => {
    const [address = "", bits = "", ...rest] = value.split("/");
    return rest.length === 0 && /^\d{1,3}$/.test(bits) &&
      (isIpv4(address) && Number(bits) <= 32 || isIpv6(address) && Number(bits) <= 128);
  },
  "mac": (value) =>
    /^[0-9a-f]{2}([:-])([0-9a-f]{2}\1){4}([0-9a-f]{2}\1){0,14}[0-9a-f]{2}$/i.test(value) &&
      [6, 8, 20].includes((value.length + 1) / 3) ||
    /^[0-9a-f]{4}(\.[0-9a-f]{4})+$/i.test(value) && [3, 4, 10].includes((value.length + 1) / 5),
  "uuid": (value) => isUuid(value, "[0-9a-f]", "[0-9a-f]"),
  "uuid3": (value) => isUuid(value, "3", "[0-9a-f]"),
  "uuid4": (value) => isUuid(value, "4", "[89ab]"),
  "uuid5": (value) => isUuid(value, "5", "[89ab]"),
  "hexcolor": (value) => /^#?([0-9a-f]{3}|[0-9a-f]{6})$/i.test(value),
  "isbn": (value) => isIsbn10(value) || isIsbn13(value),
  "isbn10": isIsbn10,
  "isbn13": isIsbn13,
  "k8s-short-name": (value) => value.length <= 63 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(value),
  "k8s-long-name": (value) =>
    value.length <= 253 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(value),
  "uri": (value) => URL.canParse(value) || value.startsWith("/"),
}; // deno-fmt-ignore-line

/** Date.parse() takes 02-30 for a day in March. */
function isDay(value: string): boolean {
  const milliseconds = Date.parse(`${value}T00:00:00Z`);
  return !Number.isNaN(milliseconds) && new Date(milliseconds).toISOString().startsWith(value);
}

/** What Go takes, or any text with a number and a unit in it. Source: kube-openapi pkg/validation/strfmt/duration.go. */
function isDuration(value: string): boolean {
  if (/^[-+]?((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+$/.test(value) || /^[-+]?0$/.test(value)) {
    return true;
  }
  return [...value.matchAll(/\d+\s*([A-Za-zµ]+)/g)].some(([, unit]) =>
    /^(ns|us|µs|ms|s|m|h|hr|d|w|wk|(nano|micro|milli|sec|min|hour|day|week).*)$/i.test(unit!)
  );
}

function isUuid(value: string, version: string, variant: string): boolean {
  const hex = "[0-9a-f]";
  return new RegExp(`^${hex}{8}-?${hex}{4}-?${version}${hex}{3}-?${variant}${hex}{3}-?${hex}{12}$`, "i").test(
    value,
  );
}

function isIsbn10(value: string): boolean {
  const digits = value.replace(/[\s-]/g, "");
  if (!/^\d{9}[\dX]$/.test(digits)) return false;
  return Array.from(digits).reduce(
        (sum, digit, index) => sum + (index + 1) * (digit === "X" ? 10 : Number(digit)),
        0,
      ) % 11 === 0;
}

function isIsbn13(value: string): boolean {
  const digits = value.replace(/[\s-]/g, "");
  if (!/^\d{13}$/.test(digits)) return false;
  return Array.from(digits).reduce(
        (sum, digit, index) => sum + (index % 2 === 0 ? 1 : 3) * Number(digit),
        0,
      ) % 10 === 0;
}

function isIpv4(value: string): boolean {
  return /^((25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(25[0-5]|2[0-4]\d|1?\d?\d)$/.test(value);
}

function isIpv6(value: string): boolean {
  return value.includes(":") && !/[%[\]/]/.test(value) && URL.canParse(`http://[${value}]/`);
}

const ajv = new Ajv({
  allErrors: true,
  strict: false,
  logger: false,
  formats,
  verbose: true,
  ownProperties: true,
  // What 0.3 is to 0.1 in floating point: the server's tolerance.
  multipleOfPrecision: 9,
});
ajv.addFormat("int32", {
  type: "number",
  validate: (value: number) => Number.isInteger(value) && value >= -(2 ** 31) && value < 2 ** 31,
});
ajv.addKeyword({
  keyword: "goPattern",
  type: "string",
  compile: (pattern: string) => {
    const expression = expressionOf(pattern);
    return (value: string) => expression === undefined || expression.test(value);
  },
});

// Compiled once: it is in every kind.
ajv.addSchema(valueSchema(objectMeta), "objectMeta");

/** ajv's errors in the API server's words; what failed inside a branch is told by the branch's own keyword. */
function problemsOf(errors: readonly ErrorObject[], root: Value): Problem[] {
  const isOwn = ({ keyword, schemaPath }: ErrorObject) =>
    keyword !== "if" && !/\/(?:anyOf|oneOf)\/\d+\/|\/not\//.test(schemaPath);
  return errors.filter(isOwn)
    .map((error) => {
      const path = pathOf(error.instancePath, root);
      if (error.keyword === "required") {
        return { path: below(path, String(error.params["missingProperty"])), message: "Required value" };
      }
      return { path, message: messageOf(error, path) };
    });
}

function messageOf({ keyword, params, data, schema }: ErrorObject, path: string): string {
  const invalid = (value: Value, reason: string) =>
    `Invalid value: ${quoted(value)}: ${path} in body ${reason}`;
  const { limit, type, allowedValues, format, multipleOf, passingSchemas } = params;
  switch (keyword) {
    case "type": {
      const wanted = [type].flat().filter((one) => one !== "null").join(",");
      return `Invalid value: ${quoted(typeName(data))}: ${path} in body must be of type ${wanted}: ${
        quoted(typeName(data))
      }`;
    }
    case "enum":
      return `Unsupported value: ${quoted(data)}: supported values: ${
        (allowedValues as Value[]).map(quoted).join(", ")
      }`;
    case "goPattern":
      return invalid(data, `should match '${schema}'`);
    case "format":
      return invalid(data, `must be of type ${format}: ${quoted(data)}`);
    case "maximum":
      return invalid(data, `should be less than or equal to ${limit}`);
    case "exclusiveMaximum":
      return invalid(data, `should be less than ${limit}`);
    case "minimum":
      return invalid(data, `should be greater than or equal to ${limit}`);
    case "exclusiveMinimum":
      return invalid(data, `should be greater than ${limit}`);
    case "multipleOf":
      return invalid(data, `should be a multiple of ${multipleOf}`);
    case "minLength":
      return invalid(data, `should be at least ${limit} chars long`);
    case "maxLength":
      return `Too long: may not be more than ${limit} bytes`;
    case "minItems":
      return invalid((data as Value[]).length, `should have at least ${limit} items`);
    case "maxItems":
      return `Too many: ${(data as Value[]).length}: must have at most ${limit} items`;
    case "minProperties":
      return invalid(Object.keys(data as object).length, `should have at least ${limit} properties`);
    case "maxProperties":
      return `Too many: ${Object.keys(data as object).length}: must have at most ${limit} properties`;
    case "oneOf":
      return `Invalid value: "": ${quoted(path)} must validate one and only one schema (oneOf). Found ${
        passingSchemas === null ? "none valid" : "2 valid alternatives"
      }`;
    case "anyOf":
      return `Invalid value: "": ${quoted(path)} must validate at least one schema (anyOf)`;
    case "not":
      return `Invalid value: "": ${quoted(path)} must not validate the schema (not)`;
    default:
      return invalid(data, `must be valid (${keyword})`);
  }
}

function typeName(value: Value): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value === "number" && Number.isInteger(value) ? "integer" : typeof value;
}

function quoted(value: Value): string {
  return JSON.stringify(value) ?? "null";
}

function below(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}

/** ajv's JSON pointer as the API server writes a path. */
function pathOf(pointer: string, root: Value): string {
  let path = "";
  let current = root;
  for (const part of pointer.split("/").slice(1)) {
    const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
    path = Array.isArray(current) ? `${path}[${key}]` : below(path, key);
    current = Array.isArray(current) ? current[Number(key)] : own(current as Schema, key);
  }
  return path;
}
