/**
 * Repositories of backups, with their kind as a parameter, and what the scenarios ask of a Database with backups.
 *
 * A volume needs nothing beside the cluster. A bucket needs a store, E2E_S3: JSON with endpoint, bucket, region,
 * accessKey, secretKey and ca, a file. A second bucket, `<bucket>-other`, is made in it.
 * @module
 */
import { Buffer } from "node:buffer";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import process from "node:process";
import { until } from "../within.ts";
import { conditionOf, database, leader, ready, sql } from "./database.ts";
import type { Kubectl, KubeObject } from "./kubectl.ts";
import { check, type Run, type Scenario } from "./scenario.ts";

/** Where backups go. */
export type Kind = "volume" | "s3";

/** An S3 store, as E2E_S3 has it. */
export interface Store {
  endpoint: string;
  bucket: string;
  region: string;
  accessKey: string;
  secretKey: string;
  /** File with the authority of its certificate. */
  ca: string;
}

/** The store of E2E_S3; throws without it. */
export function storeOf(): Store {
  check(
    process.env.E2E_S3,
    "E2E_S3 is not set: JSON with endpoint, bucket, region, accessKey, secretKey, ca",
  );
  return JSON.parse(process.env.E2E_S3) as Store;
}

/**
 * One scenario for both kinds, at the same time; where there is no store, the one of the bucket is left out.
 *
 * @param needs what the one of the bucket cannot run without
 */
export function onBoth(
  name: string,
  what: string,
  body: (run: Run, kind: Kind) => Promise<void>,
  needs: readonly string[] = ["E2E_S3"],
): Scenario[] {
  const hasStore = needs.every((name) => process.env[name]);
  const kinds: Kind[] = hasStore ? ["volume", "s3"] : ["volume"];
  const both: Scenario = {
    name,
    what: `${what}, on ${hasStore ? "a volume and a bucket" : "a volume"}`,
    async run(run) {
      await together(kinds.map((kind) => body(run, kind)));
    },
  };
  const bucket: Scenario = {
    name: `${name}-s3`,
    what: `${what}, on a bucket`,
    needs,
    run: (run) => body(run, "s3"),
  };
  return hasStore ? [both] : [both, bucket];
}

/** Waits for all of them, also when one fails, so that none goes on behind the next scenario; then throws what failed. */
export async function together<T>(all: readonly Promise<T>[]): Promise<T[]> {
  const ended = await Promise.allSettled(all);
  const failures = ended.flatMap((one) => one.status === "rejected" ? [one.reason as Error] : []);
  if (failures.length > 0) throw new Error(failures.map(({ message }) => message).join("; and "));
  return ended.flatMap((one) => one.status === "fulfilled" ? [one.value] : []);
}

/** The repository of one Database. */
export class Repository {
  readonly kind: Kind;
  /** Name of its Database. */
  readonly of: string;
  readonly secretName: string;
  readonly #encryptionKey: string | undefined;

  constructor(kind: Kind, of: string, options: { encrypted?: boolean } = {}) {
    this.kind = kind;
    this.of = of;
    this.secretName = `${of}-store`;
    this.#encryptionKey = options.encrypted ? `phrase-${randomUUID()}` : undefined;
  }

  /** Writes its Secret, if it needs one, with other values where told. */
  async give(run: Pick<Run, "kubectl">, changes: Record<string, string> = {}): Promise<void> {
    const store = this.kind === "s3" ? storeOf() : undefined;
    const stringData = {
      ...(store && {
        accessKey: store.accessKey,
        secretKey: store.secretKey,
        "ca.crt": readFileSync(store.ca, "utf8"),
      }),
      ...(this.#encryptionKey && { encryptionKey: this.#encryptionKey }),
      ...changes,
    };
    if (Object.keys(stringData).length === 0) return;
    await run.kubectl.apply({
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: this.secretName },
      stringData,
    });
  }

  /** Removes its Secret, and the claim that was kept. */
  async remove({ kubectl }: Pick<Run, "kubectl">): Promise<void> {
    await kubectl.delete("secret", this.secretName);
    await kubectl.delete("persistentvolumeclaim", `${this.of}-backup`);
  }

  /** What spec.backups says, with more of it. */
  backups(more: Record<string, unknown> = {}): Record<string, unknown> {
    if (this.kind === "s3") return { s3: this.s3(), ...more };
    const secretName = this.#encryptionKey ? { secretName: this.secretName } : {};
    return { volume: { size: "2Gi", ...secretName }, ...more };
  }

  /** The bucket, as spec.backups and spec.restoreFrom.repository name it. */
  s3(): Record<string, unknown> {
    const { endpoint, bucket, region } = storeOf();
    return { endpoint, bucket, region, pathStyle: true, secretName: this.secretName };
  }

  /** What spec.restoreFrom.repository says, for what this incarnation of the Database wrote. */
  source(found: KubeObject, secretName = this.secretName): Record<string, unknown> {
    const path = pathOf(found);
    if (this.kind === "s3") return { path, s3: { ...this.s3(), secretName } };
    return {
      path,
      volume: { claimName: `${this.of}-backup`, ...(this.#encryptionKey && { secretName }) },
    };
  }

  /** Takes the repository away from its running Database: other keys, or a folder that nobody may enter. */
  async breakIt(run: Run): Promise<void> {
    if (this.kind === "s3") return await this.give(run, { secretKey: "not-the-key-at-all" });
    await inAgent(run, this.of, ["chmod", "000", `/repository${pathOf(await get(run, this.of))}`]);
  }

  /** Gives it back. */
  async mend(run: Run): Promise<void> {
    if (this.kind === "s3") return await this.give(run);
    await inAgent(run, this.of, ["chmod", "750", `/repository${pathOf(await get(run, this.of))}`]);
  }
}

/** The path of an incarnation in its repository. */
export function pathOf({ metadata: { namespace, name, uid } }: KubeObject): string {
  return `/${namespace}/${name}-${uid}`;
}

/** The Database; throws when it is gone. */
export async function get({ kubectl }: Pick<Run, "kubectl">, name: string): Promise<KubeObject> {
  const found = await kubectl.get("databases.app.example.com", name);
  check(found, `Database ${name} is not there`);
  return found;
}

/** Changes a Database's spec as `kubectl patch` does. */
export async function patch(
  { kubectl }: Pick<Run, "kubectl">,
  name: string,
  spec: Record<string, unknown>,
): Promise<void> {
  await kubectl.run(["patch", "databases", name, "--type=merge", "--patch", JSON.stringify({ spec })]);
}

/** Waits until BackupHealthy of the present generation has this reason; returns its message and how long it took. */
export async function health(
  run: Pick<Run, "kubectl">,
  name: string,
  reason: string,
  timeoutMs: number,
): Promise<{ message: string; ms: number }> {
  const startedMs = Date.now();
  const message = await until(timeoutMs, `BackupHealthy of ${name} to be ${reason}`, async () => {
    const database = await get(run, name);
    const found = conditionOf(database, "BackupHealthy");
    const isNew = found?.["observedGeneration"] === database.metadata.generation;
    if (isNew && found?.["reason"] === reason) return String(found["message"]);
    throw new Error(`${found?.["reason"]}: ${found?.["message"]}`);
  }, 500);
  return { message, ms: Date.now() - startedMs };
}

/** Waits until Ready has this reason; returns its message. */
export async function unready(run: Run, name: string, reason: string): Promise<string> {
  return await until(180_000, `Database ${name} to be ${reason}`, async () => {
    const found = conditionOf(await run.kubectl.get("databases.app.example.com", name), "Ready");
    if (found?.["reason"] === reason) return String(found["message"]);
    throw new Error(`${found?.["reason"]}: ${found?.["message"]}`);
  }, 500);
}

/** Makes a Database with backups, and waits until it has its first one; returns it. */
export async function backedUp(
  run: Run,
  repository: Repository,
  spec: Record<string, unknown> = {},
  backups: Record<string, unknown> = {},
): Promise<KubeObject> {
  const { of } = repository;
  await repository.give(run);
  await run.kubectl.apply(database(of, { size: 1, backups: repository.backups(backups), ...spec }));
  await ready(run.kubectl, of, 180_000);
  await health(run, of, "Healthy", 180_000);
  return await get(run, of);
}

/** Makes a Database from what `restoreFrom` says and waits until it is Ready; returns the pod that leads. */
export async function restored(
  { kubectl }: Pick<Run, "kubectl">,
  name: string,
  restoreFrom: Record<string, unknown>,
  spec: Record<string, unknown> = {},
): Promise<string> {
  await kubectl.apply(database(name, { size: 1, restoreFrom, ...spec }));
  await ready(kubectl, name, 240_000);
  return await primaryOf(kubectl, name);
}

/** Changes what a Database that cannot be restored begins with, and does not wait for the next attempt. */
export async function corrected(
  run: Run,
  name: string,
  restoreFrom: Record<string, unknown>,
): Promise<void> {
  await patch(run, name, { restoreFrom });
  await run.kubectl.delete("pod", `${name}-0`);
}

/** The pod that leads. */
export async function primaryOf(kubectl: Kubectl, name: string): Promise<string> {
  return await until(60_000, `a leader of ${name}`, () => leader(kubectl, name), 500);
}

/** Makes a Job of a CronJob of the Database: `backup-full`, `verify`, `drill`. */
export async function begin({ kubectl }: Run, name: string, what: string, job: string): Promise<void> {
  await kubectl.run(["create", "job", `--from=cronjob/${name}-${what}`, job]);
}

/** Waits until the Job has ended as told. */
export async function ended(
  { kubectl }: Run,
  job: string,
  timeoutMs: number,
  how: "Complete" | "Failed" = "Complete",
): Promise<void> {
  await until(timeoutMs, `Job ${job} to be ${how}`, async () => {
    const status = (await kubectl.get("job", job))?.["status"];
    const is = (type: string) =>
      status?.conditions?.some((one: Record<string, string>) =>
        one["type"] === type && one["status"] === "True"
      );
    if (is(how)) return true;
    throw new Error(JSON.stringify(status));
  }, 500);
}

/** Makes a Job and waits until it has succeeded; removes it. */
export async function succeeds(run: Run, name: string, what: string, timeoutMs = 180_000): Promise<void> {
  const job = `${name}-${what}-${Date.now().toString(36)}`;
  await begin(run, name, what, job);
  await ended(run, job, timeoutMs);
  await run.kubectl.delete("job", job);
}

/** Runs a command in container agent of the member that leads. */
export async function inAgent(
  { kubectl }: Pick<Run, "kubectl">,
  name: string,
  command: readonly string[],
  options: { input?: string; timeoutMs?: number } = {},
): Promise<string> {
  const pod = await primaryOf(kubectl, name);
  const stdin = options.input === undefined ? [] : ["--stdin"];
  return await kubectl.run(["exec", ...stdin, pod, "--container=agent", "--", ...command], options);
}

/** Runs pgBackRest beside the member that leads, with the configuration that it has. */
export function pgbackrest(
  run: Pick<Run, "kubectl">,
  name: string,
  args: readonly string[],
  options: { input?: string; timeoutMs?: number } = {},
): Promise<string> {
  const command = ["pgbackrest", "--config=/etc/pgbackrest/pgbackrest.conf", "--stanza=db", ...args];
  return inAgent(run, name, command, { timeoutMs: 120_000, ...options });
}

/** A backup, as `pgbackrest info` tells it. */
export interface Backup {
  label: string;
  type: string;
  archive: { start: string; stop: string };
  timestamp: { start: number; stop: number };
}

/**
 * The backups in the repository, the oldest first.
 *
 * @param options what differs from the configuration that the member has
 */
export async function backupsOf(
  run: Pick<Run, "kubectl">,
  name: string,
  ...options: string[]
): Promise<Backup[]> {
  const text = await pgbackrest(run, name, ["info", "--output=json", ...options]);
  const [stanza] = JSON.parse(text) as { backup?: Backup[] }[];
  return (stanza?.backup ?? []).toSorted((a, b) => a.timestamp.start - b.timestamp.start);
}

/** Names of all files in the repository below this folder of its path. */
export async function filesOf(run: Run, name: string, folder: string): Promise<string[]> {
  const text = await pgbackrest(run, name, ["repo-ls", "--recurse", "--output=json", folder]);
  const found = JSON.parse(text) as Record<string, { type: string }>;
  return Object.keys(found).filter((file) => found[file]?.type === "file").map((file) => `${folder}/${file}`);
}

/** A file of the repository as it lies there, in base64. */
export async function rawFile(run: Run, name: string, file: string): Promise<Buffer> {
  const script =
    'pgbackrest --config=/etc/pgbackrest/pgbackrest.conf --stanza=db repo-get --raw "$0" | base64';
  return Buffer.from(await inAgent(run, name, ["sh", "-c", script, file]), "base64");
}

/** The time as the server has it, to the millisecond. */
export async function serverTime({ kubectl }: Pick<Run, "kubectl">, pod: string): Promise<string> {
  const format = `'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'`;
  return await sql(kubectl, pod, `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', ${format})`);
}

/** Longest time from a commit until it is in the repository: archive_timeout of 60 s, and the push. */
export const archivedMs = 90_000;

/** Waits until the WAL that is written now is in the repository, without a switch of the segment by hand. */
export async function archived(run: Run, name: string): Promise<number> {
  const pod = await primaryOf(run.kubectl, name);
  const segment = await sql(run.kubectl, pod, "SELECT pg_walfile_name(pg_current_wal_insert_lsn())");
  const startedMs = Date.now();
  await until(2 * archivedMs, `segment ${segment} to be archived`, async () => {
    const last = await sql(run.kubectl, pod, "SELECT last_archived_wal FROM pg_stat_archiver");
    return last.slice(0, 24) >= segment;
  }, 1000);
  return Date.now() - startedMs;
}
