/** What the embedded API plays: StatefulSets, claims, nodes, Jobs and Patroni, under a clock of the test's own. @module */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Json, TestApi, types } from "./client.ts";

const core = "/api/v1/namespaces/default";
const sets = "/apis/apps/v1/namespaces/default/statefulsets";

const set = (name: string, more: Json = {}, labels: Json = { app: name }, image = "localhost/x:1"): Json => ({
  metadata: { name },
  spec: {
    replicas: 3,
    serviceName: name,
    selector: { matchLabels: labels },
    template: { metadata: { labels }, spec: { containers: [{ name: "postgres", image }] } },
    volumeClaimTemplates: [{
      metadata: { name: "data" },
      spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
    }],
    ...more,
  },
});

/** Pods in short: name, phase, readiness. */
async function pods(api: TestApi): Promise<string[]> {
  const { items } = await api.get(`${core}/pods`);
  return items.map((pod: Json) => {
    const ready = pod.status.conditions?.find((one: Json) => one.type === "Ready")?.status === "True";
    const state = pod.metadata.deletionTimestamp ? "Terminating" : pod.status.phase;
    return `${pod.metadata.name} ${state}${ready ? " ready" : ""}`;
  });
}

test("an ordered StatefulSet starts one pod after the other; a parallel one all at once", async () => {
  const api = new TestApi({ simulate: { patroni: false } });
  await api.post(sets, set("one"));
  api.clock.advance(200);
  assert.is((await pods(api)).length, 1);
  api.clock.advance(5_000);
  assert.equal(await pods(api), ["one-0 Running ready", "one-1 Running ready", "one-2 Running ready"]);
  await api.delete(`${sets}/one`);
  api.clock.advance(1_000);
  assert.equal(await pods(api), []);
  await api.post(sets, set("all", { podManagementPolicy: "Parallel" }));
  api.clock.advance(100);
  assert.equal((await pods(api)).length, 3);
  api.api.close();
});

test("OnDelete leaves pods alone until they are deleted; the status tells which revision they are at", async () => {
  const api = new TestApi({ simulate: { patroni: false } });
  const spec = { podManagementPolicy: "Parallel", updateStrategy: { type: "OnDelete" } };
  await api.post(sets, set("db", spec));
  api.clock.advance(3_000);
  const before = (await api.get(`${sets}/db`)).status;
  assert.is(before.readyReplicas, 3);
  const template = { spec: { containers: [{ name: "postgres", image: "localhost/x:2" }] } };
  await api.patch(`${sets}/db`, { spec: { template } }, types.strategic);
  api.clock.advance(3_000);
  const changed = (await api.get(`${sets}/db`)).status;
  assert.is(changed.observedGeneration, 2);
  assert.is(changed.updatedReplicas ?? 0, 0);
  assert.is.not(changed.updateRevision, before.updateRevision);
  await api.delete(`${core}/pods/db-1`);
  api.clock.advance(3_000);
  const { metadata, spec: podSpec } = await api.get(`${core}/pods/db-1`);
  assert.is(metadata.labels["controller-revision-hash"], changed.updateRevision);
  assert.is(podSpec.containers[0].image, "localhost/x:2");
  assert.is((await api.get(`${sets}/db`)).status.updatedReplicas, 1);
  api.api.close();
});

test("RollingUpdate replaces pods from the highest ordinal down, one at a time", async () => {
  const api = new TestApi({ simulate: { patroni: false } });
  await api.post(sets, set("web", { podManagementPolicy: "Parallel" }));
  api.clock.advance(3_000);
  const order: string[] = [];
  const stop = api.api.subscribe(({ table, type, object }) => {
    if (table === "/pods" && type === "DELETED") order.push(object.metadata.name);
  });
  const template = { spec: { containers: [{ name: "postgres", image: "localhost/x:2" }] } };
  await api.patch(`${sets}/web`, { spec: { template } }, types.strategic);
  for (let i = 0; i < 100; i++) {
    api.clock.advance(100);
    const ready = (await pods(api)).filter((text) => text.endsWith("ready"));
    assert.ok(ready.length >= 2, "more than one pod down");
  }
  assert.equal(order, ["web-2", "web-1", "web-0"]);
  const { status } = await api.get(`${sets}/web`);
  assert.is(status.currentRevision, status.updateRevision);
  stop();
  api.api.close();
});

test("claims stay when a StatefulSet shrinks or goes, unless its retention policy says otherwise", async () => {
  for (const [policy, afterScale, afterDelete] of [["Retain", 3, 3], ["Delete", 1, 0]] as const) {
    const api = new TestApi({ simulate: { patroni: false } });
    const retention = { whenScaled: policy, whenDeleted: policy };
    await api.post(
      sets,
      set("db", { podManagementPolicy: "Parallel", persistentVolumeClaimRetentionPolicy: retention }),
    );
    api.clock.advance(3_000);
    const count = async () => (await api.get(`${core}/persistentvolumeclaims`)).items.length;
    assert.is(await count(), 3);
    await api.patch(`${sets}/db`, { spec: { replicas: 1 } });
    api.clock.advance(3_000);
    assert.is(await count(), afterScale, `${policy} after scaling`);
    await api.delete(`${sets}/db`);
    api.clock.advance(3_000);
    assert.is(await count(), afterDelete, `${policy} after deletion`);
    api.api.close();
  }
});

test("a claim is bound to a new volume, and grows", async () => {
  const api = new TestApi({ simulate: true });
  const claims = `${core}/persistentvolumeclaims`;
  const resources = (storage: string) => ({ resources: { requests: { storage } } });
  await api.post(claims, {
    metadata: { name: "c" },
    spec: { accessModes: ["ReadWriteOnce"], ...resources("1Gi") },
  });
  api.clock.advance(1_000);
  const { spec, status } = await api.get(`${claims}/c`);
  assert.equal(status, { phase: "Bound", accessModes: ["ReadWriteOnce"], capacity: { storage: "1Gi" } });
  assert.is(spec.storageClassName, "standard");
  await api.patch(`${claims}/c`, { spec: resources("2Gi") });
  api.clock.advance(1_000);
  assert.is((await api.get(`${claims}/c`)).status.capacity.storage, "2Gi");
  assert.is((await api.get(`/api/v1/persistentvolumes/${spec.volumeName}`)).spec.capacity.storage, "2Gi");
  const shrunk = await api.send("PATCH", `${claims}/c`, { spec: resources("1Gi") }, types.merge);
  assert.is(shrunk.status, 422);
  api.api.close();
});

test("an image that does not exist leaves the pod Pending with the kubelet's reasons", async () => {
  const api = new TestApi({ simulate: true });
  await api.post(`${core}/pods`, {
    metadata: { name: "p" },
    spec: { containers: [{ name: "c", image: "localhost/does-not-exist:1" }] },
  });
  const reasons = new Set<string>();
  for (let i = 0; i < 30; i++) {
    api.clock.advance(50);
    const { status } = await api.get(`${core}/pods/p`);
    assert.is(status.phase, "Pending");
    const reason = status.containerStatuses?.[0].state.waiting.reason;
    if (reason) reasons.add(reason);
  }
  assert.equal([...reasons], ["ErrImagePull", "ImagePullBackOff"]);
  api.api.close();
});

test("a Job completes when its pod has, and fails when its pods keep failing", async () => {
  const api = new TestApi({ simulate: true });
  const jobs = "/apis/batch/v1/namespaces/default/jobs";
  const job = (name: string, annotations: Json, spec: Json = {}) => ({
    metadata: { name },
    spec: {
      ...spec,
      template: {
        metadata: { annotations },
        spec: { restartPolicy: "Never", containers: [{ name: "c", image: "x:1" }] },
      },
    },
  });
  await api.post(jobs, job("good", {}));
  await api.post(jobs, job("bad", { "embedded.example.com/fails": "true" }, { backoffLimit: 1 }));
  api.clock.advance(10_000);
  const conditions = async (name: string) =>
    (await api.get(`${jobs}/${name}`)).status.conditions.map((one: Json) => one.type);
  assert.equal(await conditions("good"), ["SuccessCriteriaMet", "Complete"]);
  assert.equal(await conditions("bad"), ["FailureTarget", "Failed"]);
  assert.is((await api.get(`${jobs}/bad`)).status.failed, 2);
  api.api.close();
});

test("a budget counts the pods that its selector finds", async () => {
  const api = new TestApi({ simulate: { patroni: false } });
  const budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
  await api.post(budgets, {
    metadata: { name: "b" },
    spec: { maxUnavailable: 1, selector: { matchLabels: { app: "web" } } },
  });
  await api.post(sets, set("web", { podManagementPolicy: "Parallel" }));
  api.clock.advance(3_000);
  const { status } = await api.get(`${budgets}/b`);
  const { disruptionsAllowed, currentHealthy, desiredHealthy, expectedPods } = status;
  assert.equal({ disruptionsAllowed, currentHealthy, desiredHealthy, expectedPods }, {
    disruptionsAllowed: 1,
    currentHealthy: 3,
    desiredHealthy: 2,
    expectedPods: 3,
  });
  api.api.close();
});

// Patroni

const labels = { "app.example.com/database": "db", "app.example.com/component": "postgres" };

async function databaseApi(): Promise<TestApi> {
  const api = new TestApi({ simulate: { patroni: { loopWaitMs: 5_000 } } });
  const dcs = { ttl: 20, synchronous_mode: "quorum", postgresql: { parameters: { max_connections: "100" } } };
  await api.post(`${core}/configmaps`, {
    metadata: { name: "db-patroni" },
    data: { "patroni.yml": JSON.stringify({ scope: "db", bootstrap: { dcs } }) },
  });
  const spec = { podManagementPolicy: "Parallel", updateStrategy: { type: "OnDelete" } };
  await api.post(sets, set("db", spec, labels));
  api.clock.advance(5_000);
  return api;
}

const annotations = async (api: TestApi, suffix: string): Promise<Json> =>
  (await api.get(`${core}/configmaps/db-${suffix}`)).metadata.annotations ?? {};

async function roles(api: TestApi): Promise<Record<string, string>> {
  const { items } = await api.get(`${core}/pods`);
  return Object.fromEntries(
    items.map((pod: Json) => [pod.metadata.name, pod.metadata.labels["app.example.com/role"]]),
  );
}

test("Patroni bootstraps: one primary, streaming replicas, and its ConfigMaps", async () => {
  const api = await databaseApi();
  assert.equal(await pods(api), ["db-0 Running ready", "db-1 Running ready", "db-2 Running ready"]);
  assert.equal(await roles(api), { "db-0": "primary", "db-1": "replica", "db-2": "replica" });
  const status = JSON.parse((await api.get(`${core}/pods/db-1`)).metadata.annotations.status);
  assert.equal(Object.keys(status), [
    "conn_url",
    "api_url",
    "state",
    "role",
    "version",
    "xlog_location",
    "replication_state",
    "timeline",
  ]);
  assert.equal([status.state, status.role, status.replication_state, status.timeline], [
    "running",
    "replica",
    "streaming",
    1,
  ]);
  const leader = await annotations(api, "leader");
  assert.equal([leader.leader, leader.transitions, leader.ttl], ["db-0", "0", "20"]);
  assert.equal(await annotations(api, "sync"), { leader: "db-0", sync_standby: "db-1,db-2", quorum: "1" });
  const config = await annotations(api, "config");
  assert.match(config.initialize, /^\d{19}$/);
  assert.is(JSON.parse(config.config).synchronous_mode, "quorum");
  api.api.close();
});

test("when the primary's pod goes, a synchronous standby leads on a new timeline, and the pod comes back as replica", async () => {
  const api = await databaseApi();
  await api.delete(`${core}/pods/db-0`);
  api.clock.advance(5_000);
  const leader = await annotations(api, "leader");
  assert.equal([leader.leader, leader.transitions], ["db-1", "1"]);
  assert.equal(await roles(api), { "db-0": "replica", "db-1": "primary", "db-2": "replica" });
  const status = JSON.parse((await api.get(`${core}/pods/db-0`)).metadata.annotations.status);
  assert.equal([status.state, status.replication_state, status.timeline], ["running", "streaming", 2]);
  api.api.close();
});

test("a switchover request is carried out and its annotations are cleared; one that cannot be is only cleared", async () => {
  const api = await databaseApi();
  const request = (member: string) => ({
    metadata: { name: "db-failover", annotations: { leader: "db-0", member } },
  });
  await api.post(`${core}/configmaps`, request("db-2"));
  api.clock.advance(2_000);
  assert.equal(await roles(api), { "db-0": "replica", "db-1": "replica", "db-2": "primary" });
  assert.equal(await annotations(api, "failover"), {});
  await api.patch(`${core}/configmaps/db-failover`, request("db-1"));
  api.clock.advance(2_000);
  assert.equal(await annotations(api, "failover"), {});
  assert.is((await roles(api))["db-2"], "primary", "the request named another leader");
  api.api.close();
});

test("a parameter that needs a restart shows as pending until the pod was restarted", async () => {
  const api = await databaseApi();
  const config = JSON.parse((await annotations(api, "config")).config);
  config.postgresql.parameters.max_connections = "200";
  await api.patch(`${core}/configmaps/db-config`, {
    metadata: { annotations: { config: JSON.stringify(config) } },
  });
  api.clock.advance(1_000);
  const pending = async (name: string) => {
    const status = JSON.parse((await api.get(`${core}/pods/${name}`)).metadata.annotations.status);
    return [status.pending_restart, status.pending_restart_reason];
  };
  const reason = { max_connections: { old_value: "100", new_value: "200" } };
  assert.equal(await pending("db-1"), [true, reason]);
  await api.delete(`${core}/pods/db-1`);
  api.clock.advance(3_000);
  assert.equal(await pending("db-1"), [undefined, undefined]);
  assert.equal(await pending("db-0"), [true, reason]);
  api.api.close();
});

test("without a standby in -sync nobody is promoted until the old primary is back", async () => {
  const api = await databaseApi();
  await api.patch(`${core}/configmaps/db-sync`, { metadata: { annotations: { sync_standby: "" } } });
  await api.delete(`${core}/pods/db-0`);
  api.clock.advance(5_000);
  assert.is((await annotations(api, "leader")).leader, "db-0");
  assert.is((await roles(api))["db-0"], "primary");
  api.api.close();
});

test.run();
