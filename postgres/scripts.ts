/**
 * The scripts that run inside a member: constant texts, mounted beside patroni.yml.
 *
 * Nothing of a Database is pasted into them; what they need they read from files and arguments, so there is
 * nothing to quote.
 * @module
 */

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
