/**
 * A cluster and an operator in one thread, on virtual time: ten virtual minutes take milliseconds, and the same choices
 * lead to the same run.
 *
 * The cluster is the embedded API with its simulated controllers, nodes and Patroni. The operator is a manager of the
 * runtime on a connection that goes straight to it; a process that crashes loses its connection and its timers and is
 * never heard of again.
 * @module
 */

import { setImmediate as nextTurn } from "node:timers/promises";
import { EmbeddedApi, type EmbeddedOptions, type KubeObject } from "../../embedded/mod.ts";
import {
  ApiError,
  type Clock,
  createLogger,
  createManager,
  type JSONValue,
  LeaseLostError,
  type Manager,
  type RequestOptions,
  type RestClient,
} from "../../runtime/mod.ts";

/** When every run begins. */
const START_MS = Date.parse("2026-01-01T00:00:00Z");
/** The transport's deadline: no answer within it is an error. */
const ANSWER_MAX_MS = 20_000;
/** How long a process is frozen: beyond its lease of 15 s and the takeover of another. */
const PAUSE_MS = 40_000;

/** Virtual time for everything in a simulation. */
export class VirtualTime {
  #nowMs = 0;
  #order = 0;
  #timers: { atMs: number; order: number; callback: () => void }[] = [];

  get nowMs(): number {
    return this.#nowMs;
  }

  get timers(): number {
    return this.#timers.length;
  }

  set(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, callback };
    let low = 0;
    let high = this.#timers.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = this.#timers[middle]!;
      if (other.atMs < timer.atMs || (other.atMs === timer.atMs && other.order < timer.order)) {
        low = middle + 1;
      } else high = middle;
    }
    this.#timers.splice(low, 0, timer);
    return () => {
      const index = this.#timers.indexOf(timer);
      if (index >= 0) this.#timers.splice(index, 1);
    };
  }

  /** When the next timer is due; Infinity without one. */
  get nextMs(): number {
    return this.#timers[0]?.atMs ?? Infinity;
  }

  /** Goes to the next timer and runs it. */
  advance(): void {
    const timer = this.#timers.shift();
    if (!timer) return;
    this.#nowMs = Math.max(this.#nowMs, timer.atMs);
    timer.callback();
  }

  /** Goes forward without a timer. */
  skipTo(ms: number): void {
    this.#nowMs = Math.max(this.#nowMs, ms);
  }
}

/** Chance that is the same in every run (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296;
  };
}

/** One request of the operator. */
export interface OperatorRequest {
  /** From 1, over all processes of a simulation. */
  readonly index: number;
  /** From 1, of those that write; 0 for a read. */
  readonly write: number;
  readonly method: string;
  readonly path: string;
  readonly isWatch: boolean;
}

/** What happens to a request instead of the usual. */
export type Fate =
  /** It never arrives, and the process dies. */
  | "crash before"
  /** It is carried out, and the process dies before it hears of it. */
  | "crash after"
  /** It is carried out, and the process dies once it has seen the watch event, without the answer. */
  | "crash after the event"
  /** It is carried out, and the answer does not come in time. */
  | "timeout after commit"
  /** It never arrives and is never answered: an error after the transport's deadline, silence for a watch. */
  | "hang"
  /** The process is frozen before it is sent, another one takes over, and then the first goes on where it was. */
  | "pause before"
  /** The same once it was carried out, before the answer is read. */
  | "pause after"
  | { status: number; reason: string; message?: string; retryAfterMs?: number }
  | undefined;

/** A change that was committed. */
export interface Commit {
  type: string;
  table: string;
  object: KubeObject;
  previous: KubeObject | undefined;
}

/** What becomes of the open streams of the operator. */
export type Spoil = "silent" | "half a line, then silent" | "half a line, then the end";

/** Adds the controllers of an operator to a manager. */
export type Install = (manager: Manager, random: () => number) => void;

/** How a simulation is set up. */
export interface SimulationOptions {
  crds: unknown[];
  simulate: EmbeddedOptions["simulate"];
  install: Install;
  /** Processes elect a leader. */
  elects?: boolean;
  /** Asked about each request of the operator, by its number. */
  fate?(request: OperatorRequest): Fate;
  /** Called after each commit, by its number from 1. */
  onCommit?(index: number, commit: Commit, simulation: Simulation): void;
}

/** A process of the operator. */
class OperatorProcess {
  readonly manager: Manager;
  readonly log: string[] = [];
  isDead = false;
  end: { error?: unknown } | undefined;
  readonly #stopping = new AbortController();
  readonly #timers = new Set<() => void>();
  readonly #streams = new Set<ReadableStreamDefaultReader<Uint8Array>>();
  readonly #spoiled = new Map<ReadableStreamDefaultReader<Uint8Array>, Spoil>();
  /** While it is frozen: timers that came due, and what waits for it to go on. */
  #frozen: { due: (() => void)[]; thawed: Promise<void>; thaw: () => void } | undefined;

  constructor(simulation: Simulation, { install, elects }: SimulationOptions, random: () => number) {
    const clock: Clock = {
      now: () => START_MS + simulation.time.nowMs,
      monotonic: () => simulation.time.nowMs,
      setTimer: (delayMs, callback) => {
        if (this.isDead) return () => {};
        const cancel = simulation.time.set(delayMs, () => {
          this.#timers.delete(cancel);
          if (this.#frozen) this.#frozen.due.push(callback);
          else callback();
        });
        this.#timers.add(cancel);
        return () => {
          this.#timers.delete(cancel);
          cancel();
        };
      },
    };
    this.manager = createManager({
      rest: { performRequest: this.#connection(simulation) },
      name: "database-operator",
      clock,
      random,
      log: createLogger({ clock, sink: (line) => this.log.push(line) }),
      ...(elects
        ? {
          leaderElection: {
            namespace: "shop",
            name: "operator",
            identity: `process-${simulation.processes}`,
          },
        }
        : {}),
    });
    install(this.manager, random);
    this.manager.start(this.#stopping.signal).then(() => this.end = {}, (error) => this.end = { error });
  }

  /** Timers that are set. */
  get timers(): number {
    return this.#timers.size;
  }

  /** As SIGKILL does it. */
  kill(): void {
    this.isDead = true;
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
    for (const reader of this.#streams) reader.cancel().catch(() => {});
    this.#streams.clear();
  }

  /** As SIGSTOP does it: nothing comes in, no timer fires; the clock goes on. */
  freeze(): void {
    let thaw = () => {};
    const thawed = new Promise<void>((resolve) => thaw = resolve);
    this.#frozen = { due: [], thawed, thaw };
  }

  /** As SIGCONT does it. */
  thaw(): void {
    const frozen = this.#frozen;
    this.#frozen = undefined;
    frozen?.thaw();
    for (const callback of frozen?.due ?? []) callback();
  }

  /** Its open streams bring nothing more, or nothing sensible. */
  spoil(how: Spoil): void {
    for (const reader of this.#streams) this.#spoiled.set(reader, how);
  }

  /** As SIGTERM does it. */
  stop(): void {
    this.#stopping.abort(new Error("The simulation is over"));
  }

  #connection(simulation: Simulation): RestClient["performRequest"] {
    const never = new Promise<never>(() => {});
    const perform = async (options: RequestOptions): Promise<unknown> => {
      if (this.isDead) return never;
      const { abortSignal: signal } = options;
      if (signal?.aborted) throw signal.reason;
      const { fate, perform } = simulation.request(options);
      if (fate === "hang") return await this.#unanswered(options, simulation);
      if (fate === "pause before") simulation.pause(this);
      await this.#frozen?.thawed;
      if (fate === "crash before") {
        this.kill();
        simulation.hasCrashed = true;
        return never;
      }
      if (typeof fate === "object") {
        const { status, reason, message = "fault", retryAfterMs } = fate;
        throw new ApiError(status, `Cannot ${options.method} ${options.path}: ${message}`, {
          reason,
          retryAfterMs,
        });
      }
      const response = await perform();
      if (fate === "crash after" || fate === "crash after the event") {
        if (fate === "crash after the event") await simulation.settleTurn();
        this.kill();
        simulation.hasCrashed = true;
        return never;
      }
      if (fate === "pause after") simulation.pause(this);
      await this.#frozen?.thawed;
      if (this.isDead) return never;
      if (fate === "timeout after commit") {
        await response.body?.cancel();
        throw new Error(`Cannot ${options.method} ${options.path}: no answer within 20000 ms`);
      }
      if (response.status >= 400) throw await refusal(options, response);
      if (options.expectStream) return this.#stream(response, signal, simulation);
      const text = await response.text();
      await this.#frozen?.thawed;
      if (signal?.aborted) throw signal.reason;
      return options.expectJson ? JSON.parse(text) as JSONValue : new TextEncoder().encode(text);
    };
    return perform as RestClient["performRequest"];
  }

  #unanswered({ method, path, abortSignal: signal }: RequestOptions, simulation: Simulation): Promise<never> {
    return new Promise((_, reject) => {
      const cancel = simulation.time.set(ANSWER_MAX_MS, () => {
        reject(new Error(`Cannot ${method} ${path}: no answer within ${ANSWER_MAX_MS} ms`));
      });
      signal?.addEventListener("abort", () => {
        cancel();
        reject(signal.reason as Error);
      }, { once: true });
    });
  }

  #stream(
    response: Response,
    signal: AbortSignal | undefined,
    simulation: Simulation,
  ): ReadableStream<Uint8Array> {
    const reader = response.body!.getReader();
    this.#streams.add(reader);
    const close = () => {
      this.#streams.delete(reader);
      reader.cancel().catch(() => {});
    };
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        signal?.addEventListener("abort", () => {
          close();
          controller.error(signal.reason);
        }, { once: true });
      },
      pull: async (controller) => {
        try {
          const { value, done } = await reader.read();
          simulation.activity++;
          await this.#frozen?.thawed;
          const spoil = this.#spoiled.get(reader);
          if (this.isDead || spoil === "silent") return await new Promise<never>(() => {});
          if (spoil) {
            this.#spoiled.set(reader, "silent");
            controller.enqueue((value ?? new Uint8Array()).subarray(0, 20));
            if (spoil === "half a line, then the end") controller.close();
            return;
          }
          if (done) {
            this.#streams.delete(reader);
            controller.close();
          } else controller.enqueue(value);
        } catch (error) {
          this.#streams.delete(reader);
          controller.error(error);
        }
      },
      cancel: close,
    });
  }
}

/** A cluster with an operator in it. */
export class Simulation {
  readonly time = new VirtualTime();
  readonly api: EmbeddedApi;
  readonly commits: Commit[] = [];
  readonly requests: OperatorRequest[] = [];
  /** Counts whatever happens, so that quiet is seen. */
  activity = 0;
  /** Requests under way. */
  pending = 0;
  hasCrashed = false;
  /** How many processes there have been. */
  processes = 0;
  readonly #options: SimulationOptions;
  readonly #random: () => number;
  /** Processes that were frozen. */
  readonly #former: OperatorProcess[] = [];
  #process: OperatorProcess | undefined;
  #lagging: { fetch(request: Request): Promise<Response> } | undefined;
  #writes = 0;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.#random = seeded(1);
    this.api = new EmbeddedApi({
      clock: {
        now: () => START_MS + this.time.nowMs,
        setTimer: (ms, callback) => this.time.set(ms, callback),
      },
      random: seeded(2),
      crds: options.crds,
      simulate: options.simulate,
      namespaces: ["shop"],
    });
    this.api.subscribe((commit) => {
      this.activity++;
      this.commits.push(commit);
      options.onCommit?.(this.commits.length, commit, this);
    });
  }

  /** Writes that the operator has asked for, carried out or not. */
  get writes(): number {
    return this.#writes;
  }

  /** The last lines of the operator's log. */
  get log(): string[] {
    return this.#process?.log ?? [];
  }

  /** Starts a process of the operator. */
  startOperator(): void {
    this.hasCrashed = false;
    this.processes++;
    this.#process = new OperatorProcess(this, this.#options, this.#random);
  }

  /** Freezes a process for a while and starts another beside it. */
  pause(process: OperatorProcess): void {
    process.freeze();
    this.#former.push(process);
    this.time.set(PAUSE_MS, () => process.thaw());
    this.startOperator();
  }

  /** From now on the operator reads from a server that knows nothing newer than this; undefined: no longer. */
  lag(resourceVersion: string | undefined): void {
    this.#lagging = resourceVersion === undefined ? undefined : this.api.lagging(resourceVersion);
  }

  /** Spoils the open streams of the operator. */
  spoil(how: Spoil): void {
    this.#process?.spoil(how);
  }

  /** Kills the operator as it stands. */
  crashOperator(): void {
    this.#process?.kill();
    this.hasCrashed = true;
  }

  /** What a user does, at once. @throws {Error} when the API server refuses */
  async user(method: string, path: string, body?: unknown, contentType?: string): Promise<KubeObject> {
    const response = await this.api.fetch(
      new Request(`http://api${path}`, {
        method,
        headers: { "content-type": contentType ?? "application/merge-patch+json", "user-agent": "user" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    );
    const text = await response.text();
    if (response.status >= 400) throw new UserRefused(`${method} ${path}: ${response.status} ${text}`);
    return JSON.parse(text) as KubeObject;
  }

  /** A request of the operator: what becomes of it, and how it is carried out. */
  request(options: RequestOptions): { fate: Fate; perform: () => Promise<Response> } {
    this.activity++;
    const isLease = options.path.includes("/leases");
    const isWrite = options.method !== "GET" && !isLease;
    if (isWrite) this.#writes++;
    const request: OperatorRequest = {
      index: this.requests.length + 1,
      write: isWrite ? this.#writes : 0,
      method: options.method,
      path: options.path,
      isWatch: options.querystring?.get("watch") === "true",
    };
    if (!isLease) this.requests.push(request);
    const query = options.querystring?.size ? `?${options.querystring}` : "";
    const perform = async () => {
      this.pending++;
      try {
        return await (this.#lagging ?? this.api).fetch(
          new Request(`http://api${options.path}${query}`, {
            method: options.method,
            headers: {
              "content-type": options.contentType ?? "application/json",
              accept: options.accept ?? "application/json",
              "user-agent": "database-operator",
            },
            ...(options.bodyJson === undefined ? {} : { body: JSON.stringify(options.bodyJson) }),
          }),
        );
      } finally {
        this.pending--;
        this.activity++;
      }
    };
    return { fate: isLease ? undefined : this.#options.fate?.(request), perform };
  }

  /** Lets everything happen that needs no time to pass. */
  async settleTurn(): Promise<void> {
    let idle = 0;
    let seen = this.activity;
    while (idle < 2 || this.pending > 0) {
      await nextTurn();
      if (this.activity === seen) idle++;
      else {
        idle = 0;
        seen = this.activity;
      }
    }
  }

  /**
   * Lets virtual time pass until `isOver` holds. An operator that crashed is started again a second later.
   *
   * @throws {Error} when it does not within `forMs`
   */
  async run(forMs: number, what: string, isOver: () => boolean): Promise<void> {
    const endMs = this.time.nowMs + forMs;
    while (true) {
      await this.settleTurn();
      if (this.hasCrashed) {
        this.hasCrashed = false;
        this.time.set(1_000, () => this.startOperator());
      }
      if (this.#process?.end) {
        throw new Error("The operator has ended by itself", { cause: this.#process.end.error });
      }
      if (isOver()) return;
      if (this.time.nextMs > endMs) {
        this.time.skipTo(endMs);
        if (isOver()) return;
        throw new Error(`${forMs / 1000} virtual seconds were not enough for ${what}`);
      }
      this.time.advance();
    }
  }

  /** Lets virtual time pass until nothing was committed for a while. Answers when the last commit was. */
  async quiet(quietMs: number, withinMs: number): Promise<number> {
    let commits = this.commits.length;
    let sinceMs = this.time.nowMs;
    await this.run(
      withinMs + quietMs,
      `quiet: the store still changes (${describe(this.commits.at(-1))})`,
      () => {
        if (this.commits.length !== commits) {
          commits = this.commits.length;
          sinceMs = this.time.nowMs;
        }
        return this.time.nowMs - sinceMs >= quietMs;
      },
    );
    return sinceMs;
  }

  /** Stops the operator and the cluster, and answers with what was left behind. */
  async close(): Promise<string[]> {
    const left: string[] = [];
    const process = this.#process;
    if (process && !process.isDead) {
      process.stop();
      for (let steps = 0; !process.end && steps < 10_000; steps++) {
        await this.settleTurn();
        if (!process.end) this.time.advance();
      }
      await this.settleTurn();
      if (!process.end) left.push("the operator did not stop");
      else if ("error" in process.end) left.push(`the operator stopped with ${process.end.error}`);
      if (process.timers > 0) left.push(`${process.timers} timers of the operator`);
      for (const former of this.#former) {
        if (!(former.end?.error instanceof LeaseLostError)) {
          left.push("a process that was frozen did not end");
        }
        if (former.timers > 0) left.push(`${former.timers} timers of a process that was frozen`);
        former.kill();
      }
      if (this.api.openWatches > 0) left.push(`${this.api.openWatches} watches`);
    }
    process?.kill();
    this.api.close();
    await this.settleTurn();
    return left;
  }
}

/** The API server refused what a user did. */
export class UserRefused extends Error {}

function describe(commit: Commit | undefined): string {
  return commit ? `${commit.type} ${commit.table} ${commit.object.metadata.name}` : "nothing";
}

/** The API server's refusal, as the transport reports it. */
async function refusal(options: RequestOptions, response: Response): Promise<ApiError> {
  const status = JSON.parse(await response.text()) as {
    message?: string;
    reason?: string;
    details?: ConstructorParameters<typeof ApiError>[2] extends { details?: infer Details } | undefined
      ? Details
      : never;
  };
  const retryAfter = Number(response.headers.get("retry-after"));
  return new ApiError(response.status, `Cannot ${options.method} ${options.path}: ${status.message}`, {
    reason: status.reason,
    details: status.details,
    ...(retryAfter > 0 ? { retryAfterMs: retryAfter * 1000 } : {}),
  });
}
