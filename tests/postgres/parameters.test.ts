import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parse } from "yaml";
import {
  parameterProblems,
  parametersOf,
  reservedParameters,
  settableParameters,
} from "../../postgres/parameters.ts";
import { quotable, unquotable } from "./hostile.ts";

const databaseOf = (parameters: Record<string, string>, more: Record<string, unknown> = {}) => ({
  metadata: { name: "orders", namespace: "shop" },
  spec: { version: "17", parameters, ...more },
});

test("what a Database asks for comes before the defaults, and ours after both", () => {
  assert.equal(parametersOf(databaseOf({ max_wal_senders: "50", work_mem: "8MB" })), {
    archive_command: "/bin/true",
    archive_mode: "on",
    log_line_prefix: "%m [%p] %q%u@%d ",
    max_replication_slots: "42",
    max_slot_wal_keep_size: "512MB",
    max_wal_senders: "50",
    password_encryption: "scram-sha-256",
    unix_socket_directories: "/run/postgresql",
    wal_level: "logical",
    wal_log_hints: "on",
    work_mem: "8MB",
  });
});

test("slots keep at most half of the volume", () => {
  const keep = (size: string | number) =>
    parametersOf(databaseOf({}, { storage: { size } }))["max_slot_wal_keep_size"];
  assert.is(keep("10Gi"), "5120MB");
  assert.is(keep("1M"), "64MB");
  assert.is(keep(2 ** 31), "1024MB");
});

for (const name of reservedParameters) {
  test(`parameter ${name} is refused: it belongs to the operator`, () => {
    const given = databaseOf({ [name]: "x" });
    assert.equal(parameterProblems(given), [{ name, reason: "it belongs to the operator" }]);
    assert.throws(() => parametersOf(given), new RegExp(`"${name}"`));
  });
}

for (const name of ["", "A", "work mem", "work_mem\n", "a.b.c", "1a", "x=1", "include 'f'", "a".repeat(64)]) {
  test(`${JSON.stringify(name).slice(0, 30)} is not the name of a parameter`, () => {
    assert.is(parameterProblems(databaseOf({ [name]: "x" }))[0]?.reason, "it is not the name of a parameter");
  });
}

const versions = (min: string | undefined, max: string | undefined) =>
  parameterProblems(databaseOf({
    ...(min === undefined ? {} : { ssl_min_protocol_version: min }),
    ...(max === undefined ? {} : { ssl_max_protocol_version: max }),
  }));

test("protocol versions of TLS that leave none, or none that is spoken, are refused: no start would succeed", () => {
  for (const [min, max] of [["TLSv1.3", "TLSv1.2"], ["tlsv1.3", "TLSv1.2"]] as const) {
    const reason = `${min} is newer than ssl_max_protocol_version, ${max}`;
    assert.equal(versions(min, max), [{ name: "ssl_min_protocol_version", reason }]);
  }
  for (const max of ["TLSv1", "TLSv1.1", "tlsv1.1"]) {
    assert.is(versions("TLSv1", max)[0]?.name, "ssl_max_protocol_version", max);
  }
  for (
    const [min, max] of [["TLSv1.3", undefined], ["TLSv1.3", ""], ["TLSv1.3", "TLSv1.3"], [
      undefined,
      "TLSv1.2",
    ], [
      "TLSv1",
      "TLSv1.2",
    ]]
  ) {
    assert.equal(versions(min, max), [], `${min} to ${max}`);
  }
});

test("a parameter called __proto__ changes nothing but itself", () => {
  const parsed = JSON.parse('{"__proto__": "x", "work_mem": "4MB"}') as Record<string, string>;
  const given = databaseOf(parsed, { version: "99" });
  const parameters = parametersOf(given);
  assert.is(Object.getPrototypeOf(parameters), Object.prototype);
  assert.ok(Object.hasOwn(parameters, "__proto__"));
  assert.is(parameters["work_mem"], "4MB");
});

for (const value of quotable) {
  test(`value ${JSON.stringify(value).slice(0, 40)} is carried unchanged`, () => {
    assert.is(parametersOf(databaseOf({ application_name: value }))["application_name"], value);
  });
}

for (const value of unquotable) {
  test(`value ${JSON.stringify(value)} is refused, without printing it`, () => {
    const [problem] = parameterProblems(databaseOf({ application_name: value }));
    assert.equal(problem, {
      name: "application_name",
      reason: "its value has characters that postgresql.conf cannot hold",
    });
  });
}

test("acknowledged commits cannot be given away with a parameter, unless durability is Async", () => {
  const problems = (value: string, durability?: string) =>
    parameterProblems(databaseOf({ synchronous_commit: value }, durability ? { durability } : {})).length;
  for (const value of ["off", "local", "0", "false", "OFF"]) {
    assert.is(problems(value), 1, value);
    assert.is(problems(value, "Strict"), 1, value);
    assert.is(problems(value, "Async"), 0, value);
  }
  for (const value of ["on", "remote_apply", "remote_write", "ON"]) assert.is(problems(value), 0, value);
  for (const value of [" on", "o", "nonsense"]) assert.is(problems(value, "Async"), 1, value);
});

for (
  const [parameters, want] of [
    [{ max_connections: "0" }, ['max_connections: "0" is not between 25 and 262143']],
    [{ max_conections: "100" }, ["max_conections: PostgreSQL 17 has no such parameter"]],
    [{ block_size: "8192" }, ["block_size: it cannot be set"]],
    [{ transaction_read_only: "on" }, ["transaction_read_only: it cannot be set"]],
    [{ shared_buffers: "128mb" }, [
      'shared_buffers: "128mb" is not a whole number with or without a unit (B, kB, MB, GB, TB)',
    ]],
    [{ autovacuum: "sometimes", work_mem: "1" }, [
      'autovacuum: "sometimes" is not on or off',
      'work_mem: "1" is not between 64kB and 2147483647kB',
    ]],
    [{ wal_log_hints: "off" }, ["wal_log_hints: pg_rewind and the operator need it on"]],
    [{ min_wal_size: "16MB" }, ['min_wal_size: "16MB" is not between 32MB and 2147483647MB']],
    [{ max_wal_senders: "3" }, ['max_wal_senders: "3" is not between 4 and 262143']],
    [{ superuser_reserved_connections: "100" }, [
      "superuser_reserved_connections: 100 reserved connections are not less than max_connections, 100",
    ]],
    [{ max_connections: "262143" }, [
      "max_connections: with it 262197 processes could run, PostgreSQL takes at most 262143",
    ]],
    [{ "my.own": "x", timezone: "Europe/Berlin", log_statement: "DDL", track_functions: "all" }, []],
  ] as [Record<string, string>, string[]][]
) {
  test(`${JSON.stringify(parameters)}: ${want.join("; ").slice(0, 70) || "fine"}`, () => {
    const problems = parameterProblems(databaseOf(parameters, { size: 3 }));
    assert.equal(problems.map(({ name, reason }) => `${name}: ${reason}`), want);
  });
}

test("names and values of a version without a table are checked in form only", () => {
  const given = databaseOf({ new_one: "x", max_connections: "0", fsync: "off" }, { version: "99" });
  assert.equal(parameterProblems(given).map(({ name }) => name), ["fsync"]);
});

test("a value of a version that is not known to have it is refused, of one that has it taken", () => {
  const given = { summarize_wal: "on" }; // since 17
  assert.equal(parameterProblems(databaseOf(given)), []);
  assert.is(parameterProblems(databaseOf(given, { version: "15.4" })).length, 1);
});

test("a parameter that is refused keeps the value that the servers have", () => {
  const given = databaseOf({ max_connections: "0", work_mem: "a lot", autovacuum: "on" });
  assert.equal(settableParameters(given, { max_connections: "200", archive_mode: "on" }), {
    parameters: { max_connections: "200", autovacuum: "on" },
    problems: [
      { name: "max_connections", reason: '"0" is not between 25 and 262143; "200" stays' },
      {
        name: "work_mem",
        reason: '"a lot" is not a whole number with or without a unit (B, kB, MB, GB, TB)',
      },
    ],
  });
});

test("a value before that is wrong too is not kept", () => {
  for (const before of ["1", 200, null, "0"]) {
    const { parameters } = settableParameters(databaseOf({ max_connections: "0" }), {
      max_connections: before,
    });
    assert.equal(parameters, {}, String(before));
  }
});

test("what is left after refusals can be rendered, whatever goes wrong together", () => {
  const given = databaseOf({
    max_connections: "30",
    superuser_reserved_connections: "30",
    reserved_connections: "29",
    archive_mode: "off",
  });
  const present = { max_connections: "25", superuser_reserved_connections: "26", archive_mode: "on" };
  const { parameters, problems } = settableParameters(given, present);
  assert.equal(parameters, { max_connections: "30" });
  assert.equal(problems.map(({ name }) => name), [
    "archive_mode",
    "superuser_reserved_connections",
    "reserved_connections",
  ]);
  parametersOf(databaseOf(parameters));
});

test("a value that a server refused is left out until it is another one", () => {
  const refused = [{ name: "timezone", value: "Mars", reason: "refused" }];
  const settable = (timezone: string) =>
    settableParameters(databaseOf({ timezone }), { timezone: "UTC" }, refused);
  assert.equal(settable("Mars"), {
    parameters: { timezone: "UTC" },
    problems: [{ name: "timezone", reason: 'refused; "UTC" stays' }],
  });
  assert.equal(settable("Europe/Berlin"), { parameters: { timezone: "Europe/Berlin" }, problems: [] });
});

test("crd.yaml refuses exactly the reserved parameters", () => {
  interface Crd {
    spec: {
      versions: {
        schema: {
          openAPIV3Schema: {
            properties: {
              spec: { properties: { parameters: { "x-kubernetes-validations": { rule: string }[] } } };
            };
          };
        };
      }[];
    };
  }
  const crd = parse(readFileSync(new URL("../../crd.yaml", import.meta.url), "utf8")) as Crd;
  const { parameters } = crd.spec.versions[0]!.schema.openAPIV3Schema.properties.spec.properties;
  const refused = parameters["x-kubernetes-validations"].filter(({ rule }) => rule.includes(" in ["))
    .flatMap(({ rule }) => [...rule.matchAll(/'([a-z0-9_]+)'/g)].map(([, name]) => name));
  assert.equal(new Set(refused), reservedParameters);
});

test.run();
