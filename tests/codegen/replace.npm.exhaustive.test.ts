/**
 * Read, change, replace: what is read of a kind is what can be written, also with exactOptionalPropertyTypes and for
 * TypeScript 7, which sees less in an intersection than TypeScript 5 does.
 * @module
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { generate, type JsonObject } from "../../codegen/mod.ts";
import { crdOf } from "./crd_of.ts";
import { askTypeScript5, askTypeScript7, replaceModule, writeAll } from "./verdicts.ts";

/** Differs when it is read. */
const object: JsonObject = {
  type: "object",
  properties: { x: { type: "string", default: "x" }, y: { type: "integer" } },
};
const fields: { [name: string]: JsonObject } = {
  object,
  nullable: { ...object, nullable: true },
  list: { type: "array", items: object },
  nullableList: { type: "array", items: object, nullable: true },
  map: { type: "object", additionalProperties: object },
  open: { ...object, "x-kubernetes-preserve-unknown-fields": true },
  keyed: {
    type: "object",
    additionalProperties: object,
    anyOf: [{ required: ["k"] }, { required: ["toString"] }],
  },
  any: { "x-kubernetes-preserve-unknown-fields": true },
  pruned: { type: "object", additionalProperties: true },
  embedded: {
    "type": "object",
    "x-kubernetes-embedded-resource": true,
    "x-kubernetes-preserve-unknown-fields": true,
  },
  intOrString: { "x-kubernetes-int-or-string": true },
  text: { type: "string" },
  fallback: { type: "string", default: "x" },
  choice: { type: "string", enum: ["x", "y"], nullable: true },
  deeper: {
    type: "object",
    properties: { k: object, l: object },
    oneOf: [{ required: ["k"] }, { required: ["l"] }],
  },
};
const conditions: { [name: string]: JsonObject } = {
  oneOf: { oneOf: [{ required: ["a"] }, { required: ["b"] }] },
  anyOf: { anyOf: [{ required: ["a"] }, { required: ["b"] }] },
  allOf: { allOf: [{ required: ["a"] }] },
  not: { not: { required: ["a", "b"] } },
  kind: {
    oneOf: [
      { properties: { kind: { enum: ["A"] } }, required: ["a"] },
      { properties: { kind: { enum: ["B"] } }, required: ["b"] },
    ],
  },
  stranger: { oneOf: [{ required: ["a"] }, { required: ["z"] }] },
  items: { anyOf: [{ properties: { a: { items: { required: ["y"] } } } }, { required: ["b"] }] },
  deep: { anyOf: [{ properties: { a: { required: ["y"] } } }, { required: ["b"] }] },
};

test("each kind of field under each kind of condition can be written as it was read", async () => {
  const properties: JsonObject = {};
  for (const [name, a] of Object.entries(fields)) {
    for (const [condition, keywords] of Object.entries(conditions)) {
      const kind: JsonObject = { type: "string", enum: ["A", "B"] };
      const mode: JsonObject = { type: "string", default: "m" };
      const schema = { type: "object", properties: { a, b: object, kind }, ...keywords };
      properties[`${name}-${condition}`] = schema;
      properties[`${name}-${condition}-defaults`] = {
        ...schema,
        properties: { a, b: object, mode, kind: { ...kind, default: "A" } },
      };
      properties[`${name}-${condition}-open`] = { ...schema, "x-kubernetes-preserve-unknown-fields": true };
      properties[`${name}-${condition}-list`] = { type: "array", items: { ...schema, nullable: true } };
    }
  }
  const crd = crdOf({ schema: { type: "object", properties: { spec: { type: "object", properties } } } });
  const { files } = generate([{ place: ["crd.json"], value: crd }]);
  files.set("replace.ts", replaceModule(files));
  assert.match(files.get("replace.ts")!, "(read: Read0): Write0 => read;");
  const folder = await mkdtemp(join(tmpdir(), "codegen-replace-"));
  try {
    await writeAll(folder, [["package.json", '{ "type": "module" }'], ...files]);
    const literals = { files: new Map() };
    assert.equal(askTypeScript5(folder, [...files.keys()], literals).elsewhere, [], "TypeScript 5");
    assert.equal((await askTypeScript7(folder, literals)).elsewhere, [], "TypeScript 7");
  } finally {
    await rm(folder, { recursive: true });
  }
});

test.run();
