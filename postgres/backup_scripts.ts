/**
 * Where pgBackRest's configuration is in a member, and what a backup's Job runs to ask the agent beside the primary for one.
 *
 * pgBackRest has to run where the data is, and a Job that may execute commands in other pods would need a powerful
 * permission. So each member has an agent (backup_agent.ts) that takes one order only, to back up or to verify, from
 * whoever holds the token; Jobs need no Kubernetes permission.
 * @module
 */
import { backupPort } from "./names.ts";

/** Folder of the mounted Secret `<name>-backup`; empty while the Database has no backups. */
export const backupFolder = "/etc/pgbackrest";
/** What every pgBackRest command of a member starts with. */
export const pgbackrest = `pgbackrest --config=${backupFolder}/pgbackrest.conf --stanza=db`;

/**
 * \`backup.py SERVICE TYPE\`: asks the agent of whichever member leads until the backup is done. An order that is known
 * there already is not taken twice; a new primary knows none, so a backup that a failover interrupted starts again.
 */
export const backupOrder =
  `"""Asks the agent beside the primary for a backup and waits for its end: SERVICE TYPE."""
import json
import os
import sys
import time
import urllib.error
import urllib.request

# No answer, or no repository, for so long ends the attempt; the Job starts another one.
PATIENCE = 300

service, kind = sys.argv[1:]
with open("${backupFolder}/token", encoding="utf-8") as file:
    headers = {"Authorization": "Bearer " + file.read(), "Content-Type": "application/json"}
body = json.dumps({"id": os.environ["HOSTNAME"], "type": kind}).encode()
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask():
    request = urllib.request.Request("http://%s:${backupPort}/backup" % service, body, headers)
    try:
        try:
            with opener.open(request, timeout=15) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)
    except (OSError, ValueError) as error:
        return {"state": "unreachable", "message": "the primary's agent does not answer: %s" % error}


def end(code, words):
    print(words, flush=True)
    with open("/dev/termination-log", "w", encoding="utf-8") as file:
        file.write(words)
    sys.exit(code)


said, heard = None, time.monotonic()
while True:
    answer = ask()
    state, message = answer.get("state"), answer.get("message", "")
    if (state, message) != said:
        print(state, message, flush=True)
        said = (state, message)
    if state == "done":
        end(0, "done")
    if state in ("failed", "refused"):
        end(1, message)
    if state in ("running", "waiting"):
        heard = time.monotonic()
    if time.monotonic() - heard > PATIENCE:
        end(1, message)
    time.sleep(2)
`;
