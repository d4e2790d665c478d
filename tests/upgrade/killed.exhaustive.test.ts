import { test } from "uvu";
import * as assert from "uvu/assert";
import { findCondition } from "../../runtime/mod.ts";
import { until } from "../within.ts";
import { World } from "../operator/world.ts";
import { imageThatCannotStart, isBack, watchSafety } from "./watch.ts";

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
    await until(60_000, `write ${killAt}, or the end`, async () => writes >= killAt || await ends(now));
    if (writes >= killAt) {
      await now.stop();
      armed = false;
      now.start();
    }
    await now.reason("orders", reason);
    await until(60_000, `the end after write ${killAt}`, () => ends(now));
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

test("the operator killed after any of its steps ends the upgrade all the same", async () => {
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

test("the operator killed after any of its steps takes the upgrade back all the same", async () => {
  const given = { speed: 30, image: imageThatCannotStart, reason: "UpgradeFailed", ends: isBack };
  const { back: [begun = 0, ended = 0] } = await outlive(Infinity, given);
  assert.ok(ended > begun + 4, `from write ${begun} to ${ended}`);
  await afterEach(begun, ended, (killAt) => outlive(killAt, given));
});

test.run();
