import { test } from "uvu";
import * as assert from "uvu/assert";
import { readSetting, type Setting } from "../../../postgres/settings/setting.ts";
import { settingsOf } from "../../../postgres/settings/settings.ts";

const blocks: Setting = ["integer", 16, 1073741823, "8kB"];
const kilobytes: Setting = ["integer", 64, 2147483647, "kB"];
const milliseconds: Setting = ["integer", -1, 2147483647, "ms"];
const seconds: Setting = ["integer", 0, 2147483, "s"];
const count: Setting = ["integer", -10, 1000];
const real: Setting = ["real", 0, 100];
const delay: Setting = ["real", -1, 100, "ms"];

/** Each as PostgreSQL 15.18 and 17.12 answered to ALTER SYSTEM. */
const taken: [setting: Setting, value: string, number: number][] = [
  [count, "5", 5],
  [count, " +5 ", 5],
  [count, "-7", -7],
  [count, "0x10", 16],
  [count, "0X1f", 31],
  [count, "010", 8],
  [count, "010.5", 10],
  [count, "0.5", 0],
  [count, "1.5", 2],
  [count, "2.5", 2],
  [count, ".6", 1],
  [count, "-0.6", -1],
  [count, "1e2", 100],
  [count, "1.", 1],
  [kilobytes, "64", 64],
  [kilobytes, "1MB", 1024],
  [kilobytes, "1 MB ", 1024],
  [kilobytes, "0x10MB", 16384],
  [kilobytes, "30.1GB", 31561728],
  [kilobytes, "100000B", 98],
  [blocks, "1MB", 128],
  [milliseconds, "-1", -1],
  [milliseconds, "1.5s", 1500],
  [milliseconds, "1499us", 1],
  [milliseconds, "1d", 86400000],
  [seconds, "1.5h", 5400],
  [seconds, "500ms", 0],
  [real, "0.5", 0.5],
  [real, "0x10", 16],
  [real, "1e-3", 0.001],
  [delay, "1.5ms", 1.5],
  [delay, "500us", 0.5],
];
for (const [setting, value, number] of taken) {
  test(`${JSON.stringify(value)} as ${setting.join(" ")} is ${number}`, () => {
    const reading = readSetting(setting, value);
    assert.is(reading.problem, undefined);
    assert.is(reading.problem === undefined && reading.number, number);
  });
}

const refused: [setting: Setting, value: string, problem: string][] = [
  [["integer", 1, 262143], "0", '"0" is not between 1 and 262143'],
  [["integer", 1, 262143], "262144", '"262144" is not between 1 and 262143'],
  [count, "", '"" is not a whole number'],
  [count, "many", '"many" is not a whole number'],
  [count, "1kB", '"1kB" is not a whole number'],
  [count, "08", '"08" is not a whole number'],
  [count, "1 2", '"1 2" is not a whole number'],
  [count, "1_000", '"1_000" is not a whole number'],
  [count, "inf", '"inf" is not a whole number'],
  [count, "99999999999999999999", '"99999999999999999999" is not between -10 and 1000'],
  [kilobytes, "63", '"63" is not between 64kB and 2147483647kB'],
  [kilobytes, "1mb", '"1mb" is not a whole number with or without a unit (B, kB, MB, GB, TB)'],
  [kilobytes, "1s", '"1s" is not a whole number with or without a unit (B, kB, MB, GB, TB)'],
  [kilobytes, "__proto__", '"__proto__" is not a whole number with or without a unit (B, kB, MB, GB, TB)'],
  [
    kilobytes,
    "1constructor",
    '"1constructor" is not a whole number with or without a unit (B, kB, MB, GB, TB)',
  ],
  [blocks, "1kB", '"1kB" is not between 128kB and 8589934584kB'],
  [blocks, "8TB", '"8TB" is not between 128kB and 8589934584kB'],
  [seconds, "1sec", '"1sec" is not a whole number with or without a unit (us, ms, s, min, h, d)'],
  [seconds, "-1", '"-1" is not between 0 and 2147483s'],
  [real, "nan", '"nan" is not a number'],
  [real, "1e400", '"1e400" is not a number'],
  [real, "100.5", '"100.5" is not between 0 and 100'],
  [delay, "1s", '"1s" is not between -1 and 100ms'],
  [["bool"], "maybe", '"maybe" is not on or off'],
  [["bool"], "o", '"o" is not on or off'],
  [["bool"], " on", '" on" is not on or off'],
  [["bool"], "", '"" is not on or off'],
  [["enum", "local", "on", "off", "0", "yes"], "of", '"of" is not one of local, on, off'],
  [["enum", "hex", "escape"], "hex ", '"hex " is not one of hex, escape'],
  [["fixed"], "1", "it cannot be set"],
];
for (const [setting, value, problem] of refused) {
  test(`${JSON.stringify(value)} as ${setting.join(" ").slice(0, 40)} is refused: ${problem.slice(0, 60)}`, () => {
    assert.equal(readSetting(setting, value), { problem });
  });
}

for (
  const [setting, given, want] of [
    [["bool"], "T", "on"],
    [["bool"], "fa", "off"],
    [["bool"], "1", "on"],
    [real, "0x10", "16"],
    [count, "0x10", "0x10"],
    [["enum", "hex"], "HEX", "HEX"],
    [["string"], " any 'thing' ", " any 'thing' "],
  ] as [Setting, string, string][]
) {
  test(`${given} as ${setting[0]} is told to Patroni as ${want}`, () => {
    const reading = readSetting(setting, given);
    assert.is(reading.problem === undefined && reading.text, want);
  });
}

test("a bound above the setting's own is told instead", () => {
  assert.equal(readSetting(["integer", 1, 262143], "10", 25), {
    problem: '"10" is not between 25 and 262143',
  });
});

test("a long value is shortened in the message", () => {
  const { problem } = readSetting(["bool"], "x".repeat(1000));
  assert.ok(problem !== undefined && problem.length < 100);
});

for (const major of [15, 17]) {
  test(`the table of ${major} has names in lower case, bounds in order and words`, () => {
    const settings = Object.entries(settingsOf(major)!);
    assert.ok(settings.length > 340);
    for (const [name, setting] of settings) {
      assert.match(name, /^[a-z][a-z0-9_]*$/);
      if (setting[0] === "enum") assert.ok(setting.length > 2, name);
      if (setting[0] === "integer" || setting[0] === "real") assert.ok(setting[1] <= setting[2], name);
    }
  });
}

test("a major without a table is none", () => {
  assert.is(settingsOf(99), undefined);
});

test.run();
