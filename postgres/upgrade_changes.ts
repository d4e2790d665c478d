/**
 * What the steps of an upgrade write: its Jobs, and the change after which the upgraded data is the Database's.
 * @module
 */
import { type Job, jobs, type StoredJob } from "../types/batch/v1.ts";
import type { Resource } from "../types/client.ts";
import { configMaps, type PodSpec } from "../types/core/v1.ts";
import type { Database, OwnerReference } from "./database.ts";
import { dynamicConfig, nextDynamicConfig, presentParameters } from "./dynamic_config.ts";
import { jobPod } from "./job_pod.ts";
import { annotation, claimName, label, namesOf, ownedMetadata, podName } from "./names.ts";
import { parametersOf, settableParameters } from "./parameters.ts";
import { memberResources } from "./pod_template.ts";
import { folder, volumeFolder } from "./scripts.ts";
import { containerSecurity } from "./security.ts";
import { dataVersion, orderOf, type Sight } from "./sight.ts";
import { desiredImageTrial, imageTrialJob } from "./image_trial.ts";
import {
  jobOf,
  program,
  type Purpose,
  purposeOf,
  type UpgradeAction,
  upgradeComponent,
  upgraded,
  upgradeOf,
  usedOf,
} from "./upgrade.ts";
import type { UpgradeOrder } from "./upgrade_scripts.ts";
import { imageOf, majorOf, readVersion } from "./versions.ts";

/** What the Jobs find in the members' ConfigMap, while there is something to do. */
export function upgradeOrder(sight: Sight): UpgradeOrder | undefined {
  const { database, patroni } = sight;
  const data = dataVersion(sight)?.major, job = jobOf(sight, "run");
  const begun = job ? orderOf(job).from : 0;
  // What was upgraded may have to be taken back.
  const [from, to] = data !== undefined && begun > 0 && begun < data
    ? [begun, data]
    : [data, readVersion(database.spec.version)?.major];
  if (from === undefined || to === undefined || from >= to) return undefined;
  const { parameters } = settableParameters(database, presentParameters(patroni.config?.text));
  const all = parametersOf({ ...database, spec: { ...database.spec, parameters } });
  // What needs files that only the members have, or would send WAL somewhere.
  const own = /^(archive_|ssl|restore_command$|unix_socket_directories$)/;
  return {
    from,
    to,
    parameters: Object.fromEntries(Object.entries(all).filter(([name]) => !own.test(name))),
    ...usedOf(sight),
  };
}

/**
 * Longest time, in seconds: of a check, whose server has two minutes to start; and of an upgrade, which links files. Without
 * the way back nobody serves: it waits as long as it takes.
 */
const deadlineSeconds = { check: 600, run: 3600, back: undefined } as const;

/** One write of a step: the body of a create or of a merge patch, or what a delete is bound to. */
export interface Change {
  readonly verb: "create" | "patch" | "delete";
  readonly resource: Resource<object, object>;
  readonly name: string;
  readonly body: object;
}

/** What rendering needs beyond what was seen. */
interface Options {
  readonly owner: readonly OwnerReference[];
  readonly imageTemplate: string;
}

/**
 * The writes of a step, in their order: the last one is what makes the step done.
 *
 * @param words why the upgrade is given up, or taken back
 */
export function upgradeChanges(
  sight: Sight,
  action: UpgradeAction,
  options: Options & { readonly words: string },
): Change[] {
  const run = jobOf(sight, "run"), back = jobOf(sight, "back");
  const create = (purpose: Purpose): Change => {
    const body = desiredUpgradeJob(sight, purpose, options);
    return { verb: "create", resource: jobs, name: body.metadata.name, body };
  };
  const patchJob = (job: StoredJob | undefined, annotations: object, spec: object): Change[] => {
    if (!job) return [];
    const { name, resourceVersion } = job.metadata;
    return [{
      verb: "patch",
      resource: jobs,
      name,
      body: { metadata: { resourceVersion, annotations }, spec },
    }];
  };
  switch (action) {
    case "check":
      return [create("check")];
    case "begin":
      return [create("run")];
    case "run":
      return patchJob(back ?? run, {}, { suspend: false });
    // The Job controller ends it as failed, and keeps it: that is what remembers the failure.
    case "giveUp":
      return patchJob(run, { [annotation.failure]: options.words }, { activeDeadlineSeconds: 1 });
    case "adopt":
      return adoption(sight);
    case "forget":
      return [...deletion(jobOf(sight, "check")), ...deletion(back), ...deletion(run)];
    case "goBack":
      return [create("back")];
    // From the first on the Job is one that failed; with the last the old data is the Database's again.
    case "return":
      return [
        ...patchJob(run, { [annotation.failure]: upgradeOf(sight, 0)?.back?.words }, {}),
        ...returning(sight),
      ];
    case "forgetBack":
      return deletion(back);
    case "try": {
      const body = desiredImageTrial(sight, options.owner);
      return [{ verb: "create", resource: jobs, name: body.metadata.name, body }];
    }
    case "forgetTrial":
      return deletion(imageTrialJob(sight));
  }
}

function deletion(job: StoredJob | undefined): Change[] {
  if (!job || job.metadata.deletionTimestamp) return [];
  const { name, uid, resourceVersion } = job.metadata;
  return [{ verb: "delete", resource: jobs, name, body: { uid, resourceVersion } }];
}

/** From here on the upgraded data is the Database's: one patch says so, and which data it replaces. */
function adoption(sight: Sight): Change[] {
  const { database, patroni } = sight;
  const told = upgraded(sight);
  if (!told) return [];
  const replaced = [...patroni.config?.replaced ?? [], told.replaced];
  // Nobody but the first member has this data: none of the others is synchronous, and none leads.
  return handing(sight, database, { systemIdentifier: told.systemIdentifier, replaced, leader: null });
}

/** From here on the old data is the Database's again: the others have it too, without what the first one wrote last. */
function returning(sight: Sight): Change[] {
  const { database, patroni } = sight;
  const job = jobOf(sight, "back"), replaced = [...patroni.config?.replaced ?? []];
  const systemIdentifier = replaced.pop();
  if (!job || systemIdentifier === undefined) return [];
  const version = String(orderOf(job).from), leader = podName(database.metadata.name, 0);
  const before = { ...database, spec: { ...database.spec, version } };
  return handing(sight, before, { systemIdentifier, replaced, leader });
}

/** Other data becomes the Database's: that of the first member, of the version of `database`. */
function handing(
  { patroni, configMaps: seen }: Sight,
  database: Database,
  { systemIdentifier, replaced, leader }: {
    systemIdentifier: string;
    replaced: readonly string[];
    /** Who alone may lead, for as long as commits wait for standbys. */
    leader: string | null;
  },
): Change[] {
  const names = namesOf(database.metadata.name ?? "");
  const config = seen.get(names.config)?.metadata;
  if (!config) return [];
  const { parameters } = settableParameters(database, presentParameters(patroni.config?.text));
  const effective = { ...database, spec: { ...database.spec, parameters } };
  const next = nextDynamicConfig(patroni.config?.text ?? "{}", dynamicConfig(effective, { size: 1 }));
  const annotations = {
    initialize: systemIdentifier,
    history: null,
    ...(next === undefined ? {} : { config: next }),
    [annotation.major]: String(majorOf(database)),
    [annotation.primary]: podName(database.metadata.name ?? "", 0),
    [annotation.replaced]: replaced.length > 0 ? replaced.join(",") : null,
  };
  const patch = (name: string, metadata: object): Change => ({
    verb: "patch",
    resource: configMaps,
    name,
    body: { metadata },
  });
  const alone = { leader, sync_standby: null, quorum: null };
  return [
    ...(seen.has(names.sync) ? [patch(names.sync, { annotations: alone })] : []),
    patch(names.config, { resourceVersion: config.resourceVersion, annotations }),
  ];
}

/** The Job of a check; or of the upgrade itself or the way back, which wait until they may run. */
export function desiredUpgradeJob(
  sight: Sight,
  purpose: Purpose,
  { owner, imageTemplate, words }: Options & { readonly words?: string },
) {
  const { database } = sight;
  const { name } = database.metadata;
  const names = namesOf(name);
  const run = jobOf(sight, "run"), data = dataVersion(sight);
  const from = (purpose === "back" ? run && orderOf(run).from : data?.major) ?? 0;
  // What made the upgrade can take it back.
  const made = purpose === "back" ? run?.spec?.template.spec?.containers[0]?.image : undefined;
  const labels = { [label.component]: upgradeComponent[purpose] };
  const spec: PodSpec = {
    ...jobPod(database),
    containers: [{
      name: program,
      image: made ?? imageOf(database, imageTemplate),
      imagePullPolicy: "IfNotPresent",
      command: ["python3", `${folder.config}/upgrade.py`, purpose],
      resources: memberResources(database),
      securityContext: containerSecurity,
      terminationMessagePolicy: "FallbackToLogsOnError",
      volumeMounts: [
        ...(purpose === "check" ? [] : [{ name: "data", mountPath: volumeFolder }]),
        { name: "config", mountPath: folder.config, readOnly: true },
        { name: "shm", mountPath: "/dev/shm" },
        { name: "tmp", mountPath: "/tmp" },
      ],
    }],
    volumes: [
      ...(purpose === "check"
        ? []
        : [{ name: "data", persistentVolumeClaim: { claimName: claimName(name, 0) } }]),
      { name: "config", configMap: { name: names.patroni, defaultMode: 0o444 } },
      { name: "shm", emptyDir: { medium: "Memory" } },
      { name: "tmp", emptyDir: {} },
    ],
  };
  const metadata = ownedMetadata(
    database,
    upgradeJobName(name, majorOf(database), purpose),
    owner,
    labels,
  );
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      ...metadata,
      annotations: {
        [annotation.upgrade]: purposeOf(sight, from, purpose),
        ...(purpose === "run" && data
          ? { [annotation.before]: JSON.stringify({ text: data.text, image: data.image }) }
          : {}),
        ...(purpose === "back" ? { [annotation.failure]: words } : {}),
      },
    },
    spec: {
      suspend: purpose !== "check",
      activeDeadlineSeconds: deadlineSeconds[purpose],
      // A pod that was killed is tried again, once: what the program itself cannot do is told at once.
      backoffLimit: 1,
      podFailurePolicy: {
        rules: [{
          action: "FailJob",
          onExitCodes: { containerName: program, operator: "In", values: [1] },
        }],
      },
      template: { metadata: { labels: { ...metadata.labels } }, spec },
    },
  } satisfies Job;
}

/** Name of the Job. */
export function upgradeJobName(name: string, major: number, purpose: Purpose): string {
  return `${name}-upgrade-${major}${purpose === "run" ? "" : `-${purpose}`}`;
}
