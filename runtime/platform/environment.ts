/**
 * What the process is told from outside, as far as it may know it.
 *
 * Under Deno a variable or the host's name may be withheld; to the program it is then one that is not set.
 * @module
 */

import { hostname } from "node:os";
import process from "node:process";

/** A variable of the environment; undefined when it is not set, or may not be read. */
export function readVariable(name: string): string | undefined {
  try {
    return process.env[name];
  } catch {
    return undefined;
  }
}

/** Who we are: the pod's name, or the machine's, or nobody in particular. */
export function hostName(): string {
  try {
    return readVariable("HOSTNAME") || hostname();
  } catch {
    return "unknown";
  }
}
