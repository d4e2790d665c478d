/**
 * The objects of backups: pgBackRest's configuration, the Service and the CronJobs through which backups are taken.
 *
 * Every incarnation of a Database has a path of its own in the repository, so that one that is made anew, or restored,
 * never writes into what an earlier one left. Values become lines of a configuration file: one that holds a line break
 * or another control character is refused here, whatever the API server let through.
 * @module
 */
import type { CronJob, Job, JobSpec } from "../types/batch/v1.ts";
import type { PodSpec, Secret, Service } from "../types/core/v1.ts";
import { backupFolder, pgbackrest } from "./backup_scripts.ts";
import { type Bucket, type Database, type OwnerReference, sizeOf, storageOf } from "./database.ts";
import { jobPod } from "./job_pod.ts";
import {
  annotation,
  backupPort,
  backupSelector,
  identityOf,
  label,
  memberSelector,
  namesOf,
  ownedMetadata,
} from "./names.ts";
import { parseQuantity } from "./quantity.ts";
import { readSetting } from "./settings/setting.ts";
import { dataFolder, folder, volumeFolder } from "./scripts.ts";
import { containerSecurity } from "./security.ts";

/** Kinds of backup in pgBackRest's words. */
export const backupTypes = ["full", "diff", "incr"] as const;
export type BackupType = typeof backupTypes[number];
/** What a Job asks the agent beside the primary for. */
export type Order = BackupType | "verify";

/**
 * Seconds after which a WAL segment that holds anything is closed, to be archived. At most 60 s of writes may be missing
 * from the repository: the rest is for the way there.
 */
export const archiveTimeoutSeconds = 50;

/**
 * The parameters that archive WAL; all can be reloaded. Without backups `true` throws it away, as archive_mode can only
 * change with a restart.
 *
 * @param parameters those of the Database; a shorter archive_timeout of its own stays
 */
export function archiveParameters(
  database: Database,
  parameters: Readonly<Record<string, string>>,
): Record<string, string> {
  if (!database.spec.backups) return { archive_command: "/bin/true" };
  const { number = 0 } = readSetting(
    ["integer", 0, 2 ** 30 - 1, "s"],
    parameters["archive_timeout"] ?? "0",
  ) as { number?: number };
  const isShorter = number > 0 && number < archiveTimeoutSeconds;
  return {
    archive_command: `${pgbackrest} archive-push "%p"`,
    archive_timeout: `${isShorter ? number : archiveTimeoutSeconds}s`,
  };
}

/** Where a repository is: in a bucket, or on a volume that is mounted. */
export interface Store {
  readonly s3?: Bucket;
  readonly volume?: { readonly secretName?: string };
}

/** The Secret that a store names; a volume that is not encrypted needs none. */
export function secretNameOf({ s3, volume }: Store): string | undefined {
  return s3?.secretName ?? volume?.secretName;
}

/** Where archive-push leaves word of what it does in the background. */
export const spoolFolder = `${volumeFolder}/pgbackrest-spool`;

/** Where the members mount the volume of spec.backups, and the one of spec.restoreFrom. */
export const repositoryFolder = { own: "/repository", restore: "/restore" } as const;

/** What the repository's Secret holds, decoded. */
export type RepositorySecret = Readonly<Record<string, string>>;

/** The path of an incarnation in its repository. */
export function repositoryPath(database: Database): string {
  const { name, namespace } = identityOf(database);
  return `/${namespace}/${name}-${database.metadata.uid}`;
}

/**
 * What is wrong with the Secret of a store, in words that hold none of its values.
 *
 * @param field the field that holds the store, for example `spec.backups`
 */
export function repositoryProblem(
  field: string,
  store: Store,
  secret: RepositorySecret | undefined,
): string | undefined {
  const name = secretNameOf(store);
  if (name === undefined) return undefined;
  const what = `${field}.${store.s3 ? "s3" : "volume"}.secretName: Secret "${name}"`;
  if (!secret) return `${what} is not there`;
  const needed = store.s3 ? ["accessKey", "secretKey"] : ["encryptionKey"];
  for (const key of needed) if (!secret[key]?.trim()) return `${what} lacks ${key}`;
  for (const key of [...needed, "encryptionKey"]) {
    if (/\p{Cc}/u.test(secret[key]?.trim() ?? "")) {
      return `${what}: ${key} holds a line break or another control character`;
    }
  }
  return undefined;
}

/**
 * The text of pgbackrest.conf.
 *
 * @throws {TypeError} without spec.backups, or without the Database's uid
 * @throws {RangeError} for a value that cannot be one line
 */
export function repositoryConfig(database: Database, secret: RepositorySecret): string {
  const { backups } = database.spec;
  if (!backups || !database.metadata.uid) {
    throw new TypeError("Cannot render a repository without spec.backups and metadata.uid");
  }
  const { retention } = backups;
  return settingsText([
    ...storeLines(backups, repositoryPath(database), secret, {
      caFile: `${backupFolder}/ca.crt`,
      mount: repositoryFolder.own,
    }),
    ["repo1-bundle", "y"],
    ["repo1-retention-full", retention?.days ?? retention?.count ?? 2],
    ["repo1-retention-full-type", retention?.days === undefined ? "count" : "time"],
    ["compress-type", "zst"],
    ["process-max", 2],
    ["start-fast", "y"],
    ["archive-async", "y"],
    ["archive-push-queue-max", Math.floor(parseQuantity(storageOf(database)) / 4)],
    ["spool-path", spoolFolder],
    ["lock-path", "/tmp/pgbackrest"],
    ["log-level-file", "off"],
    ["log-level-console", "off"],
    ["log-level-stderr", "error"],
  ]);
}

/** A setting of pgbackrest.conf; without a value it is left out. */
export type Line = readonly [key: string, value: string | number | undefined];

/** The settings that name a store, and the path in it. */
export function storeLines(
  { s3 }: Store,
  path: string,
  secret: RepositorySecret,
  { caFile, mount }: { caFile: string; mount: string },
): Line[] {
  const encryptionKey = secret["encryptionKey"]?.trim();
  return [
    ["repo1-type", s3 ? "s3" : "posix"],
    ["repo1-path", s3 ? path : `${mount}${path}`],
    ...(s3 ? bucketLines(s3, secret, caFile) : []),
    ["repo1-cipher-type", encryptionKey ? "aes-256-cbc" : undefined],
    ["repo1-cipher-pass", encryptionKey || undefined],
  ];
}

function bucketLines(s3: Bucket, secret: RepositorySecret, caFile: string): Line[] {
  const { hostname, port } = new URL(s3.endpoint);
  return [
    ["repo1-s3-endpoint", hostname],
    ["repo1-storage-port", port || undefined],
    ["repo1-s3-bucket", s3.bucket],
    ["repo1-s3-region", s3.region ?? "us-east-1"],
    ["repo1-s3-uri-style", s3.pathStyle ? "path" : "host"],
    ["repo1-s3-key", secret["accessKey"]?.trim()],
    ["repo1-s3-key-secret", secret["secretKey"]?.trim()],
    ["repo1-storage-ca-file", secret["ca.crt"] ? caFile : undefined],
  ];
}

/**
 * The text of a pgbackrest.conf.
 *
 * @throws {RangeError} for a value that cannot be one line
 */
export function settingsText(lines: readonly Line[]): string {
  const text = ([key, value]: Line) => {
    if (value === undefined) return "";
    const line = String(value);
    if (line === "" || line !== line.trim() || /\p{Cc}/u.test(line)) {
      throw new RangeError(
        `Cannot write ${key}: its value is empty, begins or ends with a space, or is not one line`,
      );
    }
    return `${key}=${line}\n`;
  };
  return `[global]\n${
    lines.map(text).join("")
  }\n[db]\npg1-path=${dataFolder}\npg1-socket-path=${folder.run}\n`;
}

/** Secret `<name>-backup`, which the members mount: it may be missing, so backups come and go without a restart. */
export function desiredBackupSecret(
  database: Database,
  ownerReferences: readonly OwnerReference[],
  { secret, token, revision, files = {} }: {
    /** The repository's Secret; without it the members only get `files`. */
    secret?: RepositorySecret | undefined;
    token: string;
    /** The agent repeats it in its report, to tell which configuration that is about. */
    revision?: string;
    files?: Record<string, string>;
  },
) {
  const text: Record<string, string> = {
    ...(secret ? { "pgbackrest.conf": repositoryConfig(database, secret) } : {}),
    ...(secret && revision ? { revision } : {}),
    token,
    ...(secret?.["ca.crt"] ? { "ca.crt": secret["ca.crt"] } : {}),
    ...files,
  };
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: ownedMetadata(database, namesOf(identityOf(database).name).backup, ownerReferences),
    type: "Opaque",
    data: Object.fromEntries(Object.entries(text).map(([key, value]) => [key, encodeBase64(value)])),
  } satisfies Secret;
}

/** Where a Job finds the agent beside the primary. */
export function desiredBackupService(database: Database, ownerReferences: readonly OwnerReference[]) {
  const { name } = identityOf(database);
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: ownedMetadata(database, namesOf(name).backup, ownerReferences),
    spec: {
      type: "ClusterIP",
      ports: [{ name: "backup", port: backupPort, protocol: "TCP", targetPort: "backup" }],
      selector: { ...memberSelector(name), [label.role]: "primary" },
    },
  } satisfies Service;
}

/** 31 February: what has no schedule is suspended too, and is there to make Jobs from by hand. */
const never = "0 0 31 2 *";

/** What the CronJobs have in common; they are suspended without a schedule, when paused, and without members. */
export function scheduled(database: Database, schedule: string | undefined) {
  return {
    schedule: schedule ?? never,
    timeZone: "Etc/UTC",
    suspend: schedule === undefined || database.spec.backups?.paused === true || sizeOf(database) === 0,
    concurrencyPolicy: "Forbid",
    startingDeadlineSeconds: 3600,
    successfulJobsHistoryLimit: 3,
    failedJobsHistoryLimit: 3,
  } as const;
}

/**
 * One CronJob for each kind of backup and for the verification, also for those without a schedule:
 * `kubectl create job --from=cronjob/...`.
 *
 * @param image the members' image, which has Python
 */
export function desiredCronJobs(
  database: Database,
  ownerReferences: readonly OwnerReference[],
  { image }: { image: string },
): CronJob[] {
  const { schedule } = database.spec.backups ?? {};
  return cronJobNames(identityOf(database).name).map(({ order, name }) => ({
    apiVersion: "batch/v1",
    kind: "CronJob",
    metadata: ownedMetadata(database, name, ownerReferences),
    spec: {
      ...scheduled(database, schedule?.[order]),
      jobTemplate: {
        metadata: { labels: backupLabels(database) },
        spec: jobSpec(database, order, image),
      },
    },
  }));
}

/** The names of those CronJobs, with what they ask the agent for. */
export function cronJobNames(database: string): { order: Order; name: string }[] {
  const { backup, verify } = namesOf(database);
  return [
    ...backupTypes.map((order) => ({ order, name: `${backup}-${order}` })),
    { order: "verify" as const, name: verify },
  ];
}

/** A backup that is asked for once; its name says which, so that it is never made twice. */
export function desiredBackupJob(
  database: Database,
  ownerReferences: readonly OwnerReference[],
  { id, type, image, asked }: { id: string; type: BackupType; image: string; asked?: string | undefined },
) {
  const { name } = identityOf(database);
  const job = `${namesOf(name).backup}-${id}`;
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      ...ownedMetadata(database, job, ownerReferences, backupLabels(database)),
      ...(asked === undefined ? {} : { annotations: { [annotation.backup]: asked } }),
    },
    spec: jobSpec(database, type, image),
  } satisfies Job;
}

/** A pod of a backup is no member. */
export function backupLabels(database: Database): Record<string, string> {
  return backupSelector(identityOf(database).name);
}

function jobSpec(database: Database, order: Order, image: string): JobSpec {
  const { name, namespace } = identityOf(database);
  const names = namesOf(name);
  const service = `${names.backup}.${namespace}.svc`;
  const spec: PodSpec = {
    ...jobPod(database),
    containers: [{
      name: "backup",
      image,
      imagePullPolicy: "IfNotPresent",
      command: ["python3", `${folder.config}/backup.py`, service, order],
      resources: { requests: { cpu: "10m", memory: "32Mi" } },
      securityContext: containerSecurity,
      terminationMessagePolicy: "FallbackToLogsOnError",
      volumeMounts: [
        { name: "config", mountPath: folder.config, readOnly: true },
        { name: "token", mountPath: backupFolder, readOnly: true },
      ],
    }],
    volumes: [
      {
        name: "config",
        configMap: {
          name: names.patroni,
          defaultMode: 0o444,
          items: [{ key: "backup.py", path: "backup.py" }],
        },
      },
      {
        name: "token",
        secret: { secretName: names.backup, defaultMode: 0o440, items: [{ key: "token", path: "token" }] },
      },
    ],
  };
  return {
    // An attempt that a failover cut off is made again on the new primary.
    backoffLimit: 3,
    activeDeadlineSeconds: 86_400,
    ttlSecondsAfterFinished: 86_400,
    template: { metadata: { labels: backupLabels(database) }, spec },
  };
}

/** Text in UTF-8, in base64. */
export function encodeBase64(text: string): string {
  let bytes = "";
  for (const byte of new TextEncoder().encode(text)) bytes += String.fromCharCode(byte);
  return btoa(bytes);
}

/** The text of a value of a Secret. */
export function decodeBase64(data: string): string {
  const text = atob(data), bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return new TextDecoder().decode(bytes);
}
