/**
 * Get and list: versions, selectors, pages that all show one moment.
 * @module
 */
import type { Backend } from "./backend.ts";
import * as errors from "./errors.ts";
import { groupVersion, type Kind } from "./kind.ts";
import { fieldSelector, labelSelector, type Predicate } from "./selectors.ts";
import type { Json, KubeObject } from "./types.ts";

/** What a list or watch is restricted to. */
export interface Restriction {
  namespace: string | undefined;
  /** A watch or list by URL of one object. */
  name?: string;
  labelSelector: string;
  fieldSelector: string;
}

/** The restriction of a request. */
export function restriction(
  namespace: string | undefined,
  name: string | undefined,
  query: URLSearchParams,
): Restriction {
  return {
    namespace,
    ...(name ? { name } : {}),
    labelSelector: query.get("labelSelector") ?? "",
    fieldSelector: query.get("fieldSelector") ?? "",
  };
}

/** The test that the selectors of a restriction make; it takes objects of the version asked for. */
export function predicate(kind: Kind, version: string, by: Restriction): Predicate {
  const labels = labelSelector(by.labelSelector);
  const fields = fieldSelector(by.fieldSelector, {
    "metadata.name": (object) => object.metadata.name,
    ...(kind.isNamespaced
      ? { "metadata.namespace": (object: KubeObject) => object.metadata.namespace ?? "" }
      : {}),
    ...kind.selectable(version),
  }, !kind.isCustom && Object.keys(kind.selectable(version)).length === 0);
  return (object) =>
    (by.namespace === undefined || object.metadata.namespace === by.namespace) &&
    (by.name === undefined || object.metadata.name === by.name) &&
    labels(object.metadata.labels) && fields(object);
}

/** One page. */
export interface Page {
  items: KubeObject[];
  metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number };
}

interface Token {
  v: "meta.k8s.io/v1";
  rv: number;
  start: string;
}

const encode = (token: Token) =>
  btoa(JSON.stringify(token)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");

function decode(text: string): Token {
  try {
    const token = JSON.parse(atob(text.replaceAll("-", "+").replaceAll("_", "/"))) as Token;
    if (token.v === "meta.k8s.io/v1" && typeof token.start === "string" && typeof token.rv === "number") {
      return token;
    }
  } catch { /* answered below, like any other token that is none */ }
  throw errors.badRequest(
    "invalid continue token: continue key is not valid: unrecognized or invalid continue token",
  );
}

/** Reads a resourceVersion parameter. */
export function readVersion(backend: Backend, text: string | null): number | undefined {
  if (text === null || text === "") return undefined;
  const number = backend.storage.number(text);
  if (number === undefined) {
    const quoted = JSON.stringify(text);
    throw errors.badRequest(
      `invalid resource version: resourceVersion: Invalid value: ${quoted}: strconv.ParseUint: parsing ${quoted}: invalid syntax`,
    );
  }
  return number;
}

/**
 * Lists one page.
 *
 * @param seenRv the newest moment that this server knows; older than the store's for one that lags behind
 */
export function list(
  backend: Backend,
  kind: Kind,
  version: string,
  by: Restriction,
  query: URLSearchParams,
  seenRv: number = backend.storage.rv,
): Page {
  const limit = Number(query.get("limit") ?? 0);
  const token = query.get("continue");
  const asked = readVersion(backend, query.get("resourceVersion"));
  const match = query.get("resourceVersionMatch");
  checkListOptions(token, query.get("resourceVersion"), match);
  if (asked !== undefined && asked > seenRv) throw errors.tooLargeResourceVersion(asked, seenRv);
  let rv = seenRv;
  let start = "";
  if (token) {
    const decoded = decode(token);
    rv = decoded.rv < 0 ? seenRv : decoded.rv;
    start = decoded.start;
  } else if (asked !== undefined && asked > 0 && (match === "Exact" || (limit > 0 && match === null))) {
    rv = asked;
  }
  const snapshot = backend.storage.snapshot(kind.table, rv);
  if (!snapshot) throw gone(token, start);
  const matches = predicate(kind, version, by);
  const items: KubeObject[] = [];
  let next: string | undefined;
  let remaining = 0;
  for (const key of snapshot.keys) {
    if (key < start) continue;
    const stored = snapshot.get(key);
    if (!stored || (by.namespace !== undefined && stored.metadata.namespace !== by.namespace)) continue;
    if (limit > 0 && items.length >= limit) {
      next ??= key;
      remaining++;
      continue;
    }
    const object = kind.toVersion(stored, version);
    if (matches(object)) items.push(object);
  }
  // A filtered list may end before the next match is known: like the server, promise only what remains.
  const isFiltered = by.labelSelector !== "" || by.fieldSelector !== "";
  if (next !== undefined && isFiltered && !restMatches(snapshot, next, kind, version, matches)) {
    next = undefined;
  }
  return {
    items,
    metadata: {
      resourceVersion: backend.storage.text(rv),
      ...(next === undefined ? {} : { continue: encode({ v: "meta.k8s.io/v1", rv, start: next }) }),
      ...(next === undefined || isFiltered ? {} : { remainingItemCount: remaining }),
    },
  };
}

function restMatches(
  snapshot: { keys: readonly string[]; get(key: string): KubeObject | undefined },
  from: string,
  kind: Kind,
  version: string,
  matches: Predicate,
): boolean {
  return snapshot.keys.some((key) => {
    const stored = key < from ? undefined : snapshot.get(key);
    return stored !== undefined && matches(kind.toVersion(stored, version));
  });
}

function checkListOptions(token: string | null, rv: string | null, match: string | null): void {
  const refuse = (detail: string, field = "resourceVersionMatch") => {
    throw errors.invalid({ group: "meta.k8s.io", plural: "", kind: "ListOptions" }, "", [
      { type: "Forbidden", field, detail },
    ]);
  };
  if (match !== null && match !== "") {
    if (rv === null || rv === "") {
      refuse("resourceVersionMatch is forbidden unless resourceVersion is provided");
    }
    if (token) refuse("resourceVersionMatch is forbidden when continue is provided");
    if (match === "Exact" && rv === "0") {
      refuse('resourceVersionMatch "exact" is forbidden for resourceVersion "0"');
    }
  }
  if (token && rv && rv !== "0") {
    throw errors.badRequest("specifying resource version is not allowed when using continue");
  }
}

/** 410 of a list; a page's carries a token that goes on with what is there now. */
function gone(token: string | null, start: string): errors.StatusError {
  if (!token) {
    return errors.expired("The resourceVersion for the provided list is too old.");
  }
  const message =
    "The provided continue parameter is too old to display a consistent list result. You can start a new list " +
    "without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. " +
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted " +
    "between the time the first chunk was returned and now may show up in the list.";
  const error = errors.expired(message);
  const fresh = encode({ v: "meta.k8s.io/v1", rv: -1, start });
  return Object.defineProperty(error, "status", {
    value: { ...(error.status as object), metadata: { continue: fresh } },
  });
}

/** The list object of a page. */
export function listObject(kind: Kind, version: string, page: Page): Json {
  return {
    kind: kind.listKind,
    apiVersion: groupVersion(kind.group, version),
    metadata: kind.isCustom ? { continue: "", ...page.metadata } : page.metadata,
    // As in the real API, items of built-in lists carry no kind of their own.
    items: kind.isCustom
      ? page.items
      : page.items.map(({ kind: _kind, apiVersion: _apiVersion, ...rest }) => rest),
  };
}
