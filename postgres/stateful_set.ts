/**
 * StatefulSet `<name>`: keeps one pod and one data volume for each member, and decides nothing else.
 *
 * OnDelete: the operator chooses which member restarts when. Parallel: one broken member does not hold back the
 * others. The claims outlive both a smaller size and the StatefulSet.
 * @module
 */
import type { StatefulSet } from "../types/apps/v1.ts";
import { type Database, type OwnerReference, sizeOf, storageOf } from "./database.ts";
import { identityOf, memberSelector, namesOf, ownedMetadata } from "./names.ts";
import { podTemplate, type PodTemplateOptions } from "./pod_template.ts";

/** What the operator knows and the Database does not say. */
export interface StatefulSetOptions extends PodTemplateOptions {
  /** Pods to run now, spec.size unless told: members go one at a time. */
  readonly replicas?: number;
  /**
   * Storage request of the claim template, spec.storage.size unless told. A StatefulSet's claim template cannot
   * change: once it exists, pass the one it has; the claims themselves grow one by one.
   */
  readonly storage?: string;
}

/** The StatefulSet to apply. */
export function desiredStatefulSet(
  database: Database,
  ownerReferences: readonly OwnerReference[],
  options: StatefulSetOptions = {},
) {
  const { name } = identityOf(database);
  const names = namesOf(name);
  const storageClassName = database.spec.storage?.storageClassName;
  return {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: ownedMetadata(database, names.statefulSet, ownerReferences),
    spec: {
      replicas: options.replicas ?? sizeOf(database),
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
