/**
 * Every fault at every point of a fault-free run.
 * @module
 */

import { type Choice, isHeartbeat, type Outcome } from "./explorer.ts";
import { type Commit, type Fate, type OperatorRequest, seeded } from "./simulation.ts";

/** What can be asked for by name. */
export const families = ["F1", "F2", "F3", "F4", "F5", "F6", "F7"] as const;
export type Family = typeof families[number];

/** A watch that lags behind by more than this has been silent for long, and would have been given up. */
const HELD_MAX_MS = 60_000;

/** How long the operator reads from an API server that lags behind. */
const LAGGING_MS = 20_000;
/** A list that is older than what was seen is refused five times, with growing delays, before it is believed. */
const OLDER_LISTS_MS = 70_000;

/** Whether the fault-free run to compare with elects a leader. */
export function elects(family: Family): boolean {
  return family === "F7";
}

/** All choices of a family. */
export function choicesOf(family: Family, baseline: Outcome): Choice[] {
  switch (family) {
    case "F1":
      return crashes(baseline);
    case "F2":
      return refusals(baseline);
    case "F3":
      return staleness(baseline);
    case "F4":
      return timeTravel(baseline);
    case "F5":
      return forgottenHistory(baseline);
    case "F6":
      return hanging(baseline);
    case "F7":
      return frozenLeaders(baseline);
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
  return pointsOf(commits).flatMap((at) => [
    held("every event held", at, watched),
    ...watched.map((table) => held(`events of ${table} held`, at, [table])),
    {
      ...held("every event held, then only the last state of each object told", at, watched),
      onQuiet: (simulation) => {
        for (const table of watched) simulation.api.thaw(table, true);
        return true;
      },
    },
    {
      label: `F3 every event comes twice from commit ${at}`,
      onCommit: (index, _, simulation) => {
        if (index === at) { for (const table of watched) simulation.api.repeatEvents(table); }
      },
    },
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

/** The commits at which faults strike: those that are more than a sign of life, counted from 1. */
function pointsOf(commits: readonly Commit[]): number[] {
  return commits.flatMap((commit, index) => isHeartbeat(commit) ? [] : [index + 1]);
}

/**
 * F4: from a commit on the operator reads, for a while, from an API server that stopped somewhere before it: the same
 * process over new connections, or a new process. Its writes arrive.
 */
function timeTravel({ commits }: Outcome): Choice[] {
  const points = pointsOf(commits);
  const lagging = (at: number, back: number, isNew: boolean): Choice => {
    const past = commits[Math.max(0, at - 1 - back)]!.object.metadata.resourceVersion!;
    return {
      label: `F4 ${isNew ? "a new process" : "it"} reads from ${back} commits before commit ${at}`,
      // For 20 s, and each 5 s it looks again whether its own write has come to be seen.
      faults: 3,
      quietMs: OLDER_LISTS_MS,
      onCommit: (index, _, simulation) => {
        if (index !== at) return;
        simulation.lag(past);
        if (isNew) simulation.crashOperator();
        else simulation.api.dropWatches(undefined, "abort");
        simulation.time.set(LAGGING_MS, () => {
          simulation.lag(undefined);
          simulation.api.dropWatches(undefined, "abort");
        });
      },
    };
  };
  return points.flatMap((at) =>
    [1, 5, 25].filter((back) => back < at)
      .flatMap((back) => [lagging(at, back, false), lagging(at, back, true)])
  );
}

/** F5: the history that a watch would go on from is gone, once or after every commit; or not yet there. */
function forgottenHistory({ commits, requests }: Outcome): Choice[] {
  const tooLarge = { status: 504, reason: "Timeout", message: "Too large resource version: 9, current: 1" };
  return [
    ...pointsOf(commits).flatMap((at): Choice[] => [
      {
        label: `F5 watches broken and history compacted at commit ${at}`,
        onCommit: (index, _, simulation) => {
          if (index !== at) return;
          simulation.api.compact();
          simulation.api.dropWatches(undefined, "abort");
        },
      },
      {
        label: `F5 no history from commit ${at} on, and watches broken at the next three`,
        faults: 3,
        onCommit: (index, _, simulation) => {
          if (index < at) return;
          simulation.api.compact();
          if (index < at + 3) simulation.api.dropWatches(undefined, "abort");
        },
      },
    ]),
    ...requests.flatMap((at, index): Choice[] =>
      at.isWatch
        ? [{
          label: `F5 too large resource version at request ${index + 1} (${shown(at)}, watch)`,
          fate: (request) => request.index === index + 1 ? tooLarge : undefined,
        }]
        : []
    ),
  ];
}

/** F6: something is never answered, or stops in the middle. */
function hanging({ commits, requests }: Outcome): Choice[] {
  return [
    ...requests.map((at, index): Choice => ({
      label: `F6 no answer to request ${index + 1} (${shown(at)}${at.isWatch ? ", watch" : ""})`,
      fate: (request) => request.index === index + 1 ? "hang" : undefined,
    })),
    ...pointsOf(commits).flatMap((at) =>
      (["silent", "half a line, then silent", "half a line, then the end"] as const).map((how): Choice => ({
        label: `F6 every stream ${how} from commit ${at}`,
        onCommit: (index, _, simulation) => {
          if (index === at) simulation.spoil(how);
        },
      }))
    ),
  ];
}

/** F7: the leader is frozen at a request, another process takes over, and then the first goes on where it was. */
function frozenLeaders({ requests }: Outcome): Choice[] {
  return requests.flatMap((at, index) =>
    (["pause before", "pause after"] as const).map((fate): Choice => ({
      label: `F7 ${fate} request ${index + 1} (${shown(at)}${at.isWatch ? ", watch" : ""})`,
      elects: true,
      fate: (request) => request.index === index + 1 ? fate : undefined,
    }))
  );
}

/** Two faults in one run: the first of each pair strikes as it would alone. */
export function pairOf(one: Choice, other: Choice): Choice {
  return {
    label: `${one.label} and ${other.label}`,
    faults: (one.faults ?? 1) + (other.faults ?? 1),
    fate: (request) => one.fate?.(request) ?? other.fate?.(request),
    onCommit: (index, commit, simulation) => {
      one.onCommit?.(index, commit, simulation);
      other.onCommit?.(index, commit, simulation);
    },
    onQuiet: async (simulation) => {
      const [did, didToo] = [await one.onQuiet?.(simulation), await other.onQuiet?.(simulation)];
      return Boolean(did || didToo);
    },
  };
}

/**
 * Pairs: every two writes at which the process dies after it, and as many others of all families as are asked for, drawn
 * by a fixed seed. Frozen leaders are left out: they need another fault-free run.
 */
export function* pairs(baseline: Outcome, others: number): Generator<Choice> {
  const deaths = () => crashes(baseline).filter(({ label }) => label.startsWith("F1 crash after write"));
  const count = deaths().length;
  for (let first = 0; first < count; first++) {
    for (let second = first + 1; second < count; second++) {
      yield pairOf(deaths()[first]!, deaths()[second]!);
    }
  }
  const random = seeded(7);
  // Made anew for each pair: some remember how often they struck.
  const all = () =>
    families.filter((family) => !elects(family)).flatMap((family) => choicesOf(family, baseline));
  for (let index = 0; index < others; index++) {
    const [one, other] = [all(), all()];
    yield pairOf(one[Math.floor(random() * one.length)]!, other[Math.floor(random() * other.length)]!);
  }
}
