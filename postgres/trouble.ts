/**
 * Why a pod cannot run, in the words of the kubelet and the scheduler.
 * @module
 */

import { restoreFailure } from "./restore.ts";

/** A container's state, as far as it is read here. */
interface ContainerStatusView {
  readonly name?: string;
  readonly image?: string;
  readonly restartCount?: number;
  readonly state?: {
    readonly waiting?: { readonly reason?: string; readonly message?: string };
    readonly terminated?: { readonly reason?: string; readonly exitCode?: number; readonly message?: string };
  };
  readonly lastState?: {
    readonly terminated?: { readonly reason?: string; readonly exitCode?: number; readonly message?: string };
  };
}

/** A pod, as far as it is read here. */
export interface TroubledPodView {
  readonly metadata?: { readonly name?: string; readonly creationTimestamp?: string };
  readonly status?: {
    readonly phase?: string;
    readonly reason?: string;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason?: string;
      readonly message?: string;
    }[];
    readonly initContainerStatuses?: readonly ContainerStatusView[];
    readonly containerStatuses?: readonly ContainerStatusView[];
  };
}

/** One word for machines, a few for people. Both stay the same while the kubelet only tries again. */
export interface Trouble {
  readonly reason: string;
  readonly message: string;
}

/** Waiting reasons that end by themselves. */
const passing = new Set(["ContainerCreating", "PodInitializing"]);
/** The kubelet alternates between trying and waiting: one word for both. */
const alternating: Record<string, string> = { ErrImagePull: "ImagePullBackOff" };
/** Longest part of a container's last words that is passed on. */
const wordsLengthMax = 300;
const restoreLengthMax = 1000;

/** Why the pod cannot run, or `undefined` when it runs or is on its way. */
export function podTrouble(pod: TroubledPodView): Trouble | undefined {
  const { conditions = [], initContainerStatuses = [], containerStatuses = [], phase, reason } = pod.status ??
    {};
  const unscheduled = conditions.find(({ type, status }) => type === "PodScheduled" && status === "False");
  if (unscheduled?.reason === "Unschedulable") {
    return { reason: "Unschedulable", message: unscheduled.message ?? "No node fits" };
  }
  for (const container of [...initContainerStatuses, ...containerStatuses]) {
    const { waiting, terminated } = container.state ?? {};
    const ended = terminated ??
      (waiting?.reason === "CrashLoopBackOff" ? container.lastState?.terminated : undefined);
    if (waiting?.reason && !passing.has(waiting.reason)) {
      const word = restoreReason(ended) ?? alternating[waiting.reason] ?? waiting.reason;
      const what = word === "ImagePullBackOff" || word === "InvalidImageName"
        ? `image "${container.image ?? ""}" cannot be pulled`
        : lastWords(ended) ?? waiting.message ?? word;
      return { reason: word, message: `container ${container.name}: ${what}` };
    }
    if (ended?.exitCode) {
      return {
        reason: restoreReason(ended) ?? "CrashLoopBackOff",
        message: `container ${container.name}: ${lastWords(ended) ?? `exit code ${ended.exitCode}`}`,
      };
    }
  }
  return phase === "Failed"
    ? { reason: reason ?? "Failed", message: `the pod failed${reason ? `: ${reason}` : ""}` }
    : undefined;
}

/** A new pod waits for its volume: that it cannot be scheduled is trouble only when it lasts, in milliseconds. */
const schedulingMs = 15_000;

/** Why a pod cannot run, unless that is usual for its age. */
export function lastingTrouble(pod: TroubledPodView, nowMs: number): Trouble | undefined {
  const trouble = podTrouble(pod);
  const ageMs = nowMs - Date.parse(pod.metadata?.creationTimestamp ?? "");
  return trouble?.reason === "Unschedulable" && ageMs < schedulingMs ? undefined : trouble;
}

function restoreReason(ended: { readonly message?: string } | undefined): string | undefined {
  return ended?.message?.startsWith(restoreFailure) ? "RestoreFailed" : undefined;
}

/** What a container said last: its termination message, cut short and in one line. */
function lastWords(
  ended: { readonly message?: string; readonly reason?: string; readonly exitCode?: number } | undefined,
) {
  const words = ended?.message?.trim().replace(/\s+/g, " ");
  // A restore's words are a sentence that begins with what matters, a log ends with it.
  return (restoreReason(ended) ? words?.slice(0, restoreLengthMax) : words?.slice(-wordsLengthMax)) ||
    undefined;
}
