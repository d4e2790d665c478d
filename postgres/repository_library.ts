/**
 * What the agents of backups share: running pgBackRest, what is in the repository, and what of the WAL is not.
 *
 * A constant text, mounted beside patroni.yml; backup_agent.ts decides what to do with it.
 * @module
 */
import { backupFolder, pgbackrest } from "./backup_scripts.ts";
import { spoolFolder } from "./backups.ts";
import { dataFolder } from "./scripts.ts";

/** Python module `repository`. */
export const repositoryLibrary =
  `"""pgBackRest beside the server: what its repository holds, and what of the server's WAL it lacks."""
import glob
import json
import os
import re
import subprocess
import threading
import time

import member

WAL = "${dataFolder}/pg_wal/"
STATUS = WAL + "archive_status/"
FOLDER = "${backupFolder}/"
SPOOL = "${spoolFolder}/archive/db/out/"
COMMAND = ${JSON.stringify(pgbackrest.split(" "))}
ARCHIVER = "SELECT coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) FROM pg_stat_archiver"
ARCHIVED = "SELECT last_archived_wal, extract(epoch FROM last_archived_time)::bigint FROM pg_stat_archiver"
TIMELINE = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"
# A segment that waits longer for the archive than this, in seconds, is told; archive_timeout closes one after 50.
PENDING = 90
# Seconds without a byte from the store when it is only looked at: its reason is in the status within a minute.
PROBE = "--io-timeout=5"

# Held by whatever takes pgBackRest's own lock: a backup, a verification, a command on the stanza.
lock = threading.Lock()


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


def run(*arguments, timeout=300, running=None):
    """Runs a command, also listed in \`running\` meanwhile; returns its output and what went wrong, if anything."""
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
    running = [] if running is None else running
    running.append(process)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return "", "%s took longer than %d s" % (arguments[0], timeout)
    finally:
        running.remove(process)
    words = None
    if process.returncode:
        words = clean(err or out) or "%s ended with %d" % (arguments[0], process.returncode)
        print("pgbackrest %s: %s" % (arguments[0], words), flush=True)
    return out, words


def setup():
    """Makes the stanza, which is nothing when it is there. Every file that it needs is read."""
    words = run("stanza-create", PROBE, timeout=60)[1]
    # The path is this Database's alone: what does not match is its own data of the major version before.
    if words and "do not match the database" in words:
        words = run("stanza-upgrade", PROBE, timeout=60)[1]
    return words


def check():
    """Sees one WAL segment arrive."""
    return run("check", PROBE, "--archive-timeout=30", timeout=60)[1]


def archiver_fails():
    try:
        return member.query(ARCHIVER) == "t"
    except (subprocess.SubprocessError, OSError):
        return False


def refused(since):
    """Why the archiver fails since then: archive-push works in the background and leaves its words in the spool."""
    files = [path for path in glob.glob(SPOOL + "*.error") if os.stat(path).st_mtime > since]
    code, _, words = (member.read(max(files)) or "" if files else "").partition("\\n")
    return clean("ERROR: [%s]: %s" % (code.strip().zfill(3), words)) if words else None


def waiting():
    """Since when, in seconds since 1970, each segment waits for the archive."""
    times = []
    for path in glob.glob(STATUS + "*.ready"):
        try:
            times.append(os.stat(path).st_mtime)
        except FileNotFoundError:
            pass  # archived meanwhile
    return times


def archived():
    """The segment that was archived last, and when it was closed; when it arrived, if it is not here any more."""
    name, _, arrived = member.query(ARCHIVED).partition("|")
    if not arrived:
        return None, 0
    try:
        closed = min(os.stat(WAL + name).st_mtime, float(arrived))
    except FileNotFoundError:
        closed = float(arrived)
    return name if re.fullmatch("[0-9A-F]{24}", name) else None, closed


def number(segment):
    return int(segment[8:16], 16) * 256 + int(segment[16:24], 16)


class Path:
    """The timelines that led to the present one, and so the name of each segment on the way."""

    def __init__(self):
        self.present = member.query(TIMELINE)
        lines = (member.read(WAL + self.present + ".history") or "").splitlines()
        found = [re.match(r"([0-9]+)\\t([0-9A-F]+)/([0-9A-F]+)", line) for line in lines]
        # The segment in which a timeline ends is the first of the next one.
        self.ends = [(int(one[2], 16) * 256 + (int(one[3], 16) >> 24), "%08X" % int(one[1])) for one in found if one]

    def name(self, at):
        timeline = next((timeline for end, timeline in self.ends if at < end), self.present)
        return timeline + "%08X%08X" % divmod(at, 256)

    def leads_to(self, segment):
        return segment == self.name(number(segment))


def offer(segments):
    """
    Has segments archived that the server takes for archived: those that pgBackRest gave up, and those that came by
    replication, which their primary may not have archived before it was lost. Returns those that are not here any more.
    """
    gone = []
    for segment in segments:
        if os.path.exists(STATUS + segment + ".ready"):
            continue
        if not os.path.exists(WAL + segment):
            gone.append(segment)
            continue
        try:
            os.rename(STATUS + segment + ".done", STATUS + segment + ".ready")
        except FileNotFoundError:
            open(STATUS + segment + ".ready", "w").close()
    return gone


def offer_inherited():
    """On a new primary: the WAL of the timelines before that is still here. What has arrived is not pushed again."""
    path = Path()
    inherited = [name for name in os.listdir(WAL) if re.fullmatch("[0-9A-F]{24}", name) and name[:8] != path.present]
    offer(sorted(name for name in inherited if path.leads_to(name)))


def segments(text):
    """From what repo-ls says: when each segment arrived."""
    found = ((re.search(r"([0-9A-F]{24})-[0-9a-f]{40}", path), one) for path, one in json.loads(text).items())
    return {name.group(1): one["time"] for name, one in found if name}


def holds(archive, after, last):
    """Whether all segments after one and up to another are in the repository, or wait here; raises OSError as gap does."""
    path = Path()
    names = [path.name(at) for at in range(number(after) + 1, number(last) + 1)]
    arrived = set()
    for folder in {name[:16] for name in names}:
        text, words = run("repo-ls", PROBE, "--output=json", "archive/db/%s/%s" % (archive, folder), timeout=60)
        if words:
            raise OSError(words)
        arrived.update(segments(text))
    return all(name in arrived or os.path.exists(STATUS + name + ".ready") for name in names)


def gap(archive, backups, last):
    """
    The newest range of WAL since the oldest backup that is neither in the repository nor on this server; raises OSError
    when that cannot be told. What is only not in the repository is offered to it.
    """
    text, words = run("repo-ls", "--recurse", "--output=json", "archive/db/" + archive, timeout=600)
    if words:
        raise OSError(words)
    path = Path()
    arrived = {name: at for name, at in segments(text).items() if path.leads_to(name)}
    oldest = min(number(one["archive"]["start"]) for one in backups)
    newest = max(map(number, [*arrived, *([last] if last else [])]), default=oldest)
    lacking = offer([name for name in map(path.name, range(oldest, newest + 1)) if name not in arrived])
    if not lacking:
        return None
    first = len(lacking) - 1
    while first and number(lacking[first - 1]) == number(lacking[first]) - 1:
        first -= 1
    found = {"firstWal": lacking[first], "lastWal": lacking[-1]}
    before = [at for name, at in arrived.items() if number(name) < number(found["firstWal"])]
    found["after"] = member.instant(max(before, default=0))
    later = [one for one in backups if number(one["archive"]["start"]) > number(found["lastWal"])]
    if later:
        found["until"] = member.instant(min(one["timestamp"]["stop"] for one in later) + 1)
    return found


def info():
    """What the repository holds, and what went wrong, if anything."""
    text, words = run("info", PROBE, "--output=json", timeout=30)
    stanza = next(iter(json.loads(text or "[]", strict=False)), None) if words is None else None
    # It ends with 0 also when the store cannot be read (99): only then the list of backups says nothing.
    if stanza and stanza["status"]["code"] == 99:
        said = [one["status"]["message"] for one in stanza.get("repo", []) if one["status"]["code"] == 99]
        words = clean("; ".join(said) or stanza["status"]["message"])
    return stanza, words
`;
