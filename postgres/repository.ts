/**
 * What is known of the repository of spec.backups, and the Secret that gives the members its configuration.
 * @module
 */
import type { StoredDatabase } from "../types/app.example.com/v1.ts";
import type { Secret } from "../types/core/v1.ts";
import {
  decodeBase64,
  desiredBackupSecret,
  repositoryPath,
  repositoryProblem,
  type RepositorySecret,
  type S3,
} from "./backups.ts";
import type { OwnerReference } from "./database.ts";
import { namesOf } from "./names.ts";
import { restoreFiles, type RestoreSource } from "./restore.ts";
import { belongsToOthers, isOfDatabase, type Sight } from "./sight.ts";

/** What is known of the repository of spec.backups. */
export interface Repository {
  /** Why it cannot be used, for a person. */
  readonly problem?: string | undefined;
  /** Why the Database cannot begin with a backup, for a person. */
  readonly restoreProblem?: string | undefined;
  /** Whether the members have its configuration; without, archiving would fail and fill their volumes. */
  readonly written: boolean;
  /** What the members' Secret should say. */
  readonly secret?: Secret;
}

/** True until there is data in a Database that begins with a backup. */
export function restores({ database, patroni }: Pick<Sight, "database" | "patroni">): boolean {
  return database.spec.restoreFrom !== undefined && !patroni.config?.systemIdentifier;
}

/** True while there is, or may be left, something of backups or of a restore. */
export function usesRepository(sight: Pick<Sight, "database" | "patroni">): boolean {
  const { spec, status } = sight.database;
  const had = status?.conditions?.some(({ type }) => type === "BackupHealthy");
  // The pass that first sees the restored data takes the files of the restore away.
  const restored = spec.restoreFrom !== undefined && !status?.systemIdentifier;
  return spec.backups !== undefined || had === true || restores(sight) || restored;
}

/** Where the backup that a Database begins with is, or why it cannot be told. */
export function restoreSource(
  { database: { spec }, source }: Pick<Sight, "database" | "source">,
): Partial<RestoreSource> & { problem?: string } {
  const { database: name, repository } = spec.restoreFrom ?? {};
  if (name === undefined) return repository ?? {};
  if (source?.spec.backups) return { s3: source.spec.backups.s3, path: repositoryPath(source) };
  const why = source ? "has no backups" : "is not there";
  return { problem: `spec.restoreFrom: Database "${name}" ${why}; a repository can be named instead` };
}

/**
 * The repository as it can be used now.
 *
 * @param token for the agents, when there is none yet; at least 128 random bits
 */
export function repositoryOf(
  sight: Sight,
  owner: readonly OwnerReference[],
  token: () => string,
): Repository {
  const { database, secrets } = sight;
  const { name } = database.metadata;
  if (!database.spec.backups && !restores(sight)) return { written: false };
  const own = namesOf(name).backup;
  const present = secrets.get(own);
  if (present && !isOfDatabase(present, name)) {
    const problem = belongsToOthers("Secret", own);
    return { problem, ...(restores(sight) ? { restoreProblem: problem } : {}), written: false };
  }
  const begin = restores(sight) ? beginning(sight) : {};
  const { problem, data } = repositorySecret(sight, database.spec.backups?.s3);
  const has = present?.data?.["pgbackrest.conf"] !== undefined;
  // What the members have stays: archiving fails there, and nothing is thrown away before the queue is full.
  if (problem ?? begin.problem) return { problem, restoreProblem: begin.problem, written: has };
  const secret = desiredBackupSecret(database, owner, {
    secret: data,
    token: present?.data?.["token"] ? decodeBase64(present.data["token"]) : token(),
    ...(begin.files ? { files: begin.files } : {}),
  });
  return { secret, written: data !== undefined };
}

/** What the first member needs to restore, or why it cannot. */
function beginning(sight: Sight): { files?: Record<string, string>; problem?: string | undefined } {
  const { s3, path, problem } = restoreSource(sight);
  if (!s3 || path === undefined) return { problem };
  const secret = repositorySecret(sight, s3);
  if (!secret.data) return { problem: `spec.restoreFrom: ${secret.problem}` };
  return { files: restoreFiles(sight.database, { s3, path }, secret.data) };
}

/** The Secret that a repository names, decoded, or what is wrong with it. */
function repositorySecret(
  { secrets }: Sight,
  s3: S3 | undefined,
): { data?: RepositorySecret; problem?: string | undefined } {
  if (!s3) return {};
  const secret = secrets.get(s3.secretName);
  const data = secret && Object.fromEntries(
    Object.entries(secret.data ?? {}).map(([field, value]) => [field, decodeBase64(value)]),
  );
  const problem = repositoryProblem(s3.secretName, data);
  return problem === undefined && data ? { data } : { problem };
}

/** The Secrets that a pass reads by name: nobody tells of a change in them. */
export function secretsOf(sight: Pick<Sight, "database" | "patroni" | "source">): string[] {
  const { database } = sight;
  const names = namesOf(database.metadata.name);
  return [
    ...new Set([
      names.credentials,
      ...(usesRepository(sight) ? [names.backup] : []),
      ...othersSecrets(database),
      ...(restores(sight) ? [restoreSource(sight).s3?.secretName ?? []].flat() : []),
    ]),
  ];
}

/** Secrets of people that spec names: while there are any, the Database is looked at again every now and then. */
export function othersSecrets({ spec }: StoredDatabase): string[] {
  return [spec.backups?.s3.secretName ?? []].flat();
}
