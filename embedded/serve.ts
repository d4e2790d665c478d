/**
 * The embedded API on a loopback port, with a kubeconfig file for it.
 *
 * Plain HTTP, no authentication: whoever can reach the port can do everything. Closing leaves
 * nothing behind: no socket, no timer, no kubeconfig file.
 * @module
 */
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { EmbeddedApi, type EmbeddedOptions } from "./mod.ts";

/** Options of {@link startEmbedded}. */
export interface ServeOptions extends EmbeddedOptions {
  /** Default 0: any free port. */
  port?: number;
  /** Where to write the kubeconfig; default a new file in the system's folder for temporary files. */
  kubeconfigPath?: string;
  /** The context's namespace; default `default`. */
  namespace?: string;
}

/** A running server. */
export interface EmbeddedServer {
  api: EmbeddedApi;
  url: string;
  /** Path of the kubeconfig file. */
  kubeconfig: string;
  close(): Promise<void>;
}

/**
 * Starts the API on 127.0.0.1.
 *
 * @throws {Error} EADDRINUSE when the port is taken, or when the kubeconfig cannot be written
 */
export async function startEmbedded(options: ServeOptions = {}): Promise<EmbeddedServer> {
  const api = new EmbeddedApi(options);
  const server = createServer((request, response) => {
    answer(api, request, response).catch(() => response.destroy());
  });
  // A watch is a request that lasts: no deadline of the server's own.
  server.requestTimeout = 0;
  server.keepAliveTimeout = 60_000;
  let folder: string | undefined;
  let kubeconfig = options.kubeconfigPath;
  try {
    await listen(server, options.port ?? 0);
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    if (!kubeconfig) {
      folder = await mkdtemp(join(tmpdir(), "embedded-"));
      kubeconfig = join(folder, "kubeconfig");
    }
    await mkdir(dirname(kubeconfig), { recursive: true });
    await writeFile(kubeconfig, kubeconfigText(url, options.namespace ?? "default"), { mode: 0o600 });
    await chmod(kubeconfig, 0o600);
    const path = kubeconfig;
    return { api, url, kubeconfig: path, close: () => close(api, server, folder ?? path) };
  } catch (error) {
    await close(api, server, folder);
    throw error;
  }
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      server.off("error", reject);
      resolve();
    });
  });
}

async function close(api: EmbeddedApi, server: Server, path: string | undefined): Promise<void> {
  api.close();
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
  if (path) await rm(path, { recursive: true, force: true });
}

/** A kubeconfig for a server without authentication. */
export function kubeconfigText(url: string, namespace: string): string {
  return JSON.stringify(
    {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "embedded", cluster: { server: url } }],
      users: [{ name: "embedded", user: {} }],
      contexts: [{ name: "embedded", context: { cluster: "embedded", user: "embedded", namespace } }],
      "current-context": "embedded",
    },
    null,
    2,
  ) + "\n";
}

async function answer(api: EmbeddedApi, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const headers = new Headers();
  for (const [name, value] of Object.entries(incoming.headers)) {
    if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(", ") : value);
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Uint8Array);
  const method = incoming.method ?? "GET";
  const hasBody = chunks.length > 0 && method !== "GET" && method !== "HEAD";
  const request = new Request(`http://${incoming.headers.host ?? "localhost"}${incoming.url ?? "/"}`, {
    method,
    headers,
    ...(hasBody ? { body: Buffer.concat(chunks) } : {}),
  });
  const response = await api.fetch(request);
  outgoing.statusCode = response.status;
  for (const [name, value] of response.headers) outgoing.appendHeader(name, value);
  if (!response.body) {
    outgoing.end();
    return;
  }
  const reader = response.body.getReader();
  outgoing.on("close", () => {
    // A watcher that went away, or an answer that was sent: either way nobody reads on.
    reader.cancel().catch(() => {});
  });
  outgoing.flushHeaders();
  while (true) {
    const { done, value } = await reader.read();
    if (done) break;
    if (!outgoing.write(value)) await drained(outgoing);
  }
  outgoing.end();
}

function drained(outgoing: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      outgoing.off("drain", done);
      outgoing.off("close", done);
      resolve();
    };
    outgoing.on("drain", done);
    outgoing.on("close", done);
  });
}
