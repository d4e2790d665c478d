import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parse } from "yaml";
import { findCondition } from "../../runtime/mod.ts";
import { databases } from "../../types/app.example.com/v1.ts";
import { until } from "../within.ts";
import { World } from "./world.ts";

/** crd.yaml with the pattern that spec.version once had: what it let in may still be stored. */
const earlier = parse(
  readFileSync(new URL("../../crd.yaml", import.meta.url), "utf8")
    .replace("pattern: ^[1-9][0-9](\\.(0|[1-9][0-9]{0,2}))?$", "pattern: ^[1-9][0-9]?(\\.[0-9]+)?$"),
);

async function inWorld(
  options: ConstructorParameters<typeof World>[0],
  run: (world: World) => Promise<void>,
) {
  const world = new World(options).start();
  try {
    await run(world);
  } finally {
    await world.close();
  }
}

const gone = (world: World) =>
  until(6_000, "the Database to go", () => !world.find("app.example.com/databases", "orders"));

for (const version of ["9", "9.6", "17.01", "17.1000", "017"]) {
  test(`version "${version}" is refused at admission`, () =>
    inWorld({}, async (world) => {
      const refused = await world.apply("orders", { version }).catch((error: Error) => error);
      assert.match(String((refused as Error).message), "spec.version");
    }));
}

test("a stored version that cannot be read is told, starts nothing, and does not stop the deletion", () =>
  inWorld({ crds: [earlier] }, async (world) => {
    await world.apply("orders", { version: "9" });
    const { status } = await world.reason("orders", "Invalid");
    const blocked = findCondition(status?.conditions, "Blocked");
    assert.is(blocked?.message, 'spec.version: "9" is not like "17" or "17.6"');
    assert.equal(world.names("/pods", "orders"), []);
    await world.client.delete(databases, { namespace: "shop", name: "orders" });
    await gone(world);
  }));

test("a running Database whose version can no longer be read goes on, is scaled, and can be deleted", () =>
  inWorld({ crds: [earlier] }, async (world) => {
    await world.apply("orders", { version: "17" });
    await world.reason("orders", "Ready");
    const { uid } = world.find("/pods", "orders-0")!.metadata;
    await world.apply("orders", { version: "17.01", size: 2 });
    await until(6_000, "two members", () => world.names("/pods", "orders").length === 2);
    const { status } = await world.reason("orders", "Invalid");
    const { message = "" } = findCondition(status?.conditions, "Ready") ?? {};
    assert.is(message, 'spec.version: "17.01" is not like "17" or "17.6"; PostgreSQL 17 goes on');
    assert.is(world.find("/pods", "orders-0")!.metadata.uid, uid, "the member was restarted");
    const spec = { deletionPolicy: "Delete" as const, version: "17.01" };
    await world.apply("orders", spec);
    await world.client.delete(databases, { namespace: "shop", name: "orders" });
    await gone(world);
    assert.equal(world.names("/persistentvolumeclaims", "orders"), []);
  }));

test.run();
