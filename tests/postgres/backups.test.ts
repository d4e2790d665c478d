import { test } from "uvu";
import * as assert from "uvu/assert";
import { backupCondition, backupReport, backupStatus } from "../../postgres/backup_report.ts";
import { agent, memberLibrary } from "../../postgres/agent.ts";
import { backupAgent } from "../../postgres/backup_agent.ts";
import { backupOrder } from "../../postgres/backup_scripts.ts";
import { repositoryLibrary } from "../../postgres/repository_library.ts";
import { desiredDrill, drill, drillReport } from "../../postgres/drill.ts";
import { backupOrders } from "../../postgres/backup_jobs.ts";
import { finalBackup } from "../../postgres/final_backup.ts";
import { remountOf } from "../../postgres/remount.ts";
import { repositoryOf } from "../../postgres/repository.ts";
import { backupRequest } from "../../postgres/requests.ts";
import { namesOf } from "../../postgres/names.ts";
import {
  decodeBase64,
  desiredBackupJob,
  desiredBackupSecret,
  desiredCronJobs,
  encodeBase64,
  repositoryConfig,
  repositoryPath,
  repositoryProblem,
} from "../../postgres/backups.ts";
import { patroniConfig } from "../../postgres/patroni.ts";
import { restore, restoreFiles } from "../../postgres/restore.ts";
import { podTemplate } from "../../postgres/pod_template.ts";
import {
  claimProblem,
  desiredRepositoryClaim,
  type RepositoryClaims,
  repositoryClaims,
} from "../../postgres/repository_claim.ts";
import { podTrouble } from "../../postgres/trouble.ts";
import type { Database } from "../../postgres/database.ts";
import { dynamicConfig } from "../../postgres/dynamic_config.ts";
import type { Sight } from "../../postgres/sight.ts";

const s3 = {
  endpoint: "https://store.example:7070",
  bucket: "backups",
  pathStyle: true,
  secretName: "store",
};
const databaseOf = (backups: Partial<NonNullable<Database["spec"]["backups"]>> = {}): Database => ({
  metadata: { name: "orders", namespace: "shop", uid: "u-1" },
  spec: {
    size: 2,
    version: "17",
    storage: { size: "4Gi" },
    backups: backups.volume ? backups : { s3, ...backups },
  },
});
const secret = { accessKey: "key-id", secretKey: "key-secret" };

test("pgbackrest.conf names the repository, with a path of its own for each incarnation", () => {
  const text = repositoryConfig(databaseOf(), secret);
  for (
    const line of [
      "repo1-type=s3",
      "repo1-path=/shop/orders-u-1",
      "repo1-s3-endpoint=store.example",
      "repo1-storage-port=7070",
      "repo1-s3-uri-style=path",
      "repo1-s3-key=key-id",
      "repo1-s3-key-secret=key-secret",
      "repo1-retention-full=2",
      "repo1-retention-full-type=count",
      "archive-push-queue-max=1073741824",
      "pg1-path=/pgdata/data",
    ]
  ) assert.ok(text.split("\n").includes(line), line);
  assert.not.match(text, /cipher|ca-file/);
});

test("the optional parts of the repository's Secret are used when they are there", () => {
  const given = { ...secret, "ca.crt": "PEM", encryptionKey: "long phrase\n" };
  const text = repositoryConfig(databaseOf({ retention: { days: 14 } }), given);
  assert.match(text, /\nrepo1-cipher-type=aes-256-cbc\nrepo1-cipher-pass=long phrase\n/);
  assert.match(text, /\nrepo1-storage-ca-file=\/etc\/pgbackrest\/ca.crt\n/);
  assert.match(text, /\nrepo1-retention-full=14\nrepo1-retention-full-type=time\n/);
  const { data } = desiredBackupSecret(databaseOf(), [], { secret: given, token: "t" });
  assert.is(decodeBase64(data["ca.crt"]!), "PEM");
  assert.is(decodeBase64(data["token"]!), "t");
});

test("no value becomes a second line of the configuration", () => {
  for (const field of ["accessKey", "secretKey", "encryptionKey"]) {
    for (const value of ["a\nrepo1-host=evil", "a\rb", "a\u0000b", "a\u0085b"]) {
      const given = { ...secret, [field]: value };
      assert.match(
        repositoryProblem("spec.backups", { s3 }, given) ?? "",
        new RegExp(`${field} holds a line break`),
      );
      assert.throws(() => repositoryConfig(databaseOf(), given), RangeError);
    }
  }
  const evil = databaseOf({ s3: { ...s3, bucket: "b\nrepo1-host=evil" } });
  assert.throws(() => repositoryConfig(evil, secret), RangeError);
});

test("what is wrong with the repository's Secret is told without its values", () => {
  for (
    const { given, want } of [
      { given: undefined, want: 'spec.backups.s3.secretName: Secret "store" is not there' },
      { given: { accessKey: "a" }, want: 'spec.backups.s3.secretName: Secret "store" lacks secretKey' },
      {
        given: { accessKey: " \n", secretKey: "b" },
        want: 'spec.backups.s3.secretName: Secret "store" lacks accessKey',
      },
      { given: { accessKey: "a\n", secretKey: "b\n" }, want: undefined },
    ]
  ) assert.is(repositoryProblem("spec.backups", { s3 }, given), want);
  const volume = { secretName: "phrase" };
  assert.is(
    repositoryProblem("spec.backups", { volume }, {}),
    'spec.backups.volume.secretName: Secret "phrase" lacks encryptionKey',
  );
  assert.is(repositoryProblem("spec.backups", { volume: {} }, undefined), undefined);
});

const settings = (database: Database) =>
  (dynamicConfig(database) as { postgresql: { parameters: Record<string, string> } }).postgresql.parameters;

test("archive_mode is always on, and only what can be reloaded differs: switching backups needs no restart", () => {
  const { archive_timeout: _, ...on } = settings(databaseOf());
  const off = settings({ ...databaseOf(), spec: { size: 2, version: "17", storage: { size: "4Gi" } } });
  assert.equal({ ...on, archive_command: "" }, { ...off, archive_command: "" });
  assert.is(on["archive_mode"], "on");
  assert.is(off["archive_command"], "/bin/true");
  assert.match(on["archive_command"]!, /^pgbackrest .* archive-push "%p"$/);
});

test("with backups a segment is closed in time for the promise of 60 s, whatever the Database asks for", () => {
  const timeout = (archive_timeout?: string) => {
    const database = databaseOf();
    const parameters: Record<string, string> = archive_timeout === undefined ? {} : { archive_timeout };
    return settings({ ...database, spec: { ...database.spec, parameters } })["archive_timeout"];
  };
  for (const given of [undefined, "0", "300", "5min", "1h"]) assert.is(timeout(given), "50s", given);
  for (const [given, want] of [["30", "30s"], ["20s", "20s"], ["500ms", "50s"], ["1", "1s"]] as const) {
    assert.is(timeout(given), want, given);
  }
  const spec = { version: "17", parameters: { archive_timeout: "300" } };
  assert.is(
    settings({ ...databaseOf(), spec })["archive_timeout"],
    "300",
    "without backups it is the Database's",
  );
});

test("there is a CronJob for each kind; without a schedule, paused, or without members it is suspended", () => {
  const suspended = (database: Database) =>
    desiredCronJobs(database, [], { image: "i" }).map(({ spec }) => spec?.suspend);
  assert.equal(suspended(databaseOf()), [true, true, true, true]);
  assert.equal(suspended(databaseOf({ schedule: { verify: "0 3 * * *" } })), [true, true, true, false]);
  const schedule = { full: "0 1 * * 0", incr: "0 * * * *" };
  assert.equal(suspended(databaseOf({ schedule })), [false, true, false, true]);
  assert.equal(suspended(databaseOf({ schedule, paused: true })), [true, true, true, true]);
  const asleep = databaseOf({ schedule });
  assert.equal(suspended({ ...asleep, spec: { ...asleep.spec, size: 0 } }), [true, true, true, true]);
});

test("a backup's pod is no member, passes restricted, and holds the agent's token only", () => {
  const database = { ...databaseOf(), metadata: { name: "a".repeat(40), namespace: "shop", uid: "u" } };
  const { metadata, spec } = desiredBackupJob(database, [], { id: "x".repeat(15), type: "full", image: "i" });
  assert.is(metadata.name.length, 63);
  const { template } = spec;
  assert.is(template.metadata?.labels?.["app.example.com/component"], "backup");
  assert.is(template.spec?.automountServiceAccountToken, false);
  assert.is(template.spec?.securityContext?.runAsNonRoot, true);
  assert.equal(template.spec?.volumes?.map(({ secret }) => secret?.items), [
    undefined,
    [{ key: "token", path: "token" }],
  ]);
  for (const cronJob of desiredCronJobs(database, [], { image: "i" })) {
    assert.ok(
      cronJob.metadata!.name!.length <= 52 && namesOf("a".repeat(40)).drill.length <= 52,
      "Kubernetes refuses longer names of CronJobs",
    );
  }
});

test("backups and drills run where the members may", () => {
  const nodeSelector = { disk: "ssd" }, tolerations = [{ key: "db", operator: "Exists" as const }];
  const plain = databaseOf();
  const database = { ...plain, spec: { ...plain.spec, nodeSelector, tolerations } };
  const pods = [
    ...[...desiredCronJobs(database, [], { image: "i" }), desiredDrill(database, [], { image: "i" })].map(
      ({ spec }) => spec!.jobTemplate.spec!.template.spec!,
    ),
    desiredBackupJob(database, [], { id: "first", type: "full", image: "i" }).spec.template.spec!,
  ];
  assert.is(pods.length, 6);
  for (const pod of pods) assert.equal([pod.nodeSelector, pod.tolerations], [nodeSelector, tolerations]);
});

test("the programs hold no value of a Database and take no secret from arguments or environment", () => {
  for (
    const source of [agent(["a"]), memberLibrary, backupAgent, repositoryLibrary, backupOrder, restore, drill]
  ) {
    const variables = [...source.matchAll(/os\.environ(?!, "PGOPTIONS")\[?"?([A-Z_]*)/g)].map(([, name]) =>
      name
    );
    assert.ok(variables.every((name) => /^(HOSTNAME|KUBERNETES_SERVICE_(HOST|PORT))$/.test(name!)));
    assert.not.match(source, /undefined|\[object/);
  }
});

test("base64 of any text goes both ways", () => {
  for (const text of ["", "a", "päß \u{1f511}\n", "x".repeat(10_000)]) {
    assert.is(decodeBase64(encodeBase64(text)), text);
    assert.is(encodeBase64(text), Buffer.from(text).toString("base64"));
  }
});

test("a repository on a volume is a folder of the mounted claim, encrypted when there is a key", () => {
  const database = databaseOf({ volume: { size: "4Gi" } });
  const text = repositoryConfig(database, {});
  assert.match(text, /\nrepo1-type=posix\nrepo1-path=\/repository\/shop\/orders-u-1\n/);
  assert.not.match(text, /s3|cipher/);
  assert.match(repositoryConfig(database, { encryptionKey: "phrase" }), /\nrepo1-cipher-pass=phrase\n/);
});

test("the claim of a repository is shared by the members, has no owner, and stays as large as it is", () => {
  const volume = { size: "4Gi", storageClassName: "shared" };
  const claim = (present?: string) => desiredRepositoryClaim(databaseOf({ volume }), present);
  assert.equal(claim()?.spec, {
    accessModes: ["ReadWriteMany"],
    resources: { requests: { storage: "4Gi" } },
    storageClassName: "shared",
  });
  assert.is(claim()?.metadata?.ownerReferences, undefined);
  assert.is(claim("8Gi")?.spec?.resources?.requests?.["storage"], "8Gi");
  assert.is(desiredRepositoryClaim(databaseOf()), undefined);
});

test("a running Database mounts the claim only once it is bound; a new one at once; what is mounted stays", () => {
  const sight = (phase: string | undefined, mounted?: string | null) => ({
    database: databaseOf({ volume: { size: "4Gi" } }),
    storeClaims: new Map(
      phase ? [["orders-backup", { spec: { accessModes: ["ReadWriteMany"] }, status: { phase } }]] : [],
    ),
    statefulSet: mounted === null ? undefined : {
      spec: {
        template: {
          spec: {
            volumes: mounted ? [{ name: "repository", persistentVolumeClaim: { claimName: mounted } }] : [],
          },
        },
      },
    },
    pods: [{ metadata: { name: "orders-0" }, spec: { volumes: [] } }],
    patroni: { primary: "orders-0", config: { systemIdentifier: "1" } },
    source: undefined,
  } as unknown as Sight);
  const own = { repository: "orders-backup" };
  assert.equal(repositoryClaims(sight(undefined)), {});
  assert.equal(repositoryClaims(sight("Pending")), {});
  assert.equal(repositoryClaims(sight("Bound")), own);
  assert.equal(repositoryClaims(sight(undefined, null)), own);
  assert.equal(repositoryClaims(sight("Lost", "orders-backup")), own);
  assert.match(claimProblem(sight("Pending")) ?? "", /claim "orders-backup" is not bound; .* ReadWriteMany/);
  const named = {
    ...sight(undefined),
    database: databaseOf({ volume: { size: "4Gi", storageClassName: "fast" } }),
  };
  assert.match(claimProblem(named as Sight) ?? "", /claim "orders-backup" of class "fast" is not bound/);
  assert.match(claimProblem(sight("Bound")) ?? "", /restart one after the other to mount/);
});

test("the members mount what they should, and nothing without", () => {
  const volumes = (claims?: RepositoryClaims) =>
    podTemplate(databaseOf(), claims ? { claims } : {}).spec.volumes.filter((volume) =>
      "persistentVolumeClaim" in volume
    );
  assert.equal(volumes(), []);
  assert.equal(volumes({ repository: "a", restore: "b" }), [
    { name: "repository", persistentVolumeClaim: { claimName: "a" } },
    { name: "restore", persistentVolumeClaim: { claimName: "b", readOnly: true } },
  ]);
  for (const { volumeMounts } of podTemplate(databaseOf(), { claims: { restore: "b" } }).spec.containers) {
    assert.equal(volumeMounts.filter(({ name }) => name === "restore"), [
      { name: "restore", mountPath: "/restore", readOnly: true },
    ]);
  }
});

test("what to restore goes to the members as files, with the source's repository and path", () => {
  const database: Database = {
    metadata: { name: "new", namespace: "shop", uid: "u-2" },
    spec: { version: "17", restoreFrom: { database: "orders", targetTime: "2026-11-23T10:00:00Z" } },
  };
  const source = { s3, path: repositoryPath(databaseOf()) };
  const files = restoreFiles(database, source, { ...secret, "ca.crt": "PEM" });
  assert.equal(Object.keys(files), ["restore.conf", "restore.json", "restore-ca.crt"]);
  assert.match(files["restore.conf"]!, /\nrepo1-path=\/shop\/orders-u-1\n/);
  assert.match(files["restore.conf"]!, /\nrepo1-storage-ca-file=\/etc\/pgbackrest\/restore-ca.crt\n/);
  assert.equal(JSON.parse(files["restore.json"]!), { targetTime: "2026-11-23T10:00:00Z" });
  const { data } = desiredBackupSecret(database, [], { token: "t", files });
  assert.not.ok("pgbackrest.conf" in data, "without spec.backups of its own nothing is archived");
  assert.throws(() => restoreFiles(database, { s3, path: "/a\nrepo1-host=evil" }, secret), RangeError);
});

test("Patroni restores in place of initdb only where it is asked for", () => {
  const bootstrap = (database: Database) => patroniConfig(database)["bootstrap"] as Record<string, unknown>;
  assert.is(bootstrap(databaseOf())["method"], undefined);
  const database = databaseOf();
  const asked = { ...database, spec: { ...database.spec, restoreFrom: { database: "old" } } };
  assert.is(bootstrap(asked)["method"], "restore");
  assert.equal(bootstrap(asked)["restore"], {
    command: "python3 /etc/patroni/restore.py",
    no_params: true,
  });
});

test("a restore that failed is told as such, in its own words", () => {
  const message =
    "Cannot restore: 2026-11-23T10:00:00Z is before the earliest possible time 2026-11-23T17:54:36Z";
  const terminated = { exitCode: 1, message };
  const state = { waiting: { reason: "CrashLoopBackOff", message: "back-off 10s" } };
  for (const given of [{ state: { terminated } }, { state, lastState: { terminated } }]) {
    assert.equal(podTrouble({ status: { containerStatuses: [{ name: "postgres", ...given }] } }), {
      reason: "RestoreFailed",
      message: `container postgres: ${message}`,
    });
  }
});

test("a drill's last words become its result; one that was killed has failed; the newest counts", () => {
  const ended = (finishedAt: string, exitCode: number, message?: string, reason?: string) => ({
    status: {
      containerStatuses: [{
        name: "drill",
        state: { terminated: { exitCode, finishedAt, message, reason } },
      }],
    },
  });
  const words = {
    passed: true,
    backup: "20261123-100000F",
    durationSeconds: 7,
    databases: 3,
    relations: 900,
    lastTransactionTime: "2026-11-23T10:30:00Z",
  };
  const passed = ended("2026-11-23T11:00:00Z", 0, JSON.stringify(words));
  const killed = ended("2026-11-23T12:00:00Z", 137, undefined, "OOMKilled");
  const report = (...pods: unknown[]) => drillReport(pods as never);
  assert.is(report({ status: {} }), undefined);
  assert.equal(report(passed), { time: "2026-11-23T11:00:00Z", ...words, message: undefined });
  const { passed: whether, message } = report(passed, killed, passed)!;
  assert.equal({ whether, message }, { whether: false, message: "OOMKilled" });
  assert.is(report(ended("t", 1, '{"passed": true}'))?.passed, false);
  assert.is(report(ended("t", 1, '{"passed": false, "message": "no backup"}'))?.message, "no backup");
  assert.is(report(ended("t", 0, "[1"))?.passed, false);
  const overdue = (name: string, reason: string) => ({
    spec: { template: { spec: { containers: [{ name }] } } },
    status: {
      conditions: [{ type: "Failed", status: "True", reason, lastTransitionTime: "2026-11-24T11:00:00Z" }],
    },
  });
  for (
    const [name, reason, want] of [
      ["drill", "DeadlineExceeded", "2026-11-24T11:00:00Z"],
      ["drill", "BackoffLimitExceeded", "2026-11-23T11:00:00Z"],
      ["backup", "DeadlineExceeded", "2026-11-23T11:00:00Z"],
    ] as const
  ) assert.is(drillReport([passed] as never, [overdue(name, reason)] as never)?.time, want);
  const sight = { ...sightOf(healthy), backupPods: [killed] } as never;
  assert.is(backupCondition(sight, {}, nowMs)?.reason, "DrillFailed");
});

test("the drill's pod sees the repository and a volume of its own, neither the token nor the members' data", () => {
  const pod = (database: Database) =>
    desiredDrill(database, [], { image: "i" }).spec!.jobTemplate.spec!.template.spec!;
  const limited = databaseOf();
  const resources = { limits: { cpu: "50m", memory: "128Mi" } };
  assert.equal(pod({ ...limited, spec: { ...limited.spec, resources } }).containers[0]?.resources, resources);
  const { volumes, automountServiceAccountToken, containers } = pod(databaseOf());
  assert.is(automountServiceAccountToken, false);
  assert.is(containers[0]?.securityContext?.readOnlyRootFilesystem, true);
  assert.equal(volumes?.map(({ name }) => name), ["config", "backup", "data", "tmp", "shm"]);
  assert.equal(volumes?.[1]?.secret?.items?.map(({ key }) => key), ["pgbackrest.conf", "ca.crt"]);
  assert.is(volumes?.[2]?.ephemeral?.volumeClaimTemplate?.spec.resources?.requests?.["storage"], "4Gi");
  assert.equal(pod(databaseOf({ volume: { size: "1Gi" } })).volumes?.at(-1), {
    name: "repository",
    persistentVolumeClaim: { claimName: "orders-backup", readOnly: true },
  });
});

test("a last backup is made and awaited before the data goes, once, and its failure stops the deletion", () => {
  const outcome = (
    { policy = "Delete", final = true, members = 1, job = {}, problem }: {
      policy?: string;
      final?: boolean;
      members?: number;
      job?: unknown;
      problem?: string;
    } = {},
  ) => {
    const base = databaseOf({ finalBackup: final });
    const database = { ...base, spec: { ...base.spec, deletionPolicy: policy } };
    const patroni = {
      members: Array(members).fill({}),
      config: { systemIdentifier: "1" },
      primary: "orders-0",
    };
    const annotations = { "app.example.com/backup": JSON.stringify({ problem }) };
    const pods = [{ metadata: { name: "orders-0", annotations } }];
    const metadata = { name: "orders-backup-final", ownerReferences: [{ uid: "u-1" }] };
    const found = job && { metadata, ...(job as object) };
    return finalBackup({ database, patroni, pods } as never, found as never, {
      owner: [],
      imageTemplate: "i",
    });
  };
  assert.equal(outcome({ policy: "Retain" }), { kind: "none" });
  assert.equal(outcome({ final: false }), { kind: "none" });
  assert.is(outcome({ job: null }).kind, "wait");
  assert.is(outcome({ job: null, problem: "away" }).kind, "wait", "the Job is made first");
  assert.is(outcome().kind, "wait");
  assert.equal(outcome({ job: { status: { succeeded: 1 } } }), { kind: "none" });
  assert.is(
    outcome({ job: { metadata: { ownerReferences: [{ uid: "u-0" }] }, status: { succeeded: 1 } } }).kind,
    "wait",
    "the last backup of an earlier Database is none of this one",
  );
  const failed = { status: { conditions: [{ type: "Failed", status: "True" }] } };
  for (
    const [given, want] of [[{ job: failed }, /Job "orders-backup-final" failed/], [
      { members: 0 },
      /no member runs/,
    ], [
      { job: { status: { active: 1, failed: 2 } } },
      /failed 2 times and tries on;/,
    ], [
      { job: { status: { active: 1 } }, problem: "[041]: Permission denied" },
      /failed 0 times and tries on: pgBackRest: \[041\]: Permission denied;/,
    ]] as const
  ) {
    const result = outcome(given);
    assert.match(result.kind === "failed" ? result.problem.message : result.kind, want);
  }
});

const last = { id: "20261123-100000F", time: "2026-11-23T10:00:00Z", size: 1000 };
const healthy = { first: "2026-11-22T10:00:00Z", last };
const nowMs = Date.parse("2026-11-23T12:00:00Z");
const sightOf = (report: unknown, status?: unknown, revision?: string): Sight => ({
  database: { ...databaseOf(), status },
  pods: [{
    metadata: {
      name: "orders-0",
      annotations: { "app.example.com/backup": typeof report === "string" ? report : JSON.stringify(report) },
    },
  }],
  backupPods: [],
  patroni: { primary: "orders-0" },
  jobs: [],
  upgradePods: [],
  secrets: new Map(revision ? [["orders-backup", { data: { revision: encodeBase64(revision) } }]] : []),
} as unknown as Sight);

const gap = { firstWal: "0".repeat(24), lastWal: "0".repeat(23) + "F", after: "2026-11-22T10:00:00Z" };

test("BackupHealthy says what is wrong", () => {
  const problem = "[039]: HTTP request failed with 403 (Forbidden)";
  const failure = { time: "2026-11-23T11:00:00Z", message: "cut off" };
  for (
    const [report, want] of [
      [healthy, "True Healthy"],
      [{ ...healthy, problem }, "False RepositoryUnreachable"],
      [{ problem }, "False RepositoryUnreachable"],
      [{}, "False NoBackup"],
      [{ ...healthy, pending: last.time }, "False WalWaiting"],
      [{ ...healthy, gap }, "False WalMissing"],
      [{ ...healthy, gap: { ...gap, until: last.time } }, "True Healthy"],
      [{ ...healthy, verify: { time: last.time, passed: false, message: "m" } }, "False VerifyFailed"],
      [{ ...healthy, verify: { time: last.time, passed: true } }, "True Healthy"],
      [{ ...healthy, failure }, "False BackupFailed"],
      [{ ...healthy, failure: { ...failure, time: "2026-11-23T09:00:00Z" } }, "True Healthy"],
      [{ ...healthy, damaged: { id: "20261123-110000F", time: last.time } }, "False BackupDamaged"],
      [{ damaged: { id: "20261123-110000F", time: last.time } }, "False BackupDamaged"],
      [{ ...healthy, seen: "2026-11-23T11:50:00Z" }, "True Healthy"],
      [{ ...healthy, seen: "2026-11-23T11:49:59Z" }, "Unknown NotChecked"],
      ["null", "Unknown NotChecked"],
      ["{", "Unknown NotChecked"],
      ["[1", "Unknown NotChecked"],
    ] as const
  ) {
    const claim = backupCondition(sightOf(report), {}, nowMs);
    assert.is(`${claim?.status} ${claim?.reason}`, want, JSON.stringify(report));
  }
  assert.is(backupCondition(sightOf(healthy), { backups: "no Secret" }, nowMs)?.reason, "RepositoryUnusable");
  const without = sightOf(healthy);
  const spec = { ...without.database.spec, backups: undefined };
  assert.is(backupCondition({ ...without, database: { ...without.database, spec } }, {}, nowMs), undefined);
});

test("what is known of the repository stays while it cannot be read and while nobody leads", () => {
  const before = { lastId: "old", lastSuccessTime: last.time, size: 5, firstRecoverableTime: last.time };
  assert.equal(backupStatus(sightOf({ problem: "p" }, { backup: before }), nowMs), {
    ...before,
    lastRecoverableTime: undefined,
    archivePendingSince: undefined,
    gap: undefined,
    lastFailure: undefined,
    verify: undefined,
    damaged: undefined,
    drill: undefined,
  });
  const whole = {
    ...healthy,
    recoverable: last.time,
    gap,
    verify: { time: last.time, passed: true },
  };
  const { lastRecoverableTime, gap: told, verify } = backupStatus(sightOf(whole), nowMs)!;
  assert.equal({ lastRecoverableTime, told, verify }, {
    lastRecoverableTime: last.time,
    told: gap,
    verify: whole.verify,
  });
  assert.equal(backupStatus(sightOf(healthy, { backup: { verify } }), nowMs)?.verify, verify);
  assert.equal(backupStatus(sightOf("null", { backup: before }), nowMs), before);
  assert.is(
    backupStatus(sightOf({}, { backup: before }), nowMs),
    undefined,
    "nothing is known of an empty repository",
  );
  const failure = { time: last.time, message: "m" };
  assert.equal(backupStatus(sightOf(healthy, { backup: { ...before, lastFailure: failure } }), nowMs), {
    lastId: last.id,
    lastSuccessTime: last.time,
    size: last.size,
    firstRecoverableTime: healthy.first,
    lastRecoverableTime: undefined,
    archivePendingSince: undefined,
    gap: undefined,
    lastFailure: failure,
    verify: undefined,
    damaged: undefined,
    drill: undefined,
  });
});

test("a report that is not the agent's form is cut down to what the status may hold", () => {
  const report = { problem: "x".repeat(9999), first: "yesterday", last: { id: 1 }, failure: "no" };
  assert.equal(backupReport(sightOf(report), nowMs), { problem: "x".repeat(1000) });
});

test("a report on another configuration of the repository than the present one is not believed", () => {
  const reason = (revision: string | undefined, present: string | undefined) =>
    backupCondition(sightOf({ ...healthy, revision }, undefined, present), {}, nowMs)?.reason;
  assert.is(reason("one", "one"), "Healthy");
  assert.is(reason("one", "two"), "NotChecked");
  assert.is(reason("", "two"), "NotChecked", "the pod has not mounted it yet");
  assert.is(reason(undefined, "two"), "Healthy", "an agent of an earlier operator says nothing of it");
  assert.is(reason("one", undefined), "Healthy", "no Secret was read in this pass");
});

test("the Secret's revision changes with what else is in it, and with nothing else", () => {
  let count = 0;
  const render = (present: unknown, secretKey = "k") => {
    const store = {
      metadata: {},
      data: { accessKey: encodeBase64("a"), secretKey: encodeBase64(secretKey) },
    };
    const metadata = {
      labels: { "app.example.com/database": "orders", "app.kubernetes.io/managed-by": "database-operator" },
    };
    const secrets = new Map(
      [["store", store], ...(present ? [["orders-backup", { metadata, data: present }]] : [])] as never,
    );
    return repositoryOf(
      { ...sightOf({}), secrets, storeClaims: new Map() } as never,
      [],
      () => `random-${count++}`,
    ).secret!
      .data!;
  };
  const first = render(undefined);
  assert.equal(render(first), first);
  const second = render(first, "other");
  assert.is(second["token"], first["token"]);
  assert.is.not(second["revision"], first["revision"]);
  const { revision: _, ...before } = first;
  assert.ok(render(before)["revision"], "one of an earlier operator gets one");
});

test("the primary's pod is changed once for each revision, so that it is mounted at once", () => {
  const changes = (sight: Sight) =>
    remountOf(sight).map(({ pod, patch }) => [pod.metadata.name, patch.metadata.annotations]);
  const mounted = sightOf(healthy, undefined, "one");
  assert.equal(changes(mounted), [["orders-0", { "app.example.com/backup-revision": encodeBase64("one") }]]);
  const [pod] = mounted.pods;
  const annotations = { "app.example.com/backup-revision": encodeBase64("one") };
  assert.equal(
    changes({ ...mounted, pods: [{ ...pod, metadata: { ...pod!.metadata, annotations } }] as never }),
    [],
  );
  assert.equal(changes(sightOf(healthy)), []);
  assert.equal(changes({ ...mounted, patroni: {} } as never), []);
});

test("what was told of the repository stays in a pass that did not look at its Secret", () => {
  const told = { type: "BackupHealthy", status: "False", reason: "RepositoryUnusable", message: "no Secret" };
  const sight = sightOf(healthy, { conditions: [told] });
  assert.equal(backupCondition(sight, undefined, nowMs), told);
  assert.is(backupCondition(sight, {}, nowMs)?.reason, "Healthy");
  assert.is(backupCondition(sightOf(healthy), undefined, nowMs)?.reason, "Healthy", "nothing was told yet");
});

test("a backup that is still needed after its Job ended is made again, some time later", () => {
  const orders = (report: unknown, type?: string, endedMs = nowMs - 60_000) => {
    const ended = { type, status: "True", lastTransitionTime: new Date(endedMs).toISOString() };
    const jobs = type ? [{ metadata: { name: "orders-backup-first" }, status: { conditions: [ended] } }] : [];
    const sight = { ...sightOf(report), jobs } as unknown as Sight;
    const found = backupOrders(sight, sight.database, nowMs);
    return [found.orders.map(({ id }) => id).join(), found.outdated.join(), found.againMs];
  };
  assert.equal(orders({}), ["first", "", Infinity]);
  assert.equal(orders({}, "Suspended"), ["first", "", Infinity]);
  assert.equal(orders({}, "Complete"), ["first", "", 60_000]);
  assert.equal(orders({}, "Complete", nowMs - 120_000), ["first", "orders-backup-first", 1000]);
  assert.equal(orders({}, "Failed", nowMs - 120_000), ["first", "", 180_000]);
  assert.equal(orders({}, "Failed", nowMs - 300_000), ["first", "orders-backup-first", 1000]);
  assert.equal(orders(healthy, "Failed", 0), ["", "", Infinity]);
  assert.equal(orders({ problem: "away" }, "Failed", 0), ["", "", Infinity]);
  assert.equal(orders({ damaged: { id: "x", time: last.time } }), ["", "", Infinity]);
  assert.equal(orders({ ...healthy, gap }), [`gap-${gap.lastWal.slice(-11).toLowerCase()}`, "", Infinity]);
  assert.equal(orders({ ...healthy, seen: "2026-11-23T11:55:00Z" }), ["", "", 301_000]);
});

test("a request whose id another one took is refused, not taken for done", () => {
  const request = (asked: string, job?: string) => {
    const metadata = { ...databaseOf().metadata, annotations: { "app.example.com/backup": asked } };
    const annotations = job === undefined ? {} : { annotations: { "app.example.com/backup": job } };
    const jobs = [{ metadata: { name: "orders-backup-x", ...annotations } }];
    return backupRequest({ ...databaseOf(), metadata } as never, jobs as never);
  };
  assert.equal(
    request("incr@x", "incr@x").backup,
    { id: "x", type: "incr", asked: "incr@x" },
    "made, not yet recorded",
  );
  for (const job of ["incr@x", undefined]) {
    const { asked, backup, refusal } = request("full@x", job);
    assert.equal([asked, backup], ["full@x", undefined]);
    assert.match(refusal!.note, /Job "orders-backup-x" is there already/);
  }
  assert.equal(request("full@y", "incr@x").backup, { id: "y", type: "full", asked: "full@y" });
  const { metadata } = desiredBackupJob(databaseOf(), [], {
    id: "x",
    type: "incr",
    image: "i",
    asked: "incr@x",
  });
  assert.equal(metadata.annotations, { "app.example.com/backup": "incr@x" });
});

test.run();
