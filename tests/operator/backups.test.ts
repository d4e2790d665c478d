import { suite } from "uvu";
import * as assert from "uvu/assert";
import { findCondition } from "../../runtime/mod.ts";
import { databases, type DatabaseSpec } from "../../types/app.example.com/v1.ts";
import { cronJobs, jobs } from "../../types/batch/v1.ts";
import { configMaps, persistentVolumeClaims, pods, secrets } from "../../types/core/v1.ts";
import { until } from "../within.ts";
import { World } from "./world.ts";

const test = suite("backups", { world: new World() });
test.before.each((context) => {
  context.world = new World().start();
});
test.after.each(async ({ world }) => await world.close());

const inShop = (name: string) => ({ namespace: "shop", name });
const backups: DatabaseSpec["backups"] = {
  s3: { endpoint: "https://store.example", bucket: "backups", secretName: "store" },
  schedule: { full: "0 1 * * *" },
};
const encoded = (text: string) => Buffer.from(text).toString("base64");

async function giveSecret(world: World, secretKey = "very-secret"): Promise<void> {
  await world.client.apply(secrets, {
    apiVersion: "v1",
    kind: "Secret",
    metadata: inShop("store"),
    data: { accessKey: encoded("key-id"), secretKey: encoded(secretKey) },
  });
}

/** What the agent beside the primary would note. */
async function report(world: World, text: unknown): Promise<void> {
  const primary = (await world.database("orders"))?.status?.primary ?? "orders-0";
  const annotations = { "app.example.com/backup": JSON.stringify(text) };
  await world.client.patch(pods, inShop(primary), { metadata: { annotations } });
}

async function healthReason(world: World, want: string | undefined): Promise<void> {
  await until(5_000, `BackupHealthy to be ${want}`, async () => {
    const found = findCondition((await world.database("orders"))?.status?.conditions, "BackupHealthy");
    if (found?.reason === want) return true;
    throw new Error(`${found?.reason}: ${found?.message}`);
  });
}

async function archiveCommand(world: World): Promise<string> {
  const config = await world.client.get(configMaps, inShop("orders-config"));
  return JSON.parse(config?.metadata?.annotations?.["config"] ?? "{}").postgresql?.parameters
    ?.archive_command;
}

const last = { id: "20261123-100000F", time: "2026-11-23T10:00:00Z", size: 1000 };

test("backups are switched on and off without touching a member", async ({ world }) => {
  await giveSecret(world);
  await world.apply("orders", { size: 2 });
  await world.reason("orders", "Ready");
  const uids = async () =>
    (await world.client.list(pods, { namespace: "shop" })).items.map(({ metadata }) => metadata?.uid).sort();
  const before = await uids();
  assert.is(await archiveCommand(world), "/bin/true");

  await world.apply("orders", { size: 2, backups });
  await until(
    5_000,
    "the archive command",
    async () => (await archiveCommand(world)).includes("archive-push"),
  );
  const secret = await world.client.get(secrets, inShop("orders-backup"));
  const text = Buffer.from(secret?.data?.["pgbackrest.conf"] ?? "", "base64").toString();
  assert.match(text, /\nrepo1-s3-key-secret=very-secret\n/);
  assert.is(secret?.metadata?.annotations, undefined, "no hash of what is secret");
  await until(5_000, "the CronJobs", () => world.names("batch/cronjobs", "orders").length === 5);
  const full = await world.client.get(cronJobs, inShop("orders-backup-full"));
  assert.is(full?.spec?.suspend, false);
  assert.is(full?.spec?.concurrencyPolicy, "Forbid");

  await world.apply("orders", { size: 2 });
  await until(5_000, "the archive command", async () => (await archiveCommand(world)) === "/bin/true");
  await until(5_000, "the CronJobs to go", () => world.names("batch/cronjobs", "orders").length === 0);
  await until(5_000, "the Secret to go", () => !world.find("/secrets", "orders-backup"));
  await healthReason(world, undefined);
  assert.equal(world.names("/services", "orders"), ["orders", "orders-pods", "orders-ro"]);
  assert.equal(await uids(), before);
});

test("without the repository's Secret nothing is archived, and the condition says why; then it heals", async ({ world }) => {
  await world.apply("orders", { size: 1, backups });
  await world.reason("orders", "Ready");
  await healthReason(world, "RepositoryUnusable");
  assert.is(await archiveCommand(world), "/bin/true", "archiving that fails would fill the volume");
  await giveSecret(world);
  await world.apply("orders", { size: 1, backups, durability: "Async" }); // wakes it before the minute is over
  await healthReason(world, "NotChecked");
  assert.match(await archiveCommand(world), /archive-push/);
});

test("the agent's report becomes status and condition, and the first backup is made at once, once", async ({ world }) => {
  await giveSecret(world);
  await world.apply("orders", { size: 1, backups });
  await world.reason("orders", "Ready");
  await report(world, { problem: "[039]: HTTP request failed with 403 (Forbidden)" });
  await healthReason(world, "RepositoryUnreachable");
  assert.equal(world.names("batch/jobs", "orders"), []);
  await report(world, {});
  await healthReason(world, "NoBackup");
  await until(5_000, "the first backup", () => world.find("batch/jobs", "orders-backup-first") !== undefined);
  await report(world, { first: "2026-11-23T10:00:00Z", last });
  await healthReason(world, "Healthy");
  const { status } = (await world.database("orders"))!;
  assert.equal(status?.backup, {
    lastId: last.id,
    lastSuccessTime: last.time,
    size: 1000,
    firstRecoverableTime: last.time,
  });
  assert.not.match(world.log.join("\n") + JSON.stringify(status), /very-secret|key-id/);
});

test("a backup asked for by annotation is made once, whatever is asked for afterwards", async ({ world }) => {
  await giveSecret(world);
  await world.apply("orders", { size: 1, backups });
  await world.reason("orders", "Ready");
  const ask = (id: string) =>
    world.client.patch(databases, inShop("orders"), {
      metadata: { annotations: { "app.example.com/backup": id } },
    });
  const answered = (id: string) =>
    until(5_000, `${id} to be answered`, async () => {
      return (await world.database("orders"))?.status?.operations?.backup === id;
    });
  await ask("diff@before-42");
  await answered("diff@before-42");
  const job = (await world.client.get(jobs, inShop("orders-backup-before-42")))!;
  assert.equal(job.spec?.template.spec?.containers[0]?.command?.slice(-1), ["diff"]);
  await world.client.delete(jobs, inShop("orders-backup-before-42"), { propagationPolicy: "Background" });
  await until(5_000, "the Job to go", () => !world.find("batch/jobs", "orders-backup-before-42"));
  await world.stop();
  world.start();
  for (const refused of ["full-1", "Not a name", "all@x", "x".repeat(16)]) {
    await ask(refused);
    await answered(refused);
  }
  assert.equal(world.names("batch/jobs", "orders"), []);
});

test("a schedule that the API server refuses is told in the condition, and the rest goes on", async ({ world }) => {
  await giveSecret(world);
  // The simulation takes every schedule; kube-apiserver answers this.
  const message = 'CronJob.batch "orders-backup-full" is invalid: spec.schedule: Invalid value: "99 1 * * *"';
  const refusal = {
    kind: "Status",
    apiVersion: "v1",
    status: "Failure",
    reason: "Invalid",
    code: 422,
    message,
  };
  world.api.intercept = {
    before: (_info, request) =>
      request.method === "PATCH" && request.url.includes("/cronjobs/")
        ? Response.json(refusal, { status: 422 })
        : undefined,
  };
  await world.apply("orders", { size: 1, backups: { ...backups, schedule: { full: "99 1 * * *" } } });
  await world.reason("orders", "Ready");
  await until(5_000, "the condition", async () => {
    const found = findCondition((await world.database("orders"))?.status?.conditions, "BackupHealthy");
    return found?.reason === "RepositoryUnusable" && /schedule/.test(found.message);
  });
});

test("nothing is made before what it begins with is there; then it is restored, and the files of it go", async ({ world }) => {
  await giveSecret(world);
  await world.apply("copy", { size: 1, restoreFrom: { database: "orders" } });
  await world.reason("copy", "RestoreSourceUnusable");
  assert.equal(world.names("apps/statefulsets", "copy"), []);
  await world.apply("orders", { size: 1, backups });
  const source = await world.reason("orders", "Ready");
  const seen: string[][] = [];
  const end = world.api.subscribe(({ table, object }) => {
    if (table === "/secrets" && object.metadata.name === "copy-backup") {
      seen.push(Object.keys(object.data).sort());
    }
  });
  await world.apply("copy", {
    size: 1,
    restoreFrom: { database: "orders", targetTime: "2026-11-23T10:00:00Z" },
  });
  await world.reason("copy", "Ready");
  await until(5_000, "the files to go", () => world.find("/secrets", "copy-backup") === undefined);
  end();
  assert.equal(seen[0], ["restore.conf", "restore.json", "token"]);
  const patroni = await world.client.get(configMaps, inShop("copy-patroni"));
  assert.is(JSON.parse(patroni?.data?.["patroni.yml"] ?? "").bootstrap.method, "restore");

  let refused = "";
  await world.apply("copy", {
    size: 1,
    restoreFrom: { database: source.metadata.name, backup: "20261123-100000F" },
  })
    .catch((error: Error) => refused = error.message);
  assert.match(refused, /restoreFrom cannot be set or changed once there is data/);
  await world.apply("orders", { size: 1, backups, restoreFrom: { database: "copy" } })
    .catch((error: Error) => refused = error.message);
  assert.match(refused, /restoreFrom cannot be set/);
  await world.apply("copy", { size: 1 });
  await world.reason("copy", "Ready");
});

test("a repository on a volume is mounted by a restart of each member, and its claim goes only with the data", async ({ world }) => {
  await world.apply("orders", { size: 2 });
  await world.reason("orders", "Ready");
  await world.apply("orders", { size: 2, backups: { volume: { size: "4Gi" } } });
  await healthReason(world, "NotChecked");
  await world.reason("orders", "Ready");
  assert.match(await archiveCommand(world), /archive-push/);
  for (const pod of (await world.client.list(pods, { namespace: "shop" })).items) {
    assert.ok(pod.spec?.volumes?.some((one) => one.persistentVolumeClaim?.claimName === "orders-backup"));
  }
  const claim = await world.client.get(persistentVolumeClaims, inShop("orders-backup"));
  assert.equal(claim?.spec?.accessModes, ["ReadWriteMany"]);

  // Grows; stays without backups, and when the Database goes; goes with the data.
  await world.apply("orders", { size: 2, backups: { volume: { size: "5Gi" } } });
  const storage = () =>
    world.find("/persistentvolumeclaims", "orders-backup")?.["spec"].resources.requests.storage;
  await until(5_000, "the claim to grow", () => storage() === "5Gi");
  let refused = "";
  await world.apply("orders", { size: 2, backups: { volume: { size: "4Gi" } } })
    .catch((error: Error) => refused = error.message);
  assert.match(refused, /spec.backups.volume.size cannot shrink/);
  await world.apply("orders", { size: 2 });
  await world.reason("orders", "Ready");
  await world.client.delete(databases, inShop("orders"));
  await until(5_000, "the Database to go", async () => !await world.database("orders"));
  assert.is(storage(), "5Gi");
  await world.apply("orders", { size: 1, deletionPolicy: "Delete", backups: { volume: { size: "1Gi" } } });
  await world.reason("orders", "Ready");
  assert.is(storage(), "5Gi", "an earlier claim keeps its size");
  await world.client.delete(databases, inShop("orders"));
  await until(5_000, "the claim to go", () => storage() === undefined);
});

test("with finalBackup the data goes only after a last backup", async ({ world }) => {
  await giveSecret(world);
  const spec: Partial<DatabaseSpec> = {
    size: 1,
    deletionPolicy: "Delete",
    backups: { ...backups, finalBackup: true },
  };
  await world.apply("orders", spec);
  await world.reason("orders", "Ready");
  // What had become of the last backup when the member was told to go.
  let succeeded: unknown;
  const end = world.api.subscribe(({ table, object }) => {
    if (table !== "/pods" || object.metadata.name !== "orders-0" || !object.metadata.deletionTimestamp) {
      return;
    }
    succeeded ??= world.find("batch/jobs", "orders-backup-final")?.["status"]?.succeeded ?? "not there";
  });
  await world.client.delete(databases, inShop("orders"));
  await until(8_000, "the Database to go", async () => !await world.database("orders"));
  end();
  assert.is(succeeded, 1);
  await until(4_000, "its claim to go", () => !world.find("/persistentvolumeclaims", "data-orders-0"));
});

test("a Database restored from a volume mounts it until there is data", async ({ world }) => {
  await world.apply("copy", {
    size: 1,
    restoreFrom: { repository: { volume: { claimName: "old" }, path: "/shop/orders-u-1" } },
  });
  const blocked = await world.reason("copy", "RestoreSourceUnusable");
  assert.match(JSON.stringify(blocked.status?.conditions), /spec.restoreFrom: claim \\"old\\" is not there/);
  await world.apply("orders", { size: 1, backups: { volume: { size: "4Gi" } } });
  await world.reason("orders", "Ready");
  const mounted: string[] = [];
  const end = world.api.subscribe(({ table, object }) => {
    if (table !== "/pods" || object.metadata.labels?.["app.example.com/database"] !== "copy") return;
    const volume = object["spec"].volumes.find(({ name }: { name: string }) => name === "restore");
    mounted.push(volume?.persistentVolumeClaim.claimName);
  });
  await world.apply("copy", { size: 1, restoreFrom: { database: "orders" } });
  await until(5_000, "the restore", () => mounted.length > 0);
  await until(5_000, "the mount to go", () => mounted.at(-1) === undefined);
  end();
  assert.is(mounted[0], "orders-backup");
  await world.reason("copy", "Ready");
});

test("crd.yaml refuses a repository that is none", async ({ world }) => {
  const s3 = backups.s3;
  for (
    const wrong of [
      {},
      { s3: { ...s3, endpoint: "http://plain.example" } },
      { s3: { ...s3, endpoint: "https://a.example\nrepo1-host=b" } },
      { s3: { ...s3, bucket: "a/b" } },
      { s3, volume: { size: "1Gi" } },
      { volume: { size: "0" } },
      { s3, schedule: { full: "@daily" } },
      { s3, retention: { count: 1, days: 1 } },
      { s3, retention: { count: 0 } },
    ]
  ) {
    let refused = "";
    await world.apply("orders", { backups: wrong as never }).catch((error: Error) => refused = error.message);
    assert.match(refused, /spec\.backups/, JSON.stringify(wrong));
  }
});

test.run();
