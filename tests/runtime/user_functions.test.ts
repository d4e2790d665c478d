/** What the user's own functions throw: each case harms the key or the reading that it belongs to, and nothing else. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import http from "node:http";
import { messageOf, textOf } from "../../runtime/errors.ts";
import { createLogger } from "../../runtime/logger.ts";
import { MetricsRegistry } from "../../runtime/metrics.ts";
import { watches } from "../../runtime/options.ts";
import { serveHttp } from "../../runtime/platform/http_server.ts";
import { within } from "../within.ts";
import { settle } from "./fake_clock.ts";
import { Harness } from "./harness.ts";
import { type Child, children, type Widget, widgets } from "./scripted_server.ts";

const labels = '{controller="widget-controller"}';
const bare = (): unknown => Object.assign(Object.create(null) as object, { odd: true });
const hostile: [what: string, thrown: () => unknown][] = [
  ["an object without a prototype", bare],
  ["an error caused by one", () => new Error("x", { cause: bare() })],
  ["one whose text throws", () => ({
    toString() {
      throw new Error("no text");
    },
  })],
  ["an error whose message throws", () =>
    Object.defineProperty(new Error("x"), "message", {
      get() {
        throw new Error("no message");
      },
    })],
];

for (const [what, thrown] of hostile) {
  test(`rule 30: a reconciler that throws ${what} fails its own key only, and is tried again`, async () => {
    const t = new Harness().control(({ name }) => {
      if (name === "bad") throw thrown();
    });
    t.server.put("widgets", { metadata: { name: "bad" } });
    t.server.put("widgets", { metadata: { name: "good" } });
    await t.start();
    await t.clock.advance(100);
    assert.is(t.outcome, undefined, "the operator runs on");
    assert.ok(t.reconciled.filter((key) => key === "default/bad").length >= 3, "tried again");
    assert.ok(t.reconciled.includes("default/good"));
    assert.ok(t.lines.some(({ msg }) => msg.startsWith("Reconciler error")));
    await t.stop();
  });
}

test("anything has a text", () => {
  assert.is(textOf(bare()), "[object Object]");
  assert.is(messageOf(bare()), "a thrown object: [object Object]");
  const lines: string[] = [];
  const log = createLogger({ sink: (line) => lines.push(line) });
  const circle: Record<string, unknown> = { bare: bare() };
  circle.self = circle;
  log.info("One", { circle, big: 1n, bare: bare() });
  log.error("Two", bare());
  assert.is(lines.length, 2);
});

test("a field of a log line takes neither its level nor its message away", () => {
  const lines: string[] = [];
  const log = createLogger({ name: "one", sink: (line) => lines.push(line) }).with({ logger: "two" });
  log.warn("Said", { msg: "hidden", level: "info", ts: 0, more: 1 });
  const { level, msg, logger, ts, more } = JSON.parse(lines[0]!) as Record<string, unknown>;
  assert.equal([level, msg, logger, typeof ts, more], ["warn", "Said", "one", "string", 1]);
});

test("rule 30: requeueAfterMs NaN is an error of that key, not a loop", async () => {
  const t = new Harness().control(() => ({ requeueAfterMs: NaN }));
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.start();
  await settle(50);
  assert.is(t.reconciled.length, 1);
  await t.clock.advance(6);
  assert.is(t.reconciled.length, 2, "after its back-off");
  assert.match(String(t.lines.at(-1)?.error), /NaN/);
  await t.stop();
});

test("rule 32: a reconcile that never returns is counted when its deadline passes", async () => {
  const t = new Harness().control(() => new Promise(() => {}), { reconcileTimeoutMs: 5_000 });
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.start();
  const timeouts = `controller_runtime_reconcile_timeouts_total${labels}`;
  assert.is(t.metric(timeouts), 0);
  await t.clock.advance(5_001);
  assert.is(t.metric(timeouts), 1);
  t.stopping.abort(new Error("The test is over"));
  await t.clock.advance(10_000);
});

const fails = (): never => {
  throw new TypeError("in the user's function");
};
const handlerErrors = 'informer_handler_errors_total{kind="widgets.example.com"}';

test("a predicate that throws says yes, is counted and logged", async () => {
  const t = new Harness().control(() => {}, { predicate: { create: fails, update: fails, delete: fails } });
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.start();
  t.server.put("widgets", { metadata: { name: "a" }, spec: { size: 2 } });
  await settle();
  t.server.drop("widgets", "a");
  await settle();
  assert.equal(t.reconciled, ["default/a", "default/a", "default/a"]);
  assert.is(t.metric(handlerErrors), 3);
  assert.ok(
    t.lines.some(({ msg, error }) => msg === "A predicate threw" && error === "in the user's function"),
  );
  await t.stop();
});

test("a map that throws for the state before still wakes the keys of the state after", async () => {
  const map = (child: Child) =>
    child.data?.owner ? [{ namespace: "default", name: child.data.owner }] : fails();
  const t = new Harness().control(() => {}, { watches: [watches(children, { map })] });
  t.server.put("configmaps", { metadata: { name: "c" } });
  await t.start();
  assert.equal(t.reconciled, []);
  t.server.put("configmaps", { metadata: { name: "c" }, data: { owner: "a" } });
  await settle();
  assert.equal(t.reconciled, ["default/a"]);
  assert.is(t.metric(handlerErrors), 2);
  await t.stop();
});

test("an indexer that throws: the object is kept and told of, only that index does not find it", async () => {
  const indexers = { text: (widget: Widget) => [widget.spec!.text!.toLowerCase()] };
  const t = new Harness().control(() => {}, { forOptions: { indexers } });
  t.server.put("widgets", { metadata: { name: "listed" } });
  await t.start();
  t.server.put("widgets", { metadata: { name: "watched" } });
  t.server.put("widgets", { metadata: { name: "good" }, spec: { text: "X" } });
  await settle();
  assert.equal(t.reconciled, ["default/listed", "default/watched", "default/good"]);
  const informer = t.manager.informer(widgets);
  assert.equal(informer.byIndex("text", "x").map(({ metadata }) => metadata?.name), ["good"]);
  assert.is(informer.lastError, undefined);
  t.server.drop("widgets", "watched");
  await settle();
  assert.is(informer.size, 2);
  assert.ok(
    t.lines.some(({ msg, error }) =>
      msg === "An indexer threw" && /toLowerCase|undefined/.test(String(error))
    ),
  );
  await t.stop();
});

test("rule 46: a metrics collector that throws is counted and logged, and all other metrics are read", async () => {
  const t = new Harness();
  t.manager.metrics.gauges({ mine: "Mine." }, function* () {
    yield { name: "mine", labels: {}, value: 1 };
    fails();
  });
  const { status, body } = t.manager.answer("/metrics");
  assert.is(status, 200);
  assert.not.match(body, /^mine /m);
  assert.match(body, /^controller_runtime_reconcile_time_seconds|^process_resident_memory_bytes \d/m);
  assert.is(t.metric("metrics_collector_errors_total"), 2, "this reading counts, too");
  assert.is(t.lines.filter(({ msg }) => msg === "A metrics collector threw").length, 2);
  const alone = new MetricsRegistry();
  alone.onCollect(fails);
  assert.throws(() => alone.text(), /in the user's function/);
});

test("an answer of the health port that throws is a 500, and the port goes on", async () => {
  let isBroken = true;
  const server = await serveHttp({ host: "127.0.0.1", port: 0 }, () => {
    if (isBroken) fails();
    return { status: 200, body: "ok\n" };
  });
  const get = () =>
    new Promise<number | undefined>((resolve, reject) => {
      http.get({ host: "127.0.0.1", port: server.port }, (response) => {
        response.resume().on("end", () => resolve(response.statusCode));
      }).on("error", reject);
    });
  try {
    assert.is(await within(2_000, get(), "the answer"), 500);
    isBroken = false;
    assert.is(await within(2_000, get(), "the answer"), 200);
  } finally {
    await server.close();
  }
});

test.run();
