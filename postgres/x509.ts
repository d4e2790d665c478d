/**
 * X.509 certificates: issues them, and reads those of others.
 *
 * Neither runtime can issue a certificate. The structures and their encoding (RFC 5280) are those of
 * @peculiar/asn1-x509; keys, signatures and reading are the runtimes' own `node:crypto`. Keys are ECDSA on P-256, which
 * every TLS library knows and which is quickly made.
 * @module
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, X509Certificate } from "node:crypto";
import { AsnConvert, OctetString } from "@peculiar/asn1-schema";
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  AuthorityKeyIdentifier,
  BasicConstraints,
  Certificate,
  ExtendedKeyUsage,
  Extension,
  Extensions,
  GeneralName,
  id_ce_authorityKeyIdentifier,
  id_ce_basicConstraints,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_subjectAltName,
  id_ce_subjectKeyIdentifier,
  id_kp_clientAuth,
  id_kp_serverAuth,
  KeyIdentifier,
  KeyUsage,
  KeyUsageFlags,
  Name,
  RelativeDistinguishedName,
  SubjectAlternativeName,
  SubjectKeyIdentifier,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
  Version,
} from "@peculiar/asn1-x509";

/** Object identifiers of RFC 5758 (the signature) and RFC 5280 (the one name in subjects). */
const ecdsaWithSha256 = "1.2.840.10045.4.3.2", commonName = "2.5.4.3";

/** A certificate and its private key, both in PEM; the key as PKCS #8. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

/** What a certificate should say. */
export interface IssueRequest {
  /** Common name of the subject; at most 64 letters go into it. */
  readonly subject: string;
  /** DNS names that it is valid for; without any it is an authority. */
  readonly names: readonly string[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Who signs; without one it signs itself. */
  readonly issuer?: KeyPair | undefined;
}

/** What a certificate says. */
export interface CertificateFacts {
  /** SHA-256 of the certificate, in lower-case hexadecimal digits. */
  readonly fingerprint: string;
  /** DNS names that it is valid for. */
  readonly names: readonly string[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** The public key (SubjectPublicKeyInfo, DER), in base64. */
  readonly publicKey: string;
}

/** Issues a certificate with a new key. */
export function issue({ subject, names, notBeforeMs, notAfterMs, issuer }: IssueRequest): KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const own = AsnConvert.parse(publicKey.export({ format: "der", type: "spki" }), SubjectPublicKeyInfo);
  const signer = issuer && AsnConvert.parse(new X509Certificate(issuer.certificate).raw, Certificate);
  const signerKey = issuer ? createPrivateKey(issuer.key) : privateKey;
  const name = nameOf(subject);
  const algorithm = new AlgorithmIdentifier({ algorithm: ecdsaWithSha256 });
  const tbsCertificate = new TBSCertificate({
    version: Version.v3,
    serialNumber: serialNumber(),
    signature: algorithm,
    issuer: signer?.tbsCertificate.subject ?? name,
    validity: new Validity({ notBefore: new Date(notBeforeMs), notAfter: new Date(notAfterMs) }),
    subject: name,
    subjectPublicKeyInfo: own,
    extensions: new Extensions(
      extensions(names, own, signer?.tbsCertificate.subjectPublicKeyInfo ?? own),
    ),
  });
  const signature = sign("sha256", new Uint8Array(AsnConvert.serialize(tbsCertificate)), signerKey);
  const certificate = new Certificate({
    tbsCertificate,
    signatureAlgorithm: algorithm,
    signatureValue: new Uint8Array(signature).buffer,
  });
  return {
    certificate: pem(new Uint8Array(AsnConvert.serialize(certificate))),
    key: privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
  };
}

/** An authority signs certificates and nothing else; all others are a server's, which is also a client of its peers. */
function extensions(
  names: readonly string[],
  own: SubjectPublicKeyInfo,
  signer: SubjectPublicKeyInfo,
): Extension[] {
  const isAuthority = names.length === 0;
  const extension = (extnID: string, critical: boolean, value: unknown) =>
    new Extension({ extnID, critical, extnValue: new OctetString(AsnConvert.serialize(value)) });
  return [
    extension(
      id_ce_basicConstraints,
      true,
      new BasicConstraints(isAuthority ? { cA: true, pathLenConstraint: 0 } : {}),
    ),
    extension(
      id_ce_keyUsage,
      true,
      new KeyUsage(isAuthority ? KeyUsageFlags.keyCertSign : KeyUsageFlags.digitalSignature),
    ),
    extension(id_ce_subjectKeyIdentifier, false, new SubjectKeyIdentifier(keyIdentifier(own))),
    extension(
      id_ce_authorityKeyIdentifier,
      false,
      new AuthorityKeyIdentifier({ keyIdentifier: new KeyIdentifier(keyIdentifier(signer)) }),
    ),
    ...(isAuthority ? [] : [
      extension(id_ce_extKeyUsage, false, new ExtendedKeyUsage([id_kp_serverAuth, id_kp_clientAuth])),
      extension(
        id_ce_subjectAltName,
        false,
        new SubjectAlternativeName(names.map((dNSName) => new GeneralName({ dNSName }))),
      ),
    ]),
  ];
}

/** The last 20 bytes of the public point: any value will do that differs from key to key (RFC 5280, 4.2.1.2). */
function keyIdentifier({ subjectPublicKey }: SubjectPublicKeyInfo): ArrayBuffer {
  return subjectPublicKey.slice(-20);
}

function nameOf(subject: string): Name {
  const value = new AttributeValue({ utf8String: subject.slice(0, 64) });
  return new Name([new RelativeDistinguishedName([new AttributeTypeAndValue({ type: commonName, value })])]);
}

/** 126 random bits: positive, and never with a leading zero byte. */
function serialNumber(): ArrayBuffer {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes.buffer;
}

function pem(der: Uint8Array): string {
  const lines = btoa(String.fromCharCode(...der)).match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

/** The certificates in a text, in their order; none when there is none. */
export function split(text: string): string[] {
  const found = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return found.map((one) => `${one}\n`);
}

/**
 * Reads the first certificate of a text.
 *
 * @throws {SyntaxError} when there is none, or it is not X.509
 */
export function read(text: string): CertificateFacts {
  const certificate = parse(text);
  return {
    fingerprint: certificate.fingerprint256.replaceAll(":", "").toLowerCase(),
    names: [...(certificate.subjectAltName ?? "").matchAll(/DNS:([^,\s"]+)/g)].map(([, name]) => name!),
    notBeforeMs: Date.parse(certificate.validFrom),
    notAfterMs: Date.parse(certificate.validTo),
    publicKey: certificate.publicKey.export({ format: "der", type: "spki" }).toString("base64"),
  };
}

/**
 * The public key that belongs to a private one, as in {@linkcode CertificateFacts}.
 *
 * @param key in PEM: PKCS #8, PKCS #1 or SEC 1
 * @throws {SyntaxError} when it is none of them, or encrypted
 */
export function publicKeyOf(key: string): string {
  try {
    return createPublicKey(createPrivateKey(key)).export({ format: "der", type: "spki" }).toString("base64");
  } catch {
    throw new SyntaxError("Cannot read the private key: expected PEM, not encrypted"); // no cause: it may quote the key
  }
}

/**
 * Whether the first certificate of a chain leads to one of `authorities`.
 *
 * @throws {SyntaxError} when one of them is not X.509
 */
export function isIssuedBy(chain: string, authorities: string): boolean {
  const [leaf, ...between] = split(chain).map(parse);
  const trusted = split(authorities).map(parse);
  let one = leaf;
  for (let hops = 0; one && hops <= between.length; hops++) {
    const last = one;
    if (trusted.some((by) => last.fingerprint256 === by.fingerprint256 || isSignedBy(last, by))) return true;
    one = between.find((by) => by !== last && isSignedBy(last, by));
  }
  return false;
}

/**
 * Why OpenSSL would not serve with a chain, or clients that trust `authorities` not accept it: it has to lead through
 * authorities that are valid now to one of `authorities` that is signed by itself, as libpq trusts no other. The rest are
 * the rules of OpenSSL's security level 2, which Debian has, and of SCRAM's channel binding, which needs to know with
 * which hash the certificate is signed.
 *
 * @returns words that follow "Secret x"; `undefined` when nothing is wrong
 * @throws {SyntaxError} when one of them is not X.509
 */
export function chainProblem(chain: string, authorities: string, nowMs: number): string | undefined {
  const shown = split(chain).map(parse), trusted = split(authorities).map(parse);
  const isTrusted = (one: X509Certificate) =>
    trusted.some(({ fingerprint256 }) => fingerprint256 === one.fingerprint256);
  const follow = (one: X509Certificate, below: readonly X509Certificate[]): string | undefined => {
    const issuedByItself = isSignedBy(one, one);
    const problem = problemIn(one, {
      isLeaf: below.length === 0,
      issuedByItself,
      below: below.length,
      nowMs,
    });
    const where = below.length > 0 && isTrusted(one) ? "ca.crt" : "tls.crt";
    if (problem !== undefined) return `has in ${where} ${problem}`;
    if (issuedByItself && isTrusted(one)) return undefined;
    const issuers = [...trusted, ...shown].filter((by) =>
      ![...below, one].includes(by) && isSignedBy(one, by)
    );
    if (issuers.length === 0) {
      return isTrusted(one)
        ? "has a ca.crt without the root, which is signed by itself: clients accept nothing less"
        : "has a tls.crt that no certificate in ca.crt issued";
    }
    const found = issuers.map((by) => follow(by, [...below, one]));
    return found.includes(undefined) ? undefined : found[0];
  };
  const weak = shown.map((one) => weakness(one, isSignedBy(one, one))).find((words) => words !== undefined);
  if (weak !== undefined) return `has in tls.crt ${weak}`;
  return shown[0] ? follow(shown[0], []) : "has a tls.crt that no certificate in ca.crt issued";
}

function isSignedBy(one: X509Certificate, by: X509Certificate): boolean {
  return one.issuer === by.subject && one.verify(by.publicKey);
}

/** What is wrong with one certificate of a chain, in words that follow "in tls.crt". */
function problemIn(
  one: X509Certificate,
  { isLeaf, issuedByItself, below, nowMs }: {
    isLeaf: boolean;
    issuedByItself: boolean;
    below: number;
    nowMs: number;
  },
): string | undefined {
  const who = isLeaf ? "a certificate" : "an authority";
  const { notBeforeMs, notAfterMs } = read(one.toString());
  if (notAfterMs <= nowMs) return `${who} that expired at ${new Date(notAfterMs).toISOString()}`;
  if (notBeforeMs > nowMs) return `${who} that is valid only from ${new Date(notBeforeMs).toISOString()}`;
  const { constraints, usage, extendedUsage } = extensionsOf(one);
  if (!isLeaf && !constraints?.cA) return "a certificate that signed another one and is no authority";
  if (!isLeaf && usage !== undefined && !(usage & KeyUsageFlags.keyCertSign)) {
    return "an authority whose key usage lacks keyCertSign";
  }
  if (!isLeaf && below - 1 > (constraints?.pathLenConstraint ?? Infinity)) {
    return "an authority that allows no other between itself and a certificate";
  }
  if (extendedUsage && !extendedUsage.includes(id_kp_serverAuth)) {
    return `${who} that is not for servers: its extended key usage lacks serverAuth`;
  }
  return weakness(one, issuedByItself);
}

/** SHA-256, -384 and -512 with RSA (RFC 8017, PKCS #1 v1.5) and with ECDSA (RFC 5758). */
const strongSignatures = /^1\.2\.840\.(113549\.1\.1\.1[123]|10045\.4\.3\.[234])$/;

/** What security level 2 and channel binding refuse in any certificate that is shown. */
function weakness(one: X509Certificate, issuedByItself: boolean): string | undefined {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = one.publicKey;
  const isStrong = type === "rsa"
    ? (details?.modulusLength ?? 0) >= 2048
    : type === "ec" && /^(prime256v1|p256|p-256|(secp|p-?)(384|521)(r1)?)$/i.test(details?.namedCurve ?? "");
  if (!isStrong) return "a key that is neither RSA with 2048 bits or more nor P-256, P-384 or P-521";
  // Nobody checks how a root signed itself.
  if (issuedByItself || strongSignatures.test(parsed(one).signatureAlgorithm.algorithm)) return undefined;
  return "a signature that is neither RSA nor ECDSA with SHA-256, SHA-384 or SHA-512";
}

function parsed(one: X509Certificate): Certificate {
  return AsnConvert.parse(one.raw, Certificate);
}

function extensionsOf(one: X509Certificate) {
  const found = parsed(one).tbsCertificate.extensions ?? [];
  const get = <Value>(id: string, type: new () => Value): Value | undefined => {
    const extension = found.find(({ extnID }) => extnID === id);
    return extension && AsnConvert.parse(extension.extnValue.buffer, type);
  };
  return {
    constraints: get(id_ce_basicConstraints, BasicConstraints),
    usage: get(id_ce_keyUsage, KeyUsage)?.toNumber(),
    extendedUsage: get(id_ce_extKeyUsage, ExtendedKeyUsage),
  };
}

function parse(text: string): X509Certificate {
  const [first] = split(text);
  try {
    if (first !== undefined) return new X509Certificate(first);
  } catch {
    // said below; the cause adds nothing
  }
  throw new SyntaxError("Cannot read the certificate: expected X.509 in PEM");
}
