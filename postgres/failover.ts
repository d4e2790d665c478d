/**
 * ConfigMap `<name>-failover`: asks Patroni for a planned switchover.
 *
 * Patroni's leader sees the object within a second, hands over and removes the annotations; a request that cannot
 * be met is dropped, so whoever asks must look afterwards. Naming the present leader makes it a switchover, which
 * respects the synchronous members; without it Patroni would take it for a failover, which does not.
 * @module
 */
import type { ConfigMap } from "../types/core/v1.ts";
import type { Database } from "./database.ts";
import { annotation, identityOf, memberSelector, namesOf, ownedMetadata } from "./names.ts";

/**
 * The request.
 *
 * @param leader the member that leads now
 * @param candidate the member that should lead then
 * @param nowMs when it is asked for, which stays there when Patroni has taken or dropped the request
 */
export function desiredSwitchover(database: Database, leader: string, candidate: string, nowMs: number) {
  const { name } = identityOf(database);
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      // Patroni finds its objects by the members' labels.
      ...ownedMetadata(database, namesOf(name).failover, [], memberSelector(name)),
      annotations: {
        leader,
        member: candidate,
        [annotation.asked]: `${leader} ${candidate} ${new Date(nowMs).toISOString()}`,
      },
    },
  } satisfies ConfigMap;
}
