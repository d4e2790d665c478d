/**
 * What a Database owns: every object, in the order in which they are written, and what stands in the way.
 *
 * A feature adds its objects here, and what must go when it is switched off; operator.ts writes them all alike.
 * @module
 */
import type { StoredDatabase } from "../types/app.example.com/v1.ts";
import { type StatefulSet, statefulSets } from "../types/apps/v1.ts";
import { cronJobs, jobs } from "../types/batch/v1.ts";
import type { Resource } from "../types/client.ts";
import {
  configMaps,
  persistentVolumeClaims,
  secrets,
  serviceAccounts,
  services,
  type StoredSecret,
} from "../types/core/v1.ts";
import { networkPolicies } from "../types/networking.k8s.io/v1.ts";
import { podDisruptionBudgets } from "../types/policy/v1.ts";
import { roleBindings, roles } from "../types/rbac.authorization.k8s.io/v1.ts";
import { type BackupOrders, backupOrders } from "./backup_jobs.ts";
import { type Remount, remountOf } from "./remount.ts";
import { cronJobNames, desiredBackupJob, desiredBackupService, desiredCronJobs } from "./backups.ts";
import { credentialsChanged, credentialsProblem, desiredCredentials, type Passwords } from "./credentials.ts";
import { type OwnerReference, sizeOf } from "./database.ts";
import type { Step } from "./decide.ts";
import { deletedClaims } from "./claims.ts";
import { desiredDisruptionBudget } from "./disruption_budget.ts";
import { desiredDrill } from "./drill.ts";
import { foreignProblem } from "./foreign_names.ts";
import { annotation, namesOf, ordinalOf } from "./names.ts";
import { desiredNetworkPolicy } from "./network_policy.ts";
import { desiredPatroniConfigMap } from "./patroni.ts";
import { unreadableState } from "./patroni_state.ts";
import { desiredRole, desiredRoleBinding, desiredServiceAccount } from "./rbac.ts";
import { type Repository, repositoryOf, sameData } from "./repository.ts";
import { desiredRepositoryClaim, repositoryClaims } from "./repository_claim.ts";
import type { Refusal } from "./requests.ts";
import { restores } from "./restore_source.ts";
import { desiredPodsService, desiredReadOnlyService, desiredService } from "./services.ts";
import { effectiveDatabase, type Problem, type Sight, stateProblem } from "./sight.ts";
import { desiredStatefulSet, type Ordinals, ordinalsOf } from "./stateful_set.ts";
import { upgradeOf, upgradeProblem } from "./upgrade.ts";
import { upgradeOrder } from "./upgrade_changes.ts";
import { hasUsers, planUsers } from "./users.ts";
import { type Certificates, membersHaveTls, type Tls, tlsOf } from "./tls.ts";
import { imageProblem } from "./image_trial.ts";
import { imageOf } from "./versions.ts";

/** What rendering needs beyond what was seen. */
export interface PlanOptions {
  /** The reference to the Database. */
  readonly owner: readonly OwnerReference[];
  /** Image of the members, with `{version}` or `{major}`; spec.image comes first. */
  readonly imageTemplate: string;
  /** A fresh random password; at least 128 bits. */
  readonly password: () => string;
  readonly certificates: Certificates;
  /** The time, in milliseconds since 1970. */
  readonly nowMs: number;
}

/** What can fail without holding up the rest; it tells of itself in a condition of its own. */
export type Feature = "backups" | "users";

/** What is looked at in any owned object. */
interface Owned {
  readonly metadata?: {
    name?: string;
    namespace?: string;
    uid?: string;
    labels?: { [name: string]: string };
  };
}

/** An object that should be there. */
export interface Wanted {
  readonly resource: Resource<Owned, object>;
  readonly desired: object & { readonly metadata?: { readonly name?: string } };
  /** Made when it is missing, and never written again. */
  readonly once?: boolean;
  /** Only this waits when the object cannot be written; else everything after it. */
  readonly feature?: Feature;
}

/** An object that should not be there any more, if it is ours. */
export interface Unwanted {
  readonly resource: Resource<Owned, object>;
  readonly name: string;
}

/** What follows from one sight. */
export interface Plan {
  /** The Database as it can be rendered. */
  readonly effective: StoredDatabase;
  readonly repository: Repository;
  readonly tls: Tls;
  /** What stands in the way; with one that stops, nothing is wanted. */
  readonly problems: readonly Problem[];
  readonly wanted: readonly Wanted[];
  readonly unwanted: readonly Unwanted[];
  /** What to change on pods once the wanted is written. */
  readonly remounts: readonly Remount[];
  /** What was seen, with the repository's Secret as it is once the wanted is written. */
  readonly seen: Sight;
  /** Milliseconds until something changes by itself. */
  readonly againMs?: number | undefined;
  /** The request for a backup that is answered, for status.operations. */
  readonly backup?: string | undefined;
  /** Why it is not carried out. */
  readonly refusal?: Refusal | undefined;
}

/** What the Database should own now, and what it should not. */
export function planOf(sight: Sight, step: Step, options: PlanOptions): Plan {
  const { effective: asked, problems: refused } = effectiveDatabase(sight);
  const blocked = upgradeProblem(upgradeOf(sight, 0));
  const repository = repositoryOf(sight, options.owner, options.password);
  const tls = tlsOf(sight, options);
  const effective = repository.written ? asked : { ...asked, spec: { ...asked.spec, backups: undefined } };
  const stops = restoreProblem(repository) ?? credentialsProblem(sight) ?? stateProblem(sight) ??
    foreignProblem(sight);
  const base = { effective, repository, tls, seen: sight, remounts: [] };
  const problems = [
    ...refused,
    blocked ?? [],
    imageProblem(sight, options.nowMs) ?? [],
    unreadableState(sight) ?? [],
    deletedClaims(sight) ?? [],
    credentialsChanged(sight) ?? [],
    tls.problems,
    stops ?? [],
  ].flat();
  if (problems.some(({ stops }) => stops)) return { ...base, problems, wanted: [], unwanted: [] };
  // What was reported of another configuration is not believed from now on.
  const seen = { ...sight, secrets: secretsAfter(sight, repository) };
  const backups = wantedBackups(seen, effective, options);
  return {
    ...base,
    problems,
    wanted: [
      ...wantedSecrets(sight, repository, tls, options),
      ...wantedServer(sight, effective, step, options),
      ...backups.wanted,
    ],
    unwanted: [...unwanted(sight, tls), ...backups.outdated.map((name) => ({ resource: jobs, name }))],
    remounts: remountOf(seen),
    seen,
    againMs: Math.min(tls.againMs ?? Infinity, backups.againMs),
    backup: backups.asked,
    refusal: backups.refusal,
  };
}

function secretsAfter({ database, secrets }: Sight, { secret }: Repository): Sight["secrets"] {
  if (!secret) return secrets;
  return new Map(secrets).set(namesOf(database.metadata.name).backup, secret as StoredSecret);
}

function restoreProblem({ restoreProblem: message }: Repository): Problem | undefined {
  return message === undefined ? undefined : { reason: "RestoreSourceUnusable", message, stops: true };
}

/** Secrets come first: members wait for them. They are compared here, as no hash of a secret is kept anywhere. */
function wantedSecrets(
  sight: Sight,
  { secret }: Repository,
  tls: Tls,
  { owner, password }: PlanOptions,
): Wanted[] {
  const { database, secrets: seen } = sight;
  const names = namesOf(database.metadata.name);
  const wanted: Wanted[] = [];
  for (const desired of [tls.authority ?? [], tls.secret ?? [], secret ?? []].flat()) {
    if (sameData(desired.data, seen.get(desired.metadata?.name ?? "")?.data)) continue;
    wanted.push({ resource: secrets, desired });
  }
  if (tls.configMap) wanted.push({ resource: configMaps, desired: tls.configMap });
  if (!seen.get(names.credentials)) {
    const roles = ["application", "superuser", "replication", "rewind", "patroni"];
    const passwords = Object.fromEntries(roles.map((role) => [role, password()])) as unknown as Passwords;
    wanted.push({ resource: secrets, desired: desiredCredentials(database, passwords), once: true });
  }
  const users = planUsers(sight, owner, password);
  for (const desired of users.passwords) {
    wanted.push({ resource: secrets, desired, once: true, feature: "users" });
  }
  if (users.orders) wanted.push({ resource: secrets, desired: users.orders, feature: "users" });
  return wanted;
}

/**
 * What runs PostgreSQL. The Role names the members: it grows before the StatefulSet does, and names those that stop until
 * they are gone, as they tell of it on their pods.
 */
function wantedServer(sight: Sight, effective: StoredDatabase, step: Step, options: PlanOptions): Wanted[] {
  const { owner } = options;
  const { replicas: present = 0, first } = ordinalsOf(sight.statefulSet);
  const scale = step.kind === "scale" ? step : { replicas: present, first };
  const { name } = sight.database.metadata;
  const running = sight.pods.map(({ metadata }) => 1 + (ordinalOf(name, metadata?.name ?? "") ?? -1));
  const members = Math.max(scale.replicas, present, sizeOf(effective), ...running);
  const budget = desiredDisruptionBudget(effective, owner);
  const upgradeFiles = { replaced: sight.patroni.config?.replaced, upgrade: upgradeOrder(sight) };
  const store = sight.storeClaims.get(namesOf(sight.database.metadata.name).backup);
  const claim = desiredRepositoryClaim(
    sight.database,
    store?.spec?.resources?.requests?.storage?.toString(),
  );
  return [
    { resource: serviceAccounts, desired: desiredServiceAccount(effective, owner) },
    { resource: roles, desired: desiredRole(effective, owner, { members }) },
    { resource: roleBindings, desired: desiredRoleBinding(effective, owner) },
    { resource: services, desired: desiredService(effective, owner) },
    { resource: services, desired: desiredReadOnlyService(effective, owner) },
    { resource: services, desired: desiredPodsService(effective, owner) },
    { resource: configMaps, desired: desiredPatroniConfigMap(effective, owner, upgradeFiles) },
    { resource: networkPolicies, desired: desiredNetworkPolicy(effective, owner) },
    ...(budget ? [{ resource: podDisruptionBudgets, desired: budget }] : []),
    ...(claim ? [{ resource: persistentVolumeClaims, desired: claim, feature: "backups" as const }] : []),
    // Scaling is a step that may disturb: it is written by the step, after a second look.
    ...(step.kind === "scale" && sight.statefulSet
      ? []
      : [{ resource: statefulSets, desired: wantedStatefulSet(sight, effective, scale, options) }]),
  ];
}

/** The StatefulSet; what cannot change in it, or is remembered on it, is taken from the one that is there. */
export function wantedStatefulSet(
  sight: Sight,
  effective: StoredDatabase,
  { replicas, first = 0 }: Ordinals,
  { owner, imageTemplate }: PlanOptions,
): StatefulSet {
  const { database, statefulSet } = sight;
  const present = statefulSet?.spec;
  const desired = desiredStatefulSet(effective, owner, {
    replicas,
    first,
    imageTemplate,
    claims: repositoryClaims(sight),
    verifies: membersHaveTls(sight),
    storage: present?.volumeClaimTemplates?.[0]?.spec?.resources?.requests?.storage?.toString(),
  });
  const restart = database.metadata.annotations?.[annotation.restart] ??
    present?.template.metadata?.annotations?.[annotation.restart];
  const { template } = desired.spec;
  const annotations = {
    ...template.metadata.annotations,
    [annotation.version]: effective.spec.version,
    ...(restart === undefined ? {} : { [annotation.restart]: restart }),
  };
  const metadata = { ...template.metadata, annotations };
  return { ...desired, spec: { ...desired.spec, template: { ...template, metadata } } };
}

/** CronJobs for the schedules, and Jobs for the backups that are needed or asked for. */
function wantedBackups(
  sight: Sight,
  effective: StoredDatabase,
  { owner, imageTemplate, nowMs }: PlanOptions,
): Omit<BackupOrders, "orders"> & { wanted: Wanted[] } {
  const { database } = sight;
  if (!effective.spec.backups) return { wanted: [], outdated: [], againMs: Infinity };
  const image = imageOf(effective, imageTemplate);
  const { orders, ...rest } = backupOrders(sight, effective, nowMs);
  const cronJobsWanted = [
    ...desiredCronJobs(database, owner, { image }),
    desiredDrill(effective, owner, { image }),
  ];
  return {
    wanted: [
      { resource: services, desired: desiredBackupService(database, owner), feature: "backups" },
      ...cronJobsWanted.map((desired): Wanted => ({ resource: cronJobs, desired, feature: "backups" })),
      // Its name says which backup it is.
      ...orders.map((order): Wanted => ({
        resource: jobs,
        desired: desiredBackupJob(database, owner, { ...order, image }),
        once: true,
        feature: "backups",
      })),
    ],
    ...rest,
  };
}

/** What a feature leaves when it is switched off. */
function unwanted(sight: Sight, { isGiven }: Tls): Unwanted[] {
  const { database, secrets: seen } = sight;
  const { name } = database.metadata;
  const names = namesOf(name);
  const gone: Unwanted[] = [];
  if (sizeOf(database) < 2) gone.push({ resource: podDisruptionBudgets, name: names.disruptionBudget });
  if (database.spec.backups === undefined) {
    const schedules = [...cronJobNames(name).map((one) => one.name), names.drill];
    gone.push(...schedules.map((name) => ({ resource: cronJobs, name })));
    gone.push({ resource: services, name: names.backup });
  }
  if (!hasUsers(database) && seen.get(names.roles)) gone.push({ resource: secrets, name: names.roles });
  if (database.spec.backups === undefined && !restores(sight) && seen.get(names.backup)) {
    gone.push({ resource: secrets, name: names.backup });
  }
  if (isGiven && seen.get(names.authority)) gone.push({ resource: secrets, name: names.authority });
  return gone;
}
