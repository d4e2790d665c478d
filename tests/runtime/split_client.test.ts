/** Which caches answer a read, and which are waited for after a write. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Context } from "../../runtime/options.ts";
import { owns } from "../../runtime/options.ts";
import type { PendingWrite, SplitClient } from "../../runtime/split_client.ts";
import type { KubernetesObject } from "../../runtime/types.ts";
import { settle } from "./fake_clock.ts";
import { Harness } from "./harness.ts";
import { children, hang, type Seen, widgets } from "./scripted_server.ts";

/** A list that holds these objects, whatever the server has: the scripted one knows no selectors. */
const listOf = (kind: string, ...items: KubernetesObject[]) => ({
  kind: `${kind}List`,
  metadata: { resourceVersion: "100" },
  items: structuredClone(items),
});

/** A context whose client is used outside of a reconcile. */
async function contextOf(t: Harness, key = "a"): Promise<Context> {
  let found: Context | undefined;
  t.control((_request, context) => {
    found ??= context;
  });
  t.server.put("widgets", { metadata: { name: key } });
  await t.start();
  return found!;
}

const pending = ({ client }: Context): PendingWrite[] => (client as SplitClient).pending();

test("rule 24: a write that takes the selecting label away is waited for by the cache that has the object", async () => {
  const seen: number[] = [];
  const t = new Harness().control(async (_key, { client }) => {
    const { items } = await client.list(children, { namespace: "default", labelSelector: "app=x" });
    seen.push(items.length);
    for (const { metadata } of items) {
      const key = { namespace: "default", name: metadata!.name! };
      await client.patch(children, key, { metadata: { labels: { app: null } } });
    }
  }, { owns: [owns(children, { labelSelector: "app=x" })] });
  const child = t.server.put("configmaps", { metadata: { name: "c", labels: { app: "x" } } });
  await t.start();
  t.server.isHolding = true;
  t.server.holdOnly = "configmaps";
  t.server.put("widgets", { metadata: { name: "a" } });
  await settle();
  t.server.put("widgets", { metadata: { name: "a" }, spec: { size: 2 } });
  await settle();
  assert.equal(seen, [1], "held");
  // As the API server tells a watch of an object that leaves its selection.
  const { resourceVersion } = t.server.find("configmaps", "c")!.metadata!;
  const gone = { ...child, metadata: { ...child.metadata, resourceVersion } };
  t.server.openWatches.find(({ plural }) => plural === "configmaps")!.send({ type: "DELETED", object: gone });
  await settle();
  assert.equal(seen, [1, 0]);
  assert.is(t.server.writes.length, 1);
  await t.stop();
});

test("rule 24: a cache with a field selector is waited for when it has the object", async () => {
  let writes = 0;
  const fieldSelector = "metadata.name=a";
  const t = new Harness().control(async (key, { client }) => {
    const widget = await client.get(widgets, key);
    if (widget?.status?.seen) return;
    writes += 1;
    await client.patch(widgets, key, { status: { seen: 1 } }, { subresource: "status" });
  }, { forOptions: { fieldSelector } });
  await t.start();
  t.server.put("widgets", { metadata: { name: "a" } });
  t.server.isHolding = true;
  await settle();
  t.manager.informer(widgets, { fieldSelector }).resync();
  await settle();
  assert.is(writes, 1, "held");
  t.server.release();
  await settle();
  assert.is(writes, 1);
  await t.stop();
});

test("rule 24: own writes show by progress alone where a later version has taken their place", async () => {
  const t = new Harness();
  const context = await contextOf(t);
  t.server.isHolding = true;
  await context.client.create(widgets, { metadata: { namespace: "default", name: "short" } });
  assert.is(pending(context).length, 1);
  // Made and gone while the watch told nothing: only its progress says so.
  t.server.drop("widgets", "short");
  t.server.lose();
  t.server.bookmark("widgets");
  await settle();
  assert.is(pending(context).length, 0);
  await t.stop();
});

test("rule 24: nothing is waited for after a dry run, an answer of another kind, or a write elsewhere", async () => {
  const t = new Harness({ watchNamespaces: ["default"] });
  const context = await contextOf(t);
  t.server.isHolding = true;
  const { client } = context;
  await client.create(widgets, { metadata: { namespace: "default", name: "dry" } }, { dryRun: true });
  await client.create(widgets, { metadata: { namespace: "other", name: "b" } });
  const scale = { kind: "Scale", metadata: { namespace: "default", name: "a", resourceVersion: "900" } };
  t.server.intercept = ({ path }: Seen) => path.endsWith("/scale") ? scale : undefined;
  await client.patch(widgets, { namespace: "default", name: "a" }, {}, { subresource: "scale" });
  assert.equal(pending(context), []);
  await client.patch(widgets, { namespace: "default", name: "a" }, { spec: { size: 5 } });
  assert.is(pending(context).length, 1, "this one is");
  t.server.release();
  await t.stop();
});

test("rule 24: a write that removed the last finalizer of a deleted object shows when the object is gone", async () => {
  const t = new Harness();
  const context = await contextOf(t);
  const metadata = { namespace: "default", name: "a" };
  t.server.isHolding = true;
  t.server.intercept = ({ method }: Seen) => {
    if (method !== "PATCH") return undefined;
    const { uid } = t.server.find("widgets", "a")!.metadata!;
    const deletionTimestamp = "2026-01-01T00:00:00Z";
    return { kind: "Widget", metadata: { ...metadata, uid, resourceVersion: "900", deletionTimestamp } };
  };
  await context.client.patch(widgets, metadata, { metadata: { finalizers: null } });
  t.server.bookmark("widgets");
  await settle();
  assert.is(pending(context).length, 1, "the object is in the cache");
  t.server.drop("widgets", "a");
  t.server.release();
  await settle();
  assert.is(pending(context).length, 0);
  await t.stop();
});

test("rule 20: a cache that has no list yet answers nothing: the API server is asked", async () => {
  const t = new Harness();
  t.manager.informer(children);
  t.server.put("configmaps", { metadata: { name: "c" } });
  t.server.intercept = ({ isList, path }: Seen, signal) =>
    isList && path.endsWith("configmaps") ? hang(signal) : undefined;
  await t.start();
  const found = await t.manager.client.get(children, { namespace: "default", name: "c" });
  assert.is(found?.metadata?.name, "c");
  await t.stop();
});

test("rule 20: with several namespaces no cache answers before each of them has its list", async () => {
  const t = new Harness({ watchNamespaces: ["one", "two"] }).control(() => {});
  t.server.put("widgets", { metadata: { name: "a", namespace: "two" } });
  t.server.intercept = ({ isList, path }: Seen, signal) =>
    isList && path.includes("/two/") ? hang(signal) : undefined;
  await t.start();
  const informer = t.manager.informer(widgets);
  assert.not.ok(informer.hasSynced);
  const found = await t.manager.client.get(widgets, { namespace: "two", name: "a" });
  assert.is(found?.metadata?.name, "a", "asked of the API server");
  assert.is(t.manager.answer("/readyz").status, 503);
  await t.stop();
});

test("a cache of some namespaces answers for them alone", async () => {
  const t = new Harness({ watchNamespaces: ["default"] });
  t.manager.informer(children);
  t.server.put("configmaps", { metadata: { name: "c", namespace: "other" } });
  await t.start();
  const before = t.server.requests.length;
  const { client } = t.manager;
  const named = async (namespace: string) =>
    (await client.get(children, { namespace, name: "c" }))?.metadata?.name;
  assert.equal([await named("default"), await named("other")], [undefined, "c"]);
  assert.is((await client.list(children, { namespace: "default" })).items.length, 0);
  assert.is(t.server.requests.length, before + 1, "two answers came from the cache");
  assert.is((await client.list(children, { namespace: "other" })).items.length, 1);
  assert.is((await client.list(children)).items.length, 1);
  assert.is(t.server.requests.length, before + 3);
  await t.stop();
});

test("a cache with a selector answers lists that select no more than it has", async () => {
  const t = new Harness();
  t.manager.informer(children, { labelSelector: "app=x" });
  t.server.put("configmaps", { metadata: { name: "in", labels: { app: "x", tier: "1" } } });
  const out = t.server.put("configmaps", { metadata: { name: "out", labels: { tier: "1" } } });
  t.server.intercept = ({ isList, query }: Seen) =>
    isList && query.labelSelector === "app=x"
      ? listOf("ConfigMap", t.server.find("configmaps", "in")!)
      : isList && query.labelSelector === "tier=1"
      ? listOf("ConfigMap", t.server.find("configmaps", "in")!, out)
      : undefined;
  await t.start();
  const before = t.server.requests.length;
  const names = async (labelSelector: string) =>
    (await t.manager.client.list(children, { labelSelector })).items.map(({ metadata }) => metadata?.name);
  assert.equal(await names("app=x,tier=1"), ["in"]);
  assert.is(t.server.requests.length, before);
  assert.equal(await names("tier=1"), ["in", "out"]);
  assert.is(t.server.requests.length, before + 1);
  await t.stop();
});

test("rule 32: a request that names no signal ends with its reconcile", async () => {
  const signals: (AbortSignal | undefined)[] = [];
  const t = new Harness().control(async (key, { client }) => {
    await client.patch(widgets, key, { spec: { size: 1 } });
  }, { reconcileTimeoutMs: 5_000 });
  t.server.intercept = ({ method }: Seen, signal) => {
    if (method !== "PATCH") return undefined;
    signals.push(signal);
    return hang(signal);
  };
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.start();
  await t.clock.advance(4_999);
  assert.is(signals[0]?.aborted, false);
  await t.clock.advance(2);
  assert.is(signals[0]?.aborted, true);
  await t.stop();
});

test.run();
