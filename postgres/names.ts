/**
 * Every name and label that a Database gives to what it owns; other programs rely on them.
 *
 * The label keys are our own: claims and Patroni's ConfigMaps have no owner reference, and a tool that prunes
 * by app.kubernetes.io/instance would delete them.
 * @module
 */
import type { Database, OwnerReference } from "./database.ts";

/** API group of the Database, and prefix of its labels and annotations. */
export const group = "app.example.com";
/** Present while something is left to stop or to delete. */
export const finalizer = `${group}/database`;
/** Field manager of every server-side apply. */
export const fieldManager = "database-operator";
/** Name of the container that runs Patroni and PostgreSQL in each member. */
export const container = "postgres";
/** PostgreSQL's port on every member and Service. */
export const postgresPort = 5432;
/** Patroni's REST port: probes, and the members among each other in failsafe mode. */
export const patroniPort = 8008;
/** The port of the exporter, registered for it with Prometheus. */
export const exporterPort = 9187;
/** The port of the agent that takes backups (backup_scripts.ts). */
export const backupPort = 8009;

/** Our label keys; `role` is written by Patroni. */
export const label = {
  database: `${group}/database`,
  component: `${group}/component`,
  role: `${group}/role`,
} as const;

/** Values of {@link label}`.component`: what a pod is there for. */
export const component = {
  member: "postgres",
  backup: "backup",
  upgrade: "upgrade",
  upgradeCheck: "upgrade-check",
  upgradeBack: "upgrade-back",
  imageCheck: "image-check",
} as const;

/** Annotations that a person or this operator puts on objects. */
export const annotation = {
  /** On a Database: `<pod>@<id>` or `any@<id>` asks once for a switchover to that member. */
  switchover: `${group}/switchover`,
  /** On a member's pod, by itself: what its server made of its parameters (scripts.ts, `report`). */
  server: `${group}/server`,
  /**
   * On a Database: `<id>` or `full|diff|incr@<id>` asks once for a backup; also on the Job that answers. On a member's pod:
   * its agent's report.
   */
  backup: `${group}/backup`,
  /** On the primary's pod: the revision of Secret `<name>-backup` that it should mount (remount.ts). */
  backupRevision: `${group}/backup-revision`,
  /** On a member's pod, by its agent: how full its data volume is (monitoring.ts, `volumeAgent`). */
  volume: `${group}/volume`,
  /** On a member's pod: its agent's report on users and databases. */
  roles: `${group}/roles`,
  /** On the primary's pod, by its agent: roles whose password in the Secret is not the server's (credentials_agent.ts). */
  credentials: `${group}/credentials`,
  /** On a Database: any new value restarts all members, one after the other. Kept on the pod template. */
  restart: `${group}/restart`,
  /** On a Database: "true" stops everything but the status. */
  paused: `${group}/paused`,
  /**
   * On a Database: any new value tries a failed upgrade, or an image that could not be used, again. On a Job of an
   * upgrade or a trial: what it was made for.
   */
  upgrade: `${group}/upgrade`,
  /** On a Job of an upgrade that was given up, and on one that takes it back: why. */
  failure: `${group}/failure`,
  /** On a Job of an upgrade: version and image of the members before it, as JSON. */
  before: `${group}/before`,
  /** On ConfigMap `<name>-config`: the major version of the data. */
  major: `${group}/major`,
  /** There too: the system identifiers of the data that upgraded data replaced, with commas in between. */
  replaced: `${group}/replaced`,
  /** There too: the member that led last. */
  primary: `${group}/primary`,
  /** There too: since when nobody is seen who makes the first data, although a member has begun to. */
  abandoned: `${group}/abandoned`,
  /** On ConfigMap `<name>-failover`: who was to hand over to whom, and when this operator asked for it. */
  asked: `${group}/asked`,
  /** On the pod template: the spec.version that it runs. */
  version: `${group}/version`,
  /** On a volume claim: PostgreSQL's system identifier of the data on it, so that it is never taken for empty. */
  systemIdentifier: `${group}/system-identifier`,
  /** On Patroni's ConfigMap `<name>-config`: when all members have taken over what this operator last wrote there. */
  settled: `${group}/settled`,
  /** On a member's pod, by its agent: the extensions and libraries that its databases use (upgrade_scripts.ts). */
  used: `${group}/used`,
  /** On a member's pod, by its agent: the certificate that its server shows, and what it trusts (tls_agent.ts). */
  tls: `${group}/tls`,
  /** On owned objects: hash of what was applied. */
  intent: `${group}/intent`,
} as const;

/** The names of everything that belongs to one Database. */
export interface Names {
  readonly credentials: string;
  readonly serviceAccount: string;
  readonly role: string;
  readonly roleBinding: string;
  /** Our ConfigMap with Patroni's local configuration and the scripts. */
  readonly patroni: string;
  readonly service: string;
  readonly readOnlyService: string;
  readonly podsService: string;
  readonly statefulSet: string;
  readonly disruptionBudget: string;
  readonly networkPolicy: string;
  /** Secret and ConfigMap of the Database's own authority: the Secret has its key, the ConfigMap what is public. */
  readonly authority: string;
  /** Secret of the members with the certificate that they show. */
  readonly tls: string;
  /** Secret of the members with the repository, Service of the agents, and what the names of CronJobs and Jobs begin with. */
  readonly backup: string;
  /** Secret of the members with the users and databases to make. */
  readonly roles: string;
  /** CronJobs that verify the repository, and that try a restore. */
  readonly verify: string;
  readonly drill: string;
  /** Patroni's own ConfigMaps: the lock, the dynamic configuration, the synchronous members, the switchover. */
  readonly leader: string;
  readonly config: string;
  readonly sync: string;
  readonly failover: string;
}

/** Names of what a Database called `name` owns. */
export function namesOf(name: string): Names {
  return {
    credentials: `${name}-credentials`,
    serviceAccount: name,
    role: name,
    roleBinding: name,
    patroni: `${name}-patroni`,
    service: name,
    readOnlyService: `${name}-ro`,
    podsService: `${name}-pods`,
    statefulSet: name,
    disruptionBudget: name,
    networkPolicy: name,
    authority: `${name}-ca`,
    tls: `${name}-tls`,
    backup: `${name}-backup`,
    roles: `${name}-roles`,
    verify: `${name}-verify`,
    drill: `${name}-drill`,
    leader: `${name}-leader`,
    config: `${name}-config`,
    sync: `${name}-sync`,
    failover: `${name}-failover`,
  };
}

/** Name of the member with this ordinal. */
export function podName(name: string, ordinal: number): string {
  return `${name}-${ordinal}`;
}

/** Name of the data volume claim of the member with this ordinal. */
export function claimName(name: string, ordinal: number): string {
  return `data-${name}-${ordinal}`;
}

/** The ordinal in the name of a pod or claim, or `undefined` for one that is not of Database `name`. */
export function ordinalOf(name: string, podOrClaim: string): number | undefined {
  for (const prefix of [`${name}-`, `data-${name}-`]) {
    const digits = podOrClaim.startsWith(prefix) ? podOrClaim.slice(prefix.length) : "";
    if (/^(0|[1-9][0-9]{0,5})$/.test(digits)) return Number(digits);
  }
  return undefined;
}

/** The labels by which the members are found: by Patroni, the Services, the StatefulSet and the budget. */
export function memberSelector(name: string): Record<string, string> {
  return { [label.database]: name, [label.component]: component.member };
}

/** The labels of the pods of backups, verifications and drills: none is a member. */
export function backupSelector(name: string): Record<string, string> {
  return { [label.database]: name, [label.component]: component.backup };
}

/** The labels of everything that is owned; of members only together with {@link memberSelector}. */
export function ownedLabels(name: string): Record<string, string> {
  return {
    [label.database]: name,
    "app.kubernetes.io/name": "database",
    "app.kubernetes.io/managed-by": "database-operator",
    "app.kubernetes.io/part-of": name,
  };
}

/** The labels of a member's pod; Patroni adds its role. */
export function memberLabels(name: string): Record<string, string> {
  return { ...ownedLabels(name), ...memberSelector(name), "app.kubernetes.io/component": "postgres" };
}

/**
 * Name and namespace of a Database that came from the API server.
 *
 * @throws {TypeError} when one is missing: nothing can be rendered for it
 */
export function identityOf(database: Database): { name: string; namespace: string } {
  const { name, namespace } = database.metadata;
  if (!name || !namespace) {
    throw new TypeError("Cannot render a Database without metadata.name and metadata.namespace");
  }
  return { name, namespace };
}

/** Metadata of an object that belongs to the Database; without owners it outlives the Database. */
export function ownedMetadata(
  database: Database,
  name: string,
  ownerReferences: readonly OwnerReference[],
  labels: Record<string, string> = {},
): { name: string; namespace: string; labels: Record<string, string>; ownerReferences?: OwnerReference[] } {
  const identity = identityOf(database);
  return {
    name,
    namespace: identity.namespace,
    labels: { ...ownedLabels(identity.name), ...labels },
    ...(ownerReferences.length > 0 ? { ownerReferences: [...ownerReferences] } : {}),
  };
}

/** Labels as the API takes them in a selector. */
export function selectorText(labels: Record<string, string>): string {
  return Object.entries(labels).map(([name, value]) => `${name}=${value}`).join(",");
}
