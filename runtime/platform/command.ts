/**
 * The frame of a program: flags, environment, signals, exit code, and one clear line when it fails.
 *
 * Exit codes: 0 after a clean stop or `--help`; 1 when it failed (lost lease, unreachable API server, caches that
 * did not fill); 2 when it was called wrongly.
 * @module
 */

import process from "node:process";
import { parseArgs } from "node:util";
import { ConfigurationError, messageOf } from "../errors.ts";

/** A flag that takes a value, a repeatable one, or a switch. */
export interface Flag {
  type: "string" | "boolean";
  multiple?: boolean;
  default?: string | boolean | string[];
}

/** What a program is called with. */
export interface Invocation {
  /** Values of the flags, by name. */
  readonly flags: Record<string, string | boolean | (string | boolean)[] | undefined>;
  /** Variables of the environment, by name; one that may not be read is absent. */
  readonly env: (name: string) => string | undefined;
  /** Aborted by the first SIGTERM or SIGINT; a second one ends the process at once, with exit code 130. */
  readonly signal: AbortSignal;
}

/**
 * Runs a program to its end and sets the exit code.
 *
 * @param usage text of `--help`
 * @param flags what it may be called with; `--help` is added
 */
export async function runCommand(
  usage: string,
  flags: Record<string, Flag>,
  main: (invocation: Invocation) => Promise<void>,
): Promise<void> {
  const stop = new AbortController();
  const onSignal = (name: string) => {
    if (stop.signal.aborted) process.exit(130);
    stop.abort(new Error(`Stopped by ${name}`));
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  try {
    const values = parseFlags(flags);
    if (values.help) return console.log(usage);
    await main({ flags: values, env: readVariable, signal: stop.signal });
    process.exitCode = 0;
  } catch (error) {
    console.error(`error: ${describe(error)}`);
    process.exitCode = error instanceof UsageError || error instanceof ConfigurationError ? 2 : 1;
  } finally {
    process.off("SIGTERM", onSignal);
    process.off("SIGINT", onSignal);
  }
}

class UsageError extends Error {}

function parseFlags(flags: Record<string, Flag>): Invocation["flags"] {
  const options = { ...flags, help: { type: "boolean" as const, short: "h" } };
  try {
    return parseArgs({ args: process.argv.slice(2), options, strict: true, allowPositionals: false }).values;
  } catch (cause) {
    throw new UsageError(`${messageOf(cause).replace(/\.? To specify a positional.*$/s, "")}; see --help`, {
      cause,
    });
  }
}

/** Deno refuses a variable that was not allowed by name: to the program it is one that is not set. */
function readVariable(name: string): string | undefined {
  try {
    return process.env[name];
  } catch {
    return undefined;
  }
}

/** The message and those of its causes, in one line. */
function describe(error: unknown): string {
  const messages: string[] = [];
  for (let at: unknown = error, depth = 0; at !== undefined && depth < 4; depth++) {
    const text = messageOf(at);
    if (!messages.some((message) => message.includes(text))) messages.push(text);
    at = at instanceof Error ? at.cause : undefined;
  }
  return messages.join(": ");
}
