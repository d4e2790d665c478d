/**
 * A kind as the API server serves it.
 * @module
 */

/** One kind of one version, without its types. */
export interface ApiKind {
  group: string;
  version: string;
  kind: string;
  listKind: string;
  plural: string;
  scope: "Namespaced" | "Cluster";
  hasStatus: boolean;
  hasScale: boolean;
}
