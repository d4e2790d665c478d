/**
 * The store: every object, one resourceVersion for all of them, and the recent changes.
 *
 * Objects are frozen when they are committed and never change afterwards, so readers share them.
 * The state at any resourceVersion that is still in history can be had back: lists in pages and
 * servers that lag behind are answered from it. Same promises as etcd below kube-apiserver.
 * @module
 */
import { deepFreeze, type KubeObject } from "./types.ts";

/** One committed change. */
export interface Change {
  type: "ADDED" | "MODIFIED" | "DELETED";
  /** `group/plural` */
  table: string;
  rv: number;
  /** The object after the change; for DELETED the last state, carrying the deletion's resourceVersion. */
  object: KubeObject;
  /** The object before the change. */
  previous: KubeObject | undefined;
}

/** `namespace/name`, or `/name` for cluster-scoped objects. */
export const keyOf = (namespace: string | undefined, name: string) => `${namespace ?? ""}/${name}`;

const keyOfObject = (object: KubeObject) => keyOf(object.metadata.namespace, object.metadata.name);

class Table {
  readonly objects = new Map<string, KubeObject>();
  #sorted: string[] | undefined;

  set(key: string, object: KubeObject): void {
    if (!this.objects.has(key)) this.#sorted = undefined;
    this.objects.set(key, object);
  }

  delete(key: string): void {
    this.objects.delete(key);
    this.#sorted = undefined;
  }

  /** Keys in the order in which etcd keeps them. */
  get sorted(): readonly string[] {
    return (this.#sorted ??= [...this.objects.keys()].sort());
  }
}

/** A frozen moment of one table: keys in order, and their objects. */
export interface Snapshot {
  keys: readonly string[];
  get(key: string): KubeObject | undefined;
}

/** Options of {@link Storage}. */
export interface StorageOptions {
  /** Changes kept for watches and for lists at an older resourceVersion; default 20,000. */
  historyLength?: number;
  /** The resourceVersion before the first change; default 1. A bigint tests clients with long versions. */
  firstResourceVersion?: number | bigint;
}

export class Storage {
  readonly #tables = new Map<string, Table>();
  readonly #listeners = new Set<(change: Change) => void>();
  readonly #historyMax: number;
  readonly #offset: bigint;
  #history: Change[] = [];
  #rv = 1;
  #compacted = 0;

  constructor(options: StorageOptions = {}) {
    this.#historyMax = options.historyLength ?? 20_000;
    this.#offset = BigInt(options.firstResourceVersion ?? 1) - 1n;
  }

  /** The newest resourceVersion, as a small number (see {@link text}). */
  get rv(): number {
    return this.#rv;
  }

  /** Changes at or before this resourceVersion are no longer known. */
  get compactedRv(): number {
    return this.#compacted;
  }

  /** What a resourceVersion looks like outside. */
  text(rv: number): string {
    return (BigInt(rv) + this.#offset).toString();
  }

  /** The inner number of a resourceVersion's text; undefined when it is not one. */
  number(text: string): number | undefined {
    if (!/^\d+$/.test(text)) return undefined;
    if (/^0+$/.test(text)) return 0;
    return Number(BigInt(text) - this.#offset);
  }

  get(table: string, namespace: string | undefined, name: string): KubeObject | undefined {
    return this.#tables.get(table)?.objects.get(keyOf(namespace, name));
  }

  /** All objects of a table, of one namespace when it is given, in key order. */
  list(table: string, namespace?: string): KubeObject[] {
    const rows = this.#tables.get(table);
    if (!rows) return [];
    const found: KubeObject[] = [];
    for (const key of rows.sorted) {
      const object = rows.objects.get(key);
      if (object && (namespace === undefined || object.metadata.namespace === namespace)) found.push(object);
    }
    return found;
  }

  /** Names of the tables that hold anything. */
  tables(): string[] {
    return [...this.#tables].filter(([, rows]) => rows.objects.size > 0).map(([name]) => name);
  }

  /**
   * The table as it was at `rv`.
   *
   * @returns undefined when that moment has been compacted away
   */
  snapshot(table: string, rv: number): Snapshot | undefined {
    const rows = this.#tables.get(table) ?? new Table();
    if (rv >= this.#rv) return { keys: rows.sorted, get: (key) => rows.objects.get(key) };
    if (rv < this.#compacted) return undefined;
    const past = new Map(rows.objects);
    for (let i = this.#history.length - 1; i >= 0; i--) {
      const change = this.#history[i];
      if (!change || change.rv <= rv) break;
      if (change.table !== table) continue;
      if (change.previous) past.set(keyOfObject(change.object), change.previous);
      else past.delete(keyOfObject(change.object));
    }
    const keys = [...past.keys()].sort();
    return { keys, get: (key) => past.get(key) };
  }

  /** Changes of a table (of all tables when undefined) after `rv`, oldest first. */
  since(table: string | undefined, rv: number): Change[] {
    let low = 0;
    let high = this.#history.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#history[middle]?.rv ?? 0) <= rv) low = middle + 1;
      else high = middle;
    }
    const tail = this.#history.slice(low);
    return table === undefined ? tail : tail.filter((change) => change.table === table);
  }

  /** Writes an object: gives it the next resourceVersion, freezes it and tells the listeners. */
  put(table: string, object: KubeObject): KubeObject {
    const rv = ++this.#rv;
    object.metadata.resourceVersion = this.text(rv);
    deepFreeze(object);
    let rows = this.#tables.get(table);
    if (!rows) this.#tables.set(table, rows = new Table());
    const key = keyOfObject(object);
    const previous = rows.objects.get(key);
    rows.set(key, object);
    this.#record({ type: previous ? "MODIFIED" : "ADDED", table, rv, object, previous });
    return object;
  }

  /** Removes an object; the returned last state carries the deletion's resourceVersion. */
  remove(table: string, object: KubeObject): KubeObject {
    const rv = ++this.#rv;
    const key = keyOfObject(object);
    const rows = this.#tables.get(table);
    const previous = rows?.objects.get(key);
    rows?.delete(key);
    const last = deepFreeze({
      ...object,
      metadata: { ...object.metadata, resourceVersion: this.text(rv) },
    });
    this.#record({ type: "DELETED", table, rv, object: last, previous });
    return last;
  }

  #record(change: Change): void {
    this.#history.push(change);
    if (this.#history.length > this.#historyMax * 1.25) {
      this.#history = this.#history.slice(-this.#historyMax);
      this.#compacted = (this.#history[0]?.rv ?? 1) - 1;
    }
    for (const listener of this.#listeners) listener(change);
  }

  /** Forgets the changes up to `rv`; default all. */
  compact(rv: number = this.#rv): void {
    this.#history = this.#history.filter((change) => change.rv > rv);
    this.#compacted = Math.max(this.#compacted, Math.min(rv, this.#rv));
  }

  /** Calls `listener` after every change; returns the function that ends it. */
  subscribe(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}
