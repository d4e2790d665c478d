/**
 * Chapters of a Database's life in which everything happens that the operator does. Each is short and begins in an empty
 * namespace; it fails when what it is about does not come about.
 * @module
 */
import { Buffer } from "node:buffer";
import type { DatabaseSpec } from "../../types/app.example.com/v1.ts";
import { databases } from "../../types/app.example.com/v1.ts";
import { persistentVolumeClaims, pods, secrets } from "../../types/core/v1.ts";
import type { World } from "./world.ts";

const inShop = (name: string) => ({ namespace: "shop", name });
const encoded = (text: string) => Buffer.from(text).toString("base64");
const s3: DatabaseSpec["backups"] = {
  s3: { endpoint: "https://store.example", bucket: "backups", secretName: "store" },
};
const volume = (size: string): DatabaseSpec["backups"] => ({ volume: { size } });

async function giveSecret(world: World, secretKey: string): Promise<void> {
  const data = { accessKey: encoded("key-id"), secretKey: encoded(secretKey) };
  await world.client.apply(secrets, {
    apiVersion: "v1",
    kind: "Secret",
    metadata: inShop("store"),
    data,
  });
}

const there = (world: World, table: string, name: string) =>
  world.until(`${table} ${name}`, () => world.find(table, name) !== undefined);
const gone = (world: World, table: string, name: string) =>
  world.until(`${table} ${name} to go`, () => world.find(table, name) === undefined);
const dataOf = (world: World, table: string, name: string) =>
  JSON.stringify(world.find(table, name)?.["data"]);

/** Made, and told of in events, a repeated one as a series. */
async function made(world: World): Promise<void> {
  await world.apply("orders", { size: 1 });
  await world.reason("orders", "Ready");
  // The refusal names the members there are: from here on it repeats itself.
  await world.apply("orders", { size: 1 }, { "app.example.com/switchover": "nobody@1" });
  const events = () => world.api.objects("events");
  await world.until("an event", () => events().some(({ reason }) => reason === "SwitchoverRefused"));
  await world.apply("orders", { size: 1 }, { "app.example.com/switchover": "nobody@2" });
  await world.until("the second refusal", async () => {
    return (await world.database("orders"))?.status?.operations?.switchover === "nobody@2";
  });
  await world.apply("orders", { size: 1 }, { "app.example.com/switchover": "nobody@1" });
  await world.until("a series of events", () => events().some(({ series }) => series !== undefined));
}

/** Two members: restarted one by one, switched over, their claims grown; then one, without its budget. */
async function changed(world: World): Promise<void> {
  const spec = { pvcRetention: { whenScaled: "Delete" as const }, storage: { size: "1Gi" } };
  await world.apply("orders", { ...spec, size: 2 });
  await world.reason("orders", "Ready");
  const before = world.api.objects("/pods").map(({ metadata }) => metadata.uid);
  await world.apply("orders", { size: 2, parameters: { work_mem: "8MB" }, storage: { size: "2Gi" } }, {
    "app.example.com/switchover": "any@1",
    "app.example.com/restart": "1",
  });
  await world.until("the switchover", async () => {
    return (await world.database("orders"))?.status?.operations?.switchover === "any@1";
  });
  await world.reason("orders", "Ready");
  await world.until("new pods", () => {
    return world.api.objects("/pods").every(({ metadata }) => !before.includes(metadata.uid));
  });
  await world.reason("orders", "Ready");
  await world.apply("orders", { ...spec, storage: { size: "2Gi" }, size: 1 });
  await world.reason("orders", "Ready");
  await gone(world, "policy/poddisruptionbudgets", "orders");
  await gone(world, "/persistentvolumeclaims", "data-orders-1");
}

/** Backups to a bucket, whose keys change, and users; then no backups. */
async function stored(world: World): Promise<void> {
  await giveSecret(world, "very-secret");
  const users = [{ name: "report" }];
  await world.apply("orders", { size: 1, backups: s3, users });
  await world.reason("orders", "Ready");
  const primary = (await world.database("orders"))!.status!.primary!;
  await world.client.patch(pods, inShop(primary), {
    metadata: { annotations: { "app.example.com/backup": "{}" } },
  });
  // What is refused of a feature stops nothing else: each of its objects is looked for.
  await there(world, "batch/cronjobs", "orders-backup-full");
  await there(world, "batch/jobs", "orders-backup-first");
  const before = dataOf(world, "/secrets", "orders-backup");
  await giveSecret(world, "another-secret");
  await world.apply("orders", { size: 1, backups: s3, users: [...users, { name: "more" }] });
  await world.until("the new key", () => dataOf(world, "/secrets", "orders-backup") !== before);
  await world.apply("orders", { size: 1, users });
  await gone(world, "batch/cronjobs", "orders-backup-full");
  await gone(world, "/services", "orders-backup");
  await gone(world, "/secrets", "orders-backup");
}

/** Backups on a volume, which grows; another Database begins with it, and both go with their data. */
async function copied(world: World): Promise<void> {
  await world.apply("orders", { size: 1, backups: volume("1Gi") });
  await world.reason("orders", "Ready");
  await there(world, "/persistentvolumeclaims", "orders-backup");
  await world.apply("orders", { size: 1, backups: volume("2Gi"), deletionPolicy: "Delete" });
  await world.reason("orders", "Ready");
  await world.apply("copy", {
    size: 1,
    restoreFrom: { repository: { volume: { claimName: "orders-backup" }, path: "/shop/orders-1" } },
  });
  await world.until("the copy to be looked at", async () => (await world.database("copy"))?.status);
  await world.apply("copy", { size: 1, deletionPolicy: "Delete", restoreFrom: { database: "orders" } });
  for (const name of ["copy", "orders"]) {
    await world.client.delete(databases, inShop(name));
    await world.until(`Database ${name} to go`, async () => await world.database(name) === undefined);
  }
  await world.until("their data to go", async () => {
    const { items } = await world.client.list(persistentVolumeClaims, { namespace: "shop" });
    return items.every(({ metadata }) => !metadata.name.startsWith("data-"));
  });
  await gone(world, "/configmaps", "orders-leader");
  await gone(world, "/secrets", "orders-credentials");
}

/** Another process takes over from one that stops, at once. */
async function takenOver(world: World): Promise<void> {
  await world.apply("orders", { size: 1 });
  await world.reason("orders", "Ready");
  await world.stop();
  await world.apply("orders", { size: 1, parameters: { work_mem: "8MB" } });
  world.start();
  await world.reason("orders", "Ready");
}

/** To another major version. */
async function upgraded(world: World): Promise<void> {
  await world.apply("older", { size: 1, version: "15" });
  await world.reason("older", "Ready");
  await world.apply("older", { size: 1, version: "17" });
  await world.until(
    "the upgrade",
    async () => (await world.database("older"))?.status?.version?.startsWith("17"),
  );
  await world.until("its Jobs to go", () => world.names("batch/jobs", "older").length === 0);
}

/** All of them. */
export const chapters: readonly ((world: World) => Promise<void>)[] = [
  made,
  changed,
  stored,
  copied,
  takenOver,
  upgraded,
];
