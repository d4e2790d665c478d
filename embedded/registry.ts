/**
 * Which kinds are served: the built-in ones, and those of CustomResourceDefinitions.
 * @module
 */
import { builtinKinds } from "./builtin/kinds.ts";
import { comparePriority, CustomKind } from "./custom_kind.ts";
import { groupOf, type Kind } from "./kind.ts";
import type { KubeObject } from "./types.ts";

/** Where CustomResourceDefinitions are stored. */
export const crdTable = "apiextensions.k8s.io/customresourcedefinitions";

export class Registry {
  readonly #kinds = new Map<string, Kind>();

  constructor() {
    for (const kind of builtinKinds()) this.#kinds.set(`${kind.group}/${kind.plural}`, kind);
  }

  /** Every kind, built-in ones first. */
  all(): Kind[] {
    return [...this.#kinds.values()];
  }

  /** The kind that `/apis/<group>/<version>/<plural>` names. */
  find(group: string, version: string, plural: string): Kind | undefined {
    const kind = this.#kinds.get(`${group}/${plural}`);
    return kind?.versions.includes(version) ? kind : undefined;
  }

  /** The kind that an object or an owner reference names. */
  byKind(apiVersion: string, kind: string): Kind | undefined {
    const group = groupOf(apiVersion);
    return this.all().find((known) => known.group === group && known.kind === kind);
  }

  /** The kind of a store's table. */
  byTable(table: string): Kind | undefined {
    return this.#kinds.get(table) ?? this.all().find((kind) => kind.table === table);
  }

  /** Serves (or no longer serves) what a CustomResourceDefinition says. */
  apply(crd: KubeObject, isDeleted: boolean): void {
    const key = `${crd.spec.group}/${crd.spec.names.plural}`;
    if (isDeleted) this.#kinds.delete(key);
    else this.#kinds.set(key, new CustomKind(crd));
  }

  /** Served groups with their versions, preferred first. */
  groups(): { name: string; versions: string[] }[] {
    const versions = new Map<string, Set<string>>();
    for (const kind of this.all()) {
      if (kind.group === "") continue;
      const known = versions.get(kind.group) ?? new Set();
      for (const version of kind.versions) known.add(version);
      versions.set(kind.group, known);
    }
    for (const group of ["authentication.k8s.io", "authorization.k8s.io"]) {
      versions.set(group, new Set(["v1"]));
    }
    return [...versions].map(([name, set]) => ({ name, versions: [...set].sort(comparePriority) }));
  }
}
