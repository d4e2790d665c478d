/**
 * The output folder: replaced as a whole or not at all, and compared.
 * @module
 */
import { mkdir, readdir, readFile, realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, normalize, resolve } from "node:path";
import process from "node:process";
import { readModules } from "./drift_model.ts";
import { InputError } from "./errors.ts";
import { header } from "./module.ts";

/** The generated files of a folder, by path; `undefined` where there is no such folder. */
export async function readOutput(folder: string): Promise<Map<string, string> | undefined> {
  const found = await stat(folder).catch(() => undefined);
  if (found === undefined) return undefined;
  if (!found.isDirectory()) throw new InputError("The output must be a folder", [folder]);
  const files = new Map<string, string>();
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  for (const entry of entries) {
    if (entry.isDirectory()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(
      path.slice(folder.length).replaceAll("\\", "/").replace(/^\/+/, ""),
      // A checkout may have changed the line ends.
      (await readFile(path, "utf8")).replaceAll("\r\n", "\n"),
    );
  }
  return files;
}

/**
 * Puts modules of an earlier output into the files, where they have kinds that are not in the files, with all that
 * they need.
 *
 * @returns for each module that was put back, the kinds that would have been missing
 */
export function keepEarlier(
  before: ReadonlyMap<string, string>,
  files: Map<string, string>,
): Map<string, string[]> {
  const fresh = readModules(files);
  const kept = new Map<string, string[]>();
  for (const [path, { kinds }] of readModules(before)) {
    const missing = [...kinds.keys()].filter((kind) => fresh.get(path)?.kinds.has(kind) !== true);
    if (missing.length === 0) continue;
    kept.set(path, missing);
    const stem = path.slice(0, -".ts".length);
    for (const file of [`${stem}.ts`, `${stem}.client.ts`, `${stem}.validate.ts`]) {
      const text = before.get(file);
      if (text === undefined) files.delete(file);
      else files.set(file, text);
    }
  }
  if (kept.size > 0) { for (const [path, text] of before) if (!files.has(path)) files.set(path, text); }
  return kept;
}

/**
 * Replaces the folder by the files. Until the last moment the folder stays as it is.
 *
 * @throws {InputError} when the folder holds anything that was not generated, or cannot be written
 */
export async function writeOutput(folder: string, files: ReadonlyMap<string, string>): Promise<void> {
  // A symbolic link stays one: it is what it leads to that is replaced.
  const target = await realpath(folder).catch(() => resolve(folder));
  const outside = [...files.keys()].find((path) => isAbsolute(path) || normalize(path).startsWith(".."));
  if (outside !== undefined) {
    throw new InputError(`Cannot write ${JSON.stringify(outside)}: it is outside the folder`, [folder]);
  }
  const before = await readOutput(target);
  const stranger = [...before ?? []].find(([, text]) => !text.startsWith(header.trimEnd()));
  if (stranger !== undefined) {
    throw new InputError(
      `Cannot replace the folder: it holds ${
        stranger[0]
      }, which was not generated; choose a folder of its own`,
      [folder],
    );
  }
  const fresh = join(dirname(target), `.${basename(target)}.new-${process.pid}`);
  const old = join(dirname(target), `.${basename(target)}.old-${process.pid}`);
  try {
    await makeFolder(dirname(target));
    await mkdir(fresh);
    for (const [path, text] of files) {
      await mkdir(dirname(join(fresh, path)), { recursive: true });
      await writeFile(join(fresh, path), text);
    }
    if (before !== undefined) await rename(target, old);
    try {
      await rename(fresh, target);
    } catch (error) {
      if (before !== undefined) await rename(old, target);
      throw error;
    }
  } catch (error) {
    throw new InputError(`Cannot write the output: ${(error as Error).message}`, [folder], { cause: error });
  } finally {
    // Where nothing could be written, nothing can be removed either: the first error is the one to tell.
    await rm(fresh, { recursive: true, force: true }).catch(() => undefined);
  }
  await rm(old, { recursive: true, force: true });
}

/** Makes a folder and those around it, one at a time: Node's recursive mkdir never returns in a file system like /proc. */
async function makeFolder(path: string): Promise<void> {
  if (await stat(path).catch(() => undefined) !== undefined) return;
  await makeFolder(dirname(path));
  await mkdir(path);
}
