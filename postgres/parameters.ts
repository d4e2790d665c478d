/**
 * PostgreSQL's parameters: what a Database may set, what is ours, and the defaults in between.
 *
 * The values end in postgresql.conf, which Patroni writes with quotes and backslashes doubled; line breaks and
 * other control characters cannot be quoted there and are refused here, as crd.yaml refuses them.
 * @module
 */
import { type Database, durabilityOf, storageOf } from "./database.ts";
import { parseQuantity } from "./quantity.ts";

/** Parameters that Patroni and the operator own; crd.yaml refuses the same ones. */
export const reservedParameters: ReadonlySet<string> = new Set([
  "allow_in_place_tablespaces",
  "archive_cleanup_command",
  "archive_command",
  "archive_library",
  "archive_mode",
  "cluster_name",
  "config_file",
  "data_directory",
  "external_pid_file",
  "fsync",
  "full_page_writes",
  "hba_file",
  "hot_standby",
  "ident_file",
  "ignore_checksum_failure",
  "listen_addresses",
  "log_destination",
  "log_directory",
  "log_filename",
  "logging_collector",
  "port",
  "primary_conninfo",
  "primary_slot_name",
  "promote_trigger_file",
  "recovery_end_command",
  "recovery_min_apply_delay",
  "recovery_target",
  "recovery_target_action",
  "recovery_target_inclusive",
  "recovery_target_lsn",
  "recovery_target_name",
  "recovery_target_time",
  "recovery_target_timeline",
  "recovery_target_xid",
  "restore_command",
  "ssl",
  "ssl_ca_file",
  "ssl_cert_file",
  "ssl_crl_dir",
  "ssl_crl_file",
  "ssl_key_file",
  "ssl_passphrase_command",
  "synchronous_standby_names",
  "unix_socket_directories",
  "wal_level",
]);

const namePattern = /^[a-z_][a-z0-9_]{0,62}(\.[a-z_][a-z0-9_]{0,62})?$/;
// Control characters but the tab, line separators, half surrogate pairs and noncharacters: no quoting carries them.
const unquotable = /[^\P{Cc}\t]|[\u2028\u2029\ufeff]|\p{Cs}|\p{Noncharacter_Code_Point}/u;

/** One parameter that cannot be set, with the reason in words. */
export interface ParameterProblem {
  readonly name: string;
  readonly reason: string;
}

/** Everything that is wrong with spec.parameters; empty when all can be set. */
export function parameterProblems(database: Database): ParameterProblem[] {
  const problems: ParameterProblem[] = [];
  for (const [name, value] of Object.entries(database.spec.parameters ?? {})) {
    const reason = problemOf(name, value, durabilityOf(database) !== "Async");
    if (reason !== undefined) problems.push({ name, reason });
  }
  return problems;
}

function problemOf(name: string, value: unknown, durable: boolean): string | undefined {
  if (!namePattern.test(name)) return "it is not the name of a parameter";
  if (reservedParameters.has(name)) return "it belongs to the operator";
  if (typeof value !== "string") return "its value is not a string";
  if (unquotable.test(value)) return "its value has characters that postgresql.conf cannot hold";
  if (
    name === "synchronous_commit" && durable &&
    !/^\s*(on|true|yes|1|remote_apply|remote_write)\s*$/i.test(value)
  ) {
    return "acknowledged commits could be lost with it: only durability Async allows it";
  }
  return undefined;
}

/**
 * The parameters of all members: defaults, then what the Database asks for, then what is ours.
 *
 * Room for senders and slots of the 32 members that a Database can have is there from the start, because
 * changing it later would restart every member.
 *
 * @throws {RangeError} naming the first parameter that cannot be set
 */
export function parametersOf(database: Database): Record<string, string> {
  const problem = parameterProblems(database)[0];
  if (problem) {
    throw new RangeError(`Cannot set parameter ${JSON.stringify(problem.name)}: ${problem.reason}`);
  }
  const given = Object.entries(database.spec.parameters ?? {});
  return Object.fromEntries([
    ...Object.entries({
      log_line_prefix: "%m [%p] %q%u@%d ",
      max_replication_slots: "42",
      max_slot_wal_keep_size: `${slotWalKeepMegabytes(database)}MB`,
      max_wal_senders: "42",
      password_encryption: "scram-sha-256",
    }),
    ...given,
    ...Object.entries({
      archive_command: "/bin/true",
      archive_mode: "on",
      unix_socket_directories: "/run/postgresql",
      wal_level: "logical",
      wal_log_hints: "on",
    }),
  ].toSorted(([a], [b]) => a < b ? -1 : 1));
}

/** Half of the volume: a replica that is away for long loses its slot before the primary loses its disk. */
function slotWalKeepMegabytes(database: Database): number {
  return Math.max(64, Math.floor(parseQuantity(storageOf(database)) / 2 / 2 ** 20));
}
