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
