/**
 * Objects of others under the names that Patroni and the StatefulSet controller use: neither of the two would notice.
 *
 * Patroni would be refused, or would take them for its state; a member would be started on a stranger's volume. What this
 * operator writes itself is checked where it is written.
 * @module
 */
import { statefulSets } from "../types/apps/v1.ts";
import type { Resource } from "../types/client.ts";
import { configMaps, persistentVolumeClaims } from "../types/core/v1.ts";
import type { Step } from "./decide.ts";
import { claimName, namesOf } from "./names.ts";
import { belongsToOthers, isOfDatabase, type Problem, type Sight, type Unseen } from "./sight.ts";

/** An object that may be there under a name. */
export interface UnseenName {
  readonly resource: Resource<Unseen, object>;
  readonly name: string;
}

/** Names that a step makes use of and that are not among what carries our labels. */
export function unseenNames(
  { database, statefulSet, configMaps: seen, claims }: Sight,
  step: Step,
): UnseenName[] {
  const { name } = database.metadata;
  const names = namesOf(name);
  const begins = statefulSet === undefined && step.kind === "scale";
  const state = begins
    ? [names.leader, names.config, names.sync, names.failover]
    : step.kind === "switchover"
    ? [names.failover]
    : [];
  const members = step.kind === "scale" ? step.replicas : 0;
  const known = new Set(claims.map(({ metadata }) => metadata.name));
  const volumes = Array.from({ length: members }, (_, at) => claimName(name, at));
  return [
    ...state.filter((one) => !seen.has(one)).map((name) => ({ resource: configMaps, name })),
    ...volumes.filter((one) => !known.has(one)).map((name) => ({ resource: persistentVolumeClaims, name })),
    ...(begins ? [{ resource: statefulSets, name: names.statefulSet }] : []),
  ];
}

/** The first of those that were found and are not ours. */
export function foreignProblem({ database, unseen = [] }: Sight): Problem | undefined {
  const foreign = unseen.find((one) => !isOfDatabase(one, database.metadata.name));
  if (!foreign) return unseenMembers(unseen);
  const message = belongsToOthers(foreign.kind ?? "", foreign.metadata.name);
  return { reason: "NameConflict", message, stops: true };
}

/** What is made for the first time says how many members run: written over one that is there, it would stop some. */
function unseenMembers(unseen: NonNullable<Sight["unseen"]>): Problem | undefined {
  const there = unseen.find(({ kind }) => kind === "StatefulSet");
  if (!there) return undefined;
  const message = `StatefulSet "${there.metadata.name}" is there, and was not seen yet`;
  return { reason: "Progressing", message, stops: true };
}
