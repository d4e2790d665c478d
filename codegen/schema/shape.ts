/**
 * Shapes: OpenAPI schemas that say only what a type can say.
 *
 * A CustomResourceDefinition's schema is turned into shapes by the rules of the API server (the other files of
 * this folder); shapes are turned into TypeScript by openapi-typescript (../print.ts). Objects are interned:
 * each distinct object of a kind is one {@link Declaration}, referred to wherever it occurs.
 * @module
 */
import { canonical, type Json } from "../json.ts";

/** What a value may be. */
export type Shape =
  | { type: "unknown" | "string" | "number" | "boolean" | "null" | "never" | "undefined" }
  /** Anything but null and undefined: `{}`. */
  | { type: "present" }
  | { type: "literal"; values: Json[] }
  | { type: "array"; items: Shape }
  | { type: "tuple"; prefixItems: Shape[] }
  | ObjectShape
  | { type: "union"; anyOf: Shape[] }
  | { type: "intersection"; allOf: Shape[] }
  | { type: "reference"; to: Declaration }
  /** A type of another module; each value of it is one of `base` as well. */
  | { type: "imported"; name: string; module: string; base?: string }
  /** The member that every JavaScript object has under the key. */
  | { type: "inherited"; key: string };

/** An object: closed but for `additionalProperties`. */
export interface ObjectShape {
  type: "object";
  /** In the order in which they are printed. */
  fields: Field[];
  additionalProperties?: Shape;
}

/** A key of an object. */
export interface Field {
  key: string;
  shape: Shape;
  required: boolean;
  /** What the API server fills in, so that it is present whoever wrote the object. */
  fallback?: Json;
  /** The comment above it, in plain text; empty for none. */
  doc: string;
}

/** A shape that gets a name and a place in the output. */
export interface Declaration {
  readonly id: number;
  readonly shape: Shape;
  /** What the kind that is being printed calls it. Given by ../kind.ts. */
  name?: string;
  /** What it is declared as: the name that the first kind of the module gave it. */
  declaredAs?: string;
  /** The comment above it, in plain text. */
  doc?: string;
}

export const unknownShape: Shape = { type: "unknown" };
export const presentShape: Shape = { type: "present" };
export const stringShape: Shape = { type: "string" };
export const numberShape: Shape = { type: "number" };
export const booleanShape: Shape = { type: "boolean" };
export const nullShape: Shape = { type: "null" };
export const neverShape: Shape = { type: "never" };

/** One of several, without doubles; one alone is itself. */
export function union(shapes: readonly Shape[]): Shape {
  const flat = shapes.flatMap((shape) => shape.type === "union" ? shape.anyOf : [shape]);
  if (flat.some((shape) => shape.type === "unknown")) return unknownShape;
  const distinct = [...new Map(flat.map((shape) => [keyOf(shape), shape])).values()];
  const possible = distinct.filter((shape) => shape.type !== "never");
  if (possible.length === 0) return neverShape;
  return possible.length === 1 ? possible[0]! : { type: "union", anyOf: possible };
}

/** All of several; one alone is itself. */
export function intersection(shapes: readonly Shape[]): Shape {
  const telling = shapes.filter((shape) => shape.type !== "unknown");
  if (telling.some((shape) => shape.type === "never")) return neverShape;
  if (telling.length === 0) return unknownShape;
  return telling.length === 1 ? telling[0]! : { type: "intersection", allOf: telling };
}

/** Text that is equal for equal shapes, comments included. */
export function keyOf(shape: Shape): string {
  switch (shape.type) {
    case "literal":
      return `=${canonical(shape.values)}`;
    case "array":
      return `[${keyOf(shape.items)}]`;
    case "tuple":
      return `(${shape.prefixItems.map(keyOf).join(",")})`;
    case "union":
      return `|${shape.anyOf.map(keyOf).join("|")};`;
    case "intersection":
      return `&${shape.allOf.map(keyOf).join("&")};`;
    case "reference":
      return `#${shape.to.id}`;
    case "imported":
      return `@${shape.module}.${shape.name}`;
    case "inherited":
      return `^${shape.key}`;
    case "object": {
      const fields = shape.fields.map(({ key, shape, required, doc }) =>
        `${JSON.stringify(key)}${required ? "!" : ""}${keyOf(shape)}${JSON.stringify(doc)}`
      );
      const rest = shape.additionalProperties;
      return `{${fields.join(",")}${rest === undefined ? "" : `*${keyOf(rest)}`}}`;
    }
    default:
      return shape.type;
  }
}

/** Keeps one declaration for each distinct shape. */
export class Declarations {
  #byKey = new Map<string, Declaration>();

  /** The declaration of the shape, made when it is new. */
  intern(shape: Shape): Declaration {
    const key = keyOf(shape);
    let declaration = this.#byKey.get(key);
    if (declaration === undefined) {
      declaration = { id: this.#byKey.size, shape };
      this.#byKey.set(key, declaration);
    }
    return declaration;
  }
}
