/**
 * The informer: a cache of one kind that is kept current by list and watch.
 *
 * What it promises:
 * - It never ends by itself: every error is retried, counted and shown in health and metrics.
 * - A read answers at once, from the last known state; two reads without an `await` between them see the same state.
 * - Objects are frozen. `metadata.managedFields` is not kept; `transform` keeps less still.
 * - Per object, handlers see states in the order in which they happened; some may be skipped, none comes twice or
 *   backwards. An object deleted and made again under its name is a delete and an add.
 * - A handler added late is told of everything present. One that throws loses nothing for the others.
 * @module
 */

import type { Client, Selection } from "./client.ts";
import { messageOf } from "./errors.ts";
import { ListWatch, SILENCE_MAX_MS } from "./list_watch.ts";
import type { Logger } from "./logger.ts";
import type { RuntimeMetrics } from "./metrics.ts";
import type { InformerOptions } from "./options.ts";
import { nameOf } from "./paths.ts";
import { type Clock, linkedController, type Random } from "./ports.ts";
import type { Effect } from "./reflector.ts";
import { compareResourceVersions, isComparable } from "./resource_version.ts";
import { matchesLabels } from "./selectors.ts";
import { type Change, freeze, type Indexer, Store } from "./store.ts";
import type { AnyResource, Key, KubernetesObject } from "./types.ts";

/** What a handler is told. Objects are frozen. */
export interface InformerHandler<Read = KubernetesObject> {
  /** `initial`: the object was there before the handler, or came with the first list. */
  add?(object: Read, initial: boolean): void;
  /** On a resync both are the same object. */
  update?(before: Read, after: Read): void;
  /** `last` is the last state known; `unseen`: the deletion itself was missed, so that state may be old. */
  delete?(last: Read, unseen: boolean): void;
  /** The API server is heard again after a failure that took `outageMs`. */
  recovered?(outageMs: number): void;
}

/** A write that the cache will show: one of ours, or the one of somebody else that ours met. */
export interface ExpectedWrite {
  key: Key;
  uid: string | undefined;
  /** Of the written object; of the one that was superseded; undefined for a delete. */
  resourceVersion: string | undefined;
  /**
   * What the cache shows in the end: the object as written, being deleted or gone, surely gone, or anything newer than
   * the version with which our write was refused.
   */
  shows: "written" | "deleted" | "gone" | "superseded";
}

/** What an informer needs beyond its options. */
export interface InformerEnvironment {
  client: Client;
  clock: Clock;
  random: Random;
  log: Logger;
  metrics?: RuntimeMetrics;
}

/** An attempt takes at most a page's 60 s or a back-off's 60 s; an informer that did nothing for longer is stuck. */
const STUCK_AFTER_MS = SILENCE_MAX_MS + 120_000;
/** The same failure is logged again after this time. */
const REPEAT_LOG_MS = 60_000;
/** The index that finds children by the uid of their controller. */
export const CONTROLLER_INDEX = "controller";

const byController: Indexer = (object) =>
  object.metadata?.ownerReferences?.filter((owner) => owner.controller).map((owner) => owner.uid) ?? [];

/** The same for informers that would hold the same objects. */
export function informerId(resource: AnyResource, options: Selection): string {
  const { group, version, plural } = resource;
  return JSON.stringify([
    group,
    version,
    plural,
    options.namespace,
    options.labelSelector,
    options.fieldSelector,
  ]);
}

/** One list and watch, of one namespace or of all. */
interface Source {
  readonly listWatch: ListWatch;
  readonly namespace: string | undefined;
  hasSynced: boolean;
  heardAtMs: number | undefined;
  /** What fails, and since when; undefined while nothing does. */
  failure: { message: string; sinceMs: number; loggedAtMs: number } | undefined;
}

/** A cache of one kind. Made by `manager.informer()`. */
export class Informer<Read = KubernetesObject> {
  readonly resource: AnyResource;
  /** Tells informers of one manager apart. */
  readonly id: string;
  readonly labelSelector: string | undefined;
  readonly fieldSelector: string | undefined;
  /** Undefined: all namespaces. */
  readonly namespaces: readonly string[] | undefined;
  readonly #store = new Store();
  readonly #environment: InformerEnvironment;
  readonly #options: InformerOptions<Read>;
  readonly #sources: Source[];
  readonly #handlers = new Set<InformerHandler>();
  readonly #waiters = new Set<{ isMet: () => boolean; settle: () => void }>();
  readonly #labels: { kind: string };
  #isStarted = false;

  constructor(
    resource: AnyResource,
    options: InformerOptions<Read> & { namespaces?: readonly string[] },
    environment: InformerEnvironment,
  ) {
    this.resource = resource;
    this.#options = options;
    this.#environment = environment;
    this.labelSelector = options.labelSelector;
    this.fieldSelector = options.fieldSelector;
    this.id = informerId(resource, options);
    const isNamespaced = resource.scope === "Namespaced";
    const namespaces = options.namespace ? [options.namespace] : options.namespaces ?? [];
    this.namespaces = isNamespaced && namespaces.length > 0 ? namespaces : undefined;
    this.#labels = { kind: nameOf(resource) };
    this.#sources = (this.namespaces ?? [undefined]).map((namespace) => this.#source(namespace));
    this.#store.addIndex(CONTROLLER_INDEX, byController);
    for (const [name, indexer] of Object.entries(options.indexers ?? {})) this.addIndex(name, indexer);
    this.#registerMetrics();
  }

  /** The newest resourceVersion up to which everything was seen; "" before the first list, or with several sources. */
  get resourceVersion(): string {
    return this.#sources.length === 1 ? this.#sources[0]!.listWatch.seen : "";
  }

  /** True once the first whole list is in the store. */
  get hasSynced(): boolean {
    return this.#sources.every((source) => source.hasSynced);
  }

  /** Objects in the store. */
  get size(): number {
    return this.#store.size;
  }

  /** What the last attempt failed with; undefined when it did not. */
  get lastError(): string | undefined {
    return this.#sources.find(({ failure }) => failure !== undefined)?.failure?.message;
  }

  /** The object, frozen; undefined when the cache has none of that name. */
  get(key: Key | string): Read | undefined {
    return this.#store.get(key) as Read | undefined;
  }

  /** All objects, of one namespace or selected by labels. */
  list(options: { namespace?: string; labelSelector?: string } = {}): Read[] {
    return this.#store.list(options) as Read[];
  }

  /**
   * The objects under a value of an index.
   *
   * @example Everything that this Database controls
   * configMaps.byIndex("controller", database.metadata.uid);
   */
  byIndex(index: string, value: string): Read[] {
    return this.#store.byIndex(index, value) as Read[];
  }

  /** Adds an index; one of that name that is there already stays. */
  addIndex(name: string, indexer: (object: Read) => string[]): void {
    this.#store.addIndex(name, (object) => {
      try {
        return (indexer as Indexer)(object);
      } catch (error) {
        this.#handlerFailed(error, "An indexer");
        return []; // Not found by this index; what it follows from is told in the log.
      }
    });
  }

  /** Adds a handler; it is told of everything present first. Returns the function that takes it off again. */
  on(handler: InformerHandler<Read>): () => void {
    const added = handler as InformerHandler;
    for (const object of this.#store.values()) this.#call(() => added.add?.(object, true));
    this.#handlers.add(added);
    return () => {
      this.#handlers.delete(added);
    };
  }

  /** Lists and watches until the signal is aborted. Never rejects. @throws {Error} when started twice */
  async run(signal: AbortSignal): Promise<void> {
    if (this.#isStarted) throw new Error(`Cannot start the informer of ${this.#labels.kind} twice`);
    this.#isStarted = true;
    await Promise.all(this.#sources.map((source) => source.listWatch.run(signal)));
    this.#wake();
  }

  /** Resolves when the first whole list is in the store, or rejects with the signal's reason. */
  async synced(signal: AbortSignal): Promise<void> {
    await this.#until(() => this.hasSynced, signal);
  }

  /** Calls each update handler for each object, from the store: costs no request and repairs nothing. */
  resync(): void {
    for (const object of [...this.#store.values()]) {
      for (const handler of [...this.#handlers]) this.#call(() => handler.update?.(object, object));
    }
  }

  /** True when the object is one that this informer keeps. */
  covers(object: KubernetesObject): boolean {
    const { namespace, labels } = object.metadata ?? {};
    if (this.fieldSelector !== undefined) return false;
    if (this.namespaces && !this.namespaces.includes(namespace ?? "")) return false;
    return matchesLabels(this.labelSelector, labels);
  }

  /** True when the cache shows the write, or something newer. */
  shows(write: ExpectedWrite): boolean {
    const stored = this.#store.get(write.key);
    const isOther = !stored || stored.metadata?.uid !== write.uid;
    if (write.shows === "gone") return isOther;
    if (write.shows === "deleted") return isOther || stored.metadata?.deletionTimestamp !== undefined;
    const { resourceVersion } = write;
    if (!isComparable(resourceVersion)) return true;
    const isReached = (rv: string | undefined, least = 0) =>
      isComparable(rv) && compareResourceVersions(rv, resourceVersion) >= least;
    if (write.shows === "superseded" && stored) {
      return isOther || isReached(stored.metadata?.resourceVersion, 1);
    }
    if (!isOther && isReached(stored.metadata?.resourceVersion)) return true;
    // Everything up to there was seen, so the object was changed or deleted since.
    const source = this.#sources.find(({ namespace }) =>
      namespace === undefined || namespace === write.key.namespace
    );
    return source === undefined || isReached(source.listWatch.seen);
  }

  /**
   * Resolves when the cache shows the write. When that takes longer than `timeoutMs` the kind is listed anew, and the
   * list that began then settles it.
   *
   * @throws the signal's reason when aborted
   */
  async observed(
    write: ExpectedWrite,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<"observed" | "relisted"> {
    const isShown = () => this.shows(write);
    if (await this.#until(isShown, signal, timeoutMs)) return "observed";
    const { controller, unlink } = linkedController(signal);
    try {
      const relists = this.#sources.map(({ listWatch }) => listWatch.relist("a write did not show"));
      await Promise.race([Promise.all(relists), this.#until(isShown, controller.signal)]);
      return "relisted";
    } finally {
      controller.abort(new Error("The wait is over"));
      unlink();
    }
  }

  /**
   * Milliseconds since the API server was last heard, by the source that waits longest; undefined before each had its
   * first answer.
   */
  ageMs(): number | undefined {
    const heardAtMs = Math.min(...this.#sources.map((source) => source.heardAtMs ?? -Infinity));
    return heardAtMs === -Infinity ? undefined : this.#environment.clock.monotonic() - heardAtMs;
  }

  /** True when nothing at all happened for longer than any attempt takes: only a restart can help then. */
  get isStuck(): boolean {
    const nowMs = this.#environment.clock.monotonic();
    return this.#isStarted &&
      this.#sources.some(({ listWatch }) => nowMs - listWatch.activeAtMs > STUCK_AFTER_MS);
  }

  #source(namespace: string | undefined): Source {
    const { client, clock, random } = this.#environment;
    const selection: Selection = {
      namespace,
      labelSelector: this.labelSelector,
      fieldSelector: this.fieldSelector,
    };
    const source: Source = {
      namespace,
      hasSynced: false,
      heardAtMs: undefined,
      failure: undefined,
      listWatch: new ListWatch({
        client,
        resource: this.resource,
        selection,
        clock,
        random,
        pageSize: this.#options.pageSize,
        keep: (object) => this.#kept(object),
        onEffect: (effect) => this.#effect(effect, source),
        onHeard: () => {
          source.heardAtMs = clock.monotonic();
        },
      }),
    };
    return source;
  }

  #effect(effect: Effect, source: Source): void {
    const { log, metrics } = this.#environment;
    switch (effect.type) {
      case "replace":
        metrics?.informerLists.inc(this.#labels);
        this.#tell(this.#store.replace(effect.items, source.namespace), !source.hasSynced);
        source.hasSynced = true;
        this.#recovered(source);
        this.#wake();
        return;
      case "upsert":
        this.#tell(this.#store.upsert(this.#kept(effect.object)), false);
        return;
      case "remove":
        this.#tell(this.#store.remove(this.#kept(effect.object)), false);
        return;
      case "progress":
        this.#recovered(source);
        this.#wake();
        return;
      case "restart":
        metrics?.informerRestarts.inc({ ...this.#labels, reason: effect.reason });
        return;
      case "bad event":
        metrics?.informerBadEvents.inc(this.#labels);
        log.warn("Cannot use a watch event or list item", { ...this.#labels, found: effect.found });
        return;
      case "error":
        metrics?.informerErrors.inc({ ...this.#labels, code: effect.code });
        this.#failed(source, effect.message, effect.code === "silent");
    }
  }

  /** The same failure is logged once a minute: while a server is down it comes every few seconds. */
  #failed(source: Source, message: string, wasSilent: boolean): void {
    const nowMs = this.#environment.clock.monotonic();
    const { failure } = source;
    const isNew = message !== failure?.message || nowMs - failure.loggedAtMs >= REPEAT_LOG_MS;
    source.failure = {
      message,
      // Silence is noticed late.
      sinceMs: failure?.sinceMs ?? (wasSilent ? source.heardAtMs ?? nowMs : nowMs),
      loggedAtMs: isNew ? nowMs : failure!.loggedAtMs,
    };
    if (!isNew) return;
    this.#environment.log.warn("Cannot follow a kind, trying again", { ...this.#labels, error: message });
  }

  #recovered(source: Source): void {
    if (source.failure === undefined) return;
    const outageMs = this.#environment.clock.monotonic() - source.failure.sinceMs;
    source.failure = undefined;
    this.#environment.log.info("Following the kind again", this.#labels);
    for (const handler of [...this.#handlers]) this.#call(() => handler.recovered?.(outageMs));
  }

  #kept(object: KubernetesObject): KubernetesObject {
    return freeze(this.#trim(object));
  }

  #trim(object: KubernetesObject): KubernetesObject {
    if (object.metadata) delete object.metadata.managedFields;
    if (!this.#options.transform) return object;
    try {
      const { apiVersion, kind } = object;
      const { name, namespace, uid, resourceVersion } = object.metadata ?? {};
      const kept = this.#options.transform(object as Read) as KubernetesObject;
      // Whatever it left out: without these an object can be neither found nor told from its successor.
      const identity = { name, uid, resourceVersion, ...(namespace === undefined ? {} : { namespace }) };
      return { ...kept, apiVersion, kind, metadata: { ...kept.metadata, ...identity } };
    } catch (error) {
      this.#handlerFailed(error, "A transform");
      return object;
    }
  }

  #tell(changes: Change[], initial: boolean): void {
    for (const change of changes) {
      for (const handler of [...this.#handlers]) {
        this.#call(() => {
          if (change.type === "add") handler.add?.(change.object, initial);
          else if (change.type === "update") handler.update?.(change.before, change.object);
          else handler.delete?.(change.object, change.unseen);
        });
      }
    }
  }

  #call(handler: () => void): void {
    try {
      handler();
    } catch (error) {
      this.#handlerFailed(error, "A handler");
    }
  }

  #handlerFailed(error: unknown, what: string): void {
    this.#environment.metrics?.handlerErrors.inc(this.#labels);
    this.#environment.log.error(
      `${what} threw`,
      error instanceof Error ? error : messageOf(error),
      this.#labels,
    );
  }

  #wake(): void {
    for (const waiter of [...this.#waiters]) if (waiter.isMet()) waiter.settle();
  }

  /** Resolves to true when the store makes the condition true, to false after `timeoutMs`. */
  #until(isMet: () => boolean, signal: AbortSignal, timeoutMs?: number): Promise<boolean> {
    if (isMet()) return Promise.resolve(true);
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      let cancel = () => {};
      const over = () => {
        this.#waiters.delete(waiter);
        signal.removeEventListener("abort", onAbort);
        cancel();
      };
      const waiter = {
        isMet,
        settle: () => {
          over();
          resolve(true);
        },
      };
      const onAbort = () => {
        over();
        reject(signal.reason);
      };
      this.#waiters.add(waiter);
      signal.addEventListener("abort", onAbort, { once: true });
      if (timeoutMs === undefined) return;
      cancel = this.#environment.clock.setTimer(timeoutMs, () => {
        over();
        resolve(false);
      });
    });
  }

  #registerMetrics(): void {
    const { metrics } = this.#environment;
    if (!metrics) return;
    metrics.informerLists.inc(this.#labels, 0);
    metrics.informerRestarts.inc({ ...this.#labels, reason: "ended" }, 0);
    metrics.informerBadEvents.inc(this.#labels, 0);
    metrics.handlerErrors.inc(this.#labels, 0);
    const madeAtMs = this.#environment.clock.monotonic();
    metrics.informers.push({
      kind: this.#labels.kind,
      size: () => this.size,
      ageMs: () => this.ageMs() ?? this.#environment.clock.monotonic() - madeAtMs,
    });
  }
}
