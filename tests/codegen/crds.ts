/**
 * Checks the generator on any folder of CustomResourceDefinitions with labelled examples.
 *
 *     node tests/codegen/crds.ts FOLDER
 *
 * FOLDER holds CustomResourceDefinitions (YAML or JSON, at any depth) and examples.json or examples.json.gz: a list
 * of `{crd, version, object, accepted, message}`, where `crd` is the name of the CustomResourceDefinition, and
 * `accepted` and `message` are what a real API server said (fieldValidation=Strict).
 *
 * Every CustomResourceDefinition must be generated and be clean under the strictest settings of TypeScript 5 and 7
 * and `deno check`; each example must be accepted or refused by the types as it was by the server, as far as a type
 * can say, and by the validator exactly. What is read of each kind must be what can be written.
 * @module
 */
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { type Crd, documentsOf, generate, type SourceDocument, typeName } from "../../codegen/mod.ts";
import { createValidator, textOf, type Validator } from "../../codegen/validation.ts";
import { evaluateRule } from "./cel.ts";
import { isSayable } from "./sayable.ts";
import {
  askCommand,
  askTypeScript5,
  askTypeScript7,
  type Candidate,
  literalsOf,
  replaceModule,
  strictOptions,
  type Verdict,
  writeAll,
} from "./verdicts.ts";

interface Example {
  crd: string;
  version: string;
  object: { kind: string };
  accepted: boolean;
  message: string | null;
  /** What was changed in it, for messages. */
  what?: string;
}

const args = process.argv.slice(2);
const flags = args.filter((arg) => arg.startsWith("--"));
const [folder, ...more] = args.filter((arg) => !arg.startsWith("--"));
if (folder === undefined) {
  console.error("Usage: node tests/codegen/crds.ts FOLDER [EXAMPLES.json]... [--only-typescript-5]");
  process.exit(2);
}
const { judged, wrong: mistakes } = await checkFolder(folder, flags.includes("--only-typescript-5"));
console.log(`${Math.max(0, judged - mistakes)} passed, ${mistakes} failed`);
process.exitCode = mistakes === 0 && judged > 0 ? 0 : 1;

/** How many verdicts were asked for, of each compiler and the validators, and how many were wrong. */
async function checkFolder(folder: string, only5: boolean): Promise<{ judged: number; wrong: number }> {
  const { documents, examples } = await readFolder(folder);
  const { files, crds } = generate(documents, { validator: true });
  files.set("replace.ts", replaceModule(files));
  const groups = new Map(crds.map((crd) => [`${crd.plural}.${crd.group}`, crd.group]));
  const candidates: Candidate[] = examples.map(({ crd, version, object }) => ({
    module: `${groups.get(crd)}/${version}`,
    type: typeName(object.kind),
    object,
  }));
  const literals = literalsOf(candidates);
  const out = await mkdtemp(join(tmpdir(), "codegen-crds-"));
  try {
    await writeAll(out, [["package.json", '{ "type": "module" }'], ...files]);
    await writeAll(out, [...literals.files].map(([path, { text }]) => [path, text]));
    const modules = fileURLToPath(new URL("../../node_modules", import.meta.url));
    await symlink(modules, join(out, "node_modules"), "dir");
    console.log(`${crds.length} CustomResourceDefinitions, ${files.size} files, ${examples.length} examples`);
    let wrong = report("TypeScript 5", askTypeScript5(out, [...files.keys()], literals), examples);
    if (only5) return { judged: examples.length, wrong };
    wrong += report("TypeScript 7", await askTypeScript7(out, literals), examples);
    wrong += await reportDeno(out, [...files.keys()]);
    wrong += reportValidators(crds, examples);
    return { judged: 3 * examples.length + 1, wrong };
  } finally {
    await rm(out, { recursive: true });
  }
}

async function readFolder(folder: string): Promise<{ documents: SourceDocument[]; examples: Example[] }> {
  const documents: SourceDocument[] = [];
  let examples: Example[] = [];
  for (const file of (await readdir(folder, { recursive: true })).sort()) {
    const path = join(folder, file);
    if (/(^|\/)examples\.json\.gz$/.test(file)) {
      examples = examples.concat(JSON.parse(gunzipSync(await readFile(path)).toString()) as Example[]);
    } else if (/(^|\/)examples\.json$/.test(file)) {
      examples = examples.concat(JSON.parse(await readFile(path, "utf8")) as Example[]);
    } else if (/\.(ya?ml|json)$/.test(file)) {
      documents.push(...documentsOf(await readFile(path, "utf8"), path));
    }
  }
  if (more.length > 0) examples = [];
  for (const path of more) examples = examples.concat(JSON.parse(await readFile(path, "utf8")) as Example[]);
  return { documents, examples };
}

/** Whether `deno check` finds the output clean, with its own strictest settings. */
async function reportDeno(out: string, files: readonly string[]): Promise<number> {
  const { strict, exactOptionalPropertyTypes, noUncheckedIndexedAccess, noUnusedLocals } = strictOptions;
  const compilerOptions = { strict, exactOptionalPropertyTypes, noUncheckedIndexedAccess, noUnusedLocals };
  await writeFile(join(out, "deno.json"), JSON.stringify({ nodeModulesDir: "manual", compilerOptions }));
  const deno = fileURLToPath(new URL("../../node_modules/.bin/deno", import.meta.url));
  const types = files.filter((file) => !file.endsWith("validation.ts") && !file.endsWith(".validate.ts"));
  const { refused, elsewhere } = await askCommand(out, deno, ["check", "--quiet", ...types], {
    files: new Map(),
  });
  for (const line of elsewhere) console.log(`  not clean: ${line}`);
  console.log(`deno check: ${elsewhere.length === 0 ? "clean" : "not clean"}`);
  return refused.size + elsewhere.length;
}

/** The validators' verdicts beside the API server's. */
function reportValidators(crds: readonly Crd[], examples: readonly Example[]): number {
  const validators = new Map<string, Validator>();
  for (const crd of crds) {
    for (const { name, hasStatus, schema } of crd.versions) {
      const validator = createValidator({
        apiVersion: `${crd.group}/${name}`,
        kind: crd.kind,
        hasStatus,
        schema,
      });
      validators.set(`${crd.plural}.${crd.group} ${name}`, validator);
    }
  }
  let wrong = 0;
  let alike = 0;
  let refused = 0;
  for (const [index, { crd, version, object, accepted, message, what }] of examples.entries()) {
    const problems = validators.get(`${crd} ${version}`)!(object, { rules: evaluateRule });
    if (!accepted) refused++;
    if (
      !accepted &&
      problems.some((problem) => message?.includes(textOf(problem).slice(0, 60)))
    ) alike++;
    if ((problems.length === 0) === accepted) continue;
    wrong++;
    const ours = problems.length === 0 ? "accepted" : problems.map(textOf).join(", ").slice(0, 300);
    console.log(
      `  validator: ${crd} ${version} #${index} ${what ?? ""}: ${ours}; the API server: ${
        message ?? "accepted"
      }`,
    );
  }
  console.log(
    `validators: ${
      examples.length - wrong
    } agree, ${alike} of ${refused} refusals in the API server's words, ${wrong} wrong`,
  );
  return wrong;
}

/** Prints what is wrong and how much was right; returns the number of wrong verdicts. */
function report(compiler: string, verdict: Verdict, examples: readonly Example[]): number {
  let wrong = verdict.elsewhere.length;
  for (const line of verdict.elsewhere.slice(0, 20)) console.log(`  not clean: ${line}`);
  const counts = { accepted: 0, refused: 0, beyond: 0 };
  for (const [index, { crd, version, accepted, message, what }] of examples.entries()) {
    const refusal = verdict.refused.get(index);
    if (accepted && refusal !== undefined) {
      wrong++;
      console.log(
        `  refused by the type, accepted by the API server: ${crd} ${version} #${index}: ${
          refusal.slice(0, 600)
        }`,
      );
    } else if (!accepted && refusal === undefined && isSayable(message ?? "")) {
      wrong++;
      console.log(
        `  accepted by the type, refused by the API server: ${crd} ${version} #${index} ${
          what ?? ""
        }: ${message}`,
      );
    } else if (accepted) counts.accepted++;
    else if (refusal !== undefined) counts.refused++;
    else counts.beyond++;
  }
  console.log(
    `${compiler}: ${counts.accepted} accepted, ${counts.refused} refused, ${counts.beyond} refused for what no type can say, ${wrong} wrong`,
  );
  return wrong;
}
