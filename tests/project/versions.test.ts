/**
 * One version of each package, wherever it is named: npm reads package.json, Deno alone reads deno.json.
 * @module
 */

import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { version } from "../../operator.ts";

const read = (path: string) => JSON.parse(readFileSync(new URL(`../../${path}`, import.meta.url), "utf8"));
const npm = read("package.json"), deno = read("deno.json");
const dependencies: Record<string, string> = { ...npm.dependencies, ...npm.devDependencies };

test("deno.json names the versions of package.json", () => {
  const want = Object.keys(deno.imports).map((name) => [name, `npm:${name}@${dependencies[name]}`]);
  assert.equal(deno.imports, Object.fromEntries(want));
  for (const name of Object.keys(npm.dependencies)) assert.ok(deno.imports[name], `${name} is in deno.json`);
});

test("every version is exact", () => {
  const loose = Object.entries(dependencies).filter(([, version]) =>
    !/^(npm:.+@)?\d+\.\d+\.\d+$/.test(version)
  );
  assert.equal(loose, []);
});

test("lock files name no registry", () => {
  for (const path of ["package-lock.json", "deno.lock"]) {
    assert.not.match(readFileSync(new URL(`../../${path}`, import.meta.url), "utf8"), /https?:\/\/registry/);
  }
});

test("both runtimes have the same tasks", () => {
  for (
    const name of [
      "start",
      "operator",
      "codegen",
      "bundle",
      "test",
      "test:exhaustive",
      "test:api",
      "test:kubectl",
      "test:crds",
      "e2e",
      "check",
      "bench",
      "top",
    ]
  ) {
    assert.ok(npm.scripts[name] && deno.tasks[name], name);
  }
});

test("the operator's version is the package's", () => assert.is(version, npm.version));

test.run();
