/**
 * A CustomResourceDefinition with little in it.
 * @module
 */
import type { JsonObject } from "../../codegen/mod.ts";

/** The CustomResourceDefinition of a kind with one version, v1. */
export function crdOf(
  { group = "example.com", kind = "Thing", scope = "Namespaced", schema = { type: "object" }, version = {} }:
    {
      group?: string;
      kind?: string;
      scope?: string;
      schema?: JsonObject;
      version?: JsonObject;
    },
): JsonObject {
  const plural = `${kind.toLowerCase()}s`;
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope,
      names: { kind, plural },
      versions: [{
        name: "v1",
        served: true,
        storage: true,
        schema: { openAPIV3Schema: schema },
        ...version,
      }],
    },
  };
}
