import { test } from "uvu";
import * as assert from "uvu/assert";
import { Client, readListPage } from "../../runtime/client.ts";
import { ApiError, isConflict } from "../../runtime/errors.ts";
import { FakeClock, settle } from "./fake_clock.ts";
import { children, ScriptedServer, type Widget, widgets } from "./scripted_server.ts";

function setUp() {
  const [server, clock] = [new ScriptedServer(), new FakeClock()];
  return { server, clock, client: new Client(server, { fieldManager: "tester", clock }) };
}

async function failure(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("It did not fail");
}

test("not found is a value: get answers undefined, delete says so", async () => {
  const { client } = setUp();
  assert.is(await client.get(widgets, { namespace: "default", name: "none" }), undefined);
  assert.is(await client.delete(widgets, { namespace: "default", name: "none" }), "not found");
});

test("list follows all pages; with a limit it is the first page alone", async () => {
  const { client, server } = setUp();
  for (let index = 0; index < 1_001; index++) server.put("configmaps", { metadata: { name: `c-${index}` } });
  const { items, resourceVersion } = await client.list(children);
  assert.is(items.length, 1_001);
  assert.is(resourceVersion, String(server.rv));
  assert.equal([items[0]?.apiVersion, items[0]?.kind], ["v1", "ConfigMap"]);
  assert.is(server.lists.length, 3);
  assert.is((await client.list(children, { limit: 7 })).items.length, 7);
});

test("rule 2: a snapshot that expires between two pages leads to one whole list", async () => {
  const { client, server } = setUp();
  for (let index = 0; index < 700; index++) server.put("configmaps", { metadata: { name: `c-${index}` } });
  server.intercept = (request) => {
    if (request.query.continue) throw new ApiError(410, "too old", { reason: "Expired" });
  };
  assert.is((await client.list(children)).items.length, 700);
  assert.equal(server.lists.map(({ query }) => query.limit), ["500", "500", "0"]);
});

test("writes say who writes: field manager, force for apply, dry run, subresource, content type", async () => {
  const { client, server } = setUp();
  const metadata = { namespace: "default", name: "a" };
  await client.create(widgets, { metadata });
  await client.apply(widgets, { metadata: { name: "a", namespace: "default" }, status: { seen: 1 } }, {
    subresource: "status",
  });
  await client.apply(widgets, { metadata, spec: { size: 1 } }, { force: false, dryRun: true });
  await client.patch(widgets, metadata, { spec: { size: 2 } });
  const found = (await client.get(widgets, metadata))!;
  await client.replace(widgets, { ...found, spec: { size: 3 } });
  assert.equal(server.writes.map(({ method, path, query }) => [method, path, query]), [
    ["POST", "/apis/example.com/v1/namespaces/default/widgets", { fieldManager: "tester" }],
    ["PATCH", "/apis/example.com/v1/namespaces/default/widgets/a/status", {
      fieldManager: "tester",
      force: "true",
    }],
    ["PATCH", "/apis/example.com/v1/namespaces/default/widgets/a", {
      fieldManager: "tester",
      dryRun: "All",
      force: "false",
    }],
    ["PATCH", "/apis/example.com/v1/namespaces/default/widgets/a", { fieldManager: "tester" }],
    ["PUT", "/apis/example.com/v1/namespaces/default/widgets/a", { fieldManager: "tester" }],
  ]);
  assert.is((server.writes[0]!.body as Widget).kind, "Widget");
  assert.is((server.find("widgets", "a") as Widget).spec?.size, 3);
});

test("rule 40: a delete carries uid and resourceVersion, and one that does not match is a conflict", async () => {
  const { client, server } = setUp();
  const { uid, resourceVersion } = server.put("widgets", { metadata: { name: "a" } }).metadata!;
  const key = { namespace: "default", name: "a" };
  assert.ok(isConflict(await failure(client.delete(widgets, key, { uid: "other" }))));
  assert.ok(isConflict(await failure(client.delete(widgets, key, { uid, resourceVersion: "1" }))));
  assert.is(await client.delete(widgets, key, { uid, resourceVersion }), "deleted");
  assert.equal(server.writes.at(-1)?.body, {
    apiVersion: "v1",
    kind: "DeleteOptions",
    propagationPolicy: "Background",
    preconditions: { uid, resourceVersion },
  });
});

test("rule 43: Retry-After is honoured on 429 and 5xx alone, at most ten tries, and not without it", async () => {
  const { client, server, clock } = setUp();
  server.put("widgets", { metadata: { name: "a" } });
  const key = { namespace: "default", name: "a" };
  for (const status of [429, 503]) {
    let refused = 0;
    server.intercept = () => {
      if (refused++ < 3) throw new ApiError(status, "slow down", { retryAfterMs: 2_000 });
    };
    let found: Widget | undefined;
    const getting = client.get(widgets, key).then((widget) => {
      found = widget;
    });
    await clock.advance(5_999);
    assert.is(found, undefined);
    await clock.advance(1);
    await getting;
    assert.is(found!.metadata?.name, "a");
  }
  let tries = 0;
  server.intercept = () => {
    tries += 1;
    throw new ApiError(429, "slow down", { retryAfterMs: 1_000 });
  };
  const failing = failure(client.get(widgets, key));
  await clock.advance(60_000);
  assert.is((await failing as ApiError).status, 429);
  assert.is(tries, 10);
  const refusals = [
    new ApiError(503, "down"),
    new ApiError(503, "down", { retryAfterMs: 3_600_000 }),
    new ApiError(409, "modified", { retryAfterMs: 1_000 }),
    new ApiError(403, "forbidden", { retryAfterMs: 1_000 }),
  ];
  for (const refusal of refusals) {
    tries = 0;
    server.intercept = () => {
      tries += 1;
      throw refusal;
    };
    assert.is(await failure(client.get(widgets, key)), refusal);
    assert.is(tries, 1);
  }
  assert.is(clock.pending, 0);
});

test("rule 43: a wait for Retry-After ends with its signal", async () => {
  const { client, server, clock } = setUp();
  const stop = new AbortController();
  server.intercept = () => {
    throw new ApiError(429, "slow down", { retryAfterMs: 20_000 });
  };
  const failing = failure(client.get(widgets, { namespace: "default", name: "a" }, { signal: stop.signal }));
  await settle();
  stop.abort(new Error("Stopped"));
  assert.is((await failing as Error).message, "Stopped");
  assert.is(clock.pending, 0);
});

test("a list of something else is refused, strange items are left out and reported", () => {
  assert.throws(
    () => readListPage(widgets, { kind: "Table", metadata: { resourceVersion: "1" }, rows: [] }),
    /got kind "Table"/,
  );
  assert.throws(() => readListPage(widgets, null), /Cannot read the list/);
  assert.throws(
    () => readListPage(widgets, { kind: "WidgetList", metadata: {}, items: [] }),
    /at resourceVersion "undefined"/,
  );
  const page = readListPage(widgets, {
    kind: "WidgetList",
    metadata: { resourceVersion: "9".repeat(30) },
    items: [{ metadata: { name: "a" } }, { kind: "Other", metadata: { name: "b" } }, { metadata: {} }, null],
  });
  assert.equal(page.items, [{ metadata: { name: "a" }, apiVersion: "example.com/v1", kind: "Widget" }]);
  assert.is(page.strange.length, 3);
});

test("a field manager has 1 to 128 characters; an object is never addressed without a name", async () => {
  const { client, server } = setUp();
  assert.throws(() => new Client(server, { fieldManager: "" }), RangeError);
  assert.throws(() => new Client(server, { fieldManager: "x".repeat(129) }), RangeError);
  assert.instance(await failure(client.delete(widgets, { namespace: "default", name: "" })), TypeError);
  assert.instance(await failure(client.create(widgets, { metadata: { name: "a" } })), TypeError);
  assert.is(server.requests.length, 0);
});

test.run();
