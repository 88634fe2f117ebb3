/**
 * Links that did not live long: a broker, or a proxy before it, that lets us in and throws us out at once must not be dialled
 * ten times a second for ever; one that restarts again and again must find us back at once.
 *
 * Choice: a few such deaths are forgiven, each is forgotten after a second, and each one more doubles the wait.
 */

/** A link that does not live this long died young. */
const YOUNG_LINK_MS = 1_000;
/** So many links may die young before that is no accident any more, and each next one waits longer. */
const FORGIVEN = 5;
/** One of them is forgotten whenever this much time has passed: who throws us out at once sees us about once a second. */
const FORGOTTEN_AFTER_MS = 1_000;
const FIRST_DELAY_MS = 200;

export class YoungDeaths {
  #count = 0;
  #lastAt = 0;

  /** A link has died at `now` that was open since `openedAt`; monotonic milliseconds. */
  note(now: number, openedAt: number): void {
    const forgotten = (now - this.#lastAt) / FORGOTTEN_AFTER_MS;
    this.#count = now - openedAt < YOUNG_LINK_MS ? Math.max(0, this.#count - forgotten) + 1 : 0;
    this.#lastAt = now;
  }

  /** How long the next attempt waits for that, in milliseconds. */
  delayMs(maxDelayMs: number, random: () => number): number {
    const unforgiven = this.#count - FORGIVEN;
    return unforgiven <= 0 ? 0 : Math.min(maxDelayMs, FIRST_DELAY_MS * 2 ** unforgiven) * (0.5 + random() / 2);
  }
}
