/**
 * Asks a Prometheus every question of deploy/monitoring/dashboard.json and says which have no answer:
 * `node tests/deploy/dashboard.ts http://127.0.0.1:9090`. The last line is `N passed, N failed`.
 *
 * It has to scrape an operator and members as deploy/monitoring/prometheus.yml says, for some minutes.
 * @module
 */
import process from "node:process";
import { answersOf } from "./dashboards.ts";

const [server] = process.argv.slice(2);
if (!server) {
  console.error("error: name the address of a Prometheus, for example http://127.0.0.1:9090");
  process.exit(2);
}
const answers = await answersOf(server);
for (const { title, series, error } of answers) {
  console.log(`${series > 0 ? "ok    " : "FAILED"} ${title}: ${error ?? `${series} series`}`);
}
const failed = answers.filter(({ series }) => series === 0).length;
console.log(`${answers.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
