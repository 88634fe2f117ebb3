/**
 * What becomes of a delivery that was not handled: it is moved to the dead-letter queue, or rejected where there is none.
 *
 * Danger: the dead-letter queue may be out of reach just when everything fails. Then the delivery is kept, unsettled, and
 * the move tried again: nothing is dropped, and the prefetch bounds what is held.
 */
import type { Clock, Timer } from '../clock.js';
import type { ConnectionEvent } from '../connection/connection-events.js';
import { asError } from '../errors.js';
import type { DeadLetterReason } from './dead-letter.js';
import type { Delivery } from './delivery.js';
import type { WantedSubscription } from './subscription.js';
import type { ConsumerCounters } from './workload.js';

export interface FailureHost {
  readonly clock: Clock;
  event(event: ConnectionEvent): void;
  moveToDeadLetters(
    delivery: Delivery,
    queue: string,
    why: { reason: DeadLetterReason; error?: unknown },
  ): Promise<void>;
}

const DEAD_LETTER_RETRY_MS = { first: 1_000, max: 30_000 };

export class FailedDeliveries {
  #isStopped = false;
  readonly #wakers = new Set<() => void>();

  constructor(
    private readonly wanted: WantedSubscription,
    private readonly host: FailureHost,
    private readonly counters: ConsumerCounters,
  ) {}

  /** What could not be moved by now is handed back, and comes again elsewhere. */
  stop(): void {
    this.#isStopped = true;
    for (const wake of this.#wakers) wake();
  }

  async giveUp(delivery: Delivery, reason: DeadLetterReason, error: unknown): Promise<void> {
    const { deadLetter, name: subscription } = this.wanted;
    if (delivery.isSettled) return;
    if (deadLetter === false) {
      if (delivery.reject()) this.host.event({ type: 'delivery-rejected', subscription, reason });
      return;
    }
    let retryInMs = DEAD_LETTER_RETRY_MS.first;
    // A stale delivery comes again by itself: moving it as well would make two of it.
    while (delivery.isLive && !delivery.isSettled) {
      try {
        await this.host.moveToDeadLetters(delivery, deadLetter, { reason, error });
        if (delivery.ack()) this.counters.deadLettered += 1;
        this.host.event({ type: 'delivery-dead-lettered', subscription, deadLetterQueue: deadLetter, reason });
        return;
      } catch (thrown) {
        if (!delivery.isLive || this.#isStopped) return void delivery.handBack();
        const cause = asError(thrown);
        this.host.event({ type: 'dead-letter-failed', subscription, deadLetterQueue: deadLetter, cause, retryInMs });
        await this.#pause(retryInMs);
        if (this.#isStopped) return void delivery.handBack();
        retryInMs = Math.min(retryInMs * 2, DEAD_LETTER_RETRY_MS.max);
      }
    }
    if (!delivery.isSettled) delivery.ack(); // stale: counted as such
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        timer.cancel();
        this.#wakers.delete(wake);
        resolve();
      };
      const timer: Timer = this.host.clock.setTimer(wake, delayMs);
      this.#wakers.add(wake);
    });
  }
}
