/**
 * How backups come about: switched on and off without a restart, by hand, by request and by schedule, never two at once.
 * @module
 */
import { until } from "../../within.ts";
import { members, ready, sql } from "../database.ts";
import { backupsOf, begin, ended, health, patch, primaryOf, Repository, together } from "../repositories.ts";
import { bar, check, discard, ensure, type Run, type Scenario } from "../scenario.ts";

const name = "backedup";

/** Looks at all processes of a container until a file tells it to end; prints when each of pgBackRest was there. */
const watch = `import glob, json, os, time
seen = {}
while not os.path.exists("/tmp/watched"):
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                words = file.read().decode().split("\\0")
            with open(path.replace("cmdline", "stat"), "rb") as file:
                fields = file.read().decode().rsplit(")", 1)[1].split()
        except OSError:
            continue
        kind = next((word for word in words if word in ("backup", "verify")), None)
        if kind and words[0].endswith("pgbackrest"):
            now, pid, parent, begun = time.time(), path.split("/")[2], fields[1], fields[19]
            one = {"kind": kind, "pid": pid, "parent": parent, "first": now}
            seen.setdefault(pid + " " + begun, one)["last"] = now
    time.sleep(0.05)
os.remove("/tmp/watched")
# A child has its parent's words until it becomes another program.
pids = {one["pid"] for one in seen.values()}
print(json.dumps([one for one in seen.values() if one["parent"] not in pids]))
`;

/** Name of the Job that answers to the annotation. */
async function jobOf({ kubectl }: Run, id: string): Promise<string> {
  return await until(60_000, `a Job for the request ${id}`, async () => {
    return (await kubectl.list("jobs")).map(({ metadata }) => metadata.name).find((job) => job.includes(id));
  }, 500);
}

/** Asks for two backups and a verification at once and kills the primary's server meanwhile: one at a time, none is lost. */
export async function neverTwo(run: Run, name: string): Promise<void> {
  const { kubectl } = run;
  const primary = await primaryOf(kubectl, name);
  const bulk = "SELECT id, repeat(md5(id::text), 30) FROM generate_series(1, 100000) id";
  await sql(kubectl, primary, `CREATE TABLE bulk AS ${bulk}`);
  const inAgent = (pod: string, ...command: string[]) =>
    kubectl.run(["exec", pod, "--container=agent", "--", ...command], { timeoutMs: 420_000 });
  const pods = (await members(kubectl, name)).map(({ metadata }) => metadata.name);
  const watched = together(pods.map((pod) => inAgent(pod, "python3", "-c", watch)));
  const jobs = [`${name}-by-hand`, `${name}-verified`];
  try {
    await begin(run, name, "backup-full", jobs[0]!);
    await begin(run, name, "verify", jobs[1]!);
    await kubectl.run(["annotate", "--overwrite", "databases", name, "app.example.com/backup=full@at-once"]);
    await until(60_000, "the backup to run", async () => {
      return (await kubectl.try(["logs", `job/${jobs[0]}`])).stdout.includes("running");
    }, 250);
    jobs.push(await jobOf(run, "at-once"));
    const startedMs = Date.now();
    await kubectl.exec(primary, ["sh", "-c", "kill -9 $(head -1 /pgdata/data/postmaster.pid)"]);
    await together(jobs.map((job) => ended(run, job, 300_000)));
    run.figure("server killed to two backups and a verification done", Date.now() - startedMs, "ms", 300_000);
  } finally {
    await together(pods.map((pod) => inAgent(pod, "touch", "/tmp/watched")));
  }
  const seen = (await watched).flatMap((text) =>
    JSON.parse(text) as { kind: string; first: number; last: number }[]
  )
    .toSorted((a, b) => a.first - b.first);
  console.log(
    `    ${seen.map(({ kind, first, last }) => `${kind} ${(last - first).toFixed(1)} s`).join(", ")}`,
  );
  const count = (kind: string) => seen.filter((one) => one.kind === kind).length;
  check(count("backup") >= 2 && count("verify") >= 1, "not all of them were seen");
  const two = seen.find((one, i) =>
    i > 0 && one.first < Math.max(...seen.slice(0, i).map(({ last }) => last))
  );
  check(!two, `two at once: ${JSON.stringify(seen)}`);
  const backups = await backupsOf(run, name);
  const overlap = backups.find((one, i) => i > 0 && one.timestamp.start < backups[i - 1]!.timestamp.stop);
  check(!overlap, `backups overlap: ${JSON.stringify(backups)}`);
  for (const job of jobs.slice(0, 2)) await kubectl.delete("job", job);
  await ready(kubectl, name, bar.ready);
  await health(run, name, "Healthy", 60_000);
}

async function uids(run: Run): Promise<string> {
  return (await members(run.kubectl, name)).map(({ metadata }) => metadata.uid).join();
}

async function madeInEveryWay(run: Run): Promise<void> {
  const { kubectl } = run;
  const repository = new Repository("s3", name);
  await repository.give(run);
  await ensure(run, name, { size: 2 });
  const before = await uids(run);

  await patch(run, name, { backups: repository.backups() });
  run.figure(
    "backups switched on to healthy",
    (await health(run, name, "Healthy", 180_000)).ms,
    "ms",
    180_000,
  );
  check(await uids(run) === before, "switching backups on replaced a member");
  const table = await kubectl.run(["get", "databases", name, "--output=wide"]);
  check(/BACKUP/.test(table), `kubectl get databases -o wide lacks BACKUP:\n${table}`);
  await neverTwo(run, name);

  // By hand, from the CronJob that has no schedule; the primary goes while it is made.
  const primary = await primaryOf(kubectl, name);
  await begin(run, name, "backup-full", `${name}-by-hand`);
  await until(60_000, "the backup to run", async () => {
    return (await kubectl.try(["logs", `job/${name}-by-hand`])).stdout.includes("running");
  }, 250);
  const startedMs = Date.now();
  await kubectl.delete("pod", primary);
  await ended(run, `${name}-by-hand`, 240_000);
  run.figure("primary deleted to the backup done on the next", Date.now() - startedMs, "ms", 240_000);
  await ready(kubectl, name, bar.ready);
  check(await primaryOf(kubectl, name) !== primary, "the primary was not failed over");
  await health(run, name, "Healthy", 60_000);

  // By schedule, each minute.
  const last = await uids(run);
  await patch(run, name, { backups: { schedule: { incr: "* * * * *" } } });
  await until(150_000, "a scheduled backup", async () => {
    return (await kubectl.list("jobs")).some(({ metadata, status }) =>
      metadata.name.startsWith(`${name}-backup-incr-`) && status?.succeeded >= 1
    );
  }, 1000);
  await patch(run, name, { backups: { schedule: null } });

  await patch(run, name, { backups: null });
  await until(60_000, "nothing to be archived", async () => {
    const command = await sql(kubectl, await primaryOf(kubectl, name), "SHOW archive_command");
    const cronJobs = await kubectl.list("cronjobs", `app.example.com/database=${name}`);
    return command === "/bin/true" && cronJobs.length === 0;
  }, 1000);
  check(await uids(run) === last, "switching backups off replaced a member");
  await kubectl.delete("job", `${name}-by-hand`);
  await discard(run, name);
  await repository.remove(run);
}

export const backup: readonly Scenario[] = [{
  name: "backup",
  what:
    "backups by hand, request and schedule, one at a time, through failovers; on and off without a restart",
  needs: ["E2E_S3"],
  run: madeInEveryWay,
}];
