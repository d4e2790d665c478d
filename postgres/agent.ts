/**
 * The agent: what the operator needs done beside each server, as it speaks to the Kubernetes API alone.
 *
 * One Python process in the container `agent` of each member, which sees the member's data, its socket and its mounted
 * files. It runs small modules, each a loop in a thread of its own. A module takes its orders from mounted files, acts only where
 * its member leads, and reports in an annotation of its pod. Constant texts, mounted beside patroni.yml: nothing of a
 * Database is pasted into them.
 * @module
 */
import { patroniPort } from "./names.ts";
import { tokenFolder } from "./scripts.ts";

/**
 * The agent itself. What goes wrong in a module is said in its log and never ends the process, as a container that ends
 * would make the member not ready.
 *
 * @param modules names of the Python modules to run; each has a function `start` that returns at once
 */
export function agent(modules: readonly string[]): string {
  return `"""Runs beside the server: starts each module's loop."""
import importlib
import os
import signal
import threading

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
for name in ${JSON.stringify(modules)}:
    importlib.import_module(name).start()
threading.Event().wait()
`;
}

/** What the modules share. */
export const memberLibrary = `"""What the agent's modules share: who leads, the server, and the own pod."""
import json
import os
import ssl
import subprocess
import time
import urllib.error
import urllib.request

TOKEN = "${tokenFolder}/"


def call(url, body=None, headers=None, method=None, context=None):
    handlers = [urllib.request.ProxyHandler({})]
    if context:
        handlers.append(urllib.request.HTTPSHandler(context=context))
    request = urllib.request.Request(url, body, headers or {}, method=method)
    with urllib.request.build_opener(*handlers).open(request, timeout=10) as answer:
        return answer.read()


def leads():
    """Whether this member is the primary, as Patroni here knows it."""
    try:
        call("http://localhost:${patroniPort}/primary")
        return True
    except (OSError, urllib.error.URLError):
        return False


def query(statement, database="postgres"):
    """
    Runs a constant statement as superuser over the local socket; returns what psql prints, unaligned. Names are those
    of pg_catalog, whatever search_path somebody set for the role or the database.
    """
    psql = ["psql", "-XAtqc", statement, database]
    environment = {**os.environ, "PGOPTIONS": "-c search_path="}
    return subprocess.run(psql, capture_output=True, text=True, timeout=20, env=environment).stdout.strip()


def read(path):
    """The text of a mounted file; None while it is not there."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def note(annotation, report):
    """Writes a report, as JSON, into an annotation of the own pod."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    host = "[" + host + "]" if ":" in host else host
    path = (host, port, read(TOKEN + "namespace"), os.environ["HOSTNAME"])
    body = {"metadata": {"annotations": {annotation: json.dumps(report)}}}
    headers = {"Authorization": "Bearer " + read(TOKEN + "token"), "Content-Type": "application/merge-patch+json"}
    context = ssl.create_default_context(cafile=TOKEN + "ca.crt")
    # Python 3.13 refuses authorities without a key usage extension, which many clusters have.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    call("https://%s:%s/api/v1/namespaces/%s/pods/%s" % path, json.dumps(body).encode(), headers, "PATCH", context)


def instant(seconds):
    """Seconds since 1970 as Kubernetes writes times."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
`;
