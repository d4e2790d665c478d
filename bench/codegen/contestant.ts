/**
 * One generator, all CustomResourceDefinitions of a folder, in this process; the last line is what it took.
 * @module
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import process from "node:process";

const [name, folder, out, others] = process.argv.slice(2) as [string, string, string, string];
const files = readdirSync(folder, { recursive: true }).map(String).filter((file) => /\.ya?ml$/.test(file))
  .sort()
  .map((file) => join(folder, file));

/** The part of a CustomResourceDefinition that the generators are given. */
interface Crd {
  spec: {
    group: string;
    names: { kind: string };
    versions: { name: string; schema: { openAPIV3Schema: object } }[];
  };
}

if (name === "codegen") {
  const { documentsOf, generate } = await import("../../codegen/mod.ts");
  const documents = files.flatMap((file) => documentsOf(readFileSync(file, "utf8"), file));
  for (const [path, text] of generate(documents).files) write(path, text);
} else if (name.startsWith("openapi-typescript")) {
  const { default: openapiTs, astToString } = await import("openapi-typescript");
  const tuned = name.includes("tuned") ? { emptyObjectsUnknown: true, defaultNonNullable: false } : {};
  for (const crd of await crds()) {
    const schemas = Object.fromEntries(
      crd.spec.versions.map((one) => [crd.spec.names.kind + one.name, one.schema.openAPIV3Schema]),
    );
    const document = {
      openapi: "3.1.0",
      info: { title: "x", version: "1" },
      paths: {},
      components: { schemas },
    };
    const ast = await openapiTs(document as Parameters<typeof openapiTs>[0], { silent: true, ...tuned });
    write(`${crd.spec.group}/${crd.spec.names.kind}.ts`, astToString(ast));
  }
} else if (name === "json-schema-to-typescript") {
  const { compile } = createRequire(join(others, "package.json"))(name) as {
    compile: (schema: object, name: string, options: object) => Promise<string>;
  };
  for (const crd of await crds()) {
    for (const version of crd.spec.versions) {
      const text = await compile(version.schema.openAPIV3Schema, crd.spec.names.kind, {
        additionalProperties: false,
        ignoreMinAndMaxItems: true,
        format: false,
        bannerComment: "",
      });
      write(`${crd.spec.group}/${version.name}/${crd.spec.names.kind}.ts`, text);
    }
  }
}
const own = process.resourceUsage();
const { user, system } = process.cpuUsage();
console.log(JSON.stringify({ cpuSeconds: (user + system) / 1e6, memoryMb: own.maxRSS / 1e3 }));

async function crds(): Promise<Crd[]> {
  const { parseAllDocuments } = await import("yaml");
  return files.flatMap((file) =>
    [...parseAllDocuments(readFileSync(file, "utf8"))].map((document) => document.toJS() as Crd)
  );
}

function write(path: string, text: string): void {
  mkdirSync(dirname(join(out, path)), { recursive: true });
  writeFileSync(join(out, path), text);
}
