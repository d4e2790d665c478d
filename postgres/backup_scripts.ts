/**
 * The programs of backups: the agent that runs pgBackRest beside each server, and what a backup's Job runs to ask it.
 *
 * Constant texts, mounted beside patroni.yml: nothing of a Database is pasted into them. pgBackRest has to run where
 * the data is, and a Job that may execute commands in other pods would need a powerful permission. So each member has
 * an agent that takes one order only, to back up or to verify, from whoever holds the token; Jobs need no Kubernetes permission.
 * @module
 */
import { annotation, backupPort } from "./names.ts";
import { dataFolder } from "./scripts.ts";

/** Folder of the mounted Secret `<name>-backup`; empty while the Database has no backups. */
export const backupFolder = "/etc/pgbackrest";
/** What every pgBackRest command of a member starts with. */
export const pgbackrest = `pgbackrest --config=${backupFolder}/pgbackrest.conf --stanza=db`;

/**
 * The agent's part for backups (agent.ts). Idle without a configuration and on a standby. On the primary it sets the
 * repository up, checks it, looks at what is in it, and notes that in annotation app.example.com/backup of its pod.
 */
export const backupAgent =
  `"""Runs pgBackRest beside the server: sets the repository up, takes backups when asked, and tells on the pod."""
import hashlib
import hmac
import http.server
import json
import os
import re
import subprocess
import threading
import time

import member

WAL = "${dataFolder}/pg_wal/"
FOLDER = "${backupFolder}/"
COMMAND = ${JSON.stringify(pgbackrest.split(" "))}
ARCHIVER = "SELECT coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) FROM pg_stat_archiver"
ARCHIVED = "SELECT last_archived_wal, extract(epoch FROM last_archived_time)::bigint FROM pg_stat_archiver"
# A segment that waits longer for the archive than this, in seconds, is told; archive_timeout closes one after 50.
PENDING = 90
# Seconds after which a newer last recoverable time is worth a note, and after which WAL is looked through for gaps.
NEWER, LOOK = 300, 3600
# Seconds without a byte from the store when it is only looked at: its reason is in the status within a minute.
PROBE = "--io-timeout=5"

lock = threading.Lock()
wake = threading.Event()
orders = {}  # by id: {"state": "running" | "done" | "failed", "message": ...}
failure = None  # the last backup that failed here: {"time", "message"}
verified = None  # the last verification here: {"time", "passed", "message"}


def read(name):
    return member.read(FOLDER + name)


def clean(text):
    """pgBackRest's own words, in one line, without the values of the configuration that are secret."""
    for value in re.findall(r"^repo1-(?:s3-key|s3-key-secret|cipher-pass)=(.+)$", read("pgbackrest.conf") or "", re.M):
        text = text.replace(value, "***")
    errors = re.findall(r"ERROR: (\\[[0-9]+\\]: .*?)(?=\\n *\\*\\*\\*|\\n\\S|\\Z)", text, re.S)
    answer = re.search(r"<Code>([^<]*)</Code>", text)
    said = re.search(r"<Message>([^<]*)</Message>", text)
    words = (errors[0] if errors else text).strip()
    if answer:
        words += " " + answer.group(1) + (": " + said.group(1) if said else "")
    return re.sub(r"\\s+", " ", words)[:500].rstrip(":")


def run(*arguments, timeout=300):
    """Runs a command; returns its output and what went wrong, if anything."""
    try:
        ended = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return "", "%s took longer than %d s" % (arguments[0], timeout)
    words = None if ended.returncode == 0 else clean(ended.stderr or ended.stdout)
    if words:
        print("pgbackrest %s: %s" % (arguments[0], words), flush=True)
    return ended.stdout, words


def setup():
    """Makes the stanza, which is nothing when it is there, and sees one WAL segment arrive."""
    words = run("stanza-create", PROBE, timeout=60)[1]
    # The path is this Database's alone: what does not match is its own data of the major version before.
    if words and "do not match the database" in words:
        words = run("stanza-upgrade", PROBE, timeout=60)[1]
    return words or run("check", PROBE, "--archive-timeout=30", timeout=60)[1]


def archiver_fails():
    try:
        return member.query(ARCHIVER) == "t"
    except (subprocess.SubprocessError, OSError):
        return False


def pending():
    """Since when, in seconds since 1970, the oldest segment waits for the archive; None when none waits for long."""
    times = []
    for name in os.listdir(WAL + "archive_status"):
        try:
            if name.endswith(".ready"):
                times.append(os.stat(WAL + "archive_status/" + name).st_mtime)
        except FileNotFoundError:
            pass  # archived meanwhile
    oldest = min(times, default=time.time())
    return oldest if oldest < time.time() - PENDING else None


def recoverable():
    """When the last archived segment was closed, in seconds since 1970; when it arrived, if it is not here any more."""
    name, _, arrived = member.query(ARCHIVED).partition("|")
    if not arrived:
        return None
    try:
        return min(os.stat(WAL + name).st_mtime, float(arrived))
    except FileNotFoundError:
        return float(arrived)


def number(segment):
    return int(segment[8:16], 16) * 256 + int(segment[16:24], 16)


def gap(stanza, backups):
    """The newest range of WAL since the oldest backup that is neither in the repository nor waiting here."""
    archive = stanza["archive"][-1]["id"]
    text, words = run("repo-ls", "--recurse", "--output=json", "archive/db/" + archive, timeout=600)
    if words:
        return None
    oldest = min(number(one["archive"]["start"]) for one in backups)
    arrived = {}
    for path, one in json.loads(text).items():
        found = re.search(r"([0-9A-F]{24})-[0-9a-f]{40}", path)
        if found and number(found.group(1)) >= oldest:
            arrived[found.group(1)] = one["time"]
    newest, before = None, None
    for segment in sorted(arrived):
        if before and number(segment) > number(before) + 1:
            missing = [segment[:8] + "%08X%08X" % divmod(at, 256) for at in range(number(before) + 1, number(segment))]
            if not any(os.path.exists(WAL + "archive_status/" + name + ".ready") for name in missing):
                newest = {"firstWal": missing[0], "lastWal": missing[-1], "after": member.instant(arrived[before])}
        before = segment
    if newest:
        later = [one for one in backups if number(one["archive"]["start"]) > number(newest["lastWal"])]
        if later:
            newest["until"] = member.instant(min(one["timestamp"]["stop"] for one in later))
    return newest


def stanza_info():
    """What the repository holds, and what went wrong, if anything."""
    text, words = run("info", PROBE, "--output=json", timeout=30)
    stanza = next(iter(json.loads(text or "[]")), None) if words is None else None
    # It ends with 0 also when the store cannot be read (99): only then the list of backups says nothing.
    if stanza and stanza["status"]["code"] == 99:
        said = [one["status"]["message"] for one in stanza.get("repo", []) if one["status"]["code"] == 99]
        words = clean("; ".join(said) or stanza["status"]["message"])
    return stanza, [one for one in (stanza or {}).get("backup", []) if not one.get("error")], words


class Watch:
    """What was found so far, on a primary with a repository."""

    def __init__(self):
        self.ready = None  # what was set up
        self.told = None  # what was noted last
        self.newest = 0  # the last recoverable time that was noted
        self.gap = None
        self.looked = (None, 0)  # the last backup and the time when the gap was looked for

    def look(self):
        text = read("pgbackrest.conf")
        if text is None or not member.leads():
            # Whoever leads next sets it up anew; what this one said is read only while it leads.
            self.__init__()
            orders_ready.clear()
            return
        now = hashlib.sha256((text + (read("ca.crt") or "")).encode()).hexdigest()
        waits = pending()
        words = None
        if self.ready != now or archiver_fails():
            with lock:
                busy = any(order["state"] == "running" for order in orders.values())
            words = None if busy else setup()
            self.ready = None if words else now
            self.looked = (None, 0)
        elif waits:
            words = run("stanza-create", PROBE, timeout=30)[1]
            self.ready = None if words else now
        orders_ready.set() if self.ready else orders_ready.clear()
        report = {"problem": words} if words else self.inspect()
        if waits:
            report["pending"] = member.instant(waits)
        if failure:
            report["failure"] = failure
        if verified:
            report["verify"] = verified
        if report != self.told:
            member.note("${annotation.backup}", report)
            self.told = report

    def inspect(self):
        """What is in the repository."""
        stanza, backups, words = stanza_info()
        if words:
            return {"problem": words}
        if not backups:
            return {}
        last = max(backups, key=lambda one: one["timestamp"]["stop"])
        # pgBackRest restores a backup that ended before the target, in whole seconds.
        first = min(one["timestamp"]["stop"] for one in backups) + 1
        newest = max(recoverable() or 0, last["timestamp"]["stop"] + 1)
        if not 0 <= newest - self.newest < NEWER:
            self.newest = newest
        if self.looked[0] != last["label"] or time.monotonic() - self.looked[1] > LOOK:
            self.gap = gap(stanza, [one for one in backups if one["database"]["id"] == last["database"]["id"]])
            self.looked = (last["label"], time.monotonic())
        return {
            "first": member.instant(first),
            "recoverable": member.instant(self.newest),
            "last": {"id": last["label"], "time": member.instant(last["timestamp"]["stop"]), "size": last["info"]["size"]},
            **({"gap": self.gap} if self.gap else {}),
        }


def watch():
    found = Watch()
    while True:
        wake.clear()
        try:
            found.look()
        except Exception as error:
            print("backups: %s: %s" % (type(error).__name__, clean(str(error))), flush=True)
        wake.wait(15)


orders_ready = threading.Event()


def verify():
    """Reads every file of the repository; returns what is wrong, in pgBackRest's words."""
    text, words = run("verify", "--output=text", timeout=86_000)
    # It ends with 0 all the same, and says nothing of what is whole.
    return words or re.sub(r"\\s+", " ", text).strip()[:500] or None


def carry_out(id, kind):
    global failure, verified
    words = verify() if kind == "verify" else run("backup", "--type=" + kind, timeout=86_000)[1]
    ended = member.instant(time.time())
    if kind == "verify":
        verified = {"time": ended, "passed": words is None, **({"message": words} if words else {})}
    elif words:
        failure = {"time": ended, "message": words}
    with lock:
        orders[id] = {"state": "failed" if words else "done", "message": words or ""}
    print("%s %s: %s" % (kind, id, words or "done"), flush=True)
    wake.set()


def order(id, kind):
    """Takes an order up once; another one waits until the first is done."""
    with lock:
        if id in orders:
            return orders[id]
        if not orders_ready.is_set():
            return {"state": "unready", "message": "the repository is not set up on this member"}
        if any(order["state"] == "running" for order in orders.values()):
            return {"state": "waiting", "message": "another backup or verification runs"}
        for old in list(orders)[:-50]:
            del orders[old]
        orders[id] = {"state": "running", "message": ""}
    threading.Thread(target=carry_out, args=(id, kind), daemon=True).start()
    return {"state": "running", "message": ""}


class Handler(http.server.BaseHTTPRequestHandler):
    timeout = 10

    def do_POST(self):
        given = self.headers.get("Authorization", "").encode()
        expected = read("token")
        if not expected or not hmac.compare_digest(given, b"Bearer " + expected.encode()):
            return self.answer(401, {"state": "refused", "message": "wrong token"})
        try:
            length = int(self.headers.get("Content-Length", "0"))
            asked = json.loads(self.rfile.read(min(length, 4096)))
            id, kind = asked["id"], asked["type"]
        except (ValueError, KeyError, TypeError):
            return self.answer(400, {"state": "refused", "message": "expected id and type"})
        if kind not in ("full", "diff", "incr", "verify") or not re.fullmatch(r"[a-z0-9.-]{1,253}", str(id)):
            return self.answer(400, {"state": "refused", "message": "expected an id and one of full, diff, incr, verify"})
        if not member.leads():
            return self.answer(409, {"state": "elsewhere", "message": "this member does not lead"})
        return self.answer(200, order(id, kind))

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def start():
    threading.Thread(target=watch, daemon=True).start()
    server = http.server.ThreadingHTTPServer(("", ${backupPort}), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
`;

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
