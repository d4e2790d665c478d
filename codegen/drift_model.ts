/**
 * Generated modules, read back: what each kind's types say.
 * @module
 */
import type ts from "typescript";
import { typescript } from "./typescript.ts";

/** A type, as far as comparing needs it. */
export type Model =
  | { kind: "named"; name: string }
  | { kind: "array"; items: Model }
  | { kind: "union"; members: Model[] }
  | {
    kind: "object";
    fields: Map<string, { type: Model; isOptional: boolean; facts: string[] }>;
    rest?: Model;
    /** The text of what else holds for its keys: unions of keys that exclude each other. */
    conditions: string;
    /** What it is called, where it is one of another module with more said of its keys. */
    text?: string;
  }
  | { kind: "other"; text: string };

/** Where the objects of a kind are. */
export interface KindAddress {
  group: string;
  version: string;
  kind: string;
  plural: string;
  scope: string;
}

/** One module. */
export interface TypeModule {
  file: ts.SourceFile;
  types: Map<string, ts.InterfaceDeclaration | ts.TypeAliasDeclaration>;
  /** The kinds by name, with the names of their types. */
  kinds: Map<string, { write: string; read: string; address: KindAddress }>;
}

/** Reads the modules of an output. */
export function readModules(files: ReadonlyMap<string, string>): Map<string, TypeModule> {
  const modules = new Map<string, TypeModule>();
  for (const [path, text] of files) {
    const file = typescript.createSourceFile(path, text, typescript.ScriptTarget.ESNext, false);
    const module: TypeModule = { file, types: new Map(), kinds: new Map() };
    for (const statement of file.statements) {
      if (typescript.isInterfaceDeclaration(statement) || typescript.isTypeAliasDeclaration(statement)) {
        module.types.set(statement.name.text, statement);
      } else if (typescript.isVariableStatement(statement)) addKind(module, statement);
    }
    modules.set(path, module);
  }
  return modules;
}

/** A kind is a constant of type `Resource<Read, Write>`. */
function addKind(module: TypeModule, statement: ts.VariableStatement): void {
  const [constant] = statement.declarationList.declarations;
  const type = constant?.type;
  if (type === undefined || !typescript.isTypeReferenceNode(type) || type.typeArguments?.length !== 2) return;
  const [read, write] = type.typeArguments.map((argument) => argument.getText(module.file));
  const value = constant?.initializer;
  if (value === undefined || !typescript.isObjectLiteralExpression(value)) return;
  const address = new Map<string, string>();
  for (const property of value.properties) {
    if (typescript.isPropertyAssignment(property) && typescript.isStringLiteral(property.initializer)) {
      address.set(property.name.getText(module.file), property.initializer.text);
    }
  }
  const text = (key: string) => address.get(key) ?? "";
  if (!address.has("kind")) return;
  module.kinds.set(text("kind"), {
    write: write!,
    read: read!,
    address: {
      group: text("group"),
      version: text("version"),
      kind: text("kind"),
      plural: text("plural"),
      scope: text("scope"),
    },
  });
}

/** What a type of the module says; a name of another module stays a name. */
export function modelOf(module: TypeModule, name: string): Model {
  const declaration = module.types.get(name);
  if (declaration === undefined) return { kind: "other", text: name };
  if (typescript.isInterfaceDeclaration(declaration)) {
    const own = objectModel(module, declaration.members);
    const base = declaration.heritageClauses?.[0]?.types[0]?.expression.getText(module.file);
    const extended = base === undefined ? undefined : modelOf(module, base);
    if (extended?.kind !== "object") return own;
    return { ...extended, ...own, fields: new Map([...extended.fields, ...own.fields]) };
  }
  const model = typeModel(module, declaration.type);
  return model.kind === "named" ? modelOf(module, model.name) : model;
}

function typeModel(module: TypeModule, type: ts.TypeNode): Model {
  if (typescript.isParenthesizedTypeNode(type)) return typeModel(module, type.type);
  if (typescript.isArrayTypeNode(type)) return { kind: "array", items: typeModel(module, type.elementType) };
  if (typescript.isTypeLiteralNode(type)) return objectModel(module, type.members);
  if (typescript.isUnionTypeNode(type)) {
    return {
      kind: "union",
      members: type.types.map((member) => typeModel(module, member)),
    };
  }
  if (typescript.isIntersectionTypeNode(type)) return intersectionModel(module, type);
  const text = type.getText(module.file).replace(/\s+/g, " ");
  return typescript.isTypeReferenceNode(type) && module.types.has(text)
    ? { kind: "named", name: text }
    : { kind: "other", text };
}

/** The first object, under the conditions that the others are; of one of another module, the keys that are named here. */
function intersectionModel(module: TypeModule, type: ts.IntersectionTypeNode): Model {
  const [base, ...others] = type.types;
  const model = typeModel(module, base!);
  const opened = model.kind === "named" ? modelOf(module, model.name) : model;
  const conditions = others.map((other) => other.getText(module.file).replace(/\s+/g, " ")).join(" & ");
  if (opened.kind !== "object") {
    const text = type.getText(module.file).replace(/\s+/g, " ");
    const [only] = others;
    return others.length === 1 && typescript.isTypeLiteralNode(only!)
      ? { ...objectModel(module, only.members), conditions: base!.getText(module.file), text }
      : { kind: "other", text };
  }
  return { ...opened, conditions: [opened.conditions, conditions].filter((text) => text !== "").join(" & ") };
}

/** The lines of a comment that say what no type can: ./schema/comment.ts writes them. */
const fact =
  /^(?:Each (?:item|value)[^:]*: )?(?:Default|Format|Value|Multiple of|Length|Items|Keys|Pattern|Rule|Immutable|Integer)(?::|$)/;

/** What is said of a kind as a whole. */
const statement = /^(?:@deprecated|The API server does not serve|Rule:|Immutable|Keys:)/;

/** What a kind's comment says of it: that it is deprecated, that it is not served, its rules. */
export function statementsOf(module: TypeModule, name: string): string[] {
  const declaration = module.types.get(name);
  return declaration === undefined ? [] : factsOf(module, declaration, statement);
}

function factsOf({ file }: TypeModule, node: ts.Node, pattern: RegExp): string[] {
  const comments = typescript.getLeadingCommentRanges(file.text, node.pos) ?? [];
  const last = comments.at(-1);
  if (last === undefined) return [];
  return file.text.slice(last.pos + 3, last.end - 2).split("\n")
    .map((line) => line.replace(/^\s*\*? ?/, "").trimEnd())
    .filter((line) => pattern.test(line));
}

function objectModel(module: TypeModule, members: ts.NodeArray<ts.TypeElement>): Model & { kind: "object" } {
  const model: Model & { kind: "object" } = { kind: "object", fields: new Map(), conditions: "" };
  for (const member of members) {
    if (typescript.isPropertySignature(member) && member.type !== undefined) {
      const key = typescript.isIdentifier(member.name) || typescript.isStringLiteral(member.name) ||
          typescript.isNumericLiteral(member.name)
        ? member.name.text
        : member.name.getText(module.file);
      model.fields.set(key, {
        type: typeModel(module, member.type),
        isOptional: member.questionToken !== undefined,
        facts: factsOf(module, member, fact),
      });
    } else if (typescript.isIndexSignatureDeclaration(member)) model.rest = typeModel(module, member.type);
  }
  return model;
}
