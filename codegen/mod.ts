/**
 * From CustomResourceDefinitions and the API server's OpenAPI documents to TypeScript types and typed clients.
 *
 * @example The types of one CustomResourceDefinition
 * ```ts
 * import { documentsOf, generate } from "./codegen/mod.ts";
 * import { readFile } from "node:fs/promises";
 *
 * const { files } = generate(documentsOf(await readFile("crd.yaml", "utf8"), "crd.yaml"));
 * console.log([...files.keys()]);
 * ```
 * @module
 */
export { type Crd, type CrdVersion, readCrd } from "./crd.ts";
export { documentsOf } from "./documents.ts";
export { InputError } from "./errors.ts";
export { generate, type Generated, type GenerateOptions, type SourceDocument } from "./generate.ts";
export type { Json, JsonObject } from "./json.ts";
export { typeName } from "./names.ts";
