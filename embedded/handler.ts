/**
 * From a Request to what it asks for, and from the outcome to a Response.
 *
 * One piece although it is long: each verb is a few lines here, and they share how targets, options and
 * answers are read and written.
 * @module
 */
import { parse as parseYaml } from "yaml";
import { admit } from "./admission.ts";
import { apply } from "./apply/managed_fields.ts";
import type { Backend } from "./backend.ts";
import * as discovery from "./discovery.ts";
import * as errors from "./errors.ts";
import { groupVersion, type Kind } from "./kind.ts";
import { jsonPatch, mergePatch, strategicMergePatch } from "./patch.ts";
import { list, listObject, predicate, restriction } from "./read.ts";
import { decodeProtobuf } from "./protobuf.ts";
import { readDeleteOptions, remove } from "./remove.ts";
import { review } from "./reviews.ts";
import { applyScale, scaleOf } from "./scale.ts";
import { partialMetadata, table } from "./table.ts";
import type { Json, KubeObject } from "./types.ts";
import type { Watches } from "./watch.ts";
import { create, type Target, update, type WriteOptions, writer } from "./write.ts";

/** A request, taken apart. */
export interface RequestInfo {
  method: string;
  path: string;
  query: URLSearchParams;
  /** get, list, watch, create, update, patch, delete, deletecollection; "" for discovery. */
  verb: string;
  group: string;
  version: string;
  /** The plural; "" for discovery. */
  resource: string;
  subresource: string;
  namespace: string | undefined;
  name: string | undefined;
  contentType: string;
  accept: string;
  userAgent: string;
  /** The body's text. */
  body: string;
}

const bodyBytesMax = 3 * 1024 * 1024;
const protobufType = "application/vnd.kubernetes.protobuf";
const patchTypes = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
  apply: "application/apply-patch+yaml",
};

export class Handler {
  readonly #backend: Backend;
  readonly #watches: Watches;

  constructor(backend: Backend, watches: Watches) {
    this.#backend = backend;
    this.#watches = watches;
  }

  /** Reads the request, its body too. */
  async read(request: Request): Promise<RequestInfo> {
    const url = new URL(request.url);
    const bytes = request.body === null ? new Uint8Array() : new Uint8Array(await request.arrayBuffer());
    let contentType = (request.headers.get("content-type") ?? "").split(";")[0]?.trim() ?? "";
    let body = "";
    const decoded: Json = contentType === protobufType ? decodeProtobuf(bytes) : undefined;
    if (decoded) {
      body = JSON.stringify(decoded);
      contentType = "application/json";
    } else body = new TextDecoder().decode(bytes);
    const path = decodeURIComponent(url.pathname).replace(/\/+$/, "") || "/";
    const info: RequestInfo = {
      method: request.method,
      path,
      query: url.searchParams,
      verb: "",
      group: "",
      version: "",
      resource: "",
      subresource: "",
      namespace: undefined,
      name: undefined,
      contentType,
      accept: request.headers.get("accept") ?? "",
      userAgent: request.headers.get("user-agent") ?? "",
      body,
    };
    const isCore = path.startsWith("/api/");
    if (isCore || path.startsWith("/apis/")) {
      const parts = path.split("/").slice(2);
      if (!isCore) info.group = parts.shift() ?? "";
      info.version = parts.shift() ?? "";
      let isWatchPath = false;
      if (parts[0] === "watch") {
        parts.shift();
        isWatchPath = true;
      }
      if (parts[0] === "namespaces" && parts.length > 2 && !["status", "finalize"].includes(parts[2] ?? "")) {
        info.namespace = parts[1];
        parts.splice(0, 2);
      }
      [info.resource = "", info.name, info.subresource = ""] = parts;
      if (info.resource) info.verb = verbOf(info, isWatchPath);
    }
    return info;
  }

  /** Answers; never throws. */
  answer(info: RequestInfo, seenRv: number | undefined, signal?: AbortSignal): Response {
    const warnings: string[] = [];
    try {
      if (info.body.length > bodyBytesMax) {
        throw new errors.StatusError(
          413,
          "RequestEntityTooLarge",
          "Request entity too large: limit is 3145728",
        );
      }
      return withWarnings(this.#route(info, seenRv, warnings, signal), warnings);
    } catch (error) {
      if (error instanceof errors.StatusError) return withWarnings(error.response(), warnings);
      const text = error instanceof Error ? error.stack ?? error.message : String(error);
      return new errors.StatusError(500, "InternalError", `Internal error occurred: ${text}`).response();
    }
  }

  #route(info: RequestInfo, seenRv: number | undefined, warnings: string[], signal?: AbortSignal): Response {
    if (!info.resource) return this.#discovery(info);
    const reviewed = discovery.reviews[info.group]?.find((one) => one.plural === info.resource);
    if (reviewed && info.method === "POST") {
      return json(review(reviewed.kind, info.group, readBody(info, reviewed.kind)), 201);
    }
    const kind = this.#backend.registry.find(info.group, info.version, info.resource);
    if (!kind) {
      const isKnown = discovery.resourceList(this.#backend.registry, info.group, info.version) !== undefined;
      return isKnown ? noSuchResource().response() : notServed();
    }
    if (
      kind.isNamespaced
        ? info.namespace === undefined && info.name !== undefined
        : info.namespace !== undefined
    ) {
      return notServed();
    }
    const target: Target = { kind, version: info.version, namespace: info.namespace, name: info.name ?? "" };
    switch (info.verb) {
      case "get":
        return this.#get(info, target, seenRv);
      case "list":
        return this.#list(info, target, seenRv);
      case "watch":
        return this.#watch(info, target, seenRv, signal);
      case "create":
        return this.#create(info, target, warnings);
      case "update":
        return this.#update(info, target, warnings);
      case "patch":
        return this.#patch(info, target, warnings);
      case "delete":
        return this.#delete(info, target);
      case "deletecollection":
        return this.#deleteCollection(info, target);
      default:
        throw errors.methodNotAllowed();
    }
  }

  #discovery({ path, accept, group, version }: RequestInfo): Response {
    const { registry } = this.#backend;
    const aggregated = discovery.aggregatedType(accept);
    switch (path) {
      case "/":
        return json({
          paths: ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"],
        });
      case "/version":
        return json(discovery.version);
      case "/healthz":
      case "/livez":
      case "/readyz":
        return new Response("ok", { headers: { "content-type": "text/plain" } });
      case "/api":
        if (aggregated) return json(discovery.aggregated(registry, true, aggregated), 200, aggregated);
        return json(discovery.apiVersions());
      case "/apis":
        if (aggregated) return json(discovery.aggregated(registry, false, aggregated), 200, aggregated);
        return json(discovery.groupList(registry));
      case "/openapi/v3":
        return json(discovery.openApiIndex(registry));
    }
    const openApi = /^\/openapi\/v3\/(?:api|apis\/([^/]+))\/([^/]+)$/.exec(path);
    let found: Json;
    if (openApi) found = discovery.openApi(registry, openApi[1] ?? "", openApi[2] ?? "");
    else if (version) found = discovery.resourceList(registry, group, version);
    else if (group) found = discovery.group(registry, group);
    return found ? json(found) : notServed();
  }

  #find(target: Target, seenRv: number | undefined): KubeObject {
    const { kind, namespace, name } = target;
    const { storage } = this.#backend;
    const stored = seenRv === undefined
      ? storage.get(kind.table, namespace, name)
      : storage.snapshot(kind.table, seenRv)?.get(`${namespace ?? ""}/${name}`);
    if (!stored) throw errors.notFound(kind, name);
    return kind.toVersion(stored, target.version);
  }

  #get(info: RequestInfo, target: Target, seenRv: number | undefined): Response {
    const object = this.#find(target, seenRv);
    if (info.subresource === "scale") return json(scaleOf(object, scalePaths(target)));
    checkSubresource(target, info.subresource);
    return this.#one(info, target, object);
  }

  #list(info: RequestInfo, target: Target, seenRv: number | undefined): Response {
    const by = restriction(info.namespace, info.name, info.query);
    const page = list(this.#backend, target.kind, target.version, by, info.query, seenRv);
    const as = outputForm(info.accept);
    if (as === "Table") {
      const include = info.query.get("includeObject") ?? "Metadata";
      return json(
        table(target.kind, target.version, page.items, page.metadata, include, this.#backend.clock.now()),
      );
    }
    if (as === "PartialObjectMetadataList") {
      const items = page.items.map(partialMetadata);
      return json({ kind: as, apiVersion: "meta.k8s.io/v1", metadata: page.metadata, items });
    }
    return json(listObject(target.kind, target.version, page));
  }

  #watch(info: RequestInfo, target: Target, seenRv: number | undefined, signal?: AbortSignal): Response {
    const by = restriction(info.namespace, info.name, info.query);
    predicate(target.kind, target.version, by);
    const as = outputForm(info.accept);
    const include = info.query.get("includeObject") ?? "Metadata";
    const render = (object: KubeObject, isFirst: boolean): Json => {
      if (as === "Table") {
        const metadata = { resourceVersion: object.metadata.resourceVersion };
        return table(
          target.kind,
          target.version,
          [object],
          metadata,
          include,
          this.#backend.clock.now(),
          isFirst,
        );
      }
      return as?.startsWith("PartialObjectMetadata") ? partialMetadata(object) : object;
    };
    const stream = this.#watches.open(target.kind, target.version, by, info.query, render, seenRv, signal);
    return new Response(stream, { headers: { "content-type": "application/json" } });
  }

  #create(info: RequestInfo, target: Target, warnings: string[]): Response {
    const options = writeOptions(info, warnings);
    if (info.subresource === "eviction" && target.kind.table === "/pods") return this.#evict(info, target);
    if (info.name !== undefined) throw errors.methodNotAllowed();
    const body = readBody(info, target.kind.kind);
    const object = create(this.#backend, target, body, options, admit);
    return this.#one(info, target, target.kind.toVersion(object, target.version), 201);
  }

  #evict(info: RequestInfo, target: Target): Response {
    const body = readBody(info, target.kind.kind);
    remove(this.#backend, target, readDeleteOptions(body?.deleteOptions, info.query));
    return json({ kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 }, 201);
  }

  #update(info: RequestInfo, target: Target, warnings: string[]): Response {
    const options = writeOptions(info, warnings);
    const body = readBody(info, target.kind.kind);
    const { kind, namespace, name, version } = target;
    if (info.subresource === "scale") {
      const paths = scalePaths(target);
      return this.#scaled(target, options, (live) => {
        applyScale(live, body, paths, kind.isCustom);
        return live;
      });
    }
    checkSubresource(target, info.subresource);
    const exists = this.#backend.storage.get(kind.table, namespace, name) !== undefined;
    if (!exists && kind.isCreateOnUpdateAllowed && !info.subresource) {
      const object = create(this.#backend, target, body, options, admit);
      return this.#one(info, target, kind.toVersion(object, version), 201);
    }
    const { object } = update(this.#backend, target, () => body, options, admit);
    return this.#one(info, target, kind.toVersion(object, version));
  }

  #scaled(target: Target, options: WriteOptions, change: (live: KubeObject) => Json): Response {
    const { object } = update(this.#backend, target, change, options, admit);
    return json(scaleOf(target.kind.toVersion(object, target.version), scalePaths(target)));
  }

  #patch(info: RequestInfo, target: Target, warnings: string[]): Response {
    const options = writeOptions(info, warnings);
    const { kind, version } = target;
    if (info.contentType === patchTypes.apply) return this.#apply(info, target, options);
    const accepted = Object.values(patchTypes).filter((type) =>
      !(kind.isCustom && type === patchTypes.strategic)
    );
    if (!Object.values(patchTypes).includes(info.contentType)) {
      throw new errors.StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {});
    }
    if (!accepted.includes(info.contentType)) throw errors.unsupportedMediaType(accepted);
    const patch = readBody(info, target.kind.kind);
    const patched = (object: Json): Json => {
      if (info.contentType === patchTypes.json) return jsonPatch(object, patch);
      if (info.contentType === patchTypes.merge) return mergePatch(object, patch);
      return strategicMergePatch(object, patch, kind.schema(version));
    };
    if (info.subresource === "scale") {
      const paths = scalePaths(target);
      return this.#scaled(target, options, (live) => {
        const { metadata: _metadata, ...scale } = patched(scaleOf(live, paths));
        applyScale(live, scale, paths, kind.isCustom);
        return live;
      });
    }
    checkSubresource(target, info.subresource);
    const { object } = update(this.#backend, target, patched, options, admit);
    return this.#one(info, target, kind.toVersion(object, version));
  }

  #apply(info: RequestInfo, target: Target, options: WriteOptions): Response {
    const { kind, version, namespace, name } = target;
    const fail = (field: string, type: "Required" | "TooLong" | "Invalid", detail: string) => {
      throw errors.invalid({ group: "meta.k8s.io", plural: "", kind: "PatchOptions" }, "", [{
        type,
        field,
        detail,
      }]);
    };
    const manager = info.query.get("fieldManager") ?? "";
    if (!manager) fail("fieldManager", "Required", "is required for apply patch");
    checkSubresource(target, info.subresource);
    const config = readBody(info, target.kind.kind);
    if (typeof config !== "object" || config === null || !config.apiVersion || !config.kind) {
      throw errors.badRequest("error decoding YAML: apiVersion and kind must be set");
    }
    config.metadata ??= {};
    const force = info.query.get("force") === "true";
    const ownership = writer(this.#backend, target, options);
    const stored = this.#backend.storage.get(kind.table, namespace, name);
    const withOwnership: WriteOptions = { ...options, hasManagedFields: true };
    if (config.metadata.name && config.metadata.name !== name) {
      throw errors.badRequest(
        `the name of the object (${config.metadata.name}) does not match the name on the URL (${name})`,
      );
    }
    config.metadata.name = name;
    if (!stored) {
      if (info.subresource) throw errors.notFound(kind, name);
      if (config.metadata.uid) {
        throw errors.conflict(
          kind,
          name,
          `uid mismatch: the provided object specified uid ${config.metadata.uid}, and no existing object was found`,
        );
      }
      const empty = {
        apiVersion: groupVersion(kind.group, version),
        kind: kind.kind,
        metadata: {},
      } as KubeObject;
      const applied = apply(empty, config, kind.schema(version), ownership, force);
      applied.object.metadata.managedFields = applied.managedFields;
      const object = create(this.#backend, target, applied.object, withOwnership, admit);
      return this.#one(info, target, kind.toVersion(object, version), 201);
    }
    const change = (live: KubeObject) => {
      const applied = apply(live, config, kind.schema(version), ownership, force);
      applied.object.metadata.managedFields = applied.managedFields;
      return applied.object;
    };
    const { object } = update(this.#backend, target, change, withOwnership, admit);
    return this.#one(info, target, kind.toVersion(object, version));
  }

  #delete(info: RequestInfo, target: Target): Response {
    if (info.subresource) throw errors.methodNotAllowed();
    const options = readDeleteOptions(readBody(info, target.kind.kind), info.query);
    const { object, isGone } = remove(this.#backend, target, options);
    const { kind } = target;
    if (!isGone || kind.table === "/pods") {
      return this.#one(info, target, kind.toVersion(object, target.version));
    }
    return json({
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Success",
      details: {
        name: object.metadata.name,
        ...(kind.group ? { group: kind.group } : {}),
        kind: kind.plural,
        uid: object.metadata.uid,
      },
    });
  }

  #deleteCollection(info: RequestInfo, target: Target): Response {
    const { kind, version } = target;
    const options = readDeleteOptions(readBody(info, target.kind.kind), info.query);
    const by = restriction(info.namespace, undefined, info.query);
    const page = list(this.#backend, kind, version, by, info.query);
    for (const { metadata } of page.items) {
      const { name, namespace } = metadata;
      if (this.#backend.storage.get(kind.table, namespace, name)) {
        remove(this.#backend, { kind, version, namespace, name }, options);
      }
    }
    return json(listObject(kind, version, page));
  }

  /** One object in the form that the client accepts. */
  #one(info: RequestInfo, { kind, version }: Target, object: KubeObject, status = 200): Response {
    const as = outputForm(info.accept);
    if (as === "Table") {
      const { resourceVersion } = object.metadata;
      const include = info.query.get("includeObject") ?? "Metadata";
      return json(
        table(kind, version, [object], { resourceVersion }, include, this.#backend.clock.now()),
        status,
      );
    }
    return json(as === "PartialObjectMetadata" ? partialMetadata(object) : object, status);
  }
}

function verbOf(info: RequestInfo, isWatchPath: boolean): string {
  const isWatch = isWatchPath || ["true", "1"].includes(info.query.get("watch") ?? "");
  switch (info.method) {
    case "GET":
      // A named object is got, whatever the query says; only the old /watch/ paths watch one by name.
      if (info.name !== undefined && !isWatchPath) return "get";
      return isWatch ? "watch" : "list";
    case "POST":
      return "create";
    case "PUT":
      return info.name === undefined ? "" : "update";
    case "PATCH":
      return info.name === undefined ? "" : "patch";
    case "DELETE":
      return info.name === undefined ? "deletecollection" : "delete";
    default:
      return "";
  }
}

function readBody(info: RequestInfo, kind: string): Json {
  if (info.body.trim() === "") {
    if (info.method === "DELETE") return undefined;
    throw errors.badRequest("the body of the request is empty");
  }
  if (/protobuf|cbor/.test(info.contentType)) {
    throw errors.unsupportedMediaType(["application/json", "application/yaml"]);
  }
  try {
    if (/yaml/.test(info.contentType) && !info.body.trimStart().startsWith("{")) return parseYaml(info.body);
    return JSON.parse(info.body);
  } catch (error) {
    const start = info.body.length > 30 ? `${info.body.slice(0, 30)} ...` : info.body;
    throw errors.badRequest(
      `the object provided is unrecognized (must be of type ${kind}): couldn't get version/kind; json parse error: ${
        (error as Error).message
      } (${start})`,
    );
  }
}

function writeOptions({ query, userAgent, subresource }: RequestInfo, warnings: string[]): WriteOptions {
  const manager = query.get("fieldManager") || userAgent.split("/")[0] || "unknown";
  if (manager.length > 128) {
    throw errors.invalid({ group: "meta.k8s.io", plural: "", kind: "PatchOptions" }, "", [{
      type: "TooLong",
      field: "fieldManager",
      detail: "may not be more than 128 bytes",
    }]);
  }
  const fieldValidation = query.get("fieldValidation") ?? "Warn";
  return {
    manager,
    subresource,
    isDryRun: query.getAll("dryRun").includes("All"),
    fieldValidation: fieldValidation as NonNullable<WriteOptions["fieldValidation"]>,
    warnings,
  };
}

const noSuchResource = () =>
  new errors.StatusError(404, "NotFound", "the server could not find the requested resource", {});

function checkSubresource({ kind, version, name }: Target, subresource: string): void {
  const isKnown = subresource === "" || (subresource === "status" && kind.hasStatus(version)) ||
    (subresource === "finalize" && kind.table === "/namespaces");
  if (!isKnown) throw kind.isCustom ? errors.notFound(kind, name) : noSuchResource();
}

function scalePaths({ kind, version, name }: Target) {
  const paths = kind.scale(version);
  if (!paths) throw kind.isCustom ? errors.notFound(kind, name) : noSuchResource();
  return paths;
}

/** Which of the special forms the client accepts first: a Table, metadata only, or neither. */
function outputForm(accept: string): string | undefined {
  for (const part of accept.replaceAll(" ", "").split(",")) {
    const as = /;as=(\w+)/.exec(part)?.[1];
    if (as && part.includes("g=meta.k8s.io")) return as;
    if (/^(application\/json|\*\/\*)/.test(part)) return undefined;
  }
  return undefined;
}

const notServed = () =>
  new Response("404 page not found\n", {
    status: 404,
    headers: { "content-type": "text/plain; charset=utf-8" },
  });

function json(value: Json, status = 200, contentType = "application/json"): Response {
  return new Response(JSON.stringify(value) + "\n", { status, headers: { "content-type": contentType } });
}

function withWarnings(response: Response, warnings: readonly string[]): Response {
  for (const text of warnings) response.headers.append("warning", `299 - ${JSON.stringify(text)}`);
  return response;
}

export type { Kind };
