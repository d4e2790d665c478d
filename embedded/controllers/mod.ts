/**
 * The in-process controllers: what kube-controller-manager, a scheduler, a kubelet and Patroni would do.
 *
 * Garbage collection, namespace deletion and claim protection always run; workloads, the node and
 * Patroni only in a simulation.
 * @module
 */
import type { Backend } from "../backend.ts";
import { type NodeDelays, NodeSimulator } from "../node.ts";
import { type PatroniOptions, PatroniSimulator } from "../patroni.ts";
import type { Change } from "../storage.ts";
import { ClaimBinder, ClaimProtection } from "./claims.ts";
import { GarbageCollector } from "./garbage.ts";
import { BudgetController, JobController } from "./jobs.ts";
import { NamespaceController } from "./namespaces.ts";
import { StatefulSetController } from "./stateful_sets.ts";

/** What to simulate, and how fast. */
export interface SimulationOptions {
  /** From a change to the controllers' answer to it; default 10 ms. */
  controllerMs?: number;
  /** From a claim to its volume; default 50 ms. */
  bindMs?: number;
  /** A node that runs pods; `false` for none. */
  node?: Partial<NodeDelays> | false;
  /** Patroni in pods labelled for it; `false` for none. */
  patroni?: Partial<PatroniOptions> | false;
}

const nodeDelays: NodeDelays = { scheduleMs: 20, startMs: 300, readyMs: 200, stopMs: 300, runMs: 500 };
const patroniDefaults: PatroniOptions = {
  labelPrefix: "app.example.com",
  bootstrapMs: 300,
  cloneMs: 300,
  syncMs: 300,
  failoverMs: 500,
  switchoverMs: 300,
  loopWaitMs: 5000,
};

interface Controller {
  see(change: Change): void;
  start?(): void;
  close(): void;
}

export class Controllers {
  readonly #controllers: Controller[] = [];
  readonly #unsubscribe: () => void;

  constructor(backend: Backend, simulation: SimulationOptions | undefined) {
    const delayMs = simulation ? simulation.controllerMs ?? 10 : 0;
    this.#controllers.push(
      new GarbageCollector(backend, delayMs),
      new NamespaceController(backend, delayMs),
      new ClaimProtection(backend, delayMs),
    );
    if (simulation) {
      this.#controllers.push(
        new ClaimBinder(backend, simulation.bindMs ?? 50),
        new StatefulSetController(backend, delayMs),
        new JobController(backend, delayMs),
        new BudgetController(backend, delayMs),
      );
      const patroni = simulation.patroni === false
        ? undefined
        : new PatroniSimulator(backend, { ...patroniDefaults, ...simulation.patroni });
      if (patroni) this.#controllers.push(patroni);
      if (simulation.node !== false) {
        const delays = { ...nodeDelays, ...simulation.node };
        this.#controllers.push(
          new NodeSimulator(backend, delays, (pod) => patroni?.isReady(pod), (pod) => patroni?.ending(pod)),
        );
      }
    }
    this.#unsubscribe = backend.storage.subscribe((change) => {
      for (const controller of this.#controllers) controller.see(change);
    });
  }

  /** Creates what the controllers themselves bring: the node, the storage class. */
  start(): void {
    for (const controller of this.#controllers) controller.start?.();
  }

  close(): void {
    this.#unsubscribe();
    for (const controller of this.#controllers) controller.close();
  }
}
