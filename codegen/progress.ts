/**
 * What long work is doing.
 * @module
 */

/** Says what is going on, to whoever has waited for a while: the first line after one interval, then one in each. */
export class Progress {
  readonly #say: ((what: string) => void) | undefined;
  readonly #intervalMs: number;
  #saidMs = performance.now();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param say takes a line; without it nothing is said
   * @param intervalMs between two lines. @default 1_000
   */
  constructor(say: ((what: string) => void) | undefined, intervalMs = 1_000) {
    this.#say = say;
    this.#intervalMs = intervalMs;
  }

  /** What begins now. It is said at once when a line is due, and later when it still goes on then. */
  readonly begin = (what: string): void => {
    clearTimeout(this.#timer);
    const say = this.#say;
    if (say === undefined) return;
    const now = () => {
      this.#saidMs = performance.now();
      say(what);
    };
    const leftMs = this.#saidMs + this.#intervalMs - performance.now();
    // Work that lets no timer run says where it is itself, by beginning its next part.
    if (leftMs <= 0) now();
    else this.#timer = setTimeout(now, leftMs);
  };

  /** Nothing more will be said. */
  end(): void {
    clearTimeout(this.#timer);
  }
}
