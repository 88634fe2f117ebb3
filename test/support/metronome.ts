/** Beats, and notes for how long it could not: what the machine took from this process, and no fault of what runs in it. */
const BEAT_MS = 10;

export class Metronome {
  #lastAt = performance.now();
  #longestPauseMs = 0;
  readonly #timer = setInterval(() => this.#beat(), BEAT_MS);

  /** The longest time by which a beat was late so far, in milliseconds. */
  get longestPauseMs(): number {
    return this.#longestPauseMs;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #beat(): void {
    const now = performance.now();
    this.#longestPauseMs = Math.max(this.#longestPauseMs, now - this.#lastAt - BEAT_MS);
    this.#lastAt = now;
  }
}
