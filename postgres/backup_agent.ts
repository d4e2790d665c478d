/**
 * The agent's part for backups (agent.ts). Idle without a configuration and on a standby. On the primary it sets the
 * repository up, checks it, looks at what is in it, and notes that in annotation app.example.com/backup of its pod.
 *
 * A constant text, mounted beside patroni.yml: nothing of a Database is pasted into it.
 * @module
 */
import { annotation, backupPort } from "./names.ts";

/** Python module `backup_agent`. */
export const backupAgent =
  `"""Runs pgBackRest beside the server: sets the repository up, takes backups when asked, and tells on the pod."""
import hashlib
import hmac
import http.server
import json
import re
import threading
import time

import member
import repository

# Seconds after which a newer last recoverable time is worth a note, and after which a note is renewed in any case.
NEWER = 300
# Seconds after which all WAL is looked through for gaps; new segments are looked for at once.
LOOK = 3600

guard = threading.Lock()  # of the orders
wake = threading.Event()
orders = {}  # by id: {"state": "running" | "done" | "failed", "message": ...}
orders_ready = threading.Event()
running = []  # the pgBackRest processes of orders
failure = None  # the last backup that failed here: {"time", "message"}
verified = None  # the last verification here: {"time", "passed", "message"}


class Watch:
    """What was found so far, on a primary with a repository."""

    def __init__(self):
        self.leads = False
        self.ready = None  # the configuration that was set up and checked
        self.reached = 0  # since when the repository can be used, in seconds since 1970
        self.told = ""  # what was noted last; not known yet
        self.newest = 0  # the last recoverable time that was noted
        self.gap = None
        self.looked = None  # the last backup and the time when all WAL was looked through
        self.segment = None  # the last segment that was looked for

    def look(self):
        text = repository.read("pgbackrest.conf")
        if text is None or not member.leads():
            return self.rest(text is not None)
        if not self.leads:
            repository.offer_inherited()
            self.leads = True
        now = hashlib.sha256((text + (repository.read("ca.crt") or "")).encode()).hexdigest()
        words = None
        if self.ready != now or repository.archiver_fails():
            if repository.lock.acquire(blocking=False):
                try:
                    words = self.set_up(now)
                finally:
                    repository.lock.release()
            elif self.ready != now:
                return  # nothing can be said of this configuration until the order that runs has ended
            else:
                words = repository.refused(self.reached)
        orders_ready.set() if self.ready == now and not words else orders_ready.clear()
        self.tell({"problem": words} if words else self.inspect())

    def rest(self, configured):
        """On a standby, and without a repository: what was said here is not believed any more."""
        orders_ready.clear()
        if running and member.query("SELECT pg_is_in_recovery()") == "t":
            # The new primary may begin the same backup.
            for process in list(running):
                process.terminate()
        if self.told or configured and self.told == "":
            member.note("${annotation.backup}", None)
        self.__init__()
        self.told = None

    def set_up(self, now):
        """Sets the repository up; what is wrong, if anything. A check would wait behind a queue of segments."""
        words = repository.setup()
        if words:
            self.reached = 0
            return words
        self.reached = self.reached or time.time()
        if self.ready == now or len(repository.waiting()) > 2:
            return repository.refused(self.reached)
        words = repository.check()
        if words is None:
            self.ready = now
            self.looked = None
        return words

    def tell(self, report):
        waits = min(repository.waiting(), default=time.time())
        if waits < time.time() - repository.PENDING:
            report["pending"] = member.instant(waits)
        if failure:
            report["failure"] = failure
        if verified:
            report["verify"] = verified
        # The Secret that this is about, and that somebody still looks.
        report["revision"] = repository.read("revision") or ""
        report["seen"] = member.instant(time.time() // NEWER * NEWER)
        if report != self.told:
            member.note("${annotation.backup}", report)
            self.told = report

    def inspect(self):
        """What is in the repository."""
        stanza, words = repository.info()
        if words:
            return {"problem": words}
        every = sorted(stanza["backup"] if stanza else [], key=lambda one: one["timestamp"]["stop"])
        backups = [one for one in every if not one.get("error")]
        report = {}
        if every and every[-1].get("error"):
            report["damaged"] = {"id": every[-1]["label"], "time": member.instant(every[-1]["timestamp"]["stop"])}
        if not backups:
            return report
        last = backups[-1]
        segment, closed = repository.archived()
        self.find_gap(stanza, [one for one in backups if one["database"]["id"] == last["database"]["id"]], segment)
        # pgBackRest restores a backup that ended before the target, in whole seconds.
        newest = max(closed, last["timestamp"]["stop"] + 1)
        # When nothing follows, it is the last for now; and it is never before the first.
        quiet = newest < time.time() - repository.PENDING
        if quiet or self.newest < backups[0]["timestamp"]["stop"] + 1 or not 0 <= newest - self.newest < NEWER:
            self.newest = newest
        open_gap = self.gap and "until" not in self.gap
        return {
            **report,
            "first": member.instant(backups[0]["timestamp"]["stop"] + 1),
            "recoverable": self.gap["after"] if open_gap else member.instant(self.newest),
            "last": {"id": last["label"], "time": member.instant(last["timestamp"]["stop"]), "size": last["info"]["size"]},
            **({"gap": self.gap} if self.gap else {}),
        }

    def find_gap(self, stanza, backups, segment):
        archive = stanza["archive"][-1]["id"]
        label, at = self.looked or (None, 0)
        known = label == backups[-1]["label"] and time.monotonic() - at < LOOK
        moved = segment and segment != self.segment
        try:
            if not known or moved and not (self.segment and repository.holds(archive, self.segment, segment)):
                self.gap = repository.gap(archive, backups, segment)
                self.looked = (backups[-1]["label"], time.monotonic())
            self.segment = segment or self.segment
        except OSError as error:
            print("backups: gaps are looked for later: %s" % error, flush=True)


def watch():
    found = Watch()
    while True:
        wake.clear()
        try:
            found.look()
        except Exception as error:
            print("backups: %s: %s" % (type(error).__name__, repository.clean(str(error))), flush=True)
        wake.wait(15)


def verify():
    """Reads every file of the repository; returns what is wrong, in pgBackRest's words."""
    text, words = repository.run("verify", "--output=text", timeout=86_000, running=running)
    # It ends with 0 all the same, and says nothing of what is whole.
    return words or re.sub(r"\\s+", " ", text).strip()[:500] or None


def carry_out(id, kind):
    global failure, verified
    words = "it was not carried out"
    try:
        back_up = lambda: repository.run("backup", "--type=" + kind, timeout=86_000, running=running)[1]
        words = verify() if kind == "verify" else back_up()
    finally:
        repository.lock.release()
        ended = member.instant(time.time())
        if kind == "verify":
            verified = {"time": ended, "passed": words is None, **({"message": words} if words else {})}
        elif words:
            failure = {"time": ended, "message": words}
        with guard:
            orders[id] = {"state": "failed" if words else "done", "message": words or ""}
        print("%s %s: %s" % (kind, id, words or "done"), flush=True)
        wake.set()


def order(id, kind):
    """Takes an order up once; another one waits until the first is done."""
    with guard:
        if id in orders:
            return orders[id]
        if not orders_ready.is_set():
            return {"state": "unready", "message": "the repository is not set up on this member"}
        if not repository.lock.acquire(blocking=False):
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
        expected = repository.read("token")
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
