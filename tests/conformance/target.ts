/**
 * The two API servers that the promises are checked on: the embedded one over its socket, and the one that KUBECONFIG
 * names.
 *
 * What needs power over a real API server is done by the program in FAULTS: a command and flags that follow its
 * words, called as `<command> stop apiserver <flags>`, `<command> start apiserver <flags>`, `<command> compact <flags>`;
 * stop is SIGKILL. Without it the tests that need it fail: a promise that was not checked is not kept.
 * @module
 */

import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { Buffer } from "node:buffer";
import { parse } from "yaml";
import { startEmbedded } from "../../embedded/serve.ts";
import { type Clock, connect } from "../../runtime/mod.ts";
import { until } from "../within.ts";
import { TcpProxy } from "./tcp_proxy.ts";

/** Where an API server is, and how it is spoken to. */
export interface Upstream {
  url: URL;
  tls: { ca?: Buffer; cert?: Buffer; key?: Buffer };
  headers: Record<string, string>;
}

/** An API server under test. */
export interface Target {
  readonly name: string;
  readonly upstream: Upstream;
  /** How much faster than real time the runtime's clock goes, so that its deadlines can be waited for. */
  readonly speed: number;
  /** Lease duration, renew deadline, retry period. */
  readonly lease: { leaseDurationMs: number; renewDeadlineMs: number; retryPeriodMs: number };
  /** Kills the API server; connections are refused afterwards. */
  stop(): Promise<void>;
  /** Starts it again; resolves when it answers. */
  start(): Promise<void>;
  /** From now on a watch from an older resourceVersion gets 410. */
  forget(): Promise<void>;
  close(): Promise<void>;
}

/** The embedded API on a socket; a proxy before it dies in its place, so that its store lives on. */
export async function openEmbedded(): Promise<Target> {
  const server = await startEmbedded();
  const { hostname: host, port } = new URL(server.url);
  const door = await TcpProxy.start({ host, port: Number(port) });
  return {
    name: "the embedded API",
    upstream: { url: new URL(`http://127.0.0.1:${door.port}`), tls: {}, headers: {} },
    speed: 10,
    lease: { leaseDurationMs: 1_000, renewDeadlineMs: 700, retryPeriodMs: 200 },
    stop: () => door.refuse(),
    start: () => door.listen(),
    forget() {
      server.api.compact();
      return Promise.resolve();
    },
    async close() {
      await door.close();
      await server.close();
    },
  };
}

/** The API server that KUBECONFIG names. */
export async function openReal(): Promise<Target> {
  const upstream = await readUpstream(process.env.KUBECONFIG ?? "");
  const faults = async (...words: string[]) => {
    const [command, ...flags] = (process.env.FAULTS ?? "").split(/\s+/).filter(Boolean);
    if (!command) {
      throw new Error("FAULTS is not set: it names the program that has power over the API server");
    }
    await promisify(execFile)(command, [...words, ...flags], { timeout: 60_000 });
  };
  const start = async () => {
    await faults("start", "apiserver");
    const folder = await mkdtemp(join(tmpdir(), "conformance-"));
    const rest = await connect({ kubeconfig: await writeKubeconfig(folder, upstream) });
    await until(60_000, "the API server to be ready", async () => {
      const answer = await rest.performRequest({ method: "GET", path: "/readyz" });
      return new TextDecoder().decode(answer) === "ok";
    }, 100).finally(() => rest.close());
    await rm(folder, { recursive: true });
  };
  return {
    name: upstream.url.host,
    upstream,
    speed: 1,
    lease: { leaseDurationMs: 6_000, renewDeadlineMs: 4_000, retryPeriodMs: 1_000 },
    stop: () => faults("stop", "apiserver"),
    start,
    // The API server answers watches from its own memory of the last changes; a new process has none.
    async forget() {
      await faults("compact");
      await faults("stop", "apiserver");
      await start();
    },
    close: () => Promise.resolve(),
  };
}

/** Reads the current context of a kubeconfig: certificates or a token. */
async function readUpstream(path: string): Promise<Upstream> {
  const config = parse(await readFile(path, "utf8")) as {
    "current-context": string;
    contexts: { name: string; context: { cluster: string; user: string } }[];
    clusters: { name: string; cluster: Record<string, string> }[];
    users: { name: string; user: Record<string, string> }[];
  };
  const { context } = config.contexts.find(({ name }) => name === config["current-context"])!;
  const { cluster } = config.clusters.find(({ name }) => name === context.cluster)!;
  const { user } = config.users.find(({ name }) => name === context.user)!;
  const pem = async (entry: Record<string, string>, field: string) => {
    const data = entry[`${field}-data`];
    if (data) return Buffer.from(data, "base64");
    const file = entry[field];
    return file ? await readFile(resolve(dirname(path), file)) : undefined;
  };
  return {
    url: new URL(cluster.server!),
    tls: {
      ca: await pem(cluster, "certificate-authority"),
      cert: await pem(user, "client-certificate"),
      key: await pem(user, "client-key"),
    },
    headers: user.token ? { authorization: `Bearer ${user.token}` } : {},
  };
}

/**
 * Writes a kubeconfig for an upstream.
 *
 * @param more.port another port on loopback, where a proxy stands before it
 * @param more.tokenFile authenticate with the token in this file alone
 */
export async function writeKubeconfig(
  folder: string,
  upstream: Upstream,
  more: { port?: number; tokenFile?: string } = {},
): Promise<string> {
  const { url, tls, headers } = upstream;
  const server = new URL(url);
  if (more.port !== undefined) {
    server.hostname = "127.0.0.1";
    server.port = String(more.port);
  }
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const token = headers.authorization?.replace(/^Bearer /, "");
  const base64 = (pem: Buffer | undefined) => pem?.toString("base64");
  const config = {
    apiVersion: "v1",
    kind: "Config",
    "current-context": "test",
    contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
    clusters: [{
      name: "test",
      cluster: {
        server: server.href.replace(/\/$/, ""),
        ...(tls.ca ? { "certificate-authority-data": base64(tls.ca) } : {}),
        ...(more.port !== undefined && !isIP(host) ? { "tls-server-name": host } : {}),
      },
    }],
    users: [{
      name: "test",
      user: more.tokenFile ? { tokenFile: more.tokenFile } : {
        ...(tls.cert ? { "client-certificate-data": base64(tls.cert) } : {}),
        ...(tls.key ? { "client-key-data": base64(tls.key) } : {}),
        ...(token ? { token } : {}),
      },
    }],
  };
  const path = join(folder, `kubeconfig-${more.port ?? "direct"}-${more.tokenFile ? "token" : "own"}`);
  await writeFile(path, JSON.stringify(config), { mode: 0o600 });
  return path;
}

/** A clock on which durations pass `speed` times as fast; timestamps stay real. */
export function fastClock(speed: number): Clock {
  return {
    now: () => Date.now(),
    monotonic: () => performance.now() * speed,
    setTimer(delayMs, callback) {
      const timer = setTimeout(callback, Math.min(delayMs / speed, 2_147_483_647));
      return () => clearTimeout(timer);
    },
  };
}
