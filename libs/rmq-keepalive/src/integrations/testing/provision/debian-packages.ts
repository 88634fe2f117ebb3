/**
 * Takes programs from Debian's packages and makes them run from a folder of ours: no root, no Docker, nothing installed,
 * nothing of the host's package state touched.
 *
 * apt does what it is good at: it finds the packages of a suite, downloads them, and checks Debian's signatures. It works
 * on a private state folder, with the host's own settings (proxy, time-outs) and the host's own mirror.
 *
 * The programs of a newer suite want a newer C library than the host has. So the libraries of the same suite are unpacked
 * beside them, and every executable is told (by patchelf) to use that loader and those libraries. Only the executables:
 * with LD_LIBRARY_PATH instead, every `/bin/sh` that such a program starts would load the foreign libraries too.
 */
import { cp, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { findCommand, runCommand } from '../base/run-command.js';

const KEYRINGS = ['gpg', 'pgp'].map((ending) => `/usr/share/keyrings/debian-archive-keyring.${ending}`);
const LIBRARIES = join('usr', 'lib', 'x86_64-linux-gnu');
const LOADER = 'ld-linux-x86-64.so.2';

/** What makes a program run, out of everything that an installation with its dependencies would bring along. */
export interface PackageChoice {
  /** The packages whose installation apt plans. */
  readonly install: readonly string[];
  /** Those of the plan that are needed at run time, the C library among them. */
  readonly wanted: readonly RegExp[];
}

/** It moves every program to its own C library, so it is always fetched along. */
const PATCHELF = 'patchelf';

export interface DebianPackage {
  name: string;
  version: string;
  bytes: number;
}

/** Why this machine cannot use Debian's packages, or undefined when it can. */
export async function whyDebianIsOutOfReach(): Promise<string | undefined> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return `Debian's packages are used on x86-64 Linux only, and this is ${process.platform}/${process.arch}`;
  }
  for (const command of ['apt-get', 'dpkg-deb']) {
    if (!(await findCommand(command))) return `${command} is not on this machine`;
  }
  if (!findKeyring()) return "Debian's archive keys (package debian-archive-keyring) are not on this machine";
  return undefined;
}

/** A view of one Debian suite through a private apt. */
export class DebianSuite {
  private constructor(
    private readonly suite: string,
    private readonly workFolder: string,
  ) {}

  /** Fetches the suite's index from the first mirror of the host that carries it. */
  static async open(suite: string, workFolder: string): Promise<DebianSuite> {
    const opened = new DebianSuite(suite, workFolder);
    await opened.createState();
    const mirrors = await opened.mirrorsOfThisHost();
    const refusals: string[] = [];
    for (const mirror of mirrors) {
      try {
        await opened.readIndex(mirror);
        return opened;
      } catch (error) {
        refusals.push((error as Error).message);
      }
    }
    throw new Error(
      mirrors.length === 0
        ? 'apt knows no package mirror on this machine'
        : `no mirror that apt knows serves Debian ${suite}: ${refusals.join('; ')}`,
    );
  }

  /** The packages of that choice, in the versions that the suite has today. */
  async listPackages({ install, wanted }: PackageChoice): Promise<DebianPackage[]> {
    const plan = await this.apt(['install', '--yes', '--print-uris', ...install, PATCHELF]);
    return plan
      .split('\n')
      .map(parsePlannedFile)
      .filter((entry) => entry !== undefined)
      .filter(({ name }) => name === PATCHELF || wanted.some((pattern) => pattern.test(name)));
  }

  /** Downloads the packages, verified by apt, and unpacks them under `tree`. */
  async unpack(packages: readonly DebianPackage[], tree: string): Promise<void> {
    const downloads = join(this.workFolder, 'downloads');
    await mkdir(downloads);
    const exactVersions = packages.map(({ name, version }) => `${name}=${version}`);
    await this.apt(['download', ...exactVersions], downloads);
    for (const archive of await readdir(downloads)) {
      await runCommand('dpkg-deb', ['--extract', join(downloads, archive), tree]);
    }
  }

  private apt(args: readonly string[], cwd = this.workFolder): Promise<string> {
    const settings = ['-c', join(this.workFolder, 'apt.conf'), '--quiet'];
    return runCommand('apt-get', [...settings, ...args], { cwd, env: { ...process.env, LC_ALL: 'C.UTF-8' } });
  }

  private async createState(): Promise<void> {
    for (const folder of ['lists/partial', 'cache/archives/partial']) {
      await mkdir(join(this.workFolder, folder), { recursive: true });
    }
    await writeFile(join(this.workFolder, 'status'), '');
    await writeFile(join(this.workFolder, 'apt.conf'), this.stateSettings());
  }

  /** Settings of ours that win over the host's, because a file given with `-c` is read last. */
  private stateSettings(): string {
    return [
      '#clear APT::Update::Post-Invoke;',
      '#clear APT::Update::Post-Invoke-Success;',
      `Dir::State "${this.workFolder}";`,
      `Dir::State::lists "${join(this.workFolder, 'lists')}";`,
      `Dir::State::status "${join(this.workFolder, 'status')}";`,
      `Dir::Cache "${join(this.workFolder, 'cache')}";`,
      'APT::Sandbox::User "";',
      'APT::Install-Recommends "false";',
      'Acquire::Languages "none";',
      'Acquire::Retries "2";',
      'Debug::NoLocking "true";',
      '',
    ].join('\n');
  }

  /**
   * The base addresses that the host's own sources name. They are taken from what an update *would* fetch, so this works
   * on a machine where no update was ever run.
   */
  private async mirrorsOfThisHost(): Promise<string[]> {
    const plan = await this.apt(['update', '--print-uris']);
    const releases = [...plan.matchAll(/^'(\S+)\/dists\/([^/'-]+)\/(?:In)?Release'/gm)];
    return [...new Set(releases.map(([, mirror]) => mirror!))];
  }

  private async readIndex(mirror: string): Promise<void> {
    const sources = join(this.workFolder, 'sources.list');
    await writeFile(sources, `deb [arch=amd64 signed-by=${findKeyring()}] ${mirror} ${this.suite} main\n`);
    const oneSuiteOnly = [
      '#clear APT::Architectures;',
      'APT::Architecture "amd64";',
      'APT::Architectures { "amd64"; };',
      `APT::Default-Release "${this.suite}";`,
      `Dir::Etc::sourcelist "${sources}";`,
      'Dir::Etc::sourceparts "/dev/null";',
      'Dir::Etc::preferences "/dev/null";',
      'Dir::Etc::preferencesparts "/dev/null";',
      '',
    ].join('\n');
    await writeFile(join(this.workFolder, 'apt.conf'), this.stateSettings() + oneSuiteOnly);
    await this.apt(['update', '--error-on=any']);
  }
}

/**
 * Makes an unpacked tree runnable from `home`, where it is going to be moved: one library folder, and executables (full
 * paths in the tree) that name the loader and the libraries in it.
 */
export async function relocate(tree: string, home: string, executables: readonly string[]): Promise<void> {
  const libraries = join(tree, LIBRARIES);
  const olderLayout = join(tree, 'lib', 'x86_64-linux-gnu');
  if (existsSync(olderLayout)) await cp(olderLayout, libraries, { recursive: true, verbatimSymlinks: true });

  // patchelf comes from the same suite, so it too must be started through that suite's loader.
  await runCommand(join(libraries, LOADER), [
    ...['--library-path', libraries, join(tree, 'usr', 'bin', PATCHELF)],
    ...['--set-interpreter', join(home, LIBRARIES, LOADER)],
    ...['--force-rpath', '--set-rpath', join(home, LIBRARIES)],
    ...executables,
  ]);
}

/** Removes everything in `folder` that is not named. */
export async function keepOnly(folder: string, kept: readonly string[]): Promise<void> {
  for (const entry of await readdir(folder)) {
    if (!kept.includes(entry)) await rm(join(folder, entry), { recursive: true, force: true });
  }
}

/** Reads one line of `--print-uris`: `'<address>' <name>_<version>_<architecture>.deb <bytes> <hash>`. */
function parsePlannedFile(line: string): DebianPackage | undefined {
  const match = /^'\S+' ([^_\s]+)_([^_\s]+)_\S+\.deb (\d+)/.exec(line);
  if (!match) return undefined;
  return { name: match[1]!, version: decodeURIComponent(match[2]!), bytes: Number(match[3]) };
}

function findKeyring(): string | undefined {
  return KEYRINGS.find((path) => existsSync(path));
}
