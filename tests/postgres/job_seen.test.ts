import { test } from "uvu";
import * as assert from "uvu/assert";
import { jobState } from "../../postgres/job_seen.ts";
import { dataVersion, type Sight } from "../../postgres/sight.ts";
import { annotation, component, label, ownedLabels } from "../../postgres/names.ts";
import { purposeOf } from "../../postgres/upgrade.ts";
import { desiredUpgradeJob, upgradeOrder } from "../../postgres/upgrade_changes.ts";
import type { StoredJob } from "../../types/batch/v1.ts";
import type { StoredPod } from "../../types/core/v1.ts";

const nowMs = Date.parse("2026-11-23T12:00:00Z");
const before = (seconds: number) => new Date(nowMs - seconds * 1000).toISOString();
const job = (status: object, suspend = false) =>
  ({ metadata: { name: "orders-upgrade-17", uid: "1" }, spec: { suspend }, status }) as unknown as StoredJob;
const pod = (phase: string, seconds: number, more: object = {}) =>
  ({
    metadata: { name: "p", creationTimestamp: before(seconds), ownerReferences: [{ uid: "1" }] },
    status: { phase, ...more },
  }) as unknown as StoredPod;

const unscheduled = {
  conditions: [{ type: "PodScheduled", status: "False", reason: "Unschedulable", message: "full" }],
};
const noPod = { reason: "NoPod", message: "no pod of Job orders-upgrade-17 could be made: see its events" };

for (
  const [what, given, pods, want] of [
    ["suspended", job({}, true), [], { state: "suspended", words: "", waitedMs: 0 }],
    ["just begun", job({ startTime: before(59) }), [], { state: "running", words: "", waitedMs: 0 }],
    ["without a pod for a minute", job({ startTime: before(60) }), [], {
      state: "running",
      words: "",
      trouble: noPod,
      waitedMs: 60_000,
    }],
    [
      "without a pod after one that was killed: its deadline bounds it",
      job({ startTime: before(600), failed: 1 }),
      [],
      { state: "running", words: "", waitedMs: 0 },
    ],
    ["at work", job({ startTime: before(600) }), [pod("Running", 600)], {
      state: "running",
      words: "",
      waitedMs: 0,
    }],
    ["with a pod that is on its way", job({}), [pod("Pending", 200)], {
      state: "running",
      words: "",
      trouble: undefined,
      waitedMs: 200_000,
    }],
    ["with a pod that never starts", job({}), [pod("Pending", 301)], {
      state: "running",
      words: "",
      trouble: { reason: "Pending", message: "pod p does not start" },
      waitedMs: 301_000,
    }],
    ["with a pod that no node takes", job({}), [pod("Pending", 20, unscheduled)], {
      state: "running",
      words: "",
      trouble: { reason: "Unschedulable", message: "full" },
      waitedMs: 20_000,
    }],
    [
      "past its deadline",
      job({ conditions: [{ type: "Failed", status: "True", message: "too long" }] }),
      [],
      {
        state: "failed",
        words: "too long",
        waitedMs: 0,
      },
    ],
    ["done", job({ conditions: [{ type: "Complete", status: "True" }] }), [
      pod("Succeeded", 9, { containerStatuses: [{ state: { terminated: { message: " done " } } }] }),
    ], { state: "succeeded", words: "done", waitedMs: 0 }],
  ] as const
) {
  test(`a Job that is ${what}`, () => assert.equal(jobState(given, pods, nowMs), want));
}

test("an upgrade's pods run where the members may, and none of its Jobs waits for ever", () => {
  const nodeAffinity = { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [] } };
  const spec = {
    version: "17",
    nodeSelector: { disk: "fast" },
    tolerations: [{ key: "only", operator: "Equal", value: "databases" }],
    affinity: { nodeAffinity, podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [] } },
  };
  const sight = {
    database: { metadata: { name: "orders", namespace: "shop" }, spec },
    patroni: {},
    pods: [],
    jobs: [],
  } as unknown as Sight;
  for (const purpose of ["check", "run"] as const) {
    const made = desiredUpgradeJob(sight, purpose, { owner: [], imageTemplate: "x" }).spec;
    const { nodeSelector, tolerations, affinity } = made.template.spec;
    assert.equal({ nodeSelector, tolerations, affinity }, {
      nodeSelector: spec.nodeSelector,
      tolerations: spec.tolerations,
      affinity: { nodeAffinity },
    });
    assert.ok((made.activeDeadlineSeconds ?? 0) >= 600);
  }
});

test("the way back is by the image that made the upgrade, and leads to version and image of before", () => {
  const database = {
    metadata: { name: "orders", namespace: "shop" },
    spec: { version: "18", image: "localhost/other:18" },
  };
  const before = { text: "15.8", image: "localhost/own:15" };
  const labels = { [label.component]: component.upgrade, ...ownedLabels("orders") };
  const annotations = {
    [annotation.upgrade]: '{"from":15}',
    [annotation.before]: JSON.stringify(before),
  };
  const run = {
    metadata: { name: "orders-upgrade-17", labels, annotations },
    spec: { template: { spec: { containers: [{ image: "localhost/own:17" }] } } },
  };
  const template = { metadata: { annotations: { [annotation.version]: "17" } }, spec: { containers: [{}] } };
  const sight = (major: number) =>
    ({
      database,
      statefulSet: { spec: { template } },
      patroni: { config: { major } },
      jobs: [run],
      pods: [],
    }) as unknown as Sight;
  const options = { owner: [], imageTemplate: "x", words: "it does not start" };
  const made = desiredUpgradeJob(sight(17), "back", options);
  assert.is(made.spec.template.spec.containers[0]?.image, "localhost/own:17");
  assert.is(made.spec.suspend, true);
  assert.is(made.metadata.annotations[annotation.failure], "it does not start");
  assert.is(made.spec.template.spec.volumes?.[0]?.name, "data");
  assert.equal(upgradeOrder(sight(17)), {
    from: 15,
    to: 17,
    parameters: upgradeOrder(sight(17))?.parameters,
  });
  assert.equal(dataVersion(sight(17))?.text, "17");
  assert.equal(dataVersion(sight(15)), { major: 15, ...before });
});

test("a check looks for what the primary's databases use, and is made again when that changes", () => {
  const used = (text: string | undefined): Sight =>
    ({
      database: {
        metadata: { name: "orders", namespace: "shop", generation: 1 },
        spec: { version: "17" },
      },
      statefulSet: {
        spec: {
          template: { metadata: { annotations: { [annotation.version]: "15" } }, spec: { containers: [{}] } },
        },
      },
      patroni: { primary: "orders-0", config: { systemIdentifier: "7" } },
      jobs: [],
      pods: [
        { metadata: { name: "orders-1", annotations: { [annotation.used]: '{"extensions":["stale"]}' } } },
        {
          metadata: { name: "orders-0", annotations: text === undefined ? {} : { [annotation.used]: text } },
        },
      ],
    }) as unknown as Sight;
  const told = used('{"extensions":["adminpack","bad\\u0000"],"libraries":["$libdir/adminpack",7]}');
  const { extensions, libraries } = upgradeOrder(told)!;
  assert.equal({ extensions, libraries }, { extensions: ["adminpack"], libraries: ["$libdir/adminpack"] });
  for (const text of [undefined, "", "{", "null", "7"]) {
    assert.is(upgradeOrder(used(text))?.extensions?.length ?? 0, 0, String(text));
  }
  assert.is.not(purposeOf(told, 15, "check"), purposeOf(used(undefined), 15, "check"));
  assert.is(purposeOf(told, 15, "run"), purposeOf(used(undefined), 15, "run"));
});

test.run();
