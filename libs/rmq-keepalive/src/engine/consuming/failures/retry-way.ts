/**
 * Makes sure, for one subscription, that retry queues exist and that the way back to its own queue does.
 *
 * The way back hangs on a binding of the subscription's queue, and dies with that queue: so it is declared once for every
 * consumer of the subscription, since a queue that is deleted takes its consumers along. Retry queues are declared when the
 * broker returns a copy because there is none.
 */
import type { CopyTransport } from '../../copies/copy-transport.js';
import type { Delivery } from '../delivery/delivery.js';
import { retryEntities, returnPathEntities } from '../../copies/retry-queues.js';

export class RetryWay {
  #back: { consumerTag: string; laid: Promise<void> } | undefined;
  readonly #there = new Map<number, Promise<void>>();

  constructor(
    private readonly transport: CopyTransport,
    /** Of the policy: those that will be needed soon are made together, so that only one new queue is waited for. */
    private readonly usualDelaysMs: readonly number[],
    private readonly rest: (ms: number) => Promise<void>,
  ) {}

  /** Call before a copy is sent. */
  async layBack(delivery: Delivery): Promise<void> {
    const { consumerTag } = delivery;
    if (this.#back?.consumerTag !== consumerTag) {
      const back = { consumerTag, laid: this.transport.declare(returnPathEntities(delivery.queue)) };
      this.#back = back;
      back.laid.catch(() => {
        if (this.#back === back) this.#back = undefined;
      });
    }
    await this.#back?.laid;
  }

  /** Call when there is no retry queue for this delay. Of many that fail together the first one does it for all. */
  async layThere(delayMs: number): Promise<void> {
    const underWay = this.#there.get(delayMs);
    if (underWay !== undefined) return underWay;
    const delays = [...new Set([...this.usualDelaysMs, delayMs])];
    const laid = this.#declareAndRest(delays);
    for (const delay of delays) this.#there.set(delay, laid);
    try {
      await laid;
    } finally {
      for (const delay of delays) if (this.#there.get(delay) === laid) this.#there.delete(delay);
    }
  }

  async #declareAndRest(delaysMs: readonly number[]): Promise<void> {
    await this.transport.declare(retryEntities(delaysMs));
    await this.rest(this.transport.newQueueRestMs);
  }
}
