/** Gets hold of a real PostgreSQL: the one in the cache, else one from Debian's packages, else one that is installed here. */
import { join, resolve } from 'node:path';
import { workspaceCacheFolder } from '#testing/provision/broker-cache.js';
import { keepOnly, relocate } from '#testing/provision/debian-packages.js';
import { PackageCache, type PackagedProgram } from '#testing/provision/package-cache.js';
import type { ProgressListener } from '#testing/base/progress.js';
import { findSystemPostgres, type PostgresInstallation, readPostgres } from './postgres-installation.js';

export interface ObtainPostgresOptions {
  /** Folder that keeps it between runs. @default `.cache/postgres` of the workspace, or RMQ_DATABASE_CACHE */
  cacheDir?: string;
  /** Told in plain sentences what is being waited for. @default nobody is told */
  onProgress?: ProgressListener;
}

/** Says why no database can be had on this machine, and what to do about it. */
export class DatabaseUnavailableError extends Error {
  override readonly name = 'DatabaseUnavailableError';
  readonly code = 'RMQ_DATABASE_UNAVAILABLE';

  constructor(reason: string) {
    super(`No PostgreSQL could be had: ${reason}. Install PostgreSQL; its server's programs are all that is needed.`);
  }
}

const SERIES = '17';
const PROGRAMS = join('usr', 'lib', 'postgresql', SERIES, 'bin');

/** Two programs are needed. All their libraries are, but for what just-in-time compilation and locales would take. */
const POSTGRES: PackagedProgram<PostgresInstallation> = {
  title: 'PostgreSQL',
  series: SERIES,
  suite: 'trixie',
  packages: {
    install: [`postgresql-${SERIES}`],
    wanted: [/^postgresql-\d+$/, /^zlib1g$/, /^lib(?!llvm|z3-|perl|gdbm|db5|semanage|sepol|pam-modules|c-bin|c-l10n)/],
  },
  mainPackage: /^postgresql-\d+$/,
  async relocate(tree, home) {
    await relocate(
      tree,
      home,
      ['initdb', 'postgres'].map((program) => join(tree, PROGRAMS, program)),
    );
    await keepOnly(tree, ['usr']);
    await keepOnly(join(tree, 'usr'), ['lib', 'share']);
    await keepOnly(join(tree, 'usr', 'lib'), ['postgresql', 'x86_64-linux-gnu']);
    await keepOnly(join(tree, 'usr', 'share'), ['postgresql']);
    await keepOnly(join(tree, PROGRAMS), ['initdb', 'postgres']);
  },
  read: (home) => readPostgres(join(home, PROGRAMS), 'debian'),
};

/** @throws {@link DatabaseUnavailableError} */
export async function obtainPostgres(options: ObtainPostgresOptions = {}): Promise<PostgresInstallation> {
  const cacheDir = options.cacheDir ?? (await databaseCacheFolder());
  const outcome = await new PackageCache(POSTGRES, cacheDir, options.onProgress).obtain();
  if (typeof outcome === 'object') return outcome;
  const installed = await findSystemPostgres();
  if (installed) return installed;
  throw new DatabaseUnavailableError(outcome);
}

async function databaseCacheFolder(): Promise<string> {
  const chosen = process.env['RMQ_DATABASE_CACHE'];
  return chosen ? resolve(chosen) : workspaceCacheFolder('postgres');
}
