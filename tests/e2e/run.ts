/**
 * End-to-end tests on a real cluster with real PostgreSQL: `npm run e2e`, `deno task e2e`.
 *
 * KUBECONFIG names the cluster and kubectl must be there. Each scenario prints what it measured; the last line is
 * `N passed, N failed`, and the exit code is 0 when all passed. A scenario that needs more, which `--list` tells as
 * names of environment variables, runs when they are set; otherwise it is named before the last line and not counted.
 *
 *     --short          only the scenarios of the gate
 *     --only NAME      only this one; may be given several times
 *     --strict         a figure that misses its goal fails the scenario; for a machine that does nothing else
 *     --times N        repeat each fault N times (1)
 *     --install        make the images (tests/e2e/images.ts) and install deploy/ first
 *     --local          instead of --install: run operator.ts of this working tree as a child process, which sees this
 *                      run's namespace only; its members' images: E2E_IMAGE_TEMPLATE (localhost/database:{version})
 *     --own            with --install: let the operator see this run's namespace only, for a shared cluster
 *     --namespace NS   run in this namespace, which is kept; default: a new one, which is deleted at the end
 *     --keep           keep the namespace, to look at it
 *     --list           name the scenarios
 *
 * Beside every scenario passwords are searched where none may be, connections of pods are held against the
 * NetworkPolicies, and the API server's warnings are failures. E2E_AUDIT_LOG, its audit.log, adds what RBAC refused;
 * E2E_PROMETHEUS, a program, adds the scenario of the dashboard.
 * @module
 */
import { execFileSync } from "node:child_process";
import process from "node:process";
import { parseArgs } from "node:util";
import { within } from "../within.ts";
import { AuditLog } from "./audit.ts";
import { Connections } from "./connections.ts";
import { makeImages } from "./images.ts";
import { install, installed } from "./install.ts";
import { Kubectl } from "./kubectl.ts";
import { LeakSearch } from "./leaks.ts";
import { type RunningOperator, secondNamespace, startLocally } from "./local.ts";
import type { Run, Scenario } from "./scenario.ts";
import { backup } from "./scenarios/backup.ts";
import { backupDocs } from "./scenarios/backup_docs.ts";
import { outages } from "./scenarios/outage.ts";
import { recovery } from "./scenarios/recovery.ts";
import { repositories } from "./scenarios/repository.ts";
import { change } from "./scenarios/change.ts";
import { life } from "./scenarios/life.ts";
import { hardship } from "./scenarios/hardship.ts";
import { narrowed } from "./scenarios/narrow.ts";
import { parameters } from "./scenarios/parameters.ts";
import { safety } from "./scenarios/safety.ts";
import { upgrades } from "./scenarios/upgrade.ts";
import { userScenarios } from "./scenarios/users.ts";
import { tls } from "./scenarios/tls.ts";
import { watched } from "./scenarios/watch.ts";
import { volumes } from "./scenarios/volume.ts";

const scenarios: readonly Scenario[] = [
  ...life,
  ...change,
  ...parameters,
  ...safety,
  ...hardship,
  ...backup,
  ...recovery,
  ...outages,
  ...repositories,
  ...backupDocs,
  ...volumes,
  ...upgrades,
  ...userScenarios,
  ...tls,
  ...watched,
  ...narrowed,
];

/** Longest search for passwords. */
const leaksMs = 120_000;
/** Between two looks at the connections of all pods. */
const connectionsMs = 10_000;

/** Longest time of one scenario, with all its repetitions. */
const scenarioMs = 15 * 60_000;
/** Everything is refused, and warned of, that the Pod Security level does not allow. */
const restricted = {
  "pod-security.kubernetes.io/enforce": "restricted",
  "pod-security.kubernetes.io/warn": "restricted",
};
const image = process.env.E2E_DATABASE_IMAGE ?? "localhost/database:17";

/** The environment variables that a scenario needs and does not have. */
function missing({ needs = [] }: Scenario): string[] {
  return needs.filter((name) => !process.env[name]);
}

/** What helps to understand a failure. */
async function diagnose(kubectl: Kubectl, operator: RunningOperator): Promise<string> {
  const parts = await Promise.all([
    kubectl.try(["get", "databases,statefulsets,pods,persistentvolumeclaims", "--output=wide"]),
    kubectl.try([
      "get",
      "databases",
      "--output=jsonpath={range .items[*]}{.metadata.name}{' '}{.status}{'\\n'}{end}",
    ]),
    kubectl.try(["get", "events", "--sort-by=.metadata.creationTimestamp"]),
    operator.logs().then(
      (stdout) => ({ stdout, stderr: "" }),
      (error: Error) => ({ stdout: "", stderr: error.message }),
    ),
  ]);
  return parts.map(({ stdout, stderr }) => (stdout + stderr).trim().split("\n").slice(-45).join("\n")).join(
    "\n\n",
  );
}

/** What was measured several times. */
function summarize(figures: ReadonlyMap<string, { unit: string; values: number[] }>): void {
  for (const [what, { unit, values }] of figures) {
    if (values.length < 2) continue;
    const sum = values.reduce((sum, value) => sum + value, 0);
    console.log(
      `    ${values.length} times: ${what}: min ${Math.min(...values)}, mean ${
        Math.round(sum / values.length)
      }, max ${Math.max(...values)}, sum ${sum} ${unit}`,
    );
  }
}

/** What is looked at beside every scenario: passwords, connections, warnings, and what RBAC refused. */
class Guard {
  readonly #kubectl: Kubectl;
  readonly #operator: RunningOperator;
  readonly #leaks: LeakSearch;
  readonly #connections: Connections;
  readonly #audit = AuditLog.open();
  readonly #timer: ReturnType<typeof setInterval>;
  #looking: Promise<void> = Promise.resolve();

  constructor(kubectl: Kubectl, operator: RunningOperator) {
    this.#kubectl = kubectl;
    this.#operator = operator;
    this.#leaks = new LeakSearch(kubectl, operator);
    this.#connections = new Connections(kubectl, ...operator.pods ? [operator.pods.kubectl] : []);
    // The API server may be away in a scenario: then nothing is seen.
    this.#timer = setInterval(() => void this.#look().catch(() => {}), connectionsMs);
  }

  /** One look after the other. */
  #look(): Promise<void> {
    return this.#looking = this.#looking.catch(() => {}).then(() => this.#connections.look());
  }

  async inspect(): Promise<void> {
    await this.#look();
    await within(leaksMs, this.#leaks.look(), "the search for passwords");
  }

  /** Looks for the last time. @throws {Error} that names everything that may not be */
  async verdict({ mayRefuse = false }: Scenario): Promise<void> {
    await this.inspect();
    const { leaks, needles, places } = this.#leaks;
    const { refused, ways } = this.#connections;
    const counted = /^rest_client_warnings_total [1-9]/m.test(await this.#operator.metrics());
    const logged = (await this.#operator.logs()).split("\n").filter((line) =>
      line.includes('"api_warnings"')
    );
    const warnings = [...Kubectl.warnings, ...logged, ...(counted ? ["counted by the operator"] : [])];
    const accounts = this.#operator.pods ? [this.#operator.pods.account] : [];
    const audit = await this.#audit?.strange(this.#kubectl.namespace, accounts, mayRefuse);
    const bad = [
      ...[...leaks].map((leak) => `a secret was seen: ${leak}`),
      ...[...refused].map((way) => `no NetworkPolicy allows ${way}`),
      ...warnings.map((warning) => `the API server warned: ${warning}`),
      ...audit?.strange ?? [],
    ];
    if (bad.length > 0) throw new Error(bad.join("; "));
    console.log(`    connections: ${[...ways].toSorted().join("; ")}`);
    const asked = audit ? `, ${audit.seen} requests allowed` : "";
    console.log(
      `    ${needles} secrets in none of ${places} places, ${ways.size} ways of connections allowed, no warning${asked}`,
    );
  }

  end(): void {
    clearInterval(this.#timer);
    this.#leaks.end();
  }
}

async function runOne(
  scenario: Scenario,
  kubectl: Kubectl,
  { times, strict, operator }: { times: number; strict: boolean; operator: RunningOperator },
): Promise<boolean> {
  const startedMs = Date.now();
  const missed: string[] = [];
  const figures = new Map<string, { unit: string; values: number[] }>();
  const guard = new Guard(kubectl, operator);
  const run: Run = {
    inspect: () => guard.inspect(),
    kubectl,
    image,
    operator,
    times,
    figure(what, value, unit, goal) {
      figures.set(what, { unit, values: [...figures.get(what)?.values ?? [], value] });
      const over = goal !== undefined && value > goal;
      console.log(
        `    ${what}: ${value} ${unit}${goal === undefined ? "" : ` (goal ${goal})`}${
          over ? "  MISSED" : ""
        }`,
      );
      if (over && strict) missed.push(`${what}: ${value} ${unit}, goal ${goal}`);
    },
  };
  console.log(`${scenario.name}: ${scenario.what}`);
  try {
    const absent = missing(scenario);
    if (absent.length > 0) throw new Error(`It cannot run without ${absent.join(", ")}`);
    await within(scenarioMs, scenario.run(run), `scenario ${scenario.name}`);
    await guard.verdict(scenario);
    summarize(figures);
    if (missed.length > 0) throw new Error(missed.join("; "));
    console.log(`  ok, ${Math.round((Date.now() - startedMs) / 1000)} s`);
    return true;
  } catch (error) {
    console.log(
      `  FAILED after ${Math.round((Date.now() - startedMs) / 1000)} s: ${(error as Error).message}`,
    );
    console.log(await diagnose(kubectl, operator));
    return false;
  } finally {
    guard.end();
  }
}

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: {
      short: { type: "boolean" },
      only: { type: "string", multiple: true },
      strict: { type: "boolean", default: false },
      times: { type: "string", default: "1" },
      install: { type: "boolean" },
      local: { type: "boolean" },
      own: { type: "boolean" },
      namespace: { type: "string" },
      keep: { type: "boolean" },
      list: { type: "boolean" },
    },
  });
  if (values.list) {
    for (const { name, what, short, optional, needs } of scenarios) {
      const notes = [short && "short", optional && "only by name", needs && `needs ${needs.join(", ")}`];
      const told = notes.filter(Boolean).join("; ");
      console.log(`${name}${told && ` (${told})`}: ${what}`);
    }
    return true;
  }
  const unknown = values.only?.find((name) => !scenarios.some((scenario) => scenario.name === name));
  if (unknown) {
    throw new Error(`No scenario "${unknown}": there are ${scenarios.map(({ name }) => name).join(", ")}`);
  }
  const wanted = scenarios.filter(({ name, short, optional }) =>
    values.only?.includes(name) ?? (values.short ? short : !optional)
  );
  // One that is asked for by name and cannot run has failed; see runOne.
  const chosen = wanted.filter((scenario) => values.only || missing(scenario).length === 0);
  const leftOut = wanted.filter((scenario) => !chosen.includes(scenario));
  const times = Number(values.times);
  if (!Number.isInteger(times) || times < 1) {
    throw new Error(`--times: expected a whole number, got "${values.times}"`);
  }

  const name = values.namespace ?? `e2e-${Date.now().toString(36)}`;
  const kubectl = new Kubectl(name);
  const remove = values.namespace === undefined && !values.keep;
  await kubectl.apply({
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name, labels: restricted },
  });
  const interrupted = () => {
    if (remove) execFileSync("kubectl", ["delete", "namespace", name, "--wait=false"]);
    process.exit(130);
  };
  process.once("SIGINT", interrupted).once("SIGTERM", interrupted);
  let passed = 0;
  let operator: RunningOperator | undefined;
  try {
    if (values.install) {
      await makeImages();
      await install(values.own ? `${name},${secondNamespace(name)}` : "");
      console.log("operator installed");
    }
    operator = values.local ? await startLocally(kubectl) : installed;
    for (const scenario of chosen) {
      if (await runOne(scenario, kubectl, { times, strict: values.strict, operator })) passed++;
    }
  } finally {
    if (remove) await cleanUp(kubectl);
    await operator?.stop();
  }
  for (const scenario of leftOut) {
    console.log(`NOT RUN, without ${missing(scenario).join(", ")}: ${scenario.name}: ${scenario.what}`);
  }
  console.log(`${passed} passed, ${chosen.length - passed} failed`);
  return passed === chosen.length;
}

/** Databases first, while there is an operator that can end them in order; then the namespace. */
async function cleanUp(kubectl: Kubectl): Promise<void> {
  await kubectl.try(["delete", "databases", "--all", "--timeout=90s"], { timeoutMs: 100_000 });
  await kubectl.try(["delete", "namespace", kubectl.namespace, "--wait=false"]);
}

try {
  process.exitCode = await main() ? 0 : 1;
} catch (error) {
  console.error(`e2e: ${(error as Error).message}`);
  console.log("0 passed, 1 failed");
  process.exitCode = 1;
}
