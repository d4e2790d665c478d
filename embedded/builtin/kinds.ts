/**
 * The built-in kinds that the API serves, one row each.
 * @module
 */
import { definitionErrors } from "../custom_kind.ts";
import type { FieldError } from "../errors.ts";
import {
  type Column,
  type Decoded,
  groupVersion,
  type Kind,
  labelProblem,
  pathSegmentProblem,
  readPath,
  type ScalePaths,
  subdomainProblem,
} from "../kind.ts";
import { builtinSchema, type Schema } from "../schema/model.ts";
import { normalize } from "../schema/prune.ts";
import { ageColumn, nameColumn } from "../table.ts";
import { clone, equal, type Json, type KubeObject } from "../types.ts";
import { columns } from "./columns.ts";
import { defaults } from "./defaults.ts";
import { eventFromV1, eventToV1 } from "./events.ts";
import { rules } from "./rules.ts";

/** What differs from kind to kind. */
interface Row {
  group: string;
  kind: string;
  plural: string;
  short?: string[];
  categories?: string[];
  cluster?: boolean;
  status?: boolean;
  scale?: ScalePaths;
  generation?: boolean;
  /** PUT must carry a resourceVersion. */
  versioned?: boolean;
  createOnUpdate?: boolean;
  table?: string;
  name?: (name: string) => string | undefined;
  grace?: (object: KubeObject) => number;
  fields?: string[];
}

const replicas = (labelSelectorPath?: string): ScalePaths => ({
  specReplicasPath: ".spec.replicas",
  statusReplicasPath: ".status.replicas",
  ...(labelSelectorPath ? { labelSelectorPath } : {}),
});

const rbac = "rbac.authorization.k8s.io";
const all = ["all"];
const eventFields = ["reason", "type", "reportingComponent", "source"];
const involved = ["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"];

const rows: Row[] = [
  {
    group: "",
    kind: "Namespace",
    plural: "namespaces",
    short: ["ns"],
    cluster: true,
    status: true,
    name: labelProblem,
    fields: ["status.phase"],
  },
  { group: "", kind: "ConfigMap", plural: "configmaps", short: ["cm"] },
  { group: "", kind: "Secret", plural: "secrets", fields: ["type"] },
  {
    group: "",
    kind: "Service",
    plural: "services",
    short: ["svc"],
    categories: all,
    status: true,
    createOnUpdate: true,
    name: labelProblem,
    fields: ["spec.clusterIP", "spec.type"],
  },
  { group: "", kind: "ServiceAccount", plural: "serviceaccounts", short: ["sa"] },
  {
    group: "",
    kind: "Pod",
    plural: "pods",
    short: ["po"],
    categories: all,
    status: true,
    generation: true,
    grace: (pod) => (pod.spec?.nodeName ? pod.spec.terminationGracePeriodSeconds ?? 30 : 0),
    fields: [
      "spec.nodeName",
      "spec.restartPolicy",
      "spec.schedulerName",
      "spec.serviceAccountName",
      "spec.hostNetwork",
      "status.phase",
      "status.podIP",
      "status.nominatedNodeName",
    ],
  },
  {
    group: "",
    kind: "PersistentVolumeClaim",
    plural: "persistentvolumeclaims",
    short: ["pvc"],
    status: true,
  },
  {
    group: "",
    kind: "PersistentVolume",
    plural: "persistentvolumes",
    short: ["pv"],
    cluster: true,
    status: true,
  },
  {
    group: "",
    kind: "Node",
    plural: "nodes",
    short: ["no"],
    cluster: true,
    status: true,
    fields: ["spec.unschedulable"],
  },
  { group: "", kind: "Endpoints", plural: "endpoints", short: ["ep"], createOnUpdate: true },
  {
    group: "",
    kind: "Event",
    plural: "events",
    short: ["ev"],
    createOnUpdate: true,
    table: "events",
    fields: [...eventFields, ...involved.map((field) => `involvedObject.${field}`)],
  },
  {
    group: "events.k8s.io",
    kind: "Event",
    plural: "events",
    short: ["ev"],
    createOnUpdate: true,
    table: "events",
    fields: [...eventFields, ...involved.map((field) => `regarding.${field}`)],
  },
  {
    group: "apps",
    kind: "StatefulSet",
    plural: "statefulsets",
    short: ["sts"],
    categories: all,
    status: true,
    generation: true,
    scale: replicas(".status.selector"),
  },
  {
    group: "apps",
    kind: "Deployment",
    plural: "deployments",
    short: ["deploy"],
    categories: all,
    status: true,
    generation: true,
    scale: replicas(".status.selector"),
  },
  {
    group: "apps",
    kind: "ReplicaSet",
    plural: "replicasets",
    short: ["rs"],
    categories: all,
    status: true,
    generation: true,
    scale: replicas(".status.selector"),
  },
  {
    group: "apps",
    kind: "DaemonSet",
    plural: "daemonsets",
    short: ["ds"],
    categories: all,
    status: true,
    generation: true,
  },
  { group: "apps", kind: "ControllerRevision", plural: "controllerrevisions" },
  {
    group: "batch",
    kind: "Job",
    plural: "jobs",
    categories: all,
    status: true,
    generation: true,
    fields: ["status.successful"],
  },
  {
    group: "batch",
    kind: "CronJob",
    plural: "cronjobs",
    short: ["cj"],
    categories: all,
    status: true,
    generation: true,
  },
  {
    group: "policy",
    kind: "PodDisruptionBudget",
    plural: "poddisruptionbudgets",
    short: ["pdb"],
    status: true,
    generation: true,
    versioned: true,
  },
  { group: rbac, kind: "Role", plural: "roles", createOnUpdate: true, name: pathSegmentProblem },
  {
    group: rbac,
    kind: "RoleBinding",
    plural: "rolebindings",
    createOnUpdate: true,
    name: pathSegmentProblem,
  },
  {
    group: rbac,
    kind: "ClusterRole",
    plural: "clusterroles",
    cluster: true,
    createOnUpdate: true,
    name: pathSegmentProblem,
  },
  {
    group: rbac,
    kind: "ClusterRoleBinding",
    plural: "clusterrolebindings",
    cluster: true,
    createOnUpdate: true,
    name: pathSegmentProblem,
  },
  { group: "coordination.k8s.io", kind: "Lease", plural: "leases", versioned: true, createOnUpdate: true },
  {
    group: "networking.k8s.io",
    kind: "NetworkPolicy",
    plural: "networkpolicies",
    short: ["netpol"],
    generation: true,
  },
  {
    group: "networking.k8s.io",
    kind: "Ingress",
    plural: "ingresses",
    short: ["ing"],
    status: true,
    generation: true,
  },
  { group: "storage.k8s.io", kind: "StorageClass", plural: "storageclasses", short: ["sc"], cluster: true },
  { group: "discovery.k8s.io", kind: "EndpointSlice", plural: "endpointslices", generation: true },
  {
    group: "apiextensions.k8s.io",
    kind: "CustomResourceDefinition",
    plural: "customresourcedefinitions",
    short: ["crd", "crds"],
    categories: ["api-extensions"],
    cluster: true,
    status: true,
    generation: true,
    versioned: true,
  },
];

/** A built-in kind. */
export class BuiltinKind implements Kind {
  readonly group: string;
  readonly plural: string;
  readonly singular: string;
  readonly kind: string;
  readonly listKind: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly isNamespaced: boolean;
  readonly table: string;
  readonly versions: readonly string[] = ["v1"];
  readonly storageVersion = "v1";
  readonly isCustom = false;
  readonly isUnconditionalUpdateAllowed: boolean;
  readonly isCreateOnUpdateAllowed: boolean;
  readonly gracePeriodSeconds?: (object: KubeObject) => number;
  readonly #row: Row;
  readonly #columns: readonly Column[];
  readonly #selectable: Record<string, (object: KubeObject) => string>;
  #schema: Schema | undefined;

  constructor(row: Row) {
    this.#row = row;
    this.group = row.group;
    this.plural = row.plural;
    this.kind = row.kind;
    this.singular = row.kind.toLowerCase();
    this.listKind = `${row.kind}List`;
    this.shortNames = row.short ?? [];
    this.categories = row.categories ?? [];
    this.isNamespaced = !row.cluster;
    this.table = row.table ?? `${row.group}/${row.plural}`;
    this.isUnconditionalUpdateAllowed = !row.versioned;
    this.isCreateOnUpdateAllowed = row.createOnUpdate === true;
    if (row.grace) this.gracePeriodSeconds = row.grace;
    this.#columns = [
      nameColumn,
      ...(columns[`${row.group}/${row.kind}`] ?? columns[`/${row.kind}`] ?? [ageColumn]),
    ];
    this.#selectable = Object.fromEntries(
      (row.fields ?? []).map((field) => [field, (object: KubeObject) => {
        const value = readPath(object, field.replace("regarding.", "involvedObject."));
        return typeof value === "object" && value !== null
          ? String((value as Json).component ?? "")
          : String((value ?? "") as string);
      }]),
    );
  }

  hasGeneration = () => this.#row.generation === true;
  hasStatus = () => this.#row.status === true;
  scale = () => this.#row.scale;
  columns = () => this.#columns;
  selectable = () => this.#selectable;
  nameProblem = (name: string) => (this.#row.name ?? subdomainProblem)(name);

  schema(): Schema {
    return (this.#schema ??= builtinSchema(this.group, "v1", this.kind));
  }

  decode(object: KubeObject): Decoded {
    const decoded = normalize(object, this.schema(), "", this.kind);
    if (decoded.mismatches.length === 0) {
      if (this.schema().properties?.spec) object.spec ??= {};
      defaults[`${this.group}/${this.kind}`]?.(object);
      // Defaults may have opened new structs, whose own by-value parts must be there too.
      normalize(object, this.schema(), "", this.kind);
    }
    return decoded;
  }

  toVersion(object: KubeObject): KubeObject {
    return this.group === "events.k8s.io" ? eventToV1(object) : object;
  }

  toStorage(object: KubeObject): KubeObject {
    return this.group === "events.k8s.io" ? eventFromV1(object) : object;
  }

  prepare(next: KubeObject, old: KubeObject | undefined, subresource: string): void {
    const row = this.#row;
    if (row.kind === "Event") nullTimes(next);
    if (!old) {
      if (row.status) resetStatus(next);
      if (row.generation) next.metadata.generation = 1;
      return;
    }
    if (row.status && subresource === "status") {
      if (old.spec !== undefined) next.spec = clone(old.spec);
    } else if (row.status) {
      if (old.status === undefined) delete next.status;
      else next.status = clone(old.status);
    }
    if (row.generation) {
      const changed = !equal(withoutMetadata(next), withoutMetadata(old));
      next.metadata.generation = (old.metadata.generation ?? 0) + (changed ? 1 : 0);
      if (!next.metadata.generation) delete next.metadata.generation;
    }
  }

  validate(next: KubeObject, old: KubeObject | undefined): FieldError[] {
    if (this.kind === "CustomResourceDefinition") return definitionErrors(next, old);
    return rules[`${this.group}/${this.kind}`]?.(next, old) ?? [];
  }
}

/** Times of events that are written although they are not set. */
function nullTimes(event: KubeObject): void {
  const names = event.apiVersion === "v1"
    ? ["firstTimestamp", "lastTimestamp", "eventTime"]
    : ["deprecatedFirstTimestamp", "deprecatedLastTimestamp", "eventTime"];
  for (const name of names) event[name] ??= null;
  for (const name of event.apiVersion === "v1" ? ["reportingComponent", "reportingInstance"] : []) {
    event[name] ??= "";
  }
}

const withoutMetadata = ({ metadata: _metadata, status: _status, ...rest }: KubeObject): Json => rest;

/** What status a new object starts with. */
function resetStatus(object: KubeObject): void {
  switch (object.kind) {
    case "Namespace":
      object.status = { phase: "Active" };
      object.spec = { ...object.spec, finalizers: ["kubernetes"] };
      break;
    case "Pod":
      object.status = { phase: "Pending", qosClass: qualityOfService(object.spec) };
      break;
    case "PersistentVolumeClaim":
    case "PersistentVolume":
      object.status = { phase: "Pending" };
      break;
    case "Service":
      object.status = { loadBalancer: {} };
      break;
    case "Node":
      break;
    case "CustomResourceDefinition": {
      const stored = (object.spec?.versions ?? []).find((version: Json) => version?.storage)?.name;
      object.status = {
        conditions: null,
        acceptedNames: { plural: "", kind: "" },
        storedVersions: stored ? [stored] : [],
      };
      break;
    }
    case "StatefulSet":
      object.status = { replicas: 0, availableReplicas: 0 };
      break;
    case "ReplicaSet":
      object.status = { replicas: 0 };
      break;
    case "DaemonSet":
      object.status = {
        currentNumberScheduled: 0,
        desiredNumberScheduled: 0,
        numberMisscheduled: 0,
        numberReady: 0,
      };
      break;
    case "PodDisruptionBudget":
      object.status = { currentHealthy: 0, desiredHealthy: 0, disruptionsAllowed: 0, expectedPods: 0 };
      break;
    case "Ingress":
      object.status = { loadBalancer: {} };
      break;
    default:
      object.status = {};
  }
}

function qualityOfService(spec: Json): string {
  const containers: Json[] = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])];
  const kinds = ["cpu", "memory"];
  const isEmpty = containers.every((container) => {
    const { limits, requests } = container.resources ?? {};
    return kinds.every((kind) => limits?.[kind] === undefined && requests?.[kind] === undefined);
  });
  if (isEmpty) return "BestEffort";
  const isFull = containers.every((container) => {
    const { limits, requests } = container.resources ?? {};
    return kinds.every((kind) =>
      limits?.[kind] !== undefined && limits[kind] === (requests?.[kind] ?? limits[kind])
    );
  });
  return isFull ? "Guaranteed" : "Burstable";
}

/** All built-in kinds. */
export const builtinKinds = (): BuiltinKind[] => rows.map((row) => new BuiltinKind(row));

export { groupVersion };
