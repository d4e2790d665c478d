/**
 * Another image of the same major version - spec.image, a minor version, or what the operator's installation says - is
 * tried before a member is restarted onto it: Job `<name>-image` runs `image.sh` of it, beside the members.
 *
 * Until that has succeeded the template keeps the image that the members have, so that one that is lost meanwhile comes
 * back. What cannot be pulled or does not run stops nobody, and is over as soon as it is corrected. Nothing is tried while
 * there is nothing to lose: before there is data, and while no member is to run.
 * @module
 */
import type { Job, StoredJob } from "../types/batch/v1.ts";
import type { OwnerReference } from "./database.ts";
import { jobPod } from "./job_pod.ts";
import { type JobState, jobState } from "./job_seen.ts";
import { annotation, component, label, namesOf, ownedMetadata } from "./names.ts";
import { folder } from "./scripts.ts";
import { containerSecurity } from "./security.ts";
import type { Problem, Sight } from "./sight.ts";
import { imageOf, readVersion } from "./versions.ts";

/** What is looked at. */
type Seen = Pick<
  Sight,
  "database" | "statefulSet" | "patroni" | "jobs" | "upgradePods" | "imageTemplate"
>;

/** A trial, as a decision needs it. */
export interface ImageTrial extends Omit<JobState, "state" | "waitedMs"> {
  /** `none`: it is to be made; `outdated`: it is not, or no longer, what is asked for. */
  readonly state: JobState["state"] | "none" | "outdated";
  readonly image: string;
}

/** The trial that is needed or there; `undefined` when there is none. */
export function imageTrialOf(seen: Seen, nowMs: number): ImageTrial | undefined {
  const image = untried(seen), job = imageTrialJob(seen);
  if (image === undefined) return job && { state: "outdated", image: imageIn(job), words: "" };
  if (!job) return { state: "none", image, words: "" };
  const isCurrent = job.metadata.annotations?.[annotation.upgrade] === purposeOf(seen, image);
  if (!isCurrent || job.metadata.deletionTimestamp) {
    return { state: "outdated", image: imageIn(job), words: "" };
  }
  const { state, trouble, words } = jobState(job, seen.upgradePods, nowMs);
  return { state, image, words, ...(trouble ? { trouble } : {}) };
}

/** The image that is asked for, when members with data have another one of the same major version. */
function untried({ database, statefulSet, patroni, imageTemplate }: Seen): string | undefined {
  const present = presentImage({ statefulSet });
  const runs = statefulSet?.spec?.template.metadata?.annotations?.[annotation.version] ?? "";
  const asked = readVersion(database.spec.version);
  const mayBeLost = patroni.config?.systemIdentifier !== undefined && statefulSet?.spec?.replicas !== 0;
  if (!present || !asked || asked.major !== readVersion(runs)?.major || !mayBeLost) return undefined;
  const image = imageOf(database, imageTemplate);
  return image === present ? undefined : image;
}

/** Whether the template may have the image that is asked for: it is the one that is there, or a trial has succeeded. */
export function isImageFree(seen: Seen): boolean {
  return untried(seen) === undefined || imageTrialOf(seen, 0)?.state === "succeeded";
}

/** The image of the members' template. */
function presentImage({ statefulSet }: Pick<Sight, "statefulSet">): string | undefined {
  return statefulSet?.spec?.template.spec?.containers[0]?.image;
}

/** The Job of a trial. */
export function imageTrialJob({ database, jobs }: Pick<Sight, "database" | "jobs">): StoredJob | undefined {
  const { uid } = database.metadata;
  return jobs.find(({ metadata }) =>
    metadata.labels?.[label.component] === component.imageCheck &&
    metadata.ownerReferences?.some((owner) => owner.uid === uid)
  );
}

function imageIn(job: StoredJob): string {
  return job.spec?.template.spec?.containers[0]?.image ?? "";
}

/** What a trial was made for: any change of the spec makes it anew, and so does the request for another attempt. */
function purposeOf({ database: { metadata } }: Pick<Sight, "database">, image: string): string {
  const request = metadata.annotations?.[annotation.upgrade];
  return JSON.stringify({ image, generation: metadata.generation, request });
}

/** What a person has to mend. */
export function imageProblem(seen: Seen, nowMs: number): Problem | undefined {
  const trial = imageTrialOf(seen, nowMs);
  const failed = trial?.state === "failed"
    ? { reason: "ImageUnusable", message: trial.words }
    : trial?.trouble;
  if (!trial || !failed) return undefined;
  const { image, version } = seen.database.spec;
  const runs = seen.statefulSet?.spec?.template.metadata?.annotations?.[annotation.version];
  const field = image ? "spec.image" : version === runs ? "--image of the operator" : "spec.version";
  const message = `${field}: the members keep image "${
    presentImage(seen)
  }", as "${trial.image}" cannot be used: ${failed.message.slice(0, 1000)}`;
  return { reason: failed.reason, message, stops: false };
}

/** The Job: it asks for next to nothing, so that it fits beside members that fill their nodes. */
export function desiredImageTrial(seen: Seen, owner: readonly OwnerReference[]) {
  const { database } = seen;
  const { name } = database.metadata;
  const image = untried(seen) ?? "", version = readVersion(database.spec.version);
  const labels = { [label.component]: component.imageCheck };
  const metadata = ownedMetadata(database, `${name}-image`, owner, labels);
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { ...metadata, annotations: { [annotation.upgrade]: purposeOf(seen, image) } },
    spec: {
      backoffLimit: 3,
      podFailurePolicy: {
        // The program's own, and those of a shell and a runtime that find no program.
        rules: [{ action: "FailJob", onExitCodes: { operator: "In", values: [1, 126, 127, 128] } }],
      },
      template: {
        metadata: { labels: { ...metadata.labels } },
        spec: {
          ...jobPod(database),
          containers: [{
            name: "image",
            image,
            imagePullPolicy: "IfNotPresent",
            command: ["/bin/sh", `${folder.config}/image.sh`, String(version?.major)],
            resources: { requests: { cpu: "10m", memory: "32Mi" } },
            securityContext: containerSecurity,
            terminationMessagePolicy: "FallbackToLogsOnError",
            volumeMounts: [{ name: "config", mountPath: folder.config, readOnly: true }],
          }],
          volumes: [{ name: "config", configMap: { name: namesOf(name).patroni, defaultMode: 0o444 } }],
        },
      },
    },
  } satisfies Job;
}
