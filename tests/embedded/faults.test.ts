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
