/**
 * The backups that are made by Jobs of their own: those that are needed, and the one that was asked for.
 *
 * The name of a Job says what it is for, so that nothing is made twice. What is still needed some time after its Job has
 * ended, whatever its end, is made again: the Job is deleted for that.
 * @module
 */
import type { StoredDatabase } from "../types/app.example.com/v1.ts";
import type { StoredJob } from "../types/batch/v1.ts";
import { backupReport, reportLastsMs } from "./backup_report.ts";
import type { BackupType } from "./backups.ts";
import { namesOf } from "./names.ts";
import { backupRequest, gapBackupId, type Refusal } from "./requests.ts";
import type { Sight } from "./sight.ts";
import { upgradeBackupId, upgradeOf } from "./upgrade.ts";

/** A backup to make, by its Job's id. */
export interface BackupOrder {
  readonly id: string;
  readonly type: BackupType;
  /** The request that it answers. */
  readonly asked?: string;
}

/** What follows from the report of the primary, and from what a person asks for. */
export interface BackupOrders {
  readonly orders: readonly BackupOrder[];
  /** Names of Jobs that ended and did not help. */
  readonly outdated: readonly string[];
  /** Milliseconds until this changes by itself. */
  readonly againMs: number;
  readonly asked?: string;
  readonly refusal?: Refusal;
}

/**
 * Milliseconds from the end of a Job until it is made again: one that completed is seen in the next report of the agent,
 * one that failed has tried four times.
 */
const againAfterMs = { Complete: 120_000, Failed: 300_000 } as const;

/** The backups that Jobs should make now. */
export function backupOrders(sight: Sight, effective: StoredDatabase, nowMs: number): BackupOrders {
  const needed = neededBackups(sight, effective, nowMs);
  const prefix = namesOf(sight.database.metadata.name).backup;
  const ended = needed.flatMap(({ id }) => {
    const job = sight.jobs.find(({ metadata }) => metadata.name === `${prefix}-${id}`);
    const dueMs = job && dueAgainMs(job);
    return job && dueMs !== undefined ? [{ name: job.metadata.name, inMs: dueMs - nowMs }] : [];
  });
  const { backup, ...request } = backupRequest(sight.database, sight.jobs);
  return {
    orders: [...needed, ...(backup ? [backup] : [])],
    outdated: ended.filter(({ inMs }) => inMs <= 0).map(({ name }) => name),
    againMs: Math.min(reportLastsMs(sight, nowMs), ...ended.map(({ inMs }) => Math.max(inMs, 1_000))),
    ...request,
  };
}

function dueAgainMs({ status }: StoredJob): number | undefined {
  const ended = status?.conditions?.find((one) =>
    (one.type === "Complete" || one.type === "Failed") && one.status === "True"
  );
  if (!ended) return undefined;
  return Date.parse(String(ended.lastTransitionTime)) + againAfterMs[ended.type as keyof typeof againAfterMs];
}

function neededBackups(sight: Sight, effective: StoredDatabase, nowMs: number): BackupOrder[] {
  const report = backupReport(sight, nowMs);
  if (!report || report.problem) return [];
  // What is damaged in the database is damaged in its next backup too.
  const isFirst = !report.last && !report.damaged && !effective.spec.backups?.paused;
  const upgrade = upgradeOf(sight, 0);
  return [
    isFirst ? { id: "first", type: "full" as const } : [],
    // Backups of the version before cannot be added to.
    upgrade?.job?.adopted && !upgrade.settled
      ? { id: upgradeBackupId(upgrade.from), type: "full" as const }
      : [],
    // A hole in the WAL is closed by any backup after it.
    report.gap && !report.gap.until ? { id: gapBackupId(report.gap), type: "incr" as const } : [],
  ].flat();
}
