/**
 * The process around a manager: signals, exit codes, what it costs.
 * @module
 */

import process from "node:process";
import { CacheSyncError, ConfigurationError, DeadlineError, LeaseLostError } from "../errors.ts";
import { createLogger, type Logger } from "../logger.ts";

/** How a process of this library ends; see {@linkcode exitCodeOf}. */
export const exitCodes = {
  /** Stopped in good order by SIGTERM or SIGINT. */
  stopped: 0,
  /** Any other failure. */
  failed: 1,
  /** Flags, environment or kubeconfig cannot be used. */
  configuration: 2,
  /** The lease was lost: another process leads. */
  leaseLost: 3,
  /** A source did not list in time: the API server, the kind or the permission is missing. */
  cachesNotSynced: 4,
  /** The orderly stop took too long. */
  stopTimeout: 5,
} as const;

/** The exit code for what ended the process. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof ConfigurationError) return exitCodes.configuration;
  if (error instanceof LeaseLostError) return exitCodes.leaseLost;
  if (error instanceof CacheSyncError) return exitCodes.cachesNotSynced;
  if (error instanceof DeadlineError) return exitCodes.stopTimeout;
  return exitCodes.failed;
}

/**
 * Runs an operator as a process: aborts the signal on SIGTERM or SIGINT, prints one line about a failure, and ends with
 * the exit code that says what it was. A second signal ends at once.
 *
 * @example
 * await runProcess(async (signal) => {
 *   const manager = createManager({ rest: await connect(), name: "example" });
 *   await manager.start(signal);
 * });
 */
export async function runProcess(main: (signal: AbortSignal) => Promise<void>, log?: Logger): Promise<void> {
  const logger = log ?? createLogger({ name: "setup" });
  await keepYoungSpaceSmall();
  const stopping = new AbortController();
  const onSignal = (name: NodeJS.Signals) => {
    if (stopping.signal.aborted) process.exit(name === "SIGINT" ? 130 : 143);
    logger.info("Stopping", { signal: name });
    stopping.abort(new Error(`Got ${name}`));
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  let code: number = exitCodes.stopped;
  try {
    await main(stopping.signal);
  } catch (error) {
    if (!(stopping.signal.aborted && error === stopping.signal.reason)) {
      code = exitCodeOf(error);
      logger.error("Ended by an error", error, { exitCode: code });
    }
  }
  // Nothing is left to wait for; a socket or timer somewhere must not keep a stopped operator alive.
  process.exit(code);
}

/**
 * Node lets the space for young objects grow to 128 MB and never gives it back: after a cold start with 10,000 objects
 * 250 MiB were resident. Kept as small as it begins, it was 160, with no more processor time. Deno cannot be told so from
 * within, and has no need of it: 176.
 */
async function keepYoungSpaceSmall(): Promise<void> {
  if ("Deno" in globalThis) return;
  const { setFlagsFromString } = await import("node:v8");
  setFlagsFromString("--semi-space-growth-factor=1");
}

/** What the process costs, under Prometheus' standard names. */
export function processCosts(): { cpuSeconds: number; residentBytes: number } {
  const { user, system } = process.cpuUsage();
  return { cpuSeconds: (user + system) / 1e6, residentBytes: process.memoryUsage.rss() };
}
