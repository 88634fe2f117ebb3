/**
 * Runs in both threads.
 *
 * How long another thread has not turned its event loop while we turned ours. Pure: time is an argument.
 *
 * Danger: a process that is stopped (SIGSTOP) or throttled stops both threads. That is no hang of the other one, and
 * counting wall time would take it for one at the moment of its release.
 * Choice: between two looks of ours at most two usual pauses count; the rest we were not running ourselves.
 */
export class ObservedStall {
  #lookEveryMs;
  #lookedAt;
  #ticks;
  #stalledMs = 0;

  /**
   * @param {number} lookEveryMs the usual pause between two looks
   * @param {number} now milliseconds of a monotonic clock
   * @param {number} ticks what the other thread has counted so far
   */
  constructor(lookEveryMs, now, ticks) {
    this.#lookEveryMs = lookEveryMs;
    this.#lookedAt = now;
    this.#ticks = ticks;
  }

  /**
   * Milliseconds for which the other thread has stood still, as of this look; 0 when it has ticked since the last one.
   * @param {number} now
   * @param {number} ticks
   */
  look(now, ticks) {
    const sinceLastLook = Math.min(now - this.#lookedAt, 2 * this.#lookEveryMs);
    this.#stalledMs = ticks === this.#ticks ? this.#stalledMs + sinceLastLook : 0;
    this.#lookedAt = now;
    this.#ticks = ticks;
    return this.#stalledMs;
  }
}
