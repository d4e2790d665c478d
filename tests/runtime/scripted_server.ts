/**
 * An API server that does what the test says: it stores objects, numbers them, and lists and watches them, and any
 * request can be answered by the test instead.
 *
 * It is a RestClient, so there is no socket between. It knows just enough of Kubernetes for the runtime's own tests;
 * fidelity is tested elsewhere, on the embedded and on a real API server.
 * @module
 */

import { ApiError } from "../../runtime/errors.ts";
import type { KubernetesObject, RequestOptions, Resource, RestClient } from "../../runtime/types.ts";

/** The kind that most tests use. */
export interface Widget extends KubernetesObject {
  spec?: { size?: number; text?: string };
  status?: { observedGeneration?: number; seen?: number };
}

export const widgets: Resource<Widget> = {
  group: "example.com",
  version: "v1",
  kind: "Widget",
  plural: "widgets",
  scope: "Namespaced",
};

/** A child kind. */
export interface Child extends KubernetesObject {
  data?: Record<string, string>;
}

export const children: Resource<Child> = {
  group: "",
  version: "v1",
  kind: "ConfigMap",
  plural: "configmaps",
  scope: "Namespaced",
};

/** A request as the test sees it. */
export interface Seen {
  method: string;
  path: string;
  query: Record<string, string>;
  body: unknown;
  isWatch: boolean;
  isList: boolean;
}

/** Lets a test write to an open watch. */
export interface OpenWatch {
  plural: string;
  query: Record<string, string>;
  /** One watch event, or a text as it stands. */
  send(event: unknown): void;
  bytes(text: string): void;
  end(): void;
  fail(error: Error): void;
  isOpen: boolean;
}

type Stored = KubernetesObject & { spec?: unknown; status?: unknown };

const kinds: Record<string, string> = {
  widgets: "Widget",
  configmaps: "ConfigMap",
  leases: "Lease",
  events: "Event",
};

/** Answers requests from memory. */
export class ScriptedServer implements RestClient {
  readonly requests: Seen[] = [];
  readonly watches: OpenWatch[] = [];
  /** What happened, in order: every change as a watch event. */
  readonly history: { plural: string; type: string; object: Stored }[] = [];
  rv = 100;
  /** Answers instead of the server when it returns something or throws. */
  intercept: ((request: Seen, signal: AbortSignal | undefined) => unknown) | undefined;
  /** While true, changes are stored but not sent to watches; see `release`. */
  isHolding = false;
  /** Watch events of these plurals only are held; undefined: of all. */
  holdOnly: string | undefined;
  readonly #held: { plural: string; type: string; object: Stored }[] = [];
  readonly #objects = new Map<string, Stored>();
  #uid = 0;

  get lists(): Seen[] {
    return this.requests.filter((request) => request.isList);
  }

  get watchRequests(): Seen[] {
    return this.requests.filter((request) => request.isWatch);
  }

  get writes(): Seen[] {
    return this.requests.filter((request) => request.method !== "GET");
  }

  get openWatches(): OpenWatch[] {
    return this.watches.filter((watch) => watch.isOpen);
  }

  /** Creates or changes an object as another client would. */
  put(plural: string, object: KubernetesObject & Record<string, unknown>): Stored {
    const { namespace = "default", name = "" } = object.metadata ?? {};
    const key = `${plural}/${namespace}/${name}`;
    const before = this.#objects.get(key);
    const generation = before
      ? (before.metadata?.generation ?? 1) +
        (JSON.stringify(before.spec) === JSON.stringify(object.spec) ? 0 : 1)
      : 1;
    const stored: Stored = {
      ...structuredClone(object),
      apiVersion: plural === "widgets" ? "example.com/v1" : "v1",
      kind: kinds[plural],
      metadata: {
        creationTimestamp: "2026-01-01T00:00:00Z",
        ...structuredClone(object.metadata),
        namespace,
        name,
        uid: before?.metadata?.uid ?? object.metadata?.uid ?? `uid-${++this.#uid}`,
        generation,
        resourceVersion: String(++this.rv),
        managedFields: [{ manager: "test" }],
      },
    };
    this.#objects.set(key, stored);
    this.#tell(plural, before ? "MODIFIED" : "ADDED", stored);
    return stored;
  }

  /** Deletes an object as another client would. */
  drop(plural: string, name: string, namespace = "default"): void {
    const key = `${plural}/${namespace}/${name}`;
    const object = this.#objects.get(key);
    if (!object) return;
    this.#objects.delete(key);
    this.#tell(plural, "DELETED", {
      ...object,
      metadata: { ...object.metadata, resourceVersion: String(++this.rv) },
    });
  }

  find(plural: string, name: string, namespace = "default"): Stored | undefined {
    return this.#objects.get(`${plural}/${namespace}/${name}`);
  }

  all(plural: string): Stored[] {
    return [...this.#objects].filter(([key]) => key.startsWith(`${plural}/`)).map(([, object]) => object);
  }

  /** Sends the watch events that were held. */
  release(): void {
    this.isHolding = false;
    for (const { plural, type, object } of this.#held.splice(0)) this.#send(plural, type, object);
  }

  /** Forgets the watch events that were held, for every watch to come too: its history was compacted. */
  lose(): void {
    const lost = new Set(this.#held.splice(0).map(({ object }) => object));
    this.history.splice(0, this.history.length, ...this.history.filter(({ object }) => !lost.has(object)));
  }

  bookmark(plural: string): void {
    for (const watch of this.openWatches.filter((open) => open.plural === plural)) {
      watch.send({
        type: "BOOKMARK",
        object: { kind: kinds[plural], metadata: { resourceVersion: String(this.rv) } },
      });
    }
  }

  async performRequest(options: RequestOptions): Promise<never> {
    return await this.#perform(options) as never;
  }

  async #perform(options: RequestOptions): Promise<unknown> {
    const query = Object.fromEntries(options.querystring ?? []);
    const parts = options.path.split("/").filter((part) => part !== "");
    const from = parts[0] === "api" ? 2 : 3;
    const isNamespaced = parts[from] === "namespaces" && parts.length > from + 1;
    const [plural = "", name, subresource] = parts.slice(isNamespaced ? from + 2 : from);
    const namespace = isNamespaced ? parts[from + 1]! : undefined;
    const isWatch = query.watch === "true";
    const seen: Seen = {
      method: options.method,
      path: options.path,
      query,
      body: options.bodyJson,
      isWatch,
      isList: options.method === "GET" && name === undefined && !isWatch,
    };
    this.requests.push(seen);
    await Promise.resolve();
    if (options.abortSignal?.aborted) throw options.abortSignal.reason;
    const answer = await untilAborted(
      Promise.resolve(this.intercept?.(seen, options.abortSignal)),
      options.abortSignal,
    );
    if (answer !== undefined) return answer;
    if (isWatch) return this.#watch(plural, namespace, query, options.abortSignal);
    const body = structuredClone(options.bodyJson) as Stored | undefined;
    if (name === undefined && options.method === "GET") return this.#list(plural, namespace, query);
    if (options.method === "POST") return this.#create(plural, namespace, body!);
    const object = this.#objects.get(`${plural}/${namespace ?? "default"}/${name}`);
    if (options.method === "PATCH" && options.contentType?.includes("apply")) {
      if (!object) return this.#create(plural, namespace, body!);
      const expected = body?.metadata?.resourceVersion;
      if (expected && expected !== object.metadata?.resourceVersion) throw conflict(options.path);
      return this.#change(plural, object, body!, subresource);
    }
    if (!object) throw notFound(options.path);
    if (options.method === "GET") return structuredClone(object);
    if (options.method === "DELETE") return this.#delete(plural, object, options.bodyJson);
    const { resourceVersion } = object.metadata ?? {};
    const expected = body?.metadata?.resourceVersion ??
      (options.method === "PATCH" ? resourceVersion : undefined);
    if (expected !== resourceVersion) throw conflict(options.path);
    return this.#change(plural, object, body!, subresource);
  }

  #list(plural: string, namespace: string | undefined, query: Record<string, string>): unknown {
    const all = this.all(plural).filter((object) => !namespace || object.metadata?.namespace === namespace);
    const limit = Number(query.limit) || Infinity;
    const from = Number(query.continue?.split("@")[0] ?? 0);
    const items = all.slice(from, from + limit).map((object) => {
      const { kind: _kind, apiVersion: _apiVersion, ...rest } = structuredClone(object);
      return plural === "widgets" ? structuredClone(object) : rest;
    });
    const isMore = from + limit < all.length;
    return {
      kind: `${kinds[plural]}List`,
      metadata: {
        resourceVersion: String(this.rv),
        ...(isMore ? { continue: `${from + limit}@${this.rv}` } : {}),
      },
      items,
    };
  }

  #watch(
    plural: string,
    namespace: string | undefined,
    query: Record<string, string>,
    signal: AbortSignal | undefined,
  ): ReadableStream<Uint8Array> {
    const encoder = new TextEncoder();
    let stream: ReadableStreamDefaultController<Uint8Array>;
    const watch: OpenWatch = {
      plural,
      query,
      isOpen: true,
      bytes: (text) => {
        if (watch.isOpen) stream.enqueue(encoder.encode(text));
      },
      send: (event) => watch.bytes(`${JSON.stringify(event)}\n`),
      end: () => {
        if (watch.isOpen) stream.close();
        watch.isOpen = false;
      },
      fail: (error) => {
        if (watch.isOpen) stream.error(error);
        watch.isOpen = false;
      },
    };
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        stream = controller;
      },
      cancel: () => {
        watch.isOpen = false;
      },
    });
    signal?.addEventListener("abort", () => watch.fail(signal.reason as Error), { once: true });
    this.watches.push(watch);
    for (const { plural: at, type, object } of this.history) {
      const isNewer = Number(object.metadata?.resourceVersion) > Number(query.resourceVersion);
      const isHeld = this.#held.some((held) => held.object === object);
      const isHere = !namespace || object.metadata?.namespace === namespace;
      if (at === plural && isNewer && !isHeld && isHere) watch.send({ type, object });
    }
    return body;
  }

  #create(plural: string, namespace: string | undefined, body: Stored): unknown {
    const { name = "" } = body.metadata ?? {};
    const at = namespace ?? body.metadata?.namespace ?? "default";
    if (this.#objects.has(`${plural}/${at}/${name}`)) {
      throw new ApiError(409, `${plural} "${name}" already exists`, { reason: "AlreadyExists" });
    }
    return structuredClone(
      this.put(
        plural,
        { ...body, metadata: { ...body.metadata, namespace: at } } as unknown as Record<string, unknown>,
      ),
    );
  }

  #change(plural: string, object: Stored, patch: Stored, subresource: string | undefined): unknown {
    const merged = merge(object as Record<string, unknown>, patch as Record<string, unknown>);
    const next = subresource === "status" ? { ...object, status: merged.status } : {
      ...merged,
      metadata: { ...merged.metadata as object, resourceVersion: object.metadata?.resourceVersion },
    };
    if (JSON.stringify(next) === JSON.stringify(object)) return structuredClone(object);
    return structuredClone(this.put(plural, next as Record<string, unknown>));
  }

  #delete(plural: string, object: Stored, body: unknown): unknown {
    const wanted = (body as { preconditions?: { uid?: string; resourceVersion?: string } } | undefined)
      ?.preconditions;
    const { uid, resourceVersion, name = "", namespace } = object.metadata ?? {};
    if (wanted?.uid && wanted.uid !== uid) throw conflict(name);
    if (wanted?.resourceVersion && wanted.resourceVersion !== resourceVersion) throw conflict(name);
    this.drop(plural, name, namespace);
    return { kind: "Status", status: "Success", details: { uid } };
  }

  #tell(plural: string, type: string, object: Stored): void {
    this.history.push({ plural, type, object });
    if (this.isHolding && (this.holdOnly === undefined || this.holdOnly === plural)) {
      this.#held.push({ plural, type, object });
    } else {
      this.#send(plural, type, object);
    }
  }

  #send(plural: string, type: string, object: Stored): void {
    for (const watch of this.openWatches) if (watch.plural === plural) watch.send({ type, object });
  }
}

/** A Status as the server sends it inside a watch. */
export function errorEvent(code: number, reason: string, message = reason): unknown {
  return { type: "ERROR", object: { kind: "Status", status: "Failure", code, reason, message } };
}

export function notFound(what: string): ApiError {
  return new ApiError(404, `${what} not found`, { reason: "NotFound" });
}

export function conflict(what: string): ApiError {
  return new ApiError(409, `the object ${what} has been modified`, { reason: "Conflict" });
}

/** A promise that never settles by itself, as a dead connection's; only the abort ends it. */
export function hang(signal?: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

function merge(target: Record<string, unknown>, patch: Record<string, unknown>): Record<string, unknown> {
  const result = structuredClone(target);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else if (typeof value === "object" && !Array.isArray(value)) {
      result[name] = merge((result[name] ?? {}) as Record<string, unknown>, value as Record<string, unknown>);
    } else if (value !== undefined) result[name] = value;
  }
  return result;
}
