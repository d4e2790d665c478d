/**
 * Discovery: /api, /apis, the resources of each group (plain and aggregated), /version, /openapi/v3.
 * @module
 */
import { comparePriority } from "./custom_kind.ts";
import { groupVersion, type Kind } from "./kind.ts";
import type { Registry } from "./registry.ts";
import { definitions, type Schema } from "./schema/model.ts";
import type { Json } from "./types.ts";

/** What /version answers. */
export const version = {
  major: "1",
  minor: "36",
  gitVersion: "v1.36.3-embedded",
  gitCommit: "",
  gitTreeState: "clean",
  buildDate: "2026-07-01T00:00:00Z",
  goVersion: "none",
  compiler: "none",
  platform: "embedded",
};

const verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const customVerbs = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
const subresourceVerbs = ["get", "patch", "update"];

/** /api */
export const apiVersions = (): Json => ({
  kind: "APIVersions",
  versions: ["v1"],
  serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress: "127.0.0.1" }],
});

const groupEntry = (name: string, versions: string[]): Json => {
  const entries = versions.map((one) => ({ groupVersion: groupVersion(name, one), version: one }));
  return { name, versions: entries, preferredVersion: entries[0] };
};

/** /apis */
export const groupList = (registry: Registry): Json => ({
  kind: "APIGroupList",
  apiVersion: "v1",
  groups: registry.groups().map(({ name, versions }) => groupEntry(name, versions)),
});

/** /apis/<group> */
export function group(registry: Registry, name: string): Json {
  const found = registry.groups().find((one) => one.name === name);
  return found && { kind: "APIGroup", apiVersion: "v1", ...groupEntry(name, found.versions) };
}

/** Kinds that take only create, and are answered without being stored. */
export const reviews: Readonly<
  Record<string, readonly { plural: string; kind: string; isNamespaced: boolean }[]>
> = {
  "authorization.k8s.io": [
    { plural: "localsubjectaccessreviews", kind: "LocalSubjectAccessReview", isNamespaced: true },
    { plural: "selfsubjectaccessreviews", kind: "SelfSubjectAccessReview", isNamespaced: false },
    { plural: "selfsubjectrulesreviews", kind: "SelfSubjectRulesReview", isNamespaced: false },
    { plural: "subjectaccessreviews", kind: "SubjectAccessReview", isNamespaced: false },
  ],
  "authentication.k8s.io": [
    { plural: "selfsubjectreviews", kind: "SelfSubjectReview", isNamespaced: false },
    { plural: "tokenreviews", kind: "TokenReview", isNamespaced: false },
  ],
};

interface Subresource {
  name: string;
  kind: string;
  group?: string;
  version?: string;
  verbs: readonly string[];
}

function subresources(kind: Kind, inVersion: string): Subresource[] {
  const found: Subresource[] = [];
  if (kind.hasStatus(inVersion)) found.push({ name: "status", kind: kind.kind, verbs: subresourceVerbs });
  if (kind.scale(inVersion)) {
    found.push({
      name: "scale",
      kind: "Scale",
      group: "autoscaling",
      version: "v1",
      verbs: subresourceVerbs,
    });
  }
  if (kind.table === "/pods") {
    found.push({ name: "eviction", kind: "Eviction", group: "policy", version: "v1", verbs: ["create"] });
  }
  return found;
}

const kindsOf = (registry: Registry, groupName: string, inVersion: string): Kind[] =>
  registry.all().filter((kind) => kind.group === groupName && kind.versions.includes(inVersion));

/** /api/v1 and /apis/<group>/<version> */
export function resourceList(registry: Registry, groupName: string, inVersion: string): Json {
  const kinds = kindsOf(registry, groupName, inVersion);
  const others = reviews[groupName] ?? [];
  if (kinds.length === 0 && others.length === 0) return undefined;
  const resources: Json[] = others.map((one) => ({
    name: one.plural,
    singularName: one.kind.toLowerCase(),
    namespaced: one.isNamespaced,
    kind: one.kind,
    verbs: ["create"],
  }));
  for (const kind of kinds) {
    resources.push({
      name: kind.plural,
      singularName: kind.singular,
      namespaced: kind.isNamespaced,
      kind: kind.kind,
      verbs: kind.isCustom ? customVerbs : verbs,
      ...(kind.shortNames.length ? { shortNames: kind.shortNames } : {}),
      ...(kind.categories.length ? { categories: kind.categories } : {}),
    });
    for (const sub of subresources(kind, inVersion)) {
      resources.push({
        name: `${kind.plural}/${sub.name}`,
        singularName: "",
        namespaced: kind.isNamespaced,
        ...(sub.group ? { group: sub.group, version: sub.version } : {}),
        kind: sub.kind,
        verbs: sub.verbs,
      });
    }
  }
  return {
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion: groupVersion(groupName, inVersion),
    resources,
  };
}

function aggregatedVersion(registry: Registry, groupName: string, inVersion: string): Json {
  const resources = kindsOf(registry, groupName, inVersion).map((kind) => ({
    resource: kind.plural,
    responseKind: { group: kind.group, version: inVersion, kind: kind.kind },
    scope: kind.isNamespaced ? "Namespaced" : "Cluster",
    singularResource: kind.singular,
    verbs,
    ...(kind.shortNames.length ? { shortNames: kind.shortNames } : {}),
    ...(kind.categories.length ? { categories: kind.categories } : {}),
    subresources: subresources(kind, inVersion).map((sub) => ({
      subresource: sub.name,
      responseKind: { group: sub.group ?? kind.group, version: sub.version ?? inVersion, kind: sub.kind },
      verbs: sub.verbs,
    })),
  }));
  const others = (reviews[groupName] ?? []).map((one) => ({
    resource: one.plural,
    responseKind: { group: groupName, version: inVersion, kind: one.kind },
    scope: one.isNamespaced ? "Namespaced" : "Cluster",
    singularResource: one.kind.toLowerCase(),
    verbs: ["create"],
  }));
  return { version: inVersion, freshness: "Current", resources: [...resources, ...others] };
}

/** The content type of aggregated discovery, when the client accepts it. */
export function aggregatedType(accept: string): string | undefined {
  const m =
    /application\/json;[^,]*g=apidiscovery\.k8s\.io[^,]*;v=(v2|v2beta1)|application\/json;v=(v2|v2beta1);g=apidiscovery\.k8s\.io/
      .exec(accept.replaceAll(" ", ""));
  const found = m?.[1] ?? m?.[2];
  return found && `application/json;g=apidiscovery.k8s.io;v=${found};as=APIGroupDiscoveryList`;
}

/** /api and /apis in one answer. */
export function aggregated(registry: Registry, isCore: boolean, type: string): Json {
  const groups = isCore ? [{ name: "", versions: ["v1"] }] : registry.groups();
  return {
    kind: "APIGroupDiscoveryList",
    apiVersion: `apidiscovery.k8s.io/${/v=(v2\w*)/.exec(type)?.[1]}`,
    metadata: {},
    items: groups.map(({ name, versions }) => ({
      metadata: { name, creationTimestamp: null },
      versions: versions.map((one) => aggregatedVersion(registry, name, one)),
    })),
  };
}

/** /openapi/v3: where each group's document is. */
export function openApiIndex(registry: Registry): Json {
  const paths: Record<string, Json> = { "api/v1": { serverRelativeURL: "/openapi/v3/api/v1?hash=embedded" } };
  for (const { name, versions } of registry.groups()) {
    for (const one of versions) {
      const rvs = registry.all().filter((kind) => kind.group === name).map((kind) => kind.versions.join())
        .join("-");
      const path = `apis/${name}/${one}`;
      paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${encodeURIComponent(rvs)}` };
    }
  }
  return { paths };
}

const reference = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });

/** /openapi/v3/apis/<group>/<version>: the schemas, and just enough paths for kubectl to find them. */
export function openApi(registry: Registry, groupName: string, inVersion: string): Json {
  const kinds = kindsOf(registry, groupName, inVersion);
  if (kinds.length === 0) return undefined;
  const schemas: Record<string, Schema> = {};
  const add = (name: string) => {
    const schema = definitions()[name];
    if (!schema || schemas[name]) return;
    schemas[name] = schema;
    for (const [, other = ""] of JSON.stringify(schema).matchAll(/#\/components\/schemas\/([^"]+)"/g)) {
      add(other);
    }
  };
  const paths: Record<string, Json> = {};
  for (const kind of kinds) {
    const gvk = { group: kind.group, version: inVersion, kind: kind.kind };
    let name: string;
    if (kind.isCustom) {
      name = `${kind.group.split(".").reverse().join(".")}.${inVersion}.${kind.kind}`;
      schemas[name] = customSchema(kind, inVersion, gvk);
      add("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    } else {
      name = Object.entries(definitions()).find(([, schema]) =>
        schema["x-kubernetes-group-version-kind"]?.some((one) =>
          one.group === gvk.group && one.kind === gvk.kind && one.version === gvk.version
        )
      )?.[0] ?? "";
      add(name);
    }
    Object.assign(paths, pathsOf(kind, inVersion, gvk, name));
  }
  add("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
  return {
    openapi: "3.0.0",
    info: { title: "Kubernetes", version: version.gitVersion },
    paths,
    components: { schemas },
  };
}

function customSchema(kind: Kind, inVersion: string, gvk: Json): Schema {
  const schema = kind.schema(inVersion);
  const apiVersion = definitions()["io.k8s.api.core.v1.ConfigMap"]?.properties?.apiVersion;
  const kindField = definitions()["io.k8s.api.core.v1.ConfigMap"]?.properties?.kind;
  return {
    ...schema,
    properties: {
      ...schema.properties,
      ...(apiVersion ? { apiVersion } : {}),
      ...(kindField ? { kind: kindField } : {}),
      metadata: {
        description: "Standard object's metadata.",
        allOf: [reference("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")],
      },
    },
    "x-kubernetes-group-version-kind": [gvk],
  };
}

function pathsOf(kind: Kind, inVersion: string, gvk: Json, name: string): Json {
  const root = kind.group ? `/apis/${kind.group}/${inVersion}` : `/api/${inVersion}`;
  const base = kind.isNamespaced ? `${root}/namespaces/{namespace}/${kind.plural}` : `${root}/${kind.plural}`;
  const answer = { content: { "application/json": { schema: reference(name) } }, description: "OK" };
  const query = (parameter: string) => ({
    name: parameter,
    in: "query",
    schema: { type: "string", uniqueItems: true },
  });
  const operation = (action: string) => ({
    "x-kubernetes-action": action,
    "x-kubernetes-group-version-kind": gvk,
    parameters: ["dryRun", "fieldManager", "fieldValidation"].map(query),
    responses: { 200: answer },
  });
  return {
    [base]: { get: operation("list"), post: operation("post") },
    [`${base}/{name}`]: {
      get: operation("get"),
      put: operation("put"),
      patch: operation("patch"),
      delete: operation("delete"),
    },
  };
}

export { comparePriority };
