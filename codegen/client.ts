/**
 * The typed client of a group and version: two classes in the style of @cloudydeno/kubernetes-apis.
 *
 * `AppsV1Api` takes a RestClient, lists and watches across namespaces and serves the cluster-scoped kinds;
 * `namespace("shop")` gives an `AppsV1NamespacedApi` for the others. A kind is one line of types and one of values;
 * its methods are made from the line by the support module (support.ts), for the compiler when one is called.
 * @module
 */
import { blockComment } from "./comments.ts";
import type { Imports, KindNames, ModuleKind } from "./module.ts";

/** The names of the two classes. */
export interface ClassNames {
  api: string;
  namespaced: string;
}

/** A kind, what its types and its constant are called here, and the word that its methods end with. */
interface Served {
  kind: ModuleKind;
  names: ClientNames;
  word: string;
}

/** What the types and the constant of a kind are called in the client's module; its methods end with `word`. */
export interface ClientNames extends KindNames {
  word: string;
}

/** The text of the two classes; the second only where a kind is namespaced. */
export function clientClasses(
  classes: ClassNames,
  { group, version }: { group: string; version: string },
  kinds: readonly (readonly [ModuleKind, ClientNames])[],
  imports: Imports,
): string {
  const title = group === "" ? `core/${version}` : `${group}/${version}`;
  const served = withWords(kinds);
  const namespaced = served.filter(({ kind }) => kind.scope === "Namespaced");
  const cluster = served.filter(({ kind }) => kind.scope === "Cluster");
  // Methods have no comments of their own: the client is deprecated, where all its kinds are.
  const isDeprecated = kinds.every(([kind]) => kind.deprecation !== undefined);
  const texts = new ClassTexts(imports, isDeprecated ? kinds[0]![0].deprecation : undefined);
  const sections: string[] = [];
  if (namespaced.length > 0) {
    const type = texts.typeOf("KindsApi", "NamespacedKinds");
    sections.push(
      texts.kinds(`The kinds of ${title} in namespaces.`, "NamespacedKinds", namespaced),
      texts.class(`Client of ${title} in one namespace.`, classes.namespaced, type, "namespaced", [
        servedKinds(namespaced),
      ]),
    );
  }
  if (cluster.length > 0) {
    sections.push(texts.kinds(`The cluster-scoped kinds of ${title}.`, "ClusterKinds", cluster));
  }
  const ofCluster = cluster.length > 0 ? ["ClusterKinds"] : [];
  const type = namespaced.length > 0
    ? texts.typeOf("GroupApi", "NamespacedKinds", ...ofCluster)
    : texts.typeOf("KindsApi", ...ofCluster);
  const args = [servedKinds(cluster), ...(namespaced.length > 0 ? [classes.namespaced] : [])];
  sections.push(texts.class(`Client of ${title}.`, classes.api, type, "group", args));
  return sections.join("\n\n");
}

/** The kinds as the support module takes them. */
function servedKinds(kinds: readonly Served[]): string {
  const lines = kinds.map(({ names, word }) => `  ${word}: ${names.constant},\n`);
  return lines.length === 0 ? "{}" : `{\n${lines.join("")}}`;
}

function subresourcesOf({ hasStatus, hasScale }: ModuleKind): string[] {
  return [...(hasStatus ? [`"status"`] : []), ...(hasScale ? [`"scale"`] : [])];
}

/** Kinds can be called Map and MapList, Map and MapStatus: where a method would be there twice, a number tells them apart. */
function withWords(kinds: readonly (readonly [ModuleKind, ClientNames])[]): Served[] {
  const taken = new Set<string>();
  return kinds.map(([kind, names]) => {
    for (let number = 1;; number++) {
      const word = number === 1 ? names.word : `${names.word}${number}`;
      const mine = ["", "List", "ListForAllNamespaces", "Status", "Scale"].map((suffix) => word + suffix);
      if (mine.some((name) => taken.has(name))) continue;
      for (const name of mine) taken.add(name);
      return { kind, names, word };
    }
  });
}

/** Writes the parts of a client module; what they are made of is in the support module. */
class ClassTexts {
  readonly #imports: Imports;
  readonly #deprecation: string | undefined;

  /** @param deprecation the tag of the clients, where they are deprecated */
  constructor(imports: Imports, deprecation: string | undefined) {
    this.#imports = imports;
    this.#deprecation = deprecation;
  }

  /** The kinds with their types. */
  kinds(doc: string, name: string, kinds: readonly Served[]): string {
    const lines = kinds.map(({ kind, names: { write, read, list }, word }) => {
      const subresources = subresourcesOf(kind).join(" | ");
      return `  ${word}: ${
        this.typeOf("Kind", write, read, list, ...(subresources === "" ? [] : [subresources]))
      };\n`;
    });
    return `${blockComment(doc)}interface ${name} {\n${lines.join("")}}`;
  }

  /** A class: its type, and its value. */
  class(doc: string, name: string, type: string, scope: "namespaced" | "group", args: string[]): string {
    const classType = this.typeOf(scope === "group" ? "GroupClass" : "NamespacedClass", name);
    const make = this.#imports.nameOf("requests", `${scope}Api`, true);
    const [whole, tag] = this.#deprecation === undefined
      ? [doc, ""]
      : [`${doc}\n\n${this.#deprecation}`, blockComment(this.#deprecation)];
    return `${blockComment(whole)}export type ${name} = ${type};\n` +
      `${tag}export const ${name}: ${classType} = ${make}<${name}>(${args.join(", ")});`;
  }

  typeOf(name: string, ...of: string[]): string {
    return `${this.#imports.nameOf("client", name)}<${of.join(", ")}>`;
  }
}
