/**
 * Records what the API server named by KUBECONFIG answers to the requests of fidelity_cases.ts, for
 * transcript.test.ts to hold the embedded API to where no server is at hand:
 *
 *     KUBECONFIG=... node tests/embedded/record.ts tests/embedded/kube_apiserver_1.36.jsonl
 *
 * @module
 */
import { writeFileSync } from "node:fs";
import process from "node:process";
import { comparable, kubeconfigTarget, session, type Step } from "./fidelity.ts";
import { cases, prepare } from "./fidelity_cases.ts";
import { widgetDefinition } from "./widget.ts";

const [file] = process.argv.slice(2);
const kubeconfig = process.env.KUBECONFIG;
if (!file || !kubeconfig) throw new Error("Usage: KUBECONFIG=... node tests/embedded/record.ts FILE");

// As long as the word that stands for it in the file.
const id = Math.random().toString(36).slice(2, 10).padEnd("recorded".length, "x");
const ns = `fidelity-${id}`;
const group = `${id}x.fidelity.example.com`;
const server = kubeconfigTarget(kubeconfig);
const send = session(server.target);
const lines: string[] = [];
try {
  for (const step of prepare(ns, group)) await send(step);
  for (const [name, steps] of Object.entries(cases(ns, group))) {
    for (const step of steps) {
      const answer = await send(step);
      if (step.isSetup) continue;
      const line = JSON.stringify({ name, request: shown(step), answer: comparable(answer, step.omit) });
      lines.push(line.replaceAll(id, "recorded"));
    }
  }
  writeFileSync(file, lines.join("\n") + "\n");
} finally {
  await send({ method: "DELETE", path: `/api/v1/namespaces/${ns}` });
  const crd = widgetDefinition(group).metadata.name;
  await send({ method: "DELETE", path: `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${crd}` });
  server.close();
}

function shown({ method, path }: Step): string {
  return `${method} ${path}`;
}
