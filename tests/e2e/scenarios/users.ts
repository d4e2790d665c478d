/**
 * Users and databases: created as asked for, names taken literally, passwords that follow their Secrets, and what
 * cannot be done named in the status.
 * @module
 */
import { Buffer } from "node:buffer";
import { until } from "../../within.ts";
import { conditionOf, leader, sql } from "../database.ts";
import type { KubeObject } from "../kubectl.ts";
import { bar, check, discard, ensure, type Run, type Scenario, underWrites } from "../scenario.ts";

const name = "roled";
/** From the change of a Secret to the login with it, in milliseconds. */
const rotationMs = 60_000;
const hostileUser = `a"b'; DROP ROLE app; -- $(id) \\`;
/** 63 bytes, the longest that PostgreSQL takes. */
const longUser = "ü".repeat(30) + "\u202e";
const hostileDatabase = `host=evil "quoted"; DROP DATABASE app`;

/** Logs in through the Service as an application would; the password goes through standard input only. */
const login = `import json, sys
import psycopg2
try:
    with psycopg2.connect(connect_timeout=5, **json.load(sys.stdin)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT current_user, current_database()")
        print(json.dumps(cursor.fetchone()))
except psycopg2.OperationalError as error:
    print(json.dumps([str(error).strip()[:200]]))
`;

async function loggedIn(run: Run, user: string, password: string, dbname: string): Promise<string[]> {
  const primary = (await leader(run.kubectl, name))!;
  const input = JSON.stringify({ host: name, user, password, dbname });
  const text = await run.kubectl.exec(primary, ["python3", "-c", login], { input });
  return JSON.parse(text.trim().split("\n").at(-1)!) as string[];
}

async function passwordIn(run: Run, secret: string): Promise<string> {
  const found = await run.kubectl.get("secret", secret);
  return Buffer.from(found?.["data"]?.password ?? "", "base64").toString();
}

function secretOf(secret: string, text: Record<string, string>): KubeObject {
  return { apiVersion: "v1", kind: "Secret", metadata: { name: secret }, stringData: text };
}

/** Waits until condition UsersReady has this reason and returns the Database. */
async function usersReady(run: Run, reason: string, words = ""): Promise<KubeObject> {
  return await until(bar.ready, `UsersReady to be ${reason} ${words}`, async () => {
    const found = await run.kubectl.get("databases", name);
    const condition = conditionOf(found, "UsersReady");
    const current = condition?.observedGeneration === found?.metadata.generation;
    if (current && condition?.reason === reason && String(condition.message).includes(words)) return found;
    throw new Error(`${condition?.reason}: ${condition?.message}`);
  }, 500) as KubeObject;
}

const spec = (users: unknown[], databases: unknown[]) => ({
  size: 2,
  parameters: { log_statement: "all", log_connections: "on" },
  users,
  databases,
});

const users = [
  { name: "app", memberOf: ["readers"] },
  { name: "readers", options: ["NOLOGIN"] },
  { name: "report", options: ["CREATEDB"], connectionLimit: 5, memberOf: ["pg_monitor"] },
  { name: hostileUser, secretName: "hostile" },
  { name: longUser, secretName: "long" },
];
const databases = [
  { name: "app", extensions: [{ name: "pg_trgm" }] },
  { name: "sales", owner: "report", extensions: [{ name: "uuid-ossp" }] },
  { name: hostileDatabase, owner: hostileUser },
];

async function created(run: Run): Promise<void> {
  const { kubectl } = run;
  await kubectl.apply(
    secretOf("hostile", { password: 'it\'s "a" \\ $(id) \u{1f418}' }),
    secretOf("long", { password: "long-long-long", username: longUser }),
  );
  await ensure(run, name, { size: 2, parameters: { log_statement: "all", log_connections: "on" } });
  const startedMs = Date.now();
  await ensure(run, name, spec(users, databases));
  const { status } = await usersReady(run, "Applied");
  run.figure("created: users and databases in the status", Date.now() - startedMs, "ms", 60_000);
  check(status.users.every((user: { applied: boolean }) => user.applied), JSON.stringify(status.users));
  const primary = (await leader(kubectl, name))!;
  const roles = await sql(
    kubectl,
    primary,
    "SELECT json_object_agg(rolname, ARRAY[rolcanlogin, rolcreatedb, rolsuper]) FROM pg_roles WHERE rolname !~ '^pg_'",
  );
  const found = JSON.parse(roles) as Record<string, boolean[]>;
  check(found[hostileUser]?.join() === "true,false,false", `hostile user: ${roles}`);
  check(found[longUser]?.join() === "true,false,false", `long user: ${roles}`);
  check(found["report"]?.join() === "true,true,false", `report: ${roles}`);
  check(found["readers"]?.join() === "false,false,false", `readers: ${roles}`);
  const extensions = "SELECT string_agg(extname, ',' ORDER BY extname) FROM pg_extension";
  check(await sql(kubectl, primary, extensions) === "pg_trgm,plpgsql", "pg_trgm is not in app");
  check(
    await sql(kubectl, primary, extensions, "sales") === "plpgsql,uuid-ossp",
    "uuid-ossp is not in sales",
  );
  const schemas =
    "SELECT string_agg(DISTINCT extnamespace::regnamespace::text, ',') FROM pg_extension WHERE extname <> 'plpgsql'";
  check(await sql(kubectl, primary, schemas, "sales") === "public", "uuid-ossp is not in schema public");
  const left = "SELECT count(*) FROM pg_namespace WHERE nspname = 'database_operator'";
  check(await sql(kubectl, primary, left, "sales") === "0", "the schema that it was made in is left");
  const report = await loggedIn(run, "report", await passwordIn(run, `${name}-user-report`), "sales");
  check(report.join() === "report,sales", `report cannot log in: ${report}`);
  const hostile = await loggedIn(run, hostileUser, await passwordIn(run, "hostile"), hostileDatabase);
  check(hostile.join() === [hostileUser, hostileDatabase].join(), `hostile cannot log in: ${hostile}`);
}

async function rotated(run: Run): Promise<void> {
  const { kubectl } = run;
  const before = await passwordIn(run, `${name}-user-report`);
  const starts = await kubectl.list("pods", `app.example.com/database=${name}`);
  const rotations = [["report", `${name}-user-report`], ["app", `${name}-credentials`]] as const;
  const outcome = await underWrites(run, name, 2, async () => {
    for (const [user, secret] of rotations) {
      const fresh = `rotated-${user}-${Date.now()}`;
      const startedMs = Date.now();
      await kubectl.apply(secretOf(secret, { password: fresh }));
      await until(bar.ready, `the login of ${user} with its new password`, async () => {
        const seen = await loggedIn(run, user, fresh, "app");
        if (seen.join() === `${user},app`) return true;
        throw new Error(seen.join());
      }, 500);
      run.figure(`rotation of ${user}: to the login with it`, Date.now() - startedMs, "ms", rotationMs);
    }
  });
  run.figure("rotation: longest time without a row", outcome.gapMs, "ms", 1_500);
  const old = await loggedIn(run, "report", before, "app");
  check(old.join().includes("password authentication failed"), `the old password still works: ${old}`);
  const ends = await kubectl.list("pods", `app.example.com/database=${name}`);
  const ids = (pods: KubeObject[]) => pods.map(({ metadata }) => metadata.uid).toSorted().join();
  check(ids(starts) === ids(ends), "a member was restarted for a password");
}

/** Statements are logged and counted: none with a password or a verifier. */
async function unseen(run: Run): Promise<void> {
  const { kubectl } = run;
  for (const pod of [`${name}-0`, `${name}-1`]) {
    const log = await kubectl.logs(pod, "--all-containers");
    check(!log.includes("SCRAM-SHA-256"), `${pod} logged a verifier`);
    for (const secret of ["hostile", "long", `${name}-user-report`, `${name}-credentials`]) {
      check(!log.includes(await passwordIn(run, secret)), `${pod} logged the password of Secret ${secret}`);
    }
  }
}

async function refused(run: Run): Promise<void> {
  const { kubectl } = run;
  const bad = [
    { name: "pg_evil" },
    { name: "postgres" },
    { name: "Under_Score" },
    { name: "ü".repeat(32), secretName: "long" },
    { name: "x", memberOf: ["pg_execute_server_program"] },
    { name: "x", options: ["SUPERUSER"] },
    { name: "a\nb", secretName: "long" },
    { name: "a\0b", secretName: "long" },
  ];
  for (const user of bad) {
    const patch = JSON.stringify({ spec: { users: [user] } });
    const ended = await kubectl.try(["patch", "databases", name, "--type=merge", "--patch", patch]);
    check(
      ended.code !== 0 && ended.stderr.includes("spec.users"),
      `${JSON.stringify(user)}: ${ended.stderr}`,
    );
  }
  await kubectl.apply(secretOf("empty", { other: "x" }));
  await sql(kubectl, (await leader(kubectl, name))!, "CREATE ROLE boss SUPERUSER");
  const wrong = [
    ...users,
    { name: "nobody", secretName: "empty" },
    { name: "missing", secretName: "not-there" },
    { name: "boss" },
    { name: "fine" },
  ];
  await ensure(
    run,
    name,
    spec(wrong, [...databases, { name: "lost", owner: "ghost" }, {
      name: "bare",
      extensions: [{ name: "no_such" }],
    }]),
  );
  const { status } = await usersReady(run, "Refused", "no_such");
  const { message } = conditionOf({ metadata: { name }, status }, "UsersReady")!;
  for (
    const words of [
      'spec.users[5].secretName: Secret "empty" has no key password',
      'spec.users[6].secretName: Secret "not-there" is not there',
      'spec.users[7].name: role "boss" is a superuser',
      'spec.databases[3].owner: role "ghost" does not exist',
      'spec.databases[4].extensions: the image has no extension "no_such"',
    ]
  ) check(String(message).includes(words), `${message}`);
  check(status.users.find((user: { name: string }) => user.name === "fine")?.applied, "what is right waits");
}

/** The next primary has them all, and its agent goes on. */
async function switched(run: Run): Promise<void> {
  const { kubectl } = run;
  const before = await leader(kubectl, name);
  await ensure(run, name, spec(users, databases));
  await usersReady(run, "Applied");
  const id = `users-${Date.now()}`;
  await kubectl.run(["annotate", "databases", name, `app.example.com/switchover=any@${id}`]);
  await until(bar.ready, "another member to lead", async () => {
    const now = await leader(kubectl, name);
    return now !== undefined && now !== before;
  }, 500);
  await ensure(run, name, spec([...users, { name: "later" }], databases));
  await usersReady(run, "Applied");
  const seen = await loggedIn(run, "later", await passwordIn(run, `${name}-user-later`), "app");
  check(seen.join() === "later,app", `later cannot log in: ${seen}`);
}

export const userScenarios: readonly Scenario[] = [{
  name: "users",
  what: "users, databases and extensions are made, passwords follow their Secrets, the wrong is named",
  async run(run) {
    await created(run);
    await rotated(run);
    await unseen(run);
    await refused(run);
    await switched(run);
    await discard(run, name);
  },
}];
