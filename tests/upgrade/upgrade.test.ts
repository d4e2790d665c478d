import { suite } from "uvu";
import * as assert from "uvu/assert";
import { findCondition } from "../../runtime/mod.ts";
import { configMaps } from "../../types/core/v1.ts";
import { until } from "../within.ts";
import { World } from "../operator/world.ts";

const test = suite("upgrade", { world: new World() });
test.before.each((context) => {
  context.world = new World().start();
});
test.after.each(async ({ world }) => await world.close());

const inShop = (name: string) => ({ namespace: "shop", name });
const identifierOf = (world: World) =>
  world.find("/configmaps", "orders-config")?.metadata.annotations?.["initialize"];

/** What must hold at every moment: nobody runs beside the Job that works on the data, and none before the first leads. */
function watchSafety(world: World): string[] {
  const found: string[] = [];
  const isThere = (component: string) =>
    world.api.objects("/pods").filter(({ metadata, status }) =>
      metadata.labels?.["app.example.com/component"] === component &&
      !["Succeeded", "Failed"].includes(status?.phase)
    ).map(({ metadata }) => metadata.name);
  let before: string | undefined;
  world.api.subscribe(({ table, type, object }) => {
    const members = isThere("postgres");
    const working = [...isThere("upgrade"), ...isThere("upgrade-back")];
    if (members.length > 0 && working.length > 0) found.push(`${members} run beside ${working}`);
    before ??= identifierOf(world);
    const isNew = identifierOf(world) !== before;
    const first = world.find("/persistentvolumeclaims", "data-orders-0")?.metadata.annotations;
    const proven = first?.["app.example.com/system-identifier"] === identifierOf(world);
    if (table === "/pods" && type === "ADDED" && isNew && !proven) {
      const leads = world.find("/configmaps", "orders-leader")?.metadata.annotations?.["leader"];
      if (/^orders-[1-9]$/.test(object.metadata.name) && leads !== "orders-0") {
        found.push(`${object.metadata.name} was started before the first member led`);
      }
    }
  });
  return found;
}

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

/** Writes that are steps: the rest is made anew in every pass. */
const counts = /\/(jobs|statefulsets|configmaps|pods|persistentvolumeclaims)\b/;

/**
 * Upgrades with an operator that is killed after its write number `killAt`, and started again; returns how many writes there
 * were, and with which ones the way back began and ended.
 */
async function outlive(
  killAt: number,
  { speed = 1, image, reason = "Ready", ends }: {
    speed?: number;
    /** Image of the new version. */
    image?: string;
    reason?: string;
    ends: (world: World) => boolean | Promise<boolean>;
  },
): Promise<{ writes: number; back: number[] }> {
  const now = new World({ speed });
  const back: number[] = [];
  let writes = 0, armed = false;
  now.api.intercept = {
    after: (_info, response) => {
      // A killed process does not hear the answer any more, and writes nothing after it.
      if (armed && writes >= killAt) throw new Error("killed");
      return response;
    },
    before: (_info, request) => {
      if (!armed || request.method === "GET") return undefined;
      if (writes >= killAt) throw new Error("killed");
      if (!counts.test(new URL(request.url).pathname)) return undefined;
      writes++;
      return undefined;
    },
  };
  now.start();
  try {
    await now.apply("orders", { size: 2, version: "15" });
    await now.reason("orders", "Ready");
    const wrong = watchSafety(now);
    now.api.subscribe(({ type, object }) => {
      if (object.metadata.name === "orders-upgrade-17-back" && type !== "MODIFIED") back.push(writes);
    });
    await now.apply("orders", { size: 2, version: "17", ...(image ? { image } : {}) });
    armed = true;
    await until(20_000, `write ${killAt}, or the end`, async () => writes >= killAt || await ends(now));
    if (writes >= killAt) {
      await now.stop();
      armed = false;
      now.start();
    }
    await now.reason("orders", reason);
    await until(20_000, `the end after write ${killAt}`, () => ends(now));
    assert.equal(wrong, [], `killed after write ${killAt}`);
    return { writes, back };
  } finally {
    armed = false;
    await now.close();
  }
}

/** Several at a time: each waits for its timers most of the time. */
async function afterEach(
  from: number,
  to: number,
  task: (killAt: number) => Promise<unknown>,
): Promise<void> {
  const all = Array.from({ length: to - from + 1 }, (_, at) => from + at);
  const next = async (): Promise<void> => {
    const killAt = all.shift();
    if (killAt === undefined) return;
    await task(killAt);
    await next();
  };
  await Promise.all([next(), next(), next(), next()]);
}

test("the operator killed after any of its steps ends the upgrade all the same", async ({ world }) => {
  await world.close();
  const ends = (now: World) => {
    const { status, metadata } = now.find("app.example.com/databases", "orders")!;
    const ready = findCondition(status?.conditions, "Ready");
    return ready?.status === "True" && ready.observedGeneration === metadata.generation &&
      status?.version === "17" && status.replicas === 2 && now.names("batch/jobs", "orders").length === 0;
  };
  const { writes } = await outlive(Infinity, { ends });
  assert.ok(writes > 10, `${writes} writes`);
  await afterEach(1, writes, (killAt) => outlive(killAt, { ends }));
});

/** With it all goes well until the members are to start. */
const image = "localhost/cannot-start:17";
/** The old version serves, with the data of before and the reason told. */
function isBack(world: World): boolean {
  const { status } = world.find("app.example.com/databases", "orders")!;
  const config = world.find("/configmaps", "orders-config")?.metadata.annotations ?? {};
  return status?.readyReplicas === 2 && status.version === "15" && status.upgrade?.phase === "Failed" &&
    config["app.example.com/major"] === "15" && config["app.example.com/replaced"] === undefined &&
    world.names("batch/jobs", "orders").join() === "orders-upgrade-17,orders-upgrade-17-check";
}

test("a new version that does not start is taken back, and not tried again by itself", async ({ world }) => {
  await world.close();
  const now = new World({ speed: 30 }).start();
  try {
    await now.apply("orders", { size: 2, version: "15" });
    const before = await now.reason("orders", "Ready");
    const wrong = watchSafety(now);
    await now.apply("orders", { size: 2, version: "17", image });
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
    await now.apply("orders", { size: 2, version: "17", image });
    await until(20_000, "the old version to serve", () => isBack(now));
    await now.apply("orders", { size: 2, version: "15" });
    const { status } = await now.reason("orders", "Ready");
    assert.is(status?.upgrade, undefined);
    assert.equal(now.names("batch/jobs", "orders"), []);
  } finally {
    await now.close();
  }
});

test("the operator killed after any of its steps takes the upgrade back all the same", async ({ world }) => {
  await world.close();
  const given = { speed: 30, image, reason: "UpgradeFailed", ends: isBack };
  const { back: [begun = 0, ended = 0] } = await outlive(Infinity, given);
  assert.ok(ended > begun + 4, `from write ${begun} to ${ended}`);
  await afterEach(begun, ended, (killAt) => outlive(killAt, given));
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
