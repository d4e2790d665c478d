import { test } from "uvu";
import * as assert from "uvu/assert";
import { Client } from "../../runtime/client.ts";
import { ApiError } from "../../runtime/errors.ts";
import { Informer } from "../../runtime/informer.ts";
import { createLogger } from "../../runtime/logger.ts";
import { createRuntimeMetrics, MetricsRegistry } from "../../runtime/metrics.ts";
import type { InformerOptions } from "../../runtime/options.ts";
import { within } from "../within.ts";
import { FakeClock, seeded, settle } from "./fake_clock.ts";
import { errorEvent, hang, ScriptedServer, type Widget, widgets } from "./scripted_server.ts";

function setUp(
  options: InformerOptions<Widget> & { namespaces?: string[] } = {},
  server = new ScriptedServer(),
) {
  const clock = new FakeClock();
  const lines: string[] = [];
  const metrics = createRuntimeMetrics(new MetricsRegistry());
  const log = createLogger({ clock, sink: (line) => lines.push(line) });
  const client = new Client(server, { fieldManager: "test", clock });
  const informer = new Informer<Widget>(widgets, options, { client, clock, random: seeded(1), log, metrics });
  const stop = new AbortController();
  const seen: string[] = [];
  const version = (widget: Widget) => `${widget.metadata?.name}@${widget.metadata?.resourceVersion}`;
  informer.on({
    add: (widget, initial) => seen.push(`add ${version(widget)}${initial ? " initial" : ""}`),
    update: (_before, widget) => seen.push(`update ${version(widget)}`),
    delete: (widget, unseen) => seen.push(`delete ${version(widget)}${unseen ? " unseen" : ""}`),
  });
  let run: Promise<void> | undefined;
  return {
    server,
    clock,
    informer,
    metrics,
    lines,
    seen,
    async start() {
      run = informer.run(stop.signal);
      await settle();
    },
    async stop() {
      stop.abort(new Error("The test is over"));
      await within(1_000, run ?? Promise.resolve(), "the informer to stop");
      await settle();
      assert.is(clock.pending, 0, "no timer is left");
      assert.is(server.openWatches.length, 0, "no stream is left");
    },
  };
}

test("rule 1: no list names a resourceVersion, neither the first nor a relist", async () => {
  const t = setUp();
  await t.start();
  await t.clock.advance(60_000);
  t.server.openWatches[0]!.send(errorEvent(410, "Expired"));
  await settle();
  assert.is(t.server.lists.length, 2);
  assert.ok(t.server.lists.every((list) => list.query.resourceVersion === undefined));
  await t.stop();
});

test("rule 2: pages of 500 are followed to the end; 410 on the second leads to one full list, and no part reaches the store", async () => {
  const t = setUp();
  for (let index = 0; index < 1_200; index++) t.server.put("widgets", { metadata: { name: `w-${index}` } });
  let expired = 0;
  t.server.intercept = (request) => {
    if (!request.query.continue || expired > 0) return;
    expired += 1;
    assert.is(t.informer.size, 0);
    throw new ApiError(410, "The provided continue parameter is too old", { reason: "Expired" });
  };
  await t.start();
  assert.is(t.informer.size, 1_200);
  assert.equal(t.server.lists.map(({ query }) => query.limit), ["500", "500", "0"]);
  await t.stop();

  const paged = setUp({}, t.server);
  t.server.intercept = undefined;
  t.server.requests.length = 0;
  await paged.start();
  assert.is(paged.informer.size, 1_200);
  assert.equal(t.server.lists.map(({ query }) => query.limit), ["500", "500", "500"]);
  await paged.stop();
});

test("rule 2: pages are as large as it was asked for", async () => {
  const t = setUp({ pageSize: 50 });
  for (let index = 0; index < 120; index++) t.server.put("widgets", { metadata: { name: `w-${index}` } });
  await t.start();
  assert.is(t.informer.size, 120);
  assert.equal(t.server.lists.map(({ query }) => query.limit), ["50", "50", "50"]);
  await t.stop();
});

test("rule 3: what vanished while the watch was away is reported with its last state known", async () => {
  const t = setUp();
  t.server.put("widgets", { metadata: { name: "a" } });
  t.server.put("widgets", { metadata: { name: "b" } });
  await t.start();
  t.server.isHolding = true;
  t.server.drop("widgets", "a");
  t.server.put("widgets", { metadata: { name: "c" } });
  t.server.lose();
  t.server.isHolding = false;
  await t.clock.advance(60_000);
  t.server.openWatches[0]?.send(errorEvent(410, "Expired"));
  await settle();
  assert.equal(t.seen, ["add a@101 initial", "add b@102 initial", "delete a@101 unseen", "add c@104"]);
  await t.stop();
});

test("rule 6: bookmarks are asked for, and a watch without any goes on all the same", async () => {
  const t = setUp();
  await t.start();
  assert.is(t.server.watchRequests[0]?.query.allowWatchBookmarks, "true");
  for (let minute = 0; minute < 10; minute++) {
    for (const watch of t.server.openWatches) watch.end();
    await t.clock.advance(20_000);
  }
  t.server.put("widgets", { metadata: { name: "a" } });
  await settle();
  assert.equal(t.seen, ["add a@101"]);
  await t.stop();
});

test("rule 7: each watch asks for an end after a random time, here 14 to 20 s, since that is our heartbeat", async () => {
  const t = setUp();
  await t.start();
  for (let time = 0; time < 40; time++) {
    await t.clock.advance(5_000);
    for (const watch of t.server.openWatches) watch.end();
    await settle();
  }
  const asked = t.server.watchRequests.map(({ query }) => Number(query.timeoutSeconds));
  assert.ok(asked.every((seconds) => seconds >= 14 && seconds <= 20), asked.join());
  assert.ok(new Set(asked).size > 3, "they differ");
  await t.stop();
});

test("rule 8: a watch without a byte for 24 s is opened again from the last resourceVersion, without a list", async () => {
  const t = setUp();
  await t.start();
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.clock.advance(23_999);
  assert.is(t.server.watchRequests.length, 1);
  await t.clock.advance(2);
  assert.equal(t.server.watchRequests.map(({ query }) => query.resourceVersion), ["100", "101"]);
  assert.is(t.server.lists.length, 1);
  assert.is(t.metrics.informerErrors.value({ kind: "widgets.example.com", code: "silent" }), 1);
  await t.stop();
});

test("rule 8: any byte resets the silence deadline: half a line, one byte a second", async () => {
  const t = setUp();
  await t.start();
  const text = JSON.stringify({
    type: "ADDED",
    object: t.server.put("widgets", { metadata: { name: "a" } }),
  });
  t.server.isHolding = true;
  const later = JSON.stringify({
    type: "ADDED",
    object: {
      kind: "Widget",
      metadata: { name: "b", namespace: "default", resourceVersion: "150", uid: "b" },
    },
  });
  assert.ok(text.length > 0);
  for (const byte of later) {
    t.server.openWatches[0]!.bytes(byte);
    await t.clock.advance(1_000);
  }
  assert.is(t.server.watchRequests.length, 1);
  t.server.openWatches[0]!.bytes("\n");
  await settle();
  assert.equal(t.seen, ["add a@101", "add b@150"]);
  await t.stop();
});

test("rule 8: a watch whose answer never begins is given up, and so is a list", async () => {
  const t = setUp();
  let isHung = true;
  t.server.intercept = () => isHung ? hang() : undefined;
  await t.start();
  await t.clock.advance(60_000);
  assert.match(t.informer.lastError ?? "", /No page of widgets came within 60000 ms/);
  isHung = false;
  await t.clock.advance(3_000);
  assert.ok(t.informer.hasSynced);
  await t.stop();

  const u = setUp();
  u.server.intercept = (request) =>
    request.isWatch && u.server.watchRequests.length === 1 ? hang() : undefined;
  await u.start();
  await u.clock.advance(27_000);
  assert.is(u.server.watchRequests.length, 2);
  await u.stop();
});

test("rule 9: the server closes the watch: it goes on from the last resourceVersion, without list or error line", async () => {
  const t = setUp();
  await t.start();
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.clock.advance(5_000);
  t.server.openWatches[0]!.end();
  await settle();
  t.server.put("widgets", { metadata: { name: "b" } });
  await settle();
  assert.equal(t.server.watchRequests.map(({ query }) => query.resourceVersion), ["100", "101"]);
  assert.is(t.server.lists.length, 1);
  assert.equal(t.seen, ["add a@101", "add b@102"]);
  assert.equal(t.lines, []);
  await t.stop();
});

test("rule 10 and 11: a server that always answers 410 is not asked in a loop", async () => {
  const t = setUp();
  t.server.intercept = (request) => {
    if (request.isWatch) throw new ApiError(410, "too old", { reason: "Expired" });
  };
  await t.start();
  await t.clock.advance(600_000);
  assert.ok(t.server.requests.length < 70, String(t.server.requests.length));
  t.server.intercept = undefined;
  await t.clock.advance(60_000);
  t.server.put("widgets", { metadata: { name: "a" } });
  await settle();
  assert.ok(t.seen.includes("add a@101"));
  await t.stop();
});

test("rule 12: 429 on the watch loses no event and leads to no list", async () => {
  const t = setUp();
  await t.start();
  let refused = 0;
  t.server.intercept = (request) => {
    if (request.isWatch && refused++ < 5) throw new ApiError(429, "slow down", { retryAfterMs: 2_000 });
  };
  await t.clock.advance(5_000);
  t.server.openWatches[0]!.end();
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.clock.advance(120_000);
  assert.equal(t.seen, ["add a@101"]);
  assert.is(t.server.lists.length, 1);
  await t.stop();
});

test("rule 15: 401, 403, 404, 500, a refused connection, a wrong certificate, bad JSON: it goes on after each and says so", async () => {
  const t = setUp();
  await t.start();
  const failures: (() => unknown)[] = [
    ...[401, 403, 404, 500, 503].map((status) => () => {
      throw new ApiError(status, `status ${status}`);
    }),
    () => {
      throw Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
    },
    () => {
      throw new Error("self-signed certificate");
    },
    () => {
      throw new TypeError("a throwing transport");
    },
    () => ({ kind: "Table", rows: [] }),
  ];
  for (const [index, fail] of failures.entries()) {
    let isFailing = true;
    t.server.intercept = (request) => isFailing && (request.isWatch || request.isList) ? fail() : undefined;
    for (const watch of t.server.openWatches) watch.fail(new Error("reset"));
    await t.clock.advance(10_000);
    assert.ok(t.informer.lastError, `failure ${index} shows`);
    isFailing = false;
    t.server.put("widgets", { metadata: { name: `w-${index}` } });
    await t.clock.advance(130_000);
    assert.ok(t.informer.get(`default/w-${index}`), `seen after failure ${index}`);
    assert.is(t.informer.lastError, undefined);
  }
  await t.stop();
});

test("rule 16: a bad line is counted and logged, and a list repairs what it may have hidden", async () => {
  const t = setUp();
  await t.start();
  await t.clock.advance(20_000);
  for (const watch of t.server.openWatches) watch.end();
  await t.clock.advance(15_000);
  t.server.isHolding = true;
  t.server.put("widgets", { metadata: { name: "hidden" } });
  t.server.lose();
  t.server.isHolding = false;
  t.server.openWatches[0]!.bytes('{"type":"ADDED","object":{"kind"\n');
  await settle();
  assert.is(t.server.lists.length, 2);
  assert.equal(t.seen, ["add hidden@101"]);
  assert.is(t.metrics.informerBadEvents.value({ kind: "widgets.example.com" }), 1);
  assert.ok(t.lines.some((line) => line.includes("Cannot use a watch event")));
  await t.stop();
});

test("rule 16: the connection ends within a line: the half is not taken for an event", async () => {
  const t = setUp();
  await t.start();
  await t.clock.advance(5_000);
  const lists = t.server.lists.length;
  t.server.openWatches[0]!.bytes('{"type":"ADDED"');
  t.server.openWatches[0]!.end();
  await t.clock.advance(10_000);
  assert.is(t.metrics.informerBadEvents.value({ kind: "widgets.example.com" }), 1);
  assert.is(t.server.lists.length, lists + 1, "what it would have said is listed");
  t.server.put("widgets", { metadata: { name: "a" } });
  await settle();
  assert.ok(t.seen.some((line) => line.startsWith("add a@")));
  await t.stop();
});

test("rule 18: watch-list is not used: no request asks for initial events", async () => {
  const t = setUp();
  await t.start();
  await t.clock.advance(120_000);
  assert.not.ok(t.server.requests.some(({ query }) => "sendInitialEvents" in query));
  await t.stop();
});

test("rule 19: 5,000 changes of one object in one burst keep their order, and the last one stands", async () => {
  const t = setUp();
  await t.start();
  for (let size = 0; size < 5_000; size++) {
    t.server.put("widgets", { metadata: { name: "a" }, spec: { size } });
  }
  await settle(50);
  const versions = t.seen.map((line) => Number(line.split("@")[1]));
  assert.ok(versions.every((version, index) => index === 0 || version > versions[index - 1]!));
  assert.is(t.informer.get("default/a")?.spec?.size, 4_999);
  await t.stop();
});

test("rule 21: a late handler is told of everything present; one that throws loses nothing for the others", async () => {
  const t = setUp();
  t.server.put("widgets", { metadata: { name: "a" } });
  const throwing = () => {
    throw new Error("in a handler");
  };
  t.informer.on({ add: throwing, update: throwing, delete: throwing });
  await t.start();
  t.server.put("widgets", { metadata: { name: "a" }, spec: { size: 2 } });
  await settle();
  const late: string[] = [];
  const off = t.informer.on({ add: (widget, initial) => late.push(`${widget.metadata?.name} ${initial}`) });
  assert.equal(late, ["a true"]);
  off();
  t.server.put("widgets", { metadata: { name: "b" } });
  await settle();
  assert.equal(late, ["a true"]);
  assert.equal(t.seen, ["add a@101 initial", "update a@102", "add b@103"]);
  assert.is(t.metrics.handlerErrors.value({ kind: "widgets.example.com" }), 3);
  await t.stop();
});

test("rule 23: a resync is local: every handler, every object, no request", async () => {
  const t = setUp();
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.start();
  const before = t.server.requests.length;
  t.informer.resync();
  assert.equal(t.seen, ["add a@101 initial", "update a@101"]);
  assert.is(t.server.requests.length, before);
  await t.stop();
});

test("only what is needed is kept: no managedFields, and what transform leaves; a throwing transform harms nothing", async () => {
  const t = setUp({
    labelSelector: "app=x",
    transform: (widget) => {
      if (widget.metadata?.name === "bad") throw new Error("in transform");
      return { spec: { size: widget.spec?.size } };
    },
  });
  t.server.put("widgets", { metadata: { name: "a", labels: { app: "x" } }, spec: { size: 1, text: "long" } });
  t.server.put("widgets", { metadata: { name: "bad" }, spec: { size: 1, text: "long" } });
  await t.start();
  assert.is(t.server.lists[0]?.query.labelSelector, "app=x");
  assert.equal(t.informer.get("default/a")?.spec, { size: 1 });
  assert.equal(t.informer.get("default/a"), {
    apiVersion: "example.com/v1",
    kind: "Widget",
    metadata: { name: "a", namespace: "default", uid: "uid-1", resourceVersion: "101" },
    spec: { size: 1 },
  });
  assert.is(t.informer.get("default/bad")?.metadata?.managedFields, undefined);
  assert.equal(t.informer.get("default/bad")?.spec, { size: 1, text: "long" });
  await t.stop();
});

test("several namespaces are one cache; another namespace is not asked for", async () => {
  const t = setUp({ namespaces: ["one", "two"] });
  t.server.put("widgets", { metadata: { name: "a", namespace: "one" } });
  t.server.put("widgets", { metadata: { name: "b", namespace: "two" } });
  t.server.put("widgets", { metadata: { name: "c", namespace: "three" } });
  await t.start();
  assert.equal(t.informer.list().map((widget) => widget.metadata?.name).sort(), ["a", "b"]);
  assert.equal(t.informer.list({ namespace: "two" }).length, 1);
  assert.is(t.server.openWatches.length, 2);
  await t.stop();
});

test("objects of 1 MiB and names at their limits pass through", async () => {
  const t = setUp();
  await t.start();
  const name = "a".repeat(253);
  t.server.put("widgets", { metadata: { name }, spec: { text: "ü".repeat(500_000) } });
  await settle(20);
  assert.is(t.informer.get(`default/${name}`)?.spec?.text?.length, 500_000);
  await t.stop();
});

test("a line of more than 16 MiB is no object: counted, and a list follows", async () => {
  const t = setUp();
  await t.start();
  const lists = t.server.lists.length;
  for (let part = 0; part < 17; part++) t.server.openWatches[0]!.bytes("x".repeat(1024 * 1024));
  await t.clock.advance(12_000);
  assert.is(t.server.lists.length, lists + 1);
  t.server.put("widgets", { metadata: { name: "a" } });
  await settle(20);
  assert.equal(t.seen, ["add a@101"]);
  await t.stop();
});

test("an hour of silence from a server that answers nothing: it still tries, and the event loop is held open", async () => {
  const t = setUp();
  await t.start();
  t.server.intercept = () => hang();
  await t.clock.advance(3_600_000);
  assert.ok(t.server.watchRequests.length > 100);
  assert.ok(t.clock.pending > 0, "a timer waits, so the process does not end by itself");
  assert.not.ok(t.informer.isStuck);
  t.server.intercept = undefined;
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.clock.advance(40_000);
  assert.equal(t.seen, ["add a@101"]);
  await t.stop();
});

test("a stop in the middle of a list, a wait or a watch leaves nothing behind", async () => {
  const listing = setUp();
  listing.server.intercept = (_request, signal) => hang(signal);
  await listing.start();
  await listing.stop();
  const waiting = setUp();
  waiting.server.intercept = () => {
    throw new Error("refused");
  };
  await waiting.start();
  await waiting.stop();
});

test.run();
