import { test } from "uvu";
import * as assert from "uvu/assert";
import { hashOf, Intents } from "../../runtime/intents.ts";
import { controllerReference } from "../../runtime/metadata.ts";
import { settle } from "./fake_clock.ts";
import { Harness } from "./harness.ts";
import { type Child, children, widgets } from "./scripted_server.ts";

/** Keeps one ConfigMap for each Widget, with its size, through intents; then says something else in the same pass. */
function keeper(after?: string): Harness {
  const t = new Harness();
  const intents = new Intents({ client: t.manager.client, annotation: "example.com/intent" });
  t.manager.informer(children);
  return t.control(async (key, { client }) => {
    const widget = await client.get(widgets, key);
    if (!widget) return;
    for (const size of [String(widget.spec?.size), ...(after ? [after] : [])]) {
      const metadata = { ...key, ownerReferences: [controllerReference(widget)] };
      await intents.apply(
        children,
        { apiVersion: "v1", kind: "ConfigMap", metadata, data: { size } },
        widget,
        client,
      );
    }
  });
}

const sizeIn = (t: Harness) => (t.server.find("configmaps", "a") as Child | undefined)?.data?.size;

test("an intent from a stale cache is refused, and its key waits until the cache has caught up", async () => {
  const t = keeper();
  t.server.put("widgets", { metadata: { name: "a" }, spec: { size: 1 } });
  await t.start();
  assert.is(sizeIn(t), "1");
  const writes = t.server.writes.length;
  t.server.isHolding = true;
  t.server.holdOnly = "configmaps";
  // Somebody else changes it, which the cache does not know; the change of the Widget it does.
  t.server.put("configmaps", { ...structuredClone(t.server.find("configmaps", "a")), data: { size: "3" } });
  t.server.put("widgets", { metadata: { name: "a" }, spec: { size: 2 } });
  await t.clock.advance(4_000);
  assert.is(t.server.writes.length, writes + 1, "tried once");
  assert.is(sizeIn(t), "3", "refused");
  t.server.release();
  await settle();
  assert.is(sizeIn(t), "2");
  assert.is(t.server.writes.length, writes + 2);
  await t.stop();
});

test("an object of that name that somebody else controls, or nobody, is never written", async () => {
  const owner = { apiVersion: "v1", kind: "Other", name: "o", uid: "other", controller: true };
  for (const ownerReferences of [[owner], undefined]) {
    const t = keeper();
    t.server.put("configmaps", { metadata: { name: "a", ownerReferences }, data: { size: "9" } });
    t.server.put("widgets", { metadata: { name: "a" }, spec: { size: 1 } });
    await t.start();
    assert.equal(t.reconciled, ["default/a"]);
    assert.is(t.server.writes.length, 0);
    assert.is(sizeIn(t), "9");
    await t.stop();
  }
});

test("an intent written twice in a pass: the second is bound to what the first came to", async () => {
  const t = keeper("9");
  t.server.put("widgets", { metadata: { name: "a" }, spec: { size: 1 } });
  await t.start();
  assert.is(sizeIn(t), "9");
  t.server.isHolding = true;
  t.server.holdOnly = "configmaps";
  const writes = t.server.writes.length;
  t.server.put("widgets", { metadata: { name: "a" }, spec: { size: 2 } });
  await settle();
  assert.is(t.server.writes.length, writes + 2);
  assert.is(sizeIn(t), "9", "no conflict with its own write");
  t.server.release();
  await t.stop();
});

test("a hash does not depend on the order of keys, nor on the version of the operator", () => {
  // Another hash for the same intent would write every object again after an upgrade of the operator.
  assert.is(
    hashOf({ b: [1, undefined, { z: '\u2028"é\ud800', y: undefined }], a: {}, 'ke"y': [null] }),
    "19a53848022b7f",
  );
  assert.is(
    hashOf({ 'ke"y': [null], a: {}, b: [1, null, { z: '\u2028"é\ud800' }] }),
    "19a53848022b7f",
  );
  assert.is.not(hashOf({ a: [1, 2] }), hashOf({ a: [2, 1] }));
});

test("a long text is hashed whole, however often and after however many others", () => {
  const long = (middle: string) => ({ text: "a".repeat(5_000) + middle + "b".repeat(5_000) });
  const first = hashOf(long("1"));
  assert.is(first, "032ed570eaf686");
  const others = Array.from({ length: 200 }, (_, index) => hashOf(long(`1${index}`)));
  assert.is(new Set([first, ...others]).size, 201);
  assert.is(hashOf(long("1")), first);
  assert.is(hashOf(long("17")), others[7]);
});

test.run();
