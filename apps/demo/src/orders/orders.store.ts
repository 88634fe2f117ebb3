import { Injectable } from '@nestjs/common';
import type { OrderState, OrderStats, OrderStep, OrderView } from './order.js';

/** What became of the orders since the demo started; in memory, so a shop that restarts knows only what it meets again. */
@Injectable()
export class OrdersStore {
  readonly #orders = new Map<string, OrderStep[]>();
  readonly #seen = new Set<string>();
  readonly #passedOn = new Set<string>();
  #accepted = 0;
  #shipped = 0;
  #duplicates = 0;

  /** Idempotent: the confirm of a publish and the handler may come in either order. */
  accept(id: string): void {
    if (this.#orders.has(id)) return;
    this.#orders.set(id, [step('accepted')]);
    this.#accepted += 1;
  }

  /** Notes that the next handler was told of the order. */
  passOn(id: string): void {
    this.#passedOn.add(id);
  }

  isPassedOn(id: string): boolean {
    return this.#passedOn.has(id);
  }

  /** Idempotent. An order from before a restart is accepted by the way. */
  ship(id: string): void {
    this.accept(id);
    const history = this.#orders.get(id);
    if (history === undefined || history.at(-1)?.state === 'shipped') return;
    history.push(step('shipped'));
    this.#shipped += 1;
  }

  /** Called by every handler for every delivery: the second time is a duplicate. */
  noteDelivery(id: string, handler: string): void {
    const key = `${handler} ${id}`;
    if (this.#seen.has(key)) this.#duplicates += 1;
    else this.#seen.add(key);
  }

  find(id: string): OrderView | undefined {
    const history = this.#orders.get(id);
    const last = history?.at(-1);
    return history && last && { id, state: last.state, history };
  }

  get stats(): OrderStats {
    return { accepted: this.#accepted, shipped: this.#shipped, duplicates: this.#duplicates };
  }
}

const step = (state: OrderState): OrderStep => ({ state, at: new Date().toISOString() });
