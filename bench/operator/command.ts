/**
 * How dist/operator.js is started, as in its image.
 * @module
 */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";

const operator = fileURLToPath(new URL("../../dist/operator.js", import.meta.url));

/** A program with its arguments, and what is added to its environment. */
export interface Start {
  readonly command: string[];
  readonly env: Record<string, string>;
}

/** On Deno with the flags and settings of deploy/deployment.yaml, but with all permissions. */
export async function onDeno(): Promise<Start> {
  const file = new URL("../../deploy/deployment.yaml", import.meta.url);
  const { args, env } = parse(await readFile(file, "utf8")).spec.template.spec.containers[0] as {
    args: string[];
    env: { name: string; value?: string }[];
  };
  const settings = env.filter(({ name, value }) => value && /^(DENO_NO|MALLOC)_/.test(name));
  return {
    command: ["deno", "run", "--allow-all", ...args.filter((flag) => !flag.startsWith("--allow-")), operator],
    env: Object.fromEntries(settings.map(({ name, value }) => [name, value!])),
  };
}

/** On Node. */
export function onNode(): Start {
  return { command: ["node", operator], env: {} };
}
