/**
 * Seen and drained: metrics of real members for the dashboard and the alerts, and evictions as `kubectl drain` asks for them.
 * @module
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { answersOf, expressionsOf, readDashboard } from "../../deploy/dashboards.ts";
import { until } from "../../within.ts";
import { conditionOf, leader, members, ready, sql } from "../database.ts";
import type { Kubectl } from "../kubectl.ts";
import { discovered, localOperator, startPrometheus } from "../prometheus.ts";
import { bar, check, discard, ensure, type Run, type Scenario, underWrites } from "../scenario.ts";
import { Writer } from "../writer.ts";

const name = "watched";
const role = "metrics_exporter";
const socket = "/run/postgresql";

/** Names of the metrics that a member serves on a port. */
async function served(kubectl: Kubectl, pod: string, port: number): Promise<Set<string>> {
  const get =
    `import urllib.request; print(urllib.request.urlopen("http://localhost:${port}/metrics", timeout=9).read().decode())`;
  const text = await kubectl.exec(pod, ["python3", "-c", get]);
  return new Set([...text.matchAll(/^([a-z_][a-z0-9_]*)[{ ]/gm)].map((match) => match[1]!));
}

/** What dashboard and alerts ask of Patroni and of the exporter. */
function asked(): string[] {
  const alerts = readFileSync(new URL("../../../deploy/monitoring/alerts.yaml", import.meta.url), "utf8");
  const texts = [...expressionsOf(readDashboard()).map(({ expression }) => expression), alerts];
  return [...new Set(texts.flatMap((text) => text.match(/\b(?:pg|patroni)_[a-z0-9_]+/g) ?? []))].toSorted();
}

/** How an attempt to log in as the exporter's role ended, from a container of a member. */
async function login(kubectl: Kubectl, pod: string, container: string, options: string, sql = "SELECT 'in'") {
  const command = ["exec", pod, `--container=${container}`, "--"];
  const ended = await kubectl.try([
    ...command,
    "psql",
    "-XAtc",
    sql,
    `${options} user=${role} connect_timeout=5`,
  ]);
  return ended.code === 0 ? ended.stdout.trim() : ended.stderr.trim();
}

async function exporter(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name, { size: 2, monitoring: { enabled: true } });
  const pods = (await members(kubectl, name)).map(({ metadata }) => metadata.name);
  const wanted = asked();
  check(wanted.length >= 15, `dashboard and alerts ask for ${wanted.length} metrics only`);
  for (const pod of pods) {
    await until(60_000, `all metrics of ${pod}`, async () => {
      const names = new Set([...await served(kubectl, pod, 8008), ...await served(kubectl, pod, 9187)]);
      // Only a replica has a lag, only an open transaction a duration.
      const missing = wanted.filter((one) => !names.has(one));
      if (missing.length > 0) throw new Error(missing.join());
      return true;
    }, 2_000);
  }
  run.figure("metrics of dashboard and alerts that each member serves", wanted.length, "names");

  const primary = (await leader(kubectl, name))!;
  check(
    await login(kubectl, primary, "exporter", `host=${socket} dbname=postgres`) === "in",
    "it cannot log in",
  );
  for (
    const [container, options, why] of [
      ["exporter", `host=${socket} dbname=app`, /reject/],
      ["exporter", `host=${socket} dbname=template1`, /reject/],
      ["exporter", `host=localhost dbname=postgres`, /reject/],
      ["exporter", `host=${name} dbname=postgres sslmode=require`, /reject/],
      ["exporter", `host=${name} dbname=app sslmode=require`, /reject/],
      ["postgres", `host=${socket} dbname=postgres`, /[Pp]eer authentication failed/],
    ] as const
  ) {
    const told = await login(kubectl, primary, container, options);
    check(why.test(told), `${role} from ${container}, ${options}: ${told}`);
  }
  const written = await login(
    kubectl,
    primary,
    "exporter",
    `host=${socket} dbname=postgres`,
    "BEGIN READ WRITE; CREATE TABLE public.x ()",
  );
  check(/permission denied/.test(written), `${role} may write: ${written}`);
  const secret = (await kubectl.get("secret", `${name}-credentials`))!["data"] as Record<string, string>;
  const passwords = Object.entries(secret).filter(([key]) => key.endsWith("password")).map(([, text]) =>
    atob(text)
  );
  const sees = async (container: string) => {
    const files = "find /run /tmp /pgdata /etc -type f -size -64k -exec cat {} + 2>/dev/null || true";
    const text = await kubectl.run(["exec", primary, `--container=${container}`, "--", "sh", "-c", files], {
      timeoutMs: 60_000,
    });
    return passwords.filter((password) => text.includes(password)).length;
  };
  check(
    await sees("postgres") > 0,
    "the server's own container has no file with a password: nothing was looked at",
  );
  check(await sees("exporter") === 0, "the exporter can read a file with a password");
  const attributes = await sql(
    kubectl,
    primary,
    `SELECT rolsuper, rolcreaterole, rolreplication FROM pg_roles WHERE rolname = '${role}'`,
  );
  check(attributes === "f|f|f", `attributes of ${role}: ${attributes}`);
  await discard(run, name);
}

async function dashboard(run: Run): Promise<void> {
  const { kubectl, image } = run;
  const { operator } = run;
  const prometheus = await startPrometheus();
  try {
    await ensure(run, name, { size: 2, monitoring: { enabled: true }, backups: { volume: { size: "2Gi" } } });
    const writer = await Writer.start(kubectl, name, { image });
    const startedMs = Date.now();
    await until(300_000, "an answer to every question of the dashboard", async () => {
      const local = operator.address();
      prometheus.find([
        ...await discovered(kubectl, ...operator.pods ? [operator.pods.kubectl] : []),
        ...local ? [localOperator(local)] : [],
      ]);
      const answers = await answersOf(prometheus.server);
      const open = answers.filter(({ series }) => series === 0).map(({ title, error }) => error ?? title);
      if (open.length > 0) throw new Error(open.join("; "));
      run.figure("questions of the dashboard with an answer", answers.length, "questions");
      return true;
    }, 5_000);
    run.figure("until all had one", Date.now() - startedMs, "ms");
    await writer.stop();
  } finally {
    await prometheus.stop();
  }
  await discard(run, name);
}

/** Asks for an eviction as `kubectl drain` does; resolves to whether it was granted. */
async function evict({ kubectl }: Run, pod: string): Promise<boolean> {
  const path = `/api/v1/namespaces/${kubectl.namespace}/pods/${pod}/eviction`;
  const body = {
    apiVersion: "policy/v1",
    kind: "Eviction",
    metadata: { name: pod, namespace: kubectl.namespace },
  };
  const ended = await kubectl.try(["create", "--raw", path, "--filename=-"], { input: JSON.stringify(body) });
  if (ended.code === 0) return true;
  check(/disruption budget/.test(ended.stderr), `the eviction of ${pod} failed: ${ended.stderr}`);
  return false;
}

/** Longest time that a healthy Database makes a drain wait: the member that was taken before has to be back. */
const drainMs = 120_000;

async function drained(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name, { size: 3 });
  const healthy = await underWrites(run, name, 3, async () => {
    const first = (await leader(kubectl, name))!;
    check(await evict(run, first), "a healthy primary may not be evicted");
    const startedMs = Date.now();
    const others = (await members(kubectl, name)).filter(({ metadata }) => metadata.name !== first);
    const next = others[0]!.metadata.name;
    check(!await evict(run, next), "two members may be evicted at a time");
    await until(drainMs, `${next} to be evicted`, () => evict(run, next), 1_000);
    run.figure("the second member of a drain waits", Date.now() - startedMs, "ms", drainMs);
  });
  run.figure("two members drained: longest time without a row", healthy.gapMs, "ms", 10_000);

  const primary = (await leader(kubectl, name))!;
  const broken =
    (await members(kubectl, name)).find(({ metadata }) => metadata.name !== primary)!.metadata.name;
  await underWrites(run, name, 3, async () => {
    await kubectl.run(["set", "image", `pod/${broken}`, "postgres=localhost/missing:17"]);
    const told = await until(60_000, "the Database to say why", async () => {
      const condition = conditionOf(await kubectl.get("databases", name), "Ready");
      const message = String(condition?.["message"]);
      return condition?.["status"] === "False" && message.includes(`${broken} cannot run`)
        ? message
        : undefined;
    }, 300);
    check(!await evict(run, primary), `the primary may be evicted although ${broken} is down: ${told}`);
    check(await evict(run, broken), "the budget keeps a broken member on its node");
    const startedMs = Date.now();
    await until(drainMs, `${primary} to be evicted`, () => evict(run, primary), 1_000);
    run.figure("with a broken member: the primary waits", Date.now() - startedMs, "ms", drainMs);
  });
  await ready(kubectl, name, bar.ready);
  await discard(run, name);
}

export const watched: Scenario[] = [
  {
    name: "exporter",
    what: "every metric of dashboard and alerts is there, and the exporter gets in nowhere else",
    run: exporter,
  },
  {
    name: "dashboard",
    what: "a real Prometheus has an answer to every question of the dashboard",
    ...(process.env.E2E_PROMETHEUS ? { short: true } : { optional: true }),
    run: dashboard,
  },
  { name: "drain", what: "members leave one at a time, and a broken one never keeps a node", run: drained },
];
