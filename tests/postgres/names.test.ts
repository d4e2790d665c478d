import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  claimName,
  memberLabels,
  memberSelector,
  namesOf,
  ordinalOf,
  podName,
} from "../../postgres/names.ts";

const longest = "a".repeat(40);

test("every name of a Database with the longest name fits where it is used", () => {
  for (const [what, name] of Object.entries(namesOf(longest))) {
    assert.ok(name.length <= 63, `${what} ${name}`);
  }
  assert.ok(podName(longest, 31).length <= 63);
  assert.ok(claimName(longest, 31).length <= 63);
});

test("no two objects of one kind share a name", () => {
  const { patroni, leader, config, sync, failover, service, readOnlyService, podsService } = namesOf(
    "orders",
  );
  assert.is(new Set([patroni, leader, config, sync, failover]).size, 5);
  assert.is(new Set([service, readOnlyService, podsService]).size, 3);
});

for (
  const [given, want] of [
    ["orders-0", 0],
    ["orders-31", 31],
    ["data-orders-2", 2],
    ["orders-01", undefined],
    ["orders--1", undefined],
    ["orders-", undefined],
    ["orders", undefined],
    ["orders-eu-0", undefined],
    ["data-orders-eu-0", undefined],
    ["xorders-0", undefined],
    ["", undefined],
  ] as const
) {
  test(`the ordinal in ${JSON.stringify(given)} for Database "orders" is ${want}`, () => {
    assert.is(ordinalOf("orders", given), want);
  });
}

test("a Database called data has members and claims", () => {
  assert.is(ordinalOf("data", podName("data", 3)), 3);
  assert.is(ordinalOf("data", claimName("data", 3)), 3);
});

test("a Database called data-orders is not mixed up with the claims of orders", () => {
  assert.is(ordinalOf("data-orders", podName("data-orders", 3)), 3);
  assert.is(ordinalOf("data-orders", claimName("data-orders", 3)), 3);
});

test("members have the labels by which they are found, and none by which pruning tools delete", () => {
  const labels = memberLabels("orders");
  for (const [key, value] of Object.entries(memberSelector("orders"))) assert.is(labels[key], value);
  assert.not.ok("app.kubernetes.io/instance" in labels);
});

test.run();
