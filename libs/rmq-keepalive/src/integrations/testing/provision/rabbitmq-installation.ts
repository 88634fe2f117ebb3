/** A RabbitMQ server and the Erlang it runs on, as files on this machine: where they are, and whether they are whole. */
import { readFile, readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { findCommand, runCommand } from '../base/run-command.js';

/** The release series that Debian carries: oldstable, stable and testing. */
export type RabbitMqSeries = '3.10' | '4.0' | '4.3';

const SERIES: readonly RabbitMqSeries[] = ['3.10', '4.0', '4.3'];

export function asSeries(text: string): RabbitMqSeries {
  const series = SERIES.find((known) => known === text);
  if (series) return series;
  throw new RangeError(`There is no RabbitMQ series "${text}" here; choose one of ${SERIES.join(', ')}`);
}

export interface RabbitMqInstallation {
  /** The exact version, for example `4.0.5`. */
  version: string;
  /** `debian`: unpacked by us into the cache folder. `system`: found installed on this machine. */
  origin: 'debian' | 'system';
  /** The folder `rabbitmq_server-<version>`, which holds `plugins/`. */
  serverHome: string;
  /** Erlang's root folder, which holds `lib/` and `erts-<version>/`. */
  erlangRoot: string;
  /** The folder of `erlexec`, `beam.smp` and `epmd`. */
  ertsBin: string;
}

/** Reads an installation from the two folders that make it up; throws when a piece is missing. */
export async function readInstallation(
  serverHome: string,
  erlangRoot: string,
  origin: RabbitMqInstallation['origin'],
): Promise<RabbitMqInstallation> {
  const version = /^rabbitmq_server-(.+)$/.exec(basename(serverHome))?.[1] ?? (await versionFromPlugins(serverHome));
  const ertsBin = join(erlangRoot, await entryLike(erlangRoot, /^erts-/), 'bin');
  for (const piece of [join(serverHome, 'plugins'), join(ertsBin, 'erlexec'), join(ertsBin, 'epmd')]) {
    await stat(piece);
  }
  return { version, origin, serverHome, erlangRoot, ertsBin };
}

/** The RabbitMQ that somebody installed on this machine, or undefined. */
export async function findSystemInstallation(): Promise<RabbitMqInstallation | undefined> {
  const erl = await findCommand('erl');
  if (!erl) return undefined;
  try {
    const printRoot = 'io:put_chars(code:root_dir()), halt().';
    const erlangRoot = await runCommand(erl, ['-noshell', '-eval', printRoot], { timeoutMs: 20_000 });
    for (const serverHome of await systemServerHomes()) {
      const found = await readInstallation(serverHome, erlangRoot.trim(), 'system').catch(() => undefined);
      if (found) return found;
    }
  } catch {
    // An Erlang that cannot even print its root folder is as good as none.
  }
  return undefined;
}

export function isOfSeries(version: string, series: RabbitMqSeries): boolean {
  return version === series || version.startsWith(`${series}.`);
}

async function systemServerHomes(): Promise<string[]> {
  const packaged = '/usr/lib/rabbitmq/lib';
  const homes = (await readdir(packaged).catch(() => [] as string[])).map((entry) => join(packaged, entry));
  const command = await findCommand('rabbitmq-server');
  // Outside of distribution packages the command is (a link to) <server home>/sbin/rabbitmq-server.
  if (command) homes.push(dirname(dirname(await realpath(command))));
  return homes;
}

async function versionFromPlugins(serverHome: string): Promise<string> {
  const plugin = await entryLike(join(serverHome, 'plugins'), /^rabbit-\d/);
  return plugin.replace(/^rabbit-/, '').replace(/\.ez$/, '');
}

async function entryLike(folder: string, pattern: RegExp): Promise<string> {
  const entry = (await readdir(folder)).find((name) => pattern.test(name));
  if (!entry) throw new Error(`${folder} holds nothing that looks like ${pattern.source}`);
  return entry;
}

/** Whether the file starts with the magic number of a Linux executable. */
export async function isElf(path: string): Promise<boolean> {
  const content = await readFile(path);
  return content.subarray(0, 4).equals(Buffer.from('\x7fELF', 'latin1'));
}
