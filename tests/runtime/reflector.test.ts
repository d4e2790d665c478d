import { test } from "uvu";
import * as assert from "uvu/assert";
import type { ListPage } from "../../runtime/client.ts";
import { ApiError } from "../../runtime/errors.ts";
import {
  type Effect,
  initialState,
  type Input,
  OLDER_LISTS_MAX,
  type Phase,
  type ReflectorState,
  step,
} from "../../runtime/reflector.ts";
import type { KubernetesObject } from "../../runtime/types.ts";

const object = (name: string, resourceVersion: string): KubernetesObject => ({
  kind: "Widget",
  metadata: { name, resourceVersion },
});
const page = (resourceVersion: string, more: Partial<ListPage> = {}): Input => ({
  type: "page",
  page: { items: [], resourceVersion, continueToken: undefined, strange: [], ...more },
});
const event = (type: string, object: unknown): Input => ({ type: "event", event: { type, object } });
const failed = (status: number, reason = "", more: object = {}): Input => ({
  type: "failed",
  error: new ApiError(status, "refused", { reason, ...more }),
});
const unreachable: Input = { type: "failed", error: new Error("connection refused") };

/** Runs inputs one after the other; `at` says when. */
function run(inputs: (Input | [number, Input])[], from: ReflectorState = initialState, random = 0) {
  let state = from;
  const effects: Effect[] = [];
  let nowMs = 0;
  for (const entry of inputs) {
    const [atMs, input] = Array.isArray(entry) ? entry : [nowMs, entry];
    nowMs = atMs;
    const next = step(state, input, { nowMs, random, kind: "Widget" });
    state = next.state;
    effects.push(...next.effects);
  }
  return { state, effects, phase: state.phase };
}

const watching = (resourceVersion: string): Phase => ({ name: "watch", resourceVersion, events: 0 });
const watchPhase = (phase: Phase) => phase.name === "watch" ? phase.resourceVersion : `in ${phase.name}`;
const waitPhase = (phase: Phase) =>
  phase.name === "wait" ? { delayMs: phase.delayMs, then: phase.then } : phase.name;
const relisting: Phase = { name: "list", pages: [], isWhole: false };

test("rule 1: the first list and each relist ask for the newest state, so never for less than was seen", () => {
  assert.equal(initialState.phase, relisting);
  // A list phase carries no resourceVersion at all: the request has none, which the API server reads as "newest".
  assert.equal(run([page("10"), [60_000, failed(410, "Expired")]]).phase, relisting);
});

test("rule 1: a list older than what was seen is refused, and believed only when it stays so", () => {
  const { state, effects } = run([page("10"), { type: "relist", why: "test" }, page("9")]);
  assert.equal(waitPhase(state.phase), { delayMs: 800, then: "list" });
  assert.not.ok(effects.some((effect) => effect.type === "replace" && effect.resourceVersion === "9"));
  let older = state;
  for (let time = 1; time < OLDER_LISTS_MAX; time++) {
    older = run([{ type: "waited" }, page("9")], older).state;
  }
  assert.equal(older.phase.name, "wait");
  const believed = run([{ type: "waited" }, page("9")], older);
  assert.equal(believed.phase, watching("9"));
  assert.ok(believed.effects.some((effect) => effect.type === "replace"));
});

test("rule 2: pages are collected to the end and reach the store as one list", () => {
  const [one, two] = [object("a", "1"), object("b", "2")];
  const first = run([page("10", { items: [one], continueToken: "more" })]);
  assert.equal(first.effects, []);
  assert.equal(first.phase, { name: "list", pages: [[one]], continueToken: "more", isWhole: false });
  const { effects, phase } = run([page("10", { items: [two] })], first.state);
  assert.equal(effects, [{ type: "replace", items: [one, two], resourceVersion: "10" }]);
  assert.equal(phase, watching("10"));
});

test("rule 2: 410 on a later page leads to one whole list, and the partial one never reaches the store", () => {
  const { effects, phase } = run([
    page("10", { items: [object("a", "1")], continueToken: "more" }),
    failed(410, "Expired"),
  ]);
  assert.equal(phase, { name: "list", pages: [], isWhole: true });
  assert.not.ok(effects.some((effect) => effect.type === "replace"));
});

test("rule 2: 410 on the first page is an error like any other", () => {
  assert.equal(waitPhase(run([failed(410, "Expired")]).phase), { delayMs: 800, then: "list" });
});

test("rule 5: the resourceVersion advances on ADDED, MODIFIED, DELETED and BOOKMARK, and a bookmark changes no object", () => {
  const bookmark = { kind: "Widget", metadata: { resourceVersion: "14" } };
  const { state, effects } = run([
    page("10"),
    event("ADDED", object("a", "11")),
    event("MODIFIED", object("a", "12")),
    event("DELETED", object("a", "13")),
    event("BOOKMARK", bookmark),
  ]);
  assert.equal(state.seen, "14");
  assert.equal(watchPhase(state.phase), "14");
  assert.equal(effects.map((effect) => effect.type), [
    "replace",
    "upsert",
    "progress",
    "upsert",
    "progress",
    "remove",
    "progress",
    "progress",
  ]);
});

test("rule 9: a normal end of the stream leads to a watch from the last resourceVersion, without list, wait or error", () => {
  const { phase, effects } = run([
    page("10"),
    { type: "opened" },
    event("ADDED", object("a", "11")),
    [20_000, { type: "ended" }],
  ]);
  assert.equal(phase, watching("11"));
  assert.not.ok(effects.some((effect) => effect.type === "error"));
});

test("rule 10: 410 as HTTP status and as ERROR event, with reason Expired or Gone, leads to a list", () => {
  for (
    const input of [
      failed(410, "Expired"),
      failed(410, "Gone"),
      failed(410),
      event("ERROR", { kind: "Status", code: 410, reason: "Expired" }),
      event("ERROR", { kind: "Status", code: 410, reason: "Gone" }),
    ]
  ) assert.equal(run([page("10"), [60_000, input]]).phase, relisting);
});

test("rule 11: 410 right after a list waits before the next one, each time longer: no loop at full speed", () => {
  let state = run([page("10")]).state;
  const delays: number[] = [];
  for (let time = 0; time < 4; time++) {
    const next = run([failed(410, "Expired")], state);
    const wait = waitPhase(next.phase);
    delays.push(typeof wait === "string" ? -1 : wait.delayMs);
    state = run([{ type: "waited" }, page("10")], next.state).state;
  }
  assert.equal(delays, [800, 1_600, 3_200, 6_400]);
});

test("rule 11: a resourceVersion that is too large leads to a list at the newest state", () => {
  const tooLarge = {
    details: { causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }] },
  };
  assert.equal(run([page("10"), [60_000, failed(504, "Timeout", tooLarge)]]).phase, relisting);
});

test("rule 11: 410 after a watch that brought something leads to a list at once, but not twice in 10 s", () => {
  const expired = failed(410, "Expired");
  const first = run([page("10"), event("ADDED", object("a", "11")), [1_000, expired]]);
  assert.equal(first.phase, relisting);
  const second = run([[1_100, page("12")], event("ADDED", object("a", "13")), [2_000, expired]], first.state);
  assert.equal(waitPhase(second.phase), { delayMs: 1_600, then: "list" });
  const later = run([{ type: "waited" }, [4_000, page("14")], event("ADDED", object("a", "15")), [
    14_000,
    expired,
  ]], second.state);
  assert.equal(later.phase, relisting);
  const quiet = run([{ type: "waited" }, [4_000, page("14")], [14_000, expired]], second.state);
  assert.equal(waitPhase(quiet.phase), { delayMs: 3_200, then: "list" });
});

test("rule 12: 429 and an unreachable server on a watch lead to a later watch, never to a list", () => {
  assert.equal(waitPhase(run([page("10"), failed(429, "TooManyRequests")]).phase), {
    delayMs: 800,
    then: { resourceVersion: "10" },
  });
  assert.equal(waitPhase(run([page("10"), failed(429, "TooManyRequests", { retryAfterMs: 7_000 })]).phase), {
    delayMs: 7_000,
    then: { resourceVersion: "10" },
  });
  assert.equal(waitPhase(run([page("10"), unreachable]).phase), {
    delayMs: 800,
    then: { resourceVersion: "10" },
  });
});

test("rule 13: an internal error in a stream leads to a watch for 30 s, then to a list", () => {
  const internal = event("ERROR", { kind: "Status", code: 500, reason: "InternalError" });
  const first = run([page("10"), [0, internal]]);
  assert.equal(waitPhase(first.phase), { delayMs: 800, then: { resourceVersion: "10" } });
  const soon = run([[20_000, { type: "waited" }], [20_000, internal]], first.state);
  assert.equal(waitPhase(soon.phase), { delayMs: 1_600, then: { resourceVersion: "10" } });
  const late = run([[30_000, { type: "waited" }], [30_000, internal]], soon.state);
  assert.equal(waitPhase(late.phase), { delayMs: 3_200, then: "list" });
});

test("rule 14: delays double from 800 ms to 30 s with jitter, and are short again after two healthy minutes", () => {
  let state = initialState;
  const delays: number[] = [];
  for (let time = 0; time < 8; time++) {
    const next = run([[time * 1_000, failed(500)]], state);
    if (next.phase.name === "wait") delays.push(next.phase.delayMs);
    state = run([{ type: "waited" }], next.state).state;
  }
  assert.equal(delays, [800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]);
  assert.equal(waitPhase(run([[7_000 + 120_000, failed(500)]], state).phase), { delayMs: 800, then: "list" });
  assert.equal(waitPhase(run([failed(500)], initialState, 0.5).phase), { delayMs: 1_200, then: "list" });
});

test("rule 14: a server that does not answer at all is tried again within 1.5 s", () => {
  let state = initialState;
  let longestMs = 0;
  for (let time = 0; time < 10; time++) {
    const next = run([[time * 1_000, unreachable]], state, 0.999);
    if (next.phase.name === "wait") longestMs = Math.max(longestMs, next.phase.delayMs);
    state = run([{ type: "waited" }], next.state).state;
  }
  assert.ok(longestMs > 1_000 && longestMs < 1_500, String(longestMs));
});

test("rule 14: a server that is not ready and asks for 5 s is tried again within 1.5 s", () => {
  const starting = failed(503, "ServiceUnavailable", { retryAfterMs: 5_000 });
  assert.equal(waitPhase(run([page("10"), starting], initialState, 0).phase), {
    delayMs: 1_000,
    then: { resourceVersion: "10" },
  });
});

test("rule 14: a watch that ends within a second without an event counts as a failure", () => {
  const { phase } = run([page("10"), { type: "opened" }, [500, { type: "ended" }]]);
  assert.equal(waitPhase(phase), { delayMs: 800, then: { resourceVersion: "10" } });
});

test("rule 15: no error ends it: each one leads to another try", () => {
  const errors: Input[] = [
    ...[400, 401, 403, 404, 405, 406, 409, 422, 429, 500, 502, 503, 504].map((status) => failed(status)),
    unreachable,
    { type: "failed", error: "a string" },
    { type: "failed", error: undefined },
    { type: "bad line", found: "{" },
    { type: "silent", silenceMs: 24_000 },
  ];
  for (const from of [initialState, run([page("10")]).state]) {
    for (const error of errors) {
      const { phase } = run([error], from);
      assert.ok(["list", "watch", "wait"].includes(phase.name));
    }
  }
});

test("rule 8: silence leads to a watch from the last resourceVersion at once, without a list", () => {
  const { phase, effects } = run([page("10"), event("ADDED", object("a", "12")), {
    type: "silent",
    silenceMs: 24_000,
  }]);
  assert.equal(phase, watching("12"));
  assert.ok(effects.some((effect) => effect.type === "error" && effect.code === "silent"));
});

test("rule 16: a wrong kind, a Table, an event without metadata or type, a bad line: each is reported and leads to a list", () => {
  const strange: Input[] = [
    event("ADDED", { kind: "Other", metadata: { name: "a", resourceVersion: "11" } }),
    event("ADDED", { kind: "Table", rows: [] }),
    event("ADDED", { kind: "Widget" }),
    event("ADDED", { kind: "Widget", metadata: { resourceVersion: "11" } }),
    event("ADDED", { kind: "Widget", metadata: { name: "a" } }),
    event("ADDED", { kind: "Widget", metadata: { name: "a", resourceVersion: "abc" } }),
    event("ADDED", null),
    event("NEWS", object("a", "11")),
    { type: "event", event: 7 },
    { type: "event", event: null },
    { type: "bad line", found: "half" },
  ];
  for (const input of strange) {
    const { phase, effects } = run([page("10"), [60_000, input]]);
    assert.equal(phase, relisting, JSON.stringify(input));
    assert.ok(effects.some((effect) => effect.type === "bad event"));
  }
});

test("rule 16: strange list items are reported, and the others kept", () => {
  const { effects } = run([page("10", { items: [object("a", "1")], strange: ['kind "Other"'] })]);
  assert.equal(effects[0], { type: "bad event", found: 'kind "Other"' });
  assert.equal(effects[1], { type: "replace", items: [object("a", "1")], resourceVersion: "10" });
});

test("rule 17: versions of any length are compared as numbers", () => {
  const huge = "9007199254740993";
  const { state } = run([page(huge), { type: "relist", why: "test" }, page("9007199254740992")]);
  assert.equal(state.phase.name, "wait");
  assert.equal(run([page("999"), { type: "relist", why: "test" }, page("1000")]).phase, watching("1000"));
});

test("a kind that is gone (404 on the watch) is listed again after a while", () => {
  assert.equal(waitPhase(run([page("10"), failed(404, "NotFound")]).phase), { delayMs: 800, then: "list" });
});

test("a relist that somebody asks for begins at once while watching, and not while listing", () => {
  assert.equal(run([page("10"), { type: "relist", why: "test" }]).phase, relisting);
  const listing = run([page("10", { continueToken: "more" })]);
  assert.is(run([{ type: "relist", why: "test" }], listing.state).state, listing.state);
});

test.run();
