/**
 * Kubernetes events (events.k8s.io/v1): what `kubectl describe` shows below an object.
 *
 * Recording costs the caller nothing and never fails for it: an event that cannot be written is counted and dropped.
 * Repetition is bounded as in client-go (tools/record/events_cache.go): the same event again becomes a series on the
 * first one; more than ten events about an object that differ only in their note, within ten minutes, become one;
 * and an object has 25 writes at once, then one each five minutes.
 * @module
 */

import type { Client } from "./client.ts";
import { microTimestamp } from "./conditions.ts";
import { isNotFound, messageOf } from "./errors.ts";
import type { Logger } from "./logger.ts";
import type { RuntimeMetrics } from "./metrics.ts";
import type { EventInput, EventRecorder } from "./options.ts";
import type { Clock, Random } from "./ports.ts";
import type { KubernetesObject, Resource } from "./types.ts";

/** The API object. */
export interface Event extends KubernetesObject {
  eventTime?: string;
  reportingController?: string;
  reportingInstance?: string;
  action?: string;
  reason?: string;
  type?: string;
  note?: string;
  regarding?: { apiVersion?: string; kind?: string; namespace?: string; name?: string; uid?: string };
  series?: { count: number; lastObservedTime: string };
}

/** Events. */
export const eventsResource: Resource<Event> = {
  group: "events.k8s.io",
  version: "v1",
  kind: "Event",
  plural: "events",
  scope: "Namespaced",
};

/** The API refuses a longer note. */
const NOTE_BYTES_MAX = 1_024;
/** The API refuses longer ones. */
const REASON_LENGTH_MAX = 128;
const BURST = 25;
const REFILL_MS = 300_000;
const SIMILAR_MAX = 10;
const SIMILAR_MS = 600_000;
/** The same event after this long is a new one: client-go's series end after six minutes. */
const SERIES_MS = 360_000;
/** Objects and events remembered; the oldest are forgotten first. */
const REMEMBERED_MAX = 4_096;
/** Events that wait for a slow API server; more are dropped. */
const QUEUED_MAX = 1_000;

/** What the recorder needs. */
export interface EventRecorderOptions {
  client: Client;
  clock: Clock;
  random: Random;
  log: Logger;
  metrics?: RuntimeMetrics;
  /** `reportingController`: `database-operator`. */
  controller: string;
  /** `reportingInstance`: the pod. */
  instance: string;
}

type Known = { name: string; count: number; lastAtMs: number };

/** Writes events one after the other, in the background. */
export class BackgroundEventRecorder implements EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #known = new Map<string, Known>();
  readonly #similar = new Map<string, { notes: Set<string>; sinceMs: number }>();
  readonly #budgets = new Map<string, { tokens: number; filledAtMs: number }>();
  #queued = 0;
  #tail: Promise<void> = Promise.resolve();

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    for (const outcome of ["written", "dropped", "failed"]) options.metrics?.events.inc({ outcome }, 0);
  }

  record(object: KubernetesObject, input: EventInput): void {
    const { clock, metrics } = this.#options;
    const nowMs = clock.monotonic();
    const event = this.#aggregate(object, input, nowMs);
    if (this.#queued >= QUEUED_MAX || !this.#takeToken(subjectOf(object), nowMs)) {
      metrics?.events.inc({ outcome: "dropped" });
      return;
    }
    this.#queued += 1;
    this.#tail = this.#tail.then(() => this.#write(object, event, nowMs)).finally(() => {
      this.#queued -= 1;
    });
  }

  /** Resolves when all that was recorded is written or given up. */
  flushed(): Promise<void> {
    return this.#tail;
  }

  /** Many that differ only in their note become one that says so. */
  #aggregate(object: KubernetesObject, input: EventInput, nowMs: number): EventInput {
    const key = [subjectOf(object), input.type, input.reason, input.action ?? ""].join("\n");
    let similar = this.#similar.get(key);
    if (!similar || nowMs - similar.sinceMs > SIMILAR_MS) {
      remember(this.#similar, key, similar = { notes: new Set(), sinceMs: nowMs });
    }
    if (similar.notes.size < SIMILAR_MAX) similar.notes.add(input.note);
    if (similar.notes.has(input.note)) return input;
    return { ...input, note: `(combined from similar events) ${[...similar.notes][0]}` };
  }

  #takeToken(subject: string, nowMs: number): boolean {
    let budget = this.#budgets.get(subject);
    if (!budget) remember(this.#budgets, subject, budget = { tokens: BURST, filledAtMs: nowMs });
    budget.tokens = Math.min(BURST, budget.tokens + (nowMs - budget.filledAtMs) / REFILL_MS);
    budget.filledAtMs = nowMs;
    if (budget.tokens < 1) return false;
    budget.tokens -= 1;
    return true;
  }

  async #write(object: KubernetesObject, input: EventInput, nowMs: number): Promise<void> {
    const { log, metrics } = this.#options;
    try {
      await this.#createOrExtend(object, input, nowMs);
      metrics?.events.inc({ outcome: "written" });
    } catch (error) {
      metrics?.events.inc({ outcome: "failed" });
      log.warn("Cannot write an event", { reason: input.reason, error: messageOf(error) });
    }
  }

  async #createOrExtend(object: KubernetesObject, input: EventInput, nowMs: number): Promise<void> {
    const { client } = this.#options;
    const namespace = object.metadata?.namespace || "default";
    const key = [subjectOf(object), input.type, input.reason, input.action ?? "", input.note].join("\n");
    const known = this.#known.get(key);
    if (known && nowMs - known.lastAtMs <= SERIES_MS) {
      known.count += 1;
      known.lastAtMs = nowMs;
      const series = { count: known.count, lastObservedTime: microTimestamp(this.#options.clock.now()) };
      try {
        await client.patch(eventsResource, { namespace, name: known.name }, { series });
        return;
      } catch (error) {
        if (!isNotFound(error)) throw error; // Expired on the server: a new one then.
      }
    }
    const event = this.#event(object, input, namespace);
    await client.create(eventsResource, event);
    remember(this.#known, key, { name: event.metadata!.name!, count: 1, lastAtMs: nowMs });
  }

  #event(object: KubernetesObject, input: EventInput, namespace: string): Event {
    const { clock, random, controller, instance } = this.#options;
    const { name = "", uid } = object.metadata ?? {};
    const now = microTimestamp(clock.now());
    const suffix = clock.now().toString(16) + Math.floor(random() * 0x1000000).toString(16).padStart(6, "0");
    return {
      metadata: { name: `${name.slice(0, 220)}.${suffix}`, namespace },
      eventTime: now,
      reportingController: controller,
      reportingInstance: instance.slice(0, 128),
      action: (input.action ?? "Reconcile").slice(0, REASON_LENGTH_MAX),
      reason: input.reason.slice(0, REASON_LENGTH_MAX),
      type: input.type,
      note: cut(input.note, NOTE_BYTES_MAX),
      regarding: {
        apiVersion: object.apiVersion,
        kind: object.kind,
        namespace: object.metadata?.namespace,
        name,
        uid,
      },
    };
  }
}

function subjectOf(object: KubernetesObject): string {
  const { namespace = "", name = "", uid = "" } = object.metadata ?? {};
  return `${object.kind}/${namespace}/${name}/${uid}`;
}

function remember<Value>(map: Map<string, Value>, key: string, value: Value): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > REMEMBERED_MAX) map.delete(map.keys().next().value!);
}

/** The text within so many bytes of UTF-8, never half a character. */
function cut(text: string, bytesMax: number): string {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= bytesMax) return text;
  return `${new TextDecoder().decode(bytes.subarray(0, bytesMax - 6)).replace(/\uFFFD+$/, "")}...`;
}
