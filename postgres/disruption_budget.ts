/**
 * PodDisruptionBudget `<name>`: a drain takes one member at a time.
 * @module
 */
import type { PodDisruptionBudget } from "../types/policy/v1.ts";
import { type Database, type OwnerReference, sizeOf } from "./database.ts";
import { identityOf, memberSelector, namesOf, ownedMetadata } from "./names.ts";

/**
 * The budget, or `undefined` for fewer than two members: it would only forbid every drain.
 *
 * Members that are not ready may always be evicted, so that a broken one never blocks a drain for good.
 */
export function desiredDisruptionBudget(
  database: Database,
  ownerReferences: readonly OwnerReference[],
) {
  if (sizeOf(database) < 2) return undefined;
  const { name } = identityOf(database);
  return {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: ownedMetadata(database, namesOf(name).disruptionBudget, ownerReferences),
    spec: {
      maxUnavailable: 1,
      unhealthyPodEvictionPolicy: "AlwaysAllow",
      selector: { matchLabels: memberSelector(name) },
    },
  } satisfies PodDisruptionBudget;
}
