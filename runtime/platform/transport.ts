/**
 * The transport: requests to one API server over node:http or node:https, on Deno and Node alike.
 *
 * HTTP/1.1 on purpose. On Deno a fetch over HTTP/2 can stall in a body for ever (denoland/deno #21749), and undici
 * costs twice the memory. What it promises:
 * - Nothing waits for ever. Headers, and each part of a plain body, have a deadline, on writes as on reads; a stream
 *   has none of its own, because only its reader knows how long silence is normal.
 * - Few connections, kept and used again: plain requests share at most `socketsMax`, each watch holds one.
 * - Credentials are asked for at each request and refreshed once on 401.
 * - When one connection turns out to be silent, the idle ones are dropped too: they went the same way.
 * @module
 */

import { Buffer } from "node:buffer";
import http from "node:http";
import https from "node:https";
import { ApiError, DeadlineError, type Status } from "../errors.ts";
import { abortReason, type Clock } from "../ports.ts";
import type { JSONValue, RequestOptions, RestClient } from "../types.ts";
import { systemClock } from "./clock.ts";

/** How the TLS connection is made; all PEM. */
export interface TlsOptions {
  ca?: string | Buffer;
  cert?: string | Buffer;
  key?: string | Buffer;
  passphrase?: string;
  servername?: string;
  rejectUnauthorized?: boolean;
}

/** Who we are, asked again for each request. */
export interface Credentials {
  /** A new object each time something in it changed: connections are made anew then. */
  tls(): TlsOptions;
  /** Headers that prove it: `authorization`. */
  headers(): Promise<Record<string, string>> | Record<string, string>;
  /** Called on 401: reads everything again. Answers false when that cannot help. */
  refresh(): Promise<boolean>;
}

/** How the transport behaves; the defaults suit an operator. */
export interface TransportOptions {
  server: string;
  defaultNamespace: string;
  credentials: Credentials;
  userAgent: string;
  clock?: Clock;
  /** Connections for plain requests; default 5, which carried 1,000 writes a second here. */
  socketsMax?: number;
  /** Longest wait for headers and between parts of a plain body; default 20 s: a webhook may take 10. */
  silenceMaxMs?: number;
}

/** Of an error's body no more than this is read. */
const ERROR_BYTES_MAX = 65_536;
/** Pause of reading a stream whose reader does not keep up. */
const STREAM_BUFFER_CHUNKS = 64;

type Agents = { tls: TlsOptions; plain: http.Agent; streams: http.Agent };

/** A connection to one API server. Made by `connect()`. */
export class HttpTransport implements RestClient {
  readonly server: string;
  readonly defaultNamespace: string;
  readonly #url: URL;
  readonly #basePath: string;
  readonly #options: Required<TransportOptions>;
  readonly #open = new Set<http.ClientRequest>();
  #agents: Agents | undefined;
  #isClosed = false;

  constructor(options: TransportOptions) {
    const { clock = systemClock, socketsMax = 5, silenceMaxMs = 20_000 } = options;
    this.#options = { ...options, clock, socketsMax, silenceMaxMs };
    this.#url = new URL(options.server);
    this.#basePath = this.#url.pathname.replace(/\/$/, "");
    this.server = options.server;
    this.defaultNamespace = options.defaultNamespace;
  }

  performRequest(
    options: RequestOptions & { expectStream: true; expectJson: true },
  ): Promise<ReadableStream<JSONValue>>;
  performRequest(options: RequestOptions & { expectStream: true }): Promise<ReadableStream<Uint8Array>>;
  performRequest(options: RequestOptions & { expectJson: true }): Promise<JSONValue>;
  performRequest(options: RequestOptions): Promise<Uint8Array>;
  async performRequest(
    options: RequestOptions,
  ): Promise<JSONValue | Uint8Array | ReadableStream<Uint8Array> | ReadableStream<JSONValue>> {
    if (options.expectTunnel) throw new TypeError(`Cannot open a tunnel on "${options.path}": not supported`);
    const response = await this.#respond(options);
    if (options.expectStream) {
      const bytes = this.#streamOf(response, options);
      return options.expectJson ? bytes.pipeThrough(jsonLines()) : bytes;
    }
    const body = await this.#bodyOf(response, options, Infinity);
    if (!options.expectJson) return body;
    try {
      return JSON.parse(body.toString("utf8")) as JSONValue;
    } catch (cause) {
      throw new ApiError(0, `Cannot read the answer to ${options.method} ${options.path} as JSON`, { cause });
    }
  }

  /** Ends every open request and every connection. Later requests are refused. */
  close(): void {
    this.#isClosed = true;
    for (const request of this.#open) request.destroy(new Error("The connection was closed"));
    this.#dropAgents();
  }

  /** The response, once its status is a success; credentials are refreshed once on 401. */
  async #respond(options: RequestOptions): Promise<http.IncomingMessage> {
    const { credentials } = this.#options;
    for (let attempt = 1;; attempt++) {
      const headers = await credentials.headers();
      let response: http.IncomingMessage;
      try {
        response = await this.#send(options, headers);
      } catch (error) {
        // The server may close a kept connection just as it is used again: a read is then sent once more.
        if (attempt === 1 && options.method === "GET" && isStaleSocket(error)) continue;
        throw error;
      }
      const status = response.statusCode ?? 0;
      if (status >= 200 && status < 300) return response;
      const error = await this.#refusal(response, options, status);
      if (status !== 401 || attempt > 1 || !await credentials.refresh()) throw error;
    }
  }

  #send(options: RequestOptions, credentials: Record<string, string>): Promise<http.IncomingMessage> {
    const { clock, silenceMaxMs, userAgent } = this.#options;
    const signal = options.abortSignal;
    return new Promise((resolve, reject) => {
      if (this.#isClosed) return reject(new Error(`Cannot ${describe(options)}: the connection was closed`));
      if (signal?.aborted) return reject(abortReason(signal));
      const body = bodyBytes(options);
      const query = options.querystring?.toString();
      const agents = this.#agentsNow();
      const request = (this.#url.protocol === "https:" ? https : http).request({
        protocol: this.#url.protocol,
        hostname: this.#url.hostname.replace(/^\[|\]$/g, ""),
        port: this.#url.port || (this.#url.protocol === "https:" ? 443 : 80),
        method: options.method,
        path: this.#basePath + options.path + (query ? `?${query}` : ""),
        agent: options.expectStream ? agents.streams : agents.plain,
        ...(this.#url.protocol === "https:" ? agents.tls : {}),
        headers: {
          "user-agent": userAgent,
          accept: options.accept ?? "application/json",
          ...(body
            ? { "content-type": options.contentType ?? "application/json", "content-length": body.length }
            : {}),
          ...credentials,
        },
      });
      this.#open.add(request);
      const cancelDeadline = clock.setTimer(silenceMaxMs, () => {
        this.#dropIdleSockets();
        request.destroy(
          new DeadlineError(`Cannot ${describe(options)}: no answer within ${silenceMaxMs} ms`),
        );
      });
      const onAbort = () => request.destroy(abortReason(signal!));
      signal?.addEventListener("abort", onAbort, { once: true });
      request.on("response", (response) => {
        cancelDeadline();
        resolve(response);
      });
      request.on("error", (error) => {
        cancelDeadline();
        reject(
          error instanceof DeadlineError || signal?.aborted
            ? error
            : unreachable(options, this.server, error, request),
        );
      });
      request.on("close", () => {
        cancelDeadline();
        signal?.removeEventListener("abort", onAbort);
        this.#open.delete(request);
      });
      if (body) request.end(body);
      else request.end();
    });
  }

  /** Collects a plain body; each part must come within the deadline. */
  #bodyOf(response: http.IncomingMessage, options: RequestOptions, bytesMax: number): Promise<Buffer> {
    const { clock, silenceMaxMs } = this.#options;
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      let cancel = () => {};
      const arm = () => {
        cancel();
        cancel = clock.setTimer(silenceMaxMs, () => {
          this.#dropIdleSockets();
          const error = new DeadlineError(
            `Cannot ${describe(options)}: the answer stopped for ${silenceMaxMs} ms`,
          );
          reject(error);
          response.destroy(error);
        });
      };
      arm();
      response.on("data", (chunk: Buffer) => {
        arm();
        bytes += chunk.length;
        if (bytes <= bytesMax) chunks.push(chunk);
      });
      response.on("end", () => {
        cancel();
        if (response.complete) resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks));
        else reject(cutOff(options));
      });
      response.on("error", (error) => {
        cancel();
        reject(options.abortSignal?.aborted ? abortReason(options.abortSignal) : cutOff(options, error));
      });
      response.on("close", () => {
        cancel();
        reject(cutOff(options));
      });
    });
  }

  /** The body as a stream. Cancelling it closes the connection; its reader sets the deadline. */
  #streamOf(response: http.IncomingMessage, options: RequestOptions): ReadableStream<Uint8Array> {
    let isOver = false;
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        const fail = (cause?: Error) => {
          if (isOver) return;
          isOver = true;
          controller.error(
            options.abortSignal?.aborted ? abortReason(options.abortSignal) : cutOff(options, cause),
          );
        };
        response.on("data", (chunk: Buffer) => {
          if (isOver) return;
          controller.enqueue(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length));
          if ((controller.desiredSize ?? 0) <= 0) response.pause();
        });
        response.on("end", () => {
          if (isOver) return;
          if (!response.complete) return fail();
          isOver = true;
          controller.close();
        });
        response.on("error", fail);
        response.on("close", () => fail());
      },
      pull: () => {
        response.resume();
      },
      cancel: (reason) => {
        isOver = true;
        if (reason instanceof DeadlineError) this.#dropIdleSockets();
        response.destroy();
      },
    }, { highWaterMark: STREAM_BUFFER_CHUNKS });
  }

  /** What a refusal says. Never the raw body of something that is not a Status: it could hold anything. */
  async #refusal(response: http.IncomingMessage, options: RequestOptions, status: number): Promise<ApiError> {
    const retryAfter = Number(response.headers["retry-after"]);
    const retryAfterMs = Number.isFinite(retryAfter) && retryAfter >= 0 && response.headers["retry-after"]
      ? retryAfter * 1000
      : undefined;
    let parsed: Status | undefined;
    try {
      const body = await this.#bodyOf(response, options, ERROR_BYTES_MAX);
      parsed = JSON.parse(body.toString("utf8")) as Status;
    } catch {
      parsed = undefined; // An answer without a Status, from a proxy for example: the code alone has to do.
    }
    const isStatus = parsed?.kind === "Status";
    const message = (isStatus && parsed?.message) || `the server answered ${status}`;
    return new ApiError(status, `Cannot ${describe(options)}: ${message}`, {
      reason: isStatus ? parsed?.reason : undefined,
      details: isStatus ? parsed?.details : undefined,
      retryAfterMs,
    });
  }

  #agentsNow(): Agents {
    const tls = this.#options.credentials.tls();
    if (this.#agents?.tls === tls) return this.#agents;
    this.#dropAgents();
    const Agent = this.#url.protocol === "https:" ? https.Agent : http.Agent;
    const shared = { keepAlive: true, keepAliveMsecs: 10_000, scheduling: "lifo" as const };
    this.#agents = {
      tls,
      plain: new Agent({ ...shared, maxSockets: this.#options.socketsMax }),
      streams: new Agent({ ...shared, maxFreeSockets: 1 }),
    };
    return this.#agents;
  }

  #dropAgents(): void {
    this.#dropIdleSockets();
    this.#agents = undefined;
  }

  #dropIdleSockets(): void {
    for (const agent of this.#agents ? [this.#agents.plain, this.#agents.streams] : []) {
      for (const sockets of Object.values(agent.freeSockets)) sockets?.forEach((socket) => socket.destroy());
    }
  }
}

/** Splits a stream of bytes into lines and reads each as JSON. */
function jsonLines(): TransformStream<Uint8Array, JSONValue> {
  const decoder = new TextDecoder();
  let rest = "";
  return new TransformStream({
    transform(chunk, controller) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop()!;
      for (const line of lines) if (line) controller.enqueue(JSON.parse(line) as JSONValue);
    },
    flush(controller) {
      if (rest.trim()) controller.enqueue(JSON.parse(rest) as JSONValue);
    },
  });
}

function bodyBytes(options: RequestOptions): Uint8Array | undefined {
  if (options.bodyStream) {
    throw new TypeError(`Cannot ${describe(options)}: a body as stream is not supported`);
  }
  if (options.bodyRaw) return options.bodyRaw;
  return options.bodyJson === undefined ? undefined : Buffer.from(JSON.stringify(options.bodyJson));
}

function describe(options: RequestOptions): string {
  return `${options.method} ${options.path}`;
}

class UnreachableError extends Error {
  override readonly name = "UnreachableError";
  readonly isStaleSocket: boolean;
  constructor(message: string, cause: Error, isStaleSocket: boolean) {
    super(message, { cause });
    this.isStaleSocket = isStaleSocket;
  }
}

function unreachable(
  options: RequestOptions,
  server: string,
  error: Error & { code?: string },
  request: http.ClientRequest,
): Error {
  const what = error.code && !error.message.includes(error.code)
    ? `${error.code}: ${error.message}`
    : error.message;
  return new UnreachableError(
    `Cannot ${describe(options)} on ${server}: ${what || "connection failed"}`,
    error,
    request.reusedSocket,
  );
}

function isStaleSocket(error: unknown): boolean {
  return error instanceof UnreachableError && error.isStaleSocket;
}

function cutOff(options: RequestOptions, cause?: Error): Error {
  return new Error(`Cannot ${describe(options)}: the connection ended within the answer`, { cause });
}
