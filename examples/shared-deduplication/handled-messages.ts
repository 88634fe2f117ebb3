/** The memory of this service. A subscription names it in a decorator, and so before Nest has made anything. */
import { Pool } from 'pg';
import { PostgresDeduplicationStore } from './postgres-deduplication-store.js';

/** Dials when it is first needed. Gives up soon: until it works again, deliveries wait. */
export const pool = new Pool({ connectionString: process.env['DATABASE_URL'], connectionTimeoutMillis: 5_000 });

export const handledMessages = new PostgresDeduplicationStore(pool);
