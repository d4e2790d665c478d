/**
 * Whether one shape is another one with more said of it, so that an interface of the one may extend the other.
 *
 * Only what every compiler finds out as well: what is read is made like what is written, with fields that are always
 * there.
 * @module
 */
import { type Declaration, type Field, keyOf, type ObjectShape, type Shape } from "./shape.ts";

/** For declarations of what is read, the declaration of what is written in its place, where it is narrower. */
export type Written = Map<Declaration, Declaration>;

/** Whether each value of `narrow` is one of `wide` for the compiler as well. */
export function isNarrower(narrow: Shape, wide: Shape, written: Written): boolean {
  const isWithin = (one: Shape, other: Shape) => isNarrower(one, other, written);
  if (wide.type === "unknown" || keyOf(narrow) === keyOf(wide)) return true;
  if (narrow.type === "object" && wide.type === "object") return isNarrowerObject(narrow, wide, written);
  if (narrow.type === "array" && wide.type === "array") return isWithin(narrow.items, wide.items);
  if (narrow.type === "reference" && wide.type === "reference") {
    return written.get(narrow.to) === wide.to || isNarrower(narrow.to.shape, wide.to.shape, written);
  }
  if (narrow.type === "intersection" && wide.type === "intersection") {
    return narrow.allOf.length === wide.allOf.length &&
      narrow.allOf.every((one, index) => isWithin(one, wide.allOf[index]!));
  }
  if (narrow.type === "imported" && wide.type === "imported") return narrow.base === wide.name;
  if (narrow.type === "union" && wide.type === "union") {
    return narrow.anyOf.length === wide.anyOf.length &&
      narrow.anyOf.every((one, index) => isWithin(one, wide.anyOf[index]!));
  }
  return false;
}

function isNarrowerObject(narrow: ObjectShape, wide: ObjectShape, written: Written): boolean {
  const fields = new Map(narrow.fields.map((field) => [field.key, field]));
  const fits = (field: Field) => {
    const own = fields.get(field.key);
    return own !== undefined && (own.required || !field.required) &&
      isNarrower(own.shape, field.shape, written);
  };
  if (!wide.fields.every(fits)) return false;
  const [rest, wideRest] = [narrow.additionalProperties, wide.additionalProperties];
  if (rest === undefined || wideRest === undefined) return rest === wideRest;
  return wide.fields.length === 0 && narrow.fields.length === 0
    ? isNarrower(rest, wideRest, written)
    : keyOf(rest) === keyOf(wideRest);
}

/** The fields of `narrow` that say something else than those of `wide`; a comment that is the same is not said again. */
export function ownFields(narrow: ObjectShape, wide: ObjectShape): Field[] {
  const fields = new Map(wide.fields.map((field) => [field.key, field]));
  return narrow.fields.flatMap((field) => {
    const other = fields.get(field.key);
    const doc = other?.doc === field.doc ? "" : field.doc;
    const isSame = other?.required === field.required && doc === "" &&
      keyOf(other.shape) === keyOf(field.shape);
    return isSame ? [] : [{ ...field, doc }];
  });
}
