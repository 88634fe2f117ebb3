/**
 * Publishes what stands in the outbox, and deletes it after the broker's confirm. Any number of relays may run.
 *
 * Danger: dying between confirm and delete. Then the message is published once more, under the same message id, and the
 * consumer's inbox knows it. The other way round (delete, then publish) it would be lost.
 * Choice: a batch is locked, published and deleted in one transaction. A relay that dies lets go of its locks at once,
 * since the database sees its connection end; other relays skip what is locked. Only the first message of an aggregate is
 * ever taken, locked or not, so no relay can overtake another within it.
 */
import { Injectable, Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { RmqConnection, RmqPublisher } from 'nestjs-rmq-keepalive';
import type { PoolClient } from 'pg';
import { Database } from '../database.js';
import { OutboxAlarm } from './outbox-alarm.js';

interface OutboxRow {
  readonly position: string;
  readonly messageId: string;
  readonly exchange: string;
  readonly routingKey: string;
  readonly payload: unknown;
}

interface Refused {
  readonly row: OutboxRow;
  readonly error: Error;
}

const BATCH = 100;
/** Finds what no notification told of: it was lost with a connection, or the message waits for its next attempt. */
const POLL_MS = 1_000;
/** Well below the time after which the database ends a transaction whose client has vanished without a word. */
const PUBLISH_TIMEOUT_MS = 10_000;
const VANISHED_AFTER = '30s';

const TAKE = `
  SELECT position, message_id AS "messageId", exchange, routing_key AS "routingKey", payload
    FROM rmq_outbox AS message
   WHERE not_before <= now()
     AND NOT EXISTS (SELECT FROM rmq_outbox AS earlier
                      WHERE earlier.aggregate = message.aggregate AND earlier.position < message.position)
   ORDER BY position
   LIMIT ${BATCH}
     FOR UPDATE SKIP LOCKED`;

/** The second attempt after a second, then 2, 4 ... seconds, at most a minute. */
const POSTPONE = `
  UPDATE rmq_outbox
     SET attempts = attempts + 1, last_error = $2, not_before = now() + least(60, 2 ^ least(attempts, 6)) * interval '1 s'
   WHERE position = $1`;

@Injectable()
export class OutboxRelay implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger(OutboxRelay.name);
  private running: Promise<void> | undefined;
  private isStopped = false;

  constructor(
    private readonly database: Database,
    private readonly alarm: OutboxAlarm,
    private readonly connection: RmqConnection,
    private readonly publisher: RmqPublisher,
  ) {}

  onApplicationBootstrap(): void {
    this.running = this.run();
  }

  /** Before the connection to RabbitMQ is closed, which comes later in Nest's shutdown. */
  async onModuleDestroy(): Promise<void> {
    this.isStopped = true;
    this.alarm.ring();
    await this.running;
    await this.alarm.close();
  }

  private async run(): Promise<void> {
    while (!this.isStopped) {
      const published = await this.relayBatch().catch((error: Error) => {
        this.logger.warn(`The outbox cannot be read: ${error.message}`);
        return 0;
      });
      // After a full or a partial batch there may be more: the second message of each aggregate, for one.
      if (published === 0 && !this.isStopped) await this.alarm.untilRung(POLL_MS);
    }
  }

  private async relayBatch(): Promise<number> {
    // Without a broker there is no need to hold locks.
    const isOpen = await this.connection.whenOpen({ timeoutMs: POLL_MS }).then(
      () => true,
      () => false,
    );
    return isOpen ? this.database.inTransaction((transaction) => this.publishNext(transaction)) : 0;
  }

  private async publishNext(transaction: PoolClient): Promise<number> {
    await transaction.query(`SET LOCAL idle_in_transaction_session_timeout = '${VANISHED_AFTER}'`);
    const { rows } = await transaction.query<OutboxRow>(TAKE);
    const outcomes = await Promise.all(rows.map((row) => this.publish(row)));
    const refused = outcomes.filter((outcome) => outcome !== undefined);
    for (const { row, error } of refused) {
      this.logger.warn(`Message ${row.messageId} is tried again: ${error.message}`);
      await transaction.query(POSTPONE, [row.position, error.message]);
    }
    const published = rows.filter((row) => !refused.some((each) => each.row === row)).map(({ position }) => position);
    await transaction.query('DELETE FROM rmq_outbox WHERE position = ANY($1)', [published]);
    return published.length;
  }

  private async publish(row: OutboxRow): Promise<Refused | undefined> {
    const { exchange, routingKey, payload, messageId } = row;
    try {
      await this.publisher.publish(exchange, routingKey, payload, { messageId, timeoutMs: PUBLISH_TIMEOUT_MS });
      return undefined;
    } catch (thrown) {
      return { row, error: thrown as Error };
    }
  }
}
