/**
 * The typed clients: which requests they make, on any client that keeps to the RestClient contract.
 * @module
 */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { HttpTransport } from "../../runtime/platform/transport.ts";
import { noCredentials } from "../runtime/byte_server.ts";
import {
  AppExampleComV1Api,
  type AppExampleComV1NamespacedApi,
} from "../../types/app.example.com/v1.client.ts";
import { type Database, databases } from "../../types/app.example.com/v1.ts";
import { CoreV1Api } from "../../types/core/v1.client.ts";
import { configMaps, persistentVolumeClaims } from "../../types/core/v1.ts";
import { networkPolicies } from "../../types/networking.k8s.io/v1.ts";
import { podDisruptionBudgets } from "../../types/policy/v1.ts";

/** The contract as @cloudydeno/kubernetes-client has it; source: its lib/contract.ts, 0.7.3. */
interface TheirClient {
  performRequest(opts: TheirOptions & { expectTunnel: string[] }): Promise<TheirTunnel>;
  performRequest(
    opts: TheirOptions & { expectStream: true; expectJson: true },
  ): Promise<ReadableStream<TheirValue>>;
  performRequest(opts: TheirOptions & { expectStream: true }): Promise<ReadableStream<Uint8Array>>;
  performRequest(opts: TheirOptions & { expectJson: true }): Promise<TheirValue>;
  performRequest(opts: TheirOptions): Promise<Uint8Array>;
  defaultNamespace?: string;
}
type TheirValue = string | number | boolean | null | undefined | TheirValue[] | { [key: string]: TheirValue };
interface TheirOptions {
  method: "GET" | "POST" | "DELETE" | "PUT" | "PATCH" | "OPTIONS" | "HEAD";
  path: string;
  querystring?: URLSearchParams;
  abortSignal?: AbortSignal;
  contentType?: string;
  bodyRaw?: Uint8Array;
  bodyJson?: TheirValue;
  bodyStream?: ReadableStream<Uint8Array>;
  accept?: string;
  expectTunnel?: string[];
  expectStream?: boolean;
  expectJson?: boolean;
}
interface TheirTunnel {
  readonly transportProtocol: "SPDY" | "WebSocket" | "Opaque";
  readonly subProtocol: string;
  ready(): Promise<void>;
  stop(): Promise<void>;
}

/** Answers each request with the same, and keeps it. */
class Recorder implements TheirClient {
  readonly requests: TheirOptions[] = [];
  readonly #answer: unknown;
  defaultNamespace = "mine";

  constructor(answer: unknown) {
    this.#answer = answer;
  }

  readonly performRequest = ((opts: TheirOptions) => {
    this.requests.push(opts);
    return Promise.resolve(this.#answer);
  }) as TheirClient["performRequest"];

  /** The requests as one line each. */
  get lines(): string[] {
    return this.requests.map(({ method, path, querystring, contentType }) =>
      [method, path + (querystring?.size ? `?${querystring}` : ""), contentType].filter((part) =>
        part !== undefined
      ).join(" ")
    );
  }
}

const database: Database = {
  apiVersion: "app.example.com/v1",
  kind: "Database",
  metadata: { name: "orders" },
  spec: { version: "17" },
};

test("a connection of the runtime is a client of theirs too", async () => {
  const connection = new HttpTransport({
    server: "http://127.0.0.1:1",
    defaultNamespace: "mine",
    credentials: noCredentials,
    userAgent: "test",
  });
  const client: TheirClient = connection;
  const refused = await client.performRequest({ method: "GET", path: "/", expectTunnel: [] }).catch(String);
  assert.is(refused, 'TypeError: Cannot open a tunnel on "/": not supported');
  connection.close();
});

test("each method is one request to the kind's address", async () => {
  const client = new Recorder({ items: [] });
  const api = new AppExampleComV1Api(client);
  const shop = api.namespace("shop");
  await api.getDatabaseListForAllNamespaces({ limit: 5, labelSelector: "a=b" });
  await api.watchDatabaseListForAllNamespaces({ resourceVersion: "7", allowWatchBookmarks: true });
  await shop.getDatabaseList();
  await shop.createDatabase(database, { dryRun: "All" });
  await shop.getDatabase("orders");
  await shop.replaceDatabase("orders", database, { fieldManager: "me" });
  await shop.patchDatabase("orders", "json-merge", { spec: { size: 3 } });
  await shop.patchDatabase("orders", "json-patch", [{ op: "remove", path: "/spec/size" }]);
  await shop.applyDatabase("orders", database, { fieldManager: "me", force: true });
  await shop.deleteDatabase("orders", { propagationPolicy: "Foreground" });
  await shop.deleteDatabaseList({ labelSelector: "a=b" });
  await shop.getDatabaseStatus("orders");
  await shop.patchDatabaseStatus("orders", "json-merge", { status: { replicas: 1 } });
  await shop.getDatabaseScale("orders");
  await api.myNamespace().getDatabase("a/b");
  const all = "/apis/app.example.com/v1/databases";
  const path = "/apis/app.example.com/v1/namespaces/shop/databases";
  assert.equal(client.lines, [
    `GET ${all}?limit=5&labelSelector=a%3Db`,
    `GET ${all}?resourceVersion=7&allowWatchBookmarks=true&watch=1`,
    `GET ${path}`,
    `POST ${path}?dryRun=All`,
    `GET ${path}/orders`,
    `PUT ${path}/orders?fieldManager=me`,
    `PATCH ${path}/orders application/merge-patch+json`,
    `PATCH ${path}/orders application/json-patch+json`,
    `PATCH ${path}/orders?fieldManager=me&force=true application/apply-patch+yaml`,
    `DELETE ${path}/orders?propagationPolicy=Foreground`,
    `DELETE ${path}?labelSelector=a%3Db`,
    `GET ${path}/orders/status`,
    `PATCH ${path}/orders/status application/merge-patch+json`,
    `GET ${path}/orders/scale`,
    "GET /apis/app.example.com/v1/namespaces/mine/databases/a%2Fb",
  ]);
});

test("the methods are those that the kind has, with its types", async () => {
  const api = new AppExampleComV1Api(new Recorder({ items: [] }));
  const shop: AppExampleComV1NamespacedApi = api.namespace("shop");
  const { items } = await shop.getDatabaseList();
  const generations: number[] = items.map(({ metadata }) => metadata.generation);
  assert.equal(generations, []);
  // @ts-expect-error: what is written is closed.
  await shop.createDatabase({ ...database, nothing: 1 });
  // @ts-expect-error: an apply says whose it is.
  await shop.applyDatabase("orders", database, {});
  // @ts-expect-error: a Database is in a namespace.
  assert.is(api.getDatabase, undefined);
  // @ts-expect-error: a ConfigMap has no status.
  void new CoreV1Api(new Recorder({})).namespace("shop").getConfigMapStatus;
});

test("a delete with preconditions sends them in its body", async () => {
  const client = new Recorder({});
  await new AppExampleComV1Api(client).namespace("shop").deleteDatabase("orders", {
    preconditions: { uid: "u" },
  });
  assert.equal(client.requests[0]!.bodyJson, {
    apiVersion: "v1",
    kind: "DeleteOptions",
    preconditions: { uid: "u" },
  });
});

test("items of a list say what they are, where the API server leaves it out", async () => {
  const client = new Recorder({ items: [{ metadata: { name: "a" } }] });
  const { items } = await new CoreV1Api(client).namespace("shop").getConfigMapList();
  assert.equal(items as unknown, [{ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a" } }]);
});

test("cluster-scoped kinds are at the root", async () => {
  const client = new Recorder({});
  await new CoreV1Api(client).getNamespace("shop");
  assert.equal(client.lines, ["GET /api/v1/namespaces/shop"]);
});

test("constants are called after the plural, with the kind's capitals", () => {
  assert.equal(databases, {
    group: "app.example.com",
    version: "v1",
    kind: "Database",
    plural: "databases",
    scope: "Namespaced",
  });
  assert.equal(
    [configMaps, persistentVolumeClaims, networkPolicies, podDisruptionBudgets].map(({ group, plural }) =>
      `${group}/${plural}`
    ),
    [
      "/configmaps",
      "/persistentvolumeclaims",
      "networking.k8s.io/networkpolicies",
      "policy/poddisruptionbudgets",
    ],
  );
});

test.run();
