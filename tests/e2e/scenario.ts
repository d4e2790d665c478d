/**
 * What an end-to-end scenario gets, and the steps that most of them share.
 * @module
 */
import { database, leader, ready, writtenIds } from "./database.ts";
import type { Kubectl } from "./kubectl.ts";
import type { RunningOperator } from "./local.ts";
import { secondPrimaries, startProbe, stopProbe } from "./probe.ts";
import { longestGapMs, lostRows, Writer, type Written } from "./writer.ts";

/** One run of the scenarios. */
export interface Run {
  readonly kubectl: Kubectl;
  /** Image with Python and psycopg2, for programs beside the Database. */
  readonly image: string;
  readonly operator: RunningOperator;
  /** How often a fault is repeated. */
  readonly times: number;
  /** Looks, now, for passwords where none may be and for connections that no policy allows: what goes cannot be searched. */
  inspect(): Promise<void>;
  /** Records a measured figure and whether it met its goal; the promises themselves are deadlines, see {@link bar}. */
  figure(what: string, value: number, unit: string, goal?: number): void;
}

/** A scenario: `short` ones make up the gate; `optional` ones run only by name. */
export interface Scenario {
  readonly name: string;
  readonly what: string;
  readonly short?: boolean;
  readonly optional?: boolean;
  /** Environment variables without which it cannot run: a run of all leaves it out and says so, by name it fails. */
  readonly needs?: readonly string[];
  /** That RBAC refuses somebody in it is no finding: a Role is gone, or the API server has not read the Roles yet. */
  readonly mayRefuse?: boolean;
  run(run: Run): Promise<void>;
}

/** Longest waits, in milliseconds: the promises of the Database. */
export const bar = { ready: 120_000, writes: 30_000 } as const;

/** Throws unless the claim holds. */
export function check(claim: unknown, message: string): asserts claim {
  if (!claim) throw new Error(message);
}

/** Applies a Database and waits until it is Ready. */
export async function ensure(
  run: Run,
  name: string,
  spec: Record<string, unknown> = { size: 3 },
): Promise<void> {
  await run.kubectl.apply(database(name, spec));
  await ready(run.kubectl, name, bar.ready);
}

/** Deletes a Database with its data and waits until nothing of it is left. */
export async function discard(run: Run, name: string): Promise<void> {
  const { kubectl } = run;
  await run.inspect();
  await kubectl.try([
    "patch",
    "databases.app.example.com",
    name,
    "--type=merge",
    "--patch",
    '{"spec":{"deletionPolicy":"Delete"}}',
  ]);
  await kubectl.run(["delete", "databases.app.example.com", name, "--ignore-not-found", "--timeout=120s"], {
    timeoutMs: 130_000,
  });
}

/** What happened while rows were written. */
export interface Outcome {
  written: Written;
  /** Longest time without an acknowledged row after the fault. */
  gapMs: number;
  /** From the fault until Ready again. */
  readyMs: number;
}

/**
 * Writes rows, does something disturbing, waits until rows are written and the Database is Ready again, and checks
 * that every acknowledged row is there and that never two members took writes.
 *
 * @param disturb does it; resolves to the time from which on the gap counts
 */
export async function underWrites(
  run: Run,
  name: string,
  size: number,
  disturb: () => Promise<void>,
  options: { readyTimeoutMs?: number } = {},
): Promise<Outcome> {
  const { kubectl, image } = run;
  const firstId = await highestId(run, name);
  const writer = await Writer.start(kubectl, name, { image, firstId });
  await startProbe(kubectl, name, size, image);
  const startedMs = Date.now();
  await disturb();
  await writer.writesAfter(startedMs + 1500, bar.writes);
  await ready(kubectl, name, options.readyTimeoutMs ?? bar.ready);
  const readyMs = Date.now() - startedMs;
  await writer.writesAfter(Date.now(), bar.writes, 5);
  const written = await writer.stop();
  const seconds = secondPrimaries(await stopProbe(kubectl, name));
  check(seconds.length === 0, `Two members took writes: ${JSON.stringify(seconds.slice(0, 3))}`);
  const lost = lostRows(written, await writtenIds(kubectl, name));
  check(
    lost.length === 0,
    `${lost.length} of ${written.acknowledged.length} acknowledged rows are lost: ${
      lost.slice(0, 10).join(" ")
    }`,
  );
  return { written, gapMs: longestGapMs(written, startedMs), readyMs };
}

/** The highest id that was ever written to a Database by a {@linkcode Writer}; 0 without any. */
export async function highestId(run: Run, name: string): Promise<number> {
  const primary = await leader(run.kubectl, name);
  check(primary, `Database ${name} has no leader`);
  const ended = await run.kubectl.try([
    "exec",
    primary,
    "--",
    "psql",
    "-XAtqc",
    "SELECT coalesce(max(id), 0) FROM written",
    "app",
  ]);
  return ended.code === 0 ? Number(ended.stdout.trim()) : 0;
}
