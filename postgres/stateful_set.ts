/**
 * StatefulSet `<name>`: keeps one pod and one data volume for each member, and decides nothing else.
 *
 * OnDelete: the operator chooses which member restarts when. Parallel: one broken member does not hold back the
 * others. The claims outlive both a smaller size and the StatefulSet.
 * @module
 */
import type { StatefulSet, StoredStatefulSet } from "../types/apps/v1.ts";
import type { StoredPod } from "../types/core/v1.ts";
import { type Database, type OwnerReference, sizeOf, storageOf } from "./database.ts";
import { identityOf, memberSelector, namesOf, ownedMetadata } from "./names.ts";
import { podTemplate, type PodTemplateOptions } from "./pod_template.ts";
import type { Sight } from "./sight.ts";

/** Members to run now, by ordinal: from `first`, 0 unless told, up to, and without, `replicas`, spec.size unless told. */
export interface Ordinals {
  readonly replicas: number;
  readonly first?: number;
}

/** What the operator knows and the Database does not say. */
export interface StatefulSetOptions extends PodTemplateOptions, Partial<Ordinals> {
  /**
   * Storage request of the claim template, spec.storage.size unless told. A StatefulSet's claim template cannot
   * change: once it exists, pass the one it has; the claims themselves grow one by one.
   */
  readonly storage?: string;
}

/** The members that a StatefulSet is told to run; `replicas` is undefined when there is none. */
export function ordinalsOf(
  statefulSet: StoredStatefulSet | undefined,
): { replicas: number | undefined; first: number } {
  const { replicas = 1, ordinals } = statefulSet?.spec ?? {};
  const first = replicas > 0 ? ordinals?.start ?? 0 : 0;
  return { replicas: statefulSet && first + replicas, first };
}

/** The same as a merge patch of its spec. */
export function ordinalsPatch({ replicas, first = 0 }: Ordinals): object {
  return { replicas: replicas - first, ordinals: { start: first } };
}

/** Members to stop now where no StatefulSet does: the replicas first, as {@link decide} has it. */
export function orphansOf({ pods, patroni }: Pick<Sight, "pods" | "patroni">): StoredPod[] {
  const last = pods.length > 1 ? patroni.primary : undefined;
  return pods.filter(({ metadata }) => !metadata.deletionTimestamp && metadata.name !== last);
}

/** The StatefulSet to apply. */
export function desiredStatefulSet(
  database: Database,
  ownerReferences: readonly OwnerReference[],
  options: StatefulSetOptions = {},
) {
  const { name } = identityOf(database);
  const names = namesOf(name);
  const { first = 0 } = options;
  const storageClassName = database.spec.storage?.storageClassName;
  return {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: ownedMetadata(database, names.statefulSet, ownerReferences),
    spec: {
      replicas: (options.replicas ?? sizeOf(database)) - first,
      ordinals: { start: first },
      serviceName: names.podsService,
      podManagementPolicy: "Parallel",
      updateStrategy: { type: "OnDelete" },
      persistentVolumeClaimRetentionPolicy: { whenDeleted: "Retain", whenScaled: "Retain" },
      revisionHistoryLimit: 3,
      selector: { matchLabels: memberSelector(name) },
      template: podTemplate(database, options),
      volumeClaimTemplates: [{
        apiVersion: "v1",
        kind: "PersistentVolumeClaim",
        metadata: { name: "data" },
        spec: {
          accessModes: ["ReadWriteOnce"],
          resources: { requests: { storage: options.storage ?? storageOf(database) } },
          ...(storageClassName === undefined ? {} : { storageClassName }),
        },
      }],
    },
  } satisfies StatefulSet;
}
