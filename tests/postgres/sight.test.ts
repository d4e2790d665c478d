import { test } from "uvu";
import * as assert from "uvu/assert";
import { growingClaims } from "../../postgres/claims.ts";
import { decide } from "../../postgres/decide.ts";
import { annotation } from "../../postgres/names.ts";
import { observe } from "../../postgres/observe.ts";
import { effectiveDatabase, isReloading, podFacts, serverReport, type Sight } from "../../postgres/sight.ts";
import { lowersForStandbys, situationOf } from "../../postgres/situation.ts";
import type { StoredDatabase } from "../../types/app.example.com/v1.ts";
import type { StoredConfigMap, StoredPersistentVolumeClaim, StoredPod } from "../../types/core/v1.ts";

const nowMs = Date.parse("2026-11-23T12:00:00Z");
type Changes = Record<string, [from: string, to: string]>;

function pod(ordinal: number, changes: Changes = {}, server?: unknown): StoredPod {
  const primary = ordinal === 0;
  const pending = Object.entries(changes).map((
    [name, [from, to]],
  ) => [name, { old_value: from, new_value: to }]);
  const status = {
    state: "running",
    role: primary ? "primary" : "replica",
    timeline: 1,
    ...(primary ? {} : { replication_state: "streaming" }),
    ...(pending.length > 0
      ? { pending_restart: true, pending_restart_reason: Object.fromEntries(pending) as object }
      : {}),
  };
  return {
    metadata: {
      name: `orders-${ordinal}`,
      annotations: {
        status: JSON.stringify(status),
        ...(server === undefined
          ? {}
          : { [annotation.server]: typeof server === "string" ? server : JSON.stringify(server) }),
      },
    },
    status: { conditions: [{ type: "Ready", status: "True" }] },
  } as unknown as StoredPod;
}

const lock = {
  metadata: { annotations: { leader: "orders-0", renewTime: new Date(nowMs).toISOString(), ttl: "20" } },
};

function sight(
  pods: StoredPod[],
  options: { parameters?: Record<string, string>; version?: string; present?: Record<string, unknown> } = {},
): Sight {
  const { parameters = {}, version = "17", present } = options;
  const config = {
    metadata: { annotations: { config: JSON.stringify({ postgresql: { parameters: present } }) } },
  };
  return {
    database: {
      metadata: { name: "orders", namespace: "shop" },
      spec: { size: pods.length, version, parameters },
    } as unknown as StoredDatabase,
    statefulSet: undefined,
    pods,
    claims: [],
    storeClaims: new Map(),
    backupPods: [],
    jobs: [],
    upgradePods: [],
    imageTemplate: "localhost/database:{version}",
    configMaps: new Map<string, StoredConfigMap>(),
    patroni: observe("orders", { pods, leader: lock, config }, nowMs),
    secrets: new Map(),
    source: undefined,
  };
}

const down: Changes = { max_connections: ["200", "100"] };
const up: Changes = { max_connections: ["100", "200"] };
const buffers: Changes = { shared_buffers: ["128MB", "256MB"] };

for (
  const [what, pods, ours, waiting] of [
    ["raised: all restart, ours to make", [pod(0, up), pod(1, up), pod(2, up)], [0, 1, 2], []],
    ["lowered: none before the primary", [pod(0, down), pod(1, down), pod(2, down)], [], [0, 1, 2]],
    ["lowered, and the primary runs with it: the standbys restart", [pod(0), pod(1, down), pod(2, down)], [
      1,
      2,
    ], []],
    [
      "lowered, and the primary has not told yet that it waits: nobody",
      [pod(0, {}, { runs: { max_connections: "200" } }), pod(1, down)],
      [],
      [1],
    ],
    [
      "lowered, and the primary told what it runs with: the standbys restart",
      [pod(0, {}, { runs: { max_connections: "100" } }), pod(1, down)],
      [1],
      [],
    ],
    [
      "lowered with another one: the standbys try the other one, the primary restarts in place",
      [pod(0, { ...down, ...buffers }), pod(1, { ...down, ...buffers })],
      [1],
      [0],
    ],
    [
      "lowered with another one that the standbys have: the primary is next",
      [pod(0, { ...down, ...buffers }), pod(1, down)],
      [],
      [0, 1],
    ],
    ["one lowered, another raised", [pod(0, { ...down, max_wal_senders: ["42", "50"] }), pod(1, buffers)], [
      1,
    ], [0]],
    ["lowered in a Database of one member: in place", [pod(0, down)], [], [0]],
    ["without a primary nobody knows", [pod(1, down), pod(2, down)], [], [1, 2]],
  ] as [string, StoredPod[], number[], number[]][]
) {
  test(`a parameter of standbys is ${what}`, () => {
    const { members } = situationOf(sight(pods), nowMs);
    assert.equal(members.filter((member) => member.pendingRestart).map(({ ordinal }) => ordinal), ours);
    assert.equal(members.filter((member) => member.waitsForPrimary).map(({ ordinal }) => ordinal), waiting);
  });
}

function decided(pods: StoredPod[]) {
  const seen = situationOf(sight(pods), nowMs);
  const members = seen.members.map((member) => ({ ...member, upToDate: true }));
  return decide({
    ...seen,
    members,
    replicas: pods.length,
    settled: true,
    initialized: true,
    durable: false,
  });
}

test("while the primary is to restart in place, nobody is restarted, and the parameter is named", () => {
  const message = "Waiting for orders-0 to restart in place: max_connections from 200 to 100";
  assert.equal(decided([pod(0, down), pod(1, down)]), { kind: "wait", reason: "RollingOut", message });
});

test("a replica that restarts is told with the parameter that needs it", () => {
  const message = "Restarting replica orders-1: max_connections from 200 to 100";
  assert.equal(decided([pod(0), pod(1, down)]), {
    kind: "restart",
    pod: "orders-1",
    reason: "RollingOut",
    message,
  });
});

test("what waits for a restart counts once the members had the time to take over the configuration", () => {
  const settles = (inMs: number): Sight => {
    const annotations = { [annotation.settled]: new Date(nowMs + inMs).toISOString() };
    const config = { metadata: { annotations } } as unknown as StoredConfigMap;
    return { ...sight([pod(0), pod(1, buffers), pod(2)]), configMaps: new Map([["orders-config", config]]) };
  };
  const waits = (inMs: number) => situationOf(settles(inMs), nowMs).members.some((one) => one.pendingRestart);
  assert.equal([8_000, 1, 0, -3_600_000].map(waits), [false, false, true, true]);
  // A clock that is ahead holds up nobody.
  assert.is(isReloading(settles(3_600_000), nowMs), false);
  assert.is(isReloading(sight([pod(0)]), nowMs), false);
});

test("a claim grows until its volume has what it asks for; those of members scaled away do not count", () => {
  const claim = (ordinal: number, asks: string, has?: string) => ({
    metadata: { name: `data-orders-${ordinal}` },
    spec: { resources: { requests: { storage: asks } } },
    status: has === undefined ? { phase: "Pending" } : { phase: "Bound", capacity: { storage: has } },
  } as unknown as StoredPersistentVolumeClaim);
  const claims = [
    claim(0, "2Gi", "1Gi"),
    claim(1, "2Gi", "2Gi"),
    claim(2, "2Gi"),
    claim(3, "1500Mi", "2Gi"),
    claim(4, "2Gi", "1Gi"),
  ];
  const seen = { ...sight([pod(0), pod(1), pod(2), pod(3)]), claims };
  assert.equal(growingClaims(seen), ["data-orders-0"]);
});

test("a replica that does not come back with a parameter stops the others from trying it, by name", () => {
  const failing = { ...pod(1), status: { conditions: [] } } as unknown as StoredPod;
  const message =
    "Waiting for orders-1 to serve; the others keep their parameters until then: shared_buffers from 128MB to 256MB";
  assert.equal(decided([pod(0, buffers), failing, pod(2, buffers)]), {
    kind: "wait",
    reason: "Degraded",
    message,
  });
});

test("another parameter that is lowered restarts standbys first", () => {
  const { members } = observe("orders", {
    pods: [pod(0), pod(1, { shared_buffers: ["256MB", "128MB"] })],
    leader: lock,
  }, nowMs);
  assert.not.ok(lowersForStandbys(members[1]!, members));
});

for (
  const text of [
    "",
    "no",
    "null",
    "[]",
    "1",
    '{"runs":null,"refused":1}',
    '{"refused":["x"]}',
    '{"refused":{"a":1}}',
  ]
) {
  test(`a report that reads ${JSON.stringify(text)} says nothing`, () => {
    const { refused } = serverReport(pod(1, {}, text));
    assert.equal(refused.filter(({ name }) => name !== "0"), []);
  });
}

test("a value that an only member does not start with is not set: what runs stays, and why is told", () => {
  const trial = {
    fits: {},
    refused: {
      shared_buffers: { value: "256GB", runs: "128MB", words: "no memory" },
      // As it is written for PostgreSQL, which differs from what was asked for.
      random_page_cost: { value: "2", runs: "4" },
    },
  };
  const seen = sight([pod(0, {}, { trial })], {
    parameters: { shared_buffers: "256GB", random_page_cost: "0x2", work_mem: "8MB" },
    // The configuration says it already.
    present: { shared_buffers: "256GB", random_page_cost: "2" },
  });
  const { effective, problems } = effectiveDatabase(seen);
  assert.equal(effective.spec.parameters, {
    shared_buffers: "128MB",
    random_page_cost: "4",
    work_mem: "8MB",
  });
  assert.equal(problems.map(({ message }) => message), [
    'spec.parameters.shared_buffers: PostgreSQL does not start with "256GB": no memory; "128MB" stays; ' +
    'spec.parameters.random_page_cost: PostgreSQL does not start with "2"; "4" stays',
  ]);
});

for (
  const [what, server, want] of [
    [
      "tries first, however long that takes",
      { tries: true },
      "RollingOut: orders-0 tries on empty data, before it restarts: shared_buffers from 128MB to 256MB",
    ],
    [
      "tries anew what was not tried",
      { tries: true, trial: { fits: { shared_buffers: "1GB" } } },
      "RollingOut: orders-0 tries",
    ],
    ["restarts with what fits", { tries: true, trial: { fits: { shared_buffers: "256MB" } } }, "restart"],
    ["restarts when its pod is of an operator that tried nothing", { version: "17.5" }, "restart"],
  ] as [string, unknown, string][]
) {
  test(`an only member whose parameter waits for a restart ${what}`, () => {
    const seen = situationOf(sight([pod(0, buffers, server)]), nowMs);
    const members = seen.members.map((member) => ({ ...member, upToDate: true }));
    const step = decide({ ...seen, members, replicas: 1, settled: true, initialized: true });
    const told = step.kind === "wait" ? `${step.reason}: ${step.message}` : step.kind;
    assert.ok(told.startsWith(want), told);
  });
}

test("a value that any server refused is not set, and named", () => {
  const seen = sight([pod(0), pod(1, {}, { refused: { timezone: "Mars" } })], {
    parameters: { timezone: "Mars", work_mem: "8MB" },
    present: { timezone: "UTC" },
  });
  const { effective, problems } = effectiveDatabase(seen);
  assert.equal(effective.spec.parameters, { timezone: "UTC", work_mem: "8MB" });
  const message = 'spec.parameters.timezone: "Mars" was refused by PostgreSQL; "UTC" stays';
  assert.equal(problems, [{ reason: "InvalidParameter", message, stops: false }]);
});

test("the configuration's unreadable text keeps nothing, and is no reason to fail", () => {
  const seen = sight([pod(0)], { parameters: { max_connections: "0" } });
  const unreadable = { ...seen, patroni: { ...seen.patroni, config: { systemIdentifier: "1", text: "{" } } };
  assert.equal(effectiveDatabase(unreadable).effective.spec.parameters, {});
});

test("what a server made of its parameters wakes the Database", () => {
  const facts = (server: unknown) => JSON.stringify(podFacts(pod(1, {}, server)));
  assert.is.not(facts({ refused: {} }), facts({ refused: { timezone: "Mars" } }));
});

test.run();
