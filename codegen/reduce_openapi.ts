/**
 * Cuts an OpenAPI v3 document of the API server down to some kinds and what they reach.
 *
 * The committed files in codegen/openapi/ are made with it, one run per document:
 *
 *     kubectl get --raw /openapi/v3/apis/apps/v1 > apps.json
 *     node codegen/reduce_openapi.ts apps.json codegen/openapi/apps_v1.json StatefulSet Deployment
 *
 * A name with a dot in it (`meta.v1.Status`) asks for a schema that is no kind of its own.
 * What stays is an OpenAPI document still: for each path of the kinds, its methods with their
 * `x-kubernetes-action` and kind; and the component schemas that those kinds reach.
 * @module
 */
import { readFile, writeFile } from "node:fs/promises";
import process from "node:process";

type Json = Record<string, unknown>;

/** The part of an OpenAPI document that is read here. */
interface Document {
  openapi: string;
  info: Json;
  paths: Record<string, Json>;
  components: { schemas: Record<string, Json> };
}

interface GroupVersionKind {
  group: string;
  version: string;
  kind: string;
}

/**
 * The part of a document that the kinds need.
 *
 * @throws {RangeError} when the document has no such kind
 */
export function reduceOpenApi(document: Document, kinds: readonly string[]): Document {
  const paths: Record<string, Json> = {};
  const reached = new Set<string>();
  const found = new Set<string>();
  for (const [path, item] of Object.entries(document.paths)) {
    const methods = Object.entries(item).flatMap(([method, operation]) => {
      const { "x-kubernetes-group-version-kind": gvk, "x-kubernetes-action": action } = operation as Json;
      if (gvk === undefined || action === undefined || path.includes("/watch/")) return [];
      const { kind } = gvk as GroupVersionKind;
      if (!kinds.includes(kind) || !isOwnPath(path)) return [];
      found.add(kind);
      return [[method, { "x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk }]];
    });
    if (methods.length > 0) paths[path] = Object.fromEntries(methods) as Json;
  }
  for (const [name, schema] of Object.entries(document.components.schemas)) {
    const gvks = schema["x-kubernetes-group-version-kind"] as GroupVersionKind[] | undefined;
    if (gvks?.length === 1 && found.has(gvks[0]!.kind)) reach(name);
  }
  for (const name of Object.keys(document.components.schemas)) {
    const wanted = kinds.find((kind) => kind.includes(".") && name.endsWith(`.${kind}`));
    if (wanted === undefined) continue;
    found.add(wanted);
    reach(name);
  }
  const missing = kinds.filter((kind) => !found.has(kind));
  if (missing.length > 0) {
    throw new RangeError(`Cannot reduce the document: it has no kind ${missing.join(", ")}`);
  }

  const schemas = Object.fromEntries(
    [...reached].sort().map((name) => [name, document.components.schemas[name]!]),
  );
  return { openapi: document.openapi, info: document.info, paths, components: { schemas } };

  function reach(name: string): void {
    if (reached.has(name)) return;
    reached.add(name);
    for (
      const [, target] of JSON.stringify(document.components.schemas[name]).matchAll(
        /"#\/components\/schemas\/([^"]+)"/g,
      )
    ) {
      reach(target!);
    }
  }
}

/** Collections, objects and their status and scale: what a typed client calls. */
function isOwnPath(path: string): boolean {
  const tail = path.split("/{name}")[1];
  return tail === undefined || tail === "" || tail === "/status" || tail === "/scale";
}

if (import.meta.main) {
  const [input, output, ...kinds] = process.argv.slice(2);
  if (input === undefined || output === undefined || kinds.length === 0) {
    console.error("Usage: reduce_openapi.ts INPUT.json OUTPUT.json KIND...");
    process.exit(2);
  }
  const reduced = reduceOpenApi(JSON.parse(await readFile(input, "utf8")) as Document, kinds);
  await writeFile(output, `${JSON.stringify(reduced, null, 1)}\n`);
}
