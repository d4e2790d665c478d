/**
 * The validators agree with the API server on each example of the fixtures, and say what it says.
 * @module
 */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { assertValid, createValidator, textOf, ValidationError } from "../../codegen/validation.ts";
import { evaluateRule } from "./cel.ts";
import { readFixtures } from "./fixtures.ts";

for (const { name, crds, examples } of readFixtures()) {
  test(`the validators of ${name} agree with the API server`, () => {
    const validators = new Map(crds.map(({ group, kind, versions: [version] }) => {
      const { name, schema, hasStatus } = version!;
      return [kind, createValidator({ apiVersion: `${group}/${name}`, kind, hasStatus, schema })];
    }));
    const wrong = examples.flatMap(({ crd, object, accepted, what }) => {
      const validator = validators.get(crd.kind)!;
      const problems = validator(object, { rules: evaluateRule });
      return (problems.length === 0) === accepted ? [] : [`${what}: ${problems.map(textOf).join(", ")}`];
    });
    assert.equal(wrong, []);
  });
}

const validator = createValidator({
  apiVersion: "example.com/v1",
  kind: "Thing",
  hasStatus: true,
  schema: {
    type: "object",
    required: ["spec"],
    properties: {
      spec: {
        type: "object",
        required: ["version"],
        properties: {
          size: { type: "integer", minimum: 0, maximum: 32, default: 1 },
          version: { type: "string", maxLength: 8 },
          mode: { type: "string", enum: ["Fast", "Slow"] },
          members: {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
              type: "object",
              properties: { name: { type: "string" }, ip: { type: "string", format: "ipv4" } },
            },
          },
        },
        "x-kubernetes-validations": [{
          rule: "self.size > 0 || self.mode == 'Slow'",
          message: "size 0 is slow",
        }],
      },
      status: { type: "object", properties: { phase: { type: "string" } } },
    },
  },
});

function problemsOf(spec: unknown, more: object = {}): string[] {
  const object = { apiVersion: "example.com/v1", kind: "Thing", metadata: { name: "a" }, spec, ...more };
  return validator(object, { rules: evaluateRule }).map(textOf);
}

const cases: { spec: unknown; want: string[] }[] = [
  { spec: { version: "17" }, want: [] },
  { spec: { version: "17", mode: null }, want: [] },
  { spec: {}, want: ["spec.version: Required value"] },
  {
    spec: { version: "17", size: "3" },
    want: ['spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"'],
  },
  {
    spec: { version: "17", size: 33 },
    want: ["spec.size: Invalid value: 33: spec.size in body should be less than or equal to 32"],
  },
  {
    spec: { version: "17", mode: "X" },
    want: ['spec.mode: Unsupported value: "X": supported values: "Fast", "Slow"'],
  },
  { spec: { version: "123456789" }, want: ["spec.version: Too long: may not be more than 8 bytes"] },
  {
    spec: { version: "17", other: 1, members: [{ x: 1 }] },
    want: ['unknown field "spec.other"', 'unknown field "spec.members[0].x"'],
  },
  {
    spec: { version: "17", members: [{ name: "a" }, { name: "a" }] },
    want: ['spec.members[1]: Duplicate value: {"name":"a"}'],
  },
  {
    spec: { version: "17", members: [{ ip: "x" }] },
    want: ['spec.members[0].ip: Invalid value: "x": spec.members[0].ip in body must be of type ipv4: "x"'],
  },
  {
    spec: { version: "17", size: 0 },
    want: ['spec: Invalid value: "object": no such key: mode evaluating rule: size 0 is slow'],
  },
]; // deno-fmt-ignore-line

for (const { spec, want } of cases) {
  test(`the validator says of spec ${JSON.stringify(spec)} what the API server says`, () => assert.equal(problemsOf(spec), want));
}

test("the validator checks the root: kind, name, metadata, status dropped", () => {
  const spec = { version: "17" };
  assert.equal(problemsOf(spec, { kind: "Other" }), ['kind: Invalid value: "Other": must be "Thing"']);
  assert.equal(problemsOf(spec, { metadata: {} }), [
    "metadata.name: Required value: name or generateName is required",
  ]);
  assert.equal(problemsOf(spec, { metadata: { name: "a", nmae: "b" } }), ['unknown field "metadata.nmae"']);
  assert.equal(problemsOf(spec, { status: { phase: 1 } }), []);
  assert.equal(validator(null).map(textOf), ["Invalid value: null: must be an object"]);
});

/** Whether a value under .spec.a is taken. */
function takes(schema: object, value: unknown): boolean {
  const validate = createValidator({
    apiVersion: "example.com/v1",
    kind: "Thing",
    hasStatus: false,
    schema: { type: "object", properties: { spec: { type: "object", properties: { a: schema } } } },
  });
  const object = { apiVersion: "example.com/v1", kind: "Thing", metadata: { name: "a" }, spec: { a: value } };
  return validate(object).length === 0;
}

const patterns: { pattern: string; yes: string[]; no: string[] }[] = [
  { pattern: "^(?i)(a|b)?$", yes: ["", "A", "b"], no: ["c"] },
  { pattern: "^(x(?i)y)z$", yes: ["xYz"], no: ["xYZ", "Xyz"] },
  { pattern: "^(?i:drop|Pass)$", yes: ["DROP"], no: ["drop1"] },
  { pattern: "^[[:upper:]_]+$", yes: ["A_B"], no: ["a"] },
  { pattern: "^\\pL+\\p{Greek}$", yes: ["aα"], no: ["1α", "aa"] },
  { pattern: "^[\\w\\-\\.\\_\\:]+\\@$", yes: ["a-b.c_d:@"], no: ["a b@"] },
  { pattern: "^\\$\\{[a-z]+}$", yes: ["${a}"], no: ["$a"] },
  { pattern: "^{a}$", yes: ["{a}"], no: ["a"] },
  { pattern: "^[]a]{2}$", yes: ["]a"], no: ["b]"] },
  { pattern: "^[^]a]$", yes: ["b"], no: ["]"] },
  { pattern: "^[a[]$", yes: ["["], no: ["a[]"] },
  { pattern: "\\A\\Qa.b\\E\\z", yes: ["a.b"], no: ["axb"] },
  { pattern: "^(?P<n>a)\\x{62}$", yes: ["ab"], no: ["a"] },
];

for (const { pattern, yes, no } of patterns) {
  test(`the pattern ${pattern} means what it means to Go`, () => {
    const verdicts = [...yes, ...no].filter((value) => takes({ type: "string", pattern }, value));
    assert.equal(verdicts, yes);
  });
}

const formats: { format: string; yes: string[]; no: string[] }[] = [
  { format: "date", yes: ["2024-02-29"], no: ["2023-02-29", "2024-02-30", "2024-13-01"] },
  { format: "date-time", yes: ["2024-02-29T00:00:00Z"], no: ["2024-02-30T00:00:00Z"] },
  { format: "byte", yes: ["YWJj"], no: ["", "YWJ"] },
  { format: "duration", yes: ["1h30m", "PT1H", "1w2d", "3 days", "0"], no: ["", "1", "x", "1 fortnight"] },
  { format: "email", yes: ["a@b.c", "A <a@b.c>"], no: ["a", "A <a>"] },
  {
    format: "mac",
    yes: ["00:00:5e:00:53:01", "0000.5e00.5301", "02-00-5e-10-00-00-00-01"],
    no: ["00:00:5e:00:53", "0000.5e00", "00:00-5e:00:53:01"],
  },
  {
    format: "uuid4",
    yes: ["6ba7b810-9dad-41d1-80b4-00c04fd430c8"],
    no: ["6ba7b810-9dad-11d1-80b4-00c04fd430c8"],
  },
  {
    format: "uuid3",
    yes: ["6ba7b810-9dad-31d1-80b4-00c04fd430c8"],
    no: ["6ba7b810-9dad-11d1-80b4-00c04fd430c8"],
  },
  {
    format: "uuid5",
    yes: ["6ba7b810-9dad-51d1-80b4-00c04fd430c8"],
    no: ["6ba7b810-9dad-11d1-80b4-00c04fd430c8"],
  },
  { format: "hexcolor", yes: ["#fff", "00ff00"], no: ["#ffff"] },
  { format: "isbn", yes: ["3836221195", "978-3-401-01319-0"], no: ["3836221191", "978-3-401-01319-1"] },
  { format: "k8s-short-name", yes: ["a-b"], no: ["a.b", "A"] },
  { format: "k8s-long-name", yes: ["a-b.c"], no: ["a..b"] },
];

for (const { format, yes, no } of formats) {
  test(`the format ${format} is what the API server takes for it`, () => {
    const verdicts = [...yes, ...no].filter((value) => takes({ type: "string", format }, value));
    assert.equal(verdicts, yes);
  });
}

test("numbers: int32 ends at 2147483647, 0.3 is a multiple of 0.1", () => {
  assert.ok(takes({ type: "integer", format: "int32" }, 2147483647));
  assert.not.ok(takes({ type: "integer", format: "int32" }, 2147483648));
  assert.ok(takes({ type: "number", multipleOf: 0.1 }, 0.3));
  assert.not.ok(takes({ type: "number", multipleOf: 0.1 }, 0.35));
});

test("null where it is allowed need not meet oneOf and anyOf", () => {
  const union = {
    type: "object",
    nullable: true,
    properties: { x: { type: "string" }, y: { type: "string" } },
    oneOf: [{ required: ["x"] }, { required: ["y"] }],
  };
  assert.ok(takes(union, null));
  assert.ok(takes(union, { x: "1" }));
  assert.not.ok(takes(union, {}));
  const port = {
    "x-kubernetes-int-or-string": true,
    "nullable": true,
    "anyOf": [{ type: "integer" }, { type: "string" }],
  };
  assert.ok(takes(port, null));
  assert.ok(takes(port, 1));
  assert.not.ok(takes(port, true));
});

test("an embedded resource has an apiVersion and a kind that are not empty", () => {
  const embedded = { "type": "object", "x-kubernetes-embedded-resource": true };
  assert.ok(takes(embedded, { apiVersion: "v1", kind: "ConfigMap" }));
  assert.not.ok(takes(embedded, { apiVersion: "", kind: "ConfigMap" }));
});

test("what a pattern refuses is told with the pattern", () => {
  const validate = createValidator({
    apiVersion: "example.com/v1",
    kind: "Thing",
    hasStatus: false,
    schema: { type: "object", properties: { a: { type: "string", pattern: "^x$" } } },
  });
  const object = { apiVersion: "example.com/v1", kind: "Thing", metadata: { name: "a" }, a: "y" };
  assert.equal(validate(object).map(textOf), [`a: Invalid value: "y": a in body should match '^x$'`]);
});

test("the validator leaves the object as it is; assertValid() throws all problems", () => {
  const object = Object.freeze({
    apiVersion: "example.com/v1",
    kind: "Thing",
    metadata: { name: "a" },
    spec: Object.freeze({ version: "17" }),
  });
  assert.equal(validator(object), []);
  assert.equal(Object.keys(object.spec), ["version"]);
  assert.throws(
    () => assertValid(validator, { ...object, spec: {} }),
    (error: Error) =>
      error instanceof ValidationError && error.message === "Thing is invalid: spec.version: Required value",
  );
});

test.run();
