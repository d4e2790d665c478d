/**
 * Controller revisions: the history of a StatefulSet's pod template, and the name of each state.
 * @module
 */
import type { Backend } from "../backend.ts";
import { clone, equal, type Json, type KubeObject } from "../types.ts";
import type { Writes } from "./writes.ts";

const table = "apps/controllerrevisions";

/** A short stable name for the text (FNV-1a, spelled without vowels). */
export function hashName(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  const alphabet = "bcdfghjklmnpqrstvwxz2456789";
  return String(hash).split("").map((digit) => alphabet[Number(digit) % alphabet.length]).join("");
}

/** What a revision keeps of the set. */
const dataOf = (set: KubeObject): Json => ({
  spec: { template: { ...clone(set.spec.template), $patch: "replace" } },
});

const isOf = (set: KubeObject) => (revision: KubeObject) =>
  revision.metadata.ownerReferences?.some((owner) => owner.uid === set.metadata.uid) ?? false;

/** The owner reference of what a controller makes. */
export const controlledBy = (owner: KubeObject): Json => ({
  apiVersion: owner.apiVersion,
  kind: owner.kind,
  name: owner.metadata.name,
  uid: owner.metadata.uid,
  controller: true,
  blockOwnerDeletion: true,
});

/** The revision of the set as it is now, created when it is new; older ones beyond the limit go. */
export function updateRevision(backend: Backend, writes: Writes, set: KubeObject): KubeObject {
  const namespace = set.metadata.namespace;
  const known = backend.storage.list(table, namespace).filter(isOf(set))
    .sort((a, b) => a.revision - b.revision);
  const data = dataOf(set);
  const newest = known.at(-1);
  const same = known.find((revision) => equal(revision.data, data));
  const next = (newest?.revision ?? 0) + 1;
  if (same) {
    if (same !== newest) writes.change(table, same, (revision) => void (revision.revision = next));
    return backend.storage.get(table, namespace, same.metadata.name) ?? same;
  }
  const hash = hashName(JSON.stringify(data));
  return writes.create(table, {
    metadata: {
      name: `${set.metadata.name}-${hash}`,
      labels: { ...set.spec.template.metadata?.labels, "controller.kubernetes.io/hash": hash },
      ownerReferences: [controlledBy(set)],
    },
    data,
    revision: next,
  }, namespace);
}

/** Drops revisions that no pod is at, beyond the set's limit. */
export function truncateHistory(
  backend: Backend,
  writes: Writes,
  set: KubeObject,
  inUse: ReadonlySet<string>,
): void {
  const known = backend.storage.list(table, set.metadata.namespace).filter(isOf(set))
    .sort((a, b) => a.revision - b.revision);
  const unused = known.filter((revision) => !inUse.has(revision.metadata.name));
  const surplus = unused.length - (set.spec.revisionHistoryLimit ?? 10);
  for (const revision of unused.slice(0, Math.max(0, surplus))) writes.delete(table, revision);
}

/** The pod template that a revision keeps. */
export function templateOf(backend: Backend, set: KubeObject, revision: string): Json {
  const found = backend.storage.get(table, set.metadata.namespace, revision);
  const { $patch: _directive, ...template } = found?.data?.spec?.template ?? set.spec.template;
  return template;
}
