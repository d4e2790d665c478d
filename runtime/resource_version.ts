/**
 * Comparing resourceVersions: decimal numbers of any length, so by length and then as text, never as a JavaScript
 * number, which would round. Same as apimachinery's pkg/util/resourceversion.
 * @module
 */

/** Below 0 when `one` is older than `other`, 0 when equal, above 0 when newer. Leading zeros do not count. */
export function compareResourceVersions(one: string, other: string): number {
  const left = one.replace(/^0+(?=.)/, "");
  const right = other.replace(/^0+(?=.)/, "");
  if (left.length !== right.length) return left.length - right.length;
  return left < right ? -1 : left > right ? 1 : 0;
}

/** True for what the API server gives as resourceVersion of stored objects: digits only. */
export function isComparable(resourceVersion: string | undefined): resourceVersion is string {
  return resourceVersion !== undefined && /^\d+$/.test(resourceVersion);
}
