/**
 * The code on a page of the documentation, to be compiled and run.
 * @module
 */
import { mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import * as assert from "uvu/assert";

/** The project's folder. */
export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

/** A page. */
export class Page {
  readonly text: string;

  /** @param path from the project's folder */
  constructor(path: string) {
    this.text = readFileSync(join(root, path), "utf8");
  }

  /** The only block of TypeScript that has this text in it. */
  block(text: string): string {
    const blocks = [...this.text.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, code]) => code!);
    const found = blocks.filter((code) => code.includes(text));
    assert.is(found.length, 1, `one block with ${text}`);
    return found[0]!;
  }
}

/** Replaces what is there once. */
export function replaced(code: string, old: string | RegExp, text: string): string {
  assert.is(code.split(old).length, 2, `one place for ${old}`);
  return code.replace(old, () => text);
}

/** A new folder two levels below the project's, where nothing is under version control. */
export function makeFolder(name: string): string {
  mkdirSync(join(root, "dist"), { recursive: true });
  return mkdtempSync(join(root, `dist/${name}-`));
}

/** What the compiler says of these files, under the project's own settings. */
export function complaints(files: readonly string[]): string[] {
  const { config } = ts.readConfigFile(join(root, "tsconfig.json"), (path) => ts.sys.readFile(path));
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, root);
  const program = ts.createProgram(files, options);
  return ts.getPreEmitDiagnostics(program).map(({ messageText, file }) =>
    `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`
  );
}
