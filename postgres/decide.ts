/**
 * Decides: from what was seen to at most one step that might disturb somebody, as a pure function.
 *
 * The same situation leads to the same step, whatever woke the operator and however often it looks. What is missing,
 * unreadable or not fresh is `undefined` in a situation and leads to no step. A step never needs a second one to be
 * safe: each could be the last thing that this process does. It is one file, as the order of the rules is half of what
 * they say.
 * @module
 */

import { maximumLagBytes, timing } from "./dynamic_config.ts";
import type { ImageTrial } from "./image_trial.ts";
import { failedStates, type Member } from "./observe.ts";
import type { Ordinals } from "./stateful_set.ts";
import type { Trouble } from "./trouble.ts";
import type { UpgradeAction, UpgradeSeen } from "./upgrade.ts";

/** A member with what decisions need beyond Patroni's report. */
export interface MemberSeen
  extends Pick<Member, "name" | "ordinal" | "role" | "ready" | "terminating" | "streaming"> {
  /** Bytes behind the primary, as last told: some seconds old. */
  readonly lagBytes?: Member["lagBytes"];
  /** Patroni's word: "running", "start failed" ... */
  readonly state?: Member["state"];
  /** Made from the newest template. */
  readonly upToDate: boolean;
  /** A parameter waits for a restart, which is ours to make. */
  readonly pendingRestart: boolean;
  /** It waits for the primary to restart in place, which is not ours to make: a parameter of standbys is lowered. */
  readonly waitsForPrimary?: boolean;
  /** The parameters that wait are being tried beside it, as nobody else can try them: see trial.ts. */
  readonly isTrying?: boolean;
  /** The parameters that wait, with the value that runs and the one that will. */
  readonly pendingParameters?: Member["pendingParameters"];
  /** Why its containers cannot run, in the kubelet's or scheduler's words. */
  readonly trouble?: Trouble | undefined;
  /** The container of its server runs, whatever is the matter with those beside it. */
  readonly serverRuns?: boolean;
  /** When the pod was made. */
  readonly createdMs?: number;
  /** Its volume claim is deleted, and goes with the data as soon as the pod does. */
  readonly losesData?: boolean;
}

/** All that a decision depends on. */
export interface Situation {
  /** Members asked for; 0 also while the Database is deleted. */
  readonly wanted: number;
  /** The Database is being deleted: availability no longer counts, the data still does. */
  readonly deleting: boolean;
  /** The StatefulSet is told to run the members below this ordinal; undefined: there is no StatefulSet. */
  readonly replicas: number | undefined;
  /** The lowest ordinal that it is told to run: 0 unless the member that led last is alone. */
  readonly first?: number;
  /** The StatefulSet controller has seen the newest template and size. */
  readonly settled: boolean;
  /** There is data: it was initialized once. */
  readonly initialized: boolean;
  readonly members: readonly MemberSeen[];
  /** The member that holds the fresh leader lock and reports itself as primary. */
  readonly primary: string | undefined;
  /** A leader lock that nobody can trust, because its time is too long ago. */
  readonly staleLock: { readonly member: string } | undefined;
  /** When a lock was renewed last, in milliseconds since 1970. */
  readonly ledMs?: number;
  /** The member that led last, also when none runs. */
  readonly lastPrimary: string | undefined;
  /** Commits wait for a standby. */
  readonly durable: boolean;
  /** Members that have every acknowledged commit. */
  readonly synchronous: readonly string[];
  /** Patroni has been asked for a switchover and has not answered yet. */
  readonly switchoverPending: boolean;
  /** The switchover that this operator asked for last; Patroni may have dropped it. */
  readonly switchoverAsked?:
    | { readonly from: string; readonly to: string; readonly atMs: number }
    | undefined;
  /** Patroni's automation is off (`patronictl pause`). */
  readonly patroniPaused: boolean;
  /** Names of spec.parameters. */
  readonly parameters?: readonly string[];
  /** The member that a person asked to become the primary. */
  readonly switchoverTo: string | undefined;
  /** The upgrade to another major version that is asked for, under way or just over. */
  readonly upgrade?: UpgradeSeen | undefined;
  /** The trial of another image that is asked for, under way or just over. */
  readonly imageTrial?: ImageTrial | undefined;
  readonly nowMs: number;
}

/** What to do now, with its reason in a word for machines and a sentence for people. */
export type Step =
  & { readonly reason: string; readonly message: string }
  & (
    | { readonly kind: "done" }
    | { readonly kind: "wait" }
    | { readonly kind: "scale" } & Ordinals
    | { readonly kind: "restart"; readonly pod: string }
    | { readonly kind: "switchover"; readonly from: string; readonly to: string }
    | { readonly kind: "upgrade"; readonly action: UpgradeAction }
  );

/**
 * Longest wait, in milliseconds, for the member that led last to lead again before the others are started too. Where commits
 * wait for a standby Patroni knows who else has all of them; else one of the others would lead without the last ones.
 */
const wakeAloneMs = { durable: 60_000, async: 300_000 } as const;

/** A switchover that Patroni dropped is not asked for again at once, in milliseconds: two of its loops. */
const switchoverAgainMs = 2 * timing.loopWait * 1000;

/** The one step that comes next. Each rule either has one or leaves it to the next rule. */
export function decide(seen: Situation): Step {
  const step = exclude(seen) ?? create(seen) ?? beSeen(seen) ?? tryImage(seen) ?? repair(seen) ??
    settle(seen) ??
    relieve(seen) ?? goOffline(seen) ?? goBack(seen) ?? grow(seen) ?? shrink(seen) ?? heal(seen) ??
    synchronize(seen) ??
    awaitTrial(seen) ?? roll(seen) ?? upgrade(seen) ?? handOver(seen) ?? done(seen);
  return keepData(seen, step) ?? askLater(seen, step) ?? step;
}

function runs(ordinal: number, { replicas, first = 0 }: Ordinals): boolean {
  return ordinal >= first && ordinal < replicas;
}

/** A member whose claim is deleted is not stopped: the claim, and the data on it, would go with its pod. */
function keepData({ members, replicas = 0, first = 0, deleting }: Situation, step: Step): Step | undefined {
  if (deleting) return undefined;
  const stops = ({ name, ordinal }: MemberSeen) =>
    step.kind === "restart"
      ? step.pod === name
      : step.kind === "scale" && runs(ordinal, { replicas, first }) && !runs(ordinal, step);
  const kept = members.find((member) => member.losesData && stops(member));
  return kept && wait("ClaimDeleted", `${kept.name} is not stopped, as its data would go with it`);
}

/** Patroni drops a request that it cannot meet at that moment, without a word. */
function askLater({ switchoverAsked: asked, nowMs }: Situation, step: Step): Step | undefined {
  if (step.kind !== "switchover" || step.from !== asked?.from || step.to !== asked.to) return undefined;
  const agoMs = nowMs - asked.atMs;
  if (agoMs < 0 || agoMs >= switchoverAgainMs) return undefined;
  return wait(step.reason, `Patroni did not switch over to ${step.to}: it is asked again in a moment`);
}

/** While a Job may work on the data of the first member nobody is started, whatever else is asked for. */
function exclude({ upgrade, deleting }: Situation): Step | undefined {
  if (!upgrade || deleting) return undefined;
  const { from, to, job, back, busy, told } = upgrade;
  if (job && !job.adopted && (from >= to || !job.current)) {
    return act(
      "forget",
      `Removing the Job of an upgrade that is no longer asked for: PostgreSQL ${from} goes on`,
    );
  }
  if (job?.state === "running" && job.stuck && job.trouble) {
    return act("giveUp", `The upgrade cannot start: ${job.trouble.message}`);
  }
  if (job?.state === "running") return wait("Upgrading", `pg_upgrade makes PostgreSQL ${to} of ${from}`);
  if (back?.state === "running") {
    return wait(
      "Upgrading",
      `The upgrade to ${to} is taken back${back.trouble ? `: ${back.trouble.message}` : ""}`,
    );
  }
  if (busy) return wait("Upgrading", "A pod that works on the data has not ended yet");
  if (back && (!back.adopted || (back.state === "failed" && !back.current))) {
    return act("forgetBack", "The way back is over");
  }
  if (back?.state === "succeeded") {
    return act("return", "The data is of the version before the upgrade again");
  }
  if (job?.state !== "succeeded" || job.adopted) return undefined;
  if (told) return act("adopt", `The data is of PostgreSQL ${to} from now on`);
  return act("forget", "Nobody knows what the upgrade's Job has made: it is made again");
}

/** The Job is there, and runs when all members are gone: the replicas first, then the primary, from the first ordinal. */
function goOffline(seen: Situation): Step | undefined {
  const { upgrade: { job, back, from, to } = {}, members, replicas = 0, first = 0, lastPrimary, deleting } =
    seen;
  const isBack = back?.state === "suspended";
  if (!(isBack || job?.state === "suspended") || deleting) return undefined;
  // Another member that led meanwhile has more of the data than the first: it leads again, and hands over.
  if (first > 0 || (replicas === 0 && ordinalIn(lastPrimary ?? "") > 0)) return undefined;
  if (replicas === 0 && members.length === 0) {
    return act(
      "run",
      isBack ? `Taking the upgrade to ${to} back` : `Upgrading the data from PostgreSQL ${from} to ${to}`,
    );
  }
  const step = shrink({ ...seen, wanted: 0 });
  return step?.reason === "ScalingDown" ? { ...step, reason: "Upgrading" } : step;
}

/** The upgraded data does not start, and nobody has written to it: the old version serves again. */
function goBack({ upgrade, primary, replicas, deleting }: Situation): Step | undefined {
  const { unstarted, job, back } = upgrade ?? {};
  if (unstarted === undefined || !job?.adopted || back || primary || replicas !== 1 || deleting) {
    return undefined;
  }
  return act("goBack", unstarted);
}

/** A healthy Database whose version is to change: nothing stops before the new one was tried. */
function upgrade(seen: Situation): Step | undefined {
  const { primary, members, wanted } = seen;
  if (!seen.upgrade || !primary || wanted === 0) return undefined;
  const { from, to, check, job, obstacle, unsafe, settled } = seen.upgrade;
  if (from === to && (job || check) && (settled || !job)) return act("forget", "The upgrade is over");
  if (from >= to || obstacle !== undefined || job?.state === "failed") return undefined;
  if (!check) return act("check", `Trying PostgreSQL ${to} with the parameters, beside the members`);
  if (!check.current) return act("forget", "The upgrade is tried anew, as the Database was changed");
  if (check.state === "failed") return undefined;
  if (check.state !== "succeeded") {
    return check.trouble
      ? wait(
        check.trouble.reason,
        `spec.version: PostgreSQL ${from} goes on, ${to} cannot be tried: ${check.trouble.message}`,
      )
      : wait("Upgrading", `PostgreSQL ${to} is tried with the parameters, beside the members`);
  }
  if (unsafe !== undefined) return wait("Upgrading", `Not stopping for the upgrade to ${to} yet: ${unsafe}`);
  const first = members.find(({ ordinal }) => ordinal === 0);
  if (first?.name !== primary) {
    const to = successor(seen, ({ ordinal }) => ordinal === 0);
    if (!to) {
      return wait("Upgrading", "The first member is to lead before the upgrade, and cannot take over yet");
    }
    return switchover(primary, to, "Upgrading", `Switching over to ${to}, whose data is to be upgraded`);
  }
  return act("begin", `Stopping the members, to upgrade PostgreSQL ${from} to ${to}`);
}

function act(action: UpgradeAction, message: string): Step {
  return { kind: "upgrade", action, reason: "Upgrading", message };
}

/** Without a StatefulSet: one with all members where there is no data; where there is, first the one that led last. */
function create(seen: Situation): Step | undefined {
  if (seen.replicas !== undefined || seen.deleting) return undefined;
  // Members that outlived their StatefulSet are taken over, not stopped.
  const there = Math.max(0, ...seen.members.map((member) => member.ordinal + 1));
  if (there === 0) return start(seen);
  const replicas = Math.max(wake(seen).replicas, there);
  const message = `Creating ${replicas} of ${seen.wanted} members`;
  return { kind: "scale", replicas, reason: "Creating", message };
}

function start(seen: Situation): Step {
  const { initialized, wanted } = seen, members = wake(seen);
  const which = initialized ? `member ${members.first}, which led last` : `${wanted} members`;
  return { kind: "scale", ...members, reason: "Creating", message: `Starting ${which}` };
}

/** Data must be led by the member that has all of it: it starts before the others can elect one. */
function wake({ initialized, lastPrimary = "", wanted }: Situation): Ordinals {
  if (!initialized) return { replicas: wanted };
  // Also where fewer are wanted: it leads first, and then hands over to one of those that stay.
  const first = ordinalIn(lastPrimary);
  return { replicas: first + 1, first };
}

function ordinalIn(member: string): number {
  return Number(/\d+$/.exec(member)?.[0] ?? 0);
}

/** Before the StatefulSet controller has seen the newest template, nobody knows which members are stale. */
function beSeen({ settled, deleting }: Situation): Step | undefined {
  if (settled || deleting) return undefined;
  return wait("Progressing", "The StatefulSet controller has not seen the newest template yet");
}

/** Another image is tried beside the members, however they are: they may wait for this very one. */
function tryImage({ imageTrial: trial, deleting }: Situation): Step | undefined {
  if (!trial || deleting) return undefined;
  if (trial.state === "none") {
    return { ...act("try", `Trying image ${trial.image} beside the members`), reason: "RollingOut" };
  }
  if (trial.state !== "outdated") return undefined;
  return { ...act("forgetTrial", `The trial of image ${trial.image} is over`), reason: "RollingOut" };
}

/** What else is to be restarted for waits as long as the image may still come with it. */
function awaitTrial({ imageTrial: trial }: Situation): Step | undefined {
  if (trial?.state !== "running" || trial.trouble) return undefined;
  return wait("RollingOut", `Image ${trial.image} is tried beside the members`);
}

/**
 * A broken pod of an old template never heals by itself, and it is down already. One whose server still streams (only a
 * container beside it is broken) counts as serving: it goes when all the others serve. While nobody leads none streams, and
 * one whose server runs may be the next to lead.
 */
function repair({ members, deleting, primary }: Situation): Step | undefined {
  if (deleting) return undefined;
  const mayServe = ({ streaming, serverRuns, state }: MemberSeen) =>
    streaming || (primary === undefined && serverRuns === true && state === "running");
  const isDown = (member: MemberSeen) =>
    member.trouble !== undefined && !member.upToDate && !member.terminating && !member.ready &&
    (member.name !== primary || members.length === 1) &&
    (!mayServe(member) || members.every((other) => other === member || isServing(other)));
  const broken = members.find(isDown);
  if (!broken) return undefined;
  const message = `Replacing ${broken.name}, which cannot run (${
    broken.trouble!.reason
  }), by a pod of the new template`;
  return { kind: "restart", pod: broken.name, reason: "RollingOut", message };
}

/** A primary whose pod is not ready gets no connections, although it leads: one that can be reached leads instead. */
function relieve(seen: Situation): Step | undefined {
  const { members, primary, deleting } = seen;
  const leader = members.find((member) => member.name === primary);
  if (!primary || !leader?.trouble || leader.ready || deleting || unsynchronous(seen).length > 0) {
    return undefined;
  }
  const to = successor(seen, (member) => member.upToDate) ?? successor(seen, () => true);
  if (!to) return undefined;
  const message = `Switching over to ${to}: ${primary} cannot be reached (${leader.trouble.reason})`;
  return switchover(primary, to, "Degraded", message);
}

/** What is under way ends before anything else begins. */
function settle(seen: Situation): Step | undefined {
  if (seen.deleting) return undefined;
  if (seen.patroniPaused) return wait("Paused", "Patroni is paused: no member is restarted or switched over");
  if (seen.switchoverPending) return wait("SwitchingOver", "Patroni has been asked for a switchover");
  return undefined;
}

function grow(seen: Situation): Step | undefined {
  const { replicas = 0, first = 0, wanted, members } = seen;
  if (wanted === 0 || (replicas >= wanted && first === 0)) return undefined;
  if (replicas === 0) return start(seen);
  const oldestMs = Math.min(...members.map((member) => member.createdMs ?? seen.nowMs));
  // One that has just lost its primary is not one that wakes: those to come may have data of long ago.
  const { ledMs = 0 } = seen;
  const sinceMs = ledMs > seen.nowMs ? oldestMs : Math.max(oldestMs, ledMs);
  const { unproven } = seen.upgrade ?? {};
  const patienceMs = seen.durable ? wakeAloneMs.durable : wakeAloneMs.async;
  if (seen.initialized && !seen.primary && (unproven || !(seen.nowMs - sinceMs >= patienceMs))) {
    const troubled = members.find((member) => member.trouble);
    if (troubled?.trouble) return inTrouble(troubled.name, troubled.trouble);
    return wait(
      "Creating",
      members.length === 0
        ? `Starting with ${replicas - first} of ${wanted} members: the StatefulSet has made no pod yet`
        : `Starting with ${replicas - first} of ${wanted} members: waiting for a primary among them`,
    );
  }
  const all = Math.max(replicas, wanted);
  const message = `Starting ${all - replicas + first} more of ${wanted} members`;
  return { kind: "scale", replicas: all, reason: "ScalingUp", message };
}

/** The highest ordinals go, one at a time; the primary never with them, and nobody while one that stays is not well. */
function shrink(seen: Situation): Step | undefined {
  const { replicas = 0, first = 0, wanted, members, primary, deleting } = seen;
  if (replicas <= wanted) return leaving(seen);
  if (deleting) return stopAll(seen);
  const keep = Math.max(1, wanted);
  if (replicas - first === 1) {
    return {
      kind: "scale",
      replicas: 0,
      reason: "ScalingDown",
      message: "Stopping the last member: the data stays",
    };
  }
  const unwell = members.filter((member) => member.ordinal < keep && !isServing(member)).map((
    { name, trouble },
  ) => trouble ? `${name} (${trouble.reason})` : name);
  const missing = members.filter((member) => member.ordinal < keep).length < keep;
  if (unwell.length > 0 || missing || !primary) {
    const who = unwell.length > 0
      ? `${unwell.join(", ")} of those that stay is not serving`
      : "a primary is missing";
    return wait("Degraded", `Not scaling down from ${replicas} to ${wanted} while ${who}`);
  }
  const going = leaving(seen);
  if (going) return going;
  if (ordinalIn(primary) >= keep) {
    const to = successor(seen, (member) => member.ordinal < keep);
    if (!to || unsynchronous(seen).length > 0) {
      return wait("ScalingDown", `${primary} leads and those that stay cannot all take over yet`);
    }
    return switchover(primary, to, "ScalingDown", `Switching over to ${to}: ${primary} is to be scaled away`);
  }
  const late = unsynchronous({ ...seen, members: members.filter((member) => member.ordinal < keep) });
  if (late.length > 0) {
    const who = `${late.join(", ")} of those that stay is not synchronous`;
    return wait("Degraded", `Not scaling down from ${replicas} to ${wanted} while ${who}`);
  }
  const message = `Removing ${
    memberName(members, replicas - 1)
  }: ${wanted} of ${replicas} members are wanted`;
  return { kind: "scale", replicas: replicas - 1, reason: "ScalingDown", message };
}

/** The replicas stop first, whatever their ordinals, so that nobody is left without a commit of the primary when that stops. */
function stopAll(seen: Situation): Step {
  const { members, primary } = seen;
  const others = primary !== undefined && members.length > 1;
  const first = ordinalIn(primary ?? "");
  const rest = others ? { replicas: first + 1, first } : { replicas: 0 };
  const message = "Stopping the members, replicas first";
  return leaving(seen) ?? { kind: "scale", ...rest, reason: "Deleting", message };
}

/** Members that the StatefulSet is not told to run are on their way out. */
function leaving({ members, replicas = 0, first = 0, deleting, wanted }: Situation): Step | undefined {
  const going = members.filter(({ ordinal }) => !runs(ordinal, { replicas, first })).map(({ name }) => name);
  if (going.length === 0) return undefined;
  const reason = deleting ? "Deleting" : "ScalingDown";
  return wait(reason, `${going.join(", ")} ${wanted === 0 ? "stops" : "is being removed"}`);
}

/** Nothing is restarted while a member is missing or not serving: that would make two. */
function heal(
  { members, replicas: end = 0, first = 0, primary, initialized, staleLock, parameters = [] }: Situation,
): Step | undefined {
  const replicas = end - first;
  if (replicas === 0) return undefined;
  const unwell = members.filter((member) => !isServing(member));
  if (unwell.length === 0 && members.length >= replicas && primary) return undefined;
  const troubled = unwell.find((member) => member.trouble);
  if (troubled?.trouble) return inTrouble(troubled.name, troubled.trouble);
  if (!primary) {
    if (!initialized) return wait("Degraded", "The first member is being initialized");
    const failed = members.find(({ state }) => state !== undefined && failedStates.has(state));
    if (failed) {
      const names = parameters.length > 0 ? `, with ${parameters.join(", ")} of spec.parameters` : "";
      return wait("Degraded", `No member is the primary: ${failed.name} says "${failed.state}"${names}`);
    }
    const lock = staleLock ? `: the lock of ${staleLock.member} was not renewed in time` : "";
    return wait("Degraded", `No member is the primary${lock}`);
  }
  const who = unwell.length > 0
    ? unwell.map((member) => member.name).join(", ")
    : `${replicas - members.length} more`;
  const changes = pendingChanges(members);
  const tried = changes ? `; the others keep their parameters until then: ${changes}` : "";
  return wait("Degraded", `Waiting for ${who} to serve${tried}`);
}

function inTrouble(member: string, { reason, message }: Trouble): Step {
  return wait(reason, `${member} cannot run: ${message}`);
}

/**
 * Where commits wait for a standby, each that streams is synchronous again before the next step: a new primary begins with
 * the old one's list, and would take no write until the one member on it is back, which may be the old primary itself.
 */
function synchronize(seen: Situation): Step | undefined {
  const late = unsynchronous(seen);
  if (late.length === 0) return undefined;
  const message = late.length < seen.members.length - 1
    ? `Waiting for ${late.join(", ")} to be synchronous`
    : "No standby is synchronous yet: the loss of the primary would not be failed over";
  return wait("Degraded", message);
}

/** Replicas that stream and that commits do not count on yet, although they should. */
function unsynchronous({ durable, members, primary, synchronous }: Situation): string[] {
  if (!durable) return [];
  return members.filter((member) =>
    member.name !== primary && isServing(member) && !synchronous.includes(member.name)
  ).map((member) => member.name);
}

/** Stale members restart one at a time: replicas, the synchronous last among them, then, after a switchover, the primary. */
function roll(seen: Situation): Step | undefined {
  const { members, primary, synchronous } = seen;
  const stale = members.filter((member) => !member.upToDate || member.pendingRestart);
  if (stale.length === 0 || !primary) return undefined;
  const because = (member: MemberSeen) =>
    member.upToDate ? pendingChanges([member]) || "a parameter needs it" : "its template changed";
  const rank = (member: MemberSeen) => (synchronous.includes(member.name) ? 100 : 0) - member.ordinal;
  const [replica] = stale.filter((member) => member.name !== primary).toSorted((a, b) => rank(a) - rank(b));
  if (replica) {
    const message = `Restarting replica ${replica.name}: ${because(replica)}`;
    return { kind: "restart", pod: replica.name, reason: "RollingOut", message };
  }
  const last = stale[0]!;
  if (members.length === 1 && last.isTrying) {
    const what = pendingChanges([last]);
    return wait("RollingOut", `${last.name} tries on empty data, before it restarts: ${what}`);
  }
  if (members.length === 1) {
    return {
      kind: "restart",
      pod: last.name,
      reason: "RollingOut",
      message: `Restarting ${last.name}: ${because(last)}`,
    };
  }
  const to = successor(seen, (member) => member.upToDate && !member.pendingRestart);
  if (!to) return wait("RollingOut", `${last.name} is to restart and none of the others can take over yet`);
  return switchover(
    last.name,
    to,
    "RollingOut",
    `Switching over to ${to} before ${last.name} restarts: ${because(last)}`,
  );
}

/** What waits for a restart: "max_connections from 100 to 200". */
function pendingChanges(members: readonly MemberSeen[]): string {
  const changes = members.flatMap(({ pendingParameters = [] }) =>
    pendingParameters.map(({ name, from, to }) => `${name} from ${from} to ${to}`)
  );
  return [...new Set(changes)].join(", ");
}

/** What a person asked for. */
function handOver(seen: Situation): Step | undefined {
  const { switchoverTo: to, primary, members } = seen;
  if (!to || !primary || to === primary || !members.some((member) => member.name === to)) return undefined;
  if (successor(seen, (member) => member.name === to) === undefined) {
    return wait("SwitchingOver", `${to} was asked to lead and cannot take over yet`);
  }
  return switchover(primary, to, "SwitchingOver", `Switching over from ${primary} to ${to} as asked`);
}

/** Nothing to do. */
function done({ members, primary, wanted }: Situation): Step {
  if (wanted === 0) {
    return { kind: "done", reason: "Hibernated", message: "All members are stopped, the data is kept" };
  }
  if (members.some((member) => member.waitsForPrimary)) {
    return wait("RollingOut", `Waiting for ${primary} to restart in place: ${pendingChanges(members)}`);
  }
  const message = members.length === 1
    ? `${primary} serves`
    : `${primary} accepts writes, ${members.length - 1} ${
      members.length === 2 ? "replica streams" : "replicas stream"
    }`;
  return { kind: "done", reason: "Ready", message };
}

/**
 * The best member to lead next among those that `fits` lets through: synchronous where commits wait for one, and not too
 * far behind for Patroni, if there is such a one.
 */
export function successor(seen: Situation, fits: (member: MemberSeen) => boolean): string | undefined {
  const { members, primary, durable, synchronous } = seen;
  const [first] = members.filter((member) =>
    member.name !== primary && isServing(member) && fits(member) &&
    (!durable || synchronous.includes(member.name))
  ).toSorted((a, b) => Number(isBehind(a)) - Number(isBehind(b)) || a.ordinal - b.ordinal);
  return first?.name;
}

/** By the lag that Patroni allows a new leader. What is told is some seconds old: a member is passed over for it, not ruled out. */
function isBehind({ lagBytes = Infinity }: MemberSeen): boolean {
  return lagBytes > maximumLagBytes;
}

export function isServing(member: MemberSeen): boolean {
  return member.ready && !member.terminating && (member.role === "primary" || member.streaming);
}

export function wait(reason: string, message: string): Step {
  return { kind: "wait", reason, message };
}

/** What there is to tell while members have not taken over yet what was just written: nothing is done before they have. */
export function underWay(step: Step, what: string): Step {
  return step.kind === "done" ? wait("Progressing", what) : step;
}

function switchover(from: string, to: string, reason: string, message: string): Step {
  return { kind: "switchover", from, to, reason, message };
}

function memberName(members: readonly MemberSeen[], ordinal: number): string {
  return members.find((member) => member.ordinal === ordinal)?.name ?? `member ${ordinal}`;
}
