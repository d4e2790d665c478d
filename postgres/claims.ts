/**
 * The members' volume claims: they grow, and each is marked with the identifier of the data that it holds.
 * @module
 */
import type { StoredPersistentVolumeClaim } from "../types/core/v1.ts";
import { sizeOf, storageOf } from "./database.ts";
import type { Step } from "./decide.ts";
import { annotation, claimName, ordinalOf } from "./names.ts";
import { parseQuantity } from "./quantity.ts";
import { isReplaced, markOf, type Problem, type Sight } from "./sight.ts";

/** What becomes of a claim. */
export interface ClaimChange {
  readonly claim: StoredPersistentVolumeClaim;
  /** A merge patch, or to delete it with its data. */
  readonly patch: object | "delete";
  /** What it means when the API server refuses the patch, without the API server's words. */
  readonly refused: string;
}

/** Claims of members whose volumes have not grown yet to what they ask for: "data-orders-0". */
export function growingClaims({ database, claims }: Sight): string[] {
  return claims.filter(({ metadata, spec, status }) => {
    const requested = String(spec?.resources?.requests?.storage ?? "0");
    const has = status?.capacity?.["storage"];
    return ordinalOf(database.metadata.name, metadata.name)! < sizeOf(database) && has !== undefined &&
      parseQuantity(String(has)) < parseQuantity(requested);
  }).map(({ metadata }) => metadata.name);
}

/** Claims that somebody deleted under a running member: they go, with the data, as soon as its pod does. */
export function deletedClaims({ database, claims, patroni }: Sight): Problem | undefined {
  const used = new Set(patroni.members.map(({ ordinal }) => claimName(database.metadata.name, ordinal)));
  const names = claims.filter(({ metadata }) => metadata.deletionTimestamp && used.has(metadata.name))
    .map(({ metadata }) => metadata.name);
  if (names.length === 0) return undefined;
  const message =
    `Claim ${names.map((name) => `"${name}"`).join(", ")} was deleted, and goes with its data when its ` +
    "member stops, which the operator does not do: have other members, or a backup, and then delete the pod yourself";
  return { reason: "ClaimDeleted", message, stops: false };
}

/**
 * Claims grow, also on a full disk and with pods down. Those of members that were scaled away go only if asked for, and
 * only while all the others serve.
 */
export function claimChanges({ database, claims, patroni }: Sight, step: Step): ClaimChange[] {
  const wanted = storageOf(database), size = sizeOf(database);
  const drops = database.spec.pvcRetention?.whenScaled === "Delete" && size > 0 && step.kind === "done";
  return claims.filter((claim) => !claim.metadata?.deletionTimestamp).flatMap((claim): ClaimChange[] => {
    const { name, uid } = claim.metadata;
    const requested = String(claim.spec?.resources?.requests?.storage ?? "0");
    const growing = `spec.storage.size: claim "${name}" cannot grow from ${requested} to ${wanted}`;
    if (drops && ordinalOf(database.metadata.name, name)! >= size) {
      return [{ claim, patch: "delete", refused: "" }];
    }
    const grows = claim.status?.phase === "Bound" && parseQuantity(requested) < parseQuantity(wanted);
    const member = patroni.members.find(({ ordinal }) => name === claimName(database.metadata.name, ordinal));
    const marks = (!markOf(claim) || isReplaced(patroni, markOf(claim))) && member !== undefined &&
      (member.role === "primary" || member.streaming);
    if (!grows && !marks) return [];
    const annotations = marks ? { [annotation.systemIdentifier]: patroni.config?.systemIdentifier } : {};
    const spec = grows ? { resources: { requests: { storage: wanted } } } : {};
    const refused = grows ? growing : `claim "${name}" cannot be marked with what it holds`;
    return [{ claim, patch: { metadata: { uid, annotations }, spec }, refused }];
  });
}
