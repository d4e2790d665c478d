/**
 * Log lines as JSON, one object a line, with the field names that controller-runtime's zap encoder uses
 * (`level`, `ts`, `logger`, `msg`), so that a cluster's log pipeline needs no second rule.
 * @module
 */

import { ApiError, textOf } from "./errors.ts";
import type { Clock, LineSink } from "./ports.ts";
import { standardError, systemClock } from "./platform/clock.ts";

/** How much a line matters. */
export type Level = "debug" | "info" | "warn" | "error";

/** Further fields of a line. */
export type Fields = Record<string, unknown>;

const order: Record<Level, number> = { debug: 0, info: 1, warn: 2, error: 3 };

/** Writes log lines. */
export interface Logger {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  /** @param error its message becomes the field `error`, its `cause` chain `cause` */
  error(message: string, error?: unknown, fields?: Fields): void;
  /** A logger that adds these fields to each line. */
  with(fields: Fields): Logger;
  /** A logger of that name with this one's fields. */
  named(name: string): Logger;
}

/** What a logger may be told. */
export interface LoggerOptions {
  /** The `logger` field: `controller_database`. */
  name?: string;
  /** Lines below it are left out; default "info". */
  level?: Level;
  fields?: Fields;
  sink?: LineSink;
  clock?: Clock;
}

/**
 * Makes a logger that writes JSON lines.
 *
 * @example
 * createLogger({ name: "setup" }).info("Starting", { version: "1.0" });
 * // {"level":"info","ts":"2026-11-23T16:00:00.000Z","logger":"setup","msg":"Starting","version":"1.0"}
 */
export function createLogger(options: LoggerOptions = {}): Logger {
  const { name, level = "info", fields = {}, sink = standardError, clock = systemClock } = options;
  const write = (at: Level, message: string, more: Fields | undefined) => {
    if (order[at] < order[level]) return;
    const ts = new Date(clock.now()).toISOString();
    const own = { level: at, ts, ...(name ? { logger: name } : {}), msg: message };
    // First in the line, and whatever fields of these names say.
    sink(toLine({ ...own, ...fields, ...more, ...own }));
  };
  return {
    debug: (message, more) => write("debug", message, more),
    info: (message, more) => write("info", message, more),
    warn: (message, more) => write("warn", message, more),
    error: (message, error, more) => write("error", message, { ...describeError(error), ...more }),
    with: (more) => createLogger({ ...options, fields: { ...fields, ...more } }),
    named: (other) => createLogger({ ...options, name: other }),
  };
}

/** A line must come out whatever is in it: a circle or a BigInt in a field must not stop a reconcile. */
function toLine(entry: Fields): string {
  try {
    return JSON.stringify(entry);
  } catch {
    const flat = Object.entries(entry).map(([name, value]) => [
      name,
      typeof value === "object" || typeof value === "bigint" ? textOf(value) : value,
    ]);
    return JSON.stringify(Object.fromEntries(flat));
  }
}

/** What a line says of an error: message, reason, and the messages of its causes; no stack, no response body. */
export function describeError(error: unknown): Fields {
  if (error === undefined) return {};
  if (!(error instanceof Error)) return { error: textOf(error) };
  const causes: string[] = [];
  for (let cause = error.cause, depth = 0; cause !== undefined && depth < 5; depth++) {
    causes.push(cause instanceof Error ? cause.message : textOf(cause));
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return {
    error: error.message || error.name,
    ...(error instanceof ApiError && error.reason ? { reason: error.reason } : {}),
    ...(causes.length > 0 ? { cause: causes.join(": ") } : {}),
  };
}
