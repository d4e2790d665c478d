/**
 * Delete and deletecollection: preconditions, propagation policies, finalizers, grace
 * (k8s.io/apiserver pkg/registry/generic/registry/store.go).
 * @module
 */
import type { Backend } from "./backend.ts";
import * as errors from "./errors.ts";
import { crdTable } from "./registry.ts";
import type { Target } from "./write.ts";
import { clone, type Json, type KubeObject, rfc3339 } from "./types.ts";

/** metav1.DeleteOptions, as far as they count. */
export interface DeleteOptions {
  preconditions?: { uid?: string; resourceVersion?: string };
  propagationPolicy?: "Orphan" | "Background" | "Foreground";
  orphanDependents?: boolean;
  gracePeriodSeconds?: number;
  isDryRun?: boolean;
}

/** What a delete did. */
export interface Removed {
  object: KubeObject;
  /** False when finalizers or grace hold the object. */
  isGone: boolean;
}

/** Holds a CustomResourceDefinition until its objects are gone. */
export const cleanupFinalizer = "customresourcecleanup.apiextensions.k8s.io";

const policies = ["Orphan", "Background", "Foreground"];

/** Deletes one object, or marks it. */
export function remove(backend: Backend, target: Target, options: DeleteOptions): Removed {
  const { kind, namespace, name } = target;
  const { propagationPolicy } = options;
  if (propagationPolicy !== undefined && !policies.includes(propagationPolicy)) {
    throw errors.invalid({ group: "meta.k8s.io", plural: "", kind: "DeleteOptions" }, "", [{
      type: "NotSupported",
      field: "propagationPolicy",
      value: propagationPolicy,
      detail: 'supported values: "Foreground", "Background", "Orphan", "nil"',
    }]);
  }
  const live = backend.storage.get(kind.table, namespace, name);
  if (!live) throw errors.notFound(kind, name);
  checkPreconditions(target, live, options);
  const next = clone(live);
  const finalizers = wantedFinalizers(live, options);
  // A definition goes after its objects; definitions.ts sees to that.
  if (kind.table === crdTable && !finalizers.includes(cleanupFinalizer)) finalizers.push(cleanupFinalizer);
  if (finalizers.length > 0) next.metadata.finalizers = finalizers;
  else delete next.metadata.finalizers;
  const grace = graceOf(target, live, options);
  const isHeld = finalizers.length > 0 || grace > 0 || kind.plural === "namespaces";
  if (!isHeld) {
    if (options.isDryRun) return { object: live, isGone: true };
    return { object: backend.storage.remove(kind.table, live), isGone: true };
  }
  mark(backend, next, grace, live);
  if (kind.plural === "namespaces" && kind.group === "") {
    next.status = { ...next.status, phase: "Terminating" };
  }
  if (options.isDryRun || sameDeletion(next, live)) return { object: next, isGone: false };
  return { object: backend.storage.put(kind.table, next), isGone: false };
}

const sameDeletion = (a: KubeObject, b: KubeObject) => JSON.stringify(a) === JSON.stringify(b);

function checkPreconditions(
  { kind, name }: Target,
  live: KubeObject,
  { preconditions }: DeleteOptions,
): void {
  const check = (word: string, wanted: string | undefined, found: string | undefined, perhaps: string) => {
    if (wanted === undefined || wanted === found) return;
    throw errors.conflict(
      { group: kind.group, plural: kind.kind, kind: kind.kind },
      name,
      `the ${word} in the precondition (${wanted}) does not match the ${word} in record (${found}). ${perhaps}`,
    );
  };
  const { uid, resourceVersion } = live.metadata;
  check("UID", preconditions?.uid, uid, "The object might have been deleted and then recreated");
  check(
    "ResourceVersion",
    preconditions?.resourceVersion,
    resourceVersion,
    "The object might have been modified",
  );
}

/** Orphan and Foreground are carried out by the garbage collector, which sees them as finalizers. */
function wantedFinalizers(live: KubeObject, options: DeleteOptions): string[] {
  const policy = options.propagationPolicy ??
    (options.orphanDependents === true
      ? "Orphan"
      : options.orphanDependents === false
      ? "Background"
      : undefined);
  const own = live.metadata.finalizers ?? [];
  if (policy === undefined) return [...own];
  const rest = own.filter((name) => name !== "orphan" && name !== "foregroundDeletion");
  if (policy === "Orphan") return [...rest, "orphan"];
  if (policy === "Foreground") return [...rest, "foregroundDeletion"];
  return rest;
}

function graceOf({ kind }: Target, live: KubeObject, options: DeleteOptions): number {
  if (!kind.gracePeriodSeconds) return 0;
  const isFinished = ["Succeeded", "Failed"].includes(live.status?.phase);
  const natural = kind.gracePeriodSeconds(live);
  if (natural === 0 || isFinished) return 0;
  const asked = options.gracePeriodSeconds ?? natural;
  const before = live.metadata.deletionGracePeriodSeconds;
  // Grace can be shortened, never made longer.
  return Math.max(0, before === undefined ? asked : Math.min(asked, before));
}

function mark(backend: Backend, next: KubeObject, grace: number, live: KubeObject): void {
  const { metadata } = next;
  const isFirst = live.metadata.deletionTimestamp === undefined;
  if (isFirst) {
    metadata.deletionTimestamp = rfc3339(backend.clock.now() + grace * 1000);
    if (next.kind !== "Namespace") metadata.deletionGracePeriodSeconds = grace;
    // Asking for deletion changes what is wanted of the object.
    if (metadata.generation) metadata.generation += 1;
  } else if (grace < (live.metadata.deletionGracePeriodSeconds ?? 0)) {
    metadata.deletionGracePeriodSeconds = grace;
    metadata.deletionTimestamp = rfc3339(backend.clock.now() + grace * 1000);
  }
}

/** Reads DeleteOptions from a body and the query. */
export function readDeleteOptions(body: Json, query: URLSearchParams): DeleteOptions {
  const options: DeleteOptions = {};
  if (body && typeof body === "object") {
    if (body.preconditions) options.preconditions = body.preconditions;
    if (body.propagationPolicy) options.propagationPolicy = body.propagationPolicy;
    if (typeof body.orphanDependents === "boolean") options.orphanDependents = body.orphanDependents;
    if (typeof body.gracePeriodSeconds === "number") options.gracePeriodSeconds = body.gracePeriodSeconds;
    if (body.dryRun?.length) options.isDryRun = true;
  }
  const policy = query.get("propagationPolicy");
  if (policy) options.propagationPolicy = policy as NonNullable<DeleteOptions["propagationPolicy"]>;
  const grace = query.get("gracePeriodSeconds");
  if (grace !== null) options.gracePeriodSeconds = Number(grace);
  const orphan = query.get("orphanDependents");
  if (orphan !== null) options.orphanDependents = orphan === "true";
  if (query.getAll("dryRun").includes("All")) options.isDryRun = true;
  return options;
}
