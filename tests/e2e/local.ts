/**
 * The operator of this working tree as a child process, which sees one namespace only: no image, no installation.
 * @module
 */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { until } from "../within.ts";
import type { Kubectl } from "./kubectl.ts";

/** How many of its last lines are kept. */
const linesMax = 50_000;

/** The operator that runs, wherever it does. */
export interface RunningOperator {
  /** What it logged. */
  logs(): Promise<string>;
  /** What it serves at /metrics, of each of its processes. */
  metrics(): Promise<string>;
  /** Host and port of {@linkcode metrics}, for one that is no pod. */
  address(): string | undefined;
  /** Arguments and environment of its processes. */
  processes(): Promise<string>;
  /** Kubectl in its namespace, and its ServiceAccount; nothing for one that is no pod. */
  readonly pods?: { readonly kubectl: Kubectl; readonly account: string };
  /** Does something while it is away, unless it sees only this run's namespaces. */
  away(work: () => Promise<void>): Promise<void>;
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
  // Ours may hold keys of a store, which are no business of the operator's.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("E2E_")));
  let child: ReturnType<typeof spawn>, ended: Promise<void>, stopping = false, leads = false, port = "";
  const start = () => {
    leads = false;
    child = spawn(process.execPath, [
      ...("Deno" in globalThis ? ["run", "-A", operator] : [operator]),
      ...["--watch-namespace", namespace, "--watch-namespace", secondNamespace(namespace)],
      ...["--lease-namespace", namespace],
      ...["--listen", "127.0.0.1:0"],
      ...["--image", process.env.E2E_IMAGE_TEMPLATE ?? "localhost/database:{version}"],
    ], { stdio: ["ignore", "pipe", "pipe"], env });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        leads ||= text.includes("Starting controllers");
        port = /"Serving health and metrics","port":(\d+)/.exec(text)?.[1] ?? port;
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
  const stop = async () => {
    stopping = true;
    clearTimeout(restarting);
    child.kill("SIGTERM");
    await ended;
  };
  await lead().catch(async (error: Error) => {
    await stop();
    throw new Error(`${error.message}: ${lines.join("\n")}`);
  });
  return {
    logs: () => Promise.resolve(lines.join("\n")),
    metrics: async () => await (await fetch(`http://127.0.0.1:${port}/metrics`)).text(),
    address: () => `127.0.0.1:${port}`,
    processes: () => {
      const read = (file: string) => readFileSync(`/proc/${child.pid}/${file}`, "utf8").replaceAll("\0", " ");
      return Promise.resolve(`${read("cmdline")}\n${read("environ")}`);
    },
    away: (work) => work(),
    kill: async () => {
      leads = false;
      child.kill("SIGKILL");
      await lead();
    },
    stop,
  };
}

/** A namespace that the operator sees beside a run's own, for what ends together with its namespace. */
export function secondNamespace(namespace: string): string {
  return `${namespace}-gone`;
}
