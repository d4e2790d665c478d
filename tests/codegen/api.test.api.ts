/**
 * The fixtures' labels are a real API server's, not ours: it is asked for each example, and for each example changed
 * in one place. Types and validators must agree with it.
 *
 * Run by `npm run test:api`, with KUBECONFIG.
 * @module
 */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Judge } from "./api_server.ts";
import { readFixtures } from "./fixtures.ts";

const judge = await Judge.connect();

for (const fixture of readFixtures()) {
  test(`the API server says of the examples of ${fixture.name} what they say of themselves`, async () => {
    const wrong: string[] = [];
    try {
      await Promise.all(fixture.documents.map((document) => judge.install(document)));
      for (const { crd, version, object, accepted, what } of fixture.examples) {
        const label = await judge.label({ ...crd, version }, object);
        if (label.accepted !== accepted) {
          wrong.push(`${what}: ${label.accepted ? "accepted" : label.message}`);
        }
      }
    } finally {
      await Promise.all(fixture.crds.map((crd) => judge.remove(`${crd.plural}.${crd.group}`)));
    }
    assert.equal(wrong, []);
  });
}

test.run();
