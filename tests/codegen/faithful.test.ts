/**
 * The types of the fixtures accept and refuse what the API server does, as far as a type can say.
 * @module
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import ts from "typescript";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { generate } from "../../codegen/mod.ts";
import { crdOf } from "./crd_of.ts";
import { readFixtures } from "./fixtures.ts";
import { askTypeScript5, literalsOf, replaceModule, writeAll } from "./verdicts.ts";

/** Broken examples that no type can refuse: bounds, patterns, formats and rules. */
const beyondTypes = [
  "comments Comment broken[4]",
  "comments Comment broken[5]",
  "comments Comment broken[6]",
  "comments Comment broken[7]",
  "comments Comment broken[8]",
  "comments Comment broken[9]",
  "comments Comment broken[10]",
  "comments Comment broken[11]",
  "comments Comment broken[12]",
  "comments Comment broken[13]",
  "metadata Singleton broken[6]",
  "metadata Singleton broken[7]",
]; // deno-fmt-ignore-line

test("the types of all fixtures are clean, take what is read, and take and refuse each example as the API server does", async () => {
  const fixtures = readFixtures();
  const examples = fixtures.flatMap((fixture) => fixture.examples);
  const documents = fixtures.flatMap(({ name, documents }) => documents.map((value) => ({ place: [name], value })));
  const { files } = generate(documents);
  const folder = await mkdtemp(join(tmpdir(), "codegen-fixtures-"));
  try {
    const literals = literalsOf(examples.map(({ crd, version, object }) => ({
      module: `${crd.group}/${version}`,
      type: typeNameOf(crd.kind),
      object,
    })));
    // The compiler leaves requests.ts alone in programs, not here.
    files.set("requests.ts", files.get("requests.ts")!.replace("// @ts-nocheck", "//"));
    files.set("replace.ts", replaceModule(files));
    await writeAll(folder, [["package.json", '{ "type": "module" }'], ...files]);
    await writeAll(folder, [...literals.files].map(([path, { text }]) => [path, text]));
    const { refused, elsewhere } = askTypeScript5(folder, [...files.keys()], literals);
    assert.equal(elsewhere, [], "the generated types are clean");
    const wrong = examples.flatMap(({ what, accepted }, index) =>
      accepted === !refused.has(index) || beyondTypes.includes(what) ? [] : [`${what}: ${refused.get(index) ?? "not refused"}`]
    );
    assert.equal(wrong, []);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("an object of another kind goes into an embedded resource and an open field, and comes back as what it is", async () => {
  const fixtures = readFixtures().filter(({ name }) => name === "embedded" || name === "preserve");
  const documents = fixtures.flatMap(({ documents }) =>
    documents.map((value) => ({ place: ["crd.yaml"], value }))
  );
  const { files } = generate(documents);
  files.set(
    "use.ts",
    `import type { Open, StoredOpen, StoredWrapper, Wrapper } from "./fixtures.example.com/v1.ts";
declare const [object, wrapper, open]: [Wrapper, StoredWrapper, StoredOpen];
export const written: [Wrapper["spec"], Open["spec"]] = [
  { free: { ...object }, many: [{ ...object }, { ...wrapper }] },
  { open: { ...object }, anything: object },
];
// @ts-expect-error: a list is no embedded resource.
export const list: Wrapper["spec"] = { free: [object] };
export const read: (Wrapper | Wrapper[] | undefined)[] = [
  wrapper.spec?.free as Wrapper,
  wrapper.spec?.many as Wrapper[],
  open.spec?.anything as Wrapper,
];
export const name: string | undefined = wrapper.spec?.free?.metadata?.name;
`,
  );
  const folder = await mkdtemp(join(tmpdir(), "codegen-embedded-"));
  try {
    await writeAll(folder, [["package.json", '{ "type": "module" }'], ...files]);
    assert.equal(askTypeScript5(folder, [...files.keys()], { files: new Map() }).elsewhere, []);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("who needs types only can have them under the settings that a compiler begins with", async () => {
  const { files } = generate([{
    place: ["crd.yaml"],
    value: crdOf({ version: { subresources: { scale: {} } } }),
  }]);
  const folder = await mkdtemp(join(tmpdir(), "codegen-types-"));
  try {
    await writeAll(folder, files);
    const program = ts.createProgram([join(folder, "example.com/v1.ts")], {
      strict: true,
      noEmit: true,
      types: [],
    });
    const found = ts.getPreEmitDiagnostics(program).map(({ messageText }) => messageText);
    assert.equal(found, []);
  } finally {
    await rm(folder, { recursive: true });
  }
});

/** Kinds that are keywords get a capital. */
function typeNameOf(kind: string): string {
  return kind === "string" || kind === "class"
    ? kind[0]!.toUpperCase() + kind.slice(1)
    : kind === "globalThis"
    ? "GlobalThis"
    : kind;
}

test.run();
