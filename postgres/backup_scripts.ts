/**
 * The programs of backups: the agent that runs pgBackRest beside each server, and what a backup's Job runs to ask it.
 *
 * Constant texts, mounted beside patroni.yml: nothing of a Database is pasted into them. pgBackRest has to run where
 * the data is, and a Job that may execute commands in other pods would need a powerful permission. So each member has
 * an agent that takes one order only, `backup`, from whoever holds the token; Jobs need no Kubernetes permission.
 * @module
 */
import { annotation, backupPort } from "./names.ts";

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
import re
import subprocess
import threading
import time

import member

FOLDER = "${backupFolder}/"
COMMAND = ${JSON.stringify(pgbackrest.split(" "))}
ARCHIVER = "SELECT coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) FROM pg_stat_archiver"

lock = threading.Lock()
wake = threading.Event()
orders = {}  # by id: {"state": "running" | "done" | "failed", "message": ...}
failure = None  # the last backup that failed here: {"time", "message"}


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
        return "", "pgbackrest %s took longer than %d s" % (arguments[0], timeout)
    words = None if ended.returncode == 0 else clean(ended.stderr or ended.stdout)
    if words:
        print("pgbackrest %s: %s" % (arguments[0], words), flush=True)
    return ended.stdout, words


def setup():
    """Makes the stanza, which is nothing when it is there, and sees one WAL segment arrive."""
    for arguments in (["stanza-create"], ["check", "--archive-timeout=30"]):
        words = run(*arguments)[1]
        if words:
            return words
    return None


def archiver_fails():
    try:
        return member.query(ARCHIVER) == "t"
    except (subprocess.SubprocessError, OSError):
        return False


def inspect():
    """What is in the repository."""
    text, words = run("info", "--output=json", timeout=120)
    if words:
        return {"problem": words}
    stanzas = json.loads(text)
    backups = [one for one in (stanzas[0]["backup"] if stanzas else []) if not one.get("error")]
    if not backups:
        return {}
    last = max(backups, key=lambda one: one["timestamp"]["stop"])
    first = min(one["timestamp"]["stop"] for one in backups)
    return {
        "first": member.instant(first),
        "last": {"id": last["label"], "time": member.instant(last["timestamp"]["stop"]), "size": last["info"]["size"]},
    }


def watch():
    ready = told = None  # what was set up, and what was noted last
    while True:
        wake.clear()
        try:
            text = read("pgbackrest.conf")
            if text is None:
                ready = None
            elif member.leads():
                now = hashlib.sha256((text + (read("ca.crt") or "")).encode()).hexdigest()
                report = {}
                if ready != now or archiver_fails():
                    with lock:
                        busy = any(order["state"] == "running" for order in orders.values())
                    words = None if busy else setup()
                    ready = None if words else now
                    if words:
                        report["problem"] = words
                orders_ready.set() if ready else orders_ready.clear()
                report = {**inspect(), **report}
                if failure:
                    report["failure"] = failure
                if report != told:
                    member.note("${annotation.backup}", report)
                    told = report
            else:
                # Whoever leads next sets it up anew; what this one said is read only while it leads.
                ready = told = None
                orders_ready.clear()
        except Exception as error:
            print("backups: %s: %s" % (type(error).__name__, clean(str(error))), flush=True)
        wake.wait(15)


orders_ready = threading.Event()


def backup(id, kind):
    global failure
    words = run("backup", "--type=" + kind, timeout=86_000)[1]
    if words:
        failure = {"time": member.instant(time.time()), "message": words}
    with lock:
        orders[id] = {"state": "failed" if words else "done", "message": words or ""}
    print("backup %s: %s" % (id, words or "done"), flush=True)
    wake.set()


def order(id, kind):
    """Takes an order up once; another one waits until the first is done."""
    with lock:
        if id in orders:
            return orders[id]
        if not orders_ready.is_set():
            return {"state": "unready", "message": "the repository is not set up on this member"}
        if any(order["state"] == "running" for order in orders.values()):
            return {"state": "waiting", "message": "another backup runs"}
        for old in list(orders)[:-50]:
            del orders[old]
        orders[id] = {"state": "running", "message": ""}
    threading.Thread(target=backup, args=(id, kind), daemon=True).start()
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
        if kind not in ("full", "diff", "incr") or not re.fullmatch(r"[a-z0-9.-]{1,253}", str(id)):
            return self.answer(400, {"state": "refused", "message": "expected an id and one of full, diff, incr"})
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
