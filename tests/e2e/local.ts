/**
 * The operator of this working tree as a child process, which sees one namespace only: no image, no installation.
 * @module
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { until } from "../within.ts";
import type { Kubectl } from "./kubectl.ts";

/** How many of its last lines are kept. */
const linesMax = 200;

/** The operator that runs, wherever it does. */
export interface RunningOperator {
  /** What it logged, the last lines at least. */
  logs(): Promise<string>;
  /** Kills it in mid-flight and waits until it leads again. */
  kill(): Promise<void>;
  /** Stops it in good order, if this run started it. */
  stop(): Promise<void>;
}

/** Starts it in the runtime that this is, and waits until it leads; when it ends it is started again, as a Deployment would. */
export async function startLocally({ namespace }: Kubectl): Promise<RunningOperator> {
  const operator = fileURLToPath(new URL("../../operator.ts", import.meta.url));
  const lines: string[] = [];
  const keep = (text: string) => {
    lines.push(...text.split("\n").filter((line) => line !== "" && !line.includes('"Reconciling Database"')));
    lines.splice(0, Math.max(0, lines.length - linesMax));
  };
  let child: ReturnType<typeof spawn>, ended: Promise<void>, stopping = false, leads = false;
  const start = () => {
    leads = false;
    child = spawn(process.execPath, [
      ...("Deno" in globalThis ? ["run", "-A", operator] : [operator]),
      ...["--watch-namespace", namespace, "--watch-namespace", secondNamespace(namespace)],
      ...["--lease-namespace", namespace],
      ...["--image", process.env.E2E_IMAGE_TEMPLATE ?? "localhost/database:{major}"],
    ], { stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        leads ||= text.includes("Starting controllers");
        keep(text);
      });
    }
    ended = new Promise((settle) =>
      child.once("close", (code) => {
        if (!stopping) {
          keep(`The operator ended with ${code}`);
          restarting = setTimeout(start, 1_000);
        }
        settle();
      })
    );
  };
  let restarting: ReturnType<typeof setTimeout> | undefined;
  start();
  const lead = () => until(60_000, "the operator to lead", () => leads || undefined);
  await lead().catch((error: Error) => {
    throw new Error(`${error.message}: ${lines.join("\n")}`);
  });
  return {
    logs: () => Promise.resolve(lines.join("\n")),
    kill: async () => {
      leads = false;
      child.kill("SIGKILL");
      await lead();
    },
    stop: async () => {
      stopping = true;
      clearTimeout(restarting);
      child.kill("SIGTERM");
      await ended;
    },
  };
}

/** A namespace that the operator sees beside a run's own, for what ends together with its namespace. */
export function secondNamespace(namespace: string): string {
  return `${namespace}-gone`;
}
