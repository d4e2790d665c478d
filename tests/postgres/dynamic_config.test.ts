import { test } from "uvu";
import * as assert from "uvu/assert";
import { dynamicConfig, hostBasedAuthentication, nextDynamicConfig } from "../../postgres/dynamic_config.ts";

const databaseOf = (spec: Record<string, unknown> = {}) => ({
  metadata: { name: "orders", namespace: "shop" },
  spec: { version: "17", size: 3, ...spec },
});

for (
  const [given, options, want] of [
    [{}, {}, ["quorum", false]],
    [{ durability: "Sync", size: 1 }, {}, ["quorum", false]],
    [{ durability: "Async" }, {}, ["off", false]],
    [{ durability: "Strict" }, {}, ["quorum", true]],
    [{ durability: "Strict", size: 2 }, {}, ["quorum", true]],
    [{ durability: "Strict", size: 0 }, {}, ["quorum", false]],
    [{ durability: "Strict", size: 3 }, { size: 1 }, ["quorum", false]],
  ] as const
) {
  test(`${JSON.stringify(given)} with ${JSON.stringify(options)} is synchronous_mode, strict = ${want.join(", ")}`, () => {
    const config = dynamicConfig(databaseOf(given), options);
    assert.equal([config["synchronous_mode"], config["synchronous_mode_strict"]], want);
  });
}

test("an unknown durability is refused", () => {
  assert.throws(() => dynamicConfig(databaseOf({ durability: "Sometimes" })), /"Sometimes"/);
});

test("timings keep Patroni's rule: loop_wait + 2 * retry_timeout <= ttl, and ttl is at least 20", () => {
  const { ttl, loop_wait, retry_timeout } = dynamicConfig(databaseOf()) as Record<string, number>;
  assert.ok(loop_wait! + 2 * retry_timeout! <= ttl!);
  assert.ok(ttl! >= 20);
});

test("the superuser is refused over the network, before any line that would let it in", () => {
  const rules = hostBasedAuthentication(databaseOf()).filter((rule) => rule.startsWith("host"));
  const refused = rules.indexOf("host all postgres all reject");
  const open = rules.findIndex((rule) => /^host(ssl)? all all /.test(rule));
  assert.ok(refused >= 0 && refused < open);
  assert.not.ok(hostBasedAuthentication(databaseOf()).some((rule) => /trust|md5|password$/.test(rule)));
});

test("plain text is refused unless asked for, for replication always", () => {
  const open = (spec: Record<string, unknown>, encrypted = true) =>
    hostBasedAuthentication(databaseOf(spec), { encrypted }).filter((rule) =>
      rule.startsWith("host ") && !rule.endsWith("reject")
    );
  assert.equal(open({}), []);
  assert.equal(open({ tls: { secretName: "own" } }), []);
  assert.equal(open({ tls: { plaintext: true } }), ["host all all all scram-sha-256"]);
  assert.equal(open({}, false), [
    "host replication replicator all scram-sha-256",
    "host all all all scram-sha-256",
  ]);
});

test("a configuration that says the same in another order is left alone", () => {
  const desired = dynamicConfig(databaseOf());
  const reversed = JSON.stringify(Object.fromEntries(Object.entries(desired).toReversed()));
  assert.is(nextDynamicConfig(reversed, desired), undefined);
  assert.is(nextDynamicConfig(JSON.stringify(desired), desired), undefined);
});

test("a parameter that left the Database leaves the configuration", () => {
  const before = JSON.stringify(dynamicConfig(databaseOf({ parameters: { work_mem: "8MB" } })));
  const next = JSON.parse(nextDynamicConfig(before, dynamicConfig(databaseOf()))!) as {
    postgresql: { parameters: object };
  };
  assert.not.ok("work_mem" in next.postgresql.parameters);
});

test("what is not ours stays: a pause of Patroni's is not lifted", () => {
  const desired = dynamicConfig(databaseOf());
  assert.is(nextDynamicConfig(JSON.stringify({ ...desired, pause: true }), desired), undefined);
  const next = nextDynamicConfig(JSON.stringify({ ...desired, pause: true, ttl: 30 }), desired);
  assert.equal(JSON.parse(next!), { ...desired, pause: true });
});

for (const text of ["", "no", "null", "[]", "1", '"x"', "{"]) {
  test(`a configuration that reads ${JSON.stringify(text)} is not overwritten`, () => {
    assert.throws(
      () => nextDynamicConfig(text, dynamicConfig(databaseOf())),
      (error: Error) => error instanceof SyntaxError && !error.message.includes(`"${text}"`),
    );
  });
}

test.run();
