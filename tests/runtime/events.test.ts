import { test } from "uvu";
import * as assert from "uvu/assert";
import { Client } from "../../runtime/client.ts";
import { ApiError } from "../../runtime/errors.ts";
import { BackgroundEventRecorder, type Event } from "../../runtime/events.ts";
import { createLogger } from "../../runtime/logger.ts";
import { createRuntimeMetrics, MetricsRegistry } from "../../runtime/metrics.ts";
import type { KubernetesObject } from "../../runtime/types.ts";
import { FakeClock, seeded, settle } from "./fake_clock.ts";
import { ScriptedServer } from "./scripted_server.ts";

const widget = (name: string): KubernetesObject => ({
  apiVersion: "example.com/v1",
  kind: "Widget",
  metadata: { namespace: "default", name, uid: `uid-${name}` },
});
const normal = (note: string, reason = "Started") => ({ type: "Normal" as const, reason, note });

function setUp() {
  const [server, clock] = [new ScriptedServer(), new FakeClock()];
  const metrics = createRuntimeMetrics(new MetricsRegistry());
  const recorder = new BackgroundEventRecorder({
    client: new Client(server, { fieldManager: "test", clock }),
    clock,
    random: seeded(1),
    log: createLogger({ sink: () => {} }),
    metrics,
    controller: "widget-operator",
    instance: "pod-1",
  });
  return { server, clock, recorder, metrics, events: () => server.all("events") as Event[] };
}

test("an event says who reports what about which object", async () => {
  const { recorder, events } = setUp();
  recorder.record(widget("a"), normal("All is well"));
  await recorder.flushed();
  const [event] = events();
  assert.match(event?.metadata?.name ?? "", /^a\.[0-9a-f]+$/);
  const { metadata: _metadata, apiVersion: _apiVersion, kind: _kind, ...rest } = event!;
  assert.equal(rest, {
    eventTime: "2026-01-01T00:00:00.000000Z",
    reportingController: "widget-operator",
    reportingInstance: "pod-1",
    action: "Reconcile",
    reason: "Started",
    type: "Normal",
    note: "All is well",
    regarding: {
      apiVersion: "example.com/v1",
      kind: "Widget",
      namespace: "default",
      name: "a",
      uid: "uid-a",
    },
  });
});

test("rule 44: the same event again becomes a series on the first one", async () => {
  const { recorder, events, clock } = setUp();
  for (let time = 0; time < 5; time++) {
    recorder.record(widget("a"), normal("Again"));
    await recorder.flushed();
    await clock.advance(10_000);
  }
  assert.is(events().length, 1);
  assert.equal(events()[0]?.series, { count: 5, lastObservedTime: "2026-01-01T00:00:40.000000Z" });
  await clock.advance(400_000);
  recorder.record(widget("a"), normal("Again"));
  await recorder.flushed();
  assert.is(events().length, 2, "after six minutes it is a new one");
});

test("rule 44: an object has 25 writes at once, then one each five minutes; other objects have their own", async () => {
  const { recorder, events, clock, metrics } = setUp();
  for (let time = 0; time < 100; time++) recorder.record(widget("a"), normal("x", `Reason${time}`));
  recorder.record(widget("b"), normal("x"));
  await recorder.flushed();
  assert.is(events().length, 26);
  assert.is(metrics.events.value({ outcome: "dropped" }), 75);
  await clock.advance(300_000);
  for (let time = 0; time < 10; time++) recorder.record(widget("a"), normal("y", `Later${time}`));
  await recorder.flushed();
  assert.is(events().length, 27);
});

test("rule 44: more than ten that differ only in their note, within ten minutes, become one", async () => {
  const { recorder, events } = setUp();
  for (let time = 0; time < 20; time++) recorder.record(widget("a"), normal(`attempt ${time}`));
  await recorder.flushed();
  assert.is(events().length, 11);
  const combined = events().find((event) => event.note?.startsWith("(combined from similar events)"));
  assert.is(combined?.series?.count, 10);
});

test("rule 44: after the ten minutes notes are told apart again", async () => {
  const { recorder, events, clock } = setUp();
  for (let time = 0; time < 15; time++) recorder.record(widget("a"), normal(`attempt ${time}`));
  await clock.advance(600_001);
  recorder.record(widget("a"), normal("attempt 99"));
  await recorder.flushed();
  assert.is(events().filter(({ note }) => note === "attempt 99").length, 1);
});

test("rule 44: at most 1,000 events wait for a slow API server, and what is remembered of 4,096 objects", async () => {
  const { recorder, server, metrics } = setUp();
  const answers: (() => void)[] = [];
  server.intercept = () => new Promise<void>((resolve) => answers.push(resolve));
  for (let index = 0; index < 1_100; index++) recorder.record(widget(`w-${index}`), normal("x"));
  assert.is(metrics.events.value({ outcome: "dropped" }), 100);
  server.intercept = undefined;
  await settle();
  answers.forEach((answer) => answer());
  await recorder.flushed();
  assert.is(metrics.events.value({ outcome: "written" }), 1_000);

  // An object that was forgotten has its 25 writes again.
  const full = setUp();
  const spend = async () => {
    for (let time = 0; time < 30; time++) full.recorder.record(widget("first"), normal("x", `R${time}`));
    await full.recorder.flushed();
    return full.metrics.events.value({ outcome: "dropped" });
  };
  assert.is(await spend(), 5);
  for (let batch = 0; batch < 5; batch++) {
    for (let index = 0; index < 900; index++) full.recorder.record(widget(`${batch}-${index}`), normal("x"));
    await full.recorder.flushed();
  }
  assert.is(await spend(), 10);
});

test("a note is cut to 1 KiB of UTF-8 without half a character", async () => {
  const { recorder, events } = setUp();
  recorder.record(widget("a"), normal("ü".repeat(2_000)));
  await recorder.flushed();
  const note = events()[0]?.note ?? "";
  assert.ok(new TextEncoder().encode(note).length <= 1_024);
  assert.match(note, /^ü+\.\.\.$/);
});

test("an event that cannot be written is counted and dropped; one whose series is gone is written anew", async () => {
  const { recorder, events, server, metrics } = setUp();
  server.intercept = () => {
    throw new ApiError(403, "forbidden");
  };
  recorder.record(widget("a"), normal("x"));
  await recorder.flushed();
  assert.is(metrics.events.value({ outcome: "failed" }), 1);
  server.intercept = undefined;
  recorder.record(widget("a"), normal("x"));
  await recorder.flushed();
  server.drop("events", events()[0]!.metadata!.name!);
  recorder.record(widget("a"), normal("x"));
  await recorder.flushed();
  assert.is(events().length, 1);
  assert.is(events()[0]?.series, undefined);
});

test.run();
