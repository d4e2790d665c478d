/**
 * What one pass has read, and what follows from it alone.
 * @module
 */

import type { StoredDatabase } from "../types/app.example.com/v1.ts";
import type { StoredStatefulSet } from "../types/apps/v1.ts";
import type { StoredJob } from "../types/batch/v1.ts";
import type {
  StoredConfigMap,
  StoredPersistentVolumeClaim,
  StoredPod,
  StoredSecret,
} from "../types/core/v1.ts";
import { presentParameters, timing } from "./dynamic_config.ts";
import { annotation, component, fieldManager, label, namesOf, ordinalOf } from "./names.ts";
import { observe, type Observed } from "./observe.ts";
import { type RefusedParameter, settableParameters } from "./parameters.ts";
import { isImageFree } from "./image_trial.ts";
import { podTrouble } from "./trouble.ts";
import { readVersion } from "./versions.ts";

/** What one pass has read. */
export interface Sight {
  readonly database: StoredDatabase;
  readonly statefulSet: StoredStatefulSet | undefined;
  readonly pods: readonly StoredPod[];
  /** The claims of the members' data. */
  readonly claims: readonly StoredPersistentVolumeClaim[];
  /** The claims of repositories, by name; see repository_claim.ts. */
  readonly storeClaims: ReadonlyMap<string, StoredPersistentVolumeClaim>;
  readonly configMaps: ReadonlyMap<string, StoredConfigMap>;
  /** The pods of backups, verifications and drills. */
  readonly backupPods: readonly StoredPod[];
  /** The Jobs of the Database, and the pods of those that upgrade it or try an image. */
  readonly jobs: readonly StoredJob[];
  readonly upgradePods: readonly StoredPod[];
  /** Image of the members, with `{version}` or `{major}`, for a Database that names none. */
  readonly imageTemplate: string;
  /** Patroni's state, as pods and ConfigMaps report it. */
  readonly patroni: Observed;
  /** The Secrets that matter, by name (repository.ts, `secretsOf`); those that are not there are missing. */
  readonly secrets: ReadonlyMap<string, StoredSecret>;
  /** The Database that spec.restoreFrom names. */
  readonly source: StoredDatabase | undefined;
  /** What was found under names that a step makes use of, and is not among the above: foreign_names.ts. */
  readonly unseen?: readonly Unseen[];
}

/** What is looked at in an object that is found by its name only. */
export interface Unseen {
  readonly kind?: string;
  readonly metadata: { name: string; labels?: { [name: string]: string } };
}

/** The objects of a Database, as they were read. */
export interface Objects extends Pick<Sight, "database" | "statefulSet" | "jobs" | "imageTemplate"> {
  readonly pods: readonly StoredPod[];
  readonly claims: readonly StoredPersistentVolumeClaim[];
  readonly configMaps: readonly StoredConfigMap[];
}

/** Puts in order what was read of a Database itself; what others own comes later. */
export function sightOf({ pods, claims, configMaps, ...read }: Objects, nowMs: number): Sight {
  const { name } = read.database.metadata;
  const names = namesOf(name);
  const podsOf = (...components: string[]) =>
    pods.filter(({ metadata }) => components.includes(metadata.labels?.[label.component] ?? ""));
  const members = podsOf(component.member);
  const byName = new Map(configMaps.map((configMap) => [configMap.metadata.name, configMap]));
  return {
    ...read,
    pods: members,
    upgradePods: podsOf(
      component.upgrade,
      component.upgradeCheck,
      component.upgradeBack,
      component.imageCheck,
    ),
    backupPods: podsOf(component.backup),
    claims: claims.filter(({ metadata }) => ordinalOf(name, metadata.name) !== undefined),
    storeClaims: new Map(
      claims.filter(({ metadata }) => metadata.name === names.backup).map((claim) => [names.backup, claim]),
    ),
    configMaps: byName,
    patroni: observe(name, {
      pods: members,
      leader: byName.get(names.leader),
      sync: byName.get(names.sync),
      config: byName.get(names.config),
    }, nowMs),
    secrets: new Map(),
    source: undefined,
  };
}

/** What a server made of its parameters. */
export interface ServerReport {
  /** Values that it runs with, of those that its standbys must have. */
  readonly runs: Readonly<Record<string, unknown>>;
  /** Values that it does not take, or does not start with. */
  readonly refused: readonly RefusedParameter[];
  /** It tries on its own what an only member is to restart with (trial.ts); a pod of an earlier operator does not. */
  readonly tries: boolean;
  /** Values that it starts with, as was tried. */
  readonly fits: Readonly<Record<string, unknown>>;
  readonly version?: string;
}

/** What a server made of its parameters, as its pod says; nothing where it does not or cannot be read. */
export function serverReport(
  pod: StoredPod | undefined,
): ServerReport {
  const record = (value: unknown) =>
    typeof value === "object" && value !== null ? value as Readonly<Record<string, unknown>> : {};
  try {
    const { runs, refused, trial, tries, version } = record(
      JSON.parse(pod?.metadata?.annotations?.[annotation.server] ?? "{}"),
    );
    const entries = Object.entries(record(refused)).flatMap(([name, value]): RefusedParameter[] =>
      typeof value === "string"
        ? [{ name, value, reason: `${JSON.stringify(value)} was refused by PostgreSQL` }]
        : []
    );
    const { fits, refused: failed } = record(trial);
    for (const [name, one] of Object.entries(record(failed))) {
      const { value, runs: before, words } = record(one);
      if (typeof value !== "string") continue;
      const said = typeof words === "string" ? `: ${words}` : "";
      const reason = `PostgreSQL does not start with ${JSON.stringify(value)}${said}`;
      entries.push({ name, value, reason, ...(typeof before === "string" ? { before } : {}) });
    }
    const isVersion = typeof version === "string" && /^[1-9][0-9](\.[0-9]{1,3})?$/.test(version);
    return {
      runs: record(runs),
      refused: entries,
      fits: record(fits),
      tries: tries === true,
      ...(isVersion ? { version } : {}),
    };
  } catch {
    return { runs: {}, refused: [], fits: {}, tries: false }; // not JSON: the pod's next report replaces it
  }
}

/**
 * Longest time until all members took over a changed dynamic configuration and told what waits for a restart, in
 * milliseconds: each looks every loopWait seconds, reloads, and reports 1 to 2 s later.
 */
export const reloadMs = timing.loopWait * 1000 + 3_000;

/** A later time than this is of a clock that is wrong, in milliseconds. */
const settlingMaxMs = 60_000;

/** True until the members have had the time to take over their configuration: what they say may be of the one before. */
export function isReloading(
  { database, configMaps }: Pick<Sight, "database" | "configMaps">,
  nowMs: number,
): boolean {
  const config = configMaps.get(namesOf(database.metadata.name).config);
  const leftMs = Date.parse(config?.metadata?.annotations?.[annotation.settled] ?? "") - nowMs;
  return leftMs > 0 && leftMs <= settlingMaxMs;
}

/** True for what carries our labels for the Database of that name. */
export function isOfDatabase(
  object: { readonly metadata?: { readonly labels?: Readonly<Record<string, string>> } },
  name: string | undefined,
): boolean {
  const labels = object.metadata?.labels ?? {};
  return labels[label.database] === name && labels["app.kubernetes.io/managed-by"] === fieldManager;
}

/** What a person reads of an object that is in the way. */
export function belongsToOthers(kind: string, name: string): string {
  return `${kind} "${name}" belongs to somebody else: it is not touched; rename one of the two`;
}

/** The system identifier of the data on a claim, once a member served from it. */
export function markOf(claim: StoredPersistentVolumeClaim): string | undefined {
  return claim.metadata?.annotations?.[annotation.systemIdentifier];
}

/** True for the identifier of data that an upgrade replaced. */
export function isReplaced({ config }: Observed, systemIdentifier: string | undefined): boolean {
  return config?.systemIdentifier !== undefined && systemIdentifier !== undefined &&
    (config.replaced ?? []).includes(systemIdentifier);
}

/** Something that a person has to mend. */
export interface Problem {
  readonly reason: string;
  readonly message: string;
  /** Nothing more is done until it is mended; else the rest goes on. */
  readonly stops: boolean;
}

/**
 * The Database as it can be rendered: with the parameters that can be set, in place of the others those that the
 * servers have, and with the major version that its data has.
 */
export function effectiveDatabase(
  sight: Sight,
): { effective: StoredDatabase; problems: Problem[] } {
  const { database, patroni, pods } = sight;
  const problems: Problem[] = [];
  let spec = database.spec;
  const runs = dataVersion(sight), asked = readVersion(spec.version);
  if (!asked) {
    const goesOn = runs ? `; PostgreSQL ${runs.text} goes on` : "";
    const message = `spec.version: ${JSON.stringify(spec.version)} is not like "17" or "17.6"${goesOn}`;
    problems.push({ reason: "Invalid", message, stops: runs === undefined });
    if (!runs) return { effective: database, problems };
  }
  if (runs !== undefined && runs.major !== asked?.major) {
    spec = { ...spec, version: runs.text, image: runs.image };
  }
  if (runs && !isImageFree(sight)) spec = { ...spec, version: runs.text, image: runs.image };
  const refused = pods.flatMap((pod) => serverReport(pod).refused);
  // The configuration may say the refused value already; what runs is what stays.
  const running = Object.fromEntries(
    refused.map(({ name, before }) => [name, before]).filter(([, before]) => before),
  );
  const present = { ...presentParameters(patroni.config?.text), ...running };
  const settable = settableParameters({ ...database, spec }, present, refused);
  if (settable.problems.length > 0) {
    const message = settable.problems.map(({ name, reason }) => `spec.parameters.${name}: ${reason}`).join(
      "; ",
    );
    problems.unshift({ reason: "InvalidParameter", message, stops: false });
    spec = { ...spec, parameters: settable.parameters };
  }
  return { effective: { ...database, spec }, problems };
}

/**
 * The version that the data is of, with the image of its members: as it was written down beside Patroni's state (see
 * patroni_state.ts); before that, what an upgrade was to begin from, and else what the members were made with. Where an
 * upgrade was taken back they were made for it, and its Job remembers what they were before.
 * `undefined` before there are any.
 */
export function dataVersion(
  { statefulSet, patroni, jobs }: Pick<Sight, "statefulSet" | "patroni" | "jobs">,
): { major: number; text: string; image?: string | undefined } | undefined {
  const template = statefulSet?.spec?.template;
  const present = readVersion(template?.metadata?.annotations?.[annotation.version] ?? "");
  const job = jobs.find((job) =>
    job.metadata.labels?.[label.component] === component.upgrade && orderOf(job).from > 0
  );
  const major = patroni.config?.major ?? (job && orderOf(job).from);
  if (present && (major === undefined || present.major === major)) {
    return { major: present.major, text: present.text, image: template?.spec?.containers[0]?.image };
  }
  if (major === undefined) return undefined;
  const before = job && versionBefore(job);
  return before?.major === major ? before : { major, text: String(major) };
}

/** What the members were made with before an upgrade, as its Job remembers it. */
function versionBefore(job: StoredJob): { major: number; text: string; image?: string } | undefined {
  try {
    const { text, image } = JSON.parse(job.metadata.annotations?.[annotation.before] ?? "{}") as Record<
      string,
      unknown
    >;
    const version = readVersion(typeof text === "string" ? text : "");
    return version && {
      major: version.major,
      text: version.text,
      ...(typeof image === "string" ? { image } : {}),
    };
  } catch {
    return undefined; // not ours any more: the image of the major version is taken
  }
}

/** What a Job of an upgrade was made for: the major version that it begins from, 0 when that cannot be read. */
export function orderOf(job: StoredJob): { from: number } {
  try {
    const { from } = JSON.parse(job.metadata?.annotations?.[annotation.upgrade] ?? "{}") as {
      from?: unknown;
    };
    return { from: Number.isInteger(from) ? from as number : 0 };
  } catch {
    return { from: 0 }; // not ours any more: it is not what is asked for, and goes
  }
}

/** Data and Patroni's state belong together: members are never started on one without the other. */
export function stateProblem({ database, claims, patroni }: Sight): Problem | undefined {
  const state = namesOf(database.metadata.name).config;
  const known = patroni.config?.systemIdentifier;
  for (const claim of claims) {
    const mark = markOf(claim);
    if (mark === undefined || mark === known || isReplaced(patroni, mark)) continue;
    const found = known === undefined ? "is gone" : `says ${known}`;
    const message =
      `Claim "${claim.metadata?.name}" holds data of system ${mark}, and ConfigMap "${state}" ${found}: ` +
      "restore the ConfigMap, or move the claims away to start empty";
    return { reason: known === undefined ? "StateLost" : "OtherData", message, stops: true };
  }
  return undefined;
}

/** The part of a pod that matters: Patroni notes its WAL position on it every few seconds, which must wake nobody. */
export function podFacts(pod: StoredPod): unknown {
  const name = pod.metadata?.labels?.[label.database] ?? "";
  const [member] = observe(name, { pods: [pod] }, 0).members;
  return [
    pod.metadata?.deletionTimestamp,
    pod.metadata?.labels,
    pod.metadata?.annotations?.[annotation.server],
    pod.metadata?.annotations?.[annotation.backup],
    pod.metadata?.annotations?.[annotation.roles],
    pod.metadata?.annotations?.[annotation.credentials],
    pod.metadata?.annotations?.[annotation.tls],
    pod.metadata?.annotations?.[annotation.used],
    pod.status?.startTime,
    podTrouble(pod),
    // A member's phase says less than Patroni does; of a Job's pod it says that there are last words to read.
    pod.metadata?.labels?.[label.component] !== component.member && pod.status?.phase,
    member && { ...member, position: undefined, lagBytes: undefined },
  ];
}

/** The part of a ConfigMap that matters: not the time and the WAL position in Patroni's leader lock. */
export function configMapFacts({ metadata, data }: StoredConfigMap): unknown {
  const { renewTime: _, optime: __, slots: ___, retain_slots: ____, ...annotations } =
    metadata?.annotations ?? {};
  return [metadata?.labels, metadata?.ownerReferences, metadata?.deletionTimestamp, annotations, data];
}
