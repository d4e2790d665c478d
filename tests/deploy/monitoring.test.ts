/** deploy/monitoring against docs/monitoring.md and what is really served; `npm run test:alerts` fires the alerts. */
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parse, parseAllDocuments } from "yaml";
import { desiredStatefulSet } from "../../postgres/stateful_set.ts";

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

test.run();
