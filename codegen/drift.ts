/**
 * The difference between two outputs, told as a difference of the API: fields added, removed, narrowed, widened.
 *
 * Both sides are read back from their TypeScript, so that nothing but the generated files has to be kept.
 * @module
 */

import { byCodeUnit } from "./json.ts";
import {
  type KindAddress,
  type Model,
  modelOf,
  readModules,
  statementsOf,
  type TypeModule,
} from "./drift_model.ts";
import { typescript } from "./typescript.ts";

/**
 * The differences, one line each; empty when the outputs are equal.
 *
 * @example
 * ```text
 * app.example.com/v1 Database .spec.size: narrowed, was optional and is required (breaking)
 * app.example.com/v1 Database .spec.backup: added, optional
 * ```
 *
 * @param isMeant which kinds the comparison is about. Where the earlier output has others, they are passed over, and so
 * is what differs in the text alone.
 */
export function compareOutputs(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
  isMeant: (kind: KindAddress) => boolean = () => true,
): string[] {
  const changed = [...new Set([...before.keys(), ...after.keys()])].sort(byCodeUnit)
    .filter((path) => before.get(path) !== after.get(path));
  const lines: string[] = [];
  const old = readModules(before);
  const fresh = readModules(after);
  let isPart = false;
  for (const { kinds } of old.values()) {
    for (const [kind, { address }] of kinds) {
      if (isMeant(address)) continue;
      kinds.delete(kind);
      isPart = true;
    }
  }
  for (const path of changed) {
    const told = [
      ...compareModules(path.replace(/\.ts$/, ""), old.get(path), fresh.get(path)),
      ...subresourceChanges(before.get(path), after.get(path)).map((change) => `${path}: ${change}`),
    ];
    lines.push(...told);
    // What follows from a module's types is told with them.
    const types = path.replace(/\.(?:client|validate)\.ts$/, ".ts");
    if (told.length > 0 || isPart || types !== path && changed.includes(types)) continue;
    lines.push(`${path}: ${fileChange(before.get(path), after.get(path))}`);
  }
  return lines;
}

function fileChange(before: string | undefined, after: string | undefined): string {
  if (before === undefined) return "added";
  if (after === undefined) return "removed";
  const bare = (text: string) =>
    typescript.createPrinter({ removeComments: true }).printFile(
      typescript.createSourceFile("x.ts", text, typescript.ScriptTarget.ESNext),
    );
  return bare(before) === bare(after)
    ? "only comments differ"
    : "the generated code differs, the API does not";
}

/** The subresources that were added or removed, of kinds that both have. */
function subresourceChanges(before = "", after = ""): string[] {
  const [old, fresh] = [subresourcesOf(before), subresourcesOf(after)];
  return [...fresh].flatMap(([word, names]) => {
    const were = old.get(word) ?? names;
    return [
      ...names.filter((name) => !were.includes(name)).map((name) => `subresource ${name} of ${word} added`),
      ...were.filter((name) => !names.includes(name)).map((name) =>
        `subresource ${name} of ${word} removed (breaking)`
      ),
    ];
  });
}

/** The subresources that a typed client serves, as client.ts writes them: `Thing: Kind<..., "status" | "scale">;`. */
function subresourcesOf(text: string): Map<string, string[]> {
  return new Map(
    [...text.matchAll(/^ {2}(\w+): Kind\w*<(.*)>;$/gm)].map((
      [, word, types],
    ) => [word!, [...types!.matchAll(/"(\w+)"/g)].map(([, name]) => name!)]),
  );
}

function compareModules(
  title: string,
  before: TypeModule | undefined,
  after: TypeModule | undefined,
): string[] {
  const lines: string[] = [];
  const kinds = [...new Set([...before?.kinds.keys() ?? [], ...after?.kinds.keys() ?? []])].sort(byCodeUnit);
  for (const kind of kinds) {
    const old = before?.kinds.get(kind);
    const fresh = after?.kinds.get(kind);
    if (old === undefined) lines.push(`${title} ${kind}: added`);
    else if (fresh === undefined) lines.push(`${title} ${kind}: removed (breaking)`);
    else {
      const [was, is] = [old.address, fresh.address].map(({ plural, scope }) => `${plural} (${scope})`);
      if (was !== is) lines.push(`${title} ${kind}: served elsewhere, ${was} became ${is} (breaking)`);
      const comparison = new Comparison(before!, after!);
      comparison.compareFacts(
        statementsOf(before!, old.write),
        statementsOf(after!, fresh.write),
        "",
        "write",
      );
      comparison.compare(modelOf(before!, old.write), modelOf(after!, fresh.write), "", "write");
      comparison.compare(modelOf(before!, old.read), modelOf(after!, fresh.read), "", "read");
      lines.push(
        ...comparison.lines.map((line) => `${title} ${kind}${line.startsWith(".") ? " " : ""}${line}`),
      );
    }
  }
  return lines;
}

type View = "write" | "read";

/** Walks two types side by side. */
class Comparison {
  readonly lines: string[] = [];
  readonly #before: TypeModule;
  readonly #after: TypeModule;
  readonly #told = new Set<string>();
  readonly #seen = new Set<string>();

  constructor(before: TypeModule, after: TypeModule) {
    this.#before = before;
    this.#after = after;
  }

  compare(before: Model, after: Model, path: string, view: View): void {
    if (before.kind === "named" || after.kind === "named") {
      const key = `${view} ${textOf(before)} ${textOf(after)}`;
      if (this.#seen.has(key)) return;
      this.#seen.add(key);
      return this.compare(this.#open(before, this.#before), this.#open(after, this.#after), path, view);
    }
    if (before.kind === "object" && after.kind === "object") {
      return this.#compareObjects(before, after, path, view);
    }
    if (before.kind === "array" && after.kind === "array") {
      return this.compare(before.items, after.items, `${path}[]`, view);
    }
    this.#compareUnions(before, after, path, view);
  }

  #open(model: Model, module: TypeModule): Model {
    return model.kind === "named" ? modelOf(module, model.name) : model;
  }

  #compareObjects(
    before: Model & { kind: "object" },
    after: Model & { kind: "object" },
    path: string,
    view: View,
  ): void {
    for (const key of [...new Set([...before.fields.keys(), ...after.fields.keys()])]) {
      const old = before.fields.get(key);
      const fresh = after.fields.get(key);
      const place = `${path}.${key}`;
      if (old === undefined && fresh !== undefined) {
        if (fresh.isOptional || view === "read") {
          this.#tell(place, view, `added${fresh.isOptional ? ", optional" : ""}`, false);
        } else this.#tell(place, view, "added and required", true);
      } else if (old !== undefined && fresh === undefined) {
        this.#tell(place, view, "removed", true);
      } else if (old !== undefined && fresh !== undefined) {
        if (old.isOptional && !fresh.isOptional) {
          this.#tell(place, view, "narrowed, was optional and is required", view === "write");
        } else if (!old.isOptional && fresh.isOptional) {
          this.#tell(place, view, "widened, was required and is optional", view === "read");
        }
        // What is read repeats no comment of what is written; of another type other things are said.
        const isOther = old.type.kind === "other" && textOf(old.type) !== textOf(fresh.type);
        if (!isOther && (view === "write" || place.startsWith(".status"))) {
          this.compareFacts(old.facts, fresh.facts, place, view);
        }
        this.compare(old.type, fresh.type, place, view);
      }
    }
    if (before.rest === undefined && after.rest !== undefined) {
      this.#tell(path, view, "widened, takes any other key", false);
    }
    if (before.rest !== undefined && after.rest === undefined) {
      this.#tell(path, view, "narrowed, takes no other key", true);
    }
    if (before.rest !== undefined && after.rest !== undefined) {
      this.compare(before.rest, after.rest, `${path}[*]`, view);
    }
    if (before.conditions !== after.conditions) {
      if (after.conditions === "") {
        this.#tell(path, view, "widened, keys may be combined freely", view === "read");
      } else {
        const isWider = allows(after.conditions, before.conditions);
        this.#tell(path, view, `keys may be combined otherwise: ${after.conditions}`, !isWider);
      }
    }
  }

  /** What no type can say: told as it stands in the comment. */
  compareFacts(before: readonly string[], after: readonly string[], path: string, view: View): void {
    const gone = before.filter((line) => !after.includes(line));
    for (const line of after) {
      if (before.includes(line)) continue;
      const label = labelOf(line);
      const index = gone.findIndex((other) => labelOf(other) === label);
      const [old] = index < 0 ? [] : gone.splice(index, 1);
      const isBreaking = narrows(old, line) && view === "write";
      const what = old === undefined ? `now says "${line}"` : `says "${line}" in place of "${old}"`;
      this.#tell(path, view, what, isBreaking);
    }
    for (const line of gone) this.#tell(path, view, `no longer says "${line}"`, false);
  }

  #compareUnions(before: Model, after: Model, path: string, view: View): void {
    // The one object of each (beside null or a text): compared by what it says, whatever its name is.
    const [oldObject, freshObject] = [onlyDeep(before), onlyDeep(after)];
    const isPair = oldObject !== undefined && freshObject !== undefined &&
      before.kind === "union" && after.kind === "union";
    if (isPair) this.compare(oldObject, freshObject, path, view);
    const old = membersOf(before, isPair ? oldObject : undefined);
    const fresh = membersOf(after, isPair ? freshObject : undefined);
    const wider = fresh.filter((text) => !covers(old, text));
    const narrower = old.filter((text) => !covers(fresh, text));
    if (wider.length > 0 && narrower.length > 0) {
      this.#tell(path, view, `changed from ${old.join(" | ")} to ${fresh.join(" | ")}`, true);
    } else if (wider.length > 0) {
      this.#tell(path, view, `widened, takes ${wider.join(" | ")} as well`, view === "read");
    } else if (narrower.length > 0) {
      this.#tell(path, view, `narrowed, takes ${narrower.join(" | ")} no more`, view === "write");
    }
  }

  /** The written view comes first; the read view adds only what is new there. */
  #tell(path: string, view: View, what: string, isBreaking: boolean): void {
    const key = `${path}: ${what}`;
    if (this.#told.has(key)) return;
    this.#told.add(key);
    this.lines.push(
      `${path}${view === "read" ? ", when read" : ""}: ${what}${isBreaking ? " (breaking)" : ""}`,
    );
  }
}

/** What a line is about: `Each item: Pattern` of `Each item: Pattern: ^a$`. */
function labelOf(line: string): string {
  return /^(?:Each (?:item|value)[^:]*: )?[^: ]+/.exec(line)?.[0] ?? line;
}

/** Whether objects that were accepted may no longer be; a default and a deprecation refuse nothing. */
function narrows(before: string | undefined, after: string): boolean {
  if (/^@deprecated|(?:^|: )Default:/.test(after)) return false;
  if (after.startsWith("The API server does not serve")) return true;
  if (before === undefined) return true;
  const bounds = (line: string) =>
    [
      Number(/(?:at least|more than) (\S+?),?(?: |$)/.exec(line)?.[1] ?? -Infinity),
      Number(/(?:at most|less than) (\S+?),?(?: |$)/.exec(line)?.[1] ?? Infinity),
    ] as const;
  if (!/(?:Value|Length|Items|Keys): (?:at|more|less) /.test(after)) return true;
  const [[oldLeast, oldMost], [least, most]] = [bounds(before), bounds(after)];
  const isOpen = (line: string) => (/more than/.test(line) ? 1 : 0) + (/less than/.test(line) ? 2 : 0);
  return least > oldLeast || most < oldMost || isOpen(before) !== isOpen(after);
}

/** Whether each alternative of `before` is one of `after`, or says more than one of them. */
function allows(after: string, before: string): boolean {
  if (before === "") return false;
  const alternatives = (text: string) =>
    split(text.replace(/^\((.*)\)$/, "$1"), " | ").map((one) =>
      split(one.replace(/^\{ ?(.*?);? ?\}$/, "$1"), "; ")
    );
  const fresh = alternatives(after);
  return alternatives(before).every((old) =>
    fresh.some((members) => members.every((member) => member === "" || old.includes(member)))
  );
}

/** The parts of a text between separators that are in no bracket. */
function split(text: string, separator: string): string[] {
  const parts = [""];
  let depth = 0;
  for (let index = 0; index < text.length; index++) {
    if (depth === 0 && text.startsWith(separator, index)) {
      parts.push("");
      index += separator.length - 1;
      continue;
    }
    if ("({[".includes(text[index]!)) depth++;
    if (")}]".includes(text[index]!)) depth--;
    parts[parts.length - 1] += text[index]!;
  }
  return parts;
}

/** The only member of a union that is more than a word. */
function onlyDeep(model: Model): Model | undefined {
  if (model.kind !== "union") return undefined;
  const deep = model.members.filter(({ kind }) => kind !== "other");
  return deep.length === 1 ? deep[0] : undefined;
}

function membersOf(model: Model, except?: Model): string[] {
  if (model.kind !== "union") return [textOf(model)];
  return model.members.filter((member) => member !== except).map(textOf).sort(byCodeUnit);
}

/** Whether one of the members allows at least what `text` does. */
function covers(members: readonly string[], text: string): boolean {
  if (members.includes(text) || members.includes("unknown")) return true;
  if (text.startsWith('"')) return members.includes("string");
  return /^-?\d/.test(text) && members.includes("number") ||
    (text === "true" || text === "false") && members.includes("boolean");
}

function textOf(model: Model): string {
  switch (model.kind) {
    case "named":
      return model.name;
    case "array":
      return `${textOf(model.items)}[]`;
    case "union":
      return membersOf(model).join(" | ");
    case "object":
      return model.text ?? "an object";
    case "other":
      return model.text;
  }
}
