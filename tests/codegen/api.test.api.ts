/**
 * The fixtures' labels are a real API server's, not ours: it is asked for each example, and for each example changed
 * in one place. Types and validators must agree with it.
 *
 * Run by `npm run test:api`, with KUBECONFIG.
 * @module
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Crd, type JsonObject, typeName } from "../../codegen/mod.ts";
import { createValidator, textOf, type Validator } from "../../codegen/validation.ts";
import { Judge, type Label } from "./api_server.ts";
import { evaluateRule } from "./cel.ts";
import { type Fixture, generateFixture, readFixtures } from "./fixtures.ts";
import { mutantsOf } from "./mutants.ts";
import { isSayable } from "./sayable.ts";
import { askTypeScript5, literalsOf, writeAll } from "./verdicts.ts";

const judge = await Judge.connect();

/** Changed objects of each fixture that the server is asked about; spread over all that there are. */
const changesMax = 60;

for (const fixture of readFixtures()) {
  test(`the API server says of ${fixture.name} what its examples, its types and its validators say`, async () => {
    const labelled: Labelled[] = [];
    try {
      await Promise.all(fixture.documents.map((document) => judge.install(document)));
      for (const example of [...fixture.examples, ...changed(fixture)]) {
        labelled.push({
          ...example,
          label: await judge.label({ ...example.crd, version: example.version }, example.object),
        });
      }
    } finally {
      await Promise.all(fixture.crds.map((crd) => judge.remove(`${crd.plural}.${crd.group}`)));
    }
    const wrong = labelled.filter(({ accepted, label }) =>
      accepted !== undefined && accepted !== label.accepted
    )
      .map(({ what, label }) => `${what}: ${label.accepted ? "accepted" : label.message}`);
    assert.equal(wrong, [], "the examples");
    assert.equal(wrongValidators(labelled), [], "the validators");
    assert.equal(await wrongTypes(fixture, labelled), [], "the types");
  });
}

interface Labelled {
  crd: Crd;
  version: string;
  object: JsonObject;
  accepted?: boolean;
  what: string;
  label: Label;
}

/** Accepted examples, each changed in one place. */
function changed({ examples }: Fixture): Omit<Labelled, "label">[] {
  const all = examples.filter(({ accepted }) => accepted).flatMap(({ crd, version, object, what }) =>
    [...mutantsOf(object, crd.versions[0]!.schema)]
      .filter((mutant) => !mutant.what.startsWith(".status"))
      .map((mutant) => ({
        crd,
        version,
        object: mutant.object as JsonObject,
        what: `${what} ${mutant.what}`,
      }))
  );
  const step = Math.max(1, all.length / changesMax);
  return Array.from(
    { length: Math.min(all.length, changesMax) },
    (_, index) => all[Math.floor(index * step)]!,
  );
}

function wrongValidators(labelled: readonly Labelled[]): string[] {
  const validators = new Map<Crd, Validator>();
  return labelled.flatMap(({ crd, version, object, what, label }) => {
    if (isOddity(what)) return [];
    const { schema, hasStatus } = crd.versions[0]!;
    const validator = validators.get(crd) ??
      createValidator({ apiVersion: `${crd.group}/${version}`, kind: crd.kind, hasStatus, schema });
    validators.set(crd, validator);
    const problems = validator(object, { rules: evaluateRule }).map(textOf);
    return (problems.length === 0) === label.accepted
      ? []
      : [`${what}: ${problems.join(", ")}; the server: ${label.message}`];
  });
}

async function wrongTypes(fixture: Fixture, labelled: readonly Labelled[]): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), "codegen-api-"));
  try {
    const files = generateFixture(fixture, { client: false });
    const literals = literalsOf(
      labelled.map(({ crd, version, object }) => ({
        module: `${crd.group}/${version}`,
        type: typeName(crd.kind),
        object,
      })),
    );
    await writeAll(folder, [["package.json", '{ "type": "module" }'], ...files]);
    await writeAll(folder, [...literals.files].map(([path, { text }]) => [path, text]));
    const { refused, elsewhere } = askTypeScript5(folder, [...files.keys()], literals);
    const wrong = labelled.flatMap(({ what, label }, index) => {
      const refusal = refused.get(index);
      if (isOddity(what) || label.accepted === (refusal === undefined)) return [];
      if (!label.accepted && !isSayable(label.message)) return [];
      if (label.accepted && what.endsWith(" = null")) return []; // Dropped by the server; the types say that it says nothing.
      return [`${what}: ${refusal ?? `not refused; the server: ${label.message}`}`];
    });
    return [...elsewhere, ...wrong];
  } finally {
    await rm(folder, { recursive: true });
  }
}

/**
 * Verdicts of the server that are not meant: it takes a list for a text that has the format byte or date-time.
 * What TypeScript cannot say: that 7 has no toString, or an enum beside a pattern. What ajv does not look at: a key
 * called __proto__.
 */
function isOddity(what: string): boolean {
  if (what.includes("__proto__") || /^discriminators .*\.spec\.text/.test(what)) return true;
  return /\.(when|data|lengths)( added)? = \[/.test(what) ||
    /^names .*(\.spec|\.toString)( added)? = /.test(what);
}

test.run();
