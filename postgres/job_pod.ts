/**
 * What the pods of all Jobs of a Database have in common.
 * @module
 */
import type { PodSpec } from "../types/core/v1.ts";
import type { Database } from "./database.ts";
import { placement } from "./placement.ts";
import { podSecurity } from "./security.ts";

/** A pod that runs once, beside the members, without access to the Kubernetes API. */
export function jobPod(database: Database) {
  return {
    restartPolicy: "Never",
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    securityContext: podSecurity,
    ...placement(database),
  } satisfies Partial<PodSpec>;
}
