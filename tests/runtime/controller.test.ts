import { test } from "uvu";
import * as assert from "uvu/assert";
import type { ResourceClient } from "../../runtime/client.ts";
import { ApiError, TerminalError } from "../../runtime/errors.ts";
import { controllerReference } from "../../runtime/metadata.ts";
import { changed, generationChanged } from "../../runtime/predicates.ts";
import { owns, watches } from "../../runtime/options.ts";
import type { KubernetesObject } from "../../runtime/types.ts";
import { settle } from "./fake_clock.ts";
import { Harness } from "./harness.ts";
import { type Child, children, conflict, hang, type Widget, widgets } from "./scripted_server.ts";

const labels = '{controller="widget-controller"}';
const result = (name: string) =>
  `controller_runtime_reconcile_total{controller="widget-controller",result="${name}"}`;

test("rule 20: no reconcile before every source has its first full list", async () => {
  const t = new Harness().control(() => {}, { owns: [owns(children)] });
  t.server.put("widgets", { metadata: { name: "a" } });
  let isReady = false;
  t.server.intercept = (request, signal) =>
    request.path.endsWith("configmaps") && !isReady ? hang(signal) : undefined;
  await t.start();
  await t.clock.advance(30_000);
  assert.equal(t.reconciled, []);
  isReady = true;
  await t.clock.advance(40_000);
  assert.equal(t.reconciled, ["default/a"]);
  await t.stop();
});

test("rule 24: after a write the key is not reconciled until the cache shows it; other keys are", async () => {
  const sizes: (number | undefined)[] = [];
  const t = new Harness().control(async ({ namespace, name }, { client }) => {
    const widget = await client.get(widgets, { namespace, name });
    if (name !== "a") return;
    sizes.push(widget?.status?.seen);
    const seen = (widget?.status?.seen ?? 0) + 1;
    if (seen <= 3) {
      await client.patch(widgets, { namespace, name }, { status: { seen } }, { subresource: "status" });
    }
  });
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.start();
  // The write's own watch event wakes the key each time; the third write is the last.
  assert.equal(sizes, [undefined, 1, 2, 3]);
  t.server.isHolding = true;
  t.server.put("widgets", { metadata: { name: "a" }, status: { seen: 0 } });
  t.server.release();
  t.server.isHolding = true;
  await settle();
  assert.equal(sizes.slice(4), [0]);
  t.server.put("widgets", { metadata: { name: "b" } });
  t.manager.informer(widgets).resync();
  await settle();
  assert.equal(sizes.slice(4), [0], "held: its own write is not in the cache yet");
  t.server.release();
  await settle();
  assert.equal(sizes.slice(4), [0, 1, 2, 3]);
  assert.ok(t.reconciled.includes("default/b"));
  await t.stop();
});

test("rule 24: an own write that does not show within 5 s leads to a list, and then the key goes on", async () => {
  let writes = 0;
  const t = new Harness().control(async ({ namespace, name }, { client }) => {
    const widget = await client.get(widgets, { namespace, name });
    if (widget?.status?.seen === 1) return;
    writes += 1;
    await client.patch(widgets, { namespace, name }, { status: { seen: 1 } }, { subresource: "status" });
  });
  await t.start();
  t.server.put("widgets", { metadata: { name: "a" } });
  t.server.isHolding = true;
  await settle();
  assert.is(writes, 1);
  t.manager.informer(widgets).resync();
  await t.clock.advance(4_999);
  assert.is(t.server.lists.length, 1);
  await t.clock.advance(2);
  assert.is(t.server.lists.length, 2);
  assert.is(writes, 1);
  assert.equal(t.reconciled, ["default/a", "default/a"]);
  assert.is(t.metric(`controller_runtime_own_write_timeouts_total${labels}`), 1);
  await t.stop();
});

test("rule 24: lists without an own write are older than it: the fifth is believed, and nothing written till then", async () => {
  let writes = 0;
  const t = new Harness().control(async (key, { client }) => {
    const widget = await client.get(widgets, key);
    if (widget?.status?.seen === 1) return;
    writes += 1;
    await client.patch(widgets, key, { status: { seen: 1 } }, { subresource: "status" });
  });
  await t.start();
  const before = structuredClone(t.server.put("widgets", { metadata: { name: "a" } }));
  t.server.isHolding = true;
  await settle();
  assert.is(writes, 1);
  t.manager.informer(widgets).resync();
  const { resourceVersion } = before.metadata!;
  const past = { kind: "WidgetList", metadata: { resourceVersion }, items: [before] };
  t.server.intercept = ({ method, isWatch }) =>
    method === "GET" && !isWatch ? structuredClone(past) : undefined;
  await t.clock.advance(24_900);
  assert.is(writes, 1, "held");
  assert.is(t.server.lists.length, 1 + 4);
  await t.clock.advance(200);
  assert.is(t.server.lists.length, 1 + 5);
  assert.is(writes, 2, "believed");
  t.server.intercept = undefined;
  t.server.release();
  await t.stop();
});

test("rule 24: a delete holds its key until the cache no longer has that very object", async () => {
  const t = new Harness().control(async ({ namespace, name }, { client }) => {
    const child = await client.get(children, { namespace, name });
    if (!child) return;
    const { uid, resourceVersion } = child.metadata!;
    await client.delete(children, { namespace, name }, { uid, resourceVersion });
  }, { owns: [owns(children)] });
  t.server.put("configmaps", { metadata: { name: "a" } });
  await t.start();
  t.server.isHolding = true;
  t.server.holdOnly = "configmaps";
  t.server.put("widgets", { metadata: { name: "a" } });
  await settle();
  t.manager.informer(widgets).resync();
  await settle();
  assert.is(t.server.writes.length, 1);
  assert.is(t.reconciled.length, 1);
  t.server.release();
  await settle();
  assert.is(t.server.writes.length, 1);
  assert.is(t.reconciled.length, 2);
  await t.stop();
});

/** Each writes once, bound to what the cache shows; somebody else has written since, and the cache does not know. */
const boundWrites: Record<string, (widget: Widget, client: ResourceClient) => Promise<unknown>> = {
  patch: ({ metadata }, client) => {
    const { resourceVersion } = metadata!;
    return client.patch(widgets, keyOfA, { metadata: { resourceVersion, annotations: { mine: "" } } });
  },
  replace: (widget, client) =>
    client.replace(widgets, { ...widget, metadata: { ...widget.metadata, annotations: { mine: "" } } }),
  delete: ({ metadata }, client) => {
    const { uid, resourceVersion } = metadata!;
    return client.delete(widgets, keyOfA, { uid, resourceVersion });
  },
};
const keyOfA = { namespace: "default", name: "a" };

/** A controller that does one of the above to Widget "a" when its size is 1, and is refused once it is 2. */
async function meetConflict(write: typeof boundWrites[string]): Promise<Harness> {
  const t = new Harness().control(async (key, { client }) => {
    const widget = await client.get(widgets, key);
    if (widget?.spec?.size === 1 && key.name === "a") await write(widget, client);
  }, { predicate: { create: () => false } });
  t.server.put("widgets", { metadata: { name: "a" }, spec: { size: 1 } });
  await t.start();
  t.server.isHolding = true;
  t.server.put("widgets", { metadata: { name: "a" }, spec: { size: 2 } });
  t.manager.informer(widgets).resync();
  await settle();
  assert.equal(t.reconciled, ["default/a"], "the write met a conflict");
  return t;
}

for (const [method, write] of Object.entries(boundWrites)) {
  test(`rule 24: after a conflict on a ${method} the key waits until the cache shows what it met`, async () => {
    const t = await meetConflict(write);
    await t.clock.advance(4_000);
    t.manager.informer(widgets).resync();
    await settle();
    assert.equal(t.reconciled, ["default/a"], "held, whatever its retry delay and whoever adds it");
    assert.is(t.server.writes.length, 1);
    t.server.release();
    await settle();
    assert.equal(t.reconciled, ["default/a", "default/a"]);
    assert.is(t.server.writes.length, 1, "what it read then was the new state");
    assert.is(t.server.lists.length, 1);
    await t.stop();
  });
}

test("rule 24: a conflict that the cache does not explain within 5 s leads to a list", async () => {
  const t = await meetConflict(boundWrites.patch!);
  await t.clock.advance(4_900);
  assert.is(t.server.lists.length, 1);
  await t.clock.advance(200);
  assert.is(t.server.lists.length, 2);
  assert.equal(t.reconciled, ["default/a", "default/a"]);
  assert.is(t.server.writes.length, 1, "the list told of the new state");
  assert.is(t.metric(`controller_runtime_own_write_timeouts_total${labels}`), 1);
  await t.stop();
});

test("rule 24: a conflict with an object that is gone or another by now is over when the cache says so", async () => {
  for (const isMadeAgain of [false, true]) {
    const t = await meetConflict(boundWrites.delete!);
    t.server.drop("widgets", "a", "default");
    if (isMadeAgain) t.server.put("widgets", { metadata: { name: "a" }, spec: { size: 3 } });
    await t.clock.advance(1_000);
    assert.equal(t.reconciled, ["default/a"]);
    t.server.release();
    await settle();
    assert.equal(t.reconciled, ["default/a", "default/a"]);
    assert.is(t.server.lists.length, 1);
    await t.stop();
  }
});

test("rule 24: a conflict over fields holds nothing: no newer version will come", async () => {
  let tries = 0;
  const t = new Harness().control(async ({ namespace, name }, { client }) => {
    tries += 1;
    const widget = await client.get(widgets, { namespace, name });
    const { resourceVersion } = widget!.metadata!;
    await client.apply(widgets, { metadata: { namespace, name, resourceVersion } }, { force: false });
  });
  t.server.intercept = ({ method }) => {
    if (method !== "PATCH" || tries > 1) return undefined;
    const details = { causes: [{ reason: "FieldManagerConflict", field: ".spec.size" }] };
    throw new ApiError(409, "Apply failed with 1 conflict", { reason: "Conflict", details });
  };
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.start();
  await t.clock.advance(6);
  assert.is(tries, 2, "again after its own delay");
  await t.stop();
});

test("exactly two writes per object: one child, one status, and none for waking on either", async () => {
  const t = new Harness().control(async ({ namespace, name }, { client }) => {
    const widget = await client.get(widgets, { namespace, name });
    if (!widget) return;
    const child = await client.get(children, { namespace, name });
    if (child?.data?.size !== String(widget.spec?.size)) {
      const metadata = { namespace, name, ownerReferences: [controllerReference(widget)] };
      await client.apply(children, { metadata, data: { size: String(widget.spec?.size) } });
    }
    const observedGeneration = widget.metadata?.generation;
    if (widget.status?.observedGeneration !== observedGeneration) {
      await client.patch(widgets, { namespace, name }, { status: { observedGeneration } }, {
        subresource: "status",
      });
    }
  }, { owns: [owns(children)] });
  for (let index = 0; index < 200; index++) {
    t.server.put("widgets", { metadata: { name: `w-${index}` }, spec: { size: 1 } });
  }
  await t.start();
  await settle(100);
  assert.is(t.server.writes.length, 400);
  for (let index = 0; index < 200; index++) {
    t.server.put("widgets", { metadata: { name: `w-${index}` }, spec: { size: 2 } });
  }
  await settle(100);
  assert.is(t.server.writes.length, 800);
  const before = t.server.requests.length;
  await t.clock.advance(600_000);
  assert.is(t.server.writes.length, 800);
  assert.ok(t.server.requests.slice(before).every((request) => request.isWatch), "idle: nothing but watches");
  t.server.drop("configmaps", "w-7");
  await settle();
  assert.is(t.server.writes.length, 801);
  assert.equal((t.server.find("configmaps", "w-7") as Child).data, { size: "2" });
  await t.stop();
});

test("rule 26: one key is never in two workers, different keys run in parallel up to the limit", async () => {
  const active = new Set<string>();
  let most = 0;
  const gates: (() => void)[] = [];
  const t = new Harness().control(async ({ name }) => {
    assert.not.ok(active.has(name));
    active.add(name);
    most = Math.max(most, active.size);
    await new Promise<void>((resolve) => gates.push(resolve));
    active.delete(name);
  }, { workers: 3 });
  for (const name of ["a", "b", "c", "d", "e"]) t.server.put("widgets", { metadata: { name } });
  await t.start();
  assert.is(active.size, 3);
  for (let size = 0; size < 5; size++) t.server.put("widgets", { metadata: { name: "a" }, spec: { size } });
  await settle();
  while (gates.length > 0) {
    gates.shift()!();
    await settle();
  }
  assert.is(most, 3);
  assert.equal(t.reconciled.filter((key) => key === "default/a").length, 2);
  await t.stop();
});

test("rule 30: an error is retried with growing delays, and success forgets them", async () => {
  let failures = 0;
  const t = new Harness().control(() => {
    if (failures++ < 3 || failures > 4) throw new Error("not yet");
  });
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.start();
  for (const delayMs of [5, 10, 20]) {
    const before = t.reconciled.length;
    await t.clock.advance(delayMs - 1);
    assert.is(t.reconciled.length, before);
    await t.clock.advance(1);
    assert.is(t.reconciled.length, before + 1);
  }
  assert.equal([t.metric(result("error")), t.metric(result("success"))], [3, 1]);
  const lines = t.lines.filter((line) => line.msg === "Reconciler error");
  t.server.put("widgets", { metadata: { name: "a" }, spec: { size: 2 } });
  await settle();
  const before = t.reconciled.length;
  await t.clock.advance(5);
  assert.is(t.reconciled.length, before + 1, "after 5 ms: its fourth failure is its first again");
  assert.equal(
    lines.map((
      line,
    ) => [line.logger, line["Request.Namespace"], line["Request.Name"], line.error, line.failures]),
    [
      ["controller_widget", "default", "a", "not yet", 1],
      ["controller_widget", "default", "a", "not yet", 2],
      ["controller_widget", "default", "a", "not yet", 3],
    ],
  );
  await t.stop();
});

test("rule 30: a TerminalError is not retried but counted, and the next change is", async () => {
  const t = new Harness().control(() => {
    throw new TerminalError("no such version");
  });
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.start();
  await t.clock.advance(3_600_000);
  assert.is(t.reconciled.length, 1);
  assert.is(t.metric(`controller_runtime_terminal_reconcile_errors_total${labels}`), 1);
  assert.is(t.metric(`controller_runtime_reconcile_errors_total${labels}`), 1);
  t.server.put("widgets", { metadata: { name: "a" }, spec: { size: 2 } });
  await settle();
  assert.is(t.reconciled.length, 2);
  await t.stop();
});

test("rule 30: a reconciler that throws a string, nothing, or synchronously fails its own key only", async () => {
  const thrown: unknown[] = ["a string", undefined, null, { odd: true }];
  const t = new Harness().control(({ name }) => {
    if (name !== "good" && thrown.length > 0) throw thrown.pop();
  });
  t.server.put("widgets", { metadata: { name: "bad" } });
  t.server.put("widgets", { metadata: { name: "good" } });
  await t.start();
  await t.clock.advance(1_000);
  assert.is(t.metric(`controller_runtime_reconcile_panics_total${labels}`), 4);
  assert.is(t.reconciled.filter((key) => key === "default/bad").length, 5);
  assert.is(t.reconciled.filter((key) => key === "default/good").length, 1);
  await t.stop();
});

test("rule 30: requeueAfter comes again after its time and counts as a success; an error beats it", async () => {
  const t = new Harness().control(() => ({ requeueAfterMs: 60_000 }));
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.start();
  await t.clock.advance(59_999);
  assert.is(t.reconciled.length, 1);
  await t.clock.advance(1);
  assert.is(t.reconciled.length, 2);
  assert.is(t.metric(result("requeue_after")), 2);
  await t.stop();
});

test("rule 31: a user's change overtakes the keys of the first list", async () => {
  const gates: (() => void)[] = [];
  const t = new Harness().control(() => new Promise<void>((resolve) => gates.push(resolve)), { workers: 1 });
  for (const name of ["a", "b", "c"]) t.server.put("widgets", { metadata: { name } });
  await t.start();
  t.server.put("widgets", { metadata: { name: "new" } });
  await settle();
  while (gates.length > 0) {
    gates.shift()!();
    await settle();
  }
  assert.equal(t.reconciled, ["default/a", "default/new", "default/b", "default/c"]);
  await t.stop();
});

test("rule 32: a reconcile over its deadline is aborted and counted; one that never returns gives up its worker, not its key", async () => {
  const signals: AbortSignal[] = [];
  const t = new Harness().control(({ name }, { signal }) => {
    if (name !== "stuck") return;
    signals.push(signal);
    return new Promise(() => {});
  }, { workers: 1, reconcileTimeoutMs: 5_000 });
  t.server.put("widgets", { metadata: { name: "stuck" } });
  await t.start();
  t.server.put("widgets", { metadata: { name: "other" } });
  await t.clock.advance(5_001);
  assert.ok(signals[0]?.aborted);
  await t.clock.advance(10_000);
  assert.equal(t.reconciled, ["default/stuck", "default/other"]);
  t.server.put("widgets", { metadata: { name: "stuck" }, spec: { size: 2 } });
  await t.clock.advance(60_000);
  assert.is(t.reconciled.filter((key) => key === "default/stuck").length, 1, "never two at once");
  assert.ok(t.lines.some((line) => line.msg === "Reconcile abandoned" && line["Request.Name"] === "stuck"));
  t.stopping.abort(new Error("The test is over"));
  await t.clock.advance(10_000);
  assert.match((t.outcome!.error as Error).message, /reconciles went on/);
});

test("rule 32: a reconcile that heeds its signal counts as timed out and is retried", async () => {
  const t = new Harness().control((_request, { signal }) => hang(signal), { reconcileTimeoutMs: 5_000 });
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.start();
  await t.clock.advance(5_100);
  assert.is(t.metric(`controller_runtime_reconcile_timeouts_total${labels}`), 1);
  assert.is(t.reconciled.length, 2);
  await t.stop();
});

test("rule 22: a reconciler that changes a cached object fails loudly, for its key only", async () => {
  const t = new Harness().control(async ({ namespace, name }, { client }) => {
    const widget = await client.get(widgets, { namespace, name });
    if (name === "bad" && widget?.spec) widget.spec.size = 7;
  });
  t.server.put("widgets", { metadata: { name: "bad" }, spec: { size: 1 } });
  t.server.put("widgets", { metadata: { name: "good" }, spec: { size: 1 } });
  await t.start();
  await settle();
  assert.ok(
    t.lines.some((line) => line.msg === "Reconciler error" && String(line.error).includes("read only")),
  );
  assert.is(t.manager.informer(widgets).get("default/bad")?.spec?.size, 1);
  assert.is(t.metric(result("success")), 1);
  await t.stop();
});

test("a conflict on every write: each key is retried, and all is well once they end", async () => {
  let refused = 0;
  const t = new Harness().control(async ({ namespace, name }, { client }) => {
    const widget = await client.get(widgets, { namespace, name });
    if (widget?.status?.seen) return;
    await client.patch(widgets, { namespace, name }, { status: { seen: 1 } }, { subresource: "status" });
  });
  for (const name of ["a", "b", "c"]) t.server.put("widgets", { metadata: { name } });
  t.server.intercept = (request) => {
    if (request.method === "PATCH" && refused++ < 30) throw conflict(request.path);
  };
  await t.start();
  await t.clock.advance(60_000);
  assert.ok((t.server.all("widgets") as Widget[]).every((widget) => widget.status?.seen === 1));
  await t.stop();
});

test("after an outage of an hour every key is tried again as soon as the API server is heard", async () => {
  let isDown = false;
  const t = new Harness().control(async ({ namespace, name }, { client }) => {
    const widget = await client.get(widgets, { namespace, name });
    const seen = widget?.spec?.size ?? 0;
    if (widget?.status?.seen === seen) return;
    await client.patch(widgets, { namespace, name }, { status: { seen } }, { subresource: "status" });
  });
  for (let index = 0; index < 300; index++) t.server.put("widgets", { metadata: { name: `w-${index}` } });
  await t.start();
  await settle(50);
  t.server.intercept = () => {
    if (isDown) throw new Error("connect ECONNREFUSED");
  };
  for (let index = 0; index < 300; index++) {
    t.server.put("widgets", { metadata: { name: `w-${index}` }, spec: { size: 7 } });
  }
  isDown = true;
  for (const watch of t.server.openWatches) watch.fail(new Error("reset"));
  await t.clock.advance(3_600_000);
  assert.not.ok((t.server.all("widgets") as Widget[]).every((widget) => widget.status?.seen === 7));
  isDown = false;
  await t.clock.advance(5_000);
  await settle(50);
  assert.ok((t.server.all("widgets") as Widget[]).every((widget) => widget.status?.seen === 7));
  await t.stop();
});

test("predicates: a pod annotated every few seconds wakes nobody; one whose role changes does", async () => {
  const t = new Harness().control(() => {}, {
    predicate: generationChanged(),
    owns: [owns(children, { predicate: changed((child) => child.metadata?.labels) })],
  });
  const owner = t.server.put("widgets", { metadata: { name: "a" } });
  const metadata = {
    name: "pod",
    ownerReferences: [controllerReference(owner)],
    labels: { role: "replica" },
  };
  t.server.put("configmaps", { metadata });
  await t.start();
  const before = t.reconciled.length;
  for (let time = 0; time < 50; time++) {
    t.server.put("configmaps", { metadata: { ...metadata, annotations: { status: String(time) } } });
    await t.clock.advance(5_000);
  }
  t.server.put("widgets", { metadata: { name: "a", annotations: { note: "x" } }, status: { seen: 1 } });
  await settle();
  assert.is(t.reconciled.length, before);
  t.server.put("configmaps", { metadata: { ...metadata, labels: { role: "primary" } } });
  await settle();
  assert.is(t.reconciled.length, before + 1);
  await t.stop();
});

test("owners and mapped sources wake their keys, before and after a change of hands, and by group as well as kind", async () => {
  const t = new Harness().control(() => {}, {
    owns: [owns(children)],
    watches: [
      watches<Child>(children, {
        map: (child) => child.data?.for ? [{ namespace: "default", name: child.data.for }] : [],
      }),
    ],
  });
  const owner = t.server.put("widgets", { metadata: { name: "a" } });
  const foreign: KubernetesObject = { ...owner, apiVersion: "other.com/v1" };
  await t.start();
  t.reconciled.length = 0;
  t.server.put("configmaps", { metadata: { name: "c", ownerReferences: [controllerReference(owner)] } });
  await settle();
  assert.equal(t.reconciled.splice(0), ["default/a"]);
  t.server.put("configmaps", { metadata: { name: "c", ownerReferences: [] } });
  await settle();
  assert.equal(t.reconciled.splice(0), ["default/a"]);
  t.server.put("configmaps", { metadata: { name: "f", ownerReferences: [controllerReference(foreign)] } });
  t.server.put("configmaps", { metadata: { name: "m" }, data: { for: "x" } });
  await settle();
  assert.equal(t.reconciled.splice(0), ["default/x"]);
  t.server.put("configmaps", { metadata: { name: "m" }, data: { for: "y" } });
  await settle();
  assert.equal(t.reconciled.splice(0).sort(), ["default/x", "default/y"]);
  await t.stop();
});

test("a deleted and re-created object of the same name is reconciled as another", async () => {
  const uids: (string | undefined)[] = [];
  const t = new Harness().control(async ({ namespace, name }, { client }) => {
    uids.push((await client.get(widgets, { namespace, name }))?.metadata?.uid);
  });
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.start();
  t.server.isHolding = true;
  t.server.drop("widgets", "a");
  t.server.put("widgets", { metadata: { name: "a" } });
  t.server.release();
  await settle();
  // Between the two the key may be reconciled as gone.
  assert.equal(uids.filter((uid) => uid !== undefined), ["uid-1", "uid-2"]);
  await t.stop();
});

test("the split client: caches answer for what they hold, the server for the rest", async () => {
  const found: unknown[] = [];
  const t = new Harness().control(async (_request, { client }) => {
    found.push((await client.get(children, { namespace: "default", name: "plain" }))?.metadata?.name);
    found.push((await client.get(children, { namespace: "default", name: "none" }))?.metadata?.name);
    found.push((await client.list(children, { labelSelector: "app=x" })).items.length);
  }, { owns: [owns(children, { labelSelector: "app=x" })] });
  t.server.put("configmaps", { metadata: { name: "plain" } });
  t.server.put("widgets", { metadata: { name: "a" } });
  let gets = 0;
  // The scripted server knows no selectors: the cache is made to hold none.
  t.server.intercept = (request) => {
    if (request.method === "GET" && /configmaps\/./.test(request.path)) gets += 1;
    if (request.isList && request.path.endsWith("configmaps")) {
      return { kind: "ConfigMapList", metadata: { resourceVersion: "100" }, items: [] };
    }
  };
  await t.start();
  assert.equal(found, ["plain", undefined, 0]);
  assert.is(gets, 2, "a name that a selective cache does not have is asked of the server");
  await t.stop();
});

test.run();
