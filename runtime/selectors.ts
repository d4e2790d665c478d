/**
 * Label selectors, matched here as the API server matches them, for reads from a cache.
 * @module
 */

/** One requirement on one label. */
type Requirement = { label: string; isMet: (value: string | undefined) => boolean };

const parsed = new Map<string, Requirement[]>();
/** Selectors are few and written in code; the bound is for one that is built from data. */
const PARSED_MAX = 1_000;

/**
 * True when the labels satisfy the selector (`app=db,tier!=test,env in (a,b),!old`).
 *
 * @throws {SyntaxError} when the selector cannot be read
 */
export function matchesLabels(
  selector: string | undefined,
  labels: { [name: string]: string } | undefined,
): boolean {
  if (!selector) return true;
  let requirements = parsed.get(selector);
  if (!requirements) {
    requirements = parse(selector);
    if (parsed.size >= PARSED_MAX) parsed.clear();
    parsed.set(selector, requirements);
  }
  return requirements.every((requirement) => requirement.isMet(labels?.[requirement.label]));
}

/** True when what `narrow` selects is surely part of what `wide` selects: each term of `wide` stands in `narrow`. */
export function isNarrower(narrow: string | undefined, wide: string | undefined): boolean {
  if (!wide) return true;
  const terms = split(narrow ?? "");
  return split(wide).every((term) =>
    terms.some((one) => one === term || one.startsWith(`${term}=`) || one.startsWith(`${term} in `))
  );
}

/** The terms of a selector; a comma within parentheses does not end one. */
function split(selector: string): string[] {
  return selector.split(/,(?![^(]*\))/)
    .map((term) => term.trim().replace(/\s*(?:(!)=|==?)\s*/, "$1="))
    .filter((term) => term !== "");
}

function parse(selector: string): Requirement[] {
  return split(selector).map((term): Requirement => {
    let match = /^([\w./-]+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(term);
    if (match) {
      const values = new Set(match[3]!.split(",").map((value) => value.trim()));
      const isIn = match[2] === "in";
      return {
        label: match[1]!,
        isMet: (value) =>
          isIn ? value !== undefined && values.has(value) : value === undefined || !values.has(value),
      };
    }
    match = /^([\w./-]+)(=|!=)([\w.-]*)$/.exec(term);
    if (match) {
      const wanted = match[3]!;
      return {
        label: match[1]!,
        isMet: match[2] === "!=" ? (value) => value !== wanted : (value) => value === wanted,
      };
    }
    match = /^(!?)\s*([\w./-]+)$/.exec(term);
    if (!match) throw new SyntaxError(`Cannot read the label selector "${selector}": at "${term}"`);
    const isAbsent = match[1] === "!";
    return { label: match[2]!, isMet: (value) => (value === undefined) === isAbsent };
  });
}
