/**
 * CustomResourceDefinitions, read and checked: what the rest of the generator may rely on.
 * @module
 */
import { InputError } from "./errors.ts";
import { isObject, type Json, type JsonObject, member } from "./json.ts";
import { isLabel, isSubdomain } from "./names.ts";

/** A kind of a group, in all its versions. */
export interface Crd {
  /** Where it was read, for messages. */
  place: readonly string[];
  group: string;
  kind: string;
  listKind: string;
  plural: string;
  scope: "Namespaced" | "Cluster";
  versions: CrdVersion[];
}

/** One version of a kind. */
export interface CrdVersion {
  name: string;
  served: boolean;
  /** The text of the deprecation, when it is deprecated. */
  deprecation?: string;
  schema: JsonObject;
  /** Whether status is a subresource: dropped from what is written to the object itself. */
  hasStatus: boolean;
  hasScale: boolean;
}

/** The kind and version of a document that this library was made for. */
export function isCrd(document: Json): document is JsonObject {
  return isObject(document) && member(document, "kind") === "CustomResourceDefinition" &&
    String(member(document, "apiVersion")).startsWith("apiextensions.k8s.io/");
}

/**
 * Reads a CustomResourceDefinition.
 *
 * @throws {InputError} when it is a v1beta1 one, or lacks what the API server would ask for
 */
export function readCrd(document: JsonObject, place: readonly string[]): Crd {
  const name = textAt(document, ["metadata", "name"]) ?? "(without a name)";
  const here = [...place, `CustomResourceDefinition ${JSON.stringify(name)}`];
  const apiVersion = member(document, "apiVersion");
  if (apiVersion !== "apiextensions.k8s.io/v1") {
    throw new InputError(
      `Cannot read apiVersion ${
        JSON.stringify(apiVersion)
      }: the API server stopped serving it in Kubernetes 1.22. ` +
        `Convert it to "apiextensions.k8s.io/v1" (apply it to a cluster of 1.16 to 1.21 and read it back with ` +
        `"kubectl get crd ${name} -o yaml", or ask its authors for a newer release)`,
      here,
    );
  }
  const text = (...path: string[]): string => {
    const value = textAt(document, path);
    if (value === undefined || value === "") {
      throw new InputError(`.${path.join(".")} must be a text that is not empty`, here);
    }
    return value;
  };
  const group = text("spec", "group");
  if (!isSubdomain(group) || !group.includes(".")) {
    throw new InputError(
      `.spec.group must be a DNS name with a dot in it, found ${JSON.stringify(group)}`,
      here,
    );
  }
  /** The API server takes no other names: they are in its paths, and here in names of files and types. */
  const label = (key: string, value: string): string => {
    if (isLabel(key === "plural" ? value : value.toLowerCase())) return value;
    throw new InputError(
      `.spec.names.${key} must be letters, digits and dashes, found ${JSON.stringify(value)}`,
      here,
    );
  };
  const kind = label("kind", text("spec", "names", "kind"));
  const scope = text("spec", "scope");
  if (scope !== "Namespaced" && scope !== "Cluster") {
    throw new InputError(
      `.spec.scope must be "Namespaced" or "Cluster", found ${JSON.stringify(scope)}`,
      here,
    );
  }
  const versions = at(document, ["spec", "versions"]);
  if (!Array.isArray(versions) || versions.length === 0) {
    throw new InputError(".spec.versions must be a list that is not empty", here);
  }
  const crd: Crd = {
    place: here,
    group,
    kind,
    listKind: label("listKind", textAt(document, ["spec", "names", "listKind"]) ?? `${kind}List`),
    plural: label("plural", text("spec", "names", "plural")),
    scope,
    versions: versions.map((version, index) => readVersion(version, [...here, `.spec.versions[${index}]`])),
  };
  const names = crd.versions.map((version) => version.name);
  const double = names.find((version, index) => names.indexOf(version) !== index);
  if (double !== undefined) {
    throw new InputError(`.spec.versions names ${JSON.stringify(double)} twice`, here);
  }
  return crd;
}

function readVersion(version: Json, place: readonly string[]): CrdVersion {
  if (!isObject(version)) throw new InputError("A version must be an object", place);
  const name = textAt(version, ["name"]);
  if (name === undefined || !isLabel(name)) {
    throw new InputError(
      `.name must be lower case letters, digits and dashes, found ${JSON.stringify(name ?? null)}`,
      place,
    );
  }
  const here = [...place.slice(0, -1), `version ${JSON.stringify(name)}`];
  const schema = at(version, ["schema", "openAPIV3Schema"]);
  if (!isObject(schema)) {
    throw new InputError(
      ".schema.openAPIV3Schema must be an object: without it there is nothing to generate from",
      here,
    );
  }
  const warning = textAt(version, ["deprecationWarning"]);
  return {
    name,
    served: member(version, "served") === true,
    ...(member(version, "deprecated") === true && { deprecation: warning ?? "" }),
    schema,
    hasStatus: isObject(at(version, ["subresources", "status"])),
    hasScale: isObject(at(version, ["subresources", "scale"])),
  };
}

function at(value: Json, path: readonly string[]): Json | undefined {
  let current: Json | undefined = value;
  for (const key of path) current = isObject(current) ? member(current, key) : undefined;
  return current;
}

function textAt(value: Json, path: readonly string[]): string | undefined {
  const found = at(value, path);
  return typeof found === "string" ? found : undefined;
}
