/**
 * A server on loopback that writes its answers byte by byte, as a test says.
 * @module
 */

import * as assert from "uvu/assert";
import net from "node:net";
import type { Credentials } from "../../runtime/platform/authentication.ts";
import { HttpTransport } from "../../runtime/platform/transport.ts";
import { within } from "../within.ts";
import { FakeClock } from "./fake_clock.ts";

/** Writes to the client. */
export type Write = (text: string) => void;
/** A connection as the server saw it. */
export type Connection = { requests: string[]; socket: net.Socket };

/** A server that calls `answer` with each request's head and body. */
export async function serve(answer: (request: string, write: Write, socket: net.Socket) => void) {
  const connections: Connection[] = [];
  const server = net.createServer((socket) => {
    const connection: Connection = { requests: [], socket };
    connections.push(connection);
    let received = "";
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1");
      while (true) {
        const end = received.indexOf("\r\n\r\n");
        if (end < 0) return;
        const length = Number(/content-length: (\d+)/i.exec(received.slice(0, end))?.[1] ?? 0);
        if (received.length < end + 4 + length) return;
        const request = received.slice(0, end + 4 + length);
        received = received.slice(end + 4 + length);
        connection.requests.push(request);
        answer(request, (text) => socket.write(text), socket);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const port = (server.address() as net.AddressInfo).port;
  return {
    port,
    connections,
    get requests() {
      return connections.flatMap((connection) => connection.requests);
    },
    close() {
      for (const { socket } of connections) socket.destroy();
      return new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

export const noTls = {};
export const noCredentials: Credentials = {
  tls: () => noTls,
  headers: () => ({}),
  refresh: () => Promise.resolve(false),
};
/** A whole answer. */
export const json = (body: unknown, status = "200 OK", more = "") => {
  const text = JSON.stringify(body);
  return `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${text.length}\r\n${more}\r\n${text}`;
};
export const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;
export const chunkedHead = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

/** A transport to such a server, under a fake clock; nothing may be left open. */
export async function withServer(
  answer: (request: string, write: Write, socket: net.Socket) => void,
  body: (
    t: { transport: HttpTransport; clock: FakeClock; server: Awaited<ReturnType<typeof serve>> },
  ) => Promise<void>,
  credentials: Credentials = noCredentials,
): Promise<void> {
  const server = await serve(answer);
  const clock = new FakeClock();
  const transport = new HttpTransport({
    server: `http://127.0.0.1:${server.port}/base/`,
    defaultNamespace: "default",
    credentials,
    userAgent: "test/1",
    clock,
  });
  try {
    await within(10_000, body({ transport, clock, server }), "the transport");
    assert.is(clock.pending, 0, "no timer is left");
  } finally {
    transport.close();
    await server.close();
  }
}

/** What it fails with. */
export async function failure(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error("It did not fail");
}

export const get = { method: "GET", path: "/x", expectJson: true } as const;
