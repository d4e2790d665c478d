import { test } from "uvu";
import * as assert from "uvu/assert";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigurationError } from "../../runtime/errors.ts";
import { connect } from "../../runtime/platform/connect.ts";
import { parsePlainYaml, readPlainKubeconfig } from "../../runtime/platform/kubeconfig.ts";
import { within } from "../within.ts";

const folder = mkdtempSync(join(tmpdir(), "connect-"));
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

const kubeconfig = (server: string, user: string, context = "") => `
apiVersion: v1
kind: Config
preferences: {}
current-context: main
clusters:
- cluster:
    server: ${server}   # where
  name: one
contexts:
- context:
    cluster: one
    user: me
${context}
  name: main
users:
- name: me
  user:
${user}
`;

async function failure(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error("It did not fail");
}

/** A server that answers with the request's authorization. */
async function withEcho(body: (url: string) => Promise<void>): Promise<void> {
  const server = http.createServer((request, response) => {
    response.end(
      JSON.stringify({
        authorization: request.headers.authorization ?? "",
        agent: request.headers["user-agent"],
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await within(
      20_000,
      body(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
      "the connection",
    );
  } finally {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}

test("the YAML that kubectl, kubeadm, kind and k3s write is read as it is meant", () => {
  const table: [string, unknown][] = [
    ["a: 1\nb: 'it''s'\nc: \"x\\ny\"\nd: null\ne: true\nf: {}\ng: []", {
      a: "1",
      b: "it's",
      c: "x\ny",
      d: null,
      e: true,
      f: {},
      g: [],
    }],
    ["a:\n- b: 1\n  c:\n    d: 2\n- e", { a: [{ b: "1", c: { d: "2" } }, "e"] }],
    ["a:\n  - b: 1\n  -\n    c: 2\nd: x", { a: [{ b: "1" }, { c: "2" }], d: "x" }],
    ["# comment\n---\na: x#y # z\nurl: https://h:1/p\n", { a: "x#y", url: "https://h:1/p" }],
    ['a: [{name: one, cluster: {server: "https://h:1", file: /a/b}}, two]', {
      a: [{ name: "one", cluster: { server: "https://h:1", file: "/a/b" } }, "two"],
    }],
    ["arn:aws:eks: x", { "arn:aws:eks": "x" }],
  ];
  const plain = (value: unknown) => JSON.parse(JSON.stringify(value)) as unknown;
  for (const [text, want] of table) assert.equal(plain(parsePlainYaml(text)), want, text);
  for (
    const text of [
      "a: &x 1",
      "a: *x",
      "a: |\n  text",
      "a: >\n  text",
      "a: !tag x",
      "a: [1,\n 2]",
      "\ta: 1",
      "? a",
    ]
  ) {
    assert.throws(() => parsePlainYaml(text), (error: Error) => error instanceof SyntaxError, text);
  }
});

test("a plain kubeconfig gives server, namespace and credentials; anything beyond is left to the full reader", () => {
  const token = readPlainKubeconfig(
    file("token", kubeconfig("https://h:6443", "    token: abc", "    namespace: apps")),
  );
  assert.equal([token?.server, token?.namespace, token?.token], ["https://h:6443", "apps", "abc"]);
  const certificate = readPlainKubeconfig(
    file("cert", kubeconfig("https://h", "    client-certificate-data: QQ==\n    client-key-data: Qg==")),
  );
  assert.equal([String(certificate?.tls.cert), String(certificate?.tls.key), certificate?.namespace], [
    "A",
    "B",
    "default",
  ]);
  const json = {
    "current-context": "c",
    contexts: [{ name: "c", context: { cluster: "k" } }],
    clusters: [{ name: "k", cluster: { server: "http://h" } }],
  };
  assert.is(readPlainKubeconfig(file("json", JSON.stringify(json)))?.server, "http://h");
  for (
    const user of [
      "    exec:\n      command: x",
      "    username: a\n    password: b",
      "    auth-provider:\n      name: oidc",
    ]
  ) {
    assert.is(readPlainKubeconfig(file("other", kubeconfig("https://h", user))), undefined);
  }
  assert.is(readPlainKubeconfig(join(folder, "token"), "none"), undefined);
  assert.is(readPlainKubeconfig(file("broken", "a: [")), undefined);
});

test("connect by kubeconfig: the token goes along, from the text or from a file beside it", async () => {
  await withEcho(async (url) => {
    file("tokenfile", "from-file\n");
    for (
      const [user, want] of [["    token: abc", "Bearer abc"], [
        "    tokenFile: tokenfile",
        "Bearer from-file",
      ], ["    {}", ""]]
    ) {
      const path = file("config", kubeconfig(url, user!));
      const connection = await connect({ env: { KUBECONFIG: path }, userAgent: "me/1" });
      assert.equal(await connection.performRequest({ method: "GET", path: "/", expectJson: true }), {
        authorization: want,
        agent: "me/1",
      });
      connection.close();
    }
  });
});

test("connect by kubeconfig beyond the plain kind: passwords and exec work through the full reader", async () => {
  await withEcho(async (url) => {
    const credential = JSON.stringify({
      apiVersion: "client.authentication.k8s.io/v1",
      kind: "ExecCredential",
      status: { token: "from-exec" },
    });
    const exec =
      `    exec:\n      apiVersion: client.authentication.k8s.io/v1\n      command: echo\n      args:\n      - '${credential}'\n      interactiveMode: Never`;
    const table = [
      ["    username: me\n    password: secret", `Basic ${btoa("me:secret")}`],
      [exec, "Bearer from-exec"],
    ];
    for (const [user, want] of table) {
      const connection = await connect({ kubeconfig: file("full", kubeconfig(url, user!)), env: {} });
      const answer = await connection.performRequest({ method: "GET", path: "/", expectJson: true });
      assert.is((answer as { authorization: string }).authorization, want);
      connection.close();
    }
  });
});

test("connect in a pod: host and port from the environment, token, namespace and CA from the service account", async () => {
  const account = join(folder, "account");
  mkdirSync(account);
  writeFileSync(join(account, "token"), "pod-token");
  writeFileSync(join(account, "ca.crt"), "a CA");
  writeFileSync(join(account, "namespace"), "apps\n");
  const env = { KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "6443" };
  const connection = await connect({ env, serviceAccount: account });
  assert.equal([connection.server, connection.defaultNamespace], ["https://[fd00::1]:6443", "apps"]);
  connection.close();
});

test("what cannot be used is said in one line: no kubeconfig, no such context, unreadable", async () => {
  const none = await failure(connect({ env: { KUBECONFIG: join(folder, "nothing") } }));
  assert.instance(none, ConfigurationError);
  assert.is(
    none.message,
    `Cannot find an API server: kubeconfig "${join(folder, "nothing")}" does not exist`,
  );
  const path = file("config", kubeconfig("http://h", "    token: abc"));
  const context = await failure(connect({ kubeconfig: path, context: "other", env: {} }));
  assert.instance(context, ConfigurationError);
  assert.match(context.message, /Cannot use kubeconfig ".*config": .*"?other"?/);
  const proxied = file(
    "proxied",
    kubeconfig("http://h\n    proxy-url: http://me:secret@proxy", "    token: abc"),
  );
  const { message } = await failure(connect({ kubeconfig: proxied, env: {} }));
  assert.match(message, 'cluster "one" asks for a proxy (proxy-url), and proxies are not supported');
  assert.not.match(message, "secret");
  const broken = await failure(connect({ kubeconfig: file("broken", "a: ["), env: {} }));
  assert.instance(broken, ConfigurationError);
  assert.match(broken.message, /^Cannot use kubeconfig ".*broken": /);
});

test.after(() => rmSync(folder, { recursive: true }));
test.run();
