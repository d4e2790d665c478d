/**
 * The StatefulSet controller: pods with a name and volumes of their own, in order or in parallel,
 * updated from the highest ordinal down or only when deleted (kubernetes pkg/controller/statefulset).
 * @module
 */
import type { Backend } from "../backend.ts";
import type { Change } from "../storage.ts";
import { clone, equal, type Json, type KubeObject } from "../types.ts";
import { Loop } from "./loop.ts";
import { controlledBy, templateOf, truncateHistory, updateRevision } from "./revisions.ts";
import { Writes } from "./writes.ts";

const sets = "apps/statefulsets";
const claimTable = "/persistentvolumeclaims";
const revisionLabel = "controller-revision-hash";

const isReady = (pod: KubeObject): boolean =>
  pod.status?.phase === "Running" &&
  (pod.status.conditions ?? []).some((one: Json) => one.type === "Ready" && one.status === "True");
const isTerminating = (pod: KubeObject) => pod.metadata.deletionTimestamp !== undefined;
const isHealthy = (pod: KubeObject) => isReady(pod) && !isTerminating(pod);
const isFinished = (pod: KubeObject) => ["Failed", "Succeeded"].includes(pod.status?.phase);
const revisionOf = (pod: KubeObject) => pod.metadata.labels?.[revisionLabel];

export class StatefulSetController {
  readonly #backend: Backend;
  readonly #writes: Writes;
  readonly #loop: Loop;

  constructor(backend: Backend, delayMs: number) {
    this.#backend = backend;
    this.#writes = new Writes(backend, "kube-controller-manager");
    this.#loop = new Loop(backend.clock, delayMs, (key) => this.#reconcile(key));
  }

  see({ table, object }: Change): void {
    const { namespace, name } = object.metadata;
    if (table === sets) this.#loop.add(`${namespace}/${name}`);
    else if (table === "/pods") {
      const owner = object.metadata.ownerReferences?.find((one) =>
        one.controller && one.kind === "StatefulSet"
      );
      if (owner) this.#loop.add(`${namespace}/${owner.name}`);
    }
  }

  close(): void {
    this.#loop.close();
  }

  #reconcile(key: string): void {
    const [namespace = "", name = ""] = key.split("/");
    const set = this.#backend.storage.get(sets, namespace, name);
    if (!set || isTerminating(set)) return;
    const update = updateRevision(this.#backend, this.#writes, set).metadata.name;
    const current: string = set.status?.currentRevision || update;
    const pods = this.#podsOf(set);
    this.#keepClaims(set);
    this.#step(set, pods, current, update);
    this.#report(set, current, update);
    const inUse = new Set([update, current, ...pods.map((pod) => revisionOf(pod) ?? "")]);
    truncateHistory(this.#backend, this.#writes, set, inUse);
  }

  #podsOf(set: KubeObject): KubeObject[] {
    return this.#backend.list("", "pods", set.metadata.namespace).filter((pod) =>
      pod.metadata.ownerReferences?.some((one) => one.controller && one.uid === set.metadata.uid)
    );
  }

  /** One pass: create what is missing, remove what is too much, then update. */
  #step(set: KubeObject, pods: KubeObject[], current: string, update: string): void {
    const first: number = set.spec.ordinals?.start ?? 0;
    const wanted = Array.from({ length: set.spec.replicas }, (_, index) => first + index);
    const byOrdinal = new Map(pods.map((pod) => [ordinalOf(set, pod), pod]));
    const isParallel = set.spec.podManagementPolicy === "Parallel";
    for (const ordinal of wanted) {
      const pod = byOrdinal.get(ordinal);
      if (pod && isFinished(pod) && !isTerminating(pod)) {
        this.#writes.delete("/pods", pod);
        if (!isParallel) return;
        continue;
      }
      if (!pod) {
        this.#create(set, ordinal, isCurrentNeeded(set, first, ordinal, current, update) ? current : update);
        if (!isParallel) return;
      } else if (!isParallel && !isHealthy(pod)) return;
    }
    const condemned = pods.filter((pod) => !wanted.includes(ordinalOf(set, pod)))
      .sort((a, b) => ordinalOf(set, b) - ordinalOf(set, a));
    for (const pod of condemned) {
      if (isTerminating(pod)) {
        if (!isParallel) return;
        continue;
      }
      this.#giveClaimsTo(set, pod);
      this.#writes.delete("/pods", pod);
      if (!isParallel) return;
    }
    if (set.spec.updateStrategy.type !== "RollingUpdate") return;
    this.#roll(set, wanted, byOrdinal, update);
  }

  /** Deletes the highest pod that is not at the update revision, once those above are healthy. */
  #roll(set: KubeObject, wanted: number[], byOrdinal: Map<number, KubeObject>, update: string): void {
    const partition: number = set.spec.updateStrategy.rollingUpdate?.partition ?? 0;
    for (const ordinal of [...wanted].reverse()) {
      if (ordinal < partition) return;
      const pod = byOrdinal.get(ordinal);
      if (!pod) return;
      if (revisionOf(pod) !== update && !isTerminating(pod)) {
        this.#writes.delete("/pods", pod);
        return;
      }
      if (!isHealthy(pod)) return;
    }
  }

  #create(set: KubeObject, ordinal: number, revision: string): void {
    const { namespace, name } = set.metadata;
    const podName = `${name}-${ordinal}`;
    if (this.#backend.get("", "pods", namespace, podName)) return;
    const template = clone(templateOf(this.#backend, set, revision));
    const claims: Json[] = set.spec.volumeClaimTemplates ?? [];
    for (const claim of claims) this.#createClaim(set, claim, ordinal);
    const names = new Set(claims.map((claim) => claim.metadata.name));
    const volumes = claims.map((claim) => ({
      name: claim.metadata.name,
      persistentVolumeClaim: { claimName: `${claim.metadata.name}-${podName}` },
    }));
    this.#writes.create("/pods", {
      metadata: {
        ...template.metadata,
        name: podName,
        generateName: `${name}-`,
        labels: {
          ...template.metadata?.labels,
          "statefulset.kubernetes.io/pod-name": podName,
          "apps.kubernetes.io/pod-index": String(ordinal),
          [revisionLabel]: revision,
        },
        ownerReferences: [controlledBy(set)],
      },
      spec: {
        ...template.spec,
        hostname: podName,
        ...(set.spec.serviceName ? { subdomain: set.spec.serviceName } : {}),
        volumes: [
          ...volumes,
          ...(template.spec.volumes ?? []).filter((volume: Json) => !names.has(volume.name)),
        ],
      },
    }, namespace);
  }

  #createClaim(set: KubeObject, template: Json, ordinal: number): void {
    const { namespace } = set.metadata;
    const name = `${template.metadata.name}-${set.metadata.name}-${ordinal}`;
    if (this.#backend.storage.get(claimTable, namespace, name)) return;
    const owners = set.spec.persistentVolumeClaimRetentionPolicy?.whenDeleted === "Delete"
      ? { ownerReferences: [controlledBy(set)] }
      : {};
    this.#writes.create(claimTable, {
      metadata: {
        name,
        labels: { ...template.metadata.labels, ...set.spec.selector.matchLabels },
        ...(template.metadata.annotations ? { annotations: clone(template.metadata.annotations) } : {}),
        ...owners,
      },
      spec: clone(template.spec),
    }, namespace);
  }

  #claimsOf(set: KubeObject): KubeObject[] {
    const templates: Json[] = set.spec.volumeClaimTemplates ?? [];
    return this.#backend.storage.list(claimTable, set.metadata.namespace).filter(({ metadata }) =>
      templates.some((template) =>
        metadata.name.startsWith(`${template.metadata.name}-${set.metadata.name}-`) &&
        /^\d+$/.test(metadata.name.slice(`${template.metadata.name}-${set.metadata.name}-`.length))
      )
    );
  }

  /** whenDeleted decides whether claims belong to the set; scaling up again takes them back from their pods. */
  #keepClaims(set: KubeObject): void {
    const isOwned = set.spec.persistentVolumeClaimRetentionPolicy?.whenDeleted === "Delete";
    for (const claim of this.#claimsOf(set)) {
      const ordinal = Number(/(\d+)$/.exec(claim.metadata.name)?.[1]);
      const isWanted = ordinal < set.spec.replicas + (set.spec.ordinals?.start ?? 0);
      const owners = claim.metadata.ownerReferences ?? [];
      const next = owners.filter((one) => one.uid !== set.metadata.uid && !(isWanted && one.kind === "Pod"));
      if (isOwned && (isWanted || owners.every((one) => one.kind !== "Pod"))) next.push(controlledBy(set));
      if (!equal(next, owners)) this.#setOwners(claim, next);
    }
  }

  /** whenScaled=Delete: the claims of a pod that is too much go with it. */
  #giveClaimsTo(set: KubeObject, pod: KubeObject): void {
    if (set.spec.persistentVolumeClaimRetentionPolicy?.whenScaled !== "Delete") return;
    const reference = { ...controlledBy(pod), apiVersion: "v1", kind: "Pod" };
    for (const claim of this.#claimsOf(set)) {
      if (claim.metadata.name.endsWith(`-${pod.metadata.name}`)) this.#setOwners(claim, [reference]);
    }
  }

  #setOwners(claim: KubeObject, owners: Json[]): void {
    this.#writes.change(claimTable, claim, (next) => {
      if (owners.length > 0) next.metadata.ownerReferences = owners.map((one) => ({ ...one }));
      else delete next.metadata.ownerReferences;
    });
  }

  #report(set: KubeObject, current: string, update: string): void {
    const pods = this.#podsOf(set).filter((pod) => pod.status?.phase !== undefined);
    const at = (revision: string) =>
      pods.filter((pod) => revisionOf(pod) === revision && !isTerminating(pod)).length;
    const ready = pods.filter(isReady).length;
    const status: Json = {
      observedGeneration: set.metadata.generation,
      replicas: pods.length,
      readyReplicas: ready,
      availableReplicas: ready,
      currentReplicas: at(current),
      updatedReplicas: at(update),
      currentRevision: current,
      updateRevision: update,
      collisionCount: 0,
    };
    const isRolled = set.spec.updateStrategy.type === "RollingUpdate" &&
      status.updatedReplicas === pods.length &&
      ready === pods.length && pods.length === set.spec.replicas;
    if (isRolled) {
      status.currentRevision = update;
      status.currentReplicas = status.updatedReplicas;
    }
    this.#writes.status(sets, set, status);
  }
}

function ordinalOf(set: KubeObject, pod: KubeObject): number {
  return Number(pod.metadata.name.slice(set.metadata.name.length + 1));
}

/** During a rolling update, lower ordinals are still made at the current revision. */
function isCurrentNeeded(
  set: KubeObject,
  first: number,
  ordinal: number,
  current: string,
  update: string,
): boolean {
  const { type, rollingUpdate } = set.spec.updateStrategy;
  if (type !== "RollingUpdate" || current === update) return false;
  const partition: number = rollingUpdate?.partition ?? 0;
  return partition > 0 ? ordinal < partition : ordinal < first + (set.status?.currentReplicas ?? 0);
}
