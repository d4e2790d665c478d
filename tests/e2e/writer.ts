/**
 * A client inside the cluster that writes through the Service and logs what was acknowledged (writer.py).
 * @module
 */
import { readFileSync } from "node:fs";
import { until } from "../within.ts";
import type { Kubectl } from "./kubectl.ts";
import { startProgram, stopProgram } from "./pods.ts";

const source = readFileSync(new URL("./writer.py", import.meta.url), "utf8");

/** What a writer has seen. */
export interface Written {
  /** Acknowledged rows, in order: id, and when the acknowledgement came (milliseconds, the pod's clock). */
  acknowledged: { id: number; atMs: number }[];
  /** Attempts that failed or stayed without answer. */
  failures: { atMs: number; reason: string }[];
}

/** A running writer. */
export class Writer {
  readonly #kubectl: Kubectl;
  readonly #pod: string;
  readonly #database: string;

  private constructor(kubectl: Kubectl, pod: string, database: string) {
    this.#kubectl = kubectl;
    this.#pod = pod;
    this.#database = database;
  }

  /**
   * Starts one and waits for its first acknowledged row.
   *
   * @param options.firstId ids start above this one
   * @param options.pauseMs pause between two rows, 20 ms unless told: some 40 rows a second
   */
  static async start(
    kubectl: Kubectl,
    database: string,
    options: { image: string; firstId?: number; pauseMs?: number; timeoutMs?: number },
  ): Promise<Writer> {
    const { image, firstId = 0, pauseMs = 20, timeoutMs = 60_000 } = options;
    const pod = `${database}-writer`;
    const args = [database, String(pauseMs / 1000), String(firstId)];
    await startProgram(kubectl, { pod, database, image, source, args });
    const writer = new Writer(kubectl, pod, database);
    await until(timeoutMs, `a first row written to ${database}`, async () => {
      return (await writer.read()).acknowledged.length > 0;
    }, 500);
    return writer;
  }

  /** Everything it has logged so far. */
  async read(): Promise<Written> {
    return parseWritten(await this.#kubectl.logs(this.#pod));
  }

  /** Waits until rows are acknowledged that were written after `afterMs`; returns what was written until then. */
  async writesAfter(afterMs: number, timeoutMs: number, rows = 20): Promise<Written> {
    return await until(timeoutMs, `${rows} rows written to ${this.#database} after the fault`, async () => {
      const written = await this.read();
      return written.acknowledged.filter(({ atMs }) => atMs > afterMs).length >= rows ? written : undefined;
    }, 500);
  }

  /** Stops it and returns everything it has logged: nothing is written after that. */
  async stop(): Promise<Written> {
    return parseWritten(await stopProgram(this.#kubectl, this.#pod));
  }
}

function parseWritten(log: string): Written {
  const written: Written = { acknowledged: [], failures: [] };
  for (const line of log.split("\n")) {
    const [kind, first, ...rest] = line.split(" ");
    if (kind === "A") written.acknowledged.push({ id: Number(first), atMs: Number(rest[0]) });
    if (kind === "E") written.failures.push({ atMs: Number(first), reason: rest.join(" ") });
  }
  return written;
}

/** The longest time without an acknowledged row that ended after `afterMs`, in milliseconds. */
export function longestGapMs(written: Written, afterMs = 0): number {
  let gap = 0;
  for (const [i, { atMs }] of written.acknowledged.entries()) {
    const before = written.acknowledged[i - 1];
    if (before && atMs >= afterMs) gap = Math.max(gap, atMs - before.atMs);
  }
  return gap;
}

/** Acknowledged ids that are not among those that the table has. */
export function lostRows(written: Written, present: ReadonlySet<number>): number[] {
  return written.acknowledged.map(({ id }) => id).filter((id) => !present.has(id));
}
