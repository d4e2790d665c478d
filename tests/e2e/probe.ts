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
    const [, member = "", timeline, sent, answered] = line.split(" ");
    return { member, timeline: Number(timeline), sentMs: Number(sent), answeredMs: Number(answered) };
  });
}

/** Writes that a member accepted although another one had accepted one on a later timeline before. */
export function secondPrimaries(accepted: readonly Accepted[]): Accepted[] {
  const ordered = accepted.toSorted((a, b) => a.answeredMs - b.answeredMs);
  return accepted.filter((one) =>
    ordered.some((other) => other.timeline > one.timeline && other.answeredMs < one.sentMs)
  );
}
