/**
 * Text to documents: JSON, YAML of several documents, and Lists.
 * @module
 */
import { parseAllDocuments } from "yaml";
import { InputError } from "./errors.ts";
import type { SourceDocument } from "./generate.ts";
import { isObject, type Json, member } from "./json.ts";

/**
 * The documents of a text; the items of a List are documents of their own.
 *
 * @throws {InputError} when it is neither JSON nor YAML, with line and column
 */
export function documentsOf(text: string, place: string): SourceDocument[] {
  const values = /^\s*[{[]/.test(text) ? jsonOrYaml(text, place) : yaml(text, place);
  const found: SourceDocument[] = [];
  for (const [index, value] of values.entries()) {
    const here = values.length === 1 ? [place] : [place, `document ${index + 1}`];
    found.push(...unlisted(value, here));
  }
  return found;
}

function jsonOrYaml(text: string, place: string): Json[] {
  try {
    return [JSON.parse(text) as Json];
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return yaml(text, place); // YAML in flow style begins like JSON.
  }
}

function yaml(text: string, place: string): Json[] {
  const values: Json[] = [];
  for (
    const [index, document] of parseAllDocuments(text, { logLevel: "error", merge: true, uniqueKeys: true })
      .entries()
  ) {
    const [error] = document.errors;
    if (error !== undefined) {
      throw new InputError(`Cannot read the YAML: ${error.message}`, [place, `document ${index + 1}`], {
        cause: error,
      });
    }
    const value = document.toJS({ maxAliasCount: -1 }) as Json | undefined;
    if (value !== null && value !== undefined) values.push(value);
  }
  return values;
}

function unlisted(value: Json, place: readonly string[]): SourceDocument[] {
  const items = isObject(value) && String(member(value, "kind")).endsWith("List")
    ? member(value, "items")
    : undefined;
  if (!Array.isArray(items)) return [{ place, value }];
  return items.flatMap((item, index) => unlisted(item, [...place, `item ${index + 1}`]));
}
