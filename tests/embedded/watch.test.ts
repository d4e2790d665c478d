/** Watches and lists of the embedded API. @module */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { configMaps, TestApi } from "./client.ts";

const map = (name: string, labels = {}) => ({ metadata: { name, labels }, data: {} });

test("a watch replays what came after its resourceVersion, and nothing twice", async () => {
  const api = new TestApi();
  const { metadata } = await api.post(configMaps, map("a"));
  await api.post(configMaps, map("b"));
  const watch = await api.watch(`${configMaps}?resourceVersion=${metadata.resourceVersion}`);
  await api.patch(`${configMaps}/a`, { data: { x: "1" } });
  await api.patch(`${configMaps}/a`, { data: { x: "1" } });
  await api.delete(`${configMaps}/b`);
  assert.equal(await watch.take(3), ["ADDED b", "MODIFIED a", "DELETED b"]);
  await watch.close();
  api.api.close();
});

test('a watch from "" or "0" starts with an ADDED event for everything there', async () => {
  const api = new TestApi();
  await api.post(configMaps, map("a"));
  for (const query of ["", "?resourceVersion=0"]) {
    const watch = await api.watch(configMaps + query);
    assert.equal(await watch.take(1), ["ADDED a"]);
    await watch.close();
  }
  api.api.close();
});

test("sendInitialEvents ends the initial events with an annotated bookmark", async () => {
  const api = new TestApi();
  await api.post(configMaps, map("a"));
  const watch = await api.watch(
    `${configMaps}?sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true`,
  );
  assert.equal(await watch.take(1), ["ADDED a"]);
  const { type, object } = await watch.next();
  assert.is(type, "BOOKMARK");
  assert.equal(object.metadata.annotations, { "k8s.io/initial-events-end": "true" });
  assert.is(object.metadata.resourceVersion, api.api.resourceVersion);
  await watch.close();
  api.api.close();
});

test("an object that leaves the selector is DELETED, one that enters is ADDED", async () => {
  const api = new TestApi();
  await api.post(configMaps, map("a", { l: "1" }));
  const watch = await api.watch(
    `${configMaps}?resourceVersion=${api.api.resourceVersion}&labelSelector=l%3D1`,
  );
  await api.patch(`${configMaps}/a`, { data: { x: "1" } });
  const left = await api.patch(`${configMaps}/a`, { metadata: { labels: { l: "2" } } });
  await api.patch(`${configMaps}/a`, { data: { x: "2" } });
  await api.patch(`${configMaps}/a`, { metadata: { labels: { l: "1" } } });
  assert.equal(await watch.take(1), ["MODIFIED a"]);
  const { type, object } = await watch.next();
  assert.is(type, "DELETED");
  assert.equal(object.metadata.labels, { l: "1" });
  assert.is(object.metadata.resourceVersion, left.metadata.resourceVersion);
  assert.equal(await watch.take(1), ["ADDED a"]);
  await watch.close();
  api.api.close();
});

test("a DELETED event carries the deletion's own resourceVersion", async () => {
  const api = new TestApi();
  const made = await api.post(configMaps, map("a"));
  const watch = await api.watch(`${configMaps}?resourceVersion=${made.metadata.resourceVersion}`);
  await api.delete(`${configMaps}/a`);
  const { object } = await watch.next();
  assert.is(object.metadata.resourceVersion, api.api.resourceVersion);
  await watch.close();
  api.api.close();
});

test("a forgotten resourceVersion is 410: as an ERROR event on status 200, or as the status", async () => {
  for (const goneAs of ["event", "status"] as const) {
    const api = new TestApi({ goneAs });
    const { metadata } = await api.post(configMaps, map("a"));
    await api.post(configMaps, map("b"));
    api.api.compact();
    await api.post(configMaps, map("c"));
    const watch = await api.watch(`${configMaps}?resourceVersion=${metadata.resourceVersion}`);
    assert.is(watch.status, goneAs === "event" ? 200 : 410);
    const first = await watch.next();
    const status = goneAs === "event" ? first.object : first;
    assert.is(status.code, 410);
    assert.is(status.reason, "Expired");
    assert.match(status.message, /^too old resource version: \d+ \(\d+\)$/);
    assert.is(await watch.next(), undefined);
    api.api.close();
  }
});

test("the history has a length: what is older is forgotten", async () => {
  const api = new TestApi({ historyLength: 10 });
  const { metadata } = await api.post(configMaps, map("a"));
  for (let i = 0; i < 30; i++) await api.patch(`${configMaps}/a`, { data: { x: String(i) } });
  const watch = await api.watch(`${configMaps}?resourceVersion=${metadata.resourceVersion}`);
  assert.equal(await watch.take(1), ["ERROR Expired"]);
  const late = await api.watch(`${configMaps}?resourceVersion=${Number(api.api.resourceVersion) - 5}`);
  assert.equal((await late.take(5)).length, 5);
  await late.close();
  api.api.close();
});

test("bookmarks come when asked for, once a minute, with the newest resourceVersion", async () => {
  const api = new TestApi();
  const watch = await api.watch(
    `${configMaps}?resourceVersion=${api.api.resourceVersion}&allowWatchBookmarks=true`,
  );
  await api.post("/api/v1/namespaces/default/secrets", map("elsewhere"));
  api.clock.advance(60_000);
  const { type, object } = await watch.next();
  assert.is(type, "BOOKMARK");
  assert.equal(object, {
    kind: "ConfigMap",
    apiVersion: "v1",
    metadata: { resourceVersion: api.api.resourceVersion },
  });
  await watch.close();
  api.api.close();
});

test("timeoutSeconds ends a watch normally, and no timer stays", async () => {
  const api = new TestApi();
  const before = api.clock.waiting;
  const watch = await api.watch(`${configMaps}?resourceVersion=1&timeoutSeconds=5&allowWatchBookmarks=true`);
  api.clock.advance(4_999);
  assert.is(api.api.openWatches, 1);
  api.clock.advance(1);
  assert.is(await watch.next(), undefined);
  assert.is(api.api.openWatches, 0);
  assert.is(api.clock.waiting, before);
  api.api.close();
});

test("frozen events come late, in order and complete; dropped watches end or break", async () => {
  const api = new TestApi();
  const watch = await api.watch(`${configMaps}?resourceVersion=${api.api.resourceVersion}`);
  api.api.freeze("/configmaps");
  await api.post(configMaps, map("a"));
  await api.delete(`${configMaps}/a`);
  api.api.thaw("/configmaps");
  assert.equal(await watch.take(2), ["ADDED a", "DELETED a"]);
  assert.is(api.api.dropWatches("/pods"), 0);
  assert.is(api.api.dropWatches("/configmaps"), 1);
  assert.is(await watch.next(), undefined);
  const broken = await api.watch(configMaps);
  api.api.dropWatches(undefined, "abort");
  const failure = await broken.next().catch((error: Error) => error.message);
  assert.is(failure, "connection reset");
  const gone = await api.watch(configMaps);
  api.api.dropWatches(undefined, "gone");
  assert.equal(await gone.take(2), ["ERROR Expired", "end"]);
  api.api.close();
});

test("a server that lags shows the past to reads and lets writes through", async () => {
  const api = new TestApi();
  await api.post(configMaps, map("a"));
  const past = api.api.lagging(api.api.resourceVersion);
  await api.patch(`${configMaps}/a`, { data: { x: "1" } });
  await api.post(configMaps, map("b"));
  const get = async (path: string) => {
    const response = await past.fetch(new Request(`http://api${path}`));
    return { status: response.status, body: JSON.parse(await response.text()) };
  };
  assert.equal((await get(`${configMaps}/a`)).body.data, undefined);
  assert.is((await get(`${configMaps}/b`)).status, 404);
  assert.equal((await get(configMaps)).body.items.length, 1);
  assert.is((await get(`${configMaps}?resourceVersion=${api.api.resourceVersion}`)).status, 504);
  const response = await past.fetch(
    new Request(`http://api${configMaps}`, { method: "POST", body: JSON.stringify(map("b")) }),
  );
  assert.is(response.status, 409);
  api.api.close();
});

test("all pages of a list show one moment, and count what remains", async () => {
  const api = new TestApi();
  for (const name of ["a", "b", "c", "d", "e"]) await api.post(configMaps, map(name));
  const first = await api.get(`${configMaps}?limit=2`);
  assert.is(first.metadata.remainingItemCount, 3);
  await api.delete(`${configMaps}/d`);
  await api.post(configMaps, map("bb"));
  const names: string[] = [];
  let page = first;
  while (true) {
    for (const item of page.items) names.push(item.metadata.name);
    assert.is(page.metadata.resourceVersion, first.metadata.resourceVersion);
    if (!page.metadata.continue) break;
    page = await api.get(`${configMaps}?limit=2&continue=${page.metadata.continue}`);
  }
  assert.equal(names, ["a", "b", "c", "d", "e"]);
  api.api.close();
});

test("a page after compaction is 410 with a token that goes on inconsistently", async () => {
  const api = new TestApi();
  for (const name of ["a", "b", "c"]) await api.post(configMaps, map(name));
  const { metadata } = await api.get(`${configMaps}?limit=1`);
  await api.post(configMaps, map("d"));
  api.api.compact();
  const { status, body } = await api.send("GET", `${configMaps}?limit=1&continue=${metadata.continue}`);
  assert.is(status, 410);
  const rest = await api.get(`${configMaps}?continue=${body.metadata.continue}`);
  assert.equal(rest.items.map((item: { metadata: { name: string } }) => item.metadata.name), ["b", "c", "d"]);
  api.api.close();
});

test("resourceVersions may be longer than a double can hold", async () => {
  const api = new TestApi({ firstResourceVersion: 9_007_199_254_740_993n });
  const a = await api.post(configMaps, map("a"));
  assert.ok(BigInt(a.metadata.resourceVersion) > BigInt(Number.MAX_SAFE_INTEGER));
  const watch = await api.watch(`${configMaps}?resourceVersion=${a.metadata.resourceVersion}`);
  await api.post(configMaps, map("b"));
  assert.equal(await watch.take(1), ["ADDED b"]);
  await watch.close();
  api.api.close();
});

test.run();
