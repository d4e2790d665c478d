/**
 * What every request handler and controller works on: store, kinds, clock and chance.
 * @module
 */
import type { Kind } from "./kind.ts";
import { Registry } from "./registry.ts";
import { Storage, type StorageOptions } from "./storage.ts";
import { type Clock, type KubeObject, type Random, rfc3339, systemClock, uuid } from "./types.ts";

/** Options of {@link Backend}. */
export interface BackendOptions extends StorageOptions {
  clock?: Clock;
  random?: Random;
}

export class Backend {
  readonly storage: Storage;
  readonly registry = new Registry();
  readonly clock: Clock;
  readonly random: Random;

  constructor(options: BackendOptions = {}) {
    this.storage = new Storage(options);
    this.clock = options.clock ?? systemClock;
    this.random = options.random ?? secureRandom;
  }

  /** metav1.Time of now. */
  get time(): string {
    return rfc3339(this.clock.now());
  }

  uid(): string {
    return uuid(this.random);
  }

  /** A kind that must be there. */
  kind(group: string, plural: string): Kind {
    const found = this.registry.byTable(`${group}/${plural}`);
    if (!found) throw new RangeError(`No kind ${plural}.${group}`);
    return found;
  }

  /** The stored object, as it is stored. */
  get(group: string, plural: string, namespace: string | undefined, name: string): KubeObject | undefined {
    return this.storage.get(`${group}/${plural}`, namespace, name);
  }

  /** The stored objects of a kind, of one namespace when it is given. */
  list(group: string, plural: string, namespace?: string): KubeObject[] {
    return this.storage.list(`${group}/${plural}`, namespace);
  }
}

const drawn: number[] = [];
/** Drawn many at a time: each draw is a call of the system's. */
const secureRandom: Random = () => {
  if (drawn.length === 0) drawn.push(...crypto.getRandomValues(new Uint32Array(1024)));
  return drawn.pop()! / 2 ** 32;
};
