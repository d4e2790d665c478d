/**
 * Who takes part: the same job, written on different libraries, each built or installed for the machine it runs on.
 *
 * What is built stays in a folder of its own below the system's temporary one, so that a second run begins at once.
 * @module
 */

import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { dirname, join, resolve } from "node:path";

/** A program to measure. */
export interface Contestant {
  readonly name: string;
  readonly command: string[];
  readonly env?: Record<string, string>;
  /** Many times as slow as the others: one round is enough. */
  readonly isSlow?: boolean;
  /** Fit for 10,000 objects in reasonable time, and not one that another stands for. */
  readonly isLarge?: boolean;
  /** The same with leader election, where it has one: Lease "bench" in the namespace of the benchmark. */
  readonly elected?: string[];
}

/** One that cannot run here, and why. */
export interface Missing {
  readonly name: string;
  readonly reason: string;
}

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const here = join(root, "bench/runtime");
const folder = join(tmpdir(), "bench-runtime");
const run = promisify(execFile);
/** A process of Node stores the text without its types there; later ones load no TypeScript. */
const compileCache = join(folder, "node-compile-cache");

/** Deno as it is to be run with little memory, see docs/runtime.md. */
const deno = ["deno", "run", "-A", "--no-check", "--v8-flags=--max-semi-space-size=4"];

/** Each with what makes its command ready. */
const all: (Omit<Contestant, "command"> & { prepare(): Promise<string[]> })[] = [
  {
    name: "this runtime, Deno",
    isLarge: true,
    prepare: () => ready([...deno, join(root, "examples/config-map.ts")]),
    elected: [...deno, join(here, "elected.ts")],
  },
  {
    name: "this runtime, Node",
    prepare: () => compiled(["node", join(root, "examples/config-map.ts")]),
    elected: ["node", join(here, "elected.ts")],
    env: { NODE_COMPILE_CACHE: compileCache },
  },
  {
    name: "this runtime, Node, bundled",
    isLarge: true,
    prepare: async () => ["node", await bundle("examples/config-map.ts")],
  },
  {
    name: "controller-runtime, Go",
    isLarge: true,
    elected: [join(folder, "controller-runtime"), "-lease", "bench"],
    prepare: async () => {
      const binary = join(folder, "controller-runtime");
      await run("go", ["build", "-o", binary, "."], { cwd: join(here, "controller-runtime") });
      return [binary];
    },
  },
  {
    name: "kube-rs, Rust",
    isLarge: true,
    prepare: async () => {
      const target = join(folder, "kube-rs");
      const args = ["build", "--release", "--locked", "--quiet", "--target-dir", target];
      await run("cargo", args, { cwd: join(here, "kube-rs") });
      return [join(target, "release/kube-rs")];
    },
  },
  {
    name: "kopf, Python",
    isSlow: true,
    prepare: async () => {
      const venv = join(folder, "kopf");
      const requirements = join(here, "kopf/requirements.txt");
      await run("python3", ["-m", "venv", venv]);
      await run(join(venv, "bin/pip"), ["install", "--quiet", "--requirement", requirements]);
      return [join(venv, "bin/kopf"), "run", "--quiet", "--all-namespaces", join(here, "kopf/main.py")];
    },
  },
  {
    name: "client-node informer, Deno",
    isSlow: true,
    prepare: () => ready([...deno, join(here, "client_node.ts")]),
  },
  {
    name: "client-node informer, Node",
    isSlow: true,
    prepare: () => ready(["node", join(here, "client_node.ts")]),
  },
];

/**
 * Makes everybody ready who can run on this machine. Building kube-rs takes some minutes the first time.
 *
 * @param only parts of names; empty: everybody
 */
export async function contestants(only: string[]): Promise<{ able: Contestant[]; missing: Missing[] }> {
  const able: Contestant[] = [];
  const missing: Missing[] = [];
  await mkdir(folder, { recursive: true });
  for (const { prepare, ...more } of all) {
    if (only.length > 0 && !only.some((text) => more.name.includes(text))) continue;
    try {
      console.error(`making ready: ${more.name}`);
      able.push({ ...more, command: await prepare() });
    } catch (error) {
      missing.push({ name: more.name, reason: (error as Error).message.split("\n")[0]! });
    }
  }
  return { able, missing };
}

/** A program of ours as one JavaScript file, as in an image. */
export async function bundle(source: string): Promise<string> {
  const out = join(folder, `${source.replaceAll("/", "-")}.js`);
  const { build, stop } = await import("esbuild");
  await build({
    entryPoints: [join(root, source)],
    outfile: out,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "es2024",
    external: ["@kubernetes/client-node"],
    logLevel: "error",
  });
  await stop();
  return out;
}

/** The same once its text is in the cache: a first process reads all of it, finds no API server and ends. */
async function compiled(command: string[]): Promise<string[]> {
  const [program, ...args] = command;
  const env = { ...process.env, NODE_COMPILE_CACHE: compileCache, KUBECONFIG: join(folder, "no-kubeconfig") };
  await run(program!, args, { env }).catch(() => {});
  return command;
}

/** @throws {Error} when the program is not there */
async function ready(command: string[]): Promise<string[]> {
  await run(command[0]!, ["--version"], { env: process.env });
  return command;
}
