/**
 * Who may import whom: the layers of the project are a failing check, not a wish (docs/decisions/0001-layout.md).
 * @module
 */

import { readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

/** For each part of the project: which of our files it may import, and which packages. The first that a file fits counts. */
const layers: { part: string; own: string[]; packages: string[] }[] = [
  { part: "runtime/", own: ["runtime/"], packages: ["@kubernetes/client-node"] },
  { part: "embedded/", own: ["embedded/"], packages: ["yaml", "@marcbachmann/cel-js", "fast-json-patch"] },
  {
    part: "codegen/",
    own: ["codegen/"],
    packages: ["openapi-typescript", "typescript", "js-yaml", "yaml", "ajv"],
  },
  { part: "types/", own: ["types/"], packages: [] },
  // Certificates are handed to the rest of postgres/ as a port: nothing else there may name cryptography.
  { part: "postgres/x509.ts", own: ["postgres/der.ts", "postgres/tls.ts"], packages: [] },
  { part: "postgres/", own: ["postgres/", "types/"], packages: [] },
  { part: "operator.ts", own: ["runtime/mod.ts", "types/", "postgres/"], packages: [] },
];

/** Files of runtime/ that may name the platform: everything else takes clock, timers, randomness and network as arguments. */
const platform = /^runtime\/platform\//;

/** What only those files may name; the global `process` is refused everywhere by the lint. */
const platformNames = [
  /\bDeno\./,
  /from "node:/,
  /(?<![.\w])(setTimeout|setInterval|setImmediate)\(/,
  /\bDate\.now\(|new Date\(\)/,
  /\bMath\.random\(|\bcrypto\./,
  /\bconsole\./,
];

function sources(folder = ""): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .filter((entry) => !["node_modules", "dist", ".git"].includes(entry.name))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return sources(path);
      return entry.name.endsWith(".ts") ? [path] : [];
    });
}

/** The text without its comments: an import in an example of a docstring is none. */
function code(path: string): string {
  return readFileSync(join(root, path), "utf8")
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/^\s*\/\/.*$/gm, "");
}

/** Module specifiers that a file imports or re-exports, statically or dynamically. */
function imports(path: string): string[] {
  const found = code(path).matchAll(
    /(?:^|\n)\s*(?:import|export)\b[^;'"`]*?from\s*["']([^"']+)["']|(?:^|\n)\s*import\s*["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']\s*\)/g,
  );
  return [...found].map((match) => (match[1] ?? match[2] ?? match[3])!);
}

/** The same, without `import type`, which is gone at run time. */
function importsAtRunTime(path: string): string[] {
  const types = new Set(
    [...code(path).matchAll(/(?:^|\n)\s*(?:import|export) type\b[^;'"`]*?from\s*["']([^"']+)["']/g)].map((
      match,
    ) => match[1]!),
  );
  const values = code(path).replace(
    /(?:^|\n)\s*(?:import|export) type\b[^;'"`]*?from\s*["'][^"']+["'];?/g,
    "\n",
  );
  return imports(path).filter((name) => !types.has(name) || values.includes(`"${name}"`));
}

const files = sources();

test("every source file imports only what its layer allows", () => {
  const broken: string[] = [];
  const layerOf = (file: string) =>
    layers.find(({ part }) => part.endsWith("/") ? file.startsWith(part) : file === part);
  for (const layer of layers) {
    const { part, own, packages } = layer;
    const members = files.filter((file) => layerOf(file) === layer);
    assert.ok(members.length > 0, `${part} has source files`);
    for (const file of members) {
      for (const name of imports(file)) {
        if (name.startsWith("node:") || builtinModules.includes(name)) continue;
        const allowed = name.startsWith(".")
          ? own.some((prefix) => relative(root, resolve(root, dirname(file), name)).startsWith(prefix))
          : packages.some((prefix) => name === prefix || name.startsWith(prefix + "/"));
        if (!allowed) broken.push(`${file} imports ${name}`);
      }
    }
  }
  assert.equal(broken, []);
});

test("nothing imports tests/, tools/ or examples/ but themselves and the benchmarks", () => {
  const broken = files
    .filter((file) => !/^(tests|tools|examples|bench)\//.test(file))
    .flatMap((file) => imports(file).map((name) => ({ file, name })))
    .filter(({ name }) => name.startsWith("."))
    .filter(({ file, name }) =>
      /^(tests|tools|examples)\//.test(relative(root, resolve(root, dirname(file), name)))
    );
  assert.equal(broken, []);
});

test("only the platform files of runtime/ name the platform", () => {
  const broken = files
    .filter((file) => file.startsWith("runtime/") && !platform.test(file))
    .flatMap((file) =>
      code(file).split("\n")
        .filter((line) => platformNames.some((name) => name.test(line)))
        .map((line) => `${file}: ${line.trim()}`)
    );
  assert.equal(broken, []);
});

test("no import cycles", () => {
  const graph = new Map(
    files.map((file) => [
      file,
      importsAtRunTime(file).filter((name) => name.startsWith(".")).map((name) =>
        relative(root, resolve(root, dirname(file), name))
      ),
    ]),
  );
  const done = new Set<string>();
  const visit = (file: string, path: string[]): string[] => {
    if (path.includes(file)) return [[...path.slice(path.indexOf(file)), file].join(" -> ")];
    if (done.has(file)) return [];
    const cycles = (graph.get(file) ?? []).flatMap((next) => visit(next, [...path, file]));
    done.add(file);
    return cycles;
  };
  assert.equal(files.flatMap((file) => visit(file, [])), []);
});

test.run();
