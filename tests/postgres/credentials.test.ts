import { test } from "uvu";
import * as assert from "uvu/assert";
import { credentialKeys, desiredCredentials } from "../../postgres/credentials.ts";

const database = { metadata: { name: "orders", namespace: "shop" }, spec: { version: "17" } };
const passwords = {
  application: "application-0123456789",
  superuser: "superuser-01234567890123",
  replication: "replication-0123456789",
  rewind: "rewind-01234567890123456",
  patroni: "patroni-0123456789012345",
};

test("the Secret has the keys of servicebinding.io for the application, and a password for each other role", () => {
  assert.equal(desiredCredentials(database, passwords), {
    apiVersion: "v1",
    kind: "Secret",
    metadata: {
      name: "orders-credentials",
      namespace: "shop",
      labels: {
        "app.example.com/database": "orders",
        "app.kubernetes.io/name": "database",
        "app.kubernetes.io/managed-by": "database-operator",
        "app.kubernetes.io/part-of": "orders",
      },
    },
    type: "servicebinding.io/postgresql",
    stringData: {
      type: "postgresql",
      provider: "database-operator",
      host: "orders.shop.svc",
      port: "5432",
      database: "app",
      username: "app",
      password: "application-0123456789",
      uri: "postgresql://app:application-0123456789@orders.shop.svc:5432/app",
      "superuser-password": "superuser-01234567890123",
      "replication-password": "replication-0123456789",
      "rewind-password": "rewind-01234567890123456",
      "patroni-password": "patroni-0123456789012345",
    },
  });
});

test("every key that members need is in it", () => {
  const { stringData } = desiredCredentials(database, passwords);
  for (const key of credentialKeys) assert.ok((stringData as Record<string, string>)[key], key);
});

test("the uri is one that a URL parser takes apart into the same parts", () => {
  const uri = new URL(desiredCredentials(database, passwords).stringData.uri);
  assert.equal([uri.username, uri.password, uri.hostname, uri.port, uri.pathname], [
    "app",
    "application-0123456789",
    "orders.shop.svc",
    "5432",
    "/app",
  ]);
});

for (
  const password of [
    "",
    "short",
    "with space 0123456789012345",
    "colon:0123456789012345678",
    "a".repeat(257),
    "quote'0123456789012345678",
  ]
) {
  test(`password ${JSON.stringify(password).slice(0, 20)} is refused and not printed`, () => {
    assert.throws(
      () => desiredCredentials(database, { ...passwords, rewind: password }),
      (error: Error) =>
        error instanceof RangeError && /"rewind"/.test(error.message) &&
        (password === "" || !error.message.includes(password)),
    );
  });
}

test("a Database without name or namespace cannot be rendered", () => {
  assert.throws(
    () => desiredCredentials({ metadata: {}, spec: { version: "17" } }, passwords),
    /metadata.name/,
  );
});

test.run();
