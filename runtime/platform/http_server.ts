/**
 * A small HTTP server for health and metrics.
 * @module
 */

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { ConfigurationError, messageOf } from "../errors.ts";

/** What a path answers. */
export interface Answer {
  status: number;
  body: string;
  contentType?: string;
}

/** Serves until closed. */
export interface HttpServer {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * @param options.host default: every address, IPv6 ones as well where there are any
 * @throws {ConfigurationError} when the port cannot be had
 */
export function serveHttp(
  options: { host?: string; port: number },
  answer: (path: string) => Answer,
): Promise<HttpServer> {
  const server = createServer((request, response) => {
    const { status, body, contentType } = request.method === "GET" || request.method === "HEAD"
      ? answerOf(answer, (request.url ?? "/").split("?")[0]!)
      : { status: 405, body: "Only GET\n", contentType: undefined };
    response.writeHead(status, {
      "content-type": contentType ?? "text/plain; charset=utf-8",
      "content-length": new TextEncoder().encode(body).length,
    });
    response.end(request.method === "HEAD" ? undefined : body);
  });
  server.requestTimeout = 10_000;
  server.keepAliveTimeout = 5_000;
  return new Promise((resolve, reject) => {
    server.once("error", (cause) => {
      const at = `${options.host ?? "any address"}:${options.port}`;
      reject(
        new ConfigurationError(`Cannot serve health and metrics on ${at}: ${messageOf(cause)}`, { cause }),
      );
    });
    server.listen(options.port, options.host, () => {
      resolve({ port: (server.address() as AddressInfo).port, close: () => close(server) });
    });
  });
}

/** What is thrown here would end the process. */
function answerOf(answer: (path: string) => Answer, path: string): Answer {
  try {
    return answer(path);
  } catch (error) {
    return { status: 500, body: `${messageOf(error)}\n` };
  }
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
