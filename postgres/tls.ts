/**
 * TLS: the certificate that the members show, the authorities that they and the applications trust, and how both change.
 *
 * Secret `<name>-tls` is what members mount: tls.crt, tls.key and ca.crt, either from an authority of the Database's own
 * (Secret `<name>-ca`, whose key no pod mounts) or checked and copied from the Secret that spec.tls names. ConfigMap
 * `<name>-ca` gives applications ca.crt. What cannot be used is never written: the members keep what they have.
 *
 * A new authority is trusted before it is used. While the certificate in use and the wanted one have different
 * authorities, ca.crt has both; once every member has had them for a while, so that the applications' mounted files have
 * them too, the certificate changes; once every member shows it, the earlier authority goes. All of that is read from
 * the objects and from what each member's agent says (tls_agent.ts); nothing is remembered.
 * @module
 */
import type { ConfigMap, Secret, StoredPod } from "../types/core/v1.ts";
import { decodeBase64, encodeBase64 } from "./backups.ts";
import type { OwnerReference } from "./database.ts";
import { annotation, namesOf, ownedMetadata } from "./names.ts";
import { belongsToOthers, isOfDatabase, type Problem, type Sight } from "./sight.ts";

/** A certificate and its private key, both in PEM; a key that was issued is PKCS #8. */
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

/** What is needed of X.509, which is not rendering: see x509.ts. */
export interface Certificates {
  /** Issues a certificate with a new key. */
  issue(request: IssueRequest): KeyPair;
  /** Reads the first certificate of a text; throws SyntaxError for what is none. */
  read(text: string): CertificateFacts;
  /** The public key that belongs to a private one; throws SyntaxError for what is none. */
  publicKeyOf(key: string): string;
  /** Whether the first certificate of a chain leads to one of the authorities; throws SyntaxError for what is none. */
  isIssuedBy(chain: string, authorities: string): boolean;
  /**
   * Why servers could not use a chain or clients that trust the authorities not accept it, in words that follow
   * "Secret x"; throws SyntaxError for what is none.
   */
  chainProblem(chain: string, authorities: string, nowMs: number): string | undefined;
  /** The certificates in a text, one by one. */
  split(text: string): string[];
}

/** What a certificate says. */
export interface CertificateFacts {
  /** SHA-256 of it, in lower-case hexadecimal digits. */
  readonly fingerprint: string;
  /** DNS names that it is valid for. */
  readonly names: readonly string[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** The public key (SubjectPublicKeyInfo, DER), in base64. */
  readonly publicKey: string;
}

const dayMs = 86_400_000;
/** Ten years for an authority, 90 days for a certificate; either is renewed when two thirds of it are over. */
export const validityMs = { authority: 3650 * dayMs, certificate: 90 * dayMs } as const;
/** A certificate is valid from a while ago: clocks differ. */
const backdatedMs = 300_000;
/**
 * How long every member has had a new authority before a certificate of it is shown. A kubelet looks at mounted files
 * at least every minute and a half; the applications' need the same time as the members'.
 */
export const trustMs = 120_000;
/** How often the Secrets are looked at while nothing else happens: nobody tells of a change in them. */
export const lookMs = 600_000;

/** What follows from the Secrets of TLS. */
export interface Tls {
  /** What a person has to mend. */
  readonly problems: readonly Problem[];
  /** The authority of the Database's own, when it has to be written. */
  readonly authority?: Secret;
  /** What members mount, when there is something. */
  readonly secret?: Secret;
  /** What applications trust, when there is something. */
  readonly configMap?: ConfigMap;
  /** Every member shows what the Secret of spec.tls gives: the authority of the Database's own has nothing to sign. */
  readonly isGiven?: boolean;
  /** Until when the certificate in place is valid, in milliseconds since 1970. */
  readonly notAfterMs?: number;
  /** Milliseconds until something may have to be done. */
  readonly againMs: number;
}

/** A certificate that is there or wanted: the chain that is shown, its key, and what has to be trusted for it. */
interface Material extends KeyPair {
  readonly authorities: readonly string[];
}

/** The Secrets and the ConfigMap of TLS as they should be now. */
export function tlsOf(
  sight: Sight,
  { owner, certificates, nowMs }: {
    owner: readonly OwnerReference[];
    certificates: Certificates;
    nowMs: number;
  },
): Tls {
  const { database, secrets, configMaps } = sight;
  const { name } = database.metadata;
  const names = namesOf(name);
  for (const secretName of [names.tls, ...(database.spec.tls?.secretName ? [] : [names.authority])]) {
    const found = secrets.get(secretName);
    if (!found || isOfDatabase(found, name)) continue;
    const message = belongsToOthers("Secret", secretName);
    return { problems: [{ reason: "NameConflict", message, stops: true }], againMs: lookMs };
  }
  const present = materialIn(secrets.get(names.tls)?.data, certificates);
  const trusted = certificates.split(
    present?.authorities.join("") ?? configMaps.get(names.authority)?.data?.["ca.crt"] ?? "",
  );
  const source = database.spec.tls?.secretName
    ? given(sight, certificates, nowMs)
    : own(sight, present, { certificates, nowMs });
  const problems = [...source.problem ?? [], ...reportedProblems(sight.pods)];
  const wanted = source.wanted ?? present;
  if (!wanted) return { problems, againMs: lookMs };

  const waits = present !== undefined && certificates.read(present.certificate).notAfterMs > nowMs &&
    !haveCommonAuthority(present, wanted, trusted, certificates) &&
    !membersTrust(sight.pods, wanted, certificates, nowMs);
  const shown = waits ? present : wanted;
  const facts = certificates.read(shown.certificate);
  const everywhere = sight.pods.every((pod) => tlsReport(pod)?.certificate === facts.fingerprint);
  // What is trusted already stays until every member shows what needs it no more.
  const kept = everywhere && !waits ? [] : trusted.filter((one) => !wanted.authorities.includes(one));
  const bundle = [...wanted.authorities, ...kept].join("");
  const renewal = Math.max(0, renewalMs(facts) - nowMs);
  return {
    problems,
    ...(source.authority
      ? { authority: keySecret(sight, owner, names.authority, source.authority, "") }
      : {}),
    secret: keySecret(sight, owner, names.tls, shown, bundle),
    configMap: {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: ownedMetadata(database, names.authority, owner),
      data: { "ca.crt": bundle },
    },
    isGiven: database.spec.tls?.secretName !== undefined && source.wanted !== undefined && !waits &&
      everywhere,
    notAfterMs: facts.notAfterMs,
    againMs: Math.min(lookMs, waits || kept.length > 0 ? 15_000 : Math.max(renewal, 60_000)),
  };
}

/** What an authority of the Database's own gives: the certificate that is there while it is good, else a new one. */
function own(
  { database, secrets }: Sight,
  present: Material | undefined,
  { certificates, nowMs }: { certificates: Certificates; nowMs: number },
): { wanted: Material; authority?: KeyPair; problem?: undefined } {
  const { name, namespace } = database.metadata;
  const notBeforeMs = nowMs - backdatedMs;
  const stored = materialIn(secrets.get(namesOf(name).authority)?.data, certificates);
  const lasts = (pair: KeyPair) => nowMs < renewalMs(certificates.read(pair.certificate));
  const renewed = stored && lasts(stored) ? undefined : certificates.issue({
    subject: `${namespace}/${name} authority`,
    names: [],
    notBeforeMs,
    notAfterMs: nowMs + validityMs.authority,
  });
  const authority = renewed ?? stored!;
  const dnsNames = dnsNamesOf(name, namespace);
  const isGood = present !== undefined && lasts(present) &&
    certificates.isIssuedBy(present.certificate, authority.certificate) &&
    dnsNames.every((dnsName) => certificates.read(present.certificate).names.includes(dnsName));
  const pair = isGood ? present : certificates.issue({
    subject: name,
    names: dnsNames,
    notBeforeMs,
    notAfterMs: nowMs + validityMs.certificate,
    issuer: authority,
  });
  const wanted = { ...pair, authorities: [authority.certificate] };
  return { wanted, ...(renewed ? { authority: renewed } : {}) };
}

/** What the Secret of spec.tls gives, or what is wrong with it, in words that hold none of its values. */
function given(
  { database, secrets }: Sight,
  certificates: Certificates,
  nowMs: number,
): { wanted?: Material; authority?: undefined; problem?: Problem[] } {
  const { name, namespace } = database.metadata;
  const secretName = database.spec.tls?.secretName ?? "";
  const has = secrets.get(namesOf(name).tls) !== undefined;
  const refuse = (what: string) => ({
    problem: [{
      reason: "TlsSecretUnusable",
      message: `spec.tls.secretName: Secret "${secretName}" ${what}${
        has ? "; the members keep the certificate that they have" : ""
      }`,
      stops: !has,
    }],
  });
  const secret = secrets.get(secretName);
  if (!secret) return refuse("is not there");
  const missing = ["tls.crt", "tls.key", "ca.crt"].filter((field) => !secret.data?.[field]);
  if (missing.length > 0) return refuse(`lacks ${missing.join(", ")}`);
  const text = (field: string) => decodeBase64(secret.data![field]!);
  const chain = certificates.split(text("tls.crt")), authorities = certificates.split(text("ca.crt"));
  let facts: CertificateFacts, publicKey: string, problem: string | undefined;
  try {
    facts = certificates.read(text("tls.crt"));
  } catch {
    return refuse("has no X.509 certificate in PEM as tls.crt");
  }
  try {
    publicKey = certificates.publicKeyOf(text("tls.key"));
  } catch {
    return refuse("has no private key in PEM, without a passphrase, as tls.key");
  }
  try {
    problem = certificates.chainProblem(chain.join(""), authorities.join(""), nowMs);
  } catch {
    return refuse("has something in ca.crt or tls.crt that is no X.509 certificate");
  }
  if (publicKey !== facts.publicKey) return refuse("has a tls.key that does not belong to tls.crt");
  const instant = (ms: number) => new Date(ms).toISOString();
  if (facts.notAfterMs <= nowMs) {
    return refuse(`has a tls.crt that expired at ${instant(facts.notAfterMs)}`);
  }
  if (facts.notBeforeMs > nowMs) {
    return refuse(`has a tls.crt that is valid only from ${instant(facts.notBeforeMs)}`);
  }
  if (problem !== undefined) return refuse(problem);
  const host = `${namesOf(name).service}.${namespace}.svc`;
  if (!facts.names.some((one) => matches(one, host))) {
    return refuse(`has a tls.crt that does not name ${host}`);
  }
  return { wanted: { certificate: chain.join(""), key: text("tls.key"), authorities } };
}

/** Whether a DNS name of a certificate is good for a host; a star stands for one label (RFC 6125, 6.4.3). */
function matches(dnsName: string, host: string): boolean {
  const name = dnsName.toLowerCase();
  return name === host || (name.startsWith("*.") && name.slice(2) === host.split(".").slice(1).join("."));
}

/** Every name by which a client reaches a member: those of the Services, and of the pods. */
export function dnsNamesOf(name: string, namespace: string): string[] {
  const { service, readOnlyService, podsService } = namesOf(name);
  const within = (host: string) => [host, `${host}.${namespace}`, `${host}.${namespace}.svc`];
  const whole = (host: string) => [...within(host), `${host}.${namespace}.svc.cluster.local`];
  return [...whole(service), ...whole(readOnlyService), ...whole(`*.${podsService}`), "localhost"];
}

/** When a certificate is renewed: two thirds through its life, in milliseconds since 1970. */
export function renewalMs({ notBeforeMs, notAfterMs }: CertificateFacts): number {
  return notBeforeMs + (notAfterMs - notBeforeMs) * 2 / 3;
}

/** The certificate in a Secret; nothing when it is not whole. */
function materialIn(
  data: Readonly<Record<string, string>> | undefined,
  certificates: Certificates,
): Material | undefined {
  const text = (field: string) => decodeBase64(data?.[field] ?? "");
  try {
    const pair = { certificate: text("tls.crt"), key: text("tls.key") };
    if (certificates.read(pair.certificate).publicKey !== certificates.publicKeyOf(pair.key)) {
      return undefined;
    }
    return { ...pair, authorities: certificates.split(text("ca.crt")) };
  } catch {
    return undefined; // it is made anew
  }
}

function keySecret(
  { database }: Sight,
  owner: readonly OwnerReference[],
  name: string,
  { certificate, key }: KeyPair,
  authorities: string,
) {
  const text = { "tls.crt": certificate, "tls.key": key, "ca.crt": authorities };
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: ownedMetadata(database, name, owner),
    type: "Opaque",
    data: Object.fromEntries(
      Object.entries(text).filter(([, value]) => value !== "").map((
        [field, value],
      ) => [field, encodeBase64(value)]),
    ),
  } satisfies Secret;
}

/** What a member's agent says of TLS. */
export interface TlsReport {
  /** SHA-256 of the certificate that its server shows. */
  readonly certificate?: string;
  /** SHA-256 of the authorities that it trusts. */
  readonly trusts: readonly string[];
  /** Since when it trusts them, in milliseconds since 1970. */
  readonly sinceMs: number;
  /** Why the server does not show the mounted certificate. */
  readonly problem?: string;
}

/** The report on a pod; nothing while there is none, or it is not one. */
export function tlsReport(pod: StoredPod): TlsReport | undefined {
  const text = pod.metadata?.annotations?.[annotation.tls];
  if (text === undefined) return undefined;
  try {
    const report = JSON.parse(text) as Record<string, unknown>;
    const { certificate, trusts, since, problem } = report;
    if (!Array.isArray(trusts) || typeof since !== "string") return undefined;
    return {
      trusts: trusts.map(String),
      sinceMs: Date.parse(since),
      ...(typeof certificate === "string" ? { certificate } : {}),
      ...(typeof problem === "string" ? { problem } : {}),
    };
  } catch {
    return undefined;
  }
}

/** Whether one of the authorities is behind both: who trusts it needs nothing new. */
function haveCommonAuthority(
  one: Material,
  other: Material,
  authorities: readonly string[],
  { isIssuedBy }: Certificates,
): boolean {
  return authorities.some((by) => isIssuedBy(one.certificate, by) && isIssuedBy(other.certificate, by));
}

/** Whether every member has trusted all authorities of a certificate for long enough. */
function membersTrust(
  pods: readonly StoredPod[],
  { authorities }: Material,
  certificates: Certificates,
  nowMs: number,
): boolean {
  const needed = authorities.map((one) => certificates.read(one).fingerprint);
  return pods.every((pod) => {
    const report = tlsReport(pod);
    return report !== undefined && report.sinceMs + trustMs <= nowMs &&
      needed.every((one) => report.trusts.includes(one));
  });
}

function reportedProblems(pods: readonly StoredPod[]): Problem[] {
  return pods.flatMap((pod) => {
    const problem = tlsReport(pod)?.problem;
    const message = `Member ${pod.metadata?.name}: ${problem}`;
    return problem === undefined ? [] : [{ reason: "CertificateNotLoaded", message, stops: false }];
  });
}

/** Name of the volume with the certificate in a member's pod. */
export const tlsVolume = "tls";

/** Whether every member has a certificate: until then none may be made to need one. */
export function membersHaveTls({ pods }: Pick<Sight, "pods">): boolean {
  return pods.every((pod) => pod.spec?.volumes?.some((volume) => volume.name === tlsVolume));
}
