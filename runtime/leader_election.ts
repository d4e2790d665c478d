/**
 * Leader election by a Lease: of several processes one works.
 *
 * The rules of client-go's tools/leaderelection/leaderelection.go. Another's lease is taken over only when a whole
 * lease duration has passed since it was last *seen here* to change, so clocks may differ as long as they run equally
 * fast. A leader that cannot renew within `renewDeadlineMs` stops at once; since that is shorter than the lease, it
 * stops before another begins.
 *
 * No fencing is promised by that: a process that was paused may go on for a moment with what it had begun. So
 * {@linkcode LeaderElection.holds} looks at the clock before each write, and every delete carries uid and
 * resourceVersion.
 * @module
 */

import type { Client } from "./client.ts";
import { microTimestamp } from "./conditions.ts";
import {
  DeadlineError,
  isAlreadyExists,
  isConflict,
  isNotFound,
  LeaseLostError,
  messageOf,
} from "./errors.ts";
import type { Logger } from "./logger.ts";
import type { LeaderElectionOptions } from "./options.ts";
import { abortReason, type Clock, linkedController, type Random, sleep } from "./ports.ts";
import type { KubernetesObject, Resource } from "./types.ts";

/** The object that says who leads. */
export interface Lease extends KubernetesObject {
  spec?: {
    holderIdentity?: string;
    leaseDurationSeconds?: number;
    acquireTime?: string;
    renewTime?: string;
    leaseTransitions?: number;
  };
}

/** Leases. */
export const leases: Resource<Lease> = {
  group: "coordination.k8s.io",
  version: "v1",
  kind: "Lease",
  plural: "leases",
  scope: "Namespaced",
};

/**
 * How often a candidate looks at another's lease: client-go waits the retry period of 2 s, but what is seen late is taken
 * late. So a lease that is given back is taken within a second, one whose holder was killed within 16.
 */
const LOOK_PERIOD_MS = 750;
/** How much longer each wait may be, so that candidates do not move in step: client-go's number. */
const JITTER = 1.2;
/**
 * One try takes half of the time that is left, and no less than this part of `renewDeadlineMs`: a connection that went
 * silent then costs one try and not the lease, and a slow server has 4 s for the first. client-go gives each 5 s.
 */
const ATTEMPT_SHARE = { ofRest: 1 / 2, ofDeadlineMin: 1 / 4 };
/** How long a lease lasts that was given back: the next one takes it at once, whatever its clock. */
const RELEASED_SECONDS = 1;
/** Tries to give the lease back before it is left to run out. */
const RELEASE_ATTEMPTS = 3;
/** Liveness fails when the own lease is older than its duration and this. */
const LIVENESS_GRACE_MS = 20_000;
/** The same failure is logged again after this time. */
const REPEAT_LOG_MS = 60_000;

/** What leader election needs. */
export interface LeaderElectionEnvironment {
  client: Client;
  clock: Clock;
  random: Random;
  log: Logger;
  onChange?(isLeader: boolean): void;
}

type Timing = Required<Pick<LeaderElectionOptions, "leaseDurationMs" | "renewDeadlineMs" | "retryPeriodMs">>;

/** One candidate. */
export class LeaderElection {
  readonly identity: string;
  readonly #options: LeaderElectionOptions & Timing;
  readonly #environment: LeaderElectionEnvironment;
  /** The lease as last seen, and when, by our clock, it was last seen to change. */
  #seen: { lease: Lease; changedAtMs: number } | undefined;
  #failure: { message: string; loggedAtMs: number } | undefined;
  /** When our last successful renewal was sent. */
  #renewedAtMs: number | undefined;
  #isLeader = false;
  /** A renewal met a conflict: who leads is not known until the lease was read. */
  #isInDoubt = false;

  /** @throws {RangeError} unless lease > renew > retry x 1.2 */
  constructor(options: LeaderElectionOptions & { identity: string }, environment: LeaderElectionEnvironment) {
    const { leaseDurationMs = 15_000, renewDeadlineMs = 10_000, retryPeriodMs = 2_000 } = options;
    if (!(leaseDurationMs > renewDeadlineMs)) {
      throw new RangeError(
        `Cannot elect a leader: leaseDurationMs ${leaseDurationMs} must be more than renewDeadlineMs ${renewDeadlineMs}`,
      );
    }
    if (!(renewDeadlineMs > retryPeriodMs * JITTER) || retryPeriodMs <= 0) {
      throw new RangeError(
        `Cannot elect a leader: renewDeadlineMs ${renewDeadlineMs} must be more than ${JITTER} times ` +
          `retryPeriodMs ${retryPeriodMs}, and that more than 0`,
      );
    }
    if (leaseDurationMs < 1_000) {
      throw new RangeError(`Cannot elect a leader: leaseDurationMs ${leaseDurationMs} must be at least 1000`);
    }
    this.identity = options.identity;
    this.#options = { ...options, leaseDurationMs, renewDeadlineMs, retryPeriodMs };
    this.#environment = environment;
  }

  /** True while this process may write: it leads, and its last renewal is not too long ago by the clock. */
  holds(): boolean {
    return this.#isLeader && !this.#isInDoubt && this.#sinceRenewalMs() < this.#options.renewDeadlineMs;
  }

  /** True when this process believes that it leads although its lease has long run out. */
  get isStale(): boolean {
    return this.#isLeader && this.#sinceRenewalMs() > this.#options.leaseDurationMs + LIVENESS_GRACE_MS;
  }

  /** Resolves when this process leads. @throws the signal's reason when aborted first */
  async acquire(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#environment;
    const { namespace, name, renewDeadlineMs, retryPeriodMs } = this.#options;
    log.info("Attempting to acquire the lease", { lease: `${namespace}/${name}`, identity: this.identity });
    while (true) {
      if (await this.#boundedAttempt(signal, renewDeadlineMs) === true) {
        this.#isLeader = true;
        log.info("Acquired the lease", { lease: `${namespace}/${name}`, identity: this.identity });
        this.#environment.onChange?.(true);
        return;
      }
      const lookMs = this.#jittered(Math.min(retryPeriodMs, LOOK_PERIOD_MS));
      const leftMs = this.#untilExpiryMs();
      // Run out and still not ours: that try failed, so the next one waits as well.
      await sleep(clock, leftMs > 0 ? Math.min(lookMs, leftMs) : lookMs, signal);
    }
  }

  /**
   * Renews until the signal is aborted.
   *
   * @throws {LeaseLostError} when no renewal succeeded within the deadline, or another leads
   */
  async keep(signal: AbortSignal): Promise<void> {
    const { clock } = this.#environment;
    const { namespace, name, renewDeadlineMs, retryPeriodMs } = this.#options;
    let pauseMs = retryPeriodMs;
    while (!signal.aborted) {
      try {
        const leftMs = renewDeadlineMs - this.#sinceRenewalMs();
        await sleep(clock, Math.max(0, Math.min(pauseMs, leftMs)), signal);
        const remainingMs = renewDeadlineMs - this.#sinceRenewalMs();
        if (remainingMs <= 0) {
          throw new LeaseLostError(
            `Lost the lease "${namespace}/${name}": not renewed within ${renewDeadlineMs} ms`,
          );
        }
        const outcome = await this.#boundedAttempt(signal, remainingMs);
        // One that met silence has waited long enough.
        pauseMs = outcome === "silent" ? 0 : retryPeriodMs;
        const holder = this.#seen?.lease.spec?.holderIdentity;
        if (holder !== this.identity && this.#seen !== undefined && holder) {
          throw new LeaseLostError(`Lost the lease "${namespace}/${name}": "${holder}" leads now`);
        }
      } catch (error) {
        if (signal.aborted) return; // Stopped: the caller releases.
        this.#stepDown();
        throw error;
      }
    }
  }

  /** Gives the lease back, so that another takes over within its retry period. Failing that, it runs out. */
  async release(signal: AbortSignal): Promise<void> {
    const wasLeader = this.#isLeader;
    this.#stepDown();
    if (!wasLeader) return;
    const { client, clock, log } = this.#environment;
    const { namespace, name } = this.#options;
    for (let attempt = 1; attempt <= RELEASE_ATTEMPTS; attempt++) {
      try {
        const lease = await client.get(leases, { namespace, name }, { signal });
        if (lease?.spec?.holderIdentity !== this.identity) return;
        const now = microTimestamp(clock.now());
        await client.replace(leases, {
          ...lease,
          spec: {
            ...lease.spec,
            holderIdentity: "",
            leaseDurationSeconds: RELEASED_SECONDS,
            acquireTime: now,
            renewTime: now,
          },
        }, { signal });
        log.info("Released the lease", { lease: `${namespace}/${name}`, identity: this.identity });
        return;
      } catch (error) {
        if (!isConflict(error) || attempt === RELEASE_ATTEMPTS) {
          log.warn("Cannot release the lease; it runs out by itself", { error: messageOf(error) });
          return;
        }
      }
    }
  }

  /** The same failure is logged once a minute: a standby tries each 0.75 s. */
  #failed(message: string): void {
    const nowMs = this.#environment.clock.monotonic();
    if (this.#failure?.message === message && nowMs - this.#failure.loggedAtMs < REPEAT_LOG_MS) return;
    this.#failure = { message, loggedAtMs: nowMs };
    this.#environment.log.warn("Cannot acquire or renew the lease", { error: message });
  }

  /**
   * One try that takes at most its share of `remainingMs`. Given up, its connection and the
   * idle ones are dropped, so the next try does not meet the same silence.
   *
   * @throws the signal's reason when aborted
   */
  #boundedAttempt(signal: AbortSignal, remainingMs: number): Promise<boolean | "silent"> {
    const leastMs = this.#options.renewDeadlineMs * ATTEMPT_SHARE.ofDeadlineMin;
    const limitMs = Math.min(Math.max(remainingMs * ATTEMPT_SHARE.ofRest, leastMs), remainingMs);
    const { controller, unlink } = linkedController(signal);
    return new Promise<boolean | "silent">((resolve, reject) => {
      const cancel = this.#environment.clock.setTimer(limitMs, () => {
        const silent = new DeadlineError(`no answer within ${Math.round(limitMs)} ms`);
        this.#failed(silent.message);
        resolve("silent");
        controller.abort(silent);
      });
      // Whatever becomes of the requests: a promise of a dead connection may never settle.
      controller.signal.addEventListener("abort", () => {
        cancel();
        reject(abortReason(controller.signal));
      }, { once: true });
      this.#attempt(controller.signal).then(resolve, reject).finally(cancel);
    }).finally(unlink);
  }

  /** One try to get or renew the lease. Errors are logged: the next try may succeed. */
  async #attempt(signal: AbortSignal): Promise<boolean> {
    const { client, clock } = this.#environment;
    const { namespace, name } = this.#options;
    try {
      const sentAtMs = clock.monotonic();
      const present = this.#isLeader && this.#seen
        ? this.#seen.lease
        : await client.get(leases, { namespace, name }, { signal });
      signal.throwIfAborted();
      if (!present) return await this.#create(sentAtMs, signal);
      this.#observe(present);
      if (!this.#mayTake(present)) return false;
      const renewed = await client.replace(leases, this.#renewal(present), { signal });
      signal.throwIfAborted(); // An answer after its time: the next try is under way and knows better.
      this.#observe(renewed);
      this.#renewedAtMs = sentAtMs;
      this.#isInDoubt = false;
      this.#failure = undefined;
      return true;
    } catch (error) {
      if (signal.aborted) throw error;
      if (!isAlreadyExists(error)) this.#failed(messageOf(error));
      // The lease was deleted: the next try makes it anew.
      if (isNotFound(error)) this.#seen = undefined;
      // Somebody else wrote: who leads now is to be read first, and until then it is not us.
      if (isConflict(error) && this.#isLeader) await this.#reread(signal);
      return false;
    }
  }

  /** After a conflict: the lease as it is now, without a write; the next try renews it when it is ours. */
  async #reread(signal: AbortSignal): Promise<void> {
    const { namespace, name } = this.#options;
    this.#isInDoubt = true;
    try {
      const present = await this.#environment.client.get(leases, { namespace, name }, { signal });
      signal.throwIfAborted();
      if (!present) return;
      this.#observe(present);
      if (present.spec?.holderIdentity === this.identity) this.#isInDoubt = false;
    } catch (error) {
      if (signal.aborted) throw error;
      this.#environment.log.warn("Cannot read the lease", { error: messageOf(error) });
    }
  }

  async #create(sentAtMs: number, signal: AbortSignal): Promise<boolean> {
    const { client } = this.#environment;
    const { namespace, name } = this.#options;
    const lease: Lease = { metadata: { name, namespace }, spec: this.#spec(undefined) };
    const created = await client.create(leases, lease, { signal });
    signal.throwIfAborted();
    this.#observe(created);
    this.#renewedAtMs = sentAtMs;
    return true;
  }

  #mayTake(lease: Lease): boolean {
    const holder = lease.spec?.holderIdentity;
    return !holder || holder === this.identity || this.#untilExpiryMs() <= 0;
  }

  /** Until the lease that was seen has run out, by our clock. */
  #untilExpiryMs(): number {
    if (!this.#seen) return Infinity;
    const { lease, changedAtMs } = this.#seen;
    const durationMs = (lease.spec?.leaseDurationSeconds ?? 0) * 1000 || this.#options.leaseDurationMs;
    return changedAtMs + durationMs - this.#environment.clock.monotonic();
  }

  #observe(lease: Lease): void {
    const isSame = this.#seen !== undefined &&
      this.#seen.lease.metadata?.resourceVersion === lease.metadata?.resourceVersion;
    if (!isSame) this.#seen = { lease, changedAtMs: this.#environment.clock.monotonic() };
  }

  #renewal(lease: Lease): Lease {
    return { ...lease, spec: { ...lease.spec, ...this.#spec(lease) } };
  }

  /** Transitions and the time of acquiring change only with the holder. */
  #spec(before: Lease | undefined): Lease["spec"] {
    const now = microTimestamp(this.#environment.clock.now());
    const isSameHolder = before?.spec?.holderIdentity === this.identity;
    return {
      holderIdentity: this.identity,
      leaseDurationSeconds: Math.round(this.#options.leaseDurationMs / 1000),
      acquireTime: isSameHolder ? before?.spec?.acquireTime ?? now : now,
      renewTime: now,
      leaseTransitions: before ? (before.spec?.leaseTransitions ?? 0) + (isSameHolder ? 0 : 1) : 0,
    };
  }

  #stepDown(): void {
    if (!this.#isLeader) return;
    this.#isLeader = false;
    this.#environment.onChange?.(false);
  }

  #sinceRenewalMs(): number {
    return this.#renewedAtMs === undefined
      ? Infinity
      : this.#environment.clock.monotonic() - this.#renewedAtMs;
  }

  #jittered(delayMs: number): number {
    return delayMs * (1 + this.#environment.random() * (JITTER - 1));
  }
}
