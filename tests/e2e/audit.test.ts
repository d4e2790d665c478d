import { test } from "uvu";
import * as assert from "uvu/assert";
import { askedIn, membersRequests } from "./audit.ts";

const line = (username: string, verb: string, objectRef: object, decision = "allow") =>
  JSON.stringify({
    kind: "Event",
    stage: "ResponseComplete",
    requestReceivedTimestamp: "1970-01-01T00:00:01.500000Z",
    verb,
    user: { username },
    objectRef,
    annotations: { "authorization.k8s.io/decision": decision },
  });
const member = "system:serviceaccount:shop:orders";

for (
  const [given, want] of [
    [
      line(member, "patch", { resource: "pods", name: "orders-12" }),
      { account: "shop:orders", what: "patch pods <name>-<ordinal>", allowed: true, atMs: 1500 },
    ],
    [
      line(member, "get", { resource: "configmaps", name: "orders-leader" }, "forbid"),
      { account: "shop:orders", what: "get configmaps <name>-leader", allowed: false, atMs: 1500 },
    ],
    [
      line(member, "get", { resource: "secrets", name: "ordersx" }, "forbid"),
      { account: "shop:orders", what: "get secrets ordersx", allowed: false, atMs: 1500 },
    ],
    [
      line(member, "watch", { resource: "pods" }),
      { account: "shop:orders", what: "watch pods", allowed: true, atMs: 1500 },
    ],
    [
      line(member, "create", { resource: "pods", subresource: "eviction", name: "orders-0" }),
      { account: "shop:orders", what: "create pods/eviction <name>-<ordinal>", allowed: true, atMs: 1500 },
    ],
    [line("admin", "get", { resource: "pods" }), undefined],
  ] as const
) {
  test(`a line of the audit log: ${want?.what ?? "of a person"}`, () => {
    assert.equal(askedIn(given), want);
  });
}

test("what members ask is listed once, in order", () => {
  const requests = membersRequests();
  assert.equal(requests, [...new Set(requests)].sort());
});

test.run();
