/**
 * What generate() promises beyond types: determinism, whole failures, names and comments that hold anything.
 * @module
 */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { documentsOf, generate, InputError, type JsonObject } from "../../codegen/mod.ts";
import { crdOf } from "./crd_of.ts";

function filesOf(...crds: JsonObject[]): Map<string, string> {
  return generate(crds.map((value, index) => ({ place: [`file${index}.yaml`], value })), { client: false })
    .files;
}

function failureOf(...crds: JsonObject[]): string {
  try {
    filesOf(...crds);
  } catch (error) {
    if (error instanceof InputError) return error.message;
    throw error;
  }
  throw new Error("It did not fail");
}

const spec = (properties: JsonObject): JsonObject => ({
  type: "object",
  properties: { spec: { type: "object", properties } },
});

test("the same input gives the same bytes, whatever the order of files and keys", () => {
  const one = crdOf({
    kind: "One",
    schema: spec({ b: { type: "string" }, a: { type: "object", properties: { x: { type: "string" } } } }),
  });
  const other = crdOf({ kind: "Other", schema: spec({ z: { type: "integer" } }) });
  const turned = crdOf({
    kind: "One",
    schema: spec({ a: { properties: { x: { type: "string" } }, type: "object" }, b: { type: "string" } }),
  });
  assert.equal([...filesOf(other, turned)], [...filesOf(one, other)]);
});

test("what is read extends what is written, and says only what differs", () => {
  const text = filesOf(crdOf({
    schema: spec({ a: { type: "string" }, b: { type: "integer", default: 1 }, c: { type: "object" } }),
  })).get("example.com/v1.ts")!;
  assert.match(
    text,
    "export interface StoredThing extends Thing {\n  metadata: StoredNamespacedCustomObjectMeta;\n",
  );
  assert.match(text, "export interface StoredThingSpec extends ThingSpec {\n  b: number;\n}\n");
});

test("what is read is written out where a union differs, which no compiler compares well enough", () => {
  const text = filesOf(crdOf({
    schema: spec({
      u: {
        type: "object",
        properties: { mode: { type: "string", default: "x" }, x: { type: "string" }, y: { type: "string" } },
        oneOf: [{ required: ["x"] }, { required: ["y"] }],
      },
    }),
  })).get("example.com/v1.ts")!;
  assert.match(text, "export interface StoredThing {\n");
  assert.match(text, "export interface StoredThingSpec {\n  u?: StoredThingSpecU;\n}\n");
});

test("a shape that several kinds of a module have is declared once, and has a name in each", () => {
  const shared = spec({ pod: { type: "object", properties: { image: { type: "string" } } } });
  const text = filesOf(crdOf({ kind: "One", schema: shared }), crdOf({ kind: "Two", schema: shared }))
    .get("example.com/v1.ts")!;
  const declarations = text.split("\n").filter((line) => /^export (?:type|interface) \w+Spec/.test(line));
  assert.equal(declarations, [
    "export interface OneSpec {",
    "export interface OneSpecPod {",
    "export type TwoSpec = OneSpec;",
    "export type TwoSpecPod = OneSpecPod;",
  ]);
});

test("one field more changes only the lines of that field", () => {
  const before = filesOf(
    crdOf({
      schema: spec({ a: { type: "string" }, c: { type: "object", properties: { d: { type: "string" } } } }),
    }),
  );
  const after = filesOf(
    crdOf({
      schema: spec({
        a: { type: "string" },
        b: { type: "integer" },
        c: { type: "object", properties: { d: { type: "string" } } },
      }),
    }),
  );
  const old = new Set(before.get("example.com/v1.ts")!.split("\n"));
  const added = after.get("example.com/v1.ts")!.split("\n").filter((line) => !old.has(line));
  assert.equal(added.map((line) => line.trim()), ["/** Integer */", "b?: number;"]);
});

test("two CustomResourceDefinitions of one group and kind are refused, and both are named", () => {
  assert.is(
    failureOf(crdOf({}), crdOf({})),
    'file1.yaml: CustomResourceDefinition "things.example.com": Group "example.com" has kind "Thing" already, from ' +
      'file0.yaml: CustomResourceDefinition "things.example.com"',
  );
});

test("the same kind in two groups is two modules", () => {
  assert.equal(
    [...filesOf(crdOf({}), crdOf({ group: "other.example.com" })).keys()],
    ["client.ts", "example.com/v1.ts", "meta/v1.ts", "other.example.com/v1.ts"],
  );
});

test("$ref, an unknown type and a schema without type are refused with file, version and schema path", () => {
  const start = 'file0.yaml: CustomResourceDefinition "things.example.com": version "v1": openAPIV3Schema';
  assert.is(
    failureOf(crdOf({ schema: spec({ a: { $ref: "#/x" } }) })),
    `${start}.properties["spec"].properties["a"]: Cannot resolve $ref "#/x": the schema of a CustomResourceDefinition must hold everything itself`,
  );
  assert.is(
    failureOf(crdOf({ schema: spec({ a: { type: "text" } }) })),
    `${start}.properties["spec"].properties["a"]: Cannot read type "text": the API server knows array, boolean, integer, number, object and string`,
  );
  assert.is(failureOf(crdOf({ schema: {} })), `${start}: The schema must have type "object", found null`);
});

test("apiextensions.k8s.io/v1beta1 is refused with what to do", () => {
  assert.match(
    failureOf({ ...crdOf({}), apiVersion: "apiextensions.k8s.io/v1beta1" }),
    'Convert it to "apiextensions.k8s.io/v1"',
  );
});

test("each failing CustomResourceDefinition is named; with keepGoing the others are generated", () => {
  const documents = [crdOf({ kind: "Bad", schema: {} }), crdOf({ kind: "Worse", schema: {} }), crdOf({})]
    .map((value, index) => ({ place: [`file${index}.yaml`], value }));
  assert.throws(
    () => generate(documents),
    (error: Error) => error.message.includes("file0") && error.message.includes("file1"),
  );
  const { failures, crds } = generate(documents, { keepGoing: true });
  assert.equal(failures.map(({ place }) => place[0]), ["file0.yaml", "file1.yaml"]);
  assert.equal(crds.map(({ kind }) => kind), ["Thing"]);
});

test("documents that are no CustomResourceDefinition are counted; Lists are opened; JSON and YAML are read", () => {
  const text = `---\n# nothing\n---\napiVersion: v1\nkind: List\nitems:\n  - ${
    JSON.stringify(crdOf({}))
  }\n  - {apiVersion: v1, kind: ConfigMap}\n`;
  const { crds, skipped } = generate([
    ...documentsOf(text, "all.yaml"),
    ...documentsOf(JSON.stringify(crdOf({ kind: "Json" })), "one.json"),
  ]);
  assert.equal({ kinds: crds.map(({ kind }) => kind), skipped }, { kinds: ["Json", "Thing"], skipped: 1 });
});

test("broken YAML is refused with document, line and column; a template is recognized", () => {
  const messageOf = (text: string) => {
    try {
      documentsOf(text, "x.yaml");
    } catch (error) {
      return (error as Error).message;
    }
    return "";
  };
  assert.match(
    messageOf("a: 1\n---\nb: [\n"),
    /^x\.yaml: document 2: Cannot read the YAML: .* line 4, column 1/,
  );
  assert.match(messageOf("{{ if .Values.x }}\na: 1\n{{ end }}\n"), "render it first");
});

test("no description can end its comment, start a tag, or break a line", () => {
  const hostile = "a */ const x = 1; /*\r\n@deprecated not\u2028@param no\r{@link evil} \u0000 ${x} `";
  const text = filesOf(crdOf({ schema: spec({ a: { type: "string", description: hostile } }) })).get(
    "example.com/v1.ts",
  )!;
  const comment = text.slice(
    text.lastIndexOf("/**", text.indexOf("  a?: string")),
    text.indexOf("  a?: string"),
  );
  assert.is(
    comment.trim(),
    "/**\n   * a *\\/ const x = 1; /*\n   * \\@deprecated not\n   * \\@param no\n   * {\\@link evil} \\x00 ${x} `\n   */",
  );
});

test("a deprecated version is @deprecated with its warning, one that is not served says so", () => {
  const crd = crdOf({ version: { deprecated: true, deprecationWarning: "use v2", served: false } });
  const text = filesOf(crd).get("example.com/v1.ts")!;
  assert.match(
    text,
    " * The API server does not serve v1.\n *\n * @deprecated use v2\n */\nexport interface Thing {",
  );
});

test("descriptions of items and of map values belong to the property", () => {
  const text = filesOf(crdOf({
    schema: spec({
      a: {
        type: "array",
        description: "The list.",
        items: {
          type: "object",
          description: "The item.",
          additionalProperties: { type: "string", description: "The value." },
        },
      },
    }),
  })).get("example.com/v1.ts")!;
  assert.match(
    text,
    "   * The list.\n   *\n   * Each item: The item.\n   *\n   * Each item, each value: The value.\n",
  );
});

test.run();
