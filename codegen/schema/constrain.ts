/**
 * A shape under conditions: the base intersected with a union of what each alternative adds.
 *
 *     { a?: string; b?: string } & ({ a: {}; b?: never } | { a?: never; b: {} })
 *
 * @module
 */
import { canonical, type Json, sortedEntries } from "../json.ts";
import { type Alternative, type Constraint, isAlways, mayMeet } from "./constraint.ts";
import {
  type Field,
  intersection,
  keyOf,
  neverShape,
  nullShape,
  type ObjectShape,
  presentShape,
  type Shape,
  union,
  unknownShape,
} from "./shape.ts";

/** The values of `base` that meet one of the alternatives, as far as a type can say. */
export function constrain(base: Shape, constraint: Constraint): Shape {
  if (isAlways(constraint)) return base;
  if (constraint.length === 0) return neverShape;
  switch (base.type) {
    case "union":
      // Conditions on keys and items say nothing about null, a number or a text.
      return union(base.anyOf.map((one) => constrain(one, constraint)));
    case "string":
    case "number":
    case "boolean":
    case "null":
    case "literal":
      return union(constraint.map((alternative) => constrainScalar(base, alternative)));
    case "array":
      return union(constraint.map((alternative) => constrainArray(base, alternative)));
    case "object":
    case "reference":
    case "intersection":
      return constrainObject(base, constraint);
    default:
      return base;
  }
}

function constrainScalar(base: Shape, { values, except, types }: Alternative): Shape {
  if (types !== undefined && !scalarTypes(base).some((type) => types.has(type))) return neverShape;
  if (base.type === "literal") {
    const left = base.values.filter((value) => {
      const key = canonical(value);
      return values?.has(key) !== false && except?.has(key) !== true;
    });
    return left.length === 0 ? neverShape : { type: "literal", values: left };
  }
  if (values === undefined) return base;
  const left = [...values.values()].filter((value) => scalarTypes(base).includes(typeName(value)));
  return left.length === 0 ? neverShape : { type: "literal", values: left };
}

function scalarTypes(shape: Shape): string[] {
  return shape.type === "literal" ? shape.values.map(typeName) : [shape.type];
}

function typeName(value: Json): string {
  return value === null ? "null" : typeof value;
}

function constrainArray(base: Shape & { type: "array" }, { types, items }: Alternative): Shape {
  if (types !== undefined && !types.has("array")) return neverShape;
  return items === undefined ? base : { type: "array", items: constrain(base.items, items) };
}

function constrainObject(base: Shape, constraint: Constraint): Shape {
  const object = objectOf(base);
  if (object === undefined) return base;
  const possible: ObjectShape[] = [];
  for (const alternative of constraint) {
    const part = alternativeShape(object, alternative);
    if (part === "any") return base;
    if (part !== "none") possible.push(part);
  }
  const parts = withoutStronger(possible);
  if (parts.length === 1 && base.type !== "intersection") return merged(object, parts[0]!);
  const moved = new Set(
    parts.flatMap(({ fields }) => fields.filter(({ shape }) => isDeep(shape)).map(({ key }) => key)),
  );
  if (moved.size === 0 || base.type === "intersection") return intersection([base, beside(object, parts)]);
  return intersection([
    { ...object, fields: object.fields.filter(({ key }) => !moved.has(key)) },
    beside(object, parts.map((part, index) => withMoved(object, part, moved, index === 0))),
  ]);
}

/**
 * The alternatives, for an intersection with the object: of a key that must be there they say that it is there, and the
 * object says its type. `unknown` would leave undefined in that type, and what is read would not be what can be written.
 */
function beside({ fields, additionalProperties }: ObjectShape, parts: readonly ObjectShape[]): Shape {
  const presence = (key: string): Shape => {
    const shape = fields.find((field) => field.key === key)?.shape ?? additionalProperties ?? unknownShape;
    if (shape.type === "unknown") return unknownShape;
    return mayBeNull(shape) ? union([presentShape, nullShape]) : presentShape;
  };
  return union(parts.map((part) => ({
    ...part,
    fields: part.fields.map((field) =>
      field.shape.type === "unknown" ? { ...field, shape: presence(field.key) } : field
    ),
  })));
}

function mayBeNull(shape: Shape): boolean {
  if (shape.type === "union") return shape.anyOf.some(mayBeNull);
  return shape.type === "null" || shape.type === "imported" ||
    shape.type === "literal" && shape.values.includes(null);
}

/** The alternatives without those that another one allows, now that what the base says is left out of them. */
function withoutStronger(parts: readonly ObjectShape[]): ObjectShape[] {
  return parts.filter((strong, index) =>
    !parts.some((weak, other) =>
      other !== index && isWeaker(weak, strong) && (other < index || !isWeaker(strong, weak))
    )
  );
}

function isWeaker(weak: ObjectShape, strong: ObjectShape): boolean {
  if (weak.fields.length > strong.fields.length) return false;
  if (weak.additionalProperties !== undefined || strong.additionalProperties !== undefined) return false;
  return weak.fields.every(({ key, shape, required }) => {
    const field = strong.fields.find((one) => one.key === key);
    return field !== undefined && (field.required || !required) &&
      (shape.type === "unknown" || keyOf(shape) === keyOf(field.shape));
  });
}

/** One alternative alone is part of the object itself. */
function merged(object: ObjectShape, part: ObjectShape): ObjectShape {
  const added = new Map(part.fields.map((field) => [field.key, field]));
  const fields = object.fields.map((field): Field => {
    const condition = added.get(field.key);
    added.delete(field.key);
    if (condition === undefined) return field;
    const shape = condition.shape.type === "unknown" ? field.shape : condition.shape;
    return { ...field, shape, required: field.required || condition.required };
  });
  const rest = part.additionalProperties ?? object.additionalProperties;
  for (const field of added.values()) {
    const isAny = field.shape.type === "unknown" && rest !== undefined;
    fields.push(isAny ? { ...field, shape: rest } : field);
  }
  return { ...object, fields, ...(rest !== undefined && { additionalProperties: rest }) };
}

/**
 * Whether the compiler would miss unknown keys in it: it looks for them in an intersection of objects, but not in one
 * of lists or maps.
 */
function isDeep(shape: Shape): boolean {
  switch (shape.type) {
    case "array":
      return true;
    case "object":
      return shape.additionalProperties !== undefined;
    case "union":
      return shape.anyOf.some(isDeep);
    default:
      return false;
  }
}

/** The alternative with the fields that the base leaves to it; their comments stand in the first one. */
function withMoved(
  object: ObjectShape,
  part: ObjectShape,
  moved: ReadonlySet<string>,
  isFirst: boolean,
): ObjectShape {
  const fields = part.fields.filter(({ key }) => !moved.has(key));
  for (const field of object.fields) {
    if (!moved.has(field.key)) continue;
    const own = part.fields.find(({ key }) => key === field.key);
    const shape = own === undefined || own.shape.type === "unknown" ? field.shape : own.shape;
    fields.push({
      ...field,
      shape,
      required: field.required || own?.required === true,
      doc: isFirst ? field.doc : "",
    });
  }
  return { ...part, fields };
}

/** What the alternative adds to the object: a small object, nothing at all, or that no object meets it. */
function alternativeShape(object: ObjectShape, alternative: Alternative): ObjectShape | "any" | "none" {
  if (alternative.types?.has("object") === false) return "none";
  const added: { [key: string]: Field } = Object.create(null);
  const fieldOf = (key: string) => object.fields.find((field) => field.key === key);
  const isOpen = object.additionalProperties !== undefined;
  for (const key of alternative.required) {
    const field = fieldOf(key);
    if (field === undefined && !isOpen) return "none";
    if (field?.required || field?.fallback !== undefined) continue;
    // Each object of JavaScript has a "constructor" of some type: only its own type tells that it is there.
    const own = key in Object.prototype ? field?.shape ?? object.additionalProperties : undefined;
    added[key] = { key, shape: own ?? unknownShape, required: true, doc: "" };
  }
  for (const key of alternative.forbidden) {
    const field = fieldOf(key);
    if (field === undefined && !isOpen) continue;
    if (field?.required || field?.fallback !== undefined) return "none";
    added[key] = { key, shape: neverShape, required: false, doc: "" };
  }
  for (const [key, condition] of alternative.fields) {
    const base = fieldOf(key);
    // A default that does not meet the condition must be overwritten.
    const shape = base?.shape ?? object.additionalProperties;
    if (shape === undefined) continue;
    const constrained = constrain(shape, condition);
    if (constrained === shape) continue;
    const isMissed = base?.fallback !== undefined && !mayMeet(base.fallback, condition);
    const required = added[key]?.required === true || base?.required === true || isMissed;
    if (constrained.type === "never" && (required || base?.fallback !== undefined)) return "none";
    added[key] = { key, shape: constrained, required, doc: "" };
  }
  const rest = alternative.rest !== undefined && object.additionalProperties !== undefined
    ? constrain(object.additionalProperties, alternative.rest)
    : undefined;
  const fields = sortedEntries(added).map(([, field]) => field);
  if (fields.length === 0 && (rest === undefined || rest === object.additionalProperties)) return "any";
  return {
    type: "object",
    fields,
    ...(rest !== undefined && fields.length === 0 && { additionalProperties: rest }),
  };
}

/** The object that a shape is at its base. */
export function objectOf(shape: Shape): ObjectShape | undefined {
  switch (shape.type) {
    case "object":
      return shape;
    case "reference":
      return objectOf(shape.to.shape);
    case "intersection":
      return shape.allOf.map(objectOf).find((one) => one !== undefined);
    default:
      return undefined;
  }
}
