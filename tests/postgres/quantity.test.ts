import { test } from "uvu";
import * as assert from "uvu/assert";
import { compareQuantities, parseQuantity } from "../../postgres/quantity.ts";

for (
  const [given, want] of [
    ["1Gi", 2 ** 30],
    ["1G", 1e9],
    ["500M", 5e8],
    ["1.5Gi", 1.5 * 2 ** 30],
    ["100m", 0.1],
    ["1e3", 1000],
    ["1E3", 1000],
    ["12E", 12e18],
    [1024, 1024],
    ["0", 0],
    [".5Ki", 512],
  ] as const
) {
  test(`quantity ${given} is ${want}`, () => assert.is(parseQuantity(given), want));
}

for (const given of ["", "Gi", "1 Gi", "1gi", "1GiB", "1e", "0x10", "1Gi\n", "--1", "NaN", "Infinity"]) {
  test(`quantity ${JSON.stringify(given)} is refused`, () => {
    assert.throws(() => parseQuantity(given), (error: Error) => error instanceof SyntaxError);
  });
}

test("quantities are compared by value, not by text", () => {
  assert.is(compareQuantities("1Gi", "1024Mi"), 0);
  assert.ok(compareQuantities("1G", "1Gi") < 0);
  assert.ok(compareQuantities("10Gi", "9Gi") > 0);
});

test.run();
