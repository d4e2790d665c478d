/**
 * Writes of the in-process controllers: the same path as a client's request takes.
 * @module
 */
import { admit } from "../admission.ts";
import type { Backend } from "../backend.ts";
import { type DeleteOptions, remove } from "../remove.ts";
import { equal, type Json, type KubeObject } from "../types.ts";
import { create, type Target, update } from "../write.ts";

/** Reads and writes under one field manager. */
export class Writes {
  readonly backend: Backend;
  readonly #manager: string;

  constructor(backend: Backend, manager: string) {
    this.backend = backend;
    this.#manager = manager;
  }

  #target(table: string, namespace: string | undefined, name: string): Target {
    const kind = this.backend.registry.byTable(table);
    if (!kind) throw new RangeError(`No kind for ${table}`);
    return { kind, version: kind.storageVersion, namespace, name };
  }

  create(table: string, body: Json, namespace?: string): KubeObject {
    return create(this.backend, this.#target(table, namespace, ""), body, { manager: this.#manager }, admit);
  }

  /** Changes a copy of the object in place; nothing is written when nothing changes. */
  change(table: string, object: KubeObject, change: (next: KubeObject) => void, subresource = ""): void {
    const { name, namespace } = object.metadata;
    if (!this.backend.storage.get(table, namespace, name)) return;
    update(
      this.backend,
      this.#target(table, namespace, name),
      (live) => {
        change(live);
        return live;
      },
      { manager: this.#manager, subresource },
      admit,
    );
  }

  status(table: string, object: KubeObject, status: Json): void {
    const { name, namespace } = object.metadata;
    if (equal(this.backend.storage.get(table, namespace, name)?.status, status)) return;
    this.change(table, object, (next) => void (next.status = status), "status");
  }

  /** Deletes the very object, if it is still there. */
  delete(table: string, object: KubeObject, options: DeleteOptions = {}): void {
    const { name, namespace, uid } = object.metadata;
    if (this.backend.storage.get(table, namespace, name)?.metadata.uid !== uid) return;
    remove(this.backend, this.#target(table, namespace, name), { ...options, preconditions: { uid } });
  }
}
