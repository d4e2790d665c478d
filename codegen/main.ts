/**
 * The command.
 * @module
 */
import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import { documentsOf } from "./documents.ts";
import { generate } from "./generate.ts";

const args = process.argv.slice(2);
const out = args[args.indexOf("--out") + 1]!;
const isCheck = args.includes("--check");
const inputs = args.filter((arg, index) => !arg.startsWith("--") && args[index - 1] !== "--out");
const documents = [];
for (const input of inputs) {
  const files = (await stat(input)).isDirectory()
    ? (await readdir(input)).sort().map((file) => join(input, file))
    : [input];
  for (const file of files) documents.push(...documentsOf(await readFile(file, "utf8"), file));
}
const { files } = generate(documents);
let differs = false;
if (!isCheck) await rm(out, { recursive: true, force: true });
for (const [path, text] of files) {
  const file = join(out, path);
  if (isCheck) {
    const before = await readFile(file, "utf8").catch(() => undefined);
    if (before !== text) {
      console.error(`${file} differs`);
      differs = true;
    }
    continue;
  }
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
}
if (differs) process.exitCode = 1;
