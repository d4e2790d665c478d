/** deploy/monitoring against docs/monitoring.md and what is really served; `npm run test:alerts` fires the alerts. */
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parse, parseAllDocuments } from "yaml";
import { desiredStatefulSet } from "../../postgres/stateful_set.ts";
import { expressionsOf, readDashboard } from "./dashboards.ts";

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const page = read("docs/monitoring.md");
const rules = (parse(read("deploy/monitoring/alerts.yaml")) as {
  groups: { rules: { alert: string; expr: string }[] }[];
}).groups.flatMap(({ rules }) => rules);
const fired = new Set(
  [...read("tests/deploy/alerts.yaml").matchAll(/alertname: (\w+)\n/g)].map((match) => match[1]!),
);

test("every alert is in docs/monitoring.md, and fired in a test", () => {
  const told = [...page.matchAll(/^\| `(Database[A-Za-z]+)`/gm)].map((match) => match[1]!);
  const alerts = rules.map(({ alert }) => alert).toSorted();
  assert.equal(told.toSorted(), alerts);
  assert.equal([...fired].toSorted(), alerts);
});

test("what an alert asks of the operator is a metric of docs/monitoring.md", () => {
  const names = new Set([...page.matchAll(/^\| `([a-z_]+)`/gm)].map((match) => match[1]!));
  const asked = rules.flatMap(({ expr }) => expr.match(/\b(database|leader_election)_[a-z_]+/g) ?? []);
  assert.ok(asked.length >= rules.length);
  assert.equal(asked.filter((name) => !names.has(name)), []);
});

test("Prometheus finds the ports and labels that the pods really have", () => {
  const { spec: { template } } = desiredStatefulSet({
    metadata: { name: "orders", namespace: "shop", uid: "u" },
    spec: { version: "17", monitoring: { enabled: true } },
  }, []);
  const ports = template.spec.containers.flatMap((container) =>
    container.ports.map(({ name }) => name as string)
  );
  assert.ok(ports.includes("patroni") && ports.includes("metrics"), ports.join());
  assert.is((template.metadata.labels as Record<string, string>)["app.example.com/component"], "postgres");
  const operator = parse(read("deploy/deployment.yaml")).spec.template;
  assert.is(operator.metadata.labels["app.kubernetes.io/name"], "database-operator");
  assert.ok(operator.spec.containers[0].ports.some((port: { name: string }) => port.name === "http"));
  const scraped = parse(read("deploy/monitoring/prometheus.yml")).scrape_configs.map((
    job: { relabel_configs: { regex?: string }[] },
  ) => job.relabel_configs[0]!.regex);
  assert.equal(scraped, ["database-operator;http", "postgres;(patroni|metrics);Running"]);
  const monitored = parseAllDocuments(read("deploy/monitoring/pod_monitors.yaml"), { merge: true })
    .flatMap((document) =>
      document.toJS().spec.podMetricsEndpoints.map(({ port }: { port: string }) => port)
    );
  assert.equal(monitored, ["http", "patroni", "metrics"]);
});

test("the dashboard asks the operator only for metrics of docs/monitoring.md, and no panel covers another", () => {
  const dashboard = readDashboard();
  const names = new Set([...page.matchAll(/^\| `([a-z_]+)`/gm)].map((match) => match[1]!));
  const asked = expressionsOf(dashboard).flatMap(({ expression }) =>
    expression.match(/\b(database|leader_election|controller_runtime|workqueue|rest_client)_[a-z_]+/g) ?? []
  );
  assert.ok(asked.length >= 20, String(asked.length));
  assert.equal(asked.filter((name) => !names.has(name.replace(/_bucket$/, ""))), []);
  const { panels } = dashboard;
  assert.is(new Set(panels.map(({ id }) => id)).size, panels.length);
  const covers = panels.flatMap((a, at) =>
    panels.slice(at + 1).filter(({ gridPos: b }) =>
      a.gridPos.x < b.x + b.w && b.x < a.gridPos.x + a.gridPos.w && a.gridPos.y < b.y + b.h &&
      b.y < a.gridPos.y + a.gridPos.h
    ).map((b) => `${a.title} and ${b.title}`)
  );
  assert.equal(covers, []);
});

test.run();
