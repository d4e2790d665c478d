/**
 * What needs the store before an object is committed: service addresses, pod priorities and the
 * like (the API server's allocators and built-in admission plugins).
 * @module
 */
import type { Backend } from "./backend.ts";
import * as errors from "./errors.ts";
import type { KubeObject } from "./types.ts";

/** Runs after decoding and before validation, on create and on update. */
export function admit(backend: Backend, next: KubeObject, old: KubeObject | undefined): void {
  switch (`${next.apiVersion}/${next.kind}`) {
    case "v1/Service":
      return allocateService(backend, next, old);
    case "v1/Pod":
      return admitPod(next, old);
    case "v1/PersistentVolumeClaim":
      return admitClaim(backend, next, old);
    case "v1/ServiceAccount":
      return;
    case "v1/Namespace":
      if (old) next.spec = { ...next.spec, finalizers: old.spec?.finalizers ?? [] };
      return;
  }
}

function allocateService(backend: Backend, next: KubeObject, old: KubeObject | undefined): void {
  const { spec } = next;
  if (spec.type === "ExternalName") return;
  if (old && spec.clusterIP === undefined && old.spec.clusterIP) {
    spec.clusterIP = old.spec.clusterIP;
    spec.clusterIPs = old.spec.clusterIPs;
  }
  if (!spec.clusterIP) {
    const taken = new Set(backend.list("", "services").map((service) => service.spec.clusterIP as string));
    for (let host = 1; host < 65_534 && !spec.clusterIP; host++) {
      const address = `10.96.${host >> 8}.${host & 255}`;
      if (!taken.has(address)) spec.clusterIP = address;
    }
  }
  spec.clusterIPs ??= [spec.clusterIP];
  // A headless service without a selector may stand for anything.
  const isOpen = spec.clusterIP === "None" && !spec.selector;
  spec.ipFamilies ??= old?.spec.ipFamilies ?? (isOpen ? ["IPv4", "IPv6"] : ["IPv4"]);
  spec.ipFamilyPolicy ??= old?.spec.ipFamilyPolicy ?? (isOpen ? "RequireDualStack" : "SingleStack");
  if (spec.type === "NodePort" || spec.type === "LoadBalancer") allocateNodePorts(backend, next, old);
}

function allocateNodePorts(backend: Backend, next: KubeObject, old: KubeObject | undefined): void {
  const taken = new Set<number>();
  for (const service of backend.list("", "services")) {
    if (service.metadata.uid === next.metadata.uid) continue;
    for (const port of service.spec.ports ?? []) if (port.nodePort) taken.add(port.nodePort as number);
  }
  for (const port of next.spec.ports ?? []) {
    if (port.nodePort) continue;
    const before = old?.spec.ports?.find((one: { port: number }) => one.port === port.port)
      ?.nodePort as number;
    port.nodePort = before;
    for (let candidate = 30_000; !port.nodePort; candidate++) {
      if (!taken.has(candidate)) port.nodePort = candidate;
    }
    taken.add(port.nodePort as number);
  }
}

function admitPod(next: KubeObject, old: KubeObject | undefined): void {
  if (old) return;
  const { spec } = next;
  spec.serviceAccountName ??= "default";
  spec.serviceAccount ??= spec.serviceAccountName;
  spec.priority ??= 0;
  spec.preemptionPolicy ??= "PreemptLowerPriority";
  const tolerations = (spec.tolerations ??= []);
  for (const key of ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]) {
    if (tolerations.some((one: { key?: string; operator?: string }) => one.key === key || !one.key)) continue;
    tolerations.push({ key, operator: "Exists", effect: "NoExecute", tolerationSeconds: 300 });
  }
}

function admitClaim(backend: Backend, next: KubeObject, old: KubeObject | undefined): void {
  if (!old) {
    if (next.spec.storageClassName === undefined) {
      const byDefault = backend.list("storage.k8s.io", "storageclasses").find((one) =>
        one.metadata.annotations?.["storageclass.kubernetes.io/is-default-class"] === "true"
      );
      if (byDefault) next.spec.storageClassName = byDefault.metadata.name;
    }
    const finalizers = (next.metadata.finalizers ??= []);
    if (!finalizers.includes("kubernetes.io/pvc-protection")) finalizers.push("kubernetes.io/pvc-protection");
    return;
  }
  if (!old.spec.volumeName) return;
  if (next.spec.resources?.requests?.storage === old.spec.resources?.requests?.storage) return;
  const storageClass = backend.get(
    "storage.k8s.io",
    "storageclasses",
    undefined,
    old.spec.storageClassName ?? "",
  );
  if (storageClass?.allowVolumeExpansion !== true) {
    throw errors.forbidden(
      backend.kind("", "persistentvolumeclaims"),
      next.metadata.name,
      "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
    );
  }
}
