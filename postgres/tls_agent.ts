/**
 * The agent's part for TLS: the server uses the mounted certificate, whenever it changes, without a restart.
 * @module
 */
import { annotation, postgresPort } from "./names.ts";
import { folder } from "./scripts.ts";

/**
 * Sees the mounted files change, lets the server reload, looks which certificate it shows from then on, and notes that
 * in annotation app.example.com/tls of its pod, with the authorities that are mounted and since when (tls.ts). A reload
 * changes new connections only; one with files that the server cannot use changes nothing.
 */
export const tlsAgent =
  `"""Lets the server take up the mounted certificate when it changes, and tells on the pod which one it shows."""
import hashlib
import re
import socket
import ssl
import struct
import threading
import time

import member

FOLDER = "${folder.tls}/"
# Seconds after a reload until the server has to show the new certificate; then that is a problem to tell.
PATIENCE = 20


def fingerprints(text):
    blocks = re.findall("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", text or "", re.S)
    return [hashlib.sha256(ssl.PEM_cert_to_DER_cert(block)).hexdigest() for block in blocks]


def shown():
    """The fingerprint of the certificate that the server shows; None while it does not serve."""
    # Only looked at, not trusted: nothing is sent.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection(("localhost", ${postgresPort}), 5) as plain:
            plain.sendall(struct.pack("!ii", 8, 80877103))
            if plain.recv(1) != b"S":
                return None
            with context.wrap_socket(plain) as encrypted:
                return hashlib.sha256(encrypted.getpeercert(True)).hexdigest()
    except OSError:
        return None


def watch():
    files = told = None  # what was mounted, and what was noted last
    while True:
        try:
            text, trusted = member.read(FOLDER + "tls.crt"), member.read(FOLDER + "ca.crt")
            now = time.time()
            if (text, trusted) != files:
                if files is None or trusted != files[1]:
                    since = member.instant(now)
                files, changed, settled = (text, trusted), now, False
                wanted = (fingerprints(text) or [None])[0]
            if wanted and not settled:
                found = shown()
                if found and found != wanted:
                    member.query("SELECT pg_reload_conf()")
                    found = shown()
                report = {"certificate": found, "trusts": fingerprints(trusted), "since": since}
                settled = found == wanted
                if found and not settled and now - changed > PATIENCE:
                    report["problem"] = "the server does not take up the certificate in ${folder.tls}: see its log"
                if report != told and (settled or "problem" in report):
                    member.note("${annotation.tls}", report)
                    told = report
        except Exception as error:
            settled = False
            print("tls: %s: %s" % (type(error).__name__, error), flush=True)
        time.sleep(2)


def start():
    threading.Thread(target=watch, daemon=True).start()
`;
