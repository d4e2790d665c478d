/**
 * The frame of a program that people call: flags, `--help`, environment, and one clear line when it fails.
 *
 * Signals and exit codes are those of {@linkcode runProcess}; a wrong call ends with 2 like a wrong configuration.
 * @module
 */

import process from "node:process";
import { parseArgs } from "node:util";
import { messageOf } from "../errors.ts";
import { createLogger } from "../logger.ts";
import { readVariable } from "./environment.ts";
import { exitCodes, runProcess } from "./process.ts";

/** A flag that takes a value, a repeatable one, or a switch. */
export interface Flag {
  type: "string" | "boolean";
  multiple?: boolean;
}

/** What a program is called with. */
export interface Invocation {
  /** Values of the flags, by name. */
  readonly flags: Record<string, string | boolean | (string | boolean)[] | undefined>;
  /** A variable of the environment; one that is not set, or that Deno may not read, is `undefined`. */
  readonly env: (name: string) => string | undefined;
  /** Aborted by SIGTERM or SIGINT. */
  readonly signal: AbortSignal;
}

/**
 * Runs a program to its end, and the process with it.
 *
 * @param usage text of `--help`
 * @param flags what it may be called with; `--help` and `-h` are added
 */
export async function runCommand(
  usage: string,
  flags: Record<string, Flag>,
  main: (invocation: Invocation) => Promise<void>,
): Promise<void> {
  const options = { ...flags, help: { type: "boolean" as const, short: "h" } };
  let values: Invocation["flags"];
  try {
    values =
      parseArgs({ args: process.argv.slice(2), options, strict: true, allowPositionals: false }).values;
  } catch (cause) {
    console.error(`error: ${messageOf(cause).replace(/\. To specify a positional.*$/s, "")}; see --help`);
    process.exit(exitCodes.configuration);
  }
  if (values.help) {
    console.log(usage);
    return;
  }
  const log = createLogger({ sink: (line) => console.error(plain(JSON.parse(line))) });
  await runProcess((signal) => main({ flags: values, env: readVariable, signal }), log);
}

/** A log line as people read it on a terminal. */
function plain(line: { msg?: string; error?: string; cause?: string; signal?: string }): string {
  if (line.error === undefined) return `${line.msg}${line.signal ? ` (${line.signal})` : ""}`;
  return `error: ${line.error}${line.cause && !line.error.includes(line.cause) ? `: ${line.cause}` : ""}`;
}
