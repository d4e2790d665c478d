/**
 * How far a Job is that runs one program, and what it said or what keeps it from running.
 * @module
 */
import type { StoredJob } from "../types/batch/v1.ts";
import type { StoredPod } from "../types/core/v1.ts";
import { lastingTrouble, type Trouble } from "./trouble.ts";

/** A Job, from itself and its pods. */
export interface JobState {
  readonly state: "suspended" | "running" | "succeeded" | "failed";
  /** Why its pod cannot start. */
  readonly trouble?: Trouble | undefined;
  /** For how long its pod has waited, in milliseconds; when there is none, for how long the Job has. */
  readonly waitedMs: number;
  /** Its program's last words, newest pod first, else why the Job failed. */
  readonly words: string;
}

/** How long a Job may be without a pod, in milliseconds: a quota or a webhook refuses it, which only its events tell. */
export const noPodMs = 60_000;
/** How long a pod may be on its way before that is trouble, in milliseconds: an image of 1 GB takes two minutes. */
const startingMs = 300_000;

/** Where a Job is; one that is deleted is as it was. */
export function jobState(job: StoredJob, all: readonly StoredPod[], nowMs: number): JobState {
  const holds = (type: string) =>
    job.status?.conditions?.some((one) => one.type === type && one.status === "True") ?? false;
  const pods = podsOf(job, all);
  const state = holds("Complete")
    ? "succeeded"
    : holds("Failed")
    ? "failed"
    : job.spec?.suspend
    ? "suspended"
    : "running";
  const words = lastWords(pods) ?? job.status?.conditions?.find(({ type }) => type === "Failed")?.message ??
    "";
  return { state, words, ...(state === "running" ? waiting(job, pods, nowMs) : { waitedMs: 0 }) };
}

function waiting(
  job: StoredJob,
  pods: readonly StoredPod[],
  nowMs: number,
): Pick<JobState, "trouble" | "waitedMs"> {
  const sinceMs = (time: string | undefined) => nowMs - Date.parse(time ?? "") || 0;
  const pending = pods.find((pod) => pod.status?.phase === "Pending");
  if (pending) {
    const waitedMs = sinceMs(pending.metadata.creationTimestamp);
    const starting = { reason: "Pending", message: `pod ${pending.metadata.name} does not start` };
    return {
      trouble: lastingTrouble(pending, nowMs) ?? (waitedMs > startingMs ? starting : undefined),
      waitedMs,
    };
  }
  const waitedMs = sinceMs(job.status?.startTime);
  // The time of a pod that was killed is nowhere: the Job's own deadline bounds what comes after it.
  if (pods.length > 0 || job.status?.failed || waitedMs < noPodMs) return { waitedMs: 0 };
  const message = `no pod of Job ${job.metadata.name} could be made: see its events`;
  return { trouble: { reason: "NoPod", message }, waitedMs };
}

/** The pods of a Job. */
export function podsOf(job: StoredJob, all: readonly StoredPod[]): StoredPod[] {
  return all.filter((pod) => pod.metadata?.ownerReferences?.some(({ uid }) => uid === job.metadata?.uid));
}

/** What the first container said when it ended, newest pod first. */
export function lastWords(pods: readonly StoredPod[]): string | undefined {
  const newest = pods.toSorted((a, b) =>
    Date.parse(b.metadata?.creationTimestamp ?? "") - Date.parse(a.metadata?.creationTimestamp ?? "")
  );
  for (const { status } of newest) {
    const message = status?.containerStatuses?.[0]?.state?.terminated?.message?.trim();
    if (message) return message;
  }
  return undefined;
}
