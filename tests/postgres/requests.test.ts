import { test } from "uvu";
import * as assert from "uvu/assert";
import { annotation } from "../../postgres/names.ts";
import { backupRequest, switchoverRequest } from "../../postgres/requests.ts";
import { type Given, seen } from "./seen.ts";

const three = [0, 1, 2].map((ordinal) => ({ ordinal }));
const asks = (value: string) => ({ [annotation.switchover]: value });
const long = `orders-1@${"x".repeat(300)}`;

for (
  const { rule, given, want, refused = false } of [
    {
      rule: "is written down first",
      given: { annotations: asks("orders-1@1") },
      want: { switchover: "orders-1@1", switchoverTo: "orders-1" },
    },
    {
      rule: "goes on until it is done",
      given: {
        annotations: asks("orders-1@1"),
        operations: { switchover: "orders-1@1", switchoverTo: "orders-1" },
      },
      want: { switchover: "orders-1@1", switchoverTo: "orders-1" },
    },
    {
      rule: "is done when the member leads",
      given: {
        annotations: asks("orders-0@1"),
        operations: { switchover: "orders-0@1", switchoverTo: "orders-0" },
      },
      want: { switchover: "orders-0@1" },
    },
    {
      rule: "is forgotten when it is taken back",
      given: { operations: { switchover: "orders-1@1", switchoverTo: "orders-1" } },
      want: { switchover: "orders-1@1" },
    },
    {
      rule: "to a member that is scaled away before is dropped, and that is told",
      given: {
        spec: { size: 2 },
        annotations: asks("orders-2@1"),
        operations: { switchover: "orders-2@1", switchoverTo: "orders-2" },
      },
      want: { switchover: "orders-2@1" },
      refused: true,
    },
    {
      rule: "of a Database that hibernates before is dropped, and that is told",
      given: {
        spec: { size: 0 },
        annotations: asks("orders-1@1"),
        operations: { switchover: "orders-1@1", switchoverTo: "orders-1" },
      },
      want: { switchover: "orders-1@1" },
      refused: true,
    },
    {
      rule: "of a Database that hibernates is refused, and not carried out when it wakes",
      given: { spec: { size: 0 }, members: [], annotations: asks("any@1") },
      want: { switchover: "any@1" },
      refused: true,
    },
    {
      rule: "to a member that is being scaled away is refused",
      given: { spec: { size: 2 }, annotations: asks("orders-2@1") },
      want: { switchover: "orders-2@1" },
      refused: true,
    },
    {
      rule: "that is too long is refused",
      given: { annotations: asks(long) },
      want: { switchover: long.slice(0, 253) },
      refused: true,
    },
    {
      rule: "that is too long is refused once",
      given: { annotations: asks(long), operations: { switchover: long.slice(0, 253) } },
      want: { switchover: long.slice(0, 253) },
    },
  ] as { rule: string; given: Given; want: Record<string, string>; refused?: boolean }[]
) {
  test(`a switchover on request ${rule}`, () => {
    const sight = seen({
      spec: { size: 3, durability: "Async" },
      members: three,
      leader: "orders-0",
      ...given,
    });
    const { operations, refusal } = switchoverRequest(sight);
    assert.equal(JSON.parse(JSON.stringify(operations)), want);
    assert.is(refusal?.reason, refused ? "SwitchoverRefused" : undefined);
  });
}

test("a backup on request that is too long is refused once", () => {
  const annotations = { [annotation.backup]: "x".repeat(300) };
  const { asked, refusal } = backupRequest(seen({ annotations }).database);
  assert.is(asked, "x".repeat(253));
  assert.is(refusal?.reason, "BackupRefused");
  assert.equal(backupRequest(seen({ annotations, operations: { backup: asked! } }).database), {});
});

test.run();
