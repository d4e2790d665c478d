/** The exporter beside a server, and what is measured of a Database. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Database } from "../../postgres/database.ts";
import { dynamicConfig } from "../../postgres/dynamic_config.ts";
import { measure, type Measured, volumeOf } from "../../postgres/measurements.ts";
import { exporterContainer, exporterRole } from "../../postgres/monitoring.ts";
import { annotation } from "../../postgres/names.ts";
import { desiredPatroniConfigMap } from "../../postgres/patroni.ts";
import { podTemplate } from "../../postgres/pod_template.ts";

const databaseOf = (monitoring?: { enabled?: boolean }): Database => ({
  metadata: { name: "orders", namespace: "shop", uid: "u-1" },
  spec: { size: 3, version: "17", ...(monitoring ? { monitoring } : {}) },
});

test("switched off, the exporter leaves no trace: not in the template, not in pg_hba.conf", () => {
  for (const off of [databaseOf({}), databaseOf({ enabled: false })]) {
    assert.equal(podTemplate(off), podTemplate(databaseOf()));
    assert.equal(dynamicConfig(off), dynamicConfig(databaseOf()));
  }
  assert.not.match(JSON.stringify([podTemplate(databaseOf()), dynamicConfig(databaseOf())]), /exporter/);
});

test("switched on, only the exporter is added to the template, and its role and agent to the rest", () => {
  const on = podTemplate(databaseOf({ enabled: true })), off = podTemplate(databaseOf());
  const [exporter, ...others] = on.spec.containers.toReversed();
  assert.is(exporter!.name, "exporter");
  assert.equal({ ...on, spec: { ...on.spec, containers: others.toReversed() } }, off);
  const text = JSON.stringify(dynamicConfig(databaseOf({ enabled: true })));
  assert.ok(text.includes(`"local postgres ${exporterRole} peer map=exporter"`));
  assert.ok(text.includes(`"pg_ident":["exporter nobody ${exporterRole}"]`));
  const agents = (database: Database) => desiredPatroniConfigMap(database, []).data["agent.py"];
  assert.ok(agents(databaseOf({ enabled: true })).includes("exporter_agent"));
  assert.not.ok(agents(databaseOf()).includes("exporter_agent"));
});

test("the exporter is another user than the server, sees the socket only, and holds no password", () => {
  const { securityContext, volumeMounts, env } = exporterContainer("image");
  assert.is(securityContext.runAsUser, 65534);
  assert.is(securityContext.readOnlyRootFilesystem, true);
  assert.equal(volumeMounts, [{ name: "run", mountPath: "/run/postgresql", readOnly: true }]);
  assert.not.match(JSON.stringify(env), /password/i);
});

test("its role comes before everybody else in pg_hba.conf, and has no other way in", () => {
  const { postgresql } = dynamicConfig(databaseOf({ enabled: true })) as {
    postgresql: { pg_hba: string[] };
  };
  const rules = postgresql.pg_hba;
  const own = rules.filter((rule) => rule.includes(exporterRole));
  const everybody = rules.findIndex((rule) => /^\w+ all all /.test(rule));
  assert.equal(own.map((rule) => rule.split(" ")[0]), ["local", "local", "host"]);
  assert.ok(own.slice(1).every((rule) => rule.endsWith(" reject")));
  assert.ok(own.every((rule) => rules.indexOf(rule) < everybody), rules.join("\n"));
});

const measured = (status: object, spec: object = {}, annotations: Record<string, string>[] = []): Measured =>
  ({
    database: { metadata: { name: "orders", namespace: "shop" }, spec: { version: "17", ...spec }, status },
    pods: annotations.map((annotations, at) => ({ metadata: { name: `orders-${at}`, annotations } })),
    leader: {
      metadata: {
        annotations: { leader: "orders-0", optime: "5000", ttl: "20", renewTime: "2026-01-01T00:00:00Z" },
      },
    },
  }) as unknown as Measured;
const values = (given: Measured) =>
  Object.fromEntries(
    measure(given).map(({ name, labels, value }) => {
      const { pod, state } = labels as Partial<Record<string, string>>;
      return [[name.replace("database_", ""), pod ?? state ?? []].flat().join(" "), value];
    }),
  );

test("a new Database is measured as not ready, and what is not known has no series", () => {
  assert.equal(values({ ...measured({}), leader: undefined }), {
    ready: 0,
    blocked: 0,
    size: 1,
    "members primary": 0,
    "members streaming": 0,
    "members unavailable": 0,
  });
});

test("everything that is known of a Database is measured", () => {
  const replica = { state: "running", role: "replica", xlog_location: 4000 };
  const given = measured(
    {
      conditions: [
        { type: "Ready", status: "False" },
        { type: "Blocked", status: "True" },
        { type: "BackupHealthy", status: "True" },
      ],
      primary: "orders-0",
      members: [{ name: "orders-0", ready: true }, { name: "orders-1", ready: true }, { name: "orders-2" }],
      backup: {
        lastSuccessTime: "2026-01-01T00:00:00Z",
        size: 5000,
        firstRecoverableTime: "2025-12-01T00:00:00Z",
        lastRecoverableTime: "2026-01-01T00:01:00Z",
        archivePendingSince: "2026-01-01T00:02:00Z",
        gap: { firstWal: "a", lastWal: "b", after: "2025-12-02T00:00:00Z" },
        lastFailure: { time: "2025-12-03T00:00:00Z", message: "m" },
        verify: { time: "2025-12-04T00:00:00Z", passed: true },
        drill: { time: "2025-12-05T00:00:00Z", passed: false, durationSeconds: 7 },
      },
      certificate: { notAfter: "2026-03-01T00:00:00Z" },
    },
    { size: 3, backups: { schedule: { full: "0 1 * * 0", incr: "0 1 * * 1-6", verify: "0 * * * *" } } },
    [
      { status: JSON.stringify({ state: "running", role: "primary", xlog_location: 5000 }) },
      { status: JSON.stringify(replica), [annotation.volume]: '{"size":100,"available":7}' },
      { status: "{" },
    ],
  );
  assert.equal(values(given), {
    ready: 0,
    blocked: 1,
    size: 3,
    "members primary": 1,
    "members streaming": 1,
    "members unavailable": 1,
    "primary orders-0": 1,
    "replication_lag_bytes orders-1": 1000,
    "volume_size_bytes orders-1": 100,
    "volume_available_bytes orders-1": 7,
    backup_healthy: 1,
    backup_last_success_timestamp_seconds: 1_767_225_600,
    backup_last_failure_timestamp_seconds: 1_764_720_000,
    backup_age_max_seconds: 30 * 3600,
    backup_size_bytes: 5000,
    backup_first_recoverable_timestamp_seconds: 1_764_547_200,
    backup_last_recoverable_timestamp_seconds: 1_767_225_660,
    backup_archive_pending_timestamp_seconds: 1_767_225_720,
    backup_wal_missing: 1,
    backup_verify_passed: 1,
    backup_verify_timestamp_seconds: 1_764_806_400,
    backup_drill_passed: 0,
    backup_drill_timestamp_seconds: 1_764_892_800,
    backup_drill_duration_seconds: 7,
    certificate_expiry_timestamp_seconds: 1_772_323_200,
  });
});

test("how old a backup may be follows from the schedule; without one, paused or asleep it may be of any age", () => {
  const age = (backups: unknown, size = 1) =>
    values(measured({}, { size, backups } as never, []))["backup_age_max_seconds"];
  assert.is(age({ schedule: { full: "0 1 * * 0" } }), 7 * 1.25 * 86_400);
  assert.is(age({ schedule: { full: "0 1 * * 0", diff: "0 * * * *" } }), 2 * 3600);
  for (
    const given of [undefined, {}, { schedule: { verify: "0 1 * * *" } }, {
      schedule: { full: "0 1 * * *" },
      paused: true,
    }]
  ) {
    assert.is(age(given), undefined);
  }
  assert.is(age({ schedule: { full: "0 1 * * 0" } }, 0), undefined);
});

test("a note on the volume that cannot be read counts as none", () => {
  for (
    const note of [
      "",
      "{",
      "null",
      "[]",
      '{"size":"x","available":1}',
      '{"size":1}',
      '{"size":-1,"available":1}',
    ]
  ) {
    assert.equal(volumeOf({ metadata: { annotations: { [annotation.volume]: note } } }), {}, note);
  }
});

test.run();
