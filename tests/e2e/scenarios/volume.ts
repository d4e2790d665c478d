/**
 * A repository on a volume claim, without anything outside the cluster.
 * @module
 */
import { until } from "../../within.ts";
import { database, leader, members, ready, sql } from "../database.ts";
import { health, patch, serverTime } from "../repositories.ts";
import { check, discard, ensure, type Run, type Scenario, underWrites } from "../scenario.ts";
import { neverTwo } from "./backup.ts";

const name = "onvolume", copy = "fromvolume";

async function volume(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name, { size: 2 });

  // A class that does not exist: told, and no member is touched.
  const before = (await members(kubectl, name)).map(({ metadata }) => metadata.uid).join();
  await patch(run, name, { backups: { volume: { size: "2Gi", storageClassName: "no-such-class" } } });
  const { message: told } = await health(run, name, "RepositoryUnusable", 60_000);
  check(/claim "onvolume-backup" of class "no-such-class" is not bound/.test(told), `not told why: ${told}`);
  check(
    (await members(kubectl, name)).map(({ metadata }) => metadata.uid).join() === before,
    "a member restarted for a claim that is not bound",
  );
  await patch(run, name, { backups: null });
  await kubectl.run(["delete", "persistentvolumeclaim", `${name}-backup`, "--timeout=60s"], {
    timeoutMs: 70_000,
  });

  // The right one: every member restarts once, rows are written meanwhile.
  const outcome = await underWrites(run, name, 2, async () => {
    await patch(run, name, { backups: { volume: { size: "2Gi" } } });
    await health(run, name, "Healthy", 240_000);
  }, { readyTimeoutMs: 240_000 });
  run.figure("longest time without an acknowledged row", outcome.gapMs, "ms", 10_000);
  const pods = await members(kubectl, name);
  check(pods.every(({ metadata }) => !before.includes(metadata.uid!)), "a member does not mount the claim");
  await neverTwo(run, name);

  // Restored to a time from the Database, and, once that is gone, from its claim.
  const primary = (await leader(kubectl, name))!;
  const rows = await sql(kubectl, primary, "SELECT count(*) FROM written");
  const targetTime = await serverTime(run, primary);
  // The range ends with a whole second.
  const isLater = `SELECT clock_timestamp() > '${targetTime}'::timestamptz + '1 s'`;
  await until(10_000, "a later second", async () => await sql(kubectl, primary, isLater) === "t", 200);
  await sql(kubectl, primary, "TRUNCATE written; SELECT pg_switch_wal()");
  const startedMs = Date.now();
  await kubectl.apply(database(copy, { size: 2, restoreFrom: { database: name, targetTime } }));
  await ready(kubectl, copy, 240_000);
  run.figure("restored from a volume to Ready with two members", Date.now() - startedMs, "ms", 240_000);
  check(
    await sql(kubectl, (await leader(kubectl, copy))!, "SELECT count(*) FROM written") === rows,
    "not the rows of that time",
  );
  const mounts = (await members(kubectl, copy)).flatMap(({ spec }) => spec.volumes)
    .filter((one: { name: string }) => one.name === "restore");
  check(mounts.length === 0, "the source's claim is still mounted");
  await discard(run, copy);
  const { uid } = (await kubectl.get("databases.app.example.com", name))!.metadata;
  await kubectl.run(["delete", "databases", name, "--timeout=120s"], { timeoutMs: 130_000 });
  const path = `/${kubectl.namespace}/${name}-${uid}`;
  const repository = { volume: { claimName: `${name}-backup` }, path };
  await kubectl.apply(database(copy, { size: 1, restoreFrom: { repository } }));
  await ready(kubectl, copy, 240_000);
  check(
    await sql(kubectl, `${copy}-0`, "SELECT count(*) FROM written") === "0",
    "not all that was archived",
  );
  await discard(run, copy);

  // The same name again, with the data and the claim that were kept; gone with the data when the policy says so.
  await ensure(run, name, { size: 1, backups: { volume: { size: "2Gi" } } });
  await health(run, name, "Healthy", 120_000);
  await discard(run, name);
  await until(60_000, "the claim to go", async () => {
    return await kubectl.get("persistentvolumeclaim", `${name}-backup`) === undefined;
  }, 500);
}

export const volumes: readonly Scenario[] = [
  {
    name: "volume",
    what:
      "backups on a volume: mounted by a rolling restart, restored to a time, also when the source is gone",
    run: volume,
  },
];
