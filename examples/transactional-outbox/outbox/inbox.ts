import { Injectable } from '@nestjs/common';
import type { Delivery } from 'nestjs-rmq-keepalive';
import type { PoolClient } from 'pg';
import { Database } from '../database.js';

const NOTE = 'INSERT INTO rmq_inbox (subscription, message_id) VALUES ($1, $2) ON CONFLICT DO NOTHING';

/** Turns "at least once" into an effect that happens exactly once: effect and memory are one transaction. */
@Injectable()
export class Inbox {
  constructor(private readonly database: Database) {}

  /**
   * Calls `effect` unless the message was handled before. What it writes in `transaction` counts once; whatever else it
   * does (an e-mail, a call to another service) may happen more often. A copy that is handled elsewhere at this moment
   * makes us wait for that transaction, and decides.
   */
  async once(
    delivery: Delivery,
    effect: (transaction: PoolClient) => Promise<void>,
  ): Promise<'handled' | 'handled-before'> {
    const { subscription, messageId } = delivery;
    if (messageId === undefined) throw new Error('A message without an id cannot be told from its copies');
    return this.database.inTransaction(async (transaction) => {
      const { rowCount } = await transaction.query(NOTE, [subscription, messageId]);
      if (rowCount === 0) return 'handled-before';
      await effect(transaction);
      return 'handled';
    });
  }
}
