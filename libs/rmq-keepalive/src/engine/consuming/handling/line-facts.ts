/** Who waits for what, and for how long, among the unsettled deliveries of one channel. */
import type { Delivery } from '../delivery/delivery.js';
import type { HandlerRun } from './handler-run.js';
import type { LineFacts } from './time-in-line.js';

interface Unsettled {
  readonly delivery: Delivery;
  readonly arrivedAt: number;
}

interface Whereabouts {
  readonly runs: Iterable<HandlerRun>;
  /** By delivery tag; `aside`: it waits, and not for a handler. */
  readonly elsewhere: ReadonlyMap<number, 'aside' | 'moving'>;
}

export function lineFacts(
  unsettled: readonly Unsettled[],
  { runs, elsewhere }: Whereabouts,
  { now, usualRunMs }: { readonly now: number; readonly usualRunMs: number | undefined },
): LineFacts & { readonly aside: readonly Unsettled[] } {
  // By tag: a delivery may have been taken over by another object.
  const inHandlers = new Set<number>();
  const beforeHandlers = new Set<number>();
  const runningForMs: number[] = [];
  for (const { startedAt, deliveries } of runs) {
    if (startedAt !== undefined) runningForMs.push(now - startedAt);
    for (const { deliveryTag } of deliveries) (startedAt === undefined ? beforeHandlers : inHandlers).add(deliveryTag);
  }
  const waitingForMs: number[] = [];
  const aside: Unsettled[] = [];
  for (const held of unsettled) {
    const { deliveryTag } = held.delivery;
    const where = elsewhere.get(deliveryTag);
    if (where === 'aside' || beforeHandlers.has(deliveryTag)) aside.push(held);
    else if (where === undefined && !inHandlers.has(deliveryTag)) waitingForMs.push(now - held.arrivedAt);
  }
  const [oldest] = aside;
  const asideForMs = oldest === undefined ? undefined : now - oldest.arrivedAt;
  return { runningForMs, inHandlers: inHandlers.size, waitingForMs, asideForMs, usualRunMs, aside };
}
