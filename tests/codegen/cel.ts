/**
 * An evaluator of CEL rules for the validators, on @marcbachmann/cel-js.
 *
 * It is enough for judging examples: what that package cannot evaluate at all counts as met.
 * @module
 */
import { evaluate } from "@marcbachmann/cel-js";

/** Evaluates a rule; throws where the API server would. */
export function evaluateRule(rule: string, self: unknown, oldSelf?: unknown): boolean {
  try {
    return evaluate(rule, { self: celValue(self), oldSelf: celValue(oldSelf) }) !== false;
  } catch (error) {
    const { message } = error as Error;
    if (/no such key/i.test(message)) {
      throw new Error(message.split("\n")[0]!.replace(/^No/, "no"), { cause: error });
    }
    return true;
  }
}

/** Integers of JSON as those of CEL; keys as CEL can say them. */
function celValue(value: unknown): unknown {
  if (typeof value === "number" && Number.isInteger(value)) return BigInt(value);
  if (Array.isArray(value)) return value.map(celValue);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, item]) => {
      const escaped = key.replaceAll("__", "__underscores__").replaceAll(".", "__dot__").replaceAll(
        "-",
        "__dash__",
      )
        .replaceAll("/", "__slash__");
      const inner = celValue(item);
      return escaped === key ? [[key, inner]] : [[key, inner], [escaped, inner]];
    }),
  );
}
