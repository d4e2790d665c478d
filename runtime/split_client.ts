/**
 * The split client: reads come from the caches, writes go to the API server.
 *
 * - A kind without an informer (Secrets, by design) is read from the server.
 * - An informer with selectors holds only some objects, so a name that it does not have is asked of the server: "not
 *   found" is never a guess. A list comes from it only when it selects at least what is asked for.
 * - What was written is remembered; the controller does not reconcile the key again before the caches show it.
 * - So is a conflict: the cache that led to it is old, and nothing is tried again before it shows something newer.
 * @module
 */

import type {
  Client,
  DeleteOptions,
  GetOptions,
  List,
  PageOptions,
  ResourceClient,
  Selection,
  WriteOptions,
} from "./client.ts";
import { isConflict } from "./errors.ts";
import type { ExpectedWrite, Informer } from "./informer.ts";
import { isNarrower } from "./selectors.ts";
import type { Key, KubernetesObject, Resource, StatusWrite } from "./types.ts";

type Any = Resource<unknown, unknown>;

/** Finds the informers of a resource. */
export type InformerLookup = (resource: Any) => readonly Informer[];

/** A write and the caches that will show it. */
export interface PendingWrite {
  informer: Informer;
  write: ExpectedWrite;
}

/** A client for one reconcile, or for the life of a manager. */
export class SplitClient implements ResourceClient {
  readonly #live: Client;
  readonly #lookup: InformerLookup;
  readonly #signal: AbortSignal | undefined;
  readonly #pending: Map<string, PendingWrite> | undefined;

  /** @param more.track remember writes for {@linkcode pending}; `more.signal` ends requests that name none */
  constructor(live: Client, lookup: InformerLookup, more: { track?: boolean; signal?: AbortSignal } = {}) {
    this.#live = live;
    this.#lookup = lookup;
    this.#signal = more.signal;
    this.#pending = more.track ? new Map() : undefined;
  }

  /** The writes that the caches do not show yet. */
  pending(): PendingWrite[] {
    return [...this.#pending?.values() ?? []].filter(({ informer, write }) => !informer.shows(write));
  }

  async get<Read, Write>(
    resource: Resource<Read, Write>,
    key: Key,
    options: GetOptions = {},
  ): Promise<Read | undefined> {
    for (const informer of options.subresource ? [] : this.#synced(resource)) {
      if (informer.namespaces && !informer.namespaces.includes(key.namespace ?? "")) continue;
      const found = informer.get(key);
      if (found !== undefined) return found as Read;
      if (informer.labelSelector === undefined && informer.fieldSelector === undefined) return undefined;
    }
    return await this.#live.get(resource, key, this.#withSignal(options));
  }

  async list<Read, Write>(
    resource: Resource<Read, Write>,
    options: Selection & PageOptions = {},
  ): Promise<List<Read>> {
    const { namespace, labelSelector, fieldSelector, limit, continueToken } = options;
    const informer = this.#synced(resource).find((one) =>
      (!one.namespaces || (namespace !== undefined && one.namespaces.includes(namespace))) &&
      one.fieldSelector === fieldSelector && isNarrower(labelSelector, one.labelSelector)
    );
    if (!informer || limit !== undefined || continueToken) {
      return await this.#live.list(resource, this.#withSignal(options));
    }
    return {
      items: informer.list({ namespace, labelSelector }) as Read[],
      resourceVersion: informer.resourceVersion,
    };
  }

  async create<Read, Write>(
    resource: Resource<Read, Write>,
    object: Write,
    options: WriteOptions & { subresource?: string } = {},
  ): Promise<Read> {
    return this.#written(
      resource,
      await this.#live.create(resource, object, this.#withSignal(options)),
      options,
    );
  }

  async apply<Read, Write>(
    resource: Resource<Read, Write>,
    object: Write | StatusWrite<Read>,
    options: WriteOptions & { force?: boolean; subresource?: string; fieldManager?: string } = {},
  ): Promise<Read> {
    return this.#written(
      resource,
      await this.#met(resource, object, this.#live.apply(resource, object, this.#withSignal(options))),
      options,
    );
  }

  async patch<Read, Write>(
    resource: Resource<Read, Write>,
    key: Key,
    patch: unknown,
    options: WriteOptions & { type?: "merge" | "json" | "strategic"; subresource?: string } = {},
  ): Promise<Read> {
    return this.#written(
      resource,
      await this.#met(
        resource,
        { metadata: { ...(patch as KubernetesObject | null)?.metadata, ...key } },
        this.#live.patch(resource, key, patch, this.#withSignal(options)),
      ),
      options,
    );
  }

  async replace<Read, Write>(
    resource: Resource<Read, Write>,
    object: Write | Read,
    options: WriteOptions & { subresource?: string } = {},
  ): Promise<Read> {
    return this.#written(
      resource,
      await this.#met(resource, object, this.#live.replace(resource, object, this.#withSignal(options))),
      options,
    );
  }

  async delete<Read, Write>(
    resource: Resource<Read, Write>,
    key: Key,
    options: DeleteOptions = {},
  ): Promise<"deleted" | "not found"> {
    const cached = this.#pending &&
      this.#lookup(resource).map((informer) => ({ informer, object: informer.get(key) }));
    const { uid, resourceVersion } = options;
    const result = await this.#met(
      resource,
      { metadata: { ...key, uid, resourceVersion } },
      this.#live.delete(resource, key, this.#withSignal(options)),
    );
    for (const { informer, object } of cached ?? []) {
      if (!object) continue;
      this.#remember(resource, informer, {
        key,
        uid: object.metadata?.uid,
        resourceVersion: undefined,
        shows: "deleted",
      });
    }
    return result;
  }

  #synced(resource: Any): Informer[] {
    return this.#lookup(resource).filter((informer) => informer.hasSynced);
  }

  #written<Read>(resource: Any, answer: Read, options: { dryRun?: boolean }): Read {
    const object = answer as KubernetesObject;
    const { name, namespace, uid, resourceVersion } = object.metadata ?? {};
    // A subresource may answer with another kind (Scale, for example), whose version says nothing about the object.
    if (!this.#pending || options.dryRun || !name || object.kind !== resource.kind) return answer;
    for (const informer of this.#lookup(resource)) {
      // What the cache holds will leave it or change there, also where its selector does not tell, or no longer fits.
      const cached = informer.get({ namespace, name }) as KubernetesObject | undefined;
      if (!informer.covers(object) && (!cached || cached.metadata?.uid !== uid)) continue;
      // The last finalizer removed: the object is gone, and no later version of it will ever show.
      const isGone = object.metadata?.deletionTimestamp !== undefined && !object.metadata.finalizers?.length;
      const shows = isGone ? "gone" : "written";
      this.#remember(resource, informer, { key: { namespace, name }, uid, resourceVersion, shows });
    }
    return answer;
  }

  /**
   * A write that named a uid or resourceVersion and met a conflict: somebody else wrote, and the caches that know the
   * object at that version will show it.
   */
  async #met<Answer>(resource: Any, object: unknown, answer: Promise<Answer>): Promise<Answer> {
    const { name = "", namespace, uid, resourceVersion } = (object as KubernetesObject).metadata ?? {};
    try {
      return await answer;
    } catch (error) {
      const isFieldConflict = isConflict(error) &&
        error.details?.causes?.some(({ reason }) => reason === "FieldManagerConflict");
      if (!this.#pending || !isConflict(error) || isFieldConflict || (!uid && !resourceVersion)) throw error;
      const key = { namespace, name };
      for (const informer of this.#lookup(resource)) {
        const cached = (informer.get(key) as KubernetesObject | undefined)?.metadata;
        if (!cached) continue;
        this.#remember(resource, informer, {
          key,
          uid: uid ?? cached.uid,
          resourceVersion: resourceVersion ?? cached.resourceVersion,
          shows: "superseded",
        });
      }
      throw error;
    }
  }

  #remember(resource: Any, informer: Informer, write: ExpectedWrite): void {
    const at = `${resource.group}/${resource.plural}/${write.key.namespace ?? ""}/${write.key.name}`;
    this.#pending?.set(`${at}/${informer.id}`, { informer, write });
  }

  #withSignal<Options extends { signal?: AbortSignal }>(options: Options): Options {
    return this.#signal && !options.signal ? { ...options, signal: this.#signal } : options;
  }
}
