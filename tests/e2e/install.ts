/**
 * Installs deploy/ on the cluster, with the images that are there now, and waits until an operator leads.
 * @module
 */
import { fileURLToPath } from "node:url";
import { parseAllDocuments } from "yaml";
import { until } from "../within.ts";
import { Kubectl, type KubeObject } from "./kubectl.ts";
import type { RunningOperator } from "./local.ts";

const deploy = fileURLToPath(new URL("../../deploy", import.meta.url));

/** kubectl in the operator's namespace. */
export const operator = new Kubectl("database-operator");

/**
 * Applies deploy/ in one go and waits.
 *
 * @param watch namespaces for the operator to see, separated by commas; empty: all
 */
export async function install(watch: string): Promise<void> {
  const objects = await rendered(deploy);
  const deployment = objects.find(({ kind }) => kind === "Deployment");
  if (!deployment) throw new Error("deploy/ has no Deployment");
  const template = deployment["spec"].template;
  // The tag stays the same when the image changes: only new pods run what was just made.
  template.metadata.annotations = {
    ...template.metadata.annotations,
    "e2e/installed": new Date().toISOString(),
  };
  const env = template.spec.containers[0].env as { name: string; value?: string }[];
  env.find(({ name }) => name === "WATCH_NAMESPACE")!.value = watch;
  const first = ["Namespace", "CustomResourceDefinition"];
  await operator.apply(...objects.filter(({ kind }) => first.includes(kind ?? "")));
  await operator.apply(...objects.filter(({ kind }) => !first.includes(kind ?? "")));
  await operator.run(["rollout", "status", "deployment/database-operator", "--timeout=120s"], {
    timeoutMs: 130_000,
  });
  await leads();
}

/** The one that is installed. */
export const installed: RunningOperator = {
  logs: () => operator.run(["logs", "deployment/database-operator", "--all-pods", "--prefix"]),
  kill: async () => {
    await operator.run(["delete", "pod", await leads(), "--grace-period=0", "--force"], {
      timeoutMs: 60_000,
    });
    await leads();
  },
  stop: () => Promise.resolve(),
  metrics: async () =>
    (await Promise.all((await pods()).map(({ metadata }) =>
      operator.run([
        ...["get", "--raw"],
        `/api/v1/namespaces/${operator.namespace}/pods/${metadata.name}:8080/proxy/metrics`,
      ])
    ))).join("\n"),
  address: () => undefined,
  processes: async () => {
    const all = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' ' '";
    return (await Promise.all(
      (await pods()).map(({ metadata }) => operator.exec(metadata.name, ["sh", "-c", all])),
    )).join("\n");
  },
  pods: { kubectl: operator, account: "database-operator:database-operator" },
  away: async (work) => {
    const scale = (replicas: number) =>
      operator.run(["scale", "deployment/database-operator", `--replicas=${replicas}`]);
    await scale(0);
    try {
      await until(60_000, "the operator to go", async () => (await pods()).length === 0, 500);
      await work();
    } finally {
      await scale(2);
      await leads();
    }
  },
};

/** Its pods that are not about to go. */
async function pods(): Promise<KubeObject[]> {
  const found = await operator.list("pods", "app.kubernetes.io/name=database-operator");
  return found.filter(({ metadata, status }) => !metadata.deletionTimestamp && status?.phase === "Running");
}

/** Waits until one of the operator's running pods holds the lease; kubectl in its namespace. */
export async function leads(timeoutMs = 60_000, kubectl = operator): Promise<string> {
  return await until(timeoutMs, "an operator to lead", async () => {
    const [lease, pods] = await Promise.all([
      kubectl.get("lease", "database-operator"),
      kubectl.list("pods", "app.kubernetes.io/name=database-operator"),
    ]);
    const holder = lease?.["spec"]?.holderIdentity ?? "";
    return pods.find(({ metadata }) => !metadata.deletionTimestamp && holder.startsWith(`${metadata.name}_`))
      ?.metadata.name;
  }, 500);
}

/** The objects of a folder with a kustomization.yaml. */
export async function rendered(folder: string): Promise<KubeObject[]> {
  const text = await operator.run(["kustomize", folder]);
  return parseAllDocuments(text).map((document) => document.toJS() as KubeObject);
}
