import { Buffer } from "node:buffer";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { leaksIn, needlesOf } from "./leaks.ts";

const encoded = (text: string) => Buffer.from(text).toString("base64");
const password = `Very "secret"/pass+\\word`;
const secret = {
  metadata: { name: "orders-credentials" },
  data: {
    host: encoded("orders.shop.svc"),
    password: encoded(password),
    "superuser-password": encoded("short"),
    "tls.key": encoded(`-----BEGIN PRIVATE KEY-----\n${"aB3/".repeat(16)}\n-----END PRIVATE KEY-----\n`),
  },
};
const needles = needlesOf([secret]);
const of = "Secret orders-credentials, key password";

test("what is secret is known by its key; what is short, or no secret, is not looked for", () => {
  assert.equal(needles.map((needle) => needle.of), [of, "Secret orders-credentials, key tls.key"]);
});

for (
  const [what, text] of [
    ["plain", `password=${password}`],
    ["in JSON", JSON.stringify({ password })],
    ["in JSON in JSON", JSON.stringify({ annotation: JSON.stringify({ password }) })],
    ["in a URL", `postgresql://app:${encodeURIComponent(password)}@orders`],
    ["in base64", encoded(password)],
    ["in base64 of more, at offset 1", encoded(`a${password} and more`)],
    ["in base64 of more, at offset 2", encoded(`ab${password} and more`)],
    ["in base64 of more, at offset 3", encoded(`abc${password} and more`)],
  ] as const
) {
  test(`a password is found ${what}, and told without its value`, () => {
    assert.equal(leaksIn([{ name: "a log", text }], needles), [`${of} in a log`]);
  });
}

test("a line of a private key is found; a place without secrets is clean", () => {
  const found = leaksIn([{ name: "a log", text: `x ${"aB3/".repeat(16)} y` }], needles);
  assert.equal(found, ["Secret orders-credentials, key tls.key in a log"]);
  assert.equal(leaksIn([{ name: "a log", text: "orders.shop.svc Very secret" }], needles), []);
});

test.run();
