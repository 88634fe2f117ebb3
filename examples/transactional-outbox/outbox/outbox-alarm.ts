/** Wakes the relay when a transaction that wrote to the outbox has committed: PostgreSQL's LISTEN, on a connection of its own. */
import { Injectable, Logger } from '@nestjs/common';
import type { PoolClient } from 'pg';
import { Database } from '../database.js';
import { OUTBOX_CHANNEL } from './outbox.js';

@Injectable()
export class OutboxAlarm {
  private readonly logger = new Logger(OutboxAlarm.name);
  private listener: PoolClient | undefined;
  private hasRung = false;
  private wake: (() => void) | undefined;

  constructor(private readonly database: Database) {}

  /** Resolves when it rings, has rung since the last call, or `timeoutMs` have passed. */
  async untilRung(timeoutMs: number): Promise<void> {
    await this.listen().catch((error: Error) => this.logger.warn(`The outbox is polled only: ${error.message}`));
    if (!this.hasRung) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.hasRung = false;
    this.wake = undefined;
  }

  ring(): void {
    this.hasRung = true;
    this.wake?.();
  }

  async close(): Promise<void> {
    this.listener?.removeAllListeners('notification');
    // Destroyed, not given back: it still listens.
    this.listener?.release(true);
    this.listener = undefined;
  }

  /** A connection that was lost is replaced at the next call; until then the relay polls. */
  private async listen(): Promise<void> {
    if (this.listener !== undefined) return;
    const client = await this.database.pool.connect();
    client.on('notification', () => this.ring());
    client.once('error', (error) => {
      client.release(error);
      if (this.listener === client) this.listener = undefined;
    });
    this.listener = client;
    await client.query(`LISTEN ${OUTBOX_CHANNEL}`);
    // What was committed before it listened.
    this.ring();
  }
}
