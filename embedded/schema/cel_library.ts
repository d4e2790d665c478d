/**
 * The functions that Kubernetes adds to CEL, for cel-js (k8s.io/apiserver pkg/cel/library and
 * cel-go's string, list, set and math extensions, as far as rules in real CRDs use them).
 * @module
 */
import type { Environment } from "@marcbachmann/cel-js";
import { compareQuantity, parseQuantity, type Quantity } from "../quantity.ts";
import { equal } from "../types.ts";
import { formatProblem } from "./formats.ts";
import { goRegExp } from "./validate.ts";

class CelQuantity {
  readonly value: Quantity;
  constructor(value: Quantity) {
    this.value = value;
  }
}

class CelUrl {
  readonly url: URL;
  constructor(text: string) {
    this.url = new URL(text);
  }
}

type Value = unknown;

/** Adds the library to an environment and returns it. */
export function registerLibrary(env: Environment): Environment {
  registerQuantity(env);
  registerStrings(env);
  registerLists(env);
  registerNamespaces(env);
  return env;
}

function registerQuantity(env: Environment): void {
  env.registerType("Quantity", CelQuantity);
  const parse = (text: string) => {
    const value = parseQuantity(text);
    if (value === undefined) {
      throw new RangeError(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
      );
    }
    return new CelQuantity(value);
  };
  const compare = (a: CelQuantity, b: CelQuantity) => compareQuantity(a.value, b.value);
  env.registerFunction("quantity(string): Quantity", parse);
  env.registerFunction("isQuantity(string): bool", (text: string) => parseQuantity(text) !== undefined);
  env.registerFunction(
    "Quantity.compareTo(Quantity): int",
    (a: CelQuantity, b: CelQuantity) => BigInt(compare(a, b)),
  );
  env.registerFunction(
    "Quantity.isGreaterThan(Quantity): bool",
    (a: CelQuantity, b: CelQuantity) => compare(a, b) > 0,
  );
  env.registerFunction(
    "Quantity.isLessThan(Quantity): bool",
    (a: CelQuantity, b: CelQuantity) => compare(a, b) < 0,
  );
  env.registerFunction("Quantity.sign(): int", (a: CelQuantity) => BigInt(Math.sign(Number(a.value.nano))));
  env.registerFunction(
    "Quantity.isInteger(): bool",
    (a: CelQuantity) => a.value.nano % 1_000_000_000n === 0n,
  );
  env.registerFunction("Quantity.asInteger(): int", (a: CelQuantity) => a.value.nano / 1_000_000_000n);
  env.registerFunction(
    "Quantity.asApproximateFloat(): double",
    (a: CelQuantity) => Number(a.value.nano) / 1e9,
  );
  env.registerFunction(
    "Quantity.add(Quantity): Quantity",
    (a: CelQuantity, b: CelQuantity) => new CelQuantity({ nano: a.value.nano + b.value.nano }),
  );
  env.registerFunction(
    "Quantity.sub(Quantity): Quantity",
    (a: CelQuantity, b: CelQuantity) => new CelQuantity({ nano: a.value.nano - b.value.nano }),
  );
}

function registerStrings(env: Environment): void {
  env.registerFunction(
    "string.find(string): string",
    (text: string, re: string) => goRegExp(re).exec(text)?.[0] ?? "",
  );
  const findAll = (text: string, re: string) =>
    [...text.matchAll(new RegExp(goRegExp(re).source, "g"))].map((match) => match[0]);
  env.registerFunction("string.findAll(string): list<string>", findAll);
  env.registerFunction(
    "string.findAll(string, int): list<string>",
    (text: string, re: string, limit: bigint) =>
      findAll(text, re).slice(0, limit < 0n ? undefined : Number(limit)),
  );
  env.registerFunction(
    "string.replace(string, string): string",
    (text: string, from: string, to: string) => text.replaceAll(from, () => to),
  );
  env.registerFunction(
    "string.replace(string, string, int): string",
    (text: string, from: string, to: string, count: bigint) => {
      let result = text;
      let at = 0;
      for (let i = 0n; i < count || count < 0n; i++) {
        const found = result.indexOf(from, at);
        if (found < 0) break;
        result = result.slice(0, found) + to + result.slice(found + from.length);
        at = found + to.length;
      }
      return result;
    },
  );
  env.registerFunction(
    "string.charAt(int): string",
    (text: string, at: bigint) => Array.from(text)[Number(at)] ?? "",
  );
  env.registerFunction("string.reverse(): string", (text: string) => Array.from(text).reverse().join(""));
  env.registerFunction("string.format(list): string", (text: string, args: Value[]) => {
    let at = 0;
    return text.replace(/%(%|[sdfbxXoe]|\.\d+f)/g, (verb) => {
      if (verb === "%%") return "%";
      const value = args[at++];
      const digits = /^%\.(\d+)f$/.exec(verb);
      return digits ? Number(value).toFixed(Number(digits[1])) : String(value);
    });
  });
  const urlFunctions: [string, (url: URL) => string][] = [
    ["getScheme", (url) => url.protocol.slice(0, -1)],
    ["getHost", (url) => url.host],
    ["getHostname", (url) => url.hostname],
    ["getPort", (url) => url.port],
    ["getEscapedPath", (url) => url.pathname],
  ];
  env.registerType("URL", CelUrl);
  env.registerFunction("url(string): URL", (text: string) => new CelUrl(text));
  env.registerFunction("isURL(string): bool", (text: string) => URL.canParse(text));
  for (const [name, read] of urlFunctions) {
    env.registerFunction(`URL.${name}(): string`, (value: CelUrl) => read(value.url));
  }
  env.registerFunction(
    "isIP(string): bool",
    (text: string) => !formatProblem("ipv4", text) || !formatProblem("ipv6", text),
  );
  env.registerFunction("isCIDR(string): bool", (text: string) => !formatProblem("cidr", text));
}

const less = (
  a: Value,
  b: Value,
) => ((a as number) < (b as number) ? -1 : (a as number) > (b as number) ? 1 : 0);

function registerLists(env: Environment): void {
  const extreme = (list: Value[], sign: number) => {
    if (list.length === 0) throw new RangeError(`${sign < 0 ? "min" : "max"} called on empty list`);
    return list.reduce((best, item) => (less(item, best) * sign > 0 ? item : best));
  };
  env.registerFunction("list.min(): dyn", (list: Value[]) => extreme(list, -1));
  env.registerFunction("list.max(): dyn", (list: Value[]) => extreme(list, 1));
  env.registerFunction(
    "list.sum(): dyn",
    (list: Value[]) =>
      list.length === 0 ? 0n : list.reduce((sum, item) => (sum as bigint) + (item as bigint)),
  );
  env.registerFunction(
    "list.isSorted(): bool",
    (list: Value[]) => list.every((item, index) => index === 0 || less(list[index - 1], item) <= 0),
  );
  env.registerFunction(
    "list.indexOf(dyn): int",
    (list: Value[], item: Value) => BigInt(list.findIndex((other) => equal(other, item))),
  );
  env.registerFunction(
    "list.lastIndexOf(dyn): int",
    (list: Value[], item: Value) => BigInt(list.findLastIndex((other) => equal(other, item))),
  );
  env.registerFunction(
    "list.distinct(): list<dyn>",
    (list: Value[]) => list.filter((item, index) => list.findIndex((other) => equal(other, item)) === index),
  );
  env.registerFunction("list.sort(): list<dyn>", (list: Value[]) => [...list].sort(less));
  env.registerFunction("list.reverse(): list<dyn>", (list: Value[]) => [...list].reverse());
  env.registerFunction("list.flatten(): list<dyn>", (list: Value[]) => list.flat());
  env.registerFunction(
    "list.slice(int, int): list<dyn>",
    (list: Value[], from: bigint, to: bigint) => list.slice(Number(from), Number(to)),
  );
}

class SetsNamespace {}
class MathNamespace {}

function registerNamespaces(env: Environment): void {
  const has = (list: Value[], item: Value) => list.some((other) => equal(other, item));
  env.registerType("SetsNamespace", SetsNamespace).registerConstant(
    "sets",
    "SetsNamespace",
    new SetsNamespace(),
  );
  env.registerFunction(
    "SetsNamespace.contains(list, list): bool",
    (_self: Value, a: Value[], b: Value[]) => b.every((item) => has(a, item)),
  );
  env.registerFunction(
    "SetsNamespace.intersects(list, list): bool",
    (_self: Value, a: Value[], b: Value[]) => b.some((item) => has(a, item)),
  );
  env.registerFunction(
    "SetsNamespace.equivalent(list, list): bool",
    (_self: Value, a: Value[], b: Value[]) =>
      a.every((item) => has(b, item)) && b.every((item) => has(a, item)),
  );
  env.registerType("MathNamespace", MathNamespace).registerConstant(
    "math",
    "MathNamespace",
    new MathNamespace(),
  );
  const pick = (sign: number) => (_self: Value, a: Value, b: Value) => (less(a, b) * sign >= 0 ? a : b);
  env.registerFunction("MathNamespace.greatest(dyn, dyn): dyn", pick(1));
  env.registerFunction("MathNamespace.least(dyn, dyn): dyn", pick(-1));
}
