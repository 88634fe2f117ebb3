/**
 * Tells a broker that is silent about one thing from a link that is silent.
 *
 * Danger: a classic queue whose node is away is answered for after a minute (404, on RabbitMQ 3.10 to 4.3), and only its own
 * channel waits meanwhile. To discard the link for that would take all others down every few seconds; to wait on a link that
 * is dead would take as long.
 * Choice: when an answer stays away, another channel is opened and closed on the same link. If the broker answers that, its
 * silence concerns this one thing only, which is left pending; if not, the link's own watchdog decides.
 */
import { type Clock, setFairTimer, type Timer } from '../base/clock.js';
import type { Link } from './link.js';

/** Once one was found to be silent, others need not be waited for as long: a node that is away has many queues. */
const SHARE_AFTER_THE_FIRST = 1 / 10;

export class Patience {
  #foundOne = false;

  /** @param silentForMs an answer that has not come by then is asked after */
  constructor(
    private readonly clock: Clock,
    private readonly silentForMs: number,
  ) {}

  /** Resolves with whether `answer` has settled; `false`: the link answers, and not this. Rejects as `answer` does. */
  async answered(link: Link, answer: Promise<unknown>): Promise<boolean> {
    const settled = answer.then(() => true);
    for (;;) {
      if (await this.#within(settled, this.#foundOne ? this.silentForMs * SHARE_AFTER_THE_FIRST : this.silentForMs))
        return true;
      const isAlive = link.answers().then((answers) => (answers ? false : undefined));
      const verdict = await Promise.race([settled, isAlive]);
      if (verdict === false) this.#foundOne = true;
      if (verdict !== undefined) return verdict;
      // Nor does it answer anything else: it is lost, or will be found to be.
    }
  }

  async #within(settled: Promise<boolean>, ms: number): Promise<boolean> {
    let timer: Timer | undefined;
    const isOver = new Promise<false>((resolve) => {
      timer = setFairTimer(this.clock, () => resolve(false), ms);
    });
    try {
      return await Promise.race([settled, isOver]);
    } finally {
      timer?.cancel();
    }
  }
}
