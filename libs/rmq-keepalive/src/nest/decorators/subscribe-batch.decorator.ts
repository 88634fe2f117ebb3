import type { BatchOptions } from '../../engine/consuming/options/handling-options.js';
import { type HandlerDecorator, type SubscribeOptions, written } from './subscribe.decorator.js';

/**
 * Options of `@SubscribeBatch`: a subscription, and the size of its batches.
 *
 * ```ts
 * const SubscribeInBulk = (options: Omit<SubscribeBatchOptions, 'batch'>) =>
 *   SubscribeBatch({ batch: { size: 500, waitMs: 200 }, ...options });
 * ```
 */
export interface SubscribeBatchOptions extends Omit<SubscribeOptions, 'orderedBy'> {
  /** The size of a batch, and how long its first message waits for others. */
  batch: BatchOptions;
}

/**
 * Makes a method of a provider or a controller the handler of a queue that takes several messages at once, for work that
 * is cheaper together: a bulk insert, one request for many.
 *
 * The method gets an array of payloads and a `DeliveryBatch`, or what its parameter decorators ask for: `@Payload()` is the
 * array, `@Ctx()` the batch. Pipes get the array too. When it returns or resolves, all are acknowledged; when it throws,
 * each one fails by itself, as with `@Subscribe`. It may return an array with a `Settlement` at the index of a delivery, or
 * settle a delivery by itself. What cannot be decoded never gets into a batch.
 *
 * ```ts
 * @SubscribeBatch({ queue: 'views', batch: { size: 500, waitMs: 200 } })
 * async onViews(@Payload() views: View[], @Ctx() batch: DeliveryBatch): Promise<void> {
 *   await this.database.insert(views, { signal: batch.signal });
 * }
 * ```
 */
export function SubscribeBatch(options: SubscribeBatchOptions): HandlerDecorator {
  return written('@SubscribeBatch', options);
}
