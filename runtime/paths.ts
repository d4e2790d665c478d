/**
 * Where the API server serves a resource.
 * @module
 */

import type { AnyResource, Key } from "./types.ts";

/** `v1`, `apps/v1`. */
export function apiVersionOf(resource: AnyResource): string {
  return resource.group ? `${resource.group}/${resource.version}` : resource.version;
}

/** `configmaps`, `statefulsets.apps`: how logs, metrics and errors name a resource. */
export function nameOf(resource: AnyResource): string {
  return resource.group ? `${resource.plural}.${resource.group}` : resource.plural;
}

/** The path of all objects of a resource, or of those in one namespace. */
export function collectionPath(resource: AnyResource, namespace?: string): string {
  const root = resource.group ? `/apis/${resource.group}/${resource.version}` : `/api/${resource.version}`;
  return resource.scope === "Namespaced" && namespace
    ? `${root}/namespaces/${encodeURIComponent(namespace)}/${resource.plural}`
    : `${root}/${resource.plural}`;
}

/**
 * The path of one object.
 *
 * @throws {TypeError} when the name is empty, or the namespace of a namespaced resource: such a path would mean the
 * whole collection, and a delete of it everything
 */
export function objectPath(resource: AnyResource, key: Key, subresource?: string): string {
  if (!key.name) throw new TypeError(`Cannot address ${nameOf(resource)} without a name`);
  if (resource.scope === "Namespaced" && !key.namespace) {
    throw new TypeError(`Cannot address ${nameOf(resource)} "${key.name}" without a namespace`);
  }
  const path = `${collectionPath(resource, key.namespace)}/${encodeURIComponent(key.name)}`;
  return subresource ? `${path}/${subresource}` : path;
}
