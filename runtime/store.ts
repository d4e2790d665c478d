/**
 * The store of an informer: the last known state of each object, frozen.
 *
 * Objects are kept by namespace and name, and found by label, by namespace or through indexes. What goes in comes out
 * with `apiVersion` and `kind`; what never changes is never copied.
 * @module
 */

import { compareResourceVersions, isComparable } from "./resource_version.ts";
import type { Key, KubernetesObject } from "./types.ts";
import { parseKey } from "./metadata.ts";
import { matchesLabels } from "./selectors.ts";
import { isLongText, sharedText } from "./texts.ts";

/** Says under which values of an index an object is found. */
export type Indexer = (object: KubernetesObject) => string[];

/** What one write to the store changed, in order. */
export type Change =
  | { type: "add"; object: KubernetesObject }
  | { type: "update"; before: KubernetesObject; object: KubernetesObject }
  | { type: "delete"; object: KubernetesObject; unseen: boolean };

type Index = { indexer: Indexer; found: Map<string, Set<KubernetesObject>> };

/** Objects of one kind. */
export class Store {
  readonly #namespaces = new Map<string, Map<string, KubernetesObject>>();
  readonly #indexes = new Map<string, Index>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(key: Key | string): KubernetesObject | undefined {
    const { namespace, name } = typeof key === "string" ? parseKey(key) : key;
    return this.#namespaces.get(namespace ?? "")?.get(name);
  }

  /** All objects, of one namespace or selected by labels. */
  list(options: { namespace?: string; labelSelector?: string } = {}): KubernetesObject[] {
    const found = [...this.values(options.namespace)];
    if (!options.labelSelector) return found;
    return found.filter((object) => matchesLabels(options.labelSelector, object.metadata?.labels));
  }

  *values(namespace?: string): Iterable<KubernetesObject> {
    if (namespace) yield* this.#namespaces.get(namespace)?.values() ?? [];
    else for (const objects of this.#namespaces.values()) yield* objects.values();
  }

  /** @throws {RangeError} when there is no index of that name */
  byIndex(index: string, value: string): KubernetesObject[] {
    const found = this.#indexes.get(index);
    if (!found) throw new RangeError(`Cannot look up "${value}": there is no index "${index}"`);
    return [...found.found.get(value) ?? []];
  }

  /** Adds an index; the objects that are here already are put into it. */
  addIndex(name: string, indexer: Indexer): void {
    if (this.#indexes.has(name)) return;
    const index: Index = { indexer, found: new Map() };
    this.#indexes.set(name, index);
    for (const object of this.values()) addTo(index, object);
  }

  /**
   * Takes in the state of one object.
   *
   * A state that is not newer than the one known changes nothing, so nothing ever goes back in time. Another uid under
   * the same name is another object: the old one is deleted first.
   */
  upsert(object: KubernetesObject): Change[] {
    const before = this.get(object.metadata as Key);
    if (!before) {
      this.#put(object);
      return [{ type: "add", object }];
    }
    if (before.metadata?.uid !== object.metadata?.uid) {
      this.#drop(before);
      this.#put(object);
      return [{ type: "delete", object: before, unseen: true }, { type: "add", object }];
    }
    if (!isNewer(object, before)) return [];
    this.#drop(before);
    this.#put(object);
    return [{ type: "update", before, object }];
  }

  /** The object is gone; `last` is how it looked at the end. */
  remove(last: KubernetesObject): Change[] {
    const before = this.get(last.metadata as Key);
    if (!before) return [];
    if (before.metadata?.uid !== last.metadata?.uid) {
      // A late farewell to an older object of the same name: the present one is another.
      return [];
    }
    this.#drop(before);
    return [{ type: "delete", object: freeze(last), unseen: false }];
  }

  /** Takes in a whole list of one namespace, or of all: what is not in it vanished unseen. */
  replace(objects: KubernetesObject[], namespace?: string): Change[] {
    const listed = new Map<string, Set<string>>();
    for (const { metadata } of objects) {
      let names = listed.get(metadata?.namespace ?? "");
      if (!names) listed.set(metadata?.namespace ?? "", names = new Set());
      names.add(metadata?.name ?? "");
    }
    const changes: Change[] = [];
    for (const object of [...this.values(namespace)]) {
      const { namespace: at = "", name = "" } = object.metadata ?? {};
      if (listed.get(at)?.has(name)) continue;
      this.#drop(object);
      changes.push({ type: "delete", object, unseen: true });
    }
    for (const object of objects) changes.push(...this.#adopt(object));
    return changes;
  }

  /** An object of a list: the list is the truth, also where its versions are older (a restored cluster). */
  #adopt(object: KubernetesObject): Change[] {
    const before = this.get(object.metadata as Key);
    const isRewound = before?.metadata?.uid === object.metadata?.uid && before !== undefined &&
      before.metadata?.resourceVersion !== object.metadata?.resourceVersion && !isNewer(object, before);
    if (!isRewound) return this.upsert(object);
    this.#drop(before);
    this.#put(object);
    return [{ type: "update", before, object }];
  }

  #put(object: KubernetesObject): void {
    freeze(object);
    const { namespace = "", name = "" } = object.metadata ?? {};
    let objects = this.#namespaces.get(namespace);
    if (!objects) this.#namespaces.set(namespace, objects = new Map());
    objects.set(name, object);
    this.#size += 1;
    for (const index of this.#indexes.values()) addTo(index, object);
  }

  #drop(object: KubernetesObject): void {
    const { namespace = "", name = "" } = object.metadata ?? {};
    const objects = this.#namespaces.get(namespace);
    if (!objects?.delete(name)) return;
    this.#size -= 1;
    if (objects.size === 0) this.#namespaces.delete(namespace);
    for (const { indexer, found } of this.#indexes.values()) {
      for (const value of indexer(object)) {
        const at = found.get(value);
        at?.delete(object);
        if (at?.size === 0) found.delete(value);
      }
    }
  }
}

function addTo({ indexer, found }: Index, object: KubernetesObject): void {
  for (const value of indexer(object)) {
    const at = found.get(value);
    if (at) at.add(object);
    else found.set(value, new Set([object]));
  }
}

function isNewer(object: KubernetesObject, before: KubernetesObject): boolean {
  const [next, last] = [object.metadata?.resourceVersion, before.metadata?.resourceVersion];
  return !isComparable(next) || !isComparable(last) || compareResourceVersions(next, last) > 0;
}

/**
 * Freezes all of it: a reader that changes a cached object fails at once instead of misleading all others. Its long texts
 * are shared with other objects that have the same.
 */
export function freeze<Value>(value: Value): Value {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  const fields = value as Record<string, unknown>;
  for (const name of Object.keys(fields)) {
    const inner = fields[name];
    if (typeof inner !== "string") freeze(inner);
    else if (isLongText(inner)) fields[name] = sharedText(inner);
  }
  return Object.freeze(value);
}
