/**
 * A kubeconfig, as far as one needs it to read from an API server: addresses, certificates, tokens, and
 * credential plugins.
 * @module
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { request as requestPlain } from "node:http";
import { request as requestTls } from "node:https";
import { homedir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { Buffer } from "node:buffer";
import process from "node:process";
import { promisify } from "node:util";
import { parse } from "yaml";
import { InputError } from "./errors.ts";
import { isObject, type Json, type JsonObject, member } from "./json.ts";

/** How to reach an API server. */
export interface Connection {
  server: string;
  ca?: string;
  cert?: string;
  key?: string;
  token?: string;
  /** The name that the server's certificate is to hold, where it is not that of its address. */
  serverName?: string;
  isInsecure: boolean;
}

/** An answer of the API server. */
export interface Answer {
  status: number;
  body: string;
}

/**
 * The connection that a kubeconfig describes.
 *
 * KUBECONFIG may list several files: the first that has an entry, or a current context, counts; files that do not
 * exist are passed over (kubectl's rules).
 *
 * @param options.file the file. @default {"$KUBECONFIG, else ~/.kube/config"}
 * @param options.context a context of it. @default the current one
 * @throws {InputError} when a file cannot be read or names something that none holds
 */
export async function readKubeconfig(options: { file?: string; context?: string } = {}): Promise<Connection> {
  const configs = await readConfigs(options.file);
  const current = configs.map(({ config }) => textOf(config, "current-context"));
  const name = options.context ?? current.find((one) => one !== undefined && one !== "");
  if (name === undefined) {
    throw new InputError("The kubeconfig has no current-context: name one with --context", [
      configs.map(({ file }) => file).join(delimiter),
    ]);
  }
  const { value: context } = entry(configs, "contexts", "context", name);
  const { value: cluster, file: clusterFile } = entry(
    configs,
    "clusters",
    "cluster",
    textOf(context, "cluster"),
  );
  const { value: user, file: userFile } = entry(configs, "users", "user", textOf(context, "user"));
  const server = textOf(cluster, "server");
  if (server === undefined || !/^https?:/.test(server) || !URL.canParse(server)) {
    throw new InputError(
      `The cluster of context ${JSON.stringify(name)} needs an http or https URL as its server, found ${
        JSON.stringify(server ?? null)
      }`,
      [clusterFile],
    );
  }
  if (textOf(cluster, "proxy-url")) {
    throw new InputError(
      `The cluster of context ${
        JSON.stringify(name)
      } asks for a proxy (proxy-url), and proxies are not supported`,
      [clusterFile],
    );
  }
  const material = async (holder: JsonObject, key: string, file: string): Promise<string | undefined> => {
    const data = textOf(holder, `${key}-data`);
    if (data !== undefined) return Buffer.from(data, "base64").toString();
    const path = textOf(holder, key);
    return path === undefined
      ? undefined
      : await textOfFile(resolve(dirname(file), path), `the ${key}`, file);
  };
  const connection: Connection = { server, isInsecure: member(cluster, "insecure-skip-tls-verify") === true };
  const ca = await material(cluster, "certificate-authority", clusterFile);
  const cert = await material(user, "client-certificate", userFile);
  const key = await material(user, "client-key", userFile);
  const tokenFile = textOf(user, "tokenFile");
  const token = textOf(user, "token") ??
    (tokenFile === undefined
      ? undefined
      : (await textOfFile(resolve(dirname(userFile), tokenFile), "the tokenFile", userFile)).trim());
  const serverName = textOf(cluster, "tls-server-name");
  Object.assign(
    connection,
    ca && { ca },
    cert && { cert },
    key && { key },
    token && { token },
    serverName && { serverName },
  );
  const plugin = member(user, "exec");
  if (isObject(plugin)) Object.assign(connection, await credentials(plugin, userFile));
  return connection;
}

/** A kubeconfig file. Paths in it are relative to its folder. */
interface Config {
  file: string;
  config: Json;
}

async function readConfigs(option: string | undefined): Promise<Config[]> {
  const fallback = join(homedir(), ".kube", "config");
  const listed = option === undefined ? (process.env.KUBECONFIG ?? "").split(delimiter) : [option];
  const named = listed.filter((path) => path !== "").map((path) => resolve(path));
  const there = named.length > 1 ? named.filter((path) => existsSync(path)) : named;
  if (named.length > 1 && there.length === 0) {
    throw new InputError("Cannot read the kubeconfig: none of the files exists", [named.join(delimiter)]);
  }
  return await Promise.all((named.length === 0 ? [fallback] : there).map(readConfig));
}

async function readConfig(file: string): Promise<Config> {
  const text = await textOfFile(file, "the kubeconfig", file);
  try {
    return { file, config: parse(text) as Json };
  } catch (error) {
    // The parser's other lines quote the file, which may hold a token: neither they nor the error go further.
    const [message] = (error as Error).message.split("\n");
    throw new InputError(`Cannot read the kubeconfig: ${message!.replace(/:$/, "")}`, [file]);
  }
}

async function textOfFile(path: string, what: string, kubeconfig: string): Promise<string> {
  return await readFile(path, "utf8").catch((error: Error) => {
    throw new InputError(`Cannot read ${what}: ${error.message}`, [kubeconfig], { cause: error });
  });
}

/** Asks a credential plugin (`exec`) for a token or a certificate. */
async function credentials(plugin: JsonObject, file: string): Promise<Partial<Connection>> {
  const command = textOf(plugin, "command");
  if (command === undefined) throw new InputError("users[].user.exec has no command", [file]);
  const args = member(plugin, "args");
  const variables = member(plugin, "env");
  const added = Array.isArray(variables)
    ? variables.filter(isObject).map(({ name, value }) => [String(name), String(value)])
    : [];
  const info = {
    apiVersion: member(plugin, "apiVersion"),
    kind: "ExecCredential",
    spec: { interactive: false },
  };
  try {
    const { stdout } = await promisify(execFile)(command, Array.isArray(args) ? args.map(String) : [], {
      env: { ...process.env, ...Object.fromEntries(added), KUBERNETES_EXEC_INFO: JSON.stringify(info) },
    });
    const status = statusOf(stdout);
    if (status === undefined) throw new TypeError("it returned no ExecCredential with a status");
    const token = textOf(status, "token");
    const cert = textOf(status, "clientCertificateData");
    const key = textOf(status, "clientKeyData");
    return { ...(token && { token }), ...(cert && { cert }), ...(key && { key }) };
  } catch (error) {
    throw new InputError(
      `Cannot get credentials from ${JSON.stringify(command)}: ${(error as Error).message}`,
      [file],
      { cause: error },
    );
  }
}

/** The status in what a plugin said; a parser's complaint would quote what may be a token. */
function statusOf(text: string): JsonObject | undefined {
  try {
    const answer = JSON.parse(text) as Json;
    const status = isObject(answer) ? member(answer, "status") : undefined;
    return isObject(status) ? status : undefined;
  } catch {
    return undefined;
  }
}

/** Sends one request; whatever the status, the answer is a value. */
export function send(connection: Connection, method: string, path: string, body?: Json): Promise<Answer> {
  // The server may be behind a path of its own.
  const url = new URL(connection.server.replace(/\/+$/, "") + path);
  const { ca, cert, key, token, serverName, isInsecure } = connection;
  return new Promise((fulfil, reject) => {
    const request = (url.protocol === "http:" ? requestPlain : requestTls)(url, {
      method,
      headers: {
        accept: "application/json",
        ...(body !== undefined && { "content-type": "application/json" }),
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
      },
      ...(ca !== undefined && { ca }),
      ...(cert !== undefined && { cert }),
      ...(key !== undefined && { key }),
      ...(serverName !== undefined && { servername: serverName }),
      rejectUnauthorized: !isInsecure,
      timeout: 30_000,
    }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on(
        "end",
        () => fulfil({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }),
      );
    });
    request.on("timeout", () => request.destroy(new Error("no answer within 30 s")));
    request.on("error", reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** The first entry of the name, and the file that it is in. */
function entry(
  configs: readonly Config[],
  list: string,
  key: string,
  name: string | undefined,
): { value: JsonObject; file: string } {
  for (const { file, config } of configs) {
    const entries = isObject(config) ? member(config, list) : undefined;
    const found = Array.isArray(entries)
      ? entries.find((one) => isObject(one) && member(one, "name") === name)
      : undefined;
    const value = isObject(found) ? member(found, key) : undefined;
    if (isObject(value)) return { value, file };
  }
  const files = configs.map(({ file }) => file).join(delimiter);
  throw new InputError(`No ${key} is named ${JSON.stringify(name ?? "")}`, [files]);
}

function textOf(value: Json, key: string): string | undefined {
  const found = isObject(value) ? member(value, key) : undefined;
  return typeof found === "string" ? found : undefined;
}
