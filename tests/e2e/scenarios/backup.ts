/**
 * Backups to a real S3 store. It needs one, as E2E_S3 (JSON: endpoint, bucket, region, accessKey, secretKey, ca: a file).
 * @module
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { until } from "../../within.ts";
import { conditionOf, database, leader, members, ready, sql } from "../database.ts";
import { check, discard, ensure, type Run, type Scenario } from "../scenario.ts";

const name = "backedup";
const secretName = `${name}-store`;

interface Store {
  endpoint: string;
  bucket: string;
  region: string;
  accessKey: string;
  secretKey: string;
  ca: string;
}

function storeOf(): Store {
  check(
    process.env.E2E_S3,
    "E2E_S3 is not set: JSON with endpoint, bucket, region, accessKey, secretKey, ca",
  );
  return JSON.parse(process.env.E2E_S3) as Store;
}

async function giveSecret(run: Run, store: Store): Promise<void> {
  const { accessKey, secretKey } = store;
  await run.kubectl.apply({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: secretName },
    stringData: { accessKey, secretKey, "ca.crt": readFileSync(store.ca, "utf8") },
  });
}

async function patch(run: Run, spec: Record<string, unknown>): Promise<void> {
  await run.kubectl.run(["patch", "databases", name, "--type=merge", "--patch", JSON.stringify({ spec })]);
}

/** Waits for a reason of BackupHealthy; returns how long it took in milliseconds. */
async function health(run: Run, reason: string, timeoutMs: number): Promise<number> {
  const startedMs = Date.now();
  await until(timeoutMs, `BackupHealthy to be ${reason}`, async () => {
    const found = conditionOf(await run.kubectl.get("databases.app.example.com", name), "BackupHealthy");
    if (found?.["reason"] === reason) return true;
    throw new Error(`${found?.["reason"]}: ${found?.["message"]}`);
  }, 1000);
  return Date.now() - startedMs;
}

async function uids(run: Run): Promise<string> {
  return (await members(run.kubectl, name)).map(({ metadata }) => metadata.uid).join();
}

/** Waits until the Job has succeeded. */
async function finished(run: Run, job: string, timeoutMs: number): Promise<void> {
  await until(timeoutMs, `Job ${job} to succeed`, async () => {
    const status = (await run.kubectl.get("job", job))?.["status"];
    if (status?.succeeded >= 1) return true;
    throw new Error(JSON.stringify(status));
  }, 1000);
}

/** Waits until Ready has this reason; returns its message. */
async function reason(run: Run, database: string, reason: string): Promise<string> {
  return await until(180_000, `Database ${database} to be ${reason}`, async () => {
    const found = conditionOf(await run.kubectl.get("databases.app.example.com", database), "Ready");
    if (found?.["reason"] === reason) return String(found["message"]);
    throw new Error(`${found?.["reason"]}: ${found?.["message"]}`);
  }, 500);
}

/** The time as the server has it. */
async function serverTime(run: Run, pod: string): Promise<string> {
  return await sql(
    run.kubectl,
    pod,
    `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`,
  );
}

async function restored(run: Run): Promise<void> {
  const { kubectl } = run;
  const store = storeOf();
  await giveSecret(run, store);
  const { endpoint, bucket, region } = store;
  const s3 = { endpoint, bucket, region, pathStyle: true, secretName };
  const source = "source", copy = "copy";
  await kubectl.apply(database(source, { size: 1, backups: { s3 } }));
  await ready(kubectl, source, 120_000);
  const found = await until(120_000, "a first backup", async () => {
    const found = await kubectl.get("databases.app.example.com", source);
    return found?.["status"]?.backup?.lastId ? found : undefined;
  }, 500);
  const pod = `${source}-0`;
  await sql(kubectl, pod, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS id");
  const targetTime = await serverTime(run, pod);
  await sql(kubectl, pod, "INSERT INTO t SELECT generate_series(1001, 2000)");
  await sql(kubectl, pod, "DROP TABLE t; CREATE TABLE after_it (); SELECT pg_switch_wal()");

  // Out of range, both ways; then corrected.
  await kubectl.apply(
    database(copy, { size: 2, restoreFrom: { database: source, targetTime: "2001-01-01T00:00:00Z" } }),
  );
  const early = await reason(run, copy, "RestoreFailed");
  check(
    early.includes(`earliest possible time ${found["status"].backup.firstRecoverableTime}`),
    `the range is not told: ${early}`,
  );
  const correct = async (restoreFrom: unknown) => {
    await kubectl.run([
      "patch",
      "databases",
      copy,
      "--type=merge",
      "--patch",
      JSON.stringify({ spec: { restoreFrom } }),
    ]);
    for (const { metadata } of await members(kubectl, copy)) await kubectl.delete("pod", metadata.name);
  };
  const startedMs = Date.now();
  await correct({ targetTime });
  await ready(kubectl, copy, 240_000);
  run.figure("corrected to Ready with two members", Date.now() - startedMs, "ms", 240_000);
  const primary = (await leader(kubectl, copy))!;
  check(
    await sql(kubectl, primary, "SELECT count(*), max(id) FROM t") === "1000|1000",
    "not the rows of that time",
  );
  const script = 'PGPASSWORD=$(cat /etc/credentials/password) psql -XAtqc "SELECT 1" -h 127.0.0.1 -U app app';
  check((await kubectl.exec(primary, ["sh", "-c", script])).trim() === "1", "the new password does not work");
  await discard(run, copy);

  // The source is gone: its repository is not.
  const { uid } = found.metadata;
  await discard(run, source);
  const path = `/${kubectl.namespace}/${source}-${uid}`;
  const repository = { s3, path };
  await kubectl.apply(database(copy, { size: 1, restoreFrom: { repository } }));
  await ready(kubectl, copy, 240_000);
  const tables = await sql(
    kubectl,
    `${copy}-0`,
    "SELECT to_regclass('t') IS NULL, to_regclass('after_it') IS NOT NULL",
  );
  check(tables === "t|t", `not all that was archived: ${tables}`);
  await discard(run, copy);
  const backup = found["status"].backup.lastId as string;
  await kubectl.apply(database(copy, { size: 1, restoreFrom: { repository, backup } }));
  await ready(kubectl, copy, 240_000);
  const none = await sql(
    kubectl,
    `${copy}-0`,
    "SELECT to_regclass('t') IS NULL, to_regclass('after_it') IS NULL",
  );
  check(none === "t|t", `not as it was at the end of the backup: ${none}`);
  await discard(run, copy);
  await kubectl.delete("secret", secretName);
}

async function backedUp(run: Run): Promise<void> {
  const { kubectl } = run;
  const store = storeOf();
  await giveSecret(run, store);
  await ensure(run, name, { size: 2 });
  const before = await uids(run);

  const { endpoint, bucket, region } = store;
  const s3 = { endpoint, bucket, region, pathStyle: true, secretName };
  await patch(run, { backups: { s3 } });
  run.figure(
    "backups switched on to the first one done",
    await health(run, "Healthy", 180_000),
    "ms",
    180_000,
  );
  check(await uids(run) === before, "switching backups on replaced a member");
  const table = await kubectl.run(["get", "databases", name, "--output=wide"]);
  check(/BACKUP/.test(table), `kubectl get databases -o wide lacks BACKUP:\n${table}`);

  // By hand, from the CronJob that has no schedule; the primary goes while it is made.
  const primary = (await leader(kubectl, name))!;
  await sql(
    kubectl,
    primary,
    "CREATE TABLE bulk AS SELECT id, repeat(md5(id::text), 30) FROM generate_series(1, 100000) id",
  );
  await kubectl.run(["create", "job", `--from=cronjob/${name}-backup-full`, "by-hand"]);
  await until(
    60_000,
    "the backup to run",
    async () => (await kubectl.try(["logs", "job/by-hand"])).stdout.includes("running"),
    250,
  );
  const startedMs = Date.now();
  await kubectl.delete("pod", primary);
  await finished(run, "by-hand", 240_000);
  run.figure("primary deleted to the backup done on the next", Date.now() - startedMs, "ms", 240_000);
  await ready(kubectl, name, 120_000);
  check(await leader(kubectl, name) !== primary, "the primary was not failed over");
  await health(run, "Healthy", 60_000);

  // By annotation, once.
  const asked = (id: string) =>
    kubectl.run(["annotate", "--overwrite", "databases", name, `app.example.com/backup=${id}`]);
  await asked("incr@asked");
  await finished(run, `${name}-backup-asked`, 120_000);

  // By schedule, each minute.
  await patch(run, { backups: { schedule: { incr: "* * * * *" } } });
  await until(150_000, "a scheduled backup", async () => {
    return (await kubectl.list("jobs")).some(({ metadata, status }) =>
      metadata.name.startsWith(`${name}-backup-incr-`) && status?.succeeded >= 1
    );
  }, 1000);
  await patch(run, { backups: { schedule: null } });

  // Wrong keys.
  await giveSecret(run, { ...store, secretKey: "not-the-key-at-all" });
  const toldMs = await health(run, "RepositoryUnreachable", 180_000);
  run.figure("wrong key to the reason in the status", toldMs, "ms", 180_000);
  const rows = await sql(
    kubectl,
    (await leader(kubectl, name))!,
    "INSERT INTO bulk VALUES (0, '') RETURNING id",
  );
  check(rows === "0", "the Database does not take writes while its repository is unreachable");
  await giveSecret(run, store);
  run.figure("right key to healthy again", await health(run, "Healthy", 240_000), "ms", 240_000);

  // Nothing secret where it does not belong.
  const pods = await members(kubectl, name);
  const texts = await Promise.all([
    ...pods.map(({ metadata }) => kubectl.logs(metadata.name, "--all-containers")),
    kubectl.run(["get", "pods,jobs,cronjobs,databases,configmaps,events", "--output=json"]),
    ...pods.map(({ metadata }) =>
      kubectl.exec(metadata.name, ["sh", "-c", "cat /proc/[0-9]*/cmdline /proc/self/environ | tr '\\0' ' '"])
    ),
  ]);
  for (const secret of [store.secretKey, "not-the-key-at-all"]) {
    const at = texts.findIndex((text) => text.includes(secret));
    check(at < 0, `text ${at} of logs, objects and processes holds a secret key`);
  }

  const last = await uids(run);
  await patch(run, { backups: null });
  await until(60_000, "nothing to be archived", async () => {
    const command = await sql(kubectl, (await leader(kubectl, name))!, "SHOW archive_command");
    return command === "/bin/true" && (await kubectl.list("cronjobs")).length === 0;
  }, 1000);
  check(await uids(run) === last, "switching backups off replaced a member");
  await discard(run, name);
  await kubectl.delete("secret", secretName);
  await kubectl.delete("job", "by-hand");
}

export const backup: readonly Scenario[] = [
  {
    name: "backup",
    what:
      "backups to S3 by hand, request and schedule; through a failover and wrong keys; on and off without a restart",
    optional: true,
    run: backedUp,
  },
  {
    name: "restore",
    what:
      "to a time, to all there is and to a named backup, also when the source is gone; a wrong target is corrected",
    optional: true,
    run: restored,
  },
];
