/**
 * Finds the API server and the credentials for it.
 *
 * In a pod that is the service account, and nothing but node:https is loaded on that way, so the first request leaves
 * within 150 ms of process start. Anywhere else it is a kubeconfig.
 * @module
 */

import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { ConfigurationError, messageOf } from "../errors.ts";
import type { Clock } from "../ports.ts";
import type { RestClient } from "../types.ts";
import { systemClock } from "./clock.ts";
import { readVariable } from "./environment.ts";
import { kubeConfigCredentials, staticCredentials, tokenFileCredentials } from "./credentials.ts";
import { type PlainKubeconfig, readPlainKubeconfig } from "./kubeconfig.ts";
import type { Credentials } from "./authentication.ts";
import { HttpTransport } from "./transport.ts";

/** A connection to one API server. */
export interface Connection extends RestClient {
  readonly server: string;
  readonly defaultNamespace: string;
  /** Ends every open request and every connection, so that the process can end. */
  close(): void;
}

/** Which API server, and as whom. */
export interface ConnectOptions {
  /** A kubeconfig file. Default: what KUBECONFIG says, then the pod's service account, then `~/.kube/config`. */
  kubeconfig?: string;
  /** A context of the kubeconfig; default its current one. */
  context?: string;
  /** The environment; default the process's. */
  env?: Record<string, string | undefined>;
  /** Default `typescript-operator`. */
  userAgent?: string;
  clock?: Clock;
  /** Where the service account is mounted; default `/var/run/secrets/kubernetes.io/serviceaccount`. */
  serviceAccount?: string;
}

const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

/**
 * Connects to the API server that the environment names. No request is made yet.
 *
 * @throws {ConfigurationError} when nothing names one, or what names it cannot be read
 * @example
 * const connection = await connect({ userAgent: "config-map-operator" });
 */
export async function connect(options: ConnectOptions = {}): Promise<Connection> {
  const env = options.env ?? {
    KUBECONFIG: readVariable("KUBECONFIG"),
    KUBERNETES_SERVICE_HOST: readVariable("KUBERNETES_SERVICE_HOST"),
    KUBERNETES_SERVICE_PORT: readVariable("KUBERNETES_SERVICE_PORT"),
  };
  const named = options.kubeconfig ?? env.KUBECONFIG;
  if (!named) {
    const inCluster = connectInCluster(options, env);
    if (inCluster) return inCluster;
  }
  const files = named
    ? named.split(delimiter).filter((file) => file !== "")
    : [join(homedir(), ".kube", "config")];
  const present = files.filter((file) => existsSync(file));
  if (present.length === 0) {
    throw new ConfigurationError(
      `Cannot find an API server: kubeconfig "${files.join(delimiter)}" does not exist` +
        (named ? "" : ", KUBECONFIG is not set, and this is not a pod"),
    );
  }
  return await connectWithKubeconfig(options, present);
}

function connectInCluster(
  options: ConnectOptions,
  env: Record<string, string | undefined>,
): Connection | undefined {
  const folder = options.serviceAccount ?? SERVICE_ACCOUNT;
  const host = env.KUBERNETES_SERVICE_HOST;
  const tokenFile = join(folder, "token");
  if (!host || !existsSync(tokenFile)) return undefined;
  const clock = options.clock ?? systemClock;
  const port = env.KUBERNETES_SERVICE_PORT ?? "443";
  const read = (name: string) => {
    try {
      return readFileSync(join(folder, name), "utf8");
    } catch (cause) {
      throw new ConfigurationError(`Cannot read "${join(folder, name)}": ${messageOf(cause)}`, { cause });
    }
  };
  return transport(options, {
    server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    namespace: existsSync(join(folder, "namespace")) ? read("namespace").trim() : "default",
    credentials: tokenFileCredentials(() => ({ ca: read("ca.crt") }), tokenFile, clock),
  });
}

async function connectWithKubeconfig(options: ConnectOptions, files: string[]): Promise<Connection> {
  const readPlain = () => files.length === 1 ? readPlainKubeconfig(files[0]!, options.context) : undefined;
  try {
    const plain = readPlain();
    if (plain) {
      return transport(options, {
        server: plain.server,
        namespace: plain.namespace,
        credentials: plainCredentials(plain, options.clock ?? systemClock, readPlain),
      });
    }
    return await connectWithClientNode(options, files);
  } catch (cause) {
    if (cause instanceof ConfigurationError) throw cause;
    throw new ConfigurationError(`Cannot use kubeconfig "${files.join(delimiter)}": ${messageOf(cause)}`, {
      cause,
    });
  }
}

function plainCredentials(
  plain: PlainKubeconfig,
  clock: Clock,
  again: () => PlainKubeconfig | undefined,
): Credentials {
  if (plain.tokenFile) return tokenFileCredentials(() => plain.tls, plain.tokenFile, clock);
  return staticCredentials(plain.tls, plain.token, () => {
    const fresh = again() ?? plain;
    return Promise.resolve(staticCredentials(fresh.tls, fresh.token));
  });
}

async function connectWithClientNode(options: ConnectOptions, files: string[]): Promise<Connection> {
  const { KubeConfig } = await import("@kubernetes/client-node");
  const load = () => {
    const config = new KubeConfig();
    config.loadFromFile(files[0]!);
    for (const file of files.slice(1)) {
      const more = new KubeConfig();
      more.loadFromFile(file);
      config.mergeConfig(more, true);
    }
    if (options.context !== undefined) config.setCurrentContext(options.context);
    // That package refuses plain HTTP unless told that there is no certificate to check.
    config.clusters = config.clusters.map((cluster) =>
      cluster.server.startsWith("http:") ? { ...cluster, skipTLSVerify: true } : cluster
    );
    return config;
  };
  const config = load();
  const context = config.getContextObject(config.getCurrentContext());
  const cluster = config.getCurrentCluster();
  if (!context || !cluster) {
    throw new ConfigurationError(
      `Cannot use kubeconfig "${files.join(delimiter)}": context "${config.getCurrentContext()}" ` +
        (context ? `names cluster "${context.cluster}", which is not there` : "is not there"),
    );
  }
  if (cluster.proxyUrl) {
    throw new ConfigurationError(
      `Cannot use kubeconfig "${files.join(delimiter)}": cluster "${cluster.name}" asks for a proxy ` +
        "(proxy-url), and proxies are not supported",
    );
  }
  return transport(options, {
    server: cluster.server,
    namespace: context.namespace ?? "default",
    credentials: await kubeConfigCredentials(() => Promise.resolve(load()), options.clock ?? systemClock),
  });
}

function transport(
  options: ConnectOptions,
  found: { server: string; namespace: string; credentials: Credentials },
): Connection {
  return new HttpTransport({
    server: found.server,
    defaultNamespace: found.namespace,
    credentials: found.credentials,
    userAgent: options.userAgent ?? "typescript-operator",
    clock: options.clock,
  });
}
