/**
 * Objects of others under the names that Patroni and the StatefulSet controller use: neither of the two would notice.
 *
 * Patroni would be refused, or would take them for its state; a member would be started on a stranger's volume. What this
 * operator writes itself is checked where it is written.
 * @module
 */
import type { Step } from "./decide.ts";
import { claimName, namesOf } from "./names.ts";
import { belongsToOthers, isOfDatabase, type Problem, type Sight } from "./sight.ts";

/** Names that a step makes use of and that are not among what carries our labels. */
export function unseenNames(
  { database, statefulSet, configMaps, claims }: Sight,
  step: Step,
): { configMaps: string[]; claims: string[] } {
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
  return {
    configMaps: state.filter((one) => !configMaps.has(one)),
    claims: Array.from({ length: members }, (_, at) => claimName(name, at)).filter((one) => !known.has(one)),
  };
}

/** The first of those that were found and are not ours. */
export function foreignProblem({ database, unseen = [] }: Sight): Problem | undefined {
  const foreign = unseen.find((one) => !isOfDatabase(one, database.metadata.name));
  if (!foreign) return undefined;
  const message = belongsToOthers(foreign.kind ?? "", foreign.metadata.name);
  return { reason: "NameConflict", message, stops: true };
}
