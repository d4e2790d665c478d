/**
 * The API server under the contestants: the Databases they work on, and what it says of itself.
 * @module
 */

import { readFile } from "node:fs/promises";
import { parse } from "yaml";
import {
  Client,
  connect,
  type Connection,
  createLogger,
  createManager,
  type Informer,
  type JSONValue,
} from "../../runtime/mod.ts";
import { databases, type StoredDatabase } from "../../types/app.example.com/v1.ts";
import { configMaps, namespaces, type StoredConfigMap } from "../../types/core/v1.ts";

/** Where everything happens. */
export const namespace = "bench-runtime";

/** Requests under way at the same time when many objects are written. */
const AT_ONCE = 10;

/** What the API server has done so far. */
export interface ServerCosts {
  cpuSeconds: number;
  /** Writes of Databases and ConfigMaps. */
  writes: number;
  /** Reads of them, watches left out. */
  reads: number;
}

/** The API server and what is stored there. */
export class Cluster {
  readonly rest: Connection;
  readonly client: Client;
  readonly databases: Informer<StoredDatabase>;
  readonly configMaps: Informer<StoredConfigMap>;
  readonly #stopping = new AbortController();
  readonly #run: Promise<void>;

  private constructor(rest: Connection) {
    this.rest = rest;
    this.client = new Client(rest, { fieldManager: "bench" });
    const manager = createManager({ rest, name: "bench", log: createLogger({ sink: () => {} }) });
    // Only what is looked at is kept.
    this.databases = manager.informer(databases, { namespace });
    this.configMaps = manager.informer(configMaps, {
      namespace,
      fieldSelector: "metadata.name!=kube-root-ca.crt",
    });
    this.#run = manager.start(this.#stopping.signal);
  }

  /** @throws {Error} when the API server has Databases already: every contestant watches all namespaces */
  static async open(): Promise<Cluster> {
    const rest = await connect({ userAgent: "bench" });
    const client = new Client(rest, { fieldManager: "bench" });
    await installDefinition(rest);
    const present = await client.list(databases);
    const foreign = present.items.find(({ metadata }) => metadata.namespace !== namespace);
    if (foreign) {
      rest.close();
      throw new Error(
        `Cannot measure: Database "${foreign.metadata.namespace}/${foreign.metadata.name}" is there, and every ` +
          "contestant would work on it; use an API server of its own",
      );
    }
    await client.apply(namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
    const cluster = new Cluster(rest);
    await until(120, "the first lists", () => cluster.databases.hasSynced && cluster.configMaps.hasSynced);
    return cluster;
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#run;
    this.rest.close();
  }

  get port(): number {
    return Number(new URL(this.rest.server).port) || 443;
  }

  /** Removes everything, then makes `count` Databases that nobody has looked at. */
  async reset(count: number): Promise<void> {
    for (
      const path of [
        `/apis/app.example.com/v1/namespaces/${namespace}/databases`,
        `/api/v1/namespaces/${namespace}/configmaps`,
      ]
    ) {
      while ((path.endsWith("databases") ? this.databases : this.configMaps).size > 0) {
        await this.rest.performRequest({ method: "DELETE", path, expectJson: true }).catch(() => {});
        await pause(200);
      }
    }
    await this.each(count, (name) =>
      this.client.create(databases, {
        apiVersion: "app.example.com/v1",
        kind: "Database",
        metadata: { namespace, name },
        spec: { size: 1, version: "17" },
      }));
    await until(120, "the Databases to show", () => this.databases.size === count);
  }

  /** Changes every Database. */
  async change(count: number, size: number): Promise<void> {
    await this.each(count, (name) => this.client.patch(databases, { namespace, name }, { spec: { size } }));
  }

  /** Does something with every name. */
  async each(count: number, task: (name: string) => Promise<unknown>): Promise<void> {
    let next = 0;
    const worker = async () => {
      while (next < count) await task(nameOf(next++));
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  }

  /** How many Databases are not what they should be: no ConfigMap, an old one, or an old status. */
  unconverged(count: number, size: number): number {
    let open = 0;
    for (let index = 0; index < count; index++) {
      const name = nameOf(index);
      const { metadata, status, spec } = this.databases.get({ namespace, name }) ?? {};
      const data = this.configMaps.get({ namespace, name: `${name}-config` })?.data;
      const isDone = spec?.size === size && data?.size === String(size) &&
        status?.observedGeneration === metadata?.generation;
      if (!isDone) open++;
    }
    return open;
  }

  /** Deletes one ConfigMap; answers after how many milliseconds it was back, as a watch shows it. */
  async repair(index: number): Promise<number> {
    const key = { namespace, name: `${nameOf(index)}-config` };
    const before = this.configMaps.get(key)?.metadata?.uid;
    let atMs = 0;
    const isBack = new Promise<void>((resolve) => {
      const remove = this.configMaps.on({
        add: ({ metadata }, initial) => {
          if (initial || metadata?.name !== key.name || metadata.uid === before) return;
          atMs = performance.now();
          remove();
          resolve();
        },
      });
    });
    const startedAtMs = performance.now();
    await this.client.delete(configMaps, key);
    await Promise.race([isBack, pause(30_000)]);
    if (atMs === 0) throw new Error(`ConfigMap "${key.name}" did not come back within 30 s`);
    return atMs - startedAtMs;
  }

  /** What the API server's metrics say. */
  async costs(): Promise<ServerCosts> {
    const text = new TextDecoder().decode(
      await this.rest.performRequest({ method: "GET", path: "/metrics" }),
    );
    const costs = { cpuSeconds: 0, writes: 0, reads: 0 };
    for (const line of text.split("\n")) {
      if (line.startsWith("process_cpu_seconds_total ")) costs.cpuSeconds = Number(line.split(" ")[1]);
      if (!line.startsWith("apiserver_request_total{")) continue;
      if (!/resource="(databases|configmaps)"/.test(line)) continue;
      const verb = /verb="([A-Z]+)"/.exec(line)?.[1] ?? "";
      const value = Number(line.slice(line.lastIndexOf(" ") + 1));
      if (["POST", "PUT", "PATCH", "APPLY", "DELETE"].includes(verb)) costs.writes += value;
      else if (["GET", "LIST"].includes(verb)) costs.reads += value;
    }
    return costs;
  }
}

/** Makes sure that the API server knows Databases. */
export async function installDefinition(rest: Connection): Promise<void> {
  const path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/databases.app.example.com";
  const definition = parse(await readFile(new URL("../../crd.yaml", import.meta.url), "utf8")) as JSONValue;
  await rest.performRequest({
    method: "PATCH",
    path,
    querystring: new URLSearchParams({ fieldManager: "bench", force: "true" }),
    contentType: "application/apply-patch+yaml",
    bodyJson: definition,
    expectJson: true,
  });
  const isServed = () =>
    rest.performRequest({ method: "GET", path: "/apis/app.example.com/v1/databases", expectJson: true })
      .then(() => true, () => false);
  for (let tries = 0; tries < 100 && !await isServed(); tries++) await pause(200);
}

/** Waits for a condition, so many seconds at most. Looks every 20 ms unless told otherwise. */
export async function until(
  seconds: number,
  what: string,
  isMet: () => boolean,
  everyMs = 20,
): Promise<void> {
  const endMs = performance.now() + seconds * 1_000;
  while (!isMet()) {
    if (performance.now() > endMs) throw new Error(`Waited ${seconds} s for ${what}`);
    await pause(everyMs);
  }
}

/** Lets time pass. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function nameOf(index: number): string {
  return `db-${String(index).padStart(5, "0")}`;
}
