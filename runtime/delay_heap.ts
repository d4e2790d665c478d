/**
 * Keys by the time they are due: a binary heap in which each key stands once, at its earliest time.
 *
 * An entry that was overtaken stays in the heap until it comes up and is then passed over.
 * @module
 */

/** A key and when it is due. */
export interface Delayed {
  key: string;
  dueMs: number;
  priority: number;
}

/** Earliest first. */
export class DelayHeap {
  readonly #heap: Delayed[] = [];
  readonly #current = new Map<string, Delayed>();

  /** Keys that wait. */
  get size(): number {
    return this.#current.size;
  }

  /** Adds the key; when it waits already, the earlier time and the higher priority count. */
  push(key: string, dueMs: number, priority: number): void {
    const present = this.#current.get(key);
    if (present && present.dueMs <= dueMs) {
      present.priority = Math.max(present.priority, priority);
      return;
    }
    const entry = { key, dueMs, priority: Math.max(present?.priority ?? -Infinity, priority) };
    this.#current.set(key, entry);
    this.#heap.push(entry);
    this.#up(this.#heap.length - 1);
    if (this.#heap.length > 2 * this.#current.size + 64) this.#rebuild();
  }

  /** Forgets the key. Answers whether it waited. */
  delete(key: string): boolean {
    return this.#current.delete(key);
  }

  /** When the next key is due; Infinity when none waits. */
  nextMs(): number {
    this.#dropOvertaken();
    return this.#heap[0]?.dueMs ?? Infinity;
  }

  /** Takes out all keys that are due at `nowMs`. */
  popUntil(nowMs: number): Delayed[] {
    const due: Delayed[] = [];
    while (this.size > 0 && this.nextMs() <= nowMs) {
      const entry = this.#pop();
      this.#current.delete(entry.key);
      due.push(entry);
    }
    return due;
  }

  clear(): void {
    this.#heap.length = 0;
    this.#current.clear();
  }

  /** A sorted array is a heap; without the overtaken entries it cannot grow beyond what waits. */
  #rebuild(): void {
    const entries = [...this.#current.values()].sort((one, other) => one.dueMs - other.dueMs);
    this.#heap.splice(0, this.#heap.length, ...entries);
  }

  #dropOvertaken(): void {
    while (this.#heap.length > 0 && this.#current.get(this.#heap[0]!.key) !== this.#heap[0]) this.#pop();
  }

  #pop(): Delayed {
    const first = this.#heap[0]!;
    const last = this.#heap.pop()!;
    if (this.#heap.length > 0) {
      this.#heap[0] = last;
      this.#down(0);
    }
    return first;
  }

  #up(index: number): void {
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (this.#heap[parent]!.dueMs <= this.#heap[index]!.dueMs) return;
      this.#swap(parent, index);
      index = parent;
    }
  }

  #down(index: number): void {
    while (true) {
      let least = index;
      for (const child of [2 * index + 1, 2 * index + 2]) {
        if (child < this.#heap.length && this.#heap[child]!.dueMs < this.#heap[least]!.dueMs) least = child;
      }
      if (least === index) return;
      this.#swap(least, index);
      index = least;
    }
  }

  #swap(one: number, other: number): void {
    [this.#heap[one], this.#heap[other]] = [this.#heap[other]!, this.#heap[one]!];
  }
}
