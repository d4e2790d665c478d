/**
 * All faults at all points: the real operator on the embedded API, on virtual time.
 *
 *     npm run test:faults                           everything (this is tests/faults/run.ts on Node); takes hours
 *     node tests/faults/run.ts --every 20           a part of it that takes some minutes
 *     node tests/faults/run.ts --workload create    one workload (may be repeated)
 *     node tests/faults/run.ts --family F1          one family of faults (may be repeated): F1 crashes at every write,
 *                                                   F2 refusals of every request, F3 stale caches from every commit,
 *                                                   F4 reads from the past, F5 forgotten history, F6 what never
 *                                                   answers, F7 frozen leaders, F8 drift of every owned object and
 *                                                   field, pairs of them
 *     node tests/faults/run.ts --pairs N            so many pairs beside those of two crashes (200)
 *     node tests/faults/run.ts --only TEXT          choices whose label contains the text: to repeat a failure
 *     node tests/faults/run.ts --every N            each Nth choice
 *     node tests/faults/run.ts --verbose            the operator's log of each failure
 *
 * Also with `deno run -A`. Prints each choice that fails with what was violated; the last line is `N passed, N failed`.
 * @module
 */

import process from "node:process";
import { parseArgs } from "node:util";
import { choicesOf, elects, families, pairs } from "./choices.ts";
import { driftChoices } from "./drift.ts";
import { type Choice, differences, type Outcome, runOnce } from "./explorer.ts";
import { type Workload, workloads } from "./workloads.ts";

/** Virtual hour without a write after the fault-free run. */
const REST_MS = 3_600_000;

const { values } = parseArgs({
  options: {
    workload: { type: "string", multiple: true },
    family: { type: "string", multiple: true },
    only: { type: "string" },
    every: { type: "string", default: "1" },
    pairs: { type: "string", default: "200" },
    verbose: { type: "boolean", default: false },
  },
});

let passed = 0;
let failed = 0;

function report(workload: Workload, label: string, problems: string[], outcome: Outcome): void {
  if (problems.length === 0) return void passed++;
  failed++;
  console.log(`FAIL ${workload.name}: ${label}`);
  for (const problem of problems.slice(0, 6)) console.log(`     ${problem}`);
  if (values.verbose) console.log(outcome.log.slice(-40).map((line) => `     | ${line}`).join("\n"));
}

process.on("unhandledRejection", (reason) => {
  failed++;
  console.log(`FAIL unhandled rejection: ${reason instanceof Error ? reason.stack : String(reason)}`);
});

for (const workload of workloads.filter(({ name }) => values.workload?.includes(name) ?? true)) {
  const startedAtMs = performance.now();
  const baseline = await runOnce(workload, undefined, REST_MS);
  report(workload, "no fault", baseline.violations, baseline);
  const again = await runOnce(workload);
  report(workload, "no fault, once more", differences(workload, again, baseline, { label: "" }), again);
  const chosen: Choice[] = [];
  const isWanted = (family: string) => values.family?.includes(family) ?? true;
  let elected: Outcome | undefined;
  for (const family of families.filter(isWanted)) {
    if (elects(family)) {
      elected = await runOnce(workload, { label: "no fault, elected", elects: true });
      report(workload, "no fault, elected", elected.violations, elected);
    }
    chosen.push(...choicesOf(family, elects(family) ? elected! : baseline));
  }
  if (isWanted("F8")) chosen.push(...driftChoices(baseline));
  if (isWanted("pairs")) chosen.push(...pairs(baseline, Number(values.pairs)));
  const every = Number(values.every);
  const matching = chosen.filter(({ label }, index) =>
    values.only === undefined ? index % every === 0 : label.includes(values.only)
  );
  for (const choice of matching) {
    const outcome = await runOnce(workload, choice);
    const reference = choice.elects ? elected! : baseline;
    report(workload, choice.label, differences(workload, outcome, reference, choice), outcome);
  }
  const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(1);
  console.log(
    `${workload.name}: ${baseline.writes} writes, ${baseline.requests.length} requests, ${baseline.commits.length} ` +
      `commits without a fault; ${matching.length} faults in ${seconds} s`,
  );
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
