/**
 * TypeScript and openapi-typescript, loaded as CommonJS.
 *
 * An `import` of them costs 0.25 s more: Node parses the 9 MB of typescript.js once to find out that it is CommonJS,
 * and openapi-typescript's own door loads its document bundler. Only two of its files are needed. Where there is no
 * node_modules (Deno with an import map) the doors are what there is.
 * @module
 */
import { createRequire } from "node:module";
import type * as OpenApiTypeScript from "openapi-typescript";
import type TypeScript from "typescript";

const require = createRequire(import.meta.url);

interface Loaded {
  typescript: typeof TypeScript;
  transformSchemaObject: typeof OpenApiTypeScript.transformSchemaObject;
  nodes: typeof OpenApiTypeScript;
}

async function load(): Promise<Loaded> {
  try {
    return {
      typescript: require("typescript"),
      transformSchemaObject: require("openapi-typescript/dist/transform/schema-object.cjs").default,
      nodes: require("openapi-typescript/dist/lib/ts.cjs"),
    };
  } catch (error) {
    if ((error as { code?: string }).code !== "MODULE_NOT_FOUND") throw error;
    const nodes = await import("openapi-typescript");
    const { default: typescript } = await import("typescript");
    return { typescript, transformSchemaObject: nodes.transformSchemaObject, nodes };
  }
}

/** The compiler's API, openapi-typescript's transform of one schema, and its makers of nodes. */
export const { typescript, transformSchemaObject, nodes } = await load();
