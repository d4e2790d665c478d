/**
 * The reflector: list, then watch, and what to do when either goes wrong - as a pure state machine.
 *
 * `step(state, input)` answers with the next state and with what the store and the log should be told; it does no
 * request, reads no clock and draws no lots, so each rule is tested by calling it. The informer drives it.
 *
 * ```
 *   list ---page (more)---> list
 *   list ---page (last)---> watch      the store is replaced in one step
 *   watch --ended---------> watch      from the last resourceVersion, without a list
 *   watch --410, bad line-> list       our state is unknown
 *   any ----failed--------> wait -> the same again, later
 * ```
 *
 * No input leads to an end: every error is retried. Where this differs from client-go's tools/cache/reflector.go:
 * - Lists are asked for at resourceVersion "" always, the newest state. An operator that deletes things must not start
 *   from an old one, a list at "" is never older than what was seen, and the endless loop of relisting at the version
 *   that was just refused (kubernetes#133810) cannot happen. Since Kubernetes 1.31 such lists come from the API
 *   server's cache.
 * - A list that comes back older than what was seen is refused and asked for again; after {@linkcode OLDER_LISTS_MAX}
 *   of them it is taken, because then the cluster was restored from a backup.
 * - The server is asked to end each watch after 14 to 20 s, not 5 to 10 min. It sends a bookmark before it ends one,
 *   so this is a heartbeat, and a connection that went silent is noticed within 24 s.
 * - Undecodable or strange watch events lead to a new list, because our state is then unknown.
 * - An API server that cannot be reached, or is not ready (503), is tried again within 1.5 s, also where it asks for 5
 *   while it starts; one that answers with other errors within 30 to 60.
 * - watch-list (streaming lists) is not used.
 * @module
 */

import type { ListPage } from "./client.ts";
import {
  ApiError,
  isExpired,
  isTooLargeResourceVersion,
  isTooManyRequests,
  messageOf,
  type Status,
} from "./errors.ts";
import { compareResourceVersions, isComparable } from "./resource_version.ts";
import type { KubernetesObject } from "./types.ts";

/** Back-off of errors that the server answered: client-go's numbers. */
const BACKOFF_BASE_MS = 800;
const BACKOFF_MAX_MS = 30_000;
/** Back-off while nothing answers at all: 5 s after the API server is up again we must be, too. */
const UNREACHABLE_MAX_MS = 1_000;
/** A Retry-After counts up to here: a proxy that asks for an hour must not make us deaf for one. */
const RETRY_AFTER_MAX_MS = 30_000;
/** After this long without a failure the next one waits the shortest time again: client-go's number. */
const BACKOFF_RESET_MS = 120_000;
/** A list that is older than this, and led to a watch that brought something, may be followed by another at once. */
const RELIST_PERIOD_MS = 10_000;
/** A watch that ends sooner, without an event, counts as a failure: else it would be opened in a tight loop. */
const SHORT_WATCH_MS = 1_000;
/** Internal errors inside a stream are answered by watching again for this long, then by a list. */
const INTERNAL_ERRORS_MAX_MS = 30_000;
/** Lists older than what was seen that are refused before one is believed. */
export const OLDER_LISTS_MAX = 5;

/** What happens next. */
export type Phase =
  /** Get a page. `isWhole`: without a limit, because a continue token had expired. */
  | { name: "list"; pages: KubernetesObject[][]; continueToken?: string; isWhole: boolean }
  /** Open a watch after this resourceVersion and read it. */
  | { name: "watch"; resourceVersion: string; openedAtMs?: number; events: number }
  /** Wait, then go on. */
  | { name: "wait"; delayMs: number; then: "list" | { resourceVersion: string } };

/** What a back-off is counted by. */
type FailureKind = "answered" | "unreachable" | "relists";

/** Everything that the reflector remembers. */
export interface ReflectorState {
  readonly phase: Phase;
  /** The newest resourceVersion seen in a list or watch; "" before the first list. */
  readonly seen: string;
  /** Failures in a row, apart for "the server said no", "nothing answered", and lists that led to nothing but lists. */
  readonly failures: Readonly<Record<FailureKind, number>> & { readonly lastAtMs: number };
  /** Since when streams bring internal errors without an event between. */
  readonly internalErrorsSinceMs: number | undefined;
  /** Lists in a row that were older than `seen`. */
  readonly olderLists: number;
  /** When the last whole list was complete, and its resourceVersion. */
  readonly listedAtMs: number | undefined;
  readonly listed: string;
}

/** What happened. */
export type Input =
  | { type: "page"; page: ListPage }
  | { type: "failed"; error: unknown }
  | { type: "opened" }
  /** One line of a watch, read as JSON. */
  | { type: "event"; event: unknown }
  /** A line that is not JSON. */
  | { type: "bad line"; found: string }
  /** The server ended the watch in good order. */
  | { type: "ended" }
  /** No byte came within the silence deadline. */
  | { type: "silent"; silenceMs: number }
  | { type: "waited" }
  /** Somebody wants a new list: an own write does not show. */
  | { type: "relist"; why: string };

/** What the store, the log and the metrics are told. */
export type Effect =
  | { type: "replace"; items: KubernetesObject[]; resourceVersion: string }
  | { type: "upsert"; object: KubernetesObject }
  | { type: "remove"; object: KubernetesObject }
  /** All changes up to here were seen. */
  | { type: "progress"; resourceVersion: string }
  /** `code`: a metric label; an HTTP status or a word. */
  | { type: "error"; code: string; message: string; error?: unknown }
  | { type: "bad event"; found: string }
  | { type: "restart"; reason: string };

/** Time and chance at one step. */
export interface StepEnvironment {
  nowMs: number;
  /** In [0, 1). */
  random: number;
  kind: string;
}

/** The result of one step. */
export interface Step {
  state: ReflectorState;
  effects: Effect[];
}

/** Before anything is known. */
export const initialState: ReflectorState = {
  phase: { name: "list", pages: [], isWhole: false },
  seen: "",
  failures: { answered: 0, unreachable: 0, relists: 0, lastAtMs: -Infinity },
  internalErrorsSinceMs: undefined,
  olderLists: 0,
  listedAtMs: undefined,
  listed: "",
};

/** What follows from an input. Inputs that do not belong to the present phase change nothing. */
export function step(state: ReflectorState, input: Input, environment: StepEnvironment): Step {
  const { phase } = state;
  if (input.type === "relist") {
    if (phase.name === "list") return { state, effects: [] };
    return { state: { ...state, phase: newList() }, effects: [{ type: "restart", reason: "relist" }] };
  }
  switch (phase.name) {
    case "list":
      if (input.type === "page") return page(state, phase, input.page, environment);
      if (input.type === "failed") return listFailed(state, phase, input.error, environment);
      return { state, effects: [] };
    case "watch":
      return watching(state, phase, input, environment);
    case "wait":
      if (input.type !== "waited") return { state, effects: [] };
      return {
        state: { ...state, phase: phase.then === "list" ? newList() : newWatch(phase.then.resourceVersion) },
        effects: [],
      };
  }
}

function newList(isWhole = false): Phase {
  return { name: "list", pages: [], isWhole };
}

function newWatch(resourceVersion: string): Phase {
  return { name: "watch", resourceVersion, events: 0 };
}

/** A page that is not the last is kept aside; the last one makes the list whole. */
function page(
  state: ReflectorState,
  phase: Phase & { name: "list" },
  { items, resourceVersion, continueToken, strange }: ListPage,
  environment: StepEnvironment,
): Step {
  const effects: Effect[] = strange.map((found) => ({ type: "bad event", found }));
  const pages = [...phase.pages, items];
  if (continueToken) return { state: { ...state, phase: { ...phase, pages, continueToken } }, effects };
  const isOlder = isComparable(state.seen) && isComparable(resourceVersion) &&
    compareResourceVersions(resourceVersion, state.seen) < 0;
  if (isOlder && state.olderLists < OLDER_LISTS_MAX) {
    const message = `the list at ${resourceVersion} is older than ${state.seen}, which was seen before`;
    const failed = backOff({ ...state, olderLists: state.olderLists + 1 }, "list", "answered", environment);
    return { state: failed, effects: [...effects, { type: "error", code: "older list", message }] };
  }
  effects.push({ type: "replace", items: pages.flat(), resourceVersion });
  return {
    state: {
      ...state,
      phase: newWatch(resourceVersion),
      seen: resourceVersion,
      olderLists: 0,
      internalErrorsSinceMs: undefined,
      listedAtMs: environment.nowMs,
      listed: resourceVersion,
    },
    effects,
  };
}

function listFailed(
  state: ReflectorState,
  phase: Phase & { name: "list" },
  error: unknown,
  environment: StepEnvironment,
): Step {
  const effects: Effect[] = [describe("list", error)];
  // The snapshot that the continue token belonged to is gone: get all of the present one in a single answer.
  if (phase.pages.length > 0 && isExpired(error)) {
    return { state: { ...state, phase: newList(true) }, effects };
  }
  return { state: backOff(state, "list", classOf(error), environment, error), effects };
}

function watching(
  state: ReflectorState,
  phase: Phase & { name: "watch" },
  input: Input,
  environment: StepEnvironment,
): Step {
  switch (input.type) {
    case "opened":
      return {
        state: { ...state, phase: { ...phase, openedAtMs: environment.nowMs } },
        effects: [{ type: "progress", resourceVersion: phase.resourceVersion }],
      };
    case "event":
      return watchEvent(state, phase, input.event, environment);
    case "bad line":
      return listSoon(state, [{ type: "bad event", found: input.found }], "bad event", environment);
    case "silent": {
      const message = `no byte came for ${input.silenceMs} ms`;
      return {
        state: { ...state, phase: newWatch(phase.resourceVersion) },
        effects: [{ type: "error", code: "silent", message }, { type: "restart", reason: "silent" }],
      };
    }
    case "ended": {
      const again = phase.resourceVersion;
      const isShort = phase.events === 0 &&
        environment.nowMs - (phase.openedAtMs ?? environment.nowMs) < SHORT_WATCH_MS;
      if (!isShort) {
        return {
          state: { ...state, phase: newWatch(again) },
          effects: [{ type: "restart", reason: "ended" }],
        };
      }
      return {
        state: backOff(state, { resourceVersion: again }, "answered", environment),
        effects: [
          {
            type: "error",
            code: "short watch",
            message: "the watch ended within a second, without an event",
          },
          { type: "restart", reason: "short watch" },
        ],
      };
    }
    case "failed":
      return watchFailed(state, phase, input.error, environment);
    case "page":
    case "waited":
    case "relist":
      return { state, effects: [] };
  }
}

/** The watch could not be opened, broke, or carried an ERROR. */
function watchFailed(
  state: ReflectorState,
  phase: Phase & { name: "watch" },
  error: unknown,
  environment: StepEnvironment,
): Step {
  const effects: Effect[] = [describe("watch", error)];
  if (isExpired(error) || isTooLargeResourceVersion(error)) {
    return listSoon(state, effects, "expired", environment);
  }
  // 404: the kind itself went; 400: the server does not know what to make of our resourceVersion.
  if (error instanceof ApiError && (error.status === 404 || error.status === 400)) {
    effects.push({ type: "restart", reason: String(error.status) });
    return { state: backOff(state, "list", "answered", environment, error), effects };
  }
  effects.push({ type: "restart", reason: "error" });
  const isInternal = error instanceof ApiError && error.status === 500;
  const sinceMs = isInternal ? state.internalErrorsSinceMs ?? environment.nowMs : undefined;
  const next = { ...state, internalErrorsSinceMs: sinceMs };
  const isLong = sinceMs !== undefined && environment.nowMs - sinceMs >= INTERNAL_ERRORS_MAX_MS;
  const then = isLong && !isTooManyRequests(error) ? "list" : { resourceVersion: phase.resourceVersion };
  return { state: backOff(next, then, classOf(error), environment, error), effects };
}

/** One line of the stream. */
function watchEvent(
  state: ReflectorState,
  phase: Phase & { name: "watch" },
  event: unknown,
  environment: StepEnvironment,
): Step {
  const { type, object } = (event ?? {}) as { type?: unknown; object?: KubernetesObject & Status };
  if (type === "ERROR") {
    const code = typeof object?.code === "number" ? object.code : 500;
    const error = new ApiError(code, `Watch event ERROR: ${object?.message ?? "without a message"}`, {
      reason: object?.reason,
      details: object?.details,
    });
    return watchFailed(state, phase, error, environment);
  }
  const resourceVersion = object?.metadata?.resourceVersion;
  const isKnown = type === "ADDED" || type === "MODIFIED" || type === "DELETED" || type === "BOOKMARK";
  const hasName = type === "BOOKMARK" || Boolean(object?.metadata?.name);
  if (!isKnown || !object || object.kind !== environment.kind || !hasName || !isComparable(resourceVersion)) {
    const found = `type "${String(type)}", kind "${object?.kind}", name "${object?.metadata?.name}", ` +
      `resourceVersion "${resourceVersion}"`;
    return listSoon(state, [{ type: "bad event", found }], "bad event", environment);
  }
  const effects: Effect[] = type === "BOOKMARK"
    ? []
    : [{ type: type === "DELETED" ? "remove" : "upsert", object }];
  effects.push({ type: "progress", resourceVersion });
  return {
    state: {
      ...state,
      phase: { ...phase, resourceVersion, events: phase.events + 1 },
      seen: resourceVersion,
      internalErrorsSinceMs: undefined,
    },
    effects,
  };
}

/**
 * A new list: at once when the last one is long ago, or led to a watch that brought something; with growing delays when
 * lists lead to nothing but further lists.
 */
function listSoon(
  state: ReflectorState,
  effects: Effect[],
  reason: string,
  environment: StepEnvironment,
): Step {
  effects.push({ type: "restart", reason });
  const sinceListMs = environment.nowMs - (state.listedAtMs ?? -Infinity);
  const hasProgressed = state.seen !== state.listed;
  const isForgotten = sinceListMs >= (hasProgressed ? RELIST_PERIOD_MS : BACKOFF_RESET_MS);
  const relists = isForgotten ? 0 : state.failures.relists;
  const failures = { ...state.failures, relists };
  if (relists === 0 && (hasProgressed || sinceListMs >= BACKOFF_MAX_MS)) {
    return { state: { ...state, failures: { ...failures, relists: 1 }, phase: newList() }, effects };
  }
  return { state: backOff({ ...state, failures }, "list", "relists", environment), effects };
}

/** Waits longer after each failure; a Retry-After of the server is honoured, within reason. */
function backOff(
  state: ReflectorState,
  then: "list" | { resourceVersion: string },
  kind: FailureKind,
  { nowMs, random }: StepEnvironment,
  error?: unknown,
): ReflectorState {
  const isForgotten = nowMs - state.failures.lastAtMs >= BACKOFF_RESET_MS;
  const failures = isForgotten && kind !== "relists"
    ? { ...state.failures, answered: 0, unreachable: 0, lastAtMs: nowMs }
    : { ...state.failures, lastAtMs: nowMs };
  const baseMs = BACKOFF_BASE_MS * 2 ** Math.min(failures[kind], 10);
  const delayMs = kind === "unreachable"
    ? Math.min(baseMs, UNREACHABLE_MAX_MS) * (1 + random / 2)
    : Math.min(baseMs, BACKOFF_MAX_MS) * (1 + random);
  failures[kind] += 1;
  const askedMs = error instanceof ApiError ? Math.min(error.retryAfterMs ?? 0, RETRY_AFTER_MAX_MS) : 0;
  const waitMs = Math.max(delayMs, kind === "unreachable" ? Math.min(askedMs, UNREACHABLE_MAX_MS) : askedMs);
  return { ...state, failures, phase: { name: "wait", delayMs: waitMs, then } };
}

/** 503 comes before the server has done any work: it starts, or a proxy has no server behind it. */
function classOf(error: unknown): FailureKind {
  return error instanceof ApiError && error.status !== 503 ? "answered" : "unreachable";
}

function describe(what: "list" | "watch", error: unknown): Effect {
  const code = error instanceof ApiError ? String(error.status || error.reason) : "unreachable";
  return { type: "error", code, message: `${what}: ${messageOf(error)}`, error };
}
