/**
 * The last backup of a Database that is deleted with its data, made before anything is stopped.
 * @module
 */
import type { Job, StoredJob } from "../types/batch/v1.ts";
import { readReport } from "./backup_report.ts";
import { desiredBackupJob } from "./backups.ts";
import { deletionPolicyOf, type OwnerReference } from "./database.ts";
import { namesOf } from "./names.ts";
import type { Problem, Sight } from "./sight.ts";
import { imageOf } from "./versions.ts";

/** What comes before the deletion. */
export type FinalBackup =
  /** Nothing: it was not asked for, it is done, or there is no data. */
  | { readonly kind: "none" }
  /** To make this Job, if it is not there, and to wait for it. */
  | { readonly kind: "wait"; readonly job: Job; readonly message: string }
  /** A person has to act, or the Job succeeds after all. */
  | { readonly kind: "failed"; readonly problem: Problem };

/** Name of its Job. */
export function finalBackupName(database: string): string {
  return `${namesOf(database).backup}-final`;
}

/**
 * What comes before the deletion of the Database.
 *
 * @param job the one of that name; one of an earlier Database is not its own
 */
export function finalBackup(
  sight: Pick<Sight, "database" | "patroni" | "pods">,
  job: StoredJob | undefined,
  { owner, imageTemplate }: { owner: readonly OwnerReference[]; imageTemplate: string },
): FinalBackup {
  const { database, patroni } = sight;
  const { name, uid } = database.metadata;
  const wanted = deletionPolicyOf(database) === "Delete" && database.spec.backups?.finalBackup === true;
  if (!wanted || !patroni.config?.systemIdentifier) return { kind: "none" };
  const own = job?.metadata.ownerReferences?.some((reference) => reference.uid === uid) ? job : undefined;
  if ((own?.status?.succeeded ?? 0) > 0) return { kind: "none" };
  const waived = "spec.backups.finalBackup: false deletes without it";
  const failed = (why: string): FinalBackup => ({
    kind: "failed",
    problem: {
      reason: "FinalBackupFailed",
      message: `spec.backups.finalBackup: ${why}; ${waived}`,
      stops: true,
    },
  });
  if (own?.status?.conditions?.some(({ type, status }) => type === "Failed" && status === "True")) {
    return failed(`Job "${finalBackupName(name)}" failed: delete it to try again`);
  }
  if (patroni.members.length === 0) return failed("no member runs that could be backed up");
  const attempts = own?.status?.failed ?? 0;
  const trouble = own && readReport(sight)?.problem;
  if (attempts > 0 || trouble !== undefined) {
    const words = trouble === undefined ? "" : `: pgBackRest: ${trouble}`;
    return failed(`Job "${finalBackupName(name)}" failed ${attempts} times and tries on${words}`);
  }
  return {
    kind: "wait",
    job: desiredBackupJob(database, owner, {
      id: "final",
      type: "incr",
      image: imageOf(database, imageTemplate),
    }),
    message: `Job "${finalBackupName(name)}" makes the last backup`,
  };
}
