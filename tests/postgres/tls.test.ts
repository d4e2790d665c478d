import { test } from "uvu";
import * as assert from "uvu/assert";
import { decodeBase64, encodeBase64 } from "../../postgres/backups.ts";
import { annotation, fieldManager, label } from "../../postgres/names.ts";
import type { Sight } from "../../postgres/sight.ts";
import { type KeyPair, lookMs, type Tls, tlsOf, trustMs, validityMs } from "../../postgres/tls.ts";
import type { StoredDatabase } from "../../types/app.example.com/v1.ts";
import type { StoredConfigMap, StoredPod, StoredSecret } from "../../types/core/v1.ts";
import { fakeCertificates } from "./fake_certificates.ts";

const dayMs = 86_400_000;

/** One Database, its Secrets and a clock; members that take up what is mounted when they are told to. */
class Stage {
  nowMs = Date.parse("2026-11-23T12:00:00Z");
  readonly certificates = fakeCertificates();
  readonly secrets = new Map<string, StoredSecret>();
  readonly configMaps = new Map<string, StoredConfigMap>();
  tls: { secretName?: string } | undefined;
  pods: StoredPod[] = [];
  last: Tls | undefined;

  /** One pass, written. */
  pass(): Tls {
    const sight = {
      database: {
        metadata: { name: "orders", namespace: "shop" },
        spec: { version: "17", ...(this.tls ? { tls: this.tls } : {}) },
      } as unknown as StoredDatabase,
      pods: this.pods,
      secrets: this.secrets,
      configMaps: this.configMaps,
    } as unknown as Sight;
    this.last = tlsOf(sight, { owner: [], certificates: this.certificates, nowMs: this.nowMs });
    for (const secret of [this.last.authority ?? [], this.last.secret ?? []].flat()) {
      this.secrets.set(secret.metadata!.name!, secret as StoredSecret);
    }
    if (this.last.configMap) this.configMaps.set("orders-ca", this.last.configMap as StoredConfigMap);
    return this.last;
  }

  text(name: string, field: string): string {
    return decodeBase64(this.secrets.get(name)?.data?.[field] ?? "");
  }

  /** Fingerprints of what members are given: the certificate, and what is trusted. */
  get given() {
    const { read, split } = this.certificates;
    const bundle = this.text("orders-tls", "ca.crt");
    assert.is(
      this.configMaps.get("orders-ca")?.data?.["ca.crt"],
      bundle,
      "applications trust what members do",
    );
    return {
      certificate: read(this.text("orders-tls", "tls.crt")).fingerprint,
      trusts: split(bundle).map((one) => read(one).fingerprint),
    };
  }

  /** All members have taken up what is mounted, and say so. */
  report(members = 2): void {
    const since = new Date(this.nowMs).toISOString();
    this.pods = Array.from({ length: members }, (_, i) => ({
      metadata: {
        name: `orders-${i}`,
        annotations: { [annotation.tls]: JSON.stringify({ ...this.given, since }) },
      },
    } as unknown as StoredPod));
  }

  /** A person's Secret. */
  give(name: string, text: Record<string, string>): void {
    const data = Object.fromEntries(Object.entries(text).map(([key, value]) => [key, encodeBase64(value)]));
    this.secrets.set(name, { metadata: { name }, data } as unknown as StoredSecret);
  }

  /** What a person's authority issues. */
  issue(issuer: KeyPair, names = ["orders.shop.svc"], days = [0, 90]): KeyPair {
    const [from, to] = days.map((day) => this.nowMs + day * dayMs);
    return this.certificates.issue({ subject: "x", names, notBeforeMs: from!, notAfterMs: to!, issuer });
  }

  authority(): KeyPair {
    const { nowMs } = this;
    return this.certificates.issue({
      subject: "ca",
      names: [],
      notBeforeMs: nowMs,
      notAfterMs: nowMs + 3650 * dayMs,
    });
  }
}

function settled(): Stage {
  const stage = new Stage();
  stage.pass();
  stage.report();
  stage.nowMs += trustMs;
  stage.pass();
  return stage;
}

test("a Database has an authority and a certificate of its own; only the authority's Secret has its key", () => {
  const stage = new Stage();
  stage.pass();
  assert.equal(stage.given, { certificate: "fingerprint 2", trusts: ["fingerprint 1"] });
  assert.is(stage.text("orders-ca", "tls.key"), "key 1");
  assert.is(stage.text("orders-tls", "tls.key"), "key 2");
  assert.equal(Object.keys(stage.configMaps.get("orders-ca")?.data ?? {}), ["ca.crt"]);
  const { names } = stage.certificates.read(stage.text("orders-tls", "tls.crt"));
  for (const name of ["orders", "orders.shop.svc", "orders-ro.shop.svc", "*.orders-pods.shop.svc"]) {
    assert.ok(names.includes(name), name);
  }
});

test("nothing changes until two thirds of the certificate's life; then only the certificate does", () => {
  const stage = settled();
  const before = stage.given;
  for (const day of [1, 59]) {
    stage.nowMs += day * dayMs / 60 * 59;
    stage.pass();
    assert.equal(stage.given, before, `day ${day}`);
  }
  stage.nowMs += 3 * dayMs;
  const { notAfterMs } = stage.pass();
  assert.equal(stage.given, { ...before, certificate: "fingerprint 3" });
  assert.is(notAfterMs, stage.nowMs + validityMs.certificate);
});

test("the next look comes when something may have to be done, and after ten minutes at the latest", () => {
  const stage = settled();
  assert.is(stage.last?.againMs, lookMs);
  stage.nowMs += validityMs.certificate * 2 / 3 - 5 * 60_000;
  assert.ok(stage.pass().againMs < lookMs);
});

test("an authority is renewed at two thirds of its life, trusted first, used later, and the earlier one goes last", () => {
  const stage = settled();
  stage.nowMs += validityMs.authority * 2 / 3;
  // The certificate was renewed all along; here it still has the day's half of its life.
  const [ca, crt] = [stage.text("orders-ca", "tls.crt"), stage.text("orders-ca", "tls.key")];
  const fresh = stage.certificates.issue({
    subject: "orders",
    names: stage.certificates.read(stage.text("orders-tls", "tls.crt")).names,
    notBeforeMs: stage.nowMs,
    notAfterMs: stage.nowMs + validityMs.certificate,
    issuer: { certificate: ca, key: crt },
  });
  const labels = stage.secrets.get("orders-tls")!.metadata.labels!;
  stage.give("orders-tls", { "tls.crt": fresh.certificate, "tls.key": fresh.key, "ca.crt": ca });
  stage.secrets.get("orders-tls")!.metadata.labels = labels;
  stage.report();
  changesAuthority(stage);
});

test("an authority whose Secret is deleted is replaced the same way", () => {
  const stage = settled();
  stage.secrets.delete("orders-ca");
  changesAuthority(stage);
});

/** From the pass that makes a new authority to the end of the change. */
function changesAuthority(stage: Stage): void {
  const before = stage.given;
  stage.pass();
  const both = stage.given;
  assert.is(both.certificate, before.certificate, "the certificate stays");
  assert.is(both.trusts.length, 2);
  assert.is(both.trusts[1], before.trusts[0]);
  stage.nowMs += dayMs / 2;
  stage.pass();
  assert.equal(stage.given, both, "no member trusts the new one yet");
  stage.report();
  stage.nowMs += trustMs - 1;
  stage.pass();
  assert.equal(stage.given, both, "the members trust it, the applications may not yet");
  stage.nowMs += 1;
  stage.pass();
  const after = stage.given;
  assert.is.not(after.certificate, before.certificate);
  assert.equal(after.trusts, both.trusts, "a member may still show the earlier certificate");
  stage.pass();
  assert.equal(stage.given, after);
  stage.report();
  stage.pass();
  assert.equal(stage.given, { certificate: after.certificate, trusts: [both.trusts[0]!] });
}

test("a deleted Secret of the members is issued again at once, by the same authority", () => {
  const stage = settled();
  const before = stage.given;
  stage.secrets.delete("orders-tls");
  stage.pass();
  assert.equal(stage.given.trusts, before.trusts);
  assert.is.not(stage.given.certificate, before.certificate);
});

test("a certificate that expired while nobody looked is replaced at once, whatever members trust", () => {
  const stage = settled();
  stage.nowMs += validityMs.authority;
  stage.pass();
  const { notAfterMs } = stage.certificates.read(stage.text("orders-tls", "tls.crt"));
  assert.is(notAfterMs, stage.nowMs + validityMs.certificate);
});

test("the Secret of spec.tls is copied with its whole chain; a change of its authority is trusted first", () => {
  const stage = settled();
  const own = stage.given;
  const authority = stage.authority(), leaf = stage.issue(authority);
  stage.give("mine", {
    "tls.crt": leaf.certificate + authority.certificate,
    "tls.key": leaf.key,
    "ca.crt": authority.certificate,
  });
  stage.tls = { secretName: "mine" };
  stage.pass();
  assert.equal([stage.given.certificate, stage.given.trusts.length], [own.certificate, 2]);
  stage.report();
  stage.nowMs += trustMs;
  stage.pass();
  stage.report();
  stage.pass();
  const { read } = stage.certificates;
  assert.equal(stage.given, {
    certificate: read(leaf.certificate).fingerprint,
    trusts: [read(authority.certificate).fingerprint],
  });
  assert.is(stage.text("orders-tls", "tls.crt"), leaf.certificate + authority.certificate);
  // Renewed by the same authority: at once.
  const renewed = stage.issue(authority);
  stage.give("mine", {
    "tls.crt": renewed.certificate,
    "tls.key": renewed.key,
    "ca.crt": authority.certificate,
  });
  stage.pass();
  assert.is(stage.given.certificate, read(renewed.certificate).fingerprint);
});

test("the own authority stays until every member shows what the Secret gives, so that a typo is taken back unseen", () => {
  const stage = settled();
  const own = stage.given;
  stage.tls = { secretName: "mien" };
  for (let pass = 0; pass < 3; pass++) {
    assert.not.ok(stage.pass().isGiven, "a Secret that is not there");
    stage.nowMs += trustMs;
    stage.report();
  }
  assert.equal(stage.given, own);
  const authority = stage.authority(), leaf = stage.issue(authority);
  stage.give("mien", { "tls.crt": leaf.certificate, "tls.key": leaf.key, "ca.crt": authority.certificate });
  assert.not.ok(stage.pass().isGiven, "the members do not trust it yet");
  stage.report();
  stage.nowMs += trustMs;
  assert.not.ok(stage.pass().isGiven, "it was written just now");
  stage.report();
  assert.ok(stage.pass().isGiven);
  stage.secrets.delete("orders-ca");
  stage.secrets.delete("mien");
  assert.not.ok(stage.pass().isGiven);
  stage.tls = undefined;
  assert.not.ok(stage.pass().isGiven);
});

test("a new Database with the Secret of spec.tls never has another certificate", () => {
  const stage = new Stage();
  const authority = stage.authority(), leaf = stage.issue(authority, ["*.shop.svc"]);
  stage.give("mine", { "tls.crt": leaf.certificate, "tls.key": leaf.key, "ca.crt": authority.certificate });
  stage.tls = { secretName: "mine" };
  const { authority: made, problems } = stage.pass();
  assert.equal([made, problems], [undefined, []]);
  assert.is(stage.given.certificate, stage.certificates.read(leaf.certificate).fingerprint);
});

test("a Secret that cannot be used is told by field and reason, and changes nothing", () => {
  const stage = settled();
  const authority = stage.authority(), leaf = stage.issue(authority), other = stage.issue(authority);
  const good = { "tls.crt": leaf.certificate, "tls.key": leaf.key, "ca.crt": authority.certificate };
  const broken = "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n";
  const certificate = (days: number[], names?: string[]) => {
    const pair = stage.issue(authority, names, days);
    return { ...good, "tls.crt": pair.certificate, "tls.key": pair.key };
  };
  const cases: { given: Record<string, string> | undefined; want: string }[] = [
    { given: undefined, want: "is not there" },
    { given: {}, want: "lacks tls.crt, tls.key, ca.crt" },
    { given: { ...good, "ca.crt": "" }, want: "lacks ca.crt" },
    { given: { ...good, "tls.crt": "hello" }, want: "has no X.509 certificate in PEM as tls.crt" },
    { given: { ...good, "tls.crt": broken }, want: "has no X.509 certificate in PEM as tls.crt" },
    {
      given: { ...good, "tls.key": "hello" },
      want: "has no private key in PEM, without a passphrase, as tls.key",
    },
    { given: { ...good, "tls.key": other.key }, want: "has a tls.key that does not belong to tls.crt" },
    {
      given: { ...good, "ca.crt": broken },
      want: "has something in ca.crt or tls.crt that is no X.509 certificate",
    },
    {
      given: { ...good, "ca.crt": stage.authority().certificate },
      want: "has a tls.crt that no certificate in ca.crt issued",
    },
    { given: { ...good, "ca.crt": "hello" }, want: "has a tls.crt that no certificate in ca.crt issued" },
    {
      given: certificate([-90, -1]),
      want: `has a tls.crt that expired at ${new Date(stage.nowMs - dayMs).toISOString()}`,
    },
    {
      given: certificate([1, 90]),
      want: `has a tls.crt that is valid only from ${new Date(stage.nowMs + dayMs).toISOString()}`,
    },
    {
      given: certificate([0, 90], ["orders.other.svc", "*.svc", "*.orders.shop.svc"]),
      want: "has a tls.crt that does not name orders.shop.svc",
    },
  ];
  const before = JSON.stringify(stage.secrets.get("orders-tls")?.data);
  stage.tls = { secretName: "mine" };
  for (const { given, want } of cases) {
    stage.secrets.delete("mine");
    if (given) stage.give("mine", given);
    const kept = "; the members keep the certificate that they have";
    const message = `spec.tls.secretName: Secret "mine" ${want}${kept}`;
    assert.equal(stage.pass().problems, [{ reason: "TlsSecretUnusable", message, stops: false }], want);
    assert.is(JSON.stringify(stage.secrets.get("orders-tls")?.data), before, want);
  }
  const fresh = new Stage();
  fresh.tls = { secretName: "mine" };
  const { problems, secret } = fresh.pass();
  assert.equal([problems.map(({ stops }) => stops), secret], [[true], undefined]);
});

test("somebody else's Secret of the name that ours would have is left alone", () => {
  const stage = new Stage();
  stage.give("orders-tls", { a: "b" });
  const { problems, secret, authority } = stage.pass();
  assert.equal(problems.map(({ reason, stops }) => [reason, stops]), [["NameConflict", true]]);
  assert.equal([secret, authority], [undefined, undefined]);
});

test("a member that does not take up its certificate is told", () => {
  const stage = settled();
  const problem = "the server does not take up the certificate";
  stage.pods[0]!.metadata.annotations![annotation.tls] = JSON.stringify({
    ...stage.given,
    since: "2026-11-23T12:00:00Z",
    problem,
  });
  assert.equal(stage.pass().problems, [
    { reason: "CertificateNotLoaded", message: `Member orders-0: ${problem}`, stops: false },
  ]);
  for (const text of ["", "{", "null", "[]", '"x"', '{"trusts":1}']) {
    stage.pods[0]!.metadata.annotations![annotation.tls] = text;
    assert.equal(stage.pass().problems, [], text);
  }
});

test("what is written carries our labels", () => {
  const stage = settled();
  for (const name of ["orders-ca", "orders-tls"]) {
    const labels = stage.secrets.get(name)?.metadata.labels ?? {};
    assert.equal([labels[label.database], labels["app.kubernetes.io/managed-by"]], ["orders", fieldManager]);
  }
});

test.run();
