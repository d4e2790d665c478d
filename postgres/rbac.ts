/**
 * What the members may do at the API server: exactly what Patroni needs to keep its state in ConfigMaps.
 *
 * A member reads pods and ConfigMaps of its namespace (Patroni lists by label, which RBAC cannot narrow), writes
 * only Patroni's four ConfigMaps and its own Database's pods, and reads no Secret. The role must grow before the
 * StatefulSet does: it names the pods.
 * @module
 */
import type { ServiceAccount } from "../types/core/v1.ts";
import type { Role, RoleBinding } from "../types/rbac.authorization.k8s.io/v1.ts";
import { type Database, type OwnerReference, sizeOf } from "./database.ts";
import { identityOf, namesOf, ownedMetadata, podName } from "./names.ts";

/** The members' identity; the token is mounted by the pod, into one container, not by default. */
export function desiredServiceAccount(
  database: Database,
  ownerReferences: readonly OwnerReference[],
) {
  return {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: ownedMetadata(database, namesOf(identityOf(database).name).serviceAccount, ownerReferences),
    automountServiceAccountToken: false,
  } satisfies ServiceAccount;
}

/**
 * The members' Role.
 *
 * @param options.members how many pods it names: the larger of wanted and existing ones, spec.size unless told
 */
export function desiredRole(
  database: Database,
  ownerReferences: readonly OwnerReference[],
  options: { members?: number } = {},
) {
  const { name } = identityOf(database);
  const names = namesOf(name);
  const pods = Array.from(
    { length: Math.max(1, options.members ?? sizeOf(database)) },
    (_, i) => podName(name, i),
  );
  return {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "Role",
    metadata: ownedMetadata(database, names.role, ownerReferences),
    rules: [
      { apiGroups: [""], resources: ["configmaps"], verbs: ["create", "list", "watch"] },
      {
        apiGroups: [""],
        resources: ["configmaps"],
        resourceNames: [names.leader, names.config, names.sync, names.failover],
        verbs: ["patch"],
      },
      // Read again by itself after a conflict about the lock; everything else comes from the watch.
      { apiGroups: [""], resources: ["configmaps"], resourceNames: [names.leader], verbs: ["get"] },
      { apiGroups: [""], resources: ["pods"], verbs: ["list", "watch"] },
      { apiGroups: [""], resources: ["pods"], resourceNames: pods, verbs: ["patch"] },
    ],
  } satisfies Role;
}

/** Gives the Role to the members' ServiceAccount. */
export function desiredRoleBinding(
  database: Database,
  ownerReferences: readonly OwnerReference[],
) {
  const { name, namespace } = identityOf(database);
  const names = namesOf(name);
  return {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "RoleBinding",
    metadata: ownedMetadata(database, names.roleBinding, ownerReferences),
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: names.role },
    subjects: [{ kind: "ServiceAccount", name: names.serviceAccount, namespace }],
  } satisfies RoleBinding;
}
