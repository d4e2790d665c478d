/**
 * The optional validators of a module: for each kind of a CustomResourceDefinition its schema, and a function.
 * @module
 */
import { readFileSync } from "node:fs";
import type { Crd, CrdVersion } from "./crd.ts";
import { isObject, type Json, member, sorted, sortedEntries } from "./json.ts";
import { blockComment } from "./comments.ts";

/** A kind with its version, for its validator. */
export interface ValidatedVersion {
  crd: Crd;
  version: CrdVersion;
}

/** The module that all validators share: validation.ts of this library, as it stands. */
export function validationText(): string {
  return readFileSync(new URL("./validation.ts", import.meta.url), "utf8");
}

/**
 * The validators of the kinds of one group and version.
 *
 * @param typeNames the name of each kind's type
 */
export function validatorText(
  kinds: readonly ValidatedVersion[],
  typeNames: ReadonlyMap<string, string>,
): string {
  const functions = kinds.map(({ crd, version }) => {
    const comment = blockComment(
      `What the API server would find wrong with ${crd.kind} objects; nothing when it would take them.`,
    );
    const schema = JSON.stringify(withoutText(version.schema)).replaceAll("\u2028", "\\u2028").replaceAll(
      "\u2029",
      "\\u2029",
    );
    return `${comment}export const validate${typeNames.get(crd.kind)}: Validator = createValidator({
  apiVersion: ${JSON.stringify(`${crd.group}/${version.name}`)},
  kind: ${JSON.stringify(crd.kind)},
  hasStatus: ${version.hasStatus},
  // A text: the compiler need not look into it, and a key __proto__ stays a key.
  schema: JSON.parse(${JSON.stringify(schema)}),
});`;
  });
  return `import { createValidator, type Validator } from "../validation.ts";\n\n${functions.join("\n\n")}\n`;
}

/** The schema without descriptions, which only people read, and with its keys in order. */
function withoutText(schema: Json, isProperties = false): Json {
  if (Array.isArray(schema)) return schema.map((item) => withoutText(item));
  if (!isObject(schema)) return schema;
  const result: { [key: string]: Json } = Object.create(null);
  for (const [key, value] of sortedEntries(schema)) {
    if (
      !isProperties &&
      (key === "description" || key === "title" || key === "example" || key === "externalDocs")
    ) continue;
    const isData = !isProperties && (key === "default" || key === "enum");
    result[key] = isData
      ? sorted(value)
      : withoutText(value, !isProperties && key === "properties" && isObject(member(schema, key) ?? null));
  }
  return result;
}
