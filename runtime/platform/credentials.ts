/**
 * Where the credentials of a connection come from: the pod's service account, a plain kubeconfig, or whatever
 * @kubernetes/client-node can make of one.
 * @module
 */

import { readFile } from "node:fs/promises";
import { Buffer } from "node:buffer";
import { ConfigurationError, messageOf } from "../errors.ts";
import type { Clock } from "../ports.ts";
import type { Credentials, Identity, TlsOptions } from "./authentication.ts";

/** A token file is read again at least this often: the kubelet rotates it, client-go reads it each minute. */
const TOKEN_AGE_MAX_MS = 60_000;
/** A refresh on 401 is not done more often than this, so a refused token does not mean a read per request. */
const REFRESH_AGE_MIN_MS = 1_000;

/** Credentials with a fixed token, or none: a certificate, or plain HTTP. */
export function staticCredentials(
  tls: TlsOptions,
  token?: string,
  reload?: () => Promise<Credentials>,
): Credentials {
  let current: Identity = { tls, headers: token ? { authorization: `Bearer ${token}` } : {} };
  const read = shared(async () => {
    const fresh = await reload!();
    const [headers, freshTls] = [await fresh.headers(), fresh.tls()];
    current = { headers, tls: sameTls(freshTls, current.tls) ? current.tls : freshTls };
  });
  return {
    tls: () => current.tls,
    headers: () => current.headers,
    async refresh(sent) {
      if (reload && isSame(sent, current)) await read();
      return !isSame(sent, current);
    },
  };
}

/** Credentials with a token in a file, read again each minute, with the CA beside it, and at once on 401. */
export function tokenFileCredentials(readTls: () => TlsOptions, file: string, clock: Clock): Credentials {
  let tls = readTls();
  let token = "";
  let readAtMs = -Infinity;
  const read = shared(async () => {
    try {
      token = (await readFile(file, "utf8")).trim();
      const fresh = readTls();
      if (!sameTls(fresh, tls)) tls = fresh;
      readAtMs = clock.monotonic();
    } catch (cause) {
      // A token that was read before may still be good; without any there is nothing to try.
      if (!token) {
        throw new ConfigurationError(`Cannot read the token file "${file}": ${messageOf(cause)}`, { cause });
      }
    }
  });
  const current = () => ({ tls, headers: { authorization: `Bearer ${token}` } });
  return {
    tls: () => tls,
    async headers() {
      if (clock.monotonic() - readAtMs >= TOKEN_AGE_MAX_MS) await read();
      return current().headers;
    },
    async refresh(sent) {
      const mayRead = clock.monotonic() - readAtMs >= REFRESH_AGE_MIN_MS;
      if (mayRead && isSame(sent, current())) await read();
      return !isSame(sent, current());
    },
  };
}

/** The part of a KubeConfig of @kubernetes/client-node that is used. */
interface KubeConfigLike {
  applyToHTTPSOptions(options: object): Promise<void>;
}

/**
 * Credentials that @kubernetes/client-node works out: exec, OIDC, passwords, auth providers. It caches what it can and
 * is asked at each request, once for those that are sent together: a plugin that gives no expiry runs each time. On 401
 * the kubeconfig is read anew.
 */
export async function kubeConfigCredentials(
  load: () => Promise<KubeConfigLike>,
  clock: Clock,
): Promise<Credentials> {
  let config = await load();
  let current: Identity = { tls: {}, headers: {} };
  let readAtMs = -Infinity;
  const askNow = async () => {
    const options: TlsOptions & { headers?: Record<string, string>; auth?: string; agent?: unknown } = {};
    await config.applyToHTTPSOptions(options);
    const { headers: given = {}, auth, agent: _agent, ...rest } = options;
    const fresh: TlsOptions = {
      ca: rest.ca,
      cert: rest.cert,
      key: rest.key,
      passphrase: rest.passphrase,
      servername: rest.servername,
      rejectUnauthorized: rest.rejectUnauthorized,
    };
    const found: Record<string, string> = {};
    for (const [name, value] of Object.entries(given)) found[name.toLowerCase()] = value;
    if (auth) found.authorization = `Basic ${Buffer.from(auth).toString("base64")}`;
    current = { headers: found, tls: sameTls(fresh, current.tls) ? current.tls : fresh };
  };
  const ask = shared(askNow);
  const reload = shared(async () => {
    config = await load();
    await askNow();
    readAtMs = clock.monotonic();
  });
  await ask();
  return {
    tls: () => current.tls,
    async headers() {
      await ask();
      return current.headers;
    },
    async refresh(sent) {
      const mayRead = clock.monotonic() - readAtMs >= REFRESH_AGE_MIN_MS;
      if (mayRead && isSame(sent, current)) await reload();
      return !isSame(sent, current);
    },
  };
}

/** The same work asked for while it is under way is done once. */
function shared(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  return () =>
    running ??= work().finally(() => {
      running = undefined;
    });
}

function isSame(one: Identity, other: Identity): boolean {
  return one.headers.authorization === other.headers.authorization && sameTls(one.tls, other.tls);
}

function sameTls(one: TlsOptions, other: TlsOptions): boolean {
  const same = (left: unknown, right: unknown) => String(left ?? "") === String(right ?? "");
  return same(one.ca, other.ca) && same(one.cert, other.cert) && same(one.key, other.key) &&
    same(one.passphrase, other.passphrase) && same(one.servername, other.servername) &&
    one.rejectUnauthorized === other.rejectUnauthorized;
}
