import type { AnyResource, Key, KubernetesObject } from "./types.ts";

/** What a handler is told. Objects are frozen. */
export interface InformerHandler<Read> {
  /** `initial` says that the object was there before the handler, or came with the first list. */
  add?(object: Read, initial: boolean): void;
  update?(before: Read, after: Read): void;
  /** `last` is the last state known; when the object vanished unseen, that may be old. */
  delete?(last: Read, unseen: boolean): void;
}

/** A cache of one kind. */
export interface Informer<Read = KubernetesObject> {
  readonly resource: AnyResource;
  readonly hasSynced: boolean;
  get(key: Key | string): Read | undefined;
  list(options?: { namespace?: string; labelSelector?: string }): Read[];
  byIndex(index: string, value: string): Read[];
  /** Returns the function that takes the handler off again. */
  on(handler: InformerHandler<Read>): () => void;
}
