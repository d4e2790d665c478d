/**
 * The typed client of a group and version: two classes in the style of @cloudydeno/kubernetes-apis.
 *
 * `AppsV1Api` takes a RestClient, lists and watches across namespaces and serves the cluster-scoped kinds;
 * `namespace("shop")` gives an `AppsV1NamespacedApi` for the others. The methods are thin: addresses and types
 * are here, requests are in the support module (support.ts).
 * @module
 */
import type { Imports, KindNames, ModuleKind } from "./module.ts";
import { Names } from "./names.ts";

/** The names of the two classes. */
export interface ClassNames {
  api: string;
  namespaced: string;
}

/** The text of the two classes; the second only where a kind is namespaced. */
export function clientClasses(
  classes: ClassNames,
  { group, version }: { group: string; version: string },
  kinds: readonly (readonly [ModuleKind, KindNames])[],
  imports: Imports,
): string {
  const writer = new MethodWriter(imports);
  const ofNamespace = new MethodWriter(imports);
  const root = group === "" ? `/api/${version}/` : `/apis/${group}/${version}/`;
  const title = group === "" ? `core/${version}` : `${group}/${version}`;
  const namespaced = kinds.filter(([kind]) => kind.scope === "Namespaced");
  const cluster = kinds.filter(([kind]) => kind.scope === "Cluster");
  const rest = imports.nameOf("client", "RestClient");
  const across = namespaced.flatMap(([kind, names]) =>
    writer.collectionReads(kind, names, "ForAllNamespaces")
  );
  const doors = namespaced.length === 0 ? [] : [
    `  /** The client of one namespace. */
  namespace(name: string): ${classes.namespaced} {
    return new ${classes.namespaced}(this.#client, name);
  }`,
    `  /** The client of the namespace that the kubeconfig or the pod's service account names. */
  myNamespace(): ${classes.namespaced} {
    if (!this.#client.defaultNamespace) throw new Error("Cannot tell my namespace: the client has no default");
    return new ${classes.namespaced}(this.#client, this.#client.defaultNamespace);
  }`,
  ];
  const first = `/** Client of ${title}. */
export class ${classes.api} {
  readonly #client: ${rest};
  readonly #root = ${JSON.stringify(root)};

  constructor(client: ${rest}) {
    this.#client = client;
  }

${[...doors, ...across, ...cluster.flatMap(([kind, names]) => writer.allMethods(kind, names))].join("\n\n")}
}`;
  if (namespaced.length === 0) return first;
  return `${first}

/** Client of ${title} in one namespace. */
export class ${classes.namespaced} {
  readonly #client: ${rest};
  readonly #root: string;

  constructor(client: ${rest}, namespace: string) {
    this.#client = client;
    this.#root = \`${root}namespaces/\${encodeURIComponent(namespace)}/\`;
  }

${namespaced.flatMap(([kind, names]) => ofNamespace.allMethods(kind, names)).join("\n\n")}
}`;
}

/** Writes the methods of one class. */
class MethodWriter {
  /** Kinds can be called Map and MapList: each method's name is given once. */
  readonly #methods = new Names();
  readonly #imports: Imports;
  readonly #promise: string;
  readonly #stream: string;

  constructor(imports: Imports) {
    this.#imports = imports;
    this.#promise = imports.globalType("Promise");
    this.#stream = imports.globalType("ReadableStream");
  }

  /** Reads of all objects: list and watch. */
  collectionReads(kind: ModuleKind, { write, read, list, constant }: KindNames, suffix = ""): string[] {
    const watchEvent = this.#type("WatchEvent");
    return [
      `  ${this.#methods.take(`get${write}List${suffix}`)}(opts: ${
        this.#type("GetListOpts")
      } = {}): ${this.#promise}<${list}> {
    return ${this.#value("list")}(this.#client, ${constant}, \`\${this.#root}${kind.plural}\`, opts);
  }`,
      `  ${this.#methods.take(`watch${write}List${suffix}`)}(opts: ${
        this.#type("WatchListOpts")
      } = {}): ${this.#promise}<${this.#stream}<${watchEvent}<${read}>>> {
    return ${this.#value("watch")}(this.#client, \`\${this.#root}${kind.plural}\`, opts);
  }`,
    ];
  }

  /** Everything that can be done with the objects of a kind in their place. */
  allMethods(kind: ModuleKind, names: KindNames): string[] {
    const { write, read, list, constant } = names;
    const path = `\`\${this.#root}${kind.plural}\``;
    const one = (tail = "") => `\`\${this.#root}${kind.plural}/\${encodeURIComponent(name)}${tail}\``;
    const promise = this.#promise;
    const putOpts = this.#type("PutOpts");
    const patchOpts = this.#type("PatchOpts");
    const methods = [
      ...this.collectionReads(kind, names),
      `  ${this.#methods.take(`create${write}`)}(body: ${write}, opts: ${putOpts} = {}): ${promise}<${read}> {
    return ${this.#value("send")}(this.#client, "POST", ${path}, body, opts);
  }`,
      `  ${this.#methods.take(`delete${write}List`)}(opts: ${
        this.#type("DeleteListOpts")
      } = {}): ${promise}<${list} | ${this.#type("Status")}> {
    return ${this.#value("remove")}(this.#client, ${path}, opts);
  }`,
      `  ${this.#methods.take(`get${write}`)}(name: string, opts: ${
        this.#type("NoOpts")
      } = {}): ${promise}<${read}> {
    return ${this.#value("get")}(this.#client, ${one()}, opts);
  }`,
      `  ${this.#methods.take(`delete${write}`)}(name: string, opts: ${
        this.#type("DeleteOpts")
      } = {}): ${promise}<${read} | ${this.#type("Status")}> {
    return ${this.#value("remove")}(this.#client, ${one()}, opts);
  }`,
      `  ${
        this.#methods.take(`replace${write}`)
      }(name: string, body: ${write}, opts: ${putOpts} = {}): ${promise}<${read}> {
    return ${this.#value("send")}(this.#client, "PUT", ${one()}, body, opts);
  }`,
      `  ${this.#methods.take(`patch${write}`)}(name: string, type: ${this.#type("PatchType")}, body: ${
        this.#patchBody(write)
      }, opts: ${patchOpts} = {}): ${promise}<${read}> {
    return ${this.#value("patch")}(this.#client, ${one()}, type, body, opts);
  }`,
      `  /** Server-side apply: what \`fieldManager\` wants the object to be. */
  ${this.#methods.take(`apply${write}`)}(name: string, body: ${write}, opts: ${
        this.#type("ApplyOpts")
      }): ${promise}<${read}> {
    return ${this.#value("apply")}(this.#client, ${constant}, ${one()}, body, opts);
  }`,
    ];
    if (kind.hasStatus) methods.push(...this.#subresource(kind, names, "Status", read, read));
    if (kind.hasScale) {
      methods.push(...this.#subresource(kind, names, "Scale", this.#type("Scale"), this.#type("Scale")));
    }
    return methods;
  }

  #subresource(
    kind: ModuleKind,
    { write }: KindNames,
    name: "Status" | "Scale",
    read: string,
    body: string,
  ): string[] {
    const path = `\`\${this.#root}${kind.plural}/\${encodeURIComponent(name)}/${name.toLowerCase()}\``;
    const promise = this.#promise;
    return [
      `  ${this.#methods.take(`get${write}${name}`)}(name: string, opts: ${
        this.#type("NoOpts")
      } = {}): ${promise}<${read}> {
    return ${this.#value("get")}(this.#client, ${path}, opts);
  }`,
      `  ${this.#methods.take(`replace${write}${name}`)}(name: string, body: ${body}, opts: ${
        this.#type("PutOpts")
      } = {}): ${promise}<${read}> {
    return ${this.#value("send")}(this.#client, "PUT", ${path}, body, opts);
  }`,
      `  ${this.#methods.take(`patch${write}${name}`)}(name: string, type: ${
        this.#type("PatchType")
      }, body: ${this.#patchBody(body)}, opts: ${this.#type("PatchOpts")} = {}): ${promise}<${read}> {
    return ${this.#value("patch")}(this.#client, ${path}, type, body, opts);
  }`,
    ];
  }

  #patchBody(type: string): string {
    return `${this.#type("DeepPartial")}<${type}> | ${this.#type("JsonPatch")}`;
  }

  #type(name: string): string {
    return name === "Status" ? this.#imports.nameOf("meta/v1", name) : this.#imports.nameOf("client", name);
  }

  #value(name: string): string {
    return this.#imports.nameOf("client", `${name}Json`, true);
  }
}
