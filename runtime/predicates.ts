/**
 * Predicates: which changes are worth a reconcile.
 *
 * A pod that Patroni annotates every few seconds must not wake its Database each time. Names follow
 * controller-runtime's pkg/predicate. They decide about updates only; creates and deletes always count, unless a
 * predicate of your own says otherwise.
 * @module
 */

import type { Predicate } from "./options.ts";
import type { KubernetesObject } from "./types.ts";

/** Spec changes, and what is like them: a new generation, or a deletion that has begun. */
export function generationChanged<Read extends KubernetesObject>(): Predicate<Read> {
  return {
    update: (before, after) =>
      before.metadata?.generation !== after.metadata?.generation ||
      before.metadata?.deletionTimestamp !== after.metadata?.deletionTimestamp,
  };
}

/** A change of any label, or of those named. */
export function labelsChanged<Read extends KubernetesObject>(...names: string[]): Predicate<Read> {
  return { update: (before, after) => differ(before.metadata?.labels, after.metadata?.labels, names) };
}

/** A change of any annotation, or of those named. */
export function annotationsChanged<Read extends KubernetesObject>(...names: string[]): Predicate<Read> {
  return {
    update: (before, after) => differ(before.metadata?.annotations, after.metadata?.annotations, names),
  };
}

/**
 * A change of what `select` picks, compared as JSON.
 *
 * @example Only readiness and the role matter of a pod
 * changed((pod) => [pod.metadata?.labels?.role, pod.status?.phase]);
 */
export function changed<Read extends KubernetesObject>(select: (object: Read) => unknown): Predicate<Read> {
  return { update: (before, after) => !deepEqual(select(before), select(after)) };
}

/** A change of anything but the status and what the API server keeps in metadata: of an object that one owner writes. */
export function intentChanged<Read extends KubernetesObject>(): Predicate<Read> {
  return changed(({ metadata, ...rest }) => [
    metadata?.labels,
    metadata?.annotations,
    metadata?.ownerReferences,
    metadata?.deletionTimestamp,
    { ...rest, status: undefined },
  ]);
}

/** Yes when at least one of them says yes. */
export function anyOf<Read extends KubernetesObject>(...predicates: Predicate<Read>[]): Predicate<Read> {
  return {
    create: (object) => predicates.some((predicate) => predicate.create?.(object) ?? true),
    update: (before, after) => predicates.some((predicate) => predicate.update?.(before, after) ?? true),
    delete: (object) => predicates.some((predicate) => predicate.delete?.(object) ?? true),
  };
}

/** Yes when all of them say yes. */
export function allOf<Read extends KubernetesObject>(...predicates: Predicate<Read>[]): Predicate<Read> {
  return {
    create: (object) => predicates.every((predicate) => predicate.create?.(object) ?? true),
    update: (before, after) => predicates.every((predicate) => predicate.update?.(before, after) ?? true),
    delete: (object) => predicates.every((predicate) => predicate.delete?.(object) ?? true),
  };
}

/** True when two values are the same JSON; absent and undefined are the same, the order of keys does not matter. */
export function deepEqual(left: unknown, right: unknown): boolean {
  if (Object.is(left, right)) return true;
  if (typeof left !== "object" || typeof right !== "object" || left === null || right === null) return false;
  if (Array.isArray(left) || Array.isArray(right)) {
    return Array.isArray(left) && Array.isArray(right) && left.length === right.length &&
      left.every((value, index) => deepEqual(value, right[index]));
  }
  const one = left as Record<string, unknown>;
  const other = right as Record<string, unknown>;
  for (const name of Object.keys(one)) if (!deepEqual(one[name], other[name])) return false;
  for (const name of Object.keys(other)) {
    if (other[name] !== undefined && one[name] === undefined) return false;
  }
  return true;
}

function differ(
  before: { [name: string]: string } | undefined,
  after: { [name: string]: string } | undefined,
  names: string[],
): boolean {
  if (names.length === 0) return !deepEqual(before ?? {}, after ?? {});
  return names.some((name) => before?.[name] !== after?.[name]);
}
