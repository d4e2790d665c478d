/**
 * The scripts that run inside a member: constant texts, mounted beside patroni.yml.
 *
 * Nothing of a Database is pasted into them; what they need they read from files and arguments, so there is
 * nothing to quote.
 * @module
 */

import { annotation, label, patroniPort } from "./names.ts";

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
  tls: "/etc/tls",
  run: "/run/postgresql",
} as const;

/** Folder of the data volume; the data itself is one level below, where PostgreSQL may own it. */
export const volumeFolder = "/pgdata";
export const dataFolder = `${volumeFolder}/data`;

/** Where Kubernetes mounts a ServiceAccount's token. */
export const tokenFolder = "/var/run/secrets/kubernetes.io/serviceaccount";

/** Environment variable of the members: libpq's sslmode for replication and rewind. */
export const replicationSslMode = "REPLICATION_SSLMODE";

/** File in the mounted ConfigMap: the system identifiers of data that an upgrade replaced, one in a line. */
export const replacedFile = "replaced";

/**
 * `guard.sh MAJOR`: fails when the data on the volume belongs to another major version than the programs.
 *
 * It moves and removes data in two cases only, which an upgrade leaves (upgrade_scripts.ts): data of the very system that
 * was replaced by an upgraded one goes, to be cloned anew; and where an upgrade was given up or taken back, the old data
 * comes back, unless the new server has used its files since.
 */
export const guard =
  `# Refuses to start on data of another major version: a server would fail on it, pg_upgrade must not be skipped.
want=$1
data=${dataFolder}
if [ ! -x "/usr/lib/postgresql/$want/bin/postgres" ]; then
  echo "The image has no PostgreSQL $want" >&2
  exit 1
fi
version() { cat "$1/PG_VERSION" 2>/dev/null; }
# The first eight bytes of pg_control, in every version.
identifier() { od -An -tu8 -N8 "$1/global/pg_control" 2>/dev/null | tr -d ' '; }

# A server writes pg_control before it touches any file that the old data shares.
unused() {
  if [ ! -e "$data" ]; then [ -e "$data.upgraded" ]; return; fi
  grep -qs "$(sha256sum <"$data/global/pg_control" | cut -c -64)" ${volumeFolder}/upgrade.json
}

# An upgrade was given up or taken back: its old data is whole as long as the new server has not started.
old=
[ "$(version "$data")" = "$want" ] && [ -e "$data/global/pg_control.old" ] && old=$data
[ "$(version "$data.before")" = "$want" ] && [ -e "$data.before/global/pg_control.old" ] && unused && old=$data.before
if [ -n "$old" ]; then
  echo "Going back to the data of PostgreSQL $want" >&2
  if [ "$old" != "$data" ]; then
    if [ -e "$data" ]; then
      rm -rf "$data.upgraded"
      mv "$data" "$data.upgraded" || exit 1
    fi
    rm -f ${volumeFolder}/upgrade.json
    mv "$old" "$data" || exit 1
  fi
  rm -f ${volumeFolder}/upgrade.json
  rm -rf "$data.upgraded"
  mv "$data/global/pg_control.old" "$data/global/pg_control" || exit 1
fi
[ "$(version "$data")" != "$want" ] || rm -rf "$data.upgraded"
rm -rf "$data.replaced"
[ -e "$data/PG_VERSION" ] || exit 0
found=$(version "$data")
if [ "$found" != "$want" ] && grep -qsx -e "$(identifier "$data")" ${folder.config}/${replacedFile}; then
  echo "The data of PostgreSQL $found was replaced by an upgrade: it goes, and is cloned anew" >&2
  mv "$data" "$data.replaced" && rm -rf "$data.replaced"
  exit
fi
if [ "$found" != "$want" ]; then
  echo "The data on this volume is of PostgreSQL $found, the Database asks for $want: refusing to start" >&2
  exit 1
fi
`;

/** `image.sh MAJOR`: fails with the reason when an image cannot run a member. */
export const tryImage = `# Runs each program of a member, as far as that needs no data.
for program in "/usr/lib/postgresql/$1/bin/postgres" "/usr/lib/postgresql/$1/bin/psql" patroni python3; do
  "$program" --version || {
    echo "the image has no $program that runs" >&2
    exit 1
  }
done
`;

/**
 * Adds the passwords to Patroni's configuration and becomes Patroni: they are in no argument and no environment.
 *
 * On an empty volume it first asks PostgreSQL about the parameters, which at that time no running server can refuse:
 * `postgres -C` reads them and ends. Those that it refuses are left out, so that the Database comes up and can tell.
 */
export const start =
  `"""Adds the mounted passwords to Patroni's configuration, in memory, and becomes Patroni."""
import json
import os
import subprocess

MERGED = "${folder.run}/patroni.yml"


def password(role):
    with open("${folder.credentials}/" + role + "-password", encoding="utf-8") as file:
        return file.read()


with open("${folder.config}/patroni.yml", encoding="utf-8") as file:
    config = json.load(file)
for role, account in config["postgresql"]["authentication"].items():
    account["password"] = password(role)
config["restapi"]["authentication"]["password"] = password("patroni")
# Not there in a pod that an earlier operator made.
if os.path.exists("${folder.tls}/tls.crt"):
    files = {"ssl_cert_file": "${folder.tls}/tls.crt", "ssl_key_file": "${folder.tls}/tls.key"}
    config["postgresql"]["parameters"] = {"ssl": "on", **files}
    for role in ("replication", "rewind"):
        account = config["postgresql"]["authentication"][role]
        account["sslmode"] = os.environ["${replicationSslMode}"]
        account["sslrootcert"] = "${folder.tls}/ca.crt"


def fits(parameters):
    command = [config["postgresql"]["bin_dir"] + "/postgres", "-C", "port", "-D", "${folder.run}"]
    command += ["--config-file=/dev/null"]
    for name, value in parameters:
        command += ["-c", name + "=" + value]
    return subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0


first = config["bootstrap"]["dcs"]["postgresql"]
if not os.path.exists("${dataFolder}/PG_VERSION") and not fits(first["parameters"].items()):
    first["parameters"] = {name: value for name, value in first["parameters"].items() if fits([(name, value)])}
with os.fdopen(os.open(MERGED, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
    json.dump(config, file, ensure_ascii=False)
os.execvp("patroni", ["patroni", MERGED])
`;

/**
 * Before the kubelet ends a member: `stop.sh FOLDER` of PostgreSQL's programs.
 *
 * The kernel drops a signal for which the first process of a container has no handler, and Patroni sets its own a second or
 * more after the start: a member that is deleted in between would run on, and lead, until its grace period is over.
 */
export const stop =
  `# The server serves on while this checkpoint is written, so that the one at shutdown is short.
"$1/psql" --no-psqlrc --quiet --command=CHECKPOINT postgres
# Until Patroni listens to SIGTERM, number 15 of the signals that it catches; the mask is in hexadecimal.
until mask=$(sed -n 's/^SigCgt:[[:space:]]*[0-9a-f]*\\([0-9a-f]\\{4\\}\\)$/\\1/p' /proc/1/status) && [ $((0x$mask & 0x4000)) != 0 ]; do
  sleep 0.2
done
`;

/** What Patroni calls when a server started, reloaded or changed its role, with the action, the role and the scope. */
export const reportCommand = `python3 ${folder.config}/report.py`;

/**
 * Tells what the server made of its parameters, and restarts a primary in place when a lowered one waits for that.
 *
 * On the own pod, in annotation app.example.com/server: the version that runs, the running values of those parameters that a standby must
 * have at least as high as its primary, and the values in postgresql.conf that the server refused.
 *
 * Such a parameter can only be lowered on the primary first, and it must stay the primary meanwhile, which the deletion
 * of its pod would not do: Patroni's REST API restarts it; only this pod's own is asked. When another parameter waits
 * too, the standbys have to run with it first: a value that does not work must not stop the primary. Where there is no
 * standby it is tried on empty data instead (trial.ts), and what came of that is told, too.
 * Patroni ends an earlier run when the next reload comes, at any moment, so every run looks anew; that of a start goes on
 * beside that of a reload, so one looks at a time. What Patroni says waits may still be of before the reload: a run goes on
 * for as long as anything waits, and tries whatever that is by then.
 *
 * Source: PostgreSQL's documentation, "Hot Standby", "Administrator's Overview".
 */
export const report =
  `"""Tells on this pod what its server made of its parameters; restarts a primary whose parameters were lowered."""
import base64
import fcntl
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.parse
import urllib.request

# The kubelet replaces the folder that this file really is in when the ConfigMap changes, which may be right now.
sys.path.insert(0, "${folder.config}")
import trial

STANDBY = ${JSON.stringify(standbyParameters)}
NOTED = "${folder.run}/server.json"
TOKEN = "${tokenFolder}/"
QUERY = """SELECT json_build_object(
  'version', split_part(current_setting('server_version'), ' ', 1),
  'runs', (SELECT json_object_agg(name, setting) FROM pg_settings WHERE name = ANY ('{%s}')),
  'refused', (SELECT coalesce(json_object_agg(lower(name), setting), '{}') FROM pg_file_settings AS file
    WHERE error IS NOT NULL AND name <> 'primary_conninfo' AND NOT EXISTS (
      SELECT FROM pg_settings WHERE lower(pg_settings.name) = lower(file.name) AND pending_restart)))
""" % ",".join(STANDBY)

action, role, scope = sys.argv[1:]
with open("${folder.config}/patroni.yml", encoding="utf-8") as file:
    config = json.load(file)
BINARIES = config["postgresql"]["bin_dir"]


def call(url, body=None, headers=None, method=None, timeout=10):
    handlers = [urllib.request.ProxyHandler({})]
    if url.startswith("https"):
        context = ssl.create_default_context(cafile=TOKEN + "ca.crt")
        # A cluster's own authority may lack extensions that RFC 5280 asks for; Patroni's client takes it too.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        handlers.append(urllib.request.HTTPSHandler(context=context))
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers or {}, method=method)
    with urllib.request.build_opener(*handlers).open(request, timeout=timeout) as answer:
        return answer.read().decode()


def kubernetes(path, body=None, method=None):
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    with open(TOKEN + "token", encoding="utf-8") as file:
        token = file.read()
    headers = {"Authorization": "Bearer " + token, "Content-Type": "application/merge-patch+json"}
    host = "[" + host + "]" if ":" in host else host
    pods = "https://%s:%s/api/v1/namespaces/%s/pods" % (host, port, config["kubernetes"]["namespace"])
    return json.loads(call(pods + path, body, headers, method))


def query(statement):
    # Names are those of pg_catalog, whatever search_path somebody set for the role or the database.
    environment = {**os.environ, "PGOPTIONS": "-c search_path="}
    psql = [BINARIES + "/psql", "-XAtqc", statement, "postgres"]
    return subprocess.run(psql, check=True, capture_output=True, timeout=20, env=environment).stdout


def note(tried=None):
    """Writes what changed on the pod. A refused value stays noted: the operator takes it out of the file."""
    found = {**json.loads(query(QUERY)), "tries": True}
    before = last_note()
    found["refused"] = {**before["refused"], **found["refused"]}
    if tried:
        tried["refused"] = {**before.get("trial", {}).get("refused", {}), **tried["refused"]}
    if tried or "trial" in before:
        found["trial"] = tried or before["trial"]
    if found == before:
        return
    annotations = {"${annotation.server}": json.dumps(found)}
    kubernetes("/" + os.environ["HOSTNAME"], {"metadata": {"annotations": annotations}}, "PATCH")
    # Patroni may end this program at any moment: half a file would be no note.
    with open(NOTED + ".new", "w", encoding="utf-8") as file:
        json.dump(found, file)
    os.replace(NOTED + ".new", NOTED)


def last_note():
    try:
        with open(NOTED, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {"refused": {}}


def waiting():
    """The parameters that wait for a restart."""
    reasons = json.loads(call("http://localhost:${patroniPort}/patroni")).get("pending_restart_reason") or {}
    # What was set and taken back goes on to be waited for, and is what runs.
    return {name: change for name, change in reasons.items() if change.get("old_value") != change.get("new_value")}


def lowered(name, change):
    try:
        return name in STANDBY and int(change["new_value"]) < int(change["old_value"])
    except (KeyError, TypeError, ValueError):
        return False


def others():
    """The pods of the other members."""
    labels = {"${label.database}": scope, **config["kubernetes"]["labels"]}
    selector = ",".join(name + "=" + value for name, value in labels.items())
    pods = kubernetes("?" + urllib.parse.urlencode({"labelSelector": selector}))["items"]
    return [pod for pod in pods if pod["metadata"]["name"] != os.environ["HOSTNAME"]]


def standbys_run():
    """True when every other member runs, and what waits on it is only what waits for this one."""
    for pod in others():
        status = json.loads(pod["metadata"].get("annotations", {}).get("status", "{}"))
        reasons = status.get("pending_restart_reason") or {}
        if status.get("replication_state") != "streaming" or "deletionTimestamp" in pod["metadata"]:
            return False
        if not all(lowered(name, change) for name, change in reasons.items()):
            return False
    return True


def try_out(reasons):
    """The only member tries what is not just lowered, once; true when all of it fits, or others can try it."""
    pending = {name: text(change["new_value"]) for name, change in reasons.items() if not lowered(name, change)}
    if not pending or others():
        return True
    tried = last_note().get("trial", {"fits": {}, "refused": {}})
    refused = {name: one["value"] for name, one in tried["refused"].items()}
    if any(value not in (tried["fits"].get(name), refused.get(name)) for name, value in pending.items()):
        tried = trial.attempt(BINARIES, query, pending)
        note(tried)
    return all(tried["fits"].get(name) == value for name, value in pending.items())


def text(value):
    return value if isinstance(value, str) else json.dumps(value)


def restart():
    with open("${folder.credentials}/patroni-password", encoding="utf-8") as file:
        account = base64.b64encode(("patroni:" + file.read()).encode()).decode()
    headers = {"Authorization": "Basic " + account, "Content-Type": "application/json"}
    body = {"restart_pending": True, "role": "primary"}
    print("report.py:", call("http://localhost:${patroniPort}/restart", body, headers, timeout=600), flush=True)


def look(looks):
    """One look; true when there is nothing more to do."""
    global noted
    if not noted:
        note()
        noted = True
    if role != "primary":
        return True
    reasons = waiting()
    # Others than these are not ours to restart for.
    waits = [lowered(name, change) for name, change in reasons.items()]
    # Each member notes within seconds on its pod what waits on it.
    if try_out(reasons) and waits and (all(waits) or any(waits) and looks > 8 and standbys_run()):
        restart()
        return True
    # Patroni is as slow as its node to tell what waits.
    return looks > 20 and not reasons


def server_runs():
    """Patroni waits for this program when its pod is to end, and calls it again when a server starts."""
    try:
        with open("${dataFolder}/postmaster.pid", encoding="utf-8") as file:
            os.kill(int(file.readline()), 0)
        return True
    except (OSError, ValueError):
        return False


def pause(seconds):
    for _ in range(seconds * 2):
        if server_runs():
            time.sleep(0.5)


# Patroni looks a second after the reload which parameters wait for a restart.
pause(2)
noted = False
for looks in range(100):
    try:
        with open(NOTED + ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not server_runs() or look(looks):
                break
    except Exception as error:
        # The API server or Patroni is away for a moment, and nobody calls again.
        print("report.py: %s: %s" % (type(error).__name__, str(error)[:100]), flush=True)
    pause(2 if looks < 12 else 8 if looks < 40 else 60)
`;

/** Settings of a session with which no text of its statements is logged, sampled or counted: some hold passwords. */
export const unseen = {
  "log_statement": "none",
  "log_min_duration_statement": "-1",
  "log_min_duration_sample": "-1",
  "log_transaction_sample_rate": "0",
  "log_min_error_statement": "panic",
  "pg_stat_statements.track": "none",
  "pgaudit.log": "none",
} as const;

/**
 * Creates the application's role and database, once, right after initdb.
 *
 * A psql script: the values come from the mounted Secret and are quoted by psql itself (:"name", :'text').
 */
export const application =
  `-- The application's role and database, created once after initdb. psql quotes what it reads from the Secret.
\\set ON_ERROR_STOP on
${Object.entries(unseen).map(([name, value]) => `SET ${name} = '${value}';`).join("\n")}
\\set username \`cat ${folder.credentials}/username\`
\\set password \`cat ${folder.credentials}/password\`
\\set database \`cat ${folder.credentials}/database\`
-- A restored server has both, with the password of where it comes from.
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :'username') AS role_is_there,
  EXISTS (SELECT FROM pg_database WHERE datname = :'database') AS database_is_there \\gset
\\if :role_is_there
ALTER ROLE :"username" LOGIN PASSWORD :'password';
\\else
CREATE ROLE :"username" LOGIN PASSWORD :'password';
\\endif
\\if :database_is_there
\\else
CREATE DATABASE :"database" OWNER :"username";
\\endif
`;
