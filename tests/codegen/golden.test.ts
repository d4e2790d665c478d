/**
 * The types of each fixture, as they were last read by a person.
 *
 * After a change that is meant: `node tests/codegen/golden.test.ts --update`, and read the difference.
 * @module
 */
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { folder, generateFixture, readFixtures } from "./fixtures.ts";

for (const fixture of readFixtures()) {
  test(`the types of ${fixture.name} are those of its golden file`, () => {
    const files = generateFixture(fixture, { client: false });
    const text = fixture.crds[0]!.versions
      .map(({ name }) => files.get(`${fixture.crds[0]!.group}/${name}.ts`)!)
      .join("\n");
    // Not .ts: it is data here, and its imports lead nowhere.
    const golden = new URL(`${fixture.name}/golden.txt`, folder);
    if (process.argv.includes("--update")) writeFileSync(golden, text);
    assert.fixture(text, readFileSync(golden, "utf8"));
  });
}

test.run();
