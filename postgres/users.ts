/**
 * spec.users and spec.databases: the Secrets of the passwords, the orders for the agent, and what became of them.
 *
 * The agent beside the primary carries the orders out (users_agent.ts). They are in Secret `<name>-roles`, which the members
 * mount; it may be missing, so users and databases come and go without a restart. What is wrong with one entry is
 * told and holds up no other.
 * @module
 */
import type { DatabaseStatus, StoredDatabase } from "../types/app.example.com/v1.ts";
import type { Secret } from "../types/core/v1.ts";
import { decodeBase64, encodeBase64 } from "./backups.ts";
import { applicationDatabase, applicationRole } from "./credentials.ts";
import { type OwnerReference, sizeOf } from "./database.ts";
import { annotation, namesOf, ownedMetadata, postgresPort } from "./names.ts";
import { belongsToOthers, isOfDatabase, type Sight } from "./sight.ts";
import type { Claim } from "./status.ts";

/** What a user is for the agent. */
interface UserOrder {
  readonly name: string;
  readonly password: string;
  readonly options: readonly string[];
  /** -1: no limit, as PostgreSQL writes it. */
  readonly connectionLimit: number;
  /** `null`: as they are. */
  readonly memberOf: readonly string[] | null;
}

/** What is wrong with an entry, by the field that a person has to change. */
interface EntryProblem {
  readonly kind: string;
  readonly name: string;
  readonly message: string;
}

/** What follows from spec.users and spec.databases. */
export interface UsersPlan {
  /** Secrets with fresh passwords, for users whose Secret is the operator's. */
  readonly passwords: readonly Secret[];
  /** The orders, when they are not those that are there. */
  readonly orders?: Secret;
  /** Names the orders that are there, when they are the present ones. */
  readonly order?: string | undefined;
  readonly problems: readonly EntryProblem[];
}

/** True while the Database names users or databases. */
export function hasUsers({ spec }: StoredDatabase): boolean {
  return (spec.users?.length ?? 0) + (spec.databases?.length ?? 0) > 0;
}

/** The Secret with a user's password. */
export function userSecretName(
  database: StoredDatabase,
  user: { name: string; secretName?: string },
): string {
  const { name } = database.metadata;
  if (user.name === applicationRole) return namesOf(name).credentials;
  return user.secretName ?? `${name}-user-${user.name}`;
}

/** The Secrets with the users' passwords, by name. */
export function userSecrets(database: StoredDatabase): string[] {
  return (database.spec.users ?? []).map((user) => userSecretName(database, user));
}

/**
 * The Secrets to write.
 *
 * @param random a fresh random text of at least 128 bits: a password, or the name of new orders
 */
export function planUsers(sight: Sight, owner: readonly OwnerReference[], random: () => string): UsersPlan {
  const { database, secrets } = sight;
  if (!hasUsers(database)) return { passwords: [], problems: [] };
  const { users = [], databases = [] } = database.spec;
  const passwords: Secret[] = [], problems: EntryProblem[] = [], orders: UserOrder[] = [];
  users.forEach((user, index) => {
    const secretName = userSecretName(database, user);
    let password: string;
    if (user.secretName === undefined && user.name !== applicationRole && !secrets.has(secretName)) {
      password = random();
      passwords.push(desiredUserSecret(database, user.name, password, owner));
    } else {
      const found = passwordOf(sight, user);
      if (found.problem !== undefined) {
        const message = `spec.users[${index}].secretName: Secret "${secretName}" ${found.problem}`;
        problems.push({ kind: "users", name: user.name, message });
        return;
      }
      password = found.password;
    }
    orders.push({
      name: user.name,
      password,
      options: user.options ?? [],
      connectionLimit: user.connectionLimit ?? -1,
      memberOf: user.memberOf ?? null,
    });
  });
  const content = {
    users: orders,
    databases: databases.map(({ name, owner, extensions = [] }) => ({
      name,
      owner: owner ?? null,
      creator: applicationRole,
      extensions: extensions.map(({ name, version }) => ({ name, version: version ?? null })),
    })),
  };
  const secretName = namesOf(database.metadata.name).roles;
  const present = secrets.get(secretName);
  if (present && !isOfDatabase(present, database.metadata.name)) {
    const message = belongsToOthers("Secret", secretName);
    return { passwords, problems: [...problems, { kind: "", name: "", message }] };
  }
  const order = orderOf(present?.data?.["roles.json"], content);
  if (order !== undefined) return { passwords, order, problems };
  return { passwords, orders: desiredOrders(database, { order: random(), ...content }, owner), problems };
}

/** The name of the orders that are there, when they say the same. */
function orderOf(present: string | undefined, content: object): string | undefined {
  try {
    const { order, ...rest } = JSON.parse(decodeBase64(present ?? "")) as { order?: unknown };
    return typeof order === "string" && JSON.stringify(rest) === JSON.stringify(content) ? order : undefined;
  } catch {
    return undefined; // not ours any more: written anew
  }
}

/** A user's password, or what is wrong with its Secret, in words that hold none of its values. */
function passwordOf(
  { database, secrets }: Sight,
  user: { name: string; secretName?: string },
): { password: string; problem?: undefined } | { problem: string } {
  const secret = secrets.get(userSecretName(database, user));
  if (!secret) return { problem: "is not there" };
  if (user.secretName === undefined && !isOfDatabase(secret, database.metadata.name)) {
    return { problem: "belongs to somebody else: name it as secretName, or rename one of the two" };
  }
  const data = secret.data ?? {};
  const password = data["password"] === undefined ? undefined : decodeBase64(data["password"]);
  if (!password) return { problem: "has no key password" };
  if (/\p{Cc}|\ufffd/u.test(password)) {
    return { problem: "password holds a line break, another control character, or is not UTF-8" };
  }
  if (password.length > 1024) return { problem: "password is longer than 1024 characters" };
  const username = data["username"] === undefined ? user.name : decodeBase64(data["username"]);
  return username === user.name ? { password } : { problem: "username is not the name of the user" };
}

/** Secret `<name>-user-<user>`, made once, with the keys of servicebinding.io; it goes with the Database. */
function desiredUserSecret(
  database: StoredDatabase,
  user: string,
  password: string,
  owner: readonly OwnerReference[],
) {
  const { name, namespace } = database.metadata;
  const host = `${namesOf(name).service}.${namespace}.svc`;
  const own = database.spec.databases?.find((one) => one.owner === user)?.name ?? applicationDatabase;
  const text: Record<string, string> = {
    type: "postgresql",
    provider: "database-operator",
    host,
    port: String(postgresPort),
    database: own,
    username: user,
    password,
    uri: `postgresql://${user}:${encodeURIComponent(password)}@${host}:${postgresPort}/${
      encodeURIComponent(own)
    }`,
  };
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: ownedMetadata(database, userSecretName(database, { name: user }), owner),
    type: "servicebinding.io/postgresql",
    data: encoded(text),
  } satisfies Secret;
}

function desiredOrders(database: StoredDatabase, orders: object, owner: readonly OwnerReference[]) {
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: ownedMetadata(database, namesOf(database.metadata.name).roles, owner),
    type: "Opaque",
    data: encoded({ "roles.json": JSON.stringify(orders) }),
  } satisfies Secret;
}

function encoded(text: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(text).map(([key, value]) => [key, encodeBase64(value)]));
}

/** The agent's note on the primary's pod, as far as it can be read. */
function reportOf(
  { pods, patroni }: Pick<Sight, "pods" | "patroni">,
): { order: string; problems: (EntryProblem & { field: string })[] } | undefined {
  const primary = pods.find((pod) => pod.metadata?.name === patroni.primary);
  try {
    const text = primary?.metadata?.annotations?.[annotation.roles] ?? "null";
    const report = JSON.parse(text) as { order?: unknown; problems?: unknown } | null;
    if (typeof report?.order !== "string" || !Array.isArray(report.problems)) return undefined;
    const problems = (report.problems as Partial<Record<string, unknown>>[]).map((problem) => ({
      kind: String(problem["kind"]),
      name: String(problem["name"]),
      field: String(problem["field"]),
      message: String(problem["message"]).slice(0, 300),
    }));
    return { order: report.order, problems };
  } catch {
    return undefined; // not JSON: the agent's next note replaces it
  }
}

/** What became of users and databases: condition UsersReady, and their part of the status. */
export interface UsersOutcome {
  readonly condition?: Claim;
  readonly users?: DatabaseStatus["users"];
  readonly databases?: DatabaseStatus["databases"];
}

/**
 * What to tell of users and databases; nothing for a Database without. What was told stays while no Secret was read: for
 * one that is paused or going away.
 *
 * @param obstacle why the Secrets could not be written
 */
export function usersOutcome(sight: Sight, obstacle?: string): UsersOutcome {
  const { database, secrets } = sight;
  const { spec, status } = database;
  if (!hasUsers(database)) return {};
  if (!secrets.has(namesOf(database.metadata.name).credentials)) {
    const condition = status?.conditions?.find(({ type }) => type === "UsersReady");
    return {
      ...(condition ? { condition } : {}),
      ...(status?.users ? { users: status.users } : {}),
      ...(status?.databases ? { databases: status.databases } : {}),
    };
  }
  const plan = planUsers(sight, [], () => "");
  const report = reportOf(sight);
  const current = plan.order !== undefined && report?.order === plan.order;
  const problems = [...plan.problems, ...(current ? report.problems.map((one) => worded(spec, one)) : [])];
  const fine = (kind: string, name: string) =>
    current && !problems.some((one) => one.kind === "" || (one.kind === kind && one.name === name));
  return {
    condition: conditionOf(database, obstacle ? [obstacle] : problems.map(({ message }) => message), current),
    ...(spec.users
      ? {
        users: spec.users.map((user) => ({
          name: user.name,
          secretName: userSecretName(database, user),
          applied: fine("users", user.name),
        })),
      }
      : {}),
    ...(spec.databases
      ? { databases: spec.databases.map(({ name }) => ({ name, applied: fine("databases", name) })) }
      : {}),
  };
}

/** An agent's problem, with the field of the entry that it is about. */
function worded(
  spec: StoredDatabase["spec"],
  { kind, name, field, message }: EntryProblem & { field: string },
): EntryProblem {
  const entries = kind === "users" ? spec.users : kind === "databases" ? spec.databases : undefined;
  const index = entries?.findIndex((entry) => entry.name === name) ?? -1;
  const where = index < 0 ? "spec.users" : `spec.${kind}[${index}].${field}`;
  return { kind, name, message: `${where}: ${message}` };
}

function conditionOf(database: StoredDatabase, problems: readonly string[], current: boolean): Claim {
  const claim = (status: Claim["status"], reason: string, message: string): Claim => ({
    type: "UsersReady",
    status,
    reason,
    message: message.slice(0, 4096),
  });
  if (problems.length > 0) return claim("False", "Refused", problems.join("; "));
  if (sizeOf(database) === 0) return claim("Unknown", "Hibernated", "No member runs");
  if (!current) {
    return claim("Unknown", "Applying", "The primary has not reported on users and databases yet");
  }
  return claim("True", "Applied", "The primary has all users and databases");
}
