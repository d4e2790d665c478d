/**
 * The types of one version of a kind: what is written, what is read, a list, and each object in them by name.
 * @module
 */
import type { Crd, CrdVersion } from "./crd.ts";
import type { KindNames } from "./module.ts";
import { InputError } from "./errors.ts";
import { isObject, type Json, type JsonObject, member } from "./json.ts";
import { tag } from "./comments.ts";
import { type Names, pascalCase } from "./names.ts";
import type { Printable } from "./print.ts";
import { commentOf, descriptionOf } from "./schema/comment.ts";
import { objectOf } from "./schema/constrain.ts";
import { type Declaration, Declarations, type Field, type Shape } from "./schema/shape.ts";
import { isNarrower, ownFields, type Written } from "./schema/narrower.ts";
import { metadataShape, viewsOf, type Walk } from "./schema/walk.ts";

const metaModule = "meta/v1";
export const objectMeta: Shape = { type: "imported", name: "ObjectMeta", module: metaModule };
const prunedValue: Shape = { type: "imported", name: "PrunedValue", module: metaModule };
const namedObjectMeta = { type: "imported", name: "NamedObjectMeta", module: metaModule } as const;
const storedObjectMeta = {
  Cluster: { ...namedObjectMeta, name: "StoredCustomObjectMeta", base: "NamedObjectMeta" },
  Namespaced: { ...namedObjectMeta, name: "StoredNamespacedCustomObjectMeta", base: "NamedObjectMeta" },
} as const;
const listMeta: Shape = { type: "imported", name: "ListMeta", module: metaModule };

const rootKeys = ["apiVersion", "kind", "metadata"];

/** What one version of a kind may be: what a client writes, and what it reads. */
export interface KindShapes {
  write: Shape;
  read: Shape;
  /** For what is read, what is written in its place. */
  written: Written;
}

/**
 * The shapes of a version.
 *
 * @param declarations those of its module
 * @throws {InputError} when the schema cannot be read
 */
export function kindShapes(crd: Crd, version: CrdVersion, declarations: Declarations): KindShapes {
  const place = [...crd.place, `version ${JSON.stringify(version.name)}`];
  const type = member(version.schema, "type");
  if (type !== "object") {
    throw new InputError(`The schema must have type "object", found ${JSON.stringify(type ?? null)}`, [
      ...place,
      "openAPIV3Schema",
    ]);
  }
  const walk: Walk = {
    declarations,
    written: new Map(),
    objectMeta,
    prunedValue,
    seen: new WeakMap(),
    place,
  };
  const read = viewsOf(withoutKeys(version.schema, rootKeys), walk, "openAPIV3Schema").read;
  const written = withoutKeys(version.schema, version.hasStatus ? [...rootKeys, "status"] : rootKeys);
  const write = viewsOf(written, walk, "openAPIV3Schema").write;
  const properties = member(version.schema, "properties");
  const metadata = (base: Shape) =>
    metadataShape(
      isObject(properties) ? member(properties, "metadata") : undefined,
      base,
      walk,
      'openAPIV3Schema.properties["metadata"]',
      true,
    );
  return {
    write: rootShape(write, crd, version, metadata(namedObjectMeta)),
    read: rootShape(read, crd, version, metadata(storedObjectMeta[crd.scope])),
    written: walk.written,
  };
}

/** The types of a version, in the order in which a person would read them. */
export function kindTypes(
  crd: Crd,
  version: CrdVersion,
  { write, read, written }: KindShapes,
  kindNames: KindNames,
  names: Names,
): Printable[] {
  const naming = new Naming(names, kindNames.write, kindNames.read, written);
  naming.walk(write, "write");
  naming.walk(read, "read");
  const stored: Shape = { type: "reference", to: { id: -1, shape: read, name: kindNames.read } };
  const list: Shape = {
    type: "object",
    fields: [
      field("apiVersion", { type: "literal", values: [`${crd.group}/${version.name}`] }),
      field("kind", { type: "literal", values: [crd.listKind] }),
      field("metadata", listMeta),
      field("items", { type: "array", items: stored }),
    ],
  };
  const readDoc = `${crd.kind} as the API server returns it: defaults filled in, with its status.`;
  const deprecated = deprecationOf(version);
  return [
    { name: kindNames.write, shape: write, doc: docOf(crd, version) },
    {
      ...(extended(read, kindNames.write, write, written) ?? { shape: read }),
      name: kindNames.read,
      doc: [readDoc, ...deprecated].join("\n\n"),
    },
    {
      name: kindNames.list,
      shape: list,
      doc: [`A list of ${crd.kind} objects.`, ...deprecated].join("\n\n"),
    },
    ...naming.declared,
    ...naming.aliases,
  ];
}

/** What is read as an extension of what is written, where it can be. */
function extended(
  read: Shape,
  name: string,
  write: Shape,
  written: Written,
): Pick<Printable, "shape" | "base"> | undefined {
  if (read.type !== "object" || write.type !== "object" || !isNarrower(read, write, written)) {
    return undefined;
  }
  return {
    shape: { type: "object", fields: ownFields(read, write) },
    base: { type: "reference", to: { id: -2, shape: write, name } },
  };
}

function field(key: string, shape: Shape, doc = ""): Field {
  return { key, shape, required: true, doc };
}

/** The description of the kind, and what the version says about itself. */
function docOf(crd: Crd, version: CrdVersion): string {
  const description = commentOf({ ...version.schema, properties: {} });
  const blocks = [
    description === "" ? `${crd.kind} of ${crd.group}/${version.name}.` : description,
    ...(version.served ? [] : [`The API server does not serve ${version.name}.`]),
    ...deprecationOf(version),
  ];
  return blocks.join("\n\n");
}

/** The tag of a deprecated version, for a comment; nothing for others. */
export function deprecationOf({ name, deprecation }: CrdVersion): string[] {
  if (deprecation === undefined) return [];
  return [tag("deprecated", deprecation === "" ? `${name} is deprecated` : deprecation)];
}

/** The schema without some of its properties. */
function withoutKeys(schema: JsonObject, keys: readonly string[]): JsonObject {
  const properties = member(schema, "properties");
  const required = member(schema, "required");
  const isKept = (key: Json) => typeof key !== "string" || !keys.includes(key);
  return {
    ...schema,
    ...(isObject(properties) &&
      { properties: Object.fromEntries(Object.entries(properties).filter(([key]) => isKept(key))) }),
    ...(Array.isArray(required) && { required: required.filter(isKept) }),
  };
}

/** The object with apiVersion, kind and metadata before its own keys. */
function rootShape(shape: Shape, crd: Crd, version: CrdVersion, metadata: Shape): Shape {
  const properties = member(version.schema, "properties");
  const docs = (key: string) => {
    const property = isObject(properties) ? member(properties, key) : undefined;
    return isObject(property) ? descriptionOf(property) : "";
  };
  const head = [
    field("apiVersion", { type: "literal", values: [`${crd.group}/${version.name}`] }, docs("apiVersion")),
    field("kind", { type: "literal", values: [crd.kind] }, docs("kind")),
    field("metadata", metadata, docs("metadata")),
  ];
  const object = objectOf(shape);
  if (object === undefined) {
    return { type: "object", fields: head, ...(shape.type === "unknown" && { additionalProperties: shape }) };
  }
  const whole: Shape = { ...object, fields: [...head, ...object.fields] };
  const conditions = shape.type === "reference" && shape.to.shape.type === "intersection"
    ? shape.to.shape.allOf.filter((part) => part !== object && objectOf(part) !== object)
    : [];
  return conditions.length === 0 ? whole : { type: "intersection", allOf: [whole, ...conditions] };
}

/**
 * Gives each declaration that a kind reaches the name of its place: `DatabaseSpecStorage`.
 *
 * A shape that occurs in several places is declared once, at the place nearest to the root; the other places get
 * an alias, and so do all places of the module's other kinds. What is read where it differs from what is written has
 * the prefix of the read kind.
 */
class Naming {
  readonly declared: Printable[] = [];
  readonly #aliases: Printable[] = [];
  readonly #names: Names;
  readonly #root: string;
  readonly #readPrefix: string;
  readonly #places = new Set<string>();
  readonly #reached = new Set<Declaration>();
  readonly #written: Written;

  constructor(names: Names, write: string, read: string, written: Written) {
    this.#names = names;
    this.#written = written;
    this.#root = write;
    this.#readPrefix = read.endsWith(write) ? read.slice(0, read.length - write.length) : "Stored";
  }

  /** Names all that the root reaches: first what is in its spec, so that shared shapes have their names from there. */
  walk(root: Shape, view: "write" | "read"): void {
    const first: [Shape, string][] = [];
    this.#visit(root, this.#root, view, first, (key) => key === "spec");
    this.#walkLevels(first, view);
    const rest: [Shape, string][] = [];
    this.#visit(root, this.#root, view, rest);
    this.#walkLevels(rest, view);
  }

  #walkLevels(level: [Shape, string][], view: "write" | "read"): void {
    while (level.length > 0) {
      const next: [Shape, string][] = [];
      for (const [shape, place] of level) this.#visit(shape, place, view, next);
      level = next;
    }
  }

  #visit(
    shape: Shape,
    place: string,
    view: "write" | "read",
    next: [Shape, string][],
    isMeant: (key: string) => boolean = () => true,
  ): void {
    switch (shape.type) {
      case "reference":
        return this.#name(shape.to, place, view, next);
      case "array":
        return this.#visit(shape.items, place, view, next);
      case "tuple":
        return shape.prefixItems.forEach((item) => this.#visit(item, place, view, next));
      case "union":
        return shape.anyOf.forEach((one) => this.#visit(one, place, view, next));
      case "intersection":
        return shape.allOf.forEach((one) => this.#visit(one, place, view, next, isMeant));
      case "object":
        for (const { key, shape: value } of shape.fields) {
          if (isMeant(key)) this.#visit(value, place + pascalCase(key), view, next);
        }
        if (shape.additionalProperties !== undefined) {
          this.#visit(
            shape.additionalProperties,
            shape.fields.length > 0 ? `${place}Value` : place,
            view,
            next,
          );
        }
        return;
      default:
    }
  }

  #name(declaration: Declaration, place: string, view: "write" | "read", next: [Shape, string][]): void {
    if (!this.#reached.has(declaration)) {
      this.#reached.add(declaration);
      const wanted = view === "read" && this.#places.has(place) ? this.#readPrefix + place : place;
      const name = this.#names.take(wanted);
      this.#places.add(place);
      if (declaration.declaredAs === undefined) {
        declaration.declaredAs = name;
        this.declared.push({ ...this.#body(declaration, view), name });
      } else {
        const to = { ...declaration, name: declaration.declaredAs };
        this.#aliases.push({ name, shape: { type: "reference", to } });
      }
      declaration.name = name;
      next.push([declaration.shape, place]);
      return;
    }
    if (this.#places.has(place) || this.#names.has(place)) return;
    this.#places.add(place);
    this.#aliases.push({ name: this.#names.take(place), shape: { type: "reference", to: declaration } });
  }

  #body(declaration: Declaration, view: "write" | "read"): Pick<Printable, "shape" | "base"> {
    const { shape } = declaration;
    const written = view === "read" ? this.#written.get(declaration) : undefined;
    return written?.declaredAs === undefined
      ? { shape }
      : extended(shape, written.declaredAs, written.shape, this.#written) ?? { shape };
  }

  /** The other names of shapes that are declared elsewhere. */
  get aliases(): readonly Printable[] {
    return this.#aliases;
  }
}
