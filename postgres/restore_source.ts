/**
 * Where the backup is that a Database begins with.
 * @module
 */
import { repositoryPath, type Store } from "./backups.ts";
import { namesOf } from "./names.ts";
import type { Sight } from "./sight.ts";

/** Where the backups of a Database are. */
export interface RestoreSource extends Store {
  readonly volume?: { readonly claimName: string; readonly secretName?: string };
  readonly path: string;
}

/** True until there is data in a Database that begins with a backup. */
export function restores({ database, patroni }: Pick<Sight, "database" | "patroni">): boolean {
  return database.spec.restoreFrom !== undefined && !patroni.config?.systemIdentifier;
}

/** Where the backup that a Database begins with is, or why it cannot be told. */
export function restoreSource(
  { database: { spec }, source }: Pick<Sight, "database" | "source">,
): RestoreSource | { problem: string } {
  const { database: name, repository } = spec.restoreFrom ?? {};
  if (name === undefined) {
    return repository ?? { problem: "spec.restoreFrom: neither database nor repository" };
  }
  const { s3, volume } = source?.spec.backups ?? {};
  if (source && s3) return { s3, path: repositoryPath(source) };
  if (source && volume) {
    const { secretName } = volume;
    const claimName = namesOf(name).backup;
    return { volume: { claimName, ...(secretName ? { secretName } : {}) }, path: repositoryPath(source) };
  }
  const why = source ? "has no backups" : "is not there";
  return { problem: `spec.restoreFrom: Database "${name}" ${why}; a repository can be named instead` };
}

/** The volume claim that it is on. */
export function restoredClaim(sight: Pick<Sight, "database" | "patroni" | "source">): string | undefined {
  const source = restores(sight) ? restoreSource(sight) : undefined;
  return source && "volume" in source ? source.volume?.claimName : undefined;
}
