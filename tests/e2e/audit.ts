/**
 * What the ServiceAccounts of a run asked of the API server, from the cluster's audit log.
 *
 * E2E_AUDIT_LOG names the file, `audit.log`: one audit.k8s.io/v1 Event a line, at level Metadata or more. Without it nothing is looked at.
 * @module
 */
import { createReadStream, existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";

/** One request. */
export interface Asked {
  /** `namespace:name` of the ServiceAccount. */
  readonly account: string;
  /** Verb, resource with its subresource, and the object: `patch configmaps <name>-leader`. */
  readonly what: string;
  /** Whether RBAC allowed it. */
  readonly allowed: boolean;
  readonly atMs: number;
}

interface AuditEvent {
  readonly stage?: string;
  readonly verb: string;
  readonly requestReceivedTimestamp: string;
  readonly user: { readonly username: string };
  readonly objectRef?: { readonly resource: string; readonly subresource?: string; readonly name?: string };
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Reads a line; nothing for one that is not of a ServiceAccount or not about an object. */
export function askedIn(line: string): Asked | undefined {
  if (!line.includes('"system:serviceaccount:')) return undefined;
  const { stage, verb, user, objectRef, annotations, requestReceivedTimestamp } = JSON.parse(
    line,
  ) as AuditEvent;
  if (stage !== "ResponseComplete" || !objectRef) return undefined;
  const account = user.username.replace("system:serviceaccount:", "");
  const { resource, subresource, name = "" } = objectRef;
  // A Database's members are the ServiceAccount of its name.
  const database = account.split(":")[1]!;
  const object = name.startsWith(`${database}-`) || name === database
    ? `<name>${name.slice(database.length).replace(/^-\d+$/, "-<ordinal>")}`
    : name;
  return {
    account,
    what: [verb, subresource ? `${resource}/${subresource}` : resource, object].filter(Boolean).join(" "),
    allowed: annotations?.["authorization.k8s.io/decision"] !== "forbid",
    atMs: Date.parse(requestReceivedTimestamp),
  };
}

/** What members ask, as it was seen; tests/operator/rbac.exhaustive.test.ts holds their Role against it. */
export function membersRequests(): string[] {
  const file = new URL("../operator/members_requests.json", import.meta.url);
  return JSON.parse(readFileSync(file, "utf8")) as string[];
}

/** An audit log from now on; `undefined` without E2E_AUDIT_LOG. */
export class AuditLog {
  readonly #file: string;
  readonly #fromMs = Date.now();

  private constructor(file: string) {
    this.#file = file;
  }

  static open(file = process.env.E2E_AUDIT_LOG): AuditLog | undefined {
    if (!file) return undefined;
    if (!existsSync(file)) throw new Error(`E2E_AUDIT_LOG: there is no file "${file}"`);
    return new AuditLog(file);
  }

  /** Its lines; the API server renames the file when it has grown: audit.log to audit-<time>.log. */
  async *#lines(): AsyncGenerator<string> {
    const stem = basename(this.#file, ".log");
    const files = readdirSync(dirname(this.#file))
      .filter((name) => name.startsWith(stem) && name.endsWith(".log"))
      .map((name) => join(dirname(this.#file), name))
      .filter((file) => statSync(file).mtimeMs >= this.#fromMs);
    for (const file of files) yield* createInterface(createReadStream(file));
  }

  /**
   * What does not fit: requests that RBAC refused, and members' requests that were never seen before.
   *
   * @param mayRefuse whether what RBAC refused is passed over
   */
  async strange(
    namespace: string,
    operators: readonly string[],
    mayRefuse = false,
  ): Promise<{ strange: string[]; seen: number }> {
    const known = new Set(membersRequests());
    const strange = new Set<string>();
    let seen = 0;
    for await (const line of this.#lines()) {
      const asked = askedIn(line);
      if (!asked || asked.atMs < this.#fromMs) continue;
      const isMember = asked.account.startsWith(`${namespace}:`) && !asked.account.endsWith(":default");
      if (!isMember && !operators.includes(asked.account)) continue;
      seen++;
      if (!asked.allowed) {
        if (!mayRefuse) strange.add(`${asked.account} was refused: ${asked.what}`);
      } else if (isMember && !operators.includes(asked.account) && !known.has(asked.what)) {
        strange.add(`a member asked what is not in tests/operator/members_requests.json: ${asked.what}`);
      }
    }
    return { strange: [...strange], seen };
  }
}
