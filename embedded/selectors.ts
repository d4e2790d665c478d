/**
 * Label and field selectors: parsing and matching (k8s.io/apimachinery pkg/labels, pkg/fields).
 * @module
 */
import { badRequest } from "./errors.ts";
import type { Json, KubeObject } from "./types.ts";

/** Does the object match? */
export type Predicate = (object: KubeObject) => boolean;

type Requirement = (labels: Record<string, string>) => boolean;

/** Parses `a=b,c in (d,e),!f` and returns the test; "" matches everything. */
export function labelSelector(text: string): (labels: Record<string, string> | undefined) => boolean {
  const requirements: Requirement[] = [];
  for (const part of splitTopLevel(text)) requirements.push(requirement(part, text));
  return (labels) => requirements.every((test) => test(labels ?? {}));
}

/** Commas inside parentheses do not separate. */
function splitTopLevel(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (let i = 0; i <= text.length; i++) {
    const c = text[i];
    if (c === "(") depth++;
    else if (c === ")") depth--;
    else if (i === text.length || (c === "," && depth === 0)) {
      const part = text.slice(from, i).trim();
      if (part) parts.push(part);
      from = i + 1;
    }
  }
  return parts;
}

function requirement(part: string, whole: string): Requirement {
  let m = /^([\w./-]+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(part);
  if (m) {
    const key = m[1] ?? "";
    const values = new Set((m[3] ?? "").split(",").map((value) => value.trim()));
    return m[2] === "in"
      ? (labels) => Object.hasOwn(labels, key) && values.has(labels[key] ?? "")
      : (labels) => !Object.hasOwn(labels, key) || !values.has(labels[key] ?? "");
  }
  m = /^([\w./-]+)\s*(==|=|!=|>|<)\s*([\w.-]*)$/.exec(part);
  if (m) {
    const key = m[1] ?? "";
    const value = m[3] ?? "";
    switch (m[2]) {
      case "!=":
        return (labels) => labels[key] !== value;
      case ">":
        return (labels) => Number(labels[key]) > Number(value);
      case "<":
        return (labels) => Number(labels[key]) < Number(value);
      default:
        return (labels) => labels[key] === value;
    }
  }
  m = /^(!?)\s*([\w./-]+)$/.exec(part);
  if (m) {
    const key = m[2] ?? "";
    return m[1] ? (labels) => !Object.hasOwn(labels, key) : (labels) => Object.hasOwn(labels, key);
  }
  const operator = /^(==|=|!=|>|<|\))/.exec(part)?.[1];
  if (operator) throw badRequest(`found '${operator}', expected: !, identifier, or 'end of string'`);
  throw badRequest(
    `unable to parse requirement: found '${part}' in '${whole}', expected: identifier, '!', 'in', 'notin', '=', '==', '!='`,
  );
}

/** The test for a metav1.LabelSelector; undefined matches nothing, {} everything. */
export function matchesLabelSelector(selector: Json, labels: Record<string, string> | undefined): boolean {
  if (selector === undefined || selector === null) return false;
  const have = labels ?? {};
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
    if (have[key] !== value) return false;
  }
  for (const { key, operator, values } of selector.matchExpressions ?? []) {
    const present = Object.hasOwn(have, key);
    const among = present && (values ?? []).includes(have[key]);
    if (operator === "In" && !among) return false;
    if (operator === "NotIn" && among) return false;
    if (operator === "Exists" && !present) return false;
    if (operator === "DoesNotExist" && present) return false;
  }
  return true;
}

/**
 * Parses a field selector such as `metadata.name=a,status.phase!=Running`.
 *
 * @param fields the fields that this kind can be selected by, each with what it reads
 * @param namesFields kinds without fields of their own are refused in other words, which name the fields
 * @throws {StatusError} 400 for a field that is not selectable
 */
export function fieldSelector(
  text: string,
  fields: Readonly<Record<string, (object: KubeObject) => string>>,
  namesFields = false,
): Predicate {
  const tests: Predicate[] = [];
  for (const part of text.split(",").map((piece) => piece.trim()).filter(Boolean)) {
    const m = /^([^=!]+?)\s*(==|=|!=)\s*(.*)$/.exec(part);
    if (!m) throw badRequest(`invalid selector: '${text}'; can't understand '${part}'`);
    const [, field = "", operator, value] = m;
    const read = Object.hasOwn(fields, field) ? fields[field] : undefined;
    if (!read) {
      const known = Object.keys(fields).map((name) => JSON.stringify(name)).join(", ");
      throw badRequest(
        namesFields
          ? `${JSON.stringify(field)} is not a known field selector: only ${known}`
          : `field label not supported: ${field}`,
      );
    }
    tests.push(operator === "!=" ? (object) => read(object) !== value : (object) => read(object) === value);
  }
  return (object) => tests.every((test) => test(object));
}
