/**
 * The benchmarks, each on the API server that KUBECONFIG names, which must have no other Databases:
 *
 *     npm run bench -- runtime     the runtime beside others: time, processor, writes, memory (bench/runtime/compare.ts)
 *     npm run bench -- recovery    how soon it works again after faults (bench/runtime/recovery.ts)
 *
 * Without a word: runtime. Each says more about its flags; results are in docs/benchmarks.md. That of the generator needs
 * no API server: bench/codegen/run.ts.
 * @module
 */

import process from "node:process";

const benchmarks: Record<string, () => Promise<{ main(args: string[]): Promise<void> }>> = {
  runtime: () => import("./runtime/compare.ts"),
  recovery: () => import("./runtime/recovery.ts"),
  start: () => import("./operator/start.ts"),
};

const args = process.argv.slice(2);
const name = args[0] === undefined || args[0].startsWith("-") ? "runtime" : args.shift()!;
const benchmark = Object.hasOwn(benchmarks, name) ? benchmarks[name] : undefined;
if (benchmark) {
  try {
    await (await benchmark()).main(args);
  } catch (error) {
    // A mistyped flag; anything else is worth its stack.
    if (!String((error as NodeJS.ErrnoException).code).startsWith("ERR_PARSE_ARGS")) throw error;
    console.error(`bench: ${(error as Error).message}`);
    process.exitCode = 2;
  }
} else {
  console.error(`There is no benchmark "${name}": there are ${Object.keys(benchmarks).join(" and ")}`);
  process.exitCode = 2;
}
