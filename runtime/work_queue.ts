/**
 * The work queue: keys wait here until a worker reconciles them.
 *
 * A key is here at most once however often it is added, and never with two workers at once; a key added while it is
 * being worked on is handed out once more afterwards. Among keys that wait, the higher priority goes first, and the
 * older within a priority. Same contract as client-go's util/workqueue/queue.go and controller-runtime's
 * pkg/controller/priorityqueue.
 * @module
 */

import { RateLimiter, type RateLimiterOptions } from "./backoff.ts";
import { DelayHeap } from "./delay_heap.ts";
import type { RuntimeMetrics } from "./metrics.ts";
import type { Clock } from "./ports.ts";

/** The priority of keys from the first list and from a resync: a user's change overtakes them. */
export const LOW_PRIORITY = -100;

/** How a key is added. */
export interface AddOptions {
  /** Default 0. A key that waits already keeps the higher of the two. */
  priority?: number;
  /** Not before this time from now; of two delays the earlier counts. */
  afterMs?: number;
}

/** What a queue needs. */
export interface WorkQueueOptions {
  /** The controller's name, for metrics. */
  name: string;
  clock: Clock;
  metrics?: RuntimeMetrics;
  rateLimit?: RateLimiterOptions;
}

type Waiting = { priority: number; sinceMs: number };

/** Keys to reconcile. */
export class WorkQueue {
  readonly #clock: Clock;
  readonly #metrics: RuntimeMetrics | undefined;
  readonly #labels: { name: string; controller: string };
  readonly #limiter: RateLimiter;
  /** Keys to hand out, by priority, in order of arrival. */
  readonly #ready = new Map<number, Map<string, Waiting>>();
  readonly #waiting = new Map<string, Waiting>();
  /** Keys with a worker, and since when. */
  readonly #working = new Map<string, number>();
  /** Keys added while with a worker. */
  readonly #again = new Map<string, number>();
  readonly #delayed = new DelayHeap();
  readonly #takers: ((key: string | undefined) => void)[] = [];
  #cancelTimer: (() => void) | undefined;
  #timerAtMs = Infinity;
  #isShutDown = false;

  constructor(options: WorkQueueOptions) {
    this.#clock = options.clock;
    this.#metrics = options.metrics;
    this.#labels = { name: options.name, controller: options.name };
    this.#limiter = new RateLimiter(options.clock, options.rateLimit);
    const { metrics } = options;
    if (!metrics) return;
    metrics.queueAdds.inc(this.#labels, 0);
    metrics.queueRetries.inc(this.#labels, 0);
    metrics.queueWait.touch(this.#labels);
    metrics.queueWork.touch(this.#labels);
    metrics.registry.onCollect(() => this.#collect(metrics));
  }

  /** Keys that wait and could be handed out now. */
  get depth(): number {
    return this.#waiting.size;
  }

  /** Keys that wait for their time. */
  get delayed(): number {
    return this.#delayed.size;
  }

  /** Adds the key, now or after a while. */
  add(key: string, options: AddOptions = {}): void {
    if (this.#isShutDown) return;
    const { priority = 0, afterMs = 0 } = options;
    if (afterMs > 0) {
      this.#delayed.push(key, this.#clock.monotonic() + afterMs, priority);
      this.#armTimer();
    } else {
      this.#addNow(key, priority);
    }
  }

  /** Adds the key after its failure: later each time. */
  addRateLimited(key: string, options: { priority?: number } = {}): void {
    this.#metrics?.queueRetries.inc(this.#labels);
    this.add(key, { ...options, afterMs: this.#limiter.next(key) });
  }

  /** The key succeeded: its next failure starts at the shortest delay. */
  forget(key: string): void {
    this.#limiter.forget(key);
  }

  /**
   * What made keys fail is over: those that wait for their next try have it now.
   *
   * @param options.forget whether the delays start anew as well; default true
   */
  retryFailed({ forget = true }: { forget?: boolean } = {}): void {
    const failed = this.#limiter.failed();
    if (forget) this.#limiter.reset();
    for (const key of failed) if (this.#delayed.delete(key)) this.#addNow(key, 0);
  }

  /** Failures in a row. */
  failures(key: string): number {
    return this.#limiter.failures(key);
  }

  /** The next key, when there is one; undefined once the queue is shut down. The key is the caller's until `done`. */
  take(): Promise<string | undefined> {
    if (this.#isShutDown) return Promise.resolve(undefined);
    const key = this.#next();
    return key !== undefined ? Promise.resolve(key) : new Promise((resolve) => this.#takers.push(resolve));
  }

  /** Gives the key back; it is handed out again when it was added meanwhile. */
  done(key: string): void {
    const sinceMs = this.#working.get(key);
    if (sinceMs === undefined) return;
    this.#working.delete(key);
    this.#metrics?.queueWork.observe(this.#labels, (this.#clock.monotonic() - sinceMs) / 1000);
    const priority = this.#again.get(key);
    if (priority === undefined) return;
    this.#again.delete(key);
    if (!this.#isShutDown) this.#enqueue(key, priority);
  }

  /** Hands out nothing more and forgets what waits. */
  shutDown(): void {
    this.#isShutDown = true;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#ready.clear();
    this.#waiting.clear();
    this.#again.clear();
    this.#delayed.clear();
    for (const taker of this.#takers.splice(0)) taker(undefined);
  }

  #addNow(key: string, priority: number): void {
    // Due now, so a later time that was planned for it is done with.
    this.#delayed.delete(key);
    if (this.#working.has(key)) {
      const before = this.#again.get(key);
      if (before === undefined) this.#metrics?.queueAdds.inc(this.#labels);
      this.#again.set(key, Math.max(before ?? -Infinity, priority));
      return;
    }
    const waiting = this.#waiting.get(key);
    if (!waiting) {
      this.#metrics?.queueAdds.inc(this.#labels);
      this.#enqueue(key, priority);
    } else if (priority > waiting.priority) {
      this.#ready.get(waiting.priority)?.delete(key);
      waiting.priority = priority;
      this.#level(priority).set(key, waiting);
    }
  }

  #enqueue(key: string, priority: number): void {
    const waiting = { priority, sinceMs: this.#clock.monotonic() };
    this.#waiting.set(key, waiting);
    this.#level(priority).set(key, waiting);
    const taker = this.#takers.shift();
    if (taker) taker(this.#next());
  }

  #level(priority: number): Map<string, Waiting> {
    let level = this.#ready.get(priority);
    if (!level) this.#ready.set(priority, level = new Map());
    return level;
  }

  #next(): string | undefined {
    let highest: number | undefined;
    for (const [priority, level] of this.#ready) {
      if (level.size > 0 && (highest === undefined || priority > highest)) highest = priority;
    }
    if (highest === undefined) return undefined;
    const level = this.#ready.get(highest)!;
    const [key, waiting] = level.entries().next().value!;
    level.delete(key);
    this.#waiting.delete(key);
    const nowMs = this.#clock.monotonic();
    this.#working.set(key, nowMs);
    this.#metrics?.queueWait.observe(this.#labels, (nowMs - waiting.sinceMs) / 1000);
    return key;
  }

  /** One timer, for the earliest of the delayed keys. */
  #armTimer(): void {
    const dueMs = this.#delayed.nextMs();
    if (dueMs === this.#timerAtMs && this.#cancelTimer) return;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#timerAtMs = dueMs;
    if (dueMs === Infinity) return;
    this.#cancelTimer = this.#clock.setTimer(Math.max(0, dueMs - this.#clock.monotonic()), () => {
      this.#cancelTimer = undefined;
      // A timer may fire a little early; what is due within the millisecond is due.
      for (const due of this.#delayed.popUntil(this.#clock.monotonic() + 1)) {
        this.#addNow(due.key, due.priority);
      }
      this.#armTimer();
    });
  }

  #collect(metrics: RuntimeMetrics): void {
    const nowMs = this.#clock.monotonic();
    const ages = [...this.#working.values()].map((sinceMs) => (nowMs - sinceMs) / 1000);
    metrics.queueDepth.set(this.#labels, this.#waiting.size);
    metrics.queueUnfinished.set(this.#labels, ages.reduce((sum, age) => sum + age, 0));
    metrics.queueLongest.set(this.#labels, Math.max(0, ...ages));
  }
}
