/**
 * The annotation in which kubectl keeps what it applied on its own side, and how the server takes part in it.
 *
 * What kubectl applied there is its own when it applies on the server's side. Written after the behaviour of apimachinery
 * pkg/util/managedfields lastappliedmanager.go and lastappliedupdater.go.
 * @module
 */
import type { Schema } from "../schema/model.ts";
import { clone, isRecord, type Json, type KubeObject } from "../types.ts";
import { FieldSet } from "./field_set.ts";
import { compare, fieldsOf, UnkeyedItem } from "./typed.ts";

/** The manager under which kubectl applies on the server's side. Others have no part in the annotation. */
export const kubectl = "kubectl";

const annotation = "kubectl.kubernetes.io/last-applied-configuration";

/** The fields that are still as kubectl's own side applied them. */
export function lastAppliedFields(live: Json, root: Schema): FieldSet {
  try {
    const config = JSON.parse(live.metadata.annotations?.[annotation] ?? "null") as Json;
    if (config?.apiVersion !== live.apiVersion) return new FieldSet();
    const { added, modified, removed } = compare(config, live, root);
    return fieldsOf(config, root).difference(added.union(modified).union(removed));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof UnkeyedItem) return new FieldSet();
    throw error;
  }
}

/** Where an object has the annotation, it says what has been applied on the server's side now. */
export function noteLastApplied(metadata: KubeObject["metadata"], config: KubeObject): void {
  if (!metadata.annotations?.[annotation]) return;
  metadata.annotations = { ...metadata.annotations, [annotation]: textOf(config) };
}

/** The configuration without the annotation itself, as Go writes JSON. */
function textOf(config: KubeObject): string {
  const object = clone(config);
  delete object.metadata.annotations?.[annotation];
  const sorted = (_: string, value: Json) =>
    isRecord(value) ? Object.fromEntries(Object.keys(value).sort().map((key) => [key, value[key]])) : value;
  const escaped = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return `${JSON.stringify(object, sorted).replace(/[<>&\u2028\u2029]/g, escaped)}\n`;
}
