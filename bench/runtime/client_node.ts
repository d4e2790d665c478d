/**
 * The job of examples/config-map.ts on @kubernetes/client-node's informer, as its examples show it, with a queue of keys
 * and ten workers added because it has none. For bench/run.ts.
 * @module
 */

import {
  CoreV1Api,
  CustomObjectsApi,
  KubeConfig,
  type KubernetesObject,
  makeInformer,
  PatchStrategy,
  setHeaderOptions,
  type V1ConfigMap,
} from "@kubernetes/client-node";
import process from "node:process";

interface Database extends KubernetesObject {
  spec: { size: number; version: string };
  status?: { observedGeneration?: number };
}

const config = new KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(CoreV1Api);
const custom = config.makeApiClient(CustomObjectsApi);
const crd = { group: "app.example.com", version: "v1", plural: "databases" };

const waiting = new Set<string>();
const working = new Set<string>();

const databases = makeInformer<Database>(
  config,
  `/apis/${crd.group}/${crd.version}/${crd.plural}`,
  () => custom.listClusterCustomObject(crd) as never,
);
const configMaps = makeInformer<V1ConfigMap>(config, "/api/v1/configmaps", () => {
  return core.listConfigMapForAllNamespaces();
});

/** Takes keys while there are some and fewer than ten are worked on. */
function pump(): void {
  for (const key of waiting) {
    if (working.size >= 10) return;
    if (working.has(key)) continue;
    waiting.delete(key);
    working.add(key);
    reconcile(key).catch((error: Error) => {
      console.error(key, error.message);
      setTimeout(() => enqueue(key), 1_000);
    }).finally(() => {
      working.delete(key);
      pump();
    });
  }
}

function enqueue(key: string): void {
  waiting.add(key);
  pump();
}

async function reconcile(key: string): Promise<void> {
  const [namespace = "", name = ""] = key.split("/");
  const database = databases.get(name, namespace);
  if (!database || database.metadata?.deletionTimestamp) return;
  const configMapName = `${name}-config`;
  const found = configMaps.get(configMapName, namespace);
  const data = { size: String(database.spec.size), version: database.spec.version };
  if (!found) {
    const { uid = "" } = database.metadata ?? {};
    await core.createNamespacedConfigMap({
      namespace,
      body: {
        metadata: {
          name: configMapName,
          ownerReferences: [{
            apiVersion: `${crd.group}/${crd.version}`,
            kind: "Database",
            name,
            uid,
            controller: true,
          }],
        },
        data,
      },
    }).catch((error: { code?: number }) => {
      if (error.code !== 409) throw error; // The cache was behind: the event will come.
    });
  } else if (found.data?.size !== data.size || found.data.version !== data.version) {
    await core.replaceNamespacedConfigMap({
      namespace,
      name: configMapName,
      body: Object.assign(found, { data }),
    });
  }
  const observedGeneration = (database.metadata as { generation?: number }).generation;
  if (database.status?.observedGeneration !== observedGeneration) {
    await custom.patchNamespacedCustomObjectStatus(
      { ...crd, namespace, name, body: { status: { observedGeneration } } },
      setHeaderOptions("Content-Type", PatchStrategy.MergePatch),
    );
  }
}

const generations = new Map<string, number | undefined>();
databases.on("add", wakeDatabase);
databases.on("update", wakeDatabase);
for (const event of ["add", "update", "delete"] as const) {
  configMaps.on(event, ({ metadata }) => {
    const owner = metadata?.ownerReferences?.find(({ kind }) => kind === "Database");
    if (owner) enqueue(`${metadata?.namespace}/${owner.name}`);
  });
}

function wakeDatabase({ metadata }: Database): void {
  const key = `${metadata?.namespace}/${metadata?.name}`;
  const { generation } = metadata as { generation?: number };
  if (generations.get(key) === generation) return;
  generations.set(key, generation);
  enqueue(key);
}

for (const informer of [databases, configMaps]) {
  const start = () => {
    informer.start().catch((error: Error) => {
      console.error(error.message);
      setTimeout(start, 1_000);
    });
  };
  informer.on("error", () => setTimeout(start, 1_000));
  start();
}
process.on("SIGTERM", () => process.exit(0));
