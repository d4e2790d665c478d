import { chmodSync, existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { memberLibrary } from "../../postgres/agent.ts";
import { dataFolder, folder, guard, volumeFolder } from "../../postgres/scripts.ts";
import { upgrade, upgradeAgent } from "../../postgres/upgrade_scripts.ts";
import { pythonTest, StandIns } from "./stand_ins.ts";

const folders = [volumeFolder, folder.config, "/usr/lib/postgresql", "/dev/termination-log"];

/** Runs `upgrade.py back` on a volume with data of 17 that an upgrade from 15 has left; the control is pg_control's text. */
async function goBack({ control = "as pg_upgrade left it", postgres = "exit 0" }: {
  control?: string;
  /** The shell script that is 17's postgres. */
  postgres?: string;
}) {
  const pod = new StandIns([], {});
  try {
    const program = (major: number, name: string, text: string) => {
      const path = `/usr/lib/postgresql/${major}/bin/${name}`;
      pod.write(path, `#!/bin/sh\n${text}\n`);
      chmodSync(join(pod.root, path), 0o755);
    };
    program(15, "postgres", "exit 9");
    program(17, "postgres", postgres);
    program(17, "pg_upgrade", "exit 9");
    pod.write(join(folder.config, "guard.sh"), pod.moved(guard, folders));
    pod.write(join(folder.config, "upgrade.json"), JSON.stringify({ from: 15, to: 17, parameters: {} }));
    pod.write("/dev/termination-log", "");
    pod.write(
      `${volumeFolder}/upgrade.json`,
      JSON.stringify({ control: await sha256("as pg_upgrade left it") }),
    );
    pod.write(`${dataFolder}/PG_VERSION`, "17\n");
    pod.write(`${dataFolder}/global/pg_control`, control);
    pod.write(`${dataFolder}.before/PG_VERSION`, "15\n");
    pod.write(`${dataFolder}.before/global/pg_control.old`, "of 15");
    const { code } = await pod.run(pod.moved(upgrade, folders), ["back"]);
    return {
      code,
      told: pod.read("/dev/termination-log"),
      version: pod.read(`${dataFolder}/PG_VERSION`)?.trim(),
      control: pod.read(`${dataFolder}/global/pg_control`),
      before: existsSync(join(pod.root, `${dataFolder}.before`)),
    };
  } finally {
    pod.close();
  }
}

async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

pythonTest(
  "what pg_upgrade made and no server has used is taken back, with what a server says of it",
  async () => {
    const postgres = `[ "$3 $4 $5 $6" = "-C shared_memory_size -c ssl=off" ] || exit 9
echo '2026-11-26 12:00:00 UTC [9] FATAL:  could not access file "nope": No such file or directory' >&2
exit 1`;
    const { code, told, version, before } = await goBack({ postgres });
    assert.equal({ code, told, version, before }, {
      code: 0,
      told: 'could not access file "nope": No such file or directory',
      version: "15",
      before: false,
    });
  },
);

pythonTest("so it is where a server has nothing to say", async () => {
  const { code, told, version } = await goBack({});
  assert.equal({ code, told, version }, { code: 0, told: "", version: "15" });
});

pythonTest("what a server has used stays, and that is told", async () => {
  const { code, told, version, control, before } = await goBack({ control: "in recovery" });
  assert.is(code, 1);
  assert.match(
    told ?? "",
    /^PostgreSQL 17 has used the data, so that there is no way back to 15 but a backup; /,
  );
  assert.equal({ version, control, before }, { version: "17", control: "in recovery", before: true });
});

/** Runs one look of the agent at what an upgrade to 17 has left; `leads` is what Patroni says, one time after the other. */
async function finish(
  { recovering = false, leads, first = true, replaced = true, gathered = false, code = 0 }: {
    recovering?: boolean;
    leads: boolean[];
    /** Whether it is the member whose volume was upgraded. */
    first?: boolean;
    /** Whether the Database has been upgraded. */
    replaced?: boolean;
    /** Whether statistics have been gathered. */
    gathered?: boolean;
    /** vacuumdb's exit code. */
    code?: number;
  },
) {
  const pod = new StandIns(["psql", "vacuumdb"], {
    vacuumdb: { code },
    "SELECT pg_is_in_recovery": { out: recovering ? "t" : "f" },
    "SELECT EXISTS database_operator.statistics": { out: gathered ? "t" : "f" },
    "ALTER DATABASE database_operator.statistics": {},
    datallowconn: { out: '["app", "it\'s"]' },
  });
  try {
    pod.write("member.py", memberLibrary);
    const program = "/usr/lib/postgresql/17/bin/vacuumdb";
    pod.write(program, `#!/bin/sh\nexec ${pod.bin}/vacuumdb "$@"\n`);
    chmodSync(join(pod.root, program), 0o755);
    pod.write(`${dataFolder}/PG_VERSION`, "17\n");
    if (replaced) pod.write(`${folder.config}/replaced`, "7\n");
    if (first) {
      pod.write(`${dataFolder}.before/base/1`, "");
      pod.write(`${volumeFolder}/upgrade.json`, JSON.stringify({ to: 17 }));
    }
    const answers = JSON.stringify(leads.map(Number));
    const { code: ended, output } = await pod.run(`import sys
sys.path.insert(0, ${JSON.stringify(pod.root)})
${pod.moved(upgradeAgent, folders)}
member.leads = lambda answers=${answers}: answers.pop(0)
print("over" if finish() else "to do")
`);
    assert.is(ended, 0, output);
    const lines = pod.calls().map(({ line }) => line);
    return {
      gathered: lines.filter((line) => line.startsWith("vacuumdb")).map((line) =>
        line.replace(/^vacuumdb --(\S+) .*--dbname=dbname=/, "$1 of ")
      ),
      kept: lines.some((line) => line.includes("ALTER DATABASE")),
      before: existsSync(join(pod.root, `${dataFolder}.before`)),
      marked: existsSync(join(pod.root, volumeFolder, "upgrade.json")),
      isOver: output.trim().endsWith("over"),
    };
  } finally {
    pod.close();
  }
}

const nothing = { gathered: [], kept: false, before: false, marked: false, isOver: false };

pythonTest(
  "the member that leads with upgraded data gathers statistics of each database, and the old data goes",
  async () => {
    const over = {
      ...nothing,
      gathered: ["analyze-in-stages of 'app'", "analyze-in-stages of 'it\\'s'"],
      kept: true,
      isOver: true,
    };
    assert.equal(await finish({ leads: [true, true, true] }), over);
    assert.equal(await finish({ code: 1, leads: [true, true, true] }), over, "one table refuses");
  },
);

pythonTest("one that leads no more stops there, and goes on when it leads again", async () => {
  assert.equal(await finish({ leads: [true, false] }), {
    ...nothing,
    gathered: ["analyze-in-stages of 'app'"],
    before: true,
    marked: true,
  });
});

pythonTest("where another leads with the upgraded data the old goes", async () => {
  assert.equal(await finish({ recovering: true, leads: [] }), { ...nothing, marked: true });
});

pythonTest("that other gathers statistics then, whole ones at once", async () => {
  assert.equal(await finish({ first: false, leads: [true, true, true] }), {
    ...nothing,
    gathered: ["analyze-only of 'app'", "analyze-only of 'it\\'s'"],
    kept: true,
    isOver: true,
  });
});

pythonTest(
  "what one primary has gathered is not gathered again by the next, nor where nothing was upgraded",
  async () => {
    assert.equal(await finish({ first: false, gathered: true, leads: [true] }), { ...nothing, isOver: true });
    assert.equal(await finish({ gathered: true, leads: [true] }), { ...nothing, isOver: true });
    assert.equal(await finish({ first: false, leads: [false] }), nothing);
    assert.equal(await finish({ first: false, replaced: false, leads: [] }), nothing);
  },
);

/** What became of `upgrade.py run` on data of 15 whose server ended in this state. */
async function run(
  state: string,
  { begun }: { begun: boolean },
): Promise<{ code: number | null; told: string; version: string }> {
  const pod = new StandIns([], {});
  try {
    const write = (path: string, text: string, mode = 0o644) => {
      pod.write(path, text);
      chmodSync(join(pod.root, path), mode);
    };
    const program = (major: number, name: string, text: string) =>
      write(`/usr/lib/postgresql/${major}/bin/${name}`, `#!/bin/sh\n${text}\n`, 0o755);
    program(15, "postgres", "");
    program(17, "postgres", "");
    program(
      15,
      "pg_controldata",
      `echo 'Database cluster state:   ${state}'; echo 'Bytes per WAL segment:  16777216'`,
    );
    program(
      17,
      "initdb",
      'mkdir -p "$2/global"; echo 17 >"$2/PG_VERSION"; printf 12345678 >"$2/global/pg_control"',
    );
    // The second one is that which links; nobody else may work on the volume meanwhile.
    program(
      17,
      "pg_upgrade",
      `flock -n ${join(pod.root, volumeFolder)} true && exit 5
[ ! -e ${join(pod.root, dataFolder)}/postmaster.pid ] || exit 6
case "$*" in *--check) ;; *) mv ${join(pod.root, dataFolder)}/global/pg_control ${
        join(pod.root, dataFolder)
      }/global/pg_control.old ;; esac`,
    );
    write(join(folder.config, "guard.sh"), pod.moved(guard, folders));
    write(join(folder.config, "upgrade.json"), JSON.stringify({ from: 15, to: 17, parameters: {} }));
    write("/dev/termination-log", "");
    write(`${dataFolder}/PG_VERSION`, "15\n");
    write(`${dataFolder}/global/pg_control`, "87654321");
    if (begun) {
      write(`${dataFolder}.upgraded/PG_VERSION`, "17\n");
      write(`${dataFolder}/postmaster.pid`, "1\n");
    }
    const { code } = await pod.run(pod.moved(upgrade, folders), ["run"]);
    return {
      code,
      told: pod.read("/dev/termination-log") ?? "",
      version: pod.read(`${dataFolder}/PG_VERSION`)?.trim() ?? "",
    };
  } finally {
    pod.close();
  }
}

pythonTest("data that was shut down is upgraded, and nobody else works on the volume meanwhile", async () => {
  const { code, told, version } = await run("shut down", { begun: false });
  assert.equal({ code, version }, { code: 0, version: "17" }, told);
  assert.is(JSON.parse(told).control, await sha256("12345678"));
});

pythonTest("data of a primary that was not stopped in order is not", async () => {
  const { code, told, version } = await run("in production", { begun: false });
  assert.equal({ code, version }, { code: 1, version: "15" });
  assert.match(told, /was not stopped in order: the state of its data is in production/);
});

pythonTest(
  "unless it was in order, and an attempt was killed with the server that pg_upgrade had started",
  async () => {
    const { code, told, version } = await run("in production", { begun: true });
    assert.equal({ code, version }, { code: 0, version: "17" }, told);
  },
);

test.run();
