/**
 * The flags of deploy/deployment.yaml, tried on Deno itself: what the operator does not need is refused to it.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parse } from "yaml";

const { command: [, , script, ...zeroth], args } = parse(
  readFileSync(new URL("../../deploy/deployment.yaml", import.meta.url), "utf8"),
).spec.template.spec.containers[0] as { command: [string, string, string, string]; args: string[] };
const deno = process.versions["deno"] ? process.execPath : "deno";

/**
 * Runs a line of JavaScript as the container runs the operator; returns `done`, or the name of the error.
 *
 * @param host in place of the API server's: of the loopback, where nobody listens on port 9
 */
function tried(line: string, host = "127.0.0.1"): string {
  const folder = mkdtempSync(join(tmpdir(), "permissions-"));
  try {
    const file = join(folder, "try.js");
    writeFileSync(file, `try { ${line}; console.log("done"); } catch (error) { console.log(error.name); }`);
    const env = {
      ...process.env,
      ...{ KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: "9" },
      ...{ DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1" },
    };
    const text = script.replace("exec deno", `exec ${deno}`).replace("/app/operator.js", file);
    const options = { encoding: "utf8", env, timeout: 20_000 } as const;
    const { stdout, stderr } = spawnSync("sh", ["-c", text, ...zeroth, ...args], options);
    return stdout.trim() || stderr;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

for (
  const [what, line] of [
    ["another host", `await Deno.connect({ hostname: "127.0.0.2", port: 9 })`],
    ["another port of the API server's host", `await Deno.connect({ hostname: "127.0.0.1", port: 10 })`],
    ["another host by fetch", `await fetch("https://example.com/")`],
    ["a name to be resolved", `await Deno.resolveDns("example.com", "A")`],
    ["listening on another port", `Deno.listen({ hostname: "0.0.0.0", port: 8081 })`],
    ["a file of the system", `Deno.readTextFileSync("/etc/passwd")`],
    ["the arguments of other processes", `Deno.readTextFileSync("/proc/1/cmdline")`],
    ["a folder beside the token's", `Array.from(Deno.readDirSync("/var/run"))`],
    [
      "writing, also beside the token",
      `Deno.writeTextFileSync("/var/run/secrets/kubernetes.io/serviceaccount/x", "")`,
    ],
    ["writing a temporary file", `Deno.writeTextFileSync("/tmp/x", "")`],
    ["another variable", `Deno.env.get("PATH")`],
    ["the whole environment", `Deno.env.toObject()`],
    ["another program", `new Deno.Command("true").outputSync()`],
    ["foreign code", `Deno.dlopen("libc.so.6", {})`],
    ["who it runs as", `Deno.uid()`],
    [
      "asking for more",
      `if ((await Deno.permissions.request({ name: "run" })).state !== "granted") throw new Deno.errors.NotCapable("")`,
    ],
  ] as const
) {
  test(`refused: ${what}`, () => {
    assert.is(tried(line), "NotCapable");
  });
}

for (
  const [what, line, outcome] of [
    ["the API server", `await Deno.connect({ hostname: "127.0.0.1", port: 9 })`, "ConnectionRefused"],
    [
      "the token",
      `Deno.readTextFileSync("/var/run/secrets/kubernetes.io/serviceaccount/token-x")`,
      "NotFound",
    ],
    ["its variables", `Deno.env.get("WATCH_NAMESPACE")`, "done"],
    ["the host's name", `Deno.hostname()`, "done"],
  ] as const
) {
  test(`allowed: ${what}`, () => {
    assert.is(tried(line), outcome);
  });
}

for (
  const [what, line, outcome] of [
    [
      "the API server",
      `await Deno.connect({ hostname: "::1", port: 9 })`,
      /^ConnectionRefused|AddrNotAvailable$/,
    ],
    ["another port", `await Deno.connect({ hostname: "::1", port: 10 })`, /^NotCapable$/],
    ["another host", `await Deno.connect({ hostname: "127.0.0.1", port: 9 })`, /^NotCapable$/],
    [
      "the port for metrics",
      `Deno.listen({ hostname: "::", port: 8080 }).close()`,
      /^done|AddrInUse|AddrNotAvailable$/,
    ],
    [
      "that port where it does not belong",
      `Deno.listen({ hostname: "0.0.0.0", port: 8080 })`,
      /^NotCapable$/,
    ],
    ["what it listens on", `if (Deno.env.get("LISTEN") !== "[::]:8080") throw new Error("LISTEN")`, /^done$/],
  ] as const
) {
  test(`where the API server's address is of IPv6: ${what}`, () => {
    assert.match(tried(line, "::1"), outcome);
  });
}

test.run();
