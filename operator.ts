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
  type Logger,
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
import { type StatefulSet, statefulSets } from "./types/apps/v1.ts";
import { cronJobs, jobs } from "./types/batch/v1.ts";
import {
  type ConfigMap,
  configMaps,
  persistentVolumeClaims,
  pods,
  type Secret,
  secrets,
  serviceAccounts,
  services,
} from "./types/core/v1.ts";
import { podDisruptionBudgets } from "./types/policy/v1.ts";
import { roleBindings, roles } from "./types/rbac.authorization.k8s.io/v1.ts";
import {
  annotation,
  backupCondition,
  backupReport,
  backupStatus,
  type BackupType,
  backupTypes,
  conditionsOf,
  configMapFacts,
  credentialKeys,
  decide,
  decodeBase64,
  defaultImageTemplate,
  deletionPolicyOf,
  desiredBackupJob,
  desiredBackupSecret,
  desiredBackupService,
  desiredCredentials,
  desiredCronJobs,
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
  dynamicConfig,
  effectiveDatabase,
  expectedReasons,
  factsOf,
  fieldManager,
  finalizer,
  group,
  imageOf,
  isOfDatabase,
  label,
  markOf,
  memberSelector,
  namesOf,
  nextDynamicConfig,
  observe,
  ordinalOf,
  parseQuantity,
  type Passwords,
  podFacts,
  type Problem,
  repositoryPath,
  repositoryProblem,
  type RepositorySecret,
  restoreFiles,
  type RestoreSource,
  type S3,
  selectorText,
  type Sight,
  situationOf,
  sizeOf,
  stateProblem,
  type Step,
  storageOf,
  successor,
  wait,
} from "./postgres/mod.ts";

/** Version of the operator, in its requests' user agent. */
export const version = "0.1.0";

// ---------------------------------------------------------------------------------------------------------------
// Look: everything once, from the cache or from the API server.

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
// Reconcile: look, write what disturbs nobody, take one step, report.

/** What the operator's installation says. */
export interface Settings {
  /** Image of the members, with `{version}` or `{major}`; spec.image comes first. */
  readonly imageTemplate: string;
  /** How many Databases restart their members at the same time. */
  readonly rollingMax: number;
  /** A fresh random password; at least 128 bits. */
  readonly password: () => string;
}

/** A request for a backup. The id ends a Job's name, of at most 63 characters, apart from those of the CronJobs. */
const backupRequest =
  /^(?:(full|diff|incr)@)?((?!full|diff|incr|first)[a-z0-9](?:[-a-z0-9]{0,13}[a-z0-9])?)$/;

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
    const sight = await look(client, database, now());
    if (
      database.metadata.annotations?.[annotation.paused] === "true" && !database.metadata.deletionTimestamp
    ) {
      const step = wait("Paused", `Annotation ${annotation.paused} is "true": nothing is changed`);
      await this.#report(sight, step, [], context);
      return;
    }
    const requested = await this.#answerRequest(sight, context);
    const step = this.#queue(decide(situationOf(sight, now())), request, now());
    try {
      if (database.metadata.deletionTimestamp) return await this.#finish(sight, step, context);
      const repository = await this.#tendRepository(sight, client);
      const problems = await this.#writeObjects(sight, step, client, events, repository);
      const blocked = problems.some((problem) => problem.stops);
      if (!blocked) {
        Object.assign(requested, await this.#tendBackups(sight, repository, context));
        await this.#take(step, sight, context);
      }
      await this.#report(sight, step, problems, context, requested, repository);
      if (problems.length > 0) return { requeueAfterMs: 30_000 };
      if (step.kind !== "done") return { requeueAfterMs: step.kind === "wait" ? 5_000 : 1_000 };
      // A request was only written down in this pass: it is carried out in the next.
      if (requested.switchoverTo !== undefined) return { requeueAfterMs: 100 };
      // Nobody tells of a change in the repository's Secret: Secrets are not watched.
      return database.spec.backups ? { requeueAfterMs: 30_000 } : undefined;
    } catch (error) {
      if (isConflict(error)) {
        log.info("Changed by somebody else meanwhile: looking again", { conflict: error.message });
        return { requeueAfterMs: 250 };
      }
      // Status comes last, also after an error: what was seen is still true. The error itself is retried and logged.
      const failed = describeFailure(error);
      if (failed) await this.#report(sight, step, [failed], context, requested);
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

  /** Writes the objects that a Database owns; none of them restarts a member. Returns what stands in the way. */
  async #writeObjects(
    sight: Sight,
    step: Step,
    client: ResourceClient,
    events: EventRecorder,
    repository: Repository,
  ): Promise<Problem[]> {
    const { database, patroni, statefulSet } = sight;
    if (!hasFinalizer(database, finalizer)) {
      const { resourceVersion } = database.metadata;
      const patch = { metadata: { resourceVersion, finalizers: withFinalizer(database, finalizer) } };
      await client.patch(databases, database.metadata, patch);
    }
    const { effective: asked, problems } = effectiveDatabase(sight);
    // Without a configuration on the members, archiving would fail and fill their volumes.
    const effective = repository.written ? asked : { ...asked, spec: { ...asked.spec, backups: undefined } };
    if (repository.restoreProblem) {
      return [...problems, {
        reason: "RestoreSourceUnusable",
        message: repository.restoreProblem,
        stops: true,
      }];
    }
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
    problems.push(...await this.#tendClaims(sight, step, client));
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
    const restart = database.metadata.annotations?.[annotation.restart] ??
      present?.template.metadata?.annotations?.[annotation.restart];
    const spec = desired.spec!;
    const metadata = {
      ...spec.template.metadata,
      annotations: {
        ...spec.template.metadata?.annotations,
        [annotation.version]: effective.spec.version,
        ...(restart === undefined ? {} : { [annotation.restart]: restart }),
      },
    };
    return { ...desired, spec: { ...spec, template: { ...spec.template, metadata } } };
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

  /**
   * Claims grow, also on a full disk and with pods down; each is marked with the identifier of the data it holds. Those
   * of members that were scaled away go only if asked for, and only while all the others serve.
   */
  async #tendClaims(
    { database, claims, patroni }: Sight,
    step: Step,
    client: ResourceClient,
  ): Promise<Problem[]> {
    const problems: Problem[] = [];
    const wanted = storageOf(database), size = sizeOf(database);
    const drops = database.spec.pvcRetention?.whenScaled === "Delete" && size > 0 && step.kind === "done";
    for (const claim of claims) {
      if (claim.metadata?.deletionTimestamp) continue;
      const { name: claimName, namespace, uid } = claim.metadata;
      if (drops && ordinalOf(database.metadata.name, claimName)! >= size) {
        await this.#delete(persistentVolumeClaims, claim, client);
        continue;
      }
      const requested = String(claim.spec?.resources?.requests?.storage ?? "0");
      const grows = claim.status?.phase === "Bound" && parseQuantity(requested) < parseQuantity(wanted);
      const member = patroni.members.find((member) => claimName === `data-${member.name}`);
      const marks = !markOf(claim) && member !== undefined && (member.role === "primary" || member.streaming);
      if (!grows && !marks) continue;
      const annotations = marks ? { [annotation.systemIdentifier]: patroni.config?.systemIdentifier } : {};
      const spec = grows ? { resources: { requests: { storage: wanted } } } : {};
      try {
        await client.patch(persistentVolumeClaims, { namespace, name: claimName }, {
          metadata: { uid, annotations },
          spec,
        });
      } catch (error) {
        if (isConflict(error)) continue; // another claim by now: the next pass sees it
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
  async #answerRequest(
    sight: Sight,
    { events }: Context,
  ): Promise<NonNullable<DatabaseStatus["operations"]>> {
    const { database, patroni, pods: seen } = sight;
    const { backup } = database.status?.operations ?? {};
    const asked = database.metadata.annotations?.[annotation.switchover];
    const { switchover: answered, switchoverTo } = database.status?.operations ?? {};
    if (asked === undefined || asked === answered) {
      const isDone = switchoverTo !== undefined && (patroni.primary === switchoverTo || asked === undefined);
      return { backup, switchover: answered, switchoverTo: isDone ? undefined : switchoverTo };
    }
    const [, target, id] = /^([a-z0-9-]{1,63}|any)@(.{1,180})$/.exec(asked) ?? [];
    const names = seen.map((pod) => pod.metadata?.name);
    if (!target || !id || (target !== "any" && !names.includes(target))) {
      const note =
        `Annotation ${annotation.switchover}: expected "<member>@<id>" or "any@<id>", with a member of this ` +
        `Database (${names.join(", ")}), got "${asked.slice(0, 200)}"`;
      events.record(database, { type: "Warning", reason: "SwitchoverRefused", note, action: "Switchover" });
      return { backup, switchover: asked.slice(0, 253) };
    }
    const to = target === "any" ? successor(situationOf(sight, 0), () => true) : target;
    return {
      backup,
      ...(to === undefined ? { switchover: answered } : { switchover: asked, switchoverTo: to }),
    };
  }

  // -------------------------------------------------------------------------------------------------------------
  // Backups: the members get the repository's configuration, CronJobs and Jobs ask the agent beside the primary.

  /** Writes the configuration of the repository into the Secret that the members mount; says what is wrong with it. */
  async #tendRepository({ database, patroni }: Sight, client: ResourceClient): Promise<Repository> {
    const { name, namespace } = database.metadata;
    const key = { namespace, name: namesOf(name).backup };
    const restores = database.spec.restoreFrom && !patroni.config?.systemIdentifier;
    // The pass that first sees the restored data takes the files of the restore away.
    const restored = database.spec.restoreFrom && !database.status?.systemIdentifier;
    const had = database.status?.conditions?.some(({ type }) => type === "BackupHealthy");
    if (!database.spec.backups && !had && !restores && !restored) return {}; // and nothing is left of it
    const present = await this.#manager.liveClient.get(secrets, key);
    if (present && !isOfDatabase(present, name)) {
      const problem =
        `Secret "${key.name}" belongs to somebody else: it is not touched; rename one of the two`;
      return { problem, ...(restores ? { restoreProblem: problem } : {}) };
    }
    if (!database.spec.backups && !restores) {
      for (const type of backupTypes) {
        const cronJob = await client.get(cronJobs, { namespace, name: `${key.name}-${type}` });
        if (cronJob && isOfDatabase(cronJob, name)) await this.#delete(cronJobs, cronJob, client);
      }
      const service = await client.get(services, key);
      if (service && isOfDatabase(service, name)) await this.#delete(services, service, client);
      if (present) await this.#delete(secrets, present, client);
      return {};
    }
    const source = restores ? await this.#restoreFiles(database, client) : {};
    const secret = await this.#repositorySecret(database, database.spec.backups?.s3);
    const written = present?.data?.["pgbackrest.conf"] !== undefined;
    const outcome = { problem: secret?.problem, restoreProblem: source.problem };
    // What the members have stays: archiving fails there, and nothing is thrown away before the queue is full.
    if (outcome.problem ?? outcome.restoreProblem) return { ...outcome, written };
    const token = present?.data?.["token"] ? decodeBase64(present.data["token"]) : this.#settings.password();
    const desired = desiredBackupSecret(database, [controllerReference(database)], {
      secret: secret?.data,
      token,
      ...(source.files ? { files: source.files } : {}),
    });
    if (!deepEqual(desired.data, present?.data)) await client.apply(secrets, desired as Secret);
    return { written: secret !== undefined };
  }

  /** The Secret that a repository names, decoded, or what is wrong with it. */
  async #repositorySecret(
    { metadata: { namespace } }: StoredDatabase,
    s3: S3 | undefined,
  ): Promise<{ data?: RepositorySecret; problem?: string | undefined } | undefined> {
    if (!s3) return undefined;
    const secret = await this.#manager.liveClient.get(secrets, { namespace, name: s3.secretName });
    const data = secret && Object.fromEntries(
      Object.entries(secret.data ?? {}).map(([field, value]) => [field, decodeBase64(value)]),
    );
    const problem = repositoryProblem(s3.secretName, data);
    return problem === undefined && data ? { data } : { problem };
  }

  /** What the first member needs to restore, or why it cannot. */
  async #restoreFiles(
    database: StoredDatabase,
    client: ResourceClient,
  ): Promise<{ files?: Record<string, string>; problem?: string }> {
    const { database: name, repository } = database.spec.restoreFrom!;
    let source: RestoreSource | undefined = repository;
    if (name !== undefined) {
      const found = await client.get(databases, { namespace: database.metadata.namespace, name });
      if (!found?.spec.backups) {
        const why = found ? "has no backups" : "is not there";
        return { problem: `spec.restoreFrom: Database "${name}" ${why}; a repository can be named instead` };
      }
      source = { s3: found.spec.backups.s3, path: repositoryPath(found) };
    }
    const secret = await this.#repositorySecret(database, source?.s3);
    if (!source || !secret?.data) return { problem: `spec.restoreFrom: ${secret?.problem}` };
    return { files: restoreFiles(database, source, secret.data) };
  }

  /**
   * CronJobs for the schedules, a first backup where there is none, and one for each new value of the annotation. Returns
   * the request that was taken up.
   */
  async #tendBackups(
    sight: Sight,
    repository: Repository,
    { client, events }: Context,
  ): Promise<{ backup?: string }> {
    const { database } = sight;
    const { annotations } = database.metadata;
    const { written } = repository;
    const owner = [controllerReference(database)];
    if (!written || !database.spec.backups) return {};
    const image = imageOf(effectiveDatabase(sight).effective, this.#settings.imageTemplate);
    try {
      const foreign = await this.#applyAll(database, [
        [services, desiredBackupService(database, owner)],
        ...desiredCronJobs(database, owner, { image }).map((cronJob): Intent => [cronJobs, cronJob]),
      ]);
      if (foreign) repository.problem ??= foreign.message;
    } catch (error) {
      if (!isInvalid(error)) throw error;
      repository.problem ??= error.message; // a schedule that no pattern finds wrong
    }
    const report = backupReport(sight);
    const isFirst = report && !report.problem && !report.last && !database.spec.backups.paused;
    if (isFirst) await this.#backUp(database, { id: "first", type: "full", image }, client);
    const asked = annotations?.[annotation.backup];
    if (asked === undefined || asked === database.status?.operations?.backup) return {};
    const [, type = "full", id] = backupRequest.exec(asked) ?? [];
    if (id === undefined) {
      const note =
        `Annotation ${annotation.backup}: expected "<id>" or "full|diff|incr@<id>", the id of at most 15 ` +
        `lower-case letters, digits and dashes, got "${asked.slice(0, 200)}"`;
      events.record(database, { type: "Warning", reason: "BackupRefused", note, action: "BackUp" });
    } else {
      await this.#backUp(database, { id, type: type as BackupType, image }, client);
    }
    return { backup: asked.slice(0, 253) };
  }

  /** Makes the Job, unless it is there: its name says which backup it is. */
  async #backUp(
    database: StoredDatabase,
    options: Parameters<typeof desiredBackupJob>[2],
    client: ResourceClient,
  ) {
    const job = desiredBackupJob(database, [controllerReference(database)], options);
    if (await client.get(jobs, job.metadata)) return;
    try {
      await client.create(jobs, job);
    } catch (error) {
      if (!isAlreadyExists(error)) throw error; // the cache was behind
    }
  }

  // -------------------------------------------------------------------------------------------------------------
  // Delete: members first, then what the policy says, then the finalizer. Nothing of spec is needed for it.

  async #finish(sight: Sight, step: Step, context: Context): Promise<Result | void> {
    const { database, statefulSet, claims, configMaps: seen, pods: members } = sight;
    if (!hasFinalizer(database, finalizer)) return;
    const { client, log } = context;
    const { name, namespace, resourceVersion } = database.metadata;
    const ours = statefulSet !== undefined && isOfDatabase(statefulSet, name);
    if (ours && step.kind === "scale") {
      await client.patch(statefulSets, { namespace, name: statefulSet.metadata!.name! }, {
        metadata: { resourceVersion: statefulSet.metadata!.resourceVersion },
        spec: { replicas: step.replicas },
      });
    }
    if (members.length > 0) {
      // Without their StatefulSet nobody else stops them.
      const orphans = ours ? [] : members.filter((pod) => !pod.metadata?.deletionTimestamp);
      for (const pod of orphans) await this.#delete(pods, pod, client);
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
    repository: Repository = {},
  ): Promise<void> {
    const { database } = sight;
    const before = database.status;
    const backups = backupCondition(sight, repository.problem);
    const claims = [...conditionsOf(sight, step, problems, now()), ...(backups ? [backups] : [])];
    const kept = before?.conditions?.filter(({ type }) => claims.some((claim) => claim.type === type));
    const conditions = claims.reduce<Condition[]>(
      (conditions, claim) =>
        setCondition(conditions, { ...claim, observedGeneration: database.metadata.generation }, now()),
      kept ?? [],
    );
    const requests = Object.values(operations ?? {}).some((value) => value) ? operations : undefined;
    const backup = backupStatus(sight);
    const status = withoutUndefined({ ...factsOf(sight, now()), backup, conditions, operations: requests });
    if (deepEqual(status, before)) return;
    const { name, namespace } = database.metadata;
    try {
      await client.apply(databases, { metadata: { name, namespace }, status }, { subresource: "status" });
    } catch (error) {
      if (isConflict(error)) return; // deleted meanwhile, or re-created: that wakes the key by itself
      throw error;
    }
    const healthy = findCondition(before?.conditions, "BackupHealthy");
    if (backups && healthy && backups.reason !== healthy.reason) {
      const type = backups.status === "False" ? "Warning" : "Normal";
      events.record(database, {
        type,
        reason: `Backup${backups.reason}`,
        note: backups.message,
        action: "BackUp",
      });
    }
    const was = findCondition(before?.conditions, "Ready"), is = findCondition(conditions, "Ready")!;
    if (was?.status === is.status && was.reason === is.reason) return;
    // A step was told when it was taken; what ends within a moment is not worth telling.
    if ((step.kind !== "wait" && step.kind !== "done") || is.reason === "Progressing") return;
    const type = is.status === "True" || expectedReasons.has(is.reason) ? "Normal" : "Warning";
    events.record(database, { type, reason: is.reason, note: is.message, action: "Reconcile" });
  }
}

/** An object to apply. */
type Intent = [resource: Resource<KubernetesObject, unknown>, desired: { metadata?: { name?: string } }];

/** What is known of the repository of spec.backups. */
interface Repository {
  /** Why it cannot be used, for a person. */
  problem?: string | undefined;
  /** Why the Database cannot begin with a backup, for a person. */
  readonly restoreProblem?: string | undefined;
  /** Whether the members have the configuration of spec.backups. */
  readonly written?: boolean;
}

/** The value as the API server stores it: absent fields are absent. */
function withoutUndefined<Value>(value: Value): Value {
  return JSON.parse(JSON.stringify(value)) as Value;
}

/** What the API server refuses for good reasons is told to people; everything else is retried and logged only. */
function describeFailure(error: unknown): Problem | undefined {
  if (isForbidden(error)) return { reason: "Forbidden", message: error.message, stops: true };
  if (isInvalid(error)) return { reason: "Invalid", message: error.message, stops: true };
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
      owns(cronJobs, { labelSelector, predicate: intended }),
      owns(jobs, { labelSelector, predicate: intended }),
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
  --rolling N            Databases that restart their members at the same time; default 5
  -h, --help

Exit codes: 0 stopped cleanly, 1 failed, 2 called wrongly, 3 lost the lease, 4 a source did not list in time,
5 the stop took too long.`;

/** Runs the operator until it is told to stop. */
export async function main({ flags, env, signal }: Invocation, log?: Logger): Promise<void> {
  const text = (flag: string, variable: string) => flags[flag]?.toString() ?? (env(variable) || undefined);
  const listed = [flags["watch-namespace"] ?? []].flat().map(String);
  const watchNamespaces = listed.length > 0
    ? listed
    : (env("WATCH_NAMESPACE") ?? "").split(",").map((name) => name.trim()).filter(Boolean);
  const leaseNamespace = text("lease-namespace", "POD_NAMESPACE");
  const listen = text("listen", "LISTEN");
  const workers = parseCount("workers", flags.workers ?? 10);
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
      http: listen ? parseListen(listen) : false,
    });
    addDatabaseController(manager, {
      imageTemplate: text("image", "DATABASE_IMAGE") ?? defaultImageTemplate,
      rollingMax: parseCount("rolling", flags.rolling ?? 5),
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

function parseCount(flag: string, value: unknown): number {
  const count = Number(value);
  if (Number.isInteger(count) && count >= 1 && count <= 1000) return count;
  throw new ConfigurationError(`--${flag}: expected a whole number from 1 to 1000, got "${value}"`);
}

function parseListen(listen: string): { host?: string; port: number } {
  const [, host, port] = /^(?:(.*):)?(\d{1,5})$/.exec(listen) ?? [];
  if (port === undefined || Number(port) > 65535) {
    throw new ConfigurationError(`--listen: expected [HOST:]PORT, got "${listen}"`);
  }
  return { ...(host ? { host } : {}), port: Number(port) };
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
    (invocation) => main(invocation),
  );
}
