import { test } from "uvu";
import * as assert from "uvu/assert";
import { longestPauseSeconds } from "../../postgres/cron.ts";

const hour = 3600, day = 24 * hour;

for (
  const [schedules, want] of [
    [["* * * * *"], 60],
    [["*/15 * * * *"], 900],
    [["0 1 * * *"], day],
    [["0 1,13 * * *"], 12 * hour],
    [["0 1 * * 0"], 7 * day],
    [["0 1 * * SUN", "0 1 * * 1-6"], day],
    [["0 1 * * mon-fri"], 3 * day],
    [["0 1 * * 0", "30 2 * * 0"], 7 * day - 1.5 * hour],
    [["0 1 1 * *"], 31 * day],
    [["0 1 1 JAN *"], 366 * day],
    [["0 1 29 2 *"], (4 * 365 + 1) * day],
    // Either day, when both are told.
    [["0 1 1 * 0"], 7 * day],
    [["0 0/6 * * *"], 6 * hour],
    [["0 22-23 * * *", "5 1 * * *"], 20 * hour + 55 * 60],
    [[], undefined],
    [["0 0 31 2 *"], undefined],
    [["99 1 * * *"], undefined],
    [["0 1 * * 7"], undefined],
    [["0 1 * *"], undefined],
    [["0 1 * * x"], undefined],
    [["0 5-1 * * *"], undefined],
    [["*/0 * * * *"], undefined],
    [["nonsense", "0 1 * * *"], day],
  ] as [string[], number | undefined][]
) {
  test(`${schedules.join(" and ") || "nothing"} runs each ${want} s at least`, () => {
    assert.is(longestPauseSeconds(schedules), want);
  });
}

test.run();
