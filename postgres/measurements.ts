/**
 * What the operator tells Prometheus about each Database; docs/monitoring.md has one line for each metric.
 * @module
 */
import type { StoredDatabase } from "../types/app.example.com/v1.ts";
import type { StoredConfigMap, StoredPod } from "../types/core/v1.ts";
import { longestPauseSeconds } from "./cron.ts";
import { sizeOf } from "./database.ts";
import { annotation, label, namesOf, ordinalOf } from "./names.ts";
import { observe } from "./observe.ts";

/** Help of each metric, by name. All have the labels `namespace` and `name` of the Database. */
export const measurementHelp = {
  database_ready: "1 while condition Ready of the Database is True, else 0.",
  database_blocked: "1 while a person has to act on the Database, else 0.",
  database_size: "Members that are asked for, spec.size.",
  database_members: "Members by state: primary, streaming (a replica that serves), unavailable.",
  database_primary: "1 for the member that accepts writes, label pod.",
  database_replication_lag_bytes:
    "Bytes of WAL by which a replica is behind the primary's last known position, label pod.",
  database_volume_size_bytes: "Bytes of a member's data volume, label pod.",
  database_volume_available_bytes: "Bytes that are free on a member's data volume, label pod.",
  database_backup_healthy:
    "1 while condition BackupHealthy is True, else 0. Only of Databases with spec.backups.",
  database_backup_last_success_timestamp_seconds: "When the last backup ended, in seconds since 1970.",
  database_backup_last_failure_timestamp_seconds: "When a backup failed last, in seconds since 1970.",
  database_backup_age_max_seconds:
    "How old the last backup may be by spec.backups.schedule; none without one, paused or with size 0.",
  database_backup_size_bytes: "Bytes of the database in the last backup, before compression.",
  database_backup_first_recoverable_timestamp_seconds:
    "The earliest time that can be restored, in seconds since 1970.",
  database_backup_last_recoverable_timestamp_seconds:
    "The latest time that can be restored, as far as it is told, in seconds since 1970.",
  database_backup_archive_pending_timestamp_seconds:
    "Since when the oldest WAL segment waits for the archive, in seconds since 1970; none while none waits for long.",
  database_backup_wal_missing:
    "1 while a range of times between the oldest backup and now cannot be restored, else 0.",
  database_backup_verify_passed: "1 when the last verification of the repository passed, else 0.",
  database_backup_verify_timestamp_seconds: "When it ended, in seconds since 1970.",
  database_backup_drill_passed: "1 when the last restore that was tried passed, else 0.",
  database_backup_drill_timestamp_seconds: "When it ended, in seconds since 1970.",
  database_backup_drill_duration_seconds: "Seconds that it took until the restored server took connections.",
  database_certificate_expiry_timestamp_seconds:
    "When the certificate of the members runs out, in seconds since 1970.",
} as const;

/** One value. */
export interface Measurement {
  readonly name: keyof typeof measurementHelp;
  readonly labels: { readonly [name: string]: string };
  readonly value: number;
}

/** What is measured: a Database with its pods and Patroni's lock, as the caches have them. */
export interface Measured {
  readonly database: StoredDatabase;
  readonly pods: readonly StoredPod[];
  readonly leader: StoredConfigMap | undefined;
}

/** The values of all Databases, from what the caches have. */
export function measureAll(
  databases: readonly StoredDatabase[],
  pods: readonly StoredPod[],
  configMaps: readonly StoredConfigMap[],
): Measurement[] {
  const keyOf = ({ namespace }: { namespace?: string }, name: string | undefined) => `${namespace}/${name}`;
  const members = Map.groupBy(pods, ({ metadata }) => keyOf(metadata, metadata.labels?.[label.database]));
  const state = new Map(configMaps.map((one) => [keyOf(one.metadata, one.metadata.name), one]));
  return databases.flatMap((database) => {
    const { metadata } = database;
    return measure({
      database,
      pods: members.get(keyOf(metadata, metadata.name)) ?? [],
      leader: state.get(keyOf(metadata, namesOf(metadata.name).leader)),
    });
  });
}

/** The values of one Database. What is not known has none. */
export function measure({ database, pods, leader }: Measured): Measurement[] {
  const { name, namespace } = database.metadata;
  const { conditions = [], members = [], primary, certificate } = database.status ?? {};
  const holds = (type: string) =>
    Number(conditions.some((condition) => condition.type === type && condition.status === "True"));
  const one = (
    metric: Measurement["name"],
    value: number | undefined,
    labels: Measurement["labels"] = {},
  ): Measurement[] =>
    value === undefined || Number.isNaN(value)
      ? []
      : [{ name: metric, labels: { namespace, name, ...labels }, value }];
  const serving = members.filter(({ ready }) => ready);
  const streaming = serving.filter((member) => member.name !== primary).length;
  const states = {
    primary: serving.length - streaming,
    streaming,
    unavailable: members.length - serving.length,
  };
  return [
    ...one("database_ready", holds("Ready")),
    ...one("database_blocked", holds("Blocked")),
    ...one("database_size", sizeOf(database)),
    ...Object.entries(states).flatMap(([state, count]) => one("database_members", count, { state })),
    ...(primary === undefined ? [] : one("database_primary", 1, { pod: primary })),
    // The lock holds the primary's position as of its last renewal: how old that is does not matter here.
    ...observe(name, { pods, leader }, 0).members
      .filter((member) => member.name !== primary)
      .flatMap((member) => one("database_replication_lag_bytes", member.lagBytes, { pod: member.name })),
    ...pods.filter((pod) => ordinalOf(name, pod.metadata.name) !== undefined).flatMap((pod) => {
      const { size, available } = volumeOf(pod), labels = { pod: pod.metadata.name };
      return [
        ...one("database_volume_size_bytes", size, labels),
        ...one("database_volume_available_bytes", available, labels),
      ];
    }),
    ...(database.spec.backups ? one("database_backup_healthy", holds("BackupHealthy")) : []),
    ...backupValues(database).flatMap(([name, value]) => one(name, value)),
    ...one("database_certificate_expiry_timestamp_seconds", seconds(certificate?.notAfter)),
  ];
}

/** What is known of backups, whether or not they are on any more; only with spec.backups what an alert compares with. */
function backupValues({ spec, status }: StoredDatabase): [Measurement["name"], number | undefined][] {
  const backup = status?.backup;
  const { verify, drill } = backup ?? {};
  const passed = (result: { passed: boolean } | undefined) => result && Number(result.passed);
  return [
    ["database_backup_last_success_timestamp_seconds", seconds(backup?.lastSuccessTime)],
    ["database_backup_last_failure_timestamp_seconds", seconds(backup?.lastFailure?.time)],
    ["database_backup_age_max_seconds", backupAgeMaxSeconds(spec)],
    ["database_backup_size_bytes", backup?.size],
    ["database_backup_first_recoverable_timestamp_seconds", seconds(backup?.firstRecoverableTime)],
    ["database_backup_last_recoverable_timestamp_seconds", seconds(backup?.lastRecoverableTime)],
    ["database_backup_archive_pending_timestamp_seconds", seconds(backup?.archivePendingSince)],
    ["database_backup_wal_missing", backup && Number(backup.gap !== undefined)],
    ["database_backup_verify_passed", passed(verify)],
    ["database_backup_verify_timestamp_seconds", seconds(verify?.time)],
    ["database_backup_drill_passed", passed(drill)],
    ["database_backup_drill_timestamp_seconds", seconds(drill?.time)],
    ["database_backup_drill_duration_seconds", drill?.durationSeconds],
  ];
}

/** The longest pause of the schedules and, for the time that a backup takes, a quarter of it, an hour at least. */
function backupAgeMaxSeconds(spec: StoredDatabase["spec"]): number | undefined {
  const { schedule, paused } = spec.backups ?? {};
  if (paused || spec.size === 0) return undefined;
  const schedules = [schedule?.full, schedule?.diff, schedule?.incr].filter((text) => text !== undefined);
  const pause = longestPauseSeconds(schedules);
  return pause && pause + Math.max(pause / 4, 3600);
}

/** What the agent of a member says of its data volume, in bytes; nothing where it does not or cannot be read. */
export function volumeOf(
  pod: { readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> } },
): { size?: number; available?: number } {
  try {
    const report: unknown = JSON.parse(pod.metadata?.annotations?.[annotation.volume] ?? "null");
    if (typeof report !== "object" || report === null) return {};
    const { size, available } = report as Record<string, unknown>;
    const isBytes = (value: unknown): value is number => typeof value === "number" && value >= 0;
    return isBytes(size) && isBytes(available) ? { size, available } : {};
  } catch {
    return {}; // not JSON: the agent's next note replaces it
  }
}

function seconds(time: string | undefined): number | undefined {
  return time === undefined ? undefined : Date.parse(time) / 1000;
}
