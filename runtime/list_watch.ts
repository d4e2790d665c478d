/**
 * Drives one reflector: does the requests that its state asks for and feeds it what comes back.
 *
 * All decisions are in reflector.ts; here are the deadlines. Whatever a connection does - no headers, headers and then
 * silence, half a line - the watch is given up after {@linkcode SILENCE_MAX_MS} without a byte.
 * @module
 */

import type { Client, Selection } from "./client.ts";
import { DeadlineError, messageOf } from "./errors.ts";
import { type Clock, linkedController, type Random, sleep, withDeadline } from "./ports.ts";
import { type Effect, initialState, type Input, type Phase, type ReflectorState, step } from "./reflector.ts";
import type { AnyResource, KubernetesObject } from "./types.ts";

/** The server is asked to end a watch after 14 to 20 s; it sends a bookmark about 2 s before it does. */
const WATCH_MIN_SECONDS = 14;
const WATCH_SPREAD_SECONDS = 7;
/** Longest silence of a watch: beyond its own end, and short enough to converge within 30 s. */
export const SILENCE_MAX_MS = 24_000;
/** Longest wait for one page: the API server gives up after 60 s itself. */
const PAGE_MAX_MS = 60_000;
/** A line longer than this is no object: etcd takes 1.5 MiB. */
const LINE_LENGTH_MAX = 16 * 1024 * 1024;

/** What a list-watch needs. */
export interface ListWatchOptions {
  client: Client;
  resource: AnyResource;
  selection: Selection;
  clock: Clock;
  random: Random;
  /** Objects of one page; default the client's. */
  pageSize?: number;
  /** What is kept of a listed object. Called as soon as its page is there: the whole list may be large. */
  keep(object: KubernetesObject): KubernetesObject;
  /** Called for each effect, in order, as soon as it is known. */
  onEffect(effect: Effect): void;
  /** The API server was heard. */
  onHeard(): void;
}

/** One endless list and watch. */
export class ListWatch {
  readonly #options: ListWatchOptions;
  #state: ReflectorState = initialState;
  #interrupt: (() => void) | undefined;
  #relistWaiters: (() => void)[] = [];
  #listWaiters: (() => void)[] = [];
  /** When something last happened, a failure included: a driver that goes on trying is alive. */
  activeAtMs: number;

  constructor(options: ListWatchOptions) {
    this.#options = options;
    this.activeAtMs = options.clock.monotonic();
  }

  /** The newest resourceVersion up to which everything was seen. */
  get seen(): string {
    return this.#state.seen;
  }

  /** True while a watch is being read. */
  get isWatching(): boolean {
    return this.#state.phase.name === "watch";
  }

  /** Lists and watches until the signal is aborted. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      // Asked for while no watch was there to be interrupted; a list under way may have begun too early for them.
      if (this.#state.phase.name === "watch" && this.#relistWaiters.length > 0) {
        this.#step({ type: "relist", why: "asked for before the watch" });
      }
      const { phase } = this.#state;
      const { controller, unlink } = linkedController(signal);
      this.#interrupt = () => controller.abort(new Error("Interrupted by a relist"));
      try {
        if (phase.name === "list") await this.#list(phase, controller.signal);
        else if (phase.name === "watch") await this.#watch(phase, controller);
        else {
          await sleep(this.#options.clock, phase.delayMs, controller.signal);
          this.#step({ type: "waited" });
        }
      } catch (error) {
        if (signal.aborted) break;
        // What interrupted us has changed the state already; anything else is a failure of this phase.
        if (phase.name !== "wait" && phase.name === this.#state.phase.name) {
          this.#step({ type: "failed", error });
        }
      } finally {
        this.#interrupt = undefined;
        unlink();
      }
    }
    for (const waiter of [...this.#relistWaiters.splice(0), ...this.#listWaiters.splice(0)]) waiter();
  }

  /** Resolves when a list that began after this call is complete, or when the list-watch stops. */
  relist(why: string): Promise<void> {
    return new Promise((resolve) => {
      this.#relistWaiters.push(resolve);
      if (this.#state.phase.name !== "watch") return;
      this.#step({ type: "relist", why });
      this.#interrupt?.();
    });
  }

  async #list(phase: Phase & { name: "list" }, signal: AbortSignal): Promise<void> {
    const { client, resource, selection, clock, pageSize, keep } = this.#options;
    if (phase.pages.length === 0) this.#listWaiters.push(...this.#relistWaiters.splice(0));
    const { controller, unlink } = linkedController(signal);
    const late = () => {
      const error = new DeadlineError(`No page of ${resource.plural} came within ${PAGE_MAX_MS} ms`);
      controller.abort(error);
      return error;
    };
    try {
      const request = client.listPage(resource, {
        ...selection,
        limit: phase.isWhole ? 0 : pageSize,
        continueToken: phase.continueToken,
        // Each refusal is the reflector's to count, to show and to wait after.
        isRetried: false,
        signal: controller.signal,
      });
      const page = await withDeadline(clock, PAGE_MAX_MS, request, late);
      this.#options.onHeard();
      this.#step({ type: "page", page: { ...page, items: page.items.map(keep) } });
    } finally {
      unlink();
    }
    if (this.#state.phase.name !== "watch") return;
    for (const waiter of this.#listWaiters.splice(0)) waiter();
  }

  async #watch(phase: Phase & { name: "watch" }, controller: AbortController): Promise<void> {
    const { client, resource, selection, clock, random } = this.#options;
    const silence = new Silence(clock);
    let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
    let opening: Promise<ReadableStream<Uint8Array>> | undefined;
    try {
      opening = client.watch(resource, {
        ...selection,
        resourceVersion: phase.resourceVersion,
        timeoutSeconds: WATCH_MIN_SECONDS + Math.floor(random() * WATCH_SPREAD_SECONDS),
        signal: controller.signal,
      });
      const stream = await silence.guard(opening, controller.signal);
      reader = stream.getReader();
      this.#heard(silence);
      this.#step({ type: "opened" });
      const lines = new LineReader();
      while (this.#state.phase.name === "watch") {
        const { value, done } = await silence.guard(reader.read(), controller.signal);
        if (controller.signal.aborted) return;
        if (done) {
          if (lines.rest.trim() !== "") this.#step({ type: "bad line", found: "half a line" });
          else this.#step({ type: "ended" });
          return;
        }
        this.#heard(silence);
        if (!lines.push(value)) this.#step({ type: "bad line", found: "a line that does not end" });
        this.#lines(lines.taken());
      }
    } catch (error) {
      if (!(error instanceof SilentError)) throw error;
      this.#step({ type: "silent", silenceMs: SILENCE_MAX_MS });
      if (reader) giveUp(reader, new DeadlineError(`The watch of ${resource.plural} went silent`));
    } finally {
      silence.end();
      const over = new Error("The watch is over");
      if (reader) giveUp(reader, over);
      else opening?.then((late) => late.cancel(over)).catch(() => {}); // Its failure was told, or nobody waits for it.
      controller.abort(new Error("The watch is over"));
    }
  }

  /** Feeds whole lines to the state machine until one of them ends the watch. */
  #lines(lines: string[]): void {
    for (const line of lines) {
      if (this.#state.phase.name !== "watch") return;
      if (line.trim() === "") continue;
      let event: unknown;
      try {
        event = JSON.parse(line);
      } catch (error) {
        this.#step({
          type: "bad line",
          found: `a line of ${line.length} characters: ${messageOf(error).slice(0, 80)}`,
        });
        return;
      }
      this.#step({ type: "event", event });
    }
  }

  #heard(silence: Silence): void {
    silence.heard();
    this.activeAtMs = this.#options.clock.monotonic();
    this.#options.onHeard();
  }

  #step(input: Input): void {
    const { clock, random, resource, onEffect } = this.#options;
    const nowMs = clock.monotonic();
    this.activeAtMs = nowMs;
    const { state, effects } = step(this.#state, input, { nowMs, random: random(), kind: resource.kind });
    this.#state = state;
    for (const effect of effects) onEffect(effect);
  }
}

class SilentError extends Error {}

/** Ends a wait when no byte came for too long. One timer for the life of a watch, however many chunks it brings. */
class Silence {
  readonly #clock: Clock;
  #heardAtMs: number;
  #cancel: () => void = () => {};
  #onSilent: ((error: Error) => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#heardAtMs = clock.monotonic();
    this.#arm(SILENCE_MAX_MS);
  }

  heard(): void {
    this.#heardAtMs = this.#clock.monotonic();
  }

  /** Settles as `promise` does, or rejects on silence or abort: the promise of a dead connection may never settle. */
  guard<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(signal.reason);
      if (signal.aborted) return onAbort();
      signal.addEventListener("abort", onAbort, { once: true });
      this.#onSilent = reject;
      const settled = () => {
        this.#onSilent = undefined;
        signal.removeEventListener("abort", onAbort);
      };
      promise.then((value) => {
        settled();
        resolve(value);
      }, (error) => {
        settled();
        reject(error);
      });
    });
  }

  end(): void {
    this.#cancel();
  }

  #arm(delayMs: number): void {
    this.#cancel = this.#clock.setTimer(delayMs, () => {
      const leftMs = SILENCE_MAX_MS - (this.#clock.monotonic() - this.#heardAtMs);
      if (leftMs > 0) this.#arm(leftMs);
      else this.#onSilent?.(new SilentError("Silence"));
    });
  }
}

/** Cuts bytes into lines; each byte is looked at once. */
class LineReader {
  readonly #decoder = new TextDecoder();
  #lines: string[] = [];
  #parts: string[] = [];
  #length = 0;

  /** What came after the last newline. */
  get rest(): string {
    return this.#parts.join("");
  }

  /** Takes in bytes. Answers false when a line gets longer than any object could be. */
  push(chunk: Uint8Array): boolean {
    const text = this.#decoder.decode(chunk, { stream: true });
    let from = 0;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", from)) {
      const line = text.slice(from, end);
      this.#lines.push(this.#parts.length > 0 ? this.rest + line : line);
      this.#parts = [];
      this.#length = 0;
      from = end + 1;
    }
    if (from < text.length) this.#parts.push(text.slice(from));
    this.#length += text.length - from;
    return this.#length <= LINE_LENGTH_MAX;
  }

  /** The whole lines since the last call. */
  taken(): string[] {
    return this.#lines.splice(0);
  }
}

/** Cancels a stream without waiting for it: on a dead connection that may never settle, and nobody needs the result. */
function giveUp(reader: ReadableStreamDefaultReader<Uint8Array>, reason: Error): void {
  reader.cancel(reason).catch(() => {
    // The stream had failed before; that failure was reported when it was read.
  });
}
