/** What an API server that refuses, flaps or asks to wait costs: no key is held for ever, nothing is hidden, no back-off is lost. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ApiError, CacheSyncError } from "../../runtime/errors.ts";
import { settle } from "./fake_clock.ts";
import { Harness } from "./harness.ts";
import { conflict, type Widget, widgets } from "./scripted_server.ts";

const errors = (code: string) => `informer_errors_total{code="${code}",kind="widgets.example.com"}`;

test("rule 24: a list asked for while the watch backs off is made before the next watch: no key is held for ever", async () => {
  const t = new Harness().control(async (key, { client }) => {
    const widget = await client.get(widgets, key);
    const { resourceVersion } = widget!.metadata!;
    await client.patch(widgets, key, { metadata: { resourceVersion, annotations: { a: "" } } });
  });
  t.server.put("widgets", { metadata: { name: "a" } });
  let refused = 0, isWatchRefused = false;
  t.server.intercept = ({ method, isWatch }) => {
    // No new version explains this one: a webhook's.
    if (method === "PATCH" && refused++ === 0) throw conflict("a");
    if (isWatch && isWatchRefused) throw new ApiError(429, "slow down", { retryAfterMs: 3_000 });
  };
  await t.start();
  await t.clock.advance(3_500);
  isWatchRefused = true;
  for (const watch of t.server.openWatches) watch.end();
  await t.clock.advance(2_500); // At 5 s, while the watch waits, the list is asked for.
  isWatchRefused = false;
  assert.equal(t.reconciled, ["default/a"]);
  await t.clock.advance(2_000);
  assert.is(t.server.lists.length, 2);
  assert.ok(t.reconciled.length > 1, "tried again");
  await t.stop();
});

test("rule 14: a Retry-After of an hour makes an informer deaf for 30 s, not for an hour", async () => {
  const t = new Harness().control(() => {});
  await t.start();
  await t.clock.advance(2_000);
  let isRefused = true;
  t.server.intercept = ({ isWatch }) => {
    if (isWatch && isRefused) throw new ApiError(502, "bad gateway", { retryAfterMs: 3_600_000 });
  };
  for (const watch of t.server.openWatches) watch.end();
  await t.clock.advance(25_000);
  isRefused = false;
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.clock.advance(30_000);
  assert.equal(t.reconciled, ["default/a"]);
  await t.stop();
});

test("rule 15: a list that is asked to wait is seen in metrics, readiness and the error of the start, at once", async () => {
  const t = new Harness().control(() => {});
  t.server.intercept = ({ isList }) => {
    if (isList) throw new ApiError(429, "too many requests", { retryAfterMs: 10_000 });
  };
  await t.start();
  assert.match(t.manager.answer("/readyz").body, /list: too many requests/);
  assert.is(t.metric(errors("429")), 1);
  await t.clock.advance(9_999);
  assert.is(t.server.lists.length, 1, "Retry-After is honoured all the same");
  await t.clock.advance(2);
  assert.is(t.server.lists.length, 2);
  await t.clock.advance(110_000);
  assert.instance(t.outcome?.error, CacheSyncError);
  assert.match((t.outcome!.error as Error).message, /widgets\.example\.com \(list: too many requests\)/);
  await t.stop();
});

test("rule 14: a server that is not ready and asks for 5 s is listed again within 1.5 s", async () => {
  const t = new Harness().control(() => {});
  t.server.intercept = ({ isList }) => {
    if (isList) throw new ApiError(503, "starting", { retryAfterMs: 5_000 });
  };
  await t.start();
  await t.clock.advance(100);
  t.server.intercept = undefined;
  await t.clock.advance(1_500);
  assert.is(t.manager.answer("/readyz").status, 200);
  await t.stop();
});

test("rule 29: a watch that breaks each ten seconds does not undo the back-off of a key that fails", async () => {
  const t = new Harness().control(() => {
    throw new Error("something else is down");
  });
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.start();
  for (let time = 0; time < 360; time++) {
    for (const watch of t.server.openWatches) watch.fail(new Error("reset"));
    await t.clock.advance(10_000);
  }
  assert.ok(t.reconciled.length <= 25, `${t.reconciled.length} reconciles in an hour`);
  await t.stop();
});

/** A key that fails for as long as the API server is away; answers how long after that it succeeded. */
async function outage(seconds: number): Promise<number> {
  let isDown = false, seenMs = 0;
  const t = new Harness();
  t.control(() => {
    if (isDown) throw new Error("down");
    seenMs = t.clock.monotonic();
  });
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.start();
  await t.clock.advance(1_000);
  t.server.put("widgets", { metadata: { name: "a" }, spec: { size: 2 } });
  isDown = true;
  t.manager.informer(widgets).resync();
  t.server.intercept = () => {
    throw new Error("connect ECONNREFUSED");
  };
  for (const watch of t.server.openWatches) watch.fail(new Error("reset"));
  await t.clock.advance(seconds * 1_000);
  isDown = false;
  const upMs = t.clock.monotonic();
  t.server.intercept = undefined;
  await t.clock.advance(5_000);
  const afterMs = seenMs - upMs;
  await t.stop();
  return afterMs;
}

test("after an outage of seconds, too, a key that failed is tried again as soon as the API server is heard", async () => {
  for (const seconds of [4, 10, 25, 60]) {
    const afterMs = await outage(seconds);
    assert.ok(afterMs > 0 && afterMs <= 2_000, `${afterMs} ms after an outage of ${seconds} s`);
  }
});

test("rule 29: after an outage of 30 s delays start anew, after a shorter one they do not", async () => {
  for (const [seconds, isForgotten] of [[20, false], [60, true]] as const) {
    const t = new Harness().control(() => {
      throw new Error("still down");
    });
    t.server.put("widgets", { metadata: { name: "a" } });
    await t.start();
    t.server.intercept = () => {
      throw new Error("connect ECONNREFUSED");
    };
    for (const watch of t.server.openWatches) watch.fail(new Error("reset"));
    await t.clock.advance(seconds * 1_000);
    t.server.intercept = undefined;
    const before = t.reconciled.length;
    await t.clock.advance(3_000);
    const tries = t.reconciled.length - before;
    assert.ok(isForgotten ? tries >= 8 : tries <= 2, `${tries} tries after ${seconds} s`);
    await t.stop();
  }
});

test("a namespace that is not heard counts, whatever the others bring: age, error and recovery are its own", async () => {
  const t = new Harness({ watchNamespaces: ["good", "bad"] }).control(() => {});
  let isRefused = false;
  t.server.intercept = ({ path, isWatch }) => {
    if (isRefused && isWatch && path.includes("/bad/")) throw new ApiError(403, "forbidden");
  };
  await t.start();
  await t.clock.advance(2_000);
  isRefused = true;
  for (const watch of t.server.openWatches) watch.end();
  for (let time = 0; time < 30; time++) {
    t.server.put("widgets", { metadata: { name: "a", namespace: "good" }, spec: { size: time } });
    await t.clock.advance(10_000);
  }
  const informer = t.manager.informer<Widget>(widgets);
  assert.ok(informer.ageMs()! >= 290_000, String(informer.ageMs()));
  assert.is(informer.lastError, "watch: forbidden");
  assert.is(t.lines.filter(({ msg }) => msg === "Following the kind again").length, 0);
  isRefused = false;
  await t.clock.advance(70_000);
  await settle();
  assert.is(informer.lastError, undefined);
  await t.stop();
});

test.run();
