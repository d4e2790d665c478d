/** The program that tries a restore out, against stand-ins for pgBackRest and PostgreSQL. */
import { test as uvuTest } from "uvu";
import * as assert from "uvu/assert";
import { backupFolder } from "../../postgres/backup_scripts.ts";
import { drill } from "../../postgres/drill.ts";
import { type Answer, archived, info, pythonTest as test, StandIns } from "./stand_ins.ts";

const last = "000000010000000000000009";
const replayed = (redo: string) =>
  `LOG:  redo done at ${redo} system usage: CPU
LOG:  last completed transaction was at log time 2026-11-23 10:08:30.5+00
`;

const whole = [{ label: "20261123-100000F", stop: 1, error: false }];

async function play(
  server: Answer | Answer[],
  { backups = [whole], restore = {} }: { backups?: (typeof whole)[]; restore?: Answer } = {},
) {
  const restored: Answer = { files: { "drill/data/PG_VERSION": "17" } };
  const stand = new StandIns(["pgbackrest", "postgres", "psql"], {
    "pgbackrest info": backups.map((those) => ({ out: info(those, last) })),
    "pgbackrest repo-ls": { out: archived({ [last]: 9 }) },
    "pgbackrest restore": [{ ...restored, ...restore }, restored],
    "postgres -D": server,
    "psql pg_is_in_recovery": { out: "f\n", asks: true },
    "psql pg_database": { out: '["postgres", "it\'s"]\n', asks: true },
    "psql pg_class": [{ out: "400\n" }, { out: "500\n" }],
  });
  try {
    stand.write("dev/termination-log", "");
    stand.write(
      "etc/pgbackrest/pgbackrest.conf",
      "[global]\nrepo1-s3-key-secret=very-secret\narchive-async=y\nspool-path=/pgdata/spool\n[db]\npg1-path=/x\n",
    );
    const program = stand.moved(drill, [backupFolder, "/drill", "/dev/termination-log"]);
    const { code } = await stand.run(program, [stand.bin]);
    assert.is(stand.read("drill/data/PG_VERSION"), undefined, "nothing is left");
    const { time: _, durationSeconds, ...told } = JSON.parse(stand.read("dev/termination-log")!);
    return { code, told, durationSeconds, calls: stand.calls(), config: stand.read("pgbackrest.conf") };
  } finally {
    stand.close();
  }
}

test("a drill restores the last whole backup, counts, and tells how far it came", async () => {
  const { code, told, durationSeconds, config, calls } = await play(
    { serves: true, err: replayed("0/9000060") },
    { backups: [[...whole, { label: "damaged", stop: 2, error: true }]] },
  );
  assert.is(code, 0);
  assert.equal(told, {
    passed: true,
    backup: "20261123-100000F",
    databases: 2,
    relations: 900,
    lastTransactionTime: "2026-11-23T10:08:30Z",
  });
  assert.ok(durationSeconds >= 0);
  assert.not.match(config!, /archive-async|spool-path|pg1-path=\/x/);
  const [server] = calls.filter(({ line }) => line.startsWith("postgres "));
  assert.match(server!.line, / -c listen_addresses= .* -c max_logical_replication_workers=0 /);
});

test("nothing that an owner put into his database stands in for what the drill asks", async () => {
  const { calls } = await play({ serves: true, err: replayed("0/9000060") });
  const asked = calls.filter(({ line }) => line.startsWith("psql "));
  assert.is(asked.length >= 4, true);
  for (const { line, input, options } of asked) {
    assert.is(options, "-c search_path=", line);
    const statement = input || line;
    // Each function and relation is named with its schema.
    assert.not.match(statement, /(?<!pg_catalog\.)\b(?:pg_[a-z_]+|count|json_agg)\b(?!\.)/, statement);
  }
  assert.ok(asked.some(({ line }) => line.endsWith("-d dbname='it\\'s'")));
});

test("a drill whose replay ends before the newest archived WAL has failed", async () => {
  const { code, told } = await play({ serves: true, err: replayed("0/6000060") });
  assert.is(code, 1);
  assert.is(told.passed, false);
  assert.match(told.message, /WAL is missing/);
  assert.is(told.lastTransactionTime, "2026-11-23T10:08:30Z");
});

test("a drill that fails says why, without what is secret", async () => {
  const { code, told } = await play({ code: 1, err: "FATAL:  cannot read very-secret\n" });
  assert.equal([code, told.message], [1, "PostgreSQL: cannot read ***"]);
  const none = await play({ serves: true }, { backups: [[]] });
  assert.equal([none.code, none.told.message], [1, "the repository has no backup"]);
});

test("where retention takes the backup away meanwhile, the newest one is tried, and that alone counts", async () => {
  const next = [{ label: "20261124-100000F", stop: 5, error: false }];
  const serves = { serves: true, err: replayed("0/9000060") };
  const checkpoint = { code: 1, err: "FATAL:  could not locate required checkpoint record at 0/8000080\n" };
  for (
    const { code, told } of [
      await play([checkpoint, serves], { backups: [whole, next, next] }),
      await play([{ serves: true, err: replayed("0/6000060") }, serves], { backups: [whole, next, next] }),
      await play(serves, {
        backups: [whole, next, next],
        restore: { code: 1, err: "ERROR: [055]: missing\n" },
      }),
    ]
  ) {
    assert.equal([code, told.passed, told.backup, told.message], [0, true, "20261124-100000F", undefined]);
  }
  const gone = await play(checkpoint, { backups: [whole, []] });
  assert.equal([gone.code, gone.told.message], [1, "the repository has no backup"]);
});

uvuTest.run();
