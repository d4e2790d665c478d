import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  type Member,
  observe,
  observeConfig,
  observeLeader,
  observeSync,
  type PodView,
} from "../../postgres/observe.ts";

const nowMs = Date.parse("2026-11-23T12:00:00Z");

function pod(ordinal: number, status: unknown, more: Record<string, unknown> = {}): PodView {
  return {
    metadata: {
      name: `orders-${ordinal}`,
      uid: `uid-${ordinal}`,
      labels: { "app.example.com/role": "replica", "controller-revision-hash": "orders-1" },
      annotations: status === undefined
        ? {}
        : { status: typeof status === "string" ? status : JSON.stringify(status) },
      ...more,
    },
    status: { phase: "Running", conditions: [{ type: "Ready", status: "True" }] },
  };
}

const lock = (leader: string, ageS = 3, more: Record<string, string> = {}) => ({
  metadata: {
    annotations: {
      leader,
      ttl: "20",
      renewTime: new Date(nowMs - ageS * 1000).toISOString().replace("Z", "000+00:00"),
      transitions: "4",
      optime: "1000",
      ...more,
    },
  },
});
const primaryStatus = { state: "running", role: "primary", xlog_location: 1200, timeline: 7 };
const replicaStatus = {
  state: "running",
  role: "replica",
  xlog_location: 1100,
  timeline: 7,
  replication_state: "streaming",
};

test("a whole cluster is read into one picture", () => {
  const observed = observe("orders", {
    pods: [pod(1, primaryStatus), pod(0, replicaStatus)],
    leader: lock("orders-1"),
    sync: { metadata: { annotations: { leader: "orders-1", sync_standby: "orders-0", quorum: "1" } } },
    config: { metadata: { annotations: { config: "{}", initialize: "7711401581985390614" } } },
  }, nowMs);
  const common = {
    revision: "orders-1",
    ready: true,
    terminating: false,
    labelledRole: "replica",
    state: "running",
    timeline: 7,
    pendingRestart: false,
    pendingParameters: [],
  };
  assert.equal(observed, {
    members: [
      {
        ...common,
        name: "orders-0",
        ordinal: 0,
        uid: "uid-0",
        role: "replica",
        position: 1100,
        lagBytes: 100,
        streaming: true,
      },
      {
        ...common,
        name: "orders-1",
        ordinal: 1,
        uid: "uid-1",
        role: "primary",
        position: 1200,
        lagBytes: 0,
        streaming: false,
      },
    ],
    leader: {
      member: "orders-1",
      ttlSeconds: 20,
      renewedMs: nowMs - 3000,
      ageMs: 3000,
      fresh: true,
      transitions: 4,
      position: 1000,
    },
    sync: { leader: "orders-1", standbys: ["orders-0"], quorum: 1 },
    config: { systemIdentifier: "7711401581985390614", text: "{}" },
    primary: "orders-1",
    timeline: 7,
  });
});

for (
  const [what, leader, status, more] of [
    ["the lock is old", lock("orders-0", 21), primaryStatus, {}],
    ["the lock is from a clock far ahead", lock("orders-0", -21), primaryStatus, {}],
    ["another holds the lock", lock("orders-1"), primaryStatus, {}],
    ["nobody holds the lock", lock(""), primaryStatus, {}],
    ["there is no lock", undefined, primaryStatus, {}],
    ["the lock's time cannot be read", lock("orders-0", 0, { renewTime: "soon" }), primaryStatus, {}],
    ["the lock's ttl cannot be read", lock("orders-0", 0, { ttl: "-1" }), primaryStatus, {}],
    ["it reports itself a replica", lock("orders-0"), replicaStatus, {}],
    ["it reports itself stopped", lock("orders-0"), { ...primaryStatus, state: "stopped" }, {}],
    ["it reports nothing", lock("orders-0"), undefined, {}],
    ["its report is not JSON", lock("orders-0"), "{", {}],
    ["its report is an array", lock("orders-0"), [primaryStatus], {}],
    ["its pod is terminating", lock("orders-0"), primaryStatus, {
      deletionTimestamp: "2026-11-23T12:00:00Z",
    }],
    ["only its label says so", undefined, undefined, { labels: { "app.example.com/role": "primary" } }],
  ] as const
) {
  test(`a member is not the primary when ${what}`, () => {
    const observed = observe("orders", { pods: [pod(0, status, more)], leader }, nowMs);
    assert.is(observed.primary, undefined);
    assert.is.not(observed.members[0]!.role, "primary");
  });
}

for (
  const [what, status, want] of [
    ["streams on the primary's timeline", replicaStatus, true],
    ["is on another timeline", { ...replicaStatus, timeline: 6 }, false],
    ["recovers from an archive", { ...replicaStatus, replication_state: "in archive recovery" }, false],
    ["is starting", { ...replicaStatus, state: "starting" }, false],
    ["gives its timeline as text", { ...replicaStatus, timeline: "7" }, false],
  ] as const
) {
  test(`a replica that ${what} is ${want ? "" : "not "}streaming`, () => {
    const pods = [pod(0, primaryStatus), pod(1, status)];
    assert.is(observe("orders", { pods, leader: lock("orders-0") }, nowMs).members[1]!.streaming, want);
  });
}

test("without a primary nobody is streaming: there is no timeline to compare with", () => {
  const [member] = observe("orders", { pods: [pod(0, replicaStatus)] }, nowMs).members;
  assert.is(member!.streaming, false);
  assert.is(member!.lagBytes, undefined);
});

test("pods of a Database with a longer name are not its members", () => {
  const foreign = pod(0, primaryStatus, { name: "orders-eu-0" });
  assert.equal(observe("orders", { pods: [foreign], leader: lock("orders-eu-0") }, nowMs).members, []);
});

test("a parameter that was set and taken back needs no restart", () => {
  const status = (reasons: object) => ({
    pending_restart: true,
    pending_restart_reason: { shared_preload_libraries: { old_value: "", new_value: "" }, ...reasons },
  });
  const [member] = observe("orders", { pods: [pod(0, status({}))] }, nowMs).members;
  assert.equal([member!.pendingRestart, member!.pendingParameters], [false, []]);
  const more = status({ max_connections: { old_value: "100", new_value: "200" } });
  const [other] = observe("orders", { pods: [pod(0, more)] }, nowMs).members;
  assert.equal(other!.pendingParameters, [{ name: "max_connections", from: "100", to: "200" }]);
});

test("pending restarts are named with both values", () => {
  const status = {
    ...replicaStatus,
    pending_restart: true,
    pending_restart_reason: { max_connections: { old_value: "100", new_value: 200 }, odd: "x" },
  };
  const [member] = observe("orders", { pods: [pod(0, status)] }, nowMs).members as [Member];
  assert.is(member.pendingRestart, true);
  assert.equal(member.pendingParameters, [
    { name: "max_connections", from: "100", to: "200" },
    { name: "odd", from: "", to: "" },
  ]);
});

test("hostile reports are read field by field, and never change a prototype", () => {
  const hostile = `{"__proto__": {"state": "running"}, "state": 1, "role": {"toString": 1}, "timeline": -1,
    "xlog_location": 1.5, "pending_restart": "yes", "pending_restart_reason": [1, null]}`;
  const [member] = observe("orders", { pods: [pod(0, hostile)], leader: lock("orders-0") }, nowMs)
    .members as [Member];
  assert.equal(
    [member.role, member.state, member.timeline, member.position, member.pendingRestart],
    ["unknown", undefined, undefined, undefined, false],
  );
  assert.is((Object.prototype as { state?: unknown }).state, undefined);
});

test("a state is cut to what a status can hold", () => {
  const [member] =
    observe("orders", { pods: [pod(0, { ...replicaStatus, state: "x".repeat(1 << 20) })] }, nowMs).members;
  assert.is(member!.state?.length, 63);
});

test("synchronous members: absent, empty and listed", () => {
  assert.is(observeSync(undefined), undefined);
  assert.is(observeSync({ metadata: {} }), undefined);
  assert.equal(observeSync({ metadata: { annotations: {} } }), {
    leader: undefined,
    standbys: [],
    quorum: 0,
  });
  assert.equal(
    observeSync({ metadata: { annotations: { leader: "a-0", sync_standby: "a-1, a-2", quorum: "x" } } }),
    { leader: "a-0", standbys: ["a-1", "a-2"], quorum: 0 },
  );
});

test("the system identifier counts only when it is one: Patroni writes the key empty while it initializes", () => {
  const identifier = (initialize?: string) =>
    observeConfig({ metadata: { annotations: initialize === undefined ? {} : { initialize } } })
      ?.systemIdentifier;
  assert.is(identifier(), undefined);
  assert.is(identifier(""), undefined);
  assert.is(identifier("orders-0"), undefined);
  assert.is(identifier("7711401581985390614"), "7711401581985390614");
});

test("a lock without position has none, not zero", () => {
  assert.is(observeLeader(lock("a", 0, { optime: "" }), nowMs)?.position, undefined);
  const { optime: _, ...annotations } = lock("a").metadata.annotations;
  assert.is(observeLeader({ metadata: { annotations } }, nowMs)?.position, undefined);
});

test.run();
