/**
 * The explorer finds bugs: an operator with a bug planted in it fails, the same operator without it passes.
 *
 * The operator keeps a Secret with a made-up password and a ConfigMap for each Database, and says so in its status. Each
 * bug is one that was found in real operators (Sieve, OSDI 2022: state that a process only remembers, work that only an
 * event triggers, a mark set before the work it stands for).
 * @module
 */

import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  type Context,
  hasFinalizer,
  isAlreadyExists,
  type Manager,
  type Request,
  withFinalizer,
  withoutFinalizer,
} from "../../runtime/mod.ts";
import { databases } from "../../types/app.example.com/v1.ts";
import { configMaps, secrets } from "../../types/core/v1.ts";
import { within } from "../within.ts";
import { choicesOf } from "./choices.ts";
import { differences, runOnce } from "./explorer.ts";
import type { Install } from "./simulation.ts";
import { create, remove, type Workload } from "./workloads.ts";

const bugs = [
  "the password is made again by a process that does not remember it",
  "the status says done before the work is done",
  "the ConfigMap is deleted by an event, not by what is there",
  "the finalizer goes first",
] as const;
type Bug = typeof bugs[number] | undefined;

const finalizer = "app.example.com/planted";

function install(bug: Bug): Install {
  return (manager: Manager, random) => {
    const passwords = new Map<string, string>();
    const cleanUp = async (namespace: string, name: string) => {
      await manager.liveClient.delete(configMaps, { namespace, name: `${name}-config` });
      await manager.liveClient.delete(secrets, { namespace, name: `${name}-credentials` });
    };
    if (bug === "the ConfigMap is deleted by an event, not by what is there") {
      manager.informer(databases).on({
        delete: ({ metadata }) => {
          cleanUp(metadata.namespace, metadata.name).catch(() => {});
        },
      });
    }
    manager.controller({
      name: "planted-controller",
      for: databases,
      reconcile: (request, context) => reconcile(bug, request, context, { passwords, random, cleanUp }),
    });
  };
}

interface Own {
  passwords: Map<string, string>;
  random: () => number;
  cleanUp: (namespace: string, name: string) => Promise<void>;
}

async function reconcile(
  bug: Bug,
  { namespace, name }: Request,
  { client }: Context,
  own: Own,
): Promise<void> {
  const database = await client.get(databases, { namespace, name });
  if (!database) return;
  const usesFinalizer = bug !== "the ConfigMap is deleted by an event, not by what is there";
  if (database.metadata.deletionTimestamp) {
    if (!hasFinalizer(database, finalizer)) return;
    const letGo = () =>
      client.patch(databases, { namespace, name }, {
        metadata: { finalizers: withoutFinalizer(database, finalizer) },
      });
    if (bug === "the finalizer goes first") await letGo();
    await own.cleanUp(namespace, name);
    if (bug !== "the finalizer goes first") await letGo();
    return;
  }
  if (usesFinalizer && !hasFinalizer(database, finalizer)) {
    const finalizers = withFinalizer(database, finalizer);
    await client.patch(databases, { namespace, name }, { metadata: { finalizers } });
  }
  const { generation } = database.metadata;
  const isReported = database.status?.observedGeneration === generation;
  const report = () =>
    client.patch(databases, { namespace, name }, { status: { observedGeneration: generation } }, {
      subresource: "status",
    });
  if (bug === "the status says done before the work is done") {
    if (isReported) return;
    await report();
  }
  // Neither is owned: the garbage collector does not help.
  await keepSecret(bug, client, namespace, name, own);
  const key = { namespace, name: `${name}-config` };
  const data = { size: String(database.spec.size) };
  const desired = { apiVersion: "v1" as const, kind: "ConfigMap" as const, metadata: key, data };
  const found = await client.get(configMaps, key);
  if (!found) {
    await client.create(configMaps, desired).catch((error) => {
      if (!isAlreadyExists(error)) throw error;
    });
  } else if (found.data?.size !== data.size) await client.apply(configMaps, desired);
  if (!isReported && bug !== "the status says done before the work is done") await report();
}

async function keepSecret(
  bug: Bug,
  client: Context["client"],
  namespace: string,
  name: string,
  { passwords, random }: Own,
): Promise<void> {
  const key = { namespace, name: `${name}-credentials` };
  const forgets = bug === "the password is made again by a process that does not remember it";
  if (forgets ? passwords.has(name) : await client.get(secrets, key)) return;
  passwords.set(name, String(random()));
  const secret = {
    apiVersion: "v1" as const,
    kind: "Secret" as const,
    metadata: key,
    stringData: { password: passwords.get(name)! },
  };
  if (forgets) await client.apply(secrets, secret);
  else {
    await client.create(secrets, secret).catch((error) => {
      if (!isAlreadyExists(error)) throw error;
    });
  }
}

/** What is wrong with this operator under crashes and lost answers. */
async function explore(bug: Bug): Promise<string[]> {
  const found: string[] = [];
  const workloads: Workload[] = [
    { name: "create", setup: [], act: [create({ size: 1 })], install: install(bug) },
    {
      name: "delete",
      setup: [create({ size: 1, deletionPolicy: "Delete" })],
      act: [remove],
      install: install(bug),
    },
  ];
  for (const workload of workloads) {
    const baseline = await runOnce(workload, undefined, 20_000);
    found.push(...baseline.violations);
    if (bug && found.length > 0) return found;
    const choices = [
      ...choicesOf("F1", baseline),
      ...choicesOf("F2", baseline).filter(({ label }) => label.includes("timeout after commit")),
    ];
    for (const choice of choices) {
      const outcome = await runOnce(workload, choice, 20_000);
      const problems = differences(workload, outcome, baseline, choice);
      found.push(...problems.map((problem) => `${workload.name}: ${choice.label}: ${problem}`));
      if (bug && found.length > 0) return found;
    }
  }
  return found;
}

test("without a bug nothing is found", () =>
  within(
    60_000,
    (async () => {
      assert.equal(await explore(undefined), []);
    })(),
    "the exploration",
  ));

for (const bug of bugs) {
  test(`found: ${bug}`, () =>
    within(
      60_000,
      (async () => {
        assert.ok((await explore(bug)).length > 0, "nothing was found");
      })(),
      "the exploration",
    ));
}

test.run();
