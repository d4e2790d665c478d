/**
 * What was seen, as a decision needs it.
 * @module
 */
import { sizeOf } from "./database.ts";
import type { MemberSeen, Situation } from "./decide.ts";
import { annotation, claimName, container, namesOf, ordinalOf } from "./names.ts";
import type { Member } from "./observe.ts";
import { ordinalsOf } from "./stateful_set.ts";
import { standbyParameters } from "./scripts.ts";
import { isReloading, serverReport, type Sight } from "./sight.ts";
import { imageTrialOf } from "./image_trial.ts";
import { lastingTrouble } from "./trouble.ts";
import { upgradeOf } from "./upgrade.ts";

type Annotations = Readonly<Record<string, string | undefined>>;

/** What was seen, as a decision needs it. */
export function situationOf(sight: Sight, nowMs: number): Situation {
  const { database, statefulSet, patroni, configMaps } = sight;
  const { name } = database.metadata;
  const deleting = database.metadata.deletionTimestamp !== undefined;
  const failover: Annotations = configMaps.get(namesOf(name).failover)?.metadata?.annotations ?? {};
  const updated = statefulSet?.status?.updateRevision;
  // What members say waits for a restart may be of the configuration before.
  const reloading = isReloading(sight, nowMs);
  const deletedClaims = new Set(
    sight.claims.filter((claim) => claim.metadata.deletionTimestamp).map((claim) => claim.metadata.name),
  );
  const { runs, fits, tries } = serverReport(
    sight.pods.find((pod) => pod.metadata?.name === patroni.primary),
  );
  return {
    wanted: deleting ? 0 : sizeOf(database),
    deleting,
    ...ordinalsOf(statefulSet),
    settled: statefulSet?.status?.observedGeneration === statefulSet?.metadata?.generation,
    initialized: patroni.config?.systemIdentifier !== undefined,
    members: patroni.members.map((member): MemberSeen => {
      const pod = sight.pods.find((pod) => pod.metadata?.name === member.name);
      const waitsForPrimary = lowersForStandbys(member, patroni.members, runs);
      return {
        ...member,
        upToDate: updated !== undefined && member.revision === updated,
        pendingRestart: member.pendingRestart && !waitsForPrimary && !reloading,
        waitsForPrimary,
        isTrying: tries && patroni.members.length === 1 &&
          member.pendingParameters.some(({ name, to }) => fits[name] !== to),
        trouble: pod && lastingTrouble(pod, nowMs),
        serverRuns: pod?.status?.containerStatuses?.some((one) =>
          one.name === container && one.state?.running
        ) ??
          false,
        createdMs: Date.parse(pod?.metadata?.creationTimestamp ?? "") || undefined,
        losesData: deletedClaims.has(claimName(name, member.ordinal)),
      };
    }),
    primary: patroni.primary,
    ledMs: Date.parse(configMaps.get(namesOf(name).leader)?.metadata.annotations?.["renewTime"] ?? "") || 0,
    staleLock: patroni.leader && !patroni.leader.fresh ? patroni.leader : undefined,
    // Without synchronous members there is only Patroni's history, which begins with the first failover.
    lastPrimary: [patroni.sync?.leader, patroni.config?.promoted, patroni.config?.primary]
      .find((member) => member !== undefined && ordinalOf(name, member) !== undefined),
    durable: database.spec.durability !== "Async",
    // What another primary wrote is of before.
    synchronous: patroni.sync?.leader === patroni.primary ? patroni.sync?.standbys ?? [] : [],
    switchoverPending: isPending(failover, nowMs) && patroni.members.length > 0,
    switchoverAsked: askedOf(failover),
    patroniPaused: isPaused(patroni.config?.text),
    parameters: Object.keys(database.spec.parameters ?? {}),
    switchoverTo: database.status?.operations?.switchoverTo,
    upgrade: upgradeOf(sight, nowMs),
    imageTrial: imageTrialOf(sight, nowMs),
    nowMs,
  };
}

/** A request in ConfigMap `<name>-failover` that Patroni is to carry out now: one for later, of a person, holds up nobody. */
function isPending({ leader, member, scheduled_at: at }: Annotations, nowMs: number): boolean {
  return (leader !== undefined || member !== undefined) && !(Date.parse(at ?? "") > nowMs);
}

/** The switchover that this operator asked for last; see failover.ts. */
function askedOf(failover: Annotations): Situation["switchoverAsked"] {
  const [from, to, at] = (failover[annotation.asked] ?? "").split(" ");
  const atMs = Date.parse(at ?? "");
  return from && to && atMs ? { from, to, atMs } : undefined;
}

/**
 * True when a restart by the operator would do nothing: a parameter that a standby must have at least as high as its
 * primary is lowered, and the primary has not restarted yet. That one restarts in place (scripts.ts, `report`), then the
 * standbys are restarted as usual; before, they would start with the old value again.
 *
 * @param runs values that the primary runs with, as far as it has told
 */
export function lowersForStandbys(
  member: Member,
  members: readonly Member[],
  runs: Readonly<Record<string, unknown>> = {},
): boolean {
  const primary = members.find(({ role }) => role === "primary");
  const waits = (name: string, to: string) =>
    primary === undefined || lowered(primary).some((change) => change.name === name) ||
    (Object.hasOwn(runs, name) && Number(runs[name]) > Number(to));
  const changes = lowered(member);
  if (member === primary) return changes.length > 0;
  // Others that wait too are tried on the standbys first.
  return changes.length > 0 && changes.length === member.pendingParameters.length &&
    changes.some(({ name, to }) => waits(name, to));
}

function lowered({ pendingParameters }: Member): Member["pendingParameters"] {
  const sensitive: readonly string[] = standbyParameters;
  return pendingParameters.filter(({ name, from, to }) =>
    sensitive.includes(name) && Number(to) < Number(from)
  );
}

export function isPaused(config: string | undefined): boolean {
  try {
    return (JSON.parse(config ?? "{}") as { pause?: boolean } | null)?.pause === true;
  } catch {
    return true; // unreadable: nobody knows, so nothing disruptive
  }
}
