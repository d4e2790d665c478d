/**
 * Runs a workload once without a fault, then once with each fault at each point, and compares.
 *
 * What must hold of every run (the numbers are those of the design's pass conditions):
 * - P1 the end state equals the fault-free one, and then nothing is written;
 * - P2 every object was created and deleted as often as without the fault;
 * - P3 at every commit: no claim and no Secret is lost unless the policy says so, passwords are made once, a Database
 *   goes only after its members, observedGeneration is never ahead and never goes back;
 * - P4 the writes are those without a fault and a few, and convergence takes bounded virtual time;
 * - P5 nothing is left open after the stop.
 * @module
 */

import type { KubeObject } from "../../embedded/mod.ts";
import { type Commit, type OperatorRequest, Simulation, type SimulationOptions } from "./simulation.ts";
import { crd, installOperator, type Workload } from "./workloads.ts";

/** At rest: for so long nothing was committed but heartbeats. Longer than any requeue of the operator (30 s). */
const QUIET_MS = 35_000;
/** A run that takes longer does not converge. The longest back-off of a key is 1,000 s. */
const CONVERGE_MAX_MS = 1_800_000;
/** More commits than this without rest are a loop; the longest workload makes a few hundred. */
const COMMITS_MAX = 1_000;
/** Writes that one fault may cost beyond those of the fault-free run: the same again, and a status before and after. */
const EXTRA_WRITES_MAX = 5;

/** A fault and where it strikes; indexes count from the first step of `act`. */
export interface Choice {
  readonly label: string;
  fate?(request: OperatorRequest): ReturnType<NonNullable<SimulationOptions["fate"]>>;
  /** Called after each commit. */
  onCommit?(index: number, commit: Commit, simulation: Simulation): void;
  /** Called after each step of `act`, when the cluster is quiet; answers true when it did something. */
  onQuiet?(simulation: Simulation): boolean | Promise<boolean>;
  /** The fault itself creates, deletes or changes objects: creates, deletes, writes and generations may differ. */
  readonly isDrift?: boolean;
  /** Lines of P1 that this fault explains. */
  readonly mayDiffer?: RegExp;
  /** Longest time in which nothing happens although it is not over yet; default 35 s. */
  readonly quietMs?: number;
  /** Processes elect a leader; the fault-free run to compare with must do so, too. */
  readonly elects?: boolean;
  /** Processes that crash, refusals: how many faults there are. Default 1. */
  readonly faults?: number;
}

/** What a run came to. */
export interface Outcome {
  state: Record<string, unknown>;
  /** The same without what a restart of members changes: who is primary, and what follows from that. */
  roleless: Record<string, unknown>;
  /** The same without what every edit changes, too: generations, revisions. */
  loose: Record<string, unknown>;
  /** `create` and `delete` per object. */
  counts: Record<string, number>;
  writes: number;
  /** Up to the last write. */
  requests: OperatorRequest[];
  /** Up to rest. */
  commits: Commit[];
  tables: string[];
  convergedMs: number;
  violations: string[];
  log: string[];
}

/** Runs a workload, with a fault when one is chosen. */
export async function runOnce(workload: Workload, choice?: Choice, restMs = 120_000): Promise<Outcome> {
  let requestsBefore = Infinity;
  let writesBefore = Infinity;
  let commitsBefore = Infinity;
  let requestsAfter: number | undefined;
  let commitsAfter: number | undefined;
  const monitor = new Monitor();
  const simulation = new Simulation({
    crds: [crd],
    simulate: workload.install === undefined,
    install: workload.install ?? installOperator,
    elects: choice?.elects,
    fate: (request) => {
      if (request.index <= requestsBefore) return undefined;
      return choice?.fate?.({
        ...request,
        index: request.index - requestsBefore,
        write: request.write && request.write - writesBefore,
      });
    },
    onCommit: (index, commit, simulation) => {
      monitor.see(commit);
      if (index > commitsBefore) choice?.onCommit?.(index - commitsBefore, commit, simulation);
    },
  });
  const violations: string[] = [];
  let startMs = 0;
  let endMs = 0;
  try {
    simulation.startOperator();
    await atRest(simulation, 10_000);
    for (const step of workload.setup) {
      await step(simulation);
      await atRest(simulation);
    }
    requestsBefore = simulation.requests.length;
    writesBefore = simulation.writes;
    commitsBefore = simulation.commits.length;
    startMs = endMs = simulation.time.nowMs;
    for (const step of workload.act) {
      await step(simulation);
      endMs = await atRest(simulation, choice?.quietMs);
      if (await choice?.onQuiet?.(simulation)) endMs = await atRest(simulation, choice?.quietMs);
    }
    const writes = simulation.writes;
    requestsAfter = simulation.requests.findLastIndex(({ write }) => write > 0) + 1;
    commitsAfter = simulation.commits.length;
    const restEndMs = simulation.time.nowMs + restMs;
    simulation.time.set(restMs, () => {});
    await simulation.run(restMs + 1, "rest", () => simulation.time.nowMs >= restEndMs);
    if (simulation.writes > writes) violations.push(`P1: ${simulation.writes - writes} writes at rest`);
  } catch (error) {
    const { message, cause } = error as Error;
    violations.push(`P4: ${message}${cause ? `: ${String(cause)}` : ""}`);
  }
  const outcome: Outcome = {
    state: stateOf(simulation, "all"),
    roleless: stateOf(simulation, "roleless"),
    loose: stateOf(simulation, "loose"),
    counts: countsOf(simulation.commits.slice(commitsBefore)),
    writes: simulation.writes - writesBefore,
    requests: simulation.requests.slice(requestsBefore, requestsAfter),
    commits: simulation.commits.slice(commitsBefore, commitsAfter),
    tables: [...simulation.api.tables()],
    convergedMs: endMs - startMs,
    violations,
    log: simulation.log,
  };
  for (const left of await simulation.close()) violations.push(`P5: ${left}`);
  violations.push(...monitor.violations);
  return outcome;
}

/** What is wrong with a run, seen beside the fault-free one. */
export function differences(
  workload: Workload,
  outcome: Outcome,
  baseline: Outcome,
  choice: Choice,
): string[] {
  const found = [...outcome.violations];
  const { faults = 1, isDrift } = choice;
  const view = isDrift ? "loose" : workload.switches ? "roleless" : "state";
  found.push(...compare("P1", outcome[view], baseline[view]).filter((line) => !choice.mayDiffer?.test(line)));
  if (!isDrift) {
    found.push(...compare("P2", outcome.counts, baseline.counts));
    const allowed = baseline.writes + EXTRA_WRITES_MAX * faults;
    if (outcome.writes > allowed) {
      found.push(`P4: ${outcome.writes} writes, ${baseline.writes} without the fault`);
    }
  }
  const limitMs = baseline.convergedMs + 150_000 * faults;
  if (outcome.convergedMs > limitMs) {
    found.push(`P4: converged after ${outcome.convergedMs / 1000} virtual seconds`);
  }
  return found;
}

/** Waits until nothing but heartbeats has been committed for a while; answers when the last such commit was. */
async function atRest(simulation: Simulation, quietMs = QUIET_MS): Promise<number> {
  let seen = simulation.commits.length;
  const commitsMax = seen + COMMITS_MAX;
  let writes = simulation.writes;
  let sinceMs = simulation.time.nowMs;
  let last = "";
  simulation.time.set(quietMs, () => {});
  await simulation.run(CONVERGE_MAX_MS, "the cluster to come to rest", () => {
    for (; seen < simulation.commits.length; seen++) {
      const commit = simulation.commits[seen]!;
      if (isHeartbeat(commit)) continue;
      sinceMs = simulation.time.nowMs;
      last = `${commit.type} ${commit.table} ${commit.object.metadata.name}`;
    }
    if (seen > commitsMax) throw new Error(`${COMMITS_MAX} commits without rest`);
    if (simulation.writes !== writes) {
      writes = simulation.writes;
      sinceMs = simulation.time.nowMs;
      last = `write ${writes}`;
    }
    return simulation.time.nowMs - sinceMs >= quietMs;
  }).catch((error) => {
    throw new Error(`${(error as Error).message}; last: ${last}`, { cause: (error as Error).cause });
  });
  return sinceMs;
}

/** Patroni says every few seconds that it is alive, and so does the leader. */
export function isHeartbeat({ type, table, object, previous }: Commit): boolean {
  if (table === "coordination.k8s.io/leases") return true;
  if (type !== "MODIFIED" || (table !== "/configmaps" && table !== "/pods")) return false;
  return maskedOnce(object) === maskedOnce(previous!);
}

const maskedObjects = new WeakMap<KubeObject, string>();

/** A stored object, which never changes, masked. */
function maskedOnce(object: KubeObject): string {
  const text = maskedObjects.get(object) ?? masked(object);
  maskedObjects.set(object, text);
  return text;
}

const volatile = new Set([
  "uid",
  "resourceVersion",
  "creationTimestamp",
  "deletionTimestamp",
  "managedFields",
  "time",
  "lastTransitionTime",
  "lastProbeTime",
  "startTime",
  "startedAt",
  "finishedAt",
  "renewTime",
  "acquireTime",
  "optime",
  "xlog_location",
  "app.example.com/intent",
  "clusterIP",
  "clusterIPs",
  "podIP",
  "podIPs",
  "containerID",
  "system-uuid",
]);

const ignoredTables = new Set([
  "events.k8s.io/events",
  "/events",
  "events",
  "/nodes",
  "coordination.k8s.io/leases",
]);

/** A value without what differs from run to run. */
function masked(value: unknown, more: ReadonlySet<string> = new Set()): string {
  const text = JSON.stringify(value, (name: string, part: unknown) => {
    if (volatile.has(name) || more.has(name)) return undefined;
    if (typeof part === "object" && part !== null && !Array.isArray(part)) {
      return Object.fromEntries(Object.entries(part).sort(([a], [b]) => a < b ? -1 : 1));
    }
    return part;
  }) ?? "";
  return text
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "<uid>")
    .replace(/\b7\d{18}\b/g, "<system identifier>")
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)/g, "<time>")
    .replace(/\\"(xlog_location|optime|dcs_last_seen)\\":\s*\d+/g, "<position>");
}

/** Which member does what. */
const roleKeys = [
  "app.example.com/role",
  "primary",
  "role",
  "members",
  "leader",
  "sync_standby",
  "quorum",
  "history",
  "failsafe",
  "timeline",
  "slots",
  "transitions",
];

/** Every object, masked, by table and name. */
function stateOf(simulation: Simulation, view: "all" | "roleless" | "loose"): Record<string, unknown> {
  const more = new Set(view === "all" ? [] : roleKeys);
  if (view === "loose") more.add("generation").add("observedGeneration");
  // When the last member is gone nobody tidies up who was synchronous: that depends on the order in which they went.
  if (simulation.api.objects("/pods").length === 0) more.add("quorum").add("sync_standby");
  const state: Record<string, unknown> = {};
  for (const table of simulation.api.tables()) {
    if (ignoredTables.has(table) || (view === "loose" && table === "apps/controllerrevisions")) continue;
    for (const object of simulation.api.objects(table)) {
      // Certificates differ with the time at which they were issued.
      const shown = table === "/secrets" || object.metadata.name === "orders-ca"
        ? { ...object, data: Object.keys((object as { data?: object }).data ?? {}) }
        : object;
      let text = masked(shown, more);
      if (view !== "all") {
        text = text.replace(/orders-\d accepts writes/g, "<member> accepts writes")
          .replace(/"status":"\{(?:[^"\\]|\\.)*\}"/g, '"status":"<of the member>"');
      }
      state[nameOf(table, object)] = JSON.parse(text);
    }
  }
  return state;
}

/** Names that are made up are masked; a volume goes by its claim. */
function nameOf(table: string, { metadata, spec }: KubeObject): string {
  const name: string = table === "/persistentvolumes" ? spec.claimRef?.name ?? "unclaimed" : metadata.name;
  return `${table} ${masked(name).replaceAll('"', "")}`;
}

function countsOf(commits: readonly Commit[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { type, table, object } of commits) {
    if (type === "MODIFIED" || ignoredTables.has(table)) continue;
    const id = `${type === "ADDED" ? "create" : "delete"} ${nameOf(table, object)}`;
    counts[id] = (counts[id] ?? 0) + 1;
  }
  return counts;
}

function compare(what: string, found: Record<string, unknown>, wanted: Record<string, unknown>): string[] {
  const lines: string[] = [];
  for (const name of new Set([...Object.keys(wanted), ...Object.keys(found)])) {
    const [a, b] = [JSON.stringify(wanted[name]), JSON.stringify(found[name])];
    if (a === b) continue;
    lines.push(
      `${what}: ${name}: ${a && b ? firstDifference(wanted[name], found[name]) : `${a} became ${b}`}`.slice(
        0,
        600,
      ),
    );
  }
  return lines;
}

function firstDifference(wanted: unknown, found: unknown, path = ""): string {
  if (typeof wanted === "object" && wanted !== null && typeof found === "object" && found !== null) {
    for (const name of new Set([...Object.keys(wanted), ...Object.keys(found)])) {
      const [a, b] = [wanted, found].map((value) => (value as Record<string, unknown>)[name]);
      if (JSON.stringify(a) !== JSON.stringify(b)) return firstDifference(a, b, `${path}/${name}`);
    }
  }
  return `${path}: ${JSON.stringify(wanted)} became ${JSON.stringify(found)}`;
}

/** P3: what must hold at every commit. */
class Monitor {
  readonly violations: string[] = [];
  readonly #databases = new Map<string, KubeObject>();
  readonly #passwords = new Map<string, string>();
  readonly #observed = new Map<string, number>();
  readonly #pods = new Set<string>();

  see({ type, table, object, previous }: Commit): void {
    const { name } = object.metadata;
    switch (table) {
      case "app.example.com/databases":
        this.#database(type, object);
        break;
      case "/secrets":
        // Certificates are issued anew whenever that is needed.
        if (!name.endsWith("-credentials")) break;
        if (type === "DELETED") this.#lost("Secret", name);
        else this.#password(object, previous);
        break;
      case "/persistentvolumeclaims":
        // What was marked for deletion when it could be may go later.
        if (
          !previous?.metadata.deletionTimestamp && (type === "DELETED" || object.metadata.deletionTimestamp)
        ) {
          this.#lost("claim", name);
        }
        break;
      case "/pods":
        if (type === "DELETED") this.#pods.delete(name);
        else this.#pods.add(name);
    }
  }

  #database(type: string, object: KubeObject): void {
    const { name, uid, generation = 0 } = object.metadata;
    if (type === "DELETED") {
      this.#databases.delete(name);
      if (this.#pods.size > 0) this.violations.push(`P3: Database "${name}" went before ${[...this.#pods]}`);
      return;
    }
    this.#databases.set(name, object);
    const observed = (object.status?.observedGeneration ?? 0) as number;
    if (observed > generation) {
      this.violations.push(`P3: observedGeneration ${observed} is ahead of ${generation}`);
    }
    if (observed < (this.#observed.get(uid) ?? 0)) this.violations.push("P3: observedGeneration went back");
    this.#observed.set(uid, observed);
  }

  #lost(what: string, name: string): void {
    const database = this.#databases.get("orders");
    const mayGo = database?.metadata.deletionTimestamp && database.spec.deletionPolicy === "Delete";
    if (!mayGo) this.violations.push(`P3: ${what} "${name}" was deleted`);
  }

  #password(object: KubeObject, previous: KubeObject | undefined): void {
    const { name } = object.metadata;
    const before = this.#passwords.get(name);
    const now = JSON.stringify(object.data);
    if (before !== undefined && before !== now) {
      this.violations.push(`P3: the passwords in "${name}" ${previous ? "were changed" : "were made again"}`);
    }
    this.#passwords.set(name, now);
  }
}
