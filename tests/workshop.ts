/**
 * Certificates as other people's tools make them: with keys, uses and ages that ours never have.
 * @module
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KeyPair } from "../postgres/tls.ts";

/** What a certificate is to be. */
export interface Order {
  /** `ec:prime256v1`, `rsa:2048`, `ed25519`. */
  readonly key?: string;
  readonly digest?: string;
  readonly days?: number;
  /** Who signs it; itself unless told. */
  readonly by?: KeyPair;
  readonly extensions: readonly string[];
}

/** Extensions, as openssl writes them. */
export const authorityExtensions = [
  "basicConstraints=critical,CA:TRUE",
  "keyUsage=critical,keyCertSign,cRLSign",
];

/** Makes keys and certificates with openssl, as other people's tools would, in a folder of its own. */
export class Workshop {
  readonly folder = mkdtempSync(join(tmpdir(), "x509-"));
  #made = 0;

  #file(text: string): string {
    const path = join(this.folder, String(this.#made++));
    writeFileSync(path, text);
    return path;
  }

  openssl(...args: string[]): string {
    return execFileSync("openssl", args, { stdio: ["ignore", "pipe", "ignore"] }).toString();
  }

  /** A certificate signed by itself or by another, valid from now on. */
  make({ key = "ec:prime256v1", digest = "sha256", days = 90, by, extensions }: Order): KeyPair {
    const [kind = "", size = ""] = key.split(":");
    const option = kind === "ec"
      ? [`ec_paramgen_curve:${size}`]
      : kind === "rsa"
      ? [`rsa_keygen_bits:${size}`]
      : [];
    const pem = this.openssl("genpkey", "-algorithm", kind, ...option.flatMap((one) => ["-pkeyopt", one]));
    const keyFile = this.#file(pem);
    const certificate = this.openssl(
      ...["req", "-x509", "-new", "-key", keyFile, "-subj", `/CN=made ${this.#made}`, `-${digest}`],
      ...["-days", String(days)],
      ...extensions.flatMap((one) => ["-addext", one]),
      ...(by ? ["-CA", this.#file(by.certificate), "-CAkey", this.#file(by.key)] : []),
    );
    return { certificate, key: pem };
  }

  /** Whether openssl accepts the chain of a server at security level 2, at that time. */
  accepts(chain: string, authorities: string, atMs: number): boolean {
    try {
      const [ca, all] = [this.#file(authorities), this.#file(chain)];
      const rules = ["-auth_level", "2", "-purpose", "sslserver", "-attime", String(atMs / 1000)];
      return /: OK/.test(this.openssl("verify", ...rules, "-CAfile", ca, "-untrusted", all, all));
    } catch {
      return false;
    }
  }

  close(): void {
    rmSync(this.folder, { recursive: true });
  }
}
