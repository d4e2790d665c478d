import { test } from "uvu";
import * as assert from "uvu/assert";
import { parse } from "yaml";
import { desiredDisruptionBudget } from "../../postgres/disruption_budget.ts";
import { desiredSwitchover } from "../../postgres/failover.ts";
import { desiredNetworkPolicy } from "../../postgres/network_policy.ts";
import { desiredPatroniConfigMap } from "../../postgres/patroni.ts";
import { podTemplate } from "../../postgres/pod_template.ts";
import { desiredRole, desiredRoleBinding, desiredServiceAccount } from "../../postgres/rbac.ts";
import { desiredPodsService, desiredReadOnlyService, desiredService } from "../../postgres/services.ts";
import { desiredStatefulSet } from "../../postgres/stateful_set.ts";
import type { Container } from "../../types/core/v1.ts";
import type { StoredDatabase } from "../../types/app.example.com/v1.ts";
import type { Database } from "../../postgres/database.ts";
import { quotable } from "./hostile.ts";

const databaseOf = (spec: Record<string, unknown> = {}): Database => ({
  metadata: { name: "orders", namespace: "shop", uid: "u-1" },
  spec: { size: 3, version: "17", ...spec },
});
const owner = [{
  apiVersion: "app.example.com/v1",
  kind: "Database",
  name: "orders",
  uid: "u-1",
  controller: true,
  blockOwnerDeletion: true,
}];
const everything = (database: Database) =>
  [
    desiredServiceAccount(database, owner),
    desiredRole(database, owner),
    desiredRoleBinding(database, owner),
    desiredService(database, owner),
    desiredReadOnlyService(database, owner),
    desiredPodsService(database, owner),
    desiredPatroniConfigMap(database, owner),
    desiredDisruptionBudget(database, owner),
    desiredStatefulSet(database, owner),
    desiredNetworkPolicy(database, owner),
  ].filter((object) => object !== undefined);

test("a Database as the API server returns it can be rendered: its type fits", () => {
  const render = (stored: StoredDatabase): Database => stored;
  assert.type(render, "function");
});

test("every object has the owner, the namespace, and the label by which it is found", () => {
  for (const object of everything(databaseOf())) {
    assert.equal(object.metadata.ownerReferences, owner, object.kind);
    assert.is(object.metadata.namespace, "shop", object.kind);
    assert.is(object.metadata.labels["app.example.com/database"], "orders", object.kind);
  }
});

test("the same Database renders to the same bytes", () => {
  assert.is(
    JSON.stringify(everything(databaseOf())),
    JSON.stringify(everything(structuredClone(databaseOf()))),
  );
});

test("only pods, never Services or ConfigMaps of ours, carry the label by which Patroni counts members", () => {
  for (const object of everything(databaseOf())) {
    assert.not.ok("app.example.com/component" in object.metadata.labels, object.kind);
  }
});

test("a member may write Patroni's ConfigMaps and patch its pods, and read no Secret", () => {
  assert.equal(desiredRole(databaseOf({ size: 2 }), owner).rules, [
    { apiGroups: [""], resources: ["configmaps"], verbs: ["create", "list", "watch"] },
    {
      apiGroups: [""],
      resources: ["configmaps"],
      resourceNames: ["orders-leader", "orders-config", "orders-sync", "orders-failover"],
      verbs: ["patch"],
    },
    { apiGroups: [""], resources: ["configmaps"], resourceNames: ["orders-leader"], verbs: ["get"] },
    { apiGroups: [""], resources: ["pods"], verbs: ["list", "watch"] },
    { apiGroups: [""], resources: ["pods"], resourceNames: ["orders-0", "orders-1"], verbs: ["patch"] },
  ]);
});

test("the Role never has an empty list of names: Kubernetes reads that as all names", () => {
  const pods = desiredRole(databaseOf({ size: 0 }), owner, { members: 0 }).rules.at(-1);
  assert.equal(pods!.resourceNames, ["orders-0"]);
});

test("writes go to the primary, reads to the replicas, by Patroni's label", () => {
  const members = { "app.example.com/database": "orders", "app.example.com/component": "postgres" };
  assert.equal(desiredService(databaseOf(), owner).spec.selector, {
    ...members,
    "app.example.com/role": "primary",
  });
  assert.equal(desiredReadOnlyService(databaseOf(), owner).spec.selector, {
    ...members,
    "app.example.com/role": "replica",
  });
  assert.equal(desiredPodsService(databaseOf(), owner).spec.selector, members);
});

for (const [size, want] of [[0, false], [1, false], [2, true], [3, true]] as const) {
  test(`a Database of ${size} has ${want ? "a" : "no"} disruption budget`, () => {
    assert.is(desiredDisruptionBudget(databaseOf({ size }), owner) !== undefined, want);
  });
}

test("the policy selects the members, and lets in everybody at PostgreSQL's port, only our own pods elsewhere", () => {
  const { spec } = desiredNetworkPolicy(databaseOf(), owner);
  const members = { "app.example.com/database": "orders", "app.example.com/component": "postgres" };
  assert.equal(spec.podSelector, { matchLabels: members });
  const backups = { ...members, "app.example.com/component": "backup" };
  assert.equal(spec.ingress.map(({ from, ports }) => [ports.map(({ port }) => port), from]), [
    [[5432], [{ namespaceSelector: {} }]],
    [[8008], [{ podSelector: { matchLabels: members } }]],
    [[8009], [{ podSelector: { matchLabels: backups } }]],
    [[8008], [{ namespaceSelector: { matchLabels: { metrics: "enabled" } } }]],
  ]);
});

for (const enabled of [false, true]) {
  test(`each port of a member has a rule, and each rule a port, ${enabled ? "with" : "without"} exporter`, () => {
    const database = databaseOf({ monitoring: { enabled } });
    const { ingress } = desiredNetworkPolicy(database, owner).spec;
    const open = ingress.flatMap(({ ports }) => ports.map(({ port }) => port));
    const containers: Container[] = podTemplate(database).spec.containers;
    const listening = containers.flatMap(({ ports = [] }) => ports.map((port) => port.containerPort));
    assert.equal([...new Set(listening)].toSorted(), [...new Set(open)].toSorted());
  });
}

const zones = "topology.kubernetes.io/zone", hosts = "kubernetes.io/hostname";
const labelSelector = {
  matchLabels: { "app.example.com/database": "orders", "app.example.com/component": "postgres" },
};

test("members avoid each other's nodes and spread over zones, where they can, unless told otherwise", () => {
  const { affinity, topologySpreadConstraints, ...rest } = podTemplate(databaseOf()).spec;
  assert.equal(affinity, {
    podAntiAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [
        { weight: 100, podAffinityTerm: { topologyKey: hosts, labelSelector } },
      ],
    },
  });
  assert.equal(topologySpreadConstraints, [
    { maxSkew: 1, topologyKey: zones, whenUnsatisfiable: "ScheduleAnyway", labelSelector },
  ]);
  assert.not.ok("nodeSelector" in rest || "tolerations" in rest);
});

test("what the Database says of nodes is in the pods; constraints count its own members", () => {
  const podAntiAffinity = {
    requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: hosts, labelSelector }],
  };
  const nodeAffinity = {
    requiredDuringSchedulingIgnoredDuringExecution: {
      nodeSelectorTerms: [{ matchExpressions: [{ key: "disk", operator: "Exists" }] }],
    },
  };
  const nodeSelector = { disk: "ssd" }, tolerations = [{ key: "db", operator: "Exists" }];
  const constraint = { topologyKey: hosts, whenUnsatisfiable: "DoNotSchedule", maxSkew: 2 };
  const render = (spec: Record<string, unknown>) => podTemplate(databaseOf(spec)).spec;
  const spec = render({
    nodeSelector,
    tolerations,
    affinity: { nodeAffinity, podAntiAffinity },
    topologySpreadConstraints: [constraint],
  });
  assert.equal([spec.nodeSelector, spec.tolerations], [nodeSelector, tolerations]);
  assert.equal(spec.affinity, { nodeAffinity, podAntiAffinity });
  assert.equal(spec.topologySpreadConstraints, [{ ...constraint, labelSelector }]);
  assert.equal(Object.keys(render({ affinity: { nodeAffinity } }).affinity), [
    "podAntiAffinity",
    "nodeAffinity",
  ]);
});

test("a member verifies who it replicates from, unless there are members without a certificate", () => {
  const modeOf = (verifies?: boolean) => {
    const [postgres] = podTemplate(databaseOf(), verifies === undefined ? {} : { verifies }).spec.containers;
    const { env } = postgres as { env: { name: string; value?: string }[] };
    return env.find(({ name }) => name === "REPLICATION_SSLMODE")?.value;
  };
  assert.equal([modeOf(), modeOf(true), modeOf(false)], ["verify-ca", "verify-ca", "prefer"]);
});

test("no container mounts the authority's key", () => {
  const { spec } = podTemplate(databaseOf());
  assert.not.match(JSON.stringify(spec), /"orders-ca"/);
  assert.match(JSON.stringify(spec.volumes), /"secretName":"orders-tls"/);
});

test("the StatefulSet decides nothing: parallel, restarted by deletion, claims kept", () => {
  const { spec } = desiredStatefulSet(
    databaseOf({ storage: { size: "5Gi", storageClassName: "fast" } }),
    owner,
  );
  assert.equal({ ...spec, template: undefined }, {
    replicas: 3,
    serviceName: "orders-pods",
    podManagementPolicy: "Parallel",
    updateStrategy: { type: "OnDelete" },
    persistentVolumeClaimRetentionPolicy: { whenDeleted: "Retain", whenScaled: "Retain" },
    revisionHistoryLimit: 3,
    ordinals: { start: 0 },
    selector: {
      matchLabels: { "app.example.com/database": "orders", "app.example.com/component": "postgres" },
    },
    template: undefined,
    volumeClaimTemplates: [{
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name: "data" },
      spec: {
        accessModes: ["ReadWriteOnce"],
        resources: { requests: { storage: "5Gi" } },
        storageClassName: "fast",
      },
    }],
  });
});

test("replicas, storage and image template of the operator come before the Database's", () => {
  const options = { replicas: 1, storage: "2Gi", imageTemplate: "r/pg:{version}" };
  const { spec } = desiredStatefulSet(
    databaseOf({ storage: { size: "5Gi" }, version: "17.6" }),
    owner,
    options,
  );
  assert.is(spec.replicas, 1);
  assert.is(spec.volumeClaimTemplates[0]!.spec.resources.requests.storage, "2Gi");
  assert.is(spec.template.spec.containers[0]!.image, "r/pg:17.6");
});

test("a pod passes the Pod Security level restricted, with a read-only root", () => {
  const { spec } = desiredStatefulSet(databaseOf(), owner).spec.template;
  assert.is(spec.securityContext.runAsNonRoot, true);
  assert.equal(spec.securityContext.seccompProfile, { type: "RuntimeDefault" });
  for (const container of [...spec.initContainers, ...spec.containers]) {
    assert.equal(container.securityContext, {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
      privileged: false,
      readOnlyRootFilesystem: true,
    });
  }
});

test("only the container that runs Patroni, and the agent, have the passwords and the token", () => {
  const { spec } = desiredStatefulSet(databaseOf(), owner).spec.template;
  assert.is(spec.automountServiceAccountToken, false);
  const holders = (volume: string) =>
    [...spec.initContainers, ...spec.containers]
      .filter(({ volumeMounts }) => volumeMounts.some(({ name }) => name === volume)).map(({ name }) => name);
  assert.equal(holders("credentials"), ["postgres", "agent"]);
  assert.equal(holders("token"), ["postgres", "agent"]);
});

test("no environment variable and no argument is taken from a Secret", () => {
  const text = JSON.stringify(desiredStatefulSet(databaseOf(), owner));
  assert.not.ok(/secretKeyRef|envFrom|password/i.test(text.replaceAll("orders-credentials", "")));
});

test("resources: asked for, as text; a small request by default; limits alone ask for as much", () => {
  const resources = (given?: unknown) =>
    desiredStatefulSet(databaseOf(given ? { resources: given } : {}), owner).spec.template.spec.containers[0]!
      .resources;
  assert.equal(resources(), { requests: { cpu: "100m", memory: "256Mi" }, limits: {} });
  assert.equal(resources({ limits: { cpu: 2 } }), { requests: {}, limits: { cpu: "2" } });
  assert.equal(resources({ requests: { memory: "1Gi" } }), { requests: { memory: "1Gi" }, limits: {} });
});

test("a change of parameters or size changes no pod", () => {
  const template = (spec: Record<string, unknown>) =>
    JSON.stringify(desiredStatefulSet(databaseOf(spec), owner).spec.template);
  assert.is(template({ parameters: { work_mem: "8MB" }, size: 5, durability: "Strict" }), template({}));
});

test("patroni.yml is JSON and YAML at once, with the same content", () => {
  const text = desiredPatroniConfigMap(databaseOf(), owner).data["patroni.yml"];
  assert.equal(parse(text), JSON.parse(text));
  const { scope, kubernetes, postgresql } = parse(text) as Record<string, Record<string, unknown>>;
  assert.is(scope as unknown, "orders");
  assert.is(kubernetes!["namespace"], "shop");
  assert.equal(postgresql!["basebackup"], [{ checkpoint: "fast" }]);
});

test("hostile parameter values reach patroni.yml unchanged, for a JSON and for a YAML reader", () => {
  for (const value of quotable) {
    const text = desiredPatroniConfigMap(databaseOf({ parameters: { application_name: value } }), owner)
      .data["patroni.yml"];
    for (const read of [JSON.parse, parse] as ((text: string) => unknown)[]) {
      const config = read(text) as {
        bootstrap: { dcs: { postgresql: { parameters: Record<string, string> } } };
      };
      assert.is(config.bootstrap.dcs.postgresql.parameters["application_name"], value);
    }
  }
});

test("the scripts are the same for every Database: nothing is pasted into them", () => {
  const scripts = (database: Database) => {
    const { "patroni.yml": _, ...rest } = desiredPatroniConfigMap(database, owner).data;
    return rest;
  };
  const other = { metadata: { name: "other", namespace: "else" }, spec: { version: "15", size: 1 } };
  assert.equal(scripts(other), scripts(databaseOf()));
});

test("a switchover names the present leader, so that Patroni keeps to the synchronous members", () => {
  const { metadata } = desiredSwitchover(databaseOf(), "orders-0", "orders-2", 0);
  assert.is(metadata.name, "orders-failover");
  assert.equal(metadata.annotations, {
    leader: "orders-0",
    member: "orders-2",
    "app.example.com/asked": "orders-0 orders-2 1970-01-01T00:00:00.000Z",
  });
  assert.is(metadata.ownerReferences, undefined);
  assert.is(metadata.labels["app.example.com/component"], "postgres");
});

test.run();
