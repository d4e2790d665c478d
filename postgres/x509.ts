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
  const signed = (one: X509Certificate, by: X509Certificate) =>
    one.checkIssued(by) && one.verify(by.publicKey);
  let one = leaf;
  for (let hops = 0; one && hops <= between.length; hops++) {
    const last = one;
    if (trusted.some((by) => last.fingerprint256 === by.fingerprint256 || signed(last, by))) return true;
    one = between.find((by) => by !== last && signed(last, by));
  }
  return false;
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
