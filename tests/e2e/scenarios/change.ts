/**
 * What a Database goes through while it is used: each change is made while rows are written.
 * @module
 */
import { until } from "../../within.ts";
import { conditionOf, leader, members, ready, sql, systemIdentifier } from "../database.ts";
import type { KubeObject } from "../kubectl.ts";
import { bar, check, discard, ensure, type Run, type Scenario, underWrites } from "../scenario.ts";

/** Longest time without an acknowledged row that a planned change may cost. */
const plannedGapMs = 5_000;
const name = "change";

async function patch(run: Run, spec: Record<string, unknown>): Promise<void> {
  await run.kubectl.run(["patch", "databases", name, "--type=merge", "--patch", JSON.stringify({ spec })]);
}

async function annotate(run: Run, key: string, value: string): Promise<void> {
  await run.kubectl.run(["annotate", "--overwrite", "databases", name, `app.example.com/${key}=${value}`]);
}

/** Moves the primary to a member, or to any other, and waits until it is there. */
async function switchOver(run: Run, target: string): Promise<void> {
  const before = await leader(run.kubectl, name);
  await annotate(run, "switchover", `${target}@${Date.now().toString(36)}`);
  await until(bar.ready, `the switchover to ${target}`, async () => {
    const now = await leader(run.kubectl, name);
    return target === "any" ? now !== undefined && now !== before : now === target;
  }, 500);
}

/** Does something and returns the fewest members that were ready at a time until it is done. */
async function fewestReady(run: Run, work: Promise<unknown>): Promise<number> {
  let fewest = Infinity, done = false;
  const finished = work.finally(() => done = true);
  finished.catch(() => {}); // reported where it is awaited, below
  while (!done) {
    const pods = await members(run.kubectl, name);
    fewest = Math.min(fewest, pods.filter(isReady).length);
  }
  await finished;
  return fewest;
}

function isReady(pod: KubeObject): boolean {
  return pod["status"]?.conditions?.some((one: { type: string; status: string }) =>
    one.type === "Ready" && one.status === "True"
  ) ??
    false;
}

async function scale(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name, { size: 2 });
  const up = await underWrites(
    run,
    name,
    2,
    () => kubectl.run(["scale", "databases", name, "--replicas=4"]).then(() => {}),
  );
  run.figure("2 to 4 members: to Ready", up.readyMs, "ms", bar.ready);
  run.figure("2 to 4 members: longest time without a row", up.gapMs, "ms", plannedGapMs);
  await switchOver(run, `${name}-3`);
  await ready(kubectl, name, bar.ready);
  const down = await underWrites(
    run,
    name,
    4,
    () => kubectl.run(["scale", "databases", name, "--replicas=2"]).then(() => {}),
  );
  run.figure("4 to 2 members, the primary among those that go: to Ready", down.readyMs, "ms", bar.ready);
  run.figure("4 to 2 members: longest time without a row", down.gapMs, "ms", plannedGapMs);
  const left = (await members(kubectl, name)).map((pod) => pod.metadata.name);
  check(left.join() === `${name}-0,${name}-1`, `members left: ${left.join(" ")}`);
  for (const at of [2, 3]) {
    check(
      await kubectl.get("persistentvolumeclaim", `data-${name}-${at}`),
      `the claim of removed member ${at} is gone`,
    );
  }
  const claim = async () => (await kubectl.get("persistentvolumeclaim", `data-${name}-2`))?.metadata.uid;
  const old = await claim();
  const back = await underWrites(
    run,
    name,
    2,
    () => kubectl.run(["scale", "databases", name, "--replicas=3"]).then(() => {}),
  );
  run.figure("2 to 3 members, onto an old claim: to Ready", back.readyMs, "ms", bar.ready);
  check(await claim() === old, "the member came back on another claim");
  const rows = "SELECT count(*) FROM written";
  const has = await sql(kubectl, `${name}-2`, rows),
    all = await sql(kubectl, (await leader(kubectl, name))!, rows);
  check(has === all, `the member that came back has ${has} of ${all} rows`);
  const last = await underWrites(
    run,
    name,
    3,
    () => kubectl.run(["scale", "databases", name, "--replicas=1"]).then(() => {}),
  );
  run.figure("3 to 1 members: to Ready", last.readyMs, "ms", bar.ready);
  run.figure("3 to 1 members: longest time without a row", last.gapMs, "ms", plannedGapMs);
}

async function hibernate(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name);
  const primary = (await leader(kubectl, name))!;
  const identifier = await systemIdentifier(kubectl, primary);
  await sql(kubectl, primary, "CREATE TABLE IF NOT EXISTS slept AS SELECT generate_series(1, 100) AS id");
  let againMs = 0;
  // Rows are written until the last member stops, and again as soon as the first one leads.
  const outcome = await underWrites(run, name, 3, async () => {
    const startedMs = Date.now();
    await patch(run, { size: 0 });
    await until(bar.ready, "the Database to be hibernated", async () => {
      const condition = conditionOf(await kubectl.get("databases", name), "Ready");
      if (condition?.["reason"] !== "Hibernated") {
        throw new Error(`${condition?.["reason"]}: ${condition?.["message"]}`);
      }
      return (await members(kubectl, name)).length === 0;
    }, 500);
    run.figure("3 to 0 members", Date.now() - startedMs, "ms", bar.ready);
    againMs = Date.now();
    await patch(run, { size: 3 });
    await ready(kubectl, name, bar.ready);
    run.figure("0 to 3 members: to Ready", Date.now() - againMs, "ms", bar.ready);
  });
  const stopping = outcome.written.acknowledged.filter(({ atMs }) => atMs < againMs);
  run.figure("acknowledged rows until the last member stopped, none lost", stopping.length, "rows");
  const now = (await leader(kubectl, name))!;
  check(await systemIdentifier(kubectl, now) === identifier, "the data was initialized anew");
  check(await sql(kubectl, now, "SELECT count(*) FROM slept") === "100", "rows are missing");
}

async function roll(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name);
  const before = new Set((await members(kubectl, name)).map((pod) => pod.metadata.uid));
  const memory = `${257 + Date.now() % 50}Mi`;
  let fewest = 0;
  const outcome = await underWrites(run, name, 3, async () => {
    await patch(run, { resources: { requests: { cpu: "100m", memory } } });
    fewest = await fewestReady(run, ready(kubectl, name, 180_000));
  });
  run.figure("new template: to Ready", outcome.readyMs, "ms", 180_000);
  run.figure("new template: longest time without a row", outcome.gapMs, "ms", plannedGapMs);
  run.figure("new template: fewest members ready", fewest, "members");
  check(fewest >= 2, "two members were down at a time");
  for (const pod of await members(kubectl, name)) {
    check(!before.has(pod.metadata.uid), `${pod.metadata.name} was not restarted`);
    check(
      pod["spec"].containers[0].resources.requests.memory === memory,
      `${pod.metadata.name} has the old template`,
    );
  }
}

async function badImage(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name);
  const before = (await members(kubectl, name)).map(({ metadata }) => metadata.uid).join();
  const outcome = await underWrites(run, name, 3, async () => {
    await patch(run, { image: "localhost/missing:17" });
    await until(bar.ready, "the status to name the image", async () => {
      const condition = conditionOf(await kubectl.get("databases", name), "Ready");
      if (
        condition?.["status"] === "False" &&
        /missing|image|ErrImage|ImagePull/i.test(`${condition["reason"]} ${condition["message"]}`)
      ) {
        return true;
      }
      throw new Error(`${condition?.["reason"]}: ${condition?.["message"]}`);
    }, 500);
    const now = await members(kubectl, name);
    const broken = now.filter((pod) => !isReady(pod)).map((pod) => pod.metadata.name);
    check(broken.length === 0, `members that are down: ${broken.join(" ")}`);
    check(now.map(({ metadata }) => metadata.uid).join() === before, "a member was restarted onto it");
    await patch(run, { image: null });
  });
  run.figure("image corrected: to Ready", outcome.readyMs, "ms", 180_000);
  run.figure("longest time without a row", outcome.gapMs, "ms", plannedGapMs);
}

async function switchover(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name);
  for (let time = 0; time < run.times; time++) {
    const outcome = await underWrites(run, name, 3, () => switchOver(run, "any"));
    run.figure("switchover on request: longest time without a row", outcome.gapMs, "ms", plannedGapMs);
    run.figure("switchover on request: to Ready", outcome.readyMs, "ms", bar.ready);
  }
  const asked = await kubectl.get("databases", name);
  check(
    asked?.["status"]?.operations?.switchover === asked?.metadata.annotations?.["app.example.com/switchover"],
    `the status does not say that the request is done: ${JSON.stringify(asked?.["status"]?.operations)}`,
  );
}

async function restart(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name);
  const before = new Set((await members(kubectl, name)).map((pod) => pod.metadata.uid));
  let fewest = 0;
  const outcome = await underWrites(run, name, 3, async () => {
    await annotate(run, "restart", Date.now().toString(36));
    fewest = await fewestReady(
      run,
      until(180_000, "all members to be restarted", async () => {
        const pods = await members(kubectl, name);
        return pods.length === 3 && pods.every((pod) => !before.has(pod.metadata.uid) && isReady(pod));
      }, 500),
    );
  });
  run.figure("restart on request: to Ready", outcome.readyMs, "ms", 180_000);
  run.figure("restart on request: longest time without a row", outcome.gapMs, "ms", plannedGapMs);
  check(fewest >= 2, `${fewest} members were ready at a time`);
}

async function storage(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name);
  const before = (await members(kubectl, name)).map((pod) => pod.metadata.uid).join();
  const startedMs = Date.now();
  await patch(run, { storage: { size: "2Gi" } });
  await until(60_000, "all claims to have grown", async () => {
    const claims = await kubectl.list("persistentvolumeclaims", `app.example.com/database=${name}`);
    const sizes = claims.map((claim) => claim["status"]?.capacity?.storage);
    if (sizes.every((size) => size === "2Gi")) return true;
    throw new Error(sizes.join(" "));
  }, 500);
  run.figure("1Gi to 2Gi on all claims", Date.now() - startedMs, "ms", 60_000);
  await ready(kubectl, name, bar.ready);
  check(
    (await members(kubectl, name)).map((pod) => pod.metadata.uid).join() === before,
    "growing restarted members",
  );
  const refused = await kubectl.try([
    "patch",
    "databases",
    name,
    "--type=merge",
    "--patch",
    '{"spec":{"storage":{"size":"1Gi"}}}',
  ]);
  check(
    refused.code !== 0 && refused.stderr.includes("cannot shrink"),
    `shrinking was not refused: ${refused.stderr}`,
  );
}

async function durability(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name);
  for (
    const [wanted, mode] of [["Strict", "quorum true"], ["Async", "off false"], [
      "Sync",
      "quorum false",
    ]] as const
  ) {
    const outcome = await underWrites(run, name, 3, async () => {
      await patch(run, { durability: wanted });
      await until(60_000, `Patroni's settings for ${wanted}`, async () => {
        const text = (await kubectl.get("configmap", `${name}-config`))?.metadata.annotations?.["config"] ??
          "{}";
        const config = JSON.parse(text) as Record<string, unknown>;
        const found = `${String(config["synchronous_mode"])} ${String(config["synchronous_mode_strict"])}`;
        if (found === mode) return true;
        throw new Error(found);
      }, 500);
    });
    run.figure(`to durability ${wanted}: longest time without a row`, outcome.gapMs, "ms", plannedGapMs);
  }
  const refused = await kubectl.try([
    "patch",
    "databases",
    name,
    "--type=merge",
    "--patch",
    '{"spec":{"durability":"Strict","size":1}}',
  ]);
  check(
    refused.code !== 0 && refused.stderr.includes("Strict"),
    `Strict with one member was not refused: ${refused.stderr}`,
  );
  await discard(run, name);
}

export const change: Scenario[] = [
  { name: "scale", what: "members come and go, also when the primary is among those that go", run: scale },
  { name: "hibernate", what: "3 to 0 members and back: same data", run: hibernate },
  { name: "roll", what: "a new template reaches one member after the other, the primary last", run: roll },
  {
    name: "badimage",
    what: "an image that does not exist stops no member, and is over when corrected",
    run: badImage,
  },
  { name: "switchover", what: "a switchover on request", run: switchover },
  { name: "restart", what: "a restart on request", run: restart },
  { name: "storage", what: "claims grow while running, and never shrink", run: storage },
  { name: "durability", what: "Strict, Async and back to Sync while rows are written", run: durability },
];
