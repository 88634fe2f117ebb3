/** Beats, and notes for how long it could not: what the machine took from this process, and no fault of what runs in it. */
const BEAT_MS = 10;

export class Metronome {
  #lastAt = performance.now();
  /** The pauses, by when they ended. */
  readonly #pauses: { readonly endedAt: number; readonly lateMs: number }[] = [];
  #longestPauseMs = 0;
  #pausedMs = 0;
  readonly #timer = setInterval(() => this.#beat(), BEAT_MS);

  /** The longest time by which a beat was late so far, in milliseconds. */
  get longestPauseMs(): number {
    return this.#longestPauseMs;
  }

  /** All of the time by which beats were late so far, in milliseconds. */
  get pausedMs(): number {
    return this.#pausedMs;
  }

  /**
   * How much of the time between two instants (of `performance.now()`) the machine can be blamed for: what it took from this
   * process, and as much again for the others that a test waits for.
   */
  blameMs(from: number, to: number): number {
    const lateMs = ({ endedAt, lateMs }: { endedAt: number; lateMs: number }): number =>
      Math.max(0, Math.min(endedAt, to) - Math.max(endedAt - lateMs, from));
    return 2 * this.#pauses.reduce((sum, pause) => sum + lateMs(pause), 0);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #beat(): void {
    const now = performance.now();
    const lateMs = Math.max(0, now - this.#lastAt - BEAT_MS);
    this.#longestPauseMs = Math.max(this.#longestPauseMs, lateMs);
    this.#pausedMs += lateMs;
    if (lateMs > 0) this.#pauses.push({ endedAt: now, lateMs });
    this.#lastAt = now;
  }
}
