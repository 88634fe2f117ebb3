/** One call of a handler: what it was given, and how far it has come. */
import { AsyncContext } from '../../base/async-context.js';
import type { Delivery } from '../delivery/delivery.js';
import type { DeliveryBatch } from '../delivery/delivery-batch.js';
import { Settlement } from '../delivery/settlement.js';

export class HandlerRun {
  /** When its handler began; `undefined` while it waits for something. */
  startedAt: number | undefined;
  /** What becomes of its deliveries is decided; whatever its handler still says comes too late. */
  isDecided = false;
  /** Deliveries that the handler left for somebody to settle later (`ack: 'manual'`). */
  left = 0;
  /**
   * Where it belongs: the context of its arrival, and one of its own, since what its handler enters (`enterWith()`) must not
   * reach the next message of the same read. An around sets the one that it has made.
   */
  asyncContext = new AsyncContext();

  constructor(
    readonly payload: unknown,
    readonly context: Delivery | DeliveryBatch,
    readonly deliveries: readonly Delivery[],
    /** One at a time of those with the same key; `undefined`: any number. */
    readonly key: unknown,
  ) {}

  /** What a handler said by its result of the delivery at `index`: a batch handler may answer with an array. */
  settlementIn(result: unknown, index: number): Settlement | undefined {
    if (result instanceof Settlement) return result;
    if (this.context !== this.deliveries[0] && Array.isArray(result)) {
      const one: unknown = result[index];
      return one instanceof Settlement ? one : undefined;
    }
    return undefined;
  }
}
