/**
 * The frame of a program that people call: flags, `--help`, environment, and one clear line when it fails.
 *
 * Signals and exit codes are those of {@linkcode runProcess}; a wrong call ends with 2 like a wrong configuration.
 * @module
 */

import process from "node:process";
import { parseArgs } from "node:util";
import { ConfigurationError, messageOf } from "../errors.ts";
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

/** What options are read from. */
type Options = Pick<Invocation, "flags" | "env">;

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

/** The values of a flag, else those of a variable, separated by commas; none when neither says anything. */
export function flagList({ flags, env }: Options, flag: string, variable: string): string[] {
  const listed = [flags[flag] ?? []].flat().map(String);
  return listed.length > 0
    ? listed
    : (env(variable) ?? "").split(",").map((value) => value.trim()).filter(Boolean);
}

/** The value of a flag, else that of a variable; an empty one is none. */
export function flagText({ flags, env }: Options, flag: string, variable: string): string | undefined {
  return flags[flag]?.toString() ?? (env(variable) || undefined);
}

/**
 * The value of a flag as a whole number from 1 to 1000.
 *
 * @throws {ConfigurationError} when it is none
 */
export function flagCount({ flags }: Pick<Invocation, "flags">, flag: string, otherwise: number): number {
  const count = Number(flags[flag] ?? otherwise);
  if (Number.isInteger(count) && count >= 1 && count <= 1000) return count;
  throw new ConfigurationError(`--${flag}: expected a whole number from 1 to 1000, got "${flags[flag]}"`);
}

/**
 * An address to listen at, `[HOST:]PORT`, a host of IPv6 in brackets or not, of a flag or a variable; nowhere when neither says anything.
 *
 * @throws {ConfigurationError} when it is none
 */
export function flagAddress(
  options: Options,
  flag: string,
  variable: string,
): { host?: string; port: number } | false {
  const listen = flagText(options, flag, variable);
  if (listen === undefined) return false;
  const [, host, port] = /^(?:\[?(.*?)\]?:)?(\d{1,5})$/.exec(listen) ?? [];
  if (port === undefined || Number(port) > 65535) {
    throw new ConfigurationError(`--${flag}: expected [HOST:]PORT, got "${listen}"`);
  }
  return { ...(host ? { host } : {}), port: Number(port) };
}

/** A log line as people read it on a terminal. */
function plain(line: { msg?: string; error?: string; cause?: string; signal?: string }): string {
  if (line.error === undefined) return `${line.msg}${line.signal ? ` (${line.signal})` : ""}`;
  return `error: ${line.error}${line.cause && !line.error.includes(line.cause) ? `: ${line.cause}` : ""}`;
}
