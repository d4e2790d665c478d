/** What the operator serves at /metrics, against docs/monitoring.md. */
import { readFileSync } from "node:fs";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { leases } from "../../runtime/leader_election.ts";
import { databases } from "../../types/app.example.com/v1.ts";
import { until } from "../within.ts";
import { World } from "./world.ts";

const test = suite<{ world: World }>("metrics");
test.before.each((context) => {
  context.world = new World().start();
});
test.after.each(({ world }) => world.close());

const series = (world: World, name: string) =>
  world.metrics().split("\n").filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));

test("every metric is in docs/monitoring.md, and every metric there is served", async ({ world }) => {
  await world.apply("orders", { size: 1 });
  await world.reason("orders", "Ready");
  const page = readFileSync(new URL("../../docs/monitoring.md", import.meta.url), "utf8");
  const told = page.slice(page.indexOf("## What the operator serves")).matchAll(/^\| `([a-z_]+)`/gm);
  const served = world.metrics().matchAll(/^# TYPE (\S+) /gm);
  const names = (matches: Iterable<RegExpMatchArray>) => [...matches].map((match) => match[1]!).toSorted();
  assert.equal(names(told), names(served));
});

test("a Database has its gauges, and none once it is gone", async ({ world }) => {
  await world.apply("orders", { size: 3, deletionPolicy: "Delete" });
  const { status } = await world.reason("orders", "Ready");
  const label = 'name="orders",namespace="shop"';
  assert.equal(series(world, "database_ready"), [`database_ready{${label}} 1`]);
  assert.equal(series(world, "database_members"), [
    `database_members{${label},state="primary"} 1`,
    `database_members{${label},state="streaming"} 2`,
    `database_members{${label},state="unavailable"} 0`,
  ]);
  assert.equal(series(world, "database_primary"), [`database_primary{${label},pod="${status?.primary}"} 1`]);
  assert.is(series(world, "database_replication_lag_bytes").length, 2);
  await world.client.delete(databases, { namespace: "shop", name: "orders" });
  await until(4_000, "no series of it", () => !world.metrics().includes('name="orders"'));
});

test("one that does not lead says nothing of Databases", async () => {
  const world = new World({ elects: true });
  try {
    await world.client.create(leases, {
      metadata: { namespace: "shop", name: "database-operator" },
      spec: { holderIdentity: "another", leaseDurationSeconds: 60, renewTime: "2026-01-01T00:00:00.000000Z" },
    });
    await world.apply("orders", { size: 1 });
    world.start();
    await until(
      4_000,
      "its cache",
      () => series(world, "informer_objects").some((line) => /databases.* 1$/.test(line)),
    );
    assert.equal(series(world, "leader_election_master_status"), [
      'leader_election_master_status{name="database-operator"} 0',
    ]);
    assert.equal(series(world, "database_ready"), []);
  } finally {
    await world.close();
  }
});

test.run();
