/**
 * The part of kubectl's JSONPath that printer columns use: fields, indexes, `[*]`, `['quoted']`,
 * `..name` and filters such as `[?(@.type=="Ready")]`.
 * @module
 */

type Step = (values: unknown[]) => unknown[];

const cache = new Map<string, Step[]>();

/** The values that the path leads to. */
export function jsonPath(path: string, root: unknown): unknown[] {
  let steps = cache.get(path);
  if (!steps) cache.set(path, steps = parse(path));
  let values: unknown[] = [root];
  for (const step of steps) values = step(values);
  return values;
}

const child = (name: string): Step => (values) =>
  values.flatMap((value) =>
    typeof value === "object" && value !== null && Object.hasOwn(value, name)
      ? [(value as Record<string, unknown>)[name]]
      : []
  );

const descendants = (value: unknown): unknown[] =>
  typeof value === "object" && value !== null
    ? [value, ...Object.values(value).flatMap((item) => descendants(item))]
    : [];

const all: Step = (values) =>
  values.flatMap((value) =>
    typeof value === "object" && value !== null ? Object.values(value) as unknown[] : []
  );

function parse(path: string): Step[] {
  const steps: Step[] = [];
  let rest = path.replace(/^\{(.*)\}$/, "$1").replace(/^\$/, "");
  while (rest !== "") {
    let m = /^\.\.((?:\\.|[^.[\\])+)/.exec(rest);
    if (m) {
      const step = child(unescape(m[1] ?? ""));
      steps.push((values) => step(values.flatMap(descendants)));
    } else if ((m = /^\.?\[\s*\?\((.*?)\)\s*\]/.exec(rest))) {
      steps.push(filter(m[1] ?? ""));
    } else if ((m = /^\.?\[\s*(?:'([^']*)'|"([^"]*)")\s*\]/.exec(rest))) {
      steps.push(child(unescape(m[1] ?? m[2] ?? "")));
    } else if ((m = /^\.?\[\s*\*\s*\]|^\.\*/.exec(rest))) {
      steps.push(all);
    } else if ((m = /^\.?\[\s*(-?\d*)(?::(-?\d*))?\s*\]/.exec(rest))) {
      steps.push(index(m[1] ?? "", m[2], m[0].includes(":")));
    } else if ((m = /^\.?((?:\\.|[^.[\\])+)/.exec(rest))) {
      steps.push(child(unescape(m[1] ?? "")));
    } else if ((m = /^\./.exec(rest))) {
      // A lone dot names the root.
    } else throw new SyntaxError(`Cannot read JSONPath "${path}" at "${rest}"`);
    rest = rest.slice(m[0].length);
  }
  return steps;
}

const unescape = (name: string) => name.replace(/\\(.)/g, "$1");

function index(from: string, to: string | undefined, isSlice: boolean): Step {
  return (values) =>
    values.flatMap((value) => {
      if (!Array.isArray(value)) return [];
      if (isSlice) return value.slice(from ? Number(from) : 0, to ? Number(to) : undefined);
      const found: unknown = value.at(Number(from));
      return found === undefined ? [] : [found];
    });
}

function filter(expression: string): Step {
  const m = /^\s*@(.*?)\s*(?:(==|!=|>=|<=|>|<)\s*(.+?)\s*)?$/.exec(expression);
  if (!m) throw new SyntaxError(`Cannot read JSONPath filter "${expression}"`);
  const [, path = "", operator, right] = m;
  const want = right === undefined ? undefined : JSON.parse(right.replace(/^'(.*)'$/, '"$1"')) as never;
  const test = (item: unknown) => {
    const [value] = jsonPath(path, item) as never[];
    if (operator === undefined) return value !== undefined;
    if (value === undefined || want === undefined) return false;
    switch (operator) {
      case "==":
        return value === want;
      case "!=":
        return value !== want;
      case ">":
        return value > want;
      case "<":
        return value < want;
      case ">=":
        return value >= want;
      default:
        return value <= want;
    }
  };
  return (values) => values.flatMap((value) => (Array.isArray(value) ? value.filter(test) : []));
}
