/**
 * TypeScript and openapi-typescript, loaded as CommonJS.
 *
 * An `import` of them costs 0.25 s more: Node parses the 9 MB of typescript.js once to find out that it is CommonJS,
 * and openapi-typescript's own door loads its document bundler. Only two of its files are needed.
 * @module
 */
import { createRequire } from "node:module";
import type * as OpenApiTypeScript from "openapi-typescript";
import type TypeScript from "typescript";

const require = createRequire(import.meta.url);

/** The compiler's API. */
export const typescript = require("typescript") as typeof TypeScript;

/** openapi-typescript's transform of one schema. */
export const { default: transformSchemaObject } = require(
  "openapi-typescript/dist/transform/schema-object.cjs",
) as {
  default: typeof OpenApiTypeScript.transformSchemaObject;
};

/** openapi-typescript's makers of nodes. */
export const nodes = require("openapi-typescript/dist/lib/ts.cjs") as typeof OpenApiTypeScript;
