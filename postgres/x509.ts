/**
 * X.509 certificates (RFC 5280): issues them, and reads those of others.
 *
 * Neither runtime can issue a certificate: its structure is written here. Keys, signatures and all of reading but the
 * extensions are the runtimes' own `node:crypto`. Keys are ECDSA on P-256, which every TLS library knows and which is
 * quickly made.
 * @module
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  X509Certificate,
} from "node:crypto";
import * as der from "./der.ts";
import type { CertificateFacts, IssueRequest, KeyPair } from "./tls.ts";

/** Object identifiers of RFC 5280 and, of the signature, RFC 5758. */
const id = {
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  commonName: "2.5.4.3",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
} as const;
/** Bits of KeyUsage, the first byte of it: digitalSignature is bit 0, the highest, and keyCertSign bit 5. */
const keyUsage = { digitalSignature: 0x80, keyCertSign: 0x04 } as const;

/** Issues a certificate with a new key. */
export function issue({ subject, names, notBeforeMs, notAfterMs, issuer }: IssueRequest): KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const own = {
    subject: nameOf(subject),
    publicKey: publicKey.export({ format: "der", type: "spki" }),
  };
  const signer = issuer ? contentOf(new X509Certificate(issuer.certificate)) : own;
  const { sequence } = der.tag;
  const algorithm = der.write(sequence, der.writeObjectIdentifier(id.ecdsaWithSha256));
  const content = der.write(
    sequence,
    der.write(der.field(0, "parts"), integer(2)), // version 3
    der.write(der.tag.integer, serialNumber()),
    algorithm,
    signer.subject,
    der.write(sequence, der.writeTime(notBeforeMs), der.writeTime(notAfterMs)),
    own.subject,
    own.publicKey,
    der.write(
      der.field(3, "parts"),
      der.write(
        sequence,
        ...extensions(names, keyIdentifier(own.publicKey), keyIdentifier(signer.publicKey)),
      ),
    ),
  );
  const signature = sign("sha256", content, issuer ? createPrivateKey(issuer.key) : privateKey);
  return {
    certificate: pem(der.write(sequence, content, algorithm, bitString(signature))),
    key: privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
  };
}

/** An authority signs certificates and nothing else; all others are a server's, which is also a client of its peers. */
function extensions(
  names: readonly string[],
  own: Uint8Array,
  signer: Uint8Array,
): Uint8Array[] {
  const { sequence, octetString } = der.tag;
  const isAuthority = names.length === 0;
  const extension = (name: string, value: Uint8Array, ...critical: Uint8Array[]) =>
    der.write(sequence, der.writeObjectIdentifier(name), ...critical, der.write(octetString, value));
  return [
    // An authority, and none below it.
    extension(
      id.basicConstraints,
      der.write(sequence, ...isAuthority ? [boolean, integer(0)] : []),
      boolean, // critical
    ),
    extension(
      id.keyUsage,
      isAuthority
        ? bitString(Uint8Array.of(keyUsage.keyCertSign), 2)
        : bitString(Uint8Array.of(keyUsage.digitalSignature), 7),
      boolean, // critical
    ),
    extension(id.subjectKeyIdentifier, der.write(octetString, own)),
    extension(id.authorityKeyIdentifier, der.write(sequence, der.write(der.field(0, "plain"), signer))),
    ...(isAuthority ? [] : [
      extension(
        id.extKeyUsage,
        der.write(sequence, ...[id.serverAuth, id.clientAuth].map(der.writeObjectIdentifier)),
      ),
      extension(
        id.subjectAltName,
        der.write(sequence, ...names.map((name) => der.write(der.field(2, "plain"), der.writeText(name)))),
      ),
    ]),
  ];
}

/** The only BOOLEAN that DER ever writes: false is the default, and left out. */
const boolean = der.write(der.tag.boolean, Uint8Array.of(0xff));

function integer(small: number): Uint8Array {
  return der.write(der.tag.integer, Uint8Array.of(small));
}

/** @param unused how many bits of the last byte mean nothing */
function bitString(bytes: Uint8Array, unused = 0): Uint8Array {
  return der.write(der.tag.bitString, Uint8Array.of(unused), bytes);
}

/** The last 20 bytes of the public point: any value will do that differs from key to key (RFC 5280, 4.2.1.2). */
function keyIdentifier(publicKey: Uint8Array): Uint8Array {
  return publicKey.subarray(-20);
}

function nameOf(subject: string): Uint8Array {
  const { sequence, set, utf8String } = der.tag;
  const value = der.write(utf8String, der.writeText(subject.slice(0, 64)));
  return der.write(
    sequence,
    der.write(set, der.write(sequence, der.writeObjectIdentifier(id.commonName), value)),
  );
}

/** 126 random bits: positive, and never with a leading zero byte. */
function serialNumber(): Uint8Array {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes;
}

function pem(bytes: Uint8Array): string {
  const lines = btoa(String.fromCharCode(...bytes)).match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

/** The certificates in a text, in their order; none when there is none. */
export function split(text: string): string[] {
  const found = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return found.map((one) => `${one}\n`);
}

/** Answers that are kept of each function: enough for 1,000 Databases, about 2 MB. */
const rememberedMax = 2_000;

/**
 * The function, which asks itself once for the same texts: each pass of a Database looks at the same certificates and
 * keys. Of what it was asked only a hash is kept, as it may be a private key; what it throws is not kept.
 */
function remembering<Texts extends string[], Answer>(
  ask: (...texts: Texts) => Answer,
): (...texts: Texts) => Answer {
  const answers = new Map<string, Answer>();
  return (...texts) => {
    const hash = createHash("sha256").update(JSON.stringify(texts)).digest("base64");
    const known = answers.get(hash);
    if (known !== undefined) return known;
    const answer = ask(...texts);
    for (const oldest of answers.keys()) {
      if (answers.size < rememberedMax) break;
      answers.delete(oldest);
    }
    answers.set(hash, answer);
    return answer;
  };
}

/**
 * Reads the first certificate of a text.
 *
 * @throws {SyntaxError} when there is none, or it is not X.509
 */
export const read = remembering((text: string): CertificateFacts => {
  const certificate = parse(text);
  return {
    fingerprint: certificate.fingerprint256.replaceAll(":", "").toLowerCase(),
    names: [...(certificate.subjectAltName ?? "").matchAll(/DNS:([^,\s"]+)/g)].map(([, name]) => name!),
    notBeforeMs: Date.parse(certificate.validFrom),
    notAfterMs: Date.parse(certificate.validTo),
    publicKey: certificate.publicKey.export({ format: "der", type: "spki" }).toString("base64"),
  };
});

/**
 * The public key that belongs to a private one, as in {@linkcode CertificateFacts}.
 *
 * @param key in PEM: PKCS #8, PKCS #1 or SEC 1
 * @throws {SyntaxError} when it is none of them, or encrypted
 */
export const publicKeyOf = remembering((key: string): string => {
  try {
    return createPublicKey(createPrivateKey(key)).export({ format: "der", type: "spki" }).toString("base64");
  } catch {
    throw new SyntaxError("Cannot read the private key: expected PEM, not encrypted"); // no cause: it may quote the key
  }
});

/**
 * Whether the first certificate of a chain leads to one of `authorities`.
 *
 * @throws {SyntaxError} when one of them is not X.509
 */
export const isIssuedBy = remembering((chain: string, authorities: string): boolean => {
  const [leaf, ...between] = split(chain).map(parse);
  const trusted = split(authorities).map(parse);
  let one = leaf;
  for (let hops = 0; one && hops <= between.length; hops++) {
    const last = one;
    if (trusted.some((by) => last.fingerprint256 === by.fingerprint256 || isSignedBy(last, by))) return true;
    one = between.find((by) => by !== last && isSignedBy(last, by));
  }
  return false;
});

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
  if (!isLeaf && !constraints?.isAuthority) {
    return "a certificate that signed another one and is no authority";
  }
  if (!isLeaf && usage !== undefined && !(usage & keyUsage.keyCertSign)) {
    return "an authority whose key usage lacks keyCertSign";
  }
  if (!isLeaf && below - 1 > (constraints?.pathLength ?? Infinity)) {
    return "an authority that allows no other between itself and a certificate";
  }
  if (extendedUsage && !extendedUsage.includes(id.serverAuth)) {
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
  if (issuedByItself || strongSignatures.test(contentOf(one).signatureAlgorithm)) return undefined;
  return "a signature that is neither RSA nor ECDSA with SHA-256, SHA-384 or SHA-512";
}

/** What `node:crypto` does not tell of a certificate; whose DER is whole, as it has read it. */
function contentOf({ raw }: X509Certificate) {
  const [whole] = der.read(raw);
  const [content, algorithm] = der.read(whole!.content);
  const fields = der.read(content!.content);
  // Before them version, which is left out of version 1, serial number, signature, issuer and validity.
  const [subject, publicKey] = fields.slice(fields[0]!.tag === der.field(0, "parts") ? 5 : 4);
  const extensions = fields.find(({ tag }) => tag === der.field(3, "parts"));
  return {
    subject: subject!.bytes,
    publicKey: publicKey!.bytes,
    signatureAlgorithm: der.readObjectIdentifier(der.read(algorithm!.content)[0]!),
    extensions: extensions ? der.read(der.read(extensions.content)[0]!.content) : [],
  };
}

function extensionsOf(one: X509Certificate) {
  const values = new Map(
    contentOf(one).extensions.map(({ content }) => {
      const parts = der.read(content);
      return [der.readObjectIdentifier(parts[0]!), der.read(parts.at(-1)!.content)[0]!];
    }),
  );
  const constraints = values.get(id.basicConstraints), usage = values.get(id.keyUsage);
  const extendedUsage = values.get(id.extKeyUsage);
  return {
    constraints: constraints && constraintsIn(constraints),
    usage: usage?.content[1],
    extendedUsage: extendedUsage && der.read(extendedUsage.content).map(der.readObjectIdentifier),
  };
}

/** How many authorities may stand below one; any number when that is not said. */
function constraintsIn({ content }: der.Value): { isAuthority: boolean; pathLength?: number } {
  const fields = der.read(content);
  const length = fields.find(({ tag }) => tag === der.tag.integer);
  return {
    isAuthority: fields[0]?.tag === der.tag.boolean && fields[0].content[0] !== 0,
    ...(length ? { pathLength: length.content.reduce((sum, byte) => sum * 256 + byte, 0) } : {}),
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
