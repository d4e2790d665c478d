/**
 * The operator: what a Database owns, how it is reconciled, and main. Read top to bottom.
 *
 * One pass goes the same way each time, whatever woke it: look at everything once, write the objects that disturb
 * nobody, decide on at most one step that might, take it, and report. Nothing is remembered between passes; what
 * is not known or not fresh leads to no step. PostgreSQL's high availability is Patroni's: members elect their
 * primary among themselves through four ConfigMaps, also while this operator is away. The operator speaks to the
 * Kubernetes API alone: a switchover is a ConfigMap, a restart is the deletion of one pod.
 *
 * What is only rendered is in postgres/; what is true of any controller is in runtime/.
 * @module
 */

import {
  annotationsChanged,
  anyOf,
  changed,
  Client,
  ConfigurationError,
  connect,
  type Context,
  controllerReference,
  createManager,
  deepEqual,
  type EventRecorder,
  findCondition,
  generationChanged,
  hasFinalizer,
  Intents,
  type Invocation,
  isAlreadyExists,
  isConflict,
  isForbidden,
  isInvalid,
  isNotFound,
  type KubernetesObject,
  type Manager,
  owns,
  type Request,
  type Resource,
  type ResourceClient,
  type Result,
  runCommand,
  setCondition,
  watches,
  withFinalizer,
  withoutFinalizer,
} from "./runtime/mod.ts";
import { databases, type DatabaseStatus, type StoredDatabase } from "./types/app.example.com/v1.ts";
import { type StatefulSet, statefulSets, type StoredStatefulSet } from "./types/apps/v1.ts";
import {
  type ConfigMap,
  configMaps,
  persistentVolumeClaims,
  pods,
  type Secret,
  secrets,
  serviceAccounts,
  services,
  type StoredConfigMap,
  type StoredPersistentVolumeClaim,
  type StoredPod,
} from "./types/core/v1.ts";
import { podDisruptionBudgets } from "./types/policy/v1.ts";
import { roleBindings, roles } from "./types/rbac.authorization.k8s.io/v1.ts";
import {
  credentialKeys,
  defaultImageTemplate,
  deletionPolicyOf,
  desiredCredentials,
  desiredDisruptionBudget,
  desiredPatroniConfigMap,
  desiredPodsService,
  desiredReadOnlyService,
  desiredRole,
  desiredRoleBinding,
  desiredService,
  desiredServiceAccount,
  desiredStatefulSet,
  desiredSwitchover,
  durabilityOf,
  dynamicConfig,
  fieldManager,
  finalizer,
  group,
  label,
  type Member,
  memberSelector,
  namesOf,
  nextDynamicConfig,
  observe,
  type Observed,
  ordinalOf,
  parameterProblems,
  parseQuantity,
  parseVersion,
  type Passwords,
  podTrouble,
  sizeOf,
  storageOf,
} from "./postgres/mod.ts";

/** Version of the operator, in its requests' user agent. */
export const version = "0.1.0";

/** Annotations that a person or this operator puts on objects. */
export const annotation = {
  /** On a Database: `<pod>@<id>` or `any@<id>` asks once for a switchover to that member. */
  switchover: `${group}/switchover`,
  /** On a Database: any new value restarts all members, one after the other. Kept on the pod template. */
  restart: `${group}/restart`,
  /** On a Database: "true" stops everything but the status. */
  paused: `${group}/paused`,
  /** On the pod template: the spec.version that it runs. */
  version: `${group}/version`,
  /** On a volume claim: PostgreSQL's system identifier of the data on it, so that it is never taken for empty. */
  systemIdentifier: `${group}/system-identifier`,
  /** On owned objects: hash of what was applied. */
  intent: `${group}/intent`,
} as const;

// ---------------------------------------------------------------------------------------------------------------
// Look: everything once, from the cache or from the API server.

/** What one pass has read. */
interface Sight {
  readonly database: StoredDatabase;
  readonly statefulSet: StoredStatefulSet | undefined;
  readonly pods: readonly StoredPod[];
  readonly claims: readonly StoredPersistentVolumeClaim[];
  readonly configMaps: ReadonlyMap<string, StoredConfigMap>;
  /** Patroni's state, as pods and ConfigMaps report it. */
  readonly patroni: Observed;
}

async function look(client: ResourceClient, database: StoredDatabase, nowMs: number): Promise<Sight> {
  const { name, namespace } = database.metadata;
  const names = namesOf(name);
  const mine = { namespace, labelSelector: `${label.database}=${name}` };
  const members = { namespace, labelSelector: selectorText(memberSelector(name)) };
  const [statefulSet, podList, claimList, configMapList] = await Promise.all([
    client.get(statefulSets, { namespace, name: names.statefulSet }),
    client.list(pods, members),
    client.list(persistentVolumeClaims, mine),
    client.list(configMaps, mine),
  ]);
  const byName = new Map(configMapList.items.map((configMap) => [configMap.metadata?.name ?? "", configMap]));
  return {
    database,
    statefulSet,
    pods: podList.items,
    claims: claimList.items.filter((claim) => ordinalOf(name, claim.metadata?.name ?? "") !== undefined),
    configMaps: byName,
    patroni: observe(name, {
      pods: podList.items,
      leader: byName.get(names.leader),
      sync: byName.get(names.sync),
      config: byName.get(names.config),
    }, nowMs),
  };
}

// ---------------------------------------------------------------------------------------------------------------
// Decide: from what was seen to at most one step, as a pure function.

/** A member with what decisions need beyond Patroni's report. */
export interface MemberSeen
  extends Pick<Member, "name" | "ordinal" | "role" | "ready" | "terminating" | "streaming"> {
  /** Made from the newest template. */
  readonly upToDate: boolean;
  /** A parameter waits for a restart. */
  readonly pendingRestart: boolean;
  /** The kubelet's or scheduler's reason why its containers cannot run. */
  readonly trouble?: string;
  readonly startedMs?: number;
}

/** All that a decision depends on. */
export interface Situation {
  /** Members asked for; 0 also while the Database is deleted. */
  readonly wanted: number;
  /** The Database is being deleted: availability no longer counts, the data still does. */
  readonly deleting: boolean;
  /** Pods that the StatefulSet is told to run; undefined: there is no StatefulSet. */
  readonly replicas: number | undefined;
  /** The StatefulSet controller has seen the newest template and size. */
  readonly settled: boolean;
  /** There is data: it was initialized once. */
  readonly initialized: boolean;
  readonly members: readonly MemberSeen[];
  /** The member that holds the fresh leader lock and reports itself as primary. */
  readonly primary: string | undefined;
  /** The member that led last, also when none runs. */
  readonly lastPrimary: string | undefined;
  /** Commits wait for a standby. */
  readonly durable: boolean;
  /** Members that have every acknowledged commit. */
  readonly synchronous: readonly string[];
  /** Patroni has been asked for a switchover and has not answered yet. */
  readonly switchoverPending: boolean;
  /** Patroni's automation is off (`patronictl pause`). */
  readonly patroniPaused: boolean;
  /** The member that a person asked to become the primary. */
  readonly switchoverTo: string | undefined;
  readonly nowMs: number;
}

/** What to do now, with its reason in a word for machines and a sentence for people. */
export type Step =
  & { readonly reason: string; readonly message: string }
  & (
    | { readonly kind: "done" }
    | { readonly kind: "wait" }
    | { readonly kind: "scale"; readonly replicas: number }
    | { readonly kind: "restart"; readonly pod: string }
    | { readonly kind: "switchover"; readonly from: string; readonly to: string }
  );

/** Longest wait for the first member of a sleeping Database to lead before the others, which may be ahead, are started too. */
const wakeAloneMs = 60_000;

/** The one step that comes next. Each rule either has one or leaves it to the next rule. */
export function decide(seen: Situation): Step {
  return create(seen) ?? repair(seen) ?? settle(seen) ?? grow(seen) ?? shrink(seen) ?? heal(seen) ??
    roll(seen) ??
    handOver(seen) ?? done(seen);
}

/** Without a StatefulSet: one with all members where there is no data; where there is, first the one that led last. */
function create(seen: Situation): Step | undefined {
  if (seen.replicas !== undefined || seen.deleting) return undefined;
  return {
    kind: "scale",
    replicas: firstReplicas(seen),
    reason: "Creating",
    message: "Creating the members",
  };
}

/** Data must be led by the member that has all of it: it starts before the others can elect one. */
function firstReplicas({ initialized, lastPrimary, wanted }: Situation): number {
  if (!initialized) return wanted;
  const last = lastPrimary === undefined ? 0 : Number(/\d+$/.exec(lastPrimary)?.[0] ?? 0);
  return Math.min(wanted, last + 1);
}

/** A broken pod of an old template never heals by itself, and it is down already. */
function repair({ members, deleting, primary }: Situation): Step | undefined {
  const broken = members.find((member) =>
    member.trouble !== undefined && !member.upToDate && !member.terminating && member.name !== primary &&
    !member.ready
  );
  if (!broken || deleting) return undefined;
  const message =
    `Replacing ${broken.name}, which cannot run (${broken.trouble}), by a pod of the new template`;
  return { kind: "restart", pod: broken.name, reason: "RollingOut", message };
}

/** What is under way ends before anything else begins. */
function settle(seen: Situation): Step | undefined {
  if (seen.deleting) return undefined;
  if (!seen.settled) {
    return wait("Progressing", "The StatefulSet controller has not seen the newest template yet");
  }
  if (seen.patroniPaused) return wait("Paused", "Patroni is paused: no member is restarted or switched over");
  if (seen.switchoverPending) return wait("SwitchingOver", "Patroni has been asked for a switchover");
  return undefined;
}

function grow(seen: Situation): Step | undefined {
  const { replicas = 0, wanted, members } = seen;
  if (replicas >= wanted) return undefined;
  const message = `Starting ${wanted - replicas} more of ${wanted} members`;
  if (replicas === 0) return { kind: "scale", replicas: firstReplicas(seen), reason: "Creating", message };
  const oldestMs = Math.min(...members.map((member) => member.startedMs ?? seen.nowMs));
  if (seen.initialized && !seen.primary && seen.nowMs - oldestMs < wakeAloneMs) {
    return wait(
      "Creating",
      `Starting with ${replicas} of ${wanted} members: waiting for a primary among them`,
    );
  }
  return { kind: "scale", replicas: wanted, reason: "ScalingUp", message };
}

/** The highest ordinals go, one at a time; the primary never with them, and nobody while one that stays is not well. */
function shrink(seen: Situation): Step | undefined {
  const { replicas = 0, wanted, members, primary, deleting } = seen;
  if (replicas <= wanted) return leaving(seen);
  if (deleting) {
    const keep = primary === undefined ? 0 : Number(/\d+$/.exec(primary)![0]) + 1;
    const next = replicas > keep && members.length > 0 ? keep : 0;
    return {
      kind: "scale",
      replicas: next,
      reason: "Deleting",
      message: "Stopping the members, replicas first",
    };
  }
  const keep = Math.max(1, wanted);
  if (replicas === 1) {
    return {
      kind: "scale",
      replicas: 0,
      reason: "ScalingDown",
      message: "Stopping the last member: the data stays",
    };
  }
  const unwell = members.filter((member) => member.ordinal < keep && !isServing(member)).map((member) =>
    member.name
  );
  const missing = members.filter((member) => member.ordinal < keep).length < keep;
  if (unwell.length > 0 || missing || !primary) {
    const who = unwell.length > 0
      ? `${unwell.join(", ")} of those that stay is not serving`
      : "a primary is missing";
    return wait("Degraded", `Not scaling down from ${replicas} to ${wanted} while ${who}`);
  }
  const going = leaving(seen);
  if (going) return going;
  if (Number(/\d+$/.exec(primary)![0]) >= keep) {
    const to = successor(seen, (member) => member.ordinal < keep);
    if (!to) return wait("ScalingDown", `${primary} leads and none of those that stay can take over yet`);
    return switchover(primary, to, "ScalingDown", `Switching over to ${to}: ${primary} is to be scaled away`);
  }
  const message = `Removing ${
    memberName(members, replicas - 1)
  }: ${wanted} of ${replicas} members are wanted`;
  return { kind: "scale", replicas: replicas - 1, reason: "ScalingDown", message };
}

/** Members beyond the StatefulSet's size are on their way out. */
function leaving({ members, replicas = 0, deleting, wanted }: Situation): Step | undefined {
  const going = members.filter((member) => member.ordinal >= replicas).map((member) => member.name);
  if (going.length === 0) return undefined;
  const reason = deleting ? "Deleting" : "ScalingDown";
  return wait(reason, `${going.join(", ")} ${wanted === 0 ? "stops" : "is being removed"}`);
}

/** Nothing is restarted while a member is missing or not serving: that would make two. */
function heal({ members, replicas = 0, primary, initialized }: Situation): Step | undefined {
  if (replicas === 0) return undefined;
  const unwell = members.filter((member) => !isServing(member));
  if (unwell.length === 0 && members.length >= replicas && primary) return undefined;
  const troubled = unwell.find((member) => member.trouble);
  if (troubled) return wait(troubled.trouble!, `${troubled.name} cannot run: ${troubled.trouble}`);
  if (!primary) {
    return wait(
      "Degraded",
      initialized ? "No member is the primary" : "The first member is being initialized",
    );
  }
  const who = unwell.length > 0
    ? unwell.map((member) => member.name).join(", ")
    : `${replicas - members.length} more`;
  return wait("Degraded", `Waiting for ${who} to serve`);
}

/** Stale members restart one at a time: replicas, the synchronous last among them, then, after a switchover, the primary. */
function roll(seen: Situation): Step | undefined {
  const { members, primary, synchronous } = seen;
  const stale = members.filter((member) => !member.upToDate || member.pendingRestart);
  if (stale.length === 0 || !primary) return undefined;
  const because = (member: MemberSeen) => member.upToDate ? "a parameter needs it" : "its template changed";
  const rank = (member: MemberSeen) => (synchronous.includes(member.name) ? 100 : 0) - member.ordinal;
  const [replica] = stale.filter((member) => member.name !== primary).toSorted((a, b) => rank(a) - rank(b));
  if (replica) {
    const message = `Restarting replica ${replica.name}: ${because(replica)}`;
    return { kind: "restart", pod: replica.name, reason: "RollingOut", message };
  }
  const last = stale[0]!;
  if (members.length === 1) {
    return {
      kind: "restart",
      pod: last.name,
      reason: "RollingOut",
      message: `Restarting ${last.name}: ${because(last)}`,
    };
  }
  const to = successor(seen, (member) => member.upToDate && !member.pendingRestart);
  if (!to) return wait("RollingOut", `${last.name} is to restart and none of the others can take over yet`);
  return switchover(
    last.name,
    to,
    "RollingOut",
    `Switching over to ${to} before ${last.name} restarts: ${because(last)}`,
  );
}

/** What a person asked for. */
function handOver(seen: Situation): Step | undefined {
  const { switchoverTo: to, primary } = seen;
  if (!to || !primary || to === primary) return undefined;
  if (successor(seen, (member) => member.name === to) === undefined) {
    return wait("SwitchingOver", `${to} was asked to lead and cannot take over yet`);
  }
  return switchover(primary, to, "SwitchingOver", `Switching over from ${primary} to ${to} as asked`);
}

/** Nothing to do; in the modes that promise it, only once a standby has every commit. */
function done({ durable, members, primary, synchronous, wanted }: Situation): Step {
  if (wanted === 0) {
    return { kind: "done", reason: "Hibernated", message: "All members are stopped, the data is kept" };
  }
  if (durable && members.length > 1 && !synchronous.some((name) => name !== primary)) {
    return wait(
      "Degraded",
      "No standby is synchronous yet: the loss of the primary would not be failed over",
    );
  }
  const message = members.length === 1
    ? `${primary} serves`
    : `${primary} accepts writes, ${members.length - 1} ${
      members.length === 2 ? "replica streams" : "replicas stream"
    }`;
  return { kind: "done", reason: "Ready", message };
}

/** The best member to lead next among those that `fits` lets through: synchronous where commits wait for one. */
function successor(seen: Situation, fits: (member: MemberSeen) => boolean): string | undefined {
  const { members, primary, durable, synchronous } = seen;
  return members.find((member) =>
    member.name !== primary && isServing(member) && fits(member) &&
    (!durable || synchronous.includes(member.name))
  )?.name;
}

function isServing(member: MemberSeen): boolean {
  return member.ready && !member.terminating && (member.role === "primary" || member.streaming);
}

function wait(reason: string, message: string): Step {
  return { kind: "wait", reason, message };
}

function switchover(from: string, to: string, reason: string, message: string): Step {
  return { kind: "switchover", from, to, reason, message };
}

function memberName(members: readonly MemberSeen[], ordinal: number): string {
  return members.find((member) => member.ordinal === ordinal)?.name ?? `member ${ordinal}`;
}

/** What was seen, as a decision needs it. */
function situationOf(sight: Sight, nowMs: number): Situation {
  const { database, statefulSet, patroni, configMaps } = sight;
  const { name } = database.metadata;
  const deleting = database.metadata.deletionTimestamp !== undefined;
  const failover = configMaps.get(namesOf(name).failover)?.metadata?.annotations ?? {};
  const updated = statefulSet?.status?.updateRevision;
  return {
    wanted: deleting ? 0 : sizeOf(database),
    deleting,
    replicas: statefulSet ? statefulSet.spec?.replicas ?? 1 : undefined,
    settled: statefulSet?.status?.observedGeneration === statefulSet?.metadata?.generation,
    initialized: patroni.config?.systemIdentifier !== undefined,
    members: patroni.members.map((member): MemberSeen => {
      const pod = sight.pods.find((pod) => pod.metadata?.name === member.name);
      return {
        ...member,
        upToDate: updated !== undefined && member.revision === updated,
        pendingRestart: member.pendingRestart && (patroni.members.length === 1 || !lowersForStandbys(member)),
        trouble: pod && podTrouble(pod)?.reason,
        startedMs: pod?.status?.startTime === undefined ? undefined : Date.parse(pod.status.startTime),
      };
    }),
    primary: patroni.primary,
    lastPrimary: patroni.sync?.leader,
    durable: durabilityOf(database) !== "Async",
    synchronous: patroni.sync?.standbys ?? [],
    switchoverPending: failover.leader !== undefined || failover.member !== undefined,
    patroniPaused: isPaused(patroni.config?.text),
    switchoverTo: database.status?.operations?.switchoverTo,
    nowMs,
  };
}

/**
 * True when the restart would lower a parameter that a standby must have at least as high as its primary: a standby
 * keeps the old value until the primary has restarted in place, which the deletion of a pod cannot do.
 * Source: PostgreSQL's documentation, "Hot Standby", "Administrator's Overview".
 */
function lowersForStandbys({ pendingParameters }: Member): boolean {
  const sensitive = [
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
  ];
  return pendingParameters.some(({ name, from, to }) =>
    sensitive.includes(name) && Number(to) < Number(from)
  );
}

function isPaused(config: string | undefined): boolean {
  try {
    return (JSON.parse(config ?? "{}") as { pause?: boolean } | null)?.pause === true;
  } catch {
    return true; // unreadable: nobody knows, so nothing disruptive
  }
}

// ---------------------------------------------------------------------------------------------------------------
// Reconcile: look, write what disturbs nobody, take one step, report.

/** Something that a person has to mend. */
interface Problem {
  readonly reason: string;
  readonly message: string;
  /** Nothing more is done until it is mended; else the rest goes on. */
  readonly stops: boolean;
}

/** What the operator's installation says. */
export interface Settings {
  /** Image of the members, with `{version}` or `{major}`; spec.image comes first. */
  readonly imageTemplate: string;
  /** A fresh random password; at least 128 bits. */
  readonly password: () => string;
}

/** Makes Databases what they say. One per manager. */
export class DatabaseReconciler {
  readonly #manager: Pick<Manager, "client" | "liveClient">;
  readonly #settings: Settings;
  readonly #intents: Intents;

  constructor(manager: Pick<Manager, "client" | "liveClient">, settings: Settings) {
    this.#manager = manager;
    this.#settings = settings;
    this.#intents = new Intents({
      client: manager.client,
      live: manager.liveClient,
      annotation: annotation.intent,
      isOurs: (object, owner) => isOfDatabase(object, owner.metadata?.name),
    });
  }

  /** One pass. */
  async reconcile(request: Request, context: Context): Promise<Result | void> {
    const { client, log, events, now } = context;
    log.info("Reconciling Database");
    const database = await client.get(databases, request);
    if (!database) {
      this.#intents.forget(request.namespace, Object.values(namesOf(request.name)));
      return;
    }
    const sight = await look(client, database, now());
    if (
      database.metadata.annotations?.[annotation.paused] === "true" && !database.metadata.deletionTimestamp
    ) {
      const step = wait("Paused", `Annotation ${annotation.paused} is "true": nothing is changed`);
      await this.#report(sight, step, [], context);
      return;
    }
    const requested = await this.#answerRequest(sight, context);
    const step = decide(situationOf(sight, now()));
    try {
      if (database.metadata.deletionTimestamp) return await this.#finish(sight, step, context);
      const problems = await this.#writeObjects(sight, step, client, events);
      const blocked = problems.some((problem) => problem.stops);
      if (!blocked) await this.#take(step, sight, context);
      await this.#report(sight, step, problems, context, requested);
      if (problems.length > 0) return { requeueAfterMs: 30_000 };
      return step.kind === "done" ? undefined : { requeueAfterMs: step.kind === "wait" ? 5_000 : 1_000 };
    } catch (error) {
      // Status comes last, also after an error: what was seen is still true. The error itself is retried and logged.
      const failed = describeFailure(error);
      if (failed) await this.#report(sight, step, [failed], context, requested);
      throw error;
    }
  }

  /** Writes the objects that a Database owns; none of them restarts a member. Returns what stands in the way. */
  async #writeObjects(
    sight: Sight,
    step: Step,
    client: ResourceClient,
    events: EventRecorder,
  ): Promise<Problem[]> {
    const { database, patroni, statefulSet } = sight;
    if (!hasFinalizer(database, finalizer)) {
      const { resourceVersion } = database.metadata;
      const patch = { metadata: { resourceVersion, finalizers: withFinalizer(database, finalizer) } };
      await client.patch(databases, database.metadata, patch);
    }
    const { effective, problems } = effectiveDatabase(sight);
    const credentials = await this.#ensureCredentials(sight, client);
    if (credentials) return [...problems, credentials];
    const lost = stateProblem(sight);
    if (lost) return [...problems, lost];

    const owner = [controllerReference(database)];
    const replicas = step.kind === "scale" ? step.replicas : statefulSet?.spec?.replicas ?? 0;
    const members = Math.max(replicas, statefulSet?.spec?.replicas ?? 0, sizeOf(database));
    const foreign = await this.#applyAll(database, [
      [serviceAccounts, desiredServiceAccount(effective, owner)],
      [roles, desiredRole(effective, owner, { members })],
      [roleBindings, desiredRoleBinding(effective, owner)],
      [services, desiredService(effective, owner)],
      [services, desiredReadOnlyService(effective, owner)],
      [services, desiredPodsService(effective, owner)],
      [configMaps, desiredPatroniConfigMap(effective, owner)],
    ]);
    if (foreign) return [...problems, foreign];
    problems.push(...await this.#tendClaims(sight, client));
    const budget = desiredDisruptionBudget(effective, owner);
    const blocked = await this.#applyAll(database, [
      ...(budget ? [[podDisruptionBudgets, budget] as Intent] : []),
      // Scaling is a step that may disturb: it is written by the step, after a second look.
      ...(step.kind === "scale" && statefulSet
        ? []
        : [[statefulSets, this.#statefulSet(sight, effective, replicas)] as Intent]),
    ]);
    if (!budget) await this.#deleteBudget(database, client);
    if (blocked) return [...problems, blocked];
    const size = Math.min(sizeOf(database), Math.max(1, replicas));
    if (patroni.primary) await this.#configure(sight, dynamicConfig(effective, { size }), client, events);
    return problems;
  }

  /** Applies in order; stops at the first object that belongs to somebody else. */
  async #applyAll(database: StoredDatabase, intents: Intent[]): Promise<Problem | undefined> {
    for (const [resource, desired] of intents) {
      const outcome = await this.#intents.apply(resource, desired, database);
      if (outcome.kind === "applied") continue;
      const what = `${resource.kind} "${desired.metadata?.name}"`;
      const message = outcome.kind === "foreign"
        ? `${what} belongs to somebody else: it is not touched; rename one of the two`
        : `${what} of an earlier Database of this name is still going away`;
      return { reason: outcome.kind === "foreign" ? "NameConflict" : "Creating", message, stops: true };
    }
    return undefined;
  }

  /** The StatefulSet; what cannot change in it, or is remembered on it, is taken from the one that is there. */
  #statefulSet({ database, statefulSet }: Sight, effective: StoredDatabase, replicas: number): StatefulSet {
    const present = statefulSet?.spec;
    const desired = desiredStatefulSet(effective, [controllerReference(database)], {
      replicas,
      imageTemplate: this.#settings.imageTemplate,
      storage: present?.volumeClaimTemplates?.[0]?.spec?.resources?.requests?.storage?.toString(),
    });
    const template = desired.spec.template.metadata;
    const restart = database.metadata.annotations?.[annotation.restart] ??
      present?.template.metadata?.annotations?.[annotation.restart];
    const annotations: Record<string, string> = {
      ...template.annotations,
      [annotation.version]: effective.spec.version,
      ...(restart === undefined ? {} : { [annotation.restart]: restart }),
    };
    return {
      ...desired,
      spec: {
        ...desired.spec,
        template: { ...desired.spec.template, metadata: { ...template, annotations } },
      },
    } as unknown as StatefulSet;
  }

  /** The Secret is created once, before there is data, and never written again. */
  async #ensureCredentials(
    { database, patroni, claims }: Sight,
    client: ResourceClient,
  ): Promise<Problem | undefined> {
    const { name, namespace } = database.metadata;
    const key = { namespace, name: namesOf(name).credentials };
    const secret = await this.#manager.liveClient.get(secrets, key);
    if (secret) {
      if (!isOfDatabase(secret, name)) {
        const message =
          `Secret "${key.name}" belongs to somebody else: it is not touched; rename one of the two`;
        return { reason: "NameConflict", message, stops: true };
      }
      const missing = credentialKeys.filter((field) => !secret.data?.[field]);
      if (missing.length === 0) return undefined;
      const message = `Secret "${key.name}" lacks ${
        missing.join(", ")
      }: restore it, the data goes with these passwords`;
      return { reason: "CredentialsLost", message, stops: true };
    }
    if (patroni.config?.systemIdentifier || claims.some((claim) => markOf(claim))) {
      const message =
        `Secret "${key.name}" is gone while there is data: restore it; running members go on meanwhile`;
      return { reason: "CredentialsLost", message, stops: true };
    }
    const passwords = Object.fromEntries(
      ["application", "superuser", "replication", "rewind", "patroni"].map((
        role,
      ) => [role, this.#settings.password()]),
    ) as unknown as Passwords;
    try {
      await client.create(secrets, desiredCredentials(database, passwords) as Secret);
    } catch (error) {
      if (!isAlreadyExists(error)) throw error; // made between the look and now: the next pass reads it
    }
    return undefined;
  }

  /** Claims grow, also on a full disk and with pods down; each is marked with the identifier of the data it holds. */
  async #tendClaims({ database, claims, patroni }: Sight, client: ResourceClient): Promise<Problem[]> {
    const problems: Problem[] = [];
    const wanted = storageOf(database);
    for (const claim of claims) {
      if (claim.metadata?.deletionTimestamp) continue;
      const { name: claimName = "", namespace, resourceVersion } = claim.metadata ?? {};
      const requested = String(claim.spec?.resources?.requests?.storage ?? "0");
      const grows = claim.status?.phase === "Bound" && parseQuantity(requested) < parseQuantity(wanted);
      const member = patroni.members.find((member) => claimName === `data-${member.name}`);
      const marks = !markOf(claim) && member !== undefined && (member.role === "primary" || member.streaming);
      if (!grows && !marks) continue;
      const annotations = marks ? { [annotation.systemIdentifier]: patroni.config?.systemIdentifier } : {};
      const spec = grows ? { resources: { requests: { storage: wanted } } } : {};
      try {
        await client.patch(persistentVolumeClaims, { namespace, name: claimName }, {
          metadata: { resourceVersion, annotations },
          spec,
        });
      } catch (error) {
        if (!isForbidden(error) && !isInvalid(error)) throw error;
        const message =
          `spec.storage.size: claim "${claimName}" cannot grow from ${requested} to ${wanted}: ${error.message}`;
        problems.push({ reason: "StorageCannotGrow", message, stops: false });
      }
    }
    return problems;
  }

  async #deleteBudget(database: StoredDatabase, client: ResourceClient): Promise<void> {
    const key = {
      namespace: database.metadata.namespace,
      name: namesOf(database.metadata.name).disruptionBudget,
    };
    const budget = await client.get(podDisruptionBudgets, key);
    if (budget && isOfDatabase(budget, database.metadata.name)) {
      await client.delete(podDisruptionBudgets, key, { uid: budget.metadata?.uid });
    }
  }

  /** Tells Patroni its dynamic configuration when it differs; what can be reloaded is, the rest waits for restarts. */
  async #configure(
    sight: Sight,
    wanted: ReturnType<typeof dynamicConfig>,
    client: ResourceClient,
    events: EventRecorder,
  ) {
    const { database, patroni, configMaps: seen } = sight;
    if (patroni.config?.text === undefined) return;
    const config = nextDynamicConfig(patroni.config.text, wanted);
    if (config === undefined) return;
    const { name, namespace, resourceVersion } = seen.get(namesOf(database.metadata.name).config)!.metadata!;
    await client.patch(configMaps, { namespace, name: name! }, {
      metadata: { resourceVersion, annotations: { config } },
    });
    const note = "Changed PostgreSQL's and Patroni's configuration";
    events.record(database, { type: "Normal", reason: "Configured", note, action: "Configure" });
  }

  /** Takes the step, unless a second look, now at the API server itself, leads to another one. */
  async #take(step: Step, sight: Sight, { client, events, log, now }: Context): Promise<void> {
    if (step.kind === "done" || step.kind === "wait") return;
    const { database, statefulSet } = sight;
    if (step.kind === "scale" && !statefulSet) return; // it was just created with that many
    const live = await look(this.#manager.liveClient, database, now());
    const again = decide(situationOf(live, now()));
    if (!deepEqual(again, step)) return log.info("Not done: the cache was behind", { step, again });
    const { name, namespace } = database.metadata;
    log.info(step.message, { step: step.kind, reason: step.reason });
    if (step.kind === "scale") {
      const { effective } = effectiveDatabase(live);
      const desired = this.#statefulSet(live, effective, step.replicas);
      const outcome = await this.#intents.apply(statefulSets, desired, database);
      if (outcome.kind !== "applied") return;
    } else if (step.kind === "restart") {
      const pod = live.pods.find((pod) => pod.metadata?.name === step.pod)!;
      const { uid, resourceVersion } = pod.metadata!;
      await client.delete(pods, { namespace, name: step.pod }, { uid, resourceVersion });
    } else {
      const desired = desiredSwitchover(database, step.from, step.to);
      await client.apply(configMaps, desired as ConfigMap, { fieldManager: `${fieldManager}-switchover` });
    }
    const reason = { scale: "Scaled", restart: "Restarted", switchover: "SwitchedOver" }[step.kind];
    events.record(database, {
      type: "Normal",
      reason,
      note: `${step.message} (${name})`,
      action: "Reconcile",
    });
  }

  /**
   * A switchover asked for by annotation: the member is chosen and written down before anything is done, so that a
   * request is never done twice, whenever this process dies. Returns what the status should say of it.
   */
  async #answerRequest(sight: Sight, { events }: Context): Promise<DatabaseStatus["operations"]> {
    const { database, patroni, pods: seen } = sight;
    const asked = database.metadata.annotations?.[annotation.switchover];
    const { switchover: answered, switchoverTo } = database.status?.operations ?? {};
    if (asked === undefined || asked === answered) {
      const isDone = switchoverTo !== undefined && (patroni.primary === switchoverTo || asked === undefined);
      return { switchover: answered, switchoverTo: isDone ? undefined : switchoverTo };
    }
    const [, target, id] = /^([a-z0-9-]{1,63}|any)@(.{1,180})$/.exec(asked) ?? [];
    const names = seen.map((pod) => pod.metadata?.name);
    if (!target || !id || (target !== "any" && !names.includes(target))) {
      const note =
        `Annotation ${annotation.switchover}: expected "<member>@<id>" or "any@<id>", with a member of this ` +
        `Database (${names.join(", ")}), got "${asked.slice(0, 200)}"`;
      events.record(database, { type: "Warning", reason: "SwitchoverRefused", note, action: "Switchover" });
      return { switchover: asked.slice(0, 253) };
    }
    const to = target === "any" ? successor(situationOf(sight, 0), () => true) : target;
    return to === undefined ? { switchover: answered } : { switchover: asked, switchoverTo: to };
  }

  // -------------------------------------------------------------------------------------------------------------
  // Delete: members first, then what the policy says, then the finalizer. Nothing of spec is needed for it.

  async #finish(sight: Sight, step: Step, context: Context): Promise<Result | void> {
    const { database, statefulSet, claims, configMaps: seen, pods: members } = sight;
    if (!hasFinalizer(database, finalizer)) return;
    const { client, log } = context;
    const { name, namespace, resourceVersion } = database.metadata;
    const ours = statefulSet !== undefined && (isOfDatabase(statefulSet, name));
    if (ours && step.kind === "scale") {
      await client.patch(statefulSets, { namespace, name: statefulSet.metadata!.name! }, {
        metadata: { resourceVersion: statefulSet.metadata!.resourceVersion },
        spec: { replicas: step.replicas },
      });
    }
    if (members.length > 0) {
      await this.#report(sight, step, [], context);
      return { requeueAfterMs: 5_000 };
    }
    if (deletionPolicyOf(database) === "Delete") {
      const names = namesOf(name);
      for (const claim of claims) await this.#delete(persistentVolumeClaims, claim, client);
      const state = [names.leader, names.config, names.sync, names.failover].map((name) => seen.get(name));
      for (const configMap of state) if (configMap) await this.#delete(configMaps, configMap, client);
      const secret = await this.#manager.liveClient.get(secrets, { namespace, name: names.credentials });
      if (secret && isOfDatabase(secret, name)) await this.#delete(secrets, secret, client);
    }
    log.info("Deleted", { deletionPolicy: deletionPolicyOf(database) });
    const finalizers = withoutFinalizer(database, finalizer);
    await client.patch(databases, { namespace, name }, { metadata: { resourceVersion, finalizers } });
  }

  async #delete<Read extends KubernetesObject>(
    resource: Resource<Read, unknown>,
    object: Read,
    client: ResourceClient,
  ) {
    const { name = "", namespace, uid, resourceVersion } = object.metadata ?? {};
    await client.delete(resource, { namespace, name }, { uid, resourceVersion });
  }

  // -------------------------------------------------------------------------------------------------------------
  // Report: the status is derived from what was seen, and written only when it differs.

  async #report(
    sight: Sight,
    step: Step,
    problems: readonly Problem[],
    { client, events, now }: Context,
    operations: DatabaseStatus["operations"] = sight.database.status?.operations,
  ): Promise<void> {
    const { database } = sight;
    const before = database.status;
    const status = statusOf(sight, step, problems, operations, now());
    if (deepEqual(status, before)) return;
    const { name, namespace } = database.metadata;
    try {
      await client.apply(databases, { metadata: { name, namespace }, status }, { subresource: "status" });
    } catch (error) {
      if (isConflict(error)) return; // deleted meanwhile, or re-created: that wakes the key by itself
      throw error;
    }
    const was = findCondition(before?.conditions, "Ready"), is = findCondition(status.conditions, "Ready")!;
    if (was?.status === is.status && was.reason === is.reason) return;
    const type = is.status === "True" || expected.has(is.reason) ? "Normal" : "Warning";
    events.record(database, { type, reason: is.reason, note: is.message, action: "Reconcile" });
  }
}

/** Reasons of a Database that is not Ready because it is doing what was asked for. */
const expected = new Set([
  "Creating",
  "ScalingUp",
  "ScalingDown",
  "RollingOut",
  "SwitchingOver",
  "Progressing",
  "Hibernated",
  "Deleting",
  "Paused",
]);

/** An object to apply. */
type Intent = [resource: Resource<KubernetesObject, unknown>, desired: KubernetesObject];

/** True for what carries our labels for the Database of that name. */
function isOfDatabase(object: KubernetesObject, name: string | undefined): boolean {
  const labels = object.metadata?.labels ?? {};
  return labels[label.database] === name && labels["app.kubernetes.io/managed-by"] === fieldManager;
}

/** The system identifier of the data on a claim, once a member served from it. */
function markOf(claim: StoredPersistentVolumeClaim): string | undefined {
  return claim.metadata?.annotations?.[annotation.systemIdentifier];
}

/**
 * The Database as it can be rendered: without parameters that cannot be set, and with the major version that its data
 * has.
 */
function effectiveDatabase(
  { database, statefulSet }: Sight,
): { effective: StoredDatabase; problems: Problem[] } {
  const problems: Problem[] = [];
  const refused = parameterProblems(database);
  let spec = database.spec;
  if (refused.length > 0) {
    const names = refused.map(({ name }) => name);
    const parameters = Object.fromEntries(
      Object.entries(spec.parameters ?? {}).filter(([name]) => !names.includes(name)),
    );
    const message = refused.map(({ name, reason }) => `spec.parameters.${name}: ${reason}`).join("; ");
    problems.push({ reason: "InvalidParameter", message, stops: false });
    spec = { ...spec, parameters };
  }
  const template = statefulSet?.spec?.template;
  const runs = template?.metadata?.annotations?.[annotation.version];
  if (runs !== undefined && parseVersion(runs).major !== parseVersion(spec.version).major) {
    const message =
      `spec.version: PostgreSQL ${runs} goes on; an upgrade of its data to ${spec.version} is not supported yet`;
    problems.push({ reason: "UpgradeUnsupported", message, stops: false });
    spec = { ...spec, version: runs, image: template?.spec?.containers[0]?.image };
  }
  return { effective: { ...database, spec }, problems };
}

/** Data and Patroni's state belong together: members are never started on one without the other. */
function stateProblem({ database, claims, patroni }: Sight): Problem | undefined {
  const state = namesOf(database.metadata.name).config;
  const known = patroni.config?.systemIdentifier;
  for (const claim of claims) {
    const mark = markOf(claim);
    if (mark === undefined || mark === known) continue;
    const found = known === undefined ? "is gone" : `says ${known}`;
    const message =
      `Claim "${claim.metadata?.name}" holds data of system ${mark}, and ConfigMap "${state}" ${found}: ` +
      "restore the ConfigMap, or move the claims away to start empty";
    return { reason: known === undefined ? "StateLost" : "OtherData", message, stops: true };
  }
  return undefined;
}

/** What the API server refuses for good reasons is told to people; everything else is retried and logged only. */
function describeFailure(error: unknown): Problem | undefined {
  if (isForbidden(error)) return { reason: "Forbidden", message: error.message, stops: true };
  if (isInvalid(error)) return { reason: "Invalid", message: error.message, stops: true };
  return undefined;
}

/** The status that says what was seen. */
function statusOf(
  { database, statefulSet, pods: seen, patroni }: Sight,
  step: Step,
  problems: readonly Problem[],
  operations: DatabaseStatus["operations"],
  nowMs: number,
): DatabaseStatus {
  const names = namesOf(database.metadata.name);
  const generation = database.metadata.generation;
  const { members: views, wanted } = situationOf(
    { database, statefulSet, pods: seen, patroni } as Sight,
    nowMs,
  );
  const serving = views.filter(isServing);
  const primary = serving.find((member) => member.role === "primary");
  const versions = new Set(seen.map((pod) => pod.metadata?.annotations?.[annotation.version]));
  const before = findCondition(database.status?.conditions, "Ready");
  const isNew = before === undefined || before.reason === "Creating";
  const [problem] = [...problems].sort((a, b) => Number(b.stops) - Number(a.stops));
  const reason = problem?.reason ?? (step.reason === "Degraded" && isNew ? "Creating" : step.reason);
  const message = problem ? problems.map((problem) => problem.message).join("; ") : step.message;
  const isReady = problem === undefined && step.kind === "done" && step.reason === "Ready";

  const set = (
    conditions: DatabaseStatus["conditions"],
    type: string,
    holds: boolean,
    reason: string,
    message: string,
  ) =>
    setCondition(conditions, {
      type,
      status: holds ? "True" : "False",
      reason,
      message: message.slice(0, 4096),
      observedGeneration: generation,
    }, nowMs);
  let conditions = set(database.status?.conditions, "Ready", isReady, reason, message);
  conditions = primary
    ? set(conditions, "Available", true, "PrimaryServes", `${primary.name} accepts writes`)
    : set(
      conditions,
      "Available",
      false,
      wanted === 0 ? "Hibernated" : "NoPrimary",
      wanted === 0 ? "No member runs" : "No member is the primary",
    );
  conditions = set(conditions, "Progressing", problem === undefined && step.kind !== "done", reason, message);
  conditions = problem && problem.reason !== "Creating"
    ? set(conditions, "Blocked", true, problem.reason, message)
    : conditions.filter(({ type }) => type !== "Blocked");

  const identifier = patroni.config?.systemIdentifier ?? database.status?.systemIdentifier;
  return withoutUndefined({
    observedGeneration: generation,
    conditions,
    replicas: seen.length,
    readyReplicas: serving.length,
    selector: selectorText(memberSelector(database.metadata.name)),
    primary: primary?.name,
    version: versions.size === 1 ? [...versions][0] : database.status?.version,
    systemIdentifier: identifier,
    timeline: patroni.timeline,
    service: names.service,
    secretName: names.credentials,
    operations: operations?.switchover || operations?.switchoverTo ? operations : undefined,
    members: views.map((member, index) => ({
      name: member.name,
      role: member.role,
      state: member.trouble ??
        (member.terminating ? "stopping" : member.streaming ? "streaming" : patroni.members[index]!.state),
      timeline: patroni.members[index]!.timeline,
      ready: isServing(member),
      synchronous: patroni.sync?.standbys.includes(member.name) && member.role !== "primary",
      pendingRestart: member.pendingRestart,
      upToDate: member.upToDate,
    })),
  });
}

/** The object as the API server stores it: absent fields are absent. */
function withoutUndefined<Value>(value: Value): Value {
  return JSON.parse(JSON.stringify(value)) as Value;
}

function selectorText(labels: Record<string, string>): string {
  return Object.entries(labels).map(([name, value]) => `${name}=${value}`).join(",");
}

// ---------------------------------------------------------------------------------------------------------------
// What wakes a Database, and main.

/** The part of a pod that matters: Patroni notes its WAL position on it every few seconds, which must wake nobody. */
function podFacts(pod: StoredPod): unknown {
  const name = pod.metadata?.labels?.[label.database] ?? "";
  const [member] = observe(name, { pods: [pod] }, 0).members;
  return [
    pod.metadata?.deletionTimestamp,
    pod.metadata?.labels,
    pod.status?.startTime,
    podTrouble(pod),
    member && { ...member, position: undefined, lagBytes: undefined },
  ];
}

/** The part of a ConfigMap that matters: not the time and the WAL position in Patroni's leader lock. */
function configMapFacts({ metadata, data }: StoredConfigMap): unknown {
  const { renewTime: _, optime: __, slots: ___, retain_slots: ____, ...annotations } =
    metadata?.annotations ?? {};
  return [metadata?.labels, metadata?.ownerReferences, metadata?.deletionTimestamp, annotations, data];
}

/** Adds the controller of Databases to a manager. */
export function addDatabaseController(
  manager: Manager,
  settings: Settings,
  workers?: number,
): DatabaseReconciler {
  const reconciler = new DatabaseReconciler(manager, settings);
  const labelSelector = label.database;
  const map = (object: KubernetesObject) => [{
    namespace: object.metadata?.namespace,
    name: object.metadata?.labels?.[label.database] ?? "",
  }];
  const intended = changed((object: KubernetesObject & { spec?: unknown }) => {
    const { labels, annotations, ownerReferences, deletionTimestamp } = object.metadata ?? {};
    return [labels, annotations, ownerReferences, deletionTimestamp, {
      ...object,
      metadata: undefined,
      status: undefined,
    }];
  });
  manager.controller({
    name: "database-controller",
    for: databases,
    predicate: anyOf(generationChanged(), annotationsChanged(...Object.values(annotation))),
    owns: [
      owns(statefulSets, { labelSelector }),
      owns(serviceAccounts, { labelSelector, predicate: intended }),
      owns(roles, { labelSelector, predicate: intended }),
      owns(roleBindings, { labelSelector, predicate: intended }),
      owns(services, { labelSelector, predicate: intended }),
      owns(podDisruptionBudgets, { labelSelector, predicate: intended }),
    ],
    watches: [
      watches(pods, { labelSelector, map, predicate: changed(podFacts) }),
      watches(configMaps, { labelSelector, map, predicate: changed(configMapFacts) }),
      watches(persistentVolumeClaims, { labelSelector, map }),
    ],
    ...(workers === undefined ? {} : { workers }),
    reconcile: (request, context) => reconciler.reconcile(request, context),
  });
  return reconciler;
}

const usage = `The operator for Databases (${group}): makes each a highly available PostgreSQL.

Usage: operator [--kubeconfig FILE] [--context NAME] [options]

  --kubeconfig FILE      which cluster; default: KUBECONFIG, the pod's service account, ~/.kube/config
  --context NAME         context of the kubeconfig
  --watch-namespace NS   only this namespace; may be given several times (WATCH_NAMESPACE, separated by commas)
  --lease-namespace NS   elect a leader by a Lease in this namespace (POD_NAMESPACE); without it: no election
  --image TEMPLATE       image of the members with {version} or {major} (DATABASE_IMAGE; ${defaultImageTemplate})
  --listen [HOST:]PORT   serve /livez, /readyz and /metrics there (LISTEN); without it: nowhere
  --workers N            Databases reconciled at the same time; default 10
  -h, --help

Exit codes: 0 stopped cleanly, 1 failed, 2 called wrongly.`;

/** Runs the operator until it is told to stop. */
export async function main({ flags, env, signal }: Invocation): Promise<void> {
  const text = (flag: string, variable: string) => flags[flag]?.toString() ?? (env(variable) || undefined);
  const listed = [flags["watch-namespace"] ?? []].flat().map(String);
  const watchNamespaces = listed.length > 0
    ? listed
    : (env("WATCH_NAMESPACE") ?? "").split(",").map((name) => name.trim()).filter(Boolean);
  const leaseNamespace = text("lease-namespace", "POD_NAMESPACE");
  const listen = text("listen", "LISTEN");
  const workers = flags.workers === undefined ? undefined : Number(flags.workers);
  if (workers !== undefined && !(Number.isInteger(workers) && workers >= 1 && workers <= 1000)) {
    throw new ConfigurationError(`--workers: expected a whole number from 1 to 1000, got "${flags.workers}"`);
  }
  const rest = await connect({
    kubeconfig: flags.kubeconfig?.toString(),
    context: flags.context?.toString(),
    userAgent: `${fieldManager}/${version}`,
  });
  try {
    await new Client(rest, { fieldManager }).list(databases, { namespace: watchNamespaces[0], limit: 1 })
      .catch((cause) => {
        throw isNotFound(cause)
          ? new ConfigurationError(`Cannot find Databases at ${rest.server}: install crd.yaml first`, {
            cause,
          })
          : new Error(`Cannot list Databases at ${rest.server}`, { cause });
      });
    const manager = createManager({
      rest,
      name: fieldManager,
      watchNamespaces,
      leaderElection: leaseNamespace ? { namespace: leaseNamespace, name: fieldManager } : false,
      http: listen ? parseListen(listen) : false,
    });
    addDatabaseController(manager, {
      imageTemplate: text("image", "DATABASE_IMAGE") ?? defaultImageTemplate,
      password: randomPassword,
    }, workers);
    await manager.start(signal);
  } finally {
    rest.close();
  }
}

/** 24 letters, digits, dashes and underscores: 144 random bits. */
function randomPassword(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(18));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_");
}

function parseListen(listen: string): { host?: string; port: number } {
  const [, host, port] = /^(?:(.*):)?(\d{1,5})$/.exec(listen) ?? [];
  if (port === undefined || Number(port) > 65535) {
    throw new ConfigurationError(`--listen: expected [HOST:]PORT, got "${listen}"`);
  }
  return { ...(host ? { host } : {}), port: Number(port) };
}

if (import.meta.main) {
  await runCommand(usage, {
    "kubeconfig": { type: "string" },
    "context": { type: "string" },
    "watch-namespace": { type: "string", multiple: true },
    "lease-namespace": { type: "string" },
    "image": { type: "string" },
    "listen": { type: "string" },
    "workers": { type: "string" },
  }, main);
}
