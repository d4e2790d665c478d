import { test } from "uvu";
import * as assert from "uvu/assert";
import { askedIn, membersRequests } from "./audit.ts";

const line = (username: string, verb: string, objectRef: object, decision = "allow") =>
  JSON.stringify({
    kind: "Event",
    stage: "ResponseComplete",
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
      { account: "shop:orders", what: "patch pods <name>-<ordinal>", allowed: true },
    ],
    [
      line(member, "get", { resource: "configmaps", name: "orders-leader" }, "forbid"),
      { account: "shop:orders", what: "get configmaps <name>-leader", allowed: false },
    ],
    [
      line(member, "get", { resource: "secrets", name: "ordersx" }, "forbid"),
      { account: "shop:orders", what: "get secrets ordersx", allowed: false },
    ],
    [
      line(member, "watch", { resource: "pods" }),
      { account: "shop:orders", what: "watch pods", allowed: true },
    ],
    [
      line(member, "create", { resource: "pods", subresource: "eviction", name: "orders-0" }),
      { account: "shop:orders", what: "create pods/eviction <name>-<ordinal>", allowed: true },
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
