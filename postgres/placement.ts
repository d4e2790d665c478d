/**
 * On which nodes the pods of a Database may run.
 * @module
 */
import type { Toleration } from "../types/core/v1.ts";
import type { Database } from "./database.ts";

/** Where its Jobs run: on the nodes of the members, beside which they may be. */
export function placement({ spec }: Pick<Database, "spec">) {
  const { nodeAffinity } = spec.affinity ?? {};
  return {
    ...(nodeAffinity ? { affinity: { nodeAffinity } } : {}),
    ...(spec.nodeSelector ? { nodeSelector: { ...spec.nodeSelector } } : {}),
    ...(spec.tolerations ? { tolerations: spec.tolerations.map((one): Toleration => ({ ...one })) } : {}),
  };
}
