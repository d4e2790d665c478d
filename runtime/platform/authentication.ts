/**
 * What a transport is told of who it is: TLS material and headers. Where they come from is in credentials.ts.
 * @module
 */

import type { Buffer } from "node:buffer";

/** How the TLS connection is made; all PEM. */
export interface TlsOptions {
  ca?: string | Buffer;
  cert?: string | Buffer;
  key?: string | Buffer;
  passphrase?: string;
  servername?: string;
  rejectUnauthorized?: boolean;
}

/** Who we were for one request. */
export interface Identity {
  tls: TlsOptions;
  headers: Record<string, string>;
}

/** Who we are, asked again for each request. */
export interface Credentials {
  /** A new object each time something in it changed: connections are made anew then. */
  tls(): TlsOptions;
  /** Headers that prove it: `authorization`. */
  headers(): Promise<Record<string, string>> | Record<string, string>;
  /**
   * Called on 401: reads everything again, unless that was done since `sent` was asked for. Answers false when there is
   * nothing else to send.
   */
  refresh(sent: Identity): Promise<boolean>;
}
