import { Buffer } from "node:buffer";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { desiredRole } from "../../postgres/rbac.ts";
import type { DatabaseSpec } from "../../types/app.example.com/v1.ts";
import { databases } from "../../types/app.example.com/v1.ts";
import { jobs } from "../../types/batch/v1.ts";
import { persistentVolumeClaims, pods, secrets } from "../../types/core/v1.ts";
import { until, within } from "../within.ts";
import { authorized, type Grant, grantsOf, shippedRules, worded } from "./rbac.ts";
import { World } from "./world.ts";

const inShop = (name: string) => ({ namespace: "shop", name });
const encoded = (text: string) => Buffer.from(text).toString("base64");
const s3: DatabaseSpec["backups"] = {
  s3: { endpoint: "https://store.example", bucket: "backups", secretName: "store" },
};
const volume = (size: string): DatabaseSpec["backups"] => ({ volume: { size } });

/** A Database's life in which everything happens that the operator does. */
async function life(world: World): Promise<void> {
  const giveSecret = (secretKey: string) =>
    world.client.apply(secrets, {
      apiVersion: "v1",
      kind: "Secret",
      metadata: inShop("store"),
      data: { accessKey: encoded("key-id"), secretKey: encoded(secretKey) },
    });
  const note = async (key: string, report: unknown) => {
    const primary = (await world.database("orders"))!.status!.primary!;
    const annotations = { [`app.example.com/${key}`]: JSON.stringify(report) };
    await world.client.patch(pods, inShop(primary), { metadata: { annotations } });
  };
  const gone = (table: string, name: string) =>
    until(5_000, `${table} ${name} to go`, () => !world.find(table, name));
  const there = (table: string, name: string) =>
    until(5_000, `${table} ${name}`, () => world.find(table, name) !== undefined);

  await giveSecret("very-secret");
  const users = [{ name: "report" }];
  const base = { pvcRetention: { whenScaled: "Delete" as const }, storage: { size: "1Gi" } };
  await world.apply("orders", { ...base, size: 3, backups: s3, users });
  await world.reason("orders", "Ready");
  await note("backup", {});
  await there("batch/jobs", "orders-backup-first");
  // The members' Secret follows, the claims grow, the parameters change.
  await giveSecret("another-secret");
  await world.apply("orders", {
    ...base,
    storage: { size: "2Gi" },
    size: 3,
    backups: s3,
    users: [...users, { name: "more" }],
    parameters: { work_mem: "8MB" },
  });
  await world.reason("orders", "Ready");
  await world.apply("orders", { ...base, storage: { size: "2Gi" }, size: 3, backups: s3 }, {
    "app.example.com/switchover": "any@1",
    "app.example.com/restart": "1",
  });
  await until(
    5_000,
    "the switchover",
    async () => (await world.database("orders"))?.status?.operations?.switchover === "any@1",
  );
  await world.reason("orders", "Ready");
  await world.apply("orders", { ...base, storage: { size: "2Gi" }, size: 1, backups: volume("1Gi") });
  await world.reason("orders", "Ready");
  await gone("policy/poddisruptionbudgets", "orders");
  await there("/persistentvolumeclaims", "orders-backup");
  await world.apply("orders", { ...base, storage: { size: "2Gi" }, size: 1, backups: volume("2Gi") });
  await world.reason("orders", "Ready");
  await world.apply("orders", { ...base, storage: { size: "2Gi" }, size: 1 });
  await gone("batch/cronjobs", "orders-backup-full");
  await gone("/services", "orders-backup");
  await gone("/secrets", "orders-backup");
  // One that begins with the volume of another.
  await world.apply("copy", {
    size: 1,
    restoreFrom: { repository: { volume: { claimName: "orders-backup" }, path: "/shop/orders-1" } },
  });
  await until(5_000, "the copy to be looked at", async () => (await world.database("copy"))?.status);
  await world.apply("copy", { size: 1, deletionPolicy: "Delete", restoreFrom: { database: "orders" } });
  await world.client.delete(databases, inShop("copy"));
  await world.apply("orders", { ...base, storage: { size: "2Gi" }, size: 1, deletionPolicy: "Delete" });
  await world.reason("orders", "Ready");
  await world.client.delete(databases, inShop("orders"));
  await until(8_000, "the Database to go", async () => await world.database("orders") === undefined);
  await until(5_000, "its claims to go", async () => {
    const { items } = await world.client.list(persistentVolumeClaims, { namespace: "shop" });
    return items.every(({ metadata }) => !metadata.name.startsWith("data-orders"));
  });
  await world.apply("older", { size: 1, version: "15" });
  await world.reason("older", "Ready");
  await world.apply("older", { size: 1, version: "17" });
  await until(
    10_000,
    "the upgrade",
    async () => (await world.database("older"))?.status?.version?.startsWith("17"),
  );
  await until(5_000, "its Jobs to go", () => world.names("batch/jobs", "older").length === 0);
  await world.client.list(jobs, { namespace: "shop" });
}

async function livedWith(
  grants: readonly Grant[],
): Promise<{ used: Set<Grant>; refused: Set<string>; world: World }> {
  const used = new Set<Grant>(), refused = new Set<string>();
  const world: World = new World({
    elects: true,
    between: (rest) =>
      authorized(rest, grants, {
        used,
        refused,
        exists: async (path) => (await world.api.fetch(new Request(new URL(path, "http://api")))).ok,
      }),
  });
  world.start();
  try {
    await within(40_000, life(world), "a life");
  } catch (cause) {
    throw new Error(`${(cause as Error).message}; refused: ${[...refused].join(", ") || "nothing"}`, {
      cause,
    });
  } finally {
    await world.close();
  }
  return { used, refused, world };
}

/** Granted for what is no request of the operator's own, with the reason. */
const notRequested: Readonly<Record<string, string>> = {
  "update databases/finalizers": "asked by the admission plugin OwnerReferencesPermissionEnforcement",
  "patch events": "a series of the same event, which no life here has",
};

test("the operator makes no request that deploy/rbac.yaml does not allow, and needs every verb in it", async () => {
  const grants = grantsOf(shippedRules());
  const { used, refused, world } = await livedWith(grants);
  assert.equal([...refused], []);
  assert.not.match(world.log.join("\n"), /forbidden/);
  const members = grantsOf(
    desiredRole({ metadata: { name: "orders", namespace: "shop" }, spec: { version: "17" } }, []).rules,
  ).map(worded);
  const unused = grants.filter((grant) => !used.has(grant)).map(worded)
    .filter((grant) => !members.includes(grant) && !(grant in notRequested));
  assert.equal(unused, [], "granted, never used");
});

test.run();
