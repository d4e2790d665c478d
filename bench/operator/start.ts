/**
 * Measures how soon the operator asks for its first list: `npm run bundle && npm run bench -- start`.
 *
 * dist/operator.js is started as in its image, on Deno with the flags of deploy/deployment.yaml, and on Node, against a
 * server on loopback with TLS that answers nothing. What counts is the time from the start of the process until the
 * first request for a list has come. Output: a table in Markdown.
 *
 *     --runs N    starts of each (7); the first is cold on Deno: nothing that it compiled is kept yet
 * @module
 */

import { Buffer } from "node:buffer";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { issue } from "../../postgres/x509.ts";
import { writeKubeconfig } from "../../tests/conformance/target.ts";
import { within } from "../../tests/within.ts";
import { Contender } from "../runtime/process.ts";
import { digits, row } from "../runtime/table.ts";
import { onDeno, onNode } from "./command.ts";

/** What the project promises of a start whose code was compiled before, milliseconds. */
const AIM_MS = 150;
const LIMIT_MS = 20_000;

/** An API server as slow as can be: it takes requests and answers none. */
class SilentServer {
  readonly #server;
  readonly #authority: string;
  #onList: () => void = () => {};

  constructor() {
    const valid = { notBeforeMs: Date.now() - 60_000, notAfterMs: Date.now() + 3_600_000 };
    const issuer = issue({ ...valid, subject: "authority", names: [] });
    const { certificate: cert, key } = issue({ ...valid, subject: "api", names: ["api"], issuer });
    this.#authority = issuer.certificate;
    this.#server = createServer({ cert, key }, ({ url = "" }) => {
      if (!url.includes("/leases")) this.#onList();
    });
  }

  /** Listens; answers the path of a kubeconfig that names it. */
  async listen(folder: string): Promise<string> {
    await new Promise<void>((listening) => this.#server.listen(0, "127.0.0.1", listening));
    const { port } = this.#server.address() as AddressInfo;
    const tls = { ca: Buffer.from(this.#authority) };
    const headers = { authorization: "Bearer of-nobody" };
    return await writeKubeconfig(folder, { url: new URL("https://api"), tls, headers }, { port });
  }

  /** Resolves at the next request for a list. */
  list(): Promise<void> {
    return new Promise((resolve) => this.#onList = resolve);
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

/** From the start of the process until it asks for a list, milliseconds. */
async function start(server: SilentServer, command: string[], env: Record<string, string>): Promise<number> {
  const asked = server.list();
  const contender = new Contender(command, env);
  try {
    await within(LIMIT_MS, asked, "a list to be asked for");
    return performance.now() - contender.startedAtMs;
  } catch (cause) {
    throw new Error(`${(cause as Error).message}; it said: ${contender.said}`, { cause });
  } finally {
    contender.signal("SIGKILL");
    await contender.stop();
  }
}

/** Runs it. @param args the flags above */
export async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { runs: { type: "string", default: "7" } } });
  const runs = Number(values.runs);
  if (!Number.isInteger(runs) || runs < 2) {
    throw new RangeError(`--runs: expected a whole number from 2 on, got "${values.runs}"`);
  }
  const folder = await mkdtemp(join(tmpdir(), "start-"));
  const server = new SilentServer();
  try {
    const own = { KUBECONFIG: await server.listen(folder), DENO_DIR: join(folder, "deno") };
    const flags = ["--listen", "127.0.0.1:0", "--lease-namespace", "default"];
    console.log(row(["from the start of the process until its first list", "first, ms", "then, ms"]));
    console.log(row(["---", "---:", "---:"]));
    for (const { command, env } of [await onDeno(), onNode()]) {
      const tookMs: number[] = [];
      for (let run = 0; run < runs; run++) {
        tookMs.push(await start(server, [...command, ...flags], { ...own, ...env }));
      }
      const [first, ...later] = tookMs;
      const range = `${digits(Math.min(...later))} to ${digits(Math.max(...later))}`;
      console.log(row([command[0]!, digits(first), range]));
    }
    console.log(row(["aim", "", `${AIM_MS}`]));
  } finally {
    server.close();
    await rm(folder, { recursive: true });
  }
}
