/**
 * The controller: takes keys from the queue and calls `reconcile`, and decides what follows from its outcome.
 *
 * - A key is never with two workers; different keys run in parallel up to `workers`.
 * - After a reconcile that wrote, its key is held until the caches show what was written, so the next reconcile never
 *   acts on a state that it has changed itself; five lists in a row that lack it are believed. Only the key is held,
 *   never a worker.
 * - After a conflict its key is held until the caches show what the write met.
 * - After an outage all keys that failed are tried again as soon as the API server is heard, whatever their delay.
 * - An error belongs to its key alone. Outcomes and their names are those of controller-runtime's
 *   pkg/internal/controller/controller.go.
 * @module
 */

import type { Client } from "./client.ts";
import { messageOf, TerminalError } from "./errors.ts";
import type { Informer } from "./informer.ts";
import type { Logger } from "./logger.ts";
import { controllerOf, keyOf, parseKey } from "./metadata.ts";
import type { RuntimeMetrics } from "./metrics.ts";
import type { Context, ControllerOptions, EventRecorder, Predicate, Request, Result } from "./options.ts";
import { nameOf } from "./paths.ts";
import { type Clock, linkedController, withDeadline } from "./ports.ts";
import { OLDER_LISTS_MAX } from "./reflector.ts";
import { type InformerLookup, type PendingWrite, SplitClient } from "./split_client.ts";
import type { Key, KubernetesObject } from "./types.ts";
import { LOW_PRIORITY, WorkQueue } from "./work_queue.ts";

/** Workers when none are told: the API server's fair share is not the limit with so few. */
const WORKERS = 10;
/** A reconcile without a deadline of its own may not hold a worker for ever. */
const RECONCILE_TIMEOUT_MS = 300_000;
/** An aborted reconcile that goes on has this long before its worker is given to another key. */
const ABANDON_AFTER_MS = 10_000;
/**
 * After an outage of this long the keys that failed are tried again at once. A shorter one costs a key no more than about
 * as long again, and a watch that breaks each few seconds must not undo all back-off.
 */
const OUTAGE_MIN_MS = 3_000;
/** After one of this long their delays start anew as well: what they failed for is over. */
const OUTAGE_FORGET_MS = 30_000;
/** Longest wait for a cache to show a write: a watch event takes milliseconds. */
const OWN_WRITE_TIMEOUT_MS = 5_000;

/** What a controller gets from its manager. */
export interface ControllerEnvironment {
  client: Client;
  lookup: InformerLookup;
  events: EventRecorder;
  clock: Clock;
  log: Logger;
  metrics: RuntimeMetrics;
  /** The informers of `for`, `owns` and `watches`, in that order. */
  informers: { for: Informer; owns: Informer[]; watches: Informer[] };
}

type Outcome = "success" | "requeue_after" | "requeue" | "error";

/** Reconciles one kind. Made by `manager.controller()`. */
export class Controller {
  readonly name: string;
  readonly queue: WorkQueue;
  readonly #options: ControllerOptions;
  readonly #environment: ControllerEnvironment;
  readonly #log: Logger;
  readonly #labels: { controller: string };
  readonly #running = new Set<Promise<void>>();
  #active = 0;

  constructor(options: ControllerOptions, environment: ControllerEnvironment) {
    this.name = options.name;
    this.#options = options;
    this.#environment = environment;
    this.#log = environment.log.named(`controller_${options.for.kind.toLowerCase()}`);
    this.#labels = { controller: options.name };
    const { clock, metrics } = environment;
    this.queue = new WorkQueue({ name: options.name, clock, metrics, rateLimit: options.rateLimit });
    this.#registerMetrics();
  }

  /**
   * Lets every source add its keys and works on them until `stopping` is aborted: then no key is begun any more, and
   * this resolves when the last one has ended. `abort` ends those that are under way.
   */
  async run(stopping: AbortSignal, abort: AbortSignal): Promise<void> {
    const detach = this.#attach();
    const stop = () => {
      detach();
      this.queue.shutDown();
    };
    stopping.addEventListener("abort", stop, { once: true });
    if (stopping.aborted) stop();
    const workers = Array.from(
      { length: this.#options.workers ?? WORKERS },
      () => this.#work(stopping, abort),
    );
    await Promise.all(workers);
    await Promise.all(this.#running);
    stopping.removeEventListener("abort", stop);
  }

  /** Connects the sources with the queue. What the caches hold already comes in with low priority. */
  #attach(): () => void {
    const { for: own, owns = [], watches = [], predicate } = this.#options;
    const { informers } = this.#environment;
    const owner = (object: KubernetesObject): string[] => {
      const reference = controllerOf(object);
      if (reference?.kind !== own.kind || reference.apiVersion.split("/")[0] !== (own.group || own.version)) {
        return [];
      }
      const namespace = own.scope === "Namespaced" ? object.metadata?.namespace : undefined;
      return [keyOf({ namespace, name: reference.name })];
    };
    const detach = [
      this.#source(informers.for, (object) => [keyOf(object)], predicate),
      ...owns.map((source, index) => this.#source(informers.owns[index]!, owner, source.predicate)),
      ...watches.map((source, index) =>
        this.#source(informers.watches[index]!, (object) => source.map(object).map(toKey), source.predicate)
      ),
    ];
    return () => detach.forEach((off) => off());
  }

  #source(
    informer: Informer,
    keysOf: (object: KubernetesObject) => string[],
    predicate: Predicate | undefined,
  ): () => void {
    const add = (keys: string[], priority: number) =>
      keys.forEach((key) => this.queue.add(key, { priority }));
    const says = (ask: () => boolean | undefined) => this.#ask("predicate", ask, true) ?? true;
    const keys = (
      ...objects: KubernetesObject[]
    ) => [...new Set(objects.flatMap((object) => this.#ask("map", () => keysOf(object), [])))];
    return informer.on({
      add: (object, initial) => {
        if (says(() => predicate?.create?.(object))) add(keys(object), initial ? LOW_PRIORITY : 0);
      },
      update: (before, after) => {
        if (!says(() => predicate?.update?.(before, after))) return;
        // Also whom it belonged to before: that one has lost it.
        add(keys(before, after), before === after ? LOW_PRIORITY : 0);
      },
      delete: (object) => {
        if (says(() => predicate?.delete?.(object))) add(keys(object), 0);
      },
      recovered: (outageMs) => {
        if (outageMs >= OUTAGE_MIN_MS) this.queue.retryFailed({ forget: outageMs >= OUTAGE_FORGET_MS });
      },
    });
  }

  /** Asks a function of the user's. One that throws is counted and logged, and `otherwise` is its answer. */
  #ask<Answer>(what: string, ask: () => Answer, otherwise: Answer): Answer {
    try {
      return ask();
    } catch (error) {
      this.#environment.metrics.handlerErrors.inc({ kind: nameOf(this.#options.for) });
      this.#log.error(`A ${what} threw`, error instanceof Error ? error : messageOf(error));
      return otherwise;
    }
  }

  async #work(stopping: AbortSignal, abort: AbortSignal): Promise<void> {
    while (!stopping.aborted) {
      const key = await this.queue.take();
      if (key === undefined) return;
      this.#active += 1;
      const pass = this.#pass(key, stopping, abort);
      try {
        await pass.worked;
      } finally {
        this.#active -= 1;
      }
    }
  }

  /** One reconcile. `worked`: the worker is free again; the key itself may be held longer. */
  #pass(key: string, stopping: AbortSignal, abort: AbortSignal): { worked: Promise<void> } {
    const { clock } = this.#environment;
    const timeoutMs = this.#options.reconcileTimeoutMs ?? RECONCILE_TIMEOUT_MS;
    const { controller, unlink } = linkedController(abort);
    const cancel = clock.setTimer(timeoutMs, () => {
      // Here and not at the end, which may never come.
      this.#environment.metrics.reconcileTimeouts.inc(this.#labels);
      controller.abort(new Error(`The reconcile took longer than ${timeoutMs} ms`));
    });
    const client = new SplitClient(this.#environment.client, this.#environment.lookup, {
      track: true,
      signal: controller.signal,
    });
    const { namespace, name } = parseKey(key);
    const log = this.#log.with({ "Request.Namespace": namespace, "Request.Name": name });
    const request: Request = Object.freeze({ namespace, name });
    const context: Context = {
      signal: controller.signal,
      log,
      client,
      events: this.#environment.events,
      now: () => clock.now(),
    };
    const startedAtMs = clock.monotonic();
    const reconciled = this.#reconcile(request, context).then((outcome) => {
      cancel();
      this.#environment.metrics.reconcileTime.observe(this.#labels, (clock.monotonic() - startedAtMs) / 1000);
      try {
        this.#after(key, outcome, log);
      } catch (error) {
        // What was thrown could not even be logged: that is this key's trouble, and must not end the process.
        log.error("Reconciler error that cannot be described", messageOf(error));
      }
    });
    const held = reconciled
      .then(() => this.#settle(client.pending(), stopping, log))
      .finally(() => {
        unlink();
        this.queue.done(key);
        this.#running.delete(held);
      });
    this.#running.add(held);
    held.catch(() => {
      // The same error ends the run through `worked`, or through the wait for what still runs.
    });
    return { worked: this.#untilAbandoned(reconciled, controller.signal, log) };
  }

  /** Calls the user's function. Whatever it throws is this key's outcome. */
  async #reconcile(
    request: Request,
    context: Context,
  ): Promise<{ result: Result | undefined } | { error: unknown }> {
    try {
      const result = await this.#options.reconcile(request, context) ?? undefined;
      if (Number.isNaN(result?.requeueAfterMs)) throw new RangeError("Cannot reconcile again after NaN ms");
      return { result };
    } catch (error) {
      if (!(error instanceof Error)) this.#environment.metrics.reconcilePanics.inc(this.#labels);
      return { error };
    }
  }

  /** What follows from the outcome: an error beats everything, a wish to come again beats silence. */
  #after(key: string, outcome: { result: Result | undefined } | { error: unknown }, log: Logger): void {
    const { metrics } = this.#environment;
    const count = (result: Outcome) => metrics.reconcileTotal.inc({ ...this.#labels, result });
    if ("error" in outcome) {
      const { error } = outcome;
      metrics.reconcileErrors.inc(this.#labels);
      count("error");
      if (error instanceof TerminalError) {
        metrics.terminalErrors.inc(this.#labels);
        log.error("Reconciler error, not retried", error);
      } else {
        this.queue.addRateLimited(key);
        const failures = this.queue.failures(key);
        log.error("Reconciler error", error instanceof Error ? error : messageOf(error), {
          failures,
          // Once for failures in a row: it is long, and seldom another.
          ...(failures === 1 && error instanceof Error ? { stacktrace: error.stack } : {}),
        });
      }
      return;
    }
    this.queue.forget(key);
    const afterMs = outcome.result?.requeueAfterMs;
    count(afterMs === undefined ? "success" : "requeue_after");
    if (afterMs !== undefined) this.queue.add(key, { afterMs: Math.max(afterMs, 1) });
  }

  /** Waits until the caches show what was written or met; a cache that does not in time is listed anew. */
  async #settle(pending: PendingWrite[], stopping: AbortSignal, log: Logger): Promise<void> {
    const { metrics } = this.#environment;
    const timeoutMs = this.#options.ownWriteTimeoutMs ?? OWN_WRITE_TIMEOUT_MS;
    await Promise.all(pending.map(async ({ informer, write }) => {
      try {
        for (let lists = 1; lists <= OLDER_LISTS_MAX; lists++) {
          if (await informer.observed(write, timeoutMs, stopping) === "observed") return;
          metrics.ownWriteWaits.inc(this.#labels);
          log.warn("The cache did not show a write in time and was listed anew", {
            kind: informer.resource.kind,
            object: keyOf(write.key),
            write: write.shows === "superseded" ? "of somebody else" : "own",
          });
          // A list without our own write is older than it, and to act on it would be to do the work twice.
          if (write.shows === "superseded" || informer.shows(write)) return;
        }
      } catch (error) {
        if (!stopping.aborted) throw error;
        // Stopping: nothing reconciles this key any more.
      }
    }));
  }

  /** Resolves with the reconcile, or a while after its signal was aborted: a stuck one must not keep its worker. */
  async #untilAbandoned(reconciled: Promise<void>, signal: AbortSignal, log: Logger): Promise<void> {
    const { clock } = this.#environment;
    let isOver = false;
    let onAbort = () => {};
    const aborted = new Promise<void>((resolve) => {
      onAbort = resolve;
      signal.addEventListener("abort", onAbort, { once: true });
    });
    await Promise.race([
      aborted,
      reconciled.then(() => {
        isOver = true;
      }),
    ]);
    signal.removeEventListener("abort", onAbort);
    if (isOver) return;
    const late = new Error("The reconcile goes on although it was aborted; its worker takes other keys");
    try {
      await withDeadline(clock, ABANDON_AFTER_MS, reconciled, () => late);
    } catch (error) {
      if (error !== late) throw error;
      log.error("Reconcile abandoned", error);
    }
  }

  #registerMetrics(): void {
    const { metrics } = this.#environment;
    for (const result of ["success", "requeue_after", "requeue", "error"] satisfies Outcome[]) {
      metrics.reconcileTotal.inc({ ...this.#labels, result }, 0);
    }
    for (
      const counter of [
        metrics.reconcileErrors,
        metrics.terminalErrors,
        metrics.reconcilePanics,
        metrics.reconcileTimeouts,
        metrics.ownWriteWaits,
      ]
    ) counter.inc(this.#labels, 0);
    metrics.reconcileTime.touch(this.#labels);
    metrics.maxConcurrent.set(this.#labels, this.#options.workers ?? WORKERS);
    metrics.activeWorkers.set(this.#labels, 0);
    metrics.registry.onCollect(() => metrics.activeWorkers.set(this.#labels, this.#active));
  }
}

function toKey(key: Key | string): string {
  return typeof key === "string" ? key : keyOf(key);
}
