/**
 * What the comment above a field says: its description, and everything in the schema that no type can say.
 * @module
 */
import { canonical, isObject, type Json, type JsonObject, member } from "../json.ts";

/**
 * The comment of a property, in plain text.
 *
 * Descriptions of array items and map values are part of it: they have no line of their own in TypeScript.
 */
export function commentOf(schema: JsonObject): string {
  const blocks = [descriptionOf(schema), ...facts(schema, "")];
  for (const [keyword, what] of [["items", "Each item"], ["additionalProperties", "Each value"]] as const) {
    let inner = member(schema, keyword);
    let label: string = what;
    while (isObject(inner)) {
      const description = descriptionOf(inner);
      if (description !== "") blocks.push(`${label}: ${description}`);
      blocks.push(...facts(inner, `${label}: `));
      const deeper: Json | undefined = member(inner, "items") ?? member(inner, "additionalProperties");
      label = member(inner, "items") === undefined ? `${label}, each value` : `${label}, each item`;
      inner = isObject(member(inner, "properties")) ? undefined : deeper;
    }
  }
  return blocks.filter((block) => block !== "").join("\n\n");
}

/** The schema's description. */
export function descriptionOf(schema: JsonObject): string {
  const description = member(schema, "description");
  return typeof description === "string" ? description.trim() : "";
}

/** Default, format, bounds, pattern and rules, one line each. */
function facts(schema: JsonObject, label: string): string[] {
  const lines: string[] = [];
  const say = (line: string) => lines.push(label + line);
  const text = (keyword: string) => {
    const value = member(schema, keyword);
    return value === undefined ? undefined : JSON.stringify(value);
  };
  const title = member(schema, "title");
  if (typeof title === "string" && title !== "") say(`Title: ${title}`);
  const fallback = member(schema, "default");
  if (fallback !== undefined && fallback !== null) say(`Default: ${canonical(fallback)}`);
  const format = member(schema, "format");
  if (typeof format === "string" && format !== "") say(`Format: ${format}`);
  const integer = member(schema, "type") === "integer" && format === undefined;
  if (integer) say("Integer");
  const lower = bound(text("minimum"), member(schema, "exclusiveMinimum") === true, "more than", "at least");
  const upper = bound(text("maximum"), member(schema, "exclusiveMaximum") === true, "less than", "at most");
  if (lower !== undefined || upper !== undefined) say(`Value: ${range(lower, upper)}`);
  if (text("multipleOf") !== undefined) say(`Multiple of: ${text("multipleOf")}`);
  for (
    const [what, min, max] of [["Length", "minLength", "maxLength"], ["Items", "minItems", "maxItems"], [
      "Keys",
      "minProperties",
      "maxProperties",
    ]] as const
  ) {
    const least = bound(text(min), false, "", "at least");
    const most = bound(text(max), false, "", "at most");
    if (least !== undefined || most !== undefined) say(`${what}: ${range(least, most)}`);
  }
  if (member(schema, "uniqueItems") === true) say("Items: unique");
  const pattern = member(schema, "pattern");
  if (typeof pattern === "string" && pattern !== "") say(`Pattern: ${pattern}`);
  const listType = member(schema, "x-kubernetes-list-type");
  const keys = member(schema, "x-kubernetes-list-map-keys");
  if (listType === "set") say("Items: each value once");
  if (listType === "map" && Array.isArray(keys)) say(`Items: one for each ${keys.join(", ")}`);
  const rules = member(schema, "x-kubernetes-validations");
  for (const rule of Array.isArray(rules) ? rules : []) if (isObject(rule)) say(ruleLine(rule));
  return lines.length === 0 ? [] : [lines.join("\n")];
}

/** One CEL rule: its message, and the rule itself. */
function ruleLine(rule: JsonObject): string {
  const source = String(member(rule, "rule") ?? "").trim().replace(/\s+/g, " ");
  const message = member(rule, "message") ?? member(rule, "messageExpression");
  if (/^\(?self\)? ?== ?\(?oldSelf\)?$/.test(source)) {
    return `Immutable${typeof message === "string" ? `: ${message.trim()}` : ""}`;
  }
  return typeof message === "string" ? `Rule: ${message.trim()} (${source})` : `Rule: ${source}`;
}

function bound(
  value: string | undefined,
  exclusive: boolean,
  open: string,
  closed: string,
): string | undefined {
  return value === undefined ? undefined : `${exclusive ? open : closed} ${value}`;
}

function range(lower: string | undefined, upper: string | undefined): string {
  return [lower, upper].filter((part) => part !== undefined).join(", ");
}
