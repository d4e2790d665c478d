/**
 * A simulated Patroni 4.0 with ConfigMaps as its store, for pods labelled `<prefix>/component=postgres`.
 *
 * It plays what an operator can see through the API: the ConfigMaps `<scope>-leader`, `-config`,
 * `-sync` and `-failover` (state in annotations, as patroni/dcs/kubernetes.py keeps it), the pod
 * annotation `status`, the role label; and what it does: bootstrap, clone, failover when the primary's
 * pod goes, switchover on request (the request's annotations are cleared afterwards, the ConfigMap
 * stays, as in Patroni), pending restarts after a change of a parameter that needs one.
 *
 * One piece although it is long: the loop of the members and the ConfigMaps that they share only make
 * sense together.
 * @module
 */
import { parse as parseYaml } from "yaml";
import type { Backend } from "./backend.ts";
import { Loop } from "./controllers/loop.ts";
import { Writes } from "./controllers/writes.ts";
import type { Change } from "./storage.ts";
import { equal, isRecord, type Json, type KubeObject } from "./types.ts";

/** How fast Patroni is; milliseconds. */
export interface PatroniDelays {
  /** From the first running member to a new cluster; default 300. */
  bootstrapMs: number;
  /** From a running member to one that streams; default 300. */
  cloneMs: number;
  /** From all members streaming to `-sync` naming them; default 300. */
  syncMs: number;
  /** From the loss of the primary to a new one; default 500. */
  failoverMs: number;
  /** From a request in `-failover` to its end; default 300. */
  switchoverMs: number;
  /** Between renewals of the leader's lock; 0 for none; default 5,000. */
  loopWaitMs: number;
}

/** Options of {@link PatroniSimulator}. */
export interface PatroniOptions extends PatroniDelays {
  /** Of the labels `<prefix>/component`, `<prefix>/database` and `<prefix>/role`; default app.example.com. */
  labelPrefix: string;
}

const pods = "/pods";
const maps = "/configmaps";

/** Parameters that only a restart changes (postgresql.conf contexts `postmaster`), as far as people set them. */
const restartParameters = new Set(
  ("max_connections max_worker_processes max_wal_senders max_prepared_transactions max_locks_per_transaction " +
    "shared_buffers wal_level wal_log_hints hot_standby archive_mode max_replication_slots huge_pages wal_buffers " +
    "shared_preload_libraries track_commit_timestamp autovacuum_max_workers superuser_reserved_connections")
    .split(" "),
);

/** What the simulation knows of one pod. */
interface Member {
  uid: string;
  aliveSinceMs: number;
  isStreaming: boolean;
  /** The parameters it was started with. */
  parameters: Record<string, Json>;
}

/** What it knows of one cluster. */
interface Scope {
  members: Map<string, Member>;
  /** When the primary was first missed, or a switchover first seen. */
  lostSinceMs?: number | undefined;
  switchSinceMs?: number | undefined;
  standbysSinceMs: number;
  standbys: string;
  renewedMs: number;
}

export class PatroniSimulator {
  readonly #backend: Backend;
  readonly #writes: Writes;
  readonly #loop: Loop;
  readonly #options: PatroniOptions;
  readonly #scopes = new Map<string, Scope>();

  constructor(backend: Backend, options: PatroniOptions) {
    this.#backend = backend;
    this.#options = options;
    this.#writes = new Writes(backend, "Patroni");
    this.#loop = new Loop(backend.clock, 0, (key) => this.#turn(key));
  }

  see({ table, object }: Change): void {
    const { namespace, name } = object.metadata;
    if (table === pods) {
      const scope = this.#scopeOf(object);
      if (scope) this.#loop.add(`${namespace}/${scope}`);
    } else if (table === maps) {
      const scope = /^(.*)-(?:leader|config|sync|failover)$/.exec(name)?.[1];
      if (scope && this.#scopes.has(`${namespace}/${scope}`)) this.#loop.add(`${namespace}/${scope}`);
    }
  }

  close(): void {
    this.#loop.close();
  }

  #label(name: string): string {
    return `${this.#options.labelPrefix}/${name}`;
  }

  #scopeOf({ metadata }: KubeObject): string | undefined {
    if (metadata.labels?.[this.#label("component")] !== "postgres") return undefined;
    return metadata.labels[this.#label("database")];
  }

  /** A member is ready when its PostgreSQL accepts connections; other pods are not Patroni's business. */
  isReady(pod: KubeObject): boolean | undefined {
    if (this.#scopeOf(pod) === undefined) return undefined;
    const status = readStatus(pod);
    return status.state === "running" &&
      (status.role === "primary" || status.replication_state === "streaming");
  }

  /**
   * How a pod ended that works on a cluster's data: one labelled `<prefix>/component=upgrade` tells the system
   * identifiers before and after; with an image whose name contains `cannot-upgrade` it fails. One that takes that back
   * (`upgrade-back`) fails when its name contains `cannot-go-back`, one that tries an image (`image-check`) when it
   * contains `cannot-run`.
   */
  ending({ metadata, spec }: KubeObject): { exitCode: number; message: string } | undefined {
    const component = metadata.labels?.[this.#label("component")];
    if (component === "image-check" && /cannot-run/.test(spec.containers[0].image)) {
      return { exitCode: 1, message: "the image has no patroni that runs" };
    }
    if (component === "upgrade-back") {
      return /cannot-go-back/.test(spec.containers[0].image)
        ? { exitCode: 1, message: "PostgreSQL 17 has used the data" }
        : { exitCode: 0, message: 'could not access file "nope"' };
    }
    if (component !== "upgrade") return undefined;
    if (/cannot-upgrade/.test(spec.containers[0].image)) {
      return { exitCode: 1, message: "pg_upgrade --check: a library is missing" };
    }
    const scope = metadata.labels?.[this.#label("database")] ?? "";
    const config = this.#backend.storage.get(maps, metadata.namespace, `${scope}-config`);
    const replaced = config?.metadata.annotations?.["initialize"] ?? "";
    const systemIdentifier = String(BigInt(replaced || 0) + 1n);
    return { exitCode: 0, message: JSON.stringify({ replaced, systemIdentifier }) };
  }

  /** One loop of all members of a cluster. */
  #turn(key: string): void {
    const [namespace = "", name = ""] = key.split("/");
    const all = this.#backend.list("", "pods", namespace).filter((pod) => this.#scopeOf(pod) === name);
    let scope = this.#scopes.get(key);
    if (!scope) {
      if (all.length === 0) return;
      scope = { members: new Map(), standbysSinceMs: 0, standbys: "", renewedMs: 0 };
      this.#scopes.set(key, scope);
    }
    const cluster = new Cluster(this.#backend, this.#writes, this.#options, namespace, name);
    const running = all.filter(isAlive);
    const alive = running.filter(starts);
    for (const pod of running) {
      if (!alive.includes(pod)) this.#report(pod, { state: "start failed", role: "replica" });
    }
    this.#meet(scope, alive, cluster);
    const leader = this.#lead(key, scope, alive, cluster);
    for (const pod of alive) this.#play(key, scope, pod, leader, cluster);
    if (leader) {
      this.#synchronize(key, scope, alive, leader, cluster);
      this.#renew(key, scope, alive, leader, cluster);
    }
    if (all.length === 0) {
      cluster.annotate("leader", { leader: null });
      this.#scopes.delete(key);
    }
  }

  /** Takes note of members that came and went. */
  #meet(scope: Scope, alive: readonly KubeObject[], cluster: Cluster): void {
    const names = new Set(alive.map((pod) => pod.metadata.name));
    for (const name of scope.members.keys()) if (!names.has(name)) scope.members.delete(name);
    for (const { metadata } of alive) {
      if (scope.members.get(metadata.name)?.uid === metadata.uid) continue;
      scope.members.set(metadata.name, {
        uid: metadata.uid,
        aliveSinceMs: this.#backend.clock.now(),
        isStreaming: false,
        parameters: cluster.parameters(),
      });
    }
  }

  /** Who leads after this turn. */
  #lead(key: string, scope: Scope, alive: readonly KubeObject[], cluster: Cluster): string | undefined {
    const [first] = alive;
    if (!first) return undefined;
    const names = alive.map((pod) => pod.metadata.name);
    if (!cluster.isInitialized) {
      if (
        !this.#hasPassed(
          key,
          scope.members.get(first.metadata.name)?.aliveSinceMs ?? 0,
          this.#options.bootstrapMs,
        )
      ) {
        return undefined;
      }
      cluster.initialize(first.metadata.name);
      return first.metadata.name;
    }
    const leader = cluster.leader;
    const isThere = leader !== undefined && names.includes(leader);
    if (isThere && scope.lostSinceMs === undefined) {
      return this.#switchover(key, scope, leader, cluster) ?? leader;
    }
    if (cluster.isPaused && !isThere) return undefined;
    // A primary that stops gives up its lock: its pod is only one candidate of several when it comes back.
    scope.lostSinceMs ??= this.#backend.clock.now();
    const others = this.#candidates(scope, names.filter((name) => name !== leader), cluster);
    if (others.length === 0 && !isThere) return undefined;
    if (others.length > 0 && !this.#hasPassed(key, scope.lostSinceMs, this.#options.failoverMs)) {
      return undefined;
    }
    scope.lostSinceMs = undefined;
    const next = others[0] ?? leader;
    if (next !== undefined && next !== leader) cluster.promote(next);
    return next;
  }

  /** Who may lead: with synchronous replication, only those that `-sync` names. */
  #candidates(scope: Scope, names: readonly string[], cluster: Cluster): string[] {
    const { leader, standbys } = cluster.sync;
    const isSync = cluster.isSynchronous && leader !== undefined;
    const allowed = isSync ? names.filter((name) => name === leader || standbys.includes(name)) : [...names];
    const rank = (name: string) => (scope.members.get(name)?.isStreaming ? 0 : name === leader ? 1 : 2);
    return allowed.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  }

  /** Carries out the request in `-failover`, or drops it. */
  #switchover(key: string, scope: Scope, leader: string, cluster: Cluster): string | undefined {
    const request = cluster.annotations("failover");
    if (!request.leader && !request.member) {
      scope.switchSinceMs = undefined;
      return undefined;
    }
    const at = request.scheduled_at ? Date.parse(request.scheduled_at) : 0;
    const now = this.#backend.clock.now();
    if (at > now) {
      this.#loop.add(key, at - now);
      return undefined;
    }
    scope.switchSinceMs ??= now;
    if (!this.#hasPassed(key, scope.switchSinceMs, this.#options.switchoverMs)) return undefined;
    scope.switchSinceMs = undefined;
    const streaming = [...scope.members].filter(([name, member]) => member.isStreaming && name !== leader)
      .map(([name]) => name);
    const possible = this.#candidates(scope, streaming, cluster);
    const next = request.member ? possible.find((name) => name === request.member) : possible[0];
    cluster.annotate("failover", { leader: null, member: null, scheduled_at: null });
    if (!next || (request.leader && request.leader !== leader)) return undefined;
    cluster.promote(next);
    return next;
  }

  /** Writes a member's own annotation and role label. */
  #play(key: string, scope: Scope, pod: KubeObject, leader: string | undefined, cluster: Cluster): void {
    const { name } = pod.metadata;
    const member = scope.members.get(name);
    if (!member) return;
    const isLeader = name === leader;
    if (!isLeader && leader && !member.isStreaming) {
      member.isStreaming = this.#hasPassed(key, member.aliveSinceMs, this.#options.cloneMs);
    }
    if (isLeader) member.isStreaming = true;
    const isRunning = isLeader || (member.isStreaming && leader !== undefined);
    const address: string = pod.status?.podIP;
    const hadRole = pod.metadata.labels?.[this.#label("role")];
    const status: Json = {
      conn_url: `postgres://${address}:5432/postgres`,
      api_url: `http://${address}:8008/patroni`,
      state: isRunning || member.isStreaming
        ? "running"
        : cluster.isInitialized
        ? "creating replica"
        : "initializing new cluster",
      role: isLeader ? "primary" : cluster.isInitialized ? "replica" : "uninitialized",
      version: "4.0.7",
    };
    if (isRunning) {
      status.xlog_location = cluster.location;
      if (!isLeader) status.replication_state = "streaming";
      status.timeline = cluster.timeline;
    }
    const pending = pendingRestart(member.parameters, cluster.parameters());
    if (pending && isRunning) {
      Object.assign(status, { pending_restart: true, pending_restart_reason: pending });
    }
    const role = isLeader ? "primary" : isRunning || hadRole ? "replica" : undefined;
    this.#report(pod, status, role);
  }

  #report(pod: KubeObject, status: Json, role?: string): void {
    const text = JSON.stringify(status);
    const hadRole = pod.metadata.labels?.[this.#label("role")];
    if (pod.metadata.annotations?.status === text && hadRole === role) return;
    this.#writes.change(pods, pod, (next) => {
      next.metadata.annotations = { ...next.metadata.annotations, status: text };
      if (role) next.metadata.labels = { ...next.metadata.labels, [this.#label("role")]: role };
    });
  }

  /** Writes `-sync` a little after the set of streaming members changed. */
  #synchronize(
    key: string,
    scope: Scope,
    alive: readonly KubeObject[],
    leader: string,
    cluster: Cluster,
  ): void {
    if (!cluster.isSynchronous) {
      if (cluster.sync.leader) cluster.annotate("sync", { leader: null, sync_standby: null, quorum: null });
      return;
    }
    const streaming = alive.map((pod) => pod.metadata.name)
      .filter((name) => name !== leader && scope.members.get(name)?.isStreaming);
    const count = cluster.synchronousNodeCount;
    const standbys = cluster.isQuorum ? streaming : streaming.slice(0, count);
    const wanted = {
      leader,
      sync_standby: standbys.join(","),
      quorum: String(cluster.isQuorum ? Math.max(0, standbys.length - count) : 0),
    };
    const text = JSON.stringify(wanted);
    if (text !== scope.standbys) {
      scope.standbys = text;
      scope.standbysSinceMs = this.#backend.clock.now();
    }
    const old = cluster.sync;
    // Who has gone is taken off at once; who has come waits until it is surely caught up.
    const grows = old.leader !== leader || standbys.some((name) => !old.standbys.includes(name));
    if (grows && !this.#hasPassed(key, scope.standbysSinceMs, this.#options.syncMs)) return;
    cluster.annotate("sync", wanted);
  }

  #renew(key: string, scope: Scope, alive: readonly KubeObject[], leader: string, cluster: Cluster): void {
    const { loopWaitMs } = this.#options;
    const now = this.#backend.clock.now();
    if (loopWaitMs === 0) return;
    if (now - scope.renewedMs >= loopWaitMs) {
      scope.renewedMs = now;
      const members = Object.fromEntries(
        alive.map((pod) => [pod.metadata.name, `http://${pod.status?.podIP}:8008/patroni`]),
      );
      cluster.annotate("leader", {
        leader,
        renewTime: isoTime(now),
        optime: String(cluster.location),
        failsafe: JSON.stringify(members),
      });
    }
    this.#loop.add(key, loopWaitMs);
  }

  /** Have `ms` passed since then? If not, the cluster gets another turn when they have. */
  #hasPassed(key: string, sinceMs: number, ms: number): boolean {
    const left = sinceMs + ms - this.#backend.clock.now();
    if (left <= 0) return true;
    this.#loop.add(key, left);
    return false;
  }
}

const isAlive = (pod: KubeObject) =>
  pod.status?.phase === "Running" && pod.metadata.deletionTimestamp === undefined;

/** With an image whose name contains `cannot-start` the server does not start. */
const starts = (pod: KubeObject) => !/cannot-start/.test(pod.spec.containers[0].image);

/** Python's datetime.isoformat() in UTC. */
const isoTime = (ms: number) => new Date(ms).toISOString().replace("Z", "000+00:00");

const bootstraps = new WeakMap<KubeObject, Json>();

/** bootstrap.dcs of a stored ConfigMap, which never changes; `undefined` when it has none. */
function bootstrapIn(map: KubeObject): Json {
  if (bootstraps.has(map)) return bootstraps.get(map);
  const found = Object.values((map.data ?? {}) as Record<string, string>)
    .filter((text) => /bootstrap"?\s*:/.test(text))
    .map((text): Json => parseYaml(text, { logLevel: "silent" })?.bootstrap?.dcs)
    .find(isRecord);
  bootstraps.set(map, found);
  return found;
}

function readJson(text: string | undefined): Json {
  if (!text) return {};
  try {
    const value: Json = JSON.parse(text);
    return value ?? {};
  } catch (error) {
    // Somebody wrote no JSON there: as good as nothing, as for Patroni.
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}

const readStatus = (pod: KubeObject): Json => readJson(pod.metadata.annotations?.status);

function pendingRestart(started: Record<string, Json>, now: Record<string, Json>): Json {
  const reason: Record<string, Json> = {};
  for (const name of new Set([...Object.keys(started), ...Object.keys(now)])) {
    if (restartParameters.has(name) && String(started[name]) !== String(now[name])) {
      reason[name] = { old_value: String(started[name] ?? ""), new_value: String(now[name] ?? "") };
    }
  }
  return Object.keys(reason).length > 0 ? reason : undefined;
}

/** The ConfigMaps of one cluster. */
class Cluster {
  readonly #backend: Backend;
  readonly #writes: Writes;
  readonly #options: PatroniOptions;
  readonly #namespace: string;
  readonly #scope: string;

  constructor(backend: Backend, writes: Writes, options: PatroniOptions, namespace: string, scope: string) {
    this.#backend = backend;
    this.#writes = writes;
    this.#options = options;
    this.#namespace = namespace;
    this.#scope = scope;
  }

  #map(suffix: string): KubeObject | undefined {
    return this.#backend.storage.get(maps, this.#namespace, `${this.#scope}-${suffix}`);
  }

  annotations(suffix: string): Record<string, string | undefined> {
    return this.#map(suffix)?.metadata.annotations ?? {};
  }

  /** Merges annotations into one of the ConfigMaps; null removes; the ConfigMap is created when it is missing. */
  annotate(suffix: string, values: Record<string, string | null>): void {
    const map = this.#map(suffix);
    const isRemoval = Object.values(values).every((value) => value === null);
    if (!map) {
      if (isRemoval) return;
      const { labelPrefix } = this.#options;
      const annotations = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null));
      this.#writes.create(maps, {
        metadata: {
          name: `${this.#scope}-${suffix}`,
          labels: { [`${labelPrefix}/component`]: "postgres", [`${labelPrefix}/database`]: this.#scope },
          annotations,
        },
      }, this.#namespace);
      return;
    }
    const annotations: Record<string, string> = { ...map.metadata.annotations };
    for (const [name, value] of Object.entries(values)) {
      if (value === null) delete annotations[name];
      else annotations[name] = value;
    }
    if (equal(annotations, map.metadata.annotations ?? {})) return;
    this.#writes.change(maps, map, (next) => {
      if (Object.keys(annotations).length > 0) next.metadata.annotations = annotations;
      else delete next.metadata.annotations;
    });
  }

  get isInitialized(): boolean {
    return this.annotations("config").initialize !== undefined;
  }

  get leader(): string | undefined {
    return this.annotations("leader").leader;
  }

  get config(): Json {
    return readJson(this.annotations("config").config);
  }

  /** What PostgreSQL is configured with; before bootstrap, what patroni.yml says. */
  parameters(): Record<string, Json> {
    const config = this.isInitialized ? this.config : this.#bootstrapConfig();
    const parameters: Json = config.postgresql?.parameters;
    return isRecord(parameters) ? parameters : {};
  }

  get isPaused(): boolean {
    return this.config.pause === true;
  }

  get isSynchronous(): boolean {
    const mode: unknown = this.config.synchronous_mode;
    return mode === true || mode === "on" || mode === "quorum";
  }

  get isQuorum(): boolean {
    return this.config.synchronous_mode === "quorum";
  }

  get synchronousNodeCount(): number {
    return Number(this.config.synchronous_node_count ?? 1);
  }

  get sync(): { leader: string | undefined; standbys: string[] } {
    const { leader, sync_standby: standbys } = this.annotations("sync");
    return { leader, standbys: (standbys ?? "").split(",").filter(Boolean) };
  }

  get #history(): Json[] {
    const history = readJson(this.annotations("config").history);
    return Array.isArray(history) ? history : [];
  }

  get timeline(): number {
    return this.#history.length + 1;
  }

  /** Where the write-ahead log is: a segment further on each timeline. */
  get location(): number {
    return 0x3000060 + this.#history.length * 0x1000000;
  }

  /** bootstrap.dcs of the patroni.yml that the operator rendered into `<scope>-patroni`. */
  #bootstrapConfig(): Json {
    const map = this.#map("patroni");
    return (map && bootstrapIn(map)) ??
      { ttl: 30, loop_wait: 10, retry_timeout: 10, maximum_lag_on_failover: 1048576 };
  }

  /** The first member makes a new cluster. */
  initialize(leader: string): void {
    const config = this.#bootstrapConfig();
    const identifier = 7_000_000_000_000_000_000n + BigInt(Math.floor(this.#backend.random() * 2 ** 48));
    this.annotate("config", {
      initialize: String(identifier),
      config: JSON.stringify(config),
      history: "[]",
    });
    this.#setLeader(leader, "0");
  }

  /** A new leader starts a new timeline. */
  promote(leader: string): void {
    const now = isoTime(this.#backend.clock.now());
    const history = [...this.#history, [
      this.timeline,
      this.location,
      "no recovery target specified",
      now,
      leader,
    ]];
    const transitions = Number(this.annotations("leader").transitions ?? 0) + 1;
    this.annotate("config", { history: JSON.stringify(history) });
    this.#setLeader(leader, String(transitions));
  }

  #setLeader(leader: string, transitions: string): void {
    const now = isoTime(this.#backend.clock.now());
    this.annotate("leader", {
      leader,
      acquireTime: now,
      renewTime: now,
      ttl: String(this.config.ttl ?? 30),
      transitions,
      optime: String(this.location),
    });
  }
}
