/**
 * An HTTP proxy for tests, between the runtime and an API server: counts requests, answers some of them itself, and
 * reaches into the streams of watches.
 *
 * It speaks plain HTTP to the client, whatever the API server speaks, and has the API server's credentials itself.
 * @module
 */

import { Buffer } from "node:buffer";
import http from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import type { Upstream } from "./target.ts";

/** A request as the proxy sees it. */
export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: string;
  readonly authorization: string | undefined;
  readonly isWatch: boolean;
  /** A list, or a page of one. */
  readonly isList: boolean;
  readonly isWrite: boolean;
  readonly atMs: number;
}

/** What the proxy does instead of handing the request on. */
export type Verdict =
  | { status: number; reason?: string; message?: string; headers?: Record<string, string> }
  /** The connection breaks without an answer. */
  | "cut"
  /** No answer ever comes. */
  | "hold"
  | undefined;

/** An open watch. */
interface Watch {
  outgoing: http.ServerResponse;
  upstream: http.IncomingMessage;
  held: Buffer[] | undefined;
}

/** Stands between a client and an API server. */
export class HttpProxy {
  /** Everything that was asked. */
  readonly seen: Seen[] = [];
  /** Asked about each request; the default hands everything on. */
  rule: (request: Seen) => Verdict = () => undefined;
  readonly #upstream: Upstream;
  readonly #agent: http.Agent;
  readonly #watches = new Set<Watch>();
  readonly #server: http.Server;
  #connections = 0;
  #holdsWatches = false;

  private constructor(upstream: Upstream) {
    this.#upstream = upstream;
    this.#agent = upstream.url.protocol === "https:"
      ? new https.Agent({ keepAlive: true, ...upstream.tls })
      : new http.Agent({ keepAlive: true });
    this.#server = http.createServer((incoming, outgoing) => {
      this.#answer(incoming, outgoing).catch(() => outgoing.destroy());
    });
    this.#server.on("connection", (socket) => {
      this.#connections += 1;
      socket.on("close", () => this.#connections -= 1);
    });
    this.#server.requestTimeout = 0;
    this.#server.keepAliveTimeout = 60_000;
  }

  /** Listens on a free port. */
  static async start(upstream: Upstream): Promise<HttpProxy> {
    const proxy = new HttpProxy(upstream);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get url(): URL {
    return new URL(`http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`);
  }

  /** Connections that clients hold. */
  get connections(): number {
    return this.#connections;
  }

  /** Watches that are open. */
  get watches(): number {
    return this.#watches.size;
  }

  /** Requests of one sort so far. */
  count(which: (request: Seen) => boolean): number {
    return this.seen.filter(which).length;
  }

  /** Ends every watch in good order, as the API server does at its timeout. */
  endWatches(): void {
    for (const watch of [...this.#watches]) {
      this.#watches.delete(watch);
      watch.upstream.destroy();
      watch.outgoing.end();
    }
  }

  /** Writes a line into every open watch. */
  inject(line: string): void {
    for (const { outgoing } of this.#watches) outgoing.write(`${line}\n`);
  }

  /** Holds back what open watches, and those opened from now on, bring. */
  holdWatches(): void {
    this.#holdsWatches = true;
    for (const watch of this.#watches) watch.held ??= [];
  }

  /** Lets go of what was held back. */
  releaseWatches(): void {
    this.#holdsWatches = false;
    for (const watch of this.#watches) {
      for (const chunk of watch.held ?? []) watch.outgoing.write(chunk);
      watch.held = undefined;
    }
  }

  /** Leaves nothing open. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    for (const watch of this.#watches) watch.upstream.destroy();
    this.#agent.destroy();
    await closed;
  }

  async #answer(incoming: http.IncomingMessage, outgoing: http.ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const request = describe(incoming, body);
    this.seen.push(request);
    const verdict = this.rule(request);
    if (verdict === "hold") return;
    if (verdict === "cut") return void incoming.socket.destroy();
    if (verdict) return refuse(outgoing, verdict);
    const response = await this.#forward(incoming, body, outgoing);
    const { statusCode = 502 } = response;
    outgoing.writeHead(statusCode, withoutHopHeaders(response.headers));
    outgoing.flushHeaders();
    if (request.isWatch && statusCode === 200) return this.#relayWatch(response, outgoing);
    response.on("error", () => outgoing.destroy());
    response.pipe(outgoing);
  }

  #forward(
    incoming: http.IncomingMessage,
    body: Buffer,
    outgoing: http.ServerResponse,
  ): Promise<http.IncomingMessage> {
    const { url, headers } = this.#upstream;
    const { authorization: _own, host: _host, connection: _connection, ...kept } = incoming.headers;
    return new Promise((resolve, reject) => {
      const request = (url.protocol === "https:" ? https : http).request(new URL(incoming.url ?? "/", url), {
        method: incoming.method,
        agent: this.#agent,
        headers: { ...kept, ...headers, "content-length": String(body.length) },
      }, resolve);
      request.on("error", reject);
      outgoing.on("close", () => request.destroy());
      request.end(body);
    });
  }

  #relayWatch(upstream: http.IncomingMessage, outgoing: http.ServerResponse): void {
    const watch: Watch = { upstream, outgoing, held: this.#holdsWatches ? [] : undefined };
    this.#watches.add(watch);
    upstream.on("data", (chunk: Buffer) => {
      if (watch.held) watch.held.push(chunk);
      else if (this.#watches.has(watch)) outgoing.write(chunk);
    });
    upstream.on("end", () => {
      if (this.#watches.delete(watch)) outgoing.end();
    });
    upstream.on("error", () => {
      if (this.#watches.delete(watch)) outgoing.destroy();
    });
    outgoing.on("close", () => {
      this.#watches.delete(watch);
      upstream.destroy();
    });
  }
}

function describe(incoming: http.IncomingMessage, body: Buffer): Seen {
  const url = new URL(incoming.url ?? "/", "http://proxy");
  const method = incoming.method ?? "GET";
  const isWatch = url.searchParams.get("watch") === "true";
  return {
    method,
    path: url.pathname,
    query: url.searchParams,
    body: body.toString("utf8"),
    authorization: incoming.headers.authorization,
    isWatch,
    isList: method === "GET" && !isWatch && url.searchParams.has("limit"),
    isWrite: method !== "GET",
    atMs: performance.now(),
  };
}

function refuse(
  outgoing: http.ServerResponse,
  { status, reason, message, headers }: Exclude<Verdict, string | undefined>,
): void {
  outgoing.writeHead(status, { "content-type": "application/json", ...headers });
  outgoing.end(JSON.stringify({
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    code: status,
    reason: reason ?? "",
    message: message ?? `refused by the test with ${status}`,
  }));
}

/** Headers that belong to one connection are not handed on. */
function withoutHopHeaders(headers: http.IncomingHttpHeaders): http.OutgoingHttpHeaders {
  const { connection: _connection, "transfer-encoding": _encoding, "keep-alive": _keepAlive, ...kept } =
    headers;
  return kept;
}
