/** An order as a client sends it. */
export interface NewOrder {
  readonly item: string;
  readonly quantity: number;
}

/** An order as it travels through the broker. */
export interface OrderMessage extends NewOrder {
  readonly id: string;
}

export type OrderState = 'accepted' | 'shipped';

export interface OrderStep {
  readonly state: OrderState;
  /** ISO 8601, UTC. */
  readonly at: string;
}

export interface OrderView {
  readonly id: string;
  readonly state: OrderState;
  readonly history: readonly OrderStep[];
}

export interface OrderStats {
  readonly accepted: number;
  readonly shipped: number;
  /** How often a handler saw an order that it had seen before. */
  readonly duplicates: number;
}
