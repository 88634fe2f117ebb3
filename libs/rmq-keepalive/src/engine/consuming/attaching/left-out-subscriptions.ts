/** The subscriptions over which the connection was closed: each is tried again on a link of its own until that lives. */
import type { Clock, Timer } from '../../base/clock.js';
import type { Consumer } from './subscription-keeper.js';
import { OwnLinkTrial } from './own-link-trial.js';
import type { Link } from '../../link/link.js';

export interface LeftOutHost {
  readonly clock: Clock;
  /** Within a time limit: one that gets no answer must not hold up the others. */
  onOwnLink(work: (link: Link) => Promise<boolean>): Promise<boolean>;
}

/** At most 12 attempts a minute for each. */
const TRIAL_EVERY_MS = 5_500;

export class LeftOutSubscriptions {
  readonly #trials = new Map<Consumer, OwnLinkTrial>();
  #timer: Timer | undefined;
  #isEnded = false;

  constructor(private readonly host: LeftOutHost) {}

  add(consumer: Consumer, cause: Error): void {
    consumer.leaveOut(cause);
    // It may be found guilty again after it came back: what its trials have cost is remembered.
    if (!this.#trials.has(consumer)) this.#trials.set(consumer, new OwnLinkTrial(consumer, this.host.clock));
    this.#arm();
  }

  end(): void {
    this.#isEnded = true;
    this.#timer?.cancel();
  }

  #arm(): void {
    const isAnyLeftOut = [...this.#trials.keys()].some(({ isLeftOut }) => isLeftOut);
    if (this.#timer !== undefined || this.#isEnded || !isAnyLeftOut) return;
    this.#timer = this.host.clock.setTimer(() => {
      this.#timer = undefined;
      void this.#tryAll();
    }, TRIAL_EVERY_MS);
  }

  async #tryAll(): Promise<void> {
    for (const [consumer, trial] of this.#trials) {
      if (consumer.isStopped) this.#trials.delete(consumer);
      if (this.#isEnded || !consumer.isLeftOut || !consumer.isWanted) continue;
      // Lost over it again, refused, or no link to be had: it stays left out, and that was said.
      const mayComeBack = await this.host.onOwnLink((link) => trial.run(link)).catch(() => false);
      if (mayComeBack) consumer.comeBack();
    }
    this.#arm();
  }
}
