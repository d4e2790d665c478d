/**
 * Measures the runtime beside others: `npm run bench`.
 *
 * The job is that of examples/config-map.ts: each Database gets a ConfigMap and status.observedGeneration. Every
 * contestant does it on the API server that KUBECONFIG names, one after the other, several rounds, and the smallest of
 * each figure counts: what disturbs a measurement makes it larger. The API server must have crd.yaml installed and no
 * other Databases. Output: a table in Markdown, also as ratios to controller-runtime.
 *
 *     --count N     Databases (1000)
 *     --large       a second table for 10,000
 *     --rounds N    rounds (3)
 *     --idle N      seconds of rest in which requests and processor time are counted (30)
 *     --only TEXT   contestants whose name contains the text (may be repeated)
 *
 * Writes and reads are counted by the API server itself (apiserver_request_total), its processor time likewise
 * (process_cpu_seconds_total); what the contestants use is read from /proc, so this needs Linux.
 * @module
 */

import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { Cluster, pause, until } from "./runtime/cluster.ts";
import { type Contestant, contestants } from "./runtime/contestants.ts";
import { Contender } from "./runtime/process.ts";

const { values: flags } = parseArgs({
  options: {
    count: { type: "string", default: "1000" },
    large: { type: "boolean", default: false },
    rounds: { type: "string", default: "3" },
    idle: { type: "string", default: "30" },
    only: { type: "string", multiple: true },
  },
});

/** The figures of one run; of several the smallest count. */
const columns = {
  coldSeconds: "cold s",
  coldCpu: "cold CPU s",
  coldServerCpu: "cold API server CPU s",
  coldWrites: "cold writes each",
  changeSeconds: "change s",
  changeCpu: "change CPU s",
  changeServerCpu: "change API server CPU s",
  changeWrites: "change writes each",
  repairP50: "repair p50 ms",
  repairP99: "repair p99 ms",
  idleRequests: "idle requests",
  idleCpu: "idle CPU ms/min",
  memory: "memory MiB",
  connections: "connections",
} as const;
type Column = keyof typeof columns;
type Figures = Record<Column, number>;

/** Deleted and awaited one after the other. */
const REPAIRS = 200;

async function measure(cluster: Cluster, { command }: Contestant, count: number): Promise<Figures> {
  // Only against a contestant that hangs.
  const limit = 300 + count / 10;
  await cluster.reset(count);
  await pause(1_000);
  const before = await cluster.costs();
  const contender = new Contender(command);
  let connections = 0;
  const isConverged = (size: number) => () => {
    contender.check();
    connections = Math.max(connections, contender.connections(cluster.port));
    return cluster.unconverged(count, size) === 0;
  };
  try {
    await until(limit, "the cold converge", isConverged(1));
    const coldSeconds = (performance.now() - contender.startedAtMs) / 1_000;
    // What comes after the last visible change, a status written twice for example, counts too.
    await pause(2_000);
    const cold = await cluster.costs();
    const coldCpu = contender.cpuSeconds();

    const changeStartedAtMs = performance.now();
    const changing = cluster.change(count, 3);
    await Promise.all([changing, until(limit, "the change of all", isConverged(3))]);
    const changeSeconds = (performance.now() - changeStartedAtMs) / 1_000;
    await pause(2_000);
    const changed = await cluster.costs();
    const changeCpu = contender.cpuSeconds() - coldCpu;

    const repairs: number[] = [];
    for (let index = 0; index < Math.min(REPAIRS, count); index++) repairs.push(await cluster.repair(index));
    repairs.sort((a, b) => a - b);

    await pause(5_000);
    const idleSeconds = Number(flags.idle);
    const resting = await cluster.costs();
    const restingCpu = contender.cpuSeconds();
    await pause(idleSeconds * 1_000);
    const rested = await cluster.costs();
    const idleCpu = (contender.cpuSeconds() - restingCpu) * 1_000 * 60 / idleSeconds;
    contender.check();
    return {
      coldSeconds,
      coldCpu,
      coldServerCpu: cold.cpuSeconds - before.cpuSeconds,
      coldWrites: (cold.writes - before.writes) / count,
      changeSeconds,
      changeCpu,
      changeServerCpu: changed.cpuSeconds - cold.cpuSeconds,
      // The change itself is one write each, and not the contestant's.
      changeWrites: (changed.writes - cold.writes) / count - 1,
      repairP50: repairs[Math.floor(repairs.length * 0.5)]!,
      repairP99: repairs[Math.floor(repairs.length * 0.99)]!,
      idleRequests: rested.reads + rested.writes - resting.reads - resting.writes,
      idleCpu,
      memory: contender.residentMiB(),
      connections,
    };
  } finally {
    await contender.stop();
  }
}

/** All contestants, round after round. */
async function compare(cluster: Cluster, all: Contestant[], count: number): Promise<Map<string, Figures>> {
  const best = new Map<string, Figures>();
  for (let round = 1; round <= Number(flags.rounds); round++) {
    for (const contestant of all) {
      try {
        const figures = await measure(cluster, contestant, count);
        console.error(`round ${round}, ${contestant.name}: ${JSON.stringify(figures)}`);
        const smallest = best.get(contestant.name) ?? figures;
        for (const column of Object.keys(columns) as Column[]) {
          smallest[column] = Math.min(smallest[column], figures[column]);
        }
        best.set(contestant.name, smallest);
      } catch (error) {
        console.error(`round ${round}, ${contestant.name}: failed: ${(error as Error).message}`);
      }
    }
  }
  return best;
}

function table(best: Map<string, Figures>): string {
  const reference = [...best].find(([name]) => name.startsWith("controller-runtime"))?.[1];
  const names = Object.keys(columns) as Column[];
  const row = (cells: string[]) => `| ${cells.join(" | ")} |`;
  const digits = (value: number) =>
    value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
  const lines = [row(["", ...names.map((name) => columns[name])]), row(["---", ...names.map(() => "---:")])];
  for (const [name, figures] of best) {
    lines.push(row([name, ...names.map((column) => digits(figures[column]))]));
  }
  if (reference) {
    for (const [name, figures] of best) {
      if (figures === reference) continue;
      const ratios = names.map((column) => {
        const ratio = figures[column] / reference[column];
        return Number.isFinite(ratio) ? `${ratio.toFixed(2)}x` : "";
      });
      lines.push(row([`${name}, ratio to controller-runtime`, ...ratios]));
    }
  }
  return lines.join("\n");
}

const folder = await mkdtemp(join(tmpdir(), "bench-"));
const cluster = await Cluster.open();
try {
  const { able, unable } = await contestants(folder);
  for (const reason of unable) console.error(`left out: ${reason}`);
  const chosen = able.filter(({ name }) => flags.only?.some((text) => name.includes(text)) ?? true);
  console.log(
    `${new Date().toISOString().slice(0, 10)}, ${cpus().length} processors (${cpus()[0]?.model ?? "?"}), ` +
      `${Math.round(totalmem() / 2 ** 30)} GiB, Linux; ${flags.rounds} rounds, smallest of each figure\n`,
  );
  for (const count of [Number(flags.count), ...(flags.large ? [10_000] : [])]) {
    const best = await compare(cluster, chosen, count);
    console.log(`${count} Databases:\n\n${table(best)}\n`);
  }
  await cluster.reset(0);
} finally {
  await cluster.close();
  await rm(folder, { recursive: true });
}
process.exitCode = 0;
