/**
 * A fast part of what tests/faults/run.ts explores: the operator dies at every write of the life of a Database, and
 * each sort of fault strikes somewhere.
 * @module
 */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { within } from "../within.ts";
import { choicesOf, elects, families } from "./choices.ts";
import { driftChoices } from "./drift.ts";
import { type Choice, differences, type Outcome, runOnce } from "./explorer.ts";
import { type Workload, workloads } from "./workloads.ts";

/** Virtual time without a write after each run. */
const REST_MS = 40_000;
/** Longest time of one test. */
const TEST_MAX_MS = 60_000;

const named = (name: string): Workload => workloads.find((workload) => workload.name === name)!;

const baselines = new Map<string, Outcome>();

async function check(
  workload: Workload,
  pick: (baseline: Outcome) => Choice[],
  isElected = false,
): Promise<void> {
  const id = `${workload.name}, ${isElected}`;
  const baseline = baselines.get(id) ??
    await runOnce(workload, { label: "no fault", elects: isElected }, REST_MS);
  baselines.set(id, baseline);
  assert.equal(baseline.violations, []);
  const problems: string[] = [];
  for (const choice of pick(baseline)) {
    const found = differences(workload, await runOnce(workload, choice, REST_MS), baseline, choice);
    problems.push(...found.map((problem) => `${workload.name}: ${choice.label}: ${problem}`));
  }
  assert.equal(problems, []);
}

/** A few of many, spread evenly. */
function spread(choices: Choice[], count: number): Choice[] {
  const step = Math.max(1, choices.length / count);
  return Array.from(
    { length: Math.min(count, choices.length) },
    (_, index) => choices[Math.floor(index * step)]!,
  );
}

test("a run without a fault is the same each time", () =>
  within(TEST_MAX_MS, check(named("create"), () => [{ label: "no fault" }]), "two runs"));

for (
  const [rule, workload, at] of [
    ["after any fourth write while a Database is made", "create", 0],
    ["at any fourth write while a Database is deleted", "delete, Delete", 3],
  ] as const
) {
  test(`the process may die ${rule}`, () =>
    within(
      TEST_MAX_MS,
      check(named(workload), (baseline) => {
        return choicesOf("F1", baseline).filter(({ label }) => label.startsWith("F1 crash after write"))
          .filter((_, index) => index % 4 === at);
      }),
      "crashes",
    ));
}

for (const family of families) {
  test(`${family}: some faults spread over making a Database`, () =>
    within(
      TEST_MAX_MS,
      check(named("create"), (baseline) => spread(choicesOf(family, baseline), 4), elects(family)),
      family,
    ));
}

test("F8: some objects and fields are put right after somebody changed them", () =>
  within(TEST_MAX_MS, check(named("create"), (baseline) => spread(driftChoices(baseline), 4)), "drift"));

test.run();
