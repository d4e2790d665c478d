/**
 * An in-process Kubernetes API: a Request in, a Response out, no socket and no cluster.
 *
 * It stores objects, serves discovery, CRUD, watches, server-side apply, custom resources with
 * validation and CEL, and (when asked) plays the controllers, the nodes and Patroni. What it promises
 * is what operators lean on in kube-apiserver 1.36; where it knowingly differs is in README.md.
 *
 * @example Apply and read back
 * const api = new EmbeddedApi();
 * await api.fetch(new Request("http://api/api/v1/namespaces/default/configmaps", {
 *   method: "POST", body: JSON.stringify({ metadata: { name: "a" }, data: { x: "1" } }),
 * }));
 * @module
 */
import { Backend, type BackendOptions } from "./backend.ts";
import { Controllers, type SimulationOptions } from "./controllers/mod.ts";
import { bootstrap, serveDefinitions } from "./definitions.ts";
import { StatusError } from "./errors.ts";
import { Handler, type RequestInfo } from "./handler.ts";
import type { KubeObject } from "./types.ts";
import { Watches } from "./watch.ts";

export type { Clock, Json, KubeObject, Random } from "./types.ts";
export type { RequestInfo } from "./handler.ts";
export type { SimulationOptions } from "./controllers/mod.ts";
export { StatusError } from "./errors.ts";

/** Hooks around requests, for tests that want faults. */
export interface Intercept {
  /**
   * Called before anything happens. An answer replaces the request; a promise that never settles hangs
   * it; a rejection cuts the connection.
   */
  before?(info: RequestInfo, request: Request): Response | undefined | Promise<Response | undefined>;
  /**
   * Called when the request has been carried out. An answer replaces the real one, which is then lost;
   * a rejection loses the answer after the commit.
   */
  after?(info: RequestInfo, response: Response): Response | undefined | Promise<Response | undefined>;
}

/** Options of {@link EmbeddedApi}. */
export interface EmbeddedOptions extends BackendOptions {
  /** Between bookmarks of a watch; default 60 s. */
  bookmarkIntervalMs?: number;
  /** A watch that names no timeout ends after this and up to twice this; default 30 min. */
  watchTimeoutMs?: number;
  /** How a watch from a forgotten resourceVersion is refused: as an ERROR event, or as status 410; default `event`. */
  goneAs?: "event" | "status";
  /** Garbage collection and namespace deletion; default on. */
  controllers?: boolean;
  /** StatefulSets, claims, Jobs, nodes and Patroni; default off. */
  simulate?: SimulationOptions | boolean;
  /** Namespaces that are there from the start, besides default, kube-system and kube-public. */
  namespaces?: readonly string[];
  /** CustomResourceDefinitions that are served from the start. */
  crds?: readonly unknown[];
  intercept?: Intercept;
}

/** The API. */
export class EmbeddedApi {
  readonly #backend: Backend;
  readonly #watches: Watches;
  readonly #handler: Handler;
  readonly #controllers: Controllers | undefined;
  readonly #ends: (() => void)[] = [];
  #intercept: Intercept;
  #isClosed = false;

  constructor(options: EmbeddedOptions = {}) {
    this.#intercept = options.intercept ?? {};
    this.#backend = new Backend(options);
    this.#watches = new Watches(this.#backend, {
      bookmarkIntervalMs: options.bookmarkIntervalMs ?? 60_000,
      defaultTimeoutMs: options.watchTimeoutMs ?? 30 * 60_000,
      goneAs: options.goneAs ?? "event",
    });
    this.#handler = new Handler(this.#backend, this.#watches);
    this.#ends.push(serveDefinitions(this.#backend));
    if (options.controllers !== false) {
      const simulation = options.simulate === true ? {} : options.simulate || undefined;
      this.#controllers = new Controllers(this.#backend, simulation);
    }
    bootstrap(this.#backend, options.namespaces ?? [], (options.crds ?? []) as KubeObject[]);
    this.#controllers?.start();
  }

  /** Answers a request as kube-apiserver would; only an intercept makes it reject. */
  async fetch(request: Request): Promise<Response> {
    return await this.#answer(request, undefined);
  }

  /**
   * The same store as a server sees it that lags behind: reads and watches show the state at `resourceVersion`,
   * writes go to the real store.
   */
  lagging(resourceVersion: string): { fetch(request: Request): Promise<Response> } {
    const rv = this.#backend.storage.number(resourceVersion);
    return { fetch: (request) => this.#answer(request, rv) };
  }

  async #answer(request: Request, seenRv: number | undefined): Promise<Response> {
    if (this.#isClosed) {
      return new StatusError(503, "ServiceUnavailable", "the server is shutting down").response();
    }
    const info = await this.#handler.read(request);
    const { signal } = request;
    const before = await unlessAborted(signal, this.#intercept.before?.(info, request));
    if (before) return before;
    const response = this.#handler.answer(info, seenRv, signal);
    return await unlessAborted(signal, this.#intercept.after?.(info, response)) ?? response;
  }

  /** Replaces the hooks around requests. */
  set intercept(hooks: Intercept) {
    this.#intercept = hooks;
  }

  /** The newest resourceVersion. */
  get resourceVersion(): string {
    return this.#backend.storage.text(this.#backend.storage.rv);
  }

  /** Watches that are open. */
  get openWatches(): number {
    return this.#watches.count;
  }

  /** Forgets the history of changes: watches and pages from before get 410. */
  compact(): void {
    this.#backend.storage.compact();
  }

  /**
   * Ends open watches: normally, broken off, or with a 410 event.
   *
   * @param table `group/plural`, for example `apps/statefulsets` or `/pods`; all when left out
   * @returns how many were ended
   */
  dropWatches(table?: string, how: "close" | "abort" | "gone" = "close"): number {
    return this.#watches.drop(table, how);
  }

  /** Holds back the watch events of a table (`group/plural`) until {@link thaw}. */
  freeze(table: string): void {
    this.#watches.freeze(table);
  }

  /**
   * Sends what {@link freeze} held back.
   *
   * @param isLatestOnly tells only the last state of each object, so that what came and went stays unseen
   */
  thaw(table: string, isLatestOnly = false): void {
    this.#watches.thaw(table, isLatestOnly);
  }

  /** Sends every watch event of a table (`group/plural`) twice, until told otherwise. */
  repeatEvents(table: string, isOn = true): void {
    this.#watches.repeat(table, isOn);
  }

  /** The stored objects of a table, frozen; for tests that look at the end state. */
  objects(table: string): readonly KubeObject[] {
    return this.#backend.storage.list(table);
  }

  /** Tables that hold anything. */
  tables(): readonly string[] {
    return this.#backend.storage.tables();
  }

  /** Calls `listener` after every committed change; returns the function that ends it. */
  subscribe(
    listener: (
      change: { type: string; table: string; object: KubeObject; previous: KubeObject | undefined },
    ) => void,
  ): () => void {
    return this.#backend.storage.subscribe(listener);
  }

  /** Ends watches, controllers and timers. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#controllers?.close();
    for (const end of this.#ends) end();
    this.#watches.close();
  }
}

/** Waits for a hook, which may hang, but not beyond the request's own signal. */
async function unlessAborted<T>(signal: AbortSignal, waiting: T | Promise<T>): Promise<T> {
  signal.throwIfAborted();
  if (!(waiting instanceof Promise)) return waiting;
  let onAbort = () => {};
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal.reason instanceof Error ? signal.reason : new Error("Aborted"));
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([waiting, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
