/**
 * What this operator writes onto ConfigMap `<name>-config`, which is Patroni's: its dynamic configuration, and what has to
 * outlive the StatefulSet and the Database together with Patroni's state of the same data.
 * @module
 */
import type { StoredDatabase } from "../types/app.example.com/v1.ts";
import { sizeOf } from "./database.ts";
import type { Step } from "./decide.ts";
import { dynamicConfig, nextDynamicConfig } from "./dynamic_config.ts";
import { annotation, namesOf } from "./names.ts";
import { failedStates } from "./observe.ts";
import { ordinalsOf } from "./stateful_set.ts";
import { dataVersion, type Problem, serverReport, type Sight } from "./sight.ts";
import { membersHaveTls } from "./tls.ts";
import { readVersion } from "./versions.ts";

/** Annotations for ConfigMap `<name>-config`; null takes one away. */
export type StateAnnotations = Readonly<Record<string, string | null>>;

/**
 * The major version of the data, so that no other is ever started on it, and the member that led last, so that nobody who
 * may lack commits is started first. `undefined` when both are there, or nobody leads.
 */
export function remembered(sight: Sight): StateAnnotations | undefined {
  const { database, patroni: { primary, config }, pods, configMaps } = sight;
  if (primary === undefined || !configMaps.has(namesOf(database.metadata.name).config)) return undefined;
  const told = readVersion(
    serverReport(pods.find((pod) => pod.metadata?.name === primary)).version ?? "",
  );
  const major = config?.major ?? told?.major ?? dataVersion(sight)?.major;
  if (config?.primary === primary && config.major === major) return undefined;
  return {
    [annotation.primary]: primary,
    ...(major === undefined ? {} : { [annotation.major]: String(major) }),
  };
}

/** A member that makes the first data says so within one of Patroni's loops, 5 s; in milliseconds, with room to spare. */
const abandonedAfterMs = 60_000;

/**
 * Lets another member make the first data when the one that began was killed: its mark stays, and all would wait for it for
 * ever ("waiting for leader to bootstrap").
 *
 * First the time is noted at which nobody is seen at it; when nobody was for {@link abandonedAfterMs}, the mark goes. A
 * member that does anything but stand still counts as being at it.
 */
export function abandoned({ patroni }: Pick<Sight, "patroni">, nowMs: number): StateAnnotations | undefined {
  const { config, primary, members } = patroni;
  const isIdle = primary === undefined && members.length > 0 &&
    members.every(({ state }) => state === undefined || state === "stopped");
  if (config?.initializing !== true || !isIdle) {
    return config?.abandonedMs === undefined ? undefined : { [annotation.abandoned]: null };
  }
  if (config.abandonedMs === undefined || config.abandonedMs > nowMs) {
    return { [annotation.abandoned]: new Date(nowMs).toISOString() };
  }
  if (nowMs - config.abandonedMs < abandonedAfterMs) return undefined;
  return { initialize: null, [annotation.abandoned]: null };
}

/**
 * Patroni's dynamic configuration, when it is not what it should be; what can be reloaded is, the rest waits for restarts.
 *
 * It is changed while there is a primary, which is the member that may be asked what becomes of it, and where there is
 * none because a server does not start: with the values that are there it never would.
 *
 * @param effective the Database as it can be rendered
 * @param settledMs when all members will have taken it over
 */
export function configured(
  sight: Sight,
  effective: StoredDatabase,
  step: Step,
  settledMs: number,
): StateAnnotations | undefined {
  const { database, patroni, statefulSet } = sight;
  const { text } = patroni.config ?? {};
  if (text === undefined || unreadableState(sight) || !(patroni.primary || failsToStart(sight))) {
    return undefined;
  }
  const { replicas = 0, first = 0 } = step.kind === "scale" ? step : ordinalsOf(statefulSet);
  const size = Math.min(sizeOf(database), Math.max(1, replicas - first));
  const config = nextDynamicConfig(
    text,
    dynamicConfig(effective, { size, encrypted: membersHaveTls(sight) }),
  );
  return config === undefined
    ? undefined
    : { config, [annotation.settled]: new Date(settledMs).toISOString() };
}

/** True when Patroni says of a member that its server does not start. */
export function failsToStart({ patroni }: Pick<Sight, "patroni">): boolean {
  return patroni.members.some(({ state }) => state !== undefined && failedStates.has(state));
}

/** Nobody may overwrite what nobody understands. */
export function unreadableState(
  { database, patroni }: Pick<Sight, "database" | "patroni">,
): Problem | undefined {
  try {
    if (patroni.config?.text !== undefined) nextDynamicConfig(patroni.config.text, {});
    return undefined;
  } catch {
    const name = namesOf(database.metadata.name).config;
    const message =
      `ConfigMap "${name}": annotation "config" is not a JSON object: restore it, or make it "{}"`;
    return { reason: "ConfigUnreadable", message, stops: false };
  }
}
