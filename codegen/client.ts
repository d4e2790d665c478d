/**
 * The typed client of a group and version: two classes in the style of @cloudydeno/kubernetes-apis.
 *
 * `AppsV1Api` takes a RestClient, lists and watches across namespaces and serves the cluster-scoped kinds;
 * `namespace("shop")` gives an `AppsV1NamespacedApi` for the others. Their methods are written out as interfaces;
 * the classes behind them are made by the support module (support.ts), which costs the compiler nothing.
 * @module
 */
import { blockComment } from "./comments.ts";
import type { Imports, KindNames, ModuleKind } from "./module.ts";

/** The names of the two classes. */
export interface ClassNames {
  api: string;
  namespaced: string;
}

/** A kind, the names of its types, and the word that its methods end with. */
interface Served {
  kind: ModuleKind;
  names: KindNames;
  word: string;
}

/** The text of the two classes; the second only where a kind is namespaced. */
export function clientClasses(
  classes: ClassNames,
  { group, version }: { group: string; version: string },
  kinds: readonly (readonly [ModuleKind, KindNames])[],
  imports: Imports,
): string {
  const title = group === "" ? `core/${version}` : `${group}/${version}`;
  const served = withWords(kinds);
  const namespaced = served.filter(({ kind }) => kind.scope === "Namespaced");
  const cluster = served.filter(({ kind }) => kind.scope === "Cluster");
  const writer = new MethodWriter(imports);
  const restClient = imports.nameOf("client", "RestClient");
  const doors = [
    "/** The client of one namespace. */",
    `namespace(name: string): ${classes.namespaced};`,
    "/** The client of the namespace that the kubeconfig or the pod's service account names. */",
    `myNamespace(): ${classes.namespaced};`,
  ];
  const given = [servedKinds(cluster), ...(namespaced.length > 0 ? [classes.namespaced] : [])];
  const api = [
    interfaceText(`Client of ${title}.`, classes.api, [
      ...(namespaced.length > 0 ? doors : []),
      ...namespaced.flatMap((one) => writer.reads(one, "ForAllNamespaces")),
      ...cluster.flatMap((one) => writer.all(one)),
    ]),
    `export const ${classes.api}: new (client: ${restClient}) => ${classes.api} = ` +
    `${imports.nameOf("client", "groupApi", true)}<${classes.api}>(${given.join(", ")});`,
  ];
  if (namespaced.length === 0) return api.join("\n\n");
  const ofNamespace = [
    interfaceText(
      `Client of ${title} in one namespace.`,
      classes.namespaced,
      namespaced.flatMap((one) => writer.all(one)),
    ),
    `export const ${classes.namespaced}: new (client: ${restClient}, namespace: string) => ${classes.namespaced} = ` +
    `${imports.nameOf("client", "namespacedApi", true)}<${classes.namespaced}>(${servedKinds(namespaced)});`,
  ];
  return [api[0], ...ofNamespace, api[1]].join("\n\n");
}

function interfaceText(doc: string, name: string, lines: readonly string[]): string {
  return `${blockComment(doc)}export interface ${name} {\n${lines.map((line) => `  ${line}\n`).join("")}}`;
}

/** The kinds as the support module takes them. */
function servedKinds(kinds: readonly Served[]): string {
  const lines = kinds.map(({ kind, names, word }) => {
    const subresources = [...(kind.hasStatus ? [`"status"`] : []), ...(kind.hasScale ? [`"scale"`] : [])];
    const list = subresources.length > 0 ? `, subresources: [${subresources.join(", ")}]` : "";
    return `  ${word}: { resource: ${names.constant}${list} },\n`;
  });
  return lines.length === 0 ? "{}" : `{\n${lines.join("")}}`;
}

/** Kinds can be called Map and MapList, Map and MapStatus: where a method would be there twice, a number tells them apart. */
function withWords(kinds: readonly (readonly [ModuleKind, KindNames])[]): Served[] {
  const taken = new Set<string>();
  return kinds.map(([kind, names]) => {
    for (let number = 1;; number++) {
      const word = number === 1 ? names.write : `${names.write}${number}`;
      const mine = ["", "List", "ListForAllNamespaces", "Status", "Scale"].map((suffix) => word + suffix);
      if (mine.some((name) => taken.has(name))) continue;
      for (const name of mine) taken.add(name);
      return { kind, names, word };
    }
  });
}

/** Writes the methods of a kind, one a line; their signatures are in the support module. */
class MethodWriter {
  readonly #imports: Imports;

  constructor(imports: Imports) {
    this.#imports = imports;
  }

  /** Reads of all objects: list and watch. */
  reads({ names: { read, list }, word }: Served, suffix = ""): string[] {
    return [
      this.#method(`get${word}List${suffix}`, "GetList", list),
      this.#method(`watch${word}List${suffix}`, "WatchList", read),
    ];
  }

  /** Everything that can be done with the objects of a kind in their place. */
  all(served: Served): string[] {
    const { kind, names: { write, read, list }, word } = served;
    return [
      ...this.reads(served),
      this.#method(`create${word}`, "Create", write, read),
      this.#method(`delete${word}List`, "DeleteList", list),
      this.#method(`delete${word}`, "Delete", read),
      ...this.#changes(word, write, read),
      this.#method(`apply${word}`, "Apply", write, read),
      ...(kind.hasStatus ? this.#changes(`${word}Status`, read, read) : []),
      ...(kind.hasScale ? this.#changes(`${word}Scale`, this.#type("Scale"), this.#type("Scale")) : []),
    ];
  }

  /** What an object and its subresources have in common. */
  #changes(word: string, write: string, read: string): string[] {
    const types = write === read ? [read] : [write, read];
    return [
      this.#method(`get${word}`, "Get", read),
      this.#method(`replace${word}`, "Replace", ...types),
      this.#method(`patch${word}`, "Patch", ...types),
    ];
  }

  #method(name: string, signature: string, ...types: string[]): string {
    return `${name}: ${this.#type(signature)}<${types.join(", ")}>;`;
  }

  #type(name: string): string {
    return this.#imports.nameOf("client", name);
  }
}
