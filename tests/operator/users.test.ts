import { Buffer } from "node:buffer";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { findCondition } from "../../runtime/mod.ts";
import type { DatabaseSpec } from "../../types/app.example.com/v1.ts";
import { pods, secrets } from "../../types/core/v1.ts";
import { until } from "../within.ts";
import { World } from "./world.ts";

const test = suite("users", { world: new World() });
test.before.each((context) => {
  context.world = new World().start();
});
test.after.each(async ({ world }) => await world.close());

const inShop = (name: string) => ({ namespace: "shop", name });
const users: DatabaseSpec["users"] = [{ name: "report" }, { name: "late", secretName: "late" }];

async function orders(world: World): Promise<{ order: string; users: { name: string; password: string }[] }> {
  const found = await world.client.get(secrets, inShop("orders-roles"));
  return JSON.parse(Buffer.from(found?.data?.["roles.json"] ?? "e30=", "base64").toString());
}

async function usersReady(world: World, reason: string | undefined): Promise<string | undefined> {
  let message: string | undefined;
  await until(5_000, `UsersReady to be ${reason}`, async () => {
    const found = findCondition((await world.database("orders"))?.status?.conditions, "UsersReady");
    message = found?.message;
    if (found?.reason === reason) return true;
    throw new Error(`${found?.reason}: ${found?.message}`);
  });
  return message;
}

test("roles that members log in with cannot be a user, be granted, or own a database", async ({ world }) => {
  for (const role of ["metrics_exporter", "postgres", "replicator", "rewinder"]) {
    const cases: [field: string, spec: Partial<DatabaseSpec>][] = [
      ["users[].name", { users: [{ name: role }] }],
      ["users[].memberOf", { users: [{ name: "report", memberOf: [role] }] }],
      ["databases[].owner", { databases: [{ name: "sales", owner: role }] }],
    ];
    for (const [field, spec] of cases) {
      let refused = "";
      await world.apply("orders", spec).catch((error: Error) => refused = error.message);
      assert.ok(
        refused.includes(`spec.${field}`) && refused.includes("metrics_exporter"),
        `${field} ${role}: ${refused}`,
      );
    }
  }
});

test("users and databases come and go without touching a member, and the primary's word is the condition's", async ({ world }) => {
  await world.apply("orders", { size: 2 });
  await world.reason("orders", "Ready");
  const uids = async () =>
    (await world.client.list(pods, { namespace: "shop" })).items.map(({ metadata }) => metadata?.uid).sort();
  const before = await uids();
  await world.apply("orders", { size: 2, users, databases: [{ name: "sales" }] });
  assert.match(
    await usersReady(world, "Refused") ?? "",
    'spec.users[1].secretName: Secret "late" is not there',
  );
  const found = await orders(world);
  assert.equal(found.users.map(({ name }) => name), ["report"]);
  const report = await world.client.get(secrets, inShop("orders-user-report"));
  assert.is(Buffer.from(report?.data?.["password"] ?? "", "base64").toString(), found.users[0]?.password);
  const roles = await world.client.get(secrets, inShop("orders-roles"));
  assert.is(roles?.metadata?.annotations, undefined, "no hash of what is secret");

  await world.client.create(secrets, {
    apiVersion: "v1",
    kind: "Secret",
    metadata: inShop("late"),
    data: { password: Buffer.from("chosen").toString("base64") },
  });
  await world.apply("orders", { size: 2, users: users!.toReversed(), databases: [{ name: "sales" }] });
  await usersReady(world, "Applying");
  const { order } = await orders(world);
  const primary = (await world.database("orders"))!.status!.primary!;
  const annotations = { "app.example.com/roles": JSON.stringify({ order, problems: [] }) };
  await world.client.patch(pods, inShop(primary), { metadata: { annotations } });
  await usersReady(world, "Applied");
  assert.equal((await world.database("orders"))?.status?.users, [
    { name: "late", secretName: "late", applied: true },
    { name: "report", secretName: "orders-user-report", applied: true },
  ]);

  await world.apply("orders", { size: 2 });
  await usersReady(world, undefined);
  await until(5_000, "the orders to go", () => !world.find("/secrets", "orders-roles"));
  assert.equal((await world.database("orders"))?.status?.users, undefined);
  assert.equal(await uids(), before);
  assert.not.match(world.log.join("\n"), new RegExp(`chosen|${found.users[0]?.password}`));
});

test.run();
