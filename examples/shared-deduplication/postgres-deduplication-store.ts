/**
 * Remembers handled messages for all processes of a service, in its PostgreSQL.
 *
 * Every call is one statement, and so atomic: of two that insert the same message at the same instant, the second waits
 * for the first and then meets its row. The database's clock decides what has expired, so those of the processes may differ.
 */
import type { ClaimAnswer, DeduplicationClaim, DeduplicationStore } from 'nestjs-rmq-keepalive';
import type { Pool } from 'pg';

const CLAIM = `
  INSERT INTO rmq_handled AS present (subscription, message_id, holder, is_done, expires_at)
       VALUES ($1, $2, $3, false, now() + $4 * interval '1 ms')
  ON CONFLICT (subscription, message_id) DO UPDATE
          SET holder = excluded.holder, is_done = false, expires_at = excluded.expires_at
        WHERE present.expires_at <= now() OR (NOT present.is_done AND present.holder = excluded.holder)`;

const IS_DONE = 'SELECT is_done AS "isDone" FROM rmq_handled WHERE subscription = $1 AND message_id = $2';

const DONE = `
  INSERT INTO rmq_handled (subscription, message_id, holder, is_done, expires_at)
       VALUES ($1, $2, $3, true, now() + $4 * interval '1 ms')
  ON CONFLICT (subscription, message_id) DO UPDATE
          SET holder = excluded.holder, is_done = true, expires_at = excluded.expires_at`;

const RELEASE = 'DELETE FROM rmq_handled WHERE subscription = $1 AND message_id = $2 AND holder = $3 AND NOT is_done';

export class PostgresDeduplicationStore implements DeduplicationStore {
  constructor(private readonly pool: Pool) {}

  async claim({ subscription, messageId, holder }: DeduplicationClaim, claimTtlMs: number): Promise<ClaimAnswer> {
    const { rowCount } = await this.pool.query(CLAIM, [subscription, messageId, holder, claimTtlMs]);
    if (rowCount === 1) return 'new';
    const { rows } = await this.pool.query<{ isDone: boolean }>(IS_DONE, [subscription, messageId]);
    // No row: it was released between the two questions. Then it is asked for once more, a little later.
    return rows[0]?.isDone === true ? 'done' : 'busy';
  }

  async done({ subscription, messageId, holder }: DeduplicationClaim, ttlMs: number): Promise<void> {
    await this.pool.query(DONE, [subscription, messageId, holder, ttlMs]);
  }

  async release({ subscription, messageId, holder }: DeduplicationClaim): Promise<void> {
    await this.pool.query(RELEASE, [subscription, messageId, holder]);
  }

  /** Removes what has expired; call it now and then. @returns how many messages that were */
  async forgetExpired(): Promise<number> {
    const { rowCount } = await this.pool.query('DELETE FROM rmq_handled WHERE expires_at <= now()');
    return rowCount ?? 0;
  }
}
