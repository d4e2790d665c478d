/**
 * Table output (meta.k8s.io/v1 Table), which `kubectl get` prints.
 * @module
 */
import { type Column, type Kind } from "./kind.ts";
import type { Json, KubeObject } from "./types.ts";

/** How long ago, as kubectl says it (k8s.io/apimachinery pkg/util/duration HumanDuration). */
export function age(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return seconds % 60 === 0 ? `${minutes}m` : `${minutes}m${seconds % 60}s`;
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`;
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (days < 8) return hours % 24 === 0 ? `${days}d` : `${days}d${hours % 24}h`;
  if (days < 730) return `${days}d`;
  const years = Math.floor(days / 365);
  return years < 8 ? `${years}y${days % 365}d` : `${years}y`;
}

/** Age of the time that a field holds. */
export function ageOf(time: string | undefined, nowMs: number): string {
  return time ? age(nowMs - Date.parse(time)) : "<unknown>";
}

/** The columns that every kind without its own has. */
export const nameColumn: Column = {
  name: "Name",
  type: "string",
  format: "name",
  description:
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
  cell: (object) => object.metadata.name,
};

export const ageColumn: Column = {
  name: "Age",
  type: "date",
  description:
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
  cell: (object, nowMs) => ageOf(object.metadata.creationTimestamp, nowMs),
};

/** The part of an object that metadata-only answers carry. */
export function partialMetadata(object: KubeObject): Json {
  return { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata: object.metadata };
}

/**
 * A Table of the objects.
 *
 * @param includeObject `None`, `Metadata` (the default) or `Object`
 */
export function table(
  kind: Kind,
  version: string,
  objects: readonly KubeObject[],
  listMetadata: Json,
  includeObject: string,
  nowMs: number,
  withDefinitions = true,
): Json {
  const columns = kind.columns(version);
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata: listMetadata,
    columnDefinitions: withDefinitions
      ? columns.map(({ name, type, format, description, priority }) => ({
        name,
        type,
        format: format ?? "",
        description: description ?? "",
        priority: priority ?? 0,
      }))
      : null,
    rows: objects.map((object) => ({
      cells: columns.map((column) => column.cell(object, nowMs) ?? null),
      ...(includeObject === "None"
        ? {}
        : { object: includeObject === "Object" ? object : partialMetadata(object) }),
    })),
  };
}
