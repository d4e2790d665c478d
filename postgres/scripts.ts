/**
 * The scripts that run inside a member: constant texts, mounted beside patroni.yml.
 *
 * Nothing of a Database is pasted into them; what they need they read from files and arguments, so there is
 * nothing to quote.
 * @module
 */

import { patroniPort } from "./names.ts";

/** Parameters that a standby must have at least as high as its primary. */
export const standbyParameters = [
  "max_connections",
  "max_worker_processes",
  "max_wal_senders",
  "max_prepared_transactions",
  "max_locks_per_transaction",
] as const;

/** Folder of the mounted ConfigMap, of the mounted Secret, and the one in memory for what is derived from them. */
export const folder = {
  config: "/etc/patroni",
  credentials: "/etc/credentials",
  run: "/run/postgresql",
} as const;

/** Folder of the data volume; the data itself is one level below, where PostgreSQL may own it. */
export const volumeFolder = "/pgdata";
export const dataFolder = `${volumeFolder}/data`;

/** `guard.sh MAJOR`: fails when the data on the volume belongs to another major version than the programs. */
export const guard =
  `# Refuses to start on data of another major version: a server would fail on it, pg_upgrade must not be skipped.
want=$1
if [ ! -x "/usr/lib/postgresql/$want/bin/postgres" ]; then
  echo "The image has no PostgreSQL $want" >&2
  exit 1
fi
[ -e ${dataFolder}/PG_VERSION ] || exit 0
found=$(cat ${dataFolder}/PG_VERSION)
if [ "$found" != "$want" ]; then
  echo "The data on this volume is of PostgreSQL $found, the Database asks for $want: refusing to start" >&2
  exit 1
fi
`;

/** Adds the passwords to Patroni's configuration and becomes Patroni: they are in no argument and no environment. */
export const start =
  `"""Adds the mounted passwords to Patroni's configuration, in memory, and becomes Patroni."""
import json
import os

MERGED = "${folder.run}/patroni.yml"


def password(role):
    with open("${folder.credentials}/" + role + "-password", encoding="utf-8") as file:
        return file.read()


with open("${folder.config}/patroni.yml", encoding="utf-8") as file:
    config = json.load(file)
for role, account in config["postgresql"]["authentication"].items():
    account["password"] = password(role)
config["restapi"]["authentication"]["password"] = password("patroni")
with os.fdopen(os.open(MERGED, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
    json.dump(config, file, ensure_ascii=False)
os.execvp("patroni", ["patroni", MERGED])
`;

/** What Patroni calls after a reload and after a change of role, with the action, the role and the scope. */
export const reloadedCommand = `python3 ${folder.config}/reloaded.py`;

/**
 * Restarts a primary in place when that is what its parameters wait for.
 *
 * A standby must have room for as many connections, workers, senders, prepared transactions and locks as its primary:
 * one of these can only be lowered on the primary first, and it must stay the primary meanwhile, which the deletion of
 * its pod would not do. Patroni's REST API restarts it; only this pod's own is asked. Killed when the next reload comes,
 * which starts it anew.
 * Source: PostgreSQL's documentation, "Hot Standby", "Administrator's Overview".
 */
export const reloaded =
  `"""Restarts a primary in place when a parameter was lowered that a standby must have at least as high."""
import base64
import json
import sys
import time
import urllib.request

SENSITIVE = ${JSON.stringify(standbyParameters)}
API = "http://localhost:${patroniPort}/"
OPEN = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def waiting():
    with OPEN(API + "patroni", timeout=5) as answer:
        return json.load(answer).get("pending_restart_reason") or {}


def lowered(name, change):
    try:
        return name in SENSITIVE and int(change["new_value"]) < int(change["old_value"])
    except (KeyError, TypeError, ValueError):
        return False


def restart():
    with open("${folder.credentials}/patroni-password", encoding="utf-8") as file:
        token = base64.b64encode(("patroni:" + file.read()).encode()).decode()
    body = json.dumps({"restart_pending": True, "role": "primary"}).encode()
    headers = {"Authorization": "Basic " + token, "Content-Type": "application/json"}
    with OPEN(urllib.request.Request(API + "restart", body, headers), timeout=600) as answer:
        print("reloaded.py:", answer.read().decode(), flush=True)


if sys.argv[2] == "primary":
    for _ in range(4):
        # Patroni looks a second after the reload which parameters wait for a restart.
        time.sleep(2)
        reasons = waiting()
        # What else waits is tried on a replica first: a value that does not work must not stop the primary.
        if reasons and all(lowered(name, change) for name, change in reasons.items()):
            restart()
            break
`;

/**
 * Creates the application's role and database, once, right after initdb.
 *
 * A psql script: the values come from the mounted Secret and are quoted by psql itself (:"name", :'text').
 */
export const application =
  `-- The application's role and database, created once after initdb. psql quotes what it reads from the Secret.
\\set ON_ERROR_STOP on
SET log_statement = none;
SET log_min_duration_statement = -1;
SET log_min_error_statement = panic;
\\set username \`cat ${folder.credentials}/username\`
\\set password \`cat ${folder.credentials}/password\`
\\set database \`cat ${folder.credentials}/database\`
CREATE ROLE :"username" LOGIN PASSWORD :'password';
CREATE DATABASE :"database" OWNER :"username";
`;
