/**
 * Parameters: reloaded, raised, lowered, refused by the operator and by the server, and one that no server can run with.
 * @module
 */
import { until } from "../../within.ts";
import { conditionOf, leader, members, ready, sql } from "../database.ts";
import { bar, check, discard, ensure, type Run, type Scenario, underWrites } from "../scenario.ts";

const name = "tuned";
/** Longest time without an acknowledged row that a planned change may cost. */
const plannedGapMs = 5_000;
/** Longest wait until all members have restarted, one after the other. */
const restartMs = 180_000;

async function patch(run: Run, parameters: Record<string, string | null>): Promise<void> {
  const spec = JSON.stringify({ spec: { parameters } });
  await run.kubectl.run(["patch", "databases", name, "--type=merge", "--patch", spec]);
}

/** What each member runs with, in the members' order. */
async function running(run: Run, parameter: string): Promise<string[]> {
  const pods = await members(run.kubectl, name);
  return await Promise.all(pods.map((pod) => sql(run.kubectl, pod.metadata.name, `SHOW ${parameter}`)));
}

/** Waits until every member runs with it. */
async function runsWith(run: Run, parameter: string, value: string, timeoutMs: number): Promise<void> {
  await until(timeoutMs, `all members to run with ${parameter} = ${value}`, async () => {
    const values = await running(run, parameter);
    if (values.every((one) => one === value)) return true;
    throw new Error(values.join(" "));
  }, 500);
}

/** Waits until the status says that something about the parameters is wrong, and returns its words. */
async function blamed(run: Run, word: string, reason: string): Promise<string> {
  return await until(bar.ready, `the status to say ${word}`, async () => {
    const { status, reason: found, message } =
      conditionOf(await run.kubectl.get("databases", name), "Ready") ?? {};
    const text = String(message);
    if (status === "False" && found === reason && text.includes(word)) return text;
    throw new Error(`${found}: ${text}`);
  }, 200);
}

async function startsOf(run: Run): Promise<string> {
  const pods = await members(run.kubectl, name);
  const starts = pods.map((pod) => sql(run.kubectl, pod.metadata.name, "SELECT pg_postmaster_start_time()"));
  return (await Promise.all(starts)).join();
}

async function reloaded(run: Run): Promise<void> {
  await ensure(run, name);
  const before = await startsOf(run);
  const outcome = await underWrites(run, name, 3, async () => {
    await patch(run, { work_mem: "9MB", autovacuum: "t", random_page_cost: "0x2" });
    await runsWith(run, "work_mem", "9MB", bar.writes);
  });
  run.figure("reloaded: longest time without a row", outcome.gapMs, "ms", 1_500);
  check(await startsOf(run) === before, "a server was restarted for a parameter that can be reloaded");
  check((await running(run, "random_page_cost")).join() === "2,2,2", "a hexadecimal value was dropped");
  await patch(run, { work_mem: null, autovacuum: null, random_page_cost: null });
  await runsWith(run, "work_mem", "4MB", bar.writes);
}

async function raised(run: Run): Promise<void> {
  await ensure(run, name);
  await change(run, "raised", { max_connections: "150" }, "150");
}

async function lowered(run: Run): Promise<void> {
  await ensure(run, name);
  const before = await leader(run.kubectl, name);
  await change(run, "lowered", { max_connections: "60" }, "60");
  check(await leader(run.kubectl, name) === before, "the primary moved: it was to restart in place");
}

async function mixed(run: Run): Promise<void> {
  await ensure(run, name);
  await change(run, "one raised, one lowered", { max_connections: "70", max_worker_processes: "7" }, "70");
  await runsWith(run, "max_worker_processes", "7", bar.ready);
}

async function change(
  run: Run,
  what: string,
  parameters: Record<string, string>,
  connections: string,
): Promise<void> {
  const outcome = await underWrites(run, name, 3, async () => {
    await patch(run, parameters);
    await runsWith(run, "max_connections", connections, restartMs);
  }, { readyTimeoutMs: restartMs });
  run.figure(`${what}: to Ready`, outcome.readyMs, "ms", restartMs);
  run.figure(`${what}: longest time without a row`, outcome.gapMs, "ms", plannedGapMs);
}

async function refused(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name);
  const [connections] = await running(run, "max_connections");
  const startedMs = Date.now();
  const outcome = await underWrites(run, name, 3, async () => {
    await patch(run, { max_connections: "0", shared_bufers: "1GB", work_mem: "7MB" });
    const told = await blamed(run, "max_connections", "InvalidParameter");
    run.figure("refused by the operator: named in the status", Date.now() - startedMs, "ms", 5_000);
    check(told.includes('"0" is not between 25 and 262143'), told);
    check(told.includes("shared_bufers: PostgreSQL 17 has no such parameter"), told);
    await runsWith(run, "work_mem", "7MB", bar.writes); // what is right is not held back
    await patch(run, { max_connections: null, shared_bufers: null });
    await patch(run, { timezone: "Mars/Olympus", max_connections: connections! });
    const byServer = await blamed(run, "timezone", "InvalidParameter");
    check(byServer.includes('"Mars/Olympus" was refused by PostgreSQL'), byServer);
    const primary = (await leader(kubectl, name))!;
    await until(bar.writes, "the refused value to leave the file", async () => {
      const count = "SELECT count(*) FROM pg_file_settings WHERE error IS NOT NULL";
      return await sql(kubectl, primary, count) === "0";
    }, 500);
    await patch(run, { timezone: "Europe/Berlin" });
    await ready(kubectl, name, bar.ready);
    await runsWith(run, "timezone", "Europe/Berlin", bar.writes);
  });
  run.figure("refused: longest time without a row", outcome.gapMs, "ms", 1_500);
  await patch(run, { timezone: null, work_mem: null });
}

/** A running server takes what a start would fail on: each member starts once more after the nonsense. */
async function ofTls(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name);
  for (const parameter of ["ssl_ciphers", "ssl_dh_params_file", "ssl_ecdh_curve", "ssl_cert_file"]) {
    const spec = JSON.stringify({ spec: { parameters: { [parameter]: "garbage" } } });
    const tried = await kubectl.try(["patch", "databases", name, "--type=merge", "--patch", spec]);
    check(
      tried.code !== 0 && /that Patroni and the operator own/.test(tried.stderr),
      `${parameter} was taken`,
    );
  }
  await patch(run, { ssl_min_protocol_version: "TLSv1.3", ssl_max_protocol_version: "TLSv1.2" });
  await blamed(run, "ssl_min_protocol_version: TLSv1.3 is newer", "InvalidParameter");
  await patch(run, { ssl_min_protocol_version: null, ssl_max_protocol_version: "TLSv1" });
  await blamed(run, "ssl_max_protocol_version: neither clients", "InvalidParameter");
  const replica = (await members(kubectl, name)).map(({ metadata }) => metadata)
    .find((metadata) => metadata.name !== `${name}-0`)!;
  await kubectl.delete("pod", replica.name);
  await until(bar.ready, `${replica.name} to serve again`, async () => {
    const { status } = (await kubectl.get("databases", name))!;
    const pod = await kubectl.get("pod", replica.name);
    return pod?.metadata.uid !== replica.uid && status.readyReplicas === 3;
  }, 500);
  await patch(run, { ssl_max_protocol_version: null });
}

async function impossible(run: Run): Promise<void> {
  const { kubectl } = run;
  // The kernel promises any memory on a node of Kubernetes; the limit is what a server runs into.
  const resources = { requests: { cpu: "100m", memory: "256Mi" }, limits: { memory: "512Mi" } };
  await ensure(run, name, { size: 3, resources });
  const primary = await leader(kubectl, name);
  const [buffers] = await running(run, "shared_buffers");
  const outcome = await underWrites(run, name, 3, async () => {
    const before = new Map(
      (await members(kubectl, name)).map(({ metadata }) => [metadata.name, metadata.uid]),
    );
    await patch(run, { shared_buffers: "256GB" });
    const told = await blamed(run, "shared_buffers", "Degraded");
    console.log(`    ${told}`);
    const failed = await until(bar.ready, "a replica to fail with it", async () => {
      for (const pod of await members(kubectl, name)) {
        const { state } = JSON.parse(pod.metadata.annotations?.["status"] ?? "{}") as { state?: string };
        if (state === "start failed" || state === "crashed") return pod.metadata.name;
      }
      return undefined;
    }, 300);
    const startedMs = Date.now();
    await until(30_000, "20 s in which the others go on", async () => {
      const restarted = (await members(kubectl, name)).filter(({ metadata }) =>
        metadata.name !== failed && metadata.uid !== before.get(metadata.name)
      );
      check(
        restarted.length === 0,
        `restarted too: ${restarted.map(({ metadata }) => metadata.name).join(" ")}`,
      );
      check(await leader(kubectl, name) === primary, "the primary moved");
      return Date.now() - startedMs > 20_000;
    }, 1_000);
    await patch(run, { shared_buffers: null });
  }, { readyTimeoutMs: restartMs });
  run.figure("shared_buffers beyond memory: longest time without a row", outcome.gapMs, "ms", plannedGapMs);
  run.figure("shared_buffers beyond memory: to Ready, corrected", outcome.readyMs, "ms", restartMs);
  await runsWith(run, "shared_buffers", buffers!, bar.ready);
  await discard(run, name);
}

async function alone(run: Run): Promise<void> {
  const { kubectl } = run;
  await discard(run, name);
  const resources = { requests: { cpu: "100m", memory: "256Mi" }, limits: { memory: "512Mi" } };
  await ensure(run, name, { size: 1, resources });
  const started = await startsOf(run);
  const outcome = await underWrites(run, name, 1, async () => {
    const askedMs = Date.now();
    await patch(run, { shared_preload_libraries: "pg_stat_statments" });
    const library = await blamed(run, "pg_stat_statments", "InvalidParameter");
    run.figure(
      "a library that is not there, asked of an only member: named",
      Date.now() - askedMs,
      "ms",
      30_000,
    );
    check(library.includes("could not access file"), library);
    await patch(run, { shared_preload_libraries: null, shared_buffers: "256GB" });
    const memory = await blamed(run, "shared_buffers", "InvalidParameter");
    console.log(`    ${memory}`);
    check(memory.includes("does not start with"), memory);
    await patch(run, { shared_buffers: null });
    await ready(kubectl, name, bar.ready);
  });
  run.figure(
    "what an only member does not start with: longest time without a row",
    outcome.gapMs,
    "ms",
    1_500,
  );
  check(await startsOf(run) === started, "the only member restarted");
  await patch(run, { shared_buffers: "160MB", max_connections: "120" });
  await runsWith(run, "shared_buffers", "160MB", bar.ready);
  await runsWith(run, "max_connections", "120", bar.ready);
  await ready(kubectl, name, bar.ready);
}

/** The configuration says what no server starts with, and nobody leads any more: as an operator of before left it. */
async function mended(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name, { size: 1 });
  const pause = (value: string) =>
    kubectl.run(["annotate", "--overwrite", "databases", name, `app.example.com/paused=${value}`]);
  await pause("true");
  const before = (await kubectl.get("configmap", `${name}-config`))?.metadata.annotations?.["config"] ?? "{}";
  const config = JSON.parse(before) as { postgresql: { parameters: Record<string, string> } };
  config.postgresql.parameters["shared_preload_libraries"] = "pg_stat_statments";
  const metadata = { annotations: { config: JSON.stringify(config) } };
  const patched = JSON.stringify({ metadata });
  await kubectl.run(["patch", "configmap", `${name}-config`, "--type=merge", "--patch", patched]);
  await kubectl.delete("pod", `${name}-0`);
  await until(bar.ready, "the server not to start", async () => {
    const [pod] = await members(kubectl, name);
    const { state } = JSON.parse(pod?.metadata.annotations?.["status"] ?? "{}") as { state?: string };
    if (state === "start failed") return true;
    throw new Error(state);
  }, 500);
  const startedMs = Date.now();
  await pause("false");
  await ready(kubectl, name, bar.ready);
  run.figure("a configuration that no server starts with: to Ready", Date.now() - startedMs, "ms", 60_000);
  await discard(run, name);
}

export const parameters: Scenario[] = [
  { name: "reload", what: "parameters that can be reloaded are, without a restart", run: reloaded },
  { name: "raise", what: "max_connections is raised: replicas first, then the primary", run: raised },
  { name: "lower", what: "max_connections is lowered: the primary first, in place", run: lowered },
  { name: "mix", what: "one parameter of standbys is raised, another lowered", run: mixed },
  {
    name: "refuse",
    what: "values that PostgreSQL refuses are named, and the servers keep theirs",
    run: refused,
  },
  {
    name: "sslparameter",
    what:
      "parameters of TLS that no server could start with are refused or named; a member that restarts comes back",
    run: ofTls,
  },
  {
    name: "impossible",
    what: "shared_buffers beyond memory stop at one replica and heal when corrected",
    run: impossible,
  },
  {
    name: "alone",
    what: "what an only member does not start with is named, and never takes it down",
    run: alone,
  },
  {
    name: "mend",
    what: "a configuration that no server starts with is mended although nobody leads",
    run: mended,
  },
];
