import { test } from "uvu";
import * as assert from "uvu/assert";
import { decide, type MemberSeen, type Situation, type Step } from "../../postgres/decide.ts";
import type { ImageTrial } from "../../postgres/image_trial.ts";
import type { Trouble } from "../../postgres/trouble.ts";
import type { JobSeen, UpgradeSeen } from "../../postgres/upgrade.ts";
import { Model, randomFrom } from "./decide_model.ts";

/** A healthy Database of three, with `db-0` leading; fields of `changes` differ. */
function situation(changes: Partial<Situation> = {}): Situation {
  return {
    wanted: 3,
    deleting: false,
    replicas: 3,
    settled: true,
    initialized: true,
    members: [member(0, { role: "primary", streaming: false }), member(1), member(2)],
    primary: "db-0",
    staleLock: undefined,
    lastPrimary: "db-0",
    durable: true,
    synchronous: ["db-1", "db-2"],
    switchoverPending: false,
    patroniPaused: false,
    switchoverTo: undefined,
    nowMs: 1_000_000,
    ...changes,
  };
}

function member(ordinal: number, changes: Partial<MemberSeen> = {}): MemberSeen {
  return {
    name: `db-${ordinal}`,
    ordinal,
    role: "replica",
    ready: true,
    terminating: false,
    streaming: true,
    upToDate: true,
    pendingRestart: false,
    createdMs: 0,
    ...changes,
  };
}

const leads = { role: "primary", streaming: false } as const;
const down = { ready: false, streaming: false, role: "unknown" } as const;
const old = { upToDate: false } as const;

/** What matters of a step: its kind, what it is about, and its reason. */
function brief(step: Step): string {
  const about = step.kind === "scale"
    ? ` to ${step.first ? `${step.first}..` : ""}${step.replicas}`
    : step.kind === "restart"
    ? ` ${step.pod}`
    : step.kind === "switchover"
    ? ` to ${step.to}`
    : step.kind === "upgrade"
    ? ` ${step.action}`
    : "";
  return `${step.kind}${about}: ${step.reason}`;
}

/** An upgrade from 15 to 17 with all that it needs; fields of `changes` differ. */
function upgrading(changes: Partial<UpgradeSeen> = {}): UpgradeSeen {
  return {
    from: 15,
    to: 17,
    busy: false,
    unproven: false,
    told: false,
    settled: true,
    ...changes,
  };
}

function job(state: JobSeen["state"], changes: Partial<JobSeen> = {}): JobSeen {
  return { state, current: true, stuck: false, adopted: false, words: "", ...changes };
}

const checked = job("succeeded");
/** Another image, and how far its trial is. */
const trial = (state: ImageTrial["state"], trouble?: Trouble): ImageTrial => ({
  state,
  image: "new",
  words: "",
  ...(trouble ? { trouble } : {}),
});
/** The Database stopped for an upgrade. */
const stopped = { replicas: 0, members: [], primary: undefined, synchronous: [] } as const;
const besideServer = { trouble: { reason: "CrashLoopBackOff", message: "container exporter: x" } } as const;
/** The member that led last is started before the others. */
const alone = { replicas: 2, first: 1, primary: undefined, lastPrimary: "db-1", synchronous: [] } as const;
/** It was stopped, and its data is of 17 now. */
const adopted = { from: 17, check: checked, job: job("succeeded", { adopted: true }) } as const;
/** Its first member does not come up with it. */
const stuck = { ...adopted, unproven: true, unstarted: "db-0 says no" } as const;
const starting = { replicas: 1, members: [member(0, down)], primary: undefined, synchronous: [] } as const;

const table: { rule: string; given: Partial<Situation>; want: string }[] = [
  { rule: "a healthy Database is left alone", given: {}, want: "done: Ready" },
  { rule: "another image is tried", given: { imageTrial: trial("none") }, want: "upgrade try: RollingOut" },
  {
    rule: "another image is tried when no member serves: they may wait for it",
    given: { imageTrial: trial("none"), members: [member(0, down)], primary: undefined },
    want: "upgrade try: RollingOut",
  },
  {
    rule: "no image is tried of a Database that goes",
    given: { imageTrial: trial("none"), deleting: true, wanted: 0 },
    want: "scale to 1: Deleting",
  },
  { rule: "a trial is waited for", given: { imageTrial: trial("running") }, want: "wait: RollingOut" },
  {
    rule: "no member restarts for something else while an image is tried that may come with it",
    given: { imageTrial: trial("running"), members: [member(0, leads), member(1, old), member(2)] },
    want: "wait: RollingOut",
  },
  {
    rule: "a broken pod of an old template is replaced meanwhile",
    given: {
      imageTrial: trial("running"),
      members: [
        member(0, leads),
        member(1, { ...old, ...down, trouble: { reason: "x", message: "y" } }),
        member(2),
      ],
    },
    want: "restart db-1: RollingOut",
  },
  {
    rule: "a server that runs is not stopped for what is broken beside it while nobody leads",
    given: {
      primary: undefined,
      members: [
        member(0, down),
        member(1, { ...old, ...down, ...besideServer, serverRuns: true, state: "running" }),
        member(2, { ...old, ...down, ...besideServer, serverRuns: true, state: "running" }),
      ],
    },
    want: "wait: CrashLoopBackOff",
  },
  {
    rule: "a server that does not run is replaced, whatever was said of it before",
    given: {
      primary: undefined,
      members: [
        member(0, down),
        member(1, { ...old, ...down, ...besideServer, serverRuns: false, state: "running" }),
        member(2),
      ],
    },
    want: "restart db-1: RollingOut",
  },
  {
    rule: "an image that cannot be pulled holds nothing else up",
    given: {
      imageTrial: trial("running", { reason: "ImagePullBackOff", message: "no" }),
      members: [member(0, leads), member(1, old), member(2)],
    },
    want: "restart db-1: RollingOut",
  },
  {
    rule: "an image that cannot run restarts nobody",
    given: { imageTrial: trial("failed") },
    want: "done: Ready",
  },
  {
    rule: "a trial that is over goes",
    given: { imageTrial: trial("outdated") },
    want: "upgrade forgetTrial: RollingOut",
  },
  {
    rule: "an upgrade begins with a check beside the members",
    given: { upgrade: upgrading() },
    want: "upgrade check: Upgrading",
  },
  {
    rule: "what is known to be wrong is not even tried",
    given: { upgrade: upgrading({ obstacle: "spec.parameters.x: unknown" }) },
    want: "done: Ready",
  },
  {
    rule: "no upgrade begins while a member is missing",
    given: { members: [member(0, leads), member(1)], upgrade: upgrading() },
    want: "wait: Degraded",
  },
  {
    rule: "no upgrade begins while the members roll",
    given: { members: [member(0, leads), member(1, old), member(2)], upgrade: upgrading({ check: checked }) },
    want: "restart db-1: RollingOut",
  },
  {
    rule: "a hibernated Database is not upgraded",
    given: { ...stopped, wanted: 0, upgrade: upgrading() },
    want: "done: Hibernated",
  },
  {
    rule: "nothing stops while the check runs",
    given: { upgrade: upgrading({ check: job("running") }) },
    want: "wait: Upgrading",
  },
  {
    rule: "nothing stops when the check's image cannot be had",
    given: {
      upgrade: upgrading({
        check: job("running", { trouble: { reason: "ImagePullBackOff", message: "it cannot" }, stuck: true }),
      }),
    },
    want: "wait: ImagePullBackOff",
  },
  {
    rule: "nothing stops after a check that failed",
    given: { upgrade: upgrading({ check: job("failed") }) },
    want: "done: Ready",
  },
  {
    rule: "a check of what is no longer asked for is made again",
    given: { upgrade: upgrading({ check: job("failed", { current: false }) }) },
    want: "upgrade forget: Upgrading",
  },
  {
    rule: "nothing stops while there is no way back",
    given: { upgrade: upgrading({ check: checked, unsafe: "there is no backup yet" }) },
    want: "wait: Upgrading",
  },
  {
    rule: "the first member leads before the members stop",
    given: {
      primary: "db-1",
      members: [member(0), member(1, leads), member(2)],
      synchronous: ["db-0", "db-2"],
      upgrade: upgrading({ check: checked }),
    },
    want: "switchover to db-0: Upgrading",
  },
  {
    rule: "the first member does not lead before it has every commit",
    given: {
      primary: "db-1",
      members: [member(0), member(1, leads), member(2)],
      synchronous: ["db-2"],
      upgrade: upgrading({ check: checked }),
    },
    want: "wait: Degraded",
  },
  {
    rule: "the suspended Job is what says that the members stop",
    given: { upgrade: upgrading({ check: checked }) },
    want: "upgrade begin: Upgrading",
  },
  {
    rule: "with it the replicas stop first",
    given: { upgrade: upgrading({ check: checked, job: job("suspended") }) },
    want: "scale to 2: Upgrading",
  },
  {
    rule: "the last one stops",
    given: {
      replicas: 1,
      members: [member(0, leads)],
      upgrade: upgrading({ check: checked, job: job("suspended") }),
    },
    want: "scale to 0: Upgrading",
  },
  {
    rule: "a primary that moved meanwhile moves back first",
    given: {
      replicas: 2,
      primary: "db-1",
      members: [member(0), member(1, leads)],
      synchronous: ["db-0"],
      upgrade: upgrading({ check: checked, job: job("suspended") }),
    },
    want: "switchover to db-0: Upgrading",
  },
  {
    rule: "the Job does not run while a member stops",
    given: {
      ...stopped,
      members: [member(0, { ...down, terminating: true })],
      upgrade: upgrading({ check: checked, job: job("suspended") }),
    },
    want: "wait: Upgrading",
  },
  {
    rule: "the Job runs when nobody is left",
    given: { ...stopped, upgrade: upgrading({ check: checked, job: job("suspended") }) },
    want: "upgrade run: Upgrading",
  },
  {
    rule: "nobody is started while the Job runs",
    given: { ...stopped, upgrade: upgrading({ check: checked, job: job("running"), busy: true }) },
    want: "wait: Upgrading",
  },
  {
    rule: "nobody is started while the Job runs, also when the StatefulSet is gone",
    given: { ...stopped, replicas: undefined, upgrade: upgrading({ job: job("running"), busy: true }) },
    want: "wait: Upgrading",
  },
  {
    rule: "a Job whose pod cannot start is given up",
    given: {
      ...stopped,
      upgrade: upgrading({
        job: job("running", { trouble: { reason: "ImagePullBackOff", message: "it cannot" }, stuck: true }),
      }),
    },
    want: "upgrade giveUp: Upgrading",
  },
  {
    rule: "nobody is started while a pod of a Job that is gone works on the data",
    given: { ...stopped, upgrade: upgrading({ busy: true }) },
    want: "wait: Upgrading",
  },
  {
    rule: "a Job that is no longer asked for goes, wherever it is",
    given: { ...stopped, upgrade: upgrading({ to: 15, job: job("running"), busy: true }) },
    want: "upgrade forget: Upgrading",
  },
  {
    rule: "the old version starts again when the Job is gone",
    given: { ...stopped, upgrade: upgrading({ to: 15 }) },
    want: "scale to 1: Creating",
  },
  {
    rule: "the old version starts again after a failure",
    given: { ...stopped, upgrade: upgrading({ check: checked, job: job("failed") }) },
    want: "scale to 1: Creating",
  },
  {
    rule: "a failed upgrade is not tried again by itself",
    given: { upgrade: upgrading({ check: checked, job: job("failed") }) },
    want: "done: Ready",
  },
  {
    rule: "a failed upgrade is tried again when asked for",
    given: { upgrade: upgrading({ check: checked, job: job("failed", { current: false }) }) },
    want: "upgrade forget: Upgrading",
  },
  {
    rule: "the upgraded data becomes the Database's before anybody is started",
    given: { ...stopped, upgrade: upgrading({ check: checked, job: job("succeeded"), told: true }) },
    want: "upgrade adopt: Upgrading",
  },
  {
    rule: "a Job that ended without a word is made again",
    given: { ...stopped, upgrade: upgrading({ check: checked, job: job("succeeded") }) },
    want: "upgrade forget: Upgrading",
  },
  {
    rule: "the first member starts alone with the upgraded data",
    given: { ...stopped, lastPrimary: undefined, upgrade: upgrading({ ...adopted, unproven: true }) },
    want: "scale to 1: Creating",
  },
  {
    rule: "no other is started before it leads, however long that takes",
    given: {
      replicas: 1,
      members: [member(0, { ...down, createdMs: 0 })],
      primary: undefined,
      upgrade: upgrading({ ...adopted, unproven: true }),
    },
    want: "wait: Creating",
  },
  {
    rule: "upgraded data that does not start is taken back",
    given: { ...starting, upgrade: upgrading(stuck) },
    want: "upgrade goBack: Upgrading",
  },
  {
    rule: "not while its member runs of an old template, which is replaced",
    given: {
      ...starting,
      members: [
        member(0, { ...down, upToDate: false, trouble: { reason: "ImagePullBackOff", message: "" } }),
      ],
      upgrade: upgrading(stuck),
    },
    want: "restart db-0: RollingOut",
  },
  {
    rule: "not while a person has paused Patroni",
    given: { ...starting, patroniPaused: true, upgrade: upgrading(stuck) },
    want: "wait: Paused",
  },
  {
    rule: "not once it leads",
    given: {
      replicas: 1,
      members: [member(0, leads)],
      synchronous: [],
      upgrade: upgrading(stuck),
    },
    want: "scale to 3: ScalingUp",
  },
  {
    rule: "not while the Database is deleted",
    given: { ...starting, deleting: true, wanted: 0, upgrade: upgrading(stuck) },
    want: "scale to 0: Deleting",
  },
  {
    rule: "the new version stops first",
    given: { ...starting, upgrade: upgrading({ ...stuck, back: job("suspended", { adopted: true }) }) },
    want: "scale to 0: Upgrading",
  },
  {
    rule: "and is gone",
    given: {
      ...starting,
      replicas: 0,
      upgrade: upgrading({ ...stuck, back: job("suspended", { adopted: true }) }),
    },
    want: "wait: Upgrading",
  },
  {
    rule: "then the way back is looked for",
    given: { ...stopped, upgrade: upgrading({ ...stuck, back: job("suspended", { adopted: true }) }) },
    want: "upgrade run: Upgrading",
  },
  {
    rule: "nobody is started meanwhile",
    given: {
      ...stopped,
      upgrade: upgrading({ ...stuck, busy: true, back: job("running", { adopted: true }) }),
    },
    want: "wait: Upgrading",
  },
  {
    rule: "nor while a pod of it is left",
    given: {
      ...stopped,
      upgrade: upgrading({ ...stuck, busy: true, back: job("succeeded", { adopted: true }) }),
    },
    want: "wait: Upgrading",
  },
  {
    rule: "the old data becomes the Database's again before anybody is started",
    given: { ...stopped, upgrade: upgrading({ ...stuck, back: job("succeeded", { adopted: true }) }) },
    want: "upgrade return: Upgrading",
  },
  {
    rule: "the Job of the way back goes at once",
    given: {
      ...stopped,
      upgrade: upgrading({ check: checked, job: job("failed"), told: true, back: job("succeeded") }),
    },
    want: "upgrade forgetBack: Upgrading",
  },
  {
    rule: "and the member that led last starts first",
    given: {
      ...stopped,
      lastPrimary: "db-0",
      upgrade: upgrading({ check: checked, job: job("failed"), told: true }),
    },
    want: "scale to 1: Creating",
  },
  {
    rule: "where there is no way back the new version goes on to be started",
    given: {
      ...stopped,
      lastPrimary: "db-0",
      upgrade: upgrading({ ...stuck, back: job("failed", { adopted: true }) }),
    },
    want: "scale to 1: Creating",
  },
  {
    rule: "and no way back is looked for again",
    given: { ...starting, upgrade: upgrading({ ...stuck, back: job("failed", { adopted: true }) }) },
    want: "wait: Creating",
  },
  {
    rule: "unless it is asked for",
    given: {
      ...starting,
      upgrade: upgrading({ ...stuck, back: job("failed", { adopted: true, current: false }) }),
    },
    want: "upgrade forgetBack: Upgrading",
  },
  {
    rule: "the others follow once it leads",
    given: {
      replicas: 1,
      members: [member(0, leads)],
      synchronous: [],
      upgrade: upgrading({ ...adopted, unproven: true }),
    },
    want: "scale to 3: ScalingUp",
  },
  {
    rule: "the Jobs go when all serve",
    given: { upgrade: upgrading(adopted) },
    want: "upgrade forget: Upgrading",
  },
  {
    rule: "but not before the backup that comes after it",
    given: { upgrade: upgrading({ ...adopted, settled: false }) },
    want: "done: Ready",
  },
  {
    rule: "a Database that is deleted does not wait for its upgrade",
    given: { deleting: true, wanted: 0, upgrade: upgrading({ check: checked, job: job("suspended") }) },
    want: "scale to 1: Deleting",
  },
  {
    rule: "a version that cannot go down changes nothing",
    given: { upgrade: upgrading({ from: 17, to: 15 }) },
    want: "done: Ready",
  },
  {
    rule: "a new Database starts with all members",
    given: {
      replicas: undefined,
      members: [],
      initialized: false,
      primary: undefined,
      lastPrimary: undefined,
    },
    want: "scale to 3: Creating",
  },
  {
    rule: "a re-created Database starts with the member that led last, alone",
    given: { replicas: undefined, members: [], primary: undefined, lastPrimary: "db-1", wanted: 3 },
    want: "scale to 1..2: Creating",
  },
  {
    rule: "a Database re-created smaller starts with the member that led last, too",
    given: { replicas: undefined, members: [], primary: undefined, lastPrimary: "db-2", wanted: 1 },
    want: "scale to 2..3: Creating",
  },
  {
    rule: "a Database woken smaller does so, too",
    given: { ...stopped, lastPrimary: "db-2", wanted: 1 },
    want: "scale to 2..3: Creating",
  },
  {
    rule: "members that outlived the StatefulSet are not stopped for the one that led last",
    given: {
      replicas: undefined,
      members: [member(0), member(1)],
      primary: undefined,
      lastPrimary: "db-2",
    },
    want: "scale to 3: Creating",
  },
  {
    rule: "the others wait until the one that led last leads",
    given: { ...alone, members: [member(1, { ...down, createdMs: 950_000 })] },
    want: "wait: Creating",
  },
  {
    rule: "the others start when it leads",
    given: { ...alone, primary: "db-1", members: [member(1, leads)] },
    want: "scale to 3: ScalingUp",
  },
  {
    rule: "those below it start when it leads, also where it is to be scaled away",
    given: { ...alone, primary: "db-1", members: [member(1, leads)], wanted: 1 },
    want: "scale to 2: ScalingUp",
  },
  {
    rule: "the others start after a minute without it, as Patroni knows which of them have every commit",
    given: { ...alone, members: [member(1, { ...down, createdMs: 930_000 })] },
    want: "scale to 3: ScalingUp",
  },
  {
    rule: "members do not come, maybe with data of long ago, to one that has just lost its primary",
    given: {
      replicas: 1,
      durable: false,
      primary: undefined,
      members: [member(0, { ...down, createdMs: 0 })],
      ledMs: 980_000,
    },
    want: "wait: Creating",
  },
  {
    rule: "a lock from the future holds nobody up for longer",
    given: {
      replicas: 1,
      primary: undefined,
      members: [member(0, { ...down, createdMs: 0 })],
      ledMs: 2_000_000,
    },
    want: "scale to 3: ScalingUp",
  },
  {
    rule: "they come when nobody has led for long",
    given: {
      replicas: 1,
      primary: undefined,
      members: [member(0, { ...down, createdMs: 0 })],
      ledMs: 930_000,
    },
    want: "scale to 3: ScalingUp",
  },
  {
    rule: "nobody is removed while one that stays is not synchronous",
    given: { wanted: 2, synchronous: ["db-2"] },
    want: "wait: Degraded",
  },
  {
    rule: "that one that goes is not synchronous holds nobody up",
    given: { wanted: 2, synchronous: ["db-1"] },
    want: "scale to 2: ScalingDown",
  },
  {
    rule: "where commits wait for nobody it is waited for longer",
    given: { ...alone, durable: false, members: [member(1, { ...down, createdMs: 930_000 })] },
    want: "wait: Creating",
  },
  {
    rule: "where commits wait for nobody it is not waited for for ever",
    given: { ...alone, durable: false, members: [member(1, { ...down, createdMs: 690_000 })] },
    want: "scale to 3: ScalingUp",
  },
  {
    rule: "a Database that is put to sleep again before the others have started stops",
    given: { ...alone, wanted: 0, primary: "db-1", members: [member(1, leads)] },
    want: "scale to 0: ScalingDown",
  },
  {
    rule: "data of the first member is not upgraded when another one led last",
    given: { ...stopped, lastPrimary: "db-1", upgrade: upgrading({ check: checked, job: job("suspended") }) },
    want: "scale to 1..2: Creating",
  },
  {
    rule: "that one hands over before the upgrade goes on",
    given: {
      ...alone,
      primary: "db-1",
      members: [member(1, leads)],
      upgrade: upgrading({ check: checked, job: job("suspended") }),
    },
    want: "scale to 3: ScalingUp",
  },
  {
    rule: "there the one that led last hands over before it goes",
    given: {
      wanted: 1,
      primary: "db-2",
      members: [member(0), member(1), member(2, leads)],
      synchronous: ["db-0", "db-1"],
    },
    want: "switchover to db-0: ScalingDown",
  },
  {
    rule: "a woken Database tells why its first member cannot run",
    given: {
      replicas: 1,
      primary: undefined,
      members: [
        member(0, { ...down, createdMs: 990_000, trouble: { reason: "Unschedulable", message: "no node" } }),
      ],
    },
    want: "wait: Unschedulable",
  },
  {
    rule: "so does one with upgraded data",
    given: {
      replicas: 1,
      primary: undefined,
      members: [member(0, { ...down, trouble: { reason: "Unschedulable", message: "no node" } })],
      upgrade: upgrading({ ...adopted, unproven: true }),
    },
    want: "wait: Unschedulable",
  },
  {
    rule: "a woken Database waits for its first pod to be made",
    given: { replicas: 1, primary: undefined, members: [] },
    want: "wait: Creating",
  },
  {
    rule: "an old pod whose scheduler never found a node counts from when it was made",
    given: { replicas: 1, primary: undefined, members: [member(0, { ...down, createdMs: 0 })] },
    want: "scale to 3: ScalingUp",
  },
  {
    rule: "a woken Database adds the others once a primary is there",
    given: { replicas: 1, members: [member(0, leads)], synchronous: [] },
    want: "scale to 3: ScalingUp",
  },
  {
    rule: "a woken Database waits for its first member",
    given: { replicas: 1, members: [member(0, { ...down, createdMs: 990_000 })], primary: undefined },
    want: "wait: Creating",
  },
  {
    rule: "the others, which may be ahead, are started when the first does not lead within a minute",
    given: { replicas: 1, members: [member(0, { ...down, createdMs: 930_000 })], primary: undefined },
    want: "scale to 3: ScalingUp",
  },
  {
    rule: "scaling down removes one at a time, the highest",
    given: { wanted: 1 },
    want: "scale to 2: ScalingDown",
  },
  {
    rule: "scaling down switches over first when the primary is among those that go",
    given: {
      wanted: 2,
      primary: "db-2",
      members: [member(0), member(1), member(2, leads)],
      synchronous: ["db-0", "db-1"],
    },
    want: "switchover to db-0: ScalingDown",
  },
  {
    rule: "scaling down waits for the next standby to be synchronous before it switches over",
    given: { wanted: 2, primary: "db-2", members: [member(0), member(1), member(2, leads)], synchronous: [] },
    want: "wait: ScalingDown",
  },
  {
    rule: "nothing is removed while a low ordinal is broken",
    given: { wanted: 2, members: [member(0, leads), member(1, down), member(2)] },
    want: "wait: Degraded",
  },
  {
    rule: "nothing is removed while a low ordinal is missing",
    given: { wanted: 2, members: [member(0, leads), member(2)] },
    want: "wait: Degraded",
  },
  {
    rule: "a member that is to go and is broken goes all the same",
    given: { wanted: 2, members: [member(0, leads), member(1), member(2, down)] },
    want: "scale to 2: ScalingDown",
  },
  {
    rule: "hibernating goes down to the first member, one at a time",
    given: { wanted: 0 },
    want: "scale to 2: ScalingDown",
  },
  {
    rule: "hibernating stops the last member last",
    given: { wanted: 0, replicas: 1, members: [member(0, leads)] },
    want: "scale to 0: ScalingDown",
  },
  {
    rule: "a hibernated Database is left alone",
    given: { wanted: 0, replicas: 0, members: [], primary: undefined },
    want: "done: Hibernated",
  },
  {
    rule: "deleting stops the replicas first, below the primary and above it",
    given: { wanted: 0, deleting: true, primary: "db-1", members: [member(0), member(1, leads), member(2)] },
    want: "scale to 1..2: Deleting",
  },
  {
    rule: "deleting waits until they are gone",
    given: { ...alone, wanted: 0, deleting: true, primary: "db-1", members: [member(0), member(1, leads)] },
    want: "wait: Deleting",
  },
  {
    rule: "deleting stops the primary last",
    given: { ...alone, wanted: 0, deleting: true, primary: "db-1", members: [member(1, leads)] },
    want: "scale to 0: Deleting",
  },
  {
    rule: "deleting then stops the rest, however unwell",
    given: {
      wanted: 0,
      deleting: true,
      replicas: 2,
      primary: undefined,
      members: [member(0, down), member(1, down)],
    },
    want: "scale to 0: Deleting",
  },
  {
    rule: "a roll restarts a replica before the primary",
    given: { members: [member(0, { ...leads, ...old }), member(1, old), member(2, old)] },
    want: "restart db-2: RollingOut",
  },
  {
    rule: "a roll switches over before it restarts the old primary",
    given: { members: [member(0, { ...leads, ...old }), member(1), member(2)] },
    want: "switchover to db-1: RollingOut",
  },
  {
    rule: "a roll with durability Async switches over to any that streams",
    given: {
      durable: false,
      members: [member(0, { ...leads, ...old }), member(1), member(2)],
      synchronous: [],
    },
    want: "switchover to db-1: RollingOut",
  },
  {
    rule: "a roll stops while any member is not serving",
    given: { members: [member(0, leads), member(1, down), member(2, old)] },
    want: "wait: Degraded",
  },
  {
    rule: "a roll stops while a member is missing",
    given: { members: [member(0, leads), member(2, old)] },
    want: "wait: Degraded",
  },
  {
    rule: "a broken pod of the newest template stops the roll and names its trouble",
    given: {
      members: [
        member(0, { ...leads, ...old }),
        member(1, old),
        member(2, { ...down, trouble: { reason: "ImagePullBackOff", message: "it cannot" } }),
      ],
    },
    want: "wait: ImagePullBackOff",
  },
  {
    rule: "a broken pod of an old template is replaced first",
    given: {
      members: [
        member(0, { ...leads, ...old }),
        member(1, old),
        member(2, { ...down, ...old, trouble: { reason: "ImagePullBackOff", message: "it cannot" } }),
      ],
    },
    want: "restart db-2: RollingOut",
  },
  {
    rule: "an only member with a broken container of an old template is replaced, although it leads",
    given: {
      wanted: 1,
      replicas: 1,
      synchronous: [],
      members: [
        member(0, {
          ...leads,
          ...old,
          ready: false,
          trouble: { reason: "CrashLoopBackOff", message: "it ends" },
        }),
      ],
    },
    want: "restart db-0: RollingOut",
  },
  {
    rule: "an only member with a broken container of the newest template is not",
    given: {
      wanted: 1,
      replicas: 1,
      synchronous: [],
      members: [
        member(0, { ...leads, ready: false, trouble: { reason: "CrashLoopBackOff", message: "it ends" } }),
      ],
    },
    want: "wait: CrashLoopBackOff",
  },
  {
    rule: "a primary that leads and cannot be reached hands over",
    given: {
      members: [
        member(0, { ...leads, ready: false, trouble: { reason: "CrashLoopBackOff", message: "it ends" } }),
        member(1),
        member(2),
      ],
    },
    want: "switchover to db-1: Degraded",
  },
  {
    rule: "it hands over to a member of the newest template, if there is one",
    given: {
      members: [
        member(0, {
          ...leads,
          ...old,
          ready: false,
          trouble: { reason: "CrashLoopBackOff", message: "it ends" },
        }),
        member(1, old),
        member(2),
      ],
    },
    want: "switchover to db-2: Degraded",
  },
  {
    rule: "it does not hand over while Patroni is paused",
    given: {
      patroniPaused: true,
      members: [
        member(0, { ...leads, ready: false, trouble: { reason: "CrashLoopBackOff", message: "it ends" } }),
        member(1),
        member(2),
      ],
    },
    want: "wait: Paused",
  },
  {
    rule: "a member that streams, with a broken container beside it, is not replaced while another is down",
    given: {
      members: [
        member(0, leads),
        member(1, { ...old, ready: false, trouble: { reason: "CrashLoopBackOff", message: "it ends" } }),
        member(2, down),
      ],
    },
    want: "wait: CrashLoopBackOff",
  },
  {
    rule: "it is replaced while all the others serve",
    given: {
      members: [
        member(0, leads),
        member(1, { ...old, ready: false, trouble: { reason: "CrashLoopBackOff", message: "it ends" } }),
        member(2),
      ],
    },
    want: "restart db-1: RollingOut",
  },
  {
    rule: "a member whose claim is deleted is not restarted: its data would go",
    given: {
      wanted: 1,
      replicas: 1,
      synchronous: [],
      members: [member(0, { ...leads, ...old, losesData: true })],
    },
    want: "wait: ClaimDeleted",
  },
  {
    rule: "nor is it stopped to hibernate",
    given: { wanted: 0, replicas: 1, synchronous: [], members: [member(0, { ...leads, losesData: true })] },
    want: "wait: ClaimDeleted",
  },
  {
    rule: "others are added to it",
    given: { replicas: 1, synchronous: [], members: [member(0, { ...leads, losesData: true })] },
    want: "scale to 3: ScalingUp",
  },
  {
    rule: "a Database that is deleted does not wait for a claim that is deleted",
    given: { wanted: 0, deleting: true, members: [member(0, { ...leads, losesData: true })], replicas: 1 },
    want: "scale to 0: Deleting",
  },
  {
    rule: "deleting waits for members that go already",
    given: { wanted: 0, deleting: true, replicas: 1 },
    want: "wait: Deleting",
  },
  {
    rule: "a switchover goes to a member that is not too far behind",
    given: {
      durable: false,
      members: [
        member(0, { ...leads, ...old }),
        member(1, { lagBytes: 5_000_000 }),
        member(2, { lagBytes: 900_000 }),
      ],
    },
    want: "switchover to db-2: RollingOut",
  },
  {
    rule: "it is asked for all the same when all seem far behind: what is told is old",
    given: {
      durable: false,
      members: [member(0, { ...leads, ...old }), member(1, { lagBytes: 5_000_000 }), member(2)],
    },
    want: "switchover to db-1: RollingOut",
  },
  {
    rule: "a switchover that Patroni dropped is not asked for again at once",
    given: { switchoverTo: "db-2", switchoverAsked: { from: "db-0", to: "db-2", atMs: 995_000 } },
    want: "wait: SwitchingOver",
  },
  {
    rule: "it is after a while",
    given: { switchoverTo: "db-2", switchoverAsked: { from: "db-0", to: "db-2", atMs: 990_000 } },
    want: "switchover to db-2: SwitchingOver",
  },
  {
    rule: "another one is asked for at once",
    given: { switchoverTo: "db-2", switchoverAsked: { from: "db-1", to: "db-0", atMs: 999_000 } },
    want: "switchover to db-2: SwitchingOver",
  },
  {
    rule: "a single member restarts in place",
    given: { wanted: 1, replicas: 1, members: [member(0, { ...leads, ...old })], synchronous: [] },
    want: "restart db-0: RollingOut",
  },
  {
    rule: "a parameter that waits for a restart rolls",
    given: { members: [member(0, leads), member(1), member(2, { pendingRestart: true })] },
    want: "restart db-2: RollingOut",
  },
  {
    rule: "a requested switchover is asked of Patroni",
    given: { switchoverTo: "db-2" },
    want: "switchover to db-2: SwitchingOver",
  },
  {
    rule: "a requested switchover that has happened is nothing more to do",
    given: { switchoverTo: "db-0" },
    want: "done: Ready",
  },
  {
    rule: "a requested switchover to a member without every commit waits",
    given: { switchoverTo: "db-2", synchronous: ["db-1"] },
    want: "wait: Degraded",
  },
  {
    rule: "nothing is asked of Patroni twice",
    given: { switchoverTo: "db-2", switchoverPending: true },
    want: "wait: SwitchingOver",
  },
  {
    rule: "nothing is done before the StatefulSet controller has seen the newest template",
    given: { settled: false, members: [member(0, { ...leads, ...old }), member(1, old), member(2, old)] },
    want: "wait: Progressing",
  },
  {
    rule: "nothing is restarted while Patroni is paused",
    given: {
      patroniPaused: true,
      members: [member(0, { ...leads, ...old }), member(1, old), member(2, old)],
    },
    want: "wait: Paused",
  },
  {
    rule: "without a primary nothing is restarted",
    given: {
      primary: undefined,
      members: [member(0, { ...old, role: "unknown", streaming: false }), member(1), member(2)],
    },
    want: "wait: Degraded",
  },
  {
    rule: "an only member restarts after what waits was tried",
    given: {
      wanted: 1,
      replicas: 1,
      synchronous: [],
      members: [member(0, { ...leads, pendingRestart: true, isTrying: true })],
    },
    want: "wait: RollingOut",
  },
  {
    rule: "with durability Sync a Database without a synchronous standby is not Ready",
    given: { synchronous: [] },
    want: "wait: Degraded",
  },
  {
    rule: "with durability Async it is",
    given: { synchronous: [], durable: false },
    want: "done: Ready",
  },
  {
    rule: "with durability Sync a Database with a standby that is not synchronous is not Ready",
    given: { synchronous: ["db-2"] },
    want: "wait: Degraded",
  },
  {
    rule:
      "a roll switches over when all standbys are synchronous: the next primary waits for any, not for the old one",
    given: { members: [member(0, { ...leads, ...old }), member(1), member(2)], synchronous: ["db-1"] },
    want: "wait: Degraded",
  },
  {
    rule: "a roll restarts the next replica when the one before is synchronous again",
    given: {
      members: [member(0, { ...leads, ...old }), member(1, old), member(2)],
      synchronous: ["db-1"],
    },
    want: "wait: Degraded",
  },
  {
    rule: "a roll with durability Async waits for no synchronous standby",
    given: {
      members: [member(0, { ...leads, ...old }), member(1, old), member(2)],
      synchronous: [],
      durable: false,
    },
    want: "restart db-1: RollingOut",
  },
  {
    rule: "scaling down switches over when all that stream are synchronous",
    given: {
      wanted: 2,
      primary: "db-2",
      members: [member(0), member(1), member(2, leads)],
      synchronous: ["db-0"],
    },
    want: "wait: ScalingDown",
  },
  {
    rule: "scaling down does not wait for a broken member that is to go to be synchronous",
    given: {
      wanted: 2,
      replicas: 4,
      primary: "db-2",
      members: [member(0), member(1), member(2, leads), member(3, down)],
      synchronous: ["db-0", "db-1"],
    },
    want: "switchover to db-0: ScalingDown",
  },
];

for (const { rule, given, want } of table) {
  test(rule, () => assert.is(brief(decide(situation(given))), want));
}

test("a server that does not start is told, with the parameters that it may be", () => {
  const given = situation({
    wanted: 1,
    replicas: 1,
    primary: undefined,
    members: [member(0, { ...down, state: "start failed" })],
    parameters: ["shared_buffers", "work_mem"],
  });
  assert.is(
    decide(given).message,
    'No member is the primary: db-0 says "start failed", with shared_buffers, work_mem of spec.parameters',
  );
});

const isSynchronous = ({ synchronous }: Situation, { name }: MemberSeen) => synchronous.includes(name);

/** What no step may ever do, whatever was seen. */
function mustHold(seen: Situation, step: Step): void {
  try {
    checkPromises(seen, step);
  } catch (error) {
    throw new Error(`${(error as Error).message}: ${JSON.stringify(step)} in ${JSON.stringify(seen)}`);
  }
}

function checkPromises(seen: Situation, step: Step): void {
  const { members, primary, replicas = 0, first = 0, wanted, deleting } = seen;
  const serves = (member: MemberSeen) =>
    member.ready && !member.terminating && (member.name === primary || member.streaming);
  assert.ok(step.reason.match(/^[A-Za-z]+$/) && step.message.length > 0, "a reason and a message");
  if (step.kind === "restart") {
    const target = members.find((member) => member.name === step.pod)!;
    const others = members.filter((member) => member !== target);
    const isDownAnyway = !serves(target) && !target.streaming && target.trouble !== undefined &&
      !target.upToDate;
    assert.not.ok(target.losesData, "no data goes");
    assert.ok(!target.upToDate || target.pendingRestart, "only a stale member restarts");
    assert.ok(isDownAnyway || others.every(serves), "never two members down");
    assert.ok(target.name !== primary || members.length === 1, "the primary restarts only alone");
    assert.ok(
      !deleting && !seen.patroniPaused || !serves(target),
      "no restart while deleted or paused",
    );
  }
  if (step.kind === "done" && step.reason === "Ready") {
    const leader = members.find((member) => member.name === primary);
    assert.ok(leader && serves(leader) && !deleting && seen.settled, "a primary that serves");
    assert.ok(
      members.length === wanted && replicas === wanted && first === 0 && members.every(serves),
      "all that are wanted",
    );
    assert.ok(members.every((one) => one.upToDate && !one.pendingRestart), "rolled out");
    assert.ok(
      !seen.durable || members.every((one) => one.name === primary || isSynchronous(seen, one)),
      "with every promise of its durability",
    );
    assert.ok(!seen.switchoverPending && !seen.patroniPaused, "nothing under way");
  }
  const leader = members.find((member) => member.name === primary);
  const stopped = Array.from({ length: replicas }, (_, ordinal) => ordinal).filter((ordinal) =>
    step.kind === "scale" && ordinal >= first && (ordinal >= step.replicas || ordinal < (step.first ?? 0))
  );
  if (stopped.length > 0 && !deleting) {
    const isLast = replicas - first === 1;
    assert.is(stopped.length, 1, "one at a time");
    assert.ok(replicas > wanted, "never below what is wanted");
    assert.ok(isLast || (leader && !stopped.includes(leader.ordinal)), "never the primary");
    assert.ok(
      members.filter((member) => member.ordinal < Math.max(1, wanted)).every((member) =>
        serves(member) || isLast
      ),
      "those that stay serve",
    );
  }
  if (deleting && leader && stopped.includes(leader.ordinal)) {
    assert.is(members.length, 1, "the primary stops last");
  }
  if (step.kind === "switchover") {
    const target = members.find((member) => member.name === step.to)!;
    assert.ok(
      step.from === primary && step.to !== primary && serves(target),
      "to a member that serves",
    );
    assert.ok(
      !seen.durable ||
        members.every((one) => one.name === primary || !serves(one) || isSynchronous(seen, one)),
      "when all that stream have every commit",
    );
    assert.ok(!seen.switchoverPending && !seen.patroniPaused, "asked once");
  }
}

test("no step breaks a promise, in 30,000 random situations, possible or not", () => {
  const seed = 20261123;
  const random = randomFrom(seed);
  const flip = (chance = 0.5) => random() < chance;
  for (let round = 0; round < 30_000; round++) {
    const replicas = flip(0.05) ? undefined : Math.floor(random() * 5);
    const members = Array.from({ length: Math.floor(random() * 6) }, (_, ordinal) => {
      const ready = flip(0.8);
      return member(ordinal, {
        ready,
        streaming: flip(ready ? 0.8 : 0.2),
        losesData: flip(0.05),
        lagBytes: flip() ? Math.floor(random() * 3_000_000) : undefined,
        terminating: flip(0.1),
        upToDate: flip(0.6),
        pendingRestart: flip(0.1),
        ...(!ready && flip() ? { trouble: { reason: "CrashLoopBackOff", message: "it cannot" } } : {}),
        createdMs: 1_000_000 - Math.floor(random() * 120_000),
      });
    }).filter(() => flip(0.95));
    const leader = flip(0.85) ? members[Math.floor(random() * members.length)] : undefined;
    const leading = leader && leader.ready && !leader.terminating
      ? members.map((one) => one === leader ? { ...one, ...leads } : one)
      : members;
    const given = situation({
      wanted: Math.floor(random() * 5),
      deleting: flip(0.1),
      replicas,
      first: replicas && flip(0.2) ? replicas - 1 : 0,
      settled: flip(0.9),
      initialized: flip(0.8),
      members: leading,
      primary: leading === members ? undefined : leader!.name,
      synchronous: members.filter((one) => one.streaming && flip(0.7)).map((one) => one.name),
      durable: flip(0.7),
      switchoverPending: flip(0.1),
      switchoverAsked: flip(0.1) ? { from: "db-0", to: "db-1", atMs: 995_000 } : undefined,
      patroniPaused: flip(0.1),
      switchoverTo: flip(0.2) ? `db-${Math.floor(random() * 4)}` : undefined,
    });
    const seen = given.deleting ? { ...given, wanted: 0 } : given;
    mustHold(seen, decide(seen));
  }
});

test("every life ends where it was told to: scaled, rolled, switched over, broken, healed, hibernated, woken", () => {
  for (let seed = 1; seed <= 400; seed++) {
    const random = randomFrom(seed);
    const model = new Model(random);
    model.durable = random() < 0.7;
    model.wanted = 1 + Math.floor(random() * 4);
    const told: string[] = [];
    for (let change = 0; change < 8; change++) {
      told.push(tell(model, random));
      // Edited again in mid-flight, or left to settle.
      const ticks = random() < 0.4 ? Math.floor(random() * 6) : 300;
      for (let tick = 0; tick < ticks; tick++) {
        model.tick();
        const seen = model.situation();
        const step = decide(seen);
        mustHold(seen, step);
        model.take(step);
      }
    }
    model.failing.clear();
    if (model.badTemplates.has(model.template)) model.template++;
    let step = decide(model.situation());
    for (let tick = 0; tick < 400 && !(step.kind === "done" && model.pods.length === model.wanted); tick++) {
      model.tick();
      step = decide(model.situation());
      mustHold(model.situation(), step);
      model.take(step);
    }
    const where = `seed ${seed}: ${told.join(", ")}: ${JSON.stringify(step)} ${JSON.stringify(model.pods)}`;
    assert.is(step.kind, "done", where);
    assert.is(model.pods.length, model.wanted, where);
    assert.ok(model.pods.every((pod) => pod.state === "serving" && pod.template === model.template), where);
  }
});

test("whoever led last leads first after a sleep or a deletion, also where Patroni would let anybody", () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = randomFrom(seed);
    const model = new Model(random);
    model.durable = random() < 0.5;
    const goOn = (ends: () => boolean) => {
      for (let tick = 0; tick < 400 && !ends(); tick++) {
        model.tick();
        const step = decide(model.situation());
        mustHold(model.situation(), step);
        model.take(step);
      }
      assert.ok(ends(), `seed ${seed}: ${decide(model.situation()).message} ${JSON.stringify(model.pods)}`);
    };
    const isDone = () => decide(model.situation()).kind === "done" && model.pods.length === model.wanted;
    model.wanted = 2 + Math.floor(random() * 3);
    goOn(isDone);
    model.switchoverTo = `db-${Math.floor(random() * model.wanted)}`;
    goOn(isDone);
    model.switchoverTo = undefined;
    if (random() < 0.5) {
      model.deleting = true;
      goOn(() => model.pods.length === 0 && model.replicas === 0);
      [model.deleting, model.replicas] = [false, undefined];
    } else {
      model.wanted = 0;
      goOn(isDone);
    }
    const last = model.lastPrimary;
    model.anybodyLeads = true;
    model.wanted = 1 + Math.floor(random() * 4);
    goOn(() => model.primary !== undefined);
    assert.is(model.primary, last, `seed ${seed}`);
    goOn(isDone);
  }
});

/** One thing that a person or fate does. */
function tell(model: Model, random: () => number): string {
  const pick = Math.floor(random() * 6);
  if (pick === 0) return `scale ${model.wanted = Math.floor(random() * 5)}`;
  if (pick === 1) return `template ${++model.template}`;
  if (pick === 2) {
    model.badTemplates.add(++model.template);
    return `bad template ${model.template}`;
  }
  if (pick === 3) {
    const ordinal = Math.floor(random() * 4);
    model.failing.add(ordinal);
    return `fail ${ordinal}`;
  }
  if (pick === 4) {
    model.failing.clear();
    if (model.badTemplates.has(model.template)) model.template++;
    return "heal";
  }
  const ordinal = Math.floor(random() * Math.max(1, model.wanted));
  model.switchoverTo = model.pods.some((pod) => pod.ordinal === ordinal) ? `db-${ordinal}` : undefined;
  return `switch over ${model.switchoverTo}`;
}

test.run();
