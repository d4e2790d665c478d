/**
 * Certificates without cryptography: each is JSON in base64, so that a test can read what was asked for.
 * @module
 */
import type { CertificateFacts, Certificates } from "../../postgres/mod.ts";

interface Content {
  subject: string;
  names: readonly string[];
  notBeforeMs: number;
  notAfterMs: number;
  /** Number of the key, and of the one that signed. */
  key: number;
  signer: number;
}

/** A port whose keys are numbers, counted up from 1. */
export function fakeCertificates(): Certificates {
  let keys = 0;
  const parse = (text: string): Content => {
    const [, body] = /BEGIN CERTIFICATE-----\n([^-]+)\n-----END/.exec(text) ?? [];
    if (body === undefined) throw new SyntaxError("Cannot read the certificate");
    return JSON.parse(atob(body)) as Content;
  };
  const split = (text: string) =>
    (text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map((one) => `${one}\n`);
  const isIssuedBy = (chain: string, authorities: string) =>
    split(authorities).some((one) => parse(one).key === parse(chain).signer);
  return {
    issue: ({ issuer, ...request }) => {
      const key = ++keys;
      const content: Content = { ...request, key, signer: issuer ? parse(issuer.certificate).key : key };
      const body = btoa(JSON.stringify(content));
      return {
        certificate: `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`,
        key: `key ${key}`,
      };
    },
    read: (text): CertificateFacts => {
      const { names, notBeforeMs, notAfterMs, key } = parse(text);
      return { fingerprint: `fingerprint ${key}`, names, notBeforeMs, notAfterMs, publicKey: `key ${key}` };
    },
    publicKeyOf: (key) => {
      if (/^key \d+$/.test(key)) return key;
      throw new SyntaxError("Cannot read the private key");
    },
    isIssuedBy,
    chainProblem: (chain, authorities) =>
      isIssuedBy(chain, authorities) ? undefined : "has a tls.crt that no certificate in ca.crt issued",
    split,
  };
}
