/**
 * The shapes that the library and its users share: Kubernetes objects as far as every kind has them, the
 * descriptor of a kind, and the REST contract.
 *
 * Nothing here exists at run time. `RestClient` is the contract of `@cloudydeno/kubernetes-client`
 * (lib/contract.ts), so code written for that family of packages works on this library's connection and the
 * other way round.
 * @module
 */

/** Anything that JSON can hold; a key whose value is undefined is left out. */
export type JSONValue = string | number | boolean | null | undefined | JSONValue[] | {
  [key: string]: JSONValue;
};

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
  /** WebSocket subprotocols (exec, port-forward); this library's connection refuses it. */
  expectTunnel?: string[];
  /** Called at the last moment before the request is sent, each time; what it throws keeps it from being sent. */
  beforeSend?: () => void;
  /** Called with the text of each warning that the answer carries, a refusal too. */
  onWarning?: (text: string) => void;
  /** Sent at once, past all that waits for its turn: the renewal of a lease. */
  isUrgent?: boolean;
}

/** A connection through the API server to a pod, as exec and port-forward need it. */
export interface KubernetesTunnel {
  readonly transportProtocol: "SPDY" | "WebSocket" | "Opaque";
  readonly subProtocol: string;
  getChannel<Readable extends boolean, Writable extends boolean>(options: {
    spdyHeaders?: Record<string, string | number>;
    streamIndex?: number;
    readable: Readable;
    writable: Writable;
  }): Promise<{
    readable: Readable extends true ? ReadableStream<Uint8Array> : null;
    writable: Writable extends true ? WritableStream<Uint8Array> : null;
  }>;
  ready(): Promise<void>;
  stop(): Promise<void>;
}

/** Something that performs requests against one API server. */
export interface RestClient {
  /** The namespace to use where none is named, as the kubeconfig or the pod's service account says. */
  defaultNamespace?: string;
  performRequest(options: RequestOptions & { expectTunnel: string[] }): Promise<KubernetesTunnel>;
  performRequest(
    options: RequestOptions & { expectStream: true; expectJson: true },
  ): Promise<ReadableStream<JSONValue>>;
  performRequest(options: RequestOptions & { expectStream: true }): Promise<ReadableStream<Uint8Array>>;
  performRequest(options: RequestOptions & { expectJson: true }): Promise<JSONValue>;
  performRequest(options: RequestOptions): Promise<Uint8Array>;
}

/** What makes an object the child of another. */
export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
}

/** The part of `metadata` that this library reads or writes. */
export interface ObjectMeta {
  name?: string;
  generateName?: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: { [name: string]: string };
  annotations?: { [name: string]: string };
  finalizers?: string[];
  ownerReferences?: OwnerReference[];
  managedFields?: unknown[];
}

/** Any Kubernetes object. */
export interface KubernetesObject {
  apiVersion?: string;
  kind?: string;
  metadata?: ObjectMeta;
}

/**
 * One kind of object: where the API server serves it, and, for the compiler only, what a read returns and what
 * a write takes. Generated code declares one constant per kind (`databases`, `configMaps`).
 */
export interface Resource<Read = KubernetesObject, Write = Read> {
  /** `""` for the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly scope: "Namespaced" | "Cluster";
  /** For the compiler only; never present. */
  readonly __read?: Read;
  /** For the compiler only; never present. */
  readonly __write?: Write;
}

/** A resource of which only the address matters. */
export type AnyResource = Resource<unknown, unknown>;

/** The name of an object; `namespace` is absent for a cluster-scoped one. */
export interface Key {
  namespace?: string;
  name: string;
}

/** One entry of `status.conditions`. */
export interface Condition {
  type: string;
  status: "True" | "False" | "Unknown";
  reason: string;
  message: string;
  observedGeneration?: number;
  lastTransitionTime: string;
}

/** What a write to the status subresource holds. */
export interface StatusWrite<Read> {
  apiVersion?: string;
  kind?: string;
  metadata: { name: string; namespace?: string; resourceVersion?: string; uid?: string };
  status: Read extends { status?: infer Status } ? Status : unknown;
}
