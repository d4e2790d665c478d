/** The program that restores, against stand-ins for pgBackRest and PostgreSQL. */
import { test as uvuTest } from "uvu";
import * as assert from "uvu/assert";
import { backupFolder } from "../../postgres/backup_scripts.ts";
import { restore } from "../../postgres/restore.ts";
import { folder, volumeFolder } from "../../postgres/scripts.ts";
import { podTrouble } from "../../postgres/trouble.ts";
import { type Answer, archived, info, pythonTest as test, StandIns } from "./stand_ins.ts";

const last = "000000010000000000000009";
const short = (redo: string) =>
  `2026-11-23 10:09:00.000 UTC [7] LOG:  redo done at ${redo} system usage: CPU
2026-11-23 10:09:00.000 UTC [7] LOG:  last completed transaction was at log time 2026-11-23 10:08:30.5+00
2026-11-23 10:09:00.000 UTC [7] FATAL:  recovery ended before configured recovery target was reached
`;
const at = (time: string) => Date.parse(time) / 1000;
const backups = [
  { label: "20261123-100000F", stop: at("2026-11-23T10:00:10Z") },
  { label: "20261123-100200F_20261123-100200I", stop: at("2026-11-23T10:02:10Z") },
];
const early = "is before the earliest possible time 2026-11-23T10:00:11Z; the latest is 2026-11-23T10:10:00Z";
const late = "is after the latest possible time 2026-11-23T10:10:00Z; the earliest is 2026-11-23T10:00:11Z";

/** Restores; the last WAL segment arrived at 10:10:00. */
async function play(
  wanted: { backup?: string; targetTime?: string },
  { servers = [{ serves: true }], has = backups, says = info(has) }: {
    servers?: readonly Answer[];
    has?: typeof backups;
    says?: string;
  } = {},
) {
  const stand = new StandIns(["pgbackrest", "postgres", "psql"], {
    "pgbackrest info": { out: says },
    "pgbackrest repo-ls archive/db/17-1/0000000100000000": {
      out: archived({
        "000000010000000000000008": at("2026-11-23T10:05:00Z"),
        [last]: at("2026-11-23T10:10:00Z"),
      }),
    },
    "pgbackrest restore": { files: { "pgdata/data.restoring/PG_VERSION": "17" } },
    "postgres -D": servers,
    "psql pg_is_in_recovery": { out: "f\n", asks: true },
  });
  try {
    stand.write("pgdata/left", "");
    stand.write("etc/pgbackrest/restore.conf", "[global]\nrepo1-s3-key-secret=very-secret\n");
    stand.write("etc/pgbackrest/restore.json", JSON.stringify(wanted));
    stand.write("etc/patroni/patroni.yml", JSON.stringify({ postgresql: { bin_dir: stand.bin } }));
    const program = stand.moved(restore, [backupFolder, folder.config, volumeFolder, "/dev/termination-log"]);
    stand.write("dev/termination-log", "");
    const { code, output } = await stand.run(program);
    const calls = stand.calls().map(({ line }) => line);
    assert.is(stand.read("pgdata/data.restoring/PG_VERSION"), undefined, "nothing is left of an attempt");
    assert.is(stand.read("pgdata/data/PG_VERSION"), code === 0 ? "17" : undefined, output);
    return {
      code,
      told: stand.read("dev/termination-log")!,
      restored: calls.find((line) => line.includes(" restore "))?.replace(/.*pg1-path=\S+/, ""),
      servers: calls.filter((line) => line.startsWith("postgres ")),
      options: stand.calls().filter(({ line }) => line.startsWith("psql ")).map(({ options }) => options),
    };
  } finally {
    stand.close();
  }
}

test("a restore to a time asks pgBackRest for it, replays once, and leaves the data where the server begins", async () => {
  const { code, restored, servers } = await play({ targetTime: "2026-11-23T12:04:00.25+02:00" });
  assert.is(code, 0);
  assert.is(restored, " --type=time --target=2026-11-23 10:04:00.250+00 --target-action=promote");
  assert.is(servers.length, 1);
});

test("the server of a restore is closed, archives nothing, takes up no subscription, and speaks as it is read", async () => {
  const { servers: [line], options } = await play({});
  for (
    const setting of [
      "listen_addresses=",
      "archive_mode=off",
      "max_logical_replication_workers=0",
      "timezone=UTC",
      "lc_messages=C",
      "log_min_messages=warning",
    ]
  ) assert.ok(` ${line} `.includes(` -c ${setting} `), setting);
  assert.ok(options.every((given) => given === "-c search_path="), String(options));
});

for (
  const [what, targetTime] of [
    ["the earliest possible time", "2026-11-23T10:00:11Z"],
    ["the latest possible time", "2026-11-23T10:10:00Z"],
    ["a time after the last transaction", "2026-11-23T10:09:00Z"],
  ] as const
) {
  test(`${what} is reached, though nothing committed after it`, async () => {
    const { code, servers, restored } = await play({ targetTime }, {
      servers: [{ err: short("0/9000060"), code: 1 }, { serves: true }],
    });
    assert.is(code, 0);
    assert.match(restored!, /--target=2026-11-23 10:/);
    assert.equal(servers.map((line) => line.includes("recovery_target_time= ")), [
      false,
      false,
    ]);
    assert.equal(servers.map((line) => line.endsWith("recovery_target_time=")), [false, true]);
  });
}

for (
  const [what, wanted, words] of [
    ["too early", { targetTime: "2026-11-23T10:00:10Z" }, `2026-11-23T10:00:10Z ${early}`],
    ["too late", { targetTime: "2026-11-23T10:10:01Z" }, `2026-11-23T10:10:01Z ${late}`],
    ["of years ago", { targetTime: "2001-01-01T00:00:00Z" }, `2001-01-01T00:00:00Z ${early}`],
    [
      "too early for the backup named",
      { targetTime: "2026-11-23T10:01:00Z", backup: backups[1]!.label },
      "2026-11-23T10:01:00Z is before the earliest possible time 2026-11-23T10:02:11Z; the latest is 2026-11-23T10:10:00Z",
    ],
    [
      "without such a backup",
      { backup: "20261124-100000F" },
      `there is no backup 20261124-100000F; there are`,
    ],
  ] as const
) {
  test(`a target ${what} is refused with what is possible, and nothing is restored`, async () => {
    const { code, told, restored } = await play(wanted);
    assert.is(code, 1);
    assert.ok(told.startsWith(`Cannot restore: ${words}`), told);
    assert.is(restored, undefined);
  });
}

test("a time behind missing WAL is refused, not answered with an earlier state", async () => {
  const { code, told, servers } = await play({ targetTime: "2026-11-23T10:09:30Z" }, {
    servers: [{ err: short("0/7FFFF60"), code: 1 }, { serves: true }],
  });
  assert.is(code, 1);
  assert.is(servers.length, 1);
  assert.is(
    told,
    "Cannot restore: 2026-11-23T10:09:30Z cannot be reached: WAL is missing after 2026-11-23T10:08:30Z; " +
      "the earliest possible time is 2026-11-23T10:00:11Z",
  );
});

test("PostgreSQL's refusal of a target before the backup's end names the range", async () => {
  const err = "FATAL:  requested recovery stop point is before consistent recovery point\n";
  const { told } = await play({ targetTime: "2026-11-23T10:00:12Z" }, { servers: [{ err, code: 1 }] });
  assert.is(told, `Cannot restore: 2026-11-23T10:00:12Z ${early}`);
});

test("a backup with damaged pages is restored only when it is named", async () => {
  const has = [...backups, { label: "20261123-100300F", stop: at("2026-11-23T10:03:00Z"), error: true }];
  const named = await play({ backup: "20261123-100300F" }, { has });
  assert.is(named.restored, " --set=20261123-100300F --type=immediate --target-action=promote");
  const { told } = await play({}, { has: has.slice(2) });
  assert.is(
    told,
    "Cannot restore: there is no backup without damaged pages; there are 20261123-100300F",
  );
});

uvuTest("the range in a restore's last words is never cut off", () => {
  const message = `Cannot restore: 2001-01-01T00:00:00Z ${early}; ${"label, ".repeat(100)}`;
  const terminated = { exitCode: 1, message };
  const trouble = podTrouble({
    status: { containerStatuses: [{ name: "postgres", state: { terminated } }] },
  });
  assert.ok(trouble?.message.includes(early));
});

for (
  const [what, message, told] of [
    [
      "another encryptionKey",
      "[FormatError] unable to load info file '/a/backup.info':\\nFormatError: at line 1: gR\udcd9\u0001Q$",
      "[FormatError] unable to load info file '/a/backup.info': it was written with another encryptionKey, or is damaged",
    ],
    [
      "another access key",
      "[ProtocolError] unable to load info file '/a/backup.info':\\nProtocolError: failed with 403 (Forbidden)",
      "[ProtocolError] unable to load info file '/a/backup.info': ProtocolError: failed with 403 (Forbidden)",
    ],
  ] as const
) {
  test(`a repository that ${what} cannot read is told as such, although info ends well`, async () => {
    const status = `"status":{"code":99,"message":"${message}"}`;
    const says = `[{"archive":[],"backup":[],"name":"db","repo":[{"key":1,${status}}],"status":{"code":99}}]`;
    assert.is((await play({}, { says })).told, `Cannot restore: pgBackRest: ${told}`);
  });
}

uvuTest.run();
