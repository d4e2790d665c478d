/**
 * The agent's part for Secret `<name>-credentials`: the primary compares its passwords with what the server has.
 *
 * Whoever edits the Secret changes what applications and members connect with, and not what PostgreSQL accepts. The server
 * keeps a verifier of each password, from which nobody can tell the password, but whether it is the one. Only the names of
 * the roles whose password is another one leave the pod; no password is in a statement, an argument or a log.
 * @module
 */
import { passwordKeys } from "./credentials.ts";
import { annotation } from "./names.ts";
import { folder } from "./scripts.ts";

/** Looks every 30 s, where its member leads. The kubelet mounts a changed Secret after up to 90 s. */
export const credentialsAgent =
  `"""Tells on the pod for which roles the mounted Secret has another password than the server."""
import base64
import hashlib
import hmac
import json
import threading
import time
import unicodedata

import member

KEYS = ${JSON.stringify(passwordKeys)}
# A role that is not there or may not log in has no use for a password.
VERIFIERS = """SELECT json_object_agg(rolname, coalesce(rolpassword, '')) FROM pg_authid
WHERE rolcanlogin AND rolname IN ('%s')""" % "', '".join(KEYS)


def fits(verifier, password):
    """Whether a verifier "SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>" is of the password (RFC 5803)."""
    try:
        kind, parameters, keys = verifier.split("$")
        iterations, salt = parameters.split(":")
        iterations, salt, stored = int(iterations), base64.b64decode(salt), base64.b64decode(keys.split(":")[0])
    except ValueError:
        return False  # none, or of a kind that pg_hba.conf lets nobody in with
    for text in {password, unicodedata.normalize("NFKC", password)}:
        salted = hashlib.pbkdf2_hmac("sha256", text.encode(), salt, iterations)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        if kind == "SCRAM-SHA-256" and hmac.compare_digest(hashlib.sha256(client_key).digest(), stored):
            return True
    return False


def look():
    """The roles whose password in the Secret is not the server's; None while the server does not answer."""
    verifiers = json.loads(member.query(VERIFIERS) or "null")
    if verifiers is None:
        return None
    passwords = {role: member.read("${folder.credentials}/" + KEYS[role]) for role in verifiers}
    return sorted(role for role in verifiers if passwords[role] and not fits(verifiers[role], passwords[role]))


def watch():
    told = None
    while True:
        try:
            if not member.leads():
                told = None  # whoever leads next looks anew
            elif (refused := look()) not in (None, told):
                member.note("${annotation.credentials}", {"refused": refused})
                told = refused
        except Exception as error:
            print("credentials: %s" % type(error).__name__, flush=True)
        time.sleep(30)


def start():
    threading.Thread(target=watch, daemon=True).start()
`;
