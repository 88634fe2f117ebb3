/** A PostgreSQL for a spec file, and an empty database with an example's schema for each test. */
import { afterAll, afterEach, beforeAll, beforeEach } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { Pool, type QueryResultRow } from 'pg';
import { PrivateDatabase } from '../../tools/database/private-database.js';

export interface DatabaseFixture {
  readonly url: string;
  readonly pool: Pool;
  rows<Row extends QueryResultRow>(sql: string): Promise<Row[]>;
}

/** Call at the top of a spec file; the fields are valid inside tests. */
export function useDatabase(schema: URL): DatabaseFixture {
  let database: PrivateDatabase;
  let url: string;
  let pool: Pool;

  beforeAll(async () => {
    database = await PrivateDatabase.start();
  }, 120_000);
  afterAll(() => database.stop());
  beforeEach(async () => {
    url = await database.createDatabase();
    pool = new Pool({ connectionString: url });
    // A connection that is idle while the server stops ends with an error that concerns nobody any more.
    pool.on('error', () => undefined);
    await pool.query(await readFile(schema, 'utf8'));
  });
  afterEach(() => pool.end());

  return {
    get url() {
      return url;
    },
    get pool() {
      return pool;
    },
    rows: async <Row extends QueryResultRow>(sql: string) => (await pool.query<Row>(sql)).rows,
  };
}
