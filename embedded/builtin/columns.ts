/**
 * Printer columns of the built-in kinds (kubernetes pkg/printers/internalversion).
 * @module
 */
import type { Column } from "../kind.ts";
import { age, ageOf } from "../table.ts";
import type { Json, KubeObject } from "../types.ts";

type Cell = (object: KubeObject, nowMs: number) => unknown;

const column = (name: string, cell: Cell, priority = 0, type = "string"): Column => ({
  name,
  type,
  priority,
  cell: (object, nowMs) => {
    const value = cell(object, nowMs);
    return value === undefined || value === "" ? "<none>" : value;
  },
});

const number = (name: string, cell: Cell, priority = 0): Column => ({
  ...column(name, cell, priority, "integer"),
  cell: (object, nowMs) => Number(cell(object, nowMs) ?? 0),
});

const ageAt = (time: (object: KubeObject) => string | undefined): Cell => (object, nowMs) =>
  ageOf(time(object), nowMs);
const created = column("Age", ageAt((object) => object.metadata.creationTimestamp));

const images = (spec: Json) => (spec?.containers ?? []).map((container: Json) => container.image).join(",");
const names = (spec: Json) => (spec?.containers ?? []).map((container: Json) => container.name).join(",");

function selectorText(selector: Json): string {
  const pairs = Object.entries((selector?.matchLabels ?? {}) as Record<string, string>).map(([key, value]) =>
    `${key}=${value}`
  ).sort();
  return pairs.join(",");
}

function podStatus(pod: KubeObject): string {
  let reason: string = pod.status?.reason ?? pod.status?.phase ?? "";
  for (const status of pod.status?.containerStatuses ?? []) {
    if (status.state?.waiting?.reason) reason = status.state.waiting.reason;
    else if (status.state?.terminated?.reason) reason = status.state.terminated.reason;
  }
  if (pod.metadata.deletionTimestamp) return "Terminating";
  return reason;
}

const readyContainers = (pod: KubeObject): string => {
  const statuses: Json[] = pod.status?.containerStatuses ?? [];
  return `${statuses.filter((status) => status.ready).length}/${pod.spec.containers?.length ?? 0}`;
};

const restarts = (pod: KubeObject): number =>
  (pod.status?.containerStatuses ?? []).reduce(
    (sum: number, status: Json) => sum + (status.restartCount ?? 0),
    0,
  );

function servicePorts({ spec }: KubeObject): string {
  return (spec.ports ?? []).map((port: Json) =>
    port.nodePort ? `${port.port}:${port.nodePort}/${port.protocol}` : `${port.port}/${port.protocol}`
  ).join(",");
}

const accessModes: Record<string, string> = {
  ReadWriteOnce: "RWO",
  ReadOnlyMany: "ROX",
  ReadWriteMany: "RWX",
  ReadWriteOncePod: "RWOP",
};
const modes = (list: string[] | undefined) => (list ?? []).map((mode) => accessModes[mode] ?? mode).join(",");

const subjectNames = (kind: string): Cell => (object) =>
  (object.subjects ?? []).filter((subject: Json) => subject.kind === kind)
    .map((
      subject: Json,
    ) => (kind === "ServiceAccount" ? `${subject.namespace}/${subject.name}` : subject.name)).join(", ");

/** Columns after Name, by `group/kind`. */
export const columns: Readonly<Record<string, readonly Column[]>> = {
  "/Namespace": [column("Status", ({ status }) => status?.phase), created],
  "/ConfigMap": [
    number("Data", (o) => Object.keys(o.data ?? {}).length + Object.keys(o.binaryData ?? {}).length),
    created,
  ],
  "/Secret": [
    column("Type", ({ type }) => type),
    number("Data", (o) => Object.keys(o.data ?? {}).length),
    created,
  ],
  "/Service": [
    column("Type", ({ spec }) => spec.type),
    column("Cluster-IP", ({ spec }) => spec.clusterIP),
    column(
      "External-IP",
      ({ spec, status }) =>
        spec.type === "LoadBalancer"
          ? status?.loadBalancer?.ingress?.map((entry: Json) => entry.ip ?? entry.hostname).join(",") ??
            "<pending>"
          : spec.type === "ExternalName"
          ? spec.externalName
          : "<none>",
    ),
    column("Port(s)", servicePorts),
    created,
    column(
      "Selector",
      ({ spec }) =>
        Object.entries((spec.selector ?? {}) as Record<string, string>).map(([key, value]) =>
          `${key}=${value}`
        ).sort().join(","),
      1,
    ),
  ],
  "/ServiceAccount": [created],
  "/Pod": [
    column("Ready", readyContainers),
    column("Status", podStatus),
    column("Restarts", restarts),
    created,
    column("IP", ({ status }) => status?.podIP, 1),
    column("Node", ({ spec }) => spec.nodeName, 1),
    column("Nominated Node", ({ status }) => status?.nominatedNodeName, 1),
    column("Readiness Gates", () => undefined, 1),
  ],
  "/PersistentVolumeClaim": [
    column("Status", (o) => (o.metadata.deletionTimestamp ? "Terminating" : o.status?.phase)),
    { ...column("Volume", () => ""), cell: ({ spec }) => spec.volumeName ?? "" },
    { ...column("Capacity", () => ""), cell: ({ status }) => status?.capacity?.storage ?? "" },
    { ...column("Access Modes", () => ""), cell: ({ status }) => modes(status?.accessModes) },
    { ...column("StorageClass", () => ""), cell: ({ spec }) => spec.storageClassName ?? "" },
    column("VolumeAttributesClass", ({ spec }) => spec.volumeAttributesClassName ?? "<unset>"),
    created,
    column("VolumeMode", ({ spec }) => spec.volumeMode, 1),
  ],
  "/PersistentVolume": [
    column("Capacity", ({ spec }) => spec.capacity?.storage),
    column("Access Modes", ({ spec }) => modes(spec.accessModes)),
    column("Reclaim Policy", ({ spec }) => spec.persistentVolumeReclaimPolicy),
    column("Status", ({ status }) => status?.phase),
    column("Claim", ({ spec }) => (spec.claimRef ? `${spec.claimRef.namespace}/${spec.claimRef.name}` : "")),
    column("StorageClass", ({ spec }) => spec.storageClassName),
    created,
  ],
  "/Node": [
    column(
      "Status",
      ({ status }) =>
        status?.conditions?.some((c: Json) => c.type === "Ready" && c.status === "True")
          ? "Ready"
          : "NotReady",
    ),
    column("Roles", () => undefined),
    created,
    column("Version", ({ status }) => status?.nodeInfo?.kubeletVersion),
  ],
  "/Event": [
    column(
      "Last Seen",
      (o, now) =>
        ageOf(
          o.series?.lastObservedTime ?? o.lastTimestamp ?? o.eventTime ?? o.metadata.creationTimestamp,
          now,
        ),
    ),
    column("Type", ({ type }) => type),
    column("Reason", ({ reason }) => reason),
    column(
      "Object",
      ({ involvedObject }) => `${String(involvedObject?.kind).toLowerCase()}/${involvedObject?.name}`,
    ),
    column("Message", ({ message }) => message),
  ],
  "apps/StatefulSet": [
    column("Ready", ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec.replicas ?? 0}`),
    created,
    column("Containers", ({ spec }) => names(spec.template?.spec), 1),
    column("Images", ({ spec }) => images(spec.template?.spec), 1),
  ],
  "apps/Deployment": [
    column("Ready", ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec.replicas ?? 0}`),
    number("Up-to-date", ({ status }) => status?.updatedReplicas),
    number("Available", ({ status }) => status?.availableReplicas),
    created,
    column("Containers", ({ spec }) => names(spec.template?.spec), 1),
    column("Images", ({ spec }) => images(spec.template?.spec), 1),
    column("Selector", ({ spec }) => selectorText(spec.selector), 1),
  ],
  "apps/ReplicaSet": [
    number("Desired", ({ spec }) => spec.replicas),
    number("Current", ({ status }) => status?.replicas),
    number("Ready", ({ status }) => status?.readyReplicas),
    created,
  ],
  "apps/ControllerRevision": [
    column("Controller", ({ metadata }) => {
      const owner = metadata.ownerReferences?.find((reference) => reference.controller);
      return owner
        ? `${owner.kind.toLowerCase()}.${owner.apiVersion.split("/")[0]}/${owner.name}`
        : undefined;
    }),
    number("Revision", ({ revision }) => revision),
    created,
  ],
  "batch/Job": [
    column(
      "Status",
      ({ status }) =>
        status?.conditions?.find((c: Json) => c.status === "True" && ["Complete", "Failed"].includes(c.type))
          ?.type ?? "Running",
    ),
    column("Completions", ({ spec, status }) => `${status?.succeeded ?? 0}/${spec.completions ?? 1}`),
    column("Duration", ({ status }, now) => {
      if (!status?.startTime) return "";
      return age(
        (status.completionTime ? Date.parse(status.completionTime) : now) - Date.parse(status.startTime),
      );
    }),
    created,
  ],
  "batch/CronJob": [
    column("Schedule", ({ spec }) => spec.schedule),
    column("Timezone", ({ spec }) => spec.timeZone),
    {
      ...column("Suspend", () => ""),
      type: "boolean",
      cell: ({ spec }) => (spec.suspend ? "True" : "False"),
    },
    number("Active", ({ status }) => status?.active?.length),
    column(
      "Last Schedule",
      ({ status }, now) => (status?.lastScheduleTime ? ageOf(status.lastScheduleTime, now) : "<none>"),
    ),
    created,
  ],
  "policy/PodDisruptionBudget": [
    column("Min Available", ({ spec }) => spec.minAvailable ?? "N/A"),
    column("Max Unavailable", ({ spec }) => spec.maxUnavailable ?? "N/A"),
    number("Allowed Disruptions", ({ status }) => status?.disruptionsAllowed),
    created,
  ],
  "rbac.authorization.k8s.io/Role": [column("Created At", ({ metadata }) => metadata.creationTimestamp)],
  "rbac.authorization.k8s.io/ClusterRole": [
    column("Created At", ({ metadata }) => metadata.creationTimestamp),
  ],
  "rbac.authorization.k8s.io/RoleBinding": bindings(),
  "rbac.authorization.k8s.io/ClusterRoleBinding": bindings(),
  "coordination.k8s.io/Lease": [column("Holder", ({ spec }) => spec?.holderIdentity), created],
  "networking.k8s.io/NetworkPolicy": [
    column("Pod-Selector", ({ spec }) => selectorText(spec.podSelector)),
    created,
  ],
  "storage.k8s.io/StorageClass": [
    column("Provisioner", ({ provisioner }) => provisioner),
    column("ReclaimPolicy", ({ reclaimPolicy }) => reclaimPolicy),
    column("VolumeBindingMode", ({ volumeBindingMode }) => volumeBindingMode),
    column("AllowVolumeExpansion", ({ allowVolumeExpansion }) => allowVolumeExpansion ?? false),
    created,
  ],
  "apiextensions.k8s.io/CustomResourceDefinition": [
    column("Created At", ({ metadata }) => metadata.creationTimestamp),
  ],
};

function bindings(): Column[] {
  return [
    column("Role", ({ roleRef }) => `${roleRef?.kind}/${roleRef?.name}`),
    created,
    column("Users", subjectNames("User"), 1),
    column("Groups", subjectNames("Group"), 1),
    column("ServiceAccounts", subjectNames("ServiceAccount"), 1),
  ];
}
