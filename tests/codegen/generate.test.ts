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

test("what is read extends what is written, also where a union is below", () => {
  const text = filesOf(crdOf({
    schema: spec({
      u: {
        type: "object",
        properties: { mode: { type: "string", default: "x" }, x: { type: "string" }, y: { type: "string" } },
        oneOf: [{ required: ["x"] }, { required: ["y"] }],
      },
    }),
  })).get("example.com/v1.ts")!;
  assert.match(text, "export interface StoredThing extends Thing {\n");
  assert.match(text, "export interface StoredThingSpec extends ThingSpec {\n  u?: StoredThingSpecU;\n}\n");
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
    ["client.ts", "resource.ts", "example.com/v1.ts", "meta/v1.ts", "other.example.com/v1.ts"],
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
  const untyped: JsonObject[] = [{}, { description: "x" }, { properties: {} }, { type: "", enum: ["x"] }];
  for (const a of untyped) {
    assert.is(
      failureOf(crdOf({ schema: spec({ a: { type: "array", items: a } }) })),
      `${start}.properties["spec"].properties["a"].items: The schema has no type, and without x-kubernetes-preserve-unknown-fields or x-kubernetes-int-or-string it needs one`,
    );
  }
});

test("keywords of another type, and $ref in a branch, are refused with their path", () => {
  const start =
    'file0.yaml: CustomResourceDefinition "things.example.com": version "v1": openAPIV3Schema.properties["spec"].properties["a"]: ';
  const cases: [JsonObject, string][] = [
    [{ type: "array" }, "Cannot read items: it must be a schema, found none"],
    [{ required: "a" }, 'Cannot read required: it must be a list, found "a"'],
    [{ enum: "x" }, 'Cannot read enum: it must be a list, found "x"'],
    [
      { additionalProperties: "x" },
      'Cannot read additionalProperties: it must be a schema, true or false, found "x"',
    ],
    [{ properties: [] }, "Cannot read properties: it must be an object, found []"],
    [
      { oneOf: [{ $ref: "#/x" }] },
      'Cannot read oneOf: it must be a list of schemas without $ref, found [{"$ref":"#/x"}]',
    ],
  ];
  for (const [keywords, want] of cases) {
    assert.is(failureOf(crdOf({ schema: spec({ a: { type: "object", ...keywords } }) })), start + want);
  }
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

test("quoted texts and closing braces that are indented no deeper than their key are read, as kubectl reads them", () => {
  const text = "---\na:\n  b: 'one\n  two'\n  c: \"three\n\nfour\"\n---\nd: {\n  e: 1\n}\n";
  assert.equal(documentsOf(text, "x.yaml").map(({ value }) => value), [
    { a: { b: "one two", c: "three\nfour" } },
    { d: { e: 1 } },
  ]);
});

test("names that the API server would not take are refused: they are in paths and in code", () => {
  const start = 'file0.yaml: CustomResourceDefinition "things.example.com": ';
  const versioned = (name: string) => crdOf({ version: { name } });
  const named = (names: JsonObject) => {
    const crd = crdOf({});
    const spec = crd["spec"] as { names: JsonObject };
    Object.assign(spec.names, names);
    return crd;
  };
  const cases: [JsonObject, string][] = [
    [crdOf({ group: "../evil.com" }), '.spec.group must be a DNS name with a dot in it, found "../evil.com"'],
    [crdOf({ group: "meta" }), '.spec.group must be a DNS name with a dot in it, found "meta"'],
    [
      versioned("../../evil"),
      '.spec.versions[0]: .name must be lower case letters, digits and dashes, found "../../evil"',
    ],
    [
      named({ kind: "A*/ evil(); /*" }),
      '.spec.names.kind must be letters, digits and dashes, found "A*/ evil(); /*"',
    ],
    [named({ listKind: "a b" }), '.spec.names.listKind must be letters, digits and dashes, found "a b"'],
    [named({ plural: "Things" }), '.spec.names.plural must be letters, digits and dashes, found "Things"'],
  ];
  for (const [crd, want] of cases) {
    assert.is(failureOf(crd).replace(/^.*?"[^"]*": /, ""), want.replace(start, ""));
  }
});

test("an OpenAPI document cannot name a file or a type that is none", () => {
  const document = (version: string, kind: string): JsonObject => {
    const gvk = { group: "x.io", version, kind };
    return {
      openapi: "3.0.0",
      paths: { "/apis/x.io/v1/things": { get: { "x-kubernetes-group-version-kind": gvk } } },
      components: {
        schemas: { "io.x.v1.Thing": { "type": "object", "x-kubernetes-group-version-kind": [gvk] } },
      },
    };
  };
  const files = (version: string, kind: string) =>
    generate([{ place: ["api.json"], value: document(version, kind) }]).files;
  assert.ok(files("v1", "Thing").has("x.io/v1.ts"));
  assert.throws(() => files("../../v1", "Thing"), /api\.json: .*"\.\.\/\.\.\/v1"/);
  assert.throws(() => files("v1", "A*/ evil(); /*"), /api\.json: /);
});

test("a $ref of an OpenAPI document that leads nowhere is refused with file and path", () => {
  const gvk = { group: "x.io", version: "v1", kind: "Thing" };
  const reference = (ref: string): JsonObject => ({
    type: "object",
    properties: { "a-b": { allOf: [{ $ref: ref }] } },
  });
  const document = (ref: string): JsonObject => ({
    openapi: "3.0.0",
    paths: { "/apis/x.io/v1/things": { get: { "x-kubernetes-group-version-kind": gvk } } },
    components: {
      schemas: { "io.x.v1.Thing": { ...reference(ref), "x-kubernetes-group-version-kind": [gvk] } },
    },
  });
  for (const ref of ["#/components/schemas/none", "other.json#/Thing"]) {
    assert.throws(
      () => generate([{ place: ["api.json"], value: document(ref) }]),
      (error: Error) =>
        error.message ===
          `api.json: components.schemas["io.x.v1.Thing"].properties["a-b"].allOf.0: Cannot resolve $ref "${ref}": no document has it`,
    );
  }
});

test("a schema that holds itself, or is nested without end, is refused by name", () => {
  const circle: JsonObject = { type: "object" };
  circle["properties"] = { a: circle };
  assert.match(
    failureOf(crdOf({ schema: circle })),
    /^file0\.yaml: .*it is nested too deeply, or holds itself$/,
  );
  const branch: JsonObject = {};
  branch["oneOf"] = [branch];
  assert.match(failureOf(crdOf({ schema: { type: "object", ...branch } })), /holds itself$/);
  let deep: JsonObject = { type: "string" };
  for (let level = 0; level < 5_000; level++) deep = { type: "array", items: deep };
  assert.match(failureOf(crdOf({ schema: spec({ deep }) })), /holds itself$/);
});

test("defaults and enum values give the same bytes whatever the order of their keys", () => {
  const filesOf = (value: JsonObject) => [
    ...generate([{
      place: ["x"],
      value: crdOf({
        schema: spec({
          a: {
            type: "object",
            properties: { x: { type: "integer" }, y: { type: "integer" } },
            default: value,
          },
          b: {
            type: "object",
            properties: { x: { type: "integer" }, y: { type: "integer" } },
            enum: [value],
          },
        }),
      }),
    }], { validator: true }).files,
  ];
  assert.equal(filesOf({ x: 1, y: 2 }), filesOf({ y: 2, x: 1 }));
});

test("the items of the API server's own list are CustomResourceDefinitions, though they do not say so", () => {
  const { apiVersion, kind: _, ...item } = crdOf({});
  const list = { kind: "CustomResourceDefinitionList", apiVersion: apiVersion!, items: [item] };
  assert.is(generate(documentsOf(JSON.stringify(list), "raw.json")).kinds, 1);
});

test("a kind that a CustomResourceDefinition gives is not taken from an OpenAPI document as well", () => {
  const gvk = { group: "example.com", version: "v1", kind: "Thing" };
  const openApi: JsonObject = {
    openapi: "3.0.0",
    paths: { "/apis/example.com/v1/things": { get: { "x-kubernetes-group-version-kind": gvk } } },
    components: {
      schemas: { "com.example.v1.Thing": { "type": "object", "x-kubernetes-group-version-kind": [gvk] } },
    },
  };
  const documents = [openApi, crdOf({ schema: spec({ a: { type: "string" } }) })].map((value) => ({
    place: ["x"],
    value,
  }));
  const { kinds, files } = generate(documents, { kinds: ["example.com/Thing"] });
  assert.is(kinds, 1);
  assert.match(files.get("example.com/v1.ts")!, "export interface ThingSpec");
  assert.not.match(files.get("example.com/v1.ts")!, "Thing2");
});

test("groups that begin with a digit, and kinds that differ by case only, have names that TypeScript takes", () => {
  const documents = ["Class", "class"].map((kind) => ({
    place: [kind],
    value: crdOf({ group: "123.example.com", kind }),
  }));
  // They would have one plural.
  ((documents[1]!.value["spec"] as JsonObject)["names"] as JsonObject)["plural"] = "others";
  const { files } = generate(documents, { validator: true });
  assert.match(files.get("123.example.com/v1.client.ts")!, "export type _123ExampleComV1Api = ");
  const validators = [...files.get("123.example.com/v1.validate.ts")!.matchAll(/const (\w+)/g)].map((
    [, name],
  ) => name);
  assert.equal(validators, ["validateClass", "validateClass2"]);
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

test("the descriptor and the client of a deprecated version are @deprecated; a version that is not served has no client", () => {
  const of = (version: JsonObject) => generate([{ place: ["crd.yaml"], value: crdOf({ version }) }]).files;
  const deprecated = of({ deprecated: true, deprecationWarning: "use v2" });
  const client = deprecated.get("example.com/v1.client.ts")!;
  const tagged = " * @deprecated use v2\n */\nexport";
  assert.match(deprecated.get("example.com/v1.ts")!, `${tagged} const things: `);
  assert.match(client, `${tagged} type ExampleComV1Api = `);
  assert.match(client, "/** @deprecated use v2 */\nexport const ExampleComV1Api: ");
  const unserved = of({ served: false });
  assert.ok(unserved.has("example.com/v1.ts"));
  assert.not.ok(unserved.has("example.com/v1.client.ts"));
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
