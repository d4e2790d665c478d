/**
 * Where documents come from: files, folders, globs, standard input and URLs. A cluster is in cluster.ts.
 * @module
 */
import { glob, readdir, readFile, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { documentsOf } from "./documents.ts";
import { InputError } from "./errors.ts";
import type { SourceDocument } from "./generate.ts";

/** How to read. */
export interface SourceOptions {
  /** Told what is read next. */
  progress?: (what: string) => void;
  /** Longest wait for a URL: a release page with redirects answers within a few seconds. @default 30_000 */
  urlTimeoutMs?: number;
}

/** What came of reading. */
export interface Sources {
  documents: SourceDocument[];
  /** Inputs that could not be read. */
  failures: InputError[];
}

/**
 * Reads all inputs.
 *
 * @param inputs paths of files and folders (searched at any depth for .yaml, .yml and .json), globs, http(s) URLs,
 * `-` for standard input
 */
export async function readSources(
  inputs: readonly string[],
  { progress = () => {}, urlTimeoutMs = 30_000 }: SourceOptions = {},
): Promise<Sources> {
  const sources: Sources = { documents: [], failures: [] };
  const places: string[] = [];
  for (const input of inputs) await attempt(async () => void places.push(...await placesOf(input)));
  const distinct = await distinctFiles(places);
  for (const [index, place] of distinct.entries()) {
    progress(`reading ${nameOf(place)}${distinct.length > 1 ? ` (${index + 1} of ${distinct.length})` : ""}`);
    await attempt(async () =>
      void sources.documents.push(...documentsOf(await textOf(place, urlTimeoutMs), nameOf(place)))
    );
  }
  return sources;

  async function attempt(action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      sources.failures.push(error);
    }
  }
}

/** What a message calls an input. */
export function nameOf(place: string): string {
  return place === "-" ? "standard input" : place;
}

function isUrl(input: string): boolean {
  return /^https?:\/\//.test(input);
}

/** The files that an input stands for. */
async function placesOf(input: string): Promise<string[]> {
  if (input === "-" || isUrl(input)) return [input];
  const found = await stat(input).catch(() => undefined);
  if (found?.isDirectory()) {
    const files = (await readdir(input, { recursive: true })).filter((file) => /\.(ya?ml|json)$/i.test(file))
      .sort();
    if (files.length === 0) throw new InputError("The folder holds no .yaml, .yml or .json file", [input]);
    return files.map((file) => join(input, file));
  }
  if (found !== undefined) return [input];
  if (/[*?[{]/.test(input)) {
    const files: string[] = [];
    for await (const file of glob(input)) if (/\.(ya?ml|json)$/i.test(file)) files.push(file);
    if (files.length > 0) return files.sort();
    throw new InputError("No .yaml, .yml or .json file matches", [input]);
  }
  const isOtherUrl = /^[a-z][a-z0-9+.-]*:\/\//i.test(input);
  throw new InputError(isOtherUrl ? "Only http and https URLs can be read" : "No such file or folder", [
    input,
  ]);
}

/** Each file once, also where symbolic links lead to it again, or in a circle. */
async function distinctFiles(paths: readonly string[]): Promise<string[]> {
  const byFile = new Map<string, string>();
  for (const path of paths) {
    const file = await realpath(path).catch(() => path);
    if (!byFile.has(file)) byFile.set(file, path);
  }
  return [...byFile.values()];
}

async function textOf(place: string, urlTimeoutMs: number): Promise<string> {
  if (place === "-") return await textOfInput();
  if (isUrl(place)) return await textOfUrl(place, urlTimeoutMs);
  return await readFile(place, "utf8").catch((error: Error) => {
    throw new InputError(`Cannot read the file: ${error.message}`, [place], { cause: error });
  });
}

async function textOfInput(): Promise<string> {
  let text = "";
  process.stdin.setEncoding("utf8");
  for await (const chunk of process.stdin) text += String(chunk);
  return text;
}

async function textOfUrl(url: string, timeoutMs: number): Promise<string> {
  let response: Response;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs), headers: { accept: "*/*" } });
    if (response.ok) return await response.text();
  } catch (error) {
    const { name, message, cause } = error as Error;
    const told = cause instanceof Error && cause.message !== "" ? cause.message : message;
    const reason = name === "TimeoutError" ? `no answer within ${timeoutMs / 1_000} s` : told.trim();
    throw new InputError(`Cannot read the URL: ${reason}`, [url], { cause: error });
  }
  await response.body?.cancel();
  throw new InputError(
    `Cannot read the URL: it answered ${response.status} ${response.statusText}`.trimEnd(),
    [url],
  );
}
