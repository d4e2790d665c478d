/**
 * Secret `<name>-credentials`: what applications connect with, and the passwords of Patroni's own roles.
 *
 * Written once, when the Database has no data yet, and never again: the data directory holds the other half of
 * each password. It outlives the Database unless its deletion policy says Delete.
 * @module
 */
import type { Secret } from "../types/core/v1.ts";
import { type Database, type OwnerReference } from "./database.ts";
import { annotation, identityOf, namesOf, ownedMetadata, postgresPort } from "./names.ts";
import { belongsToOthers, isOfDatabase, markOf, type Problem, type Sight } from "./sight.ts";

/** The role and the database that every new Database has for its application. */
export const applicationRole = "app";
export const applicationDatabase = "app";

/** The roles that Patroni itself uses. */
export const systemRoles = { superuser: "postgres", replication: "replicator", rewind: "rewinder" } as const;

/** Keys of the Secret with the passwords that open a connection, by role; the superuser's socket asks for none. */
export const passwordKeys = {
  [applicationRole]: "password",
  [systemRoles.replication]: "replication-password",
  [systemRoles.rewind]: "rewind-password",
} as const;

/** Fresh random texts, one for each role; made by the caller, which owns the randomness. */
export interface Passwords {
  readonly application: string;
  readonly superuser: string;
  readonly replication: string;
  readonly rewind: string;
  readonly patroni: string;
}

/**
 * The Secret to create; its keys are those of servicebinding.io, so that frameworks find them by themselves.
 *
 * @param passwords at least 22 characters each (128 bits in base64url), printable ASCII without space, quote,
 *   backslash and colon: they pass through .pgpass, connection strings and HTTP Basic without quoting
 * @throws {RangeError} naming the role whose password is too short or has other characters
 */
export function desiredCredentials(
  database: Database,
  passwords: Passwords,
  ownerReferences: readonly OwnerReference[] = [],
) {
  for (const [role, password] of Object.entries(passwords)) {
    if (!/^[A-Za-z0-9._~-]{22,256}$/.test(password)) {
      throw new RangeError(
        `Cannot use the password for "${role}": it needs 22 to 256 letters, digits or . _ ~ -`,
      );
    }
  }
  const { name, namespace } = identityOf(database);
  const host = `${namesOf(name).service}.${namespace}.svc`;
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: ownedMetadata(database, namesOf(name).credentials, ownerReferences),
    type: "servicebinding.io/postgresql",
    stringData: {
      type: "postgresql",
      provider: "database-operator",
      host,
      port: String(postgresPort),
      database: applicationDatabase,
      username: applicationRole,
      password: passwords.application,
      uri:
        `postgresql://${applicationRole}:${passwords.application}@${host}:${postgresPort}/${applicationDatabase}`,
      "superuser-password": passwords.superuser,
      "replication-password": passwords.replication,
      "rewind-password": passwords.rewind,
      "patroni-password": passwords.patroni,
    },
  } satisfies Secret;
}

/** Keys that a Secret must have for the members to start; for telling a broken one from a whole one. */
export const credentialKeys = [
  "database",
  "username",
  "password",
  "superuser-password",
  "replication-password",
  "rewind-password",
  "patroni-password",
] as const;

/** Why the members cannot go on with the Secret as it is. It is made only where there is no data, and never made anew. */
export function credentialsProblem({ database, patroni, claims, secrets }: Sight): Problem | undefined {
  const { name } = database.metadata;
  const secretName = namesOf(name).credentials;
  const secret = secrets.get(secretName);
  const lost = (message: string) => ({
    reason: "CredentialsLost",
    message: `Secret "${secretName}" ${message}`,
    stops: true,
  });
  if (!secret) {
    const hasData = patroni.config?.systemIdentifier !== undefined || claims.some((claim) => markOf(claim));
    return hasData
      ? lost("is gone while there is data: restore it; running members go on meanwhile")
      : undefined;
  }
  if (!isOfDatabase(secret, name)) {
    return { reason: "NameConflict", message: belongsToOthers("Secret", secretName), stops: true };
  }
  const missing = credentialKeys.filter((field) => !secret.data?.[field]);
  return missing.length === 0
    ? undefined
    : lost(`lacks ${missing.join(", ")}: restore it, the data goes with these passwords`);
}

/**
 * What to tell when the Secret has other passwords than PostgreSQL, as the agent of the primary says
 * (credentials_agent.ts): somebody edited or replaced it. Neither side is changed. Members that run go on with what they
 * began with; one that is restarted could not follow the primary, so none is.
 *
 * The password of `app` is not held against the Secret once spec.users names that role: it follows the Secret then.
 */
export function credentialsChanged({ database, patroni, pods }: Sight): Problem | undefined {
  const primary = pods.find(({ metadata }) => metadata.name === patroni.primary);
  const refused = refusedRoles(primary?.metadata.annotations?.[annotation.credentials]);
  const follows = database.spec.users?.some(({ name }) => name === applicationRole);
  const roles = refused.filter((role) => role !== applicationRole || !follows);
  if (roles.length === 0) return undefined;
  const stops = roles.some((role) => role !== applicationRole);
  const keys = roles.map((role) => `${passwordKeys[role]} is not the password of role ${role}`).join(", ");
  const remedies = [
    "put the old one back",
    ...(roles.includes(applicationRole)
      ? [`name ${applicationRole} in spec.users, and its role gets the new one`]
      : []),
  ].join(", or ");
  const message =
    `Secret "${namesOf(database.metadata.name).credentials}": ${keys} in PostgreSQL: ${remedies}` +
    (stops ? "; no member is restarted meanwhile, as it could not replicate" : "");
  return { reason: "CredentialsChanged", message, stops };
}

/** The agent's report: only names that are known are passed on. */
function refusedRoles(report: string | undefined): (keyof typeof passwordKeys)[] {
  const roles = Object.keys(passwordKeys) as (keyof typeof passwordKeys)[];
  try {
    const { refused } = JSON.parse(report ?? "{}") as { refused?: unknown };
    return Array.isArray(refused) ? roles.filter((role) => refused.includes(role)) : [];
  } catch {
    return []; // not JSON: the agent's next report replaces it
  }
}
