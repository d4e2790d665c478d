/**
 * Jobs, thinly: pods until enough have succeeded or too many have failed; and the status of budgets.
 * @module
 */
import type { Backend } from "../backend.ts";
import { randomSuffix } from "../metadata.ts";
import { matchesLabelSelector } from "../selectors.ts";
import type { Change } from "../storage.ts";
import { clone, type Json, type KubeObject } from "../types.ts";
import { Loop } from "./loop.ts";
import { controlledBy } from "./revisions.ts";
import { Writes } from "./writes.ts";

const jobs = "batch/jobs";
const budgets = "policy/poddisruptionbudgets";

export class JobController {
  readonly #backend: Backend;
  readonly #writes: Writes;
  readonly #loop: Loop;

  constructor(backend: Backend, delayMs: number) {
    this.#backend = backend;
    this.#writes = new Writes(backend, "kube-controller-manager");
    this.#loop = new Loop(backend.clock, delayMs, (key) => this.#reconcile(key));
  }

  see({ table, object }: Change): void {
    const { namespace, name, ownerReferences } = object.metadata;
    if (table === jobs) this.#loop.add(`${namespace}/${name}`);
    else if (table === "/pods") {
      const owner = ownerReferences?.find((one) => one.controller && one.kind === "Job");
      if (owner) this.#loop.add(`${namespace}/${owner.name}`);
    }
  }

  close(): void {
    this.#loop.close();
  }

  #reconcile(key: string): void {
    const [namespace = "", name = ""] = key.split("/");
    const job = this.#backend.storage.get(jobs, namespace, name);
    if (!job || job.metadata.deletionTimestamp) return;
    const isOver = (job.status?.conditions ?? []).some((one: Json) =>
      ["Complete", "Failed"].includes(one.type) && one.status === "True"
    );
    if (isOver) return this.#expire(job);
    const pods = this.#backend.list("", "pods", namespace).filter((pod) =>
      pod.metadata.ownerReferences?.some((one) => one.uid === job.metadata.uid)
    );
    const count = (phase: string) => pods.filter((pod) => pod.status?.phase === phase).length;
    const [succeeded, failed] = [count("Succeeded"), count("Failed")];
    const active = pods.filter((pod) => !["Succeeded", "Failed"].includes(pod.status?.phase));
    const wanted: number = job.spec.completions ?? 1;
    const status: Json = {
      ...job.status,
      startTime: job.status?.startTime ?? this.#backend.time,
      uncountedTerminatedPods: {},
      active: active.length,
      succeeded,
      failed,
      ready: active.filter((pod) => pod.status?.phase === "Running").length,
      terminating: active.filter((pod) => pod.metadata.deletionTimestamp).length,
    };
    if (job.spec.suspend) {
      for (const pod of active) this.#writes.delete("/pods", pod);
    } else if (succeeded >= wanted) {
      this.#finish(status, "Complete", "CompletionsReached", "Reached expected number of succeeded pods");
    } else if (failed > job.spec.backoffLimit) {
      this.#finish(status, "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit");
    } else {
      const missing = Math.min(job.spec.parallelism ?? 1, wanted - succeeded) - active.length;
      for (let i = 0; i < missing; i++) this.#create(job);
      if (missing > 0) status.active += missing;
    }
    for (const field of ["active", "succeeded", "failed"]) if (status[field] === 0) delete status[field];
    this.#writes.status(jobs, job, status);
  }

  #finish(status: Json, type: string, reason: string, message: string): void {
    const time = this.#backend.time;
    const condition = (name: string) => ({
      type: name,
      status: "True",
      lastProbeTime: time,
      lastTransitionTime: time,
      reason,
      message,
    });
    status.conditions = [
      condition(type === "Complete" ? "SuccessCriteriaMet" : "FailureTarget"),
      condition(type),
    ];
    if (type === "Complete") status.completionTime = time;
    status.ready = 0;
  }

  #create(job: KubeObject): void {
    const template = clone(job.spec.template);
    this.#writes.create("/pods", {
      metadata: {
        ...template.metadata,
        name: `${job.metadata.name}-${randomSuffix(this.#backend.random)}`,
        generateName: `${job.metadata.name}-`,
        labels: {
          ...template.metadata?.labels,
          "batch.kubernetes.io/controller-uid": job.metadata.uid,
          "batch.kubernetes.io/job-name": job.metadata.name,
          "controller-uid": job.metadata.uid,
          "job-name": job.metadata.name,
        },
        ownerReferences: [controlledBy(job)],
      },
      spec: template.spec,
    }, job.metadata.namespace);
  }

  /** ttlSecondsAfterFinished. */
  #expire(job: KubeObject): void {
    const ttl: number | undefined = job.spec.ttlSecondsAfterFinished;
    if (ttl === undefined) return;
    const condition = (job.status.conditions ?? []).at(-1);
    const dueMs = Date.parse(condition?.lastTransitionTime) + ttl * 1000;
    const now = this.#backend.clock.now();
    if (now >= dueMs) this.#writes.delete(jobs, job, { propagationPolicy: "Background" });
    else this.#loop.add(`${job.metadata.namespace}/${job.metadata.name}`, dueMs - now);
  }
}

/** Keeps the status of PodDisruptionBudgets. */
export class BudgetController {
  readonly #backend: Backend;
  readonly #writes: Writes;
  readonly #loop: Loop;

  constructor(backend: Backend, delayMs: number) {
    this.#backend = backend;
    this.#writes = new Writes(backend, "kube-controller-manager");
    this.#loop = new Loop(backend.clock, delayMs, (key) => this.#reconcile(key));
  }

  see({ table, object }: Change): void {
    const { namespace, name } = object.metadata;
    if (table === budgets) this.#loop.add(`${namespace}/${name}`);
    else if (table === "/pods") {
      for (const budget of this.#backend.storage.list(budgets, namespace)) {
        this.#loop.add(`${namespace}/${budget.metadata.name}`);
      }
    }
  }

  close(): void {
    this.#loop.close();
  }

  #reconcile(key: string): void {
    const [namespace = "", name = ""] = key.split("/");
    const budget = this.#backend.storage.get(budgets, namespace, name);
    if (!budget || budget.metadata.deletionTimestamp) return;
    const pods = this.#backend.list("", "pods", namespace).filter((pod) =>
      matchesLabelSelector(budget.spec.selector, pod.metadata.labels)
    );
    const healthy = pods.filter((pod) =>
      !pod.metadata.deletionTimestamp &&
      (pod.status?.conditions ?? []).some((one: Json) => one.type === "Ready" && one.status === "True")
    ).length;
    const expected = this.#expected(pods);
    const { minAvailable, maxUnavailable } = budget.spec;
    const desired = minAvailable !== undefined
      ? share(minAvailable, expected)
      : Math.max(0, expected - share(maxUnavailable ?? 1, expected));
    const allowed = expected === 0 ? 0 : Math.max(0, healthy - desired);
    const old = budget.status?.conditions?.[0];
    const isAllowed = allowed > 0 ? "True" : "False";
    this.#writes.status(budgets, budget, {
      observedGeneration: budget.metadata.generation,
      disruptionsAllowed: allowed,
      currentHealthy: healthy,
      desiredHealthy: desired,
      expectedPods: expected,
      conditions: [{
        type: "DisruptionAllowed",
        status: isAllowed,
        observedGeneration: budget.metadata.generation,
        reason: allowed > 0 ? "SufficientPods" : "InsufficientPods",
        message: "",
        lastTransitionTime: old?.status === isAllowed ? old.lastTransitionTime : this.#backend.time,
      }],
    });
  }

  /** As many pods as their controllers want. */
  #expected(pods: KubeObject[]): number {
    const owners = new Map<string, number>();
    let bare = 0;
    for (const pod of pods) {
      const owner = pod.metadata.ownerReferences?.find((one) => one.controller);
      const kind = owner && this.#backend.registry.byKind(owner.apiVersion, owner.kind);
      const live = kind && owner && this.#backend.storage.get(kind.table, pod.metadata.namespace, owner.name);
      if (owner && live?.spec?.replicas !== undefined) owners.set(owner.uid, live.spec.replicas as number);
      else bare++;
    }
    return [...owners.values()].reduce((sum, count) => sum + count, bare);
  }
}

/** A number, or a share such as "25%" rounded up. */
function share(value: number | string, of: number): number {
  return typeof value === "number" ? value : Math.ceil((Number.parseFloat(value) / 100) * of);
}
