import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Accepted, secondPrimaries } from "./probe.ts";

/** A write a second, each of a member with this version and timeline. */
const accepted = (...of: readonly (readonly [major: number, timeline: number])[]): Accepted[] =>
  of.map(([major, timeline], second) => ({
    member: `orders-${second}`,
    major,
    timeline,
    sentMs: second * 1000,
    answeredMs: second * 1000 + 5,
  }));

for (
  const [what, writes, second] of [
    ["a timeline after the other", accepted([15, 1], [15, 2], [15, 2]), []],
    ["a later version, whose timelines begin anew", accepted([15, 4], [17, 1], [17, 2]), []],
    ["an earlier timeline again", accepted([15, 2], [15, 1]), ["orders-1"]],
    ["an earlier version again", accepted([15, 1], [17, 1], [15, 2]), ["orders-2"]],
  ] as const
) {
  test(`writes on ${what}`, () => {
    assert.equal(secondPrimaries(writes).map(({ member }) => member), second);
  });
}

test.run();
