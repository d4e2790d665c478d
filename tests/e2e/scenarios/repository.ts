/**
 * The repository itself: one that cannot be used, one that is changed, what it keeps and in which form, and how it is
 * checked.
 * @module
 */
import { readFileSync } from "node:fs";
import { until } from "../../within.ts";
import { conditionOf, database, ready, sql } from "../database.ts";
import type { KubeObject } from "../kubectl.ts";
import {
  backedUp,
  backupsOf,
  begin,
  corrected,
  ended,
  filesOf,
  get,
  health,
  inAgent,
  type Kind,
  onBoth,
  patch,
  pgbackrest,
  rawFile,
  Repository,
  restored,
  storeOf,
  succeeds,
  together,
  unready,
} from "../repositories.ts";
import { check, discard, type Run, type Scenario } from "../scenario.ts";

const makeBucket = readFileSync(new URL("../make_bucket.py", import.meta.url), "utf8");

/** From an edit to the reason in the status. */
const toldMs = 60_000;
/** From an edit to a base backup in the new repository. */
const baseMs = 180_000;

/** What can be wrong with a bucket, how it comes about and how it goes, and pgBackRest's words for it. */
const mistakes = [
  {
    words: /SignatureDoesNotMatch|403/,
    make: (run: Run, it: Repository) => it.give(run, { secretKey: "not-the-key-at-all" }),
    undo: (run: Run, it: Repository) => it.give(run),
  },
  {
    words: /NoSuchBucket|404/,
    make: (run: Run, it: Repository) => patchBucket(run, it.of, "no-such-bucket"),
    undo: (run: Run, it: Repository) => patchBucket(run, it.of, storeOf().bucket),
  },
  {
    words: /certificate/,
    // Every Database has an authority of its own, which is not the store's.
    make: async (run: Run, it: Repository) => {
      const authority = (await run.kubectl.get("configmap", `${it.of}-ca`))?.["data"]["ca.crt"] as string;
      await it.give(run, { "ca.crt": authority });
    },
    undo: (run: Run, it: Repository) => it.give(run),
  },
] as const;

async function patchBucket(run: Run, name: string, bucket: string): Promise<void> {
  await patch(run, name, { backups: { s3: { bucket } } });
}

async function unusable(run: Run): Promise<void> {
  const { kubectl } = run;
  const all = mistakes.map((mistake, i) => ({ mistake, it: new Repository("s3", `wrong-${i}`) }));
  // New Databases, wrong from the first minute.
  await together(all.map(async ({ it, mistake }, i) => {
    const { of } = it;
    await it.give(run);
    await kubectl.apply(database(of, { size: 1 }));
    await ready(kubectl, of, 180_000);
    const before = (await get(run, of)).metadata.uid;
    if (i !== 1) await mistake.make(run, it);
    const { s3 } = it.backups() as { s3: Record<string, unknown> };
    await patch(run, of, { backups: { s3: i === 1 ? { ...s3, bucket: "no-such-bucket" } : s3 } });
    await told(run, of, mistake.words, "on a new one");
    await mistake.undo(run, it);
    run.figure(
      `mistake ${i} undone to healthy`,
      (await health(run, of, "Healthy", 240_000)).ms,
      "ms",
      180_000,
    );
    check((await get(run, of)).metadata.uid === before, "another Database");
  }));
  // The same Databases with backups, each with the next one's mistake.
  await together(all.map(async ({ it }, i) => {
    const mistake = mistakes[(i + 1) % mistakes.length]!;
    await mistake.make(run, it);
    await told(run, it.of, mistake.words, "on a running one");
    await sql(kubectl, `${it.of}-0`, "CREATE TABLE meanwhile ()");
    await mistake.undo(run, it);
    await health(run, it.of, "Healthy", 240_000);
  }));
  for (const { it } of all.slice(1)) {
    await discard(run, it.of);
    await it.remove(run);
  }
  await bucketChanged(run, all[0]!.it);
}

async function told(run: Run, name: string, words: RegExp, when: string): Promise<void> {
  const { message, ms } = await health(run, name, "RepositoryUnreachable", 3 * toldMs);
  check(words.test(message), `${name}: not ${words}: ${message}`);
  run.figure(`${name} told ${when}`, ms, "ms", toldMs);
}

/** Points a Database that has its first backup already to another bucket, and back. */
async function bucketChanged(run: Run, repository: Repository): Promise<void> {
  const { of } = repository, { bucket } = storeOf(), other = `${bucket}-other`;
  const made = (bucket: string) => backupsOf(run, of, `--repo1-s3-bucket=${bucket}`);
  await inAgent(run, of, ["python3", "-c", makeBucket, other]);
  for (const target of [other, bucket]) {
    const editedS = Date.now() / 1000;
    await patchBucket(run, of, target);
    const { message } = await health(run, of, "Healthy", 2 * baseMs);
    run.figure(`bucket changed to healthy`, Math.round(Date.now() - editedS * 1000), "ms", baseMs);
    const labels = (await made(target)).map(({ label }) => label);
    check(
      labels.some((label) => message.includes(label)),
      `Healthy without a backup in ${target}: ${message}`,
    );
  }
  // What was archived to the other one meanwhile is still on the server and is archived to this one too.
  const copy = `${of}-copy`;
  await sql(run.kubectl, `${of}-0`, "CREATE TABLE after_it AS SELECT 1 AS id; SELECT pg_switch_wal()");
  await until(90_000, "the last row to be archived", async () => {
    const last = await sql(
      run.kubectl,
      `${of}-0`,
      "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'",
    );
    return last === "0";
  }, 1000);
  await restored(run, copy, { database: of });
  check(
    await sql(run.kubectl, `${copy}-0`, "SELECT id FROM after_it") === "1",
    "the last row is not in the bucket",
  );
  await discard(run, copy);
  await discard(run, of);
  await repository.remove(run);
}

/** What is left of a Job of this Database, or of a drill, but the Database's own. */
async function leftOf({ kubectl }: Run, name: string): Promise<string[]> {
  const claims = await kubectl.list("persistentvolumeclaims");
  const own = [`data-${name}-0`, `${name}-backup`];
  return claims.map(({ metadata }) => metadata.name).filter((one) =>
    one.includes(name) && !own.includes(one)
  );
}

/** Waits until the result in status.backup is newer than `afterMs`. */
async function result(run: Run, name: string, of: "verify" | "drill", afterMs: number): Promise<KubeObject> {
  return await until(240_000, `a result of the ${of} of ${name}`, async () => {
    const found = (await get(run, name))["status"].backup[of];
    return found && Date.parse(found.time) >= afterMs - 1000 ? found : undefined;
  }, 1000);
}

/** Turns one byte in the middle of a file of the repository over, as a disk would. */
async function damage(run: Run, name: string, file: string): Promise<void> {
  const command = "pgbackrest --config=/etc/pgbackrest/pgbackrest.conf --stanza=db";
  const turn = `import sys
data = bytearray(sys.stdin.buffer.read())
data[len(data) // 2] ^= 255
sys.stdout.buffer.write(data)`;
  const script = `${command} repo-get --raw "$0" | python3 -c "$1" >/tmp/damaged &&
    ${command} repo-put --raw "$0" </tmp/damaged && rm /tmp/damaged`;
  await inAgent(run, name, ["sh", "-c", script, file, turn]);
}

async function kept(run: Run, kind: Kind): Promise<void> {
  const { kubectl } = run;
  const name = `kept-${kind}`, copy = `${name}-copy`;
  const repository = new Repository(kind, name, { encrypted: true });
  const found = await backedUp(run, repository, {}, { retention: { count: 1 } });
  await sql(kubectl, `${name}-0`, "CREATE TABLE t AS SELECT generate_series(1, 100000) AS id");

  // Retention: of four full backups one is left, and no WAL from before it.
  for (let i = 0; i < 3; i++) await succeeds(run, name, "backup-full");
  const backups = await backupsOf(run, name);
  check(backups.length === 1, `${backups.length} backups with retention.count 1`);
  const [last] = backups as [typeof backups[number]];
  const segments = (await filesOf(run, name, "archive/db")).flatMap((file) =>
    /\/([0-9A-F]{24})-/.exec(file)?.[1] ?? []
  );
  check(segments.length > 0, "there is no WAL in the repository");
  const old = segments.filter((segment) => segment < last.archive.start);
  check(old.length === 0, `WAL from before the only backup: ${old.join(" ")}`);
  const folders = await pgbackrest(run, name, ["repo-ls", "backup/db", "--filter=^[0-9]{8}-"]);
  check(folders.trim() === last.label, `left in the repository: ${folders}`);
  await until(60_000, "firstRecoverableTime to move", async () => {
    const { firstRecoverableTime } = (await get(run, name))["status"].backup;
    return firstRecoverableTime > found["status"].backup.firstRecoverableTime;
  }, 1000);

  // Encryption: nothing readable in the store, no restore with another key.
  for (const file of [`backup/db/${last.label}/backup.manifest`, "archive/db/archive.info"]) {
    const raw = await rawFile(run, name, file);
    check(
      raw.subarray(0, 8).toString() === "Salted__" && !raw.includes("[backup]"),
      `${file} is not encrypted`,
    );
  }
  const other = new Repository(kind, `${name}-other`, { encrypted: true });
  await other.give(run);
  const wrong = { repository: repository.source(found, other.secretName) };
  await kubectl.apply(database(copy, { size: 1, restoreFrom: wrong }));
  const words = await unready(run, copy, "RestoreFailed");
  check(/pgBackRest: .*(crypt|cipher|key|flush)/i.test(words), `not told why: ${words}`);

  // A backup, the verification, the drill and a restore at once; secrets are looked for beside them (leaks.ts).
  await patch(run, name, { backups: { schedule: { verify: "* * * * *" }, drill: "* * * * *" } });
  const fromMs = Date.now();
  await begin(run, name, "backup-full", `${name}-meanwhile`);
  await corrected(run, copy, { repository: repository.source(found) });
  const [verified, tried] = await together([
    result(run, name, "verify", fromMs),
    result(run, name, "drill", fromMs),
  ]);
  check(verified && tried, "no results");
  check(verified["passed"] === true, `the verification failed: ${JSON.stringify(verified)}`);
  check(
    tried["passed"] === true && tried["databases"] >= 2 && tried["relations"] > 100,
    JSON.stringify(tried),
  );
  run.figure(`drill by schedule, restored and started, ${kind}`, tried["durationSeconds"], "s");
  await patch(run, name, { backups: { schedule: null, drill: null } });
  await ended(run, `${name}-meanwhile`, 180_000);
  await kubectl.delete("job", `${name}-meanwhile`);
  await ready(kubectl, copy, 240_000);
  check(await sql(kubectl, `${copy}-0`, "SELECT count(*) FROM t") === "100000", "the copy has other rows");
  await discard(run, copy);
  // Kubernetes removes finished Jobs after their time, ten minutes for a drill: nothing is left without them.
  await kubectl.run(["delete", "jobs", `--selector=app.example.com/database=${name}`]);
  await until(120_000, "nothing of the drill to be left", async () => {
    const left = await leftOf(run, name);
    if (left.length > 0) throw new Error(left.join());
    return true;
  }, 1000);

  // One file is damaged: both find it.
  const label = (await backupsOf(run, name)).at(-1)!.label;
  const bundle = (await filesOf(run, name, `backup/db/${label}`)).find((file) => file.includes("/bundle/"));
  check(bundle, "the backup has no bundle");
  await damage(run, name, bundle);
  const damagedMs = Date.now();
  await begin(run, name, "verify", `${name}-damaged`);
  const damaged = await result(run, name, "verify", damagedMs);
  check(
    damaged["passed"] === false && damaged["message"],
    `damage was not seen: ${JSON.stringify(damaged)}`,
  );
  await health(run, name, "VerifyFailed", 60_000);
  await begin(run, name, "drill", `${name}-tried`);
  const failed = await result(run, name, "drill", damagedMs);
  check(
    failed["passed"] === false && failed["message"],
    `a damaged backup was restored: ${JSON.stringify(failed)}`,
  );
  for (const job of [`${name}-damaged`, `${name}-tried`]) await kubectl.delete("job", job);

  // Another full backup, and both are content.
  await succeeds(run, name, "backup-full");
  await succeeds(run, name, "verify");
  await succeeds(run, name, "drill");
  await health(run, name, "Healthy", 90_000);
  const healthy = conditionOf(await get(run, name), "BackupHealthy");
  check(healthy?.["status"] === "True", JSON.stringify(healthy));
  await discard(run, name);
  for (const one of [repository, other]) await one.remove(run);
}

export const repositories: readonly Scenario[] = [
  {
    name: "unusable",
    what: "a wrong key, bucket or authority is told in pgBackRest's words; the bucket is changed, and back",
    needs: ["E2E_S3"],
    run: unusable,
  },
  ...onBoth(
    "kept",
    "an encrypted repository: what retention leaves, a wrong key, verify and drill by schedule, damage is found",
    kept,
  ),
];
