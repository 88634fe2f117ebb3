import { Injectable, UnprocessableEntityException } from '@nestjs/common';
import type { PoolClient } from 'pg';
import { Database } from '../database.js';
import { Outbox } from '../outbox/outbox.js';

export interface NewOrder {
  readonly customer: string;
  readonly price: number;
}

export interface OrderPlaced {
  readonly id: string;
  readonly customer: string;
  /** The customer's first order has number 1. */
  readonly number: number;
}

const CHARGE =
  'UPDATE customers SET credit = credit - $2, orders = orders + 1 WHERE name = $1 RETURNING credit, orders AS number';
const INSERT = 'INSERT INTO orders (customer, number, price) VALUES ($1, $2, $3) RETURNING id';

@Injectable()
export class OrdersService {
  constructor(
    private readonly database: Database,
    private readonly outbox: Outbox,
  ) {}

  /** The order, its price and its message: all of them, or none. */
  async place(order: NewOrder): Promise<OrderPlaced> {
    return this.database.inTransaction(async (transaction) => {
      const { placed, credit } = await this.insert(transaction, order);
      await this.outbox.write(transaction, {
        aggregate: order.customer,
        exchange: 'shop',
        routingKey: 'order.placed',
        payload: placed,
      });
      // Whatever the reason, and however late: what is rolled back was never published.
      if (credit < 0) throw new UnprocessableEntityException(`${order.customer} cannot pay ${order.price}`);
      return placed;
    });
  }

  private async insert(transaction: PoolClient, order: NewOrder): Promise<{ placed: OrderPlaced; credit: number }> {
    const { customer, price } = order;
    // Locks the customer, the aggregate: messages about one customer are published in the order of the commits.
    const charged = await transaction.query<{ credit: number; number: number }>(CHARGE, [customer, price]);
    const account = charged.rows[0];
    if (account === undefined) throw new UnprocessableEntityException(`${customer} is no customer`);
    const inserted = await transaction.query<{ id: string }>(INSERT, [customer, account.number, price]);
    return { placed: { id: inserted.rows[0]!.id, customer, number: account.number }, credit: account.credit };
  }
}
