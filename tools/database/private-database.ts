/**
 * A PostgreSQL server of our own, for tests: a child process that listens on a Unix socket in a folder of its own, and
 * leaves nothing behind.
 *
 * Durability is switched off: the tests kill the database's clients, never the machine.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { OwnedProcess } from '#testing/real/owned-process.js';
import { ProcessGuard } from '#testing/real/process-guard.js';
import { type ProgressListener, narrate } from '#testing/base/progress.js';
import { runCommand } from '#testing/base/run-command.js';
import { waitUntil } from '#testing/base/wait-until.js';
import { obtainPostgres } from './obtain-postgres.js';
import type { PostgresInstallation } from './postgres-installation.js';
import { asNobodyIfRoot } from './unprivileged.js';

export interface PrivateDatabaseOptions {
  /** Told in plain sentences what is being waited for. @default nobody is told */
  onProgress?: ProgressListener;
}

const USER = 'postgres';
const START_TIMEOUT_MS = 30_000;
const STOP_PATIENCE_MS = 5_000;
const POLL_MS = 20;

const SETTINGS = {
  listen_addresses: '',
  fsync: 'off',
  full_page_writes: 'off',
  // A shared memory file outside of our folder would outlive a kill.
  dynamic_shared_memory_type: 'mmap',
  jit: 'off',
  // Built into the server; any other zone is a file that this machine may not have.
  timezone: 'GMT',
  log_timezone: 'GMT',
};

/** The server's own time zone must not come from this machine's files. */
const ENVIRONMENT = { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'GMT' };

export class PrivateDatabase {
  #databases = 0;

  private constructor(
    private readonly folder: string,
    private readonly server: OwnedProcess,
    private readonly guard: ProcessGuard,
    /** For example `17.6`. */
    readonly version: string,
  ) {}

  /** About two seconds, and some more when it must be fetched first. @throws DatabaseUnavailableError */
  static async start({ onProgress }: PrivateDatabaseOptions = {}): Promise<PrivateDatabase> {
    const installation = await obtainPostgres({ onProgress });
    const folder = await mkdtemp(join(tmpdir(), 'rmq-database-'));
    // Killed outright it would leave a key of System V shared memory with the system; told to quit, it is as fast.
    const guard = ProcessGuard.post(folder, 'QUIT');
    try {
      return await narrate(onProgress, `Starting PostgreSQL ${installation.version}…`, async () => {
        await initialise(installation, folder);
        const server = await launch(installation, folder, guard);
        const database = new PrivateDatabase(folder, server, guard, installation.version);
        await database.#untilReady();
        return database;
      });
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      await guard.dismiss();
      throw error;
    }
  }

  get pid(): number {
    return this.server.pid;
  }

  /** Makes an empty database, one a test. Returns its URL. */
  async createDatabase(): Promise<string> {
    this.#databases += 1;
    const name = `test_${this.#databases}`;
    await this.#query(`CREATE DATABASE ${name}`);
    return this.#url(name);
  }

  /** Ends the server and removes its folder. */
  async stop(): Promise<void> {
    // The server's word for "fast": clients are cut off, open transactions rolled back.
    this.server.signal('SIGINT');
    await waitUntil(() => this.server.hasEnded, { timeoutMs: STOP_PATIENCE_MS, everyMs: POLL_MS });
    await this.server.kill();
    await rm(this.folder, { recursive: true, force: true });
    await this.guard.dismiss();
  }

  #url(database: string): string {
    return `postgresql://${USER}@/${database}?host=${encodeURIComponent(this.folder)}`;
  }

  async #untilReady(): Promise<void> {
    const answers = async (): Promise<boolean> => {
      await this.#query('SELECT 1');
      return true;
    };
    const isReady = await waitUntil(async () => this.server.hasEnded || (await answers()), {
      timeoutMs: START_TIMEOUT_MS,
      everyMs: POLL_MS,
    });
    if (isReady && !this.server.hasEnded) return;
    const failure = this.server.ending ?? `did not answer within ${START_TIMEOUT_MS} ms`;
    const log = readFileSync(logFile(this.folder), 'utf8').trim().split('\n').slice(-5).join(' / ');
    await this.server.kill();
    throw new Error(`PostgreSQL ${this.version} did not start: it ${failure}: ${log}`);
  }

  async #query(sql: string): Promise<void> {
    const client = new Client({ connectionString: this.#url('postgres') });
    // A connection that ends while it is idle says so here, and nowhere else.
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.query(sql);
    } finally {
      await client.end();
    }
  }
}

async function initialise({ bin }: PostgresInstallation, folder: string): Promise<void> {
  const options = ['--auth=trust', '--locale=C', '--encoding=UTF8', '--no-sync', '--no-instructions'];
  const [program, ...args] = await asNobodyIfRoot([
    join(bin, 'initdb'),
    `--pgdata=${dataFolder(folder)}`,
    `--username=${USER}`,
    ...options,
  ]);
  await runCommand(program!, args, { cwd: '/', env: ENVIRONMENT });
}

async function launch({ bin }: PostgresInstallation, folder: string, guard: ProcessGuard): Promise<OwnedProcess> {
  const settings = { ...SETTINGS, unix_socket_directories: folder };
  const [program, ...args] = await asNobodyIfRoot([
    join(bin, 'postgres'),
    ...['-D', dataFolder(folder)],
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ]);
  const log = openSync(logFile(folder), 'a');
  try {
    return await OwnedProcess.start(program!, args, { env: ENVIRONMENT, guard, outputFd: log });
  } finally {
    closeSync(log);
  }
}

function dataFolder(folder: string): string {
  return join(folder, 'data');
}

function logFile(folder: string): string {
  return join(folder, 'server.log');
}
