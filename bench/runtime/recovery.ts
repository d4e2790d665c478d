/**
 * Measures how soon an operator works again after a fault: `npm run bench -- recovery`.
 *
 * The job is that of examples/config-map.ts, with 100 Databases. Each fault begins with a process at rest; while it lasts
 * or right after it every Database is changed, and the time counts until lists, asked of the API server directly, show
 * that all have converged. Of several rounds the largest of each figure counts. Output: a table in Markdown.
 *
 *     --rounds N    rounds (1)
 *     --only TEXT   contestants whose name contains the text (may be repeated; default those that elect a leader)
 *
 * The API server is killed and started, and its history compacted, by the program in FAULTS: see
 * tests/conformance/target.ts. So it must be one that nobody else uses.
 * @module
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openReal, type Target, writeKubeconfig } from "../../tests/conformance/target.ts";
import { TcpProxy } from "../../tests/conformance/tcp_proxy.ts";
import { databases } from "../../types/app.example.com/v1.ts";
import { configMaps } from "../../types/core/v1.ts";
import { Cluster, namespace, pause } from "./cluster.ts";
import { type Contestant, contestants } from "./contestants.ts";
import { Contender } from "./process.ts";
import { digits, row } from "./table.ts";

const COUNT = 100;
const REPAIRS = 200;
/** A fault after which it takes longer is not recovered from. */
const LIMIT_SECONDS = 330;
const POLL_MS = 20;

/** What is measured: the head of its column, and what this project promises itself. */
const columns = {
  killed: ["API server killed, s after it is back", 5],
  gone: ["410: history compacted while away, s", 5],
  silent: ["connections silent without a close, s", 30],
  takeover: ["takeover after SIGKILL, s", 16],
  handover: ["takeover after SIGTERM, s", 1],
  stopped: ["ended after SIGTERM, s", 10],
  repairP50: ["repair p50 ms", undefined],
  repairP99: ["repair p99 ms", undefined],
} as const;
type Column = keyof typeof columns;
type Figures = Partial<Record<Column, number>>;

/** One contestant on one API server. */
class Trial {
  readonly #cluster: Cluster;
  readonly #target: Target;
  readonly #contestant: Contestant;
  readonly #folder: string;
  #size = 1;

  constructor(cluster: Cluster, target: Target, contestant: Contestant, folder: string) {
    this.#cluster = cluster;
    this.#target = target;
    this.#contestant = contestant;
    this.#folder = folder;
  }

  /** SIGKILL in the middle of changes, and two seconds away. */
  killed(): Promise<number> {
    return this.#withContender({}, async () => {
      // What is written while the API server is away fails.
      const churn = this.#cluster.change(COUNT, ++this.#size).catch(() => {});
      await pause(50);
      await this.#target.stop();
      await churn;
      await pause(2_000);
      await this.#target.start();
      return await this.#changed();
    });
  }

  /** Its connections break, and when it comes back its resourceVersion is gone from the API server's history. */
  async gone(): Promise<number> {
    return await this.#throughProxy(async (proxy) => {
      await proxy.refuse();
      await this.#cluster.change(COUNT, ++this.#size);
      await this.#target.forget();
      await proxy.listen();
      return await this.#changed();
    });
  }

  /** Every connection swallows all bytes from now on; new ones work. */
  async silent(): Promise<number> {
    return await this.#throughProxy(async (proxy) => {
      proxy.silence();
      return await this.#changed();
    });
  }

  /** Two processes, of which the leader gets the signal. */
  async followed(signal: "SIGKILL" | "SIGTERM"): Promise<{ next: number; ended: number }> {
    const { elected, env } = this.#contestant;
    if (!elected) return { next: NaN, ended: NaN };
    const first = new Contender(elected, env);
    let second: Contender | undefined;
    try {
      // Only a leader follows a change, and there is no other process.
      await this.#change(["db-00000"]);
      await this.#until(() => this.#isSeen());
      second = new Contender(elected, env);
      // Long enough to have seen the lease renewed.
      await pause(5_000);
      const startedAtMs = performance.now();
      first.signal(signal);
      let endedAtMs = Infinity;
      const ended = this.#until(() => {
        if (first.hasEnded) endedAtMs = Math.min(endedAtMs, performance.now());
        return Promise.resolve(first.hasEnded);
      });
      // Its own last breath must not count.
      await ended;
      await this.#change(["db-00000"]);
      await this.#until(() => this.#isSeen());
      return { next: since(startedAtMs), ended: (endedAtMs - startedAtMs) / 1_000 };
    } finally {
      await first.stop();
      await second?.stop();
    }
  }

  /** Deleted and awaited one after the other. */
  repairs(): Promise<{ p50: number; p99: number }> {
    return this.#withContender({}, async () => {
      const took: number[] = [];
      for (let index = 0; index < REPAIRS; index++) took.push(await this.#cluster.repair(index % COUNT));
      took.sort((a, b) => a - b);
      return { p50: took[Math.floor(REPAIRS * 0.5)]!, p99: took[Math.floor(REPAIRS * 0.99)]! };
    });
  }

  async #throughProxy(fault: (proxy: TcpProxy) => Promise<number>): Promise<number> {
    const { hostname, port } = this.#target.upstream.url;
    const proxy = await TcpProxy.start({ host: hostname, port: Number(port) });
    try {
      const kubeconfig = await writeKubeconfig(this.#folder, this.#target.upstream, { port: proxy.port });
      return await this.#withContender({ KUBECONFIG: kubeconfig }, () => fault(proxy));
    } finally {
      await proxy.close();
    }
  }

  /** Starts it on Databases that have converged, and lets it rest a moment. */
  async #withContender<Answer>(env: Record<string, string>, task: () => Promise<Answer>): Promise<Answer> {
    const contender = new Contender(this.#contestant.command, { ...this.#contestant.env, ...env });
    try {
      await this.#until(() => this.#isConverged());
      await pause(2_000);
      const answer = await task();
      contender.check();
      return answer;
    } finally {
      await contender.stop();
    }
  }

  /** Changes all, and answers how many seconds it takes from now until they have converged. */
  async #changed(): Promise<number> {
    const startedAtMs = performance.now();
    this.#size++;
    const names = Array.from({ length: COUNT }, (_, index) => `db-${String(index).padStart(5, "0")}`);
    await this.#change(names);
    await this.#until(() => this.#isConverged());
    return since(startedAtMs);
  }

  async #change(names: string[]): Promise<void> {
    if (names.length === 1) this.#size++;
    await Promise.all(names.map(async (name) => {
      const { client } = this.#cluster;
      // An API server that has just started may refuse at first.
      for (let tries = 0;; tries++) {
        try {
          return await client.patch(databases, { namespace, name }, { spec: { size: this.#size } });
        } catch (error) {
          if (tries > 50) throw error;
          await pause(100);
        }
      }
    }));
  }

  async #isConverged(): Promise<boolean> {
    const { client } = this.#cluster;
    const [{ items }, maps] = await Promise.all([
      client.list(databases, { namespace }),
      client.list(configMaps, { namespace }),
    ]);
    const sizes = new Map(maps.items.map(({ metadata, data }) => [metadata?.name, data?.size]));
    return items.length === COUNT &&
      items.every(({ metadata, spec, status }) =>
        sizes.get(`${metadata.name}-config`) === String(spec.size) &&
        status?.observedGeneration === metadata.generation
      );
  }

  async #isSeen(): Promise<boolean> {
    const found = await this.#cluster.client.get(databases, { namespace, name: "db-00000" });
    return found !== undefined && found.status?.observedGeneration === found.metadata.generation;
  }

  async #until(isMet: () => Promise<boolean>): Promise<void> {
    const endMs = performance.now() + LIMIT_SECONDS * 1_000;
    // The API server may be away, or its connection to us broken.
    while (!await isMet().catch(() => false)) {
      if (performance.now() > endMs) throw new Error(`not recovered within ${LIMIT_SECONDS} s`);
      await pause(POLL_MS);
    }
  }
}

function since(startedAtMs: number): number {
  return (performance.now() - startedAtMs) / 1_000;
}

/** Runs it. @param args the flags above */
export async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      rounds: { type: "string", default: "1" },
      only: { type: "string", multiple: true, default: [] },
    },
  });
  const { able } = await contestants(values.only);
  const chosen = values.only.length > 0 ? able : able.filter(({ elected }) => elected);
  const folder = await mkdtemp(join(tmpdir(), "recovery-"));
  const target = await openReal();
  const cluster = await Cluster.open();
  const worst = new Map<string, Figures>();
  try {
    for (let round = 1; round <= Number(values.rounds); round++) {
      for (const contestant of chosen) {
        const figures = worst.get(contestant.name) ?? {};
        worst.set(contestant.name, figures);
        const note = (column: Column, value: number) => {
          console.error(`round ${round}, ${contestant.name}: ${columns[column][0]}: ${digits(value)}`);
          figures[column] = Math.max(figures[column] ?? -Infinity, value);
        };
        await cluster.reset(COUNT);
        const trial = new Trial(cluster, target, contestant, folder);
        const attempt = async (what: string, task: () => Promise<void>) => {
          await task().catch((error: Error) => {
            console.error(`round ${round}, ${contestant.name}: ${what}: ${error.message}`);
          });
        };
        await attempt("repair", async () => {
          const { p50, p99 } = await trial.repairs();
          note("repairP50", p50);
          note("repairP99", p99);
        });
        await attempt("killed", async () => note("killed", await trial.killed()));
        await attempt("410", async () => note("gone", await trial.gone()));
        await attempt("silent", async () => note("silent", await trial.silent()));
        await attempt("SIGKILL", async () => note("takeover", (await trial.followed("SIGKILL")).next));
        await attempt("SIGTERM", async () => {
          const { next, ended } = await trial.followed("SIGTERM");
          note("handover", next);
          note("stopped", ended);
        });
      }
    }
    await cluster.reset(0);
  } finally {
    await cluster.close();
    await rm(folder, { recursive: true });
  }
  const names = Object.keys(columns) as Column[];
  console.log(row(["", ...names.map((name) => columns[name][0])]));
  console.log(row(["---", ...names.map(() => "---:")]));
  for (const [name, figures] of worst) {
    console.log(row([name, ...names.map((column) => digits(figures[column]))]));
  }
  console.log(row(["aim", ...names.map((column) => String(columns[column][1] ?? ""))]));
}
