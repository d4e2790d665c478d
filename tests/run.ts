/**
 * Runs the uvu tests, in this runtime: `node tests/run.ts`, `deno run -A tests/run.ts`; with `--both` on Node and Deno.
 *
 * Without arguments: all fast tests (unit and embedded API), every `*.test.ts` below tests/. With `--exhaustive`: those
 * that try each of many cases or install something, `*.exhaustive.test.ts`. With `--api`: the tests that ask a real API
 * server named by KUBECONFIG, every `*.test.api.ts`. With `--kubectl`: those that call a kubectl on the PATH, every
 * `*.test.kubectl.ts`. Other arguments are folders or files. The exit code is 0 when all
 * passed; the last line is `N passed, N failed`. All tests of one of the first two kinds run in several processes: as
 * many at a time as there are processors, and twice as many of those that mostly wait.
 *
 * Beyond uvu's own runner, each of these is a failure: a file that registers no test, a skipped test, a hook
 * that throws, a run that hangs (uvu has no timeout) or that leaves a timer, socket or stream open.
 * @module
 */

import { spawn } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";

import { runtimeFlags } from "./this_runtime.ts";

/** What uvu keeps for its runners: a name, then one function per suite. Source: uvu/run. */
type UvuSuite = () => Promise<[errors: unknown, passed: number, skipped: number, total: number]>;
type UvuGlobals = { UVU_DEFER: number; UVU_INDEX: number; UVU_QUEUE: [string, ...UvuSuite[]][] };

const root = dirname(fileURLToPath(import.meta.url));

/** What the names of a kind of test end with, and how long all of its files together may take. */
const kinds = {
  fast: { suffix: ".test.ts", deadlineMs: 5 * 60_000 },
  exhaustive: { suffix: ".exhaustive.test.ts", deadlineMs: 10 * 60_000 },
  api: { suffix: ".test.api.ts", deadlineMs: 30 * 60_000 },
  kubectl: { suffix: ".test.kubectl.ts", deadlineMs: 5 * 60_000 },
} as const;

/** Where Node keeps what it made of TypeScript: read again by every process, it is made once. */
const compiled = join(root, "../node_modules/.cache/compiled");

/** Without `npm ci` the tests of what is npm's (`*.npm.*.ts`) cannot run. */
const hasNpm = existsSync(join(root, "../node_modules/.bin"));

function testFiles(path: string, kind: keyof typeof kinds): string[] {
  if (path.endsWith(".ts")) return [path];
  return readdirSync(path, { recursive: true })
    .map(String)
    .filter((name) => name.endsWith(kinds[kind].suffix) && (hasNpm || !name.includes(".npm.")))
    .filter((name) => kind !== "fast" || !name.endsWith(kinds.exhaustive.suffix))
    .sort()
    .map((name) => join(path, name));
}

const named = (...names: string[]) => names.map((name) => join(root, name));

/** The fast ones that take long and mostly wait, for leases to run out or pods to start: they take a processor from nobody. */
const waiting = named(
  "conformance/leaders.test.ts",
  "operator/operator.test.ts",
  "conformance/runtime.test.ts",
  "operator/backups.test.ts",
);

/** A folder with less source than this is no process of its own: what they share is loaded and compiled once. */
const SMALL_BYTES = 60_000;

/** The files of each process, those that take longest first: those that wait alone, the others by folder. */
function shared(kind: "fast" | "exhaustive"): string[][] {
  if (kind === "exhaustive") return testFiles(root, kind).map((file) => [file]);
  const size = (files: readonly string[]) => files.reduce((sum, file) => sum + statSync(file).size, 0);
  const folders = readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => testFiles(join(root, name), kind).filter((file) => !waiting.includes(file)))
    .sort((a, b) => size(b) - size(a));
  const isSmall = (files: string[]) => size(files) < SMALL_BYTES;
  return [
    ...waiting.map((file) => [file]),
    ...folders.filter((files) => !isSmall(files)),
    folders.filter(isSmall).flat(),
    // Without files a process would run them all.
  ].filter((files) => files.length > 0);
}

/** A program and its arguments. */
type Command = readonly [program: string, ...args: string[]];

const thisRuntime: Command = [process.execPath, ...runtimeFlags];
const bothRuntimes: readonly Command[] = [["node"], ["deno", "run", "-A"]];

/** Runs all tests of a kind in several processes; prints what each said when it ends. */
async function runAll(kind: "fast" | "exhaustive", runtimes: readonly Command[]): Promise<boolean> {
  const startedMs = Date.now();
  const jobs = shared(kind).flatMap((files) => runtimes.map((runtime) => ({ runtime, files })));
  let passed = 0, failed = 0;
  const next = async (left: typeof jobs): Promise<void> => {
    const job = left.shift();
    if (job === undefined) return;
    const { runtime, files } = job;
    const { code, output } = await run([
      ...runtime,
      fileURLToPath(import.meta.url),
      ...(kind === "exhaustive" ? ["--exhaustive"] : []),
      ...files,
    ]);
    console.log(output.trimEnd());
    const [, p = "0", f = "0"] = /^(\d+) passed, (\d+) failed$/m.exec(output) ?? [];
    passed += Number(p);
    // One that counted nothing, or says all is well and exits otherwise, has failed.
    failed += Number(f) + (code !== 0 && f === "0" ? 1 : 0);
    await next(left);
  };
  const waits = ({ files }: { files: string[] }) => files.every((file) => waiting.includes(file));
  const places = availableParallelism();
  const lanes = [
    { left: jobs.filter(waits), places: 2 * places },
    { left: jobs.filter((job) => !waits(job)), places },
  ];
  await Promise.all(
    lanes.flatMap(({ left, places }) => Array.from({ length: places }, () => next(left))),
  );
  if (!hasNpm) console.log("left out, as they need npm ci: *.npm.*.ts");
  console.log(`all in ${((Date.now() - startedMs) / 1000).toFixed(1)} s`);
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 && passed > 0;
}

function run([program, ...args]: Command): Promise<{ code: number | null; output: string }> {
  return new Promise((settle) => {
    const child = spawn(program, args, { env: { ...process.env, NODE_COMPILE_CACHE: compiled } });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => output += text);
    child.stderr.setEncoding("utf8").on("data", (text: string) => output += text);
    child.on("error", (error) => settle({ code: 1, output: `${output}\n${error.message}` }));
    child.on("close", (code) => settle({ code, output }));
  });
}

async function main(args: string[]): Promise<boolean> {
  const known = ["--exhaustive", "--api", "--kubectl", "--both"];
  const unknown = args.find((arg) => arg.startsWith("-") && !known.includes(arg));
  if (unknown) throw new Error(`Unknown option "${unknown}": known are ${known.join(", ")}`);
  const isAll = args.every((arg) => arg === "--exhaustive" || arg === "--both");
  if (isAll) {
    const runtimes = args.includes("--both") ? bothRuntimes : [thisRuntime];
    return await runAll(args.includes("--exhaustive") ? "exhaustive" : "fast", runtimes);
  }
  if (args.includes("--both")) {
    throw new Error("--both is for all tests, not for --api, --kubectl, folders and files");
  }
  const kind = (["exhaustive", "api", "kubectl"] as const).find((kind) => args.includes(`--${kind}`)) ??
    "fast";
  if (kind === "api" && !process.env.KUBECONFIG) {
    throw new Error("KUBECONFIG is not set: it names the API server to test against");
  }
  const paths = args.filter((arg) => !arg.startsWith("-")).map((arg) => resolve(arg));
  const files = (paths.length > 0 ? paths : [root])
    .flatMap((path) => testFiles(path, kind));
  if (files.length === 0) throw new Error(`No test files below ${paths.join(", ") || root}`);

  const startedMs = Date.now();
  let current = "";
  const watchdog = setTimeout(() => {
    console.error(`\nThe tests did not end in time, in ${current}`);
    process.exit(1);
  }, kinds[kind].deadlineMs);

  const globals = globalThis as unknown as UvuGlobals;
  globals.UVU_DEFER = 1;
  const { exec } = await import("uvu");
  let passed = 0, failed = 0;
  for (const [index, file] of files.entries()) {
    current = relative(root, file);
    globals.UVU_INDEX = index;
    globals.UVU_QUEUE.push([current]);
    try {
      await import(pathToFileURL(file).href);
    } catch (error) {
      console.error(`${current} cannot be loaded: ${error instanceof Error ? error.stack : error}`);
      failed++;
      continue;
    }
    const [name, ...suites] = globals.UVU_QUEUE[index]!;
    if (suites.length === 0) {
      console.error(`${name} registers no test: is test.run() missing?`);
      failed++;
    }
    globals.UVU_QUEUE[index] = [
      name,
      ...suites.map((suite): UvuSuite => async () => {
        current = name;
        const result = await suite();
        passed += result[1];
        failed += result[3] - result[1] + result[2] + (result[3] + result[2] === 0 ? 1 : 0);
        return result;
      }),
    ];
  }
  await exec();
  clearTimeout(watchdog);
  console.log(`in ${((Date.now() - startedMs) / 1000).toFixed(1)} s on ${runtime()}`);
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 && passed > 0;
}

function runtime(): string {
  return "Deno" in globalThis ? `Deno ${process.versions.deno}` : `Node ${process.versions.node}`;
}

try {
  process.exitCode = await main(process.argv.slice(2)) ? 0 : 1;
  const leaked = setTimeout(() => {
    console.error(
      "A test left a timer, socket or stream open: the process did not end by itself within 10 s",
    );
    process.exit(1);
  }, 10_000);
  leaked.unref();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
