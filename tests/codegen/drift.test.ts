/**
 * The difference of two APIs, told field by field.
 * @module
 */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { compareOutputs } from "../../codegen/drift.ts";
import { generate, type JsonObject } from "../../codegen/mod.ts";
import { crdOf } from "./crd_of.ts";

function filesOf(...crds: JsonObject[]): Map<string, string> {
  return generate(crds.map((value) => ({ place: ["crd.yaml"], value }))).files;
}

const spec = (properties: JsonObject, more: JsonObject = {}): JsonObject => ({
  type: "object",
  properties: { spec: { type: "object", properties, ...more } },
});

const text = { type: "string" };
const named = (properties: JsonObject): JsonObject => ({
  type: "object",
  properties: { metadata: { type: "object", properties } },
});
const cases: { what: string; before: JsonObject; after: JsonObject; want: string[] }[] = [
  { what: "nothing", before: spec({ a: text }), after: spec({ a: text }), want: [] },
  {
    what: "an optional field more",
    before: spec({ a: text }),
    after: spec({ a: text, b: text }),
    want: [".spec.b: added, optional"],
  },
  {
    what: "a required field more",
    before: spec({ a: text }),
    after: spec({ a: text, b: text }, { required: ["b"] }),
    want: [".spec.b: added and required (breaking)", ".spec.b, when read: added"],
  },
  {
    what: "a field less",
    before: spec({ a: text, b: text }),
    after: spec({ a: text }),
    want: [".spec.b: removed (breaking)"],
  },
  {
    what: "a field required",
    before: spec({ a: text }),
    after: spec({ a: text }, { required: ["a"] }),
    want: [".spec.a: narrowed, was optional and is required (breaking)"],
  },
  {
    what: "an enum value less",
    before: spec({ a: { type: "string", enum: ["x", "y"] } }),
    after: spec({ a: { type: "string", enum: ["x"] } }),
    want: ['.spec.a: narrowed, takes "y" no more (breaking)'],
  },
  {
    what: "an enum value more",
    before: spec({ a: { type: "string", enum: ["x"] } }),
    after: spec({ a: { type: "string", enum: ["x", "y"] } }),
    want: ['.spec.a: widened, takes "y" as well'],
  },
  {
    what: "another type",
    before: spec({ a: text }),
    after: spec({ a: { type: "integer" } }),
    want: [".spec.a: changed from string to number (breaking)"],
  },
  {
    what: "a default",
    before: spec({ a: { type: "integer" } }),
    after: spec({ a: { type: "integer", default: 1 } }),
    want: [
      '.spec.a: now says "Default: 1"',
      ".spec.a, when read: narrowed, was optional and is required",
    ],
  },
  {
    what: "a field of an item",
    before: spec({ a: { type: "array", items: { type: "object", properties: { b: text } } } }),
    after: spec({ a: { type: "array", items: { type: "object", properties: { b: text, c: text } } } }),
    want: [".spec.a[].c: added, optional"],
  },
  {
    what: "a map opened",
    before: spec({ a: { type: "object", properties: { b: text } } }),
    after: spec({
      a: { "type": "object", "properties": { b: text }, "x-kubernetes-preserve-unknown-fields": true },
    }),
    want: [".spec.a: widened, takes any other key"],
  },
  {
    what: "a union",
    before: spec({ a: text, b: text }),
    after: spec({ a: text, b: text }, { oneOf: [{ required: ["a"] }, { required: ["b"] }] }),
    want: [
      ".spec: keys may be combined otherwise: ({ a: {}; b?: never; } | { a?: never; b: {}; }) (breaking)",
    ],
  },
  {
    what: "a pattern more",
    before: spec({ a: text }),
    after: spec({ a: { type: "string", pattern: "^x$" } }),
    want: ['.spec.a: now says "Pattern: ^x$" (breaking)'],
  },
  {
    what: "a minimum raised",
    before: spec({ a: { type: "number", minimum: 1, maximum: 5 } }),
    after: spec({ a: { type: "number", minimum: 2, maximum: 5 } }),
    want: [
      '.spec.a: says "Value: at least 2, at most 5" in place of "Value: at least 1, at most 5" (breaking)',
    ],
  },
  {
    what: "a maximum raised",
    before: spec({ a: { type: "string", maxLength: 5 } }),
    after: spec({ a: { type: "string", maxLength: 50 } }),
    want: ['.spec.a: says "Length: at most 50" in place of "Length: at most 5"'],
  },
  {
    what: "another default",
    before: spec({ a: { type: "string", default: "x" } }),
    after: spec({ a: { type: "string", default: "y" } }),
    want: ['.spec.a: says "Default: "y"" in place of "Default: "x""'],
  },
  {
    what: "a rule less",
    before: spec({ a: { "type": "string", "x-kubernetes-validations": [{ rule: "self == oldSelf" }] } }),
    after: spec({ a: text }),
    want: ['.spec.a: no longer says "Immutable"'],
  },
  {
    what: "a name less, and a length, in metadata",
    before: named({ name: { ...text, enum: ["x", "y"] }, generateName: { ...text, maxLength: 20 } }),
    after: named({ name: { ...text, enum: ["x"] }, generateName: { ...text, maxLength: 10 } }),
    want: [
      '.metadata.generateName: says "Length: at most 10" in place of "Length: at most 20" (breaking)',
      '.metadata.name: narrowed, takes "y" no more (breaking)',
    ],
  },
  {
    what: "the first word about a name",
    before: named({}),
    after: named({ generateName: { ...text, maxLength: 5 } }),
    want: [
      ".metadata: changed from NamedObjectMeta to NamedObjectMeta & { /** Length: at most 5 */ generateName?: string; } (breaking)",
      ".metadata, when read: changed from StoredNamespacedCustomObjectMeta to StoredNamespacedCustomObjectMeta & { /** Length: at most 5 */ generateName?: string; } (breaking)",
    ],
  },
  {
    what: "a union loosened",
    before: spec({ a: text, b: text }, { oneOf: [{ required: ["a"] }, { required: ["b"] }] }),
    after: spec({ a: text, b: text }, { anyOf: [{ required: ["a"] }, { required: ["b"] }] }),
    want: [".spec: keys may be combined otherwise: ({ a: {}; } | { b: {}; })"],
  },
]; // deno-fmt-ignore-line

for (const { what, before, after, want } of cases) {
  test(`compareOutputs() tells ${what}`, () => {
    const lines = compareOutputs(filesOf(crdOf({ schema: before })), filesOf(crdOf({ schema: after })));
    assert.equal(lines, want.map((line) => `example.com/v1 Thing ${line}`));
  });
}

test("compareOutputs() tells a deprecation, a version that is not served, and a subresource more", () => {
  const of = (version: JsonObject) => filesOf(crdOf({ version }));
  assert.equal(compareOutputs(of({}), of({ deprecated: true })), [
    'example.com/v1 Thing: now says "@deprecated v1 is deprecated"',
  ]);
  assert.equal(compareOutputs(of({}), of({ served: false })), [
    'example.com/v1 Thing: now says "The API server does not serve v1." (breaking)',
  ]);
  assert.equal(compareOutputs(of({}), of({ subresources: { scale: {} } })), [
    "example.com/v1.client.ts: subresource scale of Thing added",
  ]);
});

test("compareOutputs() tells a subresource less beside other changes, and passes over kinds that are not meant", () => {
  const scale = { subresources: { scale: {} } };
  const other = crdOf({ kind: "Other" });
  const before = filesOf(crdOf({ version: scale }), other, crdOf({ group: "b.example.com" }));
  const after = filesOf(crdOf({ schema: spec({ a: text }) }));
  assert.equal(
    compareOutputs(before, after, ({ group, kind }) => group === "example.com" && kind === "Thing"),
    [
      "example.com/v1.client.ts: subresource scale of Thing removed (breaking)",
      "example.com/v1 Thing .spec: added, optional",
    ],
  );
});

test("compareOutputs() says nothing of a shape that another kind declares now, also beside null", () => {
  const schema = spec({
    a: { type: "object", nullable: true, properties: { x: { type: "object", properties: { y: text } } } },
  });
  const one = crdOf({ kind: "One", schema });
  assert.equal(compareOutputs(filesOf(one), filesOf(one, crdOf({ kind: "Another", schema }))), [
    "example.com/v1 Another: added",
  ]);
});

test("compareOutputs() tells kinds added and removed, another scope, and comments", () => {
  assert.equal(compareOutputs(filesOf(crdOf({})), filesOf(crdOf({}), crdOf({ kind: "Other" }))), [
    "example.com/v1 Other: added",
  ]);
  assert.equal(compareOutputs(filesOf(crdOf({})), filesOf(crdOf({ group: "b.example.com" }))), [
    "b.example.com/v1 Thing: added",
    "example.com/v1 Thing: removed (breaking)",
  ]);
  assert.equal(compareOutputs(filesOf(crdOf({})), filesOf(crdOf({ scope: "Cluster" }))), [
    "example.com/v1 Thing: served elsewhere, things (Namespaced) became things (Cluster) (breaking)",
    "example.com/v1 Thing .metadata, when read: changed from StoredNamespacedCustomObjectMeta to StoredCustomObjectMeta (breaking)",
  ]);
  const described = (description: string) => filesOf(crdOf({ schema: { type: "object", description } }));
  assert.equal(compareOutputs(described("a"), described("b")), ["example.com/v1.ts: only comments differ"]);
});

test.run();
