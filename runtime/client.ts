/**
 * The client: typed calls to the API server, one request each.
 *
 * Not found is a value. A refusal is an {@linkcode ApiError}. When the server asks to wait (Retry-After on 429 or 5xx)
 * the request is sent again, at most ten times in all, as client-go does (rest/request.go); nothing else is retried
 * here, because only the reconciler knows whether a write is still wanted.
 * @module
 */

import { ApiError, isExpired, isNotFound } from "./errors.ts";
import { apiVersionOf, collectionPath, objectPath } from "./paths.ts";
import { type Clock, sleep } from "./ports.ts";
import { systemClock } from "./platform/clock.ts";
import type {
  HttpMethods,
  JSONValue,
  Key,
  KubernetesObject,
  RequestOptions,
  Resource,
  RestClient,
  StatusWrite,
} from "./types.ts";

/** How many objects one page of a list holds: client-go's number. */
const PAGE_SIZE = 500;
/** Tries of one request while the server asks to wait: client-go's number. */
const ATTEMPTS_MAX = 10;
/** A Retry-After beyond this is not slept through; the caller gets the error and its own back-off. */
const RETRY_AFTER_MAX_MS = 30_000;

/** Which objects a list or watch covers. */
export interface Selection {
  /** Only this namespace; all of them when absent. */
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
}

/** Which part of a list. */
export interface PageOptions {
  /** Objects of a page; default 500. */
  limit?: number;
  continueToken?: string;
  signal?: AbortSignal;
}

/** A whole list, all pages. */
export interface List<Read> {
  items: Read[];
  resourceVersion: string;
  /** Leads to the next page; only with `limit`, and absent after the last one. */
  continueToken?: string;
}

/** What a delete may be bound to, so that it never hits another object of the same name. */
export interface DeleteOptions {
  uid?: string;
  resourceVersion?: string;
  propagationPolicy?: "Foreground" | "Background" | "Orphan";
  gracePeriodSeconds?: number;
  signal?: AbortSignal;
}

/** What is read of an object. */
export interface GetOptions {
  /** `"scale"`, for example: name the resource whose kind it is, at the path of the object's. */
  subresource?: string;
  signal?: AbortSignal;
}

/** Options that every write takes. */
export interface WriteOptions {
  /** Validated and answered, not stored. */
  dryRun?: boolean;
  signal?: AbortSignal;
}

/** The reads and writes that a reconciler uses. */
export interface ResourceClient {
  get<Read, Write>(
    resource: Resource<Read, Write>,
    key: Key,
    options?: GetOptions,
  ): Promise<Read | undefined>;
  list<Read, Write>(
    resource: Resource<Read, Write>,
    options?: Selection & PageOptions,
  ): Promise<List<Read>>;
  create<Read, Write>(
    resource: Resource<Read, Write>,
    object: Write,
    options?: WriteOptions & { subresource?: string },
  ): Promise<Read>;
  apply<Read, Write>(
    resource: Resource<Read, Write>,
    object: Write | StatusWrite<Read>,
    options?: WriteOptions & { force?: boolean; subresource?: string; fieldManager?: string },
  ): Promise<Read>;
  patch<Read, Write>(
    resource: Resource<Read, Write>,
    key: Key,
    patch: unknown,
    options?: WriteOptions & { type?: "merge" | "json" | "strategic"; subresource?: string },
  ): Promise<Read>;
  replace<Read, Write>(
    resource: Resource<Read, Write>,
    object: Write | Read,
    options?: WriteOptions & { subresource?: string },
  ): Promise<Read>;
  delete<Read, Write>(
    resource: Resource<Read, Write>,
    key: Key,
    options?: DeleteOptions,
  ): Promise<"deleted" | "not found">;
}

/** Deletes the very object that was read, and only as it was read: neither its successor nor a newer version of it. */
export async function deleteAsRead<Read extends KubernetesObject>(
  client: Pick<ResourceClient, "delete">,
  resource: Resource<Read, unknown>,
  object: Read,
): Promise<"deleted" | "not found"> {
  const { name = "", namespace, uid, resourceVersion } = object.metadata ?? {};
  return await client.delete(resource, { namespace, name }, { uid, resourceVersion });
}

/** What a client may be told beyond its connection. */
export interface ClientOptions {
  /** The name under which server-side apply records what we own. At most 128 characters. */
  fieldManager: string;
  clock?: Clock;
  /** Its requests do not wait for their turn behind others; for one that sends few. Default false. */
  isUrgent?: boolean;
}

/**
 * Typed calls over any {@linkcode RestClient}.
 *
 * @example Read one ConfigMap
 * const client = new Client(await connect(), { fieldManager: "example" });
 * const found = await client.get(configMaps, { namespace: "default", name: "settings" });
 */
export class Client implements ResourceClient {
  readonly rest: RestClient;
  readonly fieldManager: string;
  readonly #clock: Clock;
  readonly #isUrgent: boolean;

  constructor(rest: RestClient, options: ClientOptions) {
    if (!options.fieldManager || options.fieldManager.length > 128) {
      throw new RangeError(`Cannot use field manager "${options.fieldManager}": it has 1 to 128 characters`);
    }
    this.rest = rest;
    this.fieldManager = options.fieldManager;
    this.#clock = options.clock ?? systemClock;
    this.#isUrgent = options.isUrgent ?? false;
  }

  /** The object, or `undefined` when there is none of that name. */
  async get<Read, Write>(
    resource: Resource<Read, Write>,
    key: Key,
    options: GetOptions = {},
  ): Promise<Read | undefined> {
    try {
      return await this.#call("GET", objectPath(resource, key, options.subresource), undefined, {
        signal: options.signal,
      }) as Read;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /**
   * All objects selected, page after page of one snapshot; with `limit`, one page of that size, the first or the one that
   * `continueToken` leads to. When the snapshot expires on the way, all of the present one in a single answer.
   *
   * @throws {ApiError} Expired, see `isExpired`, when a token was given and its snapshot is gone
   */
  async list<Read, Write>(
    resource: Resource<Read, Write>,
    options: Selection & PageOptions = {},
  ): Promise<List<Read>> {
    const items: Read[] = [];
    let { continueToken } = options;
    while (true) {
      const isFirst = continueToken === options.continueToken;
      let page: ListPage;
      try {
        page = await this.listPage(resource, {
          ...options,
          limit: options.limit ?? PAGE_SIZE,
          continueToken,
        });
      } catch (error) {
        if (isFirst || !isExpired(error)) throw error;
        items.length = 0;
        page = await this.listPage(resource, { ...options, limit: 0 });
      }
      items.push(...page.items as Read[]);
      continueToken = page.continueToken;
      if (!continueToken || options.limit !== undefined) {
        return { items, resourceVersion: page.resourceVersion, ...(continueToken ? { continueToken } : {}) };
      }
    }
  }

  /**
   * One page of a list at the newest state, or the page that a continue token leads to.
   *
   * @param options.isRetried whether it is asked for again when the server asks to wait; default true
   */
  async listPage(
    resource: Resource<unknown, unknown>,
    options: Selection & PageOptions & { isRetried?: boolean } = {},
  ): Promise<ListPage> {
    const query = selectionQuery(options);
    query.set("limit", String(options.limit ?? PAGE_SIZE));
    if (options.continueToken) query.set("continue", options.continueToken);
    const body = await this.#call("GET", collectionPath(resource, options.namespace), undefined, {
      query,
      signal: options.signal,
      attemptsMax: options.isRetried === false ? 1 : ATTEMPTS_MAX,
    });
    return readListPage(resource, body);
  }

  /**
   * Opens a watch and answers with its raw bytes, one JSON watch event a line.
   * The informer is what most callers want; this is what it is made of.
   */
  watch(
    resource: Resource<unknown, unknown>,
    options: Selection & { resourceVersion: string; timeoutSeconds: number; signal?: AbortSignal },
  ): Promise<ReadableStream<Uint8Array>> {
    const query = selectionQuery(options);
    query.set("watch", "true");
    query.set("allowWatchBookmarks", "true");
    query.set("resourceVersion", options.resourceVersion);
    query.set("timeoutSeconds", String(options.timeoutSeconds));
    return this.rest.performRequest({
      method: "GET",
      path: collectionPath(resource, options.namespace),
      querystring: query,
      accept: "application/json",
      abortSignal: options.signal,
      expectStream: true,
    });
  }

  /**
   * Creates the object.
   *
   * @param options.subresource `"eviction"`, `"token"`, `"binding"`: the object that is sent below the one it names
   * @throws {ApiError} AlreadyExists, see `isAlreadyExists`
   */
  async create<Read, Write>(
    resource: Resource<Read, Write>,
    object: Write,
    options: WriteOptions & { subresource?: string } = {},
  ): Promise<Read> {
    const body = withType(resource, object);
    const namespace = resource.scope === "Namespaced" ? namespaceOf(resource, body) : undefined;
    const path = options.subresource
      ? objectPath(resource, keyIn(body), options.subresource)
      : collectionPath(resource, namespace);
    return await this.#call("POST", path, body, { ...options, query: this.#writeQuery(options) }) as Read;
  }

  /**
   * Server-side apply: says which fields this manager wants, and takes them from others.
   *
   * Creates the object when there is none. Fields that were applied before and are absent now are removed.
   *
   * @param options.force take fields from other managers; default true, because a controller knows what it wants
   * @param options.subresource `"status"` applies the status alone
   * @throws {ApiError} 409 naming managers and fields when `force` is false
   */
  async apply<Read, Write>(
    resource: Resource<Read, Write>,
    object: Write | StatusWrite<Read>,
    options: WriteOptions & { force?: boolean; subresource?: string; fieldManager?: string } = {},
  ): Promise<Read> {
    const body = withType(resource, object);
    const query = this.#writeQuery(options);
    if (options.fieldManager) query.set("fieldManager", options.fieldManager);
    query.set("force", String(options.force ?? true));
    const path = objectPath(resource, keyIn(body), options.subresource);
    return await this.#call("PATCH", path, body, {
      ...options,
      query,
      contentType: "application/apply-patch+yaml",
    }) as Read;
  }

  /** Patches the object: a JSON merge patch unless `type` says otherwise. */
  async patch<Read, Write>(
    resource: Resource<Read, Write>,
    key: Key,
    patch: unknown,
    options: WriteOptions & { type?: "merge" | "json" | "strategic"; subresource?: string } = {},
  ): Promise<Read> {
    const contentType = {
      merge: "application/merge-patch+json",
      json: "application/json-patch+json",
      strategic: "application/strategic-merge-patch+json",
    }[options.type ?? "merge"];
    return await this.#call("PATCH", objectPath(resource, key, options.subresource), patch, {
      ...options,
      query: this.#writeQuery(options),
      contentType,
    }) as Read;
  }

  /** Writes the whole object back. @throws {ApiError} Conflict when its resourceVersion is no longer current */
  async replace<Read, Write>(
    resource: Resource<Read, Write>,
    object: Write | Read,
    options: WriteOptions & { subresource?: string } = {},
  ): Promise<Read> {
    const body = withType(resource, object);
    return await this.#call("PUT", objectPath(resource, keyIn(body), options.subresource), body, {
      ...options,
      query: this.#writeQuery(options),
    }) as Read;
  }

  /**
   * Deletes the object, or asks for it when finalizers hold it.
   *
   * Pass `uid` and `resourceVersion` of what was looked at: leader election fences nothing, so a process that was
   * paused could otherwise delete what its successor just made.
   *
   * @throws {ApiError} Conflict when a precondition does not hold
   */
  async delete<Read, Write>(
    resource: Resource<Read, Write>,
    key: Key,
    options: DeleteOptions = {},
  ): Promise<"deleted" | "not found"> {
    const { uid, resourceVersion, propagationPolicy = "Background", gracePeriodSeconds } = options;
    const body = {
      apiVersion: "v1",
      kind: "DeleteOptions",
      propagationPolicy,
      ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
      ...(uid === undefined && resourceVersion === undefined
        ? {}
        : { preconditions: { uid, resourceVersion } }),
    };
    try {
      await this.#call("DELETE", objectPath(resource, key), body, { signal: options.signal });
      return "deleted";
    } catch (error) {
      if (isNotFound(error)) return "not found";
      throw error;
    }
  }

  #writeQuery(options: WriteOptions): URLSearchParams {
    const query = new URLSearchParams({ fieldManager: this.fieldManager });
    if (options.dryRun) query.set("dryRun", "All");
    return query;
  }

  async #call(
    method: HttpMethods,
    path: string,
    body: unknown,
    more: { query?: URLSearchParams; contentType?: string; signal?: AbortSignal; attemptsMax?: number },
  ): Promise<JSONValue> {
    const { attemptsMax = ATTEMPTS_MAX } = more;
    const request: RequestOptions & { expectJson: true } = {
      method,
      path,
      querystring: more.query,
      accept: "application/json",
      abortSignal: more.signal,
      expectJson: true,
      ...(this.#isUrgent ? { isUrgent: true } : {}),
      ...(body === undefined
        ? {}
        : { bodyJson: body as JSONValue, contentType: more.contentType ?? "application/json" }),
    };
    for (let attempt = 1;; attempt++) {
      try {
        return await this.rest.performRequest(request);
      } catch (error) {
        const waitMs = retryDelayMs(error);
        if (waitMs === undefined || attempt === attemptsMax) throw error;
        await sleep(this.#clock, waitMs, more.signal);
      }
    }
  }
}

/** One page of a list. */
export interface ListPage {
  items: KubernetesObject[];
  resourceVersion: string;
  continueToken: string | undefined;
  /** Items left out because they were of another kind or had no name: each with what was found. */
  strange: string[];
}

/**
 * Reads a list as the API server sends it: `items` lack apiVersion and kind for the built-in kinds, so they are filled
 * in from the list's own.
 *
 * @throws {ApiError} with status 0 and reason `NotAList` when the answer is something else, a Table for example
 */
export function readListPage(resource: Resource<unknown, unknown>, body: unknown): ListPage {
  const list = body as {
    kind?: string;
    metadata?: { resourceVersion?: string; continue?: string };
    items?: unknown;
  } | null;
  const resourceVersion = list?.metadata?.resourceVersion;
  if (
    list?.kind !== `${resource.kind}List` || typeof resourceVersion !== "string" || resourceVersion === ""
  ) {
    throw new ApiError(
      0,
      `Cannot read the list of ${resource.plural}: got kind "${list?.kind}" at resourceVersion "${resourceVersion}"`,
      { reason: "NotAList" },
    );
  }
  const apiVersion = apiVersionOf(resource);
  const items: KubernetesObject[] = [];
  const strange: string[] = [];
  for (const item of Array.isArray(list.items) ? list.items as (KubernetesObject | null)[] : []) {
    if (!item?.metadata?.name || (item.kind !== undefined && item.kind !== resource.kind)) {
      strange.push(`kind "${item?.kind}", name "${item?.metadata?.name}"`);
      continue;
    }
    item.apiVersion ??= apiVersion;
    item.kind ??= resource.kind;
    items.push(item);
  }
  return { items, resourceVersion, continueToken: list.metadata?.continue || undefined, strange };
}

/** How long to wait before the same request may be sent again; undefined when it must not be. */
function retryDelayMs(error: unknown): number | undefined {
  if (!(error instanceof ApiError) || error.retryAfterMs === undefined) return undefined;
  if (error.status !== 429 && error.status < 500) return undefined;
  return error.retryAfterMs <= RETRY_AFTER_MAX_MS ? error.retryAfterMs : undefined;
}

function selectionQuery(selection: Selection): URLSearchParams {
  const query = new URLSearchParams();
  if (selection.labelSelector) query.set("labelSelector", selection.labelSelector);
  if (selection.fieldSelector) query.set("fieldSelector", selection.fieldSelector);
  return query;
}

function withType(resource: Resource<unknown, unknown>, object: unknown): KubernetesObject {
  return { apiVersion: apiVersionOf(resource), kind: resource.kind, ...object as KubernetesObject };
}

function keyIn(object: KubernetesObject): Key {
  return { namespace: object.metadata?.namespace, name: object.metadata?.name ?? "" };
}

function namespaceOf(resource: Resource<unknown, unknown>, object: KubernetesObject): string {
  const namespace = object.metadata?.namespace;
  if (namespace) return namespace;
  throw new TypeError(`Cannot create ${resource.kind} "${object.metadata?.name}" without a namespace`);
}
