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
import { privateServer, reach, words } from "./private_server.ts";
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
${reach}
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
    ended = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, errors="replace")
    if ended.returncode:
        fail("pgBackRest: " + said(ended))
    return ended.stdout


def instant(seconds):
    """Seconds since 1970 as Kubernetes writes times."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


deadline = time.monotonic() + 180
while not os.path.exists(FOLDER + "restore.json"):
    if time.monotonic() > deadline:
        fail("the members' Secret has no restore.json")
    time.sleep(1)
wanted = json.loads(read(FOLDER + "restore.json"))
stanza = next(iter(json.loads(run("info", "--output=json"), strict=False)), None)
if unreadable(stanza):
    fail("pgBackRest: " + unreadable(stanza))
every = stanza["backup"] if stanza else []
labels = ", ".join(one["label"] for one in every[-20:])
if not every:
    fail("the repository has no backup at this path")
# One with damaged pages is taken only when it is named.
backups = [one for one in every if one["label"] == wanted["backup"]] if wanted.get("backup") else [
    one for one in every if not one.get("error")]
if not backups:
    fail("there is no backup %s; there are %s" % (wanted.get("backup", "without damaged pages"), labels))
# pgBackRest takes a backup that ended before the target, in whole seconds.
stops = [one["timestamp"]["stop"] + 1 for one in backups]
segment, arrived = newest(stanza, backups[-1])
first, latest = instant(min(stops)), instant(max(*stops, arrived))
early = "%s is before the earliest possible time %s; the latest is %s" % (wanted.get("targetTime"), first, latest)
options = ["--set=" + wanted["backup"]] if wanted.get("backup") else []
if wanted.get("targetTime"):
    target = datetime.datetime.fromisoformat(wanted["targetTime"])
    if target < datetime.datetime.fromisoformat(first):
        fail(early)
    if target > datetime.datetime.fromisoformat(latest):
        fail("%s is after the latest possible time %s; the earliest is %s" % (wanted["targetTime"], latest, first))
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


def replay(settings):
    """Replays WAL and stops the server; returns what it logged when that failed."""
    server = serve(binaries, WORK, LOG, settings)
    if accepts(server, binaries):
        server.send_signal(2)
        if server.wait() == 0:
            return None
    return read(LOG)


log = replay({})
short = log is not None and "recovery ended before configured recovery target was reached" in log
if short and not breaks_off(log, segment):
    # Nothing committed between the last transaction in the archive and the target: all there is is as it was then.
    print("no transaction after %s" % last_commit(log), flush=True)
    log = replay({"recovery_target_time": ""})
elif short:
    fail("%s cannot be reached: WAL is missing after %s; the earliest possible time is %s" %
         (wanted["targetTime"], last_commit(log) or "the backup", first))
if log is None:
    if os.path.isdir(DATA):
        os.rmdir(DATA)
    os.rename(WORK, DATA)
    print("restored", flush=True)
    sys.exit(0)
fatal = re.findall(r"(?:FATAL|PANIC): +(.*)", log)
if fatal and "before consistent recovery point" in fatal[-1]:
    fail(early)
fail("PostgreSQL: " + ("; ".join(fatal[-2:]) or log[-500:]))
`;
