import { test } from "uvu";
import * as assert from "uvu/assert";
import http from "node:http";
import {
  ApiError,
  CacheSyncError,
  ConfigurationError,
  DeadlineError,
  LeaseLostError,
} from "../../runtime/errors.ts";
import type { Lease } from "../../runtime/leader_election.ts";
import { owns } from "../../runtime/options.ts";
import { exitCodeOf, exitCodes } from "../../runtime/platform/process.ts";
import { until } from "../within.ts";
import { settle } from "./fake_clock.ts";
import { Harness } from "./harness.ts";
import { children, hang, ScriptedServer, type Widget, widgets } from "./scripted_server.ts";

const leaderElection = { namespace: "default", name: "lock", identity: "me" };
const holder = (server: ScriptedServer) =>
  (server.find("leases", "lock") as Lease | undefined)?.spec?.holderIdentity;

test("rule 20: a source that does not list within two minutes fails the start, by its name and its reason", async () => {
  const t = new Harness().control(() => {}, { owns: [owns(children)] });
  t.server.intercept = (request) => {
    if (request.path.includes("widgets")) {
      throw new ApiError(404, "the server could not find the requested resource");
    }
  };
  await t.start();
  assert.is(t.manager.answer("/readyz").status, 503);
  assert.match(t.manager.answer("/readyz").body, /widgets\.example\.com: list: the server could not find/);
  await t.clock.advance(119_000);
  assert.is(t.outcome, undefined);
  await t.clock.advance(10_000);
  const error = t.outcome?.error as Error;
  assert.instance(error, CacheSyncError);
  assert.match(
    error.message,
    /no list within 120000 ms of widgets\.example\.com \(list: the server could not find/,
  );
  assert.not.ok(error.message.includes("configmaps"));
  await t.stop();
});

test("rule 41: health, caches, lease, controllers, in that order; one that does not lead keeps warm caches and writes nothing", async () => {
  const server = new ScriptedServer();
  server.put("leases", {
    metadata: { name: "lock" },
    spec: { holderIdentity: "other", leaseDurationSeconds: 15 },
  });
  server.put("widgets", { metadata: { name: "a" } });
  const t = await new Harness({ server, leaderElection }).control(() => {}).start();
  assert.equal(t.reconciled, []);
  assert.not.ok(t.manager.isLeader);
  assert.ok(t.manager.informer(widgets).get("default/a"));
  assert.is(t.manager.answer("/readyz").status, 200);
  assert.is(t.metric('leader_election_master_status{name="test-operator"}'), 0);
  server.put("widgets", { metadata: { name: "b" } });
  await t.clock.advance(17_500);
  assert.ok(t.manager.isLeader);
  assert.equal(t.reconciled.sort(), ["default/a", "default/b"]);
  assert.is(t.metric('leader_election_master_status{name="test-operator"}'), 1);
  await t.stop();
  assert.is(holder(server), "");
});

test("rule 41: at a stop, reconciles under way end first, then the caches, then the lease is given back", async () => {
  const order: string[] = [];
  const finish: (() => void)[] = [];
  const t = new Harness({ leaderElection }).control(async ({ namespace, name }, { client }) => {
    await new Promise<void>((resolve) => finish.push(resolve));
    await client.patch(widgets, { namespace, name }, { status: { seen: 1 } }, { subresource: "status" });
    order.push("reconciled");
  });
  t.server.put("widgets", { metadata: { name: "a" } });
  t.server.put("widgets", { metadata: { name: "b" } });
  await t.start();
  t.server.intercept = (request) => {
    if (request.method === "PUT" && (request.body as Lease).spec?.holderIdentity === "") {
      order.push(`released, ${t.server.openWatches.length} watches`);
    }
  };
  t.stopping.abort(new Error("SIGTERM"));
  await settle();
  assert.is(t.outcome, undefined);
  assert.is(t.manager.answer("/readyz").status, 503);
  for (const each of finish) each();
  await t.clock.advance(8_000);
  assert.equal(order.at(-1), "released, 0 watches");
  assert.ok(order.includes("reconciled"));
  await t.stop();
});

test("rule 41: a reconcile that does not end is aborted after half of the time, and the rest of the stop is bounded", async () => {
  const t = new Harness().control((_request, { signal }) => hang(signal));
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.start();
  t.stopping.abort(new Error("SIGTERM"));
  await t.clock.advance(3_999);
  assert.is(t.outcome, undefined);
  await t.clock.advance(2);
  assert.equal(t.outcome, {});

  const stuck = new Harness().control(() => new Promise(() => {}));
  stuck.server.put("widgets", { metadata: { name: "a" } });
  await stuck.start();
  stuck.stopping.abort(new Error("SIGTERM"));
  await stuck.clock.advance(8_000);
  assert.instance(stuck.outcome?.error, DeadlineError);
  assert.is(stuck.server.openWatches.length, 0);
});

test("rule 35: a lost lease aborts reconciles at once, refuses their writes, and start rejects", async () => {
  let aborted: unknown;
  let refused: unknown;
  const t = new Harness({ leaderElection }).control(async ({ namespace, name }, { client, signal }) => {
    await hang(signal).catch((error) => {
      aborted = error;
    });
    await client.patch(widgets, { namespace, name }, { status: { seen: 1 } }).catch((error) => {
      refused = error;
    });
  });
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.start();
  t.server.intercept = (request) => request.path.includes("leases") ? hang() : undefined;
  await t.clock.advance(10_001);
  assert.instance(aborted, LeaseLostError);
  assert.ok(refused instanceof Error);
  assert.is((t.server.find("widgets", "a") as Widget).status, undefined);
  assert.instance(t.outcome?.error, LeaseLostError);
  t.server.intercept = undefined;
  await t.stop();
});

test("rule 40: the write of a leader that was frozen is refused before it leaves", async () => {
  let go = () => {};
  let refused: unknown;
  const t = new Harness({ leaderElection }).control(async ({ namespace, name }, { client }) => {
    await new Promise<void>((resolve) => {
      go = resolve;
    });
    await client.delete(widgets, { namespace, name }).catch((error) => {
      refused = error;
    });
  });
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.start();
  t.clock.freeze(60_000);
  go();
  await settle();
  assert.instance(refused, LeaseLostError);
  assert.ok(t.server.find("widgets", "a"));
  await t.clock.advance(20_000);
  await t.stop();
});

test("rule 41: the lease is kept for as long as reconciles go on, so that what they write last is written", async () => {
  let go = () => {};
  let refused: unknown;
  const t = new Harness({ leaderElection, gracefulStopMs: 60_000 }).control(async (key, { client }) => {
    await new Promise<void>((resolve) => go = resolve);
    await client.patch(widgets, key, { status: { seen: 1 } }, { subresource: "status" }).catch((error) => {
      refused = error;
    });
  });
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.start();
  t.stopping.abort(new Error("SIGTERM"));
  await t.clock.advance(25_000);
  assert.is(holder(t.server), "me");
  go();
  await settle();
  assert.is(refused, undefined);
  assert.is((t.server.find("widgets", "a") as Widget).status?.seen, 1);
  assert.is(holder(t.server), "", "given back at once when the work is over");
  await t.stop();
  assert.equal(t.outcome, {});
});

test("rule 41: a lease that is lost while reconciles end aborts them", async () => {
  let aborted: unknown;
  const t = new Harness({ leaderElection, gracefulStopMs: 60_000 }).control((_key, { signal }) =>
    hang(signal).catch((error) => {
      aborted = error;
    })
  );
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.start();
  t.stopping.abort(new Error("SIGTERM"));
  await t.clock.advance(1_000);
  t.server.put("leases", {
    ...t.server.find("leases", "lock"),
    spec: { holderIdentity: "other", leaseDurationSeconds: 15 },
  });
  await t.clock.advance(3_000);
  assert.instance(aborted, LeaseLostError);
  assert.instance(t.outcome?.error, LeaseLostError);
  assert.is(holder(t.server), "other");
  await t.stop();
});

test("rule 35: after a lost lease nothing is waited for, whatever goes on", async () => {
  const t = new Harness({ leaderElection }).control(() => new Promise(() => {}));
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.start();
  t.server.put("leases", {
    ...t.server.find("leases", "lock"),
    spec: { holderIdentity: "other", leaseDurationSeconds: 15 },
  });
  await t.clock.advance(2_001);
  assert.instance(t.outcome?.error, LeaseLostError);
});

test("rule 41: the lease is given back when the caches have stopped, not before", async () => {
  const t = new Harness({ leaderElection }).control(() => {});
  const informer = t.manager.informer(widgets);
  const run = informer.run.bind(informer);
  let end = () => {};
  informer.run = async (signal) => {
    await run(signal);
    await new Promise<void>((resolve) => end = resolve);
  };
  await t.start();
  t.stopping.abort(new Error("SIGTERM"));
  await settle();
  assert.is(holder(t.server), "me");
  end();
  await settle();
  assert.is(holder(t.server), "");
  await t.stop();
});

test("rule 37: a release that hangs holds the stop for one second, and the lease runs out by itself", async () => {
  const t = await new Harness({ leaderElection }).control(() => {}).start();
  t.server.intercept = ({ method }, signal) => method === "PUT" ? hang(signal) : undefined;
  t.stopping.abort(new Error("SIGTERM"));
  await t.clock.advance(999);
  assert.is(t.outcome, undefined);
  await t.clock.advance(2);
  assert.equal(t.outcome, {});
  assert.is(holder(t.server), "me");
  await t.stop();
});

test("rule 41: events recorded while reconciles end are written; an API server that hangs holds a stop 2 s, and fails nothing", async () => {
  let go = () => {};
  const note = { type: "Normal", reason: "Stopped", note: "in good order" } as const;
  const widget = {
    apiVersion: "example.com/v1",
    kind: "Widget",
    metadata: { name: "a", namespace: "default" },
  };
  const control = (t: Harness) =>
    t.control(async (_key, { events }) => {
      await new Promise<void>((resolve) => go = resolve);
      events.record(widget, note);
    });
  const t = control(new Harness({ leaderElection }));
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.start();
  t.stopping.abort(new Error("SIGTERM"));
  await settle();
  go();
  await settle();
  assert.is(t.server.all("events").length, 1);
  assert.equal(t.outcome, {});
  await t.stop();

  const hung = control(new Harness());
  hung.server.put("widgets", { metadata: { name: "a" } });
  hung.server.intercept = ({ path }, signal) => path.includes("/events") ? hang(signal) : undefined;
  await hung.start();
  go();
  await settle();
  hung.stopping.abort(new Error("SIGTERM"));
  await hung.clock.advance(1_999);
  assert.is(hung.outcome, undefined);
  await hung.clock.advance(2);
  assert.equal(hung.outcome, {});
  assert.ok(hung.lines.some(({ msg }) => msg === "Stopping without the last events"));
  await hung.stop();
});

test("rule 46: of several caches of a kind the objects are added up and the oldest tells the age, also before its first answer", async () => {
  const t = new Harness();
  t.manager.informer(widgets, { labelSelector: "a=b" });
  t.manager.informer(widgets, { labelSelector: "c=d" });
  const isDeaf = ({ query }: { query: Record<string, string> }) => query.labelSelector === "a=b";
  t.server.intercept = (request, signal) => isDeaf(request) ? hang(signal) : undefined;
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.start();
  for (let time = 0; time < 10; time++) {
    await t.clock.advance(5_000);
    t.server.put("widgets", { metadata: { name: "a" }, spec: { size: time } });
  }
  await settle();
  assert.is(t.metric('informer_cache_age_seconds{kind="widgets.example.com"}'), 50);
  t.server.intercept = undefined;
  await t.clock.advance(62_000);
  assert.is(t.metric('informer_objects{kind="widgets.example.com"}'), 2);
  assert.ok(t.metric('informer_cache_age_seconds{kind="widgets.example.com"}')! < 24);
  await t.stop();
});

test("rule 23: every handler is called for every object each resync period, without a request", async () => {
  const t = await new Harness({ resyncMs: 600_000 }).control(() => {}).start();
  t.server.put("widgets", { metadata: { name: "a" } });
  await settle();
  const lists = t.server.lists.length;
  await t.clock.advance(3_600_000);
  const times = t.reconciled.length - 1;
  assert.ok(times >= 5 && times <= 7, `${times} times`);
  assert.is(t.server.lists.length, lists);
  await t.stop();
});

test("rule 42: a second start is refused; a stop during the start is clean", async () => {
  const t = await new Harness().control(() => {}).start();
  let error: unknown;
  await t.manager.start().catch((caught) => {
    error = caught;
  });
  assert.match((error as Error).message, /Cannot start a manager twice/);
  assert.throws(() => t.control(() => {}), /after the start/);
  await t.stop();

  for (const when of ["before", "list", "lease"]) {
    const early = new Harness({ leaderElection }).control(() => {});
    early.server.intercept = (request, signal) =>
      request.path.includes(when === "lease" ? "leases" : "widgets") ? hang(signal) : undefined;
    if (when === "before") early.stopping.abort(new Error("Stopped before the start"));
    await early.start();
    await early.stop();
    assert.equal(early.outcome, {}, when);
  }
});

test("rule 39: livez fails for a leader whose lease is long over, and for an informer that does nothing any more", async () => {
  const t = await new Harness({ leaderElection }).control(() => {}).start();
  assert.equal([t.manager.answer("/livez").status, t.manager.answer("/healthz").status], [200, 200]);
  t.clock.freeze(36_000);
  assert.is(t.manager.answer("/livez").status, 503);
  assert.match(t.manager.answer("/livez").body, /the own lease has run out long ago/);
  t.clock.freeze(200_000);
  assert.match(t.manager.answer("/livez").body, /widgets\.example\.com does nothing any more/);
  await t.clock.advance(30_000);
  await t.stop();
});

test("livez stays good while the API server is down: a restart would not help; readyz stays good once synced", async () => {
  const t = await new Harness().control(() => {}).start();
  t.server.intercept = () => {
    throw new Error("connect ECONNREFUSED");
  };
  for (const watch of t.server.openWatches) watch.fail(new Error("reset"));
  await t.clock.advance(3_600_000);
  assert.equal([t.manager.answer("/livez").status, t.manager.answer("/readyz").status], [200, 200]);
  assert.ok(t.metric('informer_cache_age_seconds{kind="widgets.example.com"}')! >= 3_599);
  t.server.intercept = undefined;
  await t.stop();
});

test("rule 46: the metrics of controller-runtime are there at 0 from the start, and ours beside them", async () => {
  const t = new Harness({ leaderElection }).control(() => {});
  const series = [
    ...["success", "error", "requeue", "requeue_after"].map((result) =>
      `controller_runtime_reconcile_total{controller="widget-controller",result="${result}"}`
    ),
    'controller_runtime_reconcile_errors_total{controller="widget-controller"}',
    'controller_runtime_terminal_reconcile_errors_total{controller="widget-controller"}',
    'controller_runtime_reconcile_panics_total{controller="widget-controller"}',
    'controller_runtime_reconcile_timeouts_total{controller="widget-controller"}',
    'controller_runtime_reconcile_time_seconds_count{controller="widget-controller"}',
    'controller_runtime_active_workers{controller="widget-controller"}',
    'workqueue_depth{controller="widget-controller",name="widget-controller"}',
    'workqueue_adds_total{controller="widget-controller",name="widget-controller"}',
    'workqueue_retries_total{controller="widget-controller",name="widget-controller"}',
    'workqueue_unfinished_work_seconds{controller="widget-controller",name="widget-controller"}',
    'workqueue_longest_running_processor_seconds{controller="widget-controller",name="widget-controller"}',
    'workqueue_queue_duration_seconds_count{controller="widget-controller",name="widget-controller"}',
    'workqueue_work_duration_seconds_count{controller="widget-controller",name="widget-controller"}',
    'leader_election_master_status{name="test-operator"}',
    "rest_client_warnings_total",
    'informer_cache_age_seconds{kind="widgets.example.com"}',
    'informer_watch_restarts_total{kind="widgets.example.com",reason="ended"}',
  ];
  for (const each of series) assert.is(t.metric(each), 0, each);
  assert.is(t.metric('controller_runtime_max_concurrent_reconciles{controller="widget-controller"}'), 10);
  assert.ok(t.metric("process_resident_memory_bytes")! > 1_000_000);
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.start();
  assert.is(
    t.metric('controller_runtime_reconcile_total{controller="widget-controller",result="success"}'),
    1,
  );
  assert.is(t.metric('rest_client_requests_total{code="200",method="GET"}')! > 0, true);
  await t.stop();
});

test("health and metrics are served on a port, and the port is free again after the stop", async () => {
  const t = await new Harness({ http: { host: "127.0.0.1", port: 0 } }).control(() => {}).start();
  const line = await waitFor(() => t.lines.find((each) => each.msg === "Serving health and metrics"));
  const port = line.port as number;
  const get = (path: string) =>
    new Promise<{ status: number; body: string }>((resolve, reject) => {
      http.get({ host: "127.0.0.1", port, path }, (response) => {
        let body = "";
        response.on("data", (chunk) => body += String(chunk));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
      }).on("error", reject);
    });
  await waitFor(() => t.manager.answer("/readyz").status === 200);
  assert.equal(await get("/livez"), { status: 200, body: "ok\n" });
  assert.equal(await get("/readyz?verbose"), { status: 200, body: "ok\n" });
  assert.match((await get("/metrics")).body, /# TYPE controller_runtime_reconcile_total counter/);
  assert.is((await get("/other")).status, 404);

  const second = await new Harness({ http: { host: "127.0.0.1", port } }).start();
  await waitFor(() => second.outcome);
  assert.instance(second.outcome?.error, ConfigurationError);
  assert.match((second.outcome!.error as Error).message, new RegExp(`on 127\\.0\\.0\\.1:${port}`));

  t.stopping.abort(new Error("The test is over"));
  await waitFor(() => t.outcome);
  let refused: unknown;
  await get("/livez").catch((error) => {
    refused = error;
  });
  assert.ok(refused instanceof Error);
});

test("each way to end has its exit code", () => {
  assert.equal([
    exitCodeOf(new ConfigurationError("x")),
    exitCodeOf(new LeaseLostError("x")),
    exitCodeOf(new CacheSyncError("x")),
    exitCodeOf(new DeadlineError("x")),
    exitCodeOf("x"),
  ], [
    exitCodes.configuration,
    exitCodes.leaseLost,
    exitCodes.cachesNotSynced,
    exitCodes.stopTimeout,
    exitCodes.failed,
  ]);
});

test("an informer is shared by what it holds; another transform on the same objects is refused", () => {
  const { manager } = new Harness();
  const first = manager.informer(widgets, { labelSelector: "a=b" });
  assert.is(manager.informer(widgets, { labelSelector: "a=b", indexers: { x: () => [] } }), first);
  assert.equal(first.byIndex("x", "y"), []);
  assert.is.not(manager.informer(widgets), first);
  assert.throws(
    () => manager.informer(widgets, { transform: (widget) => widget }),
    /it has another transform/,
  );
  const transform = (widget: Widget) => widget;
  const kept = manager.informer(widgets, { labelSelector: "c=d", transform });
  assert.is(manager.informer(widgets, { labelSelector: "c=d", transform }), kept);
  assert.throws(() => manager.informer(widgets, { labelSelector: "c=d" }), /it has a transform/);
});

const waitFor = <T>(probe: () => T) => until(5_000, "the manager", probe, 2);

test.run();
