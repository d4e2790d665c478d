/**
 * The programs of an upgrade to another major version: what its Jobs run, and what is left to do beside the server.
 *
 * Constant texts, mounted beside patroni.yml: nothing of a Database is pasted into them. Three folders on the first
 * member's volume tell how far it is, so that a Job that was killed at any instant goes on, or can be given up:
 * `data.upgraded` is being made from `data`; file `upgrade.json` says that it is whole; then `data` becomes
 * `data.before` and `data.upgraded` becomes `data`. pg_upgrade links the files, and renames pg_control of the old data;
 * until the new server has started, giving that name back is enough to have the old data again (scripts.ts, `guard`). A
 * server that starts writes its pg_control, and to the disk, before anything else of the data: as long as that is what
 * `upgrade.json` says, none has.
 *
 * Sources: PostgreSQL's documentation, pg_upgrade, "Reverting to old cluster"; its xlog.c, StartupXLOG.
 * @module
 */
import { annotation } from "./names.ts";
import { dataFolder, folder, replacedFile, volumeFolder } from "./scripts.ts";

/** What the Jobs find in ConfigMap `<name>-patroni`: {@link UpgradeOrder} as JSON. */
export const upgradeOrderFile = "upgrade.json";

/** Removed by the agent when all is done, on the first member. */
const mark = `${volumeFolder}/upgrade.json`;

/**
 * `upgrade.py check`: tries the new version on empty data of its own, with the Database's parameters.
 * `upgrade.py run`: upgrades the data of the volume; the last words are JSON with both system identifiers.
 * `upgrade.py back`: takes that back, unless a server has used the upgraded data; the last words are what that server says of
 * its settings and libraries, nothing when it takes them.
 *
 * Exit code 1 with a message when it cannot be done, the old data being as it was; any other end is tried again.
 */
export const upgrade =
  `"""Upgrades the data of a volume to another major version: check (on data of its own), run, or back again."""
import fcntl
import glob
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys

VOLUME, DATA = "${volumeFolder}", "${dataFolder}"
OLD, NEW, MARK = DATA + ".before", DATA + ".upgraded", "${mark}"
WORK = "/tmp/upgrade"
HBA = WORK + "/pg_hba.conf"


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def end(code, words):
    """The words become the container's termination message, of at most 4096 bytes."""
    words = words.encode()[:3500].decode(errors="ignore")
    print(words, flush=True)
    with open("/dev/termination-log", "w", encoding="utf-8") as file:
        file.write(words)
    sys.exit(code)


def fail(words):
    end(1, re.sub(r"\\s+", " ", words).strip())


order = json.loads(read("${folder.config}/${upgradeOrderFile}"))
FROM, TO = order["from"], order["to"]


def program(major, name):
    return "/usr/lib/postgresql/%d/bin/%s" % (major, name)


def run(*command):
    """Runs a program; returns how it ended and what it said."""
    print("+", *command[:1], flush=True)
    ended = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", cwd=WORK,
        env={**os.environ, "LC_ALL": "C"}, pass_fds=lock,
    )
    print(ended.stdout, flush=True)
    return ended.returncode, ended.stdout


def initdb(target, *options):
    code, words = run(program(TO, "initdb"), "-D", target, "-U", "postgres", "--encoding=UTF8", "--locale=C.UTF-8",
                      "--auth-local=peer", "--auth-host=reject", *options)
    if code:
        fail("initdb of PostgreSQL %d: %s" % (TO, words[-1500:]))


def write_settings(path, settings):
    with open(path, "w", encoding="utf-8") as file:
        for name, value in settings.items():
            file.write("%s = '%s'\\n" % (name, value.replace("\\\\", "\\\\\\\\").replace("'", "''")))


def check():
    trial = WORK + "/trial"
    initdb(trial, "--no-sync")
    write_settings(trial + "/postgresql.auto.conf", {
        **order["parameters"], "listen_addresses": "", "unix_socket_directories": WORK, "logging_collector": "off",
        "log_destination": "stderr",
    })
    log = WORK + "/trial.log"
    pg_ctl = program(TO, "pg_ctl")
    code, words = run(pg_ctl, "-D", trial, "-w", "-t", "120", "-l", log, "start")
    if code:
        said = re.findall(r"(?:FATAL|PANIC|ERROR|LOG): +(.*(?:library|parameter|invalid|could not).*)", read(log))
        fail("PostgreSQL %d does not start with the parameters: %s" % (TO, "; ".join(said) or read(log)[-1000:]))
    lacking = missing()
    run(pg_ctl, "-D", trial, "-w", "-m", "immediate", "stop")
    if lacking:
        fail("PostgreSQL %d of this image lacks what the databases use: %s" % (TO, ", ".join(lacking)))
    end(0, "PostgreSQL %d starts with the parameters" % TO)


def missing():
    """What the databases use, as their server told, and the trial's does not have."""
    def ask(statement):
        return run(program(TO, "psql"), "-XAtqc", statement, "-h", WORK, "-U", "postgres", "postgres")

    there = ask("SELECT name FROM pg_available_extensions")[1].splitlines()
    lacking = ['extension "%s"' % name for name in order.get("extensions", []) if name not in there]
    # As pg_upgrade tries them.
    for library in order.get("libraries", []):
        if ask("LOAD '%s'" % library.replace("'", "''"))[0]:
            lacking.append("library %s" % library)
    return lacking


def identifier(data):
    """The system identifier: the first eight bytes of pg_control, in every version."""
    with open(data + "/global/pg_control", "rb") as file:
        return str(struct.unpack("=Q", file.read(8))[0])


def fingerprint(data):
    with open(data + "/global/pg_control", "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def settle(folder):
    """Makes what was created and renamed in a folder survive a crash of the node."""
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def finish():
    """Exchanges the folders, from wherever an earlier attempt was killed, and tells the identifiers."""
    done = json.loads(read(MARK))
    if os.path.exists(NEW):
        if os.path.exists(DATA):
            os.rename(DATA, OLD)
        os.rename(NEW, DATA)
        settle(VOLUME)
    end(0, json.dumps(done))


def reasons(words):
    """pg_upgrade's own words from where it failed, with what is in the files that it names."""
    at = max(words.rfind("fatal\\n"), words.rfind("*failure*"))
    text = words[words.rfind("\\n", 0, at) + 1:] if at >= 0 else words[-1000:]
    for path in glob.glob(NEW + "/pg_upgrade_output.d/*/*.txt"):
        text = text.replace(path, os.path.basename(path)) + " %s: %s" % (os.path.basename(path), read(path)[:600])
    return re.sub(r"Failure, exiting", "", text)


def pg_upgrade(*options):
    server = {
        "hba_file": HBA, "ident_file": "/dev/null", "ssl": "off", "archive_mode": "off",
        "synchronous_standby_names": "", "logging_collector": "off",
        # With another value PostgreSQL 17.0 to 17.5 refuse to start as pg_upgrade starts them.
        "max_slot_wal_keep_size": "-1",
    }
    text = " ".join("-c %s=%s" % one for one in server.items())
    code, words = run(
        program(TO, "pg_upgrade"), "--old-bindir=" + os.path.dirname(program(FROM, "x")),
        "--new-bindir=" + os.path.dirname(program(TO, "x")), "--old-datadir=" + DATA, "--new-datadir=" + NEW,
        "--username=postgres", "--socketdir=" + WORK, "--jobs=2", "--link", "--old-options=" + text,
        "--new-options=" + text, *options,
    )
    if code:
        said = reasons(words)
        restore()
        fail("pg_upgrade %s: %s" % (" ".join(options), said))


def restore():
    """The old data as it was, whatever an attempt has left."""
    code, words = run("/bin/sh", "${folder.config}/guard.sh", str(FROM))
    if code:
        fail(words)


def upgrade():
    if os.path.exists(MARK):
        done = json.loads(read(MARK))
        if (done["from"], done["to"]) == (FROM, TO):
            finish()
    # Then an attempt that found it shut down was killed with its server: pg_upgrade starts and stops that once more.
    begun = os.path.exists(NEW)
    if begun and os.path.exists(DATA + "/postmaster.pid"):
        # The lock tells that the server is gone; in this pod another process may have its number, and pass for it.
        os.remove(DATA + "/postmaster.pid")
    restore()
    if not os.path.exists(DATA + "/PG_VERSION"):
        fail("there is no data on the volume")
    control = dict(re.findall(r"^([^:\\n]+): +(.*)$", run(program(FROM, "pg_controldata"), DATA)[1], re.M))
    state = control.get("Database cluster state")
    if state != "shut down" and not begun:
        fail("the primary was not stopped in order: the state of its data is %s" % state)
    old = identifier(DATA)
    segment = int(control["Bytes per WAL segment"]) // 2**20
    checksums = control.get("Data page checksum version") != "0"
    initdb(NEW, "--wal-segsize=%d" % segment,
           *(["--data-checksums"] if checksums else ["--no-data-checksums"] if TO >= 18 else []))
    libraries = {name: value for name, value in order["parameters"].items() if name == "shared_preload_libraries"}
    write_settings(NEW + "/postgresql.auto.conf", libraries)
    pg_upgrade("--check")
    pg_upgrade()
    write_settings(NEW + "/postgresql.auto.conf", {})
    done = {"from": FROM, "to": TO, "replaced": old, "systemIdentifier": identifier(NEW), "control": fingerprint(NEW)}
    with open(MARK + ".new", "w", encoding="utf-8") as file:
        json.dump(done, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(MARK + ".new", MARK)
    settle(VOLUME)
    finish()


def back():
    said = refusal()
    code, words = run("/bin/sh", "${folder.config}/guard.sh", str(FROM))
    if code:
        used = "PostgreSQL %d has used the data, so that there is no way back to %d but a backup" % (TO, FROM)
        fail("; ".join(filter(None, [said, used, words])))
    end(0, said)


def refusal():
    """What a server says of its settings and libraries: it reads them, and ends before it opens the data."""
    if TO < 15 or not os.path.exists(DATA + "/PG_VERSION") or read(DATA + "/PG_VERSION").strip() != str(TO):
        return ""
    code, words = run(program(TO, "postgres"), "-D", DATA, "-C", "shared_memory_size", "-c", "ssl=off")
    return "; ".join(re.findall("FATAL: +(.*)", words)) if code else ""


os.makedirs(WORK, exist_ok=True)
lock = []
if sys.argv[1] != "check":
    # The servers have it too: of a pod that was deleted by force nothing may be left.
    lock.append(os.open(VOLUME, os.O_RDONLY))
    fcntl.flock(lock[0], fcntl.LOCK_EX)
with open(HBA, "w", encoding="utf-8") as file:
    file.write("local all all peer\\n")
for major, name in ((FROM, "postgres"), (TO, "postgres"), (TO, "pg_upgrade")):
    if not os.access(program(major, name), os.X_OK):
        fail("the image has no %s of PostgreSQL %d: an upgrade needs the programs of both versions" % (name, major))
{"check": check, "run": upgrade, "back": back}[sys.argv[1]]()
`;

/** A setting of database postgres: the system identifier of the data whose statistics were gathered after an upgrade. */
const statistics = "database_operator.statistics";

/**
 * The agent's part for upgrades (agent.ts): it notes which extensions and libraries the databases use, so that a check can
 * look for them before anybody stops; and whoever leads with upgraded data gathers its statistics, unless another has,
 * and the old data goes.
 */
export const upgradeAgent =
  `"""Tells what the databases use; after an upgrade, gathers statistics and removes what is left of the old data."""
import json
import os
import shutil
import subprocess
import threading
import time

import member

DATA, MARK, REPLACED = "${dataFolder}", "${mark}", "${folder.config}/${replacedFile}"
# A setting that means nothing to the server, for data of this identifier: it is replicated, so each primary knows it.
GATHERED = """SELECT EXISTS (SELECT FROM pg_db_role_setting, pg_control_system() WHERE setrole = 0
  AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND '${statistics}=' || system_identifier = ANY (setconfig))"""
KEEP = """DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET ${statistics} = %L', current_database(),
  (SELECT system_identifier::text FROM pg_control_system())); END $$"""
DATABASES = "SELECT json_agg(datname) FROM pg_database WHERE datallowconn"
# Libraries as pg_upgrade finds them: of functions that initdb has not made.
USED = """SELECT json_build_object(
  'extensions', (SELECT coalesce(json_agg(extname), '[]') FROM pg_extension),
  'libraries', (SELECT coalesce(json_agg(DISTINCT probin), '[]') FROM pg_proc WHERE probin IS NOT NULL AND oid >= 16384))"""
# More than this does not fit into an annotation; pg_upgrade looks at all of them.
MOST = 200


def databases():
    """All databases, as connection strings: a name must not be read as one."""
    names = json.loads(member.query(DATABASES))
    return ["dbname='%s'" % name.replace("\\\\", "\\\\\\\\").replace("'", "\\\\'") for name in names]


def used():
    """What the databases use."""
    found = {"extensions": set(), "libraries": set()}
    for database in databases():
        for kind, names in json.loads(member.query(USED, database)).items():
            found[kind].update(names)
    return {kind: sorted(names)[:MOST] for kind, names in found.items()}


def tell():
    """Standbys tell too: one that becomes the primary is known to have the same at once."""
    told = None
    while True:
        begun = time.monotonic()
        try:
            report = used()
            if report != told:
                member.note("${annotation.used}", report)
                told = report
        except Exception as error:
            print("upgrade: %s" % type(error).__name__, flush=True)
        # With a thousand databases it takes a while: it is at it for a fifth of the time at most.
        time.sleep(max(30 if told else 5, 4 * (time.monotonic() - begun)))


def gather(how):
    """Statistics of all databases; False when the lead was lost meanwhile."""
    vacuumdb = "/usr/lib/postgresql/%d/bin/vacuumdb" % int(member.read(DATA + "/PG_VERSION"))
    options = {**os.environ, "PGOPTIONS": "-c statement_timeout=0 -c lock_timeout=0"}
    begun = time.monotonic()
    for database in databases():
        # It ends at a table that cannot be analyzed, as it would each time: that holds up no other database.
        subprocess.run([vacuumdb, how, "--jobs=2", "--dbname=" + database], env=options, stdout=subprocess.DEVNULL)
        if not member.leads():
            return False
    print("upgrade: statistics gathered in %d s" % (time.monotonic() - begun), flush=True)
    return True


def finish():
    """What an upgrade leaves to do; True when that is done, or was."""
    mark = member.read(MARK)
    done = json.loads(mark) if mark else None
    if not done and not member.read(REPLACED):
        return False
    if done and int(member.read(DATA + "/PG_VERSION")) != done["to"]:
        return False
    if done and member.query("SELECT pg_is_in_recovery()") == "t":
        # Another leads by now, and gathers: the old data has no way back all the same.
        shutil.rmtree(DATA + ".before", ignore_errors=True)
        return False
    if not member.leads():
        return False
    if member.query(GATHERED) != "t":
        # Stages begin with poor ones, which are for data that has none: another primary may have come far.
        if not gather("--analyze-in-stages" if done else "--analyze-only"):
            return False
        member.query(KEEP)
    if done:
        shutil.rmtree(DATA + ".before", ignore_errors=True)
        os.remove(MARK)
    return True


def watch():
    is_over = False
    while not is_over:
        try:
            is_over = finish()
        except Exception as error:
            print("upgrade: %s: %s" % (type(error).__name__, error), flush=True)
        time.sleep(5)


def start():
    threading.Thread(target=watch, daemon=True).start()
    threading.Thread(target=tell, daemon=True).start()
`;

/** What an upgrade is to do. */
export interface UpgradeOrder {
  readonly from: number;
  readonly to: number;
  /** Parameters for the server of the new version. */
  readonly parameters: Readonly<Record<string, string>>;
  /** What the databases use, as far as their server has told. */
  readonly extensions?: readonly string[];
  readonly libraries?: readonly string[];
}
