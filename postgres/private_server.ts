/**
 * Parts of the programs that start a restored server for themselves alone: no network, a socket in /tmp, no archiving.
 * @module
 */

/** Python: `read`, `clean` and `said`, pgBackRest's own words. Needs os, re. */
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

`;

/** Python: `serve` and `accepts`. Needs subprocess, time. */
export const privateServer = `
HBA, IDENT = "/tmp/restore_hba.conf", "/tmp/restore_ident.conf"


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
        **more,
    }
    arguments = [part for name, value in settings.items() for part in ("-c", name + "=" + value)]
    with open(log, "w", encoding="utf-8") as file:
        return subprocess.Popen([binaries + "/postgres", "-D", data, *arguments], stdout=file, stderr=file)


def accepts(server, binaries):
    """Waits until all WAL is replayed and it takes connections; False when it ended before."""
    psql = [binaries + "/psql", "-h", "/tmp", "-XAtqc", "SELECT pg_is_in_recovery()", "postgres"]
    while server.poll() is None:
        if subprocess.run(psql, capture_output=True, text=True).stdout.strip() == "f":
            return True
        time.sleep(0.5)
    return False

`;
