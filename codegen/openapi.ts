/**
 * OpenAPI v3 documents of the API server: the built-in kinds, and what they reach.
 *
 * The API server decodes built-in kinds into Go structs, so other rules hold than for CustomResourceDefinitions:
 * a default in such a document is the struct's zero value and makes nothing optional, and `type: object` without
 * properties is any JSON object.
 * @module
 */
import type { ApiKind } from "./api.ts";
import { InputError } from "./errors.ts";
import { byCodeUnit, isObject, type Json, type JsonObject, member, sortedEntries } from "./json.ts";
import { modulePath } from "./module.ts";
import { isLabel, isSubdomain, typeName } from "./names.ts";
import type { Printable } from "./print.ts";
import { commentOf, descriptionOf } from "./schema/comment.ts";
import {
  intersection,
  nullShape,
  numberShape,
  type Shape,
  stringShape,
  union,
  unknownShape,
} from "./schema/shape.ts";

const prefix = "#/components/schemas/";
const metaPackage = "io.k8s.apimachinery.pkg.apis.meta.v1";

/** Whether the document is an OpenAPI v3 one. */
export function isOpenApi(document: Json): document is JsonObject {
  return isObject(document) && String(member(document, "openapi")).startsWith("3.");
}

/** The schemas and kinds of several documents together. */
export class OpenApi {
  readonly #schemas = new Map<string, JsonObject>();
  /** The document of each schema. */
  readonly #places = new Map<string, readonly string[]>();
  readonly #kinds = new Map<string, ApiKind & { schema: string }>();
  /** The group of a package: `io.k8s.api.rbac.v1` is of rbac.authorization.k8s.io. */
  readonly #groups = new Map<string, string>();
  /** Kinds that occur inside others. */
  readonly #embedded = new Set<string>();

  /** Adds a document. */
  add(document: JsonObject, place: readonly string[]): void {
    const components = member(document, "components");
    const schemas = isObject(components) ? member(components, "schemas") : undefined;
    if (!isObject(schemas)) throw new InputError(".components.schemas must be an object", place);
    for (const [name, schema] of Object.entries(schemas)) {
      if (!isObject(schema)) continue;
      this.#schemas.set(name, schema);
      this.#places.set(name, place);
    }
    const byKind = new Map<string, string>();
    for (const [name, schema] of Object.entries(schemas)) {
      const gvks = isObject(schema) ? member(schema, "x-kubernetes-group-version-kind") : undefined;
      if (!Array.isArray(gvks) || gvks.length !== 1 || !isObject(gvks[0])) continue;
      const { group, version, kind } = kindOf(gvks[0], place);
      byKind.set(`${group}/${version}/${kind}`, name);
      this.#groups.set(packageOf(name), group);
    }
    const paths = member(document, "paths");
    for (const [path, item] of isObject(paths) ? Object.entries(paths) : []) {
      this.#addPath(path, item, byKind, [...place, path]);
    }
  }

  /** A kind is what can be listed; status and scale are paths below it. */
  #addPath(
    path: string,
    item: Json,
    byKind: ReadonlyMap<string, string>,
    place: readonly string[],
  ): void {
    const match =
      /^\/(?:api|apis\/[^/]+)\/[^/]+\/(namespaces\/\{namespace\}\/)?([^/{}]+)(?:\/\{name\}(\/status|\/scale)?)?$/
        .exec(path);
    if (match === null || !isObject(item)) return;
    const [, namespaced, plural, subresource] = match;
    for (const operation of Object.values(item)) {
      const gvk = isObject(operation) ? member(operation, "x-kubernetes-group-version-kind") : undefined;
      if (!isObject(gvk)) continue;
      const { group, version, kind } = kindOf(gvk, place);
      const key = `${group}/${version}/${plural}`;
      const found = this.#kinds.get(key);
      if (subresource !== undefined) {
        if (found !== undefined && subresource === "/status") found.hasStatus = true;
        if (found !== undefined && subresource === "/scale") found.hasScale = true;
        return;
      }
      const schema = byKind.get(`${group}/${version}/${kind}`);
      if (schema === undefined) return;
      const scope = namespaced !== undefined || found?.scope === "Namespaced" ? "Namespaced" : "Cluster";
      this.#kinds.set(key, {
        group,
        version,
        kind,
        listKind: `${kind}List`,
        plural: plural!,
        scope,
        hasStatus: found?.hasStatus ?? false,
        hasScale: found?.hasScale ?? false,
        schema,
      });
      return;
    }
  }

  /** The kinds of all documents, in a fixed order. */
  kinds(): (ApiKind & { schema: string })[] {
    return [...this.#kinds].sort(([a], [b]) => byCodeUnit(a, b)).map(([, kind]) => kind);
  }

  /** The modules of what the schemas reach: for each path of a module, its types by name. */
  modules(roots: readonly string[]): Map<string, Map<string, Printable>> {
    const modules = new Map<string, Map<string, Printable>>();
    const waiting = [...roots];
    const seen = new Set<string>();
    for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
      if (seen.has(name)) continue;
      seen.add(name);
      const schema = this.#schemas.get(name)!;
      const { module, local } = this.place(name);
      if (scalarShape(name, schema) !== undefined) continue;
      let types = modules.get(module);
      if (types === undefined) modules.set(module, types = new Map());
      const shape = this.#bodyOf(name, schema, waiting);
      types.set(local, { name: local, shape, doc: descriptionOf(schema) });
    }
    for (const name of this.#embedded) {
      const { module, local } = this.place(name);
      const type = modules.get(module)?.get(local);
      if (type !== undefined) modules.get(module)!.set(`Embedded${local}`, embeddedType(type));
    }
    return modules;
  }

  /** The module of a schema and its name there. */
  place(name: string): { module: string; local: string } {
    const pack = packageOf(name);
    const local = typeName(name.slice(pack.length + 1));
    if (pack === metaPackage) return { module: "meta/v1", local };
    const [group, version] = pack.split(".").slice(-2);
    const module = modulePath(this.#groups.get(pack) ?? (group || "core"), version || "v1");
    return { module: module.replace(/[^-.\w/]/g, "_"), local };
  }

  /** The schema of a `$ref` in the schema `from`. */
  #resolve(ref: string, from: string): JsonObject {
    const schema = ref.startsWith(prefix) ? this.#schemas.get(ref.slice(prefix.length)) : undefined;
    if (schema !== undefined) return schema;
    const path = pathOfRef(this.#schemas.get(from) ?? null, ref) ?? "";
    throw new InputError(`Cannot resolve $ref ${JSON.stringify(ref)}: no document has it`, [
      ...this.#places.get(from) ?? [],
      `components.schemas[${JSON.stringify(from)}]${path}`,
    ]);
  }

  /** The shape of a component; kinds have their apiVersion and kind as literals. */
  #bodyOf(name: string, schema: JsonObject, waiting: string[]): Shape {
    const shape = this.#shapeOf(schema, name, waiting);
    const kind = [...this.#kinds.values()].find((one) => one.schema === name);
    if (kind === undefined || shape.type !== "object") return shape;
    const apiVersion = kind.group === "" ? kind.version : `${kind.group}/${kind.version}`;
    const literals: { [key: string]: string } = { apiVersion, kind: kind.kind };
    const fields = shape.fields.map((field) => {
      const literal = Object.hasOwn(literals, field.key) ? literals[field.key] : undefined;
      if (literal !== undefined) {
        return { ...field, required: true, shape: { type: "literal" as const, values: [literal] } };
      }
      return field.key === "metadata" ? { ...field, required: true } : field;
    });
    const rank = (key: string) => ["apiVersion", "kind", "metadata"].indexOf(key) + 1 || 9;
    return { ...shape, fields: fields.sort((a, b) => rank(a.key) - rank(b.key)) };
  }

  #shapeOf(schema: Json, from: string, waiting: string[]): Shape {
    if (!isObject(schema)) return unknownShape;
    const ref = member(schema, "$ref");
    if (typeof ref === "string") return this.#reference(ref, from, waiting);
    const parts = member(schema, "allOf");
    if (Array.isArray(parts)) return intersection(parts.map((part) => this.#shapeOf(part, from, waiting)));
    const values = member(schema, "enum");
    if (Array.isArray(values)) return { type: "literal", values };
    for (const keyword of ["oneOf", "anyOf"]) {
      const branches = member(schema, keyword);
      if (Array.isArray(branches)) {
        return union(branches.map((branch) => this.#shapeOf(branch, from, waiting)));
      }
    }
    switch (member(schema, "type")) {
      case "string":
        return stringShape;
      case "integer":
      case "number":
        return numberShape;
      case "boolean":
        return { type: "boolean" };
      case "array":
        return { type: "array", items: this.#shapeOf(member(schema, "items") ?? true, from, waiting) };
      case "object":
        return this.#objectOf(schema, from, waiting);
      default:
        return unknownShape;
    }
  }

  #objectOf(schema: JsonObject, from: string, waiting: string[]): Shape {
    const properties = member(schema, "properties");
    const requiredKeys = member(schema, "required");
    const required = new Set(Array.isArray(requiredKeys) ? requiredKeys : []);
    const rest = member(schema, "additionalProperties");
    const fields = sortedEntries(isObject(properties) ? properties : {}).map(([key, property]) => ({
      key,
      // The API server sends null for a time that is not set, and takes it back.
      shape: key === "creationTimestamp"
        ? union([stringShape, nullShape])
        : this.#shapeOf(property, from, waiting),
      required: required.has(key),
      doc: isObject(property) ? commentOf(withoutZeroDefault(property)) : "",
    }));
    if (fields.length === 0 && !isObject(rest)) {
      return { type: "object", fields, additionalProperties: unknownShape };
    }
    return {
      type: "object",
      fields,
      ...(isObject(rest) && { additionalProperties: this.#shapeOf(rest, from, waiting) }),
    };
  }

  #reference(ref: string, from: string, waiting: string[]): Shape {
    const name = ref.slice(prefix.length);
    const schema = this.#resolve(ref, from);
    const scalar = scalarShape(name, schema);
    if (scalar !== undefined) return scalar;
    waiting.push(name);
    const { module, local } = this.place(name);
    const shape: Shape = { type: "imported", name: local, module };
    // An object inside another (a claim template) need not say what it is.
    if (![...this.#kinds.values()].some((kind) => kind.schema === name)) return shape;
    this.#embedded.add(name);
    return { type: "imported", name: `Embedded${local}`, module };
  }
}

/** Where in a schema a `$ref` is. */
function pathOfRef(schema: Json, ref: string): string | undefined {
  if (isObject(schema) && member(schema, "$ref") === ref) return "";
  if (typeof schema !== "object" || schema === null) return undefined;
  for (const [key, value] of Object.entries(schema)) {
    const deeper = pathOfRef(value, ref);
    if (deeper !== undefined) return `${/^\w+$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`}${deeper}`;
  }
  return undefined;
}

/** A kind's address; what it is made of is in names of files and types. */
function kindOf(gvk: JsonObject, place: readonly string[]): { group: string; version: string; kind: string } {
  const [group = "", version = "", kind = ""] = ["group", "version", "kind"].map((key) =>
    String(member(gvk, key) ?? "")
  );
  if ((group === "" || isSubdomain(group)) && isLabel(version) && isLabel(kind.toLowerCase())) {
    return { group, version, kind };
  }
  throw new InputError(
    `x-kubernetes-group-version-kind must name a kind, found ${JSON.stringify(gvk)}`,
    place,
  );
}

/** A kind inside another object: apiVersion and kind may be left out. */
function embeddedType({ name, shape }: Printable): Printable {
  const isAddress = (key: string) => key === "apiVersion" || key === "kind";
  return {
    name: `Embedded${name}`,
    shape: shape.type !== "object" ? shape : {
      ...shape,
      fields: shape.fields.map((field) => isAddress(field.key) ? { ...field, required: false } : field),
    },
    doc: `A ${name} inside another object, which need not say what it is.`,
  };
}

/** Types that are one word of TypeScript are written as that word wherever they are used. */
function scalarShape(name: string, schema: JsonObject): Shape | undefined {
  if (name.endsWith(".Quantity") || name.endsWith(".IntOrString")) return union([numberShape, stringShape]);
  switch (member(schema, "type")) {
    case "string":
      return member(schema, "enum") === undefined ? stringShape : undefined;
    case "integer":
    case "number":
      return numberShape;
    case undefined:
      return member(schema, "allOf") === undefined && member(schema, "oneOf") === undefined
        ? unknownShape
        : undefined;
    default:
      return undefined;
  }
}

/** A default of "", 0, false or {} is Go's zero value: it tells nothing. */
function withoutZeroDefault(schema: JsonObject): JsonObject {
  const { default: fallback, ...rest } = schema;
  const isZero = fallback === "" || fallback === 0 || fallback === false ||
    isObject(fallback) && Object.keys(fallback).length === 0;
  return fallback === undefined || isZero ? rest : schema;
}

function packageOf(name: string): string {
  return name.slice(0, name.lastIndexOf("."));
}
