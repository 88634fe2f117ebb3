/** The service's own database: one pool, and work that is done wholly or not at all. */
import { Global, Inject, Injectable, Logger, Module, type OnApplicationShutdown } from '@nestjs/common';
import { Pool, type PoolClient } from 'pg';

const POOL = Symbol('pool');

@Injectable()
export class Database implements OnApplicationShutdown {
  constructor(@Inject(POOL) readonly pool: Pool) {
    const logger = new Logger(Database.name);
    // An idle connection that ends says so here; without a listener that would end the process.
    pool.on('error', (error) => logger.warn(`A database connection was lost: ${error.message}`));
  }

  /** Commits when `work` resolves, rolls back when it rejects. After an error in the commit itself nobody knows which. */
  async inTransaction<T>(work: (transaction: PoolClient) => Promise<T>): Promise<T> {
    const client = await this.pool.connect();
    // A connection that is lost in the middle also rejects the query under way: that is where it is handled.
    const ignore = (): void => undefined;
    client.on('error', ignore);
    let failure: Error | undefined;
    try {
      await client.query('BEGIN');
      const result = await work(client);
      await client.query('COMMIT');
      return result;
    } catch (error) {
      await client.query('ROLLBACK').catch((lost: Error) => (failure = lost));
      throw error;
    } finally {
      client.off('error', ignore);
      // A connection that cannot even roll back is not used again.
      client.release(failure);
    }
  }

  /** After consumers and publisher have drained: their last work needs it. */
  async onApplicationShutdown(): Promise<void> {
    await this.pool.end();
  }
}

@Global()
@Module({
  providers: [
    { provide: POOL, useFactory: () => new Pool({ connectionString: process.env['DATABASE_URL'] }) },
    Database,
  ],
  exports: [Database],
})
export class DatabaseModule {}
