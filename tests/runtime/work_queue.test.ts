import { test } from "uvu";
import * as assert from "uvu/assert";
import { RateLimiter } from "../../runtime/backoff.ts";
import { DelayHeap } from "../../runtime/delay_heap.ts";
import { createRuntimeMetrics, MetricsRegistry } from "../../runtime/metrics.ts";
import { LOW_PRIORITY, WorkQueue } from "../../runtime/work_queue.ts";
import { FakeClock, seeded, settle } from "./fake_clock.ts";

function setUp() {
  const clock = new FakeClock();
  const metrics = createRuntimeMetrics(new MetricsRegistry());
  const queue = new WorkQueue({ name: "test", clock, metrics });
  return { clock, queue, metrics };
}

/** Takes all keys that can be had now. */
async function drain(queue: WorkQueue): Promise<string[]> {
  const keys: string[] = [];
  while (queue.depth > 0) keys.push((await queue.take())!);
  return keys;
}

test("rule 25: a waiting key is there once, however often it is added", async () => {
  const { queue } = setUp();
  for (let time = 0; time < 100; time++) queue.add("a");
  assert.is(queue.depth, 1);
  assert.equal(await drain(queue), ["a"]);
  queue.done("a");
  assert.is(queue.depth, 0);
});

test("rule 26: a key with a worker is not handed to a second one, others are", async () => {
  const { queue } = setUp();
  queue.add("a");
  assert.is(await queue.take(), "a");
  queue.add("a");
  queue.add("b");
  assert.is(await queue.take(), "b");
  let third: string | undefined;
  const taking = queue.take().then((key) => {
    third = key;
  });
  await settle();
  assert.is(third, undefined);
  queue.done("a");
  await taking;
  assert.is(third, "a");
});

test("rule 27: a key added while being worked on is handed out exactly once more", async () => {
  const { queue } = setUp();
  queue.add("a");
  await queue.take();
  for (let time = 0; time < 5; time++) queue.add("a");
  assert.is(queue.depth, 0);
  queue.done("a");
  assert.equal(await drain(queue), ["a"]);
  queue.done("a");
  assert.is(queue.depth, 0);
});

test("rule 28: of two delays for one key the earlier counts, whichever came first", async () => {
  for (const delays of [[100, 500], [500, 100]]) {
    const { clock, queue } = setUp();
    for (const afterMs of delays) queue.add("a", { afterMs });
    await clock.advance(99);
    assert.is(queue.depth, 0);
    await clock.advance(1);
    assert.equal(await drain(queue), ["a"]);
    queue.done("a");
    await clock.advance(1_000);
    assert.is(queue.depth, 0);
    assert.is(clock.pending, 0);
  }
});

test("rule 28: a key that is due now is not due again at the later time planned for it", async () => {
  const { clock, queue } = setUp();
  queue.add("a", { afterMs: 500 });
  queue.add("a");
  assert.equal(await drain(queue), ["a"]);
  queue.done("a");
  await clock.advance(1_000);
  assert.is(queue.depth, 0);
});

test("rule 29: a key that fails waits 5 ms, doubling up to 1,000 s; forget starts again", () => {
  const limiter = new RateLimiter(new FakeClock());
  const delays = Array.from({ length: 20 }, () => limiter.next("a"));
  assert.equal(delays.slice(0, 4), [5, 10, 20, 40]);
  assert.is(delays[17], 655_360);
  assert.is(delays[18], 1_000_000);
  assert.is(delays[19], 1_000_000);
  assert.is(limiter.next("b"), 5);
  limiter.forget("a");
  assert.is(limiter.next("a"), 5);
});

test("rule 29: all keys together are retried 10 times a second after a burst of 100", async () => {
  const clock = new FakeClock();
  const limiter = new RateLimiter(clock);
  const delays = Array.from({ length: 110 }, (_, index) => limiter.next(`key-${index}`));
  assert.equal([delays[99], delays[100], delays[109]], [5, 100, 1_000]);
  await clock.advance(60_000);
  assert.is(limiter.next("later"), 5);
});

test("rule 31: user changes overtake keys of the first list; within a priority the first comes first", async () => {
  const { queue } = setUp();
  queue.add("old-1", { priority: LOW_PRIORITY });
  queue.add("old-2", { priority: LOW_PRIORITY });
  queue.add("new-1");
  queue.add("new-2");
  assert.equal(await drain(queue), ["new-1", "new-2", "old-1", "old-2"]);
});

test("rule 31: priority is kept by a key that was added while being worked on, and by one that waits for its time", async () => {
  const { clock, queue } = setUp();
  queue.add("again");
  await queue.take();
  queue.add("again");
  queue.add("low", { priority: LOW_PRIORITY });
  queue.add("later", { priority: LOW_PRIORITY, afterMs: 10 });
  queue.add("user");
  await clock.advance(11);
  queue.add("last");
  queue.done("again");
  assert.equal(await drain(queue), ["user", "last", "again", "low", "later"]);
});

test("rule 31: a waiting key keeps the higher of two priorities", async () => {
  const { queue } = setUp();
  queue.add("a", { priority: LOW_PRIORITY });
  queue.add("b", { priority: LOW_PRIORITY });
  queue.add("b");
  queue.add("b", { priority: LOW_PRIORITY });
  assert.equal(await drain(queue), ["b", "a"]);
  queue.add("a", { priority: LOW_PRIORITY });
  queue.done("a");
  queue.done("b");
  assert.is(queue.depth, 1);
});

test("a shut down queue hands out nothing, lets waiting workers go and leaves no timer", async () => {
  const { clock, queue } = setUp();
  const waiting = queue.take();
  queue.add("b", { afterMs: 1_000 });
  queue.shutDown();
  queue.add("a");
  assert.is(await waiting, undefined);
  assert.is(await queue.take(), undefined);
  assert.is(clock.pending, 0);
});

test("the queue counts under the names of controller-runtime", async () => {
  const { clock, queue, metrics } = setUp();
  const labels = { name: "test", controller: "test" };
  assert.match(metrics.registry.text(), /workqueue_adds_total\{controller="test",name="test"\} 0/);
  queue.add("a");
  queue.add("a");
  queue.add("b");
  await queue.take();
  await clock.advance(3_000);
  const text = metrics.registry.text();
  assert.is(metrics.queueAdds.value(labels), 2);
  assert.is(metrics.queueDepth.value(labels), 1);
  assert.is(metrics.queueUnfinished.value(labels), 3);
  assert.is(metrics.queueLongest.value(labels), 3);
  assert.match(text, /workqueue_queue_duration_seconds_count\{controller="test",name="test"\} 1/);
  queue.done("a");
  assert.match(
    metrics.registry.text(),
    /workqueue_work_duration_seconds_sum\{controller="test",name="test"\} 3/,
  );
});

test("the delay heap gives keys in the order of their time, and does not grow with what was overtaken", () => {
  const heap = new DelayHeap();
  const random = seeded(7);
  const due = new Map<string, number>();
  for (let time = 0; time < 5_000; time++) {
    const key = `key-${Math.floor(random() * 200)}`;
    const at = Math.floor(random() * 100_000);
    if (random() < 0.2) {
      heap.delete(key);
      due.delete(key);
    } else {
      heap.push(key, at, 0);
      due.set(key, Math.min(at, due.get(key) ?? Infinity));
    }
  }
  const popped = heap.popUntil(Infinity);
  assert.equal(popped.map(({ dueMs }) => dueMs), [...due.values()].sort((one, other) => one - other));
  assert.is(heap.size, 0);
  assert.is(heap.nextMs(), Infinity);
});

test.run();
