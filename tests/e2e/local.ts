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

/** A started operator. */
export interface LocalOperator {
  /** The last lines that it logged. */
  tail(): string;
  /** Stops it in good order and waits for its end. */
  stop(): Promise<void>;
}

/** Starts it in the runtime that this is, and waits until it leads. The CRD has to be installed. */
export async function startLocally({ namespace }: Kubectl): Promise<LocalOperator> {
  const operator = fileURLToPath(new URL("../../operator.ts", import.meta.url));
  const child = spawn(process.execPath, [
    ...("Deno" in globalThis ? ["run", "-A", operator] : [operator]),
    ...["--watch-namespace", namespace, "--lease-namespace", namespace],
    ...["--image", process.env.E2E_IMAGE_TEMPLATE ?? "localhost/database:{major}"],
  ], { stdio: ["ignore", "pipe", "pipe"] });
  const lines: string[] = [];
  const keep = (text: string) => {
    lines.push(...text.split("\n").filter((line) => line !== "" && !line.includes('"Reconciling Database"')));
    lines.splice(0, Math.max(0, lines.length - linesMax));
  };
  child.stdout.setEncoding("utf8").on("data", keep);
  child.stderr.setEncoding("utf8").on("data", keep);
  let code: number | null | undefined;
  const ended = new Promise<void>((settle) =>
    child.once("close", (status) => {
      code = status;
      settle();
    })
  );
  const leads = () => lines.some((line) => line.includes("Starting controllers"));
  await until(60_000, "the operator to lead", () => leads() || code !== undefined);
  if (!leads()) throw new Error(`The operator ended with ${code}: ${lines.join("\n")}`);
  return {
    tail: () => lines.join("\n"),
    stop: async () => {
      child.kill("SIGTERM");
      await ended;
    },
  };
}
