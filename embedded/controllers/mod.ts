/**
 * The in-process controllers.
 * @module
 */
import type { Backend } from "../backend.ts";

/** What to simulate, and how fast. */
export interface SimulationOptions {
  /** StatefulSets, claims, Jobs and budgets; default on. */
  workloads?: boolean;
}

export class Controllers {
  constructor(_backend: Backend, _simulation: SimulationOptions | undefined) {}

  close(): void {}
}
