/**
 * A subscription that may cost the link is attached with a prefetch of 1: the link takes no other message along, and the one
 * that ends it is the first of its queue, sooner or later.
 */
import type { Holding } from '../handling/holding.js';
import type { WantedSubscription } from '../options/subscription.js';
import { canChangePrefetch } from '../consumer/prefetch-change.js';

export class LinkTrial {
  /** `over`: all of its prefetch again, as soon as the attempt that is under way has ended. */
  #phase: 'none' | 'shrunk' | 'over' = 'none';

  constructor(
    private readonly wanted: WantedSubscription,
    private readonly holding: Holding,
    /** Gives the consumer that is attached all of its prefetch again; returns false if none is attached. */
    private readonly grow: (prefetch: number) => boolean,
  ) {}

  begin(): void {
    if (!canChangePrefetch(this.wanted)) return;
    this.#phase = 'shrunk';
    this.holding.change(1);
  }

  attemptEnded(): void {
    if (this.#phase === 'over') this.#growAgain();
  }

  /** The link lives. */
  end({ isAttempting }: { isAttempting: boolean }): void {
    if (this.#phase === 'none') return;
    if (isAttempting) this.#phase = 'over';
    else this.#growAgain();
  }

  #growAgain(): void {
    this.#phase = 'none';
    const { prefetch } = this.wanted;
    if (!this.grow(prefetch)) this.holding.change(prefetch);
  }
}
