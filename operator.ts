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
  type Condition,
  ConfigurationError,
  connect,
  type Context,
  controllerReference,
  createManager,
  deepEqual,
  deleteAsRead,
  flagAddress,
  flagCount,
  flagList,
  flagText,
  generationChanged,
  hasFinalizer,
  intentChanged,
  Intents,
  type Invocation,
  isAlreadyExists,
  isConflict,
  isControlledBy,
  isForbidden,
  isInvalid,
  isNotFound,
  keyInLabel,
  type KubernetesObject,
  type Logger,
  type Manager,
  owns,
  randomToken,
  type Request,
  type ResourceClient,
  type Result,
  runCommand,
  setCondition,
  watches,
  withFinalizer,
  withoutFinalizer,
} from "./runtime/mod.ts";
import * as x509 from "./postgres/x509.ts";
import { databases, type DatabaseStatus, type StoredDatabase } from "./types/app.example.com/v1.ts";
import { statefulSets } from "./types/apps/v1.ts";
import { cronJobs, jobs } from "./types/batch/v1.ts";
import {
  type ConfigMap,
  configMaps,
  persistentVolumeClaims,
  pods,
  secrets,
  serviceAccounts,
  services,
} from "./types/core/v1.ts";
import { networkPolicies } from "./types/networking.k8s.io/v1.ts";
import { podDisruptionBudgets } from "./types/policy/v1.ts";
import { roleBindings, roles } from "./types/rbac.authorization.k8s.io/v1.ts";
import {
  abandoned,
  annotation,
  backupCondition,
  belongsToOthers,
  type Certificates,
  claimChanges,
  conditionsOf,
  configMapFacts,
  configured,
  decide,
  defaultImageTemplate,
  deletionPolicyOf,
  desiredSwitchover,
  effectiveDatabase,
  factsOf,
  type Feature,
  fieldManager,
  finalBackup,
  finalBackupName,
  finalizer,
  group,
  isOfDatabase,
  label,
  measureAll,
  measurementHelp,
  namesOf,
  notTakenOver,
  ordinalsPatch,
  orphansOf,
  othersSecrets,
  type Plan,
  planOf,
  type PlanOptions,
  podFacts,
  type Problem,
  reloadMs,
  remembered,
  restoredClaim,
  restores,
  secretsOf,
  type Sight,
  sightOf,
  situationOf,
  type StateAnnotations,
  type Step,
  switchoverRequest,
  transitions,
  underWay,
  unseenNames,
  type Unwanted,
  upgradeChanges,
  upgradeJobs,
  usersOutcome,
  wait,
  type Wanted,
  wantedStatefulSet,
  worksOnData,
} from "./postgres/mod.ts";

/** Version of the operator, in its requests' user agent. */
export const version = "0.1.0";

// ---------------------------------------------------------------------------------------------------------------
// Look: everything once, from the cache or from the API server.

async function look(client: ResourceClient, database: StoredDatabase, settings: Settings, nowMs: number) {
  const { name, namespace } = database.metadata;
  const names = namesOf(name);
  const mine = { namespace, labelSelector: `${label.database}=${name}` };
  const [statefulSet, podList, claimList, configMapList, jobList] = await Promise.all([
    client.get(statefulSets, { namespace, name: names.statefulSet }),
    client.list(pods, mine),
    client.list(persistentVolumeClaims, mine),
    client.list(configMaps, mine),
    client.list(jobs, mine),
  ]);
  return sightOf({
    database,
    statefulSet,
    pods: podList.items,
    claims: claimList.items,
    configMaps: configMapList.items,
    jobs: jobList.items,
    imageTemplate: settings.imageTemplate,
  }, nowMs);
}

/** The same with what others own and matters now: by name and from the API server, as it is neither listed nor watched. */
async function lookAtOthers(
  live: ResourceClient,
  client: ResourceClient,
  seen: Sight,
  step: Step,
): Promise<Sight> {
  const { namespace } = seen.database.metadata;
  const from = restores(seen) ? seen.database.spec.restoreFrom?.database : undefined;
  const source = from === undefined ? undefined : await client.get(databases, { namespace, name: from });
  const named = secretsOf({ ...seen, source });
  const found = await Promise.all(named.map((name) => live.get(secrets, { namespace, name })));
  const claimName = restoredClaim({ ...seen, source });
  const claim = claimName && await live.get(persistentVolumeClaims, { namespace, name: claimName });
  const unseen = await Promise.all(
    unseenNames(seen, step).map(({ resource, name }) => live.get(resource, { namespace, name })),
  );
  return {
    ...seen,
    source,
    unseen: unseen.filter((one) => one !== undefined),
    ...(claim ? { storeClaims: new Map([...seen.storeClaims, [claimName, claim]]) } : {}),
    secrets: new Map(found.flatMap((secret, at) => secret ? [[named[at]!, secret]] : [])),
  };
}

// ---------------------------------------------------------------------------------------------------------------
// Reconcile: look, write what disturbs nobody, take one step, report.

/** What the operator's installation says. */
export interface Settings {
  /** Image of the members, with `{version}` or `{major}`; spec.image comes first. */
  readonly imageTemplate: string;
  /** How many Databases restart their members at the same time. */
  readonly rollingMax: number;
  /** A fresh random password; at least 128 bits. */
  readonly password: () => string;
  /** How long members may take over a changed configuration, in milliseconds; default: {@link reloadMs}. */
  readonly reloadMs?: number;
  /** Issues certificates and reads them. */
  readonly certificates: Certificates;
}

/** Longest turn of a rolling Database while others wait: 15 min, for members with much to check at their start. */
const rollingTurnMs = 900_000;

/** Makes Databases what they say. One per manager. */
export class DatabaseReconciler {
  readonly #manager: Pick<Manager, "client" | "liveClient">;
  readonly #settings: Settings;
  readonly #intents: Intents;
  /** Since when, in milliseconds, the members of which Databases are being restarted one by one; by key. */
  readonly #rolling = new Map<string, number>();

  constructor(manager: Pick<Manager, "client" | "liveClient">, settings: Settings) {
    this.#manager = manager;
    this.#settings = settings;
    this.#intents = new Intents({
      client: manager.client,
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
      this.#rolling.delete(`${request.namespace}/${request.name}`);
      return;
    }
    let sight = await look(client, database, this.#settings, now());
    if (
      database.metadata.annotations?.[annotation.paused] === "true" && !database.metadata.deletionTimestamp
    ) {
      const step = wait("Paused", `Annotation ${annotation.paused} is "true": nothing is changed`);
      await this.#report(sight, step, context);
      return;
    }
    const { operations, refusal } = switchoverRequest(sight);
    if (refusal) events.record(database, { type: "Warning", ...refusal });
    const step = this.#queue(decide(situationOf(sight, now())), request, now());
    try {
      const facts = remembered(sight) ?? abandoned(sight, now());
      if (facts) {
        await this.#note(sight, facts, client);
        return { requeueAfterMs: 100 };
      }
      if (database.metadata.deletionTimestamp) return await this.#finish(sight, step, context);
      sight = await lookAtOthers(this.#manager.liveClient, client, sight, step);
      if (!hasFinalizer(database, finalizer)) {
        const { resourceVersion } = database.metadata;
        const patch = { metadata: { resourceVersion, finalizers: withFinalizer(database, finalizer) } };
        // What comes now is of this version.
        sight = { ...sight, database: await client.patch(databases, database.metadata, patch) };
      }
      const { backup, ...written } = await this.#write(sight, step, context);
      const { problems, againMs = Infinity } = written;
      if (!problems.some((problem) => problem.stops)) await this.#take(step, sight, context);
      const told = written.underWay === undefined ? step : underWay(step, written.underWay);
      await this.#report(written.seen, told, context, {
        ...written,
        operations: { ...operations, backup: backup ?? operations.backup },
      });
      if (problems.some(({ stops }) => stops)) return { requeueAfterMs: 30_000 };
      if (told.kind !== "done") return { requeueAfterMs: told.kind === "wait" ? 5_000 : 1_000 };
      if (problems.length > 0) return { requeueAfterMs: 30_000 };
      // A request was only written down in this pass: it is carried out in the next.
      if (operations.switchoverTo !== database.status?.operations?.switchoverTo) {
        return { requeueAfterMs: 100 };
      }
      return { requeueAfterMs: Math.min(againMs, othersSecrets(database).length > 0 ? 30_000 : Infinity) };
    } catch (error) {
      if (isConflict(error)) {
        log.info("Changed by somebody else meanwhile: looking again", { conflict: error.message });
        return { requeueAfterMs: 250 };
      }
      // Status comes last, also after an error: what was seen is still true. The error itself is retried and logged.
      const failed = describeFailure(error);
      const report = failed && this.#report(sight, step, context, { problems: [failed], operations });
      await report?.catch((cause) => log.error("Cannot report", cause));
      throw error;
    }
  }

  /**
   * The step, or to wait: an upgrade of the operator changes every template, and only a few Databases roll at a time. One
   * that is stuck gives its turn away after a while.
   */
  #queue(step: Step, { namespace, name }: Request, nowMs: number): Step {
    const key = `${namespace}/${name}`;
    if (step.kind === "done") this.#rolling.delete(key);
    if (step.reason !== "RollingOut" || step.kind === "wait" || this.#rolling.has(key)) return step;
    const others = [...this.#rolling.values()].filter((sinceMs) => nowMs - sinceMs < rollingTurnMs).length;
    if (others >= this.#settings.rollingMax) {
      return wait("RollingOut", `${others} other Databases are rolling: this one waits for its turn`);
    }
    this.#rolling.set(key, nowMs);
    return step;
  }

  /** Writes what a Database owns; none of it restarts a member. */
  async #write(sight: Sight, step: Step, context: Context): Promise<Written> {
    const { client, events, now } = context;
    const { database } = sight;
    const plan = planOf(sight, step, this.#planOptions(database, now()));
    const { tls: { notAfterMs }, againMs, seen } = plan;
    const problems = [...plan.problems];
    const obstacles: Written["obstacles"] = { backups: plan.repository.problem };
    if (problems.some(({ stops }) => stops)) return { problems, obstacles, seen };
    if (plan.refusal) events.record(database, { type: "Warning", ...plan.refusal });
    problems.push(...await this.#tendClaims(sight, step, context));
    let rolls = false;
    for (const wanted of plan.wanted) {
      const { obstacle, changed } = await this.#ensure(wanted, database, client);
      if (obstacle && !wanted.feature) return { problems: [...problems, obstacle], obstacles, seen };
      if (obstacle && wanted.feature) obstacles[wanted.feature] ??= obstacle.message;
      rolls ||= changed === true && wanted.resource === statefulSets;
    }
    for (const { pod, patch } of plan.remounts) await client.patch(pods, pod.metadata, patch);
    for (const unwanted of plan.unwanted) await this.#remove(unwanted, database, client);
    const settledMs = now() + (this.#settings.reloadMs ?? reloadMs);
    const config = configured(sight, plan.effective, step, settledMs);
    if (config) {
      await this.#note(sight, config, client);
      const note = "Changed PostgreSQL's and Patroni's configuration";
      events.record(database, { type: "Normal", reason: "Configured", note, action: "Configure" });
    }
    const underWay = notTakenOver(sight, { rolls, reloads: config !== undefined }, now());
    return { problems, obstacles, backup: plan.backup, underWay, notAfterMs, againMs, seen };
  }

  #planOptions(database: StoredDatabase, nowMs: number): PlanOptions {
    const { imageTemplate, password, certificates } = this.#settings;
    return { owner: [controllerReference(database)], imageTemplate, password, certificates, nowMs };
  }

  /** Writes one object when it does not say what it should; returns what stands in the way, or whether it was changed. */
  async #ensure(
    { resource, desired, once, feature }: Wanted,
    database: StoredDatabase,
    client: ResourceClient,
  ): Promise<{ obstacle?: Problem; changed?: boolean }> {
    const { namespace } = database.metadata, { name = "" } = desired.metadata ?? {};
    try {
      if (once) {
        if (!await client.get(resource, { namespace, name })) await client.create(resource, desired);
        return {};
      }
      const outcome = await this.#intents.apply<KubernetesObject, object>(
        resource,
        desired,
        database,
        client,
      );
      if (outcome.kind === "applied") return { changed: outcome.written };
      if (outcome.kind === "foreign") {
        const message = belongsToOthers(resource.kind, name);
        return { obstacle: { reason: "NameConflict", message, stops: true } };
      }
      const message = `${resource.kind} "${name}" of an earlier Database of this name is still going away`;
      return { obstacle: { reason: "Creating", message, stops: true } };
    } catch (error) {
      if (once && isAlreadyExists(error)) return {}; // made between the look and now
      if (feature && (isInvalid(error) || isForbidden(error))) {
        return { obstacle: { reason: "Invalid", message: error.message, stops: false } };
      }
      throw error;
    }
  }

  /** Deletes what a feature left, when it is ours. Secrets are read by name, everything else is found in the caches. */
  async #remove({ resource, name }: Unwanted, database: StoredDatabase, client: ResourceClient) {
    const { namespace } = database.metadata;
    const mine = { namespace, labelSelector: `${label.database}=${database.metadata.name}` };
    const found = resource.kind === "Secret"
      ? await client.get(resource, { namespace, name })
      : (await client.list(resource, mine)).items.find(({ metadata }) => metadata?.name === name);
    if (found && isOfDatabase(found, database.metadata.name)) await deleteAsRead(client, resource, found);
  }

  /** Lets the claims grow, and marks them; see claims.ts. Data goes only after a second look, at the API server itself. */
  async #tendClaims(sight: Sight, step: Step, { client, now }: Context): Promise<Problem[]> {
    const problems: Problem[] = [];
    const changes = claimChanges(sight, step);
    if (changes.some(({ patch }) => patch === "delete")) {
      const live = await look(this.#manager.liveClient, sight.database, this.#settings, now());
      if (!deepEqual(decide(situationOf(live, now())), step)) return problems;
    }
    for (const { claim, patch, refused } of changes) {
      try {
        if (patch === "delete") await deleteAsRead(client, persistentVolumeClaims, claim);
        else await client.patch(persistentVolumeClaims, claim.metadata, patch);
      } catch (error) {
        if (!isForbidden(error) && !isInvalid(error)) throw error;
        problems.push({ reason: "StorageCannotGrow", message: `${refused}: ${error.message}`, stops: false });
      }
    }
    return problems;
  }

  /** Writes annotations onto Patroni's ConfigMap `<name>-config`. */
  async #note({ database, configMaps: seen }: Sight, annotations: StateAnnotations, client: ResourceClient) {
    const { name, namespace, resourceVersion } = seen.get(namesOf(database.metadata.name).config)!.metadata;
    await client.patch(configMaps, { namespace, name }, { metadata: { resourceVersion, annotations } });
  }

  /** Takes the step, unless a second look, now at the API server itself, leads to another one. */
  async #take(step: Step, sight: Sight, { client, events, log, now }: Context): Promise<void> {
    if (step.kind === "done" || step.kind === "wait") return;
    const { database, statefulSet } = sight;
    if (step.kind === "scale" && !statefulSet) return; // it was just created with that many
    const live = await look(this.#manager.liveClient, database, this.#settings, now());
    const again = decide(situationOf(live, now()));
    if (!deepEqual(again, step)) return log.info("Not done: the cache was behind", { step, again });
    const { name, namespace } = database.metadata;
    log.info(step.message, { step: step.kind, reason: step.reason });
    if (step.kind === "scale") {
      const options = this.#planOptions(database, now());
      const desired = wantedStatefulSet(live, effectiveDatabase(live).effective, step, options);
      const outcome = await this.#intents.apply(statefulSets, desired, database, client);
      if (outcome.kind !== "applied") return;
    } else if (step.kind === "restart") {
      const pod = live.pods.find((pod) => pod.metadata?.name === step.pod)!;
      await deleteAsRead(client, pods, pod);
    } else if (step.kind === "switchover") {
      const desired = desiredSwitchover(database, step.from, step.to, now());
      await client.apply(configMaps, desired as ConfigMap, { fieldManager: `${fieldManager}-switchover` });
    } else {
      const options = { ...this.#planOptions(database, now()), words: step.message };
      for (const { verb, resource, name, body } of upgradeChanges(live, step.action, options)) {
        if (verb === "create") await client.create(resource, body);
        else if (verb === "patch") await client.patch(resource, { namespace, name }, body);
        else await client.delete(resource, { namespace, name }, body);
      }
    }
    const reason =
      { scale: "Scaled", restart: "Restarted", switchover: "SwitchedOver", upgrade: "Upgrading" }[step.kind];
    events.record(database, {
      type: "Normal",
      reason,
      note: `${step.message} (${name})`,
      action: "Reconcile",
    });
  }

  // -------------------------------------------------------------------------------------------------------------
  // Delete: members first, then what the policy says, then the finalizer. Nothing of spec is needed for it.

  async #finish(sight: Sight, step: Step, context: Context): Promise<Result | void> {
    const { database, statefulSet, claims, storeClaims, configMaps: seen, pods: members } = sight;
    if (!hasFinalizer(database, finalizer)) return;
    const { client, log } = context;
    const { name, namespace, resourceVersion } = database.metadata;
    const last = await this.#lastBackup(sight, context);
    if (last) {
      await this.#report(sight, last.step, context, { problems: last.problems });
      return { requeueAfterMs: 5_000 };
    }
    const ours = statefulSet !== undefined &&
      (isOfDatabase(statefulSet, name) || isControlledBy(statefulSet, database));
    if (ours && step.kind === "scale") {
      await client.patch(statefulSets, { namespace, name: statefulSet.metadata!.name! }, {
        metadata: { resourceVersion: statefulSet.metadata!.resourceVersion },
        spec: ordinalsPatch(step),
      });
    }
    // Nobody else may be left who works on the data: a Database made again would start on it.
    for (const job of upgradeJobs(sight)) await deleteAsRead(client, jobs, job);
    if (members.length > 0 || worksOnData(sight)) {
      // Without their StatefulSet nobody else stops them.
      for (const pod of ours ? [] : orphansOf(sight)) await deleteAsRead(client, pods, pod);
      await this.#report(sight, step, context);
      return { requeueAfterMs: 5_000 };
    }
    if (deletionPolicyOf(database) === "Delete") {
      const names = namesOf(name);
      // A last backup is not made to be deleted with the rest.
      const stores = database.spec.backups?.finalBackup
        ? []
        : [...storeClaims.values()].filter((claim) => isOfDatabase(claim, name));
      for (const claim of [...claims, ...stores]) await deleteAsRead(client, persistentVolumeClaims, claim);
      const state = [names.leader, names.config, names.sync, names.failover].map((name) => seen.get(name));
      for (const configMap of state) if (configMap) await deleteAsRead(client, configMaps, configMap);
      const secret = await this.#manager.liveClient.get(secrets, { namespace, name: names.credentials });
      if (secret && isOfDatabase(secret, name)) await deleteAsRead(client, secrets, secret);
    }
    log.info("Deleted", { deletionPolicy: deletionPolicyOf(database) });
    const finalizers = withoutFinalizer(database, finalizer);
    await client.patch(databases, { namespace, name }, { metadata: { resourceVersion, finalizers } })
      .catch((error) => {
        if (!isNotFound(error)) throw error; // it is gone, and the cache has yet to hear of it
      });
  }

  /** Sees to it that a last backup is made when spec asks for it; nothing when the deletion may go on. */
  async #lastBackup(
    sight: Sight,
    { client, now }: Context,
  ): Promise<{ step: Step; problems: Problem[] } | undefined> {
    const { effective: database } = effectiveDatabase(sight);
    const key = { namespace: database.metadata.namespace, name: finalBackupName(database.metadata.name) };
    const options = this.#planOptions(database, now());
    const last = finalBackup({ ...sight, database }, await client.get(jobs, key), options);
    if (last.kind === "none") return undefined;
    if (last.kind === "failed") {
      return { step: wait("FinalBackupFailed", last.problem.message), problems: [last.problem] };
    }
    const step = wait("Deleting", last.message);
    try {
      const { obstacle } = await this.#ensure(
        { resource: jobs, desired: last.job, once: true },
        database,
        client,
      );
      return { step, problems: obstacle ? [obstacle] : [] };
    } catch (error) {
      if (isForbidden(error)) return undefined; // the namespace goes too: nothing can be made in it any more
      throw error;
    }
  }

  // -------------------------------------------------------------------------------------------------------------
  // Report: the status is derived from what was seen, and written only when it differs.

  async #report(
    sight: Sight,
    step: Step,
    { client, events, now }: Context,
    { problems = [], obstacles, operations = sight.database.status?.operations, notAfterMs }:
      & Partial<Written>
      & {
        operations?: DatabaseStatus["operations"];
      } = {},
  ): Promise<void> {
    const { database } = sight;
    const before = database.status;
    const backups = backupCondition(sight, obstacles, now());
    const { condition: users, ...roles } = usersOutcome(sight, obstacles?.users);
    const claims = [...conditionsOf(sight, step, problems, now()), backups ?? [], users ?? []].flat();
    const kept = before?.conditions?.filter(({ type }) => claims.some((claim) => claim.type === type));
    const conditions = claims.reduce<Condition[]>(
      (conditions, claim) =>
        setCondition(conditions, { ...claim, observedGeneration: database.metadata.generation }, now()),
      kept ?? [],
    );
    const requests = Object.values(operations ?? {}).some((value) => value) ? operations : undefined;
    const facts = factsOf(sight, step, { notAfterMs, nowMs: now() });
    const status = { ...facts, ...roles, conditions, operations: requests };
    if (deepEqual(status, before)) return;
    // A process that was frozen in here must not overwrite what the next leader has reported.
    const { name, namespace, resourceVersion } = database.metadata;
    await client.apply(databases, { metadata: { name, namespace, resourceVersion }, status }, {
      subresource: "status",
    });
    for (const told of transitions(before?.conditions, conditions, step)) events.record(database, told);
  }
}

/** What came of writing the objects of a Database. */
interface Written extends Pick<Plan, "againMs" | "backup" | "problems" | "seen"> {
  /** What stands in the way of a feature only. */
  readonly obstacles: Partial<Record<Feature, string | undefined>>;
  /** What the members have not taken over yet, as a sentence: until they have, nothing is done. */
  readonly underWay?: string | undefined;
  /** Until when the members' certificate is valid. */
  readonly notAfterMs?: number | undefined;
}

/**
 * What the API server refuses for good reasons is told to people, and what cannot be worked with, which our own functions
 * throw. That the API server is away or busy is retried and logged only.
 */
function describeFailure(error: unknown): Problem | undefined {
  if (isForbidden(error)) return { reason: "Forbidden", message: error.message, stops: true };
  if (isInvalid(error)) return { reason: "Invalid", message: error.message, stops: true };
  if (error instanceof SyntaxError || error instanceof RangeError || error instanceof TypeError) {
    return { reason: "Failed", message: `Cannot reconcile: ${error.message}`, stops: true };
  }
  return undefined;
}

// ---------------------------------------------------------------------------------------------------------------
// What wakes a Database, and main.

/** Adds the controller of Databases to a manager. */
export function addDatabaseController(
  manager: Manager,
  settings: Settings,
  workers?: number,
): DatabaseReconciler {
  const reconciler = new DatabaseReconciler(manager, settings);
  const labelSelector = label.database;
  const map = keyInLabel(label.database);
  const predicate = intentChanged();
  manager.controller({
    name: "database-controller",
    for: databases,
    predicate: anyOf(generationChanged(), annotationsChanged(...Object.values(annotation))),
    owns: [
      owns(statefulSets, { labelSelector }),
      owns(serviceAccounts, { labelSelector, predicate }),
      owns(roles, { labelSelector, predicate }),
      owns(roleBindings, { labelSelector, predicate }),
      owns(services, { labelSelector, predicate }),
      owns(podDisruptionBudgets, { labelSelector, predicate }),
      owns(networkPolicies, { labelSelector, predicate }),
      owns(cronJobs, { labelSelector, predicate }),
      owns(jobs, { labelSelector }),
    ],
    watches: [
      watches(pods, { labelSelector, map, predicate: changed(podFacts) }),
      // One with the members' programs has 90 KB.
      watches(configMaps, { labelSelector, map, predicate: changed(configMapFacts), pageSize: 50 }),
      watches(persistentVolumeClaims, { labelSelector, map }),
    ],
    ...(workers === undefined ? {} : { workers }),
    reconcile: (request, context) => reconciler.reconcile(request, context),
  });
  exportMeasurements(manager, labelSelector);
  return reconciler;
}

/** Gauges of each Database on the metrics port of the one that leads, read from the caches at each scrape. */
function exportMeasurements(manager: Manager, labelSelector: string): void {
  const caches = {
    databases: manager.informer(databases),
    pods: manager.informer(pods, { labelSelector }),
    configMaps: manager.informer(configMaps, { labelSelector }),
  };
  manager.metrics.gauges(measurementHelp, () => {
    if (!manager.isLeader) return [];
    return measureAll(caches.databases.list(), caches.pods.list(), caches.configMaps.list());
  });
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
  --rolling N            Databases that restart their members at the same time; default 5
  -h, --help

Exit codes: 0 stopped cleanly, 1 failed, 2 called wrongly, 3 lost the lease, 4 a source did not list in time,
5 the stop took too long.`;

/** Runs the operator until it is told to stop. */
export async function main(invocation: Invocation, log?: Logger): Promise<void> {
  const { flags, signal } = invocation;
  const watchNamespaces = flagList(invocation, "watch-namespace", "WATCH_NAMESPACE");
  const leaseNamespace = flagText(invocation, "lease-namespace", "POD_NAMESPACE");
  const http = flagAddress(invocation, "listen", "LISTEN");
  const workers = flagCount(invocation, "workers", 10);
  const rollingMax = flagCount(invocation, "rolling", 5);
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
      ...(log ? { log } : {}),
      leaderElection: leaseNamespace ? { namespace: leaseNamespace, name: fieldManager } : false,
      http,
    });
    addDatabaseController(manager, {
      imageTemplate: flagText(invocation, "image", "DATABASE_IMAGE") ?? defaultImageTemplate,
      rollingMax,
      password: () => randomToken(18), // 144 bits
      certificates: x509,
    }, workers);
    await manager.start(signal);
  } finally {
    rest.close();
  }
}

if (import.meta.main) {
  await runCommand(
    usage,
    {
      "kubeconfig": { type: "string" },
      "context": { type: "string" },
      "watch-namespace": { type: "string", multiple: true },
      "lease-namespace": { type: "string" },
      "image": { type: "string" },
      "listen": { type: "string" },
      "workers": { type: "string" },
      "rolling": { type: "string" },
    },
    main,
  );
}
