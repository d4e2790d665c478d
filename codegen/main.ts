#!/usr/bin/env -S node
/**
 * The command `codegen`: see {@link help}.
 * @module
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { readCluster } from "./cluster.ts";
import { isCrd } from "./crd.ts";
import { compareOutputs } from "./drift.ts";
import type { KindAddress } from "./drift_model.ts";
import { InputError } from "./errors.ts";
import { generate, isNamed, type SourceDocument } from "./generate.ts";
import { isObject, member } from "./json.ts";
import { keepEarlier, readOutput, writeOutput } from "./output.ts";
import { Progress } from "./progress.ts";
import { nameOf, readSources } from "./sources.ts";

const help = `Usage: codegen [options] INPUT...

Generates TypeScript types and typed clients from CustomResourceDefinitions and the API server's OpenAPI documents.

INPUT is a file, a folder (searched at any depth for .yaml, .yml, .json), a glob, an http(s) URL, or - for standard
input. Documents that are neither CustomResourceDefinitions nor OpenAPI v3 are skipped and counted.

  --out FOLDER        where the output goes, replaced as a whole or not at all (default: types)
  --check             write nothing; say what has changed in the API since the output was made, exit 1 if anything has;
                      with --group or --crd: in what they name, whatever else the output holds
  --keep-going        write the rest when an input cannot be read; the exit code is 2 nevertheless

  --kind KIND         take only this built-in kind from OpenAPI documents, as Pod or apps/v1/StatefulSet; repeatable
  --group GROUP       take only CustomResourceDefinitions of this group; repeatable
  --crd NAME          take only the CustomResourceDefinition of this name (plural.group) or kind; repeatable;
                      with --group: what either of them names

  --from-cluster      read the cluster's CustomResourceDefinitions, and the OpenAPI documents of each --kind
  --kubeconfig FILE   the cluster's kubeconfig (default: $KUBECONFIG, else ~/.kube/config)
  --context NAME      the context in it (default: the current one)

  --validator         add a validator for untrusted input to each module (needs the npm package ajv)
  --no-client         leave out the typed clients
  --quiet             say nothing when all is well
  --help              this text

Exit codes: 0 done, or nothing has changed; 1 --check found a change; 2 an error.
`;

const options = {
  "out": { type: "string", default: "types" },
  "check": { type: "boolean", default: false },
  "keep-going": { type: "boolean", default: false },
  "kind": { type: "string", multiple: true },
  "group": { type: "string", multiple: true },
  "crd": { type: "string", multiple: true },
  "from-cluster": { type: "boolean", default: false },
  "kubeconfig": { type: "string" },
  "context": { type: "string" },
  "validator": { type: "boolean", default: false },
  "no-client": { type: "boolean", default: false },
  "quiet": { type: "boolean", default: false },
  "help": { type: "boolean", short: "h", default: false },
} as const;

/** Runs the command and returns its exit code. */
export async function main(args: readonly string[]): Promise<number> {
  try {
    return await run(args);
  } catch (error) {
    // An exit code of 1 would say that something has changed.
    const text = error instanceof InputError ? error.message : (error as Error).stack ?? String(error);
    for (const line of text.split("\n")) console.error(`codegen: ${line}`);
    return 2;
  }
}

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args);
  if (values.help) {
    console.log(help.trimEnd());
    return 0;
  }
  if (positionals.length === 0 && !values["from-cluster"]) {
    throw new InputError(
      "No input: name a file, a folder, a URL, - for standard input, or --from-cluster; see --help",
    );
  }
  if (values.out === "") throw new InputError("--out must name a folder, found an empty text");
  for (const option of ["kubeconfig", "context"] as const) {
    if (values[option] !== undefined && !values["from-cluster"]) {
      throw new InputError(`--${option} says which cluster, and needs --from-cluster`);
    }
  }
  // For a person who waits; a log of CI has no use for it.
  const isWatched = process.stderr.isTTY && !values.quiet;
  const progress = new Progress(isWatched ? (what) => console.error(`codegen: ${what}`) : undefined);
  try {
    return await generateFrom(positionals, values, progress);
  } finally {
    progress.end();
  }
}

async function generateFrom(
  positionals: readonly string[],
  values: ReturnType<typeof parse>["values"],
  progress: Progress,
): Promise<number> {
  const sources = await readSources(positionals, { progress: progress.begin });
  for (const { message } of sources.failures) console.error(`codegen: ${message}`);
  const documents = sources.documents;
  if (values["from-cluster"]) {
    documents.push(
      ...await readCluster({
        ...(values.kubeconfig !== undefined && { kubeconfig: values.kubeconfig }),
        ...(values.context !== undefined && { context: values.context }),
        ...(values.kind !== undefined && { kinds: values.kind }),
        progress: progress.begin,
      }),
    );
  }
  const keepGoing = values["keep-going"];
  const wanted = documents.filter((document) => isWanted(document, values.group, values.crd));
  for (const group of values.group ?? []) {
    if (wanted.some((document) => isCrd(document.value) && isWanted(document, [group], undefined))) continue;
    throw new InputError(
      `Cannot generate group ${JSON.stringify(group)}: no CustomResourceDefinition is of that group`,
    );
  }
  for (const name of values.crd ?? []) {
    if (wanted.some((document) => isCrd(document.value) && isWanted(document, undefined, [name]))) continue;
    throw new InputError(
      `Cannot generate ${JSON.stringify(name)}: no CustomResourceDefinition has that name or kind`,
    );
  }
  progress.begin(`reading the schemas of ${count(wanted.length, "document")}`);
  const generated = generate(wanted, {
    ...(values.kind !== undefined && { kinds: values.kind }),
    client: !values["no-client"],
    validator: values.validator,
    keepGoing: true,
    progress: (module, number, of) => progress.begin(`generating ${module} (${number} of ${of})`),
  });
  const failures = [...sources.failures, ...generated.failures];
  for (const { message } of generated.failures) console.error(`codegen: ${message}`);
  if (failures.length > 0 && !keepGoing) {
    const rest = generated.crds.length === 0
      ? ""
      : `; ${count(generated.crds.length, "other")} could be (--keep-going)`;
    console.error(
      `codegen: ${count(failures.length, "input")} could not be generated${rest}; nothing was written`,
    );
    return 2;
  }
  if (failures.length > 0) {
    for (const [path, kinds] of keepEarlier(await readOutput(values.out) ?? new Map(), generated.files)) {
      console.error(
        `codegen: ${values.out}/${path} stays as it was, all of it: ${
          kinds.join(", ")
        } could not be generated again`,
      );
    }
  }
  if (generated.kinds === 0) {
    const read = [...positionals.map(nameOf), ...(values["from-cluster"] ? ["the cluster"] : [])];
    throw new InputError(
      `Nothing to generate: no CustomResourceDefinition and no kind in ${
        count(documents.length, "document")
      }`,
      [read.join(", ")],
    );
  }
  const summary = `${count(generated.kinds, "kind")} in ${count(generated.files.size, "file")}` +
    (generated.skipped > 0
      ? `, ${count(generated.skipped, "document")} skipped (no CustomResourceDefinition)`
      : "");
  if (values.check) {
    progress.begin(`comparing with ${values.out}`);
    const before = await readOutput(values.out) ?? new Map<string, string>();
    const differences = compareOutputs(before, generated.files, meant(values));
    for (const line of differences) console.log(line);
    if (differences.length > 0) {
      console.error(`codegen: ${values.out} is not what the input gives; generate it again without --check`);
      return failures.length > 0 ? 2 : 1;
    }
    if (!values.quiet) console.log(`${values.out} is up to date: ${summary}`);
  } else {
    progress.begin(`writing ${values.out}`);
    await writeOutput(values.out, generated.files);
    if (!values.quiet) console.log(`${values.out}: ${summary}`);
  }
  return failures.length > 0 ? 2 : 0;
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    throw new InputError(`${(error as Error).message.split(". ")[0]}; see --help`, [], { cause: error });
  }
}

function isWanted(
  { value }: SourceDocument,
  groups: readonly string[] | undefined,
  names: readonly string[] | undefined,
): boolean {
  if (!isCrd(value) || groups === undefined && names === undefined) return true;
  const spec = member(value, "spec");
  const metadata = member(value, "metadata");
  const kinds = isObject(spec) ? member(spec, "names") : undefined;
  const group = isObject(spec) ? member(spec, "group") : undefined;
  const name = isObject(metadata) ? member(metadata, "name") : undefined;
  const kind = isObject(kinds) ? member(kinds, "kind") : undefined;
  return groups?.some((one) => one === group) === true ||
    names?.some((one) => one === name || one === kind) === true;
}

/** What --check is about: with --group or --crd that alone, and each --kind, whatever else the output holds. */
function meant(
  { group: groups, crd: names, kind: kinds }: { group?: string[]; crd?: string[]; kind?: string[] },
): (kind: KindAddress) => boolean {
  if (groups === undefined && names === undefined) return () => true;
  return (one) =>
    groups?.includes(one.group) === true ||
    names?.some((name) => name === one.kind || name === `${one.plural}.${one.group}`) === true ||
    kinds?.some((name) => isNamed(one, name)) === true;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
