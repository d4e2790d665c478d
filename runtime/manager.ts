/**
 * The manager: owns the caches, controllers, leader election and the health port, and starts and stops them in the
 * right order.
 *
 * Start: health and metrics, then the caches, then, once this process leads, the controllers; one that does not lead
 * serves metrics and keeps warm caches. Stop: controllers first (what is under way may end), then the caches, the
 * lease, the port. Losing the lease is no orderly stop: everything is aborted at once, and `start` rejects.
 * @module
 */

import { Client, type ResourceClient } from "./client.ts";
import { Controller } from "./controller.ts";
import { CacheSyncError, DeadlineError, messageOf } from "./errors.ts";
import { BackgroundEventRecorder } from "./events.ts";
import { type Gate, gatedRest } from "./gate.ts";
import { Informer, informerId } from "./informer.ts";
import { LeaderElection } from "./leader_election.ts";
import { createLogger, type Logger } from "./logger.ts";
import { createRuntimeMetrics, MetricsRegistry, type RuntimeMetrics } from "./metrics.ts";
import type {
  ControllerOptions,
  EventRecorder,
  HealthCheck,
  InformerOptions,
  ManagerOptions,
  Runnable,
} from "./options.ts";
import { nameOf } from "./paths.ts";
import { systemClock, systemRandom } from "./platform/clock.ts";
import { hostName } from "./platform/environment.ts";
import { type Answer, serveHttp } from "./platform/http_server.ts";
import { processCosts } from "./platform/process.ts";
import { type Clock, type Random, sleep, withDeadline } from "./ports.ts";
import { SplitClient } from "./split_client.ts";
import type { AnyResource, KubernetesObject, Resource } from "./types.ts";
import { WarningHandler } from "./warnings.ts";

const CACHE_SYNC_TIMEOUT_MS = 120_000;
/** A pod has 30 s to end; ours is gone within 10. */
const GRACEFUL_STOP_MS = 8_000;
/** Reconciles under way may end by themselves for this part of it; then they are aborted. */
const GRACE_BEFORE_ABORT = 0.5;
/** Never for the last second: caches, lease and port need some of it. */
const RELEASE_TIMEOUT_MS = 1_000;
/** What was recorded last is worth a moment, and not the orderly stop. */
const EVENTS_TIMEOUT_MS = 2_000;
const RESYNC_MS = 36_000_000;

/**
 * Makes a manager. Nothing happens before {@linkcode Manager.start}.
 *
 * @example
 * const manager = createManager({ rest: await connect(), name: "example", http: { port: 8080 } });
 */
export function createManager(options: ManagerOptions): Manager {
  return new Manager(options);
}

/** Starts and stops everything. */
export class Manager {
  /** Reads from the caches, writes to the API server. */
  readonly client: ResourceClient;
  /** Reads and writes on the API server. */
  readonly liveClient: Client;
  readonly events: EventRecorder;
  readonly log: Logger;
  readonly metrics: MetricsRegistry;
  readonly #options: ManagerOptions;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #metrics: RuntimeMetrics;
  readonly #informers = new Map<string, { informer: Informer; transform: unknown }[]>();
  readonly #controllers: Controller[] = [];
  readonly #runnables: Runnable[] = [];
  readonly #checks: Record<"livez" | "readyz", HealthCheck[]> = { livez: [], readyz: [] };
  readonly #recorder: BackgroundEventRecorder;
  readonly #election: LeaderElection | undefined;
  readonly #gate: Gate;
  #caches: AbortController | undefined;
  #cacheRuns: Promise<void>[] = [];
  #state: "new" | "starting" | "running" | "stopping" | "stopped" = "new";

  constructor(options: ManagerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? systemRandom;
    this.log = options.log ?? createLogger({ clock: this.#clock });
    this.metrics = new MetricsRegistry((error) => {
      this.#metrics.collectorErrors.inc();
      this.log.error("A metrics collector threw", error);
    });
    this.#metrics = createRuntimeMetrics(this.metrics);
    this.#metrics.collectorErrors.inc({}, 0);
    const warnings = new WarningHandler(this.log.named("api_warnings"), this.#metrics.warnings);
    this.#gate = {
      mayWrite: () => true,
      onRequest: (labels) => this.#metrics.requests.inc(labels),
      onWarning: (text) => warnings.handle(text),
    };
    const clientOptions = { fieldManager: options.name, clock: this.#clock };
    this.liveClient = new Client(gatedRest(options.rest, this.#gate), clientOptions);
    this.client = new SplitClient(this.liveClient, (resource) => this.#informersOf(resource));
    const instance = `${hostName()}_${randomSuffix(this.#random)}`;
    this.#recorder = new BackgroundEventRecorder({
      client: this.liveClient,
      clock: this.#clock,
      random: this.#random,
      log: this.log.named("events"),
      metrics: this.#metrics,
      controller: options.name,
      instance,
    });
    this.events = this.#recorder;
    if (options.leaderElection) {
      const electing = gatedRest(options.rest, { ...this.#gate, mayWrite: () => true });
      const election = new LeaderElection({ identity: instance, ...options.leaderElection }, {
        client: new Client(electing, { ...clientOptions, isUrgent: true }),
        clock: this.#clock,
        random: this.#random,
        log: this.log.named("leader_election"),
        onChange: (isLeader) => this.#metrics.leader.set({ name: options.name }, isLeader ? 1 : 0),
      });
      this.#election = election;
      this.#gate.mayWrite = () => election.holds();
    }
    this.#metrics.leader.set({ name: options.name }, options.leaderElection ? 0 : 1);
    this.#registerProcessMetrics();
  }

  /** True while this process may write: without leader election always. */
  get isLeader(): boolean {
    return this.#election?.holds() ?? true;
  }

  /**
   * The cache of a kind; the same one for the same resource and selection.
   *
   * @throws {TypeError} when it is there already with another `transform`: two readers would see different objects
   */
  informer<Read extends KubernetesObject>(
    resource: Resource<Read, unknown>,
    options: InformerOptions<Read> = {},
  ): Informer<Read> {
    const id = informerId(resource, options);
    const present = this.#informersOf(resource).find((one) => one.id === id);
    if (!present) return this.#addInformer(resource, options);
    const entry = this.#informers.get(nameOf(resource))!.find((one) => one.informer === present)!;
    if (entry.transform !== options.transform) {
      throw new TypeError(
        `Cannot share the informer of ${nameOf(resource)}: it has ${
          options.transform ? "another" : "a"
        } transform`,
      );
    }
    for (const [name, indexer] of Object.entries(options.indexers ?? {})) {
      present.addIndex(name, indexer as (object: KubernetesObject) => string[]);
    }
    return present as unknown as Informer<Read>;
  }

  /** Adds a controller, and the informers that it needs. @throws {Error} after the start */
  controller<Read extends KubernetesObject>(options: ControllerOptions<Read>): Controller {
    if (this.#state !== "new") throw new Error(`Cannot add controller "${options.name}" after the start`);
    const informers = {
      for: this.informer(options.for, options.forOptions) as unknown as Informer,
      owns: (options.owns ?? []).map((source) => this.informer(source.resource, source)),
      watches: (options.watches ?? []).map((source) => this.informer(source.resource, source)),
    };
    const controller = new Controller(options as unknown as ControllerOptions, {
      client: this.liveClient,
      lookup: (resource) => this.#informersOf(resource),
      events: this.events,
      clock: this.#clock,
      log: this.log,
      metrics: this.#metrics,
      informers,
    });
    this.#controllers.push(controller);
    return controller;
  }

  /** Adds work of its own, which starts and stops with the controllers. @throws {Error} after the start */
  add(runnable: Runnable): void {
    if (this.#state !== "new") throw new Error(`Cannot add "${runnable.name}" after the start`);
    this.#runnables.push(runnable);
  }

  /** Adds a question that `/livez` or `/readyz` asks as well. One that throws fails it. */
  check(path: "livez" | "readyz", check: HealthCheck): void {
    this.#checks[path].push(() => {
      try {
        return check();
      } catch (error) {
        return messageOf(error);
      }
    });
  }

  /**
   * Runs until `signal` is aborted and the orderly stop is over.
   *
   * @throws {LeaseLostError} when another process leads; work was aborted at once
   * @throws {CacheSyncError} when a source did not list in time
   * @throws {ConfigurationError} when the port for health and metrics cannot be had
   * @throws {DeadlineError} when the orderly stop took too long
   */
  async start(signal: AbortSignal = new AbortController().signal): Promise<void> {
    if (this.#state !== "new") throw new Error("Cannot start a manager twice");
    this.#state = "starting";
    const { http } = this.#options;
    const server = http ? await serveHttp(http, (path) => this.answer(path)) : undefined;
    if (server) this.log.info("Serving health and metrics", { port: server.port });
    try {
      await this.#run(signal);
    } finally {
      await server?.close();
      this.#state = "stopped";
    }
  }

  /** What the health port answers; also for a server of your own. */
  answer(path: string): Answer {
    switch (path) {
      case "/livez":
      case "/healthz":
        return verdict([...this.#deadReasons(), ...asked(this.#checks.livez)]);
      case "/readyz":
        return verdict([...this.#unreadyReasons(), ...asked(this.#checks.readyz)]);
      case "/metrics":
        return {
          status: 200,
          body: this.metrics.text(),
          contentType: "text/plain; version=0.0.4; charset=utf-8",
        };
      default:
        return { status: 404, body: "Here are /livez, /readyz and /metrics\n" };
    }
  }

  async #run(signal: AbortSignal): Promise<void> {
    const caches = this.#caches = new AbortController();
    // Aborted when reconciles are to end at once.
    const abort = new AbortController();
    // Aborted when something other than the signal ends the run.
    const failed = new AbortController();
    const stopping = AbortSignal.any([signal, failed.signal]);
    let failure: unknown;
    const fail = (error: unknown) => {
      failure ??= error;
      failed.abort(error);
      abort.abort(error);
    };
    const running: Promise<void>[] = [];
    // The lease is kept for as long as reconciles go on.
    const working = new AbortController();
    let renewal: Promise<void> | undefined;
    const releaseTimer = this.#holdOpen(stopping);
    try {
      const begin = (isEverywhere: boolean) =>
        this.#runnables.filter((one) => (one.isEverywhere ?? false) === isEverywhere)
          .map((one) => this.#runRunnable(one, stopping).catch(fail));
      for (const entry of [...this.#informers.values()].flat()) this.#runInformer(entry.informer);
      running.push(...begin(true));
      await this.#synced(stopping);
      if (this.#election) {
        await this.#election.acquire(stopping);
        renewal = this.#election.keep(working.signal).catch(fail);
      }
      this.#state = "running";
      this.log.info("Starting controllers", { controllers: this.#controllers.map(({ name }) => name) });
      running.push(
        ...this.#controllers.map((controller) => controller.run(stopping, abort.signal).catch(fail)),
        ...begin(false),
      );
      await aborted(stopping);
    } catch (error) {
      if (!stopping.aborted) fail(error);
    }
    this.#state = "stopping";
    releaseTimer();
    await this.#stopWorking(running, abort).catch((error) => {
      failure ??= error;
    });
    working.abort(new Error("The work is over"));
    await renewal;
    caches.abort(new Error("The process is stopping"));
    await Promise.all(this.#cacheRuns);
    await this.#release();
    if (failure !== undefined) throw failure;
    this.log.info("Stopped");
  }

  /**
   * Ends the controllers, and writes the events that they recorded; both bounded.
   *
   * @throws {DeadlineError} when reconciles went on
   */
  async #stopWorking(running: Promise<void>[], abort: AbortController): Promise<void> {
    const stopMs = this.#options.gracefulStopMs ?? GRACEFUL_STOP_MS;
    const cancelAbort = this.#clock.setTimer(stopMs * GRACE_BEFORE_ABORT, () => {
      abort.abort(new Error("The process is stopping"));
    });
    // Work that was aborted because the lease is lost gets no time to end: the next leader begins soon.
    const drainMs = abort.signal.aborted ? 0 : Math.max(0, stopMs - RELEASE_TIMEOUT_MS);
    const endMs = this.#clock.monotonic() + drainMs;
    const late = new DeadlineError(`Stopped without waiting any longer: reconciles went on for ${stopMs} ms`);
    try {
      await withDeadline(this.#clock, drainMs, Promise.all(running), () => late);
    } finally {
      cancelAbort();
      if (!abort.signal.aborted) abort.abort(new Error("The process has stopped"));
    }
    const eventsMs = Math.min(EVENTS_TIMEOUT_MS, Math.max(0, endMs - this.#clock.monotonic()));
    const unwritten = new DeadlineError(`Events were not written within ${eventsMs} ms`);
    try {
      await withDeadline(this.#clock, eventsMs, this.#recorder.flushed(), () => unwritten);
    } catch (error) {
      this.log.warn("Stopping without the last events", { error: messageOf(error) });
    }
  }

  async #release(): Promise<void> {
    if (!this.#election) return;
    const limit = new AbortController();
    const cancel = this.#clock.setTimer(RELEASE_TIMEOUT_MS, () => {
      limit.abort(new DeadlineError(`The lease was not released within ${RELEASE_TIMEOUT_MS} ms`));
    });
    await this.#election.release(limit.signal);
    cancel();
  }

  /** Waits for the first list of every source. */
  async #synced(stopping: AbortSignal): Promise<void> {
    const timeoutMs = this.#options.cacheSyncTimeoutMs ?? CACHE_SYNC_TIMEOUT_MS;
    const all = [...this.#informers.values()].flat().map(({ informer }) => informer);
    const work = Promise.all(all.map((informer) => informer.synced(stopping))).then(() => undefined);
    await withDeadline(this.#clock, timeoutMs, work, () => {
      const missing = all.filter((informer) => !informer.hasSynced);
      const what = missing.map((one) => `${nameOf(one.resource)} (${one.lastError ?? "no answer yet"})`).join(
        ", ",
      );
      return new CacheSyncError(`Cannot start: no list within ${timeoutMs} ms of ${what}`);
    });
  }

  #addInformer<Read extends KubernetesObject>(
    resource: Resource<Read, unknown>,
    options: InformerOptions<Read>,
  ): Informer<Read> {
    const informer = new Informer<Read>(resource, { ...options, namespaces: this.#options.watchNamespaces }, {
      client: this.liveClient,
      clock: this.#clock,
      random: this.#random,
      log: this.log.named("informer"),
      metrics: this.#metrics,
    });
    const entries = this.#informers.get(nameOf(resource)) ?? [];
    entries.push({ informer: informer as unknown as Informer, transform: options.transform });
    this.#informers.set(nameOf(resource), entries);
    if (this.#caches && !this.#caches.signal.aborted) this.#runInformer(informer as unknown as Informer);
    return informer;
  }

  #informersOf(resource: AnyResource): Informer[] {
    return (this.#informers.get(nameOf(resource)) ?? []).map((entry) => entry.informer);
  }

  async #runRunnable({ name, run }: Runnable, stopping: AbortSignal): Promise<void> {
    try {
      await run(stopping);
    } catch (error) {
      // Ended by the signal: it was to end.
      if (!stopping.aborted) throw new Error(`"${name}" ended: ${messageOf(error)}`, { cause: error });
    }
  }

  #runInformer(informer: Informer): void {
    this.#cacheRuns.push(informer.run(this.#caches!.signal));
  }

  /** Keeps the event loop open, and calls every handler for every object now and then. */
  #holdOpen(stopping: AbortSignal): () => void {
    const hold = new AbortController();
    const resyncMs = this.#options.resyncMs ?? RESYNC_MS;
    const loop = async () => {
      while (!hold.signal.aborted) {
        await sleep(this.#clock, resyncMs * (0.9 + 0.2 * this.#random()), hold.signal);
        if (stopping.aborted) return;
        for (const { informer } of [...this.#informers.values()].flat()) informer.resync();
      }
    };
    loop().catch((error) => {
      if (!hold.signal.aborted) this.log.error("Resync failed", error);
    });
    return () => hold.abort(new Error("Stopped"));
  }

  #deadReasons(): string[] {
    const reasons = [...this.#informers.values()].flat()
      .filter(({ informer }) => informer.isStuck)
      .map(({ informer }) => `the informer of ${nameOf(informer.resource)} does nothing any more`);
    if (this.#election?.isStale) reasons.push("the own lease has run out long ago");
    return reasons;
  }

  #unreadyReasons(): string[] {
    if (this.#state === "stopping" || this.#state === "stopped") return ["stopping"];
    return [...this.#informers.values()].flat()
      .filter(({ informer }) => !informer.hasSynced)
      .map(({ informer }) =>
        `${nameOf(informer.resource)}: ${informer.lastError ?? "the first list is not here yet"}`
      );
  }

  #registerProcessMetrics(): void {
    const cpu = this.metrics.counter("process_cpu_seconds_total", "Processor time of this process.");
    const resident = this.metrics.gauge("process_resident_memory_bytes", "Resident memory of this process.");
    const started = this.metrics.gauge("process_start_time_seconds", "When this process made its manager.");
    started.set({}, this.#clock.now() / 1000);
    this.metrics.onCollect(() => {
      const { cpuSeconds, residentBytes } = processCosts();
      cpu.inc({}, cpuSeconds - cpu.value());
      resident.set({}, residentBytes);
    });
  }
}

function asked(checks: HealthCheck[]): string[] {
  return checks.map((check) => check()).filter((reason) => reason !== undefined);
}

function verdict(reasons: string[]): Answer {
  return reasons.length === 0
    ? { status: 200, body: "ok\n" }
    : { status: 503, body: reasons.map((reason) => `${reason}\n`).join("") };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function randomSuffix(random: Random): string {
  return Array.from({ length: 8 }, () => Math.floor(random() * 16).toString(16)).join("");
}
