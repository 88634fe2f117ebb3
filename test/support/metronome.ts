/** Beats, and notes for how long it could not: what the machine took from this process, and no fault of what runs in it. */
const BEAT_MS = 10;

export class Metronome {
  #lastAt = performance.now();
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

  stop(): void {
    clearInterval(this.#timer);
  }

  #beat(): void {
    const now = performance.now();
    const lateMs = Math.max(0, now - this.#lastAt - BEAT_MS);
    this.#longestPauseMs = Math.max(this.#longestPauseMs, lateMs);
    this.#pausedMs += lateMs;
    this.#lastAt = now;
  }
}
