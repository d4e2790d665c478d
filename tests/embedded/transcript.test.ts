/**
 * The embedded API answers as kube-apiserver 1.36 did when its answers were recorded (record.ts).
 * @module
 */
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { EmbeddedApi } from "../../embedded/mod.ts";
import { comparable, fetchTarget, session } from "./fidelity.ts";
import { cases, prepare } from "./fidelity_cases.ts";

const [ns, group] = ["fidelity-recorded", "recordedx.fidelity.example.com"];
const lines = readFileSync(new URL("./kube_apiserver_1.36.jsonl", import.meta.url), "utf8").trim().split(
  "\n",
);
const recorded = lines.map((line) => JSON.parse(line) as { name: string; request: string; answer: unknown });

/** Time runs a hundred times as fast, so that a watch of a second costs ten milliseconds. */
const clock = {
  now: () => Date.now(),
  setTimer: (delayMs: number, callback: () => void) => {
    const timer = setTimeout(callback, delayMs / 100);
    return () => clearTimeout(timer);
  },
};
const api = new EmbeddedApi({ clock, simulate: { node: false, patroni: false } });
const send = session(fetchTarget(api));

test.before(async () => {
  for (const step of prepare(ns, group)) await send(step);
});

test.after(() => api.close());

for (const [name, steps] of Object.entries(cases(ns, group))) {
  test(`answers as kube-apiserver did: ${name}`, async () => {
    const wanted = recorded.filter((one) => one.name === name);
    for (const step of steps) {
      const answer = await send(step);
      if (step.isSetup) continue;
      const { request, answer: want } = wanted.shift() ?? { request: "nothing", answer: undefined };
      assert.is(`${step.method} ${step.path}`, request, "the cases have changed: record again");
      assert.equal(JSON.parse(JSON.stringify(comparable(answer, step.omit))), want, request);
    }
  });
}

test.run();
