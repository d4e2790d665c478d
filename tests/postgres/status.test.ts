/** What the status tells: here the events of its transitions; conditions and facts are in sight.test.ts. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { wait } from "../../postgres/decide.ts";
import { type Claim, transitions } from "../../postgres/status.ts";

const claim = (type: string, status: "True" | "False", reason: string): Claim => ({
  type,
  status,
  reason,
  message: `It is ${reason}`,
});
const done = { kind: "done", reason: "Ready", message: "" } as const;
const event = (type: "Normal" | "Warning", reason: string, of: string, action: string) => ({
  type,
  reason,
  note: `It is ${of}`,
  action,
});

test("events are told on transitions only, once, with a Warning for what nobody asked for", () => {
  const ready = claim("Ready", "True", "Ready"), degraded = claim("Ready", "False", "Degraded");
  const rolling = claim("Ready", "False", "RollingOut");
  const table = [
    { before: undefined, now: [ready], step: done, want: [event("Normal", "Ready", "Ready", "Reconcile")] },
    { before: [ready], now: [ready], step: done, want: [] },
    {
      before: [ready],
      now: [degraded],
      step: wait("Degraded", ""),
      want: [event("Warning", "Degraded", "Degraded", "Reconcile")],
    },
    {
      before: [ready],
      now: [rolling],
      step: wait("RollingOut", ""),
      want: [event("Normal", "RollingOut", "RollingOut", "Reconcile")],
    },
    // Told when it was taken.
    {
      before: [ready],
      now: [rolling],
      step: { kind: "restart", pod: "a-1", reason: "RollingOut", message: "" } as const,
      want: [],
    },
    {
      before: [ready],
      now: [claim("Ready", "False", "Progressing")],
      step: wait("Progressing", ""),
      want: [],
    },
  ];
  for (const { before, now, step, want } of table) assert.equal(transitions(before, now, step), want);
});

test("the health of backups is told when it changes, not when it is first known", () => {
  const healthy = claim("BackupHealthy", "True", "Healthy");
  const unreachable = claim("BackupHealthy", "False", "RepositoryUnreachable");
  assert.equal(transitions(undefined, [healthy], done), []);
  assert.equal(transitions([healthy], [unreachable], done), [
    event("Warning", "BackupRepositoryUnreachable", "RepositoryUnreachable", "BackUp"),
  ]);
  assert.equal(transitions([unreachable], [healthy], done), [
    event("Normal", "BackupHealthy", "Healthy", "BackUp"),
  ]);
});

test.run();
