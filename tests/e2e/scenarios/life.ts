/**
 * The whole way: the sample becomes Ready, survives the loss of its primary, and comes back after its deletion.
 * @module
 */
import { readFileSync } from "node:fs";
import { until } from "../../within.ts";
import { conditionOf, leader, members, ready, sql, systemIdentifier, writtenIds } from "../database.ts";
import { bar, check, discard, ensure, type Run, type Scenario, underWrites } from "../scenario.ts";

const sample = readFileSync(new URL("../../../examples/database.yaml", import.meta.url), "utf8");
/** The name in the sample. */
const name = "orders";

/** Applies the sample; Ready already is fine. */
async function ensureSample(run: Run): Promise<void> {
  await run.kubectl.run(["apply", "--server-side", "--force-conflicts", "--filename=-"], { input: sample });
  await ready(run.kubectl, name, bar.ready);
}

async function sampleReady(run: Run): Promise<void> {
  const { kubectl } = run;
  const startedMs = Date.now();
  await ensureSample(run);
  run.figure("apply to Ready", Date.now() - startedMs, "ms", 45_000);
  const pods = await members(kubectl, name);
  check(pods.length === 3, `expected 3 members, found ${pods.length}`);
  const primary = await leader(kubectl, name);
  const table = await kubectl.run(["get", "databases", name]);
  for (
    const expected of ["VERSION", "SIZE", "READY", "PRIMARY", "STATUS", "AGE", "17", primary ?? "-", "Ready"]
  ) {
    check(table.includes(expected), `kubectl get databases lacks ${expected}:\n${table}`);
  }
  const sync = (await kubectl.get("configmap", `${name}-sync`))?.metadata.annotations ?? {};
  check(
    (sync["sync_standby"] ?? "").split(",").length === 2,
    `not two synchronous standbys: ${JSON.stringify(sync)}`,
  );
  const mode = await sql(kubectl, primary!, "SHOW synchronous_standby_names");
  check(mode.startsWith("ANY 1"), `not quorum replication: ${mode}`);
  if (run.operator.pods) {
    const metrics = await run.operator.metrics();
    const bytes = [...metrics.matchAll(/^process_resident_memory_bytes (\S+)$/gm)].map(([, of]) =>
      Number(of)
    );
    run.figure(
      "the operator's pods, the larger one, resident",
      Math.round(Math.max(...bytes) / 2 ** 20),
      "MiB",
      80,
    );
  }
}

async function primaryPodDeleted(run: Run): Promise<void> {
  await ensureSample(run);
  for (let time = 0; time < run.times; time++) {
    let before: string | undefined;
    const outcome = await underWrites(run, name, 3, async () => {
      before = await leader(run.kubectl, name);
      await run.kubectl.delete("pod", before!);
    });
    report(run, outcome, 6_000);
    const after = await leader(run.kubectl, name);
    check(after !== before, `${before} leads again: it was waited for instead of failed over`);
  }
}

async function postmasterKilled(run: Run): Promise<void> {
  await ensureSample(run);
  for (let time = 0; time < run.times; time++) {
    const outcome = await underWrites(run, name, 3, async () => {
      const primary = await leader(run.kubectl, name);
      await run.kubectl.exec(primary!, ["sh", "-c", 'kill -KILL "$(head -n 1 /pgdata/data/postmaster.pid)"']);
    });
    report(run, outcome, 8_000);
  }
}

function report(run: Run, outcome: Awaited<ReturnType<typeof underWrites>>, gapLimitMs: number): void {
  run.figure("longest time without an acknowledged row", outcome.gapMs, "ms", gapLimitMs);
  run.figure("fault to Ready", outcome.readyMs, "ms", bar.ready);
  run.figure("acknowledged rows, none lost", outcome.written.acknowledged.length, "rows");
}

async function retained(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensureSample(run);
  const primary = (await leader(kubectl, name))!;
  await sql(kubectl, primary, "CREATE TABLE IF NOT EXISTS kept AS SELECT generate_series(1, 1000) AS id");
  const before = {
    kept: await sql(kubectl, primary, "SELECT count(*), sum(id) FROM kept"),
    systemIdentifier: await systemIdentifier(kubectl, primary),
    secret: (await kubectl.get("secret", `${name}-credentials`))?.data,
    claims: await claimIds(run),
  };
  const startedMs = Date.now();
  await kubectl.run(["delete", "databases", name, "--timeout=120s"], { timeoutMs: 130_000 });
  run.figure("delete to gone", Date.now() - startedMs, "ms", bar.ready);
  await until(60_000, "pods and Services to be gone", async () => {
    const left = [
      ...await members(kubectl, name),
      ...await kubectl.list("services"),
      ...await kubectl.list("statefulsets"),
    ];
    if (left.length > 0) throw new Error(left.map((one) => one.metadata.name).join(", "));
    return true;
  }, 500);
  const claims = await claimIds(run);
  check(JSON.stringify(claims) === JSON.stringify(before.claims), "the claims are not those from before");
  const againMs = Date.now();
  await ensureSample(run);
  run.figure("re-create to Ready", Date.now() - againMs, "ms", bar.ready);
  const after = (await leader(kubectl, name))!;
  check(await systemIdentifier(kubectl, after) === before.systemIdentifier, "the data was initialized anew");
  check(
    await sql(kubectl, after, "SELECT count(*), sum(id) FROM kept") === before.kept,
    "the rows are not those from before",
  );
  const secret = (await kubectl.get("secret", `${name}-credentials`))?.data;
  check(JSON.stringify(secret) === JSON.stringify(before.secret), "the Secret is not the one from before");
}

/** The claims' uids, in order: a claim that was made anew has another one. */
async function claimIds(run: Run): Promise<string[]> {
  const claims = await run.kubectl.list("persistentvolumeclaims");
  return claims.map((claim) => claim.metadata.uid ?? "").toSorted((a, b) => a.localeCompare(b));
}

/** The member that led last is beyond the new size: it has all rows, so it leads first, and hands over. */
async function smaller(run: Run): Promise<void> {
  const { kubectl } = run;
  const name = "smaller";
  for (const durability of ["Sync", "Async"]) {
    await ensure(run, name, { size: 3, durability });
    const annotations = `app.example.com/switchover=${name}-2@${durability}`;
    await kubectl.run(["annotate", "--overwrite", "databases", name, annotations]);
    await until(bar.ready, "the highest ordinal to lead", async () => {
      return await leader(kubectl, name) === `${name}-2`;
    }, 500);
    await ready(kubectl, name, bar.ready);
    await sql(kubectl, `${name}-2`, "CREATE TABLE IF NOT EXISTS kept (id int); INSERT INTO kept VALUES (1)");
    const identifier = await systemIdentifier(kubectl, `${name}-2`);
    const rows = await sql(kubectl, `${name}-2`, "SELECT count(*) FROM kept");
    // Rows are written until the primary stops, which no replica has seen then, and again as soon as it leads.
    const outcome = await underWrites(run, name, 3, async () => {
      await kubectl.run(["delete", "databases", name, "--timeout=120s"], { timeoutMs: 130_000 });
      const againMs = Date.now();
      await ensure(run, name, { size: 1, durability });
      run.figure(`${durability}, 3 members made again as 1: to Ready`, Date.now() - againMs, "ms", bar.ready);
    });
    const { acknowledged } = outcome.written;
    run.figure(`${durability}: acknowledged rows, none lost`, acknowledged.length, "rows");
    const left = (await members(kubectl, name)).map((pod) => pod.metadata.name);
    check(left.join() === `${name}-0`, `members: ${left.join(" ")}`);
    check(await systemIdentifier(kubectl, `${name}-0`) === identifier, "the data was initialized anew");
    check(await sql(kubectl, `${name}-0`, "SELECT count(*) FROM kept") === rows, "rows are missing");
  }
  await discard(run, name);
}

async function memberLost(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensureSample(run);
  const outcome = await underWrites(run, name, 3, async () => {
    const primary = await leader(kubectl, name);
    const replica = (await members(kubectl, name)).find((pod) =>
      pod.metadata.name !== primary
    )!.metadata.name;
    await kubectl.delete("pod", replica);
    await until(bar.ready, "the loss to be seen", async () => {
      const condition = conditionOf(await kubectl.get("databases", name), "Ready");
      return condition?.status === "False";
    }, 200);
  });
  run.figure("longest time without an acknowledged row", outcome.gapMs, "ms", 3_000);
  check((await writtenIds(kubectl, name)).size > 0, "no rows");
}

async function primaryFrozen(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensureSample(run);
  // Every process but the first, which signals cannot stop from within, and the one that sends them.
  const freeze = 'import os, signal\nfor name in os.listdir("/proc"):\n' +
    "  if name.isdigit() and int(name) not in (1, os.getpid()):\n" +
    "    try: os.kill(int(name), signal.SIGSTOP)\n    except OSError: pass\n";
  const outcome = await underWrites(run, name, 3, async () => {
    const primary = await leader(kubectl, name);
    await kubectl.exec(primary!, ["python3", "-c", freeze]);
  });
  report(run, outcome, 30_000);
}

export const life: Scenario[] = [
  {
    name: "sample",
    what: "the sample becomes Ready, with two synchronous standbys",
    short: true,
    run: sampleReady,
  },
  {
    name: "pod",
    what: "the primary's pod is deleted: no acknowledged row is lost",
    short: true,
    run: primaryPodDeleted,
  },
  {
    name: "kill",
    what: "the primary's postmaster is killed: no acknowledged row is lost",
    short: true,
    run: postmasterKilled,
  },
  {
    name: "retain",
    what: "deleted and created again: same rows, passwords and system identifier",
    short: true,
    run: retained,
  },
  {
    name: "smaller",
    what: "deleted and created again with fewer members, the last primary not among them: same rows",
    run: smaller,
  },
  {
    name: "replica",
    what: "a replica is lost: writes go on, and the status says so until it is back",
    run: memberLost,
  },
  {
    name: "freeze",
    what: "the primary freezes: another member takes over, it comes back as replica",
    run: primaryFrozen,
  },
];
