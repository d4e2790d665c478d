/**
 * Defaults of pods and pod templates, as kubernetes pkg/apis/core/v1/defaults.go sets them.
 * @module
 */
import { canonicalQuantity } from "../quantity.ts";
import { isRecord, type Json } from "../types.ts";

/** Sets `field` when it is missing. */
export function fill(target: Json, field: string, value: unknown): void {
  if (target[field] === undefined) target[field] = value;
}

/** Writes every quantity of a resource list in its canonical form. */
export function canonicalResources(list: Json): void {
  for (const key of Object.keys(list ?? {})) list[key] = canonicalQuantity(list[key]);
}

/** Fills in a PodSpec in place. */
export function defaultPodSpec(spec: Json): void {
  fill(spec, "restartPolicy", "Always");
  fill(spec, "dnsPolicy", "ClusterFirst");
  fill(spec, "schedulerName", "default-scheduler");
  fill(spec, "terminationGracePeriodSeconds", 30);
  fill(spec, "securityContext", {});
  // The deprecated alias is written beside the field it stands for.
  if (spec.serviceAccountName) spec.serviceAccount = spec.serviceAccountName;
  else if (spec.serviceAccount) spec.serviceAccountName = spec.serviceAccount;
  for (const container of spec.initContainers ?? []) defaultContainer(container, spec);
  for (const container of spec.containers ?? []) defaultContainer(container, spec);
  for (const container of spec.ephemeralContainers ?? []) defaultContainer(container, spec);
  for (const volume of spec.volumes ?? []) defaultVolume(volume);
  for (const constraint of spec.topologySpreadConstraints ?? []) void constraint;
  if (isRecord(spec.overhead)) canonicalResources(spec.overhead);
}

function defaultContainer(container: Json, spec: Json): void {
  fill(container, "terminationMessagePath", "/dev/termination-log");
  fill(container, "terminationMessagePolicy", "File");
  fill(container, "resources", {});
  if (container.imagePullPolicy === undefined) {
    const tag = /:([^/:@]+)$/.exec(String(container.image ?? "").replace(/@.*$/, ""))?.[1];
    const isDigest = String(container.image ?? "").includes("@");
    container.imagePullPolicy = !isDigest && (tag === undefined || tag === "latest")
      ? "Always"
      : "IfNotPresent";
  }
  for (const port of container.ports ?? []) {
    fill(port, "protocol", "TCP");
    if (spec.hostNetwork) fill(port, "hostPort", port.containerPort);
  }
  for (const kind of ["livenessProbe", "readinessProbe", "startupProbe"]) {
    if (container[kind]) defaultProbe(container[kind]);
  }
  for (const hook of ["postStart", "preStop"]) {
    const get = container.lifecycle?.[hook]?.httpGet;
    if (get) defaultHttpGet(get);
  }
  for (const variable of container.env ?? []) {
    const field = variable.valueFrom?.fieldRef;
    if (field) fill(field, "apiVersion", "v1");
    const resource = variable.valueFrom?.resourceFieldRef;
    if (resource) resource.divisor = canonicalQuantity(resource.divisor ?? "0");
  }
  const { limits, requests } = container.resources;
  if (limits) canonicalResources(limits);
  if (requests) canonicalResources(requests);
}

/** Requests default to limits; pods only, never templates. */
export function defaultRequests(spec: Json): void {
  for (const container of [...(spec.initContainers ?? []), ...(spec.containers ?? [])]) {
    const { limits } = container.resources ?? {};
    if (!limits) continue;
    container.resources.requests = { ...limits, ...container.resources.requests };
  }
}

function defaultHttpGet(get: Json): void {
  fill(get, "path", "/");
  fill(get, "scheme", "HTTP");
}

function defaultProbe(probe: Json): void {
  fill(probe, "timeoutSeconds", 1);
  fill(probe, "periodSeconds", 10);
  fill(probe, "successThreshold", 1);
  fill(probe, "failureThreshold", 3);
  if (probe.httpGet) defaultHttpGet(probe.httpGet);
  if (probe.grpc) fill(probe.grpc, "service", "");
}

function defaultVolume(volume: Json): void {
  const sources = Object.keys(volume).filter((key) => key !== "name");
  if (sources.length === 0) volume.emptyDir = {};
  if (volume.secret) fill(volume.secret, "defaultMode", 0o644);
  if (volume.configMap) fill(volume.configMap, "defaultMode", 0o644);
  if (volume.downwardAPI) {
    fill(volume.downwardAPI, "defaultMode", 0o644);
    for (const item of volume.downwardAPI.items ?? []) defaultDownwardItem(item);
  }
  if (volume.emptyDir?.sizeLimit !== undefined) {
    volume.emptyDir.sizeLimit = canonicalQuantity(volume.emptyDir.sizeLimit);
  }
  if (volume.hostPath) fill(volume.hostPath, "type", "");
  if (volume.projected) {
    fill(volume.projected, "defaultMode", 0o644);
    for (const source of volume.projected.sources ?? []) {
      if (source.serviceAccountToken) fill(source.serviceAccountToken, "expirationSeconds", 3600);
      for (const item of source.downwardAPI?.items ?? []) defaultDownwardItem(item);
    }
  }
  if (volume.ephemeral?.volumeClaimTemplate) defaultClaimSpec(volume.ephemeral.volumeClaimTemplate.spec);
}

function defaultDownwardItem(item: Json): void {
  if (item.fieldRef) fill(item.fieldRef, "apiVersion", "v1");
  if (item.resourceFieldRef) {
    item.resourceFieldRef.divisor = canonicalQuantity(item.resourceFieldRef.divisor ?? "0");
  }
}

/** Fills in a PersistentVolumeClaimSpec in place. */
export function defaultClaimSpec(spec: Json): void {
  fill(spec, "volumeMode", "Filesystem");
  fill(spec, "resources", {});
  if (spec.resources.requests) canonicalResources(spec.resources.requests);
  if (spec.resources.limits) canonicalResources(spec.resources.limits);
}
