/**
 * Who takes part: the same job, written on different libraries.
 * @module
 */

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { dirname, join, resolve } from "node:path";

/** A program to measure. */
export interface Contestant {
  readonly name: string;
  readonly command: string[];
}

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const run = promisify(execFile);

/** Everybody who can run on this machine; those who cannot are named with the reason. */
export async function contestants(folder: string): Promise<{ able: Contestant[]; unable: string[] }> {
  const able: Contestant[] = [];
  const unable: string[] = [];
  const has = async (command: string, ...args: string[]) => {
    try {
      await run(command, args);
      return true;
    } catch {
      return false;
    }
  };
  const example = join(root, "examples/config-map.ts");
  const clientNode = join(root, "bench/runtime/client_node.ts");
  const programs: [string, string][] = [["this runtime", example], ["client-node informer", clientNode]];
  for (const [name, program] of programs) {
    if (await has("deno", "--version")) {
      able.push({ name: `${name}, Deno`, command: ["deno", "run", "-A", "--no-check", program] });
    } else unable.push(`${name}, Deno: no deno`);
    able.push({ name: `${name}, Node`, command: ["node", program] });
  }
  const binary = join(folder, "controller-runtime");
  try {
    await run("go", ["build", "-o", binary, "."], { cwd: join(root, "bench/runtime/controller-runtime") });
    able.push({ name: "controller-runtime, Go", command: [binary] });
  } catch (error) {
    unable.push(`controller-runtime, Go: ${(error as Error).message.split("\n")[0]}`);
  }
  return { able, unable };
}
