import type { RestClient } from "./types.ts";
/** A connection to one API server. */
export interface Connection extends RestClient {
  readonly server: string;
  readonly defaultNamespace: string;
  /** Ends every open request and lets the process end. */
  close(): void;
}
/** Which API server, and as whom. */
export interface ConnectOptions {
  /** A kubeconfig file; default what KUBECONFIG says, then the pod's service account, then ~/.kube/config. */
  kubeconfig?: string;
  context?: string;
  env?: Record<string, string | undefined>;
  userAgent?: string;
}
export function connect(_options: ConnectOptions = {}): Promise<Connection> {
  throw new Error("Not yet");
}
