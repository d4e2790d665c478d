import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { annotation } from "../../postgres/names.ts";
import type { Sight } from "../../postgres/sight.ts";
import { planUsers, usersOutcome } from "../../postgres/users.ts";
import { usersAgent } from "../../postgres/users_agent.ts";
import type { DatabaseSpec, StoredDatabase } from "../../types/app.example.com/v1.ts";
import type { StoredPod, StoredSecret } from "../../types/core/v1.ts";
import { quotable } from "./hostile.ts";
import { python, pythonFlags, pythonTest } from "./stand_ins.ts";

const encoded = (text: string) => Buffer.from(text).toString("base64");
const decoded = (data: string | undefined) => Buffer.from(data ?? "", "base64").toString();
const ours = { "app.example.com/database": "orders", "app.kubernetes.io/managed-by": "database-operator" };

function secret(data: Record<string, string>, labels: Record<string, string> = {}): StoredSecret {
  const stored = Object.fromEntries(Object.entries(data).map(([key, value]) => [key, encoded(value)]));
  return { metadata: { labels }, data: stored } as unknown as StoredSecret;
}

function sight(
  spec: Partial<DatabaseSpec>,
  { secrets = {}, report }: { secrets?: Record<string, StoredSecret>; report?: unknown } = {},
): Sight {
  const annotations = report === undefined ? {} : { [annotation.roles]: JSON.stringify(report) };
  return {
    database: {
      metadata: { name: "orders", namespace: "shop", uid: "u-1", generation: 1 },
      spec: { size: 1, version: "17", ...spec },
    } as unknown as StoredDatabase,
    statefulSet: undefined,
    pods: [{ metadata: { name: "orders-0", annotations } } as unknown as StoredPod],
    claims: [],
    storeClaims: new Map(),
    configMaps: new Map(),
    backupPods: [],
    jobs: [],
    upgradePods: [],
    imageTemplate: "localhost/database:{version}",
    patroni: { primary: "orders-0", members: [] } as unknown as Sight["patroni"],
    secrets: new Map(
      Object.entries({ "orders-credentials": secret({ password: "of-app" }, ours), ...secrets }),
    ),
    source: undefined,
  } as Sight;
}

const counting = () => {
  let next = 0;
  return () => `random-${next++}`;
};
const ordersOf = (plan: ReturnType<typeof planUsers>) =>
  JSON.parse(decoded(plan.orders?.data?.["roles.json"])) as {
    order: string;
    users: { name: string; password: string }[];
    databases: unknown[];
  };

/** A psycopg2 that only puts statements together. */
const psycopg2 = `class Identifier(str):
    def __str__(self):
        return '"%s"' % super().__str__().replace('"', '""')
class SQL(str):
    def join(self, parts):
        return " ".join(str(part) for part in parts)
`;

pythonTest(
  "an extension's script meets nothing of the database's owner, where it can be moved afterwards",
  () => {
    const folder = mkdtempSync(join(tmpdir(), "users-"));
    try {
      writeFileSync(join(folder, "users_agent.py"), usersAgent);
      writeFileSync(join(folder, "member.py"), "");
      mkdirSync(join(folder, "psycopg2"));
      writeFileSync(join(folder, "psycopg2/__init__.py"), "");
      writeFileSync(join(folder, "psycopg2/extensions.py"), "");
      writeFileSync(join(folder, "psycopg2/sql.py"), psycopg2);
      const program = `import json, sys
import users_agent
class Cursor:
    def execute(self, statement, values=()):
        if not values:
            said.append(statement)
        name = values[0] if values else None
        self.found = {users_agent.EXTENSION: [], users_agent.AVAILABLE: [[["1.0", "1.1"]]],
                      users_agent.RELOCATABLE: [[name != "fixed"]]}.get(statement)
    def fetchall(self):
        return self.found
session = users_agent.Session.__new__(users_agent.Session)
session.cursor = Cursor()
told = []
for name, version in (('a"b', None), ("moved", "1.1"), ("fixed", None)):
    said = []
    users_agent.make_extension(session, name, version)
    told.append(said)
print(json.dumps(told))`;
      const ended = spawnSync(python, [...pythonFlags, "-c", program], { cwd: folder });
      const inStage = (name: string, version = "") => [
        "BEGIN",
        'CREATE SCHEMA "database_operator"',
        `CREATE EXTENSION ${name} SCHEMA "database_operator"${version}`,
        `ALTER EXTENSION ${name} SET SCHEMA public`,
        'DROP SCHEMA "database_operator"',
        "COMMIT",
      ];
      assert.equal(JSON.parse(String(ended.stdout) || JSON.stringify(String(ended.stderr))), [
        inStage('"a""b"'),
        inStage('"moved"', ' VERSION "1.1"'),
        ["SET search_path = public", 'CREATE EXTENSION "fixed"', "SET search_path = ''"],
      ]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
);

test("without users and databases nothing is written and nothing is told", () => {
  assert.equal(planUsers(sight({}), [], counting()), { passwords: [], problems: [] });
  assert.equal(usersOutcome(sight({ users: [], databases: [] })), {});
});

test("a user without secretName gets a Secret in the form of a service binding, once; app has one already", () => {
  const users = [{ name: "report" }, { name: "app" }];
  const plan = planUsers(sight({ users, databases: [{ name: "a/b", owner: "report" }] }), [], counting());
  assert.equal(plan.passwords.map(({ metadata }) => metadata?.name), ["orders-user-report"]);
  const data = Object.fromEntries(
    Object.entries(plan.passwords[0]?.data ?? {}).map(([key, value]) => [key, decoded(value)]),
  );
  assert.equal(data, {
    type: "postgresql",
    provider: "database-operator",
    host: "orders.shop.svc",
    port: "5432",
    database: "a/b",
    username: "report",
    password: "random-0",
    uri: "postgresql://report:random-0@orders.shop.svc:5432/a%2Fb",
  });
  assert.equal(ordersOf(plan).users.map(({ name, password }) => [name, password]), [
    ["report", "random-0"],
    ["app", "of-app"],
  ]);
  const again = planUsers(
    sight({ users }, { secrets: { "orders-user-report": secret({ password: "kept" }, ours) } }),
    [],
    counting(),
  );
  assert.equal(again.passwords, []);
  assert.is(ordersOf(again).users[0]?.password, "kept");
});

test("orders are written when they differ, and keep their name while they say the same", () => {
  const spec = { users: [{ name: "report", secretName: "mine" }] };
  const mine = secret({ password: "one" });
  const first = planUsers(sight(spec, { secrets: { mine } }), [], () => "first");
  const roles = { metadata: { labels: ours }, data: first.orders!.data } as unknown as StoredSecret;
  const same = planUsers(sight(spec, { secrets: { mine, "orders-roles": roles } }), [], () => "second");
  assert.is(same.orders, undefined);
  assert.is(same.order, "first");
  const rotated = { mine: secret({ password: "two" }), "orders-roles": roles };
  const next = planUsers(sight(spec, { secrets: rotated }), [], () => "second");
  assert.is(ordersOf(next).order, "second");
  assert.is(ordersOf(next).users[0]?.password, "two");
});

for (
  const [what, found, words] of [
    ["missing", undefined, "is not there"],
    ["without password", secret({ other: "x" }), "has no key password"],
    ["with an empty password", secret({ password: "" }), "has no key password"],
    ["with a line break", secret({ password: "very-secret\n" }), "password holds a line break"],
    ["for another user", secret({ password: "very-secret", username: "else" }), "username is not the name"],
    ["with a long password", secret({ password: "very-secret".repeat(100) }), "password is longer than 1024"],
  ] as const
) {
  test(`a Secret ${what} is named by its field, holds up no other user, and its values are in no message`, () => {
    const users = [{ name: "good", secretName: "good" }, { name: "bad", secretName: "bad" }];
    const secrets = { good: secret({ password: "fine" }), ...(found ? { bad: found } : {}) };
    const plan = planUsers(sight({ users }, { secrets }), [], counting());
    assert.equal(ordersOf(plan).users.map(({ name }) => name), ["good"]);
    const { condition } = usersOutcome(sight({ users }, { secrets }));
    assert.is(condition?.reason, "Refused");
    assert.match(condition?.message ?? "", `spec.users[1].secretName: Secret "bad" ${words}`);
    assert.not.match(condition?.message ?? "", /very-secret/);
  });
}

test("Secrets of somebody else are neither read nor written", () => {
  const spec = { users: [{ name: "report" }] };
  const user = planUsers(
    sight(spec, { secrets: { "orders-user-report": secret({ password: "theirs" }) } }),
    [],
    counting(),
  );
  assert.match(user.problems[0]?.message ?? "", /spec\.users\[0\]\.secretName: .*belongs to somebody else/);
  assert.not.match(JSON.stringify(ordersOf(user)), /theirs/);
  const roles = planUsers(sight(spec, { secrets: { "orders-roles": secret({}) } }), [], counting());
  assert.is(roles.orders, undefined);
  assert.match(roles.problems[0]?.message ?? "", /Secret "orders-roles" belongs to somebody else/);
});

test("hostile names and passwords reach the agent as JSON, unchanged", () => {
  for (const text of quotable.filter((text) => !text.includes("\t"))) {
    const users = [{ name: text, secretName: "mine" }];
    const databases = [{ name: text, owner: text }];
    const found = sight({ users, databases }, { secrets: { mine: secret({ password: text }) } });
    const orders = ordersOf(planUsers(found, [], counting()));
    assert.is(orders.users[0]?.name, text);
    if (text.length <= 1024) assert.is(orders.users[0]?.password, text);
    assert.equal(orders.databases, [{ name: text, owner: text, creator: "app", extensions: [] }]);
  }
});

const told = (report: unknown, more: Partial<DatabaseSpec> = {}) => {
  const spec = { users: [{ name: "report", secretName: "mine" }], databases: [{ name: "sales" }], ...more };
  const mine = secret({ password: "one" });
  const { orders } = planUsers(sight(spec, { secrets: { mine } }), [], () => "first");
  const roles = { metadata: { labels: ours }, data: orders!.data } as unknown as StoredSecret;
  return usersOutcome(sight(spec, { secrets: { mine, "orders-roles": roles }, report }));
};

test("UsersReady is what the primary says about the present orders", () => {
  const applied = told({ order: "first", problems: [] });
  assert.is(applied.condition?.reason, "Applied");
  assert.equal(applied.users, [{ name: "report", secretName: "mine", applied: true }]);
  assert.equal(applied.databases, [{ name: "sales", applied: true }]);
  for (const report of [undefined, { order: "older", problems: [] }, { order: 1 }, "no report", null]) {
    const waits = told(report);
    assert.equal([waits.condition?.status, waits.condition?.reason], ["Unknown", "Applying"]);
    assert.equal(waits.users?.[0]?.applied, false);
  }
  assert.is(told(undefined, { size: 0 }).condition?.reason, "Hibernated");
});

test("what the agent cannot do is told by the field of its entry", () => {
  const problems = [{ kind: "databases", name: "sales", field: "owner", message: 'role "x" does not exist' }];
  const { condition, users, databases } = told({ order: "first", problems });
  assert.is(condition?.message, 'spec.databases[0].owner: role "x" does not exist');
  assert.equal([users?.[0]?.applied, databases?.[0]?.applied], [true, false]);
});

test("what was told stays while no Secret is read", () => {
  const found = sight({ users: [{ name: "report" }] });
  const condition = { type: "UsersReady", status: "True", reason: "Applied", message: "yes" };
  const users = [{ name: "report", applied: true }];
  const database = { ...found.database, status: { conditions: [condition], users } } as StoredDatabase;
  const outcome = usersOutcome({ ...found, database, secrets: new Map() });
  assert.equal(outcome, { condition, users });
});

test("the agent composes no statement from text: identifiers and literals go through psycopg2", () => {
  assert.not.match(usersAgent, /(?:CREATE|ALTER|GRANT|REVOKE)[^"]*(?:%s|\{)/);
  assert.not.match(usersAgent, /\bf"|\.format\(/);
  assert.match(usersAgent, /encrypt_password\(.*"scram-sha-256"\)/);
});

test.run();
