/** What a user of the library adds to a manager, and may ask of a client. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Client } from "../../runtime/client.ts";
import type { Lease } from "../../runtime/leader_election.ts";
import type { Resource } from "../../runtime/types.ts";
import { settle } from "./fake_clock.ts";
import { Harness } from "./harness.ts";
import { hang, ScriptedServer, widgets } from "./scripted_server.ts";

const leaderElection = { namespace: "default", name: "lock", identity: "me" };
const lease = (holderIdentity: string) => ({
  metadata: { name: "lock" },
  spec: { holderIdentity, leaseDurationSeconds: 15 } satisfies Lease["spec"],
});

test("a runnable begins with the controllers when this process leads, one for everywhere at once; both end at the stop", async () => {
  const said: string[] = [];
  const work = (name: string, isEverywhere?: boolean) => ({
    name,
    isEverywhere,
    async run(signal: AbortSignal) {
      said.push(`${name} begins`);
      await hang(signal).catch(() => said.push(`${name} ends`));
    },
  });
  const t = new Harness({ leaderElection }).control(() => {});
  t.server.put("leases", lease("other"));
  t.manager.add(work("leader's"));
  t.manager.add(work("everybody's", true));
  await t.start();
  assert.equal(said, ["everybody's begins"]);
  await t.clock.advance(17_500);
  assert.equal(said, ["everybody's begins", "leader's begins"]);
  assert.throws(() => t.manager.add(work("late")), /Cannot add "late" after the start/);
  await t.stop();
  assert.equal(said.slice(2).sort(), ["everybody's ends", "leader's ends"]);
  assert.equal(t.outcome, {});
});

test("a runnable that fails ends the manager by its name; one that returns, or rejects as it is stopped, does not", async () => {
  const t = new Harness().control(() => {});
  let fail = (_error: Error) => {};
  t.manager.add({ name: "short", run: () => Promise.resolve() });
  t.manager.add({ name: "broken", run: () => new Promise((_, reject) => fail = reject) });
  await t.start();
  assert.is(t.outcome, undefined);
  fail(new Error("no port"));
  await settle();
  assert.match((t.outcome!.error as Error).message, /^"broken" ended: no port$/);
  await t.stop();

  const stopped = new Harness().control(() => {});
  stopped.manager.add({ name: "rejects", run: (signal) => hang(signal) });
  await stopped.start();
  await stopped.stop();
  assert.equal(stopped.outcome, {});
});

test("a runnable of the leader is stopped by a lost lease", async () => {
  let reason: unknown;
  const t = new Harness({ leaderElection }).control(() => {});
  t.manager.add({ name: "work", run: (signal) => hang(signal).catch((error) => void (reason = error)) });
  await t.start();
  t.server.put("leases", lease("other"));
  await t.clock.advance(2_500);
  assert.match((reason as Error).message, /"other" leads now/);
  await t.stop();
});

test("health checks of the user's are asked with our own; one that throws fails", async () => {
  const t = await new Harness().control(() => {}).start();
  let wrong: string | undefined = undefined;
  t.manager.check("livez", () => wrong);
  t.manager.check("readyz", () => {
    if (wrong) throw new Error(`thrown: ${wrong}`);
    return undefined;
  });
  const both = () => (["/livez", "/readyz"] as const).map((path) => t.manager.answer(path));
  assert.equal(both().map(({ status }) => status), [200, 200]);
  wrong = "the other side is away";
  assert.equal(both().map(({ status, body }) => [status, body]), [
    [503, "the other side is away\n"],
    [503, "thrown: the other side is away\n"],
  ]);
  await t.stop();
});

test("rule 29: a controller's delays may be others", async () => {
  const rateLimit = { baseDelayMs: 1_000, maxDelayMs: 3_000 };
  const t = new Harness().control(() => {
    throw new Error("not yet");
  }, { rateLimit });
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.start();
  for (const delayMs of [1_000, 2_000, 3_000, 3_000]) {
    const before = t.reconciled.length;
    await t.clock.advance(delayMs - 1);
    assert.is(t.reconciled.length, before);
    await t.clock.advance(1);
    assert.is(t.reconciled.length, before + 1);
  }
  await t.stop();
});

test("the first of a key's errors in a row tells where it was thrown", async () => {
  const t = new Harness().control(() => {
    throw new Error("somewhere");
  });
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.start();
  await t.clock.advance(20);
  const traces = t.lines.filter(({ msg }) => msg === "Reconciler error").map(({ stacktrace }) => stacktrace);
  assert.match(String(traces[0]), /^Error: somewhere\n +at .*library\.test\.ts/);
  assert.equal(traces.slice(1), traces.slice(1).map(() => undefined));
  await t.stop();
});

test("a list is read page by page with a limit and a token, past the cache", async () => {
  const t = new Harness().control(() => {});
  for (const name of ["a", "b", "c", "d", "e"]) t.server.put("widgets", { metadata: { name } });
  await t.start();
  const pages: (string | undefined)[][] = [];
  let continueToken: string | undefined;
  do {
    const page = await t.manager.client.list(widgets, { limit: 2, continueToken });
    pages.push(page.items.map(({ metadata }) => metadata?.name));
    continueToken = page.continueToken;
  } while (continueToken);
  assert.equal(pages, [["a", "b"], ["c", "d"], ["e"]]);
  assert.is((await t.manager.client.list(widgets)).continueToken, undefined);
  await t.stop();
});

test("a subresource is read and created at its object, never from the cache", async () => {
  const server = new ScriptedServer();
  const client = new Client(server, { fieldManager: "test" });
  type Scale = { kind?: string; metadata: { namespace: string; name: string }; spec?: { replicas: number } };
  const { group, version, plural, scope } = widgets;
  const scales: Resource<Scale> = { group, version, kind: "Scale", plural, scope };
  const metadata = { namespace: "default", name: "a" };
  server.intercept = ({ path }) => path.endsWith("/scale") ? { kind: "Scale", spec: { replicas: 3 } } : {};
  assert.is((await client.get(scales, metadata, { subresource: "scale" }))?.spec?.replicas, 3);
  const evictions: Resource<Scale> = {
    group: "",
    version: "v1",
    kind: "Eviction",
    plural: "pods",
    scope: "Namespaced",
  };
  await client.create(evictions, { metadata }, { subresource: "eviction" });
  assert.equal(server.requests.map(({ method, path }) => `${method} ${path}`), [
    "GET /apis/example.com/v1/namespaces/default/widgets/a/scale",
    "POST /api/v1/namespaces/default/pods/a/eviction",
  ]);
  const t = new Harness().control(() => {});
  t.server.put("widgets", { metadata: { name: "a" } });
  await t.start();
  t.server.intercept = server.intercept;
  assert.is((await t.manager.client.get(scales, metadata, { subresource: "scale" }))?.spec?.replicas, 3);
  t.server.intercept = undefined;
  await t.stop();
});

test.run();
