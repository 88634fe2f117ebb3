/** A PostgreSQL server as files on this machine: where its programs are, and whether they are whole. */
import { readdir, realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { findCommand, runCommand } from '#testing/base/run-command.js';

export interface PostgresInstallation {
  /** For example `17.6`. */
  readonly version: string;
  /** `debian`: unpacked by us into the cache folder. `system`: found installed on this machine. */
  readonly origin: 'debian' | 'system';
  /** The folder of `initdb` and `postgres`. */
  readonly bin: string;
}

/** Reads an installation from its folder of programs; rejects when it cannot run. */
export async function readPostgres(bin: string, origin: PostgresInstallation['origin']): Promise<PostgresInstallation> {
  await stat(join(bin, 'initdb'));
  const printed = await runCommand(join(bin, 'postgres'), ['--version'], { timeoutMs: 20_000 });
  const version = /\(PostgreSQL\) (\S+)/.exec(printed)?.[1];
  if (version === undefined) throw new Error(`${bin} holds no PostgreSQL: it says ${printed.trim()}`);
  return { version, origin, bin };
}

/** The PostgreSQL that somebody installed on this machine, or undefined. */
export async function findSystemPostgres(): Promise<PostgresInstallation | undefined> {
  for (const bin of await systemFolders()) {
    const found = await readPostgres(bin, 'system').catch(() => undefined);
    if (found) return found;
  }
  return undefined;
}

/** Debian's folders, newest first, and that of a command on the path. */
async function systemFolders(): Promise<string[]> {
  const packaged = '/usr/lib/postgresql';
  const series = (await readdir(packaged).catch(() => [] as string[])).sort((a, b) => Number(b) - Number(a));
  const command = await findCommand('postgres');
  const onPath = command === undefined ? [] : [dirname(await realpath(command))];
  return [...series.map((name) => join(packaged, name, 'bin')), ...onPath];
}
