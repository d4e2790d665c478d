/**
 * PostgreSQL's parameters: what a Database may set, what is ours, and the defaults in between.
 *
 * The values end in postgresql.conf, which Patroni writes with quotes and backslashes doubled; line breaks and
 * other control characters cannot be quoted there and are refused here, as crd.yaml refuses them.
 *
 * A name or a value that PostgreSQL refuses keeps a restarted server from starting, and Patroni 4.0 drops some of them
 * without a word: both are found here, from tables of the settings (settings/). What no table can tell - a time zone, a
 * library, a parameter of an extension - the members try and report (observe.ts, `refusedParameters`).
 * @module
 */
import { type Database, durabilityOf, sizeOf, storageOf } from "./database.ts";
import { parseQuantity } from "./quantity.ts";
import { readBool, type Reading, readSetting, type Setting } from "./settings/setting.ts";
import { settingsOf } from "./settings/settings.ts";
import { majorOf } from "./versions.ts";

/**
 * Parameters that Patroni and the operator own; crd.yaml refuses the same ones. Ciphers and curves are among them because
 * only OpenSSL can tell which it takes: a running server keeps those before without a word, and the next start fails.
 */
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
  "ssl_ciphers",
  "ssl_crl_dir",
  "ssl_crl_file",
  "ssl_dh_params_file",
  "ssl_ecdh_curve",
  "ssl_groups",
  "ssl_key_file",
  "ssl_passphrase_command",
  "ssl_tls13_ciphers",
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

/** A value that a server refused. */
export interface RefusedParameter extends ParameterProblem {
  readonly value: string;
  /** The value that runs, where it is known. */
  readonly before?: string;
}

/** Everything that is wrong with spec.parameters; empty when all can be set. */
export function parameterProblems(database: Database): ParameterProblem[] {
  const problems: ParameterProblem[] = [];
  const given = Object.entries(database.spec.parameters ?? {});
  for (const [name, value] of given) {
    const reason = problemOf(name, value, database);
    if (reason !== undefined) problems.push({ name, reason });
  }
  if (problems.length > 0) return problems;
  return sumProblems(database);
}

/**
 * The parameters of a Database that can be set, and what is wrong with the others.
 *
 * One that cannot keeps the value that the servers have, so that a mistake changes nothing.
 *
 * @param present the parameters that Patroni's dynamic configuration has now
 * @param refused values that a server refused, with its reason
 */
export function settableParameters(
  database: Database,
  present: Readonly<Record<string, unknown>> = {},
  refused: readonly RefusedParameter[] = [],
): { parameters: Record<string, string>; problems: ParameterProblem[] } {
  const parameters = new Map(Object.entries(database.spec.parameters ?? {}));
  const problems: ParameterProblem[] = [];
  for (;;) {
    const spec = { ...database.spec, parameters: Object.fromEntries(parameters) };
    const found = [
      ...parameterProblems({ ...database, spec }),
      ...refused.filter(({ name, value }) =>
        parameters.get(name) === value || textOf(database, name, parameters.get(name)) === value
      ),
    ];
    if (found.length === 0) return { parameters: spec.parameters, problems };
    for (const { name, reason } of found) {
      const before = Object.hasOwn(present, name) ? present[name] : undefined;
      const isNew = !problems.some((problem) => problem.name === name);
      // Each name is changed at most twice: to the value before, and away.
      if (isNew && typeof before === "string" && before !== parameters.get(name)) {
        parameters.set(name, before);
        problems.push({ name, reason: `${reason}; ${JSON.stringify(before)} stays` });
      } else {
        parameters.delete(name);
        if (isNew) problems.push({ name, reason });
      }
    }
  }
}

/** Least values above PostgreSQL's own, in the setting's unit: below them Patroni 4.0 takes another value instead. */
const leastOfPatroni: Readonly<Record<string, number>> = {
  maintenance_work_mem: 1024,
  max_connections: 25,
  max_locks_per_transaction: 32,
  max_replication_slots: 4,
  max_wal_senders: 3,
  max_worker_processes: 2,
  wal_keep_size: 16,
};

/** PostgreSQL starts only if two segments of WAL, 32 MB, fit: it says so at the start, not in its tables. */
const twoSegmentsMegabytes = 32;

function leastOf(name: string, database: Database): number {
  const patroni = Object.hasOwn(leastOfPatroni, name) ? leastOfPatroni[name]! : -Infinity;
  // Each replica takes one, and one more is taken by a replica that is being made.
  if (name === "max_wal_senders" || name === "max_replication_slots") {
    return Math.max(patroni, sizeOf(database) + 1);
  }
  return name === "min_wal_size" || name === "max_wal_size" ? twoSegmentsMegabytes : patroni;
}

function problemOf(name: string, value: unknown, database: Database): string | undefined {
  if (!namePattern.test(name)) return "it is not the name of a parameter";
  if (reservedParameters.has(name)) return "it belongs to the operator";
  if (typeof value !== "string") return "its value is not a string";
  if (unquotable.test(value)) return "its value has characters that postgresql.conf cannot hold";
  if (name === "wal_log_hints" && readBool(value) === false) return "pg_rewind and the operator need it on";
  if (
    name === "synchronous_commit" && durabilityOf(database) !== "Async" &&
    !/^(on|true|yes|1|remote_apply|remote_write)$/i.test(value)
  ) {
    return "acknowledged commits could be lost with it: only durability Async allows it";
  }
  if (name === "ssl_max_protocol_version" && /^TLSv1(\.1)?$/i.test(value)) {
    return "neither clients nor replicas speak less than TLSv1.2 unless they are told to";
  }
  const major = majorOf(database);
  const settings = settingsOf(major);
  if (!settings || name.includes(".")) return undefined;
  const setting = settingOf(settings, name);
  if (!setting) return `PostgreSQL ${major} has no such parameter`;
  return readSetting(setting, value, leastOf(name, database)).problem;
}

function settingOf(settings: Readonly<Record<string, Setting>>, name: string): Setting | undefined {
  return Object.hasOwn(settings, name) ? settings[name] : undefined;
}

/** Most processes that a server can have: MAX_BACKENDS in PostgreSQL's src/include/postmaster/postmaster.h. */
const processesMax = 262_143;

/** Values that are fine one by one and keep a server from starting together. */
function sumProblems(database: Database): ParameterProblem[] {
  const settings = settingsOf(majorOf(database));
  const given = database.spec.parameters ?? {};
  if (!settings) return [];
  const number = (name: string, otherwise: number): number => {
    const setting = settingOf(settings, name);
    const reading: Reading | undefined = setting && Object.hasOwn(given, name)
      ? readSetting(setting, given[name]!)
      : undefined;
    return reading?.problem === undefined ? reading?.number ?? otherwise : otherwise;
  };
  const connections = number("max_connections", 100);
  const reserved = number("superuser_reserved_connections", 3) + number("reserved_connections", 0);
  const processes = connections + number("autovacuum_max_workers", 3) + 1 +
    number("max_worker_processes", 8) + number("max_wal_senders", senders);
  const all = Object.keys(given);
  const [oldest = "TLSv1.2", newest = "TLSv1.3"] = ["min", "max"].map((end) =>
    given[`ssl_${end}_protocol_version`] || undefined
  );
  if (oldest.toLowerCase() > newest.toLowerCase()) {
    return [{
      name: "ssl_min_protocol_version",
      reason: `${oldest} is newer than ssl_max_protocol_version, ${newest}`,
    }];
  }
  const blamed = (...names: string[]) => names.find((name) => all.includes(name)) ?? names[0]!;
  if (reserved >= connections) {
    return [{
      name: blamed("superuser_reserved_connections", "reserved_connections", "max_connections"),
      reason: `${reserved} reserved connections are not less than max_connections, ${connections}`,
    }];
  }
  if (processes > processesMax) {
    return [{
      name: blamed("max_connections", "max_worker_processes", "autovacuum_max_workers", "max_wal_senders"),
      reason: `with it ${processes} processes could run, PostgreSQL takes at most ${processesMax}`,
    }];
  }
  return [];
}

/** Room for the 32 members that a Database can have, and some more: changing it later would restart every member. */
const senders = 42;

/**
 * The parameters of all members: defaults, then what the Database asks for, then what is ours.
 *
 * @throws {RangeError} naming the first parameter that cannot be set
 */
export function parametersOf(database: Database): Record<string, string> {
  const problem = parameterProblems(database)[0];
  if (problem) {
    throw new RangeError(`Cannot set parameter ${JSON.stringify(problem.name)}: ${problem.reason}`);
  }
  const given = Object.entries(database.spec.parameters ?? {}).map(([name, value]): [string, string] => [
    name,
    textOf(database, name, value) ?? value,
  ]);
  return Object.fromEntries([
    ...Object.entries({
      log_line_prefix: "%m [%p] %q%u@%d ",
      max_replication_slots: String(senders),
      max_slot_wal_keep_size: `${slotWalKeepMegabytes(database)}MB`,
      max_wal_senders: String(senders),
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

/** The value as it is written for PostgreSQL, Patroni and ourselves alike; `undefined` for one that cannot be read. */
function textOf(database: Database, name: string, value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  const settings = settingsOf(majorOf(database)) ?? {};
  const reading: Reading = readSetting(settingOf(settings, name) ?? ["string"], value);
  return reading.problem === undefined ? reading.text : undefined;
}

/** Half of the volume: a replica that is away for long loses its slot before the primary loses its disk. */
function slotWalKeepMegabytes(database: Database): number {
  return Math.max(64, Math.floor(parseQuantity(storageOf(database)) / 2 / 2 ** 20));
}
