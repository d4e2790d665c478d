/**
 * What a person asks for once, by an annotation, and how it is answered. A request is never carried out twice: what
 * status.operations names was done, or refused.
 * @module
 */
import type { DatabaseStatus, StoredDatabase } from "../types/app.example.com/v1.ts";
import type { StoredJob } from "../types/batch/v1.ts";
import { type BackupType } from "./backups.ts";
import { sizeOf } from "./database.ts";
import { successor } from "./decide.ts";
import { annotation, namesOf, ordinalOf } from "./names.ts";
import type { Sight } from "./sight.ts";
import { situationOf } from "./situation.ts";

/** Longest request that is written down in status.operations: see crd.yaml. */
const askedLengthMax = 253;

/** status.operations. */
export type Operations = NonNullable<DatabaseStatus["operations"]>;

/** Why a request is not carried out, as an event. */
export interface Refusal {
  readonly reason: string;
  readonly note: string;
  readonly action: string;
}

/**
 * The switchover asked for. The member is chosen and written down before anything is done: `operations` belongs into the
 * status in this pass, and the step follows in the next.
 */
export function switchoverRequest(sight: Sight): { operations: Operations; refusal?: Refusal } {
  const { database, patroni, pods } = sight;
  const { backup, switchover, switchoverTo } = database.status?.operations ?? {};
  const text = database.metadata.annotations?.[annotation.switchover];
  const asked = text?.slice(0, askedLengthMax);
  const names = pods.map((pod) => pod.metadata?.name);
  if (text === undefined || asked === undefined || asked === switchover) {
    const isDone = switchoverTo === undefined || patroni.primary === switchoverTo || asked === undefined;
    if (isDone) return { operations: { backup, switchover } };
    // Carried out later it would surprise: what cannot be done any more is forgotten.
    if (sizeOf(database) === 0 || !stays(database, switchoverTo)) {
      const note = `Not switching over to ${switchoverTo}: it is no member any more`;
      return {
        operations: { backup, switchover },
        refusal: { reason: "SwitchoverRefused", note, action: "Switchover" },
      };
    }
    return { operations: { backup, switchover, switchoverTo } };
  }
  const [, target, id] = /^([a-z0-9-]{1,63}|any)@(.{1,180})$/.exec(text) ?? [];
  const isMember = target === "any"
    ? sizeOf(database) > 0
    : names.includes(target ?? "") && stays(database, target ?? "");
  if (!target || !id || !isMember) {
    const note =
      `Annotation ${annotation.switchover}: expected "<member>@<id>" or "any@<id>", with a member of this ` +
      `Database (${names.join(", ")}), got "${text.slice(0, 200)}"`;
    return {
      operations: { backup, switchover: asked },
      refusal: { reason: "SwitchoverRefused", note, action: "Switchover" },
    };
  }
  const to = target === "any" ? successor(situationOf(sight, 0), () => true) : target;
  return {
    operations: {
      backup,
      ...(to === undefined ? { switchover } : { switchover: asked, switchoverTo: to }),
    },
  };
}

/** True for a member that the Database keeps. */
function stays(database: StoredDatabase, member: string): boolean {
  return (ordinalOf(database.metadata.name, member) ?? Infinity) < sizeOf(database);
}

/** The id ends a Job's name, of at most 63 characters, apart from those of the CronJobs. */
const backupId =
  /^(?:(full|diff|incr)@)?((?!full|diff|incr|first|gap-|final)[a-z0-9](?:[-a-z0-9]{0,13}[a-z0-9])?)$/;

/** The id of the backup that closes a gap in the WAL: it is made once for each gap. */
export function gapBackupId({ lastWal }: { readonly lastWal: string }): string {
  return `gap-${lastWal.slice(-11).toLowerCase()}`;
}

/**
 * The backup asked for; nothing when there is no new request. `asked` belongs into status.operations.backup.
 *
 * @param jobs those that are there: one that was made for another request is not taken for the answer to this one
 */
export function backupRequest(
  { metadata, status }: StoredDatabase,
  jobs: readonly StoredJob[] = [],
): { asked?: string; backup?: { id: string; type: BackupType; asked: string }; refusal?: Refusal } {
  const text = metadata.annotations?.[annotation.backup];
  const asked = text?.slice(0, askedLengthMax);
  if (text === undefined || asked === undefined || asked === status?.operations?.backup) return {};
  const [, type = "full", id] = backupId.exec(text) ?? [];
  const job = jobs.find(({ metadata: { name } }) => name === `${namesOf(metadata.name).backup}-${id}`);
  if (job && job.metadata.annotations?.[annotation.backup] !== asked) {
    const note = `Annotation ${annotation.backup}: Job "${job.metadata.name}" is there already, of another ` +
      `request: take another id`;
    return { asked, refusal: { reason: "BackupRefused", note, action: "BackUp" } };
  }
  if (id !== undefined) return { asked, backup: { id, type: type as BackupType, asked } };
  const note =
    `Annotation ${annotation.backup}: expected "<id>" or "full|diff|incr@<id>", the id of at most 15 ` +
    `lower-case letters, digits and dashes, got "${text.slice(0, 200)}"`;
  return { asked, refusal: { reason: "BackupRefused", note, action: "BackUp" } };
}
