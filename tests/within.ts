/**
 * Waiting in tests: a condition is awaited with a deadline, never slept for.
 * @module
 */

/**
 * Settles as `promise` does, or rejects when `ms` milliseconds have passed first.
 *
 * @param what completes the sentence "Waited <ms> ms for ..."
 */
export async function within<T>(ms: number, promise: Promise<T>, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Waited ${ms} ms for ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Calls `probe` every `everyMs` milliseconds until it returns something else than `undefined`, `false` or
 * `null`, and returns that. An error of the probe counts as "not yet" and is named when the deadline passes.
 * When `signal` is aborted it rejects with its reason.
 */
export async function until<T>(
  ms: number,
  what: string,
  probe: () => T | Promise<T>,
  everyMs = 20,
  signal?: AbortSignal,
): Promise<Exclude<T, undefined | null | false>> {
  const end = Date.now() + ms;
  let last: unknown;
  while (true) {
    signal?.throwIfAborted();
    try {
      const found = await probe();
      if (found !== undefined && found !== null && found !== false) {
        return found as Exclude<T, undefined | null | false>;
      }
      last = found;
    } catch (error) {
      last = error;
    }
    if (Date.now() >= end) {
      throw new Error(`Waited ${ms} ms for ${what}; last seen: ${last}`, { cause: last });
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
