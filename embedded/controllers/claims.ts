/**
 * Volume claims: bound to a new volume, grown when they ask for more, protected while a pod uses them.
 * @module
 */
import type { Backend } from "../backend.ts";
import { compareQuantity, parseQuantity } from "../quantity.ts";
import type { Change } from "../storage.ts";
import type { Json, KubeObject } from "../types.ts";
import { Loop } from "./loop.ts";
import { Writes } from "./writes.ts";

const claims = "/persistentvolumeclaims";
const volumes = "/persistentvolumes";
const protection = "kubernetes.io/pvc-protection";
/** The storage class that the simulation brings. */
const className = "standard";

/** Lets a claim that is being deleted go as soon as no pod uses it. */
export class ClaimProtection {
  readonly #backend: Backend;
  readonly #writes: Writes;
  readonly #loop: Loop;

  constructor(backend: Backend, delayMs: number) {
    this.#backend = backend;
    this.#writes = new Writes(backend, "kube-controller-manager");
    this.#loop = new Loop(backend.clock, delayMs, (key) => this.#reconcile(key));
  }

  see({ table, type, object }: Change): void {
    const namespace = object.metadata.namespace ?? "";
    if (table === claims && type !== "DELETED" && object.metadata.deletionTimestamp) {
      this.#loop.add(`${namespace}/${object.metadata.name}`);
    } else if (table === "/pods") {
      for (const name of claimsOf(object)) this.#loop.add(`${namespace}/${name}`);
    }
  }

  close(): void {
    this.#loop.close();
  }

  #reconcile(key: string): void {
    const [namespace = "", name = ""] = key.split("/");
    const claim = this.#backend.storage.get(claims, namespace, name);
    if (!claim?.metadata.deletionTimestamp || !claim.metadata.finalizers?.includes(protection)) return;
    const isUsed = this.#backend.list("", "pods", namespace).some((pod) =>
      claimsOf(pod).includes(name) && !["Succeeded", "Failed"].includes(pod.status?.phase)
    );
    if (isUsed) return;
    this.#writes.change(claims, claim, (next) => {
      next.metadata.finalizers = (next.metadata.finalizers ?? []).filter((one) => one !== protection);
    });
  }
}

/** The claims that a pod mounts. */
export const claimsOf = (pod: KubeObject): string[] =>
  (pod.spec?.volumes ?? []).flatMap((volume: Json) => volume.persistentVolumeClaim?.claimName ?? []);

/** Makes volumes. */
export class ClaimBinder {
  readonly #backend: Backend;
  readonly #writes: Writes;
  readonly #loop: Loop;

  constructor(backend: Backend, delayMs: number) {
    this.#backend = backend;
    this.#writes = new Writes(backend, "kube-controller-manager");
    this.#loop = new Loop(backend.clock, delayMs, (key) => this.#reconcile(key));
  }

  /** Creates the default storage class. */
  start(): void {
    if (this.#backend.get("storage.k8s.io", "storageclasses", undefined, className)) return;
    this.#writes.create("storage.k8s.io/storageclasses", {
      metadata: {
        name: className,
        annotations: { "storageclass.kubernetes.io/is-default-class": "true" },
      },
      provisioner: "embedded/volumes",
      allowVolumeExpansion: true,
    });
  }

  see({ table, type, object }: Change): void {
    if (table === claims) this.#loop.add(`${object.metadata.namespace}/${object.metadata.name}`);
    if (table !== claims || type !== "DELETED" || !object.spec.volumeName) return;
    const volume = this.#backend.storage.get(volumes, undefined, object.spec.volumeName);
    if (volume?.spec.persistentVolumeReclaimPolicy === "Delete") this.#writes.delete(volumes, volume);
  }

  close(): void {
    this.#loop.close();
  }

  #reconcile(key: string): void {
    const [namespace = "", name = ""] = key.split("/");
    const claim = this.#backend.storage.get(claims, namespace, name);
    if (!claim || claim.metadata.deletionTimestamp) return;
    if (claim.spec.volumeName) this.#grow(claim);
    else if (
      this.#backend.get("storage.k8s.io", "storageclasses", undefined, claim.spec.storageClassName ?? "")
    ) {
      this.#bind(claim);
    }
  }

  #bind(claim: KubeObject): void {
    const volumeName = `pvc-${claim.metadata.uid}`;
    const storage = claim.spec.resources.requests.storage as string;
    const storageClass = this.#backend.get(
      "storage.k8s.io",
      "storageclasses",
      undefined,
      claim.spec.storageClassName,
    );
    const volume = this.#writes.create(volumes, {
      metadata: { name: volumeName },
      spec: {
        capacity: { storage },
        accessModes: claim.spec.accessModes,
        persistentVolumeReclaimPolicy: storageClass?.reclaimPolicy ?? "Delete",
        storageClassName: claim.spec.storageClassName,
        volumeMode: claim.spec.volumeMode,
        hostPath: { path: `/embedded/${volumeName}` },
        claimRef: {
          apiVersion: "v1",
          kind: "PersistentVolumeClaim",
          namespace: claim.metadata.namespace,
          name: claim.metadata.name,
          uid: claim.metadata.uid,
        },
      },
    });
    this.#writes.status(volumes, volume, { phase: "Bound", lastPhaseTransitionTime: this.#backend.time });
    this.#writes.change(claims, claim, (next) => {
      next.spec.volumeName = volumeName;
      next.metadata.annotations = {
        ...next.metadata.annotations,
        "pv.kubernetes.io/bind-completed": "yes",
        "pv.kubernetes.io/bound-by-controller": "yes",
      };
    });
    this.#writes.status(claims, claim, {
      phase: "Bound",
      accessModes: claim.spec.accessModes,
      capacity: { storage },
    });
  }

  #grow(claim: KubeObject): void {
    const wanted = parseQuantity(claim.spec.resources?.requests?.storage ?? "");
    const actual = parseQuantity(claim.status?.capacity?.storage ?? "");
    if (!wanted || !actual || compareQuantity(wanted, actual) <= 0) return;
    const storage = claim.spec.resources.requests.storage as string;
    const volume = this.#backend.storage.get(volumes, undefined, claim.spec.volumeName);
    if (volume) this.#writes.change(volumes, volume, (next) => void (next.spec.capacity = { storage }));
    this.#writes.status(claims, claim, { ...claim.status, capacity: { storage } });
  }
}
