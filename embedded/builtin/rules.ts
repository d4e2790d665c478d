/**
 * What the server decides and refuses about built-in objects beyond their schema: allocated
 * addresses, fields that never change, selectors that must match.
 * @module
 */
import type { FieldError } from "../errors.ts";
import { matchesLabelSelector } from "../selectors.ts";
import { compareQuantity, parseQuantity } from "../quantity.ts";
import { clone, equal, isRecord, type Json, type KubeObject } from "../types.ts";

type Rule = (next: KubeObject, old: KubeObject | undefined) => FieldError[];

const immutable = (field: string, value: Json): FieldError => ({
  type: "Invalid",
  field,
  value,
  detail: "field is immutable",
});

const mutableStatefulSetFields = [
  "replicas",
  "ordinals",
  "template",
  "updateStrategy",
  "revisionHistoryLimit",
  "persistentVolumeClaimRetentionPolicy",
  "minReadySeconds",
];

const without = (value: Json, keys: readonly string[]): Json =>
  Object.fromEntries(Object.entries(value ?? {}).filter(([key]) => !keys.includes(key)));

const required = (object: Json, path: string): FieldError[] => {
  let at = object;
  for (const name of path.split(".")) at = at?.[name];
  const isEmpty = at === undefined || at === "" || (Array.isArray(at) && at.length === 0);
  return isEmpty ? [{ type: "Required", field: path }] : [];
};

/** A workload's selector must be there and match its own template. */
function selectorErrors(next: KubeObject): FieldError[] {
  const { selector, template } = next.spec;
  const errors: FieldError[] = [];
  if (!selector) errors.push({ type: "Required", field: "spec.selector" });
  else if (!isRecord(selector.matchLabels) && !selector.matchExpressions) {
    errors.push({
      type: "Invalid",
      field: "spec.selector",
      value: {},
      detail: `empty selector is invalid for ${
        next.kind === "StatefulSet" ? "statefulset" : next.kind.toLowerCase()
      }`,
    });
  }
  if (!matchesLabelSelector(selector, template?.metadata?.labels)) {
    errors.push({
      type: "Invalid",
      field: "spec.template.metadata.labels",
      value: template?.metadata?.labels ?? null,
      detail: "`selector` does not match template `labels`",
    });
  }
  return errors;
}

function podSpecErrors(spec: Json, at: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!spec?.containers?.length) errors.push({ type: "Required", field: `${at}.containers` });
  (spec?.containers ?? []).forEach((container: Json, index: number) => {
    if (!container.name) errors.push({ type: "Required", field: `${at}.containers[${index}].name` });
    if (!container.image) errors.push({ type: "Required", field: `${at}.containers[${index}].image` });
  });
  const names = new Set<string>((spec?.volumes ?? []).map((volume: Json) => volume.name as string));
  (spec?.containers ?? []).forEach((container: Json, index: number) => {
    (container.volumeMounts ?? []).forEach((mount: Json, place: number) => {
      if (!names.has(mount.name)) {
        errors.push({
          type: "NotFound",
          field: `${at}.containers[${index}].volumeMounts[${place}].name`,
          value: mount.name,
        });
      }
    });
  });
  return errors;
}

/** Claims from templates are mounted by name without being listed among the volumes. */
function statefulSetPodErrors(next: KubeObject): FieldError[] {
  const claims = (next.spec.volumeClaimTemplates ?? []).map((claim: Json) => ({
    name: claim.metadata?.name,
  }));
  const spec = next.spec.template?.spec ?? {};
  const at = "spec.template.spec";
  return podSpecErrors({ ...spec, volumes: [...(spec.volumes ?? []), ...claims] }, at);
}

const statefulSet: Rule = (next, old) => {
  const errors = [...selectorErrors(next), ...statefulSetPodErrors(next)];
  if (typeof next.spec.replicas === "number" && next.spec.replicas < 0) {
    errors.push({
      type: "Invalid",
      field: "spec.replicas",
      value: next.spec.replicas,
      detail: "must be greater than or equal to 0",
    });
  }
  const { type, rollingUpdate } = next.spec.updateStrategy;
  if (type === "OnDelete" && rollingUpdate) {
    errors.push({
      type: "Invalid",
      field: "spec.updateStrategy.rollingUpdate",
      value: {
        Partition: rollingUpdate.partition ?? null,
        MaxUnavailable: rollingUpdate.maxUnavailable ?? null,
      },
      detail: "only allowed for updateStrategy 'RollingUpdate'",
    });
  }
  if (
    old && !equal(without(next.spec, mutableStatefulSetFields), without(old.spec, mutableStatefulSetFields))
  ) {
    errors.push({
      type: "Forbidden",
      field: "spec",
      detail:
        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
    });
  }
  return errors;
};

const workload: Rule = (next, old) => {
  const errors = [...selectorErrors(next), ...podSpecErrors(next.spec.template?.spec, "spec.template.spec")];
  if (old && !equal(next.spec.selector, old.spec.selector)) {
    errors.push(immutable("spec.selector", next.spec.selector));
  }
  return errors;
};

const job: Rule = (next, old) => {
  const errors = podSpecErrors(next.spec.template?.spec, "spec.template.spec");
  const policy = next.spec.template?.spec?.restartPolicy;
  if (policy === "Always") {
    errors.push({
      type: "NotSupported",
      field: "spec.template.spec.restartPolicy",
      value: policy,
      detail: 'supported values: "OnFailure", "Never"',
    });
  }
  if (old && !equal(next.spec.template, old.spec.template) && !old.spec.suspend) {
    errors.push(immutable("spec.template", next.spec.template));
  }
  return errors;
};

const dataKey = /^[-._a-zA-Z0-9]+$/;

function dataErrors(next: KubeObject, old: KubeObject | undefined): FieldError[] {
  const errors: FieldError[] = [];
  for (const field of ["data", "binaryData"]) {
    for (const key of Object.keys(next[field] ?? {})) {
      if (!dataKey.test(key)) {
        errors.push({
          type: "Invalid",
          field: `${field}[${key}]`,
          value: key,
          detail:
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
        });
      }
    }
  }
  if (old?.immutable) {
    for (const field of ["data", "binaryData"]) {
      if (!equal(next[field], old[field])) {
        errors.push({ type: "Forbidden", field, detail: "field is immutable when `immutable` is set" });
      }
    }
    if (!next.immutable) {
      errors.push({
        type: "Forbidden",
        field: "immutable",
        detail: "field is immutable when `immutable` is set",
      });
    }
  }
  return errors;
}

const claim: Rule = (next, old) => {
  const errors = [...required(next, "spec.accessModes"), ...required(next, "spec.resources.requests.storage")]
    .map((error) =>
      error.field === "spec.accessModes"
        ? { ...error, detail: "at least 1 access mode is required" }
        : { ...error, field: "spec.resources[storage]" }
    );
  if (!old) return errors;
  const fixed = (spec: Json) => without(spec, ["resources", "volumeAttributesClassName", "volumeName"]);
  const isBound = old.spec.volumeName !== undefined;
  const isMoved = isBound && next.spec.volumeName !== old.spec.volumeName;
  const isEarly = !isBound && !equal(next.spec.resources, old.spec.resources);
  if (!equal(fixed(next.spec), fixed(old.spec)) || isMoved || isEarly) {
    errors.push({
      type: "Forbidden",
      field: "spec",
      detail:
        "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
    });
    return errors;
  }
  const [now, before] = [next, old].map((object) =>
    parseQuantity(object.spec.resources?.requests?.storage ?? "0")
  );
  if (
    now && before && compareQuantity(now, before) < 0 &&
    !equal(now, parseQuantity(old.status?.capacity?.storage ?? "0"))
  ) {
    errors.push({
      type: "Forbidden",
      field: "spec.resources.requests.storage",
      detail: "field can not be less than status.capacity",
    });
  }
  return errors;
};

const service: Rule = (next, old) => {
  const errors: FieldError[] = [];
  const { spec } = next;
  if (spec.type !== "ExternalName" && spec.clusterIP !== "None" && !spec.ports?.length) {
    errors.push({ type: "Required", field: "spec.ports" });
  }
  if (old && spec.type !== "ExternalName" && old.spec.type !== "ExternalName") {
    if (old.spec.clusterIP && spec.clusterIP !== old.spec.clusterIP) {
      errors.push({
        type: "Invalid",
        field: "spec.clusterIPs[0]",
        value: [spec.clusterIP],
        detail: "may not change once set",
      });
    }
  }
  const names = new Set<string>();
  (spec.ports ?? []).forEach((port: Json, index: number) => {
    if ((spec.ports?.length ?? 0) > 1 && !port.name) {
      errors.push({ type: "Required", field: `spec.ports[${index}].name` });
    }
    if (port.name && names.has(port.name)) {
      errors.push({ type: "Duplicate", field: `spec.ports[${index}].name`, value: port.name });
    }
    names.add(port.name);
  });
  return errors;
};

const pod: Rule = (next, old) => {
  const errors = podSpecErrors(next.spec, "spec");
  if (!old) return errors;
  const mutable = [
    "activeDeadlineSeconds",
    "terminationGracePeriodSeconds",
    "tolerations",
    "schedulingGates",
    "nodeName",
  ];
  const strip = (spec: Json) => {
    const copy = without(clone(spec), mutable);
    for (const list of ["containers", "initContainers"]) {
      for (const container of copy[list] ?? []) delete container.image;
    }
    return copy;
  };
  if (!equal(strip(next.spec), strip(old.spec))) {
    errors.push({
      type: "Forbidden",
      field: "spec",
      detail:
        "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
    });
  }
  return errors;
};

const roleBinding: Rule = (next, old) => {
  if (!old || equal(next.roleRef, old.roleRef)) return [];
  const { apiGroup, kind, name } = next.roleRef;
  const value = { APIGroup: apiGroup, Kind: kind, Name: name };
  return [{ type: "Invalid", field: "roleRef", value, detail: "cannot change roleRef" }];
};

const budget: Rule = (next) =>
  next.spec.minAvailable !== undefined && next.spec.maxUnavailable !== undefined
    ? [{
      type: "Invalid",
      field: "spec",
      value: next.spec,
      detail: "minAvailable and maxUnavailable cannot be both set",
    }]
    : [];

const lease: Rule = ({ spec }) => {
  const errors: FieldError[] = [];
  if (typeof spec?.leaseDurationSeconds === "number" && spec.leaseDurationSeconds <= 0) {
    errors.push({
      type: "Invalid",
      field: "spec.leaseDurationSeconds",
      value: spec.leaseDurationSeconds,
      detail: "must be greater than 0",
    });
  }
  if (typeof spec?.leaseTransitions === "number" && spec.leaseTransitions < 0) {
    errors.push({
      type: "Invalid",
      field: "spec.leaseTransitions",
      value: spec.leaseTransitions,
      detail: "must be greater than or equal to 0",
    });
  }
  return errors;
};

const cronJob: Rule = (next) => [
  ...required(next, "spec.schedule"),
  ...podSpecErrors(next.spec.jobTemplate?.spec?.template?.spec, "spec.jobTemplate.spec.template.spec"),
];

/** Validation by `group/kind`. */
export const rules: Readonly<Record<string, Rule>> = {
  "/ConfigMap": dataErrors,
  "/Secret": (next, old) => [
    ...dataErrors(next, old),
    ...(old && next.type !== old.type ? [immutable("type", next.type)] : []),
  ],
  "/Service": service,
  "/Pod": pod,
  "/PersistentVolumeClaim": claim,
  "apps/StatefulSet": statefulSet,
  "apps/Deployment": workload,
  "apps/ReplicaSet": workload,
  "apps/DaemonSet": workload,
  "batch/Job": job,
  "batch/CronJob": cronJob,
  "policy/PodDisruptionBudget": budget,
  "rbac.authorization.k8s.io/RoleBinding": roleBinding,
  "rbac.authorization.k8s.io/ClusterRoleBinding": roleBinding,
  "coordination.k8s.io/Lease": lease,
};
