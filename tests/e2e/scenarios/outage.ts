/**
 * Five minutes without the repository, under writes: a bucket whose store is stopped, and a volume that nobody may read.
 *
 * E2E_S3_STOP and E2E_S3_START are commands that stop and start the store of E2E_S3. The bucket's Database stays below
 * archive-push-queue-max and loses its primary meanwhile; the volume's goes above and has to give WAL up.
 * @module
 */
import process from "node:process";
import { until } from "../../within.ts";
import { leader, sql, writtenIds } from "../database.ts";
import { shell } from "../kubectl.ts";
import {
  archived,
  backedUp,
  backupsOf,
  filesOf,
  get,
  health,
  type Kind,
  onBoth,
  primaryOf,
  Repository,
  restored,
  serverTime,
} from "../repositories.ts";
import { bar, check, discard, type Run, type Scenario, underWrites } from "../scenario.ts";

const awayMs = 5 * 60_000;
/** From the fault to the reason in the status. */
const toldMs = 60_000;
/** Longest time without a row: none of it is the repository's; a failover has a promise of its own. */
const gapMs = 10_000;

/** A time, and the ids that had committed by then. */
interface Point {
  time: string;
  ids: string;
}

const order = "ORDER BY id";

async function pointOf(run: Run, name: string): Promise<Point> {
  const pod = await primaryOf(run.kubectl, name);
  const time = await serverTime(run, pod);
  const committed = `pg_xact_commit_timestamp(xmin) <= '${time}'`;
  return { time, ids: await sql(run.kubectl, pod, `SELECT id FROM written WHERE ${committed} ${order}`) };
}

async function restoresTo(run: Run, name: string, { time, ids }: Point): Promise<void> {
  const copy = `${name}-copy`;
  const pod = await restored(run, copy, { database: name, targetTime: time });
  const got = await sql(run.kubectl, pod, `SELECT id FROM written ${order}`);
  check(got === ids, `${name}: not exactly the rows of ${time}`);
  await discard(run, copy);
}

/** The newest run of segments that the repository lacks, on the timeline of the one before it. */
async function hole(run: Run, name: string): Promise<string[]> {
  const number = (segment: string) =>
    parseInt(segment.slice(8, 16), 16) * 256 + parseInt(segment.slice(16), 16);
  const hex = (value: number) => value.toString(16).toUpperCase().padStart(8, "0");
  const segments = (await filesOf(run, name, "archive/db")).flatMap((file) =>
    /\/([0-9A-F]{24})-[0-9a-f]{40}/.exec(file)?.[1] ?? []
  ).toSorted((a, b) => number(a) - number(b));
  const holes = segments.flatMap((segment, i) => {
    const next = segments[i + 1];
    const length = next ? number(next) - number(segment) - 1 : 0;
    if (length < 1) return [];
    const names = Array.from({ length }, (_, j) => number(segment) + 1 + j)
      .map((at) => segment.slice(0, 8) + hex(Math.floor(at / 256)) + hex(at % 256));
    return [names];
  });
  return holes.at(-1) ?? [];
}

/** Either a time in the outage can be restored, or the status names exactly what is missing and a later backup is there. */
async function accounted(run: Run, name: string, during: Point): Promise<string[]> {
  const missing = await until(
    120_000,
    `${name}: the gap in the status to be the one in the repository`,
    async () => {
      const missing = await hole(run, name);
      const { gap } = (await get(run, name))["status"].backup;
      const told = gap ? `${gap.firstWal} to ${gap.lastWal}, until ${gap.until}` : "none";
      const is = missing.length === 0
        ? !gap
        : gap?.firstWal === missing[0] && gap?.lastWal === missing.at(-1) && gap?.until;
      if (!is) throw new Error(`missing ${missing.join(" ") || "none"}, told ${told}`);
      return missing;
    },
    2000,
  );
  if (missing.length === 0) await restoresTo(run, name, during);
  else {
    const last = (await backupsOf(run, name)).at(-1)!;
    check(last.archive.start.slice(8) > missing.at(-1)!.slice(8), `${name}: no backup after the gap`);
  }
  return missing;
}

async function passes(what: string, endMs: number): Promise<void> {
  await until(endMs - Date.now() + 60_000, what, () => Date.now() >= endMs, 500);
}

async function bucketAway(run: Run, name: string): Promise<void> {
  const { kubectl } = run;
  const { E2E_S3_STOP: stop, E2E_S3_START: start } = process.env as Record<string, string>;
  let during: Point | undefined;
  const outcome = await underWrites(run, name, 2, async () => {
    await shell(stop!);
    const startedMs = Date.now();
    try {
      run.figure(
        "store stopped to the reason",
        (await health(run, name, "RepositoryUnreachable", 2 * toldMs)).ms,
        "ms",
        toldMs,
      );
      await passes("half of the outage", startedMs + awayMs / 2);
      during = await pointOf(run, name);
      // Its WAL is closed and waits when the primary is lost.
      await passes("a segment to be closed after that", Date.now() + 60_000);
      const primary = await primaryOf(kubectl, name);
      // By force its successor of the same name would be there before the lock expires, and lead on.
      await kubectl.delete("pod", primary);
      await until(bar.ready, "the failover", async () => {
        const now = await leader(kubectl, name);
        return now !== undefined && now !== primary;
      }, 300);
      await passes("the end of the outage", startedMs + awayMs);
    } finally {
      await shell(start!);
    }
    run.figure("store back to healthy", (await health(run, name, "Healthy", 240_000)).ms, "ms", 180_000);
  });
  run.figure("longest time without a row, primary lost without the store", outcome.gapMs, "ms", bar.writes);
  check(outcome.gapMs <= bar.writes, `no row for ${outcome.gapMs} ms`);
  const missing = await accounted(run, name, during!);
  run.figure("segments that a failover without the store lost", missing.length, "segments", 0);
  await health(run, name, "Healthy", 60_000);
}

async function volumeAway(run: Run, repository: Repository): Promise<void> {
  const { kubectl } = run;
  const name = repository.of;
  let before: Point | undefined, during: Point | undefined;
  const outcome = await underWrites(run, name, 1, async () => {
    before = await pointOf(run, name);
    await archived(run, name); // else that point would be given up with the rest
    const startedMs = Date.now();
    await repository.breakIt(run);
    try {
      // Twice what may wait: 4 segments of 16 MiB, a quarter of the storage.
      for (let i = 0; i < 8; i++) {
        await sql(
          kubectl,
          `${name}-0`,
          "SELECT pg_switch_wal(); CREATE TABLE IF NOT EXISTS filler (); DROP TABLE filler",
        );
      }
      await health(run, name, "RepositoryUnreachable", 2 * toldMs);
      run.figure("volume closed to the reason", Date.now() - startedMs, "ms", toldMs);
      during = await pointOf(run, name);
      await passes("the end of the outage", startedMs + awayMs);
    } finally {
      await repository.mend(run);
    }
    run.figure("volume back to healthy", (await health(run, name, "Healthy", 300_000)).ms, "ms", 180_000);
  });
  run.figure("longest time without a row, no room for WAL to wait", outcome.gapMs, "ms", gapMs);
  // A database that waited for its repository would be out for as long as that.
  check(outcome.gapMs <= 3 * gapMs, `no row for ${outcome.gapMs} ms`);
  const missing = await accounted(run, name, during!);
  check(missing.length > 0, "no WAL was given up: the outage was not one above archive-push-queue-max");
  run.figure("segments given up and named", missing.length, "segments");
  await health(run, name, "Healthy", 60_000);
  await restoresTo(run, name, before!);
  const copy = `${name}-copy`;
  await restored(run, copy, { database: name });
  const [all, there] = await Promise.all([writtenIds(kubectl, name), writtenIds(kubectl, copy)]);
  check(all.size === there.size, `${there.size} of ${all.size} rows after the gap`);
  await discard(run, copy);
}

async function outage(run: Run, kind: Kind): Promise<void> {
  const repository = new Repository(kind, `away-${kind}`);
  const parameters = { track_commit_timestamp: "on" };
  if (kind === "s3") {
    await backedUp(run, repository, { size: 2, parameters });
    await bucketAway(run, repository.of);
  } else {
    await backedUp(run, repository, { parameters, storage: { size: "256Mi" } });
    await volumeAway(run, repository);
  }
  await discard(run, repository.of);
  await repository.remove(run);
}

export const outages: readonly Scenario[] = onBoth(
  "outage",
  "five minutes without the repository under writes: a volume gives WAL up and says which, a bucket loses none",
  outage,
  ["E2E_S3", "E2E_S3_STOP", "E2E_S3_START"],
);
