/**
 * What the agent beside the primary says about the repository, as status and condition.
 * @module
 */
import type { DatabaseStatus } from "../types/app.example.com/v1.ts";
import { encodeBase64 } from "./backups.ts";
import { drillReport, isTime } from "./drill.ts";
import { annotation, namesOf } from "./names.ts";
import type { Sight } from "./sight.ts";
import type { Claim } from "./status.ts";

type BackupStatus = NonNullable<DatabaseStatus["backup"]>;

/** The agent's note on the primary's pod, as far as it can be read. */
export interface BackupReport {
  /** Why the repository cannot be used, in pgBackRest's words. */
  readonly problem?: string;
  /** When the oldest backup ended: the earliest time that can be restored. */
  readonly first?: string;
  /** The latest time that can be restored, as far as it is told. */
  readonly recoverable?: string;
  /** Since when a WAL segment waits, when that is long. */
  readonly pending?: string;
  readonly last?: { readonly id: string; readonly time: string; readonly size: number };
  readonly gap?: NonNullable<BackupStatus["gap"]>;
  /** A backup with damaged pages, while there is no later one without. */
  readonly damaged?: NonNullable<BackupStatus["damaged"]>;
  readonly failure?: { readonly time: string; readonly message: string };
  readonly verify?: NonNullable<BackupStatus["verify"]>;
  /** Which configuration it is about: the revision in Secret `<name>-backup`. */
  readonly revision?: string;
  /** When the agent looked, to five minutes. */
  readonly seen?: string;
}

/** How old a report may be, in milliseconds: the agent renews it each five minutes. */
const reportAgeMaxMs = 600_000;

/** Milliseconds until the report of the primary is not believed any more; Infinity when there is none. */
export function reportLastsMs(sight: Sight, nowMs: number): number {
  const { seen } = backupReport(sight, nowMs) ?? {};
  return seen === undefined ? Infinity : Date.parse(seen) + reportAgeMaxMs - nowMs + 1_000;
}

/**
 * The report of the primary; `undefined` while there is none, while it is about another configuration of the repository
 * than the members should have, and when the agent does not renew it any more.
 */
export function backupReport(sight: Sight, nowMs: number): BackupReport | undefined {
  const report = readReport(sight);
  const { data } = sight.secrets.get(namesOf(sight.database.metadata.name).backup) ?? {};
  const isOutdated = report?.revision !== undefined && data !== undefined &&
    encodeBase64(report.revision) !== (data["revision"] ?? "");
  const isOld = report?.seen !== undefined && nowMs - Date.parse(report.seen) > reportAgeMaxMs;
  return isOutdated || isOld ? undefined : report;
}

/** What the agent beside the primary noted last, of whichever configuration. */
export function readReport({ pods, patroni }: Pick<Sight, "pods" | "patroni">): BackupReport | undefined {
  const primary = pods.find((pod) => pod.metadata?.name === patroni.primary);
  try {
    const report: unknown = JSON.parse(primary?.metadata?.annotations?.[annotation.backup] ?? "null");
    if (typeof report !== "object" || report === null) return undefined;
    const { problem, first, recoverable, pending, last, gap, damaged, failure, verify, revision, seen } =
      report as Record<string, unknown>;
    const { id, time, size } = fields(last);
    const failed = fields(failure);
    return {
      ...(typeof problem === "string" ? { problem: problem.slice(0, 1000) } : {}),
      ...(isTime(first) ? { first } : {}),
      ...(isTime(recoverable) ? { recoverable } : {}),
      ...(isTime(pending) ? { pending } : {}),
      ...(typeof id === "string" && isTime(time) && typeof size === "number"
        ? { last: { id: id.slice(0, 63), time, size } }
        : {}),
      ...gapOf(fields(gap)),
      ...damagedOf(fields(damaged)),
      ...(typeof revision === "string" ? { revision } : {}),
      ...(isTime(seen) ? { seen } : {}),
      ...(isTime(failed["time"]) && typeof failed["message"] === "string"
        ? { failure: { time: failed["time"], message: failed["message"].slice(0, 1000) } }
        : {}),
      ...verifyOf(fields(verify)),
    };
  } catch {
    return undefined; // not JSON: the agent's next note replaces it
  }
}

function gapOf({ firstWal, lastWal, after, until }: Record<string, unknown>): Pick<BackupReport, "gap"> {
  if (!isSegment(firstWal) || !isSegment(lastWal) || !isTime(after)) return {};
  return { gap: { firstWal, lastWal, after, ...(isTime(until) ? { until } : {}) } };
}

function damagedOf({ id, time }: Record<string, unknown>): Pick<BackupReport, "damaged"> {
  return typeof id === "string" && isTime(time) ? { damaged: { id: id.slice(0, 63), time } } : {};
}

function verifyOf({ time, passed, message }: Record<string, unknown>): Pick<BackupReport, "verify"> {
  if (!isTime(time) || typeof passed !== "boolean") return {};
  return {
    verify: { time, passed, ...(typeof message === "string" ? { message: message.slice(0, 1000) } : {}) },
  };
}

function isSegment(value: unknown): value is string {
  return typeof value === "string" && /^[0-9A-F]{24}$/.test(value);
}

function fields(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
}

/** status.backup. What is known stays while nobody leads; results stay until there are newer ones. */
export function backupStatus(sight: Sight, nowMs: number): DatabaseStatus["backup"] {
  const { database } = sight;
  if (!database.spec.backups) return undefined;
  const before = database.status?.backup;
  const tried = drillReport(sight.backupPods, sight.jobs);
  const drill = tried && !(before?.drill && before.drill.time > tried.time) ? tried : before?.drill;
  const report = backupReport(sight, nowMs);
  if (!report) return drill ? { ...before, drill } : before;
  // While the repository cannot be read, what was in it is the best that is known.
  const known = report.problem !== undefined && report.last === undefined;
  const status = {
    lastId: known ? before?.lastId : report.last?.id,
    lastSuccessTime: known ? before?.lastSuccessTime : report.last?.time,
    size: known ? before?.size : report.last?.size,
    firstRecoverableTime: known ? before?.firstRecoverableTime : report.first,
    lastRecoverableTime: known ? before?.lastRecoverableTime : report.recoverable,
    archivePendingSince: report.pending,
    gap: known ? before?.gap : report.gap,
    damaged: known ? before?.damaged : report.damaged,
    lastFailure: report.failure ?? before?.lastFailure,
    verify: report.verify ?? before?.verify,
    drill,
  };
  // An apply of an empty object in place of one with fields becomes null, which the API server refuses.
  return Object.values(status).some((value) => value !== undefined) ? status : undefined;
}

/**
 * Condition BackupHealthy; none for a Database without backups.
 *
 * @param known what is wrong with the repository's settings, if anything; without it they were not looked at in this pass,
 *   and what was told stays
 */
export function backupCondition(
  sight: Sight,
  known: { readonly backups?: string | undefined } | undefined,
  nowMs: number,
): Claim | undefined {
  if (!sight.database.spec.backups) return undefined;
  const told = sight.database.status?.conditions?.find(({ type }) => type === "BackupHealthy");
  if (!known && told) return told;
  const problem = known?.backups;
  const claim = (status: Claim["status"], reason: string, message: string): Claim => ({
    type: "BackupHealthy",
    status,
    reason,
    message: message.slice(0, 2000),
  });
  if (problem !== undefined) return claim("False", "RepositoryUnusable", problem);
  const report = backupReport(sight, nowMs);
  if (!report) {
    return claim("Unknown", "NotChecked", "The primary has not reported on the repository, or not for long");
  }
  if (report.problem !== undefined) {
    return claim("False", "RepositoryUnreachable", `pgBackRest: ${report.problem}`);
  }
  if (report.damaged) {
    const { id, time } = report.damaged;
    return claim(
      "False",
      "BackupDamaged",
      `Backup ${id} of ${time} holds pages with wrong checksums, as the database itself does; the last whole backup ` +
        `is ${report.last?.id ?? "none"}`,
    );
  }
  if (!report.last) {
    return claim(
      "False",
      "NoBackup",
      "WAL is archived but there is no base backup: nothing can be restored yet",
    );
  }
  if (report.gap && !report.gap.until) {
    const { firstWal, lastWal, after } = report.gap;
    return claim(
      "False",
      "WalMissing",
      `WAL ${firstWal} to ${lastWal} never reached the repository: no time after ${after} can be restored until ` +
        "another backup is made, which begins by itself",
    );
  }
  if (report.pending) {
    return claim("False", "WalWaiting", `WAL waits to be archived since ${report.pending}`);
  }
  const { lastFailure: failed, verify, drill } = backupStatus(sight, nowMs) ?? {};
  if (failed && Date.parse(failed.time) > Date.parse(report.last.time)) {
    return claim("False", "BackupFailed", `The last backup failed at ${failed.time}: ${failed.message}`);
  }
  if (verify && !verify.passed) {
    return claim("False", "VerifyFailed", `The repository was damaged at ${verify.time}: ${verify.message}`);
  }
  if (drill && !drill.passed) {
    return claim("False", "DrillFailed", `The restore tried at ${drill.time} failed: ${drill.message}`);
  }
  return claim(
    "True",
    "Healthy",
    `WAL is archived; the last backup is ${report.last.id} of ${report.last.time}`,
  );
}
