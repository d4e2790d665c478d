/**
 * A Database that begins with the backup of another: where that is, and the program that restores it.
 *
 * Patroni's custom bootstrap method runs the program in the first member, in place of initdb, and only where there is no
 * data. It replays the WAL to the target itself, with the server closed to everybody, so that a target that cannot be
 * reached is told with the range that can; what it leaves is a server that stopped in order on a timeline of its own.
 * @module
 */
import { backupFolder } from "./backup_scripts.ts";
import { repositoryFolder, type RepositorySecret, settingsText, storeLines } from "./backups.ts";
import type { Database } from "./database.ts";
import type { RestoreSource } from "./restore_source.ts";
import { dataFolder, folder } from "./scripts.ts";

/** Files for the members' Secret: what to restore, from where. They go when the data is there. */
export function restoreFiles(
  { spec }: Database,
  source: RestoreSource,
  secret: RepositorySecret,
): Record<string, string> {
  const { backup, targetTime } = spec.restoreFrom ?? {};
  return {
    "restore.conf": settingsText([
      ...storeLines(source, source.path, secret, {
        caFile: `${backupFolder}/restore-ca.crt`,
        mount: repositoryFolder.restore,
      }),
      ["process-max", 2],
      ["lock-path", "/tmp/pgbackrest"],
      ["log-level-file", "off"],
      ["log-level-console", "off"],
      ["log-level-stderr", "error"],
    ]),
    "restore.json": JSON.stringify({ backup, targetTime }),
    ...(secret["ca.crt"] ? { "restore-ca.crt": secret["ca.crt"] } : {}),
  };
}

/** What begins each message of a restore that failed. */
export const restoreFailure = "Cannot restore";

/** Restores, replays to the target and stops; on failure leaves nothing and says why as the container's last words. */
export const restore =
  `"""Restores a backup into the empty data folder, replays WAL to the target, and stops the server in order."""
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import time

DATA = "${dataFolder}"
# Moved to DATA when all is done: what a killed attempt leaves is never taken for data.
WORK = DATA + ".restoring"
FOLDER = "${backupFolder}/"
COMMAND = ["pgbackrest", "--config=" + FOLDER + "restore.conf", "--stanza=db"]
HBA, IDENT, LOG = "/tmp/restore_hba.conf", "/tmp/restore_ident.conf", "/tmp/restore.log"


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def fail(words):
    """Leaves nothing behind; the words become the container's termination message."""
    for value in re.findall(r"^repo1-(?:s3-key|s3-key-secret|cipher-pass)=(.+)$", read(FOLDER + "restore.conf"), re.M):
        words = words.replace(value, "***")
    words = "${restoreFailure}: " + re.sub(r"\\s+", " ", words)[:1500]
    print(words, flush=True)
    for left in (WORK, DATA + ".failed"):
        shutil.rmtree(left, ignore_errors=True)
    with open("/dev/termination-log", "w", encoding="utf-8") as file:
        file.write(words)
    sys.exit(1)


def run(*arguments):
    ended = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True)
    if ended.returncode:
        errors = re.findall(r"ERROR: (\\[[0-9]+\\]: .*?)(?=\\n *\\*\\*\\*|\\n\\S|\\Z)", ended.stderr, re.S)
        code = re.search(r"<Code>([^<]*)</Code>", ended.stderr)
        fail("pgBackRest: " + (errors[0] if errors else ended.stderr or ended.stdout) + (" " + code.group(1) if code else ""))
    return ended.stdout


def instant(time):
    return time.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


deadline = time.monotonic() + 180
while not os.path.exists(FOLDER + "restore.json"):
    if time.monotonic() > deadline:
        fail("the members' Secret has no restore.json")
    time.sleep(1)
wanted = json.loads(read(FOLDER + "restore.json"))
stanzas = json.loads(run("info", "--output=json"))
backups = [one for one in (stanzas[0]["backup"] if stanzas else []) if not one.get("error")]
if not backups:
    fail("the repository has no backup at this path")
first = datetime.datetime.fromtimestamp(min(one["timestamp"]["stop"] for one in backups), datetime.timezone.utc)
labels = [one["label"] for one in backups]
options = []
if wanted.get("backup"):
    if wanted["backup"] not in labels:
        fail("there is no backup %s; there are %s" % (wanted["backup"], ", ".join(labels[-20:])))
    options = ["--set=" + wanted["backup"]]
if wanted.get("targetTime"):
    target = datetime.datetime.fromisoformat(wanted["targetTime"])
    if target < first:
        fail("%s is before the earliest possible time %s" % (wanted["targetTime"], instant(first)))
    if target > datetime.datetime.now(datetime.timezone.utc):
        fail("%s is in the future; the earliest possible time is %s" % (wanted["targetTime"], instant(first)))
    text = target.astimezone(datetime.timezone.utc).isoformat(" ", "milliseconds")[:23] + "+00"
    options += ["--type=time", "--target=" + text, "--target-action=promote"]
elif options:
    options += ["--type=immediate", "--target-action=promote"]

if os.path.isdir(DATA) and os.listdir(DATA):
    fail("there is data already")
shutil.rmtree(WORK, ignore_errors=True)
os.makedirs(WORK, 0o700)
print("restoring", *options, flush=True)
run("restore", "--pg1-path=" + WORK, *options)
for left in ("patroni.dynamic.json", "standby.signal"):
    if os.path.exists(WORK + "/" + left):
        os.remove(WORK + "/" + left)

with open(HBA, "w", encoding="utf-8") as file:
    file.write("local all all peer\\n")
open(IDENT, "w", encoding="utf-8").close()
binaries = json.loads(read("${folder.config}/patroni.yml"))["postgresql"]["bin_dir"]
settings = {
    "listen_addresses": "",
    "unix_socket_directories": "/tmp",
    "hba_file": HBA,
    "ident_file": IDENT,
    "archive_mode": "off",
    # Off, it takes no minimum of max_connections and others from the source.
    "hot_standby": "off",
    "ssl": "off",
    "synchronous_standby_names": "",
    "logging_collector": "off",
    "log_destination": "stderr",
}
with open(LOG, "w", encoding="utf-8") as log:
    arguments = [part for name, value in settings.items() for part in ("-c", name + "=" + value)]
    server = subprocess.Popen([binaries + "/postgres", "-D", WORK, *arguments], stdout=log, stderr=log)
psql = [binaries + "/psql", "-h", "/tmp", "-XAtqc", "SELECT pg_is_in_recovery()", "postgres"]
while server.poll() is None:
    if subprocess.run(psql, capture_output=True, text=True).stdout.strip() == "f":
        server.send_signal(2)
        if server.wait() == 0:
            if os.path.isdir(DATA):
                os.rmdir(DATA)
            os.rename(WORK, DATA)
            print("restored", flush=True)
            sys.exit(0)
        break
    time.sleep(0.5)
text = read(LOG)
reached = re.findall(r"last completed transaction was at log time ([-0-9: .]+)", text)
fatal = re.findall(r"(?:FATAL|PANIC): +(.*)", text)
if fatal and "before configured recovery target" in fatal[-1]:
    latest = " and the latest %sZ" % reached[-1].strip()[:19].replace(" ", "T") if reached else ""
    fail("%s cannot be reached; the earliest possible time is %s%s" % (wanted["targetTime"], instant(first), latest))
fail("PostgreSQL: " + ("; ".join(fatal[-2:]) or text[-500:]))
`;
