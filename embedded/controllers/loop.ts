/**
 * The heart of each in-process controller: keys wait for their turn, one turn a key.
 * @module
 */
import { StatusError } from "../errors.ts";
import type { Clock } from "../types.ts";

/** After a refused write (a namespace going away, say) the key gets another turn. */
const retryMs = 1000;

export class Loop {
  readonly #clock: Clock;
  readonly #delayMs: number;
  readonly #run: (key: string) => void;
  readonly #waiting = new Map<string, { dueMs: number; cancel: () => void }>();
  #isClosed = false;

  /** @param delayMs from a change to the turn that it causes */
  constructor(clock: Clock, delayMs: number, run: (key: string) => void) {
    this.#clock = clock;
    this.#delayMs = delayMs;
    this.#run = run;
  }

  /** Gives the key a turn; of two times the earlier wins. */
  add(key: string, delayMs: number = this.#delayMs): void {
    if (this.#isClosed) return;
    const dueMs = this.#clock.now() + delayMs;
    const known = this.#waiting.get(key);
    if (known && known.dueMs <= dueMs) return;
    known?.cancel();
    this.#waiting.set(key, { dueMs, cancel: this.#clock.setTimer(delayMs, () => this.#turn(key)) });
  }

  #turn(key: string): void {
    this.#waiting.delete(key);
    try {
      this.#run(key);
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      this.add(key, retryMs);
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const { cancel } of this.#waiting.values()) cancel();
    this.#waiting.clear();
  }
}
