/**
 * The embedded API against the server that KUBECONFIG names: the same requests to both, the same answers.
 * @module
 */
import process from "node:process";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { EmbeddedApi } from "../../embedded/mod.ts";
import { cases, prepare } from "../embedded/fidelity_cases.ts";
import { comparable, fetchTarget, kubeconfigTarget, session, type Step } from "../embedded/fidelity.ts";

const id = Math.random().toString(36).slice(2, 8);
const ns = `fidelity-${id}`;
const group = `${id}x.fidelity.example.com`;
const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

const kubeconfig = process.env.KUBECONFIG;
if (!kubeconfig) throw new Error("KUBECONFIG is not set: it names the API server to compare with");
const server = kubeconfigTarget(kubeconfig);
const api = new EmbeddedApi({ simulate: { node: false, patroni: false } });
const targets = [session(server.target), session(fetchTarget(api))] as const;

const onBoth = (step: Step) => Promise.all([targets[0](step), targets[1](step)]);

test.before(async () => {
  for (const step of prepare(ns, group)) await onBoth(step);
});

test.after(async () => {
  await onBoth({ method: "DELETE", path: `/api/v1/namespaces/${ns}` });
  await onBoth({ method: "DELETE", path: `${definitions}/widgets.${group}` });
  server.close();
  api.close();
});

for (const [name, steps] of Object.entries(cases(ns, group))) {
  test(`both servers answer alike: ${name}`, async () => {
    const differences: string[] = [];
    for (const step of steps) {
      const [theirs, ours] = await onBoth(step);
      if (step.isSetup) continue;
      const found = different(comparable(theirs, step.omit), comparable(ours, step.omit));
      if (found.length > 0) {
        differences.push(
          `${step.method} ${step.path} ${JSON.stringify(step.body) ?? ""}\n${found.join("\n")}`,
        );
      }
    }
    assert.is(differences.join("\n\n"), "");
  });
}

/** Where two values differ, one line each. */
function different(theirs: unknown, ours: unknown, path = ""): string[] {
  if (JSON.stringify(theirs) === JSON.stringify(ours)) return [];
  const isObject = (value: unknown): value is Record<string, unknown> =>
    typeof value === "object" && value !== null;
  if (isObject(theirs) && isObject(ours) && Array.isArray(theirs) === Array.isArray(ours)) {
    const keys = new Set([...Object.keys(theirs), ...Object.keys(ours)]);
    return [...keys].flatMap((key) => different(theirs[key], ours[key], `${path}.${key}`));
  }
  const text = (value: unknown) => (JSON.stringify(value) ?? "nothing").slice(0, 600);
  return [`  ${path}\n    server:   ${text(theirs)}\n    embedded: ${text(ours)}`];
}

test.run();
