/**
 * `status.conditions`: what a status says about an object, one entry per type.
 *
 * Pure: the same input gives the same list, so an unchanged status stays byte for byte unchanged and is not written.
 * Same rules as apimachinery's pkg/api/meta/conditions.go: the time changes only with the status.
 * @module
 */

import type { Condition } from "./types.ts";

/** The longest message that the API's validation of metav1.Condition allows. */
const MESSAGE_LENGTH_MAX = 32_768;

/** A condition without its time. */
export type ConditionInput = Omit<Condition, "lastTransitionTime">;

/**
 * The list with this condition in it: replaced where the type is present, appended where not.
 *
 * @param nowMs milliseconds since 1970; becomes `lastTransitionTime`, to the second, when the status changes
 */
export function setCondition(
  conditions: readonly Condition[] | undefined,
  input: ConditionInput,
  nowMs: number,
): Condition[] {
  const present = conditions ?? [];
  const previous = present.find((condition) => condition.type === input.type);
  const next: Condition = {
    type: input.type,
    status: input.status,
    reason: input.reason,
    message: input.message.length > MESSAGE_LENGTH_MAX
      ? `${input.message.slice(0, MESSAGE_LENGTH_MAX - 3)}...`
      : input.message,
    ...(input.observedGeneration === undefined ? {} : { observedGeneration: input.observedGeneration }),
    lastTransitionTime: previous && previous.status === input.status
      ? previous.lastTransitionTime
      : timestamp(nowMs),
  };
  return previous
    ? present.map((condition) => condition.type === input.type ? next : condition)
    : [...present, next];
}

/** The condition of that type. */
export function findCondition(
  conditions: readonly Condition[] | undefined,
  type: string,
): Condition | undefined {
  return conditions?.find((condition) => condition.type === type);
}

/** True when the condition is present and says "True". */
export function isConditionTrue(conditions: readonly Condition[] | undefined, type: string): boolean {
  return findCondition(conditions, type)?.status === "True";
}

/** The time as Kubernetes writes it: UTC, whole seconds. */
export function timestamp(nowMs: number): string {
  return new Date(nowMs).toISOString().replace(/\.\d+Z$/, "Z");
}

/** The time with microseconds, as leases and events write it. */
export function microTimestamp(nowMs: number): string {
  return new Date(nowMs).toISOString().replace(/(\.\d{3})Z$/, "$1000Z");
}
