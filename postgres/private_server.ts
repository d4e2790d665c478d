/**
 * Parts of the programs that start a restored server for themselves alone: no network, a socket in /tmp, no archiving,
 * no subscriptions.
 * @module
 */

/** Python: `read`, `clean`, `said` and `unreadable`, pgBackRest's own words. Needs os, re. */
export const words = `

def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def clean(text, config):
    """The words in one line, without the values of the configuration that are secret."""
    for value in re.findall(r"^repo1-(?:s3-key|s3-key-secret|cipher-pass)=(.+)$", config, re.M):
        text = text.replace(value, "***")
    return re.sub(r"\\s+", " ", text).strip()


def said(ended):
    """The error of a pgBackRest that ended, with the store's code."""
    errors = re.findall(r"ERROR: (\\[[0-9]+\\]: .*?)(?=\\n *\\*\\*\\*|\\n\\S|\\Z)", ended.stderr, re.S)
    code = re.search(r"<Code>([^<]*)</Code>", ended.stderr)
    return (errors[0] if errors else ended.stderr or ended.stdout) + (" " + code.group(1) if code else "")


def unreadable(stanza):
    """Why what info tells of is not all there is: it ends with 0 also when the repository cannot be read (99)."""
    messages = [one["status"]["message"] for one in (stanza or {}).get("repo", []) if one["status"]["code"] == 99]
    if not messages or not re.match(r"\\[(?:Format|Crypto)Error\\]", messages[0]):
        return next(iter(messages), None)
    # What follows is what another key makes of the file: any bytes.
    return messages[0].split("\\n")[0].rstrip(":") + ": it was written with another encryptionKey, or is damaged"

`;

/** Python: `serve` and `accepts`, and `ALONE`, the environment of psql. Needs os, subprocess, time. */
export const privateServer = `
HBA, IDENT = "/tmp/restore_hba.conf", "/tmp/restore_ident.conf"
# Whoever owns a restored database may have set a search_path on it, with a function of his own in place of PostgreSQL's.
ALONE = {**os.environ, "PGOPTIONS": "-c search_path="}


def serve(binaries, data, log, more):
    """Starts the server on restored data, closed to everybody but this user."""
    with open(HBA, "w", encoding="utf-8") as file:
        file.write("local all all peer\\n")
    open(IDENT, "w", encoding="utf-8").close()
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": "/tmp",
        "hba_file": HBA,
        "ident_file": IDENT,
        "archive_mode": "off",
        # Off, it takes no minimum of max_connections and others from the source.
        "hot_standby": "off",
        "ssl": "off",
        "synchronous_standby_names": "",
        "logging_collector": "off",
        "log_destination": "stderr",
        # What is told of the replay is read from these lines.
        "log_min_messages": "warning",
        "lc_messages": "C",
        "timezone": "UTC",
        # The source's own subscriptions go on where they are.
        "max_logical_replication_workers": "0",
        **more,
    }
    arguments = [part for name, value in settings.items() for part in ("-c", name + "=" + value)]
    with open(log, "w", encoding="utf-8") as file:
        return subprocess.Popen([binaries + "/postgres", "-D", data, *arguments], stdout=file, stderr=file)


def accepts(server, binaries):
    """Waits until all WAL is replayed and it takes connections; False when it ended before."""
    psql = [binaries + "/psql", "-h", "/tmp", "-XAtqc", "SELECT pg_catalog.pg_is_in_recovery()", "postgres"]
    while server.poll() is None:
        if subprocess.run(psql, env=ALONE, capture_output=True, text=True).stdout.strip() == "f":
            return True
        time.sleep(0.5)
    return False

`;

/** Python: how far the archive goes and how far a replay came. Needs json, re, `run`. */
export const reach = `

def newest(stanza, backup):
    """The newest WAL segment that was archived after the backup, and when it arrived, in seconds since 1970."""
    archive = next((one for one in stanza["archive"] if one["database"]["id"] == backup["database"]["id"]), {})
    segment = archive.get("max")
    if not segment:
        return None, 0
    files = json.loads(run("repo-ls", "--output=json", "archive/db/%s/%s" % (archive["id"], segment[:16])))
    return segment, max((one["time"] for name, one in files.items() if name.startswith(segment + "-")), default=0)


def breaks_off(log, segment):
    """Whether the replay that this log tells of ended before this segment: what is between never arrived."""
    ends = re.findall(r"redo done at ([0-9A-F]+)/([0-9A-F]+)", log)
    if not ends or not segment:
        return True
    high, low = (int(part, 16) for part in ends[-1])
    return high * 256 + (low >> 24) < int(segment[8:16], 16) * 256 + int(segment[16:24], 16)


def last_commit(log):
    """When the last transaction that was replayed had committed, as Kubernetes writes times; None when there is none."""
    times = re.findall(r"last completed transaction was at log time ([-0-9]+) ([0-9:]+)", log)
    return "%sT%sZ" % times[-1] if times else None

`;
