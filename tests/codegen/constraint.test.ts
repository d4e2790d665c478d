/**
 * Conditions as alternatives: the normal form, and what it is cut down to.
 * @module
 */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { JsonObject } from "../../codegen/mod.ts";
import { isAlways, junctions } from "../../codegen/schema/constraint.ts";

/** The alternatives as text: `+a -b type=["A"]`. */
function alternativesOf(schema: JsonObject): string[] {
  return junctions(schema).map(({ required, forbidden, fields, values }) =>
    [
      ...[...required].sort().map((key) => `+${key}`),
      ...[...forbidden].sort().map((key) => `-${key}`),
      ...[...fields].map(([key, [inner]]) =>
        `${key}=${[...inner!.values?.keys() ?? inner!.except?.keys() ?? []].join()}`
      ),
      ...[...values?.keys() ?? []],
    ].join(" ")
  ).sort();
}

const [a, b, c] = ["a", "b", "c"].map((key) => ({ required: [key] })) as unknown as [
  JsonObject,
  JsonObject,
  JsonObject,
];

const cases: { given: JsonObject; want: string[] }[] = [
  { given: {}, want: [""] },
  { given: { oneOf: [a, b] }, want: ["+a -b", "+b -a"] },
  { given: { oneOf: [a, b, c] }, want: ["+a -b -c", "+b -a -c", "+c -a -b"] },
  { given: { anyOf: [a, b] }, want: ["+a", "+b"] },
  { given: { anyOf: [a, {}] }, want: [""] },
  { given: { allOf: [a, b] }, want: ["+a +b"] },
  { given: { not: a }, want: ["-a"] },
  { given: { not: { required: ["a", "b"] } }, want: ["-a", "-b"] },
  { given: { not: { anyOf: [a, b] } }, want: ["-a -b"] },
  { given: { not: { not: a } }, want: ["+a"] },
  { given: { oneOf: [a, b, { not: { anyOf: [a, b] } }] }, want: ["+a -b", "+b -a", "-a -b"] },
  { given: { oneOf: [a, a] }, want: [] },
  { given: { anyOf: [{ enum: ["x"] }, { pattern: "y" }] }, want: [""] },
  { given: { not: { pattern: "y" } }, want: [""] },
  {
    given: {
      oneOf: [{ properties: { t: { enum: ["A"] } }, required: ["a"] }, {
        properties: { t: { enum: ["B"] } },
        required: ["b"],
      }],
    },
    want: ['+a +t t="A"', '+a -b t="A"', '+b +t t="B"', '+b -a t="B"'],
  },
]; // deno-fmt-ignore-line

for (const { given, want } of cases) {
  test(`junctions(${JSON.stringify(given)}) is ${JSON.stringify(want)}`, () => assert.equal(alternativesOf(given), [...want].sort()));
}

test("one of very many is said without what excludes the others", () => {
  const branches = Array.from({ length: 140 }, (_, index) => ({ required: [`k${index}`] }));
  assert.equal(alternativesOf({ oneOf: branches }), branches.map(({ required }) => `+${required}`).sort());
  const triples = Array.from(
    { length: 5 },
    (_, index) => ({ required: [`a${index}`, `b${index}`, `c${index}`] }),
  );
  assert.equal(
    alternativesOf({ oneOf: triples }),
    triples.map(({ required: [a, b, c] }) => `+${a} +${b} +${c}`),
  );
});

test("a condition with more alternatives than anybody would read is left to the validator", () => {
  const pairs = Array.from(
    { length: 12 },
    (_, index) => ({ anyOf: [{ required: [`a${index}`] }, { required: [`b${index}`] }] }),
  );
  const kept = junctions({ allOf: pairs });
  assert.ok(kept.length <= 128);
  assert.ok(!isAlways(kept));
});

test.run();
