import { suite } from "uvu";
import * as assert from "uvu/assert";
import { findCondition } from "../../runtime/mod.ts";
import { configMaps } from "../../types/core/v1.ts";
import { until } from "../within.ts";
import { World } from "../operator/world.ts";
import { identifierOf, imageThatCannotStart, isBack, watchSafety } from "./watch.ts";

const test = suite("upgrade", { world: new World() });
test.before.each((context) => {
  context.world = new World().start();
});
test.after.each(async ({ world }) => await world.close());

const inShop = (name: string) => ({ namespace: "shop", name });

test("15 to 17: the data is upgraded once, the others are replaced, and nothing of it is left", async ({ world }) => {
  await world.apply("orders", { size: 3, version: "15" });
  const before = await world.reason("orders", "Ready");
  const wrong = watchSafety(world);
  await world.apply("orders", { size: 3, version: "17" });
  const { status } = await world.reason("orders", "Ready");
  assert.is(status?.version, "17");
  assert.is(status?.systemIdentifier, String(BigInt(before.status!.systemIdentifier!) + 1n));
  const left = await until(
    4_000,
    "the Jobs to be gone",
    () => world.names("batch/jobs", "orders").length === 0,
  );
  assert.ok(left);
  assert.equal(wrong, []);
  const marks = () =>
    world.api.objects("/persistentvolumeclaims").map(({ metadata }) =>
      metadata.annotations?.["app.example.com/system-identifier"]
    );
  await until(
    4_000,
    "all claims to be marked",
    () => marks().every((mark) => mark === status?.systemIdentifier),
  );
  const told = (await world.client.get(configMaps, inShop("orders-patroni")))?.data;
  assert.is(told?.["replaced"], `${before.status!.systemIdentifier}\n`, "the guard knows which data may go");
  assert.is(told?.["upgrade.json"], undefined);
  assert.is((await world.database("orders"))?.status?.upgrade, undefined);
});

test("a new version that does not start is taken back, and not tried again by itself", async ({ world }) => {
  await world.close();
  const now = new World({ speed: 30 }).start();
  try {
    await now.apply("orders", { size: 2, version: "15" });
    const before = await now.reason("orders", "Ready");
    const wrong = watchSafety(now);
    await now.apply("orders", { size: 2, version: "17", image: imageThatCannotStart });
    await now.reason("orders", "UpgradeFailed");
    await until(20_000, "the old version to serve", () => isBack(now));
    const { status } = (await now.database("orders"))!;
    assert.is(identifierOf(now), before.status?.systemIdentifier);
    const message = 'orders-0 says "start failed" of the upgraded data: could not access file "nope"';
    assert.is(status?.upgrade?.message, message);
    assert.match(
      findCondition(status?.conditions, "Blocked")?.message ?? "",
      /^spec\.version: PostgreSQL 15 goes on, as the upgrade to 17 failed: orders-0 says/,
    );
    const images = now.api.objects("/pods")
      .filter(({ metadata }) => metadata.labels?.["app.example.com/component"] === "postgres")
      .map(({ spec }) => spec.containers[0].image);
    assert.equal(images, ["localhost/database:15", "localhost/database:15"], "the image of before");
    const job = now.find("batch/jobs", "orders-upgrade-17")?.metadata.uid;
    // Asked for again, once the reason is gone.
    await now.apply("orders", { size: 2, version: "17" }, { "app.example.com/upgrade": "2" });
    assert.is((await now.reason("orders", "Ready")).status?.version, "17");
    assert.is.not(now.find("batch/jobs", "orders-upgrade-17")?.metadata.uid, job);
    assert.equal(wrong, []);
  } finally {
    await now.close();
  }
});

test("an upgrade that was taken back is given up by going back to the version that serves", async ({ world }) => {
  await world.close();
  const now = new World({ speed: 30 }).start();
  try {
    await now.apply("orders", { size: 2, version: "15" });
    await now.reason("orders", "Ready");
    await now.apply("orders", { size: 2, version: "17", image: imageThatCannotStart });
    await until(20_000, "the old version to serve", () => isBack(now));
    await now.apply("orders", { size: 2, version: "15" });
    const { status } = await now.reason("orders", "Ready");
    assert.is(status?.upgrade, undefined);
    assert.equal(now.names("batch/jobs", "orders"), []);
  } finally {
    await now.close();
  }
});

test("a new version that does not start any more is told as such, and goes on to be tried", async ({ world }) => {
  await world.close();
  const now = new World({ speed: 30 }).start();
  try {
    await now.apply("orders", { size: 2, version: "15" });
    await now.reason("orders", "Ready");
    await now.apply("orders", { size: 2, version: "17", image: "localhost/cannot-start-cannot-go-back:17" });
    const { status } = await now.reason("orders", "UpgradeFailed");
    assert.match(
      findCondition(status?.conditions, "Blocked")?.message ?? "",
      /PostgreSQL 17 has used the data/,
    );
    assert.is(status?.upgrade?.phase, "Failed");
    const pod = await until(
      4_000,
      "the first member to be started again",
      () => now.find("/pods", "orders-0"),
    );
    assert.match(pod.spec.containers[0].image, /cannot-start/);
    assert.is(now.find("/pods", "orders-1"), undefined);
    // What was wrong is mended: it goes on from there.
    await now.apply("orders", { size: 2, version: "17" });
    assert.is((await now.reason("orders", "Ready")).status?.version, "17");
    await until(4_000, "the Jobs to be gone", () => now.names("batch/jobs", "orders").length === 0);
  } finally {
    await now.close();
  }
});

test("an upgrade that fails: the old version goes on with the reason, until it is asked for again", async ({ world }) => {
  await world.apply("orders", { size: 2, version: "15" });
  const before = await world.reason("orders", "Ready");
  const wrong = watchSafety(world);
  await world.apply("orders", { size: 2, version: "17", image: "localhost/cannot-upgrade:17" });
  const { status } = await world.reason("orders", "UpgradeFailed");
  assert.match(findCondition(status?.conditions, "Blocked")?.message ?? "", /a library is missing/);
  assert.is(status?.upgrade?.phase, "Failed");
  assert.is(status?.upgrade?.message, "pg_upgrade --check: a library is missing");
  await until(8_000, "the old version to serve", async () => {
    const { status } = (await world.database("orders"))!;
    return status?.readyReplicas === 2 && status.version === "15";
  });
  assert.is(identifierOf(world), before.status?.systemIdentifier);
  const job = world.find("batch/jobs", "orders-upgrade-17")?.metadata.uid;
  await world.apply("orders", {
    size: 2,
    version: "17",
    image: "localhost/cannot-upgrade:17",
    parameters: { work_mem: "8MB" },
  });
  await world.reason("orders", "UpgradeFailed");
  assert.is(
    world.find("batch/jobs", "orders-upgrade-17")?.metadata.uid,
    job,
    "another change of the spec does not ask again",
  );
  await world.apply("orders", { size: 2, version: "17", image: "localhost/cannot-upgrade:17" }, {
    "app.example.com/upgrade": "2",
  });
  await until(8_000, "another attempt", () => {
    const now = world.find("batch/jobs", "orders-upgrade-17")?.metadata.uid;
    return now !== undefined && now !== job;
  });
  await world.reason("orders", "UpgradeFailed");
  await world.apply("orders", { size: 2, version: "15" });
  const after = await world.reason("orders", "Ready");
  assert.is(after.status?.upgrade, undefined);
  assert.equal(world.names("batch/jobs", "orders"), []);
  assert.equal(wrong, []);
});

test("an image that cannot be had stops nobody, and going back heals", async ({ world }) => {
  await world.apply("orders", { size: 2, version: "15" });
  await world.reason("orders", "Ready");
  const uids = () =>
    world.api.objects("/pods")
      .filter(({ metadata }) => metadata.labels?.["app.example.com/component"] === "postgres")
      .map(({ metadata }) => metadata.uid);
  const before = uids();
  await world.apply("orders", { size: 2, version: "17", image: "localhost/does-not-exist:17" });
  const { status } = await world.reason("orders", "ImagePullBackOff");
  assert.match(findCondition(status?.conditions, "Ready")?.message ?? "", /does-not-exist/);
  assert.is(status?.upgrade?.phase, "Checking");
  await world.apply("orders", { size: 2, version: "15" });
  await world.reason("orders", "Ready");
  assert.equal(uids(), before);
});

test("parameters that the new version lacks are named before anything is stopped", async ({ world }) => {
  const parameters = { old_snapshot_threshold: "10min" };
  await world.apply("orders", { size: 1, version: "15", parameters });
  await world.reason("orders", "Ready");
  const [pod] = world.api.objects("/pods");
  await world.apply("orders", { size: 1, version: "17", parameters });
  const { status } = await world.reason("orders", "UpgradeBlocked");
  const message = findCondition(status?.conditions, "Ready")?.message ?? "";
  assert.match(message, /spec\.parameters\.old_snapshot_threshold: PostgreSQL 17 has no such parameter/);
  assert.equal(world.names("batch/jobs", "orders"), []);
  assert.is(world.find("/pods", "orders-0")?.metadata.uid, pod?.metadata.uid);
});

test("the major version goes back only to what the data has", async ({ world }) => {
  await world.apply("orders", { size: 1, version: "15" });
  await world.reason("orders", "Ready");
  await world.apply("orders", { size: 1, version: "17" });
  await world.reason("orders", "Ready");
  let refused = "";
  await world.apply("orders", { size: 1, version: "15" }).catch((error: Error) => refused = error.message);
  assert.match(refused, /major version cannot go down/);
});

test.run();
