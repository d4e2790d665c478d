/**
 * A Database reduced to what decisions see: members that start, serve, break and go; Patroni electing among them.
 * Decisions are played against it for thousands of random lives; no time passes and no object exists.
 * @module
 */

import type { MemberSeen, Situation, Step } from "../../postgres/decide.ts";

/** A repeatable source of chance: mulberry32. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

interface Pod {
  ordinal: number;
  template: number;
  state: "starting" | "serving" | "broken" | "terminating";
  /** The primary counts on it: some time after it began to stream. */
  synchronous: boolean;
  createdMs: number;
}

/** One Database. */
export class Model {
  wanted = 1;
  deleting = false;
  durable = true;
  /** The newest template, and those that cannot run. */
  template = 1;
  readonly badTemplates = new Set<number>();
  /** Nodes that are down: their pods neither serve nor go. */
  readonly failing = new Set<number>();
  switchoverTo: string | undefined;

  replicas: number | undefined;
  first = 0;
  /** Patroni lets whoever serves lead when nobody does, as it does where commits wait for nobody. */
  anybodyLeads = false;
  initialized = false;
  pods: Pod[] = [];
  primary: number | undefined;
  lastPrimary: number | undefined;
  requested: { to: number } | undefined;
  nowMs = 0;
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** The world goes on by itself, a little, in a random order. */
  tick(): void {
    this.nowMs += 1_000;
    const { first, replicas: end = 0 } = this;
    for (let ordinal = first; ordinal < end; ordinal++) {
      if (this.pods.some((pod) => pod.ordinal === ordinal)) continue;
      this.pods.push({
        ordinal,
        template: this.template,
        state: "starting",
        synchronous: false,
        createdMs: this.nowMs,
      });
    }
    for (const pod of this.pods) if (pod.ordinal < first || pod.ordinal >= end) pod.state = "terminating";
    this.pods = this.pods.filter((pod) => pod.state !== "terminating" || this.failing.has(pod.ordinal));
    for (const pod of this.pods) {
      if (pod.state === "terminating") continue;
      if (this.badTemplates.has(pod.template)) pod.state = "broken";
      else if (this.failing.has(pod.ordinal)) pod.state = "starting";
      else if (pod.state === "starting" && this.#random() < 0.5) pod.state = "serving";
      pod.synchronous = pod.state === "serving" && (pod.synchronous || this.#random() < 0.3);
    }
    this.pods.sort((a, b) => a.ordinal - b.ordinal);
    this.#elect();
  }

  #elect(): void {
    const serving = this.pods.filter((pod) => pod.state === "serving");
    if (this.primary !== undefined && !serving.some((pod) => pod.ordinal === this.primary)) {
      this.lastPrimary = this.primary;
      this.primary = undefined;
    }
    if (this.primary === undefined && serving.length > 0) {
      // A member that was down may lack commits: after a sleep only the one that led last may lead.
      const fit = serving.filter((pod) =>
        this.anybodyLeads || this.#mayLead.has(pod.ordinal) || !this.initialized
      );
      const next = fit[Math.floor(this.#random() * fit.length)];
      if (next) {
        this.primary = next.ordinal;
        this.initialized = true;
      }
    }
    if (this.requested && this.primary !== undefined) {
      if (serving.some((pod) => pod.ordinal === this.requested!.to)) this.primary = this.requested.to;
      this.requested = undefined;
    }
    if (this.primary !== undefined) {
      this.lastPrimary = this.primary;
      this.#mayLead = new Set(serving.map((pod) => pod.ordinal));
    }
  }
  /** Members that have every commit, as Patroni keeps them while nobody leads. */
  #mayLead = new Set<number>();

  situation(): Situation {
    const members = this.pods.map((pod): MemberSeen => ({
      name: `db-${pod.ordinal}`,
      ordinal: pod.ordinal,
      role: pod.ordinal === this.primary ? "primary" : pod.state === "serving" ? "replica" : "unknown",
      ready: pod.state === "serving",
      terminating: pod.state === "terminating",
      streaming: pod.state === "serving" && this.primary !== undefined && pod.ordinal !== this.primary,
      upToDate: pod.template === this.template,
      pendingRestart: false,
      ...(pod.state === "broken" ? { trouble: { reason: "ImagePullBackOff", message: "it cannot" } } : {}),
      createdMs: pod.createdMs,
    }));
    return {
      wanted: this.deleting ? 0 : this.wanted,
      deleting: this.deleting,
      replicas: this.replicas,
      first: this.first,
      settled: true,
      initialized: this.initialized,
      members,
      primary: this.primary === undefined ? undefined : `db-${this.primary}`,
      staleLock: undefined,
      lastPrimary: this.lastPrimary === undefined ? undefined : `db-${this.lastPrimary}`,
      durable: this.durable,
      synchronous: members.filter((member, at) => member.streaming && this.pods[at]!.synchronous)
        .map((member) => member.name),
      switchoverPending: this.requested !== undefined,
      patroniPaused: false,
      switchoverTo: this.switchoverTo,
      nowMs: this.nowMs,
    };
  }

  /** Carries out a step. */
  take(step: Step): void {
    if (step.kind === "scale") [this.replicas, this.first] = [step.replicas, step.first ?? 0];
    if (step.kind === "restart") {
      const pod = this.pods.find((pod) => `db-${pod.ordinal}` === step.pod)!;
      this.pods = this.pods.filter((other) => other !== pod);
      this.#elect();
    }
    if (step.kind === "switchover") this.requested = { to: Number(step.to.slice(3)) };
  }
}
