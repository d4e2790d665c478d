/**
 * What the tests of the embedded API share: a short way to send requests, a clock of their own, and
 * reading watches.
 * @module
 */
import { EmbeddedApi, type EmbeddedOptions } from "../../embedded/mod.ts";
import { within } from "../within.ts";

/** A JSON value of any shape. */
// deno-lint-ignore no-explicit-any
export type Json = any;

/** A clock that stands still until it is told to go on. */
export class FakeClock {
  #nowMs = Date.parse("2026-01-01T00:00:00Z");
  #timers: { dueMs: number; order: number; callback: () => void }[] = [];
  #order = 0;

  now(): number {
    return this.#nowMs;
  }

  setTimer(delayMs: number, callback: () => void): () => void {
    const timer = { dueMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer);
    };
  }

  /** Timers that wait. */
  get waiting(): number {
    return this.#timers.length;
  }

  /** Lets time pass, running the timers that fall due in their order. */
  advance(ms: number): void {
    const end = this.#nowMs + ms;
    while (true) {
      const [next] = this.#timers.filter((timer) => timer.dueMs <= end)
        .sort((a, b) => a.dueMs - b.dueMs || a.order - b.order);
      if (!next) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#nowMs = next.dueMs;
      next.callback();
    }
    this.#nowMs = end;
  }
}

/** Numbers that look random and are the same in every run. */
export function seeded(seed = 1): () => number {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) % 4294967296;
    return state / 4294967296;
  };
}

export const types = {
  merge: "application/merge-patch+json",
  json: "application/json-patch+json",
  strategic: "application/strategic-merge-patch+json",
  apply: "application/apply-patch+yaml",
};

export const configMaps = "/api/v1/namespaces/default/configmaps";

/** An API with a fake clock, and the verbs. */
export class TestApi {
  readonly clock = new FakeClock();
  readonly api: EmbeddedApi;

  constructor(options: EmbeddedOptions = {}) {
    this.api = new EmbeddedApi({ clock: this.clock, random: seeded(), ...options });
  }

  async send(
    method: string,
    path: string,
    body?: Json,
    type = "application/json",
  ): Promise<{ status: number; body: Json; warnings: string }> {
    const request = new Request(`http://api${path}`, {
      method,
      headers: { "content-type": type, "user-agent": "test/1" },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const response = await this.api.fetch(request);
    const text = await response.text();
    const isJson = response.headers.get("content-type")?.startsWith("application/json") ?? false;
    return {
      status: response.status,
      body: isJson && !text.includes("}\n{") ? JSON.parse(text) : text,
      warnings: response.headers.get("warning") ?? "",
    };
  }

  /** The body of a request that must succeed. */
  async ok(method: string, path: string, body?: Json, type?: string): Promise<Json> {
    const answer = await this.send(method, path, body, type);
    if (answer.status >= 300) {
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    }
    return answer.body;
  }

  get = (path: string) => this.ok("GET", path);
  post = (path: string, body: Json) => this.ok("POST", path, body);
  patch = (path: string, body: Json, type = types.merge) => this.ok("PATCH", path, body, type);
  delete = (path: string, body?: Json) => this.ok("DELETE", path, body);
  apply = (path: string, manager: string, body: Json, more = "") =>
    this.send("PATCH", `${path}?fieldManager=${manager}${more}`, body, types.apply);

  /** Opens a watch. */
  async watch(path: string): Promise<TestWatch> {
    const response = await this.api.fetch(
      new Request(`http://api${path}${path.includes("?") ? "&" : "?"}watch=true`),
    );
    return new TestWatch(response);
  }
}

/** Reads one watch. */
export class TestWatch {
  readonly status: number;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #text = "";

  constructor(response: Response) {
    this.status = response.status;
    this.#reader = response.body!.getReader();
  }

  /** The next event; undefined at the end of the stream. */
  async next(): Promise<Json> {
    while (!this.#text.includes("\n")) {
      const { done, value } = await within(2000, this.#reader.read(), "a watch event");
      if (done) return undefined;
      this.#text += new TextDecoder().decode(value);
    }
    const end = this.#text.indexOf("\n");
    const line = this.#text.slice(0, end);
    this.#text = this.#text.slice(end + 1);
    return JSON.parse(line);
  }

  /** The next events in short: type and name. */
  async take(count: number): Promise<string[]> {
    const found: string[] = [];
    for (let i = 0; i < count; i++) {
      const event = await this.next();
      found.push(event ? `${event.type} ${event.object.metadata.name ?? event.object.reason ?? ""}` : "end");
    }
    return found;
  }

  close(): Promise<void> {
    return this.#reader.cancel();
  }
}
