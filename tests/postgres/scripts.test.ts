import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { application, dataFolder, folder, guard, start } from "../../postgres/scripts.ts";

/** Runs the guard on a root of its own: data of one major version, programs of others. */
function runGuard(
  wanted: string,
  data: string | undefined,
  programs: readonly string[],
): { code: number; text: string } {
  const root = mkdtempSync(join(tmpdir(), "guard-"));
  try {
    mkdirSync(join(root, dataFolder), { recursive: true });
    if (data !== undefined) writeFileSync(join(root, dataFolder, "PG_VERSION"), data);
    for (const major of programs) {
      const binaries = join(root, "usr/lib/postgresql", major, "bin");
      mkdirSync(binaries, { recursive: true });
      writeFileSync(join(binaries, "postgres"), "");
      chmodSync(join(binaries, "postgres"), 0o755);
    }
    const script = guard.replaceAll(dataFolder, join(root, dataFolder))
      .replaceAll("/usr/lib/postgresql", join(root, "usr/lib/postgresql"));
    const { status, stderr } = spawnSync("/bin/sh", ["-s", wanted], { input: script, encoding: "utf8" });
    return { code: status ?? -1, text: stderr };
  } finally {
    rmSync(root, { recursive: true });
  }
}

for (
  const [what, wanted, data, programs, code] of [
    ["an empty volume is started", "17", undefined, ["17"], 0],
    ["data of the same major is started", "17", "17\n", ["17"], 0],
    ["newer data is never started", "17", "18\n", ["17", "18"], 1],
    ["older data is never started", "17", "15\n", ["15", "17"], 1],
    ["data without a readable version is never started", "17", "", ["17"], 1],
    ["an image without the wanted major is refused, on an empty volume too", "17", undefined, ["15"], 1],
  ] as const
) {
  test(`guard: ${what}`, () => {
    const outcome = runGuard(wanted, data, programs);
    assert.is(outcome.code, code, outcome.text);
    if (code !== 0) assert.match(outcome.text, /17/);
  });
}

test("the application's role and database are quoted by psql, and the statements are kept out of the log", () => {
  assert.match(application, /CREATE ROLE :"username" LOGIN PASSWORD :'password';/);
  assert.match(application, /CREATE DATABASE :"database" OWNER :"username";/);
  assert.ok(application.indexOf("log_statement = none") < application.indexOf("CREATE ROLE"));
});

test("passwords are read from files into a file in memory: no argument, no environment", () => {
  assert.not.ok(/environ|getenv|argv/.test(start));
  assert.ok(start.includes(`"${folder.run}/patroni.yml"`));
});

test.run();
