/**
 * A controller library for Kubernetes, for Deno and Node alike.
 * @module
 */

export * from "./types.ts";
export * from "./ports.ts";
export * from "./errors.ts";
export * from "./metadata.ts";
export * from "./conditions.ts";
export * from "./paths.ts";
export * from "./logger.ts";
export * from "./options.ts";
export * from "./predicates.ts";
export * from "./client.ts";
export type * from "./informer.ts";
export * from "./manager.ts";
export * from "./platform/connect.ts";
export * from "./intents.ts";
export * from "./platform/command.ts";
