/**
 * Random writes by several managers to the embedded API and to the server that KUBECONFIG names: the
 * answers, and who owns which field, are the same after every one. The seed is printed with a failure.
 * @module
 */
import process from "node:process";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { EmbeddedApi } from "../../embedded/mod.ts";
import {
  comparable,
  fetchTarget,
  type Json,
  kubeconfigTarget,
  session,
  type Step,
} from "../embedded/fidelity.ts";
import { prepare } from "../embedded/fidelity_cases.ts";

const kubeconfig = process.env.KUBECONFIG;
if (!kubeconfig) throw new Error("KUBECONFIG is not set: it names the API server to compare with");
const seed = Number(process.env.SEED ?? Date.now() % 100_000);
const writesPerKind = 100;

let state = seed;
const random = (): number => (state = (state * 1664525 + 1013904223) % 4294967296) / 4294967296;
const pick = <T>(choices: readonly T[]): T => choices[Math.floor(random() * choices.length)]!;
const isLucky = (probability = 0.5) => random() < probability;
const word = () => pick(["a", "b", "c"]);
const words = () => [...new Set(Array.from({ length: Math.floor(random() * 4) }, word))];
const pairs = () => Object.fromEntries(words().map((key) => [key, word()]));

const id = Math.random().toString(36).slice(2, 8);
const [ns, group] = [`fuzz-${id}`, `${id}x.fidelity.example.com`];
const server = kubeconfigTarget(kubeconfig);
const api = new EmbeddedApi();
const targets = [session(server.target), session(fetchTarget(api))] as const;
const onBoth = (step: Step) => Promise.all([targets[0](step), targets[1](step)]);

function metadata(name: string): Json {
  return {
    name,
    ...(isLucky(0.3) ? { labels: pairs() } : {}),
    ...(isLucky(0.2) ? { annotations: pairs() } : {}),
    ...(isLucky(0.1) ? { finalizers: [`example.com/${word()}`] } : {}),
  };
}

function widget(): Json {
  const spec: Json = { size: Math.floor(random() * 4) };
  if (isLucky(0.3)) spec.items = words().map((name) => ({ name, ...(isLucky() ? { note: word() } : {}) }));
  if (isLucky(0.3)) spec.tags = words();
  if (isLucky(0.3)) spec.plain = words();
  if (isLucky(0.3)) spec.labels = pairs();
  if (isLucky(0.3)) spec.nested = isLucky() ? {} : { a: word() };
  if (isLucky(0.3)) spec.atom = isLucky() ? { a: word() } : { b: word() };
  if (isLucky(0.3)) spec.free = { [word()]: isLucky() ? [1, { x: word() }] : { y: word() } };
  if (isLucky(0.2)) spec.maybe = isLucky() ? null : word();
  return { apiVersion: `${group}/v1`, kind: "Widget", metadata: metadata("w"), spec };
}

const configMap = (): Json => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: metadata("m"),
  ...(isLucky(0.8) ? { data: pairs() } : {}),
});

function randomStep(path: string, object: Json): Step {
  const manager = `fieldManager=${pick(["one", "two", "three"])}`;
  const force = isLucky(0.4) ? "&force=true" : "";
  const url = `${path}?${manager}`;
  switch (pick(["apply", "apply", "apply", "merge", "put", "json"])) {
    case "apply":
      return { method: "PATCH", path: url + force, type: "application/apply-patch+yaml", body: object };
    case "merge":
      delete object.metadata.finalizers;
      return { method: "PATCH", path: url, type: "application/merge-patch+json", body: object };
    case "put":
      object.metadata.resourceVersion = "{rv}";
      return { method: "PUT", path: url, body: object };
    default: {
      const body = [{ op: "add", path: "/metadata/labels", value: pairs() }];
      return { method: "PATCH", path: url, type: "application/json-patch+json", body };
    }
  }
}

test.before(async () => {
  for (const step of prepare(ns, group)) await onBoth(step);
});

test.after(async () => {
  const unhold = { metadata: { finalizers: null } };
  for (const path of Object.values(paths)) {
    await onBoth({ method: "PATCH", path, type: "application/merge-patch+json", body: unhold });
  }
  await onBoth({ method: "DELETE", path: `/api/v1/namespaces/${ns}` });
  const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  await onBoth({ method: "DELETE", path: `${definitions}/widgets.${group}` });
  server.close();
  api.close();
});

const paths = {
  ConfigMap: `/api/v1/namespaces/${ns}/configmaps/m`,
  Widget: `/apis/${group}/v1/namespaces/${ns}/widgets/w`,
};

for (const [kind, make] of [["ConfigMap", configMap], ["Widget", widget]] as const) {
  test(`random writes to a ${kind} end alike on both servers`, async () => {
    for (let i = 0; i < writesPerKind; i++) {
      const step = randomStep(paths[kind], make());
      const [theirs, ours] = await onBoth(step);
      const message = `seed ${seed}, write ${i}: ${step.method} ${step.path} ${JSON.stringify(step.body)}`;
      assert.equal(comparable(ours), comparable(theirs), message);
      await onBoth({ method: "GET", path: paths[kind], save: { rv: "metadata.resourceVersion" } });
    }
  });
}

test.run();
