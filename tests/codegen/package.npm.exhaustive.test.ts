/**
 * The package: what `npm pack` makes of the generator works where it is installed, outside this project.
 * @module
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { crdOf } from "./crd_of.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const bin = join(root, "node_modules/.bin");
const environment = { ...process.env, PATH: `${bin}:${process.env.PATH}`, NO_COLOR: "1" };

/** Runs a command of node_modules/.bin, or one that the machine has. */
async function run(cwd: string, command: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(command, args, { cwd, env: environment });
  return stdout.trim();
}

test("installed into an empty folder, the command and the library work on Node and Deno", async () => {
  const folder = await mkdtemp(join(tmpdir(), "codegen-package-"));
  try {
    await run(root, "node", "deploy/codegen_package.ts", join(folder, "package"));
    const packed = await run(
      join(folder, "package"),
      "npm",
      "pack",
      "--silent",
      "--pack-destination",
      folder,
    );
    const user = join(folder, "user");
    const installed = join(user, "node_modules/crd-codegen");
    await mkdir(join(user, "node_modules/.bin"), { recursive: true });
    await mkdir(installed);
    await run(folder, "tar", "-xzf", packed, "--strip-components=1", "-C", installed);
    const { bin, dependencies } = JSON.parse(await readFile(join(installed, "package.json"), "utf8")) as {
      bin: { [name: string]: string };
      dependencies: { [name: string]: string };
    };
    // As npm would lay them out, without asking a registry.
    for (const [name, file] of Object.entries(bin)) {
      await symlink(join(installed, file), join(user, "node_modules/.bin", name));
    }
    for (const name of Object.keys(dependencies)) {
      await mkdir(dirname(join(user, "node_modules", name)), { recursive: true });
      await symlink(join(root, "node_modules", name), join(user, "node_modules", name), "dir");
    }
    await writeFile(join(user, "package.json"), '{ "type": "module" }');
    await writeFile(join(user, "crd.json"), JSON.stringify(crdOf({})));
    await writeFile(
      join(user, "library.ts"),
      `import { documentsOf, generate } from "crd-codegen";
import { readFileSync } from "node:fs";
const { kinds }: { kinds: number } = generate(documentsOf(readFileSync("crd.json", "utf8"), "crd.json"));
console.log(kinds);
`,
    );

    assert.is(
      await run(user, "npx", "--no-install", "crd-codegen", "crd.json", "--out", "types", "--validator"),
      "types: 1 kind in 8 files",
    );
    assert.is(await run(user, "node", "library.ts"), "1");
    const deno = ["run", "-A", "--no-lock"];
    assert.is(
      await run(
        user,
        "deno",
        ...deno,
        "node_modules/crd-codegen/bin.js",
        "crd.json",
        "--out",
        "types",
        "--validator",
        "--check",
      ),
      "types is up to date: 1 kind in 8 files",
    );
    assert.is(await run(user, "deno", ...deno, "library.ts"), "1");
    const settings = ["--strict", "--module", "nodenext", "--target", "es2024", "--skipLibCheck", "--noEmit"];
    await symlink(join(root, "node_modules/@types"), join(user, "node_modules/@types"), "dir");
    assert.is(await run(user, "tsc", ...settings, "--types", "node", "library.ts"), "", "the declarations");
  } finally {
    await rm(folder, { recursive: true });
  }
});

test.run();
