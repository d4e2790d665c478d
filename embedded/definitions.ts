/**
 * CustomResourceDefinitions at work: their kinds are served as soon as they are stored, and their
 * objects go before they do. Also what a cluster has from the start.
 * @module
 */
import { admit } from "./admission.ts";
import type { Backend } from "./backend.ts";
import { crdTable } from "./registry.ts";
import { cleanupFinalizer, remove } from "./remove.ts";
import { clone, type Json, type KubeObject } from "./types.ts";
import { create, update } from "./write.ts";

/** Serves every stored CustomResourceDefinition from now on; returns the function that ends it. */
export function serveDefinitions(backend: Backend): () => void {
  return backend.storage.subscribe((change) => {
    if (change.table === crdTable) {
      const crd = change.object;
      backend.registry.apply(crd, change.type === "DELETED");
      if (change.type === "DELETED") return;
      if (crd.metadata.deletionTimestamp) deleteObjects(backend, crd);
      else establish(backend, crd);
      return;
    }
    const kind = backend.registry.byTable(change.table);
    if (change.type === "DELETED" && kind?.isCustom) finishDeletion(backend, `${kind.plural}.${kind.group}`);
  });
}

/** Accepts the names and says that the kind is served. */
function establish(backend: Backend, crd: KubeObject): void {
  const isEstablished = (crd.status?.conditions ?? []).some((one: Json) => one.type === "Established");
  const stored = crd.spec.versions.find((version: Json) => version.storage)?.name;
  const known: string[] = crd.status?.storedVersions ?? [];
  const named = JSON.stringify(crd.status?.acceptedNames) === JSON.stringify(crd.spec.names);
  if (isEstablished && named && known.includes(stored)) return;
  const next = clone(crd);
  const lastTransitionTime = backend.time;
  const condition = (type: string, reason: string, message: string) => ({
    type,
    status: "True",
    lastTransitionTime,
    reason,
    message,
  });
  next.status = {
    conditions: crd.status?.conditions?.length ? crd.status.conditions : [
      condition("NamesAccepted", "NoConflicts", "no conflicts found"),
      condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
    ],
    acceptedNames: clone(crd.spec.names),
    storedVersions: known.includes(stored) ? known : [...known, stored],
  };
  const { status } = next;
  const kind = backend.kind("apiextensions.k8s.io", "customresourcedefinitions");
  const target = { kind, version: "v1", namespace: undefined, name: crd.metadata.name };
  update(backend, target, (live) => ({ ...live, status }), {
    manager: "kube-apiserver",
    subresource: "status",
  }, admit);
}

function deleteObjects(backend: Backend, crd: KubeObject): void {
  const table = `${crd.spec.group}/${crd.spec.names.plural}`;
  const kind = backend.registry.byTable(table);
  if (kind?.isCustom) {
    for (const { metadata } of backend.storage.list(table)) {
      if (metadata.deletionTimestamp) continue;
      const target = {
        kind,
        version: kind.storageVersion,
        namespace: metadata.namespace,
        name: metadata.name,
      };
      remove(backend, target, {});
    }
  }
  finishDeletion(backend, crd.metadata.name);
}

/** The definition goes when its last object has gone. */
function finishDeletion(backend: Backend, name: string): void {
  const crd = backend.storage.get(crdTable, undefined, name);
  if (!crd?.metadata.deletionTimestamp || !crd.metadata.finalizers?.includes(cleanupFinalizer)) return;
  if (backend.storage.list(`${crd.spec.group}/${crd.spec.names.plural}`).length > 0) return;
  const next = clone(crd);
  next.metadata.finalizers = crd.metadata.finalizers.filter((finalizer) => finalizer !== cleanupFinalizer);
  if (next.metadata.finalizers.length > 0) backend.storage.put(crdTable, next);
  else {
    delete next.metadata.finalizers;
    backend.storage.remove(crdTable, next);
  }
}

/** Creates what every cluster has. */
export function bootstrap(
  backend: Backend,
  namespaces: readonly string[],
  crds: readonly KubeObject[],
): void {
  const make = (group: string, plural: string, body: Json, namespace?: string) => {
    const kind = backend.kind(group, plural);
    const target = { kind, version: "v1", namespace, name: "" };
    create(backend, target, clone(body), { manager: "kube-apiserver" }, admit);
  };
  for (const name of ["default", "kube-system", "kube-public", "kube-node-lease", ...namespaces]) {
    make("", "namespaces", { metadata: { name } });
  }
  const labels = { component: "apiserver", provider: "kubernetes" };
  make("", "services", {
    metadata: { name: "kubernetes", labels },
    spec: { clusterIP: "10.96.0.1", ports: [{ name: "https", port: 443, targetPort: 6443 }] },
  }, "default");
  for (const crd of crds) make("apiextensions.k8s.io", "customresourcedefinitions", crd);
}
