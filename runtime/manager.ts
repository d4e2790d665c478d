import type { Client, ResourceClient } from "./client.ts";
import type { Informer } from "./informer.ts";
import type { ControllerOptions, EventRecorder, InformerOptions, ManagerOptions } from "./options.ts";
import type { KubernetesObject, Resource } from "./types.ts";

/** Starts and stops everything in the right order. */
export interface Manager {
  readonly client: ResourceClient;
  readonly liveClient: Client;
  readonly events: EventRecorder;
  readonly isLeader: boolean;
  informer<Read extends KubernetesObject>(
    resource: Resource<Read, unknown>,
    options?: InformerOptions<Read>,
  ): Informer<Read>;
  controller<Read extends KubernetesObject>(options: ControllerOptions<Read>): void;
  start(signal?: AbortSignal): Promise<void>;
}

export function createManager(_options: ManagerOptions): Manager {
  throw new Error("Not yet");
}
