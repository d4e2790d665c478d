/**
 * Watches: changes after a resourceVersion, as one JSON line each.
 *
 * An object that no longer matches the selectors leaves with DELETED; bookmarks come once a minute
 * when asked for; a resourceVersion that is no longer in history ends the watch with 410, as an
 * ERROR event (as kube-apiserver's watch cache does) or as the answer's status, as configured.
 * @module
 */
import type { Backend } from "./backend.ts";
import * as errors from "./errors.ts";
import { groupVersion, type Kind } from "./kind.ts";
import { list, predicate, readVersion, type Restriction } from "./read.ts";
import type { Change } from "./storage.ts";
import type { Json, KubeObject } from "./types.ts";

/** How watches behave. */
export interface WatchOptions {
  /** Between bookmarks; default 60 s, as the server's watch cache does. */
  bookmarkIntervalMs: number;
  /** A watch without timeoutSeconds ends after this and up to twice this; default 30 min. */
  defaultTimeoutMs: number;
  /** How a watch from a forgotten resourceVersion is refused; default `event`. */
  goneAs: "event" | "status";
}

/** Makes an event's object what the client asked for: as it is, metadata only, or a Table. */
export type Render = (object: KubeObject, isFirst: boolean) => Json;

const encoder = new TextEncoder();

/** One open watch. */
class Watcher {
  readonly table: string;
  readonly stream: ReadableStream<Uint8Array>;
  readonly #backend: Backend;
  readonly #kind: Kind;
  readonly #version: string;
  readonly #matches: (object: KubeObject) => boolean;
  readonly #render: Render;
  readonly #onClose: (watcher: Watcher) => void;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  readonly #timers = new Set<() => void>();
  #isOpen = true;
  #isFirst = true;
  #held: Change[] | undefined;
  /** The newest change that this watch has seen. */
  rv: number;

  constructor(
    backend: Backend,
    kind: Kind,
    version: string,
    by: Restriction,
    rv: number,
    render: Render,
    onClose: (watcher: Watcher) => void,
  ) {
    this.#backend = backend;
    this.#kind = kind;
    this.#version = version;
    this.#matches = predicate(kind, version, by);
    this.#render = render;
    this.#onClose = onClose;
    this.table = kind.table;
    this.rv = rv;
    this.stream = new ReadableStream<Uint8Array>({
      start: (controller) => void (this.#controller = controller),
      cancel: () => this.#finish(),
    });
  }

  send(type: string, object: Json): void {
    if (this.#isOpen) this.#controller.enqueue(encoder.encode(`${JSON.stringify({ type, object })}\n`));
  }

  sendObject(type: string, object: KubeObject): void {
    this.send(type, this.#render(object, this.#isFirst));
    this.#isFirst = false;
  }

  /** Tells of a change, as seen through the selectors. */
  see(change: Change): void {
    if (!this.#isOpen) return;
    if (this.#held) return void this.#held.push(change);
    this.rv = change.rv;
    const now = this.#kind.toVersion(change.object, this.#version);
    const before = change.previous && this.#kind.toVersion(change.previous, this.#version);
    const matched = before !== undefined && this.#matches(before);
    if (change.type === "DELETED") {
      if (matched || (!before && this.#matches(now))) this.sendObject("DELETED", now);
      return;
    }
    if (this.#matches(now)) this.sendObject(matched ? "MODIFIED" : "ADDED", now);
    else if (matched && before) {
      // The last state that matched, with the resourceVersion at which it left.
      const { resourceVersion } = now.metadata;
      this.sendObject("DELETED", {
        ...before,
        metadata: { ...before.metadata, ...(resourceVersion ? { resourceVersion } : {}) },
      });
    }
  }

  bookmark(annotations?: Record<string, string>): void {
    this.send("BOOKMARK", {
      kind: this.#kind.kind,
      apiVersion: groupVersion(this.#kind.group, this.#version),
      metadata: {
        resourceVersion: this.#backend.storage.text(this.rv),
        ...(annotations ? { annotations } : {}),
      },
    });
  }

  after(ms: number, action: () => void): void {
    const cancel = this.#backend.clock.setTimer(ms, () => {
      this.#timers.delete(cancel);
      action();
    });
    this.#timers.add(cancel);
  }

  every(ms: number, action: () => void): void {
    this.after(ms, () => {
      action();
      if (this.#isOpen) this.every(ms, action);
    });
  }

  get isHeld(): boolean {
    return this.#held !== undefined;
  }

  /** Holds events back until {@link release}. */
  hold(): void {
    this.#held ??= [];
  }

  release(isLatestOnly: boolean): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const change of isLatestOnly ? latest(held) : held) this.see(change);
  }

  /** Ends the stream normally. */
  close(): void {
    if (!this.#isOpen) return;
    this.#finish();
    this.#controller.close();
  }

  /** Breaks the stream, as a lost connection does. */
  abort(reason: Error): void {
    if (!this.#isOpen) return;
    this.#finish();
    this.#controller.error(reason);
  }

  /** Breaks the stream when the request is aborted. */
  endWith(signal: AbortSignal): void {
    const onAbort = () => this.abort(signal.reason instanceof Error ? signal.reason : new Error("Aborted"));
    signal.addEventListener("abort", onAbort, { once: true });
    this.#timers.add(() => signal.removeEventListener("abort", onAbort));
  }

  /** No timer may outlive the watch. */
  #finish(): void {
    this.#isOpen = false;
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
    this.#onClose(this);
  }
}

/** One change for each object that has changed: from what was told last to what is so now. */
function latest(changes: readonly Change[]): Change[] {
  const found = new Map<string, Change>();
  for (const change of changes) {
    const { namespace, name } = change.object.metadata;
    const key = `${namespace}/${name}`;
    const first = found.get(key);
    found.delete(key);
    if (!first) found.set(key, change);
    // What came and went in between was never seen.
    else if (first.previous || change.type !== "DELETED") {
      found.set(key, { ...change, previous: first.previous });
    }
  }
  return [...found.values()];
}

/** Every open watch of a server. */
export class Watches {
  readonly #backend: Backend;
  readonly #options: WatchOptions;
  readonly #open = new Set<Watcher>();
  readonly #frozen = new Set<string>();
  readonly #repeated = new Set<string>();
  readonly #unsubscribe: () => void;

  constructor(backend: Backend, options: WatchOptions) {
    this.#backend = backend;
    this.#options = options;
    this.#unsubscribe = backend.storage.subscribe((change) => {
      this.#open.forEach((watcher) => {
        if (watcher.table !== change.table) return;
        watcher.see(change);
        if (this.#repeated.has(change.table)) watcher.see(change);
      });
    });
  }

  /** How many are open. */
  get count(): number {
    return this.#open.size;
  }

  /**
   * Opens a watch.
   *
   * @param seenRv the newest moment that this server knows
   */
  open(
    kind: Kind,
    version: string,
    by: Restriction,
    query: URLSearchParams,
    render: Render,
    seenRv: number = this.#backend.storage.rv,
    signal?: AbortSignal,
  ): ReadableStream<Uint8Array> {
    const { storage } = this.#backend;
    const asked = readWatchVersion(this.#backend, query.get("resourceVersion"));
    const wantsInitial = query.get("sendInitialEvents") === "true";
    checkInitial(query);
    const isFromNow = wantsInitial || asked === undefined || asked === 0;
    const skipsInitial = query.get("sendInitialEvents") === "false" && (asked === undefined || asked === 0);
    const from = isFromNow ? seenRv : asked;
    const watcher = new Watcher(
      this.#backend,
      kind,
      version,
      by,
      from,
      render,
      (one) => this.#open.delete(one),
    );
    if (!isFromNow && from < storage.compactedRv) {
      return this.#gone(watcher, query.get("resourceVersion") ?? "");
    }
    this.#open.add(watcher);
    if (signal) watcher.endWith(signal);
    if (isFromNow && !skipsInitial) {
      const page = list(this.#backend, kind, version, by, new URLSearchParams(), seenRv);
      for (const object of page.items) watcher.sendObject("ADDED", object);
      if (wantsInitial) watcher.bookmark({ "k8s.io/initial-events-end": "true" });
    }
    if (this.#frozen.has(kind.table)) watcher.hold();
    for (const change of storage.since(kind.table, from)) if (change.rv <= seenRv) watcher.see(change);
    // A server that lags behind tells of nothing newer than what it has seen.
    if (seenRv < storage.rv) watcher.hold();
    if (query.get("allowWatchBookmarks") === "true") {
      watcher.every(this.#options.bookmarkIntervalMs, () => {
        // Only what this watch has been told of may be bookmarked.
        if (!watcher.isHeld) watcher.rv = storage.rv;
        watcher.bookmark();
      });
    }
    const seconds = Number(query.get("timeoutSeconds") ?? 0);
    const { defaultTimeoutMs } = this.#options;
    watcher.after(
      seconds > 0 ? seconds * 1000 : defaultTimeoutMs * (1 + this.#backend.random()),
      () => watcher.close(),
    );
    return watcher.stream;
  }

  #gone(watcher: Watcher, asked: string): ReadableStream<Uint8Array> {
    const oldest = this.#backend.storage.text(this.#backend.storage.compactedRv);
    const error = errors.expired(`too old resource version: ${asked} (${oldest})`);
    if (this.#options.goneAs === "status") throw error;
    watcher.send("ERROR", error.status);
    watcher.close();
    return watcher.stream;
  }

  /** Ends all watches of a table (all of them by default): normally, broken, or with an error event. */
  drop(table?: string, how: "close" | "abort" | "gone" = "close"): number {
    const watchers = [...this.#open].filter((watcher) => table === undefined || watcher.table === table);
    for (const watcher of watchers) {
      if (how === "abort") watcher.abort(new Error("connection reset"));
      else {
        if (how === "gone") {
          const rv = this.#backend.storage.text(watcher.rv);
          watcher.send("ERROR", errors.expired(`too old resource version: ${rv} (${rv})`).status);
        }
        watcher.close();
      }
    }
    return watchers.length;
  }

  /** Holds back the events of a table until {@link thaw}. */
  freeze(table: string): void {
    this.#frozen.add(table);
    for (const watcher of this.#open) if (watcher.table === table) watcher.hold();
  }

  thaw(table: string, isLatestOnly: boolean): void {
    this.#frozen.delete(table);
    for (const watcher of this.#open) if (watcher.table === table) watcher.release(isLatestOnly);
  }

  /** From now on every event of the table comes twice, or no longer does. */
  repeat(table: string, isOn: boolean): void {
    if (isOn) this.#repeated.add(table);
    else this.#repeated.delete(table);
  }

  close(): void {
    this.#unsubscribe();
    this.drop();
  }
}

/** As for lists, but refused with another status. */
function readWatchVersion(backend: Backend, text: string | null): number | undefined {
  try {
    return readVersion(backend, text);
  } catch (error) {
    const message = (error as Error).message.replace("invalid resource version: ", "");
    throw new errors.StatusError(500, "", message);
  }
}

function checkInitial(query: URLSearchParams): void {
  if (query.get("sendInitialEvents") === null) return;
  if (query.get("resourceVersionMatch") !== "NotOlderThan") {
    throw errors.invalid({ group: "meta.k8s.io", plural: "", kind: "ListOptions" }, "", [{
      type: "Forbidden",
      field: "resourceVersionMatch",
      detail: "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
    }]);
  }
}
