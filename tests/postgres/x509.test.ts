import { execFileSync } from "node:child_process";
import { createPrivateKey } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { isIssuedBy, issue, publicKeyOf, read, split } from "../../postgres/x509.ts";

const dayMs = 86_400_000;
const nowMs = Math.floor(Date.now() / 1000) * 1000;
const validity = { notBeforeMs: nowMs - 300_000, notAfterMs: nowMs + 90 * dayMs };
const authority = issue({ ...validity, subject: "shop/orders authority", names: [] });
const names = ["orders", "orders.shop.svc", "*.orders-pods.shop.svc"];
const leaf = issue({ ...validity, subject: "orders", names, issuer: authority });

test("a certificate says what was asked for, and its key belongs to it", () => {
  const { fingerprint, publicKey, ...facts } = read(leaf.certificate);
  assert.equal(facts, { ...validity, names });
  assert.match(fingerprint, /^[0-9a-f]{64}$/);
  assert.is(publicKey, publicKeyOf(leaf.key));
  assert.is.not(publicKey, publicKeyOf(authority.key));
});

test("a chain leads to the authority that signed it, through what is between, and to no other one", () => {
  const other = issue({ ...validity, subject: "shop/orders authority", names: [] });
  assert.ok(isIssuedBy(leaf.certificate, authority.certificate));
  assert.ok(isIssuedBy(leaf.certificate, other.certificate + authority.certificate));
  assert.not.ok(isIssuedBy(leaf.certificate, other.certificate));
  assert.not.ok(isIssuedBy(leaf.certificate, ""));
  assert.not.ok(isIssuedBy("", authority.certificate));
  const between = issue({ ...validity, subject: "between", names: [], issuer: authority });
  const below = issue({ ...validity, subject: "orders", names, issuer: between });
  assert.not.ok(isIssuedBy(below.certificate, authority.certificate));
  assert.ok(isIssuedBy(below.certificate + between.certificate, authority.certificate));
});

test("what is no certificate or key is refused, in words that hold nothing of it", () => {
  const noCertificates = [
    "",
    "secret",
    "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n",
    leaf.key,
  ];
  for (const text of noCertificates) {
    assert.throws(() => read(text), /^Cannot read the certificate: expected X.509 in PEM$/);
  }
  const locked = createPrivateKey(leaf.key)
    .export({ format: "pem", type: "pkcs8", cipher: "aes-256-cbc", passphrase: "secret" }).toString();
  for (const text of ["", "secret", leaf.certificate, locked]) {
    assert.throws(() => publicKeyOf(text), /^Cannot read the private key: expected PEM, not encrypted$/);
  }
});

test("keys in the older forms are read too: cert-manager writes PKCS #1 and SEC 1", () => {
  const sec1 = createPrivateKey(leaf.key).export({ format: "pem", type: "sec1" }).toString();
  assert.match(sec1, /BEGIN EC PRIVATE KEY/);
  assert.is(publicKeyOf(sec1), publicKeyOf(leaf.key));
});

test("split finds every certificate of a bundle, with text between them or not", () => {
  const bundle = `# one\n${leaf.certificate}\n# two\r\n${authority.certificate.replaceAll("\n", "\r\n")}`;
  assert.is(split(bundle).length, 2);
  assert.is(read(split(bundle)[1]!).fingerprint, read(authority.certificate).fingerprint);
  assert.equal(split("nothing"), []);
});

test("openssl agrees, by its strictest rules", () => {
  const folder = mkdtempSync(join(tmpdir(), "x509-"));
  try {
    const [ca, crt] = [join(folder, "ca.crt"), join(folder, "tls.crt")];
    writeFileSync(ca, authority.certificate);
    writeFileSync(crt, leaf.certificate);
    const verify = (...args: string[]) =>
      execFileSync("openssl", [
        "verify",
        "-x509_strict",
        "-purpose",
        "sslserver",
        "-CAfile",
        ca,
        ...args,
        crt,
      ])
        .toString();
    assert.match(verify("-verify_hostname", "orders.shop.svc"), /: OK/);
    assert.match(verify("-verify_hostname", "orders-0.orders-pods.shop.svc"), /: OK/);
    assert.throws(() => verify("-verify_hostname", "other.shop.svc"));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.run();
