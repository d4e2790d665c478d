import { Buffer } from "node:buffer";
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { memberLibrary } from "../../postgres/agent.ts";
import {
  credentialKeys,
  credentialsChanged,
  desiredCredentials,
  passwordKeys,
} from "../../postgres/credentials.ts";
import { credentialsAgent } from "../../postgres/credentials_agent.ts";
import { annotation } from "../../postgres/names.ts";
import { folder } from "../../postgres/scripts.ts";
import { seen } from "./seen.ts";
import { pythonTest, StandIns } from "./stand_ins.ts";

const database = { metadata: { name: "orders", namespace: "shop" }, spec: { version: "17" } };
const passwords = {
  application: "application-0123456789",
  superuser: "superuser-01234567890123",
  replication: "replication-0123456789",
  rewind: "rewind-01234567890123456",
  patroni: "patroni-0123456789012345",
};

test("the Secret has the keys of servicebinding.io for the application, and a password for each other role", () => {
  assert.equal(desiredCredentials(database, passwords), {
    apiVersion: "v1",
    kind: "Secret",
    metadata: {
      name: "orders-credentials",
      namespace: "shop",
      labels: {
        "app.example.com/database": "orders",
        "app.kubernetes.io/name": "database",
        "app.kubernetes.io/managed-by": "database-operator",
        "app.kubernetes.io/part-of": "orders",
      },
    },
    type: "servicebinding.io/postgresql",
    stringData: {
      type: "postgresql",
      provider: "database-operator",
      host: "orders.shop.svc",
      port: "5432",
      database: "app",
      username: "app",
      password: "application-0123456789",
      uri: "postgresql://app:application-0123456789@orders.shop.svc:5432/app",
      "superuser-password": "superuser-01234567890123",
      "replication-password": "replication-0123456789",
      "rewind-password": "rewind-01234567890123456",
      "patroni-password": "patroni-0123456789012345",
    },
  });
});

test("every key that members need is in it", () => {
  const { stringData } = desiredCredentials(database, passwords);
  for (const key of credentialKeys) assert.ok((stringData as Record<string, string>)[key], key);
});

test("the uri is one that a URL parser takes apart into the same parts", () => {
  const uri = new URL(desiredCredentials(database, passwords).stringData.uri);
  assert.equal([uri.username, uri.password, uri.hostname, uri.port, uri.pathname], [
    "app",
    "application-0123456789",
    "orders.shop.svc",
    "5432",
    "/app",
  ]);
});

for (
  const password of [
    "",
    "short",
    "with space 0123456789012345",
    "colon:0123456789012345678",
    "a".repeat(257),
    "quote'0123456789012345678",
  ]
) {
  test(`password ${JSON.stringify(password).slice(0, 20)} is refused and not printed`, () => {
    assert.throws(
      () => desiredCredentials(database, { ...passwords, rewind: password }),
      (error: Error) =>
        error instanceof RangeError && /"rewind"/.test(error.message) &&
        (password === "" || !error.message.includes(password)),
    );
  });
}

test("a Database without name or namespace cannot be rendered", () => {
  assert.throws(
    () => desiredCredentials({ metadata: {}, spec: { version: "17" } }, passwords),
    /metadata.name/,
  );
});

/** What PostgreSQL keeps of a password, as pg_authid shows it: its documentation, "pg_authid", and RFC 5803. */
function verifierOf(password: string): string {
  const salt = Buffer.from("0123456789abcdef"), iterations = 4096;
  const salted = pbkdf2Sync(password, salt, iterations, 32, "sha256");
  const key = (word: string) => createHmac("sha256", salted).update(word).digest();
  const stored = createHash("sha256").update(key("Client Key")).digest("base64");
  return `SCRAM-SHA-256$${iterations}:${salt.toString("base64")}$${stored}:${
    key("Server Key").toString("base64")
  }`;
}

/** Runs one look of the agent with these passwords in the Secret and these verifiers in the server. */
async function lookWith(secret: Record<string, string>, server: Record<string, string>) {
  const stand = new StandIns(["psql"], { pg_authid: { out: `${JSON.stringify(server)}\n` } });
  try {
    for (const [key, value] of Object.entries(secret)) {
      stand.write(`${folder.credentials.slice(1)}/${key}`, value);
    }
    stand.write("member.py", memberLibrary);
    const path = `import sys\nsys.path.insert(0, ${JSON.stringify(stand.root)})\n`;
    const program = stand.moved(credentialsAgent, [folder.credentials]);
    const { code, output } = await stand.run(`${path}${program}\nprint(json.dumps(look()))\n`);
    assert.is(code, 0, output);
    return { refused: JSON.parse(output) as unknown, calls: stand.calls().map(({ line }) => line).join() };
  } finally {
    stand.close();
  }
}

const held = { app: "of-app", replicator: "of-replicator", rewinder: "of-rewinder" };
const inSecret = Object.fromEntries(
  Object.entries(passwordKeys).map(([role, key]) => [key, held[role as keyof typeof held]]),
);
const inServer = Object.fromEntries(
  Object.entries(held).map(([role, password]) => [role, verifierOf(password)]),
);

for (
  const { rule, secret = {}, server = {}, want } of [
    { rule: "the same passwords are fine", want: [] },
    { rule: "an edited password is told", secret: { password: "edited" }, want: ["app"] },
    {
      rule: "a Secret that was replaced is told",
      secret: { password: "new-1", "replication-password": "new-2", "rewind-password": "new-3" },
      want: ["app", "replicator", "rewinder"],
    },
    { rule: "a line break at the end is another password", secret: { password: "of-app\n" }, want: ["app"] },
    { rule: "a password that was set by hand is told", server: { app: verifierOf("set") }, want: ["app"] },
    { rule: "a role without a password is told", server: { rewinder: "" }, want: ["rewinder"] },
    {
      rule: "one that pg_hba.conf lets nobody in with is told",
      server: { app: `md5${"0".repeat(32)}` },
      want: ["app"],
    },
    {
      rule: "characters that SASLprep folds are the same password",
      secret: { password: "o\u0308\u2168-password" },
      server: { app: verifierOf("\u00f6IX-password") },
      want: [],
    },
    { rule: "a role that may not log in is not told", server: { app: undefined }, want: [] },
  ] as { rule: string; secret?: Record<string, string>; server?: Record<string, string>; want: string[] }[]
) {
  pythonTest(`the agent compares the Secret with the server: ${rule}`, async () => {
    const { refused, calls } = await lookWith({ ...inSecret, ...secret }, { ...inServer, ...server });
    assert.equal(refused, want);
    for (const password of [...Object.values(inSecret), ...Object.values(secret)]) {
      assert.not(calls.includes(password), calls);
    }
  });
}

pythonTest("the agent knows nothing while the server does not answer, and says nothing", async () => {
  const stand = new StandIns(["psql"], { pg_authid: { code: 2 } });
  try {
    stand.write("member.py", memberLibrary);
    const path = `import sys\nsys.path.insert(0, ${JSON.stringify(stand.root)})\n`;
    const { output } = await stand.run(`${path}${credentialsAgent}\nprint(json.dumps(look()))\n`);
    assert.is(output.trim(), "null");
  } finally {
    stand.close();
  }
});

/** What is told of a report on the primary's pod. */
function told(report: string, { users, on = 0 }: { users?: { name: string }[]; on?: number } = {}) {
  const sight = seen({ members: [{ ordinal: 0 }, { ordinal: 1 }], leader: "orders-0", spec: { users } });
  const pods = sight.pods.map((pod, at) => {
    const annotations = {
      ...pod.metadata.annotations,
      ...(at === on ? { [annotation.credentials]: report } : {}),
    };
    return { ...pod, metadata: { ...pod.metadata, annotations } };
  });
  return credentialsChanged({ ...sight, pods });
}

test("an edited password of the application is told with what to do, and stops nothing else", () => {
  assert.equal(told('{"refused":["app"]}'), {
    reason: "CredentialsChanged",
    message: 'Secret "orders-credentials": password is not the password of role app in PostgreSQL: ' +
      "put the old one back, or name app in spec.users, and its role gets the new one",
    stops: false,
  });
});

test("it is not told where spec.users has the role follow the Secret", () => {
  assert.is(told('{"refused":["app"]}', { users: [{ name: "app" }] }), undefined);
  assert.is(told('{"refused":["app"]}', { users: [{ name: "report" }] })?.reason, "CredentialsChanged");
});

test("edited passwords of members stop every restart, as who starts with them cannot replicate", () => {
  const problem = told('{"refused":["replicator","rewinder"]}', { users: [{ name: "app" }] });
  assert.is(problem?.stops, true);
  assert.match(problem?.message ?? "", "replication-password is not the password of role replicator");
  assert.match(problem?.message ?? "", "rewind-password is not the password of role rewinder");
  assert.match(problem?.message ?? "", /put the old one back; no member is restarted meanwhile/);
  assert.not.match(problem?.message ?? "", /spec\.users/);
});

for (
  const [what, report, on] of [
    ["that all is well", '{"refused":[]}', 0],
    ["of a member that does not lead", '{"refused":["app"]}', 1],
    ["that is not JSON", "refused", 0],
    ["that is of something else", '{"refused":"app"}', 0],
    ["of a role that is not ours", '{"refused":["postgres","x"]}', 0],
    ["of nothing", "null", 0],
  ] as const
) {
  test(`nothing is told of a report ${what}`, () => assert.is(told(report, { on }), undefined));
}

test.run();
