/**
 * Programs from Debian's packages, fetched once and kept in a cache folder.
 *
 * Danger: two processes may want the same program at the same instant, and either may die half way. So a program is built
 * in a folder of the builder's own and moved to its place in one rename; whoever comes second finds the place taken and
 * uses what is there. The lock only saves the second download.
 */
import { mkdir, mkdtemp, readFile, readdir, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DebianSuite, type DebianPackage, type PackageChoice, whyDebianIsOutOfReach } from './debian-packages.js';
import { isStillRunning, processIdentity } from '../base/process-identity.js';
import { type ProgressListener, narrate } from '../base/progress.js';

/** A program as a cache can hold it. `Installation` says where its pieces are. */
export interface PackagedProgram<Installation extends { readonly version: string }> {
  /** For people, for example `RabbitMQ`. */
  readonly title: string;
  /** Its folder in the cache, for example `4.0`. */
  readonly series: string;
  /** The Debian release that carries it. */
  readonly suite: string;
  readonly packages: PackageChoice;
  /** The package whose version is the program's. */
  readonly mainPackage: RegExp;
  /** Makes the unpacked `tree` runnable from `home`. */
  relocate(tree: string, home: string): Promise<void>;
  /** Finds the pieces; rejects when one is missing. */
  read(home: string): Promise<Installation>;
}

const LOCK_POLL_MS = 200;
const MARKER = 'home.txt';

export class PackageCache<Installation extends { readonly version: string }> {
  readonly #home: string;
  readonly #name: string;

  constructor(
    private readonly program: PackagedProgram<Installation>,
    private readonly folder: string,
    private readonly onProgress: ProgressListener | undefined,
  ) {
    this.#home = join(folder, program.series);
    this.#name = `${program.title} ${program.series}`;
  }

  /** Out of the cache, else from Debian's packages; or the reason why it cannot be had. */
  async obtain(): Promise<Installation | string> {
    return (await this.#read()) ?? (await whyDebianIsOutOfReach()) ?? (await this.#obtainFromDebian());
  }

  /** A cached program counts only in the folder it was made for: its executables name their libraries by full path. */
  async #read(): Promise<Installation | undefined> {
    try {
      if ((await readFile(join(this.#home, MARKER), 'utf8')).trim() !== this.#home) return undefined;
      return await this.program.read(this.#home);
    } catch {
      return undefined;
    }
  }

  async #obtainFromDebian(): Promise<Installation | string> {
    await mkdir(this.folder, { recursive: true });
    const lock = join(this.folder, `${this.program.series}.lock`);
    await this.#lockOrWait(lock);
    try {
      return (await this.#read()) ?? (await this.#build());
    } catch (error) {
      return (error as Error).message;
    } finally {
      await rm(lock, { force: true });
    }
  }

  async #build(): Promise<Installation> {
    const { suite, packages: choice, title } = this.program;
    await removeAbandonedBuilds(this.folder);
    // Everything unfinished is in one folder that carries our name: should we be killed, the next builder removes it.
    const site = await mkdtemp(join(this.folder, `building-${await processIdentity()}-`));
    const tree = join(site, 'tree');
    const workFolder = join(site, 'apt');
    try {
      await mkdir(tree);
      await mkdir(workFolder);
      const index = await narrate(this.onProgress, `Reading the package index of Debian ${suite}…`, () =>
        DebianSuite.open(suite, workFolder),
      );
      const packages = await index.listPackages(choice);
      await narrate(this.onProgress, this.#describeFetch(packages), async () => {
        await index.unpack(packages, tree);
        await this.program.relocate(tree, this.#home);
      });
      await writeFile(join(tree, MARKER), `${this.#home}\n`);
      await this.#moveIntoPlace(tree);
    } finally {
      await rm(site, { recursive: true, force: true });
    }
    const built = await this.#read();
    if (!built) throw new Error(`what was unpacked into ${this.#home} is not a whole ${title}`);
    this.onProgress?.(`${title} ${built.version} is ready to use.`);
    return built;
  }

  #describeFetch(packages: readonly DebianPackage[]): string {
    const { title, series, mainPackage } = this.program;
    const main = packages.find(({ name }) => mainPackage.test(name));
    const version = main?.version.replace(/^\d+:/, '').replace(/-[^-]*$/, '') ?? series;
    const megabytes = Math.round(packages.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6);
    return `Fetching ${title} ${version} from Debian's packages (about ${megabytes} MB, once)…`;
  }

  async #moveIntoPlace(tree: string): Promise<void> {
    // Only what could not be used is cleared away: a cache that was moved here from elsewhere, or damaged.
    if (!(await this.#read())) await rm(this.#home, { recursive: true, force: true });
    try {
      await rename(tree, this.#home);
    } catch (error) {
      if (!(await this.#read())) throw error;
    }
  }

  async #lockOrWait(lock: string): Promise<void> {
    if (await tryLock(lock)) return;
    await narrate(this.onProgress, `Another process is fetching ${this.#name}; waiting for it…`, async () => {
      while (!(await tryLock(lock))) await sleep(LOCK_POLL_MS);
    });
  }
}

/** The lock is a symbolic link that "points to" its owner's identity: made and filled in one step, never half there. */
async function tryLock(lock: string): Promise<boolean> {
  try {
    await symlink(`${await processIdentity()}`, lock);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const owner = await readlink(lock).catch(() => undefined);
  if (owner !== undefined && (await isStillRunning(owner))) return false;
  await rm(lock, { force: true });
  return tryLock(lock);
}

async function removeAbandonedBuilds(folder: string): Promise<void> {
  for (const entry of await readdir(folder)) {
    const builder = /^building-([\d-]+)-/.exec(entry)?.[1];
    if (builder && !(await isStillRunning(builder))) await rm(join(folder, entry), { recursive: true, force: true });
  }
}
