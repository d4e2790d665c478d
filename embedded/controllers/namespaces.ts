/**
 * Namespace deletion: everything in it is deleted, and the namespace goes when nothing is left.
 * @module
 */
import type { Backend } from "../backend.ts";
import type { Change } from "../storage.ts";
import { clone, type Json, type KubeObject } from "../types.ts";
import { Loop } from "./loop.ts";
import { Writes } from "./writes.ts";

export class NamespaceController {
  readonly #backend: Backend;
  readonly #writes: Writes;
  readonly #loop: Loop;

  constructor(backend: Backend, delayMs: number) {
    this.#backend = backend;
    this.#writes = new Writes(backend, "kube-controller-manager");
    this.#loop = new Loop(backend.clock, delayMs, (name) => this.#reconcile(name));
  }

  see({ table, type, object }: Change): void {
    if (table === "/namespaces") {
      if (type !== "DELETED" && object.metadata.deletionTimestamp) this.#loop.add(object.metadata.name);
    } else if (object.metadata.namespace && type !== "ADDED") {
      const namespace = this.#backend.get("", "namespaces", undefined, object.metadata.namespace);
      if (namespace?.metadata.deletionTimestamp) this.#loop.add(namespace.metadata.name);
    }
  }

  close(): void {
    this.#loop.close();
  }

  #reconcile(name: string): void {
    const namespace = this.#backend.get("", "namespaces", undefined, name);
    if (!namespace?.metadata.deletionTimestamp) return;
    const content = this.#content(name);
    for (const { table, object } of content) {
      if (!object.metadata.deletionTimestamp) {
        this.#writes.delete(table, object, { propagationPolicy: "Background" });
      }
    }
    const left = this.#content(name);
    if (left.length > 0) return this.#report(namespace, left);
    const last = clone(namespace);
    last.spec = { ...last.spec };
    delete last.spec.finalizers;
    if (!last.metadata.finalizers?.length) this.#backend.storage.remove("/namespaces", last);
  }

  #content(name: string): { table: string; object: KubeObject }[] {
    const { storage, registry } = this.#backend;
    return storage.tables()
      .filter((table) => registry.byTable(table)?.isNamespaced)
      .flatMap((table) => storage.list(table, name).map((object) => ({ table, object })));
  }

  /** Says in the status what is still there, and which finalizers hold it. */
  #report(namespace: KubeObject, left: { table: string; object: KubeObject }[]): void {
    const counts = new Map<string, number>();
    const finalizers = new Map<string, number>();
    for (const { table, object } of left) {
      const [group = "", plural = ""] = table.split("/");
      const resource = `${plural}.${group}`;
      counts.set(resource, (counts.get(resource) ?? 0) + 1);
      for (const name of object.metadata.finalizers ?? []) {
        finalizers.set(name, (finalizers.get(name) ?? 0) + 1);
      }
    }
    const list = (entries: Map<string, number>, words: (name: string, count: number) => string) =>
      [...entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, count]) => words(name, count)).join(", ");
    const condition = (type: string, status: string, reason: string, message: string): Json => {
      const old = namespace.status?.conditions?.find((one: Json) =>
        one.type === type && one.status === status
      );
      return {
        type,
        status,
        lastTransitionTime: old?.lastTransitionTime ?? this.#backend.time,
        reason,
        message,
      };
    };
    const remaining = list(counts, (name, count) => `${name} has ${count} resource instances`);
    const held = list(finalizers, (name, count) => `${name} in ${count} resource instances`);
    const conditions = [
      condition(
        "NamespaceDeletionDiscoveryFailure",
        "False",
        "ResourcesDiscovered",
        "All resources successfully discovered",
      ),
      condition(
        "NamespaceDeletionGroupVersionParsingFailure",
        "False",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
      ),
      condition(
        "NamespaceDeletionContentFailure",
        "False",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
      ),
      condition(
        "NamespaceContentRemaining",
        "True",
        "SomeResourcesRemain",
        `Some resources are remaining: ${remaining}`,
      ),
      held
        ? condition(
          "NamespaceFinalizersRemaining",
          "True",
          "SomeFinalizersRemain",
          `Some content in the namespace has finalizers remaining: ${held}`,
        )
        : condition(
          "NamespaceFinalizersRemaining",
          "False",
          "ContentHasNoFinalizers",
          "All content-preserving finalizers finished",
        ),
    ];
    this.#writes.status("/namespaces", namespace, { phase: "Terminating", conditions });
  }
}
