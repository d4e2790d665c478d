/**
 * Writes dist/codegen/: the generator as a package of its own, in JavaScript with declarations, for `npm pack` and
 * `npm publish`: `npm run package:codegen`.
 *
 * Node strips no types below node_modules, so that what is installed has to be JavaScript. See
 * docs/decisions/0010-codegen-package.md.
 * @module
 */
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const source = join(root, "codegen");
const out = resolve(process.argv[2] ?? join(root, "dist/codegen"));

const project = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  version: string;
  license: string;
  dependencies: { [name: string]: string };
};
/** What the generator imports; "ajv" only its output does, where validators are asked for. */
const imported = ["js-yaml", "openapi-typescript", "typescript", "yaml"];

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const program = ts.createProgram([join(source, "bin.ts"), join(source, "mod.ts")], {
  module: ts.ModuleKind.NodeNext,
  target: ts.ScriptTarget.ES2024,
  lib: ["lib.es2024.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"],
  types: ["node"],
  strict: true,
  skipLibCheck: true,
  declaration: true,
  resolveJsonModule: true,
  rewriteRelativeImportExtensions: true,
  rootDir: source,
  outDir: out,
});
const { diagnostics } = program.emit(undefined, (path, text, byteOrderMark) => {
  // Imports in declarations keep the ending .ts, which is not there.
  const linked = path.endsWith(".d.ts") ? text.replace(/(from "\.[^"]*)\.ts"/g, '$1.js"') : text;
  ts.sys.writeFile(path, linked, byteOrderMark);
});
const found = [...ts.getPreEmitDiagnostics(program), ...diagnostics];
if (found.length > 0) {
  console.error(ts.formatDiagnostics(found, {
    getCanonicalFileName: (name) => name,
    getCurrentDirectory: () => root,
    getNewLine: () => "\n",
  }));
  process.exit(1);
}
chmodSync(join(out, "bin.js"), 0o755);
// Text of the output, not code of the generator.
copyFileSync(join(source, "validation.ts"), join(out, "validation.ts"));
copyFileSync(join(root, "LICENSE"), join(out, "LICENSE"));
copyFileSync(join(root, "docs/codegen.md"), join(out, "README.md"));
writeFileSync(
  join(out, "package.json"),
  JSON.stringify(
    {
      name: "crd-codegen",
      version: project.version,
      description: "TypeScript types, typed clients and validators from Kubernetes CustomResourceDefinitions",
      license: project.license,
      type: "module",
      bin: { "crd-codegen": "bin.js" },
      exports: { ".": { types: "./mod.d.ts", default: "./mod.js" } },
      engines: { node: ">=24" },
      dependencies: Object.fromEntries(imported.map((name) => [name, project.dependencies[name]])),
    },
    undefined,
    2,
  ) + "\n",
);
console.log(`${out}: crd-codegen ${project.version}`);
