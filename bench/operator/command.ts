/**
 * How dist/operator.js is started, as in its image.
 * @module
 */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";

const operator = fileURLToPath(new URL("../../dist/operator.js", import.meta.url));

/** On Deno with the flags of deploy/deployment.yaml, but with all permissions. */
export async function onDeno(): Promise<string[]> {
  const file = new URL("../../deploy/deployment.yaml", import.meta.url);
  const { args } = parse(await readFile(file, "utf8")).spec.template.spec.containers[0] as { args: string[] };
  return ["deno", "run", "--allow-all", ...args.filter((flag) => !flag.startsWith("--allow-")), operator];
}

/** On Node. */
export function onNode(): string[] {
  return ["node", operator];
}
