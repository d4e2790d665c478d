/**
 * The transport: requests to one API server, on Deno and Node alike.
 *
 * HTTP/1.1 on purpose: on Deno a fetch over HTTP/2 can stall in a body for ever (denoland/deno #21749). What it promises:
 * - Nothing waits for ever. The head of an answer, and each part of a plain body, have a deadline, on writes as on
 *   reads; a stream has none of its own, because only its reader knows how long silence is normal.
 * - Few connections, kept and used again: see connections.ts.
 * - Credentials are asked for at each request and refreshed once on 401.
 * - When one connection turns out to be silent, the idle ones are dropped too.
 * @module
 */

import { Buffer } from "node:buffer";
import { ApiError, DeadlineError, type Status } from "../errors.ts";
import { abortReason, type Clock } from "../ports.ts";
import type { JSONValue, RequestOptions, RestClient } from "../types.ts";
import { parseWarnings } from "../warnings.ts";
import type { Credentials, Identity } from "./authentication.ts";
import { systemClock } from "./clock.ts";
import { Connections } from "./connections.ts";

/** How the transport behaves; the defaults suit an operator. */
export interface TransportOptions {
  server: string;
  defaultNamespace: string;
  credentials: Credentials;
  userAgent: string;
  clock?: Clock;
  /** Connections for plain requests; default 5, which carried 1,000 writes a second here. */
  socketsMax?: number;
  /** Longest wait for the head and between parts of a plain body; default 20 s: a webhook may take 10. */
  silenceMaxMs?: number;
}

/** Of an error's body no more than this is read. */
const ERROR_BYTES_MAX = 65_536;
/** A stream whose reader is this far behind is not read on. */
const STREAM_CHUNKS_MAX = 64;

/** An answer whose head has come. `drain` is called once, and all that follows goes to it. */
interface Answer {
  status: number;
  headers: Map<string, string>;
  drain(sink: { onData(chunk: Buffer): void; onEnd(): void; onError(error: Error): void }): void;
  /** Stops or goes on reading the socket. */
  flow(isOpen: boolean): void;
  /** Closes the connection; the sink hears of `error`. */
  destroy(error: Error): void;
}

/** A connection to one API server. Made by `connect()`. */
export class HttpTransport implements RestClient {
  readonly server: string;
  readonly defaultNamespace: string;
  readonly #url: URL;
  readonly #basePath: string;
  readonly #options: Required<TransportOptions>;
  readonly #connections: Connections;
  #isClosed = false;

  constructor(options: TransportOptions) {
    const { clock = systemClock, socketsMax = 5, silenceMaxMs = 20_000 } = options;
    this.#options = { ...options, clock, socketsMax, silenceMaxMs };
    this.#url = new URL(options.server);
    this.#basePath = this.#url.pathname.replace(/\/$/, "");
    this.server = options.server;
    this.defaultNamespace = options.defaultNamespace;
    this.#connections = new Connections({ url: this.#url, plainMax: socketsMax, clock });
  }

  performRequest(options: RequestOptions & { expectTunnel: string[] }): Promise<never>;
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
    if (options.expectStream) {
      const bytes = this.#streamOf(await this.#respond(options), options);
      return options.expectJson ? bytes.pipeThrough(jsonLines()) : bytes;
    }
    const endTurn = options.isUrgent ? () => {} : await this.#connections.turn(options.abortSignal);
    let body: Buffer;
    try {
      body = await this.#bodyOf(await this.#respond(options), options, Infinity);
    } finally {
      endTurn();
    }
    if (!options.expectJson) return body;
    try {
      return JSON.parse(body.toString("utf8")) as JSONValue;
    } catch (cause) {
      throw new ApiError(0, `Cannot read the answer to ${describe(options)} as JSON`, { cause });
    }
  }

  /** Ends every open request and every connection. Later requests are refused. */
  close(): void {
    this.#isClosed = true;
    this.#connections.close(new Error("The connection was closed"));
  }

  /** The answer, once its status is a success; credentials are refreshed once on 401. */
  async #respond(options: RequestOptions): Promise<Answer> {
    const { credentials } = this.#options;
    let mayResend = options.method === "GET", mayRefresh = true;
    while (true) {
      const given = credentials.headers();
      const sent = { headers: given instanceof Promise ? await given : given, tls: credentials.tls() };
      let answer: Answer;
      try {
        answer = await this.#send(options, sent);
      } catch (error) {
        // The server may close a kept connection just as it is used again: a read is then sent once more.
        if (!mayResend || !(error instanceof UnreachableError) || !error.isStale) throw error;
        mayResend = false;
        continue;
      }
      if (options.onWarning) {
        for (const text of parseWarnings(answer.headers.get("warning") ?? "")) options.onWarning(text);
      }
      if (answer.status >= 200 && answer.status < 300) return answer;
      const error = await this.#refusal(answer, options);
      if (answer.status !== 401 || !mayRefresh || !await credentials.refresh(sent)) throw error;
      mayRefresh = false;
    }
  }

  /** Sends the request and waits for the head of its answer. */
  #send(options: RequestOptions, { headers: credentials, tls }: Identity): Promise<Answer> {
    const { clock, silenceMaxMs } = this.#options;
    const signal = options.abortSignal;
    return new Promise((resolve, reject) => {
      if (this.#isClosed) return reject(new Error(`Cannot ${describe(options)}: the connection was closed`));
      if (signal?.aborted) return reject(abortReason(signal));
      const bytes = this.#requestBytes(options, credentials);
      let refusal: unknown;
      const request = () => {
        try {
          options.beforeSend?.();
        } catch (error) {
          throw refusal = error;
        }
        return bytes;
      };
      const connection = this.#connections.take(tls);
      const isStale = connection.requests > 0;
      const inbox = new Inbox();
      const cancelDeadline = clock.setTimer(silenceMaxMs, () => {
        this.#connections.dropIdle();
        connection.destroy(
          new DeadlineError(`Cannot ${describe(options)}: no answer within ${silenceMaxMs} ms`),
        );
      });
      const onAbort = () => {
        const reason = abortReason(signal!);
        // Its caller did not wait as long as we would have, and found the same.
        if (reason instanceof DeadlineError) this.#connections.dropIdle();
        connection.destroy(reason);
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      const isOver = () => {
        cancelDeadline();
        signal?.removeEventListener("abort", onAbort);
      };
      connection.send(request, {
        onHead: (status, headers) => {
          cancelDeadline();
          resolve({
            status,
            headers,
            drain: (sink) => inbox.connect(sink),
            flow: (isOpen) => isOpen ? connection.socket.resume() : connection.socket.pause(),
            destroy: (error) => connection.destroy(error),
          });
        },
        onData: (chunk) => inbox.onData(chunk),
        onEnd: () => {
          isOver();
          connection.socket.resume();
          this.#connections.give(connection, tls);
          inbox.onEnd();
        },
        onError: (error) => {
          isOver();
          const isTold = error === refusal || error instanceof DeadlineError || signal?.aborted;
          reject(isTold ? error : new UnreachableError(options, this.server, error, isStale));
          inbox.onError(isTold ? error : cutOff(options, error));
        },
      });
    });
  }

  #requestBytes(options: RequestOptions, credentials: Record<string, string>): Buffer {
    const body = bodyBytes(options);
    const query = options.querystring?.toString();
    const headers: Record<string, string> = {
      host: this.#url.host,
      "user-agent": this.#options.userAgent,
      accept: options.accept ?? "application/json",
      ...credentials,
    };
    if (body) {
      headers["content-type"] = options.contentType ?? "application/json";
      headers["content-length"] = String(body.length);
    }
    let head = `${options.method} ${this.#basePath}${options.path}${query ? `?${query}` : ""} HTTP/1.1\r\n`;
    for (const name in headers) head += `${name}: ${headers[name]}\r\n`;
    // A line break in a name or token would begin another header, or another request.
    if (
      /[^\x20-\x7e\x80-\xff]/.test(head.replaceAll("\r\n", "")) ||
      head.split("\r\n").length !== Object.keys(headers).length + 2
    ) {
      throw new TypeError(
        `Cannot send ${options.method} request: its path or a header has a control character`,
      );
    }
    const bytes = Buffer.from(`${head}\r\n`, "latin1");
    return body ? Buffer.concat([bytes, body]) : bytes;
  }

  /** Collects a plain body; each part must come within the deadline. */
  #bodyOf(answer: Answer, options: RequestOptions, bytesMax: number): Promise<Buffer> {
    const { clock, silenceMaxMs } = this.#options;
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      let cancel = () => {};
      const arm = () => {
        cancel();
        cancel = clock.setTimer(silenceMaxMs, () => {
          this.#connections.dropIdle();
          answer.destroy(
            new DeadlineError(`Cannot ${describe(options)}: the answer stopped for ${silenceMaxMs} ms`),
          );
        });
      };
      arm();
      answer.drain({
        onData: (chunk) => {
          arm();
          bytes += chunk.length;
          if (bytes <= bytesMax) chunks.push(chunk);
        },
        onEnd: () => {
          cancel();
          resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks));
        },
        onError: (error) => {
          cancel();
          reject(error);
        },
      });
    });
  }

  /** The body as a stream. Cancelling it closes the connection; its reader sets the deadline. */
  #streamOf(answer: Answer, options: RequestOptions): ReadableStream<Uint8Array> {
    let isOver = false;
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        answer.drain({
          onData: (chunk) => {
            if (isOver) return;
            controller.enqueue(chunk);
            if ((controller.desiredSize ?? 0) <= 0) answer.flow(false);
          },
          onEnd: () => {
            if (isOver) return;
            isOver = true;
            controller.close();
          },
          onError: (error) => {
            if (isOver) return;
            isOver = true;
            controller.error(error);
          },
        });
      },
      pull: () => {
        if (!isOver) answer.flow(true);
      },
      cancel: (reason) => {
        if (isOver) return;
        isOver = true;
        if (reason instanceof DeadlineError) this.#connections.dropIdle();
        answer.destroy(cutOff(options));
      },
    }, { highWaterMark: STREAM_CHUNKS_MAX });
  }

  /** What a refusal says. Never the raw body of something that is not a Status: it could hold anything. */
  async #refusal(answer: Answer, options: RequestOptions): Promise<ApiError> {
    const { status } = answer;
    const retryAfter = answer.headers.get("retry-after");
    const retryAfterMs = retryAfter && /^\d{1,9}$/.test(retryAfter) ? Number(retryAfter) * 1000 : undefined;
    let parsed: Status | undefined;
    try {
      const body = await this.#bodyOf(answer, options, ERROR_BYTES_MAX);
      const value = JSON.parse(body.toString("utf8")) as Status;
      if (value?.kind === "Status") parsed = value;
    } catch (error) {
      if (options.abortSignal?.aborted) throw error;
      parsed = undefined; // An answer without a Status, from a proxy for example: the code alone has to do.
    }
    const message = parsed?.message || `the server answered ${status}`;
    return new ApiError(status, `Cannot ${describe(options)}: ${message}`, {
      reason: parsed?.reason,
      details: parsed?.details,
      retryAfterMs,
    });
  }
}

/** Keeps what comes between the head of an answer and the one who wants its body. */
class Inbox {
  #sink: { onData(chunk: Buffer): void; onEnd(): void; onError(error: Error): void } | undefined;
  #chunks: Buffer[] = [];
  #end: { error?: Error } | undefined;

  connect(sink: { onData(chunk: Buffer): void; onEnd(): void; onError(error: Error): void }): void {
    this.#sink = sink;
    for (const chunk of this.#chunks.splice(0)) sink.onData(chunk);
    if (this.#end?.error) sink.onError(this.#end.error);
    else if (this.#end) sink.onEnd();
  }

  onData(chunk: Buffer): void {
    if (this.#sink) this.#sink.onData(chunk);
    else this.#chunks.push(chunk);
  }

  onEnd(): void {
    this.#end = {};
    this.#sink?.onEnd();
  }

  onError(error: Error): void {
    this.#end = { error };
    this.#sink?.onError(error);
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
      for (const line of lines) if (line.trim()) controller.enqueue(JSON.parse(line) as JSONValue);
    },
    flush(controller) {
      if (rest.trim()) controller.enqueue(JSON.parse(rest) as JSONValue);
    },
  });
}

function bodyBytes(options: RequestOptions): Buffer | undefined {
  if (options.bodyStream) {
    throw new TypeError(`Cannot ${describe(options)}: a body as stream is not supported`);
  }
  if (options.bodyRaw) return Buffer.from(options.bodyRaw);
  return options.bodyJson === undefined ? undefined : Buffer.from(JSON.stringify(options.bodyJson));
}

function describe(options: RequestOptions): string {
  return `${options.method} ${options.path}`;
}

/** No answer came: refused, reset, no such host, a certificate that is not trusted. */
class UnreachableError extends Error {
  override readonly name = "UnreachableError";
  /** The connection had been used before, so the server may just have closed it. */
  readonly isStale: boolean;

  constructor(options: RequestOptions, server: string, cause: Error & { code?: string }, isStale: boolean) {
    const what = cause.code && !cause.message.includes(cause.code)
      ? `${cause.code}: ${cause.message}`
      : cause.message;
    super(`Cannot ${describe(options)} on ${server}: ${what || "connection failed"}`, { cause });
    this.isStale = isStale && cause.code !== "ECONNREFUSED";
  }
}

function cutOff(options: RequestOptions, cause?: Error): Error {
  return new Error(`Cannot ${describe(options)}: the connection ended within the answer`, { cause });
}
