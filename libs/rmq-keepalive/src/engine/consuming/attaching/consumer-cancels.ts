/**
 * Cancels the consumer of a subscription: for a pause, for the end, or because its channel is needed elsewhere.
 *
 * Danger: between two cancels the consumer may have been attached again; and an attempt to attach may be under way.
 * Choice: one after the other, with all that changes the consumer in between (another prefetch).
 */
import type { WantedSubscription } from '../options/subscription.js';
import type { AttachAttempts } from './attach-attempts.js';
import type { ConsumerChannel } from '../consumer/consumer-channel.js';
import type { InHand } from '../consumer/in-hand.js';

interface ConsumerCancelsNeeds {
  readonly wanted: Pick<WantedSubscription, 'singleActive'>;
  readonly attempts: AttachAttempts;
  readonly channel: ConsumerChannel;
  readonly inHand: InHand;
  /** Resumed meanwhile, say. */
  isWanted(): boolean;
  /** The cancel goes out. */
  cancelling(): void;
}

export class ConsumerCancels {
  #last: Promise<void> = Promise.resolve();
  #handedOver: Promise<void> = Promise.resolve();

  constructor(private readonly needs: ConsumerCancelsNeeds) {}

  /** Resolves when all that was asked for by now is done. */
  get done(): Promise<void> {
    return this.#last;
  }

  /** Resolves when the broker was told to hand over to the next process, if it is to be told. */
  get handedOver(): Promise<void> {
    return this.#handedOver;
  }

  /**
   * Of a single active consumer the next process begins as soon as ours is cancelled: that waits until no handler of ours is at work.
   * Nobody waits for it here, since a handler may be the one who asks.
   */
  async handOver(): Promise<void> {
    const { wanted, inHand } = this.needs;
    if (!wanted.singleActive || !inHand.isHandling) return this.cancel();
    this.#handedOver = inHand.untilQuiet().then(() => {
      // Resumed meanwhile.
      if (this.needs.isWanted()) return;
      return new Promise((resolve) => void this.cancel(resolve));
    });
  }

  /** Resolves when the broker has consented, or the channel is gone; what was not begun by then is given back. */
  cancel(isSent: () => void = () => undefined): Promise<void> {
    return this.inTurn(async () => {
      const { attempts, channel, inHand } = this.needs;
      const attempt = attempts.underWay;
      // An attempt under way stops before it consumes, or cancels at once; one without an answer, when that comes.
      if (attempt !== undefined && !attempt.hasNoAnswer) await attempt.done.catch(() => undefined);
      const { consumer } = channel;
      const tag = consumer?.consumerTag;
      if (consumer !== undefined && tag !== undefined && consumer.isLive) {
        consumer.consumerTag = undefined;
        this.needs.cancelling();
        // If the channel ends first, there is nothing left to cancel.
        const answered = consumer.channel.cancel(tag).catch(() => undefined);
        isSent();
        await answered;
      } else isSent();
      inHand.handBackNotBegun();
    });
  }

  /** What changes the consumer, after all that was asked for before. */
  inTurn(work: () => Promise<void>): Promise<void> {
    return (this.#last = this.#last.then(work));
  }
}
