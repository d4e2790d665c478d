/**
 * A clock that a test moves by hand, and chance that can be replayed.
 * @module
 */

import type { Clock, Random } from "../../runtime/ports.ts";

type Timer = { dueMs: number; order: number; callback: () => void };

/** Time stands still until `advance`. */
export class FakeClock implements Clock {
  #nowMs = 0;
  #order = 0;
  /** The wall clock's lead over the monotonic one. */
  wallMs = Date.UTC(2026, 0, 1);
  readonly #timers = new Set<Timer>();

  now(): number {
    return this.wallMs + this.#nowMs;
  }

  monotonic(): number {
    return this.#nowMs;
  }

  setTimer(delayMs: number, callback: () => void): () => void {
    const timer = { dueMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, callback };
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
    };
  }

  /** Timers that wait. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Moves on by `ms`, fires what falls due, in order, and lets everything that follows from it happen. */
  async advance(ms: number): Promise<void> {
    await settle();
    const endMs = this.#nowMs + ms;
    while (true) {
      let next: Timer | undefined;
      for (const timer of this.#timers) {
        if (timer.dueMs > endMs) continue;
        if (!next || timer.dueMs < next.dueMs || (timer.dueMs === next.dueMs && timer.order < next.order)) {
          next = timer;
        }
      }
      if (!next) break;
      this.#timers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.callback();
      await settle();
    }
    this.#nowMs = endMs;
    await settle();
  }

  /** Time passes while the process does not run (SIGSTOP): nothing fires until it is moved on. */
  freeze(ms: number): void {
    this.#nowMs += ms;
  }
}

/** Lets every promise and stream that can go on, go on. Waits for no time. */
export async function settle(rounds = 6): Promise<void> {
  for (let round = 0; round < rounds; round++) await new Promise<void>((resolve) => setImmediate(resolve));
}

/** Numbers in [0, 1) that depend on the seed alone. */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
