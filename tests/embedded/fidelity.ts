/**
 * Comparing two Kubernetes APIs: the same requests to both, answers masked where they must differ.
 * @module
 */
import { readFileSync } from "node:fs";
import { Agent, request as httpsRequest } from "node:https";
import { parse } from "yaml";

/** A JSON value of any shape. */
// deno-lint-ignore no-explicit-any
export type Json = any;

/** One request; the body is sent as JSON unless it is text. */
export interface Step {
  method: string;
  path: string;
  body?: Json;
  type?: string;
  accept?: string;
  /** Not compared, only carried out. */
  isSetup?: boolean;
}

/** One answer. */
export interface Answer {
  status: number;
  body: Json;
  warnings: string[];
}

/** Something that answers requests. */
export type Target = (step: Step) => Promise<Answer>;

const read = (text: string): Json => {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};

const headersOf = (step: Step): Record<string, string> => ({
  "user-agent": "fidelity/1",
  accept: step.accept ?? "application/json",
  ...(step.body === undefined ? {} : { "content-type": step.type ?? "application/json" }),
});

const textOf = (step: Step): string | undefined =>
  step.body === undefined ? undefined : typeof step.body === "string" ? step.body : JSON.stringify(step.body);

/** The embedded API, or anything else with fetch. */
export function fetchTarget(api: { fetch(request: Request): Promise<Response> }): Target {
  return async (step) => {
    const body = textOf(step);
    const response = await api.fetch(
      new Request(`http://api${step.path}`, {
        method: step.method,
        headers: headersOf(step),
        ...(body === undefined ? {} : { body }),
      }),
    );
    const warnings = response.headers.get("warning");
    return {
      status: response.status,
      body: read(await response.text()),
      warnings: warnings ? [warnings] : [],
    };
  };
}

/** The server that a kubeconfig file with client certificates names; close() ends its connections. */
export function kubeconfigTarget(path: string): { target: Target; close(): void } {
  const config: Json = parse(readFileSync(path, "utf8"));
  const context = config.contexts.find((one: Json) => one.name === config["current-context"]).context;
  const { cluster } = config.clusters.find((one: Json) => one.name === context.cluster);
  const { user } = config.users.find((one: Json) => one.name === context.user);
  const data = (inline: string | undefined, file: string | undefined) =>
    inline ? new Uint8Array(Buffer.from(inline, "base64")) : file ? readFileSync(file) : undefined;
  const agent = new Agent({
    keepAlive: true,
    ca: data(cluster["certificate-authority-data"], cluster["certificate-authority"]),
    cert: data(user["client-certificate-data"], user["client-certificate"]),
    key: data(user["client-key-data"], user["client-key"]),
    rejectUnauthorized: cluster["insecure-skip-tls-verify"] !== true,
  });
  const base = new URL(cluster.server as string);
  const target: Target = (step) =>
    new Promise((resolve, reject) => {
      const body = textOf(step);
      const outgoing = httpsRequest(
        {
          agent,
          host: base.hostname,
          port: base.port || 443,
          path: step.path,
          method: step.method,
          headers: {
            ...headersOf(step),
            ...(body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) }),
            ...(user.token ? { authorization: `Bearer ${user.token}` } : {}),
          },
        },
        (incoming) => {
          const chunks: Uint8Array[] = [];
          incoming.on("data", (chunk: Uint8Array) => chunks.push(chunk));
          incoming.on("error", reject);
          incoming.on("end", () => {
            const warning = incoming.headers.warning as string | string[] | undefined;
            resolve({
              status: incoming.statusCode ?? 0,
              body: read(Buffer.concat(chunks).toString("utf8")),
              warnings: warning === undefined
                ? []
                : Array.isArray(warning)
                ? [warning.join(", ")]
                : [warning],
            });
          });
        },
      );
      outgoing.on("error", reject);
      outgoing.end(body);
    });
  return { target, close: () => agent.destroy() };
}

const maskedKeys = new Set([
  "uid",
  "resourceVersion",
  "creationTimestamp",
  "deletionTimestamp",
  "time",
  "lastTransitionTime",
  "clusterIP",
  "continue",
  "controllerRevisionHash",
]);

/** The answer without what differs from run to run: uids, versions, times, addresses. */
export function mask(value: Json, key = ""): Json {
  if (maskedKeys.has(key) && (typeof value === "string" || value === null)) {
    return key === "clusterIP" && value === "None" ? value : `<${key}>`;
  }
  if (key === "clusterIPs") return value[0] === "None" ? value : ["<clusterIP>"];
  if (typeof value === "string") {
    return value
      .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "<uid>")
      .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, "<time>")
      .replace(/resource version: \d+( \(\d+\))?(, current: \d+)?/g, "resource version: <rv>")
      .replace(
        /(ResourceVersion in precondition: )\d+(, ResourceVersion in object meta: )\d+/g,
        "$1<rv>$2<rv>",
      );
  }
  if (Array.isArray(value)) return value.map((item) => mask(item));
  if (typeof value === "object" && value !== null) {
    const entries = Object.keys(value).sort().map((name) => [name, mask(value[name], name)]);
    return Object.fromEntries(entries);
  }
  return value;
}
