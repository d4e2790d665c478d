/**
 * The part of a Database that rendering reads: the shape of crd.yaml, every default filled in here.
 *
 * Structural on purpose: the generated StoredDatabase fits without a cast, and so does a literal in a test.
 * @module
 */

import type { Affinity, Toleration } from "../types/core/v1.ts";

export type { OwnerReference } from "../types/meta/v1.ts";

/** How much an acknowledged write is worth: see docs of spec.durability. */
export type Durability = "Async" | "Sync" | "Strict";

/** A bucket of S3 or of a store that speaks its protocol. */
export interface Bucket {
  readonly endpoint: string;
  readonly bucket: string;
  readonly region?: string;
  readonly pathStyle?: boolean;
  readonly secretName: string;
}

/** What rendering needs to know of a Database. */
export interface Database {
  readonly metadata: { readonly name?: string; readonly namespace?: string; readonly uid?: string };
  readonly spec: {
    readonly size?: number;
    readonly version: string;
    readonly image?: string;
    readonly storage?: { readonly size?: string | number; readonly storageClassName?: string };
    readonly resources?: {
      readonly requests?: Readonly<Record<string, string | number>>;
      readonly limits?: Readonly<Record<string, string | number>>;
    };
    readonly parameters?: Readonly<Record<string, string>>;
    readonly durability?: string;
    readonly deletionPolicy?: string;
    readonly monitoring?: { readonly enabled?: boolean };
    readonly tls?: { readonly secretName?: string; readonly plaintext?: boolean };
    readonly nodeSelector?: Readonly<Record<string, string>>;
    readonly tolerations?: readonly Toleration[];
    readonly affinity?: Affinity;
    readonly topologySpreadConstraints?: readonly {
      readonly maxSkew?: number;
      readonly topologyKey: string;
      readonly whenUnsatisfiable: "DoNotSchedule" | "ScheduleAnyway";
      readonly minDomains?: number;
    }[];
    readonly backups?: {
      readonly s3?: Bucket;
      readonly volume?: {
        readonly size: string | number;
        readonly storageClassName?: string;
        readonly secretName?: string;
      };
      readonly schedule?: {
        readonly full?: string;
        readonly diff?: string;
        readonly incr?: string;
        readonly verify?: string;
      };
      readonly retention?: { readonly count?: number; readonly days?: number };
      readonly paused?: boolean;
      readonly drill?: string;
      readonly finalBackup?: boolean;
    };
    readonly restoreFrom?: {
      readonly database?: string;
      readonly repository?: {
        readonly s3?: Bucket;
        readonly volume?: { readonly claimName: string; readonly secretName?: string };
        readonly path: string;
      };
      readonly backup?: string;
      readonly targetTime?: string;
    };
  };
}

/** Members wanted: 1 unless told, as the CRD's structural default says. */
export function sizeOf(database: Database): number {
  return database.spec.size ?? 1;
}

/** Storage asked for each member: 1Gi unless told. */
export function storageOf(database: Database): string {
  return String(database.spec.storage?.size ?? "1Gi");
}

/**
 * What an acknowledged write survives: Sync unless told.
 *
 * @throws {RangeError} for a word that the CRD's enum does not know
 */
export function durabilityOf(database: Database): Durability {
  const durability = database.spec.durability ?? "Sync";
  if (durability !== "Async" && durability !== "Sync" && durability !== "Strict") {
    throw new RangeError(`Cannot use durability "${durability}": it is none of Async, Sync, Strict`);
  }
  return durability;
}

/** What becomes of the data when the Database is deleted: Retain unless told Delete in so many letters. */
export function deletionPolicyOf(database: Database): "Retain" | "Delete" {
  return database.spec.deletionPolicy === "Delete" ? "Delete" : "Retain";
}
