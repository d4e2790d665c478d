/**
 * The connections to one API server: few, kept, and used again.
 *
 * Plain requests share `plainMax` of them and wait their turn, a watch has one as long as it lasts, and the renewal of a
 * lease takes one without waiting. The one used last is
 * used first, so those that are not needed grow old and are closed: after a minute a load balancer between may have
 * forgotten them, and a write on such a connection would hang.
 * @module
 */

import net from "node:net";
import tls from "node:tls";
import { abortReason, type Clock } from "../ports.ts";
import { Http1Connection } from "./http1.ts";
import type { TlsOptions } from "./authentication.ts";

const IDLE_MAX_MS = 60_000;
/** The kernel asks a silent peer whether it is there. */
const KEEP_ALIVE_MS = 10_000;

/** What the pool needs. */
export interface ConnectionsOptions {
  url: URL;
  plainMax: number;
  clock: Clock;
}

type Turn = { start: () => void };

/** A pool of connections. */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #all = new Set<Http1Connection>();
  readonly #turns: Turn[] = [];
  #idle: { connection: Http1Connection; tls: TlsOptions }[] = [];
  #plain = 0;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  /** Waits for this request's turn; the returned function ends it and must be called once. */
  async turn(signal: AbortSignal | undefined): Promise<() => void> {
    if (this.#plain >= this.#options.plainMax) {
      await new Promise<void>((resolve, reject) => {
        const onAbort = () => {
          this.#turns.splice(this.#turns.indexOf(turn), 1);
          reject(abortReason(signal!));
        };
        const turn: Turn = {
          start: () => {
            signal?.removeEventListener("abort", onAbort);
            resolve();
          },
        };
        this.#turns.push(turn);
        signal?.addEventListener("abort", onAbort, { once: true });
      });
    } else {
      this.#plain += 1;
    }
    return () => {
      const next = this.#turns.shift();
      if (next) next.start();
      else this.#plain -= 1;
    };
  }

  /** An idle connection with these credentials, or a new one. */
  take(options: TlsOptions): Http1Connection {
    this.#closeOld();
    while (this.#idle.length > 0) {
      const { connection, tls } = this.#idle.pop()!;
      if (!connection.isFree) continue;
      if (tls === options) {
        connection.socket.ref();
        return connection;
      }
      connection.destroy();
    }
    const opened = this.#options.url.protocol === "https:" ? "secureConnect" : "connect";
    const connection: Http1Connection = new Http1Connection(this.#connect(options), opened, () => {
      this.#all.delete(connection);
    });
    this.#all.add(connection);
    return connection;
  }

  /** Gives a connection back. It does not hold the event loop open while nobody uses it. */
  give(connection: Http1Connection, options: TlsOptions): void {
    if (!connection.isFree) return;
    connection.idleSinceMs = this.#options.clock.monotonic();
    connection.socket.unref();
    this.#idle.push({ connection, tls: options });
  }

  /** Closes what nobody uses: another connection was found silent, and these went the same way. */
  dropIdle(): void {
    for (const { connection } of this.#idle.splice(0)) connection.destroy();
  }

  /** Closes everything; requests under way fail with `error`. */
  close(error: Error): void {
    this.#idle = [];
    for (const connection of [...this.#all]) connection.destroy(error);
  }

  #closeOld(): void {
    const oldestMs = this.#options.clock.monotonic() - IDLE_MAX_MS;
    this.#idle = this.#idle.filter(({ connection }) => {
      if (connection.idleSinceMs >= oldestMs) return true;
      connection.destroy();
      return false;
    });
  }

  #connect(options: TlsOptions): net.Socket {
    const { url } = this.#options;
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const isTls = url.protocol === "https:";
    const port = Number(url.port) || (isTls ? 443 : 80);
    const socket = isTls
      ? tls.connect({
        host,
        port,
        ...options,
        servername: options.servername ?? (net.isIP(host) ? "" : host),
        ALPNProtocols: ["http/1.1"],
      })
      : net.connect({ host, port });
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    return socket;
  }
}
