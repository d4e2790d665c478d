/**
 * Keys, finalizers and owner references: the few questions that every reconciler asks of `metadata`.
 * @module
 */

import type { Key, KubernetesObject, OwnerReference } from "./types.ts";

/** `namespace/name`, or `name` alone for a cluster-scoped object. */
export function keyOf(object: KubernetesObject | Key): string {
  const { namespace, name } = ("metadata" in object ? object.metadata ?? {} : object) as Key;
  return namespace ? `${namespace}/${name}` : name;
}

/** The namespace (`""` when cluster-scoped) and name in a key. */
export function parseKey(key: string): { namespace: string; name: string } {
  const slash = key.indexOf("/");
  return slash < 0
    ? { namespace: "", name: key }
    : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** True when the object carries that finalizer. */
export function hasFinalizer(object: KubernetesObject, finalizer: string): boolean {
  return object.metadata?.finalizers?.includes(finalizer) ?? false;
}

/** The object's finalizers with one more, in their order, never twice. */
export function withFinalizer(object: KubernetesObject, finalizer: string): string[] {
  const present = object.metadata?.finalizers ?? [];
  return present.includes(finalizer) ? [...present] : [...present, finalizer];
}

/** The object's finalizers without that one. */
export function withoutFinalizer(object: KubernetesObject, finalizer: string): string[] {
  return (object.metadata?.finalizers ?? []).filter((present) => present !== finalizer);
}

/**
 * The reference that makes `owner` the controller of a child: the child is garbage collected with it, and its
 * changes wake the owner's reconciler.
 *
 * @throws {TypeError} when the owner lacks what a reference needs; such an object was never read from a server
 */
export function controllerReference(owner: KubernetesObject): Required<OwnerReference> {
  const { apiVersion, kind, metadata } = owner;
  if (!apiVersion || !kind || !metadata?.name || !metadata.uid) {
    throw new TypeError(
      `Cannot refer to an owner without apiVersion, kind, name and uid: got "${apiVersion}", "${kind}", ` +
        `"${metadata?.name}", "${metadata?.uid}"`,
    );
  }
  return {
    apiVersion,
    kind,
    name: metadata.name,
    uid: metadata.uid,
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** The reference to the object's controller, when it has one. */
export function controllerOf(object: KubernetesObject): OwnerReference | undefined {
  return object.metadata?.ownerReferences?.find((reference) => reference.controller === true);
}

/** True when `owner`, the very one by uid and not another of the same name, controls `object`. */
export function isControlledBy(object: KubernetesObject, owner: KubernetesObject): boolean {
  const uid = owner.metadata?.uid;
  return uid !== undefined && controllerOf(object)?.uid === uid;
}

/**
 * The key in a label: wakes the object of the same namespace that the label names.
 *
 * @example
 * watches(pods, { labelSelector: "example.com/cache", map: keyInLabel("example.com/cache") });
 */
export function keyInLabel(label: string): (object: KubernetesObject) => Key[] {
  return ({ metadata }) => {
    const name = metadata?.labels?.[label];
    return name ? [{ namespace: metadata?.namespace, name }] : [];
  };
}

/** True when the object waits for its finalizers before it goes. */
export function isBeingDeleted(object: KubernetesObject): boolean {
  return object.metadata?.deletionTimestamp !== undefined;
}
