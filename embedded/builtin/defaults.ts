/**
 * Defaults of the built-in kinds other than pods (kubernetes pkg/apis/<group>/v1/defaults.go).
 * @module
 */
import { canonicalQuantity } from "../quantity.ts";
import type { Json, KubeObject } from "../types.ts";
import {
  canonicalResources,
  defaultClaimSpec,
  defaultPodSpec,
  defaultRequests,
  fill,
} from "./pod_defaults.ts";

type Default = (object: KubeObject) => void;

const template: (spec: Json) => void = (spec) => {
  spec.template ??= {};
  spec.template.metadata ??= {};
  spec.template.spec ??= { containers: [] };
  defaultPodSpec(spec.template.spec);
};

const statefulSet: Default = ({ spec }) => {
  template(spec);
  fill(spec, "podManagementPolicy", "OrderedReady");
  fill(spec, "replicas", 1);
  fill(spec, "revisionHistoryLimit", 10);
  spec.updateStrategy ??= {};
  fill(spec.updateStrategy, "type", "RollingUpdate");
  if (spec.updateStrategy.type === "RollingUpdate") {
    spec.updateStrategy.rollingUpdate ??= {};
    fill(spec.updateStrategy.rollingUpdate, "partition", 0);
  }
  spec.persistentVolumeClaimRetentionPolicy ??= {};
  fill(spec.persistentVolumeClaimRetentionPolicy, "whenDeleted", "Retain");
  fill(spec.persistentVolumeClaimRetentionPolicy, "whenScaled", "Retain");
  for (const claim of spec.volumeClaimTemplates ?? []) {
    claim.apiVersion = "v1";
    claim.kind = "PersistentVolumeClaim";
    claim.metadata ??= {};
    claim.spec ??= {};
    defaultClaimSpec(claim.spec);
    claim.status = { phase: "Pending", ...claim.status };
  }
};

const deployment: Default = ({ spec }) => {
  template(spec);
  fill(spec, "replicas", 1);
  fill(spec, "revisionHistoryLimit", 10);
  fill(spec, "progressDeadlineSeconds", 600);
  spec.strategy ??= {};
  fill(spec.strategy, "type", "RollingUpdate");
  if (spec.strategy.type === "RollingUpdate") {
    spec.strategy.rollingUpdate ??= {};
    fill(spec.strategy.rollingUpdate, "maxUnavailable", "25%");
    fill(spec.strategy.rollingUpdate, "maxSurge", "25%");
  }
};

const replicaSet: Default = ({ spec }) => {
  template(spec);
  fill(spec, "replicas", 1);
};

const daemonSet: Default = ({ spec }) => {
  template(spec);
  fill(spec, "revisionHistoryLimit", 10);
  spec.updateStrategy ??= {};
  fill(spec.updateStrategy, "type", "RollingUpdate");
  if (spec.updateStrategy.type === "RollingUpdate") {
    spec.updateStrategy.rollingUpdate ??= {};
    fill(spec.updateStrategy.rollingUpdate, "maxUnavailable", 1);
    fill(spec.updateStrategy.rollingUpdate, "maxSurge", 0);
  }
};

const jobSpec = (spec: Json) => {
  template(spec);
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1;
  fill(spec, "parallelism", 1);
  fill(spec, "backoffLimit", 6);
  fill(spec, "completionMode", "NonIndexed");
  fill(spec, "suspend", false);
  fill(spec, "podReplacementPolicy", "TerminatingOrFailed");
  fill(spec, "manualSelector", undefined);
  if (spec.manualSelector === undefined) delete spec.manualSelector;
};

const cronJob: Default = ({ spec }) => {
  fill(spec, "concurrencyPolicy", "Allow");
  fill(spec, "suspend", false);
  fill(spec, "successfulJobsHistoryLimit", 3);
  fill(spec, "failedJobsHistoryLimit", 1);
  spec.jobTemplate ??= {};
  spec.jobTemplate.metadata ??= {};
  spec.jobTemplate.spec ??= {};
  // A job template gets no defaults for counts: those come when the Job is created.
  template(spec.jobTemplate.spec);
};

const service: Default = ({ spec }) => {
  fill(spec, "sessionAffinity", "None");
  fill(spec, "type", "ClusterIP");
  if (spec.sessionAffinity === "ClientIP") {
    spec.sessionAffinityConfig ??= {};
    spec.sessionAffinityConfig.clientIP ??= {};
    fill(spec.sessionAffinityConfig.clientIP, "timeoutSeconds", 10800);
  }
  for (const port of spec.ports ?? []) {
    fill(port, "protocol", "TCP");
    if (spec.clusterIP !== "None" || port.targetPort === undefined) fill(port, "targetPort", port.port);
  }
  if (spec.type !== "ExternalName") fill(spec, "internalTrafficPolicy", "Cluster");
  if (spec.type === "LoadBalancer" || spec.type === "NodePort") {
    fill(spec, "externalTrafficPolicy", "Cluster");
  }
  if (spec.type === "LoadBalancer") fill(spec, "allocateLoadBalancerNodePorts", true);
};

const roleRef = (object: KubeObject) => {
  if (object.roleRef) fill(object.roleRef, "apiGroup", "rbac.authorization.k8s.io");
  for (const subject of object.subjects ?? []) {
    if (subject.kind !== "ServiceAccount") fill(subject, "apiGroup", "rbac.authorization.k8s.io");
  }
};

/** Defaults by `group/kind`. */
export const defaults: Readonly<Record<string, Default>> = {
  "/Namespace": (object) => {
    object.metadata.labels = {
      ...object.metadata.labels,
      "kubernetes.io/metadata.name": object.metadata.name,
    };
  },
  "/Pod": ({ spec }) => {
    fill(spec, "enableServiceLinks", true);
    defaultPodSpec(spec);
    defaultRequests(spec);
  },
  "/PodTemplate": (object) => template(object),
  "/Secret": (object) => {
    fill(object, "type", "Opaque");
    if (object.stringData) {
      object.data ??= {};
      for (const [key, text] of Object.entries(object.stringData as Record<string, string>)) {
        object.data[key] = btoa(String.fromCharCode(...new TextEncoder().encode(text)));
      }
      delete object.stringData;
    }
  },
  "/Service": service,
  "/PersistentVolumeClaim": (object) => {
    defaultClaimSpec(object.spec);
    object.status ??= {};
    fill(object.status, "phase", "Pending");
    if (object.status.capacity) canonicalResources(object.status.capacity);
  },
  "/PersistentVolume": (object) => {
    fill(object.spec, "persistentVolumeReclaimPolicy", "Retain");
    fill(object.spec, "volumeMode", "Filesystem");
    if (object.spec.capacity) canonicalResources(object.spec.capacity);
    object.status ??= {};
    fill(object.status, "phase", "Pending");
  },
  "/Node": (object) => {
    object.status ??= {};
    fill(object.status, "allocatable", object.status.capacity);
    if (object.status.allocatable === undefined) delete object.status.allocatable;
  },
  "apps/StatefulSet": statefulSet,
  "apps/Deployment": deployment,
  "apps/ReplicaSet": replicaSet,
  "apps/DaemonSet": daemonSet,
  "batch/Job": ({ spec }) => jobSpec(spec),
  "batch/CronJob": cronJob,
  "policy/PodDisruptionBudget": () => {},
  "rbac.authorization.k8s.io/RoleBinding": roleRef,
  "rbac.authorization.k8s.io/ClusterRoleBinding": roleRef,
  "networking.k8s.io/NetworkPolicy": ({ spec }) => {
    for (const rule of [...(spec.ingress ?? []), ...(spec.egress ?? [])]) {
      for (const port of rule.ports ?? []) fill(port, "protocol", "TCP");
    }
    if (!spec.policyTypes?.length) spec.policyTypes = spec.egress ? ["Ingress", "Egress"] : ["Ingress"];
  },
  "networking.k8s.io/Ingress": () => {},
  "storage.k8s.io/StorageClass": (object) => {
    fill(object, "reclaimPolicy", "Delete");
    fill(object, "volumeBindingMode", "Immediate");
  },
  "discovery.k8s.io/EndpointSlice": (object) => {
    for (const port of object.ports ?? []) {
      fill(port, "name", "");
      fill(port, "protocol", "TCP");
    }
  },
  "apiextensions.k8s.io/CustomResourceDefinition": ({ spec }) => {
    spec.names ??= {};
    if (spec.names.kind) {
      fill(spec.names, "singular", String(spec.names.kind).toLowerCase());
      fill(spec.names, "listKind", `${spec.names.kind}List`);
    }
    fill(spec, "conversion", { strategy: "None" });
  },
};

export { canonicalQuantity };
