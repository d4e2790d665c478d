/**
 * Watches that never two members accept a write (probe.py).
 * @module
 */
import { readFileSync } from "node:fs";
import type { Kubectl } from "./kubectl.ts";
import { startProgram, stopProgram } from "./pods.ts";

const source = readFileSync(new URL("./probe.py", import.meta.url), "utf8");

/** A write that a member accepted. */
export interface Accepted {
  member: string;
  /** Major version of its server. */
  major: number;
  timeline: number;
  sentMs: number;
  answeredMs: number;
}

/** Starts a probe of all members of a Database. */
export async function startProbe(
  kubectl: Kubectl,
  database: string,
  size: number,
  image: string,
): Promise<void> {
  await startProgram(kubectl, {
    pod: `${database}-probe`,
    database,
    image,
    source,
    args: [database, String(size)],
  });
}

/** Stops it and returns every accepted write. */
export async function stopProbe(kubectl: Kubectl, database: string): Promise<Accepted[]> {
  const lines = (await stopProgram(kubectl, `${database}-probe`)).split("\n");
  return lines.filter((line) => line.startsWith("P ")).map((line) => {
    const [, member = "", ...numbers] = line.split(" ");
    const [major = 0, timeline = 0, sentMs = 0, answeredMs = 0] = numbers.map(Number);
    return { member, major, timeline, sentMs, answeredMs };
  });
}

/** Writes that a member accepted although one had been accepted before on a later timeline, or with a later version. */
export function secondPrimaries(accepted: readonly Accepted[]): Accepted[] {
  const ordered = accepted.toSorted((a, b) => a.answeredMs - b.answeredMs);
  return accepted.filter((one) =>
    ordered.some((other) =>
      other.answeredMs < one.sentMs &&
      (other.major > one.major || (other.major === one.major && other.timeline > one.timeline))
    )
  );
}
