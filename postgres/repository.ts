/**
 * What is known of the repository of spec.backups, and the Secret that gives the members its configuration.
 * @module
 */
import type { StoredDatabase } from "../types/app.example.com/v1.ts";
import type { Secret } from "../types/core/v1.ts";
import {
  decodeBase64,
  desiredBackupSecret,
  repositoryProblem,
  type RepositorySecret,
  secretNameOf,
  type Store,
} from "./backups.ts";
import type { OwnerReference } from "./database.ts";
import { namesOf } from "./names.ts";
import { restoreFiles } from "./restore.ts";
import { restores, restoreSource } from "./restore_source.ts";
import { belongsToOthers, isOfDatabase, type Sight } from "./sight.ts";
import { claimProblem } from "./repository_claim.ts";
import { hasUsers, userSecrets } from "./users.ts";

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

/** True while there is, or may be left, something of backups or of a restore. */
export function usesRepository(sight: Pick<Sight, "database" | "patroni">): boolean {
  const { spec, status } = sight.database;
  const had = status?.conditions?.some(({ type }) => type === "BackupHealthy");
  // The pass that first sees the restored data takes the files of the restore away.
  const restored = spec.restoreFrom !== undefined && !status?.systemIdentifier;
  return spec.backups !== undefined || had === true || restores(sight) || restored;
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
  const store = database.spec.backups;
  const { problem = claimProblem(sight), data } = store ? repositorySecret(sight, "spec.backups", store) : {};
  const has = present?.data?.["pgbackrest.conf"] !== undefined;
  // What the members have stays: archiving fails there, and nothing is thrown away before the queue is full.
  if (problem ?? begin.problem) return { problem, restoreProblem: begin.problem, written: has };
  const kept = (key: string) => present?.data?.[key] ? decodeBase64(present.data[key]) : token();
  const files = begin.files ? { files: begin.files } : {};
  const options = { secret: data, token: kept("token"), ...files };
  const same = desiredBackupSecret(database, owner, { ...options, revision: kept("revision") });
  const secret = sameData(same.data, present?.data)
    ? same
    : desiredBackupSecret(database, owner, { ...options, revision: token() });
  return { secret, written: data !== undefined };
}

/** Whether a Secret holds the same. */
export function sameData(
  wanted: Readonly<Record<string, string>> = {},
  seen: Readonly<Record<string, string>> = {},
): boolean {
  const names = Object.keys(wanted);
  return names.length === Object.keys(seen).length && names.every((name) => wanted[name] === seen[name]);
}

/** What the first member needs to restore, or why it cannot. */
function beginning(sight: Sight): { files?: Record<string, string>; problem?: string | undefined } {
  const source = restoreSource(sight);
  if ("problem" in source) return source;
  const claimName = source.volume?.claimName;
  if (claimName !== undefined && !sight.storeClaims.has(claimName)) {
    return { problem: `spec.restoreFrom: claim "${claimName}" is not there` };
  }
  const { problem, data } = repositorySecret(sight, "spec.restoreFrom.repository", source);
  return data ? { files: restoreFiles(sight.database, source, data) } : { problem };
}

/** The Secret that a store names, decoded, or what is wrong with it. */
function repositorySecret(
  { secrets }: Sight,
  field: string,
  store: Store,
): { data?: RepositorySecret; problem?: string | undefined } {
  const name = secretNameOf(store);
  if (name === undefined) return { data: {} };
  const secret = secrets.get(name);
  const data = secret && Object.fromEntries(
    Object.entries(secret.data ?? {}).map(([field, value]) => [field, decodeBase64(value)]),
  );
  const problem = repositoryProblem(field, store, data);
  return problem === undefined && data ? { data } : { problem };
}

/** The Secrets that a pass reads by name: nobody tells of a change in them. */
export function secretsOf(sight: Pick<Sight, "database" | "patroni" | "source">): string[] {
  const { database } = sight;
  const names = namesOf(database.metadata.name);
  const source = restores(sight) ? restoreSource(sight) : undefined;
  const restored = source && !("problem" in source) ? secretNameOf(source) : undefined;
  return [
    ...new Set([
      names.credentials,
      names.tls,
      names.authority,
      ...(usesRepository(sight) ? [names.backup] : []),
      ...othersSecrets(database),
      ...(usesRoles(database) ? [names.roles] : []),
      ...(restored === undefined ? [] : [restored]),
    ]),
  ];
}

/** True while there is, or may be left, a Secret `<name>-roles`. */
function usesRoles(database: StoredDatabase): boolean {
  const { status } = database;
  return hasUsers(database) || status?.users !== undefined || status?.databases !== undefined;
}

/** Secrets that people edit: while there are any, the Database is looked at again every now and then. */
export function othersSecrets(database: StoredDatabase): string[] {
  const { spec } = database;
  return [
    spec.backups ? secretNameOf(spec.backups) ?? [] : [],
    spec.tls?.secretName ?? [],
    userSecrets(database),
  ].flat();
}
