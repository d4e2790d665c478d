/**
 * NetworkPolicy `<name>`: who may connect to the members.
 *
 * PostgreSQL's port is open to every pod of the cluster: who gets in is decided there, over TLS and with a password.
 * Everything else is for the Database's own pods, metrics also for namespaces that are
 * labelled `metrics: enabled`, as the operator's own are. What members connect to is not restricted: the API server, without
 * which Patroni gives up its primary, and the store of the backups have addresses that no selector names.
 * @module
 */
import type { NetworkPolicy } from "../types/networking.k8s.io/v1.ts";
import type { Database, OwnerReference } from "./database.ts";
import { isMonitored } from "./monitoring.ts";
import {
  backupPort,
  exporterPort,
  identityOf,
  label,
  memberSelector,
  namesOf,
  ownedMetadata,
  patroniPort,
  postgresPort,
} from "./names.ts";

/** The policy. The kubelet's probes come from the node itself, which no policy keeps out. */
export function desiredNetworkPolicy(database: Database, ownerReferences: readonly OwnerReference[]) {
  const { name } = identityOf(database);
  const port = (port: number) => ({ port, protocol: "TCP" as const });
  const members = { podSelector: { matchLabels: memberSelector(name) } };
  const backups = { podSelector: { matchLabels: { [label.database]: name, [label.component]: "backup" } } };
  const metrics = {
    from: [{ namespaceSelector: { matchLabels: { metrics: "enabled" } } }],
    ports: [port(patroniPort), ...(isMonitored(database) ? [port(exporterPort)] : [])],
  };
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: ownedMetadata(database, namesOf(name).networkPolicy, ownerReferences),
    spec: {
      podSelector: { matchLabels: memberSelector(name) },
      policyTypes: ["Ingress"],
      ingress: [
        { from: [{ namespaceSelector: {} }], ports: [port(postgresPort)] },
        { from: [members], ports: [port(patroniPort)] },
        { from: [backups], ports: [port(backupPort)] },
        metrics,
      ],
    },
  } satisfies NetworkPolicy;
}
