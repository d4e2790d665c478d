/**
 * How a test starts another program of this project in the runtime that it is in itself.
 * @module
 */
import process from "node:process";
import { fileURLToPath } from "node:url";

/** `deno task` finds packages without node_modules. */
const alone = process.env.DENO_NO_PACKAGE_JSON
  ? [
    "--node-modules-dir=none",
    `--lock=${fileURLToPath(new URL("../deno.lock", import.meta.url))}`,
    "--frozen",
  ]
  : [];

/** What comes between process.execPath and the program. */
export const runtimeFlags: readonly string[] = "Deno" in globalThis
  ? ["run", "-A", ...alone]
  : process.execArgv;
