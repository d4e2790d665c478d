/** The small pure parts: versions, selectors, predicates, conditions, metadata, paths, log lines, metrics. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { setCondition, timestamp } from "../../runtime/conditions.ts";
import { deleteAsRead } from "../../runtime/client.ts";
import { ApiError, isAlreadyExists, isConflict, isNotFound, messageOf } from "../../runtime/errors.ts";
import { createLogger } from "../../runtime/logger.ts";
import {
  controllerReference,
  hasFinalizer,
  isControlledBy,
  keyInLabel,
  keyOf,
  parseKey,
  withFinalizer,
  withoutFinalizer,
} from "../../runtime/metadata.ts";
import { MetricsRegistry } from "../../runtime/metrics.ts";
import { collectionPath, objectPath } from "../../runtime/paths.ts";
import {
  allOf,
  annotationsChanged,
  anyOf,
  changed,
  deepEqual,
  generationChanged,
  intentChanged,
  labelsChanged,
} from "../../runtime/predicates.ts";
import { randomToken } from "../../runtime/platform/clock.ts";
import { flagAddress, flagCount, flagList, flagText } from "../../runtime/platform/command.ts";
import { compareResourceVersions, isComparable } from "../../runtime/resource_version.ts";
import { isNarrower, matchesLabels } from "../../runtime/selectors.ts";
import type { KubernetesObject } from "../../runtime/types.ts";
import { FakeClock } from "./fake_clock.ts";
import { children, widgets } from "./scripted_server.ts";

test("rule 17: resourceVersions are compared as numbers of any length, never rounded", () => {
  const table: [string, string, number][] = [
    ["1", "2", -1],
    ["9", "10", -1],
    ["100", "99", 1],
    ["7", "7", 0],
    ["007", "7", 0],
    ["9007199254740993", "9007199254740992", 1],
    ["9".repeat(40), `1${"0".repeat(40)}`, -1],
  ];
  for (const [one, other, want] of table) {
    assert.is(Math.sign(compareResourceVersions(one, other)), want, `${one} and ${other}`);
  }
  assert.equal(["12", "", "1a", undefined, "-1"].map((version) => isComparable(version)), [
    true,
    false,
    false,
    false,
    false,
  ]);
});

test("label selectors select as the API server does", () => {
  const labels = { app: "db", tier: "test" };
  const table: [string, boolean][] = [
    ["", true],
    ["app=db", true],
    ["app==db", true],
    ["app=other", false],
    ["app!=other", true],
    ["none!=x", true],
    ["app in (db, web)", true],
    ["app notin (db)", false],
    ["none notin (db)", true],
    ["app", true],
    ["none", false],
    ["!none", true],
    ["!app", false],
    ["app=db,tier in (test,prod),!none", true],
    ["app=db,tier=prod", false],
  ];
  for (const [selector, want] of table) assert.is(matchesLabels(selector, labels), want, selector);
  assert.is(matchesLabels("app", undefined), false);
  assert.throws(() => matchesLabels("app=(", labels), /Cannot read the label selector/);
  assert.is(isNarrower("app=db,tier=test", "app==db"), true);
  assert.is(isNarrower("tier=test", "app=db"), false);
  assert.is(isNarrower(undefined, undefined), true);
});

test("predicates: a patch of annotations wakes nobody who asks for generations, labels or the like", () => {
  const pod = (more: object): KubernetesObject => ({
    metadata: { name: "p", generation: 1, labels: { role: "primary" }, ...more },
  });
  const before = pod({ annotations: { status: "1" } });
  const after = pod({ annotations: { status: "2" } });
  const promoted = pod({ labels: { role: "replica" } });
  const deleted = pod({ deletionTimestamp: "2026-01-01T00:00:00Z" });
  const table: [string, boolean | undefined, boolean][] = [
    ["generation, annotation", generationChanged().update?.(before, after), false],
    ["generation, deletion", generationChanged().update?.(before, deleted), true],
    ["labels, annotation", labelsChanged().update?.(before, after), false],
    ["labels, label", labelsChanged().update?.(before, promoted), true],
    ["labels by name", labelsChanged("other").update?.(before, promoted), false],
    ["annotations", annotationsChanged().update?.(before, after), true],
    ["annotations by name", annotationsChanged("other").update?.(before, after), false],
    ["custom", changed((each) => each.metadata?.labels?.role).update?.(before, promoted), true],
    ["any", anyOf(generationChanged(), labelsChanged()).update?.(before, promoted), true],
    ["all", allOf(generationChanged(), labelsChanged()).update?.(before, promoted), false],
    ["any, create", anyOf(generationChanged(), labelsChanged()).create?.(before), true],
  ];
  for (const [name, found, want] of table) assert.is(found, want, name);
});

test("intentChanged: what an owner writes counts, a status and the API server's own fields do not", () => {
  const before = {
    metadata: { name: "a", resourceVersion: "1", labels: { a: "b" } },
    spec: { a: 1 },
    status: {},
  };
  const { update } = intentChanged<KubernetesObject>();
  const wakes = (after: unknown) => update!(before, after as KubernetesObject);
  assert.not(
    wakes({ ...before, metadata: { ...before.metadata, resourceVersion: "2" }, status: { ready: 1 } }),
  );
  assert.ok(wakes({ ...before, spec: { a: 2 } }));
  assert.ok(wakes({ ...before, metadata: { ...before.metadata, labels: {} } }));
  assert.ok(wakes({ ...before, metadata: { ...before.metadata, ownerReferences: [] } }));
});

test("keyInLabel wakes whom the label names, in the object's namespace, and nobody without it", () => {
  const map = keyInLabel("example.com/of");
  const metadata = { name: "a", namespace: "shop", labels: { "example.com/of": "orders" } };
  assert.equal(map({ metadata }), [{ namespace: "shop", name: "orders" }]);
  assert.equal(map({ metadata: { ...metadata, labels: {} } }), []);
});

test("deleteAsRead names the very object, at the version that was read", async () => {
  const calls: unknown[] = [];
  const client = {
    delete: (resource: unknown, key: unknown, options: unknown) => {
      calls.push([resource, key, options]);
      return Promise.resolve("deleted" as const);
    },
  };
  const metadata = { name: "a", namespace: "shop", uid: "u", resourceVersion: "7" };
  assert.is(await deleteAsRead(client, children, { metadata } as never), "deleted");
  assert.equal(calls, [[children, { namespace: "shop", name: "a" }, { uid: "u", resourceVersion: "7" }]]);
});

test("options: a flag comes before its variable, an empty variable is none, what cannot be used is named", () => {
  const env = (name: string) => ({ NAMES: "a, b,", HOST: "" })[name];
  assert.equal(flagList({ flags: {}, env }, "name", "NAMES"), ["a", "b"]);
  assert.equal(flagList({ flags: { name: ["c"] }, env }, "name", "NAMES"), ["c"]);
  assert.equal(flagList({ flags: {}, env }, "name", "ABSENT"), []);
  assert.is(flagText({ flags: {}, env }, "host", "HOST"), undefined);
  assert.is(flagText({ flags: { host: "h" }, env }, "host", "HOST"), "h");
  assert.is(flagCount({ flags: {} }, "workers", 10), 10);
  assert.is(flagCount({ flags: { workers: "3" } }, "workers", 10), 3);
  for (const workers of ["0", "1.5", "many", "1001"]) {
    assert.throws(
      () => flagCount({ flags: { workers } }, "workers", 10),
      new RegExp(`--workers: .*"${workers}"`),
    );
  }
  const listen = (text?: string) =>
    flagAddress({ flags: text === undefined ? {} : { listen: text }, env }, "listen", "HOST");
  assert.is(listen(), false);
  assert.equal(listen("8080"), { port: 8080 });
  assert.equal(listen("127.0.0.1:0"), { host: "127.0.0.1", port: 0 });
  assert.equal(listen("[::]:8080"), { host: "::", port: 8080 });
  assert.equal(listen("fd00::1:8080"), { host: "fd00::1", port: 8080 });
  for (const wrong of ["", "x", "1:65536"]) {
    assert.throws(() => listen(wrong), /--listen: expected \[HOST:\]PORT/);
  }
});

test("a random token has its bytes, in letters that need no quoting, and never comes twice", () => {
  const tokens = Array.from({ length: 100 }, () => randomToken(18));
  assert.ok(tokens.every((token) => /^[\w-]{24}$/.test(token)));
  assert.is(new Set(tokens).size, tokens.length);
});

test("deepEqual compares JSON: order of keys and absent fields do not matter, order of items does", () => {
  assert.ok(deepEqual({ a: 1, b: [1, { c: null }] }, { b: [1, { c: null }], a: 1, d: undefined }));
  assert.not.ok(deepEqual([1, 2], [2, 1]));
  assert.not.ok(deepEqual({ a: null }, {}));
  assert.not.ok(deepEqual({ a: [] }, { a: {} }));
});

test("a condition's time changes only with its status, and the list stays the same when nothing changes", () => {
  const first = setCondition([], { type: "Ready", status: "False", reason: "Starting", message: "" }, 0);
  assert.is(first[0]?.lastTransitionTime, "1970-01-01T00:00:00Z");
  const again = setCondition(
    first,
    { type: "Ready", status: "False", reason: "Waiting", message: "x" },
    5_000,
  );
  assert.is(again[0]?.lastTransitionTime, "1970-01-01T00:00:00Z");
  assert.equal(
    setCondition(again, { type: "Ready", status: "False", reason: "Waiting", message: "x" }, 9_000),
    again,
  );
  const ready = setCondition(again, {
    type: "Ready",
    status: "True",
    reason: "Up",
    message: "",
    observedGeneration: 2,
  }, 5_000);
  assert.equal(ready, [{
    type: "Ready",
    status: "True",
    reason: "Up",
    message: "",
    observedGeneration: 2,
    lastTransitionTime: "1970-01-01T00:00:05Z",
  }]);
  assert.is(timestamp(1_500), "1970-01-01T00:00:01Z");
  const long = setCondition(
    [],
    { type: "Ready", status: "True", reason: "Up", message: "x".repeat(40_000) },
    0,
  );
  assert.is(long[0]?.message.length, 32_768);
});

test("keys, finalizers and owner references", () => {
  const owner: KubernetesObject = {
    apiVersion: "example.com/v1",
    kind: "Widget",
    metadata: { name: "w", namespace: "n", uid: "u1" },
  };
  const child: KubernetesObject = { metadata: { name: "c", ownerReferences: [controllerReference(owner)] } };
  assert.equal([keyOf(owner), keyOf({ name: "x" })], ["n/w", "x"]);
  assert.equal([parseKey("n/w"), parseKey("x")], [{ namespace: "n", name: "w" }, {
    namespace: "",
    name: "x",
  }]);
  assert.ok(isControlledBy(child, owner));
  assert.not.ok(isControlledBy(child, { ...owner, metadata: { ...owner.metadata, uid: "u2" } }));
  assert.throws(() => controllerReference({ kind: "Widget" }), TypeError);
  const held: KubernetesObject = { metadata: { finalizers: ["a"] } };
  assert.equal([hasFinalizer(held, "a"), hasFinalizer(held, "b")], [true, false]);
  assert.equal([withFinalizer(held, "b"), withFinalizer(held, "a"), withoutFinalizer(held, "a")], [
    ["a", "b"],
    ["a"],
    [],
  ]);
});

test("paths: a name is never taken for a path, and no name never means the whole collection", () => {
  assert.is(collectionPath(widgets, "n"), "/apis/example.com/v1/namespaces/n/widgets");
  assert.is(collectionPath(widgets), "/apis/example.com/v1/widgets");
  assert.is(
    objectPath(children, { namespace: "n", name: "c" }, "status"),
    "/api/v1/namespaces/n/configmaps/c/status",
  );
  assert.is(objectPath(children, { namespace: "n", name: "../x" }), "/api/v1/namespaces/n/configmaps/..%2Fx");
  assert.throws(() => objectPath(children, { namespace: "n", name: "" }), TypeError);
  assert.throws(() => objectPath(children, { name: "c" }), TypeError);
});

test("errors are told apart by what they mean", () => {
  const [missing, exists, stale] = [
    new ApiError(404, "x"),
    new ApiError(409, "x", { reason: "AlreadyExists" }),
    new ApiError(409, "x", { reason: "Conflict", details: { retryAfterSeconds: 3 } }),
  ];
  assert.equal([
    isNotFound(missing),
    isNotFound(exists),
    isAlreadyExists(exists),
    isConflict(exists),
    isConflict(stale),
  ], [
    true,
    false,
    true,
    false,
    true,
  ]);
  assert.is(stale.retryAfterMs, 3_000);
  assert.equal([messageOf(new Error("a")), messageOf("b"), messageOf(null)], [
    "a",
    "b",
    "a thrown null: null",
  ]);
});

test("a log line is one JSON object, whatever is in it", () => {
  const lines: string[] = [];
  const clock = new FakeClock();
  const log = createLogger({ name: "controller_widget", clock, sink: (line) => lines.push(line) });
  log.with({ "Request.Namespace": "n", "Request.Name": "w" }).info("Reconciling Widget", { attempt: 1 });
  const circle: Record<string, unknown> = {};
  circle.self = circle;
  log.error("Failed", new Error("outer", { cause: new Error("inner") }), { circle, big: 1n });
  log.debug("Not shown");
  assert.is(
    lines[0],
    '{"level":"info","ts":"2026-01-01T00:00:00.000Z","logger":"controller_widget","msg":"Reconciling Widget",' +
      '"Request.Namespace":"n","Request.Name":"w","attempt":1}',
  );
  const second = JSON.parse(lines[1]!) as Record<string, unknown>;
  assert.equal([second.error, second.cause, second.big], ["outer", "inner", "1"]);
  assert.is(lines.length, 2);
});

test("metrics have the text form of Prometheus", () => {
  const registry = new MetricsRegistry();
  registry.counter("a_total", "As.").inc({ kind: 'x"y\\z\n' }, 2);
  registry.gauge("b", "Bs.").set({}, 1.5);
  const histogram = registry.histogram("c_seconds", "Cs.", [0.1, 1]);
  histogram.observe({}, 0.05);
  histogram.observe({}, 0.5);
  histogram.observe({}, 5);
  assert.is(
    registry.text(),
    [
      "# HELP a_total As.",
      "# TYPE a_total counter",
      'a_total{kind="x\\"y\\\\z\\n"} 2',
      "# HELP b Bs.",
      "# TYPE b gauge",
      "b 1.5",
      "# HELP c_seconds Cs.",
      "# TYPE c_seconds histogram",
      'c_seconds_bucket{le="0.1"} 1',
      'c_seconds_bucket{le="1"} 2',
      'c_seconds_bucket{le="+Inf"} 3',
      "c_seconds_sum 5.55",
      "c_seconds_count 3",
      "",
    ].join("\n"),
  );
  assert.throws(() => registry.counter("b", "Again."), RangeError);
  const other = new MetricsRegistry();
  const counter = other.counter("d_total", "A\\B\nC");
  counter.inc({ one: "1", two: "2" });
  counter.inc({ two: "2", one: "1" });
  assert.is(
    other.text(),
    '# HELP d_total A\\\\B\\nC\n# TYPE d_total counter\nd_total{one="1",two="2"} 2\n',
    "whatever the order of labels, it is the same series",
  );
});

test.run();
