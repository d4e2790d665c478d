/**
 * Delays that grow: the work queue's limits on retries.
 *
 * Same numbers as client-go's DefaultControllerRateLimiter (util/workqueue/default_rate_limiters.go): each key waits
 * 5 ms, then twice as long each time, up to 1,000 s (reached at its 19th failure in a row); all keys together are
 * retried 10 times a second after a burst of 100. The longer of the two counts.
 * @module
 */

import type { Clock } from "./ports.ts";

/** What a rate limiter may be told. */
export interface RateLimiterOptions {
  /** Default 5 ms. */
  baseDelayMs?: number;
  /** Default 1,000 s. */
  maxDelayMs?: number;
  /** Retries a second over all keys; default 10. */
  perSecond?: number;
  /** Retries at once over all keys; default 100. */
  burst?: number;
}

/** Says how long a failed key waits. */
export class RateLimiter {
  readonly #clock: Clock;
  readonly #options: Required<RateLimiterOptions>;
  readonly #failures = new Map<string, number>();
  /** May go below zero: tokens promised to keys that wait for them. */
  #tokens: number;
  #filledAtMs: number;

  constructor(clock: Clock, options: RateLimiterOptions = {}) {
    this.#clock = clock;
    this.#options = { baseDelayMs: 5, maxDelayMs: 1_000_000, perSecond: 10, burst: 100, ...options };
    this.#tokens = this.#options.burst;
    this.#filledAtMs = clock.monotonic();
  }

  /** Counts one failure of the key and returns how long it waits. */
  next(key: string): number {
    const { baseDelayMs, maxDelayMs } = this.#options;
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    return Math.max(Math.min(baseDelayMs * 2 ** failures, maxDelayMs), this.#takeToken());
  }

  /** The key did not fail: its next failure starts at the shortest delay. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** The keys that failed and have not succeeded since. */
  failed(): string[] {
    return [...this.#failures.keys()];
  }

  /** Forgets all failures and debts. */
  reset(): void {
    this.#failures.clear();
    this.#tokens = this.#options.burst;
  }

  /** Failures in a row. */
  failures(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  #takeToken(): number {
    const { perSecond, burst } = this.#options;
    const nowMs = this.#clock.monotonic();
    this.#tokens = Math.min(burst, this.#tokens + (nowMs - this.#filledAtMs) / 1000 * perSecond);
    this.#filledAtMs = nowMs;
    this.#tokens -= 1;
    return this.#tokens >= 0 ? 0 : -this.#tokens / perSecond * 1000;
  }
}
