/**
 * The whole way on any machine, without a cluster: `npm start`, `deno task start`.
 *
 * Starts the embedded Kubernetes API on a loopback port with a kubeconfig, installs crd.yaml, runs the operator, applies
 * examples/database.yaml and shows what happens until the Database is Ready; then it stays up for kubectl. Nodes, pods
 * and PostgreSQL are simulated there; the API and the operator are the real ones.
 *
 * With --once it ends with exit code 0 as soon as the sample is Ready, and with 1 and the reason when it is not within
 * 60 s. --port N fixes the port.
 * @module
 */

import { mkdirSync, readFileSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { startEmbedded } from "../embedded/serve.ts";
import { main as runOperator } from "../operator.ts";
import {
  Client,
  ConfigurationError,
  connect,
  createLogger,
  createManager,
  findCondition,
  type Invocation,
  type KubernetesObject,
  type Resource,
  runCommand,
} from "../runtime/mod.ts";
import { type Database, databases, type StoredDatabase } from "../types/app.example.com/v1.ts";
import { statefulSets } from "../types/apps/v1.ts";
import {
  configMaps,
  persistentVolumeClaims,
  pods,
  secrets,
  serviceAccounts,
  services,
  type StoredPod,
} from "../types/core/v1.ts";
import { podDisruptionBudgets } from "../types/policy/v1.ts";
import { roleBindings, roles } from "../types/rbac.authorization.k8s.io/v1.ts";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const kubeconfig = resolve(root, ".kube/config");
const namespace = "default";
const deadlineMs = 60_000;

const startedMs = Date.now();
const color = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code: number, text: string) => color ? `\x1b[${code}m${text}\x1b[0m` : text;

/** One line of what happens, with the seconds since the start. */
function say(what: string, text: string): void {
  const seconds = ((Date.now() - startedMs) / 1000).toFixed(1).padStart(5);
  console.log(`${paint(90, `${seconds}s`)}  ${what.padEnd(22)} ${text}`);
}

async function start({ flags, env, signal }: Invocation): Promise<void> {
  const port = Number(flags.port ?? 0);
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw new ConfigurationError(`--port: expected a number from 0 to 65535, got "${flags.port}"`);
  }
  const crd = read("crd.yaml");
  const sample = read("examples/database.yaml") as Database;
  mkdirSync(dirname(kubeconfig), { recursive: true });
  const api = await startEmbedded({ port, crds: [crd as never], kubeconfigPath: kubeconfig, simulate: true });
  const stop = new AbortController();
  signal.addEventListener("abort", () => stop.abort(signal.reason), { once: true });
  const file = relative(process.cwd(), kubeconfig);
  console.log(`Embedded Kubernetes API at ${api.url}, kubeconfig in ${file}
Nodes, pods and PostgreSQL are simulated here: no container runs and no data is kept.
`);
  say("crd.yaml", `serves ${(crd as { metadata: { name: string } }).metadata.name}`);
  const rest = await connect({ kubeconfig });
  try {
    const log = createLogger({ sink: show });
    const running = runOperator({ flags: { kubeconfig }, env, signal: stop.signal }, log);
    const ready = watch(rest, stop.signal);
    const client = new Client(rest, { fieldManager: "kubectl" });
    await client.apply(databases, { ...sample, metadata: { ...sample.metadata, namespace } });
    const name = sample.metadata.name!;
    const outcome = await Promise.race([
      ready(name),
      running.then(() => "the operator stopped"),
      deadline(stop.signal),
    ]);
    const found = await client.get(databases, { namespace, name });
    if (outcome !== true) {
      const { reason, message } = findCondition(found?.status?.conditions, "Ready") ?? {};
      throw new Error(
        `Database "${name}" is not Ready: ${outcome}${reason ? `; ${reason}: ${message}` : ""}`,
      );
    }
    summarize(found!);
    if (!flags.once && !signal.aborted) {
      console.log(tryThis(file, name));
      await running;
    }
    stop.abort(new Error("Done"));
    await running;
  } finally {
    stop.abort(new Error("Done"));
    rest.close();
    await api.close();
  }
}

/** The object in a file of the project. */
function read(path: string): unknown {
  try {
    return parse(readFileSync(resolve(root, path), "utf8"));
  } catch (cause) {
    throw new ConfigurationError(`Cannot read ${path}`, { cause });
  }
}

/** The reason why the wait is over, after the deadline or at once when told to stop. */
function deadline(signal: AbortSignal): Promise<string> {
  return new Promise((settle) => {
    const timer = setTimeout(() => settle(`not within ${deadlineMs / 1000} s`), deadlineMs);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      settle("stopped");
    }, { once: true });
  });
}

/** Shows what happens to every object, and returns how to wait until a Database is Ready. */
function watch(
  rest: Awaited<ReturnType<typeof connect>>,
  signal: AbortSignal,
): (name: string) => Promise<true> {
  const manager = createManager({ rest, name: "start", log: createLogger({ sink: () => {} }) });
  const waiting = new Map<string, () => void>();
  const follow = <Read extends KubernetesObject>(
    resource: Resource<Read, unknown>,
    facts?: (object: Read) => string,
  ) => {
    const name = (object: Read) => `${resource.kind}/${object.metadata?.name}`;
    manager.informer(resource).on({
      add: (object) => {
        if (object.metadata?.namespace !== namespace || object.metadata.name === "kube-root-ca.crt") return;
        say(paint(36, name(object)), `created${facts?.(object) ? `: ${facts(object)}` : ""}`);
      },
      update: (before, after) => {
        const text = facts?.(after);
        if (text && text !== facts?.(before)) say(paint(36, name(after)), text);
      },
      delete: (last) => say(paint(36, name(last)), paint(33, "deleted")),
    });
  };
  follow(databases, (database) => {
    const ready = findCondition(database.status?.conditions, "Ready");
    if (ready?.status === "True") waiting.get(database.metadata.name)?.();
    return ready ? `${paint(ready.status === "True" ? 32 : 33, ready.reason)}: ${ready.message}` : "";
  });
  follow(pods, podText);
  for (
    const resource of [
      secrets,
      serviceAccounts,
      roles,
      roleBindings,
      services,
      configMaps,
      persistentVolumeClaims,
      statefulSets,
      podDisruptionBudgets,
    ]
  ) {
    follow(resource as Resource<KubernetesObject, unknown>);
  }
  const stopped = manager.start(signal);
  stopped.catch((error) => console.error(`error: ${error.message}`));
  return (name) => new Promise((settle) => waiting.set(name, () => settle(true)));
}

function podText(pod: StoredPod): string {
  const ready = pod.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True");
  const role = pod.metadata?.labels?.["app.example.com/role"];
  return [ready ? "Ready" : pod.status?.phase ?? "", role ? `as ${role}` : ""].filter(Boolean).join(" ");
}

/** Log lines of the operator that people want to see here: what it decided, and what went wrong. */
function show(line: string): void {
  const { level, msg, step, error } = JSON.parse(line) as Record<string, string>;
  if (step && level === "info") say(paint(35, "operator"), msg ?? "");
  if (level === "error" || level === "warn") {
    say(paint(31, `operator ${level}`), `${msg}${error ? `: ${error}` : ""}`);
  }
}

function summarize(database: StoredDatabase): void {
  const { version = "", primary = "", readyReplicas = 0, conditions } = database.status ?? {};
  const row = [
    database.metadata.name,
    version,
    String(database.spec.size),
    String(readyReplicas),
    primary,
    findCondition(conditions, "Ready")?.reason ?? "",
  ];
  const head = ["NAME", "VERSION", "SIZE", "READY", "PRIMARY", "STATUS"];
  const line = (cells: string[]) =>
    cells.map((cell, at) => cell.padEnd(Math.max(row[at]!.length, head[at]!.length) + 3)).join("");
  console.log(`\n${line(head).trimEnd()}\n${line(row).trimEnd()}\n`);
}

function tryThis(file: string, name: string): string {
  return `The operator stays up; what it does is shown here. In another terminal:

  export KUBECONFIG=${file}
  kubectl get databases,pods,services
  kubectl scale database ${name} --replicas=5
  kubectl annotate database ${name} app.example.com/switchover=any@1
  kubectl delete pod ${name}-0
  kubectl edit database ${name}
  kubectl delete database ${name}

Ctrl-C ends it.
`;
}

await runCommand(
  `Starts the embedded Kubernetes API, the operator and a sample Database, and shows what happens.

Usage: npm start [-- --once] [-- --port N]

  --once      end with exit code 0 when the sample is Ready, with 1 when it is not within 60 s
  --port N    port of the embedded API on 127.0.0.1; default: any free one
  -h, --help`,
  { once: { type: "boolean" }, port: { type: "string" } },
  start,
);
