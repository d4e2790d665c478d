/**
 * The benchmarks; results are in docs/benchmarks.md, and each says more about its flags:
 *
 *     npm run bench -- runtime     the runtime beside others: time, processor, writes, memory (bench/runtime/compare.ts)
 *     npm run bench -- recovery    how soon it works again after faults (bench/runtime/recovery.ts)
 *     npm run bench -- scale       what dist/operator.js needs for many Databases (bench/operator/scale.ts)
 *     npm run bench -- start       how soon dist/operator.js asks for its first list (bench/operator/start.ts)
 *
 * Without a word: runtime. All but the last are on the API server that KUBECONFIG names, which must have no other
 * Databases. That of the generator is a program of its own: bench/codegen/run.ts.
 * @module
 */

import process from "node:process";

const benchmarks: Record<string, () => Promise<{ main(args: string[]): Promise<void> }>> = {
  runtime: () => import("./runtime/compare.ts"),
  recovery: () => import("./runtime/recovery.ts"),
  scale: () => import("./operator/scale.ts"),
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
  console.error(`There is no benchmark "${name}": there are ${Object.keys(benchmarks).join(", ")}`);
  process.exitCode = 2;
}
