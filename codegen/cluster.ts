/**
 * Documents of a running cluster: its CustomResourceDefinitions, and the OpenAPI documents of its built-in kinds.
 * @module
 */
import { InputError } from "./errors.ts";
import type { SourceDocument } from "./generate.ts";
import { isObject, type Json, type JsonObject, member } from "./json.ts";
import { type Connection, readKubeconfig, send } from "./kubeconfig.ts";

/** Which cluster, and what of it. */
export interface ClusterOptions {
  /** @default {"$KUBECONFIG, else ~/.kube/config"} */
  kubeconfig?: string;
  /** @default {"the current context"} */
  context?: string;
  /** Built-in kinds whose OpenAPI documents are wanted too. */
  kinds?: readonly string[];
  /** Told what is read next. */
  progress?: (what: string) => void;
}

/** Reads a path; `undefined` where there is nothing: a group can be listed that has no document. */
type Read = (path: string) => Promise<JsonObject | undefined>;

/**
 * The documents of a cluster.
 *
 * @throws {InputError} when it cannot be reached, or does not let us read
 */
export async function readCluster(options: ClusterOptions = {}): Promise<SourceDocument[]> {
  const { kubeconfig, context, kinds = [], progress = () => {} } = options;
  progress("reading the kubeconfig");
  const connection = await readKubeconfig({
    ...(kubeconfig !== undefined && { file: kubeconfig }),
    ...(context !== undefined && { context }),
  });
  const read: Read = (path) => {
    progress(`reading ${addressOf(connection, path)}`);
    return find(connection, path);
  };
  const list = await get(connection, read, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions");
  const items = member(list, "items");
  const documents = (Array.isArray(items) ? items : []).map((item): SourceDocument => ({
    place: [connection.server],
    value: isObject(item)
      ? { apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition", ...item }
      : item,
  }));
  if (kinds.length > 0) documents.push(...await openApiDocuments(connection, read, kinds));
  return documents;
}

/** The documents of the groups that the kinds name; of all built-in groups, where one names none. */
async function openApiDocuments(
  connection: Connection,
  read: Read,
  kinds: readonly string[],
): Promise<SourceDocument[]> {
  const index = member(await get(connection, read, "/openapi/v3"), "paths");
  const found: SourceDocument[] = [];
  for (const [path, entry] of isObject(index) ? Object.entries(index) : []) {
    const url = isObject(entry) ? member(entry, "serverRelativeURL") : undefined;
    const match = /^(?:api|apis\/([^/]+))\/[^/]+$/.exec(path);
    if (typeof url !== "string" || match === null || !kinds.some((kind) => mayHold(match[1] ?? "", kind))) {
      continue;
    }
    const value = await read(url);
    if (value !== undefined) found.push({ place: [connection.server, path], value });
  }
  return found;
}

function mayHold(group: string, kind: string): boolean {
  const wanted = kind.split("/");
  if (wanted.length === 1) return group === "" || !group.includes(".") || group.endsWith(".k8s.io");
  return group === wanted[0] || group === "" && (wanted[0] === "core" || wanted[0] === "v1");
}

async function get(connection: Connection, read: Read, path: string): Promise<JsonObject> {
  const found = await read(path);
  if (found !== undefined) return found;
  throw new InputError("The API server answered 404: it does not serve this", [addressOf(connection, path)]);
}

function addressOf({ server }: Connection, path: string): string {
  return `${server}${path.split("?")[0]}`;
}

async function find(connection: Connection, path: string): Promise<JsonObject | undefined> {
  const place = [addressOf(connection, path)];
  const answer = await send(connection, "GET", path).catch((error: Error) => {
    throw new InputError(`Cannot reach the API server: ${error.message.trim()}`, place, { cause: error });
  });
  if (answer.status === 404) return undefined;
  let body: Json | undefined;
  try {
    body = JSON.parse(answer.body) as Json;
  } catch {
    body = undefined;
  }
  const message = isObject(body) ? member(body, "message") : undefined;
  if (answer.status === 401 || answer.status === 403) {
    throw new InputError(
      `The API server does not permit it (${answer.status}): ${
        typeof message === "string" ? message : "no reason given"
      }`,
      place,
    );
  }
  if (answer.status !== 200 || !isObject(body)) {
    throw new InputError(
      `The API server answered ${answer.status}: ${String(message ?? answer.body.slice(0, 200))}`,
      place,
    );
  }
  return body;
}
