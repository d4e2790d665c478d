/**
 * The outside world, as arguments: time, chance and where log lines go.
 *
 * Everything in this library that waits, measures, draws lots or prints takes one of these, so a test can run ten
 * virtual minutes in a millisecond and replay a run exactly. The real ones are in platform/.
 * @module
 */

/** Time and timers. */
export interface Clock {
  /** Milliseconds since 1970, for timestamps that people read. May jump. */
  now(): number;
  /** Milliseconds since some start; never goes back. Every duration is measured with it. */
  monotonic(): number;
  /** Calls `callback` once after `delayMs`; the returned function cancels it. Holds the event loop open. */
  setTimer(delayMs: number, callback: () => void): () => void;
}

/** A number in [0, 1). */
export type Random = () => number;

/** Takes one finished line, without its newline. */
export type LineSink = (line: string) => void;

/** All of them together. */
export interface Ports {
  clock: Clock;
  random: Random;
  sink: LineSink;
}

/** The reason of `signal`, as an Error that says it was stopped when the signal names none. */
export function abortReason(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  return reason instanceof Error ? reason : new Error("Stopped", { cause: reason });
}

/**
 * Waits `delayMs`.
 *
 * @throws the signal's reason as soon as it is aborted; no timer is left behind
 */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(abortReason(signal));
    const cancel = clock.setTimer(delayMs, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    const onAbort = () => {
      cancel();
      reject(abortReason(signal!));
    };
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/**
 * Settles as `promise` does, or rejects with `error()` when `timeoutMs` have passed first.
 * The promise itself goes on; its later failure is swallowed here because this caller was told already.
 */
export function withDeadline<T>(
  clock: Clock,
  timeoutMs: number,
  promise: Promise<T>,
  error: () => Error,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.setTimer(timeoutMs, () => reject(error()));
    promise.then((value) => {
      cancel();
      resolve(value);
    }, (cause) => {
      cancel();
      reject(cause);
    });
  });
}

/** A signal that is aborted when any of the given ones is, and the function that stops listening to them. */
export function linkedController(...parents: (AbortSignal | undefined)[]): {
  controller: AbortController;
  unlink: () => void;
} {
  const controller = new AbortController();
  const unlinks: (() => void)[] = [];
  for (const parent of parents) {
    if (!parent) continue;
    if (parent.aborted) {
      controller.abort(parent.reason);
      break;
    }
    const onAbort = () => controller.abort(parent.reason);
    parent.addEventListener("abort", onAbort, { once: true });
    unlinks.push(() => parent.removeEventListener("abort", onAbort));
  }
  return { controller, unlink: () => unlinks.forEach((unlink) => unlink()) };
}
