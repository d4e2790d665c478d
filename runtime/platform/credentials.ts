/**
 * Where the credentials of a connection come from: the pod's service account, a plain kubeconfig, or whatever
 * @kubernetes/client-node can make of one.
 * @module
 */

import { readFile } from "node:fs/promises";
import { Buffer } from "node:buffer";
import { ConfigurationError, messageOf } from "../errors.ts";
import type { Clock } from "../ports.ts";
import type { Credentials, TlsOptions } from "./authentication.ts";

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
  let current: { tls: TlsOptions; headers: Record<string, string> } = {
    tls,
    headers: token ? { authorization: `Bearer ${token}` } : {},
  };
  return {
    tls: () => current.tls,
    headers: () => current.headers,
    async refresh() {
      if (!reload) return false;
      const fresh = await reload();
      const headers = await fresh.headers();
      const freshTls = fresh.tls();
      const isSame = headers.authorization === current.headers.authorization &&
        sameTls(freshTls, current.tls);
      if (!isSame) current = { tls: sameTls(freshTls, current.tls) ? current.tls : freshTls, headers };
      return !isSame;
    },
  };
}

/** Credentials with a token in a file, read again each minute, with the CA beside it, and at once on 401. */
export function tokenFileCredentials(readTls: () => TlsOptions, file: string, clock: Clock): Credentials {
  let tls = readTls();
  let token = "";
  let readAtMs = -Infinity;
  const read = async () => {
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
  };
  return {
    tls: () => tls,
    async headers() {
      if (clock.monotonic() - readAtMs >= TOKEN_AGE_MAX_MS) await read();
      return { authorization: `Bearer ${token}` };
    },
    async refresh() {
      if (clock.monotonic() - readAtMs < REFRESH_AGE_MIN_MS) return false;
      const before = token;
      await read();
      return token !== before;
    },
  };
}

/** The part of a KubeConfig of @kubernetes/client-node that is used. */
interface KubeConfigLike {
  applyToHTTPSOptions(options: object): Promise<void>;
}

/**
 * Credentials that @kubernetes/client-node works out: exec, OIDC, passwords, auth providers. It caches what it can and
 * is asked at each request; on 401 the kubeconfig is read anew.
 */
export async function kubeConfigCredentials(load: () => Promise<KubeConfigLike>): Promise<Credentials> {
  let config = await load();
  let tls: TlsOptions = {};
  const headers = async (): Promise<Record<string, string>> => {
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
    if (!sameTls(fresh, tls)) tls = fresh;
    const found: Record<string, string> = {};
    for (const [name, value] of Object.entries(given)) found[name.toLowerCase()] = value;
    if (auth) found.authorization = `Basic ${Buffer.from(auth).toString("base64")}`;
    return found;
  };
  await headers();
  return {
    tls: () => tls,
    headers,
    async refresh() {
      config = await load();
      return true;
    },
  };
}

function sameTls(one: TlsOptions, other: TlsOptions): boolean {
  const same = (left: unknown, right: unknown) => String(left ?? "") === String(right ?? "");
  return same(one.ca, other.ca) && same(one.cert, other.cert) && same(one.key, other.key) &&
    same(one.passphrase, other.passphrase) && same(one.servername, other.servername) &&
    one.rejectUnauthorized === other.rejectUnauthorized;
}
