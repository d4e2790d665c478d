import { test } from "uvu";
import * as assert from "uvu/assert";
import { annotation } from "../../postgres/names.ts";
import { dynamicConfig } from "../../postgres/dynamic_config.ts";
import { abandoned, configured, remembered, unreadableState } from "../../postgres/patroni_state.ts";
import { dataVersion, effectiveDatabase } from "../../postgres/sight.ts";
import { upgradeOf } from "../../postgres/upgrade.ts";
import { situationOf } from "../../postgres/situation.ts";
import { decide, wait } from "../../postgres/decide.ts";
import { type Given, nowMs, seen } from "./seen.ts";

const done = wait("Degraded", "");
const text = (parameters: Record<string, string>) =>
  JSON.stringify(
    dynamicConfig({ ...seen().database, spec: { version: "17", parameters } }, { size: 1, encrypted: false }),
  );

for (
  const { rule, given, want } of [
    {
      rule: "who leads and which version are written down once",
      given: {},
      want: { primary: "orders-0", major: "17" },
    },
    {
      rule: "the version is the server's own word, not what somebody edited",
      given: {
        statefulSet: { replicas: 1, version: "18" },
        members: [{ ordinal: 0, server: { version: "17.6" } }],
      },
      want: { primary: "orders-0", major: "17" },
    },
    {
      rule: "a version that is there stays",
      given: { state: { config: { [annotation.major]: "15" } } },
      want: { primary: "orders-0", major: "15" },
    },
    {
      rule: "another primary is written down",
      given: { state: { config: { [annotation.major]: "17", [annotation.primary]: "orders-2" } } },
      want: { primary: "orders-0", major: "17" },
    },
    {
      rule: "what is there is not written again",
      given: { state: { config: { [annotation.major]: "17", [annotation.primary]: "orders-0" } } },
      want: undefined,
    },
    { rule: "without a primary nothing is known", given: { leader: undefined }, want: undefined },
    { rule: "without Patroni's state there is nowhere to write it", given: { state: {} }, want: undefined },
  ] as { rule: string; given: Given; want: Record<string, string> | undefined }[]
) {
  test(rule, () => {
    const sight = seen({
      members: [{ ordinal: 0 }],
      leader: "orders-0",
      statefulSet: { replicas: 1 },
      state: { config: {} },
      ...given,
    });
    const wanted = want && { [annotation.primary]: want["primary"], [annotation.major]: want["major"] };
    assert.equal(remembered(sight), wanted);
  });
}

const sinceMs = (ago: number) => new Date(nowMs - ago).toISOString();
for (
  const { rule, state = "stopped", config, want } of [
    {
      rule: "the first data that nobody makes any more: the time is noted",
      config: { initialize: "" },
      want: { [annotation.abandoned]: sinceMs(0) },
    },
    {
      rule: "it is waited for whom nobody has seen yet",
      config: { initialize: "", [annotation.abandoned]: sinceMs(59_000) },
      want: undefined,
    },
    {
      rule: "after a minute another member may make it",
      config: { initialize: "", [annotation.abandoned]: sinceMs(60_000) },
      want: { initialize: null, [annotation.abandoned]: null },
    },
    {
      rule: "a member that is at it is left alone, however long it takes",
      state: "running custom bootstrap script",
      config: { initialize: "", [annotation.abandoned]: sinceMs(600_000) },
      want: { [annotation.abandoned]: null },
    },
    {
      rule: "so is one whose server starts on the new data",
      state: "starting",
      config: { initialize: "" },
      want: undefined,
    },
    {
      rule: "data that is there is never made again",
      config: { initialize: "7431", [annotation.abandoned]: sinceMs(600_000) },
      want: { [annotation.abandoned]: null },
    },
    {
      rule: "a time of a clock that is ahead does not count",
      config: { initialize: "", [annotation.abandoned]: sinceMs(-1) },
      want: { [annotation.abandoned]: sinceMs(0) },
    },
    { rule: "where nothing was begun nothing is to do", config: {}, want: undefined },
  ] as { rule: string; state?: string; config: Record<string, string>; want: unknown }[]
) {
  test(rule, () => {
    const sight = seen({
      members: [{ ordinal: 0, state }, { ordinal: 1, state: "stopped" }],
      state: { config },
    });
    assert.equal(abandoned(sight, nowMs), want);
  });
}

for (
  const { rule, given, want } of [
    {
      rule: "a primary is told its configuration",
      given: { leader: "orders-0", members: [{ ordinal: 0 }] },
      want: true,
    },
    {
      rule: "a server that does not start is told another one, although nobody leads",
      given: { members: [{ ordinal: 0, state: "start failed" }] },
      want: true,
    },
    { rule: "so is one that crashed", given: { members: [{ ordinal: 0, state: "crashed" }] }, want: true },
    {
      rule: "while a primary is waited for, nothing changes",
      given: { members: [{ ordinal: 0, state: "starting" }] },
      want: false,
    },
    {
      rule: "what cannot be read is not written over",
      given: { leader: "orders-0", members: [{ ordinal: 0 }], state: { config: { config: "no" } } },
      want: false,
    },
    {
      rule: "what says already what it should is left alone",
      given: { leader: "orders-0", members: [{ ordinal: 0 }], state: { config: { config: text({}) } } },
      want: false,
    },
  ] as { rule: string; given: Given; want: boolean }[]
) {
  test(rule, () => {
    const state = { config: { config: text({ shared_preload_libraries: "typo" }) } };
    const sight = seen({ statefulSet: { replicas: 1 }, state, ...given });
    const annotations = configured(sight, sight.database, done, nowMs + 8_000);
    assert.is(annotations !== undefined, want);
    if (annotations) {
      const { postgresql } = JSON.parse(annotations["config"]!) as { postgresql: { parameters: object } };
      assert.not.ok("shared_preload_libraries" in postgresql.parameters);
      assert.is(annotations[annotation.settled], "2026-11-23T12:00:08.000Z");
    }
  });
}

test("a configuration that is not JSON is told, and Patroni counts as paused meanwhile", () => {
  const sight = seen({ state: { config: { config: "no" } } });
  assert.is(unreadableState(sight)?.reason, "ConfigUnreadable");
  assert.is(situationOf(sight, nowMs).patroniPaused, true);
  assert.is(unreadableState(seen({ state: { config: { config: "{}" } } })), undefined);
});

const order = JSON.stringify({ from: 15, version: "17" });
const running = [{ name: "orders-upgrade-17", component: "upgrade", order }];

for (
  const { rule, given, want } of [
    {
      rule: "what the members were made with",
      given: { statefulSet: { replicas: 1, version: "15" } },
      want: 15,
    },
    {
      rule: "what is written down, whatever the StatefulSet says",
      given: { statefulSet: { replicas: 1, version: "18" }, state: { config: { [annotation.major]: "17" } } },
      want: 17,
    },
    {
      rule: "also without the StatefulSet",
      given: { state: { config: { [annotation.major]: "15" } } },
      want: 15,
    },
    {
      rule: "what an upgrade was to begin from, where nothing is written down",
      given: { jobs: running, statefulSet: { replicas: 0, version: "17" } },
      want: 15,
    },
    {
      rule: "what is no version counts as nothing",
      given: { statefulSet: { replicas: 1, version: "new" } },
      want: undefined,
    },
    {
      rule: "an order that cannot be read, too",
      given: { jobs: [{ ...running[0], order: "{" }] },
      want: undefined,
    },
  ] as { rule: string; given: Given; want: number | undefined }[]
) {
  test(`the version of the data is ${rule}`, () => assert.is(dataVersion(seen(given))?.major, want));
}

test("an edited version on the StatefulSet makes nobody believe in another one", () => {
  const sight = seen({
    statefulSet: { replicas: 1, version: "18" },
    state: { config: { [annotation.major]: "17" } },
  });
  assert.is(effectiveDatabase(sight).effective.spec.version, "17");
  assert.is(upgradeOf(sight, nowMs), undefined);
});

for (const [what, given] of [["its Job", { jobs: running }], ["nothing else", {}]] as [string, Given][]) {
  test(`nobody is started beside a pod that works on the data, with ${what} left`, () => {
    const sight = seen({ ...given, upgradePods: ["Running"], state: { config: { initialize: "7" } } });
    assert.is(upgradeOf(sight, nowMs)?.busy, true);
    assert.is(decide(situationOf(sight, nowMs)).reason, "Upgrading");
  });
}

test("an upgrade that succeeded is not over before its data is adopted, also without the StatefulSet", () => {
  assert.is(upgradeOf(seen({ jobs: running }), nowMs)?.job?.adopted, false);
});

test.run();
