/**
 * Patroni's dynamic configuration: what all members share and what can change while they run.
 *
 * It is in Patroni's bootstrap section for the very first member, and from then on in the annotation `config` of
 * ConfigMap `<name>-config`, which Patroni watches: changing it is a merge patch of that annotation.
 * @module
 */
import { archiveParameters } from "./backups.ts";
import { type Database, durabilityOf, sizeOf } from "./database.ts";
import { exporterAccess } from "./monitoring.ts";
import { parametersOf } from "./parameters.ts";

/** JSON as Patroni keeps it. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/**
 * Seconds until a lock that is not renewed is up for election. 20 is the least that Patroni takes, and
 * loopWait + 2 * retryTimeout <= ttl is its rule.
 */
export const timing = { ttl: 20, loopWait: 5, retryTimeout: 5 } as const;

/** A member that is further behind the last known position of the primary does not become the next one. */
export const maximumLagBytes = 1_048_576;

/**
 * What Patroni's dynamic configuration should say.
 *
 * @param options.size members that are there or wanted, whichever is less: spec.size unless told. Strict needs two,
 *   else every write waits for ever, the operator's and Patroni's own among them.
 * @param options.encrypted false while there are members without a certificate: nobody can be made to use TLS then
 * @throws {RangeError} when spec.parameters holds one that cannot be set
 */
export function dynamicConfig(
  database: Database,
  options: { size?: number; encrypted?: boolean } = {},
): { [key: string]: Json } {
  const size = options.size ?? sizeOf(database);
  const durability = durabilityOf(database);
  const exporter = exporterAccess(database);
  const parameters = parametersOf(database);
  return {
    ttl: timing.ttl,
    loop_wait: timing.loopWait,
    retry_timeout: timing.retryTimeout,
    maximum_lag_on_failover: maximumLagBytes,
    check_timeline: true,
    failsafe_mode: true,
    primary_start_timeout: 60,
    member_slots_ttl: "30min",
    synchronous_mode: durability === "Async" ? "off" : "quorum",
    synchronous_mode_strict: durability === "Strict" && size >= 2,
    synchronous_node_count: 1,
    postgresql: {
      use_pg_rewind: true,
      use_slots: true,
      parameters: { ...parameters, ...archiveParameters(database, parameters) },
      pg_hba: hostBasedAuthentication(database, {
        encrypted: options.encrypted ?? true,
        exporter: exporter.hba,
      }),
      ...(exporter.ident.length > 0 ? { pg_ident: exporter.ident } : {}),
    },
  };
}

/**
 * Who may connect how. The superuser only through the socket inside the pod, where being the operating system's
 * user is the proof; everybody else with a SCRAM password over TLS; replication only for its own role.
 *
 * spec.tls.plaintext lets clients do without TLS, never replication.
 *
 * @param options.encrypted see {@link dynamicConfig}
 * @param options.exporter lines for the exporter, see monitoring.ts
 */
export function hostBasedAuthentication(
  { spec }: Pick<Database, "spec">,
  { encrypted = true, exporter = [] }: { encrypted?: boolean; exporter?: readonly string[] } = {},
): string[] {
  const replication = encrypted ? "hostssl" : "host";
  const clients = encrypted && !spec.tls?.plaintext ? "hostssl" : "host";
  return [
    "local all postgres peer",
    ...exporter,
    "local all all scram-sha-256",
    `${replication} replication replicator all scram-sha-256`,
    "host replication all all reject",
    "host all postgres all reject",
    "host all replicator all reject",
    `${clients} all all all scram-sha-256`,
  ];
}

/**
 * The next text of the annotation `config`, or `undefined` when it says already what it should.
 *
 * Keys of the top level that are not ours stay (Patroni's own `pause`, a person's `standby_cluster`); inside
 * `postgresql` everything is ours, so that a parameter that left the Database leaves the servers.
 *
 * @param current the annotation as it was read
 * @throws {SyntaxError} when the present text is not a JSON object: nobody may overwrite what nobody understands
 */
export function nextDynamicConfig(current: string, desired: { [key: string]: Json }): string | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(current);
  } catch (cause) {
    throw new SyntaxError("Cannot change Patroni's dynamic configuration: its annotation is not JSON", {
      cause,
    });
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new SyntaxError(
      "Cannot change Patroni's dynamic configuration: its annotation is not a JSON object",
    );
  }
  const next = { ...parsed, ...desired };
  return canonical(next as Json) === canonical(parsed as Json) ? undefined : JSON.stringify(next);
}

/** The parameters in the annotation `config`; none when it is missing or unreadable. */
export function presentParameters(config: string | undefined): Readonly<Record<string, unknown>> {
  try {
    const parsed = JSON.parse(config ?? "{}") as { postgresql?: { parameters?: unknown } } | null;
    const parameters = parsed?.postgresql?.parameters;
    return typeof parameters === "object" && parameters !== null ? parameters as Record<string, unknown> : {};
  } catch {
    return {}; // nextDynamicConfig says so; here it only means that nothing is known of the values before
  }
}

/** JSON with the keys in order: equal for equal values. */
function canonical(value: Json): string {
  return JSON.stringify(value, (_key, part: Json) => {
    if (typeof part !== "object" || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => a < b ? -1 : 1));
  });
}
