import { Injectable } from '@nestjs/common';
import type { PoolClient } from 'pg';

export interface OutboxMessage {
  /** What the message is about. Messages of one aggregate are published in the order of their transactions, provided that these lock the aggregate (update its row) before they write. */
  readonly aggregate: string;
  readonly exchange: string;
  readonly routingKey: string;
  readonly payload: unknown;
}

/** The channel on which PostgreSQL tells the relays of new messages. */
export const OUTBOX_CHANNEL = 'rmq_outbox';

const WRITE = `
  WITH written AS (
    INSERT INTO rmq_outbox (aggregate, exchange, routing_key, payload) VALUES ($1, $2, $3, $4) RETURNING message_id
  )
  SELECT message_id AS "messageId", pg_notify('${OUTBOX_CHANNEL}', '') FROM written`;

@Injectable()
export class Outbox {
  /**
   * Writes the message in your transaction: it is published if, and only if, the transaction commits.
   * @returns its message id, the same for every copy
   */
  async write(transaction: PoolClient, { aggregate, exchange, routingKey, payload }: OutboxMessage): Promise<string> {
    const values = [aggregate, exchange, routingKey, JSON.stringify(payload)];
    const { rows } = await transaction.query<{ messageId: string }>(WRITE, values);
    return rows[0]!.messageId;
  }
}
