import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { DatabaseUnavailableError, obtainPostgres } from '../../tools/database/obtain-postgres.js';
import { PrivateDatabase } from '../../tools/database/private-database.js';
import { TypescriptChild } from '../support/children/typescript-child.js';
import { until } from '../support/until.js';

const HOLDER = new URL('../support/programs/database-holder.ts', import.meta.url);

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows as unknown[];
  } finally {
    await client.end();
  }
}

function folderOf(url: string): string {
  return decodeURIComponent(/host=(.*)$/.exec(url)![1]!);
}

describe('a private database', () => {
  let database: PrivateDatabase;
  beforeAll(async () => {
    database = await PrivateDatabase.start();
  }, 120_000);
  afterAll(() => database.stop());

  it('is a real PostgreSQL, with an empty database for each who asks', async () => {
    const [one, other] = [await database.createDatabase(), await database.createDatabase()];
    await query(one, 'CREATE TABLE orders (id text)');
    expect(await query(one, 'SELECT version() AS text')).toEqual([
      { text: expect.stringContaining(`PostgreSQL ${database.version}`) as unknown },
    ]);
    await expect(query(other, 'SELECT id FROM orders')).rejects.toThrow('relation "orders" does not exist');
  });

  it('listens on no port', async () => {
    expect(await query(await database.createDatabase(), 'SHOW listen_addresses')).toEqual([{ listen_addresses: '' }]);
  });
});

describe('when the process that started a database is killed', () => {
  it('leaves no process and no folder', async () => {
    const holder = TypescriptChild.start(HOLDER);
    try {
      await until('the database is there', () => holder.stdout.endsWith('\n') || holder.stderr, { timeoutMs: 60_000 });
      const { pid, url } = JSON.parse(holder.stdout) as { pid: number; url: string };
      expect(existsSync(`/proc/${pid}`)).toBe(true);
      holder.signal('SIGKILL');
      await holder.untilEnded();
      await until('its server is gone', () => !existsSync(`/proc/${pid}`));
      await until('its folder is gone', () => !existsSync(folderOf(url)));
    } finally {
      await holder.dispose();
    }
  }, 90_000);
});

describe('where no database can be had', () => {
  it('says why, and names the way out', async () => {
    const cacheDir = await mkdtemp(join(tmpdir(), 'rmq-cache-'));
    const path = process.env['PATH'];
    process.env['PATH'] = '/nowhere';
    try {
      // Where PostgreSQL is installed, that is the way out.
      const outcome = await obtainPostgres({ cacheDir }).catch((error: unknown) => error);
      if (outcome instanceof DatabaseUnavailableError)
        expect(outcome.message).toMatch(/^No PostgreSQL could be had: apt-get is not on this machine\. Install/);
      else expect(outcome).toMatchObject({ origin: 'system' });
      expect(await readdir(cacheDir)).toEqual([]);
    } finally {
      process.env['PATH'] = path;
      await rm(cacheDir, { recursive: true, force: true });
    }
  });
});
