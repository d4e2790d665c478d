/**
 * Text to documents: JSON, YAML of several documents, and Lists.
 * @module
 */
import { CORE_SCHEMA, loadAll, mergeTag, YAMLException } from "js-yaml";
import { parseAllDocuments } from "yaml";
import { InputError } from "./errors.ts";
import type { SourceDocument } from "./generate.ts";
import { isObject, type Json, type JsonObject, member } from "./json.ts";

/** YAML 1.2, and merge keys as kubectl knows them. */
const schema = CORE_SCHEMA.withTags(mergeTag);

/**
 * The documents of a text; the items of a List are documents of their own, empty documents are none.
 *
 * @param place the file or URL, for messages
 * @throws {InputError} when it is a page, or neither JSON nor YAML, with document, line and column
 */
export function documentsOf(text: string, place: string): SourceDocument[] {
  if (/^\s*<(?:!doctype|html|\?xml)\b/i.test(text)) {
    throw new InputError("It is a page, HTML or XML; the file itself has an address of its own", [place]);
  }
  const values = (/^\s*[{[]/.test(text) ? json(text) : undefined) ?? yaml(text, place);
  return values.flatMap((value, index) =>
    value === null || value === undefined
      ? []
      : unlisted(value, values.length === 1 ? [place] : [place, `document ${index + 1}`])
  );
}

function json(text: string): Json[] | undefined {
  try {
    return [JSON.parse(text) as Json];
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return undefined; // YAML in flow style begins like JSON.
  }
}

/** The fast parser first; what it refuses is repaired, or read, or refused with a reason, by the thorough one. */
function yaml(text: string, place: string): Json[] {
  try {
    return loadAll(text, { schema, maxDepth: 2_000 }) as Json[];
  } catch (error) {
    if (!(error instanceof YAMLException)) throw error;
  }
  // One document at a time: each repair reads again from its beginning.
  const documents = text.split(/^(?=---(?:\s|$))/m);
  const values: Json[] = [];
  let isRead = true;
  for (const [index, document] of documents.entries()) {
    const { text, value } = repaired(document);
    documents[index] = text;
    if (value === undefined) isRead = false;
    else values.push(...value);
  }
  return isRead ? values : thoroughYaml(documents.join(""), place);
}

/**
 * js-yaml holds that the lines of a quoted text, and a closing brace, must be indented deeper than their key; kubectl
 * does not, and there are such files. Spaces at the beginning of such a line mean nothing: they are added.
 */
function repaired(text: string): { text: string; value?: Json[] } {
  for (let line = -1;;) {
    try {
      return { text, value: loadAll(text, { schema, maxDepth: 2_000 }) as Json[] };
    } catch (error) {
      if (!(error instanceof YAMLException)) throw error;
      if (error.reason !== "deficient indentation" || error.mark === undefined) return { text };
      const lines = text.split(/(?<=\n|\r(?!\n))/);
      const found = lines[error.mark.line] ?? "";
      if (error.mark.line <= line || found.trim() === "") return { text };
      line = error.mark.line;
      lines[line] = indentation + found;
      text = lines.join("");
    }
  }
}

/** Deeper than any key. */
const indentation = " ".repeat(400);

/** Reads YAML with the package "yaml", a fifth as fast: it knows more of the language, and its messages say more. */
function thoroughYaml(text: string, place: string): Json[] {
  return [...parseAllDocuments(text, { logLevel: "error", merge: true })].map((document, index) => {
    const [error] = document.errors;
    if (error === undefined) return document.toJS({ maxAliasCount: -1 }) as Json;
    const hint = /\{\{/.test(text)
      ? '; it looks like a template, render it first ("helm template", "kustomize build")'
      : "";
    const [message] = error.message.split("\n");
    throw new InputError(
      `Cannot read the YAML: ${message!.replace(/:$/, "")}${hint}`,
      [place, `document ${index + 1}`],
      { cause: error },
    );
  });
}

function unlisted(value: Json, place: readonly string[]): SourceDocument[] {
  const items = isObject(value) && String(member(value, "kind")).endsWith("List")
    ? member(value, "items")
    : undefined;
  if (!Array.isArray(items)) return [{ place, value }];
  // The API server's own lists leave out of their items what the list says.
  const shared: JsonObject = isObject(value) && member(value, "kind") === "CustomResourceDefinitionList"
    ? { apiVersion: member(value, "apiVersion") ?? "", kind: "CustomResourceDefinition" }
    : {};
  return items.flatMap((item, index) =>
    unlisted(isObject(item) ? { ...shared, ...item } : item, [...place, `item ${index + 1}`])
  );
}
