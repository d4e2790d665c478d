/**
 * The support modules of the output: types/client.ts, the RestClient contract and the types of the typed clients;
 * types/requests.ts, the classes behind them; types/resource.ts, the resource descriptor.
 *
 * It is text, not code of this library, so that the output depends on nothing.
 * @module
 */

/**
 * The text of types/resource.ts, without the header: what the modules of types need. There is no code in it, so that
 * who needs types only has them under any target.
 */
export const resourceText = `/**
 * The resource descriptor: what tells where the objects of a kind are.
 * @module
 */
import type { ObjectMeta } from "./meta/v1.ts";

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
`;

/** The text of types/client.ts, without the header. */
export const supportText = `/**
 * The contract that the typed clients are written against, and their types.
 *
 * RestClient is the contract of @cloudydeno/kubernetes-client: a client of that package, or of any other that
 * keeps to it, works with each of the generated API classes.
 * @module
 */
import type { ListMeta, ObjectMeta, Status } from "./meta/v1.ts";
import type { KubernetesObject, Resource } from "./resource.ts";

export type { KubernetesObject, Resource };

/** Anything that JSON can hold; a key whose value is undefined is left out. */
export type JSONValue = string | number | boolean | null | undefined | JSONValue[] | { [key: string]: JSONValue };

/** What a request does. */
export type HttpMethods = "GET" | "POST" | "DELETE" | "PUT" | "PATCH" | "OPTIONS" | "HEAD";

/** One request to the API server. */
export interface RequestOptions {
  method: HttpMethods;
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

/** Reads all objects. */
export interface GetList<List> {
  (opts?: GetListOpts): Promise<List>;
}

/** Watches all objects from a resourceVersion on. */
export interface WatchList<Read> {
  (opts?: WatchListOpts): Promise<ReadableStream<WatchEvent<Read>>>;
}

/** Creates an object. */
export interface Create<Write, Read> {
  (body: Write, opts?: PutOpts): Promise<Read>;
}

/** Deletes all objects that match; resolves to what was deleted. */
export interface DeleteList<List> {
  (opts?: DeleteListOpts): Promise<List | Status>;
}

/** Deletes an object; resolves to the object while finalizers keep it. */
export interface Delete<Read> {
  (name: string, opts?: DeleteOpts): Promise<Read | Status>;
}

/** Reads an object, or a subresource of it. */
export interface Get<Read> {
  (name: string, opts?: NoOpts): Promise<Read>;
}

/** Replaces an object; a resourceVersion in it must be that of the object. */
export interface Replace<Write, Read = Write> {
  (name: string, body: Write, opts?: PutOpts): Promise<Read>;
}

/** Changes parts of an object. */
export interface Patch<Write, Read = Write> {
  (name: string, type: PatchType, body: DeepPartial<Write> | JsonPatch, opts?: PatchOpts): Promise<Read>;
}

/** Server-side apply: what \`fieldManager\` wants the object to be. */
export interface Apply<Write, Read> {
  (name: string, body: Write, opts: ApplyOpts): Promise<Read>;
}

/** The types of a kind: what is written, what is read, a list of it; and the subresources that it has. */
export interface Kind<Write, Read, List, Subresource = never> {
  write: Write;
  read: Read;
  list: List;
  subresource: Subresource;
}

type Part<Of, Key> = Key extends keyof Of ? Of[Key] : never;
type Write<Of> = Part<Of, "write">;
type Read<Of> = Part<Of, "read">;
type List<Of> = Part<Of, "list">;

/** The name of a method, where the kind has the subresource. */
type NameWith<Subresource, Of, Name> = Subresource extends Part<Of, "subresource"> ? Name : never;

/** The methods that read all objects of each kind, by the word that they end with. */
type ReadMethods<Kinds, Suffix extends string = ""> =
  & { [Word in keyof Kinds as \`get\${Word & string}List\${Suffix}\`]: GetList<List<Kinds[Word]>> }
  & { [Word in keyof Kinds as \`watch\${Word & string}List\${Suffix}\`]: WatchList<Read<Kinds[Word]>> };

/**
 * The API of kinds in one place, by the word that their methods end with: \`getDatabase\`, \`applyDatabase\`.
 *
 * The compiler makes the methods when one is used, and not before, which makes its check of many kinds shorter.
 */
export type KindsApi<Kinds> =
  & ReadMethods<Kinds>
  & { [Word in keyof Kinds as \`create\${Word & string}\`]: Create<Write<Kinds[Word]>, Read<Kinds[Word]>> }
  & { [Word in keyof Kinds as \`delete\${Word & string}List\`]: DeleteList<List<Kinds[Word]>> }
  & { [Word in keyof Kinds as \`delete\${Word & string}\`]: Delete<Read<Kinds[Word]>> }
  & { [Word in keyof Kinds as \`get\${Word & string}\`]: Get<Read<Kinds[Word]>> }
  & { [Word in keyof Kinds as \`replace\${Word & string}\`]: Replace<Write<Kinds[Word]>, Read<Kinds[Word]>> }
  & { [Word in keyof Kinds as \`patch\${Word & string}\`]: Patch<Write<Kinds[Word]>, Read<Kinds[Word]>> }
  & { [Word in keyof Kinds as \`apply\${Word & string}\`]: Apply<Write<Kinds[Word]>, Read<Kinds[Word]>> }
  & { [Word in keyof Kinds as NameWith<"status", Kinds[Word], \`get\${Word & string}Status\`>]: Get<Read<Kinds[Word]>> }
  & { [Word in keyof Kinds as NameWith<"status", Kinds[Word], \`replace\${Word & string}Status\`>]: Replace<Read<Kinds[Word]>> }
  & { [Word in keyof Kinds as NameWith<"status", Kinds[Word], \`patch\${Word & string}Status\`>]: Patch<Read<Kinds[Word]>> }
  & { [Word in keyof Kinds as NameWith<"scale", Kinds[Word], \`get\${Word & string}Scale\`>]: Get<Scale> }
  & { [Word in keyof Kinds as NameWith<"scale", Kinds[Word], \`replace\${Word & string}Scale\`>]: Replace<Scale> }
  & { [Word in keyof Kinds as NameWith<"scale", Kinds[Word], \`patch\${Word & string}Scale\`>]: Patch<Scale> };

/** The API of a group and version: all methods of cluster-scoped kinds, reads of the others, and their clients. */
export type GroupApi<Namespaced, Cluster = unknown> =
  & Namespaces<KindsApi<Namespaced>>
  & ReadMethods<Namespaced, "ForAllNamespaces">
  & KindsApi<Cluster>;

interface Namespaces<Api> {
  /** The client of one namespace. */
  namespace(name: string): Api;
  /** The client of the namespace that the kubeconfig or the pod's service account names. */
  myNamespace(): Api;
}

/** A class, by the kinds that it serves. */
export interface Serving {
  readonly kinds: ServedKinds;
}

/** The class of the clients of one namespace. */
export interface NamespacedClass<Api> extends Serving {
  new (client: RestClient, namespace: string): Api;
}

/** The class of the clients of a group and version. */
export interface GroupClass<Api> {
  new (client: RestClient): Api;
}

/** The addresses of the kinds that an API class serves, by the word that their methods end with: \`getDatabase\`. */
export interface ServedKinds {
  readonly [word: string]: Resource<unknown, unknown>;
}
`;

/**
 * The text of types/requests.ts, without the header. The compiler leaves it alone: no program needs to check it
 * again, which takes longer than 50 kinds do. It is checked where it is made (tests/codegen/faithful.test.ts).
 */
export const requestsText = `// @ts-nocheck: its types are in client.ts, which is checked.
/**
 * The classes behind the typed clients: the requests that their methods make.
 * @module
 */
import type {
  ApplyOpts,
  DeleteListOpts,
  DeleteOpts,
  GetListOpts,
  GroupClass,
  HttpMethods,
  JSONValue,
  NamespacedClass,
  NoOpts,
  PatchOpts,
  PatchType,
  PutOpts,
  RequestOptions,
  RestClient,
  ServedKinds,
  Serving,
  WatchListOpts,
} from "./client.ts";
import type { Resource } from "./resource.ts";

/** Makes the API class of a group and version in one namespace. */
export function namespacedApi<Api>(kinds: ServedKinds): NamespacedClass<Api> {
  class NamespacedApi extends Place {
    static readonly kinds = kinds;
  }
  for (const word in kinds) addMethods(NamespacedApi.prototype as object as Methods, word, kinds[word]!);
  return NamespacedApi as object as NamespacedClass<Api>;
}

/** Makes the API class of a group and version: all methods of cluster-scoped kinds, and reads across namespaces. */
export function groupApi<Api>(kinds: ServedKinds, Namespaced?: Serving): GroupClass<Api> {
  class GroupApi extends Place {}
  const methods = GroupApi.prototype as object as Methods;
  for (const word in kinds) addMethods(methods, word, kinds[word]!);
  if (Namespaced !== undefined) {
    const across = Namespaced.kinds;
    const Class = Namespaced as NamespacedClass<unknown>;
    for (const word in across) addReads(methods, word, across[word]!, "ForAllNamespaces");
    methods.namespace = function (this: Place, name: string) {
      return new Class(this.client, name);
    };
    methods.myNamespace = function (this: Place) {
      const name = this.client.defaultNamespace;
      if (!name) throw new Error("Cannot tell my namespace: the client has no default");
      return new Class(this.client, name);
    };
  }
  return GroupApi as object as GroupClass<Api>;
}

/** What the methods of an API class work on: a client, and the namespace or none. */
class Place {
  readonly client: RestClient;
  readonly #namespace: string | undefined;

  constructor(client: RestClient, namespace?: string) {
    this.client = client;
    this.#namespace = namespace;
  }

  /** The path of all objects, of one, or of a subresource of one. */
  pathOf({ group, version, plural }: Resource<unknown, unknown>, name?: string, subresource?: string): string {
    const path = group === "" ? ["/api", version] : ["/apis", group, version];
    if (this.#namespace !== undefined) path.push("namespaces", encodeURIComponent(this.#namespace));
    path.push(plural);
    if (name !== undefined) path.push(encodeURIComponent(name));
    if (subresource !== undefined) path.push(subresource);
    return path.join("/");
  }

  /** One request; the answer is JSON. */
  send(method: HttpMethods, path: string, opts: NoOpts, body?: Partial<RequestOptions>): Promise<unknown> {
    const request = { ...requestOf(method, path, opts), ...body };
    return this.client.performRequest(request as RequestOptions & { expectJson: true });
  }

  patch(path: string, type: PatchType, body: JSONValue, opts: PatchOpts): Promise<unknown> {
    return this.send("PATCH", path, opts, { bodyJson: body, contentType: contentTypes[type] });
  }

  remove(path: string, { preconditions, ...opts }: DeleteListOpts): Promise<unknown> {
    if (preconditions === undefined) return this.send("DELETE", path, opts);
    const bodyJson = { apiVersion: "v1", kind: "DeleteOptions", preconditions: { ...preconditions } };
    return this.send("DELETE", path, opts, { bodyJson });
  }
}

type Method = (this: Place, ...args: never[]) => unknown;

interface Methods {
  namespace: Method;
  myNamespace: Method;
  [name: string]: Method;
}

/** The methods that read all objects of a kind. */
function addReads(methods: Methods, word: string, resource: Resource<unknown, unknown>, suffix = ""): void {
  // The API server leaves apiVersion and kind out of the items of built-in kinds: they are put back.
  methods["get" + word + "List" + suffix] = async function (this: Place, opts: GetListOpts = {}) {
    const list = await this.send("GET", this.pathOf(resource), opts) as { items?: object[] };
    const items: object[] = [];
    for (const item of list.items ?? []) items.push({ ...typeOf(resource), ...item });
    return { ...list, items };
  };
  methods["watch" + word + "List" + suffix] = function (this: Place, opts: WatchListOpts = {}) {
    const request = requestOf("GET", this.pathOf(resource), opts, "1");
    return this.client.performRequest({ ...request, expectStream: true } as RequestOptions & { expectJson: true });
  };
}

/** All methods of a kind; the types leave out those of a subresource that it does not have. */
function addMethods(methods: Methods, word: string, resource: Resource<unknown, unknown>): void {
  addReads(methods, word, resource);
  addChanges(methods, word, resource);
  methods["create" + word] = function (this: Place, body: JSONValue, opts: PutOpts = {}) {
    return this.send("POST", this.pathOf(resource), opts, { bodyJson: body });
  };
  methods["apply" + word] = function (this: Place, name: string, body: { [key: string]: JSONValue }, opts: ApplyOpts) {
    return this.patch(this.pathOf(resource, name), "apply-patch", { ...body, ...typeOf(resource) }, opts);
  };
  methods["delete" + word] = function (this: Place, name: string, opts: DeleteOpts = {}) {
    return this.remove(this.pathOf(resource, name), opts);
  };
  methods["delete" + word + "List"] = function (this: Place, opts: DeleteListOpts = {}) {
    return this.remove(this.pathOf(resource), opts);
  };
  addChanges(methods, word + "Status", resource, "status");
  addChanges(methods, word + "Scale", resource, "scale");
}

/** The methods that an object and its subresources have in common. */
function addChanges(methods: Methods, word: string, resource: Resource<unknown, unknown>, subresource?: string): void {
  methods["get" + word] = function (this: Place, name: string, opts: NoOpts = {}) {
    return this.send("GET", this.pathOf(resource, name, subresource), opts);
  };
  methods["replace" + word] = function (this: Place, name: string, body: JSONValue, opts: PutOpts = {}) {
    return this.send("PUT", this.pathOf(resource, name, subresource), opts, { bodyJson: body });
  };
  methods["patch" + word] = function (
    this: Place,
    name: string,
    type: PatchType,
    body: JSONValue,
    opts: PatchOpts = {},
  ) {
    return this.patch(this.pathOf(resource, name, subresource), type, body, opts);
  };
}

const contentTypes: { [Type in PatchType]: string } = {
  "strategic-merge": "application/strategic-merge-patch+json",
  "json-merge": "application/merge-patch+json",
  "json-patch": "application/json-patch+json",
  "apply-patch": "application/apply-patch+yaml",
};

function typeOf({ group, version, kind }: Resource<unknown, unknown>): { apiVersion: string; kind: string } {
  return { apiVersion: group === "" ? version : group + "/" + version, kind };
}

/** The request without its body: the options are its query. */
function requestOf(
  method: HttpMethods,
  path: string,
  { abortSignal, ...opts }: { abortSignal?: AbortSignal },
  watch?: string,
): RequestOptions {
  const querystring = new URLSearchParams();
  const query: { [name: string]: unknown } = { ...opts, watch };
  for (const name in query) if (query[name] != null) querystring.set(name, "" + query[name]);
  return { method, path, querystring, expectJson: true, ...(abortSignal && { abortSignal }) };
}
`;
