/**
 * Measures the generator beside others on any folder of CustomResourceDefinitions.
 *
 *     node bench/codegen/run.ts FOLDER [--others DIR] [--rounds 3]
 *
 * DIR is a folder outside this project in which other generators were installed, as many as wanted: others.ts says
 * which, and how.
 *
 * Each generator reads all files, generates and writes, in a process of its own, or one for each file where its command
 * takes no more; the table has the least of the rounds. Then TypeScript 5 checks what came out, strictly. Times are CPU seconds: they count all threads, and say
 * more than the clock on a machine that does other things too.
 * @module
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { others as commands } from "./others.ts";

/** What one run came to. */
interface Figures {
  cpuSeconds: number;
  memoryMb: number;
}

interface Row {
  name: string;
  generate: Figures;
  megabytes: number;
  checkCpuSeconds: number;
  /** Diagnostics of the strict check. */
  diagnostics: number;
}

const here = fileURLToPath(new URL(".", import.meta.url));
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { others: { type: "string" }, rounds: { type: "string", default: "3" } },
});
const [folder] = positionals;
if (folder === undefined) {
  console.error("Usage: node bench/codegen/run.ts FOLDER [--others DIR] [--rounds 3]");
  process.exit(2);
}
const others = values.others;
const isInstalled = (name: string) => others !== undefined && existsSync(join(others, "node_modules", name));
const names = ["codegen", "openapi-typescript", "openapi-typescript, tuned"]
  .concat(["json-schema-to-typescript", ...Object.keys(commands)].filter(isInstalled));
const rows: Row[] = [];
const flat = await flatCopy(folder);
for (const name of names) {
  rows.push(await measure(name, flat, Number(values.rounds)));
  console.error(`${name}: ${rows.at(-1)!.generate.cpuSeconds.toFixed(2)} s`);
}
await rm(flat, { recursive: true });
console.log(table(rows));

/** All files in one folder: not every generator looks deeper. */
async function flatCopy(folder: string): Promise<string> {
  const flat = await mkdtemp(join(tmpdir(), "codegen-bench-in-"));
  for (const file of await readdir(folder, { recursive: true })) {
    if (/\.ya?ml$/.test(file)) await copyFile(join(folder, file), join(flat, file.replaceAll("/", "_")));
  }
  return flat;
}

async function measure(name: string, folder: string, rounds: number): Promise<Row> {
  const out = await mkdtemp(join(tmpdir(), "codegen-bench-"));
  try {
    const runs: Figures[] = [];
    for (let round = 0; round < rounds; round++) {
      await rm(out, { recursive: true, force: true });
      await mkdir(out);
      runs.push(await generate(name, folder, out));
    }
    if (others !== undefined) await symlink(join(others, "node_modules"), join(out, "node_modules"), "dir");
    const checked = await check(out);
    return {
      name,
      generate: {
        cpuSeconds: Math.min(...runs.map((run) => run.cpuSeconds)),
        memoryMb: Math.min(...runs.map((run) => run.memoryMb)),
      },
      megabytes: await sizeOf(out) / 1e6,
      checkCpuSeconds: checked.cpuSeconds,
      diagnostics: checked.diagnostics,
    };
  } finally {
    await rm(out, { recursive: true, force: true });
  }
}

/** Several processes count together; of memory the largest. */
async function generate(name: string, folder: string, out: string): Promise<Figures> {
  const makeCommands = commands[name];
  if (makeCommands === undefined) {
    return await timed([join(here, "contestant.ts"), name, folder, out, others ?? ""]);
  }
  const files = (await readdir(folder)).sort().map((file) => join(folder, file));
  const sum: Figures = { cpuSeconds: 0, memoryMb: 0 };
  for (const [script, ...args] of makeCommands(files, folder, out)) {
    const one = await timed([join(here, "timed.ts"), join(others!, "node_modules", script!), ...args]);
    sum.cpuSeconds += one.cpuSeconds;
    sum.memoryMb = Math.max(sum.memoryMb, one.memoryMb);
  }
  return sum;
}

/** Runs a script that prints its figures as the last line. */
async function timed(args: readonly string[]): Promise<Figures> {
  const { stdout } = await promisify(execFile)(process.execPath, [...args], { maxBuffer: 1 << 28 });
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as Figures;
}

async function check(out: string): Promise<{ cpuSeconds: number; diagnostics: number }> {
  const compilerOptions = {
    strict: true,
    noEmit: true,
    target: "es2024",
    module: "nodenext",
    lib: ["es2024", "dom"],
    types: [],
    skipLibCheck: true,
    allowImportingTsExtensions: true,
  };
  await writeFile(join(out, "package.json"), '{ "type": "module" }');
  await writeFile(
    join(out, "tsconfig.json"),
    JSON.stringify({ compilerOptions, include: ["**/*.ts"], exclude: ["node_modules"] }),
  );
  const tsc = fileURLToPath(new URL("../../node_modules/typescript/lib/tsc.js", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [
    join(here, "timed.ts"),
    tsc,
    "-p",
    out,
    "--pretty",
    "false",
  ], {
    maxBuffer: 1 << 28,
  });
  const lines = stdout.trim().split("\n");
  return {
    cpuSeconds: (JSON.parse(lines.at(-1)!) as Figures).cpuSeconds,
    diagnostics: lines.filter((line) => line.includes("error TS")).length,
  };
}

async function sizeOf(out: string): Promise<number> {
  let bytes = 0;
  for (const file of await readdir(out, { recursive: true })) {
    if (file.endsWith(".ts") && !file.startsWith("node_modules")) bytes += (await stat(join(out, file))).size;
  }
  return bytes;
}

function table(rows: readonly Row[]): string {
  const plain = rows.find(({ name }) => name === "openapi-typescript")!;
  const lines = rows.map(({ name, generate, megabytes, checkCpuSeconds, diagnostics }) =>
    `| ${
      [
        name,
        generate.cpuSeconds.toFixed(2),
        (generate.cpuSeconds / plain.generate.cpuSeconds).toFixed(2),
        generate.memoryMb.toFixed(0),
        megabytes.toFixed(1),
        checkCpuSeconds.toFixed(2),
        (checkCpuSeconds / plain.checkCpuSeconds).toFixed(2),
        diagnostics,
      ].join(" | ")
    } |`
  );
  return [
    `${cpus().length} CPUs (${cpus()[0]?.model ?? "unknown"}), Node ${process.version}`,
    "",
    "| generator | CPU s | of plain | memory MB | output MB | check CPU s | of plain | diagnostics |",
    "|---|---|---|---|---|---|---|---|",
    ...lines,
  ].join("\n");
}
