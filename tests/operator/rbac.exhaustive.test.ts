/** deploy/rbac.yaml and the members' Role: enough for everything that is done, and nothing in them can be taken away. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { chapters } from "./chapters.ts";
import { membersRequests } from "../e2e/audit.ts";
import { desiredRole } from "../../postgres/rbac.ts";
import { allows, type Attributes, authorized, type Grant, grantsOf, shippedRules, worded } from "./rbac.ts";
import { World } from "./world.ts";

type Chapter = (typeof chapters)[number];

/** What came of a chapter. */
interface Lived {
  readonly used: ReadonlySet<Grant>;
  readonly refused: ReadonlySet<string>;
  /** Why it failed. */
  readonly failure?: string;
  readonly log: string;
  readonly ms: number;
}

/** Lives through a chapter; after the first refusal it has `patienceMs` to come to its end all the same. */
async function lived(chapter: Chapter, grants: readonly Grant[], patienceMs: number): Promise<Lived> {
  const used = new Set<Grant>(), refused = new Set<string>();
  let patience: ReturnType<typeof setTimeout> | undefined;
  const world: World = new World({
    elects: true,
    between: (rest) =>
      authorized(rest, grants, {
        used: { add: (grant) => void used.add(grant) },
        refused: {
          add: (words) => {
            refused.add(words);
            patience ??= setTimeout(() => world.giveUp(), patienceMs);
          },
        },
        exists: async (path) => (await world.api.fetch(new Request(new URL(path, "http://api")))).ok,
      }),
  });
  const startedMs = Date.now();
  world.start();
  const failure = await chapter(world).then(() => undefined, (error: Error) => error.message);
  await world.close().catch(() => {}); // one that may not do what it must may also end badly
  clearTimeout(patience);
  const log = world.log.join("\n"), ms = Date.now() - startedMs;
  return { used, refused, log, ms, ...(failure === undefined ? {} : { failure }) };
}

/** Runs them, so many at a time. */
async function inParallel<Value>(
  width: number,
  work: readonly (() => Promise<Value>)[],
): Promise<Value[]> {
  const values: Value[] = [];
  const left = [...work.entries()];
  const next = async (): Promise<void> => {
    const [at, run] = left.shift() ?? [];
    if (at === undefined || !run) return;
    values[at] = await run();
    await next();
  };
  await Promise.all(Array.from({ length: width }, next));
  return values;
}

/** Asked by the admission plugin OwnerReferencesPermissionEnforcement, and by no request of the operator's own. */
const notRequested = ["update databases/finalizers"];

const grants = grantsOf(shippedRules());
const whole = await inParallel(2, chapters.map((chapter) => () => lived(chapter, grants, 60_000)));

test("the operator makes no request that deploy/rbac.yaml does not allow, and hears no warning", () => {
  for (const { failure, refused, log } of whole) {
    assert.is(failure, undefined);
    assert.equal([...refused], []);
    assert.not.match(log, /forbidden|api_warnings/);
  }
});

test("every verb of deploy/rbac.yaml is used", () => {
  const unused = grants.filter((grant) => !whole.some(({ used }) => used.has(grant))).map(worded);
  assert.equal(unused, notRequested);
});

test("without any one of them a chapter of a Database's life fails", async () => {
  const byLength = [...whole.entries()].sort(([, a], [, b]) => a.ms - b.ms);
  const outcomes = await inParallel(
    20,
    grants.filter((grant) => !notRequested.includes(worded(grant))).map((grant) => async () => {
      const left = grants.filter((one) => one !== grant);
      for (const [at, { used }] of byLength) {
        if (!used.has(grant)) continue;
        const { failure, refused } = await lived(chapters[at]!, left, 3_000);
        if (failure && [...refused].some((words) => words.endsWith(worded(grant)))) return [];
      }
      return [worded(grant)];
    }),
  );
  assert.equal(outcomes.flat(), [], "can be taken away");
});

/** A request of a member, as tests/operator/members_requests.json writes it, by a Database "orders" of two members. */
function memberAsks(line: string): Attributes {
  const [verb = "", resource = "", object = ""] = line.split(" ");
  const name = object.replace("<name>", "orders").replace("<ordinal>", "1");
  // When it is made, an object has no name yet for RBAC.
  return { verb, resource, group: "", name: name === "" || verb === "create" ? undefined : name };
}

test("the members' Role allows what members ask on a real cluster, and every verb of it is needed for that", () => {
  const database = { metadata: { name: "orders", namespace: "shop" }, spec: { version: "17", size: 2 } };
  const asked = membersRequests();
  const refusedBy = (grants: readonly Grant[]) =>
    asked.filter((line) =>
      !grants.some(({ resource, verb, ...rest }) =>
        allows({ ...rest, resources: [resource], verbs: [verb] }, memberAsks(line))
      )
    );
  // Each name counts by itself; the pods are all alike.
  const grants = grantsOf(desiredRole(database, []).rules).flatMap((grant) =>
    grant.resource === "pods"
      ? [grant]
      : (grant.resourceNames ?? [undefined]).map((name) =>
        name === undefined ? grant : { ...grant, resourceNames: [name] }
      )
  );
  assert.equal(refusedBy(grants), []);
  const idle = grants.filter((grant) => refusedBy(grants.filter((one) => one !== grant)).length === 0);
  assert.equal(idle, [], "can be taken away");
});

test.run();
