/**
 * ConfigMap `<name>-patroni`: Patroni's local configuration and the scripts of a member.
 *
 * What can change while a Database lives is not in here but in Patroni's dynamic configuration; this file
 * changes only with the major version or with the operator, so a member reads it when it starts.
 * @module
 */
import type { ConfigMap } from "../types/core/v1.ts";
import { agent, memberLibrary } from "./agent.ts";
import { tlsAgent } from "./tls_agent.ts";
import { backupAgent } from "./backup_agent.ts";
import { backupOrder } from "./backup_scripts.ts";
import { systemRoles } from "./credentials.ts";
import { credentialsAgent } from "./credentials_agent.ts";
import { type Database, type OwnerReference } from "./database.ts";
import { drill } from "./drill.ts";
import { dynamicConfig, type Json, timing } from "./dynamic_config.ts";
import { identityOf, label, namesOf, ownedMetadata, patroniPort, postgresPort } from "./names.ts";
import { exporterAgent, isMonitored, volumeAgent } from "./monitoring.ts";
import { repositoryLibrary } from "./repository_library.ts";
import { restore } from "./restore.ts";
import {
  application,
  dataFolder,
  folder,
  guard,
  replacedFile,
  report,
  reportCommand,
  start,
  stop,
  tryImage,
} from "./scripts.ts";
import { trial } from "./trial.ts";
import {
  upgrade as upgradeProgram,
  upgradeAgent,
  type UpgradeOrder,
  upgradeOrderFile,
} from "./upgrade_scripts.ts";
import { usersAgent } from "./users_agent.ts";
import { binaryFolder, majorOf } from "./versions.ts";

/**
 * Patroni's local configuration, without passwords and without what differs between members: the name and the
 * addresses come from the pod's environment, the passwords from the mounted Secret.
 */
export function patroniConfig(database: Database): { [key: string]: Json } {
  const { name, namespace } = identityOf(database);
  const binaries = binaryFolder(majorOf(database));
  return {
    scope: name,
    kubernetes: {
      namespace,
      labels: { [label.component]: "postgres" },
      scope_label: label.database,
      role_label: label.role,
      leader_label_value: "primary",
      follower_label_value: "replica",
      standby_leader_label_value: "primary",
      retriable_http_codes: [429],
    },
    restapi: { listen: `*:${patroniPort}`, authentication: { username: "patroni" } },
    bootstrap: {
      dcs: dynamicConfig(database),
      ...(database.spec.restoreFrom
        ? {
          method: "restore",
          restore: { command: `python3 ${folder.config}/restore.py`, no_params: true },
        }
        : {}),
      initdb: [{ encoding: "UTF8" }, { locale: "C.UTF-8" }, "data-checksums"],
      post_bootstrap: `${binaries}/psql --no-psqlrc --quiet --file=${folder.config}/application.sql`,
    },
    postgresql: {
      listen: `*:${postgresPort}`,
      data_dir: dataFolder,
      bin_dir: binaries,
      pgpass: `${folder.run}/pgpass`,
      use_unix_socket: true,
      use_unix_socket_repl: false,
      remove_data_directory_on_rewind_failure: true,
      basebackup: [{ checkpoint: "fast" }],
      callbacks: Object.fromEntries(
        ["on_start", "on_restart", "on_reload", "on_role_change"].map((action) => [action, reportCommand]),
      ),
      authentication: {
        superuser: { username: systemRoles.superuser },
        replication: { username: systemRoles.replication },
        rewind: { username: systemRoles.rewind },
      },
    },
    watchdog: { mode: "off" },
    tags: {},
  };
}

/** Seconds between two probes and how many may fail: a member that missed its lock's whole life is restarted. */
export const probeTiming = {
  periodSeconds: timing.loopWait,
  failureThreshold: timing.ttl / timing.loopWait,
} as const;

/** The ConfigMap that each member mounts at /etc/patroni. JSON is YAML, and needs no quoting of ours. */
export function desiredPatroniConfigMap(
  database: Database,
  ownerReferences: readonly OwnerReference[],
  { replaced = [], upgrade }: {
    /** System identifiers of data that an upgrade replaced, for the guard. */
    replaced?: readonly string[] | undefined;
    /** An upgrade to do, for its Jobs. */
    upgrade?: UpgradeOrder | undefined;
  } = {},
) {
  const names = namesOf(identityOf(database).name);
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: ownedMetadata(database, names.patroni, ownerReferences),
    data: {
      "patroni.yml": `${JSON.stringify(patroniConfig(database), null, 2)}\n`,
      "guard.sh": guard,
      "image.sh": tryImage,
      "start.py": start,
      "stop.sh": stop,
      "report.py": report,
      "trial.py": trial,
      "agent.py": agent([
        "backup_agent",
        "volume_agent",
        "upgrade_agent",
        "users_agent",
        "tls_agent",
        "credentials_agent",
        ...(isMonitored(database) ? ["exporter_agent"] : []),
      ]),
      "member.py": memberLibrary,
      "volume_agent.py": volumeAgent,
      "exporter_agent.py": exporterAgent,
      "backup_agent.py": backupAgent,
      "repository.py": repositoryLibrary,
      "users_agent.py": usersAgent,
      "tls_agent.py": tlsAgent,
      "credentials_agent.py": credentialsAgent,
      "backup.py": backupOrder,
      "restore.py": restore,
      "drill.py": drill,
      "application.sql": application,
      "upgrade.py": upgradeProgram,
      "upgrade_agent.py": upgradeAgent,
      ...(replaced.length > 0 ? { [replacedFile]: replaced.map((id) => `${id}\n`).join("") } : {}),
      ...(upgrade ? { [upgradeOrderFile]: JSON.stringify(upgrade) } : {}),
    },
  } satisfies ConfigMap;
}
