import { test } from "uvu";
import * as assert from "uvu/assert";
import { deletedClaims } from "../../postgres/claims.ts";
import { type Step, wait } from "../../postgres/decide.ts";
import { foreignProblem, unseenNames } from "../../postgres/foreign_names.ts";
import { annotation } from "../../postgres/names.ts";
import { planOf } from "../../postgres/plan.ts";
import type { Problem } from "../../postgres/sight.ts";
import { situationOf } from "../../postgres/situation.ts";
import { desiredStatefulSet, ordinalsOf, ordinalsPatch } from "../../postgres/stateful_set.ts";
import { conditionsOf } from "../../postgres/status.ts";
import { upgradeJobs } from "../../postgres/upgrade.ts";
import { fakeCertificates } from "./fake_certificates.ts";
import { type Given, nowMs, seen } from "./seen.ts";

const scale = (replicas: number): Step => ({ kind: "scale", replicas, reason: "Creating", message: "" });
const switchover: Step = {
  kind: "switchover",
  from: "orders-0",
  to: "orders-1",
  reason: "RollingOut",
  message: "",
};
const claim = "PersistentVolumeClaim data-orders";
const state = ["leader", "config", "sync", "failover"].map((end) => `ConfigMap orders-${end}`);

for (
  const { rule, given, step, want } of [
    {
      rule: "before the first members are made: Patroni's, and the claims",
      given: {},
      step: scale(2),
      want: [...state, `${claim}-0`, `${claim}-1`, "StatefulSet orders"],
    },
    {
      rule: "before others are made: their claims, unless they are known",
      given: { statefulSet: { replicas: 1 }, claims: [{ ordinal: 0 }, { ordinal: 2 }] },
      step: scale(3),
      want: [`${claim}-1`],
    },
    {
      rule: "before a switchover: its ConfigMap",
      given: { statefulSet: { replicas: 1 } },
      step: switchover,
      want: ["ConfigMap orders-failover"],
    },
    {
      rule: "before a switchover: none when it is ours",
      given: { statefulSet: { replicas: 1 }, state: { failover: {} } },
      step: switchover,
      want: [],
    },
    {
      rule: "else none",
      given: {},
      step: wait("Degraded", ""),
      want: [],
    },
  ] as { rule: string; given: Given; step: Step; want: string[] }[]
) {
  test(`names that others may have taken are looked at ${rule}`, () => {
    assert.equal(
      unseenNames(seen(given), step).map(({ resource, name }) => `${resource.kind} ${name}`),
      want,
    );
  });
}

test("what has one of those names and is somebody else's stops everything; a cache that lags does not", () => {
  const theirs = { kind: "ConfigMap", metadata: { name: "orders-config", namespace: "shop" } };
  const ours = {
    ...theirs,
    metadata: seen({ state: { config: {} } }).configMaps.get("orders-config")!.metadata,
  };
  const unseen = (one: unknown) => ({ ...seen(), unseen: [one] }) as unknown as ReturnType<typeof seen>;
  const problem = foreignProblem(unseen(theirs));
  assert.is(problem?.reason, "NameConflict");
  assert.match(problem?.message ?? "", 'ConfigMap "orders-config" belongs to somebody else');
  assert.is(problem?.stops, true);
  assert.is(foreignProblem(unseen(ours)), undefined);
});

test("a StatefulSet that is there and was not seen is not written as if it were new", () => {
  const { metadata } = seen({ statefulSet: { replicas: 3 } }).statefulSet!;
  const there = { kind: "StatefulSet", metadata };
  const sight = { ...seen(), unseen: [there] } as unknown as ReturnType<typeof seen>;
  const options = {
    owner: [],
    imageTemplate: "database:{version}",
    password: () => "x".repeat(24),
    certificates: fakeCertificates(),
    nowMs,
  };
  const { problems, wanted } = planOf(sight, scale(1), options);
  assert.equal([problems.map(({ reason }) => reason), wanted], [["Progressing"], []]);
});

test("a claim that is deleted under its member is told, and its member known; others' are not", () => {
  const sight = seen({
    members: [{ ordinal: 0 }],
    claims: [{ ordinal: 0, deleted: true }, { ordinal: 1, deleted: true }],
  });
  assert.match(deletedClaims(sight)?.message ?? "", /^Claim "data-orders-0" was deleted/);
  assert.equal(situationOf(sight, nowMs).members.map(({ losesData }) => losesData), [true]);
  assert.is(deletedClaims(seen({ members: [{ ordinal: 0 }], claims: [{ ordinal: 0 }] })), undefined);
});

const bound = { ordinal: 0, phase: "Bound" };

for (
  const { rule, claims, problems = [], want } of [
    { rule: "before there is any", claims: [], want: "False Pending" },
    {
      rule: "while one is not bound",
      claims: [bound, { ordinal: 1, phase: "Pending" }],
      want: "False Pending",
    },
    { rule: "while one grows", claims: [{ ...bound, asks: "2Gi", has: "1Gi" }], want: "False Growing" },
    {
      rule: "when one cannot grow",
      claims: [bound],
      problems: [{ reason: "StorageCannotGrow", message: "no", stops: false }],
      want: "False StorageCannotGrow",
    },
    {
      rule: "when one is deleted under its member",
      claims: [bound],
      problems: [{ reason: "ClaimDeleted", message: "no", stops: false }],
      want: "False ClaimDeleted",
    },
    {
      rule: "when all have what they ask for",
      claims: [{ ...bound, asks: "1Gi", has: "1Gi" }],
      want: "True Bound",
    },
    {
      rule: "whatever those have that were scaled away",
      claims: [bound, { ordinal: 5, phase: "Lost" }],
      want: "True Bound",
    },
  ] as { rule: string; claims: NonNullable<Given["claims"]>; problems?: Problem[]; want: string }[]
) {
  test(`StorageReady is what it is ${rule}`, () => {
    const sight = seen({ spec: { size: 2 }, claims });
    const conditions = conditionsOf(sight, wait("Degraded", "x"), problems, nowMs);
    const storage = conditions.find(({ type }) => type === "StorageReady");
    assert.is(`${storage?.status} ${storage?.reason}`, want);
    const blocked = conditions.filter(({ type }) => type === "Blocked" || type === "Stalled");
    assert.is(blocked.length, problems.length > 0 ? 2 : 0);
  });
}

test("a member that is going keeps its rights until it is gone", () => {
  const sight = seen({
    spec: { size: 1 },
    members: [0, 1].map((ordinal) => ({ ordinal })),
    statefulSet: { replicas: 1 },
  });
  const options = {
    owner: [],
    imageTemplate: "{major}",
    password: () => "x".repeat(24),
    certificates: fakeCertificates(),
    nowMs,
  };
  const { wanted } = planOf(sight, wait("ScalingDown", ""), options);
  const role = wanted.find(({ resource }) => resource.kind === "Role")!.desired as {
    rules: { resourceNames?: string[] }[];
  };
  assert.equal(role.rules.at(-1)?.resourceNames, ["orders-0", "orders-1"]);
});

for (
  const { rule, given, want } of [
    { rule: "asked for now", given: { leader: "orders-0", member: "orders-1" }, want: true },
    {
      rule: "that is due",
      given: { leader: "orders-0", scheduled_at: "2026-11-23T11:59:00+00:00" },
      want: true,
    },
    {
      rule: "for later, of a person: no",
      given: { leader: "orders-0", scheduled_at: "2026-11-24T00:00:00+00:00" },
      want: false,
    },
    { rule: "that was answered: no", given: {}, want: false },
  ] as { rule: string; given: Record<string, string>; want: boolean }[]
) {
  test(`a switchover is waited for that is ${rule}`, () => {
    const sight = seen({ members: [{ ordinal: 0 }], state: { failover: given } });
    assert.is(situationOf(sight, nowMs).switchoverPending, want);
    // Nobody is there to answer what was left over.
    assert.is(situationOf(seen({ state: { failover: given } }), nowMs).switchoverPending, false);
  });
}

test("what was asked of Patroni last is read back, and nothing else taken for it", () => {
  const asked = (text: string) =>
    situationOf(seen({ state: { failover: { [annotation.asked]: text } } }), nowMs).switchoverAsked;
  assert.equal(asked("orders-0 orders-1 2026-11-23T12:00:00.000Z"), {
    from: "orders-0",
    to: "orders-1",
    atMs: nowMs,
  });
  assert.equal(["", "orders-0", "orders-0 orders-1 soon"].map(asked), [undefined, undefined, undefined]);
});

test("who led last is Patroni's word, and else what was written down", () => {
  const last = (state: Given["state"]) => situationOf(seen({ state: state! }), nowMs).lastPrimary;
  const config = { [annotation.primary]: "orders-2" };
  assert.is(last({ config, sync: { leader: "orders-1" } }), "orders-1");
  assert.is(last({ config, sync: {} }), "orders-2");
  // Written by Patroni at each promotion, also while no operator looks.
  const history = JSON.stringify([[1, 1, "no recovery target specified", "", "orders-2"], [
    2,
    2,
    "no recovery target specified",
    "",
    "orders-0",
  ]]);
  assert.is(last({ config: { ...config, history }, sync: {} }), "orders-0");
  for (const text of ["[]", "{", "null", "[1]", "[[1,2]]", '[[1,2,"","","other"]]', '[[1,2,"","",{}]]']) {
    assert.is(last({ config: { ...config, history: text }, sync: {} }), "orders-2", text);
  }
  assert.is(last({}), undefined);
});

test("a server runs by the kubelet's word on its own container", () => {
  const runs = (...running: string[]) => {
    const sight = seen({ members: [{ ordinal: 0 }] });
    const containerStatuses = ["agent", "postgres"].map((name) => ({
      name,
      state: running.includes(name) ? { running: {} } : { waiting: { reason: "CrashLoopBackOff" } },
    }));
    const pods = sight.pods.map((pod) => ({ ...pod, status: { ...pod.status, containerStatuses } }));
    return situationOf({ ...sight, pods: pods as unknown as typeof sight.pods }, nowMs).members[0]
      ?.serverRuns;
  };
  assert.equal([runs("postgres"), runs("agent"), runs()], [true, false, false]);
});

test("who is synchronous is what the present primary says; what another one wrote is of before", () => {
  const members = [{ ordinal: 0 }, { ordinal: 1 }];
  const synchronous = (leader: string) =>
    situationOf(
      seen({ members, leader: "orders-0", state: { sync: { leader, sync_standby: "orders-1" } } }),
      nowMs,
    ).synchronous;
  assert.equal([synchronous("orders-0"), synchronous("orders-1")], [["orders-1"], []]);
});

test("the members that a StatefulSet is told to run are read as they were written", () => {
  const database = seen().database;
  for (const ordinals of [{ replicas: 3, first: 0 }, { replicas: 3, first: 2 }, { replicas: 0, first: 0 }]) {
    const { spec } = desiredStatefulSet(database, [], ordinals);
    assert.equal(ordinalsOf({ spec } as unknown as Parameters<typeof ordinalsOf>[0]), ordinals);
    const { replicas, ordinals: { start } } = spec;
    assert.equal(ordinalsPatch(ordinals), { replicas, ordinals: { start } });
  }
  assert.equal(ordinalsOf(undefined), { replicas: undefined, first: 0 });
});

test("a Database that is deleted takes the Jobs of its upgrade with it, and no other", () => {
  const jobs = ["upgrade", "upgrade-check", "backup"].map((component) => ({
    name: `orders-${component}`,
    component,
    order: "{}",
  }));
  assert.equal(upgradeJobs(seen({ jobs })).map(({ metadata }) => metadata.name), [
    "orders-upgrade",
    "orders-upgrade-check",
  ]);
});

test.run();
