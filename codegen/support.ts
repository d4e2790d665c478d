/**
 * The support module of the output, types/client.ts: the RestClient contract, the resource descriptor, and the
 * requests that the typed clients make.
 *
 * It is text, not code of this library, so that the output depends on nothing.
 * @module
 */

/** The text of the support module, without the header. */
export const supportText = `/**
 * The contract that the typed clients are written against, and the requests that they make.
 *
 * RestClient is the contract of @cloudydeno/kubernetes-client: a client of that package, or of any other that
 * keeps to it, works with each of the generated API classes.
 * @module
 */
import type { ListMeta, ObjectMeta, Status } from "./meta/v1.ts";

/** Anything that JSON can hold. */
export type JSONValue = string | number | boolean | null | JSONValue[] | { [key: string]: JSONValue | undefined };

/** One request to the API server. */
export interface RequestOptions {
  method: string;
  path: string;
  querystring?: URLSearchParams;
  abortSignal?: AbortSignal;
  contentType?: string;
  accept?: string;
  bodyRaw?: Uint8Array;
  bodyJson?: JSONValue;
  bodyStream?: ReadableStream<Uint8Array>;
  expectStream?: boolean;
  expectJson?: boolean;
  expectTunnel?: string[];
}

/** Sends requests to the API server. */
export interface RestClient {
  defaultNamespace?: string;
  performRequest(
    opts: RequestOptions & { expectStream: true; expectJson: true },
  ): Promise<ReadableStream<JSONValue>>;
  performRequest(opts: RequestOptions & { expectStream: true }): Promise<ReadableStream<Uint8Array>>;
  performRequest(opts: RequestOptions & { expectJson: true }): Promise<JSONValue>;
  performRequest(opts: RequestOptions): Promise<Uint8Array>;
}

/** What every object has. */
export interface KubernetesObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
}

/** The address of a kind, and, for the compiler only, what is read and what is written there. */
export interface Resource<Read = KubernetesObject, Write = Read> {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly scope: "Namespaced" | "Cluster";
  /** Never present. */
  readonly __read?: Read;
  /** Never present. */
  readonly __write?: Write;
}

/** What a watch reports. */
export type WatchEvent<Read> =
  | { type: "ADDED" | "MODIFIED" | "DELETED"; object: Read }
  | { type: "BOOKMARK"; object: { apiVersion: string; kind: string; metadata: ListMeta & { annotations?: { [key: string]: string } } } }
  | { type: "ERROR"; object: Status };

/** The scale subresource. */
export interface Scale {
  apiVersion: "autoscaling/v1";
  kind: "Scale";
  metadata: ObjectMeta;
  spec: { replicas: number };
  status?: { replicas: number; selector?: string };
}

/** Any part of an object, as a merge patch takes it: null removes a key. */
export type DeepPartial<T> = T extends readonly unknown[] ? T
  : T extends object ? { [Key in keyof T]?: DeepPartial<T[Key]> | null }
  : T;

/** A JSON patch (RFC 6902). */
export type JsonPatch = (
  | { op: "add" | "replace" | "test"; path: string; value: JSONValue }
  | { op: "remove"; path: string }
  | { op: "copy" | "move"; from: string; path: string }
)[];

/** How the body of a patch is meant. */
export type PatchType = "strategic-merge" | "json-merge" | "json-patch" | "apply-patch";

/** Options of a request that has none of its own. */
export interface NoOpts {
  abortSignal?: AbortSignal;
}

/** Options of a list. */
export interface GetListOpts extends NoOpts {
  continue?: string;
  fieldSelector?: string;
  labelSelector?: string;
  limit?: number;
  resourceVersion?: string;
  resourceVersionMatch?: "Exact" | "NotOlderThan";
  timeoutSeconds?: number;
}

/** Options of a watch. */
export interface WatchListOpts extends NoOpts {
  allowWatchBookmarks?: boolean;
  fieldSelector?: string;
  labelSelector?: string;
  resourceVersion?: string;
  resourceVersionMatch?: "Exact" | "NotOlderThan";
  sendInitialEvents?: boolean;
  timeoutSeconds?: number;
}

/** Options of a create or replace. */
export interface PutOpts extends NoOpts {
  dryRun?: "All";
  fieldManager?: string;
  fieldValidation?: "Ignore" | "Warn" | "Strict";
}

/** Options of a patch. */
export interface PatchOpts extends PutOpts {
  force?: boolean;
}

/** Options of a server-side apply. */
export interface ApplyOpts extends PatchOpts {
  fieldManager: string;
}

/** Options of a delete. */
export interface DeleteOpts extends NoOpts {
  dryRun?: "All";
  gracePeriodSeconds?: number;
  propagationPolicy?: "Orphan" | "Background" | "Foreground";
  /** Deletes only the object of this uid and resourceVersion. */
  preconditions?: { uid?: string; resourceVersion?: string };
}

/** Options of a delete of all objects that match. */
export interface DeleteListOpts extends DeleteOpts {
  fieldSelector?: string;
  labelSelector?: string;
}

/** Reads one object, or one subresource. */
export async function getJson<Read>(client: RestClient, path: string, opts: NoOpts): Promise<Read> {
  return (await client.performRequest({ method: "GET", path, expectJson: true, ...signalOf(opts) })) as Read;
}

/** Reads all objects; the API server leaves apiVersion and kind out of the items of built-in kinds: they are put back. */
export async function listJson<List>(
  client: RestClient,
  resource: Resource<unknown, unknown>,
  path: string,
  opts: GetListOpts,
): Promise<List> {
  const found = await client.performRequest({
    method: "GET",
    path,
    expectJson: true,
    querystring: queryOf(opts),
    ...signalOf(opts),
  });
  const { group, version, kind } = resource;
  const apiVersion = group === "" ? version : group + "/" + version;
  const list = found as { items?: { [key: string]: JSONValue }[] };
  return { ...list, items: (list.items ?? []).map((item) => ({ apiVersion, kind, ...item })) } as List;
}

/** Watches all objects from a resourceVersion on. */
export async function watchJson<Read>(
  client: RestClient,
  path: string,
  opts: WatchListOpts,
): Promise<ReadableStream<WatchEvent<Read>>> {
  const querystring = queryOf(opts);
  querystring.set("watch", "1");
  const stream = await client.performRequest({
    method: "GET",
    path,
    expectJson: true,
    expectStream: true,
    querystring,
    ...signalOf(opts),
  });
  return stream as unknown as ReadableStream<WatchEvent<Read>>;
}

/** Creates or replaces an object. */
export async function sendJson<Read>(
  client: RestClient,
  method: "POST" | "PUT",
  path: string,
  body: unknown,
  opts: PutOpts,
): Promise<Read> {
  return (await client.performRequest({
    method,
    path,
    expectJson: true,
    querystring: queryOf(opts),
    bodyJson: body as JSONValue,
    ...signalOf(opts),
  })) as Read;
}

/** Patches an object. */
export async function patchJson<Read>(
  client: RestClient,
  path: string,
  type: PatchType,
  body: unknown,
  opts: PatchOpts,
): Promise<Read> {
  return (await client.performRequest({
    method: "PATCH",
    path,
    expectJson: true,
    querystring: queryOf(opts),
    contentType: contentTypes[type],
    bodyJson: body as JSONValue,
    ...signalOf(opts),
  })) as Read;
}

/** Applies an object; apiVersion and kind are the resource's. */
export function applyJson<Read>(
  client: RestClient,
  { group, version, kind }: Resource<unknown, unknown>,
  path: string,
  body: object,
  opts: ApplyOpts,
): Promise<Read> {
  const apiVersion = group === "" ? version : group + "/" + version;
  return patchJson(client, path, "apply-patch", { ...body, apiVersion, kind }, opts);
}

/** Deletes one object or all that match. */
export async function removeJson<Deleted>(
  client: RestClient,
  path: string,
  { preconditions, ...opts }: DeleteListOpts,
): Promise<Deleted> {
  return (await client.performRequest({
    method: "DELETE",
    path,
    expectJson: true,
    querystring: queryOf(opts),
    ...(preconditions !== undefined &&
      { bodyJson: { apiVersion: "v1", kind: "DeleteOptions", preconditions: { ...preconditions } } }),
    ...signalOf(opts),
  })) as Deleted;
}

const contentTypes: { [Type in PatchType]: string } = {
  "strategic-merge": "application/strategic-merge-patch+json",
  "json-merge": "application/merge-patch+json",
  "json-patch": "application/json-patch+json",
  "apply-patch": "application/apply-patch+yaml",
};

function signalOf({ abortSignal }: NoOpts): { abortSignal?: AbortSignal } {
  return abortSignal === undefined ? {} : { abortSignal };
}

function queryOf(opts: NoOpts): URLSearchParams {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(opts)) {
    if (name === "abortSignal" || value === undefined || value === null) continue;
    query.set(name, String(value));
  }
  return query;
}
`;
