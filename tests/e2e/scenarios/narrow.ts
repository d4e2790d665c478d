/**
 * The operator with Roles only, as examples/ installs it: in one namespace, and for several of them.
 * @module
 */
import { fileURLToPath } from "node:url";
import { until } from "../../within.ts";
import { database, ready } from "../database.ts";
import { leads, rendered } from "../install.ts";
import { Kubectl, type KubeObject } from "../kubectl.ts";
import { bar, check, type Run, type Scenario } from "../scenario.ts";

const example = (name: string) => fileURLToPath(new URL(`../../../examples/${name}`, import.meta.url));

/** Its objects, with other namespaces than those that it names: `from` to `to`, wherever one is named. */
async function renamed(folder: string, namespaces: ReadonlyMap<string, string>): Promise<KubeObject[]> {
  const rename = (key: string, value: unknown): unknown => {
    if (typeof value !== "string") return value;
    if (key === "namespace") return namespaces.get(value) ?? value;
    return value.split(",").every((name) => namespaces.has(name))
      ? value.split(",").map((name) => namespaces.get(name)).join()
      : value;
  };
  const objects = await rendered(example(folder));
  // The CRD is there already; the operator's own name is also that of its namespace.
  return objects.filter(({ kind }) => kind !== "CustomResourceDefinition").map((object) => {
    const isNamespace = object.kind === "Namespace";
    return JSON.parse(
      JSON.stringify(
        object,
        (key, value: unknown) =>
          key === "namespace" || key === "value" || (isNamespace && key === "name")
            ? rename(key, value)
            : value,
      ),
    ) as KubeObject;
  });
}

/** Installs an example, and lets a Database of size 1 become Ready in each namespace that it names; one outside stays as it is. */
async function installed(
  folder: string,
  { home, watched, outside }: { home: Kubectl; watched: readonly Kubectl[]; outside: Kubectl },
  namespaces: ReadonlyMap<string, string>,
): Promise<void> {
  const objects = await renamed(folder, namespaces);
  const wide = objects.filter(({ kind }) => kind?.startsWith("Cluster"));
  check(wide.length === 0, `${folder} grants in all namespaces: ${wide.map(({ kind }) => kind).join()}`);
  const [first = [], rest = []] = [true, false].map((isNamespace) =>
    objects.filter(({ kind }) => (kind === "Namespace") === isNamespace)
  );
  await home.apply(...first);
  // The rights first, as kubectl orders them.
  for (const kubectl of new Set([...watched, home])) {
    await kubectl.apply(...rest.filter(({ metadata }) => metadata.namespace === kubectl.namespace));
  }
  await home.run(["rollout", "status", "deployment/database-operator", "--timeout=120s"], {
    timeoutMs: 130_000,
  });
  await leads(60_000, home);
  await outside.apply(database("outside", { size: 1 }));
  for (const kubectl of watched) {
    await kubectl.apply(database("inside", { size: 1, deletionPolicy: "Delete" }));
  }
  for (const kubectl of watched) await ready(kubectl, "inside", bar.ready);
  const untouched = await outside.get("databases", "outside");
  check(
    untouched && !untouched["status"] && !untouched.metadata["finalizers"],
    "a Database outside was looked at",
  );
  const logs = await home.run(["logs", "deployment/database-operator", "--all-pods"]);
  check(
    !/orbidden|"outside"/.test(logs),
    `the operator may not do what it does: ${/.*orbidden.*/.exec(logs)?.[0]}`,
  );
  for (const kubectl of watched) {
    await kubectl.run(["delete", "databases", "inside", "--timeout=120s"], { timeoutMs: 130_000 });
  }
}

/** Deletes a namespace; a Database in it whose operator failed, or that none looks after, is let go. */
async function ended(kubectl: Kubectl): Promise<void> {
  await kubectl.try(["delete", "databases", "--all", "--wait=false"]);
  const left = await kubectl.list("databases");
  const letGo = '{"metadata":{"finalizers":null}}';
  for (const { metadata } of left) {
    await kubectl.try(["patch", "databases", metadata.name, "--type=merge", "--patch", letGo]);
  }
  await kubectl.delete("namespace", kubectl.namespace);
}

async function narrow(run: Run): Promise<void> {
  const name = (of: string) => `${run.kubectl.namespace}-${of}`;
  const [one, home, orders, billing, outside] = ["one", "home", "orders", "billing", "outside"].map((of) =>
    new Kubectl(name(of))
  ) as [Kubectl, Kubectl, Kubectl, Kubectl, Kubectl];
  const all = [one, home, orders, billing, outside];
  try {
    await outside.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: outside.namespace } });
    await run.operator.away(async () => {
      await installed(
        "one-namespace",
        { home: one, watched: [one], outside },
        new Map([["databases", one.namespace]]),
      );
      const namespaces = new Map([
        ["database-operator", home.namespace],
        ["orders", orders.namespace],
        ["billing", billing.namespace],
      ]);
      await installed("some-namespaces", { home, watched: [orders, billing], outside }, namespaces);
      await outside.delete("databases", "outside");
    });
  } finally {
    for (const kubectl of all) await ended(kubectl);
  }
  await until(
    120_000,
    "the namespaces to go",
    async () =>
      (await Promise.all(all.map((one) => one.get("namespace", one.namespace)))).every((found) => !found),
    1_000,
  );
}

export const narrowed: Scenario[] = [
  {
    name: "narrow",
    what:
      "with Roles only, in one namespace and for two: Databases there become Ready, others are not looked at",
    run: narrow,
  },
];
