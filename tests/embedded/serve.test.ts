/** The embedded API on a socket, and as a program. @module */
import { spawn } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { startEmbedded } from "../../embedded/serve.ts";
import { runtimeFlags } from "../this_runtime.ts";
import { within } from "../within.ts";

const configMaps = "/api/v1/namespaces/default/configmaps";

test("it answers on 127.0.0.1, and its kubeconfig is for its owner only", async () => {
  const server = await startEmbedded();
  assert.match(server.url, /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.is(statSync(server.kubeconfig).mode & 0o777, 0o600);
  const config = JSON.parse(readFileSync(server.kubeconfig, "utf8"));
  assert.is(config.clusters[0].cluster.server, server.url);
  const response = await fetch(`${server.url}/version`);
  assert.is((await response.json()).minor, "36");
  await server.close();
  assert.not(existsSync(server.kubeconfig));
});

test("a watch streams over the socket, and its end on the client's side is seen", async () => {
  const server = await startEmbedded();
  const stop = new AbortController();
  const response = await fetch(`${server.url}${configMaps}?watch=true`, { signal: stop.signal });
  const reader = response.body!.getReader();
  const made = await fetch(`${server.url}${configMaps}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ metadata: { name: "ünï" + "x" }, data: {} }),
  });
  assert.is(made.status, 422);
  await made.body?.cancel();
  const good = await fetch(`${server.url}${configMaps}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ metadata: { name: "a" }, data: { text: "ünï ☃" } }),
  });
  await good.body?.cancel();
  const { value } = await within(2000, reader.read(), "the event");
  const event = JSON.parse(new TextDecoder().decode(value));
  assert.equal([event.type, event.object.data.text], ["ADDED", "ünï ☃"]);
  assert.is(server.api.openWatches, 1);
  stop.abort();
  await reader.read().catch(() => undefined);
  for (let i = 0; i < 100 && server.api.openWatches > 0; i++) {
    await new Promise((done) => setTimeout(done, 10));
  }
  assert.is(server.api.openWatches, 0);
  await server.close();
});

test("close ends open watches", async () => {
  const server = await startEmbedded();
  const response = await fetch(`${server.url}${configMaps}?watch=true`);
  const reader = response.body!.getReader();
  const ended = reader.read().then(({ done }) => done, () => true);
  await within(2000, server.close(), "close");
  assert.is(await within(2000, ended, "the end of the watch"), true);
});

test("a port that is taken is an error, and leaves nothing behind", async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const { port } = other.address() as AddressInfo;
  const failure = await startEmbedded({ port }).then(() => "started", (error: Error) => error.message);
  assert.match(failure, /EADDRINUSE|in use/i);
  await new Promise((resolve) => other.close(resolve));
});

const main = fileURLToPath(new URL("../../embedded/main.ts", import.meta.url));

function run(args: string[]): { output: () => string; ended: Promise<number | null>; kill: () => void } {
  const child = spawn(process.execPath, [...runtimeFlags, main, ...args]);
  let text = "";
  child.stdout.on("data", (chunk) => text += chunk);
  child.stderr.on("data", (chunk) => text += chunk);
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  return { output: () => text, ended, kill: () => process.kill(child.pid!, "SIGTERM") };
}

test("the program serves a definition from a file and ends cleanly on SIGTERM", async () => {
  const folder = await mkdtemp(join(tmpdir(), "embedded-test-"));
  const [crd, kubeconfig] = [join(folder, "crd.yaml"), join(folder, "sub", "kubeconfig")];
  await writeFile(crd, definition);
  const program = run(["--kubeconfig", kubeconfig, "--crd", crd]);
  for (let i = 0; i < 500 && !program.output().includes("KUBECONFIG="); i++) {
    await new Promise((done) => setTimeout(done, 20));
  }
  const url = /http:\/\/127\.0\.0\.1:\d+/.exec(program.output())?.[0];
  const response = await fetch(`${url}/apis/example.com/v1/things`);
  assert.is((await response.json()).kind, "ThingList");
  program.kill();
  assert.is(await within(5000, program.ended, "the end of the program"), 0);
  assert.not(existsSync(kubeconfig));
  await rm(folder, { recursive: true });
});

test("a wrong flag or an unreadable file is one clear line and a failure", async () => {
  const unknown = run(["--nonsense"]);
  assert.is(await within(10_000, unknown.ended, "the end of the program"), 2);
  assert.match(unknown.output(), /^Unknown option '--nonsense'/);
  const missing = run(["--crd", "/no/such/file.yaml"]);
  assert.is(await within(10_000, missing.ended, "the end of the program"), 1);
  assert.match(missing.output(), /^ENOENT.*\/no\/such\/file\.yaml/);
});

const definition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: things, kind: Thing}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`;

test.run();
