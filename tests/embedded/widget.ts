/**
 * The custom resource that the comparisons with a real API server are made on.
 * @module
 */
import type { Json } from "./fidelity.ts";

/** The test's own custom resource: every construct that validation knows. */
export function widgetDefinition(group: string): Json {
  const schema = {
    type: "object",
    required: ["spec"],
    properties: {
      spec: {
        type: "object",
        required: ["size"],
        "x-kubernetes-validations": [
          { rule: "!has(self.low) || self.low <= self.size", message: "low must not be above size" },
          {
            rule: "!has(oldSelf.fixed) || (has(self.fixed) && self.fixed == oldSelf.fixed)",
            message: "fixed is immutable",
          },
        ],
        properties: {
          size: { type: "integer", minimum: 0, maximum: 10 },
          low: { type: "integer" },
          fixed: { type: "string", maxLength: 8 },
          mode: { type: "string", enum: ["A", "B"], default: "A" },
          name: { type: "string", pattern: "^[a-z]+$", minLength: 2, maxLength: 5 },
          quantity: {
            "x-kubernetes-int-or-string": true,
            "x-kubernetes-validations": [{ rule: "quantity(string(self)).isLessThan(quantity('10Gi'))" }],
          },
          ratio: { type: "number", exclusiveMinimum: true, minimum: 0, multipleOf: 0.5 },
          when: { type: "string", format: "date-time" },
          maybe: { type: "string", nullable: true },
          port: { "x-kubernetes-int-or-string": true },
          free: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
          labels: {
            type: "object",
            additionalProperties: { type: "string", maxLength: 10 },
            maxProperties: 3,
          },
          tags: {
            type: "array",
            items: { type: "string", maxLength: 10 },
            "x-kubernetes-list-type": "set",
            maxItems: 4,
          },
          plain: { type: "array", items: { type: "string" } },
          items: {
            type: "array",
            maxItems: 5,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            items: {
              type: "object",
              required: ["name"],
              properties: {
                name: { type: "string", maxLength: 10 },
                value: { type: "integer", default: 7 },
                note: { type: "string" },
              },
            },
          },
          nested: {
            type: "object",
            default: {},
            properties: { a: { type: "string", default: "x" }, b: { type: "integer" } },
          },
          atom: {
            type: "object",
            "x-kubernetes-map-type": "atomic",
            properties: { a: { type: "string" }, b: { type: "string" } },
          },
          either: {
            type: "object",
            properties: { x: { type: "string" }, y: { type: "string" } },
            oneOf: [{ required: ["x"] }, { required: ["y"] }],
          },
        },
      },
      status: {
        type: "object",
        properties: {
          replicas: { type: "integer" },
          selector: { type: "string" },
          phase: { type: "string" },
          conditions: {
            type: "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
            items: {
              type: "object",
              required: ["type", "status"],
              properties: {
                type: { type: "string" },
                status: { type: "string" },
                reason: { type: "string" },
              },
            },
          },
        },
      },
    },
  };
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `widgets.${group}` },
    spec: {
      group,
      scope: "Namespaced",
      names: { plural: "widgets", kind: "Widget", shortNames: ["wd"], categories: ["all"] },
      versions: [{
        name: "v1",
        served: true,
        storage: true,
        schema: { openAPIV3Schema: schema },
        subresources: {
          status: {},
          scale: {
            specReplicasPath: ".spec.size",
            statusReplicasPath: ".status.replicas",
            labelSelectorPath: ".status.selector",
          },
        },
        selectableFields: [{ jsonPath: ".spec.mode" }],
        additionalPrinterColumns: [
          { name: "Size", type: "integer", jsonPath: ".spec.size" },
          { name: "Ready", type: "string", jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
          { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
        ],
      }],
    },
  };
}
