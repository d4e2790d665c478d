/**
 * kubectl as a child process: the end-to-end tests look at the cluster through other people's code only.
 *
 * Every call has a deadline. KUBECONFIG is inherited.
 * @module
 */
import { spawn } from "node:child_process";

/** An object of the API, as far as the tests know it. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata: {
    name: string;
    namespace?: string;
    uid?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    creationTimestamp?: string;
    deletionTimestamp?: string;
    resourceVersion?: string;
    generation?: number;
    [key: string]: unknown;
  };
  // deno-lint-ignore no-explicit-any
  [key: string]: any;
}

/** What a command printed and how it ended. */
export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a program to its end, or kills it at the deadline. */
export function runProgram(
  command: string,
  args: readonly string[],
  options: { input?: string; timeoutMs?: number; cwd?: string } = {},
): Promise<Ended> {
  const { input, timeoutMs = 30_000, cwd } = options;
  return new Promise((settle, reject) => {
    const child = spawn(command, [...args], { cwd, stdio: ["pipe", "pipe", "pipe"] });
    let stdout = "", stderr = "";
    const timer = setTimeout(() => {
      stderr += `\nkilled after ${timeoutMs} ms`;
      child.kill("SIGKILL");
    }, timeoutMs);
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => stdout += chunk);
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => stderr += chunk);
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(new Error(`Cannot run ${command}: ${error.message}`, { cause: error }));
    });
    child.on("close", (code) => {
      clearTimeout(timer);
      settle({ code: code ?? 137, stdout, stderr });
    });
    child.stdin.on("error", () => {}); // a program that ends without reading its input is judged by its exit code
    child.stdin.end(input ?? "");
  });
}

/** What kubectl says by itself, without the API server. */
const own =
  /^Warning: (Immediate deletion|deleting cluster-scoped|resource \S+ is missing the .* annotation)/;

/** Runs a command of the shell; throws when it fails. */
export async function shell(command: string): Promise<void> {
  const ended = await runProgram("sh", ["-c", command]);
  if (ended.code !== 0) throw new Error(`${command} ended with ${ended.code}: ${ended.stderr}`);
}

/** kubectl, in one namespace. */
export class Kubectl {
  /** Warnings of the API server that it printed, anywhere. */
  static readonly warnings = new Set<string>();
  readonly namespace: string;

  constructor(namespace: string) {
    this.namespace = namespace;
  }

  /** Runs kubectl and returns what it printed. */
  async run(args: readonly string[], options: { input?: string; timeoutMs?: number } = {}): Promise<string> {
    const ended = await this.try(args, options);
    if (ended.code !== 0) {
      throw new Error(
        `kubectl ${args.slice(0, 4).join(" ")} ended with ${ended.code}: ${ended.stderr.trim()}`,
      );
    }
    return ended.stdout;
  }

  /** Runs kubectl; failing is an answer. */
  async try(
    args: readonly string[],
    options: { input?: string; timeoutMs?: number } = {},
  ): Promise<Ended> {
    const ended = await runProgram("kubectl", ["--namespace", this.namespace, ...args], options);
    for (const line of ended.stderr.split("\n")) {
      if (line.startsWith("Warning: ") && !own.test(line)) Kubectl.warnings.add(line);
    }
    return ended;
  }

  /** The object, or `undefined` when there is none. */
  async get(kind: string, name: string): Promise<KubeObject | undefined> {
    const text = await this.run(["get", kind, name, "--ignore-not-found", "--output=json"]);
    return text.trim() === "" ? undefined : JSON.parse(text) as KubeObject;
  }

  /** All objects of a kind, or those that a label selector picks. */
  async list(kind: string, selector = ""): Promise<KubeObject[]> {
    const text = await this.run([
      "get",
      kind,
      "--output=json",
      ...(selector ? ["--selector", selector] : []),
    ]);
    return (JSON.parse(text) as { items: KubeObject[] }).items;
  }

  /** Applies an object or a list of them, server-side; field manager `kubectl` as a user has it. */
  async apply(...objects: unknown[]): Promise<void> {
    const list = { apiVersion: "v1", kind: "List", items: objects };
    await this.run(["apply", "--server-side", "--force-conflicts", "--filename=-"], {
      input: JSON.stringify(list),
    });
  }

  /** Deletes an object and returns at once; one that is gone already is fine. */
  async delete(kind: string, name: string, ...options: string[]): Promise<void> {
    await this.run(["delete", kind, name, "--ignore-not-found", "--wait=false", ...options]);
  }

  /** Runs a command in a container. */
  exec(
    pod: string,
    command: readonly string[],
    options: { input?: string; timeoutMs?: number } = {},
  ): Promise<string> {
    return this.run(
      ["exec", ...(options.input === undefined ? [] : ["--stdin"]), pod, "--", ...command],
      options,
    );
  }

  /** A container's log, whole or the last lines. */
  logs(pod: string, ...options: string[]): Promise<string> {
    return this.run(["logs", pod, ...options], { timeoutMs: 60_000 });
  }
}
