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
  /** Top-level fields of the answer's body that are not compared. */
  omit?: string[];
  /** Keeps parts of the answer for later steps, which name them as `{name}`: name -> path in the body. */
  save?: Record<string, string>;
  /** Repeats the request until the answer has this status, or this value at this path; 30 s at most. */
  until?: { status?: number; path?: string; value?: Json };
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
    inline ? Buffer.from(inline, "base64") : file ? readFileSync(file) : undefined;
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

const at = (value: Json, path: string): Json =>
  path.split(".").reduce((found: Json, name) => found?.[name], value);

const filled = (value: Json, names: ReadonlyMap<string, string>): Json =>
  value === undefined
    ? undefined
    : JSON.parse(JSON.stringify(value).replace(/\{(\w+)\}/g, (all, name: string) => names.get(name) ?? all));

/** Carries out steps on one target, with the names that they save. */
export function session(target: Target): (step: Step) => Promise<Answer> {
  const names = new Map<string, string>();
  return async (step) => {
    const real: Step = { ...step, path: filled(step.path, names), body: filled(step.body, names) };
    const end = Date.now() + 30_000;
    let answer = await target(real);
    const isDone = ({ until }: Step) =>
      !until || (until.status !== undefined && until.status === answer.status) ||
      (until.path !== undefined &&
        JSON.stringify(at(answer.body, until.path)) === JSON.stringify(until.value));
    while (!isDone(step) && Date.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      answer = await target(real);
    }
    for (const [name, path] of Object.entries(step.save ?? {})) {
      names.set(name, String(at(answer.body, path)));
    }
    return answer;
  };
}

/** What two answers are compared by. */
export function comparable({ status, body, warnings }: Answer, omit: readonly string[] = []): Json {
  const lines = typeof body === "string" && body.startsWith('{"type"')
    ? body.trim().split("\n").map((line) => JSON.parse(line) as Json)
    : body;
  const settled = settle(mask(lines));
  for (const name of omit) delete settled[name];
  return { status, body: settled, warnings };
}

/** Takes out what differs for a reason; embedded/README.md lists them. */
function settle(body: Json): Json {
  if (Array.isArray(body)) return body.map(settle);
  if (typeof body !== "object" || body === null) return body;
  if (Array.isArray(body.items)) body.items.forEach(settle);
  if (body.object) settle(body.object);
  const causes: Json[] | undefined = body.details?.causes;
  if (["Invalid", "Conflict"].includes(body.reason) && causes && causes.length > 1) {
    // Go walks maps (of fields, of managers) in no order, and validates built-in metadata twice.
    const texts = [...new Set(causes.map((cause) => JSON.stringify(cause)))].sort();
    body.details.causes = texts.map((text) => JSON.parse(text) as Json);
    body.message = "<all causes>";
  }
  if (body.metadata?.managedFields) {
    body.metadata.managedFields = (body.metadata.managedFields as Json[])
      .filter((entry) => entry.manager !== "kube-controller-manager")
      .map(({ time: _time, ...entry }) => ({ ...entry, fieldsV1: bareLeaves(entry.fieldsV1) }))
      .sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  }
  for (const resource of body.resources ?? []) delete resource.storageVersionHash;
  return body;
}

/** A field without children is written as {} or as {".": {}}, which say the same. */
function bareLeaves(fields: Json): Json {
  const keys = Object.keys(fields ?? {});
  if (keys.length === 1 && keys[0] === ".") return {};
  return Object.fromEntries(keys.map((key) => [key, bareLeaves(fields[key])]));
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
  "controller-revision-hash",
  "currentRevision",
  "updateRevision",
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
      .replace(/(the ResourceVersion in record )\(\d+\)/g, "$1(<rv>)")
      .replace(/(json parse error: |continue key is not valid: ).*$/, "$1<text>")
      .replace(/\n@@.*$/s, "")
      // The Age column.
      .replace(/^\d+s$/, "<age>");
  }
  if (Array.isArray(value)) return value.map((item) => mask(item));
  if (typeof value === "object" && value !== null) {
    const entries = Object.keys(value).sort().map((name) => [mask(name), mask(value[name], name)]);
    return Object.fromEntries(entries);
  }
  return value;
}
