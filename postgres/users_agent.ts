/**
 * The agent's part for roles and databases (agent.ts): makes what Secret `<name>-roles` lists, on the primary.
 *
 * A constant text: names and passwords come from the mounted file, and are quoted by psycopg2 where they become SQL. The
 * server is given SCRAM verifiers, computed by libpq in the agent: no password is in a statement, so none can reach the server's log or
 * its statistics; the session keeps the verifiers out of them too.
 * @module
 */
import { annotation } from "./names.ts";
import { folder, unseen } from "./scripts.ts";

/** Folder of the mounted Secret `<name>-roles`; empty while the Database names no users and no databases. */
export const rolesFolder = "/etc/database-roles";

/** Idle without orders and on a standby. Looks at the file every 3 s, and at the server every 30 s or when the file changed. */
export const usersAgent =
  `"""Makes roles and databases as they are asked for, and tells on the pod what could not be done."""
import hashlib
import json
import threading
import time

import member

try:
    import psycopg2
    from psycopg2 import extensions, sql
except ImportError:
    psycopg2 = None

FILE = "${rolesFolder}/roles.json"
# Nothing of the session is logged or counted with its text, and what a database's owner set for it does not apply.
SETTINGS = {
    "search_path": "",
    **${JSON.stringify(unseen)},
    "default_transaction_read_only": "off",
    "statement_timeout": "60s",
    "lock_timeout": "10s",
}
ROLE = """SELECT rolsuper OR rolreplication, ARRAY[rolcanlogin, rolcreatedb, rolbypassrls, rolinherit], rolconnlimit,
  rolpassword FROM pg_catalog.pg_authid WHERE rolname = %s"""
MEMBERSHIPS = """SELECT role.rolname, grantor.rolname FROM pg_catalog.pg_auth_members AS link
  JOIN pg_catalog.pg_roles AS role ON role.oid = link.roleid
  JOIN pg_catalog.pg_roles AS member ON member.oid = link.member
  LEFT JOIN pg_catalog.pg_roles AS grantor ON grantor.oid = link.grantor WHERE member.rolname = %s"""
OWNER = """SELECT pg_catalog.pg_get_userbyid(datdba) FROM pg_catalog.pg_database WHERE datname = %s"""
EXTENSION = "SELECT extversion FROM pg_catalog.pg_extension WHERE extname = %s"
AVAILABLE = """SELECT array_agg(version::text ORDER BY version) FROM pg_catalog.pg_available_extension_versions
  WHERE name = %s"""
RELOCATABLE = """SELECT relocatable FROM pg_catalog.pg_available_extension_versions AS of_each
  JOIN pg_catalog.pg_available_extensions USING (name) WHERE name = %s AND version = coalesce(%s, default_version)"""

passwords = {}  # by role: the digest of the password that was set here, and the verifier that the server then had


class Refused(Exception):
    """What is wrong with which field, in words that hold no secret."""

    def __init__(self, field, message):
        super().__init__(message)
        self.field = field


class Session:
    """One connection as superuser over the local socket; every statement is a transaction of its own."""

    def __init__(self, database="postgres"):
        options = " ".join("-c %s=%s" % setting for setting in SETTINGS.items())
        self.connection = psycopg2.connect(
            host="${folder.run}", user="postgres", dbname=database, application_name="agent", connect_timeout=10,
            options=options, client_encoding="UTF8")
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def rows(self, statement, *values):
        self.cursor.execute(statement, values)
        return self.cursor.fetchall()

    def run(self, *parts):
        """Runs a statement: texts are constant, everything else is composed by psycopg2.sql."""
        self.cursor.execute(sql.SQL(" ").join(sql.SQL(part) if isinstance(part, str) else part for part in parts))


def exists(session, role):
    return bool(session.rows("SELECT FROM pg_catalog.pg_roles WHERE rolname = %s", role))


def make_user(session, user):
    name, password, options = user["name"], user["password"], user["options"]
    role = sql.Identifier(name)
    wanted = ["NOLOGIN" not in options, "CREATEDB" in options, "BYPASSRLS" in options, "NOINHERIT" not in options]
    words = ("LOGIN", "CREATEDB", "BYPASSRLS", "INHERIT")
    attributes = ["" if holds else "NO" for holds in wanted]
    attributes = " ".join(no + word for no, word in zip(attributes, words))
    limit = user["connectionLimit"]
    attributes = sql.SQL(attributes + " CONNECTION LIMIT ") + sql.Literal(limit)
    found = session.rows(ROLE, name)
    if not found:
        session.run("CREATE ROLE", role, attributes)
    elif found[0][0]:
        raise Refused("name", 'role "%s" is a superuser or replicates: it is not touched' % name)
    elif [found[0][1], found[0][2]] != [wanted, limit]:
        session.run("ALTER ROLE", role, attributes)
    now = (hashlib.sha256(password.encode()).hexdigest(), found[0][3] if found else None)
    if now[1] is None or passwords.get(name) != now:
        verifier = extensions.encrypt_password(password, name, session.connection, "scram-sha-256")
        session.run("ALTER ROLE", role, "PASSWORD", sql.Literal(verifier))
        passwords[name] = (now[0], verifier)


def make_memberships(session, user):
    if user["memberOf"] is None:
        return
    name = user["name"]
    present = session.rows(MEMBERSHIPS, name)
    for group in user["memberOf"]:
        if group in [role for role, _ in present]:
            continue
        found = session.rows(ROLE, group)
        if not found:
            raise Refused("memberOf", 'role "%s" does not exist' % group)
        if found[0][0]:
            raise Refused("memberOf", 'role "%s" is a superuser or replicates' % group)
        session.run("GRANT", sql.Identifier(group), "TO", sql.Identifier(name))
    for group, grantor in present:
        if group not in user["memberOf"]:
            by = ["GRANTED BY", sql.Identifier(grantor)] if grantor else []
            session.run("REVOKE", sql.Identifier(group), "FROM", sql.Identifier(name), *by)


def make_database(session, database):
    name, owner = database["name"], database["owner"]
    if owner is not None and not exists(session, owner):
        raise Refused("owner", 'role "%s" does not exist' % owner)
    found = session.rows(OWNER, name)
    if not found:
        session.run("CREATE DATABASE", sql.Identifier(name), "OWNER", sql.Identifier(owner or database["creator"]))
    elif owner is not None and found[0][0] != owner:
        session.run("ALTER DATABASE", sql.Identifier(name), "OWNER TO", sql.Identifier(owner))


def make_extensions(database):
    if not database["extensions"]:
        return
    with Session(database["name"]) as session:
        for extension in database["extensions"]:
            make_extension(session, extension["name"], extension["version"])


def make_extension(session, name, version):
    found = session.rows(EXTENSION, name)
    if found and version in (None, found[0][0]):
        return
    there = session.rows(AVAILABLE, name)[0][0]
    if not there:
        raise Refused("extensions", 'the image has no extension "%s"' % name)
    if version is not None and version not in there:
        raise Refused("extensions", 'the image has extension "%s" in %s only' % (name, ", ".join(there)))
    if found:
        session.run("ALTER EXTENSION", sql.Identifier(name), "UPDATE TO", sql.Identifier(version))
    else:
        create_extension(session, name, version)


def create_extension(session, name, version):
    """The script is run as superuser, by names that it finds in its schema too: where it can be moved, it is run in a schema
    in which nobody else has made anything."""
    extension, stage = sql.Identifier(name), sql.Identifier("database_operator")
    exact = [] if version is None else ["VERSION", sql.Identifier(version)]
    if not session.rows(RELOCATABLE, name, version)[0][0]:
        session.run("SET search_path = public")
        session.run("CREATE EXTENSION", extension, *exact)
        session.run("SET search_path = ''")
        return
    session.run("BEGIN")
    session.run("CREATE SCHEMA", stage)
    session.run("CREATE EXTENSION", extension, "SCHEMA", stage, *exact)
    session.run("ALTER EXTENSION", extension, "SET SCHEMA public")
    session.run("DROP SCHEMA", stage)
    session.run("COMMIT")


def attempt(problems, kind, name, field, action, *arguments):
    """Does one thing; what cannot be done is told, and holds up nothing else."""
    try:
        action(*arguments)
    except Refused as refusal:
        problems.append({"kind": kind, "name": name, "field": refusal.field, "message": str(refusal)[:300]})
    except psycopg2.Error as error:
        words = error.diag.message_primary or "the server did not answer"
        problems.append({"kind": kind, "name": name, "field": field, "message": words[:300]})


def carry_out(orders):
    """Does what is asked for; returns what could not be done."""
    problems = []
    with Session() as session:
        for user in orders["users"]:
            attempt(problems, "users", user["name"], "name", make_user, session, user)
        for user in orders["users"]:
            attempt(problems, "users", user["name"], "memberOf", make_memberships, session, user)
        for database in orders["databases"]:
            attempt(problems, "databases", database["name"], "name", make_database, session, database)
    for database in orders["databases"]:
        attempt(problems, "databases", database["name"], "extensions", make_extensions, database)
    return problems


def watch():
    done = told = None
    looked = 0
    while True:
        try:
            text = member.read(FILE)
            if text is None or not member.leads():
                done = told = None  # whoever leads next looks anew
                passwords.clear()
            elif text != done or time.monotonic() - looked > 30:
                orders = json.loads(text)
                if psycopg2 is None:
                    problems = [{"kind": "", "name": "", "field": "", "message": "the image has no psycopg2"}]
                else:
                    problems = carry_out(orders)
                report = {"order": orders["order"], "problems": problems}
                if report != told:
                    member.note("${annotation.roles}", report)
                    told = report
                done, looked = text, time.monotonic()
        except Exception as error:
            print("roles: %s" % type(error).__name__, flush=True)
        time.sleep(3)


def start():
    threading.Thread(target=watch, daemon=True).start()
`;
