/** Who watches deliveries: told of each that is handled, and of each that is settled. */
import type { Delivery } from './delivery.js';
import type { SettlementKind } from './settlement.js';

interface HandledDeliveries {
  /** At least one; a `message` and a `request` are alone. */
  readonly deliveries: readonly Delivery[];
  readonly kind: 'message' | 'batch' | 'request';
}

/** Must call `handle` at once and return, or throw, what that does. `noted`: what follows the handler belongs to it. */
export type HandleWatch = (handled: HandledDeliveries, handle: (how: 'noted' | 'passed') => unknown) => unknown;

/** Told of each delivery that is settled, by whoever settles it, before the broker is. Must not throw. */
export type SettleWatch = (delivery: Delivery, kind: SettlementKind) => void;

/** Of deliveries. */
export interface DeliveryWatch {
  readonly handle: HandleWatch;
  readonly settled: SettleWatch;
}
