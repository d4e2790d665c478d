/**
 * A repository on a volume: claim `<name>-backup`, and the volumes that the members mount for repositories.
 *
 * The claim has no owner: it outlives spec.backups, and with deletionPolicy Retain the Database too. A mount is part of the
 * pod template, so it comes and goes with a restart of the members; a running Database gets it only once the claim is
 * bound, as a member whose claim is not would not start again.
 * @module
 */
import type { PersistentVolumeClaim } from "../types/core/v1.ts";
import type { Database } from "./database.ts";
import { identityOf, namesOf, ownedMetadata } from "./names.ts";
import { parseQuantity } from "./quantity.ts";
import { restores, restoreSource } from "./restore_source.ts";
import type { Sight } from "./sight.ts";

/** Names of the claims with repositories that the members mount. */
export interface RepositoryClaims {
  /** The one of spec.backups. */
  readonly repository?: string;
  /** The one that the Database begins with, until there is data. */
  readonly restore?: string;
}

/**
 * The claim of spec.backups.volume.
 *
 * @param present size of the one that is there: one that a person let grow, or that an earlier Database left, stays larger
 */
export function desiredRepositoryClaim(
  database: Database,
  present?: string,
): PersistentVolumeClaim | undefined {
  const { volume } = database.spec.backups ?? {};
  if (!volume) return undefined;
  const wanted = String(volume.size);
  const storage = present !== undefined && parseQuantity(present) > parseQuantity(wanted) ? present : wanted;
  return {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: ownedMetadata(database, namesOf(identityOf(database).name).backup, []),
    spec: {
      accessModes: ["ReadWriteMany"],
      resources: { requests: { storage } },
      ...(volume.storageClassName === undefined ? {} : { storageClassName: volume.storageClassName }),
    },
  };
}

/** The claims that the members should mount now. */
export function repositoryClaims(sight: Sight): RepositoryClaims {
  const { database, statefulSet, storeClaims } = sight;
  const own = namesOf(database.metadata.name).backup;
  const mounted = (volume: string) =>
    statefulSet?.spec?.template.spec?.volumes?.find(({ name }) => name === volume)?.persistentVolumeClaim
      ?.claimName;
  const isBound = storeClaims.get(own)?.status?.phase === "Bound";
  const repository = database.spec.backups?.volume !== undefined &&
    (!statefulSet || isBound || mounted("repository") === own);
  const source = restores(sight) ? restoreSource(sight) : undefined;
  // What cannot be told now, because its Database is gone, stays as it is.
  const restore = source && ("problem" in source ? mounted("restore") : source.volume?.claimName);
  return { ...(repository ? { repository: own } : {}), ...(restore === undefined ? {} : { restore }) };
}

/** Why the volume of spec.backups cannot be used yet, for a person. */
export function claimProblem(
  { database, statefulSet, storeClaims, pods, patroni }: Sight,
): string | undefined {
  const { volume } = database.spec.backups ?? {};
  if (!volume) return undefined;
  const own = namesOf(database.metadata.name).backup;
  const claim = storeClaims.get(own);
  const modes = claim?.spec?.accessModes ?? ["ReadWriteMany"];
  if (!modes.includes("ReadWriteMany")) {
    return `spec.backups.volume: claim "${own}" is ${modes.join(", ")}, not ReadWriteMany: move it away`;
  }
  if (statefulSet && claim?.status?.phase !== "Bound") {
    const storageClass = claim?.spec?.storageClassName ?? volume.storageClassName;
    const ofClass = storageClass ? ` of class "${storageClass}"` : "";
    return `spec.backups.volume: claim "${own}"${ofClass} is not bound; its storage class has to be there and to ` +
      `provide ReadWriteMany ("kubectl describe pvc ${own}" says what it waits for)`;
  }
  const primary = pods.find(({ metadata }) => metadata?.name === patroni.primary);
  const mounts = primary?.spec?.volumes?.some((one) => one.persistentVolumeClaim?.claimName === own);
  if (primary && !mounts) {
    return `spec.backups.volume: the members restart one after the other to mount claim "${own}"`;
  }
  return undefined;
}
