/**
 * A controller library for Kubernetes, in TypeScript, for Deno and Node alike. This file is its only door.
 *
 * A controller brings the world nearer to what objects say: for each Database there is to be a StatefulSet, for each
 * StatefulSet there are to be pods. What follows is a walk through the parts, from the outside in, in the order in which
 * a program meets them; `examples/config-map.ts` is that program, whole, in 60 lines, and docs/write-your-own.md builds
 * it up step by step.
 *
 * ## Connection
 * {@linkcode connect} finds the API server: the service account in a pod, otherwise a kubeconfig. What it gives is a
 * {@linkcode RestClient}: one function that performs a request. It keeps few connections, lets nothing wait for ever, and
 * reads rotated tokens again (platform/transport.ts). Anything else with that function works as well: a test's own
 * server, for example.
 *
 * ## Resources
 * A {@linkcode Resource} says where a kind is served and, to the compiler, what reading and writing it means. Generated
 * code declares one constant per kind: `databases`, `configMaps`.
 *
 * ## Manager
 * {@linkcode createManager} makes the one object that owns all others: caches, controllers, leader election, health and
 * metrics. `start(signal)` runs until the signal is aborted and everything has stopped in good order (manager.ts).
 * {@linkcode runProcess} puts the process around it: signals, exit codes, one line about a failure.
 *
 * ## Controller and reconcile
 * `manager.controller({ for, owns, watches, reconcile })` wakes {@linkcode Reconcile} with a key whenever the object, what
 * it owns or what is mapped to it changes, at the start, and after a failure. Reconcile gets a name, never a change: it
 * reads everything, decides, writes, returns. It may be called at any time, any number of times, and each of its writes
 * may be the last thing the process does.
 * A {@linkcode Predicate} says which changes matter ({@linkcode generationChanged}, {@linkcode changed}); the work queue
 * collapses what comes together and holds back what fails (work_queue.ts).
 *
 * ## Client and caches
 * The client in a reconcile's {@linkcode Context} reads from caches and writes to the API server. A cache is an
 * {@linkcode Informer}: list, then watch, kept current through every failure, objects frozen (informer.ts, and reflector.ts
 * for the rules). A kind without an informer, Secrets by design, is read from the server.
 * Caches lag behind writes. Elsewhere that is the caveat to know; here the key is held until the caches show what its
 * reconcile wrote, so a reconcile never acts on a state that it has changed itself (controller.ts).
 * {@linkcode Client.apply} is server-side apply; {@linkcode Intents} applies only what differs.
 *
 * ## Telling people
 * Conditions ({@linkcode setCondition}) and Kubernetes events (`context.events`) for users, JSON log lines
 * ({@linkcode createLogger}) and metrics under controller-runtime's names for operators, `/livez` and `/readyz` for the
 * kubelet.
 *
 * ## Leader election
 * Of several replicas one works, by a Lease; the others keep warm caches (leader_election.ts). It does not fence: a frozen
 * process may wake. The manager asks the clock before each write, and deletes should carry uid and resourceVersion.
 *
 * ## Testing
 * Clock, chance, network and log are arguments (ports.ts), so ten virtual minutes take a millisecond and a run can be
 * replayed. Only files in platform/ name Deno, process, `node:` modules, timers or `Math.random`.
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
export type { RateLimiterOptions } from "./backoff.ts";
export * from "./predicates.ts";
export * from "./client.ts";
export { CONTROLLER_INDEX, type Informer, type InformerHandler } from "./informer.ts";
export { createManager, type Manager } from "./manager.ts";
export { type Controller } from "./controller.ts";
export { type Counter, type Gauge, type Histogram, type Labels, MetricsRegistry } from "./metrics.ts";
export { matchesLabels } from "./selectors.ts";
export { compareResourceVersions } from "./resource_version.ts";
export { randomToken, systemClock, systemRandom } from "./platform/clock.ts";
export { exitCodeOf, exitCodes, runProcess } from "./platform/process.ts";
export * from "./platform/connect.ts";
export * from "./intents.ts";
export * from "./platform/command.ts";
