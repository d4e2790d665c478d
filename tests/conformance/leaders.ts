/**
 * Leader election between processes: of two that run, never two write.
 *
 * The processes are tests/conformance/leader.ts; each writes its name into one ConfigMap as long as it leads, and the
 * test reads every state of it in order.
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import * as assert from "uvu/assert";
import { connect, createLogger, createManager } from "../../runtime/mod.ts";
import { configMaps } from "../../types/core/v1.ts";
import { until } from "../within.ts";
import type { Register } from "./suite.ts";
import { writeKubeconfig } from "./target.ts";
import type { World } from "./world.ts";

const program = fileURLToPath(new URL("leader.ts", import.meta.url));

/** A process that leads or waits to. */
class Candidate {
  readonly name: string;
  log = "";
  exitCode: number | undefined;
  readonly #process: ChildProcess;

  constructor(world: World, name: string, kubeconfig: string) {
    this.name = name;
    const flags = "Deno" in globalThis ? ["run", "-A"] : [];
    this.#process = spawn(process.execPath, [...flags, program], {
      stdio: ["ignore", "ignore", "pipe"],
      env: {
        ...process.env,
        KUBECONFIG: kubeconfig,
        NAMESPACE: world.namespace,
        IDENTITY: name,
        LEASE: JSON.stringify(world.target.lease),
      },
    });
    this.#process.stderr!.on("data", (chunk) => this.log += String(chunk));
    this.#process.on("exit", (code, signal) => this.exitCode = code ?? (signal === "SIGKILL" ? 137 : -1));
    world.onEnd(async () => {
      this.signal("SIGKILL");
      await this.ended();
    });
  }

  signal(name: NodeJS.Signals): void {
    if (this.exitCode === undefined) process.kill(this.#process.pid!, name);
  }

  ended(): Promise<true> {
    return until(
      20_000,
      `${this.name} to end; it said ${this.log.slice(-600)}`,
      () => this.exitCode !== undefined,
    );
  }

  waits(): Promise<true> {
    return until(
      20_000,
      `${this.name} to wait for the lease`,
      () => this.log.includes("Attempting to acquire"),
    );
  }
}

/** Every state of the journal: who wrote it, in order. */
async function journal(world: World): Promise<{ writer: string; atMs: number }[]> {
  const key = { namespace: world.namespace, name: "journal" };
  await world.direct.create(configMaps, { apiVersion: "v1", kind: "ConfigMap", metadata: key, data: {} });
  const rest = await connect({ kubeconfig: await writeKubeconfig(world.folder, world.target.upstream) });
  const manager = createManager({ rest, name: "journal", log: createLogger({ sink: () => {} }) });
  const entries: { writer: string; atMs: number }[] = [];
  const informer = manager.informer(configMaps, {
    namespace: world.namespace,
    fieldSelector: "metadata.name=journal",
  });
  informer.on({
    update: (_, { data }) => entries.push({ writer: data?.writer ?? "", atMs: performance.now() }),
  });
  const stopping = new AbortController();
  const run = manager.start(stopping.signal);
  world.onEnd(async () => {
    stopping.abort();
    await run;
    rest.close();
  });
  await until(10_000, "the journal to be watched", () => informer.hasSynced);
  return entries;
}

/** Two candidates, of which the first leads. */
async function pair(world: World): Promise<{ first: Candidate; second: Candidate; entries: Entries }> {
  const kubeconfig = await writeKubeconfig(world.folder, world.target.upstream);
  const entries = await journal(world);
  const first = new Candidate(world, "first", kubeconfig);
  await wrote(entries, first, 0);
  const second = new Candidate(world, "second", kubeconfig);
  await second.waits();
  await until(10_000, "the leader to go on writing", () => entries.length > 10);
  return { first, second, entries };
}

type Entries = { writer: string; atMs: number }[];

/** Waits for a write of this candidate, at or after an index of the journal. */
async function wrote(entries: Entries, candidate: Candidate, from: number): Promise<{ atMs: number }> {
  return await until(30_000, `${candidate.name} to write; it said ${candidate.log.slice(-600)}`, () => {
    return entries.slice(from).find(({ writer }) => writer === candidate.name);
  });
}

/** No entry of the first after one of the second. */
function neverTwo(entries: Entries): void {
  const order = entries.map(({ writer }) => writer).filter((writer, index, all) => writer !== all[index - 1]);
  assert.equal(order, ["first", "second"]);
}

/** The longest time without an entry: from when, and the entry that ended it. */
function longestPause(fromMs: number, entries: Entries): [fromMs: number, end: { atMs: number }] {
  let longest: [number, { atMs: number }] = [fromMs, { atMs: fromMs }];
  for (const entry of entries) {
    if (entry.atMs - fromMs > longest[1].atMs - longest[0]) longest = [fromMs, entry];
    fromMs = entry.atMs;
  }
  return longest;
}

/** Says how long it took. */
function report(what: string, fromMs: number, { atMs }: { atMs: number }, allowedMs: number): void {
  const ms = atMs - fromMs;
  console.log(`  ${what}: ${(ms / 1_000).toFixed(2)} s`);
  assert.ok(ms <= allowedMs, `${what} after ${ms.toFixed(0)} ms, more than ${allowedMs} ms`);
}

/** Registers what is promised of leaders. */
export function leaderElection(promise: Register): void {
  promise(
    "a leader killed with SIGKILL is followed by the next within a lease, and never two write",
    90,
    async (world) => {
      const { leaseDurationMs, retryPeriodMs } = world.target.lease;
      const { first, second, entries } = await pair(world);
      const killedAtMs = performance.now();
      first.signal("SIGKILL");
      const taken = await wrote(entries, second, 0);
      report("taken over after SIGKILL", killedAtMs, taken, leaseDurationMs + 2.4 * retryPeriodMs + 1_000);
      neverTwo(entries);
    },
  );

  promise("a leader frozen with SIGSTOP and thawed ends, and never two write", 90, async (world) => {
    const { leaseDurationMs, retryPeriodMs } = world.target.lease;
    const { first, second, entries } = await pair(world);
    const frozenAtMs = performance.now();
    first.signal("SIGSTOP");
    const taken = await wrote(entries, second, 0);
    report("taken over after SIGSTOP", frozenAtMs, taken, leaseDurationMs + 2.4 * retryPeriodMs + 1_000);
    first.signal("SIGCONT");
    await first.ended();
    assert.is(first.exitCode, 3, `lost the lease: ${first.log.slice(-600)}`);
    const from = entries.length;
    await until(10_000, "the second to go on writing", () => entries.length > from + 10);
    neverTwo(entries);
  });

  promise("a leader stopped with SIGTERM hands over at once, and never two write", 90, async (world) => {
    const { retryPeriodMs } = world.target.lease;
    const { first, second, entries } = await pair(world);
    const stoppedAtMs = performance.now();
    first.signal("SIGTERM");
    const taken = await wrote(entries, second, 0);
    report("taken over after SIGTERM", stoppedAtMs, taken, 1.2 * retryPeriodMs + 1_000);
    await first.ended();
    assert.is(first.exitCode, 0);
    neverTwo(entries);
  });

  promise(
    "a leader whose connections go silent or are cut keeps its lease and goes on",
    90,
    async (world) => {
      const proxy = await world.tcpProxy();
      const entries = await journal(world);
      const kubeconfig = await writeKubeconfig(world.folder, world.target.upstream, { port: proxy.port });
      const first = new Candidate(world, "first", kubeconfig);
      const second = new Candidate(world, "second", kubeconfig);
      const { writer } = await until(30_000, "one of the two to write", () => entries[0]);
      const leader = writer === "first" ? first : second;
      // A silence takes its 20 s on every clock: the fast tests have time for one.
      const faults = world.target.speed > 1
        ? ["cut", "silence"] as const
        : ["silence", "cut", "silence"] as const;
      for (const fault of faults) {
        const from = entries.length;
        const brokenAtMs = performance.now();
        proxy[fault]();
        await until(40_000, "the leader to go on writing", () => entries.length > from + 10);
        // What the server had before the fault may be told after it, so the first entry says nothing: the longest
        // pause does. A write that was under way waits its 20 s; the renewal does not.
        const allowedMs = fault === "cut" ? 5_000 : 25_000;
        report(`went on after ${fault}`, ...longestPause(brokenAtMs, entries.slice(from)), allowedMs);
      }
      assert.equal([...new Set(entries.map(({ writer }) => writer))], [leader.name]);
      assert.not.match(leader.log, /Lost the lease/);
      assert.is(leader.exitCode, undefined);
    },
  );

  promise(
    "a leader whose lease is taken away ends with exit code 3 and writes no more",
    60,
    async (world) => {
      const { first, second, entries } = await pair(world);
      const key = { namespace: world.namespace, name: "leader" };
      const now = new Date().toISOString().replace("Z", "000Z");
      await world.direct.patch(leases, key, {
        spec: { holderIdentity: "second", renewTime: now, acquireTime: now },
      });
      const takenAtMs = performance.now();
      await wrote(entries, second, 0);
      await first.ended();
      assert.is(first.exitCode, 3);
      // Against such a takeover nothing can help but looking at the lease, which happens each retry period.
      const late = entries.filter(({ writer, atMs }) =>
        writer === "first" && atMs > takenAtMs + 1.2 * world.target.lease.retryPeriodMs + 1_000
      );
      assert.equal(late, []);
    },
  );
}

const leases = {
  group: "coordination.k8s.io",
  version: "v1",
  kind: "Lease",
  plural: "leases",
  scope: "Namespaced",
} as const;
