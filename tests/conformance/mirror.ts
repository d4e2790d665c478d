/**
 * The operator that the promises are checked on: for each ConfigMap with label `role=source` it keeps an owned ConfigMap
 * `<name>-mirror` with the same data. It is made of the runtime's parts alone and needs no kind of its own.
 * @module
 */

import {
  changed,
  Client,
  type Clock,
  connect,
  type Connection,
  controllerReference,
  createLogger,
  createManager,
  type Informer,
  isControlledBy,
  type Manager,
  owns,
} from "../../runtime/mod.ts";
import { type ConfigMap, configMaps, type StoredConfigMap } from "../../types/core/v1.ts";
import { until } from "../within.ts";

/** Sources and mirrors are told apart by this label. */
export const sources = "role=source";
export const mirrors = "role=mirror";

/** A ConfigMap to be mirrored. */
export function source(namespace: string, name: string, data: Record<string, string>): ConfigMap {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { namespace, name, labels: { role: "source" } },
    data,
  };
}

/** A running operator. */
export class Mirror {
  readonly manager: Manager;
  readonly rest: Connection;
  readonly informer: Informer<StoredConfigMap>;
  readonly log: string[];
  /** How often each name was reconciled. */
  readonly reconciles = new Map<string, number>();
  readonly #stopping = new AbortController();
  #run: Promise<void> | undefined;
  #end: { error?: unknown } | undefined;

  private constructor(rest: Connection, namespace: string, clock: Clock, speed: number) {
    this.rest = rest;
    const log: string[] = this.log = [];
    this.manager = createManager({
      rest,
      name: "mirror",
      watchNamespaces: [namespace],
      clock,
      log: createLogger({ sink: (line) => log.push(line) }),
      // What is to be waited for in real time is not made faster.
      cacheSyncTimeoutMs: 60_000 * speed,
      gracefulStopMs: 8_000 * speed,
    });
    this.informer = this.manager.informer(configMaps, { labelSelector: sources });
    this.manager.controller({
      name: "mirror-controller",
      for: configMaps,
      forOptions: { labelSelector: sources },
      predicate: changed((object: StoredConfigMap) => [object.data, object.metadata?.deletionTimestamp]),
      owns: [owns(configMaps, { labelSelector: mirrors })],
      ownWriteTimeoutMs: 5_000 * speed,
      reconcile: async ({ namespace, name }, { client }) => {
        this.reconciles.set(name, (this.reconciles.get(name) ?? 0) + 1);
        const object = this.informer.get({ namespace, name });
        if (!object) return;
        const key = { namespace, name: `${name}-mirror` };
        const found = await client.get(configMaps, key);
        if (found && !isControlledBy(found, object)) {
          // The mirror of an earlier source of this name.
          const { uid, resourceVersion } = found.metadata ?? {};
          await client.delete(configMaps, key, { uid, resourceVersion });
          return { requeueAfterMs: 1_000 };
        }
        if (found && isSame(found.data, object.data)) return;
        await client.apply(configMaps, {
          apiVersion: "v1",
          kind: "ConfigMap",
          metadata: { ...key, labels: { role: "mirror" }, ownerReferences: [controllerReference(object)] },
          data: object.data,
        });
      },
    });
  }

  /** Connects; {@linkcode run} starts it. */
  static async open(kubeconfig: string, namespace: string, clock: Clock, speed: number): Promise<Mirror> {
    const rest = await connect({ kubeconfig, clock, userAgent: "conformance-mirror" });
    return new Mirror(rest, namespace, clock, speed);
  }

  /** Starts the manager. How it ends is kept for {@linkcode stop}. */
  run(): void {
    this.#run = this.manager.start(this.#stopping.signal).then(() => {
      this.#end = {};
    }, (error) => {
      this.#end = { error };
    });
  }

  /** True when the manager has ended, whatever made it. */
  get hasEnded(): boolean {
    return this.#end !== undefined;
  }

  /** Stops it and closes its connections. @throws what the manager's start was rejected with */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error("The test is over"));
    await this.#run;
    this.rest.close();
    if (this.#end && "error" in this.#end) throw this.#end.error;
  }
}

/** Waits until each source has its mirror. Answers how long it took, in milliseconds. */
export async function converged(
  direct: Client,
  namespace: string,
  mirror: Mirror,
  ms: number,
): Promise<number> {
  const startedAtMs = performance.now();
  await until(ms, "every source to have its mirror", async () => {
    if (mirror.hasEnded) throw new Error("the operator has ended by itself");
    const missing = await unmirrored(direct, namespace);
    if (missing) throw new Error(`"${missing.metadata?.name}" has no mirror, or an old one`);
    return true;
  }, 50);
  return performance.now() - startedAtMs;
}

/** A source that has no mirror yet, or an old one. */
export async function unmirrored(direct: Client, namespace: string): Promise<StoredConfigMap | undefined> {
  const [wanted, found] = await Promise.all([
    direct.list(configMaps, { namespace, labelSelector: sources }),
    direct.list(configMaps, { namespace, labelSelector: mirrors }),
  ]);
  const byName = new Map(found.items.map((object) => [object.metadata?.name, object]));
  return wanted.items.find((object) => {
    const one = byName.get(`${object.metadata?.name}-mirror`);
    return !one || !isControlledBy(one, object) || !isSame(one.data, object.data);
  });
}

/** Runs tasks, so many at a time. */
export async function each<T>(
  items: Iterable<T>,
  atOnce: number,
  task: (item: T) => Promise<unknown>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  const worker = async () => {
    for (let next = iterator.next(); !next.done; next = iterator.next()) await task(next.value);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

/** `a-000`, `a-001`, ... */
export function names(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}-${String(index).padStart(4, "0")}`);
}

function isSame(a: Record<string, string> | undefined, b: Record<string, string> | undefined): boolean {
  return JSON.stringify(Object.entries(a ?? {}).sort()) === JSON.stringify(Object.entries(b ?? {}).sort());
}
