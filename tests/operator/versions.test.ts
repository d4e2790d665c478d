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
    await until(
      6_000,
      "the claims to go",
      () => world.names("/persistentvolumeclaims", "orders").length === 0,
    );
  }));

const members = (world: World) =>
  world.api.objects("/pods").filter(({ metadata }) =>
    metadata.labels?.["app.example.com/component"] === "postgres"
  );
const uids = (world: World) => members(world).map(({ metadata }) => metadata.uid).sort();
const imagesOf = (world: World) => members(world).map(({ spec }) => spec.containers[0].image);

for (
  const [what, size, bad, reason, words] of [
    ["spec.image", 1, { image: "localhost/does-not-exist:1" }, "ImagePullBackOff", "cannot be pulled"],
    ["spec.image", 3, { image: "localhost/does-not-exist:1" }, "ImagePullBackOff", "cannot be pulled"],
    [
      "spec.image",
      2,
      { image: "localhost/cannot-run:1" },
      "ImageUnusable",
      "the image has no patroni that runs",
    ],
  ] as const
) {
  test(`${size} members, an image that cannot be used (${words}) hits none, is named, and heals when corrected`, () =>
    inWorld({}, async (world) => {
      await world.apply("orders", { size });
      await world.reason("orders", "Ready");
      const before = uids(world);
      await world.apply("orders", { size, ...bad });
      const { status } = await world.reason("orders", reason);
      const { message = "" } = findCondition(status?.conditions, "Blocked") ?? {};
      assert.match(
        message,
        `${what}: the members keep image "localhost/database:17", as "${bad.image}" cannot be used`,
      );
      assert.match(message, words);
      assert.is(status?.readyReplicas, size);
      // What else is asked for comes all the same, with the image that works.
      const resources = { requests: { memory: "300Mi" } };
      await world.apply("orders", { size, ...bad, resources });
      const restarted = () =>
        uids(world).every((uid) => !before.includes(uid)) && uids(world).length === size;
      await until(20_000, "a restart of every member", restarted);
      await world.apply("orders", { size, resources });
      await world.reason("orders", "Ready");
      assert.equal(world.names("batch/jobs", "orders"), []);
      assert.ok(imagesOf(world).every((image) => image === "localhost/database:17"));
    }));
}

test("a minor version that no image has hits none and names spec.version; one that is there reaches each member", () =>
  inWorld({}, async (world) => {
    await world.apply("orders", { size: 2 });
    await world.reason("orders", "Ready");
    const before = uids(world);
    world.api.intercept = {};
    await world.apply("orders", { size: 2, version: "17.99", image: undefined });
    await world.reason("orders", "Ready");
    assert.ok(imagesOf(world).every((image) => image === "localhost/database:17.99"));
    assert.ok(uids(world).every((uid) => !before.includes(uid)));
    assert.is((await world.database("orders"))?.status?.version, "17.99");
    assert.equal(world.names("batch/jobs", "orders"), [], "the trial is gone");
  }));

test("a Database without data takes a corrected image at once", () =>
  inWorld({}, async (world) => {
    await world.apply("orders", { size: 2, image: "localhost/does-not-exist:1" });
    await world.reason("orders", "ImagePullBackOff");
    await world.apply("orders", { size: 2 });
    await world.reason("orders", "Ready");
  }));

test("a change of the resources alone tries no image", () =>
  inWorld({}, async (world) => {
    let tried = false;
    world.api.subscribe(({ table }) => tried ||= table === "batch/jobs");
    await world.apply("orders", { size: 2 });
    await world.reason("orders", "Ready");
    await world.apply("orders", { size: 2, resources: { requests: { memory: "300Mi" } } });
    await world.reason("orders", "Ready");
    assert.not.ok(tried);
  }));

test.run();
