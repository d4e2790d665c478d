/**
 * The connections that pods of a run really have, held against the NetworkPolicies that are really applied: the test
 * cluster may accept policies without enforcing them.
 * @module
 */
import type { Kubectl, KubeObject } from "./kubectl.ts";
import { type End, parseSockets, refusal } from "./policies.ts";

/** Collects connections, and what no policy allows. */
export class Connections {
  readonly #kubectl: readonly Kubectl[];
  /** Each way that was seen, in words. */
  readonly ways = new Set<string>();
  /** Those that a network which enforces the policies would cut. */
  readonly refused = new Set<string>();

  /** @param kubectl one for each namespace whose pods are looked at */
  constructor(...kubectl: readonly Kubectl[]) {
    this.#kubectl = kubectl;
  }

  /** Looks once at the sockets of every running pod. */
  async look(): Promise<void> {
    const [everywhere] = this.#kubectl;
    const listed = await everywhere!.run(
      ["get", "pods,services,namespaces,networkpolicies", "--all-namespaces", "--output=json"],
      { timeoutMs: 60_000 },
    );
    const objects = (JSON.parse(listed) as { items: KubeObject[] }).items;
    const of = (kind: string) => objects.filter((object) => object.kind === kind);
    const policies = of("NetworkPolicy");
    const namespaces = new Map(of("Namespace").map(({ metadata }) => [metadata.name, metadata.labels ?? {}]));
    const pods = of("Pod");
    const byAddress = new Map(pods.map((pod) => [pod["status"]?.podIP as string, pod]));
    const services = new Map(of("Service").map((service) => [service["spec"].clusterIP as string, service]));
    for (const kubectl of this.#kubectl) {
      for (const pod of pods) {
        if (pod.metadata.namespace !== kubectl.namespace || pod["status"]?.phase !== "Running") continue;
        // One that ends meanwhile has no connections any more.
        const { stdout } = await kubectl.try(
          ["exec", pod.metadata.name, "--", "cat", "/proc/net/tcp", "/proc/net/tcp6"],
        );
        this.#judge(pod, stdout, { policies, namespaces, byAddress, services, pods });
      }
    }
  }

  #judge(pod: KubeObject, text: string, { policies, namespaces, byAddress, services, pods }: {
    policies: readonly KubeObject[];
    namespaces: ReadonlyMap<string, Record<string, string>>;
    byAddress: ReadonlyMap<string, KubeObject>;
    services: ReadonlyMap<string, KubeObject>;
    pods: readonly KubeObject[];
  }): void {
    const sockets = parseSockets(text);
    const listens = new Set(
      sockets.filter(({ isListening }) => isListening).map(({ localPort }) => localPort),
    );
    for (const { local, localPort, remote, remotePort, isListening } of sockets) {
      if (isListening || local !== pod["status"].podIP || remote === local) continue;
      if (listens.has(localPort)) {
        this.#add(policies, namespaces, byAddress.get(remote), pod, localPort);
        continue;
      }
      const service = services.get(remote);
      // A Service without a selector is the API server's: an address that is no pod's.
      const behind = service?.["spec"].selector
        ? pods.find((one) => selects(service, one))
        : service
        ? undefined
        : byAddress.get(remote);
      const target = service?.["spec"].ports.find(({ port }: { port: number }) => port === remotePort)
        ?.targetPort;
      this.#add(
        policies,
        namespaces,
        pod,
        behind,
        service ? portOf(behind, target) ?? remotePort : remotePort,
      );
    }
  }

  #add(
    policies: readonly KubeObject[],
    namespaces: ReadonlyMap<string, Record<string, string>>,
    from: KubeObject | undefined,
    to: KubeObject | undefined,
    port: number,
  ): void {
    const way = `${described(from)} to ${described(to)}, port ${port}`;
    this.ways.add(way);
    const reason = refusal(policies, namespaces, { from: endOf(from), to: endOf(to), port });
    if (reason) this.refused.add(`${way}: ${reason}`);
  }
}

function selects(service: KubeObject, pod: KubeObject): boolean {
  return service.metadata.namespace === pod.metadata.namespace &&
    Object.entries(service["spec"].selector as Record<string, string>).every(([key, value]) =>
      pod.metadata.labels?.[key] === value
    );
}

/** The number of a target port, which may be a container's name for it. */
function portOf(pod: KubeObject | undefined, target: number | string | undefined): number | undefined {
  if (typeof target !== "string") return target;
  const containers = (pod?.["spec"].containers ?? []) as {
    ports?: { name?: string; containerPort: number }[];
  }[];
  return containers.flatMap(({ ports = [] }) => ports).find(({ name }) => name === target)?.containerPort;
}

function endOf(pod: KubeObject | undefined): End | undefined {
  return pod && { namespace: pod.metadata.namespace!, labels: pod.metadata.labels ?? {} };
}

/** What a pod is, without the part of its name that differs from run to run. */
function described(pod: KubeObject | undefined): string {
  if (!pod) return "no pod";
  const labels = pod.metadata.labels ?? {};
  const { "app.example.com/component": component, "app.kubernetes.io/name": name, "e2e/of": of } = labels;
  return component ?? name ?? (of ? "client" : pod.metadata.name);
}
