/**
 * A TCP proxy for tests: hands bytes on, and can go silent without a close, cut, or refuse.
 *
 * It does not look inside, so it stands before a TLS server as well as before a plain one.
 * @module
 */

import net from "node:net";

/** One client's connection and the one behind it. */
interface Pair {
  client: net.Socket;
  server: net.Socket;
}

/** Stands between a client and a server on loopback. */
export class TcpProxy {
  readonly #upstream: { host: string; port: number };
  readonly #pairs = new Set<Pair>();
  #listener: net.Server | undefined;
  #port = 0;

  private constructor(upstream: { host: string; port: number }) {
    this.#upstream = upstream;
  }

  /** Listens on a free port. */
  static async start(upstream: { host: string; port: number }): Promise<TcpProxy> {
    const proxy = new TcpProxy(upstream);
    await proxy.listen();
    return proxy;
  }

  get port(): number {
    return this.#port;
  }

  /** Connections that clients hold. */
  get connections(): number {
    return this.#pairs.size;
  }

  /** Accepts connections, on the same port each time. */
  async listen(): Promise<void> {
    const listener = net.createServer((client) => this.#accept(client));
    await new Promise<void>((resolve, reject) => {
      listener.once("error", reject);
      listener.listen(this.#port, "127.0.0.1", () => resolve());
    });
    this.#port = (listener.address() as net.AddressInfo).port;
    this.#listener = listener;
  }

  /** Every connection that is open now goes silent: no byte in either direction, and no close. */
  silence(): void {
    for (const { client, server } of this.#pairs) {
      client.unpipe(server);
      server.unpipe(client);
      client.pause();
      server.pause();
    }
  }

  /** Breaks every connection. */
  cut(): void {
    for (const { client, server } of [...this.#pairs]) {
      client.destroy();
      server.destroy();
    }
  }

  /** Breaks every connection and accepts none: what a process that died looks like. */
  async refuse(): Promise<void> {
    const listener = this.#listener;
    this.#listener = undefined;
    const closed = new Promise<void>((resolve) => listener ? listener.close(() => resolve()) : resolve());
    this.cut();
    await closed;
  }

  /** Leaves nothing open. */
  close(): Promise<void> {
    return this.refuse();
  }

  #accept(client: net.Socket): void {
    const server = net.connect(this.#upstream);
    const pair = { client, server };
    this.#pairs.add(pair);
    client.setNoDelay(true);
    server.setNoDelay(true);
    const over = () => {
      this.#pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) {
      socket.on("error", over);
      socket.on("close", over);
    }
    client.pipe(server);
    server.pipe(client);
  }
}
