/** Clients in other languages: from Debian's packages, installed when they are missing, where this machine lets us. */
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { promisify } from 'node:util';
import { noteRow } from './rows.js';

const exec = promisify(execFile);

/** One spec file at a time: apt gives up where another one is at work. The lock ends with whoever holds it. */
const LOCK = resolve('.cache/ecosystem.apt-lock');

/** @returns why they cannot be had; `undefined`: they are there */
export async function missingPackages(packages: readonly string[]): Promise<string | undefined> {
  if (await areInstalled(packages)) return undefined;
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const withApt = async (...args: readonly string[]): Promise<unknown> =>
    exec('flock', [LOCK, 'apt-get', '--quiet', ...args], { env });
  try {
    await exec('apt-get', ['--version']);
    await mkdir(dirname(LOCK), { recursive: true });
    await withApt('update');
    await withApt('install', '--yes', '--no-install-recommends', ...packages);
    return undefined;
  } catch (error) {
    const { code, message } = error as { code?: unknown; message: string };
    return code === 'ENOENT' ? 'there is no apt-get' : (message.split('\n')[0] as string);
  }
}

/** A row for what was tried with a package of Debian, or could not be. */
export async function noteDebianRow(what: string, packageName: string, result?: string): Promise<void> {
  const at = { versionOf: (name: string) => debianVersion(name) };
  await noteRow({
    topic: 'Messages of others',
    what,
    at,
    packages: [packageName],
    run: { node: process.versions.node },
    result,
  });
}

async function debianVersion(packageName: string): Promise<string> {
  const { stdout } = await exec('dpkg-query', ['--show', '--showformat', '${Version}', packageName]).catch(() => ({
    stdout: '',
  }));
  return stdout.replace(/^\d+:|[-+].*$/g, '');
}

async function areInstalled(packages: readonly string[]): Promise<boolean> {
  const { stdout } = await exec('dpkg-query', ['--show', '--showformat', '${db:Status-Status}\n', ...packages]).catch(
    () => ({ stdout: '' }),
  );
  return stdout.split('\n').filter((status) => status === 'installed').length === packages.length;
}
