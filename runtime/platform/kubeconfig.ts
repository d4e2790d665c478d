/**
 * Reads the plain kind of kubeconfig: one file with a cluster, a context and a user who has a certificate or a token.
 *
 * Most kubeconfigs are of that kind, and reading it here costs nothing, where loading @kubernetes/client-node costs
 * about 75 MB and 0.3 s. Whatever is beyond it (exec, auth providers, passwords, proxies, several files, unusual YAML)
 * is answered with `undefined` and left to that package.
 * @module
 */

import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { Buffer } from "node:buffer";
import type { TlsOptions } from "./authentication.ts";

/** What a plain kubeconfig says. */
export interface PlainKubeconfig {
  server: string;
  namespace: string;
  tls: TlsOptions;
  token?: string;
  tokenFile?: string;
}

type Entry = { [key: string]: unknown };

const clusterFields = new Set([
  "server",
  "certificate-authority",
  "certificate-authority-data",
  "insecure-skip-tls-verify",
  "tls-server-name",
  "extensions",
]);
const userFields = new Set([
  "client-certificate",
  "client-certificate-data",
  "client-key",
  "client-key-data",
  "token",
  "tokenFile",
]);

/**
 * Reads the file when it is of the plain kind.
 *
 * @returns undefined when it needs more than this, or is broken: the full reader then says what is wrong
 */
export function readPlainKubeconfig(file: string, contextName?: string): PlainKubeconfig | undefined {
  const config = parseKubeconfig(readFileSync(file, "utf8"));
  if (!config) return undefined;
  const context = named(config.contexts, contextName ?? config["current-context"])?.context as
    | Entry
    | undefined;
  const cluster = named(config.clusters, context?.cluster)?.cluster as Entry | undefined;
  const user = named(config.users, context?.user)?.user as Entry | null | undefined ?? {};
  if (!context || !cluster || typeof cluster.server !== "string") return undefined;
  if (!onlyHas(cluster, clusterFields) || !onlyHas(user, userFields)) return undefined;
  const read = (entry: Entry, field: string) => pem(entry, field, dirname(file));
  return {
    server: cluster.server,
    namespace: typeof context.namespace === "string" ? context.namespace : "default",
    tls: {
      ca: read(cluster, "certificate-authority"),
      cert: read(user, "client-certificate"),
      key: read(user, "client-key"),
      ...(cluster["insecure-skip-tls-verify"] === true ? { rejectUnauthorized: false } : {}),
      ...(cluster["tls-server-name"] ? { servername: String(cluster["tls-server-name"]) } : {}),
    },
    ...(user.token ? { token: String(user.token) } : {}),
    ...(user.tokenFile ? { tokenFile: resolve(dirname(file), String(user.tokenFile)) } : {}),
  };
}

function named(list: unknown, name: unknown): Entry | undefined {
  if (!Array.isArray(list) || typeof name !== "string") return undefined;
  return (list as Entry[]).find((entry) => entry?.name === name);
}

function onlyHas(entry: Entry, fields: Set<string>): boolean {
  return Object.keys(entry).every((field) => fields.has(field));
}

function pem(entry: Entry, field: string, folder: string): Buffer | undefined {
  if (entry[`${field}-data`]) return Buffer.from(String(entry[`${field}-data`]), "base64");
  return entry[field] ? readFileSync(resolve(folder, String(entry[field]))) : undefined;
}

/** The file as JSON, or as the part of YAML that kubectl, kubeadm, kind, k3s and the clouds write. */
function parseKubeconfig(text: string): Entry | undefined {
  try {
    const value: unknown = text.trimStart().startsWith("{") ? JSON.parse(text) : parsePlainYaml(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value as Entry : undefined;
  } catch {
    return undefined; // The full reader reports it.
  }
}

type Line = { indent: number; text: string };

/**
 * Block mappings and sequences of one-line scalars.
 *
 * @throws {SyntaxError} on anything else that YAML allows
 */
export function parsePlainYaml(text: string): unknown {
  const lines: Line[] = [];
  for (const raw of text.split(/\r?\n/)) {
    const line = raw.replace(/(^|\s)#.*$/, "").trimEnd();
    if (line.trim() === "" || line === "---") continue;
    if (line.includes("\t")) throw new SyntaxError("Cannot read a tab");
    lines.push({ indent: line.length - line.trimStart().length, text: line.trimStart() });
  }
  let next = 0;
  const block = (indent: number): unknown => {
    const { text } = lines[next]!;
    if (/^[{[]/.test(text)) return scalar(lines[next++]!.text);
    return /^-( |$)/.test(text) ? sequence(indent) : mapping(indent);
  };
  const sequence = (indent: number): unknown[] => {
    const items: unknown[] = [];
    while (lines[next]?.indent === indent && /^-( |$)/.test(lines[next]!.text)) {
      const line = lines[next]!;
      const rest = line.text.slice(1).trimStart();
      if (rest === "") {
        next++;
        items.push(lines[next] && lines[next]!.indent > indent ? block(lines[next]!.indent) : null);
      } else if (/^[^"'{[](?:[^:]|:(?=\S))*:( |$)/.test(rest)) {
        // The mapping begins on the dash's own line: read it as if it stood on a line of its own.
        line.indent = indent + (line.text.length - rest.length);
        line.text = rest;
        items.push(mapping(line.indent));
      } else {
        next++;
        items.push(scalar(rest));
      }
    }
    return items;
  };
  const mapping = (indent: number): Entry => {
    const entries: Entry = Object.create(null) as Entry;
    while (lines[next]?.indent === indent && !lines[next]!.text.startsWith("- ")) {
      const match = /^("[^"]*"|'[^']*'|[^"'{[&*!|>%@`\s](?:[^:]|:(?=\S))*?)\s*:(?: +(.*))?$/.exec(
        lines[next]!.text,
      );
      if (!match) throw new SyntaxError(`Cannot read the line "${lines[next]!.text.slice(0, 20)}"`);
      const name = String(scalar(match[1]!));
      next++;
      if (match[2] !== undefined) entries[name] = scalar(match[2]);
      else if (lines[next] && lines[next]!.indent > indent) entries[name] = block(lines[next]!.indent);
      else if (lines[next]?.indent === indent && lines[next]!.text.startsWith("- ")) {
        entries[name] = sequence(indent);
      } else entries[name] = null;
    }
    return entries;
  };
  if (lines.length === 0) return null;
  const value = block(lines[0]!.indent);
  if (next < lines.length) throw new SyntaxError(`Cannot read the line "${lines[next]!.text.slice(0, 20)}"`);
  return value;
}

/** A value that stands on one line: a scalar, `[a, b]` or `{a: 1}`. */
function scalar(text: string): unknown {
  let at = 0;
  const skip = () => {
    while (text[at] === " ") at++;
  };
  const value = (stop: RegExp): unknown => {
    skip();
    const rest = text.slice(at);
    if (rest.startsWith("[")) return list();
    if (rest.startsWith("{")) return map();
    const quoted = /^"(?:[^"\\]|\\.)*"|^'(?:[^']|'')*'/.exec(rest)?.[0];
    if (quoted !== undefined) {
      at += quoted.length;
      return quoted.startsWith('"') ? JSON.parse(quoted) : quoted.slice(1, -1).replaceAll("''", "'");
    }
    const found = stop.exec(rest);
    const plain = rest.slice(0, found ? found.index : undefined).trim();
    at += found ? found.index : rest.length;
    if (/^["'&*!|>%@`]/.test(plain)) throw new SyntaxError("Cannot read that kind of value");
    if (plain === "true" || plain === "false") return plain === "true";
    return plain === "null" || plain === "~" || plain === "" ? null : plain;
  };
  /** Reads items up to the closing bracket. */
  const items = (close: string, item: () => void) => {
    at++;
    for (skip(); text[at] !== close; skip()) {
      item();
      skip();
      if (text[at] === ",") at++;
      else if (text[at] !== close) throw new SyntaxError("Cannot read a value over several lines");
    }
    at++;
  };
  const list = (): unknown[] => {
    const found: unknown[] = [];
    items("]", () => found.push(value(/,|\]|$/)));
    return found;
  };
  const map = (): Entry => {
    const found: Entry = Object.create(null) as Entry;
    items("}", () => {
      const name = String(value(/: |,|\}|$/));
      if (text[at++] !== ":") throw new SyntaxError("Cannot read a mapping's key");
      found[name] = value(/,|\}|$/);
    });
    return found;
  };
  const found = value(/: |$/);
  skip();
  if (at < text.length) throw new SyntaxError("Cannot read that kind of value");
  return found;
}
