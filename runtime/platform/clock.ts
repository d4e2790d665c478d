/**
 * Real time, chance and standard error: the ports of a running process.
 * @module
 */

import process from "node:process";
import type { Clock, LineSink, Random } from "../ports.ts";

/** The longest delay that a timer of JavaScript takes; a longer one would fire at once. */
const TIMER_MAX_MS = 2_147_483_647;

/** The system's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimer(delayMs, callback) {
    const timer = setTimeout(callback, Math.min(Math.max(delayMs, 0), TIMER_MAX_MS));
    return () => clearTimeout(timer);
  },
};

/** Chance. */
export const systemRandom: Random = () => Math.random();

/** A token that cannot be guessed: as many random bytes of the system, in base64url (letters, digits, `-` and `_`). */
export function randomToken(bytes: number): string {
  const text = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(bytes))));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Lines to standard error, where a container's log is read from. */
export const standardError: LineSink = (line) => {
  process.stderr.write(`${line}\n`);
};
