/**
 * What each test starts from: an API server, a namespace of its own, proxies before the operator, and everything
 * closed at the end.
 * @module
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, type Clock, connect, type Connection } from "../../runtime/mod.ts";
import { configMaps, namespaces } from "../../types/core/v1.ts";
import { until } from "../within.ts";
import { HttpProxy } from "./http_proxy.ts";
import { converged, each, Mirror, source, unmirrored } from "./mirror.ts";
import { fastClock, type Target, writeKubeconfig } from "./target.ts";
import { TcpProxy } from "./tcp_proxy.ts";

/** One test's surroundings. */
export class World {
  readonly target: Target;
  readonly namespace: string;
  /** Speaks to the API server past the proxies, in real time. */
  readonly direct: Client;
  readonly clock: Clock;
  /** For files of this test. */
  readonly folder: string;
  readonly #ends: (() => Promise<void>)[] = [];
  readonly #mirrors: Mirror[] = [];

  private constructor(target: Target, namespace: string, folder: string, rest: Connection) {
    this.target = target;
    this.namespace = namespace;
    this.folder = folder;
    this.direct = new Client(rest, { fieldManager: "conformance" });
    this.clock = fastClock(target.speed);
  }

  /** Runs a test in its own namespace and closes everything after it, also when it failed. */
  static async of(target: Target, test: (world: World) => Promise<void>): Promise<void> {
    const folder = await mkdtemp(join(tmpdir(), "conformance-"));
    const rest = await connect({ kubeconfig: await writeKubeconfig(folder, target.upstream) });
    const namespace = `conformance-${Math.random().toString(36).slice(2, 8)}`;
    const world = new World(target, namespace, folder, rest);
    let failure: unknown;
    try {
      await world.direct.create(namespaces, {
        apiVersion: "v1",
        kind: "Namespace",
        metadata: { name: namespace },
      });
      await test(world);
    } catch (error) {
      failure = error;
    }
    for (const end of world.#ends.reverse()) await end().catch((error) => failure ??= error);
    await world.direct.delete(namespaces, { name: namespace }).catch((error) => failure ??= error);
    rest.close();
    await rm(folder, { recursive: true });
    if (failure === undefined) return;
    const said = world.#mirrors.flatMap(({ log }) => log.slice(-12)).join("\n");
    const { message, stack } = failure instanceof Error ? failure : new Error(String(failure));
    throw Object.assign(new Error(`${message}\n${said}`, { cause: failure }), { stack: `${stack}\n${said}` });
  }

  /** Closed after the test, last opened first. */
  onEnd(end: () => Promise<void>): void {
    this.#ends.push(end);
  }

  /** An HTTP proxy before the API server. It must have no connection left when the operator has stopped. */
  async httpProxy(): Promise<HttpProxy> {
    const proxy = await HttpProxy.start(this.target.upstream);
    this.onEnd(() => proxy.close());
    this.onEnd(async () => {
      await until(20_000, "the operator to have closed its connections", () => proxy.connections === 0);
    });
    return proxy;
  }

  /** A TCP proxy before the API server. */
  async tcpProxy(): Promise<TcpProxy> {
    const { hostname, port } = this.target.upstream.url;
    const proxy = await TcpProxy.start({ host: hostname, port: Number(port) || 443 });
    this.onEnd(() => proxy.close());
    return proxy;
  }

  /** The operator, made and not yet started; through a proxy when one is given. Stopped after the test. */
  async mirror(through?: HttpProxy | TcpProxy, more: { tokenFile?: string } = {}): Promise<Mirror> {
    const { upstream, speed } = this.target;
    const kubeconfig = through instanceof HttpProxy
      ? await writeKubeconfig(this.folder, { url: through.url, tls: {}, headers: {} }, more)
      : await writeKubeconfig(this.folder, upstream, through ? { port: through.port } : {});
    const mirror = await Mirror.open(kubeconfig, this.namespace, this.clock, speed);
    this.#mirrors.push(mirror);
    this.onEnd(() => mirror.stop());
    return mirror;
  }

  /** The operator, started, and all sources mirrored. */
  async running(through?: HttpProxy | TcpProxy, more: { tokenFile?: string } = {}): Promise<Mirror> {
    const mirror = await this.mirror(through, more);
    mirror.run();
    await this.converged(mirror);
    await until(10_000, "the operator to watch", () => mirror.informer.hasSynced);
    return mirror;
  }

  /** Creates sources, or gives them this value. */
  async write(names: Iterable<string>, value: string): Promise<void> {
    await each(names, 8, (name) => this.direct.apply(configMaps, source(this.namespace, name, { value })));
  }

  /** Deletes sources. */
  async remove(names: Iterable<string>): Promise<void> {
    await each(names, 8, (name) => this.direct.delete(configMaps, { namespace: this.namespace, name }));
  }

  /** True when every source has its mirror. */
  async hasConverged(): Promise<boolean> {
    return await unmirrored(this.direct, this.namespace) === undefined;
  }

  /** Waits until every source has its mirror; answers after how many milliseconds. */
  converged(mirror: Mirror, ms = 30_000): Promise<number> {
    return converged(this.direct, this.namespace, mirror, ms);
  }
}
