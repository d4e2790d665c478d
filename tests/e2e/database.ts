/**
 * What the scenarios ask of one Database on the cluster: its members as Kubernetes, Patroni and PostgreSQL see them.
 * @module
 */
import { until } from "../within.ts";
import type { Kubectl, KubeObject } from "./kubectl.ts";

/** Labels of the members' pods. */
export const memberSelector = (name: string) =>
  `app.example.com/database=${name},app.example.com/component=postgres`;

/** A Database as a user writes it. */
export function database(name: string, spec: Record<string, unknown>): KubeObject {
  return {
    apiVersion: "app.example.com/v1",
    kind: "Database",
    metadata: { name },
    spec: { version: "17", ...spec },
  };
}

/** Waits until the operator says Ready for the present generation; returns the Database. */
export async function ready(kubectl: Kubectl, name: string, timeoutMs: number): Promise<KubeObject> {
  return await until(timeoutMs, `Database ${name} to be Ready`, async () => {
    const found = await kubectl.get("databases.app.example.com", name);
    const condition = conditionOf(found, "Ready");
    if (condition?.status === "True" && condition.observedGeneration === found?.metadata.generation) {
      return found;
    }
    throw new Error(
      condition
        ? `Ready=${condition.status}, ${condition.reason}: ${condition.message}`
        : "no condition Ready",
    );
  }, 500);
}

/** A condition of a Database. */
export function conditionOf(
  found: KubeObject | undefined,
  type: string,
): Record<string, string | number> | undefined {
  return found?.status?.conditions?.find((condition: { type: string }) => condition.type === type);
}

/** The members' pods, by name. */
export async function members(kubectl: Kubectl, name: string): Promise<KubeObject[]> {
  const pods = await kubectl.list("pods", memberSelector(name));
  return pods.toSorted((a, b) => a.metadata.name.localeCompare(b.metadata.name));
}

/** Name of the pod that holds Patroni's leader lock. */
export async function leader(kubectl: Kubectl, name: string): Promise<string | undefined> {
  return (await kubectl.get("configmap", `${name}-leader`))?.metadata.annotations?.["leader"] || undefined;
}

/** Runs SQL as the superuser through the socket inside a member and returns psql's unaligned output. */
export function sql(kubectl: Kubectl, pod: string, statement: string, base = "app"): Promise<string> {
  const command = [
    "psql",
    "--no-psqlrc",
    "--tuples-only",
    "--no-align",
    "--quiet",
    "--set=ON_ERROR_STOP=1",
    base,
  ];
  return kubectl.exec(pod, command, { input: statement }).then((text) => text.trim());
}

/** The ids in the writer's table, read from the primary. */
export async function writtenIds(kubectl: Kubectl, name: string): Promise<Set<number>> {
  return await until(30_000, `the rows of ${name}`, async () => {
    const primary = await leader(kubectl, name);
    if (!primary) return undefined;
    const text = await sql(kubectl, primary, "SELECT id FROM written ORDER BY id");
    return new Set(text.split("\n").filter(Boolean).map(Number));
  }, 500);
}

/** PostgreSQL's identifier of the data, read from a member. */
export function systemIdentifier(kubectl: Kubectl, pod: string): Promise<string> {
  return sql(kubectl, pod, "SELECT system_identifier FROM pg_catalog.pg_control_system()");
}

/** Waits until Patroni's state says that `size` members run, one leads and the others stream; for runs without operator. */
export async function streaming(
  kubectl: Kubectl,
  name: string,
  size: number,
  timeoutMs: number,
): Promise<void> {
  await until(timeoutMs, `${size} members of ${name} to stream`, async () => {
    const [pods, primary, sync] = await Promise.all([
      members(kubectl, name),
      leader(kubectl, name),
      kubectl.get("configmap", `${name}-sync`),
    ]);
    const states = pods.map((pod) =>
      JSON.parse(pod.metadata.annotations?.["status"] ?? "{}") as Record<string, string | undefined>
    );
    const standbys = (sync?.metadata.annotations?.["sync_standby"] ?? "").split(",").filter(Boolean);
    const seen = pods.map((pod, i) => `${pod.metadata.name} ${states[i]?.["role"]} ${states[i]?.["state"]}`)
      .join(", ");
    const whole = pods.length === size && states.every((state) => state["state"] === "running") &&
      states.filter((state) => state["replication_state"] === "streaming").length === size - 1 &&
      pods.every((pod) =>
        pod.status?.conditions?.some((c: KubeObject) => c["type"] === "Ready" && c["status"] === "True")
      );
    if (
      whole && primary &&
      (size === 1 || (sync?.metadata.annotations?.["leader"] === primary && standbys.length === size - 1))
    ) {
      return true;
    }
    throw new Error(`${seen}; leader ${primary}, synchronous ${standbys.join(" ")}`);
  }, 500);
}
