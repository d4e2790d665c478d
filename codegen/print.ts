/**
 * Shapes to TypeScript, by openapi-typescript's schema transform.
 *
 * Only its transform of one schema is used, not its validating and bundling of documents, which is most of its
 * time. Shapes are OpenAPI schemas; the types that OpenAPI does not have (references by name, literals, never)
 * are built in its `transform` hook, the comments in its `transformProperty` hook.
 * @module
 */
import type ts from "typescript";
import { blockComment, commentText } from "./comments.ts";
import type { Json } from "./json.ts";
import { type Field, type ObjectShape, type Shape, union } from "./schema/shape.ts";
import { nodes, transformSchemaObject, typescript } from "./typescript.ts";

const { NEVER, NULL, tsLiteral, tsUnion, UNDEFINED, UNKNOWN } = nodes;

type SchemaObject = Parameters<typeof transformSchemaObject>[0];
type TransformNodeOptions = Parameters<typeof transformSchemaObject>[1];

/** The schema that openapi-typescript is given for a shape; `shape` and `doc` are for the hooks. */
interface Carrier {
  type?: string;
  shape: Shape;
  doc?: string;
  [keyword: string]: unknown;
}

/** One exported type. */
export interface Printable {
  name: string;
  shape: Shape;
  /** The comment above it, in plain text. */
  doc?: string;
  /** The interface that it extends; the shape is an object of what it adds. */
  base?: Shape & { type: "imported" | "reference" };
}

/** What {@link printType} says in place of a shape from another module. */
export type NameOf = (shape: Shape & { type: "imported" }) => string;

/** Prints types of one module. */
export class TypePrinter {
  readonly #options: TransformNodeOptions;
  readonly #printer = typescript.createPrinter({ newLine: typescript.NewLineKind.LineFeed });
  readonly #file = typescript.createSourceFile(
    "types.ts",
    "",
    typescript.ScriptTarget.ESNext,
    false,
    typescript.ScriptKind.TS,
  );

  constructor(nameOf: NameOf) {
    const context = {
      additionalProperties: false,
      alphabetize: false,
      arrayLength: false,
      defaultNonNullable: false,
      discriminators: { objects: {}, refsHandled: [] },
      emptyObjectsUnknown: false,
      enum: false,
      enumValues: false,
      excludeDeprecated: false,
      immutable: false,
      injectFooter: [],
      propertiesRequiredByDefault: false,
      readWriteMarkers: false,
      transform: (schema: unknown) => hookedType((schema as Carrier).shape, nameOf),
      postTransform: joined,
      transformProperty: (property: ts.PropertySignature, schema: unknown) => {
        const { doc } = schema as Carrier;
        typescript.setEmitFlags(property.name, typescript.EmitFlags.NoAsciiEscaping);
        if (doc !== undefined && doc !== "") {
          typescript.addSyntheticLeadingComment(
            property,
            typescript.SyntaxKind.MultiLineCommentTrivia,
            commentText(doc),
            true,
          );
        }
        return property;
      },
    };
    this.#options = { ctx: context as unknown as TransformNodeOptions["ctx"] };
  }

  /** The declaration: an interface for an object, a type alias for anything else. */
  declaration({ name, shape, doc, base }: Printable): string {
    const comment = doc === undefined || doc === "" ? "" : blockComment(doc);
    const exported = [typescript.factory.createModifier(typescript.SyntaxKind.ExportKeyword)];
    const type = this.#type(shape);
    const node = shape.type === "object" && shape.fields.length > 0
      ? typescript.factory.createInterfaceDeclaration(
        exported,
        name,
        undefined,
        this.#heritage(base),
        membersOf(type),
      )
      : typescript.factory.createTypeAliasDeclaration(exported, name, undefined, type);
    return `${comment}${this.#print(node)}`;
  }

  /** The shape as a type in the middle of a line. */
  inline(shape: Shape): string {
    return this.#print(this.#type(shape));
  }

  #heritage(base: Printable["base"]): ts.HeritageClause[] | undefined {
    if (base === undefined) return undefined;
    const { typeName } = this.#type(base) as ts.TypeReferenceNode;
    const type = typescript.factory.createExpressionWithTypeArguments(typeName as ts.Identifier, undefined);
    return [typescript.factory.createHeritageClause(typescript.SyntaxKind.ExtendsKeyword, [type])];
  }

  #type(shape: Shape): ts.TypeNode {
    const type = transformSchemaObject(carrierOf(shape) as SchemaObject, this.#options);
    // Keys and an index signature: one type literal, where openapi-typescript makes an intersection of two.
    if (shape.type !== "object") return type;
    const members = membersOf(type);
    return typescript.factory.createTypeLiteralNode(
      looksLikeText(shape) ? [...members, noIterator] : members,
    );
  }

  #print(node: ts.Node): string {
    const text = this.#printer.printNode(typescript.EmitHint.Unspecified, node, this.#file);
    return text.replace(/^(?: {4})+/gm, (indent) => indent.slice(indent.length / 2));
  }
}

/**
 * Whether a text or a list has what the object asks for: `length`, or a member that everything has. The compiler
 * would take one of those for the object.
 */
function looksLikeText({ fields, additionalProperties }: ObjectShape): boolean {
  return additionalProperties === undefined && fields.length > 0 &&
    fields.every(({ key, required }) => !required || key === "length") &&
    fields.some(({ key }) => key === "length" || inherited.has(key));
}

/** What texts and lists have, and objects of JSON do not. */
const noIterator = typescript.factory.createPropertySignature(
  undefined,
  typescript.factory.createComputedPropertyName(
    typescript.factory.createPropertyAccessExpression(
      typescript.factory.createIdentifier("Symbol"),
      "iterator",
    ),
  ),
  typescript.factory.createToken(typescript.SyntaxKind.QuestionToken),
  typescript.factory.createKeywordTypeNode(typescript.SyntaxKind.NeverKeyword),
);

/** The schema for openapi-typescript: what it knows in its words, the rest by name of the shape. */
function carrierOf(shape: Shape): Carrier {
  switch (shape.type) {
    case "unknown":
      return { type: "x-unknown", shape };
    case "array":
      return { type: "array", shape, items: carrierOf(shape.items) };
    case "tuple":
      return { type: "array", shape, prefixItems: shape.prefixItems.map(carrierOf) };
    case "union":
      return { shape, anyOf: shape.anyOf.map(carrierOf) };
    case "intersection":
      return { shape, allOf: shape.allOf.map(carrierOf) };
    case "object":
      return objectCarrier(shape);
    default:
      return { type: shape.type, shape };
  }
}

/** What each JavaScript object has: absent from JSON, the property is this. The compiler insists on it. */
const inherited: ReadonlySet<string> = new Set([
  "constructor",
  "hasOwnProperty",
  "isPrototypeOf",
  "propertyIsEnumerable",
  "toLocaleString",
  "toString",
  "valueOf",
]); // deno-fmt-ignore-line

function objectCarrier(shape: ObjectShape): Carrier {
  const properties: { [key: string]: Carrier } = Object.create(null);
  for (const { key, shape: value, required, doc } of shape.fields) {
    const seen: Shape = required || !inherited.has(key) ? value : union([value, { type: "inherited", key }]);
    properties[key] = { ...carrierOf(seen), doc };
  }
  const rest = shape.additionalProperties ??
    (shape.fields.length === 0 ? ({ type: "never" } as const) : undefined);
  return {
    type: "object",
    shape,
    properties,
    required: shape.fields.filter((field: Field) => field.required).map((field) => field.key),
    ...(rest !== undefined && { additionalProperties: carrierOf(rest) }),
  };
}

/** The types that have no OpenAPI schema; `undefined` leaves the shape to openapi-typescript. */
function hookedType(shape: Shape, nameOf: NameOf): ts.TypeNode | undefined {
  switch (shape.type) {
    case "unknown":
      return UNKNOWN;
    case "present":
      return typescript.factory.createTypeLiteralNode([]);
    case "never":
      return NEVER;
    case "null":
      return NULL;
    case "undefined":
      return UNDEFINED;
    case "literal":
      return tsUnion(shape.values.map(literal));
    case "reference":
      return typescript.factory.createTypeReferenceNode(
        shape.to.name ?? fail(`Declaration ${shape.to.id} has no name`),
      );
    case "inherited":
      return typescript.factory.createIndexedAccessTypeNode(
        typescript.factory.createTypeReferenceNode("globalThis.Object"),
        literal(shape.key),
      );
    case "imported":
      return typescript.factory.createTypeReferenceNode(nameOf(shape));
    default:
      return undefined;
  }
}

/** A value as a type; texts as readable as JSON allows. */
function literal(value: Json): ts.TypeNode {
  if (typeof value !== "string") return tsLiteral(value);
  return typescript.factory.createLiteralTypeNode(
    typescript.setEmitFlags(
      typescript.factory.createStringLiteral(value),
      typescript.EmitFlags.NoAsciiEscaping,
    ),
  );
}

/** What a type is printed as: short objects on one line, keys and an index signature together. */
function joined(type: ts.TypeNode): ts.TypeNode {
  const isObject = typescript.isIntersectionTypeNode(type) && type.types.length === 2 &&
    type.types.every(typescript.isTypeLiteralNode) &&
    membersOf(type.types[1]!).every(typescript.isIndexSignatureDeclaration);
  const result = isObject ? typescript.factory.createTypeLiteralNode(membersOf(type)) : type;
  if (typescript.isTypeLiteralNode(result) && result.members.length <= 4 && result.members.every(isShort)) {
    typescript.setEmitFlags(result, typescript.EmitFlags.SingleLine);
  }
  return result;
}

/** A member without comment whose type is a word, or a list of words. */
function isShort(member: ts.TypeElement): boolean {
  if (typescript.getSyntheticLeadingComments(member) !== undefined) return false;
  if (!typescript.isPropertySignature(member) && !typescript.isIndexSignatureDeclaration(member)) {
    return false;
  }
  let type = member.type;
  while (type !== undefined && typescript.isArrayTypeNode(type)) type = type.elementType;
  return type !== undefined &&
    (typescript.isTypeReferenceNode(type) || typescript.isLiteralTypeNode(type) ||
      (typescript.isTypeLiteralNode(type) ? type.members.length === 0 : typescript.isToken(type)));
}

/** The members of a type literal, or of an intersection of them. */
function membersOf(type: ts.TypeNode): ts.TypeElement[] {
  if (typescript.isTypeLiteralNode(type)) return [...type.members];
  if (typescript.isIntersectionTypeNode(type)) return type.types.flatMap(membersOf);
  return fail("An object shape did not become a type literal");
}

function fail(message: string): never {
  throw new Error(message);
}
