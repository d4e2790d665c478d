/**
 * What the compilers say about objects: each object becomes a literal of its kind's type, and a compiler's
 * diagnostics are counted per literal.
 * @module
 */
import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import process from "node:process";
import ts from "typescript";
import { readModules } from "../../codegen/drift_model.ts";

const run = promisify(execFile);

/** An object with the name of its type. */
export interface Candidate {
  /** The module of the type in the output folder: `apps/v1`. */
  module: string;
  type: string;
  object: unknown;
}

/** The strictest settings that say something about types. */
export const strictOptions = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noPropertyAccessFromIndexSignature: true,
  noImplicitOverride: true,
  noImplicitReturns: true,
  noFallthroughCasesInSwitch: true,
  noUnusedLocals: true,
  noUnusedParameters: true,
  allowUnreachableCode: false,
  allowUnusedLabels: false,
  isolatedModules: true,
  verbatimModuleSyntax: true,
  erasableSyntaxOnly: true,
  forceConsistentCasingInFileNames: true,
  skipLibCheck: true,
  noEmit: true,
  allowImportingTsExtensions: true,
};

/** With what a program around the types needs. */
const compilerOptions = {
  ...strictOptions,
  target: "es2024",
  module: "nodenext",
  lib: ["es2024", "dom"],
  types: [],
};

/** Files with one statement per object, and which object stands on which line. */
export interface Literals {
  /** By file name, relative to the output folder; per file the index of the candidate on each line. */
  files: Map<string, { text: string; lines: (number | undefined)[] }>;
}

/** Writes the objects as literals, one line each, a file per module. */
export function literalsOf(candidates: readonly Candidate[]): Literals {
  const byModule = Map.groupBy(candidates.keys(), (index) => candidates[index]!.module);
  const files: Literals["files"] = new Map();
  for (const [module, indexes] of byModule) {
    const lines: (number | undefined)[] = [undefined];
    let text = `import type * as t from "../${module}.ts";\n`;
    for (const index of indexes) {
      const { type, object } = candidates[index]!;
      text += `export const e${index}: t.${type} = ${literal(object)};\n`;
      lines.push(index);
    }
    files.set(`examples/${module.replaceAll("/", "_")}.ts`, { text, lines });
  }
  return { files };
}

/** A module that passes what is read of each kind as what is written: read, change, replace. */
export function replaceModule(files: ReadonlyMap<string, string>): string {
  const lines: string[] = [];
  for (const [path, { kinds }] of readModules(files)) {
    for (const { read, write } of kinds.values()) {
      const index = lines.length / 2;
      lines.push(`import type { ${read} as Read${index}, ${write} as Write${index} } from "./${path}";`);
      lines.push(`export const replace${index} = (read: Read${index}): Write${index} => read;`);
    }
  }
  return lines.join("\n");
}

/** JSON as TypeScript on one line; a key `__proto__` stays a key. */
function literal(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).map(([key, item]) =>
      `${key === "__proto__" ? '["__proto__"]' : text(key)}: ${literal(item)}`
    );
    return `{ ${entries.join(", ")} }`;
  }
  return text(value);
}

/** JSON text without the two line ends that JSON does not know. */
function text(value: unknown): string {
  return JSON.stringify(value).replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029");
}

/** Writes files below a folder. */
export async function writeAll(folder: string, files: Iterable<[string, string]>): Promise<void> {
  for (const [path, text] of files) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
}

/** What one compiler found. */
export interface Verdict {
  /** The first diagnostic of each candidate that has one. */
  refused: Map<number, string>;
  /** Diagnostics elsewhere: in the generated types. */
  elsewhere: string[];
}

/** Asks TypeScript 5 in this process. */
export function askTypeScript5(folder: string, types: readonly string[], literals: Literals): Verdict {
  const options = ts.convertCompilerOptionsFromJson(
    compilerOptions,
    folder,
  ).options;
  const files = [...types, ...literals.files.keys()].map((path) => join(folder, path));
  const program = ts.createProgram(files, options);
  const verdict: Verdict = { refused: new Map(), elsewhere: [] };
  const found = [...program.getOptionsDiagnostics(), ...program.getGlobalDiagnostics()];
  for (const file of files) {
    const source = program.getSourceFile(file);
    found.push(...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source));
  }
  for (const { file, start, messageText } of found) {
    const line = file === undefined ? 0 : file.getLineAndCharacterOfPosition(start ?? 0).line;
    note(verdict, literals, folder, file?.fileName, line, ts.flattenDiagnosticMessageText(messageText, "\n"));
  }
  return verdict;
}

/** Asks TypeScript 7 for every type error of a folder; its tsconfig.json is written. */
export async function askTypeScript7(folder: string, literals: Literals): Promise<Verdict> {
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["**/*.ts"] }));
  const modules = fileURLToPath(new URL("../../node_modules", import.meta.url));
  // Node's, as the compiler is a program for it.
  const tsc = [join(modules, "typescript-7/bin/tsc"), "-p", ".", "--pretty", "false"];
  return await askCommand(folder, join(modules, ".bin/node"), tsc, literals);
}

/** Asks another compiler by its command. */
export async function askCommand(
  folder: string,
  command: string,
  args: readonly string[],
  literals: Literals,
): Promise<Verdict> {
  const verdict: Verdict = { refused: new Map(), elsewhere: [] };
  const { stdout, stderr, code } = await run(command, args, {
    cwd: folder,
    maxBuffer: 1 << 30,
    env: { ...process.env, NO_COLOR: "1" },
  })
    .then(
      (output) => ({ ...output, code: 0 }),
      (error) => error as { stdout: string; stderr: string; code: number },
    );
  const text = `${stdout}\n${stderr}`;
  const pattern = /^(\S.*?)\((\d+),\d+\): error (TS\d+: .*)$/gm;
  for (const [, file, line, message] of text.matchAll(pattern)) {
    note(verdict, literals, folder, join(folder, file!), Number(line) - 1, message!);
  }
  if (code !== 0 && verdict.refused.size === 0 && verdict.elsewhere.length === 0) {
    verdict.elsewhere.push(text.trim().slice(0, 4000));
  }
  return verdict;
}

function note(
  verdict: Verdict,
  literals: Literals,
  folder: string,
  file: string | undefined,
  line: number,
  message: string,
): void {
  const path = file?.slice(folder.length + 1).replaceAll("\\", "/");
  const index = path === undefined ? undefined : literals.files.get(path)?.lines[line];
  if (index === undefined) verdict.elsewhere.push(`${path ?? ""}:${line + 1}: ${message}`);
  else if (!verdict.refused.has(index)) verdict.refused.set(index, message);
}
