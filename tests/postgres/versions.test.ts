import { test } from "uvu";
import * as assert from "uvu/assert";
import { imageOf, majorOf, parseVersion } from "../../postgres/versions.ts";

const databaseOf = (version: string, image?: string) => ({
  metadata: {},
  spec: { version, ...(image ? { image } : {}) },
});

for (
  const [given, want] of [
    ["17", { text: "17", major: 17 }],
    ["17.6", { text: "17.6", major: 17, minor: 6 }],
    ["17.0", { text: "17.0", major: 17, minor: 0 }],
    ["10.23", { text: "10.23", major: 10, minor: 23 }],
  ] as const
) {
  test(`version ${given} is taken apart`, () => assert.equal(parseVersion(given), want));
}

for (
  const given of [
    "",
    "9",
    "9.6",
    "017",
    "17.",
    "17.06",
    "17.6.1",
    "17 ",
    "17\n",
    "v17",
    "latest",
    "17;rm",
    "170",
  ]
) {
  test(`version ${JSON.stringify(given)} is refused`, () => {
    assert.throws(() => parseVersion(given), (error: Error) => error instanceof SyntaxError);
  });
}

test("the image is the template with version and major filled in, everywhere they stand", () => {
  assert.is(imageOf(databaseOf("17.6"), "r/{major}/pg:{version}-{major}"), "r/17/pg:17.6-17");
  assert.is(imageOf(databaseOf("17")), "localhost/database:17");
});

test("spec.image comes before the template and is taken as it stands", () => {
  assert.is(imageOf(databaseOf("17", "r/x:{version}"), "r/y:{version}"), "r/x:{version}");
});

test("the major version decides, whatever the minor", () => assert.is(majorOf(databaseOf("17.6")), 17));

test.run();
