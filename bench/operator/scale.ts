/**
 * Measures what the operator needs for many Databases: `npm run bundle && npm run bench -- scale`.
 *
 * On the API server that KUBECONFIG names, which has the usual controllers and best no node: pods are made and never run.
 * dist/operator.js, on Deno as in its image, first makes the objects of so many Databases, then is started again where all
 * are there. Output: a table in Markdown.
 *
 *     --count N    Databases (500)
 *     --size N     members of each (3)
 * @module
 */

import { parseArgs } from "node:util";
import { Client, connect } from "../../runtime/mod.ts";
import { each, names } from "../../tests/conformance/mirror.ts";
import { databases } from "../../types/app.example.com/v1.ts";
import { namespaces } from "../../types/core/v1.ts";
import { installDefinition, pause } from "../runtime/cluster.ts";
import { Contender } from "../runtime/process.ts";
import { digits, row } from "../runtime/table.ts";
import { onDeno } from "./command.ts";

const namespace = "bench-operator";
/** Databases that are made or deleted at the same time. */
const AT_ONCE = 10;
/** It goes on looking at members that wait for a node: after so long it has seen all of them. */
const SETTLE_MS = 15_000;

/** Starts it, does something, waits until it is done and prints what it took. */
async function measure(
  what: string,
  { task, isDone }: { task?(): Promise<void>; isDone(): Promise<boolean> },
): Promise<void> {
  const { command, env } = await onDeno();
  const contender = new Contender([...command, "--watch-namespace", namespace], env);
  try {
    await task?.();
    while (!await isDone()) {
      contender.check();
      await pause(200);
    }
    const seconds = (performance.now() - contender.startedAtMs) / 1_000;
    await pause(SETTLE_MS);
    const figures = [seconds, contender.cpuSeconds(), contender.peakMiB(), contender.residentMiB()];
    console.log(row([what, ...figures.map(digits)]));
  } finally {
    await contender.stop();
  }
}

/** Runs it. @param args the flags above */
export async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: { count: { type: "string", default: "500" }, size: { type: "string", default: "3" } },
  });
  const [count, size] = [Number(values.count), Number(values.size)];
  const connection = await connect({ userAgent: "bench" });
  const client = new Client(connection, { fieldManager: "bench" });
  try {
    await installDefinition(connection);
    await client.apply(namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
    console.log(row([`${count} Databases of ${size}`, "done after s", "CPU s", "peak MiB", "resident MiB"]));
    console.log(row(["---", "---:", "---:", "---:", "---:"]));
    const all = async () => (await client.list(databases, { namespace })).items;
    await measure("made", {
      task: () =>
        each(names("db", count), AT_ONCE, (name) =>
          client.apply(databases, {
            apiVersion: "app.example.com/v1",
            kind: "Database",
            metadata: { namespace, name },
            spec: { size, version: "17" },
          })),
      isDone: async () => (await all()).every(({ status }) => status?.observedGeneration !== undefined),
    });
    await measure("started again", { isDone: () => Promise.resolve(true) });
    await measure("deleted", {
      task: async () =>
        each(
          (await all()).map(({ metadata }) => metadata.name),
          AT_ONCE,
          (name) => client.delete(databases, { namespace, name }),
        ),
      isDone: async () => (await all()).length === 0,
    });
  } finally {
    await client.delete(namespaces, { name: namespace });
    // A second measurement can make it again only when it is gone.
    while (await client.get(namespaces, { name: namespace })) await pause(500);
    connection.close();
  }
}
