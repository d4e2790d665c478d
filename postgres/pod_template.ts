/**
 * The pod of a member: a guard that looks at the data first, then Patroni, which runs PostgreSQL.
 *
 * Passes the Pod Security level `restricted`. Everything that differs between members comes from the pod itself
 * (its name and address), so one template serves all.
 * @module
 */
import type {
  Affinity,
  Container,
  PodTemplateSpec,
  Probe,
  TopologySpreadConstraint,
  Volume,
  VolumeMount,
} from "../types/core/v1.ts";
import type { Database } from "./database.ts";
import {
  backupPort,
  container,
  identityOf,
  memberLabels,
  memberSelector,
  namesOf,
  patroniPort,
  postgresPort,
} from "./names.ts";
import { placement } from "./placement.ts";
import { backupFolder } from "./backup_scripts.ts";
import { repositoryFolder } from "./backups.ts";
import { exporterContainer, isMonitored } from "./monitoring.ts";
import { probeTiming } from "./patroni.ts";
import type { RepositoryClaims } from "./repository_claim.ts";
import { folder, replicationSslMode, tokenFolder, volumeFolder } from "./scripts.ts";
import { containerSecurity, podSecurity } from "./security.ts";
import { rolesFolder } from "./users_agent.ts";
import { tlsVolume } from "./tls.ts";
import { binaryFolder, imageOf, majorOf } from "./versions.ts";

/** Seconds for the last checkpoint, the last WAL to a standby and to the archive; then the kubelet kills. */
export const terminationGracePeriodSeconds = 300;

/** Seconds for a member that no longer answers Patroni's probes: what is frozen will not write a checkpoint. */
const hungGracePeriodSeconds = 15;

/** Asked for a member of a Database that says nothing about resources: runs on anything, and is not best effort. */
const requestsByDefault = { cpu: "100m", memory: "256Mi" } as const;

/** What the operator knows and the Database does not say. */
export interface PodTemplateOptions {
  /** Image reference with `{version}` or `{major}`, for Databases that name none. */
  readonly imageTemplate?: string;
  /** Claims with repositories to mount. */
  readonly claims?: RepositoryClaims;
  /** Whether a member asks for TLS, and verifies who answers, when it replicates; true unless told. */
  readonly verifies?: boolean;
}

/** The template of the StatefulSet. */
export function podTemplate(
  database: Database,
  options: PodTemplateOptions = {},
) {
  const { name } = identityOf(database);
  const { imageTemplate, claims = {} } = options;
  const image = imageOf(database, imageTemplate);
  return {
    metadata: {
      labels: memberLabels(name),
      annotations: { "kubectl.kubernetes.io/default-container": container },
    },
    spec: {
      serviceAccountName: namesOf(name).serviceAccount,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds,
      securityContext: podSecurity,
      ...scheduling(database),
      initContainers: [guardContainer(database, image)],
      containers: [
        postgresContainer(database, image, options),
        agentContainer(image, claims),
        ...(isMonitored(database) ? [exporterContainer(image)] : []),
      ],
      volumes: volumes(name, claims),
    },
  } satisfies PodTemplateSpec;
}

/** Where members run: what the Database says in Kubernetes' own terms, else apart from each other where they can. */
function scheduling({ metadata, spec }: Database) {
  const labelSelector = { matchLabels: memberSelector(metadata.name ?? "") };
  const apart: Affinity = {
    podAntiAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [
        { weight: 100, podAffinityTerm: { topologyKey: "kubernetes.io/hostname", labelSelector } },
      ],
    },
  };
  const acrossZones = [{
    topologyKey: "topology.kubernetes.io/zone",
    whenUnsatisfiable: "ScheduleAnyway" as const,
  }];
  return {
    ...placement({ spec }),
    affinity: { ...apart, ...spec.affinity },
    topologySpreadConstraints: (spec.topologySpreadConstraints ?? acrossZones).map(
      (constraint): TopologySpreadConstraint => ({ maxSkew: 1, ...constraint, labelSelector }),
    ),
  };
}

function guardContainer(database: Database, image: string) {
  return {
    name: "guard",
    image,
    imagePullPolicy: "IfNotPresent",
    command: ["/bin/sh", `${folder.config}/guard.sh`, String(majorOf(database))],
    resources: { requests: requestsByDefault },
    securityContext: containerSecurity,
    terminationMessagePolicy: "FallbackToLogsOnError",
    volumeMounts: [
      { name: "data", mountPath: volumeFolder },
      { name: "config", mountPath: folder.config, readOnly: true },
    ],
  } satisfies Container;
}

function postgresContainer(
  database: Database,
  image: string,
  { claims = {}, verifies = true }: PodTemplateOptions,
) {
  const binaries = binaryFolder(majorOf(database));
  const probe = (path: string): Probe => ({
    httpGet: { path, port: "patroni", scheme: "HTTP" },
    timeoutSeconds: 5,
  });
  return {
    name: container,
    image,
    imagePullPolicy: "IfNotPresent",
    command: ["python3", `${folder.config}/start.py`],
    env: [
      { name: "PATRONI_NAME", valueFrom: { fieldRef: { apiVersion: "v1", fieldPath: "metadata.name" } } },
      { name: "POD_IP", valueFrom: { fieldRef: { apiVersion: "v1", fieldPath: "status.podIP" } } },
      { name: "PATRONI_POSTGRESQL_CONNECT_ADDRESS", value: `$(POD_IP):${postgresPort}` },
      { name: "PATRONI_RESTAPI_CONNECT_ADDRESS", value: `$(POD_IP):${patroniPort}` },
      { name: replicationSslMode, value: verifies ? "verify-ca" : "prefer" },
      // For people: `kubectl exec <pod> -- patronictl list`.
      { name: "PATRONICTL_CONFIG_FILE", value: `${folder.run}/patroni.yml` },
    ],
    ports: [
      { name: "postgres", containerPort: postgresPort, protocol: "TCP" },
      { name: "patroni", containerPort: patroniPort, protocol: "TCP" },
    ],
    resources: memberResources(database),
    securityContext: containerSecurity,
    terminationMessagePolicy: "FallbackToLogsOnError",
    // Patroni answers /liveness while it clones or recovers: a long clone or recovery is never killed.
    startupProbe: {
      ...probe("/liveness"),
      periodSeconds: 1,
      failureThreshold: 300,
      terminationGracePeriodSeconds: hungGracePeriodSeconds,
    },
    // A member that fails it hangs: waiting for it to end in order would take the pod's whole grace period.
    livenessProbe: {
      ...probe("/liveness"),
      ...probeTiming,
      terminationGracePeriodSeconds: hungGracePeriodSeconds,
    },
    readinessProbe: { ...probe("/readiness"), periodSeconds: 2, failureThreshold: 3 },
    lifecycle: {
      preStop: { exec: { command: ["timeout", "60", "sh", `${folder.config}/stop.sh`, binaries] } },
    },
    volumeMounts: [
      { name: "data", mountPath: volumeFolder },
      { name: "config", mountPath: folder.config, readOnly: true },
      { name: "credentials", mountPath: folder.credentials, readOnly: true },
      { name: tlsVolume, mountPath: folder.tls, readOnly: true },
      { name: "token", mountPath: tokenFolder, readOnly: true },
      { name: "run", mountPath: folder.run },
      { name: "shm", mountPath: "/dev/shm" },
      { name: "tmp", mountPath: "/tmp" },
      { name: "backup", mountPath: backupFolder, readOnly: true },
      ...repositoryMounts(claims),
    ],
  } satisfies Container;
}

/** What the server of a member gets. */
export function memberResources(database: Database) {
  const { requests, limits } = database.spec.resources ?? {};
  return {
    requests: textual(requests ?? (limits ? undefined : requestsByDefault)),
    limits: textual(limits),
  };
}

function repositoryMounts({ repository, restore }: RepositoryClaims): VolumeMount[] {
  return [
    ...(repository === undefined ? [] : [{ name: "repository", mountPath: repositoryFolder.own }]),
    ...(restore === undefined
      ? []
      : [{ name: "restore", mountPath: repositoryFolder.restore, readOnly: true }]),
  ];
}

/**
 * The agent (agent.ts). It is there for features that are off too, idle: they come without a restart. No probe: a
 * repository that hangs must not take the member out of service.
 */
function agentContainer(image: string, claims: RepositoryClaims) {
  return {
    name: "agent",
    image,
    imagePullPolicy: "IfNotPresent",
    command: ["python3", `${folder.config}/agent.py`],
    ports: [{ name: "backup", containerPort: backupPort, protocol: "TCP" }],
    resources: { requests: { cpu: "10m", memory: "32Mi" } },
    securityContext: containerSecurity,
    terminationMessagePolicy: "FallbackToLogsOnError",
    volumeMounts: [
      { name: "data", mountPath: volumeFolder },
      { name: "config", mountPath: folder.config, readOnly: true },
      { name: "token", mountPath: tokenFolder, readOnly: true },
      { name: "run", mountPath: folder.run },
      { name: tlsVolume, mountPath: folder.tls, readOnly: true },
      { name: "backup", mountPath: backupFolder, readOnly: true },
      { name: "roles", mountPath: rolesFolder, readOnly: true },
      { name: "credentials", mountPath: folder.credentials, readOnly: true },
      { name: "agent-tmp", mountPath: "/tmp" },
      ...repositoryMounts(claims),
    ],
  } satisfies Container;
}

function volumes(name: string, { repository, restore }: RepositoryClaims) {
  const names = namesOf(name);
  return [
    { name: "config", configMap: { name: names.patroni, defaultMode: 0o444 } },
    { name: "credentials", secret: { secretName: names.credentials, defaultMode: 0o440 } },
    // PostgreSQL takes a key that is root's and readable for its own group; see its documentation, "Secure TCP/IP".
    { name: tlsVolume, secret: { secretName: names.tls, defaultMode: 0o440 } },
    // What Kubernetes mounts for a ServiceAccount, but into one container only.
    {
      name: "token",
      projected: {
        defaultMode: 0o440,
        sources: [
          { serviceAccountToken: { path: "token", expirationSeconds: 3607 } },
          { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
          {
            downwardAPI: {
              items: [{ path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } }],
            },
          },
        ],
      },
    },
    // In memory: sockets, and the passwords that Patroni and libpq read from files.
    { name: "run", emptyDir: { medium: "Memory", sizeLimit: "16Mi" } },
    { name: "shm", emptyDir: { medium: "Memory" } },
    { name: "tmp", emptyDir: {} },
    { name: "backup", secret: { secretName: names.backup, optional: true, defaultMode: 0o440 } },
    { name: "roles", secret: { secretName: names.roles, optional: true, defaultMode: 0o440 } },
    { name: "agent-tmp", emptyDir: {} },
    ...(repository === undefined
      ? []
      : [{ name: "repository", persistentVolumeClaim: { claimName: repository } }]),
    ...(restore === undefined
      ? []
      : [{ name: "restore", persistentVolumeClaim: { claimName: restore, readOnly: true } }]),
  ] satisfies Volume[];
}

/** Quantities as the API server prints them: text. */
function textual(quantities: Readonly<Record<string, string | number>> = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(quantities).map(([name, quantity]) => [name, String(quantity)]));
}
