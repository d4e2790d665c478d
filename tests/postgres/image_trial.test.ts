import { test } from "uvu";
import * as assert from "uvu/assert";
import { annotation, component, label } from "../../postgres/names.ts";
import { effectiveDatabase, type Sight } from "../../postgres/sight.ts";
import { desiredImageTrial, imageProblem, imageTrialOf } from "../../postgres/image_trial.ts";

const nowMs = Date.parse("2026-11-23T12:00:00Z");

interface Given {
  spec?: Record<string, unknown>;
  runs?: { version: string; image: string; replicas?: number } | undefined;
  hasData?: boolean;
  job?: object;
  pod?: object;
  generation?: number;
}

/** A Database of 17 whose members run image "r:17", and what is asked for. */
function sightOf(given: Given): Sight {
  const runs = "runs" in given ? given.runs : { version: "17", image: "r:17" };
  const metadata = { name: "orders", namespace: "shop", uid: "1", generation: given.generation ?? 1 };
  return {
    database: { metadata, spec: { version: "17", ...given.spec } },
    imageTemplate: "r:{version}",
    statefulSet: runs && {
      spec: {
        replicas: runs.replicas ?? 3,
        template: {
          metadata: { annotations: { [annotation.version]: runs.version } },
          spec: { containers: [{ image: runs.image }] },
        },
      },
    },
    patroni: { config: given.hasData === false ? {} : { systemIdentifier: "7" }, members: [] },
    pods: [],
    jobs: given.job ? [given.job] : [],
    upgradePods: given.pod ? [given.pod] : [],
  } as unknown as Sight;
}

/** The Job as it was made for what is given, and where it is. */
function made(given: Given, status: object = {}) {
  const desired = desiredImageTrial(sightOf(given), []);
  const ownerReferences = [{ uid: "1" }];
  return { ...desired, metadata: { ...desired.metadata, uid: "j", ownerReferences }, status };
}

const complete = { conditions: [{ type: "Complete", status: "True" }] };
const failed = {
  conditions: [{ type: "Failed", status: "True", message: "the image has no patroni that runs" }],
};
const minor: Given = { spec: { version: "17.6" } };
const imageAndVersion = (sight: Sight) => {
  const { image, version } = effectiveDatabase(sight).effective.spec;
  return [image, version];
};

for (
  const [what, given, state] of [
    ["the same image", {}, undefined],
    ["another minor version", minor, "none"],
    ["another spec.image", { spec: { image: "x" } }, "none"],
    ["another template of the operator", { runs: { version: "17", image: "before" } }, "none"],
    ["resources alone", { spec: { resources: { requests: { cpu: "1" } } } }, undefined],
    ["another major version: its own check tries it", { spec: { version: "18" } }, undefined],
    ["no data yet", { ...minor, hasData: false }, undefined],
    ["no member that runs", { ...minor, runs: { version: "17", image: "r:17", replicas: 0 } }, undefined],
    ["no StatefulSet", { ...minor, runs: undefined }, undefined],
    ["a version that cannot be read", { spec: { version: "9" } }, undefined],
    ["a trial under way", { ...minor, job: made(minor) }, "running"],
    ["a trial that succeeded", { ...minor, job: made(minor, complete) }, "succeeded"],
    ["a trial that failed", { ...minor, job: made(minor, failed) }, "failed"],
    [
      "a trial from before a change of the spec",
      { ...minor, job: made(minor, failed), generation: 2 },
      "outdated",
    ],
    ["a trial of what is no longer asked for", { job: made(minor) }, "outdated"],
  ] as const
) {
  test(`${what}: ${state ?? "nothing"} to try`, () =>
    assert.is(imageTrialOf(sightOf(given), nowMs)?.state, state));
}

test("the template keeps image and version until the trial has succeeded", () => {
  const before = ["r:17", "17"], after = [undefined, "17.6"];
  assert.equal(imageAndVersion(sightOf(minor)), before);
  assert.equal(imageAndVersion(sightOf({ ...minor, job: made(minor) })), before);
  assert.equal(imageAndVersion(sightOf({ ...minor, job: made(minor, failed) })), before);
  assert.equal(imageAndVersion(sightOf({ ...minor, job: made(minor, complete) })), after);
  assert.equal(imageAndVersion(sightOf({ ...minor, job: made(minor, complete), generation: 2 })), before);
  assert.equal(imageAndVersion(sightOf({ ...minor, hasData: false })), after);
});

test("what cannot be used is told with the field that asks for it", () => {
  const field = (given: Given) =>
    imageProblem(sightOf({ ...given, job: made(given, failed) }), nowMs)?.message.split(":")[0];
  assert.is(field(minor), "spec.version");
  assert.is(field({ spec: { image: "x" } }), "spec.image");
  assert.is(field({ runs: { version: "17", image: "before" } }), "--image of the operator");
  assert.equal(imageProblem(sightOf({ ...minor, job: made(minor, failed) }), nowMs), {
    reason: "ImageUnusable",
    message:
      'spec.version: the members keep image "r:17", as "r:17.6" cannot be used: the image has no patroni that runs',
    stops: false,
  });
  assert.is(imageProblem(sightOf({ ...minor, job: made(minor, complete) }), nowMs), undefined);
  assert.is(imageProblem(sightOf(minor), nowMs), undefined);
});

test("a pod that no node takes is told too", () => {
  const pod = {
    metadata: { name: "p", creationTimestamp: "2026-11-23T11:59:00Z", ownerReferences: [{ uid: "j" }] },
    status: {
      phase: "Pending",
      conditions: [{ type: "PodScheduled", status: "False", reason: "Unschedulable", message: "too full" }],
    },
  };
  const problem = imageProblem(sightOf({ ...minor, job: made(minor), pod }), nowMs);
  assert.is(problem?.reason, "Unschedulable");
  assert.match(problem?.message ?? "", "too full");
});

test("the Job is told from others by its component and owner, and asks for next to nothing", () => {
  const { metadata, spec } = made(minor);
  assert.is(metadata.labels[label.component], component.imageCheck);
  const other = { ...made(minor), metadata: { ...metadata, ownerReferences: [{ uid: "2" }] } };
  assert.is(imageTrialOf(sightOf({ ...minor, job: other }), nowMs)?.state, "none");
  assert.equal(spec.template.spec.containers[0]?.resources, { requests: { cpu: "10m", memory: "32Mi" } });
});

test.run();
