/**
 * Has the primary's pod take over a changed Secret at once.
 * @module
 */
import type { StoredPod } from "../types/core/v1.ts";
import { annotation, namesOf } from "./names.ts";
import type { Sight } from "./sight.ts";

/** A change of a pod after which its mounts are looked at. */
export interface Remount {
  readonly pod: StoredPod;
  readonly patch: { readonly metadata: { readonly annotations: { readonly [name: string]: string } } };
}

/**
 * What to change on the primary's pod so that the repository's Secret, as it is now, is mounted at once: the kubelet looks
 * at a pod's mounts when the pod changes, else each 60 to 90 s.
 */
export function remountOf({ database, patroni, pods, secrets }: Sight): Remount[] {
  const pod = pods.find(({ metadata }) => metadata.name === patroni.primary);
  const revision = secrets.get(namesOf(database.metadata.name).backup)?.data?.["revision"];
  if (!pod || !revision || pod.metadata.annotations?.[annotation.backupRevision] === revision) return [];
  return [{ pod, patch: { metadata: { annotations: { [annotation.backupRevision]: revision } } } }];
}
