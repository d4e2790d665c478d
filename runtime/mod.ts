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
export { CONTROLLER_INDEX, type Informer, type InformerHandler } from "./informer.ts";
export { createManager, type Manager } from "./manager.ts";
export { type Controller } from "./controller.ts";
export { type Counter, type Gauge, type Histogram, type Labels, MetricsRegistry } from "./metrics.ts";
export { matchesLabels } from "./selectors.ts";
export { compareResourceVersions } from "./resource_version.ts";
export { systemClock, systemRandom } from "./platform/clock.ts";
export { exitCodeOf, exitCodes, runProcess } from "./platform/process.ts";
export * from "./platform/connect.ts";
export * from "./intents.ts";
export * from "./platform/command.ts";
