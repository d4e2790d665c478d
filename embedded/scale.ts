/**
 * The scale subresource: a view of a few numbers of the object (autoscaling/v1 Scale).
 * @module
 */
import * as errors from "./errors.ts";
import { readPath, type ScalePaths } from "./kind.ts";
import { isRecord, type Json, type KubeObject } from "./types.ts";

/** The Scale of an object. */
export function scaleOf(object: KubeObject, paths: ScalePaths): Json {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const replicas = readPath(object, paths.specReplicasPath);
  if (typeof replicas !== "number") {
    throw new errors.StatusError(
      500,
      "InternalError",
      `Internal error occurred: the spec replicas field ${
        JSON.stringify(paths.specReplicasPath)
      } does not exist`,
    );
  }
  const selector = paths.labelSelectorPath ? readPath(object, paths.labelSelectorPath) : undefined;
  const text = typeof selector === "string" ? selector : selectorText(object.spec?.selector);
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: replicas === 0 ? {} : { replicas },
    status: {
      replicas: Number(readPath(object, paths.statusReplicasPath) ?? 0),
      ...(text ? { selector: text } : {}),
    },
  };
}

function selectorText(selector: Json): string {
  const pairs = Object.entries((selector?.matchLabels ?? {}) as Record<string, string>).map(([key, value]) =>
    `${key}=${value}`
  );
  return pairs.sort().join(",");
}

/** Writes a Scale's number into the object, in place. */
export function applyScale(object: KubeObject, scale: Json, paths: ScalePaths, isCustom: boolean): void {
  const replicas: unknown = scale?.spec?.replicas ?? 0;
  // A custom resource is validated by its own schema.
  if (typeof replicas !== "number" || (!isCustom && replicas < 0)) {
    throw errors.invalid({ group: "autoscaling", plural: "scales", kind: "Scale" }, object.metadata.name, [{
      type: "Invalid",
      field: "spec.replicas",
      value: replicas as Json,
      detail: "must be greater than or equal to 0",
    }]);
  }
  const names = paths.specReplicasPath.split(".").filter(Boolean);
  let at: Json = object;
  for (const name of names.slice(0, -1)) {
    if (!isRecord(at[name])) at[name] = {};
    at = at[name];
  }
  at[names.at(-1) ?? ""] = replicas;
  const rv = scale?.metadata?.resourceVersion;
  if (rv) object.metadata.resourceVersion = rv;
}
