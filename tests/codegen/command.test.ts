/**
 * The command: exit codes, messages, and an output that is replaced as a whole or not at all.
 * @module
 */
import { Buffer } from "node:buffer";
import { lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { readKubeconfig, send } from "../../codegen/kubeconfig.ts";
import { main } from "../../codegen/main.ts";
import { generate } from "../../codegen/mod.ts";
import { writeOutput } from "../../codegen/output.ts";
import { Progress } from "../../codegen/progress.ts";
import { readSources } from "../../codegen/sources.ts";
import { issue } from "../../postgres/x509.ts";
import { crdOf } from "./crd_of.ts";

const test = suite<{ folder: string; said: string[]; complained: string[]; restore: () => void }>("command");

/** A kubeconfig with one context, "a"; nobody listens where its cluster is, unless told. */
const kubeconfigOf = (user: object, cluster: object = {}) =>
  JSON.stringify({
    "current-context": "a",
    "contexts": [{ name: "a", context: { cluster: "c", user: "u" } }],
    "clusters": [{ name: "c", cluster: { server: "http://127.0.0.1:1", ...cluster } }],
    "users": [{ name: "u", user }],
  });

test.before.each(async (context) => {
  context.folder = await mkdtemp(join(tmpdir(), "codegen-command-"));
  context.said = [];
  context.complained = [];
  const { log, error } = console;
  console.log = (line: string) => void context.said.push(line);
  console.error = (line: string) => void context.complained.push(line);
  context.restore = () => Object.assign(console, { log, error });
});

test.after.each(async ({ folder, restore }) => {
  restore();
  await rm(folder, { recursive: true });
});

const yes = JSON.stringify(crdOf({}));
const no = JSON.stringify(crdOf({ kind: "Bad", schema: {} }));

test("writes the output, says what it is, and --check finds nothing to say", async ({ folder, said }) => {
  const [crd, out] = [join(folder, "crd.json"), join(folder, "out")];
  await writeFile(crd, yes);
  assert.is(await main([crd, "--out", out]), 0);
  assert.equal((await readdir(out)).sort(), [
    "client.ts",
    "example.com",
    "meta",
    "requests.ts",
    "resource.ts",
  ]);
  assert.is(await main([crd, "--out", out, "--check"]), 0);
  assert.equal(said, [`${out}: 1 kind in 6 files`, `${out} is up to date: 1 kind in 6 files`]);
});

test("--check exits with 1, tells the difference and writes nothing", async ({ folder, said }) => {
  const [crd, out] = [join(folder, "crd.json"), join(folder, "out")];
  await writeFile(crd, yes);
  await main([crd, "--out", out, "--quiet"]);
  const before = await readFile(join(out, "example.com/v1.ts"), "utf8");
  await writeFile(
    crd,
    JSON.stringify(crdOf({ schema: { type: "object", properties: { a: { type: "string" } } } })),
  );
  assert.is(await main([crd, "--out", out, "--check"]), 1);
  assert.equal(said, ["example.com/v1 Thing .a: added, optional"]);
  assert.is(await readFile(join(out, "example.com/v1.ts"), "utf8"), before);
});

test("one bad input among many is named and nothing is written; with --keep-going the rest is", async ({ folder, complained }) => {
  const out = join(folder, "out");
  await mkdir(join(folder, "in/deep"), { recursive: true });
  await writeFile(join(folder, "in/bad.json"), no);
  await writeFile(join(folder, "in/broken.yaml"), "a: [");
  await writeFile(join(folder, "in/deep/good.yml"), yes);
  assert.is(await main([join(folder, "in"), "--out", out]), 2);
  assert.ok(!(await readdir(folder)).includes("out"));
  assert.match(complained[0]!, /^codegen: .*broken\.yaml: document 1: Cannot read the YAML: /);
  assert.match(
    complained[1]!,
    /^codegen: .*bad\.json: CustomResourceDefinition "bads\.example\.com": version "v1": openAPIV3Schema: /,
  );
  assert.is(
    complained[2],
    "codegen: 2 inputs could not be generated; 1 other could be (--keep-going); nothing was written",
  );
  assert.is(await main([join(folder, "in"), "--out", out, "--keep-going", "--quiet"]), 2);
  assert.ok((await readdir(out)).includes("example.com"));
});

test("--keep-going keeps the types that a bad CustomResourceDefinition had, and says so", async ({ folder, complained }) => {
  const [good, turned, out] = [join(folder, "good.json"), join(folder, "turned.json"), join(folder, "out")];
  const module = join(out, "b.example.com/v1.ts");
  await writeFile(good, yes);
  await writeFile(turned, JSON.stringify(crdOf({ group: "b.example.com", kind: "Turned" })));
  assert.is(await main([good, turned, "--out", out, "--quiet"]), 0);
  const before = await readFile(module, "utf8");
  await writeFile(turned, JSON.stringify(crdOf({ group: "b.example.com", kind: "Turned", schema: {} })));
  for (const option of ["--quiet", "--check"]) {
    complained.length = 0;
    assert.is(await main([good, turned, "--out", out, "--keep-going", option]), 2);
    assert.is(await readFile(module, "utf8"), before);
    assert.is(
      complained[1],
      `codegen: ${out}/b.example.com/v1.ts stays as it was, all of it: Turned could not be generated again`,
    );
  }
});

test("an output that is a symbolic link stays one, and line ends that a checkout changed are no change", async ({ folder }) => {
  const [crd, out] = [join(folder, "crd.json"), join(folder, "out")];
  await writeFile(crd, yes);
  await mkdir(join(folder, "elsewhere"));
  await symlink(join(folder, "elsewhere"), out, "dir");
  assert.is(await main([crd, "--out", out, "--quiet"]), 0);
  assert.ok((await lstat(out)).isSymbolicLink());
  const module = join(folder, "elsewhere/example.com/v1.ts");
  await writeFile(module, (await readFile(module, "utf8")).replaceAll("\n", "\r\n"));
  assert.is(await main([crd, "--out", out, "--check", "--quiet"]), 0);
});

test("a symbolic link that leads in a circle gives no file twice", async ({ folder, complained }) => {
  await mkdir(join(folder, "in"));
  await writeFile(join(folder, "in/crd.json"), yes);
  await symlink(join(folder, "in"), join(folder, "in/again"), "dir");
  assert.is(await main([join(folder, "in"), "--out", join(folder, "out"), "--quiet"]), 0);
  assert.equal(complained, []);
});

test("a --crd that is not there is named", async ({ folder, complained }) => {
  await writeFile(join(folder, "crd.json"), yes);
  const args = [join(folder, "crd.json"), "--out", join(folder, "out"), "--quiet", "--crd"];
  assert.is(await main([...args, "things.example.com"]), 0);
  assert.is(await main([...args, "other"]), 2);
  assert.is(await main([...args.slice(0, -1), "--group", "nope"]), 2);
  assert.equal(complained, [
    'codegen: Cannot generate "other": no CustomResourceDefinition has that name or kind',
    'codegen: Cannot generate group "nope": no CustomResourceDefinition is of that group',
  ]);
});

test("a folder that holds anything else is not replaced", async ({ folder, complained }) => {
  const [crd, out] = [join(folder, "crd.json"), join(folder, "src")];
  await writeFile(crd, yes);
  await mkdir(out);
  await writeFile(join(out, "mine.ts"), "export {};\n");
  assert.is(await main([crd, "--out", out]), 2);
  assert.equal(await readdir(out), ["mine.ts"]);
  assert.match(complained[0]!, "it holds mine.ts, which was not generated");
  assert.equal((await readdir(folder)).sort(), ["crd.json", "src"]);
});

test("an output that cannot be written, a missing file, an unknown option and no input exit with 2", async ({ folder, complained }) => {
  const crd = join(folder, "crd.json");
  await writeFile(crd, yes);
  assert.is(await main([crd, "--out", join(crd, "below")]), 2);
  assert.is(await main([crd, "--out", "/proc/self/none/below"]), 2);
  assert.is(await main([join(folder, "none.yaml")]), 2);
  assert.is(await main(["--nonsense"]), 2);
  assert.is(await main([]), 2);
  assert.match(complained[0]!, "Cannot write the output");
  assert.match(complained[1]!, "Cannot write the output");
  assert.match(complained[2]!, /none\.yaml: No such file or folder$/);
  assert.match(complained.find((line) => line.includes("nonsense"))!, "see --help");
  assert.match(complained.at(-1)!, "No input");
});

test("reads globs and URLs; a URL that does not answer, or not with 200, is named", async ({ folder, complained }) => {
  await writeFile(join(folder, "a.json"), yes);
  assert.is(await main([join(folder, "*.json"), "--out", join(folder, "out"), "--quiet"]), 0);
  const server = createServer((request, response) => {
    response.statusCode = request.url === "/crd.json" ? 200 : 404;
    response.end(request.url === "/crd.json" ? yes : "nothing here");
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    assert.is(await main([`${url}/crd.json`, "--out", join(folder, "out"), "--check", "--quiet"]), 0);
    assert.is(await main([`${url}/none.json`, "--out", join(folder, "out")]), 2);
    assert.is(complained[0], `codegen: ${url}/none.json: Cannot read the URL: it answered 404 Not Found`);
  } finally {
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  }
  complained.length = 0;
  assert.is(await main([`${url}/crd.json`, "--out", join(folder, "out")]), 2);
  assert.match(complained[0]!, `codegen: ${url}/crd.json: Cannot read the URL: `);
});

test("a URL that never answers is given up, and a page is told from a file", async () => {
  const server = createServer((request, response) => {
    if (request.url === "/page") response.end("<!DOCTYPE html>\n<title>Sign in: first</title>");
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    const { failures } = await readSources([`${url}/never`, `${url}/page`, "ftp://127.0.0.1/crd"], {
      urlTimeoutMs: 250,
    });
    assert.equal(failures.map(({ message }) => message), [
      "ftp://127.0.0.1/crd: Only http and https URLs can be read",
      `${url}/never: Cannot read the URL: no answer within 0.25 s`,
      `${url}/page: It is a page, HTML or XML; the file itself has an address of its own`,
    ]);
  } finally {
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  }
});

test("an input without a kind is named, and so is one that could not be read where --crd finds nothing", async ({ folder, complained }) => {
  const [empty, broken] = [join(folder, "empty.yaml"), join(folder, "broken.yaml")];
  await writeFile(empty, "");
  await writeFile(broken, "a: [");
  assert.is(await main([empty, "--out", join(folder, "out")]), 2);
  assert.is(
    complained.splice(0).join("\n"),
    `codegen: ${empty}: Nothing to generate: no CustomResourceDefinition and no kind in 0 documents`,
  );
  assert.is(await main([broken, "--crd", "Thing", "--out", join(folder, "out")]), 2);
  assert.match(complained[0]!, /broken\.yaml: document 1: Cannot read the YAML: /);
  assert.equal((await readdir(folder)).sort(), ["broken.yaml", "empty.yaml"]);
});

test("a file that is named twice is read once", async ({ folder, complained }) => {
  const crd = join(folder, "crd.json");
  await writeFile(crd, yes);
  const args = [crd, `${folder}/./crd.json`, folder, "--out", join(folder, "out"), "--quiet"];
  assert.is(await main(args), 0);
  assert.equal(complained, []);
});

test("options that could only be a mistake are refused", async ({ folder, complained }) => {
  const crd = join(folder, "crd.json");
  await writeFile(crd, yes);
  assert.is(await main([crd, "--out", ""]), 2);
  assert.is(await main([crd, "--context", "production"]), 2);
  assert.equal(complained, [
    "codegen: --out must name a folder, found an empty text",
    "codegen: --context says which cluster, and needs --from-cluster",
  ]);
});

test("--from-cluster reads the cluster that the kubeconfig names; without permission it says so", async ({ folder, complained }) => {
  let status = 200;
  const server = createServer((request, response) => {
    if (request.url === "/k8s/c/openapi/v3") {
      return response.end('{ "paths": { "apis/apps/v1": { "serverRelativeURL": "/none" } } }');
    }
    response.statusCode = request.url!.startsWith("/k8s/c/apis/") ? status : 404;
    response.end(
      JSON.stringify(
        status === 200
          ? { kind: "CustomResourceDefinitionList", items: [crdOf({}), crdOf({ group: "b.example.com" })] }
          : { message: "customresourcedefinitions is forbidden" },
      ),
    );
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const kubeconfig = join(folder, "kubeconfig");
  await writeFile(kubeconfig, kubeconfigOf({ token: "t" }, { server: `${url}/k8s/c/` }));
  const args = ["--from-cluster", "--kubeconfig", kubeconfig, "--out", join(folder, "out"), "--quiet"];
  try {
    assert.is(await main([...args, "--group", "b.example.com"]), 0);
    assert.equal((await readdir(join(folder, "out"))).sort(), [
      "b.example.com",
      "client.ts",
      "meta",
      "requests.ts",
      "resource.ts",
    ]);
    assert.is(await main([...args, "--kind", "Deployment"]), 2);
    assert.match(complained.splice(0)[0]!, 'Cannot generate kind "Deployment": no OpenAPI document has it');
    status = 403;
    assert.is(await main(args), 2);
    assert.match(
      complained[0]!,
      "The API server does not permit it (403): customresourcedefinitions is forbidden",
    );
    assert.is(await main([...args, "--context", "none"]), 2);
    assert.match(complained[1]!, 'No context is named "none"');
    await writeFile(kubeconfig, "{}");
    assert.is(await main(args), 2);
    assert.match(complained[2]!, "The kubeconfig has no current-context: name one with --context");
  } finally {
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  }
});

test("KUBECONFIG lists files: the first that has an entry counts, and paths are relative to it", async ({ folder }) => {
  const before = process.env.KUBECONFIG;
  await mkdir(join(folder, "users"));
  await writeFile(join(folder, "users/token"), "t\n");
  const context = (cluster: string) => [{ name: "a", context: { cluster, user: "u" } }];
  const files = {
    "one": { "current-context": "a", "contexts": context("c") },
    "two": {
      "contexts": context("none"),
      "clusters": [{ name: "c", cluster: { server: "http://127.0.0.1:1" } }],
    },
    "users/three": { "current-context": "none", "users": [{ name: "u", user: { tokenFile: "token" } }] },
  };
  for (const [name, config] of Object.entries(files)) {
    await writeFile(join(folder, name), JSON.stringify(config));
  }
  process.env.KUBECONFIG = ["none", ...Object.keys(files)].map((name) => join(folder, name)).join(delimiter);
  try {
    assert.equal(await readKubeconfig(), { server: "http://127.0.0.1:1", isInsecure: false, token: "t" });
  } finally {
    if (before === undefined) delete process.env.KUBECONFIG;
    else process.env.KUBECONFIG = before;
  }
});

test("a server is held to the name that tls-server-name says", async ({ folder }) => {
  const valid = { notBeforeMs: Date.now() - 60_000, notAfterMs: Date.now() + 60_000 };
  const issuer = issue({ ...valid, subject: "authority", names: [] });
  const { certificate: cert, key } = issue({ ...valid, subject: "api", names: ["api.example.com"], issuer });
  const server = createTlsServer({ cert, key }, (_, response) => void response.end("{}"));
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const file = join(folder, "kubeconfig");
  const status = async (name?: string) => {
    const cluster = {
      server: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
      "certificate-authority-data": Buffer.from(issuer.certificate).toString("base64"),
      ...(name !== undefined && { "tls-server-name": name }),
    };
    await writeFile(file, kubeconfigOf({}, cluster));
    return await send(await readKubeconfig({ file }), "GET", "/").then(
      ({ status }) => status,
      () => "refused",
    );
  };
  try {
    assert.equal([await status("api.example.com"), await status("b.example.com"), await status()], [
      200,
      "refused",
      "refused",
    ]);
  } finally {
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  }
});

test("a kubeconfig that is broken, or names files that are not there, exits with 2 and tells no secret", async ({ folder, complained }) => {
  const kubeconfig = join(folder, "kubeconfig");
  const args = ["--from-cluster", "--kubeconfig", kubeconfig, "--out", join(folder, "out"), "--quiet"];
  const complaintOf = async (text: string) => {
    complained.length = 0;
    await writeFile(kubeconfig, text);
    assert.is(await main(args), 2);
    return complained.join("\n");
  };
  const start = `codegen: ${kubeconfig}: `;
  const none = `ENOENT: no such file or directory, open '${join(folder, "none")}'`;
  assert.is(
    await complaintOf(kubeconfigOf({ tokenFile: "none" })),
    `${start}Cannot read the tokenFile: ${none}`,
  );
  assert.is(
    await complaintOf(kubeconfigOf({ "client-key": "none" })),
    `${start}Cannot read the client-key: ${none}`,
  );
  assert.is(
    await complaintOf(kubeconfigOf({}, { "certificate-authority": "none" })),
    `${start}Cannot read the certificate-authority: ${none}`,
  );
  for (const server of ["[1", "10.0.0.1:6443", "file:///etc"]) {
    assert.is(
      await complaintOf(kubeconfigOf({}, { server })),
      `${start}The cluster of context "a" needs an http or https URL as its server, found ${
        JSON.stringify(server)
      }`,
    );
  }
  // A password in a proxy's address would be told.
  assert.is(
    await complaintOf(kubeconfigOf({}, { "proxy-url": "http://me:geheim@127.0.0.1:2" })),
    `${start}The cluster of context "a" asks for a proxy (proxy-url), and proxies are not supported`,
  );
  const broken = await complaintOf("users:\n- user:\n    token: 'geheim\n  x: [\n");
  assert.match(broken, "Cannot read the kubeconfig: ");
  assert.not.match(broken, "geheim");
  const plugin = join(folder, "plugin");
  await writeFile(plugin, "#!/bin/sh\necho geheim\n", { mode: 0o755 });
  const credentials = await complaintOf(kubeconfigOf({ exec: { command: plugin } }));
  assert.match(credentials, "it returned no ExecCredential with a status");
  assert.not.match(credentials, "geheim");
});

test("the output cannot leave its folder", async ({ folder }) => {
  for (const path of ["../evil.ts", "a/../../evil.ts", "/evil.ts"]) {
    await writeOutput(join(folder, "out"), new Map([[path, ""]])).then(
      () => assert.unreachable(path),
      (error: Error) => assert.match(error.message, "it is outside the folder"),
    );
  }
  assert.equal(await readdir(folder), []);
});

test("long work says what it is doing, once a line is due, also while it waits", async () => {
  const lines: string[] = [];
  const eager = new Progress((line) => void lines.push(line), 0);
  const input = { place: ["crd.json"], value: crdOf({}) };
  generate([input], { progress: (module, number, of) => eager.begin(`${module} ${number} of ${of}`) });
  assert.equal(lines, ["example.com/v1 1 of 2", "meta/v1 2 of 2"]);

  await new Promise<void>((said) => {
    const waiting = new Progress((line) => said(assert.is(line, "still reading")), 5);
    waiting.begin("reading");
    waiting.begin("still reading");
  });
  const patient = new Progress(() => assert.unreachable(), 60_000);
  patient.begin("reading");
  patient.end();
});

test("--help names each option and exits with 0", async ({ said }) => {
  assert.is(await main(["--help"]), 0);
  for (const option of ["--out", "--check", "--keep-going", "--from-cluster", "--kind", "--validator"]) {
    assert.match(said[0]!, option);
  }
});

test.run();
