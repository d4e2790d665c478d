/**
 * Format, lint, types (TypeScript and Deno) and generated files, each a line: `npm run check`, `deno task check`.
 * The exit code is 0 when all hold; the last line is `N passed, N failed`.
 * @module
 */

import { spawn } from "node:child_process";
import { dirname, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const sources = [
  "operator.ts",
  "runtime",
  "embedded",
  "codegen",
  "postgres",
  "types",
  "tests",
  "examples",
  "tools",
  "deploy",
  "bench",
];

/** What is checked, and the command that does. */
const checks: [what: string, command: string, ...args: string[]][] = [
  ["format (deno fmt)", "deno", "fmt", "--check", "--quiet"],
  ["lint (deno lint)", "deno", "lint", "--quiet"],
  ["lint, type-aware (oxlint)", "oxlint", "--type-aware", "--quiet"],
  ["types (tsc)", "tsc", "--project", "."],
  ["types (deno check)", "deno", "check", "--quiet", ...sources],
  ["generated files are up to date (codegen --check)", "npm", "run", "--silent", "codegen", "--", "--check"],
];

/** Runs a tool of node_modules/.bin and resolves to its exit code and output. */
function run(command: string, args: string[]): Promise<{ code: number; output: string }> {
  return new Promise((settle) => {
    const path = [resolve(root, "node_modules/.bin"), process.env.PATH].join(
      process.platform === "win32" ? ";" : ":",
    );
    const child = spawn(command, args, { cwd: root, env: { ...process.env, PATH: path, NO_COLOR: "1" } });
    let output = "";
    child.stdout.on("data", (chunk) => output += chunk);
    child.stderr.on("data", (chunk) => output += chunk);
    child.on("error", (error) => settle({ code: 127, output: `Cannot run ${command}: ${error.message}` }));
    child.on("close", (code) => settle({ code: code ?? 1, output }));
  });
}

let failed = 0;
for (const [what, command, ...args] of checks) {
  const { code, output } = await run(command, args);
  console.log(`${code === 0 ? "ok    " : "FAILED"} ${what}`);
  if (code !== 0) {
    failed++;
    console.log(output.trimEnd());
  }
}
console.log(`${checks.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
