/** Looks at what waits for a handler, every so often while anything does: one timer, whatever the number of messages. */
import type { Clock, Timer } from '../../base/clock.js';

export class LineWatch {
  #timer: Timer | undefined;
  #isOver = false;

  constructor(
    private readonly clock: Clock,
    /** `undefined`: there is nothing to look for. */
    private readonly everyMs: () => number | undefined,
    /** @returns whether there is more to look at later */
    private readonly look: () => boolean,
  ) {}

  /** Something waits. Called for each delivery that does: it must cost next to nothing. */
  begin(): void {
    if (this.#timer === undefined && !this.#isOver) this.#lookLater();
  }

  end(): void {
    this.#isOver = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #lookLater(): void {
    const everyMs = this.everyMs();
    if (everyMs === undefined) return;
    this.#timer = this.clock.setTimer(
      () => {
        this.#timer = undefined;
        if (this.look()) this.begin();
      },
      everyMs,
      'background',
    );
  }
}
