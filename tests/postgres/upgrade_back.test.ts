import { chmodSync, existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { dataFolder, folder, guard, volumeFolder } from "../../postgres/scripts.ts";
import { upgrade } from "../../postgres/upgrade_scripts.ts";
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
    const write = (path: string, text: string) => {
      mkdirSync(dirname(join(pod.root, path)), { recursive: true });
      pod.write(path, text);
    };
    const program = (major: number, name: string, text: string) => {
      const path = `/usr/lib/postgresql/${major}/bin/${name}`;
      write(path, `#!/bin/sh\n${text}\n`);
      chmodSync(join(pod.root, path), 0o755);
    };
    program(15, "postgres", "exit 9");
    program(17, "postgres", postgres);
    program(17, "pg_upgrade", "exit 9");
    write(join(folder.config, "guard.sh"), pod.moved(guard, folders));
    write(join(folder.config, "upgrade.json"), JSON.stringify({ from: 15, to: 17, parameters: {} }));
    write("/dev/termination-log", "");
    write(`${volumeFolder}/upgrade.json`, JSON.stringify({ control: await sha256("as pg_upgrade left it") }));
    write(`${dataFolder}/PG_VERSION`, "17\n");
    write(`${dataFolder}/global/pg_control`, control);
    write(`${dataFolder}.before/PG_VERSION`, "15\n");
    write(`${dataFolder}.before/global/pg_control.old`, "of 15");
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

test.run();
