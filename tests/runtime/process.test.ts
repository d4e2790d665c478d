/** Whole processes, against a small API server on loopback: signals, exit codes, what is left behind. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { within } from "../within.ts";

const example = fileURLToPath(new URL("../../examples/config-map.ts", import.meta.url));
const runtimeArguments = "Deno" in globalThis ? ["run", "-A", example] : [example];
const folder = mkdtempSync(join(tmpdir(), "process-"));

/** An API server with no objects whose watches stay open. */
async function serve(isAllowed = true) {
  let watches = 0;
  let onWatch = () => {};
  const server = http.createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://localhost");
    const kind = url.pathname.endsWith("configmaps") ? "ConfigMap" : "Database";
    if (!isAllowed) {
      response.writeHead(403, { "content-type": "application/json" });
      response.end(
        JSON.stringify({ kind: "Status", status: "Failure", reason: "Forbidden", code: 403, message: "no" }),
      );
    } else if (url.searchParams.get("watch")) {
      response.writeHead(200, { "content-type": "application/json" });
      response.flushHeaders();
      watches += 1;
      onWatch();
    } else {
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify({ kind: `${kind}List`, metadata: { resourceVersion: "1" }, items: [] }));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const file = join(folder, "kubeconfig");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  writeFileSync(
    file,
    `current-context: c\nclusters: [{name: c, cluster: {server: "${url}"}}]\n` +
      "contexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {}}]\n",
  );
  return {
    file,
    watching: () => {
      watches = 0;
      return within(
        20_000,
        new Promise<void>((resolve) => {
          onWatch = () => {
            if (watches >= 2) resolve();
          };
        }),
        "two watches",
      );
    },
    close() {
      server.closeAllConnections();
      return new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function start(
  kubeconfig: string,
): { child: ChildProcess; ended: Promise<{ code: number | null; output: string }> } {
  const child = spawn(process.execPath, runtimeArguments, {
    env: { ...process.env, KUBECONFIG: kubeconfig, KUBERNETES_SERVICE_HOST: "" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let output = "";
  child.stderr!.on("data", (chunk) => output += String(chunk));
  const ended = new Promise<{ code: number | null; output: string }>((resolve) => {
    child.on("close", (code) => resolve({ code, output }));
  });
  return { child, ended: within(30_000, ended, "the process to end") };
}

test("SIGTERM and SIGINT end an idle operator in good order, within a second, with exit code 0", async () => {
  const server = await serve();
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    const isWatching = server.watching();
    const { child, ended } = start(server.file);
    await isWatching;
    process.kill(child.pid!, signal);
    const { code, output } = await within(1_000, ended, "the process to end");
    assert.is(code, 0, output);
    assert.match(output, /"msg":"Stopping"/);
  }
  await server.close();
});

test("a kubeconfig that is not there: one line that names it, exit code 2, no stack trace", async () => {
  const { code, output } = await start(join(folder, "nothing")).ended;
  assert.is(code, 2);
  const lines = output.trim().split("\n");
  assert.is(lines.length, 1);
  assert.match((JSON.parse(lines[0]!) as { error: string }).error, /kubeconfig ".*nothing" does not exist/);
});

test("SIGTERM while the first list is refused ends the start at once, and says what was wrong meanwhile", async () => {
  const server = await serve(false);
  const { child, ended } = start(server.file);
  let isTold = false;
  child.stderr!.on("data", (chunk) => {
    if (isTold || !String(chunk).includes("Cannot follow a kind")) return;
    isTold = true;
    process.kill(child.pid!, "SIGTERM");
  });
  const { code, output } = await ended;
  assert.is(code, 0, output);
  assert.match(output, /list: Cannot GET \/apis\/app\.example\.com\/v1\/databases: no/);
  await server.close();
});

test.after(() => rmSync(folder, { recursive: true }));
test.run();
