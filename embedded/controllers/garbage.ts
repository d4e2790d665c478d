/**
 * The garbage collector: an object whose owners are all gone goes too; foreground and orphan
 * deletion are finalizers that it carries out (kubernetes pkg/controller/garbagecollector).
 *
 * Owners are told apart by uid. An owner of a kind that is not served is taken for there: deleting
 * on a guess would lose data.
 * @module
 */
import type { Backend } from "../backend.ts";
import type { Change } from "../storage.ts";
import { isRecord, type KubeObject, type OwnerReference } from "../types.ts";
import { Loop } from "./loop.ts";
import { Writes } from "./writes.ts";

const separator = "\u0000";

export class GarbageCollector {
  readonly #backend: Backend;
  readonly #writes: Writes;
  readonly #loop: Loop;
  /** Keys of the objects that name this uid as an owner. */
  readonly #dependents = new Map<string, Set<string>>();

  constructor(backend: Backend, delayMs: number) {
    this.#backend = backend;
    this.#writes = new Writes(backend, "kube-controller-manager");
    this.#loop = new Loop(backend.clock, delayMs, (key) => this.#collect(key));
  }

  see({ table, type, object, previous }: Change): void {
    const key = [table, object.metadata.namespace ?? "", object.metadata.name].join(separator);
    for (const { uid } of previous?.metadata.ownerReferences ?? []) this.#dependents.get(uid)?.delete(key);
    if (type === "DELETED") {
      for (const { uid } of object.metadata.ownerReferences ?? []) this.#loop.add(`uid${separator}${uid}`);
      for (const dependent of this.#dependents.get(object.metadata.uid) ?? []) this.#loop.add(dependent);
      return;
    }
    const owners = object.metadata.ownerReferences ?? [];
    for (const { uid } of owners) {
      let known = this.#dependents.get(uid);
      if (!known) this.#dependents.set(uid, known = new Set());
      known.add(key);
    }
    if (owners.length > 0 || object.metadata.deletionTimestamp) this.#loop.add(key);
    // A dependent that stopped blocking may let its owner go.
    for (const { uid } of previous?.metadata.ownerReferences ?? []) this.#loop.add(`uid${separator}${uid}`);
  }

  close(): void {
    this.#loop.close();
  }

  #collect(key: string): void {
    const [table = "", namespace = "", name = ""] = key.split(separator);
    if (table === "uid") return this.#collectByUid(namespace);
    const object = this.#backend.storage.get(table, namespace || undefined, name);
    if (!object) return;
    const finalizers = object.metadata.finalizers ?? [];
    if (object.metadata.deletionTimestamp) {
      if (finalizers.includes("orphan")) this.#orphan(table, object);
      else if (finalizers.includes("foregroundDeletion")) this.#foreground(table, object);
      return;
    }
    this.#checkOwners(table, object);
  }

  /** A dependent of this owner changed or went: does the owner wait for it? */
  #collectByUid(uid: string): void {
    for (const table of this.#backend.storage.tables()) {
      for (const object of this.#backend.storage.list(table)) {
        if (object.metadata.uid !== uid || !object.metadata.deletionTimestamp) continue;
        if (object.metadata.finalizers?.includes("foregroundDeletion")) this.#foreground(table, object);
      }
    }
  }

  #checkOwners(table: string, object: KubeObject): void {
    const owners = object.metadata.ownerReferences ?? [];
    if (owners.length === 0) return;
    const found = owners.map((owner) => ({ owner, live: this.#owner(owner, object.metadata.namespace) }));
    const gone = found.filter(({ live }) => live === "gone");
    const waiting = found.filter(({ live, owner }) =>
      isRecord(live) && owner.blockOwnerDeletion && (live as KubeObject).metadata.deletionTimestamp &&
      (live as KubeObject).metadata.finalizers?.includes("foregroundDeletion")
    );
    const solid = found.length - gone.length - waiting.length;
    if (solid > 0) {
      if (gone.length + waiting.length === 0) return;
      const lost = new Set([...gone, ...waiting].map(({ owner }) => owner.uid));
      this.#writes.change(table, object, (next) => {
        next.metadata.ownerReferences = owners.filter(({ uid }) => !lost.has(uid)).map((owner) => ({
          ...owner,
        }));
      });
      return;
    }
    const hasDependents = this.#dependentsOf(object).length > 0;
    const policy = waiting.length > 0 && hasDependents ? "Foreground" : policyOf(object);
    this.#writes.delete(table, object, { propagationPolicy: policy });
  }

  /** The live owner; `gone` when there is none of that uid; `unknown` when its kind is not served. */
  #owner(reference: OwnerReference, namespace: string | undefined): KubeObject | "gone" | "unknown" {
    const kind = this.#backend.registry.byKind(reference.apiVersion, reference.kind);
    if (!kind) return "unknown";
    if (kind.isNamespaced && namespace === undefined) return "unknown";
    const live = this.#backend.storage.get(
      kind.table,
      kind.isNamespaced ? namespace : undefined,
      reference.name,
    );
    return live?.metadata.uid === reference.uid ? live : "gone";
  }

  #dependentsOf(owner: KubeObject): { table: string; object: KubeObject }[] {
    const found: { table: string; object: KubeObject }[] = [];
    for (const key of [...this.#dependents.get(owner.metadata.uid) ?? []].sort()) {
      const [table = "", namespace = "", name = ""] = key.split(separator);
      const object = this.#backend.storage.get(table, namespace || undefined, name);
      if (object) found.push({ table, object });
    }
    return found;
  }

  #foreground(table: string, owner: KubeObject): void {
    const dependents = this.#dependentsOf(owner);
    for (const dependent of dependents) {
      if (!dependent.object.metadata.deletionTimestamp) this.#checkOwners(dependent.table, dependent.object);
    }
    const blocking = this.#dependentsOf(owner).some(({ object }) =>
      object.metadata.ownerReferences?.some((one) => one.uid === owner.metadata.uid && one.blockOwnerDeletion)
    );
    if (!blocking) this.#dropFinalizer(table, owner, "foregroundDeletion");
  }

  #orphan(table: string, owner: KubeObject): void {
    for (const { table: own, object } of this.#dependentsOf(owner)) {
      this.#writes.change(own, object, (next) => {
        const rest = (next.metadata.ownerReferences ?? []).filter(({ uid }) => uid !== owner.metadata.uid);
        if (rest.length > 0) next.metadata.ownerReferences = rest;
        else delete next.metadata.ownerReferences;
      });
    }
    this.#dropFinalizer(table, owner, "orphan");
  }

  #dropFinalizer(table: string, object: KubeObject, finalizer: string): void {
    this.#writes.change(table, object, (next) => {
      next.metadata.finalizers = (next.metadata.finalizers ?? []).filter((name) => name !== finalizer);
    });
  }
}

/** A dependent keeps the policy that its own finalizers ask for. */
function policyOf({ metadata }: KubeObject): "Orphan" | "Foreground" | "Background" {
  if (metadata.finalizers?.includes("orphan")) return "Orphan";
  if (metadata.finalizers?.includes("foregroundDeletion")) return "Foreground";
  return "Background";
}
