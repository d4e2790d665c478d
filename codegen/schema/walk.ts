/**
 * From a structural schema to shapes, by the rules of the API server (fieldValidation=Strict).
 *
 * Each schema gives two shapes: what a client may write, and what it reads back with defaults filled in. Where
 * nothing below has a default they are the same shape.
 * @module
 */
import { InputError } from "../errors.ts";
import { isObject, type Json, type JsonObject, member, sorted, sortedEntries } from "../json.ts";
import { commentOf } from "./comment.ts";
import { constrain } from "./constrain.ts";
import { isAlways, junctions } from "./constraint.ts";
import { isNarrower, type Written } from "./narrower.ts";
import {
  booleanShape,
  Declarations,
  type Field,
  intersection,
  nullShape,
  numberShape,
  type ObjectShape,
  type Shape,
  stringShape,
  union,
  unknownShape,
} from "./shape.ts";

/** A schema's two shapes. */
export interface Views {
  write: Shape;
  read: Shape;
}

/** What stays the same for the whole of one schema. */
export interface Walk {
  /** Shared by the kinds of a module: equal objects are declared once. */
  declarations: Declarations;
  /** For what is read, what is written in its place. */
  written: Written;
  /** The type of an embedded resource's `metadata`. */
  objectMeta: Shape;
  /** The type of a value of which nothing is known but that what is below it is pruned. */
  prunedValue: Shape;
  /** Schemas seen before: YAML anchors, and the spec that both views of a kind hold. */
  seen: WeakMap<JsonObject, Views>;
  /** The file, document, CustomResourceDefinition and version, for messages. */
  place: readonly string[];
}

const intOrString = union([numberShape, stringShape]);

/**
 * The shapes of a schema.
 *
 * @param path where in the schema, for messages
 * @param isOpened whether the list around it has `x-kubernetes-preserve-unknown-fields`, which opens its items
 * @throws {InputError} when the schema has what no structural schema has (`$ref`, an unknown type, none, a list of
 * nothing): the API server would not take the CustomResourceDefinition
 */
export function viewsOf(schema: Json, walk: Walk, path: string, isOpened = false): Views {
  if (!isObject(schema)) {
    throw new InputError(`Cannot read the schema: it must be an object, found ${JSON.stringify(schema)}`, [
      ...walk.place,
      path,
    ]);
  }
  const before = isOpened ? undefined : walk.seen.get(schema);
  if (before !== undefined) return before;
  const views = freshViewsOf(schema, walk, path, isOpened);
  if (!isOpened) walk.seen.set(schema, views);
  return views;
}

function freshViewsOf(schema: JsonObject, walk: Walk, path: string, isOpened: boolean): Views {
  const ref = member(schema, "$ref");
  if (ref !== undefined) {
    throw new InputError(
      `Cannot resolve $ref ${
        JSON.stringify(ref)
      }: the schema of a CustomResourceDefinition must hold everything itself`,
      [...walk.place, path],
    );
  }
  refuseMisshapen(schema, walk, path);
  if (member(schema, "x-kubernetes-int-or-string") === true) {
    return both(schema, enumOr(schema, same(intOrString)));
  }
  const values = enumOr(schema, undefined);
  const views = values ?? unconstrainedViews(schema, walk, path, isOpened);
  const condition = junctions(schema);
  if (isAlways(condition)) return both(schema, noted(views, walk));
  const write = constrain(views.write, condition);
  const read = views.read === views.write ? write : constrain(views.read, condition);
  return both(schema, noted({ write: interned(write, walk), read: interned(read, walk) }, walk));
}

/** What would be passed over in silence: no type, keywords of another type, and references in branches. */
function refuseMisshapen(schema: JsonObject, walk: Walk, path: string): void {
  const refuse = (keyword: string, wanted: string) => {
    throw new InputError(
      `Cannot read ${keyword}: it must be ${wanted}, found ${
        JSON.stringify(member(schema, keyword)) ?? "none"
      }`,
      [...walk.place, path],
    );
  };
  const type = member(schema, "type") ?? "";
  if (type === "" && !preservesUnknown(schema) && member(schema, "x-kubernetes-int-or-string") !== true) {
    throw new InputError(
      "The schema has no type, and without x-kubernetes-preserve-unknown-fields or x-kubernetes-int-or-string it needs one",
      [...walk.place, path],
    );
  }
  if (type === "array" && !isObject(schema["items"])) refuse("items", "a schema");
  const isList = (keyword: string) => schema[keyword] == null || Array.isArray(schema[keyword]);
  if (!isList("required")) refuse("required", "a list");
  if (!isList("enum")) refuse("enum", "a list");
  if (schema["properties"] != null && !isObject(schema["properties"])) refuse("properties", "an object");
  const additional = schema["additionalProperties"] ?? true;
  if (!isObject(additional) && typeof additional !== "boolean") {
    refuse("additionalProperties", "a schema, true or false");
  }
  for (const keyword of ["oneOf", "anyOf", "allOf"]) {
    if (!isList(keyword)) refuse(keyword, "a list");
    const branches = schema[keyword];
    if (
      Array.isArray(branches) &&
      branches.some((branch) => isObject(branch) && member(branch, "$ref") !== undefined)
    ) {
      refuse(keyword, "a list of schemas without $ref");
    }
  }
}

/** The views; where what is read only says more than what is written, that is noted. */
function noted(views: Views, { written }: Walk): Views {
  const { write, read } = views;
  if (write.type !== "reference" || read.type !== "reference" || write.to === read.to) return views;
  if (!written.has(read.to) && isNarrower(read.to.shape, write.to.shape, written)) {
    written.set(read.to, write.to);
  }
  return views;
}

/** An intersection or a new object is worth a name; the object in an intersection then needs none of its own. */
function interned(shape: Shape, walk: Walk): Shape {
  if (shape.type === "object" && shape.fields.length > 0) {
    return { type: "reference", to: walk.declarations.intern(shape) };
  }
  if (shape.type !== "intersection") return shape;
  const allOf = shape.allOf.map((part) =>
    part.type === "reference" && part.to.shape.type === "object" ? part.to.shape : part
  );
  return { type: "reference", to: walk.declarations.intern({ type: "intersection", allOf }) };
}

function same(shape: Shape): Views {
  return { write: shape, read: shape };
}

/** Both shapes with null, where the schema is nullable. */
function both(schema: JsonObject, views: Views): Views {
  if (member(schema, "nullable") !== true || Array.isArray(member(schema, "enum"))) return views;
  const write = union([views.write, nullShape]);
  return { write, read: views.read === views.write ? write : union([views.read, nullShape]) };
}

function enumOr<Otherwise>(schema: JsonObject, otherwise: Otherwise): Views | Otherwise {
  const values = member(schema, "enum");
  if (!Array.isArray(values) || values.length === 0) return otherwise;
  // The API server finds null in no enum. Where null is not allowed it drops it first: then, and only then, it is valid.
  const isNullable = member(schema, "nullable") === true;
  const listed = isNullable ? values.filter((value) => value !== null) : values;
  return same({ type: "literal", values: listed.map((value) => isObject(value) ? sorted(value) : value) });
}

function unconstrainedViews(schema: JsonObject, walk: Walk, path: string, isOpened: boolean): Views {
  const type = member(schema, "type");
  switch (type) {
    case "string":
      return same(stringShape);
    case "integer":
    case "number":
      return same(numberShape);
    case "boolean":
      return same(booleanShape);
    case "array":
      return arrayViews(schema, walk, path, isOpened);
    case "object":
      return objectViews(schema, walk, path, isOpened);
    case undefined:
    case "":
      return untypedViews(schema, walk, path);
    default:
      throw new InputError(
        `Cannot read type ${
          JSON.stringify(type)
        }: the API server knows array, boolean, integer, number, object and string`,
        [
          ...walk.place,
          path,
        ],
      );
  }
}

/** Without a type anything goes, but an object must have what is said of objects. */
function untypedViews(schema: JsonObject, walk: Walk, path: string): Views {
  if (
    !["properties", "required", "additionalProperties"].some((keyword) =>
      member(schema, keyword) !== undefined
    )
  ) {
    return same(unknownShape);
  }
  const others: Shape[] = [stringShape, numberShape, booleanShape, { type: "array", items: unknownShape }];
  const { write, read } = objectViews(schema, walk, path, true);
  return { write: union([...others, write]), read: union([...others, read]) };
}

function arrayViews(schema: JsonObject, walk: Walk, path: string, isOpened: boolean): Views {
  const items = member(schema, "items")!;
  const views = viewsOf(items, walk, `${path}.items`, isOpened || preservesUnknown(schema));
  const write: Shape = { type: "array", items: withoutNull(views.write, items) };
  return { write, read: views.read === views.write ? write : { type: "array", items: views.read } };
}

/** Null as an item stays where it is, and is refused: only under a key is it dropped. */
function withoutNull(shape: Shape, items: Json): Shape {
  if (shape.type !== "literal" || !isObject(items) || member(items, "nullable") === true) return shape;
  return { type: "literal", values: shape.values.filter((value) => value !== null) };
}

function preservesUnknown(schema: JsonObject): boolean {
  return member(schema, "x-kubernetes-preserve-unknown-fields") === true;
}

function objectViews(schema: JsonObject, walk: Walk, path: string, isOpened: boolean): Views {
  const properties = member(schema, "properties");
  const requiredKeys = member(schema, "required");
  const required = new Set(Array.isArray(requiredKeys) ? requiredKeys : []);
  const fields = new Map<string, { write: Field; read: Field }>();
  let differs = false;
  const add = (key: string, views: Views, doc: string, fallback?: Json) => {
    const isDefaulted = fallback !== undefined;
    const isRequired = required.has(key);
    const write: Field = {
      key,
      shape: views.write,
      required: isRequired && !isDefaulted,
      doc,
      ...(isDefaulted && { fallback }),
    };
    const read: Field = { key, shape: views.read, required: isRequired || isDefaulted, doc };
    if (isDefaulted || views.read !== views.write) differs = true;
    fields.set(key, { write, read });
  };
  for (const [key, property] of isObject(properties) ? sortedEntries(properties) : []) {
    const views = viewsOf(property, walk, `${path}.properties[${JSON.stringify(key)}]`);
    const fallback = isObject(property) ? member(property, "default") : undefined;
    add(key, views, isObject(property) ? commentOf(property) : "", fallback ?? undefined);
  }
  if (member(schema, "x-kubernetes-embedded-resource") === true) addEmbedded();
  const rest = restViews(schema, walk, path, isOpened || preservesUnknown(schema));
  if (rest !== undefined && rest.read !== rest.write) differs = true;
  if (rest !== undefined) {
    for (const key of required) {
      if (typeof key !== "string" || fields.has(key)) continue;
      add(key, rest, "");
    }
  }
  const all = [...fields.values()];
  const write = declared({ type: "object", fields: all.map((field) => field.write) }, rest?.write, walk);
  if (!differs) return same(write);
  return {
    write,
    read: declared({ type: "object", fields: all.map((field) => field.read) }, rest?.read, walk),
  };

  /** apiVersion and kind are required in an embedded resource, whatever its schema lists. */
  function addEmbedded(): void {
    for (const key of ["apiVersion", "kind"]) {
      required.add(key);
      const before = fields.get(key);
      add(
        key,
        { write: before?.write.shape ?? stringShape, read: before?.read.shape ?? stringShape },
        before?.write.doc ?? "",
      );
    }
    const metadata = isObject(properties) ? member(properties, "metadata") : undefined;
    const shape = metadataShape(metadata, walk.objectMeta, walk, `${path}.properties["metadata"]`);
    add("metadata", same(shape), fields.get("metadata")?.write.doc ?? "");
  }
}

/**
 * The type of `metadata` at the root or in an embedded resource, with what the schema says of the names in it. Of the
 * root's the API server takes no other restriction.
 *
 * @param metadata the schema of `metadata`
 * @param base its type without that
 * @param isNamed whether it always has a name in the end: one that is generated meets no enum
 */
export function metadataShape(
  metadata: Json | undefined,
  base: Shape,
  walk: Walk,
  path: string,
  isNamed = false,
): Shape {
  const properties = isObject(metadata) ? member(metadata, "properties") : undefined;
  const required = isObject(metadata) ? member(metadata, "required") : undefined;
  const fields: Field[] = [];
  for (const key of ["generateName", "name"]) {
    const schema = isObject(properties) ? member(properties, key) : undefined;
    if (!isObject(schema)) continue;
    const shape = viewsOf(schema, walk, `${path}.properties[${JSON.stringify(key)}]`).write;
    const isRequired = Array.isArray(required) && required.includes(key) ||
      isNamed && key === "name" && shape.type === "literal";
    const doc = commentOf(schema);
    if (isRequired || doc !== "" || shape.type !== "string") {
      fields.push({ key, shape, required: isRequired, doc });
    }
  }
  return fields.length === 0 ? base : intersection([base, { type: "object", fields }]);
}

/** What may stand under keys that are not listed; `undefined` when nothing may. */
function restViews(schema: JsonObject, walk: Walk, path: string, isOpen: boolean): Views | undefined {
  const additional = member(schema, "additionalProperties");
  if (isObject(additional)) return viewsOf(additional, walk, `${path}.additionalProperties`);
  if (isOpen) return same(unknownShape);
  return additional === true ? same(walk.prunedValue) : undefined;
}

/** Objects with keys of their own become declarations; maps and empty objects stay where they are. */
function declared(object: ObjectShape, rest: Shape | undefined, walk: Walk): Shape {
  if (rest !== undefined) {
    // TypeScript wants each listed key to fit the index signature as well.
    const fits = rest.type === "unknown" || object.fields.length === 0;
    object.additionalProperties = fits
      ? rest
      : union([rest, ...object.fields.map((field) => field.shape), { type: "undefined" }]);
  }
  return object.fields.length === 0 ? object : { type: "reference", to: walk.declarations.intern(object) };
}
