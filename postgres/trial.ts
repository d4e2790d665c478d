/**
 * The trial: parameters that need a restart are tried on empty data, before the only member of a Database restarts.
 *
 * With others a replica tries them, and the primary stays as it is when that one does not come back. An only member has
 * nobody to try them on: what a server does not start with - a library that is not there, more memory than it can have -
 * would take the Database down. So its own pod makes empty data beside the server's, and lets PostgreSQL start on that in
 * single-user mode, which loads the libraries and takes the shared memory and ends at once. What is refused is told with
 * the values that are refused at a reload (scripts.ts, `report`), and is not set any more.
 * @module
 */

/** Python module `trial.py`, beside report.py. */
export const trial =
  `"""Tries parameters on empty data of its own: what a server does not start with, in PostgreSQL's words."""
import json
import re
import resource
import shutil
import subprocess

DATA = "/tmp/trial"
# The running values of what only a restart changes; paths and addresses are the running server's alone.
RUNNING = """SELECT json_object_agg(name, current_setting(name)) FROM pg_settings
WHERE context = 'postmaster' AND source NOT IN ('default', 'override') AND name !~ '_(file|directory|directories)$'
AND name NOT IN ('listen_addresses', 'port', 'cluster_name')"""
# More than the libraries of a server that does nothing.
ROOM = 256 * 2**20


def memory():
    """Bytes that a server can have: what the container may use, else what the node has."""
    found = []
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path, encoding="utf-8") as file:
                found.append(int(file.read()))
        except (OSError, ValueError):
            pass  # the other version of cgroups, or no limit
    with open("/proc/meminfo", encoding="utf-8") as file:
        found.append(int(re.search(r"MemTotal: +([0-9]+) kB", file.read())[1]) * 1024)
    return min(found)


def bound():
    # It must not be the kernel that says no: it would end the server beside it.
    limit = memory() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def start(binaries, parameters):
    """None when a server starts, else why not."""
    command = [binaries + "/postgres", "--single", "-D", DATA, "-F"]
    for name, value in {**parameters, "log_destination": "stderr", "logging_collector": "off"}.items():
        command += ["-c", name + "=" + value]
    ended = subprocess.run(command + ["postgres"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           errors="replace", timeout=120, preexec_fn=bound)
    if ended.returncode == 0:
        return None
    said = re.findall(r"(?:FATAL|PANIC):\\s+(.*)", ended.stderr) or [ended.stderr.strip()[-300:]]
    return said[0][:300] or "a server ended with %d" % ended.returncode


def attempt(binaries, query, pending):
    """Tries {name: value}; returns which of them fit, and which are refused with the running value and the words."""
    running = json.loads(query(RUNNING)) or {}
    shutil.rmtree(DATA, ignore_errors=True)
    try:
        initdb = [binaries + "/initdb", "-D", DATA, "-U", "postgres", "-A", "reject", "--no-sync"]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, timeout=120)
        words = start(binaries, {**running, **pending})
        if words is None:
            return {"fits": pending, "refused": {}}
        alone = {name: start(binaries, {**running, name: value}) for name, value in pending.items()}
        # Where each fits alone, they do not fit together: all are refused.
        blamed = {name: words for name, words in alone.items() if words} or dict.fromkeys(pending, words)
        return {
            "fits": {name: value for name, value in pending.items() if name not in blamed},
            "refused": {
                name: {"value": pending[name], "runs": running.get(name), "words": words}
                for name, words in blamed.items()
            },
        }
    finally:
        shutil.rmtree(DATA, ignore_errors=True)
`;
