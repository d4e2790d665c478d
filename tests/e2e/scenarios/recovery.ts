/**
 * What comes back from a repository: the last commit of a quiet Database, both ends of the range, exactly the rows of a
 * time, and what a deleted Database left.
 * @module
 */
import { until } from "../../within.ts";
import { conditionOf, database, leader, members, ready, sql } from "../database.ts";
import { Kubectl } from "../kubectl.ts";
import { secondNamespace } from "../local.ts";
import {
  archived,
  archivedMs,
  backedUp,
  backupsOf,
  corrected,
  get,
  health,
  type Kind,
  onBoth,
  patch,
  pathOf,
  pgbackrest,
  primaryOf,
  Repository,
  restored,
  serverTime,
  succeeds,
  unready,
} from "../repositories.ts";
import { bar, check, discard, type Run, type Scenario } from "../scenario.ts";
import { Writer } from "../writer.ts";

async function quiet(run: Run, kind: Kind): Promise<void> {
  const { kubectl } = run;
  const name = `quiet-${kind}`, copy = `${name}-copy`, second = `${name}-first`;
  const repository = new Repository(kind, name);
  // The server's time zone and its backups' times have nothing to do with each other.
  const found = await backedUp(run, repository, { parameters: { timezone: "Asia/Tokyo" } });
  const { lastId } = found["status"].backup;

  // One row, and then nothing.
  await sql(kubectl, `${name}-0`, "CREATE TABLE last_row AS SELECT 1 AS id");
  run.figure(`last commit to the archive, ${kind}`, await archived(run, name), "ms", archivedMs);
  const moved = await until(240_000, `lastRecoverableTime of ${name} to move`, async () => {
    const { backup } = (await get(run, name))["status"] as { backup: Record<string, string> };
    return backup["lastRecoverableTime"]! > found["status"].backup.lastRecoverableTime ? backup : undefined;
  }, 1000);
  const { firstRecoverableTime: first = "", lastRecoverableTime: last = "" } = moved;

  // Out of range on both sides, told with the range; corrected on the same Database.
  const hour = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString();
  // The last of them is near, but not so near that the archive gets there before the restore looks.
  const wrong = ["2001-01-01T00:00:00Z", hour(1), hour(0.1)];
  await kubectl.apply(
    database(copy, { size: 1, restoreFrom: { database: name, targetTime: wrong[0] } }),
  );
  for (const [i, targetTime] of wrong.entries()) {
    if (i > 0) await corrected(run, copy, { targetTime });
    const told = await until(120_000, `the range for ${targetTime}`, async () => {
      const message = await unready(run, copy, "RestoreFailed");
      return message.includes(targetTime.slice(0, 19)) ? message : undefined;
    }, 500);
    // The repository is read again for it: it may know of more than the status.
    const times = [...told.matchAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g)].map(([time]) => time);
    check(
      times.includes(first) && times.some((time) => time >= last),
      `no range: ${told}`,
    );
    check(!await leader(kubectl, copy), "an attempt that failed left a Database");
  }
  const startedMs = Date.now();
  await corrected(run, copy, { targetTime: last });
  await ready(kubectl, copy, 240_000);
  run.figure(`corrected to Ready, ${kind}`, Date.now() - startedMs, "ms", 240_000);
  const primary = await primaryOf(kubectl, copy);
  check(
    await sql(kubectl, primary, "SELECT id FROM last_row") === "1",
    "the last row is not in the last time",
  );
  const login = 'PGPASSWORD=$(cat /etc/credentials/password) psql -XAtqc "SELECT 1" -h 127.0.0.1 -U app app';
  check((await kubectl.exec(primary, ["sh", "-c", login])).trim() === "1", "the new password does not work");
  await discard(run, copy);
  await restored(run, second, { database: name, targetTime: first });
  const none = "SELECT to_regclass('last_row') IS NULL";
  check(await sql(kubectl, `${second}-0`, none) === "t", "the first time has what came later");
  await discard(run, second);

  // All is lost but the repository.
  await patch(run, name, { deletionPolicy: kind === "s3" ? "Delete" : "Retain" });
  await kubectl.run(["delete", "databases", name, "--timeout=120s"], { timeoutMs: 130_000 });
  await restored(run, copy, { repository: repository.source(found) });
  const rows = await sql(kubectl, `${copy}-0`, "SELECT count(*) FROM last_row");
  check(rows === "1", "the last commit of a quiet Database is lost");
  await discard(run, copy);
  await restored(run, second, { repository: repository.source(found), backup: lastId });
  check(await sql(kubectl, `${second}-0`, none) === "t", "not as it was at the end of the backup");
  await discard(run, second);
  await kubectl.run([
    ...["delete", "persistentvolumeclaims", `--selector=app.example.com/database=${name}`],
    ...["--ignore-not-found", "--wait=false"],
  ]);
  await repository.remove(run);
}

/** A Database whose commits can be told to the microsecond, written to; `drop` ends what `restoredAt` compares. */
async function pointInTime(run: Run, kind: Kind): Promise<void> {
  const { kubectl, image } = run;
  const name = `pitr-${kind}`, copy = `${name}-copy`;
  const repository = new Repository(kind, name);
  await backedUp(run, repository, { parameters: { track_commit_timestamp: "on" } });
  const writer = await Writer.start(kubectl, name, { image });
  await succeeds(run, name, "backup-incr");
  await writer.writesAfter(Date.now(), bar.writes);
  const targetTime = await serverTime(run, `${name}-0`);
  await writer.writesAfter(Date.now(), bar.writes);
  const ids = "SELECT id FROM written ORDER BY id";
  const committed = `WHERE pg_xact_commit_timestamp(xmin) <= '${targetTime}'`;
  // In one transaction, so that nothing is between what was there and the mistake.
  const expected = await sql(
    kubectl,
    `${name}-0`,
    `BEGIN; LOCK written; ${ids.replace("ORDER", `${committed} ORDER`)}; DROP TABLE written; COMMIT;`,
  );
  await writer.writesAfter(Date.now() + 500, bar.writes);
  const archivedInMs = await archived(run, name);
  run.figure(`commit under load to the archive, ${kind}`, archivedInMs, "ms", archivedMs);

  const startedMs = Date.now();
  const primary = await restored(run, copy, { database: name, targetTime });
  run.figure(`restored to a time under load, ${kind}`, Date.now() - startedMs, "ms", 240_000);
  const got = await sql(kubectl, primary, ids);
  const count = (text: string) => text.split("\n").length;
  check(got === expected, `${count(got)} rows in place of the ${count(expected)} of ${targetTime}`);
  run.figure(`rows of that time, ${kind}`, count(expected), "rows");
  await discard(run, copy);

  // The source has not noticed.
  await writer.writesAfter(Date.now(), bar.writes);
  await archived(run, name);
  await health(run, name, "Healthy", 30_000);
  await writer.stop();
  await discard(run, name);
  await repository.remove(run);
}

async function lastBackup(run: Run, kind: Kind): Promise<void> {
  const { kubectl } = run;
  const name = `final-${kind}`, copy = `${name}-copy`;
  const repository = new Repository(kind, name);
  const spec = { deletionPolicy: "Delete" };
  const found = await backedUp(run, repository, spec, { finalBackup: true });
  await sql(kubectl, `${name}-0`, "CREATE TABLE last_row AS SELECT 1 AS id");
  const startedMs = Date.now();
  await kubectl.run(["delete", "databases", name, "--timeout=180s"], { timeoutMs: 190_000 });
  run.figure(`deleted with a last backup, ${kind}`, Date.now() - startedMs, "ms", 120_000);
  await restored(run, copy, { repository: repository.source(found) });
  check(await sql(kubectl, `${copy}-0`, "SELECT id FROM last_row") === "1", "the last row is lost");
  await discard(run, copy);
  await repository.remove(run);

  // One that cannot be made stops the deletion, until it is waived.
  await backedUp(run, repository, spec, { finalBackup: true });
  await sql(kubectl, `${name}-0`, "CREATE TABLE last_row AS SELECT 1 AS id");
  await repository.breakIt(run);
  // Keys reach the agent some time after they were changed: until then a last backup can be made.
  if (kind === "s3") await health(run, name, "RepositoryUnreachable", 180_000);
  await kubectl.delete("databases", name);
  const brokenMs = Date.now();
  await until(400_000, `the deletion of ${name} to be blocked`, async () => {
    const blocked = conditionOf(await get(run, name), "Blocked");
    if (blocked?.["reason"] === "FinalBackupFailed") return true;
    throw new Error(JSON.stringify(blocked));
  }, 1000);
  run.figure(`no last backup, told after, ${kind}`, Date.now() - brokenMs, "ms", 400_000);
  const members = await sql(kubectl, `${name}-0`, "SELECT id FROM last_row");
  check(members === "1", "the data is not there any more");
  if (kind === "volume") await repository.mend(run); // the claim goes with the rest
  await patch(run, name, { backups: { finalBackup: false } });
  await until(120_000, `${name} to be gone`, async () => {
    return await kubectl.get("databases.app.example.com", name) === undefined;
  }, 500);
  await repository.remove(run);
}

/** A copy in another namespace has a path of its own, and leaves the one that it came from alone. */
async function elsewhere(run: Run): Promise<void> {
  const name = "elsewhere", copy = "abroad", again = "again";
  const there: Run = { ...run, kubectl: new Kubectl(secondNamespace(run.kubectl.namespace)) };
  const source = new Repository("s3", name), own = new Repository("s3", copy);
  const found = await backedUp(run, source);
  await sql(run.kubectl, `${name}-0`, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS id");
  await succeeds(run, name, "backup-incr");
  const before = await backupsOf(run, name);
  await there.kubectl.apply({
    apiVersion: "v1",
    kind: "Namespace",
    metadata: {
      name: there.kubectl.namespace,
      labels: { "pod-security.kubernetes.io/enforce": "restricted" },
    },
  });
  try {
    await source.give(there);
    await own.give(there);
    const spec = { backups: own.backups() };
    await restored(there, copy, { repository: source.source(found) }, spec);
    await health(there, copy, "Healthy", 180_000);
    const count = "SELECT count(*), max(id) FROM t";
    check(await sql(there.kubectl, `${copy}-0`, count) === "1000|1000", "the copy has other rows");
    const abroad = await get(there, copy);
    check(pathOf(abroad) !== pathOf(found), "both write to one path");
    await sql(there.kubectl, `${copy}-0`, "INSERT INTO t VALUES (1001)");
    await succeeds(there, copy, "backup-incr");
    const after = await backupsOf(run, name);
    check(JSON.stringify(after) === JSON.stringify(before), "the source's repository has changed");
    await health(run, name, "Healthy", 30_000);

    await restored(there, again, { repository: own.source(abroad) });
    check(await sql(there.kubectl, `${again}-0`, count) === "1001|1001", "the copy's copy has other rows");
    const list = await pgbackrest(there, copy, ["repo-ls", "archive/db"]);
    check(list.trim() !== "", "the copy archives nothing to its own path");
    for (const one of [again, copy]) await discard(there, one);
  } finally {
    await there.kubectl.delete("namespace", there.kubectl.namespace);
  }
  check((await members(run.kubectl, name)).length === 1, "the source lost a member");
  await discard(run, name);
  await source.remove(run);
}

export const recovery: readonly Scenario[] = [
  ...onBoth(
    "restore",
    "a quiet Database to its last commit, to both ends of the range and to a named backup, also when the source is gone",
    quiet,
  ),
  ...onBoth(
    "pitr",
    "backed up and restored to a time under load: exactly the rows of that time",
    pointInTime,
  ),
  ...onBoth(
    "final",
    "a last backup before the deletion; one that fails stops it until it is waived",
    lastBackup,
  ),
  {
    name: "elsewhere",
    what: "restored in another namespace, which backs up on its own path, and restored from that",
    needs: ["E2E_S3"],
    run: elsewhere,
  },
];
