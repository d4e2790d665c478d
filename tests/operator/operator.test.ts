import { suite } from "uvu";
import * as assert from "uvu/assert";
import { findCondition } from "../../runtime/mod.ts";
import { databases } from "../../types/app.example.com/v1.ts";
import { statefulSets } from "../../types/apps/v1.ts";
import { configMaps, persistentVolumeClaims, secrets, services } from "../../types/core/v1.ts";
import { until } from "../within.ts";
import { World } from "./world.ts";

const test = suite("operator", { world: new World() });
test.before.each((context) => {
  context.world = new World().start();
});
test.after.each(async ({ world }) => await world.close());

const inShop = (name: string) => ({ namespace: "shop", name });

test("a Database becomes Ready, with everything it owns", async ({ world }) => {
  await world.apply("orders", { size: 3 });
  const { status } = await world.reason("orders", "Ready");
  assert.is(status?.readyReplicas, 3);
  assert.is(status?.version, "17");
  assert.is(status?.secretName, "orders-credentials");
  assert.is(status?.members?.filter(({ role }) => role === "primary").length, 1);
  assert.ok(status?.members?.every(({ ready, upToDate }) => ready && upToDate));
  assert.match(status?.systemIdentifier ?? "", /^[0-9]+$/);
  assert.equal(world.names("/services", "orders"), ["orders", "orders-pods", "orders-ro"]);
  assert.equal(world.names("apps/statefulsets", "orders"), ["orders"]);
  assert.equal(world.names("policy/poddisruptionbudgets", "orders"), ["orders"]);
  assert.equal(world.names("/persistentvolumeclaims", "orders"), [0, 1, 2].map((at) => `data-orders-${at}`));
  for (const condition of ["Available", "Ready"]) {
    assert.is(findCondition(status?.conditions, condition)?.status, "True");
  }
  assert.is(findCondition(status?.conditions, "Progressing")?.status, "False");
  assert.is(findCondition(status?.conditions, "Blocked"), undefined);
});

test("a new Database, which nobody else writes, never meets a conflict", async ({ world }) => {
  await world.apply("orders", { size: 1 });
  await world.reason("orders", "Ready");
  assert.equal(world.log.filter((line) => line.includes("cannot be fulfilled on databases")), []);
});

test("what may not be done is named in the log, also when the status may not be written either", async ({ world }) => {
  const refuse = (what: string) => {
    const message = `${what} is forbidden`;
    const status = {
      kind: "Status",
      apiVersion: "v1",
      status: "Failure",
      reason: "Forbidden",
      code: 403,
      message,
    };
    return Response.json(status, { status: 403 });
  };
  world.api.intercept = {
    before: (_info, request) => {
      const { pathname } = new URL(request.url);
      if (pathname.endsWith("/orders/status")) return refuse("the status");
      const isMerge = request.headers.get("content-type") === "application/merge-patch+json";
      return pathname.endsWith("/databases/orders") && isMerge ? refuse("the finalizer") : undefined;
    },
  };
  await world.apply("orders", { size: 1 });
  const logged = (...words: string[]) => world.log.some((line) => words.every((word) => line.includes(word)));
  await until(
    5_000,
    "both refusals in the log",
    () =>
      logged("Cannot report", "the status is forbidden") &&
      logged("Reconciler error", "the finalizer is forbidden"),
  );
  world.api.intercept = {};
  await world.reason("orders", "Ready");
});

test("at rest nothing is written, although Patroni renews its lock and notes its position", async ({ world }) => {
  await world.apply("orders", { size: 2 });
  await world.reason("orders", "Ready");
  const written: string[] = [];
  let renewed = 0;
  // What was under way when it became Ready ends first: the marks on the claims, the last status.
  await until(
    4_000,
    "the claims to be marked",
    () =>
      world.api.objects("/persistentvolumeclaims").every(({ metadata }) =>
        metadata.annotations?.["app.example.com/system-identifier"]
      ),
  );
  await until(2_000, "the caches to be quiet", () => quiet(world, 150));
  world.api.intercept = {
    before: (_info, request) => {
      if (request.method !== "GET") written.push(`${request.method} ${new URL(request.url).pathname}`);
      return undefined;
    },
  };
  const end = world.api.subscribe(({ table, object }) => {
    if (table === "/configmaps" && object.metadata.name === "orders-leader") renewed++;
  });
  await until(5_000, "Patroni to renew its lock ten times", () => renewed >= 10);
  end();
  assert.equal(written, []);
});

/** True when no Database changed for that long. */
async function quiet(world: World, ms: number): Promise<boolean> {
  let changed = false;
  const end = world.api.subscribe(({ table }) => changed ||= table !== "/configmaps" && table !== "/pods");
  await new Promise((resolve) => setTimeout(resolve, ms));
  end();
  return !changed;
}

test("Ready is never True for a generation that the members have not taken over", async ({ world }) => {
  await world.apply("orders", { size: 2 });
  await world.reason("orders", "Ready");
  const told: string[] = [];
  const end = world.api.subscribe(({ table, object }) => {
    if (!table.endsWith("/databases")) return;
    const { generation } = object.metadata;
    const ready = findCondition(object.status?.conditions, "Ready");
    if (ready?.status !== "True" || ready.observedGeneration !== generation) return;
    const members = world.api.objects("/pods").map(({ spec }) => spec.containers[0].resources.requests.cpu);
    const config = JSON.parse(
      world.find("/configmaps", "orders-config")?.metadata.annotations?.["config"] ?? "{}",
    );
    told.push(`${generation}: ${members.join()} ${config.postgresql.parameters.work_mem}`);
  });
  try {
    await world.apply("orders", { size: 2, resources: { requests: { cpu: "250m" } } });
    await world.reason("orders", "Ready");
    await world.apply("orders", {
      size: 2,
      resources: { requests: { cpu: "250m" } },
      parameters: { work_mem: "8MB" },
    });
    await world.reason("orders", "Ready");
  } finally {
    end();
  }
  assert.equal([...new Set(told)], ["2: 250m,250m undefined", "3: 250m,250m 8MB"]);
});

test("a size of 2 to 0 and back keeps the claims and the data's identity", async ({ world }) => {
  await world.apply("orders", { size: 2 });
  const before = await world.reason("orders", "Ready");
  await world.apply("orders", { size: 0 });
  await world.reason("orders", "Hibernated");
  assert.equal(world.names("/pods", "orders"), []);
  assert.equal(world.names("/persistentvolumeclaims", "orders"), ["data-orders-0", "data-orders-1"]);
  await world.apply("orders", { size: 2 });
  const after = await world.reason("orders", "Ready");
  assert.is(after.status?.systemIdentifier, before.status?.systemIdentifier);
});

test("kubectl scale works through the scale subresource", async ({ world }) => {
  await world.apply("orders", { size: 1 });
  await world.reason("orders", "Ready");
  await world.client.patch(databases, inShop("orders"), { spec: { replicas: 3 } }, { subresource: "scale" });
  const { status } = await world.reason("orders", "Ready");
  assert.is(status?.replicas, 3);
  assert.is(status?.selector, "app.example.com/database=orders,app.example.com/component=postgres");
});

test("the members' Role names each member from before its pod is there until it is gone", async ({ world }) => {
  const unnamed = new Set<string>();
  world.api.intercept = {
    before: () => {
      const rules = world.find("rbac.authorization.k8s.io/roles", "orders")?.["rules"] as
        | { resourceNames?: string[] }[]
        | undefined;
      const named = new Set(rules?.flatMap(({ resourceNames = [] }) => resourceNames));
      for (const pod of world.names("/pods", "orders")) if (!named.has(pod)) unnamed.add(pod);
      return undefined;
    },
  };
  await world.apply("orders", { size: 2 });
  await world.reason("orders", "Ready");
  await world.apply("orders", { size: 3 });
  await world.reason("orders", "Ready");
  await world.apply("orders", { size: 1 });
  await world.reason("orders", "Ready");
  assert.equal([...unnamed], []);
  const role = JSON.stringify(world.find("rbac.authorization.k8s.io/roles", "orders")?.["rules"]);
  assert.ok(!role.includes("orders-1"), role);
});

test("claims of members scaled away stay, and go when asked for", async ({ world }) => {
  await world.apply("orders", { size: 2 });
  await world.reason("orders", "Ready");
  await world.apply("orders", { size: 1 });
  await world.reason("orders", "Ready");
  assert.equal(world.names("/persistentvolumeclaims", "orders"), ["data-orders-0", "data-orders-1"]);
  await world.apply("orders", { size: 1, pvcRetention: { whenScaled: "Delete" } });
  await until(4_000, "the claim to go", () => world.names("/persistentvolumeclaims", "orders").length === 1);
  assert.equal(world.names("/persistentvolumeclaims", "orders"), ["data-orders-0"]);
});

test("a restart on request goes through all members, the primary last, and happens once", async ({ world }) => {
  await world.apply("orders", { size: 3 });
  await world.reason("orders", "Ready");
  const before = new Map(world.api.objects("/pods").map(({ metadata }) => [metadata.name, metadata.uid]));
  await world.apply("orders", { size: 3 }, { "app.example.com/restart": "1" });
  await until(8_000, "all pods to be new", () => {
    const now = world.api.objects("/pods");
    return now.length === 3 && now.every(({ metadata }) => metadata.uid !== before.get(metadata.name));
  });
  await world.reason("orders", "Ready");
  const uids = world.api.objects("/pods").map(({ metadata }) => metadata.uid);
  await world.apply("orders", { size: 3 });
  await world.reason("orders", "Ready");
  assert.equal(
    world.api.objects("/pods").map(({ metadata }) => metadata.uid),
    uids,
    "taking it away restarts nobody",
  );
});

test("a switchover on request happens once; another id asks again", async ({ world }) => {
  await world.apply("orders", { size: 3 });
  const first = (await world.reason("orders", "Ready")).status?.primary;
  await world.apply("orders", { size: 3 }, { "app.example.com/switchover": "any@1" });
  const second = await until(8_000, "another primary", async () => {
    const { status } = await world.reason("orders", "Ready");
    return status?.primary !== first && status?.operations?.switchoverTo === undefined && status?.primary;
  });
  await world.apply("orders", { size: 3 }, { "app.example.com/switchover": `${first}@2` });
  await until(8_000, "the first primary again", async () => {
    const { status } = await world.reason("orders", "Ready");
    return status?.primary === first && status?.operations?.switchover === `${first}@2`;
  });
  assert.is.not(second, first);
});

test("a switchover to a member that is not there is refused with an event, and disturbs nobody", async ({ world }) => {
  await world.apply("orders", { size: 2 });
  const before = (await world.reason("orders", "Ready")).status?.primary;
  await world.apply("orders", { size: 2 }, { "app.example.com/switchover": "orders-9@1" });
  await until(
    4_000,
    "the event",
    () => world.api.objects("events").some((event) => event.reason === "SwitchoverRefused"),
  );
  assert.is((await world.reason("orders", "Ready")).status?.primary, before);
});

test("a volume grows, and the StatefulSet's template stays", async ({ world }) => {
  await world.apply("orders", { size: 1 });
  await world.reason("orders", "Ready");
  await world.apply("orders", { size: 1, storage: { size: "2Gi" } });
  await until(4_000, "the claim to grow", async () => {
    const claim = await world.client.get(persistentVolumeClaims, inShop("data-orders-0"));
    return claim?.spec?.resources?.requests?.storage === "2Gi";
  });
  await world.reason("orders", "Ready");
});

test("owned objects that are deleted or edited by hand come back", async ({ world }) => {
  await world.apply("orders", { size: 2 });
  await world.reason("orders", "Ready");
  for (const name of ["orders", "orders-ro"]) await world.client.delete(services, inShop(name));
  await world.client.patch(services, inShop("orders-pods"), {
    spec: { selector: { "app.example.com/database": "other" } },
  });
  await world.client.patch(configMaps, inShop("orders-patroni"), { data: { "patroni.yml": "scope: other" } });
  await until(4_000, "the Services", () => world.names("/services", "orders").length === 3);
  await until(4_000, "the selector", async () => {
    const service = await world.client.get(services, inShop("orders-pods"));
    return service?.spec?.selector?.["app.example.com/database"] === "orders";
  });
  await until(4_000, "the configuration", async () => {
    const configMap = await world.client.get(configMaps, inShop("orders-patroni"));
    return configMap?.data?.["patroni.yml"]?.includes('"scope": "orders"');
  });
});

test("a port of an owned Service that was edited by hand is put back", async ({ world }) => {
  await world.apply("orders", { size: 1 });
  await world.reason("orders", "Ready");
  const ports = [{ name: "postgres", port: 5433, protocol: "TCP", targetPort: "postgres" }];
  await world.client.patch(services, inShop("orders"), { spec: { ports } });
  await until(8_000, "the port", async () => {
    const service = await world.client.get(services, inShop("orders"));
    return service?.spec?.ports?.length === 1 && service.spec.ports[0]?.port === 5432;
  });
  await world.reason("orders", "Ready");
});

test("a StatefulSet deleted with its pods left is made anew, and the pods go on", async ({ world }) => {
  await world.apply("orders", { size: 3 });
  await world.reason("orders", "Ready");
  const before = world.api.objects("/pods").map(({ metadata }) => metadata.uid);
  await world.client.delete(statefulSets, inShop("orders"), { propagationPolicy: "Orphan" });
  await until(4_000, "the StatefulSet", () => world.find("apps/statefulsets", "orders"));
  await world.reason("orders", "Ready");
  assert.equal(world.api.objects("/pods").map(({ metadata }) => metadata.uid), before);
});

test("an object of a wanted name that belongs to somebody else is not touched and is named", async ({ world }) => {
  await world.client.create(services, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "orders-ro", namespace: "shop", labels: { team: "theirs" } },
    spec: { ports: [{ port: 80 }], selector: { app: "theirs" } },
  });
  const before = world.find("/services", "orders-ro");
  await world.apply("orders", { size: 1 });
  const { status } = await world.reason("orders", "NameConflict");
  assert.match(findCondition(status?.conditions, "Ready")?.message ?? "", 'Service "orders-ro"');
  assert.is(findCondition(status?.conditions, "Blocked")?.status, "True");
  assert.equal(world.find("/services", "orders-ro"), before);
  await world.client.delete(services, inShop("orders-ro"));
  // Nobody watches others' objects: it is looked at again after a while, or at the next change.
  await world.apply("orders", { size: 2 });
  await world.reason("orders", "Ready");
});

const theirs = (name: string) => ({ name, namespace: "shop", labels: { team: "theirs" } });
const strangers = {
  ConfigMap: {
    name: "orders-config",
    make: ({ client }: World) =>
      client.create(configMaps, { apiVersion: "v1", kind: "ConfigMap", metadata: theirs("orders-config") }),
    remove: ({ client }: World) => client.delete(configMaps, inShop("orders-config")),
  },
  PersistentVolumeClaim: {
    name: "data-orders-1",
    make: ({ client }: World) =>
      client.create(persistentVolumeClaims, {
        apiVersion: "v1",
        kind: "PersistentVolumeClaim",
        metadata: theirs("data-orders-1"),
        spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
      }),
    remove: ({ client }: World) => client.delete(persistentVolumeClaims, inShop("data-orders-1")),
  },
};

for (const [kind, { name, make, remove }] of Object.entries(strangers)) {
  test(`a ${kind} of somebody else under a name that Patroni or a member would use is not taken`, async ({ world }) => {
    await make(world);
    await world.apply("orders", { size: 2 });
    const { status } = await world.reason("orders", "NameConflict");
    assert.match(findCondition(status?.conditions, "Stalled")?.message ?? "", `${kind} "${name}"`);
    assert.equal(world.names("/pods", "orders"), []);
    await remove(world);
    const table = kind === "ConfigMap" ? "/configmaps" : "/persistentvolumeclaims";
    await until(4_000, `the ${kind} to go`, () => !world.find(table, name));
    await world.apply("orders", { size: 3 });
    await world.reason("orders", "Ready");
  });
}

test("a configuration that is no JSON is named and not written over", async ({ world }) => {
  await world.apply("orders", { size: 1 });
  await world.reason("orders", "Ready");
  const before = (await world.client.get(configMaps, inShop("orders-config")))?.metadata.annotations
    ?.["config"];
  await world.client.patch(configMaps, inShop("orders-config"), {
    metadata: { annotations: { config: "{" } },
  });
  await world.apply("orders", { size: 1, parameters: { work_mem: "8MB" } });
  const { status } = await world.reason("orders", "ConfigUnreadable");
  assert.is(findCondition(status?.conditions, "Available")?.status, "True");
  assert.is(
    (await world.client.get(configMaps, inShop("orders-config")))?.metadata.annotations?.["config"],
    "{",
  );
  await world.client.patch(configMaps, inShop("orders-config"), {
    metadata: { annotations: { config: before! } },
  });
  await world.reason("orders", "Ready");
});

test("an edited version on the StatefulSet is put back, and nobody believes in it", async ({ world }) => {
  await world.apply("orders", { size: 1 });
  await world.reason("orders", "Ready");
  for (const version of ["18", "new"]) {
    const template = { metadata: { annotations: { "app.example.com/version": version } } };
    await world.client.patch(statefulSets, inShop("orders"), { spec: { template } });
    await until(4_000, "the version", async () => {
      const { spec } = await world.client.get(statefulSets, inShop("orders")) ?? {};
      return spec?.template.metadata?.annotations?.["app.example.com/version"] === "17";
    });
  }
  await world.reason("orders", "Ready");
  assert.match(
    (await world.client.get(configMaps, inShop("orders-patroni")))?.data?.["patroni.yml"] ?? "",
    "/usr/lib/postgresql/17/bin",
  );
});

test("a Database is deleted although its StatefulSet lost the labels", async ({ world }) => {
  await world.apply("orders", { size: 2 });
  await world.reason("orders", "Ready");
  await world.apply("orders", { size: 2 }, { "app.example.com/paused": "true" });
  await world.reason("orders", "Paused");
  const labels = { "app.example.com/database": null, "app.kubernetes.io/managed-by": null };
  await world.client.patch(statefulSets, inShop("orders"), { metadata: { labels } });
  await world.client.delete(databases, inShop("orders"));
  await until(8_000, "the Database to go", () => !world.find("app.example.com/databases", "orders"));
  assert.equal(world.names("/pods", "orders"), []);
});

test("members whose StatefulSet is gone stop in the same order when their Database is deleted", async ({ world }) => {
  await world.apply("orders", { size: 3 });
  await world.reason("orders", "Ready");
  await world.apply("orders", { size: 3 }, { "app.example.com/paused": "true" });
  const { status } = await world.reason("orders", "Paused");
  await world.client.delete(statefulSets, inShop("orders"), { propagationPolicy: "Orphan" });
  const gone: string[] = [];
  const stop = world.api.subscribe(({ type, table, object }) => {
    if (type === "DELETED" && table === "/pods") gone.push(object.metadata.name);
  });
  await world.client.delete(databases, inShop("orders"));
  await until(8_000, "the Database to go", () => !world.find("app.example.com/databases", "orders"));
  stop();
  assert.equal([gone.length, gone.at(-1)], [3, status?.primary]);
});

test("a Database made again with durability Async starts with the member that led last", async ({ world }) => {
  await world.apply("orders", { size: 3, durability: "Async" });
  await world.reason("orders", "Ready");
  await world.apply("orders", { size: 3, durability: "Async" }, {
    "app.example.com/switchover": "orders-2@1",
  });
  await until(8_000, "the switchover", async () => {
    const { status } = await world.reason("orders", "Ready");
    return status?.primary === "orders-2";
  });
  const made: string[] = [], gone: string[] = [];
  const stop = world.api.subscribe(({ type, table, object }) => {
    if (table !== "/pods") return;
    if (type === "ADDED") made.push(object.metadata.name);
    if (type === "DELETED") gone.push(object.metadata.name);
  });
  await world.client.delete(databases, inShop("orders"));
  await until(8_000, "the Database to go", () => !world.find("app.example.com/databases", "orders"));
  assert.equal([gone.length, gone.at(-1)], [3, "orders-2"], "the primary stops last");
  await world.apply("orders", { size: 1, durability: "Async" });
  const { status } = await world.reason("orders", "Ready");
  stop();
  assert.equal([made.length, made[0]], [3, "orders-2"], "it starts first");
  assert.equal(status?.members?.map(({ name }) => name), ["orders-0"]);
});

test("two Databases that want the same name do not fight: the second says so", async ({ world }) => {
  await world.apply("orders", { size: 1 });
  await world.reason("orders", "Ready");
  await world.apply("orders-ro", { size: 1 });
  const { status } = await world.reason("orders-ro", "NameConflict");
  assert.match(findCondition(status?.conditions, "Ready")?.message ?? "", 'Service "orders-ro"');
  await world.reason("orders", "Ready");
});

test("a lost Secret is not made anew while there is data; running members go on", async ({ world }) => {
  await world.apply("orders", { size: 1 });
  await world.reason("orders", "Ready");
  const secret = world.find("/secrets", "orders-credentials")!;
  await world.client.delete(secrets, inShop("orders-credentials"));
  await world.apply("orders", { size: 1, parameters: { work_mem: "8MB" } });
  const { status } = await world.reason("orders", "CredentialsLost");
  assert.is(findCondition(status?.conditions, "Available")?.status, "True");
  assert.is(world.find("/secrets", "orders-credentials"), undefined);
  const { name, namespace, labels } = secret.metadata;
  await world.client.create(secrets, {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace: namespace!, labels: labels! },
    data: secret.data,
  } as never);
  await world.apply("orders", { size: 1, parameters: { work_mem: "9MB" } });
  await world.reason("orders", "Ready");
});

test("a mistyped Secret of TLS is told, and the own authority is still there when it is taken back", async ({ world }) => {
  await world.apply("orders", {});
  await world.reason("orders", "Ready");
  const authority = world.find("/secrets", "orders-ca")!.metadata;
  await world.apply("orders", { tls: { secretName: "mistyped" } });
  await world.reason("orders", "TlsSecretUnusable");
  await world.apply("orders", {});
  await world.reason("orders", "Ready");
  assert.is(world.find("/secrets", "orders-ca")?.metadata.uid, authority.uid);
});

test("deleting with Retain keeps claims, Secret and Patroni's state; the same name continues with them", async ({ world }) => {
  await world.apply("orders", { size: 2 });
  const before = await world.reason("orders", "Ready");
  const secret = world.find("/secrets", "orders-credentials");
  await world.client.delete(databases, inShop("orders"));
  await until(6_000, "the Database to go", () => !world.find("app.example.com/databases", "orders"));
  await until(
    4_000,
    "its objects to go",
    () =>
      world.names("/services", "orders").length === 0 &&
      world.names("apps/statefulsets", "orders").length === 0,
  );
  assert.equal(world.names("/pods", "orders"), []);
  assert.equal(world.names("/persistentvolumeclaims", "orders"), ["data-orders-0", "data-orders-1"]);
  assert.equal(world.find("/secrets", "orders-credentials"), secret);
  await world.apply("orders", { size: 2 });
  const after = await world.reason("orders", "Ready");
  assert.is(after.status?.systemIdentifier, before.status?.systemIdentifier);
  assert.equal(world.find("/secrets", "orders-credentials"), secret);
});

test("deleting with Delete leaves nothing", async ({ world }) => {
  await world.apply("orders", { size: 2, deletionPolicy: "Delete" });
  await world.reason("orders", "Ready");
  await world.client.delete(databases, inShop("orders"));
  await until(6_000, "the Database to go", () => !world.find("app.example.com/databases", "orders"));
  await until(
    6_000,
    "everything to go",
    () =>
      world.api.tables().filter((table) => !table.includes("events") && table !== "/persistentvolumes").every(
        (table) => world.names(table, "orders").length === 0,
      ),
  );
});

test("a Database that is gone already when its finalizer is to go is no error", async ({ world }) => {
  await world.apply("orders", { size: 1 });
  await world.reason("orders", "Ready");
  const lost = { kind: "Status", code: 404, reason: "NotFound", message: "gone" };
  world.api.intercept = {
    before: (_info, request) => {
      const { pathname } = new URL(request.url);
      return request.method === "PATCH" && pathname.endsWith("/databases/orders")
        ? Response.json(lost, { status: 404 })
        : undefined;
    },
  };
  await world.client.delete(databases, inShop("orders"));
  await until(6_000, "the end", () => world.log.some((line) => line.includes('"Deleted"')));
  await world.stop();
  assert.not.match(world.log.join("\n"), /Reconciler error/);
});

test("claims with data are never taken for empty when Patroni's state is lost", async ({ world }) => {
  await world.apply("orders", { size: 1 });
  await world.reason("orders", "Ready");
  await until(
    4_000,
    "the claim to be marked",
    () =>
      world.find("/persistentvolumeclaims", "data-orders-0")?.metadata.annotations
        ?.["app.example.com/system-identifier"],
  );
  await world.client.delete(databases, inShop("orders"));
  await until(6_000, "the Database to go", () => !world.find("app.example.com/databases", "orders"));
  for (const name of ["orders-config", "orders-leader"]) await world.client.delete(configMaps, inShop(name));
  await world.apply("orders", { size: 1 });
  const { status } = await world.reason("orders", "StateLost");
  assert.match(findCondition(status?.conditions, "Ready")?.message ?? "", "data-orders-0");
  assert.equal(world.names("/pods", "orders"), []);
});

test("a Database in a namespace that goes is let go, whatever is left of it", async ({ world }) => {
  await world.apply("orders", { size: 2 });
  await world.reason("orders", "Ready");
  await world.client.delete(services, inShop("orders"));
  const path = "http://api/api/v1/namespaces/shop";
  await world.api.fetch(new Request(path, { method: "DELETE" }));
  await until(
    8_000,
    "the namespace to go",
    async () => (await world.api.fetch(new Request(path))).status === 404,
  );
});

test("a paused Database is left alone and says so", async ({ world }) => {
  await world.apply("orders", { size: 1 });
  await world.reason("orders", "Ready");
  await world.apply("orders", { size: 2 }, { "app.example.com/paused": "true" });
  await world.reason("orders", "Paused");
  assert.equal(world.names("/pods", "orders"), ["orders-0"]);
  await world.apply("orders", { size: 2 }, {});
  const { status } = await world.reason("orders", "Ready");
  assert.is(status?.replicas, 2);
});

test("the operator stopped at any time goes on where it was", async ({ world }) => {
  await world.apply("orders", { size: 3 });
  for (let stop = 0; stop < 5; stop++) {
    await until(4_000, "something to happen", () => world.api.objects("/pods").length >= Math.min(3, stop));
    await world.stop();
    world.start();
  }
  await world.reason("orders", "Ready");
  assert.equal(world.names("/secrets", "orders"), ["orders-ca", "orders-credentials", "orders-tls"]);
});

test("no password is in a log line, an event or a status", async ({ world }) => {
  await world.apply("orders", { size: 1 });
  const { status } = await world.reason("orders", "Ready");
  const said = [...world.log, ...world.api.objects("events"), status].map((each) => JSON.stringify(each));
  assert.ok(said.length > 3);
  assert.equal(said.filter((text) => text.includes("test-password")), []);
});

test("every log line of a reconcile names its Database, and each pass begins with the same words", async ({ world }) => {
  await world.apply("orders", { size: 1 });
  await world.reason("orders", "Ready");
  const lines = world.log.map((line) => JSON.parse(line)).filter(({ logger }) =>
    logger === "controller_database"
  );
  assert.ok(lines.some(({ msg }) => msg === "Reconciling Database"));
  assert.ok(lines.every((line) => line["Request.Namespace"] === "shop" && line["Request.Name"] === "orders"));
});

test.run();
