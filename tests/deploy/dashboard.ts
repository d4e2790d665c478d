/**
 * Asks a Prometheus every question of deploy/monitoring/dashboard.json and says which have no answer:
 * `node tests/deploy/dashboard.ts http://127.0.0.1:9090`. The last line is `N passed, N failed`.
 *
 * It has to scrape an operator and members as deploy/monitoring/prometheus.yml says, for some minutes.
 * @module
 */
import process from "node:process";
import { expressionsOf, readDashboard } from "./dashboards.ts";

const [server] = process.argv.slice(2);
if (!server) {
  console.error("error: name the address of a Prometheus, for example http://127.0.0.1:9090");
  process.exit(2);
}
let passed = 0, failed = 0;
for (const { title, expression } of expressionsOf(readDashboard())) {
  const query = expression.replaceAll(/\$(namespace|name)\b/g, ".*").replaceAll("$__rate_interval", "2m");
  const response = await fetch(`${server}/api/v1/query?${new URLSearchParams({ query })}`);
  const { error, data } = await response.json() as { error?: string; data?: { result: unknown[] } };
  const count = data?.result.length ?? 0;
  if (count > 0) passed++;
  else failed++;
  console.log(`${count > 0 ? "ok    " : "FAILED"} ${title}: ${error ?? `${count} series`}`);
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
