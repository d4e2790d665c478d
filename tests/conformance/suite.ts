/**
 * The promises of the runtime, written once and checked on two API servers: `runtime.test.ts` and `leaders.test.ts` run
 * them on the embedded one, `runtime.test.api.ts` on a real one. Each test is named by its promise.
 *
 * A fault on the wire is made by a proxy before the API server, a fault of the API server itself by the target. After
 * every fault the operator must converge by itself: it is never restarted.
 * @module
 */

import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { compareResourceVersions, controllerOf } from "../../runtime/mod.ts";
import { configMaps } from "../../types/core/v1.ts";
import { until, within } from "../within.ts";
import type { Seen } from "./http_proxy.ts";
import { each, names, source, sources } from "./mirror.ts";
import type { Target } from "./target.ts";
import { World } from "./world.ts";

const isList = ({ isList }: Seen) => isList;
const isWrite = ({ isWrite }: Seen) => isWrite;
const isRead = ({ isList, isWatch }: Seen) => isList || isWatch;

/** Registers promises. */
type Part = (promise: Register) => void;

/** What one operator promises, alone. */
export const alone: readonly Part[] = [
  listAndWatch,
  brokenConnections,
  refusals,
  objects,
  startAndStop,
];

/** Registers these promises as a suite and runs it. */
export function conformance(name: string, open: () => Promise<Target>, parts: readonly Part[]): void {
  const test = suite(name);
  let target: Target;
  test.before(async () => {
    target = await open();
  });
  test.after(() => target.close());
  /** One promise, kept within so many seconds. */
  const promise = (name: string, seconds: number, check: (world: World) => Promise<void>) => {
    test(name, () => within(seconds * 1_000, World.of(target, check), name));
  };
  for (const part of parts) part(promise);
  test.run();
}

/** Registers one promise. */
export type Register = (name: string, seconds: number, check: (world: World) => Promise<void>) => void;

function listAndWatch(promise: Register): void {
  promise("a list of 1,200 objects is read in pages of 500, each object once", 60, async (world) => {
    const proxy = await world.httpProxy();
    const all = names("a", 1_200);
    await each(
      all,
      8,
      (name) => world.direct.create(configMaps, source(world.namespace, name, { value: "1" })),
    );
    const mirror = await world.mirror(proxy);
    const added: string[] = [];
    mirror.informer.on({ add: (object) => added.push(object.metadata?.name ?? "") });
    mirror.run();
    await until(20_000, "the first list", () => mirror.informer.hasSynced);
    assert.equal(added.sort(), all);
    const pages = proxy.seen.filter((request) =>
      request.isList && request.query.get("labelSelector") === sources
    );
    assert.equal(pages.map(({ query }) => query.get("limit")), ["500", "500", "500"]);
    assert.equal(pages.map(({ query }) => query.has("continue")), [false, true, true]);
  });

  promise("one write for each object, and then nothing is asked beyond watches", 90, async (world) => {
    const proxy = await world.httpProxy();
    await world.write(names("a", 100), "1");
    await world.running(proxy);
    assert.is(proxy.count(isWrite), 100, "one write for each");
    const before = proxy.seen.length;
    // Long enough for each watch to be ended by the server once.
    const restMs = world.target.speed > 1 ? 2_000 : 25_000;
    await new Promise((resolve) => setTimeout(resolve, restMs));
    const asked = proxy.seen.slice(before).filter((request) => !request.isWatch);
    assert.equal(asked.map(({ method, path }) => `${method} ${path}`), []);
    assert.ok(proxy.connections <= 12, `at most a dozen connections, not ${proxy.connections}`);
  });

  promise("a watch that the server ends goes on where it was, without a list", 30, async (world) => {
    const proxy = await world.httpProxy();
    await world.write(names("a", 10), "1");
    const mirror = await world.running(proxy);
    const lists = proxy.count(isList);
    for (const value of ["2", "3", "4"]) {
      await until(20_000, "two watches", () => proxy.watches === 2);
      proxy.endWatches();
      await world.write(names("a", 12), value);
      await world.converged(mirror);
    }
    assert.is(proxy.count(isList), lists);
  });

  promise("the API server killed and started again during churn is followed again", 120, async (world) => {
    await world.write(names("a", 30), "1");
    const mirror = await world.running();
    const stop = new AbortController();
    const churn = (async () => {
      // What is written while the API server is away fails: that is churn, too.
      for (let round = 2; !stop.signal.aborted; round++) {
        await world.write(names("a", 5), String(round)).catch(() =>
          new Promise((next) => setTimeout(next, 50))
        );
      }
    })();
    await until(20_000, "some churn", () => (mirror.reconciles.get("a-0000") ?? 0) > 2);
    await world.target.stop();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    await world.target.start();
    const startedAtMs = performance.now();
    stop.abort();
    await churn;
    await world.write(names("a", 32), "last");
    await world.converged(mirror);
    report("converged after the API server was back", startedAtMs, world, 5);
  });

  promise("history that was compacted while the watch was away leads to a list", 120, async (world) => {
    const proxy = await world.httpProxy();
    await world.write(names("a", 10), "1");
    const mirror = await world.running(proxy);
    const lists = proxy.count(isList);
    proxy.rule = (request) => request.isWatch ? "cut" : undefined;
    proxy.endWatches();
    await world.write(names("a", 12), "2");
    await world.remove(["a-0003"]);
    await world.target.forget();
    proxy.rule = () => undefined;
    const startedAtMs = performance.now();
    await world.converged(mirror);
    await until(
      5_000,
      "the deletion to show",
      () => !mirror.informer.get({ namespace: world.namespace, name: "a-0003" }),
    );
    report("converged after a compaction", startedAtMs, world, 5);
    assert.ok(proxy.count(isList) > lists, "there was a list");
  });

  for (const code of ["410 at the start of a watch", "410 in the stream"]) {
    promise(`${code} leads to a list, at once`, 30, async (world) => {
      const proxy = await world.httpProxy();
      await world.write(names("a", 10), "1");
      const mirror = await world.running(proxy);
      const lists = proxy.count(isList);
      proxy.holdWatches();
      await world.write(names("a", 11), "2");
      if (code === "410 in the stream") {
        proxy.inject(JSON.stringify({ type: "ERROR", object: gone }));
      } else {
        let left = 2;
        proxy.rule = (request) =>
          request.isWatch && left-- > 0 ? { status: 410, reason: "Expired" } : undefined;
        proxy.endWatches();
      }
      proxy.releaseWatches();
      const startedAtMs = performance.now();
      await world.converged(mirror);
      report(`converged after ${code}`, startedAtMs, world, 5);
      assert.ok(proxy.count(isList) > lists, "there was a list");
    });
  }

  promise("a bad line in the stream is counted, and leads to a list", 30, async (world) => {
    const proxy = await world.httpProxy();
    await world.write(names("a", 10), "1");
    const mirror = await world.running(proxy);
    const noObject = JSON.stringify({ type: "MODIFIED", object: { kind: "ConfigMap" } });
    const otherKind = JSON.stringify({
      type: "ADDED",
      object: { kind: "Secret", metadata: { name: "a", resourceVersion: "1" } },
    });
    for (
      const [index, line] of [`{"type":"MODIFIED","object":`, noObject, otherKind, `{"type":"NEW"}`].entries()
    ) {
      const lists = proxy.count(isList);
      await until(30_000, "two watches", () => proxy.watches === 2);
      proxy.inject(line);
      await world.write(names("a", 11), `after bad line ${index}`);
      await world.converged(mirror);
      await until(30_000, "a list of each kind", () => proxy.count(isList) >= lists + 2);
    }
    assert.match(
      mirror.manager.metrics.text(),
      /informer_bad_events_total\{[^}]*\} 8\n/,
      "four lines in each of two watches",
    );
  });
}

function brokenConnections(promise: Register): void {
  promise("connections that go silent without a close are given up within 30 s", 90, async (world) => {
    const proxy = await world.tcpProxy();
    await world.write(names("a", 10), "1");
    const mirror = await world.running(proxy);
    proxy.silence();
    const startedAtMs = performance.now();
    await world.write(names("a", 12), "2");
    await world.converged(mirror, 60_000);
    report("converged after every connection went silent", startedAtMs, world, 30);
  });

  promise("connections that break, again and again, lose nothing", 60, async (world) => {
    const proxy = await world.tcpProxy();
    await world.write(names("a", 10), "1");
    const mirror = await world.running(proxy);
    for (let round = 2; round < 7; round++) {
      const writing = world.write(names("a", 12), String(round));
      proxy.cut();
      await writing;
    }
    await world.converged(mirror);
  });

  promise("answers that never come do not hold up other keys, and are asked for again", 90, async (world) => {
    const proxy = await world.httpProxy();
    await world.write(names("a", 5), "1");
    const mirror = await world.running(proxy);
    let held = 0;
    proxy.rule = (request) =>
      request.isWrite && request.path.includes("a-0000") && held++ < 1 ? "hold" : undefined;
    await world.write(["a-0000"], "2");
    await until(20_000, "a write that hangs", () => held === 1);
    const others = names("a", 5).slice(1);
    await world.write(others, "2");
    for (const name of others) {
      await until(5_000, `the mirror of ${name}`, async () => {
        const found = await world.direct.get(configMaps, {
          namespace: world.namespace,
          name: `${name}-mirror`,
        });
        return found?.data?.value === "2";
      });
    }
    await world.converged(mirror, 40_000);
  });
}

function refusals(promise: Register): void {
  promise(
    "429 is asked again no sooner than Retry-After says, and never leads to a list",
    60,
    async (world) => {
      const proxy = await world.httpProxy();
      await world.write(names("a", 5), "1");
      const mirror = await world.running(proxy);
      const lists = proxy.count(isList);
      const refused = new Map<string, number>();
      const early: string[] = [];
      const waits = 1_000 / world.target.speed;
      proxy.rule = (request) => {
        const id = `${request.method} ${request.path} ${
          request.isWatch ? request.query.get("labelSelector") : ""
        }`;
        const atMs = refused.get(id);
        if (atMs === undefined) {
          refused.set(id, request.atMs);
          return { status: 429, reason: "TooManyRequests", headers: { "retry-after": "1" } };
        }
        if (request.atMs - atMs < waits - 5) early.push(`${id} after ${request.atMs - atMs} ms`);
        return undefined;
      };
      await until(20_000, "two watches", () => proxy.watches === 2);
      proxy.endWatches();
      await world.write(names("a", 8), "2");
      await world.converged(mirror);
      assert.equal(early, []);
      assert.ok([...refused.keys()].some((id) => id.startsWith("PATCH")), "a write was refused");
      assert.is(proxy.count(isList), lists);
    },
  );

  for (const status of [401, 403, 404, 500, 503]) {
    promise(`${status} on everything heals by itself`, 60, async (world) => {
      const proxy = await world.httpProxy();
      await world.write(names("a", 5), "1");
      const mirror = await world.running(proxy);
      proxy.rule = () => ({ status });
      proxy.endWatches();
      await world.write(names("a", 7), "2");
      const before = proxy.count(isRead);
      await until(20_000, "some tries", () => proxy.count(isRead) >= before + 3);
      proxy.rule = () => undefined;
      await world.converged(mirror);
    });

    promise(`${status} on everything during the start heals by itself`, 60, async (world) => {
      const proxy = await world.httpProxy();
      await world.write(names("a", 5), "1");
      proxy.rule = () => ({ status });
      const mirror = await world.mirror(proxy);
      mirror.run();
      await until(20_000, "some tries", () => proxy.count(isList) >= 3);
      assert.is(mirror.manager.answer("/readyz").status, 503);
      assert.is(mirror.manager.answer("/livez").status, 200);
      proxy.rule = () => undefined;
      await world.converged(mirror);
      assert.is(mirror.manager.answer("/readyz").status, 200);
    });
  }

  promise("a rotated token is taken up when the old one is refused", 60, async (world) => {
    const proxy = await world.httpProxy();
    const tokenFile = join(world.folder, "token");
    const rotate = async (token: string) => {
      // As the kubelet does it: a reader sees the old one or the new one, whole.
      await writeFile(`${tokenFile}.new`, token, { mode: 0o600 });
      await rename(`${tokenFile}.new`, tokenFile);
    };
    let valid = "Bearer first";
    proxy.rule = ({ authorization }) =>
      authorization === valid ? undefined : { status: 401, reason: "Unauthorized" };
    await rotate("first\n");
    await world.write(names("a", 5), "1");
    const mirror = await world.running(proxy, { tokenFile });
    for (const token of ["second", "third"]) {
      await rotate(token);
      valid = `Bearer ${token}`;
      proxy.endWatches();
      await world.write(names("a", 6), token);
      await world.converged(mirror);
    }
  });

  promise("a conflict on every write is overcome, one write more for each", 60, async (world) => {
    const proxy = await world.httpProxy();
    const refused = new Set<string>();
    proxy.rule = (request) => {
      const id = `${request.method} ${request.path} ${request.body}`;
      if (!request.isWrite || refused.has(id)) return undefined;
      refused.add(id);
      return { status: 409, reason: "Conflict", message: "the object has been modified" };
    };
    await world.write(names("a", 30), "1");
    const mirror = await world.running(proxy);
    assert.is(proxy.count(isWrite), 60);
    await world.write(names("a", 30), "2");
    await world.converged(mirror);
    assert.is(proxy.count(isWrite), 120);
  });
}

function objects(promise: Register): void {
  promise("an object deleted and made again under its name is a delete and an add", 60, async (world) => {
    const proxy = await world.httpProxy();
    await world.write(["a"], "1");
    const mirror = await world.running(proxy);
    const key = { namespace: world.namespace, name: "a" };
    const first = mirror.informer.get(key)?.metadata?.uid;
    const told: string[] = [];
    mirror.informer.on({
      add: ({ metadata }, initial) => initial || told.push(`add ${metadata?.uid}`),
      update: (before, after) => {
        if (before.metadata?.uid !== after.metadata?.uid) told.push("update to another uid");
      },
      delete: ({ metadata }) => told.push(`delete ${metadata?.uid}`),
    });
    // Once by events that come late, once by a list that shows the outcome alone.
    for (const way of ["events", "list"]) {
      proxy.holdWatches();
      await world.remove(["a"]);
      await world.write(["a"], way);
      if (way === "list") proxy.inject(JSON.stringify({ type: "ERROR", object: gone }));
      proxy.releaseWatches();
      await world.converged(mirror);
    }
    const last = (await world.direct.get(configMaps, key))?.metadata?.uid;
    const second = told.find((line) => line.startsWith("add"))?.slice(4);
    assert.equal(told, [`delete ${first}`, `add ${second}`, `delete ${second}`, `add ${last}`]);
    const copy = await world.direct.get(configMaps, { ...key, name: "a-mirror" });
    assert.is(copy && controllerOf(copy)?.uid, last);
  });

  promise(
    "5,000 changes of one object: never backwards, few reconciles, the last one counts",
    120,
    async (world) => {
      const mirror = await world.mirror();
      await world.write(["a"], "0");
      const seen: string[] = [];
      mirror.informer.on({
        update: (before, { metadata }) => {
          if (before.metadata?.resourceVersion !== metadata?.resourceVersion) {
            seen.push(metadata?.resourceVersion ?? "");
          }
        },
      });
      mirror.run();
      await world.converged(mirror);
      const key = { namespace: world.namespace, name: "a" };
      await each(Array.from({ length: 5_000 }, (_, index) => index + 1), 8, (value) => {
        return world.direct.patch(configMaps, key, {
          data: { value: String(value), [`k${value % 8}`]: String(value) },
        });
      });
      await world.direct.patch(configMaps, key, { data: { value: "last" } });
      await world.converged(mirror);
      assert.ok(seen.length > 100, `${seen.length} changes were seen`);
      const backwards = seen.filter((rv, index) =>
        index > 0 && compareResourceVersions(seen[index - 1]!, rv) >= 0
      );
      assert.equal(backwards, []);
      const reconciles = mirror.reconciles.get("a") ?? 0;
      assert.ok(reconciles < 5_000, `${reconciles} reconciles`);
    },
  );

  promise("an object of nearly 1 MiB is followed like any other", 60, async (world) => {
    const mirror = await world.running();
    for (const letter of ["x", "é"]) {
      const value = letter.repeat(letter === "x" ? 900_000 : 450_000);
      await world.direct.apply(configMaps, source(world.namespace, "large", { value }));
      await world.converged(mirror);
    }
  });

  promise("names and keys at their limits are carried unchanged", 60, async (world) => {
    const mirror = await world.running();
    const long = `${"a.b-".repeat(61)}z`; // with "-mirror" 252 of 253
    await world.direct.apply(
      configMaps,
      source(world.namespace, long, { value: "1", ["k".repeat(253)]: "\u0000\u2028\ud83d\ude00\r\n" }),
    );
    await world.converged(mirror);
  });
}

function startAndStop(promise: Register): void {
  promise("a stop during the start is clean, whichever request was the last", 60, async (world) => {
    await world.write(names("a", 3), "1");
    for (let stopAt = 0; stopAt < 12; stopAt++) {
      for (const fate of ["answered", "never answered"] as const) {
        const proxy = await world.httpProxy();
        const mirror = await world.mirror(proxy);
        let asked = 0;
        proxy.rule = () => asked++ < stopAt || fate === "answered" ? undefined : "hold";
        mirror.run();
        await until(10_000, "that request", async () => asked > stopAt || await world.hasConverged());
        await within(5_000, mirror.stop(), `a stop at request ${stopAt}, ${fate}`);
        await until(2_000, "no connection", () => proxy.connections === 0);
      }
    }
  });

  promise("a second start is refused", 30, async (world) => {
    const mirror = await world.running();
    let message = "";
    await mirror.manager.start().catch((error: Error) => message = error.message);
    assert.is(message, "Cannot start a manager twice");
  });
}

/** 410 as a watch event's object. */
const gone = {
  kind: "Status",
  apiVersion: "v1",
  metadata: {},
  status: "Failure",
  message: "too old resource version: 1 (2)",
  reason: "Expired",
  code: 410,
};

/** Says how long something took, on the runtime's clock; fails when that is more than the bar. */
function report(what: string, startedAtMs: number, { target }: World, barSeconds: number): void {
  const seconds = (performance.now() - startedAtMs) / 1_000 * target.speed;
  console.log(`  ${what}: ${seconds.toFixed(1)} s${target.speed > 1 ? " on the fast clock" : ""}`);
  // Figures are for the reader: the bars are shown by bench/. What fails is a deadline, see converged().
  assert.ok(seconds <= barSeconds * 10, `${what} after ${seconds.toFixed(1)} s; the bar is ${barSeconds} s`);
}
