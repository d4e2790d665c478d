import { test } from "uvu";
import * as assert from "uvu/assert";
import { Store } from "../../runtime/store.ts";
import type { KubernetesObject } from "../../runtime/types.ts";

const object = (name: string, resourceVersion: string, more: object = {}): KubernetesObject => ({
  kind: "Widget",
  metadata: { namespace: "default", name, uid: `uid-${name}`, resourceVersion, ...more },
});

test("rule 3: a list replaces the store in one step and reports what vanished, with its last state known", () => {
  const store = new Store();
  const [a, b, c] = [object("a", "1"), object("b", "2"), object("c", "4")];
  store.replace([a, b]);
  const changes = store.replace([c, object("b", "2")]);
  assert.equal(changes, [{ type: "delete", object: a, unseen: true }, { type: "add", object: c }]);
  assert.equal(store.list().map((each) => each.metadata?.name).sort(), ["b", "c"]);
  assert.is(store.size, 2);
});

test("rule 3: a list of one namespace leaves the others alone", () => {
  const store = new Store();
  store.replace([object("a", "1", { namespace: "one" })], "one");
  store.replace([object("a", "2", { namespace: "two" })], "two");
  assert.is(store.size, 2);
  assert.equal(store.replace([], "one").length, 1);
  assert.ok(store.get("two/a"));
});

test("rule 4: the same name with a new uid is a delete and an add, from a watch and from a list", () => {
  const [old, young] = [object("a", "1", { uid: "old" }), object("a", "5", { uid: "young" })];
  const expected = [{ type: "delete", object: old, unseen: true }, { type: "add", object: young }];
  const watched = new Store();
  watched.upsert(structuredClone(old));
  assert.equal(watched.upsert(structuredClone(young)), expected);
  const listed = new Store();
  listed.upsert(structuredClone(old));
  assert.equal(listed.replace([structuredClone(young)]), expected);
});

test("rule 4: a late DELETED of an older object of the same name does not remove the present one", () => {
  const store = new Store();
  store.upsert(object("a", "5", { uid: "young" }));
  assert.equal(store.remove(object("a", "3", { uid: "old" })), []);
  assert.ok(store.get("default/a"));
});

test("rule 19: states may be skipped but never come twice or backwards", () => {
  const store = new Store();
  const [one, three] = [object("a", "1"), object("a", "3")];
  assert.equal(store.upsert(one), [{ type: "add", object: one }]);
  assert.equal(store.upsert(three), [{ type: "update", before: one, object: three }]);
  assert.equal(store.upsert(object("a", "3")), []);
  assert.equal(store.upsert(object("a", "2")), []);
  assert.is(store.get("default/a"), three);
});

test("a list is believed also where its versions are older: the cluster was restored", () => {
  const store = new Store();
  const [nine, four] = [object("a", "9"), object("a", "4")];
  store.upsert(nine);
  assert.equal(store.replace([four]), [{ type: "update", before: nine, object: four }]);
});

test("rule 22: objects from the store are frozen in depth, so a reader that changes one fails at once", () => {
  const store = new Store();
  store.upsert(
    { ...object("a", "1", { labels: { app: "x" } }), spec: { list: [{ size: 1 }] } } as KubernetesObject,
  );
  const found = store.get("default/a") as {
    metadata: { labels: Record<string, string> };
    spec: { list: { size: number }[] };
  };
  assert.throws(() => {
    found.metadata.labels.app = "y";
  }, TypeError);
  assert.throws(() => {
    found.spec.list[0]!.size = 2;
  }, TypeError);
  assert.throws(() => found.spec.list.push({ size: 3 }), TypeError);
});

test("indexes follow every change, and take in what was there before them", () => {
  const store = new Store();
  store.upsert(object("a", "1", { labels: { app: "x" } }));
  store.addIndex("app", (each) => each.metadata?.labels?.app ? [each.metadata.labels.app] : []);
  store.upsert(object("b", "2", { labels: { app: "x" } }));
  const names = (value: string) => store.byIndex("app", value).map((each) => each.metadata?.name).sort();
  assert.equal(names("x"), ["a", "b"]);
  store.upsert(object("a", "3", { labels: { app: "y" } }));
  assert.equal([names("x"), names("y")], [["b"], ["a"]]);
  store.remove(object("b", "4"));
  assert.equal(names("x"), []);
  assert.throws(() => store.byIndex("none", "x"), /there is no index "none"/);
});

test("cluster-scoped objects are found by name alone", () => {
  const store = new Store();
  store.upsert({ kind: "Node", metadata: { name: "n1", uid: "u", resourceVersion: "1" } });
  assert.ok(store.get("n1"));
  assert.ok(store.get({ name: "n1" }));
  assert.is(store.get("default/n1"), undefined);
});

test.run();
