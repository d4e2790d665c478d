import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import process from "node:process";
import { memberLibrary } from "../../postgres/agent.ts";
import { upgradeAgent } from "../../postgres/upgrade_scripts.ts";
import { usersAgent } from "../../postgres/users_agent.ts";
import {
  application,
  dataFolder,
  folder,
  guard,
  replicationSslMode,
  start,
  stop,
  volumeFolder,
} from "../../postgres/scripts.ts";
import { python, pythonFlags } from "./stand_ins.ts";

/** A volume by its files, and after the guard has seen it. */
type Files = Record<string, string>;

/** pg_control begins with the system identifier. */
const control = (identifier: bigint) =>
  String.fromCharCode(...new Uint8Array(new BigUint64Array([identifier]).buffer));
const [before, after] = [7_000_000_000_000_000_001n, 7_000_000_000_000_000_002n];

/** Runs the guard on a volume of these files, with the programs of 15 and 17. */
function guardVolume(
  wanted: string,
  given: Files,
  replaced?: string,
): { code: number; text: string; files: Files } {
  const root = mkdtempSync(join(tmpdir(), "guard-"));
  const write = (path: string, text: string, mode = 0o644) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text, { encoding: "latin1", mode });
  };
  try {
    mkdirSync(join(root, volumeFolder));
    for (const [path, text] of Object.entries(given)) write(join(volumeFolder, path), text);
    for (const major of ["15", "17"]) write(`usr/lib/postgresql/${major}/bin/postgres`, "", 0o755);
    if (replaced !== undefined) write(join(folder.config, "replaced"), replaced);
    const script = [volumeFolder, folder.config, "/usr/lib/postgresql"].reduce(
      (text, path) => text.replaceAll(path, join(root, path)),
      guard,
    );
    const { status, stderr } = spawnSync("/bin/sh", ["-s", wanted], { input: script, encoding: "utf8" });
    const volume = join(root, volumeFolder);
    const names = readdirSync(volume, { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile()
    )
      .map((entry) => relative(volume, join(entry.parentPath, entry.name)));
    const files = Object.fromEntries(
      names.sort().map((name) => [name, readFileSync(join(volume, name), "latin1")]),
    );
    return { code: status ?? -1, text: stderr, files };
  } finally {
    rmSync(root, { recursive: true });
  }
}

/** Files of data in a folder; pg_upgrade renames pg_control when it links. */
const data = (at: string, major: number, identifier: bigint, name = "pg_control"): Files => ({
  [`${at}/PG_VERSION`]: `${major}\n`,
  [`${at}/global/${name}`]: control(identifier),
});
const made = data("data", 15, before);
const disabled = (at: string) => data(at, 15, before, "pg_control.old");
const fingerprint = createHash("sha256").update(control(after), "latin1").digest("hex");
const mark = { "upgrade.json": `{"systemIdentifier": "${after}", "control": "${fingerprint}"}` };
/** The new data after its server has begun to start. */
const used = { ...data("data", 17, after), "data/global/pg_control": `${control(after)}in recovery` };

for (
  const { rule, wanted, given, replaced, want } of [
    {
      rule: "data that an upgrade replaced goes, to be cloned anew",
      wanted: "17",
      given: { ...made, "pgbackrest-spool/x": "" },
      replaced: `1\n${before}\n`,
      want: { "pgbackrest-spool/x": "" },
    },
    { rule: "other old data stays", wanted: "17", given: made, replaced: `${before}1\n`, want: undefined },
    { rule: "old data stays where nothing was upgraded", wanted: "17", given: made, want: undefined },
    {
      rule: "data of the wanted version stays, whatever was replaced",
      wanted: "15",
      given: made,
      replaced: `${before}\n`,
      want: made,
    },
    {
      rule: "what is left of a removal goes on to go",
      wanted: "17",
      given: { "data.replaced/base/1": "", ...data("data", 17, after) },
      want: data("data", 17, after),
    },
    {
      rule: "an upgrade that was killed while it linked is taken back",
      wanted: "15",
      given: { ...disabled("data"), ...data("data.upgraded", 17, after) },
      want: made,
    },
    {
      rule: "an upgrade that was killed before it linked is taken back",
      wanted: "15",
      given: { ...made, ...data("data.upgraded", 17, after) },
      want: made,
    },
    {
      rule: "an upgrade that was whole is taken back",
      wanted: "15",
      given: { ...disabled("data"), ...data("data.upgraded", 17, after), ...mark },
      want: made,
    },
    {
      rule: "an upgrade that was killed between the renames is taken back",
      wanted: "15",
      given: { ...disabled("data.before"), ...data("data.upgraded", 17, after), ...mark },
      want: made,
    },
    {
      rule: "an upgrade that was done is taken back",
      wanted: "15",
      given: { ...disabled("data.before"), ...data("data", 17, after), ...mark },
      want: made,
    },
    {
      rule: "the way back stays open while the new server starts",
      wanted: "17",
      given: { ...disabled("data.before"), ...data("data", 17, after), ...mark },
      want: { ...disabled("data.before"), ...data("data", 17, after), ...mark },
    },
    {
      rule: "a way back that was killed after it moved the new data goes on",
      wanted: "15",
      given: { ...disabled("data.before"), ...data("data.upgraded", 17, after) },
      want: made,
    },
    {
      rule: "a way back that was killed after it moved the old data goes on",
      wanted: "15",
      given: { ...disabled("data"), ...data("data.upgraded", 17, after) },
      want: made,
    },
    {
      rule: "once the new server has written its pg_control there is no way back",
      wanted: "15",
      given: { ...disabled("data.before"), ...used, ...mark },
      want: undefined,
    },
    {
      rule: "nor where the new data is gone",
      wanted: "15",
      given: { ...disabled("data.before"), ...mark },
      want: { ...disabled("data.before"), ...mark },
    },
    {
      rule: "nor where nobody knows whether it has",
      wanted: "15",
      given: { ...disabled("data.before"), ...data("data", 17, after) },
      want: undefined,
    },
    {
      rule: "nor where the old data has no pg_control to give back",
      wanted: "15",
      given: { "data.before/PG_VERSION": "15\n", ...data("data", 17, after), ...mark },
      want: undefined,
    },
  ] as { rule: string; wanted: string; given: Files; replaced?: string; want: Files | undefined }[]
) {
  test(`guard: ${rule}`, () => {
    const outcome = guardVolume(wanted, given, replaced);
    assert.is(outcome.code, want === undefined ? 1 : 0, outcome.text);
    assert.equal(outcome.files, sorted(want ?? given));
  });
}

function sorted(files: Files): Files {
  return Object.fromEntries(Object.entries(files).sort(([a], [b]) => a < b ? -1 : 1));
}

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
    const script = guard.replaceAll(volumeFolder, join(root, volumeFolder))
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

test("the application's role and database are quoted by psql, and no statement is logged or counted", () => {
  assert.match(application, /CREATE ROLE :"username" LOGIN PASSWORD :'password';/);
  assert.match(application, /CREATE DATABASE :"database" OWNER :"username";/);
  for (
    const setting of [
      "log_statement = 'none'",
      "log_min_duration_sample = '-1'",
      "pg_stat_statements.track = 'none'",
    ]
  ) {
    const at = application.indexOf(`SET ${setting};`);
    assert.ok(at >= 0 && at < application.indexOf("password"), setting);
    assert.match(usersAgent, new RegExp(setting.replace(" = ", '": ?').replaceAll("'", '"')));
  }
});

test("the agent's queries find names in pg_catalog alone", () => {
  const folder = mkdtempSync(join(tmpdir(), "agent-"));
  try {
    writeFileSync(join(folder, "psql"), '#!/bin/sh\necho "$PGOPTIONS $*"\n');
    chmodSync(join(folder, "psql"), 0o755);
    writeFileSync(join(folder, "member.py"), memberLibrary);
    const env = { ...process.env, PATH: `${folder}:${process.env["PATH"]}` };
    const ended = spawnSync(python, [
      ...pythonFlags,
      "-c",
      "import member; print(member.query('SELECT 1', 'app'))",
    ], {
      cwd: folder,
      env,
    });
    assert.is(String(ended.stdout).trim(), "-c search_path= -XAtqc SELECT 1 app", String(ended.stderr));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("the agent tells what all databases use; a database's name is never read as a connection string", () => {
  const folder = mkdtempSync(join(tmpdir(), "agent-"));
  try {
    writeFileSync(join(folder, "upgrade_agent.py"), upgradeAgent);
    writeFileSync(
      join(folder, "member.py"),
      `import json
asked = []
def query(statement, database="postgres"):
    asked.append(database)
    if "datname" in statement:
        return json.dumps(["app", "host=evil", "a'b\\\\c"])
    return json.dumps({"extensions": ["plpgsql", "of " + database], "libraries": ["$libdir/x"]})
`,
    );
    const program =
      "import json, member, upgrade_agent; print(json.dumps([upgrade_agent.used(), member.asked]))";
    const ended = spawnSync(python, [...pythonFlags, "-c", program], { cwd: folder });
    const quoted = ["dbname='app'", "dbname='host=evil'", "dbname='a\\'b\\\\c'"];
    assert.equal(JSON.parse(String(ended.stdout) || `"${String(ended.stderr)}"`), [
      { extensions: [...quoted.map((one) => `of ${one}`), "plpgsql"].sort(), libraries: ["$libdir/x"] },
      ["postgres", ...quoted],
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("passwords are read from files into a file in memory: no argument, no environment", () => {
  assert.not.ok(/environ|getenv|argv/.test(start.replaceAll(`os.environ["${replicationSslMode}"]`, "")));
  assert.ok(start.includes(`"${folder.run}/patroni.yml"`));
});

test("a member is ended only when its first process listens to SIGTERM, after a checkpoint", () => {
  const root = mkdtempSync(join(tmpdir(), "stop-"));
  const said = join(root, "said");
  writeFileSync(join(root, "psql"), `#!/bin/sh\necho "$@" >> ${said}\n`, { mode: 0o755 });
  writeFileSync(join(root, "stop.sh"), stop.replaceAll("/proc/1/", '/proc/"$MEMBER"/'));
  // It listens half a second after it was started, as Patroni does; what ends it before ends it otherwise.
  writeFileSync(
    join(root, "member.py"),
    `import signal, sys, time
time.sleep(0.5)
signal.signal(signal.SIGTERM, lambda *_: (open("${said}", "a").write("ended in order\\n"), sys.exit()))
time.sleep(30)
`,
  );
  try {
    const script =
      `${python} ${root}/member.py & MEMBER=$! timeout 20 sh ${root}/stop.sh ${root} || exit 9; kill $!; wait $!`;
    const { status } = spawnSync("/bin/sh", ["-c", script], { encoding: "utf8" });
    assert.is(status, 0);
    assert.is(
      readFileSync(said, "utf8"),
      "--no-psqlrc --quiet --command=CHECKPOINT postgres\nended in order\n",
    );
  } finally {
    rmSync(root, { recursive: true });
  }
});

test.run();
