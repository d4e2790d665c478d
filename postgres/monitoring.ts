/**
 * The exporter beside each server, and what it may see: PostgreSQL's metrics for Prometheus, when spec.monitoring asks.
 *
 * It logs in through the socket, without a password: its container runs as the operating system's user `nobody`, whom
 * pg_ident.conf maps to a role of its own that is in pg_monitor and nothing else. As another user than the server's it
 * cannot read the files with passwords beside the socket.
 * @module
 */
import type { Container } from "../types/core/v1.ts";
import type { Database } from "./database.ts";
import { annotation, exporterPort } from "./names.ts";
import { folder, volumeFolder } from "./scripts.ts";
import { containerSecurity } from "./security.ts";

/** Name of the container. */
export const exporterContainerName = "exporter";

/** The role that it logs in as; made by the agent of the primary. */
export const exporterRole = "metrics_exporter";

/** Its user and group: `nobody` and `nogroup` of Debian. */
const nobody = { name: "nobody", uid: 65534, gid: 65534 } as const;

/** Whether spec.monitoring asks for it: not unless told. */
export function isMonitored({ spec }: Database): boolean {
  return spec.monitoring?.enabled ?? false;
}

/** The container. No probe: a member whose metrics are missing serves all the same. */
export function exporterContainer(image: string) {
  return {
    name: exporterContainerName,
    image,
    imagePullPolicy: "IfNotPresent",
    command: [
      "prometheus-postgres-exporter",
      `--web.listen-address=:${exporterPort}`,
      "--collector.long_running_transactions",
      "--log.level=error",
    ],
    env: [
      {
        name: "DATA_SOURCE_NAME",
        value: `host=${folder.run} user=${exporterRole} dbname=postgres sslmode=disable connect_timeout=5`,
      },
    ],
    ports: [{ name: "metrics", containerPort: exporterPort, protocol: "TCP" }],
    resources: { requests: { cpu: "10m", memory: "32Mi" } },
    securityContext: { ...containerSecurity, runAsUser: nobody.uid, runAsGroup: nobody.gid },
    terminationMessagePolicy: "FallbackToLogsOnError",
    volumeMounts: [{ name: "run", mountPath: folder.run, readOnly: true }],
  } satisfies Container;
}

/** Lines of pg_hba.conf, ahead of those for everybody, and of pg_ident.conf. */
export function exporterAccess(database: Database): { hba: string[]; ident: string[] } {
  if (!isMonitored(database)) return { hba: [], ident: [] };
  return {
    hba: [
      `local postgres ${exporterRole} peer map=exporter`,
      `local all ${exporterRole} reject`,
      `host all ${exporterRole} all reject`,
    ],
    ident: [`exporter ${nobody.name} ${exporterRole}`],
  };
}

/** The agent's module that makes the role, once each time that its member begins to lead. */
export const exporterAgent = `"""Makes the role of the exporter where this member leads."""
import subprocess
import threading
import time

import member

MAKE = """DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '${exporterRole}') THEN
    CREATE ROLE ${exporterRole};
  END IF;
END $$;
ALTER ROLE ${exporterRole} LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
  CONNECTION LIMIT 5;
ALTER ROLE ${exporterRole} SET search_path = pg_catalog;
ALTER ROLE ${exporterRole} SET default_transaction_read_only = on;
ALTER ROLE ${exporterRole} SET statement_timeout = '10s';
GRANT pg_monitor TO ${exporterRole};
SELECT 'made'"""


def watch():
    made = False
    while True:
        try:
            leading = member.leads()
            made = leading and (made or member.query(MAKE) == "made")
        except (subprocess.SubprocessError, OSError) as error:
            print("exporter: %s" % type(error).__name__, flush=True)
        time.sleep(5)


def start():
    threading.Thread(target=watch, daemon=True).start()
`;

/**
 * The agent's module that tells how full the data volume is, in annotation app.example.com/volume of its pod, whenever it
 * changed by a hundredth. Not every cluster's kubelet knows: the metrics kubelet_volume_stats_* are missing for local
 * volumes.
 */
export const volumeAgent = `"""Tells on this pod how full its data volume is."""
import os
import threading
import time

import member


def watch():
    told = None
    while True:
        try:
            seen = os.statvfs("${volumeFolder}")
            size, available = seen.f_blocks * seen.f_frsize, seen.f_bavail * seen.f_frsize
            if told is None or told[0] != size or abs(told[1] - available) * 100 >= size:
                member.note("${annotation.volume}", {"size": size, "available": available})
                told = size, available
        except Exception as error:
            print("volume: %s: %s" % (type(error).__name__, error), flush=True)
        time.sleep(15)


def start():
    threading.Thread(target=watch, daemon=True).start()
`;
