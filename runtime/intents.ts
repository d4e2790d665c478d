/**
 * Intents: what a controller wants an object to say, written only when the object does not say it.
 *
 * A live object is never compared with the wanted one as a whole: the API server fills in defaults, others add
 * labels, and a comparison that does not know better writes for ever. Instead:
 * - The applied object carries a hash of what was sent in an annotation, so a new intent is seen after a restart too.
 * - A field that was sent and now reads otherwise is drift, and is applied again.
 * - A value that the API server writes in another form (`1000m` becomes `1`) would look like drift: what it answered
 *   to our own write is remembered, and is what later reads are compared with.
 *
 * An object of the wanted name that somebody else owns is never written. One that is there is written only at the
 * version that was compared, or that our own last write made: a cache that lags behind must not bring an old wish back.
 * A Secret has no hash: compare it first, and
 * apply it when it differs.
 * @module
 */

import type { ResourceClient } from "./client.ts";
import { isConflict, isInvalid } from "./errors.ts";
import { controllerOf, isBeingDeleted, isControlledBy, keyOf } from "./metadata.ts";
import { deepEqual } from "./predicates.ts";
import { compareResourceVersions, isComparable } from "./resource_version.ts";
import { hashOfLongText, hashOfText, isLongText } from "./texts.ts";
import type { KubernetesObject, Resource } from "./types.ts";

/** What became of an intent. */
export type Outcome<Read> =
  /** The object says what it should; `written` tells whether that took a write. */
  | { readonly kind: "applied"; readonly object: Read; readonly written: boolean }
  /** An object of that name is not ours; it was not touched. */
  | { readonly kind: "foreign"; readonly object: Read }
  /** The object of an earlier owner is going away: try again when it is gone. */
  | { readonly kind: "terminating"; readonly object: Read };

/** How {@linkcode Intents} reads, writes and recognizes its own. */
export interface IntentsOptions {
  /**
   * Reads from the cache, writes to the API server. Its `get` must ask the API server itself for what a cache narrowed by
   * labels does not have, as a manager's client does: such a cache is blind to others' objects.
   */
  client: ResourceClient;
  /** Name of the annotation that holds the hash. */
  annotation: string;
  /** Whether an object without a controller is ours all the same: one that outlives its owner, or was orphaned. Default: never. */
  isOurs?(object: KubernetesObject, owner: KubernetesObject): boolean;
}

/** What the API server answered to our last write of an object. */
interface Answer {
  uid: string | undefined;
  resourceVersion: string | undefined;
  hash: string;
  /** What it made of the fields sent; absent where it took them as they are. */
  fields?: unknown;
}

/** Applies intents for owners, see the module. One per manager: it remembers. */
export class Intents {
  readonly #options: IntentsOptions;
  readonly #answers = new Map<string, Answer>();

  constructor(options: IntentsOptions) {
    this.#options = options;
  }

  /**
   * Makes the object say what `desired` says, by server-side apply.
   *
   * @param desired with apiVersion, kind and metadata; its owner reference to `owner`, if any, is the caller's
   * @param client that of the reconcile, so that its key is held until the caches show the write or what it met
   * @throws {ApiError} when the API server refuses; Conflict when the object is no longer what was read
   */
  async apply<Read extends KubernetesObject, Write>(
    resource: Resource<Read, Write>,
    desired: Write,
    owner: KubernetesObject,
    client: ResourceClient = this.#options.client,
  ): Promise<Outcome<Read>> {
    const { annotation } = this.#options;
    const { metadata } = desired as KubernetesObject;
    const { name, namespace } = metadata ?? {};
    const key = { name: name ?? "", namespace };
    // A hash would help to guess a secret: those are written whenever they are applied.
    const isSecret = resource.group === "" && resource.kind === "Secret";
    const hash = isSecret ? "" : hashOf(desired);
    const annotations = { ...metadata?.annotations, ...(isSecret ? {} : { [annotation]: hash }) };
    const intent = { ...desired, metadata: { ...metadata, annotations } };
    const id = `${resource.group}/${resource.plural}/${keyOf(key)}`;
    const found = await client.get(resource, key);
    if (found && !this.#isOurs(found, owner)) {
      this.#answers.delete(id);
      return isLeftOver(found, owner)
        ? { kind: "terminating", object: found }
        : { kind: "foreign", object: found };
    }
    if (found && isBeingDeleted(found)) return { kind: "terminating", object: found };
    const remembered = this.#answers.get(id);
    const answer = remembered?.uid === found?.metadata?.uid ? remembered : undefined;
    const at = newer(found?.metadata?.resourceVersion, answer?.resourceVersion);
    // What is older than our own last write says nothing.
    if (found && !isSecret && at === found.metadata?.resourceVersion) {
      const known = answer?.hash === hash ? answer.fields ?? intent : intent;
      if (deepEqual(project(intent, found), known)) return { kind: "applied", object: found, written: false };
    }
    const object = await this.#write(client, resource, intent, found, at).catch((error) => {
      // Also where the cluster was restored, and no version as new as ours will come.
      if (isConflict(error)) this.#answers.delete(id);
      throw error;
    });
    if (!isSecret) {
      const { uid, resourceVersion } = object.metadata ?? {};
      const fields = project(intent, object);
      this.#answers.set(id, { uid, resourceVersion, hash, ...(deepEqual(fields, intent) ? {} : { fields }) });
    }
    return { kind: "applied", object, written: true };
  }

  /**
   * Applies. Where a person edited the key of a list item (a Service's port), apply would add ours beside theirs, and the
   * API server refuses the two for ever: our own object is then given our lists whole first.
   */
  async #write<Read extends KubernetesObject, Write>(
    client: ResourceClient,
    resource: Resource<Read, Write>,
    intent: Write,
    found: Read | undefined,
    resourceVersion: string | undefined,
  ): Promise<Read> {
    const { metadata } = intent as KubernetesObject;
    const bound = found ? { ...intent, metadata: { ...metadata, resourceVersion } } : intent;
    try {
      return await client.apply(resource, bound, { force: found !== undefined });
    } catch (error) {
      if (!found || !isInvalid(error)) throw error;
      const { apiVersion: _, kind: __, metadata: ___, ...fields } = intent as KubernetesObject;
      try {
        const { uid, name = "", namespace } = found.metadata ?? {};
        await client.patch(resource, { name, namespace }, { metadata: { uid, resourceVersion }, ...fields });
      } catch {
        throw error; // what cannot be mended this way is refused for the reason that came first
      }
      return await client.apply(resource, intent);
    }
  }

  /** Forgets what was remembered about the objects of a key that is gone. */
  forget(namespace: string, names: Iterable<string>): void {
    const suffixes = [...names].map((name) => `/${keyOf({ namespace, name })}`);
    for (const id of this.#answers.keys()) {
      if (suffixes.some((suffix) => id.endsWith(suffix))) this.#answers.delete(id);
    }
  }

  #isOurs(object: KubernetesObject, owner: KubernetesObject): boolean {
    if (isControlledBy(object, owner)) return true;
    return controllerOf(object) === undefined && (this.#options.isOurs?.(object, owner) ?? false);
  }
}

/** Controlled by an object of the owner's kind and name, but another one: its namesake is gone and this will follow. */
function isLeftOver(object: KubernetesObject, owner: KubernetesObject): boolean {
  const controller = controllerOf(object);
  return controller !== undefined && controller.kind === owner.kind &&
    controller.name === owner.metadata?.name &&
    controller.uid !== owner.metadata?.uid;
}

/**
 * The part of `live` that `wanted` has an opinion about, in `wanted`'s shape: its keys of each object, its items of
 * each list by position, everything where the shapes differ.
 */
export function project(wanted: unknown, live: unknown): unknown {
  if (Array.isArray(wanted) && Array.isArray(live)) {
    return wanted.length === live.length ? wanted.map((item, index) => project(item, live[index])) : live;
  }
  if (isObject(wanted) && isObject(live)) {
    return Object.fromEntries(
      Object.keys(wanted).filter((name) => wanted[name] !== undefined && live[name] !== undefined)
        .map((name) => [name, project(wanted[name], live[name])]),
    );
  }
  return live;
}

/** The newer of two versions, where both are known. */
function newer(one: string | undefined, other: string | undefined): string | undefined {
  if (!isComparable(one) || !isComparable(other)) return one ?? other;
  return compareResourceVersions(one, other) < 0 ? other : one;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * A hash of any JSON value, 53 bits as 14 hexadecimal digits, the same whatever the order of keys. Not for secrets:
 * it can be guessed back.
 */
export function hashOf(value: unknown): string {
  return hashOfText(JSON.stringify(canonical(value)) ?? "null");
}

/** The value with the keys of each object sorted, and the hash of each long text in its place. */
function canonical(value: unknown): unknown {
  if (typeof value === "string") return isLongText(value) ? hashOfLongText(value) : value;
  if (Array.isArray(value)) return value.map(canonical);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.keys(value).sort().map((name) => [name, canonical(value[name])]));
}
