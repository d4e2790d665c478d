/**
 * What a user of the library says and gets: the options of informers, controllers and the manager, and the contract
 * of `reconcile`.
 * @module
 */

import type { RateLimiterOptions } from "./backoff.ts";
import type { ResourceClient } from "./client.ts";
import type { Logger } from "./logger.ts";
import type { Clock, Random } from "./ports.ts";
import type { Key, KubernetesObject, Resource, RestClient } from "./types.ts";

/** Which object to reconcile. Nothing else: a reconciler never asks which change woke it. */
export interface Request {
  /** `""` for a cluster-scoped object. */
  readonly namespace: string;
  readonly name: string;
}

/** What a reconcile asks for when it did not fail. */
export interface Result {
  /** Reconcile the key again after this time, counted as a success. */
  requeueAfterMs?: number;
}

/** What a reconcile may use. */
export interface Context {
  /** Aborted when the process must stop working on this key: at stop, on a lost lease, at the reconcile's deadline. */
  readonly signal: AbortSignal;
  /** Puts "Request.Namespace" and "Request.Name" on each line. */
  readonly log: Logger;
  /** Reads from the caches, writes to the API server; what it wrote is visible before the key is reconciled again. */
  readonly client: ResourceClient;
  readonly events: EventRecorder;
  /** Milliseconds since 1970, by the manager's clock. */
  now(): number;
}

/**
 * Brings the world nearer to what the object says.
 *
 * Called with a key, never with a change: the state is read from the context's client. May be called at any time, any
 * number of times; each write could be the last thing this process does, and the next call must finish from there.
 * - Returning (nothing or a {@linkcode Result}) is success; back-off of the key is forgotten.
 * - A thrown error is logged and counted, and the key is tried again with growing delays.
 * - A thrown `TerminalError` is logged and counted, and the key waits for the next change.
 * - A key that is no longer there: return. Owned objects are garbage collected, finalizers do the rest.
 */
export type Reconcile = (request: Request, context: Context) => Promise<Result | void> | Result | void;

/** Writes Kubernetes events about objects, without holding up the caller; one that fails is counted and dropped. */
export interface EventRecorder {
  record(object: KubernetesObject, event: EventInput): void;
}

/** What happened. */
export interface EventInput {
  type: "Normal" | "Warning";
  /** One word in CamelCase, for machines: `SwitchoverStarted`. */
  reason: string;
  /** A sentence for people; cut to 1 KiB. Never a password. */
  note: string;
  /** What was done or attempted: `Reconcile` when absent. */
  action?: string;
}

/** Which changes are worth a reconcile. Each function that is absent says yes. */
export interface Predicate<Read = KubernetesObject> {
  /** Method style keeps a `Predicate<Pod>` usable where any predicate is taken. */
  create?(object: Read): boolean;
  update?(before: Read, after: Read): boolean;
  delete?(object: Read): boolean;
}

/** Which objects an informer holds, and how much of each. */
export interface InformerOptions<Read = KubernetesObject> {
  /** Only this namespace; default what the manager's `watchNamespaces` says. */
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
  /**
   * Keeps less of each object: gets it fresh from the server, may change it, and returns what to keep.
   * `metadata.managedFields` is gone already. What is left out here does not exist for readers of the cache; of an owned
   * kind keep `metadata.ownerReferences`.
   */
  transform?(object: Read): Read;
  /**
   * Objects of one page of a list, default 500. A page is in memory several times while it is read: fewer where objects are
   * large.
   */
  pageSize?: number;
  /** Named lookups: each function says under which values an object is found. */
  indexers?: { [index: string]: (object: Read) => string[] };
}

/** A source whose objects have the reconciled kind as controller. */
export interface OwnsOptions<Read = KubernetesObject> extends InformerOptions<Read> {
  resource: Resource<Read, unknown>;
  predicate?: Predicate<Read>;
}

/** A source whose objects wake keys by a function. */
export interface WatchesOptions<Read = KubernetesObject> extends InformerOptions<Read> {
  resource: Resource<Read, unknown>;
  predicate?: Predicate<Read>;
  /** The keys to reconcile after a change of this object; also called with the object before an update. */
  map(object: Read): (Key | string)[];
}

/** What a controller reconciles, what wakes it, and how. */
export interface ControllerOptions<Read = KubernetesObject> {
  /** In metrics and logs: `database-controller`; its logger is called `controller_<kind>`. */
  name: string;
  for: Resource<Read, unknown>;
  /** Options of the informer on `for`. */
  forOptions?: InformerOptions<Read>;
  owns?: OwnsOptions[];
  watches?: WatchesOptions[];
  /** Which changes of the reconciled kind itself wake it; default each one. */
  predicate?: Predicate<Read>;
  /** Keys reconciled at the same time; default 10. */
  workers?: number;
  /** Aborts the context's signal of a reconcile that takes longer; default 5 min. */
  reconcileTimeoutMs?: number;
  /** Delays of keys that fail; default 5 ms, doubling up to 1,000 s, and 10 a second after 100 for all together. */
  rateLimit?: RateLimiterOptions;
  /** Longest wait for a write, own or met in a conflict, to show before its source is listed anew; default 5 s. */
  ownWriteTimeoutMs?: number;
  reconcile: Reconcile;
}

/** Work of a process beside its controllers: a schedule, a server. */
export interface Runnable {
  /** In the log. */
  name: string;
  /** True: also while this process does not lead. Default false: begins with the controllers. */
  isEverywhere?: boolean;
  /**
   * Works until `signal` is aborted: at a stop, or on a lost lease. Returning sooner is no failure; what it throws ends the
   * manager.
   */
  run(signal: AbortSignal): Promise<void>;
}

/** Answers with what is wrong, in words; `undefined` when nothing is. */
export type HealthCheck = () => string | undefined;

/** How the leader is elected; the defaults are client-go's. */
export interface LeaderElectionOptions {
  namespace: string;
  /** Name of the Lease. */
  name: string;
  /** Who we are; default host name and a random suffix. */
  identity?: string;
  /** Default 15 s. */
  leaseDurationMs?: number;
  /** Default 10 s. */
  renewDeadlineMs?: number;
  /** Default 2 s. */
  retryPeriodMs?: number;
}

/** What a manager needs. */
export interface ManagerOptions {
  rest: RestClient;
  /** Field manager, and reporting controller of events: `database-operator`. */
  name: string;
  /** False or absent: this process is the only one and always leads. */
  leaderElection?: LeaderElectionOptions | false;
  /** Only these namespaces are watched; empty or absent: all. */
  watchNamespaces?: string[];
  /** Where health and metrics are served, on every address when no host is named; false or absent: nowhere. */
  http?: { host?: string; port: number } | false;
  log?: Logger;
  clock?: Clock;
  random?: Random;
  /** Start fails when a source has not listed by then; default 2 minutes. */
  cacheSyncTimeoutMs?: number;
  /** Longest orderly stop; default 8 s, so that a process ends within 10. */
  gracefulStopMs?: number;
  /** Every handler is called for every object about this often, from the store; default 10 h. */
  resyncMs?: number;
}

/** An owned source with its object type known to the compiler. */
export function owns<Read extends KubernetesObject>(
  resource: Resource<Read, unknown>,
  options: Omit<OwnsOptions<Read>, "resource"> = {},
): OwnsOptions {
  return { resource, ...options } as unknown as OwnsOptions;
}

/** A mapped source with its object type known to the compiler. */
export function watches<Read extends KubernetesObject>(
  resource: Resource<Read, unknown>,
  options: Omit<WatchesOptions<Read>, "resource">,
): WatchesOptions {
  return { resource, ...options } as unknown as WatchesOptions;
}
