import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parse } from "yaml";
import { parameterProblems, parametersOf, reservedParameters } from "../../postgres/parameters.ts";
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

test("a parameter called __proto__ changes nothing but itself", () => {
  const given = databaseOf(JSON.parse('{"__proto__": "x", "work_mem": "4MB"}') as Record<string, string>);
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
  for (const value of ["off", "local", "0", "false", " OFF", "o", "nonsense"]) {
    assert.is(problems(value), 1, value);
    assert.is(problems(value, "Strict"), 1, value);
    assert.is(problems(value, "Async"), 0, value);
  }
  for (const value of ["on", "remote_apply", "remote_write", "ON"]) assert.is(problems(value), 0, value);
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
    .flatMap(({ rule }) => [...rule.matchAll(/'([a-z_]+)'/g)].map(([, name]) => name));
  assert.equal(new Set(refused), reservedParameters);
});

test.run();
