/**
 * Reads deploy/monitoring/dashboard.json.
 * @module
 */
import { readFileSync } from "node:fs";

/** As far as it is read here. */
export interface Dashboard {
  readonly panels: readonly {
    readonly id: number;
    readonly title: string;
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
    readonly targets?: readonly { readonly expr: string }[];
  }[];
}

export function readDashboard(): Dashboard {
  return JSON.parse(
    readFileSync(new URL("../../deploy/monitoring/dashboard.json", import.meta.url), "utf8"),
  ) as Dashboard;
}

/** Every question with the panel that asks it. */
export function expressionsOf({ panels }: Dashboard): { title: string; expression: string }[] {
  return panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({ title, expression: expr }))
  );
}
