/**
 * The status of a Database: derived from what was seen, never remembered, and never better than the truth.
 * @module
 */

import type { DatabaseStatus, DatabaseStatusConditions } from "../types/app.example.com/v1.ts";
import { backupStatus } from "./backup_report.ts";
import { growingClaims } from "./claims.ts";
import { sizeOf } from "./database.ts";
import { isServing, type MemberSeen, type Step } from "./decide.ts";
import { annotation, memberSelector, namesOf, ordinalOf, selectorText } from "./names.ts";
import type { Member } from "./observe.ts";
import type { Problem, Sight } from "./sight.ts";
import { dataVersion, isReloading, serverReport } from "./sight.ts";
import { situationOf } from "./situation.ts";
import { upgradeStatus } from "./upgrade.ts";
import { parseVersion } from "./versions.ts";

/** A condition without what depends on the one before it. */
export type Claim = Pick<DatabaseStatusConditions, "type" | "status" | "reason" | "message">;

/** Reasons of a Database that is not Ready because it is doing what was asked for. */
export const expectedReasons: ReadonlySet<string> = new Set([
  "Creating",
  "Deleting",
  "Hibernated",
  "Paused",
  "Progressing",
  "RollingOut",
  "ScalingDown",
  "ScalingUp",
  "SwitchingOver",
  "Upgrading",
]);

/** Reasons that are called Creating in a Database that was never Ready. */
const unsettled: ReadonlySet<string> = new Set(["Degraded", "Progressing"]);

/** The longest message that crd.yaml takes. */
const messageLengthMax = 4096;

/**
 * What the conditions say. Blocked and Stalled are there only when a person has to act.
 *
 * Ready takes the reason of the first problem, else of the step; a Database that was never Ready is Creating where
 * one that was is Degraded.
 */
export function conditionsOf(sight: Sight, step: Step, problems: readonly Problem[], nowMs: number): Claim[] {
  const { members, wanted } = situationOf(sight, nowMs);
  const primary = members.find((member) => isServing(member) && member.role === "primary");
  const before = sight.database.status?.conditions?.find(({ type }) => type === "Ready");
  const isNew = before === undefined || before.reason === "Creating";
  const [problem] = problems.toSorted((a, b) => Number(b.stops) - Number(a.stops));
  const reason = problem?.reason ?? (isNew && unsettled.has(step.reason) ? "Creating" : step.reason);
  const message = problem ? problems.map((problem) => problem.message).join("; ") : step.message;
  const claim = (type: string, holds: boolean, reason: string, message: string): Claim => ({
    type,
    status: holds ? "True" : "False",
    reason,
    message: message.slice(0, messageLengthMax),
  });
  const available = primary
    ? claim("Available", true, "PrimaryServes", `${primary.name} accepts writes`)
    : wanted === 0
    ? claim("Available", false, "Hibernated", "No member runs")
    : claim("Available", false, "NoPrimary", "No member is the primary");
  return [
    claim("Ready", problem === undefined && step.kind === "done" && step.reason === "Ready", reason, message),
    available,
    claim("Progressing", problem === undefined && step.kind !== "done", reason, message),
    storageReady(sight, problems),
    // The second is the word of kstatus, which tools that apply manifests wait by.
    ...(problem && !expectedReasons.has(problem.reason)
      ? ["Blocked", "Stalled"].map((type) => claim(type, true, reason, message))
      : []),
  ];
}

/** Whether each member's volume is there, and as large as it should be. */
function storageReady(sight: Sight, problems: readonly Problem[]): Claim {
  const no = (reason: string, message: string): Claim => ({
    type: "StorageReady",
    status: "False",
    reason,
    message: message.slice(0, messageLengthMax),
  });
  const blamed = problems.filter(({ reason }) => storageProblems.has(reason));
  if (blamed[0]) return no(blamed[0].reason, blamed.map(({ message }) => message).join("; "));
  const { name } = sight.database.metadata, size = sizeOf(sight.database);
  const unbound = sight.claims.filter(({ metadata, status }) =>
    status?.phase !== "Bound" && ordinalOf(name, metadata.name)! < size
  ).map(({ metadata }) => metadata.name);
  if (unbound.length > 0) return no("Pending", `Waiting for the volume of ${unbound.join(", ")}`);
  const growing = growingClaims(sight);
  if (growing.length > 0) return no("Growing", `Waiting for the volume of ${growing.join(", ")} to grow`);
  if (sight.claims.length === 0) return no("Pending", "No claim was made yet");
  return {
    type: "StorageReady",
    status: "True",
    reason: "Bound",
    message: "Each member's volume has what it asks for",
  };
}

const storageProblems: ReadonlySet<string> = new Set(["ClaimDeleted", "StorageCannotGrow"]);

/** What members have not taken over yet of what was just written, as a sentence; nothing when they have. */
export function notTakenOver(
  sight: Sight,
  { rolls, reloads }: { readonly rolls: boolean; readonly reloads: boolean },
  nowMs: number,
): string | undefined {
  if (rolls) return "The StatefulSet was just written: its members are not known to be up to date yet";
  if (reloads || isReloading(sight, nowMs)) {
    return "The configuration was just changed: the members take it over";
  }
  const growing = growingClaims(sight);
  return growing.length > 0 ? `Waiting for the volume of ${growing.join(", ")} to grow` : undefined;
}

/**
 * Everything in the status but conditions, requests and users. No WAL positions: those change all the time.
 *
 * @param notAfterMs until when the members' certificate is valid, where this pass knows
 */
export function factsOf(
  sight: Sight,
  step: Step,
  { notAfterMs, nowMs }: { readonly notAfterMs?: number | undefined; readonly nowMs: number },
): Omit<DatabaseStatus, "conditions" | "operations"> {
  const { database, pods, patroni } = sight;
  const { members } = situationOf(sight, nowMs);
  const names = namesOf(database.metadata.name);
  const serving = members.filter(isServing);
  return {
    observedGeneration: database.metadata.generation,
    replicas: pods.length,
    readyReplicas: serving.length,
    selector: selectorText(memberSelector(database.metadata.name)),
    primary: serving.find((member) => member.role === "primary")?.name,
    version: versionOf(sight),
    systemIdentifier: patroni.config?.systemIdentifier ?? database.status?.systemIdentifier,
    timeline: patroni.timeline,
    service: names.service,
    secretName: names.credentials,
    certificate: notAfterMs === undefined
      ? database.status?.certificate
      : { notAfter: new Date(notAfterMs).toISOString().replace(".000Z", "Z") },
    backup: backupStatus(sight, nowMs),
    upgrade: upgradeStatus(sight, step.message, nowMs),
    members: members.map((member, index) =>
      memberStatus(member, patroni.members[index]!, patroni.sync?.standbys ?? [])
    ),
  };
}

/** Something to tell as an event of Kubernetes. */
export interface Transition {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly note: string;
  readonly action: string;
}

/** What is worth an event between the conditions before and those now. What a step does was told when it was taken. */
export function transitions(
  before: readonly Claim[] | undefined,
  conditions: readonly Claim[],
  step: Step,
): Transition[] {
  const changed = (type: string) => {
    const was = before?.find((condition) => condition.type === type);
    const is = conditions.find((condition) => condition.type === type);
    return is && { was, is, same: was?.status === is.status && was.reason === is.reason };
  };
  const told: Transition[] = [];
  const backups = changed("BackupHealthy");
  if (backups?.was && !backups.same) {
    const { status, reason, message } = backups.is;
    const type = status === "False" ? "Warning" : "Normal";
    told.push({ type, reason: `Backup${reason}`, note: message, action: "BackUp" });
  }
  const ready = changed("Ready");
  // What ends within a moment is not worth telling.
  if (!ready || ready.same || ready.is.reason === "Progressing") return told;
  if (step.kind !== "wait" && step.kind !== "done") return told;
  const { status, reason, message } = ready.is;
  const type = status === "True" || expectedReasons.has(reason) ? "Normal" : "Warning";
  return [...told, { type, reason, note: message, action: "Reconcile" }];
}

/** The version that runs: as the primary's server tells it, else as far as its pods say. */
function versionOf(sight: Sight): string | undefined {
  const { database, pods, patroni } = sight;
  const told = serverReport(pods.find((pod) => pod.metadata?.name === patroni.primary)).version;
  if (told !== undefined) return told;
  const before = database.status?.version, data = dataVersion(sight);
  const asked = new Set(pods.map((pod) => pod.metadata?.annotations?.[annotation.version]));
  const [version] = asked.size === 1 ? asked : [before];
  // A server that has just started has not told yet.
  if (version !== undefined && before?.startsWith(`${version}.`)) return before;
  return data && version !== undefined && parseVersion(version).major !== data.major
    ? String(data.major)
    : version;
}

function memberStatus(
  member: MemberSeen,
  report: Pick<Member, "state" | "timeline" | "pendingRestart" | "pendingParameters">,
  synchronous: readonly string[],
): NonNullable<DatabaseStatus["members"]>[number] {
  const word = member.terminating ? "stopping" : member.streaming ? "streaming" : report.state;
  return {
    name: member.name,
    role: member.role,
    state: member.trouble?.reason ?? word,
    timeline: report.timeline,
    ready: isServing(member),
    synchronous: member.role !== "primary" && synchronous.includes(member.name),
    pendingRestart: report.pendingRestart,
    upToDate: member.upToDate,
  };
}
