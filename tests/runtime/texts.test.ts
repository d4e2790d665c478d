import { test } from "uvu";
import * as assert from "uvu/assert";
import { freeze } from "../../runtime/store.ts";
import { hashOfText, isLongText, sharedText } from "../../runtime/texts.ts";

test("a text that is shared is the same text, however many others came between", () => {
  const texts = Array.from({ length: 500 }, (_, index) => `${"a".repeat(1_500)}${index}`);
  for (const text of [...texts, ...texts]) assert.is(sharedText(text), text);
});

test("what is frozen says what it said, with long texts at any depth", () => {
  const long = "b".repeat(2_000);
  const object = () => ({ data: { "a.py": long, short: "c" }, list: [{ text: long }, long, null, 1] });
  const frozen = freeze(object());
  assert.equal(frozen, object());
  assert.ok(Object.isFrozen(frozen.list[0]) && Object.isFrozen(frozen.data));
});

test("neither short texts nor enormous ones are long: a table of them has a bound", () => {
  assert.equal([10, 1_023, 1_024, 65_536, 65_537].map((length) => isLongText("d".repeat(length))), [
    false,
    false,
    true,
    true,
    false,
  ]);
});

test("a hash has 14 hexadecimal digits", () => {
  for (const text of ["", "a", "ü".repeat(3_000)]) assert.match(hashOfText(text), /^[0-9a-f]{14}$/);
});

test.run();
