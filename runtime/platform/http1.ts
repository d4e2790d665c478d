/**
 * HTTP/1.1 on a socket: one request at a time, its answer handed on as it comes.
 *
 * Why not node:http: 4,000 small requests took 1.36 s of processor time and left 109 MiB resident on Deno 2.9.6 (1.69 s and
 * 157 MiB on Node 24) with it, 0.88 s and 71 MiB (0.98 s and 108 MiB) with this, and an operator is to be as light as one in
 * Go; docs/decisions/0006 has more. What it speaks is RFC 9112 as far as an API server and the proxies before it use it: bodies by
 * length, in chunks, or up to the end of the connection; interim answers are passed over; no pipelining, no upgrade.
 * @module
 */

import { Buffer } from "node:buffer";
import type { Socket } from "node:net";

/** Longest head of an answer: Go's servers send no more than a few hundred bytes. */
const HEAD_BYTES_MAX = 65_536;

/** Who hears of the answer. Exactly one of `onEnd` and `onError` comes last. */
export interface AnswerSink {
  onHead(status: number, headers: Map<string, string>): void;
  onData(chunk: Buffer): void;
  onEnd(): void;
  onError(error: Error): void;
}

/** What of the body is still to come. */
type Body =
  | { kind: "length"; left: number }
  | { kind: "close" }
  /** `left`: of the present chunk; -2: its size line is next, -1: the line end after its data, -3: the trailer. */
  | { kind: "chunks"; left: number };

const CHUNK_SIZE = -2;
const CHUNK_END = -1;
const TRAILER = -3;

/** A connection that carries one request after the other. */
export class Http1Connection {
  readonly socket: Socket;
  /** How many requests it has carried: a failure of a later one may only mean that the server closed it meanwhile. */
  requests = 0;
  /** When it was last given back, on the owner's clock. */
  idleSinceMs = 0;
  readonly #onClose: () => void;
  #sink: AnswerSink | undefined;
  #isHead = false;
  #rest: Buffer | undefined;
  #body: Body | undefined;
  #isReusable = true;
  #isDead = false;
  #error: Error | undefined;
  /** The request that is sent as soon as the connection is there. */
  #unsent: (() => void) | undefined;
  #isOpen = false;

  /**
   * @param opened the event of the socket that tells that bytes can leave: "connect" or "secureConnect"
   * @param onClose called once, when the connection cannot be used any more
   */
  constructor(socket: Socket, opened: "connect" | "secureConnect", onClose: () => void) {
    this.socket = socket;
    this.#onClose = onClose;
    socket.once(opened, () => {
      this.#isOpen = true;
      this.#unsent?.();
      this.#unsent = undefined;
    });
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("error", (error: Error) => {
      this.#error = error;
    });
    socket.on("end", () => this.#ended());
    socket.on("close", () => this.#ended());
  }

  /** True when another request may be sent. */
  get isFree(): boolean {
    return !this.#isDead && this.#isReusable && this.#sink === undefined;
  }

  /**
   * Sends one request. `request` is asked for its bytes when they leave at once, not into a buffer that waits for a
   * handshake; what it throws, the sink hears.
   *
   * @throws {Error} when the last one is not over
   */
  send(request: () => Buffer, sink: AnswerSink): void {
    if (!this.isFree) throw new Error("Cannot send a request on a connection that is in use or closed");
    this.requests += 1;
    this.#sink = sink;
    this.#isHead = true;
    this.#rest = undefined;
    const write = () => {
      try {
        this.socket.write(request());
      } catch (error) {
        this.destroy(error as Error);
      }
    };
    if (this.#isOpen) write();
    else this.#unsent = write;
  }

  /** Closes the connection; a request under way fails with `error`. */
  destroy(error?: Error): void {
    if (error) this.#error = error;
    this.socket.destroy();
    this.#ended();
  }

  #read(chunk: Buffer): void {
    if (!this.#sink) return this.destroy(); // Nobody asked: what a connection says then cannot be trusted.
    try {
      let rest: Buffer | undefined = this.#rest ? Buffer.concat([this.#rest, chunk]) : chunk;
      this.#rest = undefined;
      if (this.#isHead) rest = this.#readHead(rest);
      if (rest && this.#sink && !this.#isHead) this.#readBody(rest);
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  /** Answers with what follows the head, or keeps what is there of it. */
  #readHead(bytes: Buffer): Buffer | undefined {
    const end = bytes.indexOf("\r\n\r\n");
    if (end < 0) {
      if (bytes.length > HEAD_BYTES_MAX) {
        throw new Error(`The head of the answer is over ${HEAD_BYTES_MAX} bytes`);
      }
      this.#rest = bytes;
      return undefined;
    }
    const [statusLine = "", ...lines] = bytes.toString("latin1", 0, end).split("\r\n");
    const match = /^HTTP\/1\.([01]) (\d{3})(?: |$)/.exec(statusLine);
    if (!match) throw new Error(`The answer does not begin like HTTP: "${statusLine.slice(0, 40)}"`);
    const rest = bytes.subarray(end + 4);
    const status = Number(match[2]);
    if (status < 200) return rest.length > 0 ? this.#readHead(rest) : undefined;
    const headers = readHeaders(lines);
    this.#isHead = false;
    this.#isReusable = match[1] === "1" && !/(^|,)\s*close\s*(,|$)/i.test(headers.get("connection") ?? "");
    this.#body = bodyOf(status, headers);
    if (this.#body.kind === "close") this.#isReusable = false;
    this.#sink!.onHead(status, headers);
    if (this.#body.kind === "length" && this.#body.left === 0) {
      if (rest.length > 0) this.#isReusable = false;
      this.#over();
    }
    return rest.length > 0 ? rest : undefined;
  }

  #readBody(bytes: Buffer): void {
    const body = this.#body!;
    if (body.kind === "close") return this.#sink!.onData(bytes);
    if (body.kind === "length") {
      if (bytes.length > body.left) this.#isReusable = false;
      const mine = bytes.subarray(0, body.left);
      body.left -= mine.length;
      this.#sink!.onData(mine);
      if (body.left === 0) this.#over();
      return;
    }
    this.#readChunks(bytes, body);
  }

  #readChunks(bytes: Buffer, body: Body & { kind: "chunks" }): void {
    let at = 0;
    while (at < bytes.length && this.#sink) {
      if (body.left > 0) {
        const mine = bytes.subarray(at, at + body.left);
        at += mine.length;
        body.left -= mine.length;
        if (body.left === 0) body.left = CHUNK_END;
        this.#sink.onData(mine);
        continue;
      }
      const end = bytes.indexOf("\n", at);
      if (end < 0) {
        if (bytes.length - at > HEAD_BYTES_MAX) throw new Error("A chunk of the answer has no size");
        this.#rest = bytes.subarray(at);
        return;
      }
      const line = bytes.toString("latin1", at, end).trim();
      at = end + 1;
      if (body.left === CHUNK_END) {
        if (line !== "") throw new Error("A chunk of the answer is longer than it says");
        body.left = CHUNK_SIZE;
      } else if (body.left === CHUNK_SIZE) {
        const size = /^[0-9a-f]{1,12}(?=;|$|\s)/i.exec(line)?.[0];
        if (size === undefined) throw new Error(`A chunk of the answer has the size "${line.slice(0, 20)}"`);
        body.left = parseInt(size, 16) || TRAILER;
      } else if (line === "") {
        if (at < bytes.length) this.#isReusable = false;
        this.#over();
      }
    }
  }

  /** The answer is complete. */
  #over(): void {
    const sink = this.#sink;
    this.#sink = undefined;
    this.#body = undefined;
    if (!this.#isReusable) this.socket.destroy();
    sink?.onEnd();
  }

  #ended(): void {
    if (this.#isDead) return;
    this.#isDead = true;
    this.#unsent = undefined;
    const sink = this.#sink;
    const isWhole = !this.#isHead && this.#body?.kind === "close" && this.#error === undefined;
    this.#sink = undefined;
    this.socket.destroy();
    this.#onClose();
    if (isWhole) sink?.onEnd();
    else sink?.onError(this.#error ?? new Error("The server closed the connection"));
  }
}

function readHeaders(lines: string[]): Map<string, string> {
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon <= 0) throw new Error(`The answer has a header "${line.slice(0, 40)}"`);
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return headers;
}

function bodyOf(status: number, headers: Map<string, string>): Body {
  if (status === 204 || status === 304) return { kind: "length", left: 0 };
  if (headers.get("transfer-encoding")?.toLowerCase().endsWith("chunked")) {
    return { kind: "chunks", left: CHUNK_SIZE };
  }
  const length = headers.get("content-length");
  if (length === undefined) return { kind: "close" };
  if (!/^\d{1,15}$/.test(length)) throw new Error(`The answer has the length "${length.slice(0, 20)}"`);
  return { kind: "length", left: Number(length) };
}
