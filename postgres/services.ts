/**
 * The Services of a Database: `<name>` for writing, `<name>-ro` for reading, `<name>-pods` for the pods' names.
 * @module
 */
import type { Service } from "../types/core/v1.ts";
import type { Database, OwnerReference } from "./database.ts";
import {
  identityOf,
  label,
  memberSelector,
  namesOf,
  ownedMetadata,
  patroniPort,
  postgresPort,
} from "./names.ts";

const postgres = { name: "postgres", port: postgresPort, protocol: "TCP", targetPort: "postgres" } as const;

/** Where applications connect to write: the ready pod that Patroni labelled primary. */
export function desiredService(database: Database, ownerReferences: readonly OwnerReference[]) {
  const { name } = identityOf(database);
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: ownedMetadata(database, namesOf(name).service, ownerReferences),
    spec: {
      type: "ClusterIP",
      ports: [postgres],
      selector: { ...memberSelector(name), [label.role]: "primary" },
    },
  } satisfies Service;
}

/** Where applications connect to read what may be a moment old: the ready replicas. */
export function desiredReadOnlyService(
  database: Database,
  ownerReferences: readonly OwnerReference[],
) {
  const { name } = identityOf(database);
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: ownedMetadata(database, namesOf(name).readOnlyService, ownerReferences),
    spec: {
      type: "ClusterIP",
      ports: [postgres],
      selector: { ...memberSelector(name), [label.role]: "replica" },
    },
  } satisfies Service;
}

/** The StatefulSet's governing Service: gives each member a name in DNS, also before it is ready. */
export function desiredPodsService(database: Database, ownerReferences: readonly OwnerReference[]) {
  const { name } = identityOf(database);
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: ownedMetadata(database, namesOf(name).podsService, ownerReferences),
    spec: {
      type: "ClusterIP",
      clusterIP: "None",
      publishNotReadyAddresses: true,
      ports: [postgres, { name: "patroni", port: patroniPort, protocol: "TCP", targetPort: "patroni" }],
      selector: memberSelector(name),
    },
  } satisfies Service;
}
