import type { Delivery } from './delivery.js';

/** The deliveries that a batch handler got at once, in the order of their payloads. Each can be settled by itself. */
export class DeliveryBatch {
  constructor(
    /** At least one; all of one subscription, and of one channel. */
    readonly deliveries: readonly Delivery[],
  ) {}

  get size(): number {
    return this.deliveries.length;
  }

  /** Aborts when the work on the whole batch is for nothing: see `Delivery.signal`. */
  get signal(): AbortSignal {
    return (this.deliveries[0] as Delivery).signal;
  }
}
