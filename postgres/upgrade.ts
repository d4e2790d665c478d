/**
 * An upgrade of the data to another major version: how far it is, and what each step of it changes.
 *
 * Everything follows from what is stored: Job `<name>-upgrade-<major>-check` tries the new version beside the running
 * members; Job `<name>-upgrade-<major>` is made suspended, which means that the members stop, and runs once none is left;
 * its success leads to the new system identifier in ConfigMap `<name>-config`, from which on the data is of the new
 * version and every other copy of the old is replaced. Where that does not start, Job `<name>-upgrade-<major>-back` looks
 * whether it has touched the data, and takes the upgrade back if not. The order of the steps is decide.ts's.
 * @module
 */
import type { DatabaseStatus } from "../types/app.example.com/v1.ts";
import type { StoredJob } from "../types/batch/v1.ts";
import { backupReport } from "./backup_report.ts";
import { presentParameters } from "./dynamic_config.ts";
import { type JobState, jobState, lastWords, podsOf } from "./job_seen.ts";
import { annotation, claimName, component, label, namesOf, podName } from "./names.ts";
import { failedStates } from "./observe.ts";
import { settableParameters } from "./parameters.ts";
import { dataVersion, isOfDatabase, isReplaced, markOf, orderOf, type Problem, type Sight } from "./sight.ts";
import { podTrouble } from "./trouble.ts";
import { readVersion } from "./versions.ts";

/** A Job of an upgrade, as a decision needs it. */
export interface JobSeen extends Omit<JobState, "waitedMs"> {
  /** It is what spec.version asks for now. */
  readonly current: boolean;
  /** Its trouble has lasted, and is not waited for any longer. */
  readonly stuck: boolean;
  /** The data is of the version that it made. */
  readonly adopted: boolean;
}

/** An upgrade, as a decision needs it. */
export interface UpgradeSeen {
  /** Major version of the data, and the one asked for: the same once the data is upgraded. */
  readonly from: number;
  readonly to: number;
  /** Why it cannot begin. */
  readonly obstacle?: string | undefined;
  readonly check?: JobSeen | undefined;
  readonly job?: JobSeen | undefined;
  /** The Job that takes the upgrade back. */
  readonly back?: JobSeen | undefined;
  /** Why the first member does not start with the upgraded data, once that has lasted. */
  readonly unstarted?: string | undefined;
  /** A pod that works on the data of the first member is there, its Job being there or not. */
  readonly busy: boolean;
  /** The first member has not led with the upgraded data yet: no other may be started before. */
  readonly unproven: boolean;
  /** The Job told the identifiers of the data before and after. */
  readonly told: boolean;
  /** Why there would be no way back to before the upgrade, when there should be one. */
  readonly unsafe?: string | undefined;
  /** What comes after it is under way, so that its Jobs may go. */
  readonly settled: boolean;
}

/** What a step of an upgrade does. */
export type UpgradeAction =
  | "check"
  | "begin"
  | "run"
  | "giveUp"
  | "adopt"
  | "forget"
  | "goBack"
  | "return"
  | "forgetBack"
  /** The same for another image of the version that the data has (image_trial.ts). */
  | "try"
  | "forgetTrial";

/** Longest wait, in milliseconds, for a Job's pod that cannot start while the Database is stopped. */
const stuckMs = 45_000;

/**
 * How old the first member's pod is, in milliseconds, when its trouble with the upgraded data is taken for lasting: Patroni
 * starts a server again every five seconds.
 */
const unstartedMs = 30_000;

/** The container of the Jobs' pods. */
export const program = "upgrade";
export const upgradeComponent = {
  check: component.upgradeCheck,
  run: component.upgrade,
  back: component.upgradeBack,
} as const;
export type Purpose = keyof typeof upgradeComponent;
const purposes = Object.keys(upgradeComponent) as Purpose[];

/** How far the upgrade is; `undefined` when there is none. */
export function upgradeOf(sight: Sight, nowMs: number): UpgradeSeen | undefined {
  const { database, claims, patroni } = sight;
  const busy = worksOnData(sight);
  const runs = dataVersion(sight);
  if (runs === undefined && !busy) return undefined;
  const asked = readVersion(database.spec.version)?.major;
  const from = runs?.major ?? asked ?? 0, to = asked ?? from;
  const check = jobOf(sight, "check"), job = jobOf(sight, "run"), back = jobOf(sight, "back");
  const first = claims.find((claim) => claim.metadata?.name === claimName(database.metadata.name, 0));
  const unproven = first !== undefined && isReplaced(patroni, markOf(first));
  if (from >= to && !check && !job && !back && !busy && !unproven) return undefined;
  return {
    from,
    to,
    obstacle: from < to ? obstacleOf(sight) : undefined,
    check: check && jobSeen(sight, check, from, nowMs),
    job: job && jobSeen(sight, job, from, nowMs),
    back: back && jobSeen(sight, back, from, nowMs),
    unstarted: unproven ? unstartedOf(sight, nowMs) : undefined,
    busy,
    unproven,
    told: upgraded(sight) !== undefined,
    unsafe: unsafeOf(sight),
    settled: !database.spec.backups ||
      sight.jobs.some(({ metadata }) =>
        metadata?.name === `${namesOf(database.metadata.name).backup}-${upgradeBackupId(from)}`
      ),
  };
}

/** True while a pod of an upgrade may work on the data of the first member. */
export function worksOnData({ upgradePods }: Sight): boolean {
  const workers: readonly (string | undefined)[] = [upgradeComponent.run, upgradeComponent.back];
  return upgradePods.some((pod) =>
    workers.includes(pod.metadata?.labels?.[label.component]) &&
    !["Succeeded", "Failed"].includes(pod.status?.phase ?? "")
  );
}

/** The Jobs of upgrades that are not going away yet. */
export function upgradeJobs({ database, jobs }: Sight): StoredJob[] {
  const components: readonly (string | undefined)[] = Object.values(upgradeComponent);
  return jobs.filter((job) =>
    isOfDatabase(job, database.metadata.name) && !job.metadata.deletionTimestamp &&
    components.includes(job.metadata.labels?.[label.component])
  );
}

/** Id of the full backup that is made once the data is of this major version. */
export function upgradeBackupId(major: number): string {
  return `first-${major}`;
}

export function jobOf({ database, jobs }: Sight, purpose: Purpose): StoredJob | undefined {
  return jobs.find((job) =>
    isOfDatabase(job, database.metadata.name) &&
    job.metadata?.labels?.[label.component] === upgradeComponent[purpose]
  );
}

/** What the databases use, as the primary's agent has noted it on its pod; nothing while it has not. */
export function usedOf({ pods, patroni }: Pick<Sight, "pods" | "patroni">): {
  extensions?: string[];
  libraries?: string[];
} {
  const primary = pods.find(({ metadata }) => metadata.name === patroni.primary);
  const names = (list: unknown) =>
    Array.isArray(list)
      ? list.filter((name): name is string => typeof name === "string" && /^\P{Cc}{1,255}$/u.test(name))
      : [];
  try {
    const told = JSON.parse(primary?.metadata.annotations?.[annotation.used] ?? "null") as
      | Record<string, unknown>
      | null;
    return told ? { extensions: names(told["extensions"]), libraries: names(told["libraries"]) } : {};
  } catch {
    return {}; // not JSON: the agent's next note replaces it
  }
}

/**
 * What a Job was made for. A check is made again after any change of the spec or of what the databases use, an upgrade and
 * a way back only when it is asked for again.
 */
export function purposeOf(sight: Sight, from: number, purpose: Purpose): string {
  const { database } = sight;
  const { version, image } = database.spec;
  const request = database.metadata.annotations?.[annotation.upgrade];
  const { generation } = database.metadata;
  return JSON.stringify({
    from,
    version,
    image,
    request,
    ...(purpose === "check" ? { generation, ...usedOf(sight) } : {}),
  });
}

function jobSeen(sight: Sight, job: StoredJob, dataMajor: number, nowMs: number): JobSeen {
  const purpose = purposes.find((one) => job.metadata.labels?.[label.component] === upgradeComponent[one])!;
  const seen = jobState(job, sight.upgradePods, nowMs);
  const why = job.metadata.annotations?.[annotation.failure];
  return {
    ...seen,
    // What a Job made, and was taken back, has failed.
    state: seen.state === "succeeded" && purpose === "run" && why !== undefined ? "failed" : seen.state,
    current: job.metadata?.deletionTimestamp === undefined &&
      job.metadata?.annotations?.[annotation.upgrade] === purposeOf(sight, orderOf(job).from, purpose),
    stuck: seen.waitedMs > stuckMs,
    adopted: orderOf(job).from < dataMajor,
    words: purpose === "back" ? [why, seen.words].filter(Boolean).join(": ") : why ?? seen.words,
  };
}

/** Why the first member does not start with the upgraded data. Where no pod fits, none of the old version would. */
function unstartedOf({ database, pods, patroni }: Sight, nowMs: number): string | undefined {
  const name = podName(database.metadata.name, 0);
  const pod = pods.find(({ metadata }) => metadata.name === name);
  const { state } = patroni.members.find((member) => member.name === name) ?? {};
  if (!pod || !(nowMs - Date.parse(pod.metadata.creationTimestamp ?? "") >= unstartedMs)) return undefined;
  const trouble = podTrouble(pod);
  if (trouble?.reason === "Unschedulable") return undefined;
  if (trouble) return `${name} cannot run with the upgraded data: ${trouble.message}`;
  return failedStates.has(state ?? "") ? `${name} says "${state}" of the upgraded data` : undefined;
}

/** Why the upgrade is not begun: nothing is stopped for what is known beforehand. */
function obstacleOf(sight: Sight): string | undefined {
  const { database, patroni } = sight;
  const { problems } = settableParameters(database, presentParameters(patroni.config?.text));
  if (problems.length === 0) return undefined;
  return problems.map(({ name, reason }) => `spec.parameters.${name}: ${reason}`).join("; ");
}

/** With backups the time before the upgrade can be restored: one has to be there, and WAL has to arrive. */
function unsafeOf(sight: Sight): string | undefined {
  const { backups } = sight.database.spec;
  if (!backups) return undefined;
  const report = backupReport(sight, 0);
  if (report?.problem !== undefined) return `pgBackRest: ${report.problem}`;
  return report?.last ? undefined : "there is no backup yet";
}

/** What a person has to know or to mend. */
export function upgradeProblem(seen: UpgradeSeen | undefined): Problem | undefined {
  if (!seen) return undefined;
  const { from, to, obstacle, check, job, back } = seen;
  const goesOn = `spec.version: PostgreSQL ${from} goes on`;
  if (from > to) {
    const message =
      `${goesOn}: its data cannot go back to ${to}, restore a backup into a new Database instead`;
    return { reason: "Downgrade", message, stops: false };
  }
  if (back?.state === "failed") {
    return { reason: "UpgradeFailed", message: `spec.version: ${back.words.slice(0, 3000)}`, stops: false };
  }
  if (from === to) return undefined;
  const failed = [job, check].find((one) => one?.state === "failed" && one.current);
  if (failed) {
    const message = `${goesOn}, as the upgrade to ${to} failed: ${failed.words.slice(0, 3000)}`;
    return { reason: "UpgradeFailed", message, stops: false };
  }
  if (obstacle === undefined) return undefined;
  return { reason: "UpgradeBlocked", message: `${goesOn}, ${to} cannot run with ${obstacle}`, stops: false };
}

/** status.upgrade. */
export function upgradeStatus(
  sight: Sight,
  message: string,
  nowMs: number,
): DatabaseStatus["upgrade"] {
  const seen = upgradeOf(sight, nowMs);
  if (!seen) return undefined;
  const { check, job, back } = seen;
  const phase = phaseOf(seen);
  if (phase === undefined) return undefined;
  const [first] = [jobOf(sight, "check"), jobOf(sight, "run")].filter((one) => one !== undefined);
  const begun = first && orderOf(first).from;
  const failed = back ?? (job?.state === "failed" ? job : check);
  return {
    from: begun || sight.database.status?.upgrade?.from || seen.from,
    to: seen.to,
    phase,
    startedAt: first?.metadata?.creationTimestamp ?? sight.database.status?.upgrade?.startedAt,
    message: (phase === "Failed" ? failed?.words ?? "" : message).slice(0, 4000),
  };
}

function phaseOf(
  { from, to, check, job, back, unproven }: UpgradeSeen,
): NonNullable<DatabaseStatus["upgrade"]>["phase"] | undefined {
  if (from > to) return undefined;
  if (back) return "Failed";
  if (unproven) return "Starting";
  if (from === to) return job?.adopted ? "Replicating" : undefined;
  if (job?.state === "failed") return "Failed";
  if (job) return job.state === "suspended" ? "Stopping" : "Upgrading";
  if (check?.state === "failed") return "Failed";
  return check && "Checking";
}

/** The identifiers that the Job told; `undefined` when it told none, or of other data. */
export function upgraded(sight: Sight): { replaced: string; systemIdentifier: string } | undefined {
  const job = jobOf(sight, "run");
  try {
    const told = JSON.parse((job && lastWords(podsOf(job, sight.upgradePods))) ?? "null") as
      | Record<string, unknown>
      | null;
    const { replaced, systemIdentifier } = told ?? {};
    const isId = (id: unknown): id is string => typeof id === "string" && /^[0-9]{1,20}$/.test(id);
    if (!isId(replaced) || !isId(systemIdentifier) || replaced !== sight.patroni.config?.systemIdentifier) {
      return undefined;
    }
    return { replaced, systemIdentifier };
  } catch {
    return undefined; // not JSON: the Job is made again, and tells it again
  }
}
