/**
 * Every fault at every point of a fault-free run.
 * @module
 */

import { type Choice, isHeartbeat, type Outcome } from "./explorer.ts";
import type { Fate, OperatorRequest } from "./simulation.ts";

/** What can be asked for by name. */
export const families = ["F1", "F2", "F3"] as const;
export type Family = typeof families[number];

/** A watch that lags behind by more than this has been silent for long, and would have been given up. */
const HELD_MAX_MS = 60_000;

/** All choices of a family. */
export function choicesOf(family: Family, baseline: Outcome): Choice[] {
  switch (family) {
    case "F1":
      return crashes(baseline);
    case "F2":
      return refusals(baseline);
    case "F3":
      return staleness(baseline);
  }
}

const shown = ({ method, path }: OperatorRequest) => `${method} ${path.replace(/^.*\/shop\//, "")}`;

/** F1: the process dies at a write, in three ways; a new one finds what is stored. */
function crashes({ requests }: Outcome): Choice[] {
  const fates = ["crash before", "crash after", "crash after the event"] as const;
  return requests.filter(({ write }) => write > 0).flatMap((at, index) =>
    fates.map((fate): Choice => ({
      label: `F1 ${fate} write ${index + 1} (${shown(at)})`,
      // Counted by number: the processes after the first one count on.
      fate: ({ write }) => write === index + 1 ? fate : undefined,
    }))
  );
}

/** F2: a request is refused. */
function refusals({ requests }: Outcome): Choice[] {
  const fates: { name: string; fate: Fate; times: number; writes?: boolean }[] = [
    { name: "409 once", fate: { status: 409, reason: "Conflict" }, times: 1, writes: true },
    { name: "409 five times", fate: { status: 409, reason: "Conflict" }, times: 5, writes: true },
    { name: "AlreadyExists", fate: { status: 409, reason: "AlreadyExists" }, times: 1, writes: true },
    { name: "403", fate: { status: 403, reason: "Forbidden" }, times: 1 },
    { name: "422", fate: { status: 422, reason: "Invalid" }, times: 1, writes: true },
    { name: "429", fate: { status: 429, reason: "TooManyRequests", retryAfterMs: 1_000 }, times: 1 },
    { name: "500", fate: { status: 500, reason: "InternalError" }, times: 1 },
    { name: "503", fate: { status: 503, reason: "ServiceUnavailable" }, times: 1 },
    { name: "timeout after commit", fate: "timeout after commit", times: 1 },
  ];
  return requests.flatMap((at, index) =>
    fates.filter(({ writes }) => !writes || at.write > 0).map(({ name, fate, times }): Choice => {
      let left = times;
      return {
        label: `F2 ${name} at request ${index + 1} (${shown(at)}${at.isWatch ? ", watch" : ""})`,
        faults: times,
        fate: (request) => {
          const strikes = left === times
            ? request.index === index + 1
            : left > 0 && request.path === at.path && request.method === at.method &&
              request.isWatch === at.isWatch;
          if (strikes) left--;
          return strikes ? fate : undefined;
        },
      };
    })
  );
}

/** F3: from a commit on the operator sees nothing more, or nothing more of one kind, until quiet; or loses its watches. */
function staleness({ commits, tables }: Outcome): Choice[] {
  const watched = tables.filter((table) =>
    /^(app\.example\.com|apps\/statefulsets|policy|rbac)|^\/(pods|services|serviceaccounts|configmaps|persistentvolumeclaims)$/
      .test(table)
  );
  const held = (label: string, at: number, which: string[]): Choice => ({
    label: `F3 ${label} from commit ${at}`,
    onCommit: (index, _, simulation) => {
      if (index !== at) return;
      for (const table of which) simulation.api.freeze(table);
      simulation.time.set(HELD_MAX_MS, () => which.forEach((table) => simulation.api.thaw(table)));
    },
    onQuiet: (simulation) => {
      for (const table of which) simulation.api.thaw(table);
      return true;
    },
  });
  const points = commits.flatMap((commit, index) => isHeartbeat(commit) ? [] : [index + 1]);
  return points.flatMap((at) => [
    held("every event held", at, watched),
    ...watched.map((table) => held(`events of ${table} held`, at, [table])),
    {
      label: `F3 watches broken at commit ${at}`,
      onCommit: (index, _, simulation) => {
        if (index === at) simulation.api.dropWatches(undefined, "abort");
      },
    },
    {
      label: `F3 watches gone (410) at commit ${at}`,
      onCommit: (index, _, simulation) => {
        if (index === at) simulation.api.dropWatches(undefined, "gone");
      },
    },
  ]);
}
