/**
 * The operator on the embedded API, in one process: pods and Patroni are simulated, a hundred times faster than real.
 * @module
 */

import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { EmbeddedApi, type Intercept, type KubeObject } from "../../embedded/mod.ts";
import * as x509 from "../../postgres/x509.ts";
import { addDatabaseController } from "../../operator.ts";
import {
  ApiError,
  Client,
  type Clock,
  createLogger,
  createManager,
  findCondition,
  type Manager,
  type RequestOptions,
  type RestClient,
  systemClock,
} from "../../runtime/mod.ts";
import { parseWarnings } from "../../runtime/warnings.ts";
import { databases, type DatabaseSpec, type StoredDatabase } from "../../types/app.example.com/v1.ts";
import { until } from "../within.ts";

const crd: unknown = parse(readFileSync(new URL("../../crd.yaml", import.meta.url), "utf8"));

/** The embedded API as a RestClient, without a socket. */
export function restOf(api: EmbeddedApi): RestClient {
  const performRequest = async (options: RequestOptions): Promise<unknown> => {
    const url = new URL(options.path, "http://api");
    for (const [name, value] of options.querystring ?? []) url.searchParams.append(name, value);
    const response = await api.fetch(
      new Request(url, {
        method: options.method,
        headers: {
          accept: options.accept ?? "application/json",
          ...(options.bodyJson === undefined
            ? {}
            : { "content-type": options.contentType ?? "application/json" }),
        },
        ...(options.bodyJson === undefined ? {} : { body: JSON.stringify(options.bodyJson) }),
        ...(options.abortSignal ? { signal: options.abortSignal } : {}),
      }),
    );
    parseWarnings(response.headers.get("warning") ?? "").forEach((text) => options.onWarning?.(text));
    if (!response.ok) {
      const status = await response.json() as { message: string; reason?: string; details?: never };
      throw new ApiError(response.status, status.message, {
        reason: status.reason ?? "",
        details: status.details!,
      });
    }
    if (options.expectStream) return response.body;
    return options.expectJson ? await response.json() : new Uint8Array(await response.arrayBuffer());
  };
  return { performRequest: performRequest as RestClient["performRequest"] };
}

/** One embedded cluster with the operator in it. */
export class World {
  readonly api: EmbeddedApi;
  /** Asks the API itself, as a person's kubectl would. */
  readonly client: Client;
  /** Every line that the operator logged. */
  readonly log: string[] = [];
  #stop = new AbortController();
  readonly #patience = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #manager: Manager | undefined;
  readonly #elects: boolean;
  readonly #clock: Clock;

  /** What stands between the operator and the API. */
  readonly #between: (rest: RestClient) => RestClient;

  constructor(
    { between = (rest) => rest, elects = false, speed = 1, ...options }: {
      intercept?: Intercept;
      /** The definition of Databases; crd.yaml unless told. */
      crds?: unknown[];
      between?: (rest: RestClient) => RestClient;
      /** Whether the operator waits for the Lease "database-operator"; false unless told. */
      elects?: boolean;
      /** How fast time goes by, 1 unless told; what the simulation itself takes stays as it is. */
      speed?: number;
    } = {},
  ) {
    this.#between = between;
    this.#elects = elects;
    const startMs = Date.now();
    this.#clock = {
      now: () => startMs + (Date.now() - startMs) * speed,
      monotonic: () => systemClock.monotonic() * speed,
      setTimer: (delayMs, callback) => systemClock.setTimer(delayMs / speed, callback),
    };
    this.api = new EmbeddedApi({
      crds: [crd],
      namespaces: ["shop"],
      clock: { ...systemClock, now: this.#clock.now },
      ...options,
      simulate: {
        controllerMs: 1,
        bindMs: 1,
        node: { scheduleMs: 1, startMs: 2, readyMs: 2, stopMs: 3, runMs: 5 },
        patroni: { bootstrapMs: 3, cloneMs: 3, syncMs: 3, failoverMs: 5, switchoverMs: 3, loopWaitMs: 200 },
      },
    });
    this.client = new Client(restOf(this.api), { fieldManager: "kubectl" });
  }

  /** Starts the operator; again after {@linkcode stop}, with nothing remembered. */
  start(): this {
    this.#stop = new AbortController();
    const log = createLogger({ sink: (line) => this.log.push(line) });
    const manager = this.#manager = createManager({
      rest: this.#between(restOf(this.api)),
      name: "database-operator",
      clock: this.#clock,
      log,
      leaderElection: this.#elects && { namespace: "shop", name: "database-operator" },
    });
    let next = 0;
    addDatabaseController(manager, {
      certificates: x509,
      imageTemplate: "localhost/database:{version}",
      rollingMax: 5,
      reloadMs: 300,
      password: () => `test-password-${String(next++).padStart(12, "0")}`,
    });
    this.#running = manager.start(this.#stop.signal);
    this.#running.catch(() => {}); // told by stop()
    return this;
  }

  /** Stops the operator in good order. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error("The test is over"));
    await this.#running;
  }

  /** What the operator serves at /metrics. */
  metrics(): string {
    return this.#manager!.metrics.text();
  }

  /** Stops everything. */
  async close(): Promise<void> {
    await this.stop();
    this.api.close();
  }

  async apply(
    name: string,
    spec: Partial<DatabaseSpec>,
    annotations: Record<string, string> = {},
  ): Promise<StoredDatabase> {
    const metadata = { name, namespace: "shop", annotations };
    return await this.client.apply(databases, {
      apiVersion: "app.example.com/v1",
      kind: "Database",
      metadata,
      spec: { version: "17", ...spec },
    });
  }

  database(name: string): Promise<StoredDatabase | undefined> {
    return this.client.get(databases, { namespace: "shop", name });
  }

  /** Waits for something, up to 30 s: a machine under load is slow. Rejects at once after {@linkcode giveUp}. */
  until<Found>(what: string, probe: () => Found | Promise<Found>) {
    return until(30_000, what, probe, 20, this.#patience.signal);
  }

  /** Ends all waiting. */
  giveUp(): void {
    this.#patience.abort(new Error("it does not come to its end"));
  }

  /** Waits until the newest generation is reported with this reason of Ready. */
  async reason(name: string, reason: string): Promise<StoredDatabase> {
    return await this.until(`Database "${name}" to be ${reason}`, async () => {
      const database = await this.database(name);
      const ready = findCondition(database?.status?.conditions, "Ready");
      if (ready?.reason === reason && ready.observedGeneration === database!.metadata.generation) {
        return database;
      }
      throw new Error(`${ready?.reason}: ${ready?.message}`);
    }) as StoredDatabase;
  }

  /** The object of that name as it is stored. */
  find(table: string, name: string): KubeObject | undefined {
    return this.api.objects(table).find((object) =>
      object.metadata.name === name && object.metadata.namespace === "shop"
    );
  }

  /** Names of the stored objects of a kind that carry the Database's label. */
  names(table: string, database: string): string[] {
    return this.api.objects(table)
      .filter(({ metadata }) => metadata.labels?.["app.example.com/database"] === database)
      .map(({ metadata }) => metadata.name).sort();
  }
}
