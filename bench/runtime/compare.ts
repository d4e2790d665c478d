/**
 * Measures the runtime beside others: `npm run bench -- runtime`.
 *
 * The job is that of examples/config-map.ts: each Database gets a ConfigMap and status.observedGeneration. Every
 * contestant does it, one after the other, several rounds, and the smallest of each figure counts: what disturbs a
 * measurement makes it larger. Output: tables in Markdown, also as ratios to controller-runtime.
 *
 *     --count N     Databases (1000)
 *     --large       then a cold converge of 10,000, once, for those that are fit for it
 *     --rounds N    rounds (3); the slow ones have one
 *     --idle N      seconds of rest, in the first round, in which requests and processor time are counted (10)
 *     --minutes N   begin no measurement that would probably end later than this, building left out (15)
 *     --only TEXT   contestants whose name contains the text (may be repeated)
 *
 * Writes and reads are counted by the API server itself (apiserver_request_total), its processor time likewise
 * (process_cpu_seconds_total); what the contestants use is read from /proc, so this needs Linux.
 * @module
 */

import { cpus, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { Cluster, pause, until } from "./cluster.ts";
import { type Contestant, contestants } from "./contestants.ts";
import { Contender } from "./process.ts";
import { digits, row } from "./table.ts";

/** The figures of one run; of several the smallest count. */
const columns = {
  coldSeconds: "cold s",
  coldCpu: "cold CPU s",
  coldServerCpu: "cold API server CPU s",
  coldWrites: "cold writes each",
  memory: "memory MiB",
  connections: "connections",
  changeSeconds: "change s",
  changeCpu: "change CPU s",
  changeServerCpu: "change API server CPU s",
  changeWrites: "change writes each",
  changedMemory: "memory MiB after the change",
  repairP50: "repair p50 ms",
  repairP99: "repair p99 ms",
  idleRequests: "idle requests",
  idleCpu: "idle CPU ms/min",
} as const;
type Column = keyof typeof columns;
type Figures = Partial<Record<Column, number>>;

/** Deleted and awaited one after the other. */
const REPAIRS = 200;
/** Databases of the large run. */
const LARGE = 10_000;

/** How much of it is done. */
interface Extent {
  count: number;
  /** Only the cold converge. */
  isColdOnly?: boolean;
  idleSeconds: number;
}

async function measure(cluster: Cluster, contestant: Contestant, extent: Extent): Promise<Figures> {
  const { count, isColdOnly = false, idleSeconds } = extent;
  // Only against a contestant that hangs.
  const limit = 120 + count / 20;
  await cluster.reset(count);
  await pause(1_000);
  const before = await cluster.costs();
  const contender = new Contender(contestant.command, contestant.env);
  const figures: Figures = { connections: 0 };
  const isConverged = (size: number) => () => {
    contender.check();
    figures.connections = Math.max(figures.connections!, contender.connections(cluster.port));
    return cluster.unconverged(count, size) === 0;
  };
  try {
    await until(limit, "the cold converge", isConverged(1));
    figures.coldSeconds = (performance.now() - contender.startedAtMs) / 1_000;
    // What comes after the last visible change, a status written twice for example, counts too.
    await pause(2_000);
    const cold = await cluster.costs();
    figures.coldCpu = contender.cpuSeconds();
    figures.coldServerCpu = cold.cpuSeconds - before.cpuSeconds;
    figures.coldWrites = (cold.writes - before.writes) / count;
    figures.memory = contender.residentMiB();
    if (isColdOnly) return figures;

    const changeStartedAtMs = performance.now();
    const changing = cluster.change(count, 3);
    await Promise.all([changing, until(limit, "the change of all", isConverged(3))]);
    figures.changeSeconds = (performance.now() - changeStartedAtMs) / 1_000;
    await pause(2_000);
    const changed = await cluster.costs();
    figures.changeCpu = contender.cpuSeconds() - figures.coldCpu;
    figures.changeServerCpu = changed.cpuSeconds - cold.cpuSeconds;
    // The change itself is one write each, and not the contestant's.
    figures.changeWrites = (changed.writes - cold.writes) / count - 1;
    figures.changedMemory = contender.residentMiB();

    const repairs: number[] = [];
    for (let index = 0; index < Math.min(REPAIRS, count); index++) repairs.push(await cluster.repair(index));
    repairs.sort((a, b) => a - b);
    figures.repairP50 = repairs[Math.floor(repairs.length * 0.5)]!;
    figures.repairP99 = repairs[Math.floor(repairs.length * 0.99)]!;
    if (idleSeconds > 0) await idle(cluster, contender, idleSeconds, figures);
    contender.check();
    return figures;
  } finally {
    await contender.stop();
  }
}

async function idle(
  cluster: Cluster,
  contender: Contender,
  seconds: number,
  figures: Figures,
): Promise<void> {
  await pause(3_000);
  const [before, cpuBefore] = [await cluster.costs(), contender.cpuSeconds()];
  await pause(seconds * 1_000);
  const after = await cluster.costs();
  figures.idleRequests = after.reads + after.writes - before.reads - before.writes;
  figures.idleCpu = (contender.cpuSeconds() - cpuBefore) * 1_000 * 60 / seconds;
}

/** The smallest of each figure, per contestant. */
type Best = Map<string, Figures>;

/** Measures as long as there is time for it. */
class Series {
  readonly #cluster: Cluster;
  readonly #endMs: number;
  readonly #tookMs = new Map<string, number>();

  constructor(cluster: Cluster, minutes: number) {
    this.#cluster = cluster;
    this.#endMs = performance.now() + minutes * 60_000;
  }

  async add(best: Best, contestant: Contestant, extent: Extent): Promise<void> {
    const { name } = contestant;
    const id = `${extent.count} Databases, ${name}`;
    const startedAtMs = performance.now();
    if (startedAtMs + (this.#tookMs.get(id) ?? 0) > this.#endMs) {
      console.error(`${id}: left out, there is no time for it`);
      return;
    }
    try {
      const figures = await measure(this.#cluster, contestant, extent);
      const smallest = best.get(name) ?? {};
      for (const [column, figure] of Object.entries(figures) as [Column, number][]) {
        smallest[column] = Math.min(smallest[column] ?? Infinity, figure);
      }
      best.set(name, smallest);
      const tookMs = performance.now() - startedAtMs;
      this.#tookMs.set(id, tookMs);
      console.error(`${id}: in ${(tookMs / 1_000).toFixed(0)} s ${JSON.stringify(figures)}`);
    } catch (error) {
      // Once is enough: it would take as long to fail again.
      this.#tookMs.set(id, Infinity);
      console.error(`${id}: failed: ${(error as Error).message}`);
    }
  }
}

function table(best: Best): string {
  const names = (Object.keys(columns) as Column[])
    .filter((column) => [...best.values()].some((figures) => figures[column] !== undefined));
  const head = [row(["", ...names.map((name) => columns[name])]), row(["---", ...names.map(() => "---:")])];
  const cells = [...best].map(([name, figures]) =>
    row([name, ...names.map((column) => digits(figures[column]))])
  );
  const reference = [...best].find(([name]) => name.startsWith("controller-runtime"))?.[1];
  if (!reference) return [...head, ...cells].join("\n");
  const ratios = [...best].filter(([, figures]) => figures !== reference).map(([name, figures]) =>
    row([
      name,
      ...names.map((column) => {
        const ratio = figures[column]! / reference[column]!;
        return Number.isFinite(ratio) ? ratio.toFixed(2) : "";
      }),
    ])
  );
  return [...head, ...cells, "", "As ratios to controller-runtime:", "", ...head, ...ratios].join("\n");
}

/** Runs it. @param args the flags above */
export async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      count: { type: "string", default: "1000" },
      large: { type: "boolean", default: false },
      rounds: { type: "string", default: "3" },
      idle: { type: "string", default: "10" },
      minutes: { type: "string", default: "15" },
      only: { type: "string", multiple: true, default: [] },
    },
  });
  const { able, missing } = await contestants(values.only);
  const cluster = await Cluster.open();
  try {
    const series = new Series(cluster, Number(values.minutes));
    const [some, many]: [Best, Best] = [new Map(), new Map()];
    const [count, idleSeconds] = [Number(values.count), Number(values.idle)];
    for (const contestant of able) await series.add(some, contestant, { count, idleSeconds });
    for (const contestant of values.large ? able.filter(({ isLarge }) => isLarge) : []) {
      await series.add(many, contestant, { count: LARGE, isColdOnly: true, idleSeconds: 0 });
    }
    for (let round = 2; round <= Number(values.rounds); round++) {
      for (const contestant of able.filter(({ isSlow }) => !isSlow)) {
        await series.add(some, contestant, { count, idleSeconds: 0 });
      }
    }
    console.log(
      `${new Date().toISOString().slice(0, 10)}, ${cpus().length} processors (${cpus()[0]?.model ?? "?"}), ` +
        `${
          Math.round(totalmem() / 2 ** 30)
        } GiB, Linux; up to ${values.rounds} rounds, smallest of each figure\n`,
    );
    for (const { name, reason } of missing) console.log(`Left out: ${name}: ${reason}\n`);
    console.log(`${count} Databases:\n\n${table(some)}\n`);
    if (many.size > 0) console.log(`${LARGE} Databases, one cold converge:\n\n${table(many)}\n`);
    await cluster.reset(0);
  } finally {
    await cluster.close();
  }
}
