/** The hooks that tests of clients make faults with. @module */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { configMaps, TestApi } from "./client.ts";

const map = { metadata: { name: "a" }, data: {} };

test("a hook can answer in the API's place, so many times as it likes", async () => {
  const api = new TestApi();
  let left = 2;
  api.api.intercept = {
    before: ({ verb, resource }) =>
      verb === "create" && resource === "configmaps" && left-- > 0
        ? new Response("{}", { status: 429, headers: { "retry-after": "1" } })
        : undefined,
  };
  assert.is((await api.send("POST", configMaps, map)).status, 429);
  assert.is((await api.send("POST", configMaps, map)).status, 429);
  assert.is((await api.send("POST", configMaps, map)).status, 201);
  api.api.close();
});

test("a hook can lose the answer after the commit", async () => {
  const api = new TestApi();
  api.api.intercept = {
    after: ({ verb }) => (verb === "create" ? Promise.reject(new Error("connection reset")) : undefined),
  };
  const failure = await api.send("POST", configMaps, map).catch((error: Error) => error.message);
  assert.is(failure, "connection reset");
  assert.is((await api.send("GET", `${configMaps}/a`)).status, 200);
  api.api.close();
});

test("a hook is told verb, resource, subresource, namespace, name and body", async () => {
  const api = new TestApi();
  const seen: string[] = [];
  api.api.intercept = {
    before: ({ verb, group, resource, subresource, namespace, name, body }) => {
      seen.push([verb, group, resource, subresource, namespace, name, body.length > 0].join(" "));
      return undefined;
    },
  };
  await api.send("GET", "/apis/apps/v1/namespaces/x/statefulsets/s/scale");
  await api.send("GET", "/apis/apps/v1/statefulsets?watch=true&timeoutSeconds=1&resourceVersion=x");
  await api.send("DELETE", "/api/v1/namespaces/x");
  await api.send("DELETE", configMaps);
  await api.send("POST", configMaps, map);
  assert.equal(seen, [
    "get apps statefulsets scale x s false",
    "watch apps statefulsets    false",
    "delete  namespaces   x false",
    "deletecollection  configmaps  default  false",
    "create  configmaps  default  true",
  ]);
  api.api.close();
});

test("an aborted request rejects, hung or watching", async () => {
  const api = new TestApi();
  const stop = new AbortController();
  api.api.intercept = { before: ({ verb }) => (verb === "get" ? new Promise(() => {}) : undefined) };
  const hung = api.api.fetch(new Request(`http://api${configMaps}/a`, { signal: stop.signal }));
  const response = await api.api.fetch(
    new Request(`http://api${configMaps}?watch=true`, { signal: stop.signal }),
  );
  const read = response.body!.getReader().read();
  stop.abort(new Error("enough"));
  const failure = (promise: Promise<unknown>) => promise.then(() => "none", (error: Error) => error.message);
  assert.is(await failure(hung), "enough");
  assert.is(await failure(read), "enough");
  assert.is(api.api.openWatches, 0);
  api.api.close();
});

test("events can come twice, or only the latest of each object", async () => {
  const api = new TestApi();
  const watch = await api.watch(`${configMaps}?resourceVersion=${api.api.resourceVersion}`);
  api.api.repeatEvents("/configmaps");
  await api.post(configMaps, map);
  api.api.repeatEvents("/configmaps", false);
  assert.equal(await watch.take(2), ["ADDED a", "ADDED a"]);
  api.api.freeze("/configmaps");
  await api.patch(`${configMaps}/a`, { data: { x: "1" } });
  await api.patch(`${configMaps}/a`, { data: { x: "2" } });
  await api.post(configMaps, { metadata: { name: "b" } });
  await api.delete(`${configMaps}/b`);
  api.api.thaw("/configmaps", true);
  const { type, object } = await watch.next();
  assert.equal([type, object.data.x], ["MODIFIED", "2"]);
  await api.delete(`${configMaps}/a`);
  assert.equal(await watch.take(1), ["DELETED a"]);
  await watch.close();
  api.api.close();
});

test("a closed API answers 503 and has let go of everything", async () => {
  const api = new TestApi({ simulate: true });
  api.clock.advance(1000);
  const watch = await api.watch(configMaps);
  api.api.close();
  assert.is(await watch.next(), undefined);
  assert.is((await api.send("GET", configMaps)).status, 503);
  assert.is(api.clock.waiting, 0);
});

test.run();
