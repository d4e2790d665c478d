import { execFileSync } from "node:child_process";
import { createPrivateKey } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { authorityExtensions, Workshop } from "../workshop.ts";
import { chainProblem, isIssuedBy, issue, publicKeyOf, read, split } from "../../postgres/x509.ts";

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

test("what was read is remembered, the newest 2,000 of it, and is no answer to another question", () => {
  const facts = read(leaf.certificate);
  assert.is(read(leaf.certificate), facts);
  assert.is.not(read(authority.certificate).fingerprint, facts.fingerprint);
  for (let more = 1; more <= 2_000; more++) read(leaf.certificate + "\n".repeat(more));
  assert.is.not(read(leaf.certificate), facts);
  assert.equal(read(leaf.certificate), facts);
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

test("a chain is refused with the field and the reason exactly where openssl refuses it", () => {
  const shop = new Workshop();
  try {
    const isCa = authorityExtensions;
    const isServer = ["subjectAltName=DNS:orders.shop.svc", "extendedKeyUsage=serverAuth,clientAuth"];
    const root = shop.make({ extensions: isCa }), between = shop.make({ by: root, extensions: isCa });
    const serves = (more: Partial<Parameters<Workshop["make"]>[0]> = {}) =>
      shop.make({ by: root, extensions: isServer, ...more }).certificate;
    const below = serves({ by: between });
    const ca = root.certificate;
    const expired = shop.make({ days: 1, extensions: isCa });
    const old = shop.make({ by: root, days: 1, extensions: isCa });
    const narrow = shop.make({ extensions: ["basicConstraints=critical,CA:TRUE,pathlen:0", isCa[1]!] });
    const narrowBelow = shop.make({ by: narrow, extensions: isCa });
    const plain = shop.make({ by: root, extensions: ["basicConstraints=CA:FALSE"] });
    const cannotSign = shop.make({ by: root, extensions: [isCa[0]!, "keyUsage=critical,digitalSignature"] });
    const weakRoot = shop.make({ key: "rsa:1024", extensions: isCa });
    const itself = shop.make({ extensions: ["basicConstraints=CA:FALSE", ...isServer] }).certificate;
    const clientCa = shop.make({ by: root, extensions: [...isCa, "extendedKeyUsage=clientAuth"] });
    const atMs = nowMs + 2 * dayMs;
    const end = ({ certificate }: { certificate: string }) =>
      new Date(read(certificate).notAfterMs).toISOString();
    const key = "a key that is neither RSA with 2048 bits or more nor P-256, P-384 or P-521";
    const cases: [what: string, chain: string, ca: string, want: string | undefined][] = [
      ["by the root", serves(), ca, undefined],
      ["without an extended key usage", serves({ extensions: [isServer[0]!] }), ca, undefined],
      ["RSA", serves({ key: "rsa:2048" }), ca, undefined],
      ["P-384", serves({ key: "ec:secp384r1", digest: "sha384" }), ca, undefined],
      ["P-521", serves({ key: "ec:secp521r1" }), ca, undefined],
      ["through what is shown", below + between.certificate, ca, undefined],
      ["through what is trusted", below, between.certificate + ca, undefined],
      ["signed by itself", itself, itself, undefined],
      ["an expired authority beside", serves(), expired.certificate + ca, undefined],
      ["nothing between", below, ca, "has a tls.crt that no certificate in ca.crt issued"],
      [
        "only the one between is trusted",
        below,
        between.certificate,
        "has a ca.crt without the root, which is signed by itself: clients accept nothing less",
      ],
      [
        "for clients",
        serves({ extensions: [isServer[0]!, "extendedKeyUsage=clientAuth"] }),
        ca,
        "has in tls.crt a certificate that is not for servers: its extended key usage lacks serverAuth",
      ],
      [
        "an authority for clients",
        serves({ by: clientCa }) + clientCa.certificate,
        ca,
        "has in tls.crt an authority that is not for servers: its extended key usage lacks serverAuth",
      ],
      ["RSA-1024", serves({ key: "rsa:1024" }), ca, `has in tls.crt ${key}`],
      ["root of RSA-1024", serves({ by: weakRoot }), weakRoot.certificate, `has in ca.crt ${key}`],
      [
        "SHA-1",
        serves({ digest: "sha1" }),
        ca,
        "has in tls.crt a signature that is neither RSA nor ECDSA with SHA-256, SHA-384 or SHA-512",
      ],
      [
        "expired root",
        serves({ by: expired }),
        expired.certificate,
        `has in ca.crt an authority that expired at ${end(expired)}`,
      ],
      [
        "expired between",
        serves({ by: old }) + old.certificate,
        ca,
        `has in tls.crt an authority that expired at ${end(old)}`,
      ],
      [
        "no authority",
        serves({ by: plain }) + plain.certificate,
        ca,
        "has in tls.crt a certificate that signed another one and is no authority",
      ],
      [
        "may not sign",
        serves({ by: cannotSign }) + cannotSign.certificate,
        ca,
        "has in tls.crt an authority whose key usage lacks keyCertSign",
      ],
      [
        "too long",
        serves({ by: narrowBelow }) + narrowBelow.certificate,
        narrow.certificate,
        "has in ca.crt an authority that allows no other between itself and a certificate",
      ],
    ];
    for (const [what, chain, authorities, want] of cases) {
      assert.is(chainProblem(chain, authorities, atMs), want, what);
      assert.is(shop.accepts(chain, authorities, atMs), want === undefined, `openssl: ${what}`);
    }
    // OpenSSL takes it; PostgreSQL's channel binding finds no hash in its signature.
    const edwards = shop.make({ key: "ed25519", extensions: isCa });
    assert.match(
      chainProblem(serves({ by: edwards }), edwards.certificate, atMs) ?? "",
      "has in tls.crt a signature",
    );
    assert.is(chainProblem("", ca, atMs), "has a tls.crt that no certificate in ca.crt issued");
    assert.throws(() => chainProblem(serves(), ca.replace("M", "!"), nowMs), SyntaxError);
  } finally {
    shop.close();
  }
});

test("what is issued here has no problem", () => {
  assert.is(chainProblem(leaf.certificate, authority.certificate, nowMs), undefined);
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
