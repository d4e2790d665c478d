import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parse } from "yaml";
import { desiredNetworkPolicy } from "../../postgres/network_policy.ts";
import type { KubeObject } from "./kubectl.ts";
import { type End, parseSockets, refusal } from "./policies.ts";

const operators: KubeObject = parse(
  readFileSync(new URL("../../deploy/network_policy.yaml", import.meta.url), "utf8"),
);
operators.metadata.namespace = "database-operator";
const policies = [
  operators,
  desiredNetworkPolicy({
    metadata: { name: "orders", namespace: "shop" },
    spec: { version: "17", monitoring: { enabled: true } },
  }, []) as unknown as KubeObject,
];
const namespaces = new Map<string, Record<string, string>>([
  ["shop", {}],
  ["other", {}],
  ["prometheus", { metrics: "enabled" }],
  ["database-operator", {}],
  ["kube-system", { "kubernetes.io/metadata.name": "kube-system" }],
]);
const pod = (namespace: string, labels: Record<string, string> = {}): End => ({ namespace, labels });
const of = (database: string, component: string) =>
  pod("shop", {
    "app.example.com/database": database,
    "app.example.com/component": component,
    "app.example.com/role": "replica",
  });
const member = of("orders", "postgres"), stranger = pod("other");
const operator = pod("database-operator", { "app.kubernetes.io/name": "database-operator" });
const prometheus = pod("prometheus");

for (
  const [what, from, to, port, want] of [
    ["an application of another namespace to PostgreSQL", stranger, member, 5432, undefined],
    ["an application to Patroni", stranger, member, 8008, "Ingress of orders"],
    ["an application of the same namespace to Patroni", pod("shop"), member, 8008, "Ingress of orders"],
    ["a member to Patroni", member, member, 8008, undefined],
    ["another Database's member to Patroni", of("bills", "postgres"), member, 8008, "Ingress of orders"],
    ["a backup to the agent", of("orders", "backup"), member, 8009, undefined],
    ["another Database's backup to the agent", of("bills", "backup"), member, 8009, "Ingress of orders"],
    [
      "a member's labels in another namespace",
      pod("other", member.labels),
      member,
      8008,
      "Ingress of orders",
    ],
    ["Prometheus to Patroni", prometheus, member, 8008, undefined],
    ["Prometheus to the exporter", prometheus, member, 9187, undefined],
    ["Prometheus to the agent", prometheus, member, 8009, "Ingress of orders"],
    ["an application to the exporter", stranger, member, 9187, "Ingress of orders"],
    ["a kubelet to Patroni", undefined, member, 8008, undefined],
    ["a member to anything", member, undefined, 9000, undefined],
    ["the operator to the API server", operator, undefined, 6443, undefined],
    ["the operator to the API server by its Service", operator, undefined, 443, undefined],
    ["the operator to a name server", operator, pod("kube-system"), 53, undefined],
    ["the operator to PostgreSQL", operator, member, 5432, "Egress of database-operator"],
    ["the operator to the outside", operator, undefined, 80, "Egress of database-operator"],
    ["Prometheus to the operator", prometheus, operator, 8080, undefined],
    ["an application to the operator", stranger, operator, 8080, "Ingress of database-operator"],
  ] as const
) {
  test(`${want ? "refused" : "allowed"}: ${what}, port ${port}`, () => {
    assert.is(refusal(policies, namespaces, { from, to, port }), want);
  });
}

test("sockets are read as the kernel writes them", () => {
  const text = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 00000000:1F48 00000000:0000 0A 00000000:00000000 00:00000000 00000000   100        0 1 1 0
   1: 0501F40A:1538 0701F40A:D2F0 01 00000000:00000000 02:00000000 00000000   100        0 1 1 0
   0: 0000000000000000FFFF00000501F40A:1538 0000000000000000FFFF00000901F40A:0050 01 0:0 0:0 0 100
   1: 000080FE00000000FF005450B6AD1DFE:1538 00000000000000000000000001000000:0050 06 0:0 0:0 0 100
`;
  const socket = (
    local: string,
    localPort: number,
    remote: string,
    remotePort: number,
    isListening = false,
  ) => ({
    local,
    localPort,
    remote,
    remotePort,
    isListening,
  });
  assert.equal(parseSockets(text), [
    socket("0.0.0.0", 8008, "0.0.0.0", 0, true),
    socket("10.244.1.5", 5432, "10.244.1.7", 54000),
    socket("10.244.1.5", 5432, "10.244.1.9", 80),
    socket("fe80:0:0:0:5054:ff:fe1d:adb6", 5432, "0:0:0:0:0:0:0:1", 80),
  ]);
});

test.run();
