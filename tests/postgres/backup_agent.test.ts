/** The agent's part for backups, against stand-ins for pgBackRest and psql. */
import { test as uvuTest } from "uvu";
import * as assert from "uvu/assert";
import { memberLibrary } from "../../postgres/agent.ts";
import { backupAgent } from "../../postgres/backup_agent.ts";
import { backupFolder } from "../../postgres/backup_scripts.ts";
import { repositoryLibrary } from "../../postgres/repository_library.ts";
import { volumeFolder } from "../../postgres/scripts.ts";
import { type Answer, type Answers, archived, info, pythonTest as test, StandIns } from "./stand_ins.ts";

const segment = (at: number, timeline = 1) =>
  `0000000${timeline}00000000${at.toString(16).toUpperCase().padStart(8, "0")}`;
const status = (at: number, word: string, timeline = 1) =>
  `pgdata/data/pg_wal/archive_status/${segment(at, timeline)}.${word}`;
const inWal = (at: number, timeline = 1) => `pgdata/data/pg_wal/${segment(at, timeline)}`;
/** These segments in the repository, each a minute after the one before. */
const holding = (...at: number[]) =>
  archived(Object.fromEntries(at.map((at) => [segment(at), 1_800_000_000 + 60 * at])), "0000000100000000/");
const backups = [{ label: "20270115-080000F", stop: 1_800_000_120, start: segment(2) }];
const minute = (at: number) => new Date((1_800_000_000 + 60 * at) * 1000).toISOString().replace(".000Z", "Z");

/** A primary that archived up to the 5th segment, in order. */
const healthy: Answers = {
  "pgbackrest info": { out: info(backups, segment(5)) },
  "pgbackrest repo-ls": { out: holding(1, 2, 3, 4, 5) },
  "pgbackrest stanza-create": {},
  "pgbackrest check": {},
  "pgbackrest backup": {},
  "psql last_failed_time": { out: "f\n" },
  "psql last_archived_wal": { out: `${segment(5)}|${1_800_000_300}\n` },
  "psql pg_walfile_name": { out: "00000001\n" },
  "psql pg_is_in_recovery": { out: "t\n" },
};

/** What the agent noted, as far as it is looked at here. */
interface Note {
  readonly seen?: string;
  readonly recoverable?: string;
  readonly revision?: string;
  readonly problem?: string;
  readonly gap?: unknown;
  readonly last?: { readonly id: string };
  readonly damaged?: { readonly id: string };
  readonly failure?: { readonly message: string };
}

interface Played {
  notes: Note[];
  output: string;
  lines: string[];
  stand: StandIns;
}

/** Runs these lines of Python with the agent's modules; `look()` looks once, `leads(...)` says who leads. */
async function play(
  script: string,
  answers: Answers,
  seen: (played: Played) => void,
  files: Record<string, string> = {},
): Promise<void> {
  const stand = new StandIns(["pgbackrest", "psql"], { ...answers, ...healthy, ...answers });
  try {
    const folders = [backupFolder, volumeFolder];
    stand.write("etc/pgbackrest/pgbackrest.conf", "[global]\nrepo1-s3-key-secret=very-secret\n");
    stand.write("etc/pgbackrest/revision", "one");
    stand.write("pgdata/data/pg_wal/archive_status/.keep", "");
    for (const [name, text] of Object.entries(files)) stand.write(name, text);
    for (
      const [name, text] of [
        ["member", memberLibrary],
        ["repository", repositoryLibrary],
        ["backup_agent", backupAgent],
      ] as const
    ) stand.write(`modules/${name}.py`, stand.moved(text, folders));
    const program = `
import json, os, sys, time
sys.path.insert(0, ${JSON.stringify(`${stand.root}/modules`)})
import member, repository, backup_agent
ROOT = ${JSON.stringify(`${stand.root}/`)}
leading = [True]
member.leads = lambda: leading[0]
def note(annotation, report):
    print("NOTE " + json.dumps(report), flush=True)
member.note = note
watch = backup_agent.Watch()
look = watch.look
def leads(whether):
    leading[0] = whether
def answer(**changed):
    with open(ROOT + "answers.json") as file:
        answers = json.load(file)
    changed = {key.replace("__", "-").replace("_", " ", 1).replace("repo ls", "repo-ls"): value for key, value in changed.items()}
    with open(ROOT + "answers.json", "w") as file:
        json.dump({**answers, **changed}, file)
${script}
`;
    const { code, output } = await stand.run(program);
    assert.is(code, 0, output);
    const notes = output.split("\n").filter((line) => line.startsWith("NOTE "))
      .map((line) => JSON.parse(line.slice(5)));
    seen({ notes, output, lines: stand.calls().map(({ line }) => line), stand });
  } finally {
    stand.close();
  }
}

const commands = (lines: readonly string[]) =>
  lines.filter((line) => line.startsWith("pgbackrest ")).map((line) =>
    / (info|check|backup|verify|stanza-create|repo-ls)\b/.exec(line)?.[1]
  );

test("a primary sets the repository up, checks it once, and tells what is in it", async () => {
  await play("look()\nlook()", {}, ({ notes, lines }) => {
    const [{ seen, ...note } = {}, ...more] = notes;
    assert.equal(more, [], "what is the same is not noted again");
    assert.match(String(seen), /T\d\d:\d[05]:00Z$/);
    assert.equal(note, {
      first: "2027-01-15T08:02:01Z",
      recoverable: "2027-01-15T08:05:00Z",
      last: { id: "20270115-080000F", time: "2027-01-15T08:02:00Z", size: 1000 },
      revision: "one",
    });
    assert.equal(commands(lines), ["stanza-create", "check", "info", "repo-ls", "info"]);
  });
});

test("the latest time is told each five minutes, at once when no WAL follows, and is never before the earliest", async () => {
  const now = Math.floor(Date.now() / 1000);
  const look = (closed: number, stop: number) =>
    `answer(**{"psql_last_archived_wal": {"out": "${segment(5)}|${now - closed}"},
      "pgbackrest_info": {"out": ${
      JSON.stringify(info([{ ...backups[0]!, stop: now - stop }], segment(5)))
    }}})
look()
`;
  const looks = look(300, 400) + look(20, 400) + look(100, 400) + look(100, 50);
  await play(looks, {}, ({ notes }) => {
    const told = notes.map(({ recoverable }) => now - Date.parse(recoverable!) / 1000);
    assert.equal(told, [300, 100, 49]);
  });
});

test("WAL that was given up is told at the next look, though every command succeeded", async () => {
  // archive-push throws a segment away and reports success when the queue is too long.
  const drop = (last: number, ...arrived: number[]) =>
    `answer(**{"psql_last_archived_wal": {"out": "${segment(last)}|${1_800_000_000 + 60 * last}"},
      "pgbackrest_repo__ls": {"out": ${JSON.stringify(holding(...arrived))}}})\nlook()\n`;
  await play(`look()\n${drop(7, 1, 2, 3, 4, 5, 7)}${drop(9, 1, 2, 3, 4, 5, 7)}`, {}, ({ notes }) => {
    assert.equal(notes.map(({ gap }) => gap), [
      undefined,
      { firstWal: segment(6), lastWal: segment(6), after: minute(5) },
      { firstWal: segment(8), lastWal: segment(9), after: minute(7) },
    ]);
    assert.equal(notes.map(({ recoverable }) => recoverable), [
      minute(5),
      minute(5),
      minute(7),
    ], "no time behind the gap is promised");
  });
});

test("a gap ends with the first backup after it", async () => {
  const after = [...backups, { label: "20270115-081000F", stop: 1_800_000_600, start: segment(8) }];
  const answers = {
    "pgbackrest info": { out: info(after, segment(9)) },
    "pgbackrest repo-ls": { out: holding(1, 2, 3, 4, 8, 9) },
    "psql last_archived_wal": { out: `${segment(9)}|${1_800_000_540}\n` },
  };
  await play("look()", answers, ({ notes: [note] }) => {
    assert.equal(note!.gap, {
      firstWal: segment(5),
      lastWal: segment(7),
      after: minute(4),
      until: "2027-01-15T08:10:01Z",
    });
    assert.is(note!.recoverable, "2027-01-15T08:10:01Z");
  });
});

test("given up WAL that is still here is offered again, and what waits is no gap", async () => {
  const answers = {
    "pgbackrest repo-ls": { out: holding(1, 2, 3) },
    "psql last_archived_wal": { out: `${segment(6)}|${1_800_000_360}\n` },
  };
  const files = { [inWal(4)]: "", [status(4, "done")]: "", [inWal(5)]: "", [status(5, "ready")]: "" };
  await play("look()", answers, ({ notes: [note], stand }) => {
    assert.equal(note!.gap, { firstWal: segment(6), lastWal: segment(6), after: minute(3) });
    assert.is(stand.read(status(4, "ready")), "");
    assert.is(stand.read(status(4, "done")), undefined);
  }, files);
});

test("a new primary has the WAL archived that it received, and names what is missing by its own timeline", async () => {
  const answers = {
    "psql pg_walfile_name": { out: "00000002\n" },
    "psql last_archived_wal": { out: `${segment(9, 2)}|${1_800_000_540}\n` },
    "pgbackrest repo-ls": {
      out: archived({
        [segment(2)]: 1_800_000_120,
        [segment(9, 2)]: 1_800_000_540,
        [segment(9)]: 1_800_000_541,
      }),
    },
  };
  const files = {
    "pgdata/data/pg_wal/00000002.history": "1\t0/8000000\tno recovery target specified\n",
    [inWal(5)]: "",
    [status(5, "done")]: "",
    [inWal(8)]: "",
    [status(8, "done")]: "",
    [inWal(9, 2)]: "",
    [status(9, "done", 2)]: "",
  };
  await play("look()", answers, ({ notes: [note], stand }) => {
    assert.is(stand.read(status(5, "ready")), "", "of the timeline before, on the way");
    assert.is(stand.read(status(8, "done")), "", "beyond the end of that timeline");
    assert.is(stand.read(status(9, "done", 2)), "", "its own, which arrived");
    assert.equal(note!.gap, { firstWal: segment(6), lastWal: segment(8, 2), after: minute(2) });
  }, files);
});

test("a repository that cannot be listed leaves what was known of gaps; it is looked through again", async () => {
  const looks = [{ code: 1, err: "ERROR: [103]: away" }, { out: holding(1, 2, 3, 5, 6) }].map((
    answer,
  ) => `
answer(**{"psql_last_archived_wal": {"out": "${
    segment(7)
  }|1800000420"}, "pgbackrest_repo__ls": json.loads(r"""${JSON.stringify(answer)}""")})
look()`);
  const answers = { "pgbackrest repo-ls": { out: holding(1, 2, 3, 5) } };
  await play(`look()${looks.join("")}`, answers, ({ notes, lines }) => {
    const found = { firstWal: segment(4), lastWal: segment(4), after: minute(3) };
    const next = { firstWal: segment(7), lastWal: segment(7), after: minute(6) };
    assert.equal(notes.map(({ gap }) => gap), [found, next]);
    assert.is(commands(lines).filter((name) => name === "repo-ls").length, 4);
  });
});

test("the store's refusal is told in pgBackRest's words, without what is secret, and nothing is taken", async () => {
  const err =
    "ERROR: [039]: HTTP request failed with 403 (Forbidden):\n       very-secret <Code>AccessDenied</Code>\n";
  const script = `look()
print(backup_agent.order("a", "full")["state"])`;
  await play(
    script,
    { "pgbackrest stanza-create": { code: 39, err } },
    ({ notes: [note], output, lines }) => {
      assert.match(note!.problem!, /^\[039\]: HTTP request failed with 403.* AccessDenied$/);
      assert.match(output, /\nunready\n/);
      assert.not.match(output, /very-secret/);
      assert.equal(commands(lines), ["stanza-create"]);
    },
  );
});

test("what archive-push says in the background is the reason while the archiver fails", async () => {
  const error = `pgdata/pgbackrest-spool/archive/db/out/${segment(6)}.error`;
  const script = `answer(**{"psql_last_failed_time": {"out": "t"}})
look()
answer(**{"psql_last_failed_time": {"out": "f"}})
look()
with open(ROOT + "${error}", "w") as file:
    file.write("55\\nunable to write: very-secret is full")
os.utime(ROOT + "${error}", (time.time() + 1, time.time() + 1))
answer(**{"psql_last_failed_time": {"out": "t"}})
look()`;
  // What it said before there was a stanza is over; more than two segments wait, so nothing is checked then.
  const files = {
    ...Object.fromEntries([6, 7, 8].map((at) => [status(at, "ready"), ""])),
    [error]: "103\nunable to find a valid repository",
  };
  await play(script, {}, ({ notes }) => {
    assert.equal(notes.map(({ problem }) => problem), [undefined, "[055]: unable to write: *** is full"]);
  }, files);
});

test("behind a queue of WAL nothing is checked: the store is reachable, and no segment is switched for it", async () => {
  const files = Object.fromEntries([6, 7, 8].map((at) => [status(at, "ready"), ""]));
  const script = `look()
print(backup_agent.order("a", "full")["state"])
for name in (6, 7, 8):
    os.remove(repository.STATUS + "0000000100000000%08X.ready" % name)
look()
print(backup_agent.order("a", "full")["state"])`;
  await play(script, {}, ({ notes, output, lines }) => {
    assert.is(notes[0]!.problem!, undefined);
    assert.equal(commands(lines).slice(0, 6), [
      "stanza-create",
      "info",
      "repo-ls",
      "stanza-create",
      "check",
      "info",
    ]);
    assert.match(output, /\nunready\n(?:NOTE .*\n)?running\n/, output);
  }, files);
});

const ended = `
deadline = time.monotonic() + 10
while backup_agent.orders["a"]["state"] == "running" and time.monotonic() < deadline:
    time.sleep(0.02)
print(json.dumps(backup_agent.orders["a"]))
`;

test("while a backup runs nothing else takes pgBackRest's lock, and nothing is told to be unreachable", async () => {
  const answers = { "pgbackrest backup": { serves: true } };
  const script = `look()
print(backup_agent.order("a", "full")["state"], backup_agent.order("b", "full")["state"], backup_agent.order("a", "full")["state"])
deadline = time.monotonic() + 10
while not os.path.exists(ROOT + "serving") and time.monotonic() < deadline:
    time.sleep(0.02)
answer(**{"psql_last_failed_time": {"out": "t"}})
look()
with open(repository.FOLDER + "revision", "w") as file:
    file.write("two")
with open(repository.FOLDER + "pgbackrest.conf", "w") as file:
    file.write("[global]")
look()
[process] = backup_agent.running
process.send_signal(2)${ended}look()`;
  await play(script, answers, ({ notes, output, lines }) => {
    assert.match(output, /\nrunning waiting running\n/);
    assert.is(commands(lines).filter((name) => name === "stanza-create").length, 2);
    // Of the new configuration nothing is said before it was looked at.
    assert.equal(notes.map(({ problem, revision }) => [problem, revision]), [[undefined, "one"], [
      undefined,
      "two",
    ]]);
  });
});

test("an order waits while the repository is being set up", async () => {
  const script = `look()
repository.lock.acquire()
print(backup_agent.order("a", "full")["state"])
repository.lock.release()
print(backup_agent.order("a", "full")["state"])${ended}`;
  await play(script, {}, ({ output }) => assert.match(output, /\nwaiting\nrunning\n[^]*"done"/));
});

for (
  const [what, answer, want] of [
    [
      "its words",
      { code: 1, err: "ERROR: [082]: WAL segment was not archived\n" },
      "[082]: WAL segment was not archived",
    ],
    ["nothing said, killed", { code: 137 }, "backup ended with 137"],
  ] as [string, Answer, string][]
) {
  test(`a backup that fails is told: ${what}`, async () => {
    const script = `look()\nbackup_agent.order("a", "full")${ended}look()`;
    await play(script, { "pgbackrest backup": answer }, ({ notes, output }) => {
      assert.ok(
        output.includes(
          JSON.stringify({ state: "failed", message: want }).replaceAll('":', '": ').replace(',"', ', "'),
        ),
        output,
      );
      assert.is(notes.at(-1)!.failure!.message, want);
    });
  });
}

test("who leads no more takes back what it said and stops the backup that it had begun", async () => {
  const script = `look()
backup_agent.order("a", "full")
deadline = time.monotonic() + 10
while not os.path.exists(ROOT + "serving") and time.monotonic() < deadline:
    time.sleep(0.02)
leads(False)
look()${ended}look()
print(backup_agent.order("b", "full")["state"])`;
  await play(script, { "pgbackrest backup": { serves: true } }, ({ notes, output }) => {
    assert.equal(notes.map((note) => note && Object.keys(note).length > 0), [true, null]);
    assert.match(output, /"state": "failed"/);
    assert.match(output, /\nunready\n/);
  });
});

test("a backup with damaged pages is told, and counts for nothing else", async () => {
  const damaged = { label: "20270115-090000F", stop: 1_800_003_600, error: true, start: segment(2) };
  await play(
    "look()",
    { "pgbackrest info": { out: info([...backups, damaged], segment(5)) } },
    ({ notes: [note] }) => {
      assert.equal(note!.damaged, { id: damaged.label, time: "2027-01-15T09:00:00Z" });
      assert.is(note!.last!.id, "20270115-080000F");
    },
  );
  await play("look()", { "pgbackrest info": { out: info([damaged], segment(5)) } }, ({ notes: [note] }) => {
    assert.equal([note!.damaged!.id, note!.last], [damaged.label, undefined]);
  });
});

uvuTest.run();
