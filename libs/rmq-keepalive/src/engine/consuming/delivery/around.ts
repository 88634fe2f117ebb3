/**
 * Around the handlers: something of one's own that sees every delivery before its handler and every outcome after it.
 *
 * Danger: whoever forgets an `await` would have a message acked that is still being handled, and lost with the process. So
 * what an around returns counts once the handler has ended; only a `Settlement` counts at once.
 */
import { AroundCalledTwiceError } from '../../errors/delivery-errors.js';
import type { Delivery } from './delivery.js';
import type { DeliveryBatch } from './delivery-batch.js';
import { Settlement } from './settlement.js';

/**
 * Called for every delivery whose turn has come. `handle()` calls the handler (through the arounds further in) and resolves
 * with what it returned, or rejects with what it threw. What the around returns or throws counts as the handler's:
 *
 * - It returns without having called `handle`: the handler is passed over, and the message acked (or settled as it says).
 * - It throws: the handler has failed; retry or dead letter follow.
 * - `handle` may be called once. A second call throws {@link AroundCalledTwiceError}.
 *
 * Its time counts as the handler's (`handlerTimeoutMs`). For a batch it is called once, with the first delivery and `batch`.
 */
export type AroundDeliver = (delivery: Delivery, handle: () => Promise<unknown>, batch?: DeliveryBatch) => unknown;

/** The first one is the outermost. */
export function composedDeliver(arounds: readonly AroundDeliver[]): AroundDeliver | undefined {
  const [outer, ...rest] = arounds;
  const inner = rest.length === 0 ? undefined : composedDeliver(rest);
  if (outer === undefined || inner === undefined) return outer;
  return (delivery, handle, batch) => outer(delivery, () => calledAround(inner, { delivery, batch }, handle), batch);
}

/** What an around is called with. */
export interface Handled {
  readonly delivery: Delivery;
  readonly batch: DeliveryBatch | undefined;
}

/** Calls `around`, and `handler` when it says so. Resolves with what the around made of it. */
export async function calledAround(
  around: AroundDeliver,
  { delivery, batch }: Handled,
  handler: () => unknown,
): Promise<unknown> {
  const call = new HandlerCallOnce(handler);
  const result = await around(delivery, () => call.begin(), batch);
  if (!(result instanceof Settlement)) await call.ended();
  return result;
}

class HandlerCallOnce {
  #handled: Promise<unknown> | undefined;
  #isOver = false;

  constructor(private readonly handler: () => unknown) {}

  /** @throws {@link AroundCalledTwiceError} */
  begin(): Promise<unknown> {
    if (this.#handled !== undefined) throw new AroundCalledTwiceError('around.deliver', 'handle');
    const handled = (async () => this.handler())();
    const over = (): void => void (this.#isOver = true);
    handled.then(over, over);
    return (this.#handled = handled);
  }

  /** Its failure is the around's to see, unless that has not waited for it. */
  async ended(): Promise<void> {
    if (!this.#isOver) await this.#handled;
  }
}
