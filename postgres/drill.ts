/**
 * The drill: the last backup restored on a volume of its own, started where nobody can reach it, counted and removed.
 *
 * A Job of its own, without Patroni, without a Service and without a permission at the Kubernetes API. It tells what it
 * found in its termination message, which is read from its pod.
 * @module
 */
import type { DatabaseStatus } from "../types/app.example.com/v1.ts";
import type { CronJob, StoredJob } from "../types/batch/v1.ts";
import type { PodSpec, StoredPod } from "../types/core/v1.ts";
import { backupFolder } from "./backup_scripts.ts";
import { backupLabels, repositoryFolder, scheduled } from "./backups.ts";
import { type Database, type OwnerReference, storageOf } from "./database.ts";
import { jobPod } from "./job_pod.ts";
import { identityOf, namesOf, ownedMetadata } from "./names.ts";
import { folder } from "./scripts.ts";
import { containerSecurity } from "./security.ts";
import { privateServer, reach, words } from "./private_server.ts";
import { binaryFolder, majorOf } from "./versions.ts";

/** What a drill found. */
export type Drill = NonNullable<NonNullable<DatabaseStatus["backup"]>["drill"]>;

const container = "drill";
const drillFolder = "/drill";
const deadlineSeconds = 86_400;

/** `drill.py BINARIES` */
export const drill =
  `"""Restores the last backup, replays all archived WAL, starts the server for this pod alone, counts: BINARIES."""
import json
import os
import re
import shutil
import subprocess
import sys
import time

DATA = "${drillFolder}/data"
CONFIG = "/tmp/pgbackrest.conf"
COMMAND = ["pgbackrest", "--config=" + CONFIG, "--stanza=db"]
LOG = "/tmp/server.log"
${words}
${privateServer}
${reach}
binaries, = sys.argv[1:]
started = time.monotonic()
found = {"passed": False}
secret = read("${backupFolder}/pgbackrest.conf")


def end(message=None):
    """Tells what was found as the container's last words, and leaves nothing."""
    if message:
        found["message"] = clean(message, secret)[:1000]
    found["time"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    print(json.dumps(found), flush=True)
    shutil.rmtree(DATA, ignore_errors=True)
    with open("/dev/termination-log", "w", encoding="utf-8") as file:
        json.dump(found, file)
    sys.exit(0 if found["passed"] else 1)


def failed(message):
    """Tells why, unless retention took the backup away while it was tried: then the newest one is tried."""
    stanza = look()
    if stanza and all(one["label"] != found["backup"] for one in stanza["backup"]):
        print("backup %s is gone meanwhile: again, with the newest" % found["backup"], flush=True)
        os.execv(sys.executable, sys.orig_argv)
    end(message)


def run(*arguments, otherwise=end):
    ended = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, errors="replace")
    if ended.returncode:
        otherwise("pgBackRest: " + said(ended))
    return ended.stdout


def look():
    """What the repository has; None when that is nothing."""
    stanza = next(iter(json.loads(run("info", "--output=json"), strict=False)), None)
    if unreadable(stanza):
        end("pgBackRest: " + unreadable(stanza))
    return stanza


# What is only for archiving would want the members' data volume.
lines = [line for line in secret.splitlines() if not re.match("archive-|spool-path|pg1-", line)]
with os.fdopen(os.open(CONFIG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
    file.write("\\n".join([*lines, "pg1-path=" + DATA, ""]))
stanza = look()
backups = [one for one in (stanza["backup"] if stanza else []) if not one.get("error")]
if not backups:
    end("the repository has no backup")
last = max(backups, key=lambda one: one["timestamp"]["stop"])
segment, _ = newest(stanza, last)
found["backup"] = last["label"]
shutil.rmtree(DATA, ignore_errors=True)
os.makedirs(DATA, 0o700)
run("restore", "--set=" + found["backup"], otherwise=failed)
server = serve(binaries, DATA, LOG, {"shared_buffers": "64MB", "huge_pages": "off"})
if not accepts(server, binaries):
    fatal = re.findall(r"(?:FATAL|PANIC): +(.*)", read(LOG))
    failed("PostgreSQL: " + ("; ".join(fatal[-2:]) or read(LOG)[-500:]))
found["durationSeconds"] = round(time.monotonic() - started)
log = read(LOG)
if last_commit(log):
    found["lastTransactionTime"] = last_commit(log)


def ask(statement, database="postgres"):
    answer = subprocess.run(
        [binaries + "/psql", "-h", "/tmp", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", connection(database)],
        env=ALONE, input=statement, capture_output=True, text=True)
    if answer.returncode:
        server.send_signal(2)
        end("PostgreSQL: " + answer.stderr)
    return answer.stdout.strip()


def connection(database):
    """A connection string with the name quoted."""
    return "dbname='%s'" % database.replace("\\\\", "\\\\\\\\").replace("'", "\\\\'")


# Every name is PostgreSQL's own: this is a superuser, in databases that belong to others.
names = json.loads(ask("SELECT pg_catalog.json_agg(datname) FROM pg_catalog.pg_database WHERE datallowconn"))
found["databases"] = len(names)
found["relations"] = sum(int(ask("SELECT pg_catalog.count(*) FROM pg_catalog.pg_class", name)) for name in names)
server.send_signal(2)
if server.wait() != 0:
    end("the server did not stop in order")
if breaks_off(log, segment):
    failed("WAL is missing: of what was archived after the backup, the replay did not reach the end")
found["passed"] = True
end()
`;

/** The CronJob of the drill; without a schedule it is suspended, to make Jobs from by hand. */
export function desiredDrill(
  database: Database,
  ownerReferences: readonly OwnerReference[],
  { image }: { image: string },
): CronJob {
  const { name } = identityOf(database);
  const names = namesOf(name);
  const { backups, storage, resources } = database.spec;
  const labels = backupLabels(database);
  const spec: PodSpec = {
    ...jobPod(database),
    containers: [{
      name: container,
      image,
      imagePullPolicy: "IfNotPresent",
      command: ["python3", `${folder.config}/drill.py`, binaryFolder(majorOf(database))],
      // A request may not be more than its limit; where there are limits they are the requests too.
      resources: resources?.limits
        ? { limits: { ...resources.limits } }
        : { requests: { cpu: "100m", memory: "256Mi" } },
      securityContext: containerSecurity,
      volumeMounts: [
        { name: "config", mountPath: folder.config, readOnly: true },
        { name: "backup", mountPath: backupFolder, readOnly: true },
        { name: "data", mountPath: drillFolder },
        { name: "tmp", mountPath: "/tmp" },
        { name: "shm", mountPath: "/dev/shm" },
        ...(backups?.volume ? [{ name: "repository", mountPath: repositoryFolder.own, readOnly: true }] : []),
      ],
    }],
    volumes: [
      {
        name: "config",
        configMap: {
          name: names.patroni,
          defaultMode: 0o444,
          items: [{ key: "drill.py", path: "drill.py" }],
        },
      },
      {
        name: "backup",
        secret: {
          secretName: names.backup,
          defaultMode: 0o440,
          // ca.crt is not always there.
          optional: true,
          items: ["pgbackrest.conf", "ca.crt"].map((key) => ({ key, path: key })),
        },
      },
      {
        name: "data",
        ephemeral: {
          volumeClaimTemplate: {
            metadata: { labels },
            spec: {
              accessModes: ["ReadWriteOnce"],
              resources: { requests: { storage: storageOf(database) } },
              ...(storage?.storageClassName ? { storageClassName: storage.storageClassName } : {}),
            },
          },
        },
      },
      // In memory, as the repository's keys are copied there.
      { name: "tmp", emptyDir: { medium: "Memory", sizeLimit: "64Mi" } },
      { name: "shm", emptyDir: { medium: "Memory" } },
      ...(backups?.volume
        ? [{ name: "repository", persistentVolumeClaim: { claimName: names.backup, readOnly: true } }]
        : []),
    ],
  };
  return {
    apiVersion: "batch/v1",
    kind: "CronJob",
    metadata: ownedMetadata(database, names.drill, ownerReferences),
    spec: {
      ...scheduled(database, backups?.drill),
      jobTemplate: {
        metadata: { labels },
        spec: {
          backoffLimit: 0,
          activeDeadlineSeconds: deadlineSeconds,
          // The volume goes with the pod: ten minutes are enough to read its last words.
          ttlSecondsAfterFinished: 600,
          template: { metadata: { labels }, spec },
        },
      },
    },
  };
}

/** The newest result among these pods, and among these Jobs those that took too long: no pod is left of them. */
export function drillReport(pods: readonly StoredPod[], jobs: readonly StoredJob[] = []): Drill | undefined {
  const results = [...pods.flatMap(drillOf), ...jobs.flatMap(overdue)];
  return results.toSorted((a, b) => a.time < b.time ? 1 : -1)[0];
}

function overdue({ spec, status }: StoredJob): Drill[] {
  if (spec?.template.spec?.containers[0]?.name !== container) return [];
  const ended = status?.conditions?.find(({ type, status, reason }) =>
    type === "Failed" && status === "True" && reason === "DeadlineExceeded"
  );
  if (!ended) return [];
  return [{
    time: String(ended.lastTransitionTime),
    passed: false,
    message: `It did not end within ${deadlineSeconds / 3600} hours: its pod did not start, or was too slow`,
  }];
}

function drillOf(pod: StoredPod): Drill[] {
  const ended = pod.status?.containerStatuses?.find(({ name }) => name === container)?.state?.terminated;
  if (!ended) return [];
  const found = parsed(ended.message);
  const count = (value: unknown) => typeof value === "number" && Number.isInteger(value) ? value : undefined;
  const message = typeof found["message"] === "string" ? found["message"] : undefined;
  const passed = found["passed"] === true && ended.exitCode === 0;
  return [{
    time: String(ended.finishedAt),
    passed,
    backup: typeof found["backup"] === "string" ? found["backup"].slice(0, 63) : undefined,
    lastTransactionTime: isTime(found["lastTransactionTime"]) ? found["lastTransactionTime"] : undefined,
    durationSeconds: count(found["durationSeconds"]),
    databases: count(found["databases"]),
    relations: count(found["relations"]),
    message: passed ? undefined : (message ?? ended.reason ?? `exit code ${ended.exitCode}`).slice(0, 1000),
  }];
}

/** Whether this is a time as the programs of backups write it. */
export function isTime(value: unknown): value is string {
  return typeof value === "string" && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(value);
}

function parsed(text: string | undefined): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text ?? "{}");
    return typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
  } catch {
    return {}; // it was killed while it wrote
  }
}
