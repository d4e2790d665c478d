/**
 * Reads deploy/monitoring/dashboard.json, and asks a Prometheus what it asks.
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

/** How many series a Prometheus has for each question, for all namespaces and Databases. */
export async function answersOf(
  server: string,
): Promise<{ title: string; expression: string; series: number; error?: string }[]> {
  return await Promise.all(
    expressionsOf(readDashboard()).map(async ({ title, expression }) => {
      const query = expression.replaceAll(/\$(namespace|name)\b/g, ".*").replaceAll("$__rate_interval", "2m");
      const response = await fetch(`${server}/api/v1/query?${new URLSearchParams({ query })}`);
      const { error, data } = await response.json() as { error?: string; data?: { result: unknown[] } };
      return { title, expression, series: data?.result.length ?? 0, ...(error ? { error } : {}) };
    }),
  );
}
