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
import { privateServer, words } from "./private_server.ts";
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
LOG = "/tmp/restore.log"
${words}
${privateServer}
def fail(words):
    """Leaves nothing behind; the words become the container's termination message."""
    words = "${restoreFailure}: " + clean(words, read(FOLDER + "restore.conf"))[:1500]
    print(words, flush=True)
    for left in (WORK, DATA + ".failed"):
        shutil.rmtree(left, ignore_errors=True)
    with open("/dev/termination-log", "w", encoding="utf-8") as file:
        file.write(words)
    sys.exit(1)


def run(*arguments):
    ended = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True)
    if ended.returncode:
        fail("pgBackRest: " + said(ended))
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

binaries = json.loads(read("${folder.config}/patroni.yml"))["postgresql"]["bin_dir"]
server = serve(binaries, WORK, LOG, {})
if accepts(server, binaries):
    server.send_signal(2)
    if server.wait() == 0:
        if os.path.isdir(DATA):
            os.rmdir(DATA)
        os.rename(WORK, DATA)
        print("restored", flush=True)
        sys.exit(0)
text = read(LOG)
reached = re.findall(r"last completed transaction was at log time ([-0-9: .]+)", text)
fatal = re.findall(r"(?:FATAL|PANIC): +(.*)", text)
if fatal and "before configured recovery target" in fatal[-1]:
    latest = " and the latest %sZ" % reached[-1].strip()[:19].replace(" ", "T") if reached else ""
    fail("%s cannot be reached; the earliest possible time is %s%s" % (wanted["targetTime"], instant(first), latest))
fail("PostgreSQL: " + ("; ".join(fatal[-2:]) or text[-500:]))
`;
