/**
 * Reads what Patroni and the kubelet say about a Database's members into one picture.
 *
 * Who is primary is decided from the leader lock and the member's own report together, never from the pod's
 * label: a frozen or cut-off pod keeps its label. Whatever is missing or unreadable stays `undefined`, which means
 * "not known", and callers take no disruptive action on it.
 *
 * The texts come from annotations that anybody with write access may have changed: each field is taken only
 * when it has the expected type.
 * @module
 */
import { annotation, label, ordinalOf } from "./names.ts";

/** A pod, as far as it is read here. */
export interface PodView {
  readonly metadata?: {
    readonly name?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
  readonly status?: {
    readonly phase?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

/** A ConfigMap of Patroni: its state is in the annotations. */
export interface ConfigMapView {
  readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> };
}

/** One member, as seen. */
export interface Member {
  readonly name: string;
  readonly ordinal: number;
  readonly uid: string;
  /** The StatefulSet's revision that the pod was made from. */
  readonly revision: string | undefined;
  /** Ready by the kubelet: Patroni answers and PostgreSQL runs. */
  readonly ready: boolean;
  readonly terminating: boolean;
  /** By lock and report: "primary" for one member at most. */
  readonly role: "primary" | "replica" | "unknown";
  /** What Patroni wrote on the label, for comparison only. */
  readonly labelledRole: string | undefined;
  /** Patroni's word: running, starting, stopped, creating replica ... */
  readonly state: string | undefined;
  readonly timeline: number | undefined;
  /** WAL position in bytes: written on the primary, received on a replica. */
  readonly position: number | undefined;
  /** Bytes behind the primary's last known position; 0 on the primary. */
  readonly lagBytes: number | undefined;
  /** A replica that receives WAL now, on the primary's timeline. */
  readonly streaming: boolean;
  readonly pendingRestart: boolean;
  /** Parameters that wait for the restart, with the value that runs and the one that will. */
  readonly pendingParameters: readonly { name: string; from: string; to: string }[];
}

/** Patroni's words for a server that did not start, or ended by itself. */
export const failedStates: ReadonlySet<string> = new Set(["start failed", "crashed"]);

/** The leader lock. */
export interface Leader {
  readonly member: string;
  readonly ttlSeconds: number;
  readonly renewedMs: number;
  /** Milliseconds since the last renewal; below zero when the member's clock is ahead. */
  readonly ageMs: number;
  /** Renewed within its time to live. */
  readonly fresh: boolean;
  readonly transitions: number;
  /** The primary's WAL position at the last renewal. */
  readonly position: number | undefined;
}

/** The synchronous state. */
export interface SyncState {
  /** The primary that wrote it. */
  readonly leader: string | undefined;
  /** Members that may be promoted without losing an acknowledged write. */
  readonly standbys: readonly string[];
  /** How many of them each commit waits for; 0 when not in quorum mode or when none is there. */
  readonly quorum: number;
}

/** Patroni's configuration object. */
export interface ConfigState {
  /** PostgreSQL's system identifier: there as soon as the data was ever initialized. */
  readonly systemIdentifier: string | undefined;
  /** A member has begun to make the first data, and has not said that it is there. */
  readonly initializing?: boolean;
  /** Since when, in milliseconds, this operator sees nobody who makes that data. */
  readonly abandonedMs?: number;
  /** The annotation `config` as text, for {@link nextDynamicConfig}. */
  readonly text: string | undefined;
  /** The major version of the data, as this operator wrote it down. */
  readonly major?: number;
  /** The member that led last, likewise. */
  readonly primary?: string;
  /** The member that was promoted last, as Patroni wrote it down, also while this operator was away. */
  readonly promoted?: string;
  /** After an upgrade: the system identifiers of the data that was replaced by it. */
  readonly replaced?: readonly string[];
}

/** All of it. */
export interface Observed {
  readonly members: readonly Member[];
  readonly leader: Leader | undefined;
  readonly sync: SyncState | undefined;
  readonly config: ConfigState | undefined;
  /** Name of the member that holds a fresh lock and reports itself running as primary. */
  readonly primary: string | undefined;
  /** The primary's timeline. */
  readonly timeline: number | undefined;
}

/** What a pass of the reconciler has read: the pods of the Database and Patroni's ConfigMaps. */
export interface Seen {
  readonly pods: readonly PodView[];
  readonly leader?: ConfigMapView | undefined;
  readonly sync?: ConfigMapView | undefined;
  readonly config?: ConfigMapView | undefined;
}

/**
 * Puts together what was read in one pass.
 *
 * @param nowMs the time to judge the lock's age by, in milliseconds since 1970
 */
export function observe(name: string, seen: Seen, nowMs: number): Observed {
  const leader = observeLeader(seen.leader, nowMs);
  const reports = seen.pods.flatMap((pod) => {
    const ordinal = ordinalOf(name, pod.metadata?.name ?? "");
    return ordinal === undefined ? [] : [{ pod, ordinal, report: reportOf(pod) }];
  }).toSorted((a, b) => a.ordinal - b.ordinal);
  const holder = leader?.fresh ? reports.find(({ pod }) => pod.metadata?.name === leader.member) : undefined;
  const primary = holder && isPrimary(holder.report) && !holder.pod.metadata?.deletionTimestamp
    ? holder
    : undefined;
  const timeline = primary?.report.timeline;
  const head = greater(leader?.position, primary?.report.position);
  return {
    members: reports.map((one) => memberOf(one, one === primary, timeline, head)),
    leader,
    sync: observeSync(seen.sync),
    config: observeConfig(seen.config),
    primary: primary?.pod.metadata?.name,
    timeline,
  };
}

interface Report {
  readonly state: string | undefined;
  readonly role: string | undefined;
  readonly timeline: number | undefined;
  readonly position: number | undefined;
  readonly replicationState: string | undefined;
  readonly pendingRestart: boolean;
  readonly pendingParameters: readonly { name: string; from: string; to: string }[];
}

function memberOf(
  { pod, ordinal, report }: { pod: PodView; ordinal: number; report: Report },
  primary: boolean,
  timeline: number | undefined,
  head: number | undefined,
): Member {
  const labels = pod.metadata?.labels ?? {};
  const replica = !primary && report.role === "replica";
  return {
    name: pod.metadata?.name ?? "",
    ordinal,
    uid: pod.metadata?.uid ?? "",
    revision: labels["controller-revision-hash"],
    ready: pod.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false,
    terminating: pod.metadata?.deletionTimestamp !== undefined,
    role: primary ? "primary" : replica ? "replica" : "unknown",
    labelledRole: labels[label.role],
    state: report.state,
    timeline: report.timeline,
    position: report.position,
    lagBytes: head === undefined || report.position === undefined
      ? undefined
      : Math.max(0, head - report.position),
    streaming: replica && report.state === "running" && report.replicationState === "streaming" &&
      timeline !== undefined && report.timeline === timeline,
    pendingRestart: report.pendingRestart,
    pendingParameters: report.pendingParameters,
  };
}

function isPrimary(report: Report): boolean {
  return (report.role === "primary" || report.role === "master") && report.state === "running";
}

/** What a member wrote about itself into its annotation `status`. */
function reportOf(pod: PodView): Report {
  const status = jsonObject(pod.metadata?.annotations?.["status"]);
  const pending = asObject(status["pending_restart_reason"]);
  // PostgreSQL goes on to wait for a parameter that was set and taken back, which a restart would not change.
  const changes = Object.entries(pending).filter(([, change]) => {
    const { old_value: from, new_value: to } = asObject(change);
    return from === undefined || from !== to;
  });
  return {
    state: text(status["state"]),
    role: text(status["role"]),
    timeline: natural(status["timeline"]),
    position: natural(status["xlog_location"]),
    replicationState: text(status["replication_state"]),
    pendingRestart: status["pending_restart"] === true &&
      (changes.length > 0 || Object.keys(pending).length === 0),
    pendingParameters: changes.map(([name, change]) => {
      const { old_value: from, new_value: to } = asObject(change);
      return { name, from: scalar(from), to: scalar(to) };
    }),
  };
}

/** Reads the leader lock; `undefined` when nobody holds it or it cannot be read. */
export function observeLeader(configMap: ConfigMapView | undefined, nowMs: number): Leader | undefined {
  const annotations = configMap?.metadata?.annotations ?? {};
  const member = annotations["leader"];
  const renewedMs = Date.parse(annotations["renewTime"] ?? "");
  const ttlSeconds = Number(annotations["ttl"]);
  if (!member || !Number.isFinite(renewedMs) || !(ttlSeconds > 0)) return undefined;
  const ageMs = nowMs - renewedMs;
  return {
    member,
    ttlSeconds,
    renewedMs,
    ageMs,
    fresh: Math.abs(ageMs) <= ttlSeconds * 1000,
    transitions: digits(annotations["transitions"]) ?? 0,
    position: digits(annotations["optime"]),
  };
}

/** Reads who is synchronous; `undefined` when Patroni has not written it yet. */
export function observeSync(configMap: ConfigMapView | undefined): SyncState | undefined {
  const annotations = configMap?.metadata?.annotations;
  if (!annotations) return undefined;
  const standbys = (annotations["sync_standby"] ?? "").split(",").map((name) => name.trim()).filter(Boolean);
  return {
    leader: annotations["leader"] || undefined,
    standbys,
    quorum: digits(annotations["quorum"]) ?? 0,
  };
}

/** Reads Patroni's configuration object; `undefined` when there is none. */
export function observeConfig(configMap: ConfigMapView | undefined): ConfigState | undefined {
  const annotations = configMap?.metadata?.annotations;
  if (!annotations) return undefined;
  const initialize = annotations["initialize"];
  const { [annotation.major]: major = "", [annotation.replaced]: replaced = "" } = annotations;
  const abandonedMs = Date.parse(annotations[annotation.abandoned] ?? "");
  return {
    // While the first member is being initialized the annotation is there but empty.
    systemIdentifier: initialize && /^[0-9]{1,20}$/.test(initialize) ? initialize : undefined,
    ...(initialize === "" ? { initializing: true } : {}),
    ...(Number.isNaN(abandonedMs) ? {} : { abandonedMs }),
    text: annotations["config"],
    ...(/^[1-9][0-9]$/.test(major) ? { major: Number(major) } : {}),
    ...(annotations[annotation.primary] ? { primary: annotations[annotation.primary]! } : {}),
    ...promotedIn(annotations["history"]),
    ...(replaced === "" ? {} : { replaced: replaced.split(",").filter((id) => /^[0-9]{1,20}$/.test(id)) }),
  };
}

/** Of the last line of Patroni's history: timeline, position, reason, time, and the member that began the next timeline. */
function promotedIn(history: string | undefined): Pick<ConfigState, "promoted"> {
  try {
    const lines = JSON.parse(history ?? "[]") as unknown;
    const last: unknown = Array.isArray(lines) ? lines.at(-1) : undefined;
    const promoted = Array.isArray(last) ? text(last[4]) : undefined;
    return promoted === undefined ? {} : { promoted };
  } catch {
    return {}; // not JSON: Patroni writes it anew
  }
}

function jsonObject(source: string | undefined): Record<string, unknown> {
  if (source === undefined) return {};
  try {
    return asObject(JSON.parse(source));
  } catch {
    return {}; // not JSON: nothing is known about this member, which is what an empty report says
  }
}

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Record<string, unknown>
    : {};
}

/** A word of Patroni's, short enough for a status. */
function text(value: unknown): string | undefined {
  return typeof value === "string" && value.length > 0 ? value.slice(0, 63) : undefined;
}

function natural(value: unknown): number | undefined {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 ? value : undefined;
}

/** A whole number in an annotation; an empty one is none, not zero. */
function digits(value: string | undefined): number | undefined {
  return value !== undefined && /^[0-9]{1,20}$/.test(value) ? Number(value) : undefined;
}

function scalar(value: unknown): string {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean"
    ? String(value)
    : "";
}

function greater(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : Math.max(a, b);
}
