import { test } from "uvu";
import * as assert from "uvu/assert";
import { createLogger } from "../../runtime/logger.ts";
import { MetricsRegistry } from "../../runtime/metrics.ts";
import { parseWarnings, WarningHandler } from "../../runtime/warnings.ts";

for (
  const [given, want] of [
    [``, []],
    [`299 - "v1 Endpoints is deprecated in v1.33+"`, ["v1 Endpoints is deprecated in v1.33+"]],
    [`299 agent "one", 299 - "two, with a comma", 299 - "three"`, ["one", "two, with a comma", "three"]],
    [`299 - "unknown field \\"spec.siez\\" \\\\ here"`, [`unknown field "spec.siez" \\ here`]],
    [`299 - "dated" "Thu, 01 Jan 2026 00:00:00 GMT", 299 - "next"`, ["dated", "next"]],
    [`199 - "not of the API server", 299 - "", 299 - "its own"`, ["its own"]],
    [`299 - "first", nonsense, 299 - "never read"`, ["first"]],
    [`299 - "open`, []],
    [`299 - "${"\xc3\xbc"}ber"`, ["über"]],
  ] as const
) {
  test(`parsed: ${given}`, () => {
    assert.equal(parseWarnings(given), [...want]);
  });
}

function handler() {
  const lines: string[] = [];
  const registry = new MetricsRegistry();
  const log = createLogger({ sink: (line) => lines.push((JSON.parse(line) as { msg: string }).msg) });
  const warnings = new WarningHandler(log, registry.counter("rest_client_warnings_total", ""));
  return { lines, warnings, count: () => /^rest_client_warnings_total (\d+)$/m.exec(registry.text())?.[1] };
}

test("every warning is counted, from 0 on, and each text is logged once", () => {
  const { lines, warnings, count } = handler();
  assert.is(count(), "0");
  for (const text of ["a", "b", "a", "a"]) warnings.handle(text);
  assert.is(count(), "4");
  assert.equal(lines, ["a", "b"]);
});

test("no more than 1,000 texts are remembered", () => {
  const { lines, warnings } = handler();
  for (let i = 0; i < 1001; i++) warnings.handle(`about object ${i}`);
  warnings.handle("about object 1000");
  warnings.handle("about object 0");
  assert.is(lines.length, 1002);
});

test.run();
