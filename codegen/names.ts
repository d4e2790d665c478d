/**
 * Names: legal, free of collisions, and the same for the same input.
 * @module
 */

/** Words that cannot name a type or a constant of a module. */
const reserved = new Set((
  "any as async await bigint boolean break case catch class const continue debugger declare default delete do else " +
  "enum export extends false finally for from function get if implements import in infer instanceof interface is " +
  "keyof let module namespace never new null number object of package private protected public readonly require " +
  "return set static string super switch symbol this throw true try type typeof undefined unique unknown var void " +
  "while with yield arguments eval globalThis Infinity NaN asserts satisfies using"
).split(" "));

/** Whether the text is a DNS label that begins with a letter (RFC 1035): a version, a plural, a kind in lower case. */
export function isLabel(text: string): boolean {
  return text.length <= 63 && /^[a-z](?:[-a-z0-9]*[a-z0-9])?$/.test(text);
}

/** Whether the text is a DNS subdomain in lower case (RFC 1123): a group. */
export function isSubdomain(text: string): boolean {
  return text.length <= 253 &&
    /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/.test(text);
}

/** The parts of a text as one word: `foo-bar.baz` becomes `FooBarBaz`. */
export function pascalCase(text: string): string {
  const words = text.split(/[^\p{ID_Continue}]+|_+/u).filter((word) => word !== "");
  const joined = words.map((word) => word[0]!.toUpperCase() + word.slice(1)).join("").replace(
    /[\u200c\u200d]/g,
    "",
  );
  if (joined === "") {
    return Array.from(text).map((char) => `U${char.codePointAt(0)!.toString(16)}`).join("") || "Empty";
  }
  return joined;
}

/** A kind as the name of its type: itself, wherever TypeScript can say it. */
export function typeName(kind: string): string {
  const name = /^[\p{ID_Start}_$][\p{ID_Continue}$]*$/u.test(kind) ? kind : pascalCase(kind);
  const legal = /^[\p{ID_Start}_$]/u.test(name) ? name : `_${name}`;
  return reserved.has(legal) ? pascalCase(legal) : legal;
}

/** The constant of a kind: its plural, with the kind's capitals (`configmaps` of ConfigMap: `configMaps`). */
export function constantName(kind: string, plural: string): string {
  let letters = "";
  for (const [index, letter] of Array.from(plural).entries()) {
    if (kind[index]?.toLowerCase() !== letter) break;
    letters += kind[index];
  }
  const cased = letters + plural.slice(letters.length);
  const acronym = /^\p{Lu}+(?=\p{Lu}\p{Ll}|\p{Lu}?$|[^\p{L}]|\p{Ll}$)/u.exec(cased)?.[0] ?? cased[0] ?? "";
  const name = (acronym.toLowerCase() + cased.slice(acronym.length))
    .replace(/[^\p{ID_Continue}]+(.?)/gu, (_, next: string) => next.toUpperCase());
  const legal = /^[\p{ID_Start}_$]/u.test(name) ? name : `_${name}`;
  return reserved.has(legal) ? `${legal}Resource` : legal;
}

/** Gives each name once. */
export class Names {
  #taken = new Set<string>();

  /** The wanted name, or the first free of `name2`, `name3`, ... */
  take(wanted: string): string {
    let name = wanted;
    for (let number = 2; this.#taken.has(name) || reserved.has(name); number++) name = `${wanted}${number}`;
    this.#taken.add(name);
    return name;
  }

  has(name: string): boolean {
    return this.#taken.has(name);
  }
}
