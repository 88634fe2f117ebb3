/** The subscriptions over which the connection was closed: each is tried again on a link of its own until that lives. */
import type { Clock, Timer } from '../../base/clock.js';
import type { SubscriptionKeeper } from './subscription-keeper.js';
import { OwnLinkTrial } from './own-link-trial.js';
import type { Link } from '../../link/link.js';

interface LeftOutNeeds {
  readonly clock: Clock;
  /** Within a time limit: one that gets no answer must not hold up the others. */
  onOwnLink(work: (link: Link) => Promise<boolean>): Promise<boolean>;
}

/** At most 12 attempts a minute for each. */
const TRIAL_EVERY_MS = 5_500;

export class LeftOutSubscriptions {
  readonly #trials = new Map<SubscriptionKeeper, OwnLinkTrial>();
  #timer: Timer | undefined;
  #isEnded = false;

  constructor(private readonly needs: LeftOutNeeds) {}

  add(keeper: SubscriptionKeeper, cause: Error): void {
    keeper.leaveOut(cause);
    // It may be found guilty again after it came back: what its trials have cost is remembered.
    if (!this.#trials.has(keeper)) this.#trials.set(keeper, new OwnLinkTrial(keeper, this.needs.clock));
    this.#arm();
  }

  end(): void {
    this.#isEnded = true;
    this.#timer?.cancel();
  }

  #arm(): void {
    const isAnyLeftOut = [...this.#trials.keys()].some(({ isLeftOut }) => isLeftOut);
    if (this.#timer !== undefined || this.#isEnded || !isAnyLeftOut) return;
    this.#timer = this.needs.clock.setTimer(() => {
      this.#timer = undefined;
      void this.#tryAll();
    }, TRIAL_EVERY_MS);
  }

  async #tryAll(): Promise<void> {
    for (const [keeper, trial] of this.#trials) {
      if (keeper.isStopped) this.#trials.delete(keeper);
      if (this.#isEnded || !keeper.isLeftOut || !keeper.isWanted) continue;
      // Lost over it again, refused, or no link to be had: it stays left out, and that was said.
      const mayComeBack = await this.needs.onOwnLink((link) => trial.run(link)).catch(() => false);
      if (mayComeBack) keeper.comeBack();
    }
    this.#arm();
  }
}
