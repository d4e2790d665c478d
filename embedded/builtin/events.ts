/**
 * Events are one store seen through two groups: core/v1 and events.k8s.io/v1. They are kept as core.
 * @module
 */
import type { KubeObject } from "../types.ts";

const pairs: [core: string, v1: string][] = [
  ["involvedObject", "regarding"],
  ["message", "note"],
  ["reportingComponent", "reportingController"],
  ["source", "deprecatedSource"],
  ["firstTimestamp", "deprecatedFirstTimestamp"],
  ["lastTimestamp", "deprecatedLastTimestamp"],
  ["count", "deprecatedCount"],
];

function rename(object: KubeObject, from: 0 | 1, apiVersion: string): KubeObject {
  const names = new Map(pairs.map((pair) => [pair[from], pair[1 - from] ?? ""]));
  const renamed = Object.fromEntries(
    Object.entries(object).map(([key, value]) => [names.get(key) ?? key, value]),
  );
  return { ...renamed, apiVersion } as KubeObject;
}

const seen = new WeakMap<KubeObject, KubeObject>();

/** A stored event as events.k8s.io/v1 shows it. */
export function eventToV1(object: KubeObject): KubeObject {
  if (object.apiVersion !== "v1") return object;
  let found = seen.get(object);
  if (!found) seen.set(object, found = rename(object, 0, "events.k8s.io/v1"));
  return found;
}

/** An event of events.k8s.io/v1 as it is stored. */
export function eventFromV1(object: KubeObject): KubeObject {
  return object.apiVersion === "v1" ? object : rename(object, 1, "v1");
}
