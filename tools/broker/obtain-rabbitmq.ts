/**
 * Gets hold of a real RabbitMQ: the one in the cache, else one from Debian's packages (about ten seconds, once), else one
 * that is installed here. Docker is not a set of files; `docker-broker.ts` has that way out.
 *
 * Danger: two processes may want the same broker at the same instant, and either may die half way. So a broker is built
 * in a folder of the builder's own and moved to its place in one rename; whoever comes second finds the place taken and
 * uses what is there. The lock only saves the second download.
 */
import { mkdir, mkdtemp, readFile, readdir, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { brokerCacheFolder } from './broker-cache.js';
import { BrokerUnavailableError } from './broker-unavailable-error.js';
import { DEBIAN_SUITES, DebianSuite, type DebianPackage, relocate, whyDebianIsOutOfReach } from './debian-packages.js';
import { isStillRunning, processIdentity } from './process-identity.js';
import { type ProgressListener, narrate } from './progress.js';
import {
  asSeries,
  findSystemInstallation,
  isOfSeries,
  readInstallation,
  type RabbitMqInstallation,
  type RabbitMqSeries,
} from './rabbitmq-installation.js';

export interface ObtainOptions {
  /**
   * Release series wanted. Named, it is insisted on; left out, an installed RabbitMQ of any series will do.
   * @default the one in RMQ_BROKER_VERSION, else '4.0'
   */
  version?: RabbitMqSeries;
  /** Folder that keeps unpacked brokers between runs. @default `.cache/rabbitmq` of the workspace, or RMQ_BROKER_CACHE */
  cacheDir?: string;
  /** Told in plain sentences what is being waited for. @default nobody is told */
  onProgress?: ProgressListener;
}

const LOCK_POLL_MS = 200;
const MARKER = 'home.txt';

export async function obtainRabbitMq(options: ObtainOptions = {}): Promise<RabbitMqInstallation> {
  const wanted = options.version ?? seriesOfEnvironment();
  const series = wanted ?? '4.0';
  const cacheDir = options.cacheDir ?? (await brokerCacheFolder());
  const home = join(cacheDir, series);
  const cached = await readCached(home);
  if (cached) return cached;

  const obstacle = await whyDebianIsOutOfReach();
  const failure = obstacle ?? (await obtainFromDebian(series, cacheDir, home, options.onProgress));
  if (typeof failure === 'object') return failure;

  const installed = await findSystemInstallation();
  if (installed && (!wanted || isOfSeries(installed.version, series))) return installed;
  const other = installed ? ` (RabbitMQ ${installed.version} is installed here, but ${series} was asked for)` : '';
  throw new BrokerUnavailableError(`No RabbitMQ ${series} could be had: ${failure}${other}.`);
}

function seriesOfEnvironment(): RabbitMqSeries | undefined {
  const named = process.env['RMQ_BROKER_VERSION'];
  return named ? asSeries(named) : undefined;
}

/** The installation, or the reason why there is none. */
async function obtainFromDebian(
  series: RabbitMqSeries,
  cacheDir: string,
  home: string,
  onProgress: ProgressListener | undefined,
): Promise<RabbitMqInstallation | string> {
  await mkdir(cacheDir, { recursive: true });
  const lock = join(cacheDir, `${series}.lock`);
  await lockOrWait(lock, series, onProgress);
  try {
    return (await readCached(home)) ?? (await build(series, cacheDir, home, onProgress));
  } catch (error) {
    return (error as Error).message;
  } finally {
    await rm(lock, { force: true });
  }
}

async function build(
  series: RabbitMqSeries,
  cacheDir: string,
  home: string,
  onProgress: ProgressListener | undefined,
): Promise<RabbitMqInstallation> {
  await removeAbandonedBuilds(cacheDir);
  // Everything unfinished is in one folder that carries our name: should we be killed, the next builder removes it.
  const site = await mkdtemp(join(cacheDir, `building-${await processIdentity()}-`));
  const tree = join(site, 'tree');
  const workFolder = join(site, 'apt');
  try {
    await mkdir(tree);
    await mkdir(workFolder);
    const suite = DEBIAN_SUITES[series];
    const index = await narrate(onProgress, `Reading the package index of Debian ${suite}…`, () =>
      DebianSuite.open(suite, workFolder),
    );
    const packages = await index.listPackages();
    await narrate(onProgress, describeFetch(series, packages), async () => {
      await index.unpack(packages, tree);
      await relocate(tree, home);
    });
    await writeFile(join(tree, MARKER), `${home}\n`);
    await moveIntoPlace(tree, home);
  } finally {
    await rm(site, { recursive: true, force: true });
  }
  const built = await readCached(home);
  if (!built) throw new Error(`what was unpacked into ${home} is not a whole RabbitMQ`);
  onProgress?.(`RabbitMQ ${built.version} is ready to use.`);
  return built;
}

function describeFetch(series: RabbitMqSeries, packages: readonly DebianPackage[]): string {
  const server = packages.find(({ name }) => name === 'rabbitmq-server');
  const version = server?.version.replace(/^\d+:/, '').replace(/-[^-]*$/, '') ?? series;
  const megabytes = Math.round(packages.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6);
  return `Fetching RabbitMQ ${version} from Debian's packages (about ${megabytes} MB, once)…`;
}

/** A cached broker counts only in the folder it was made for: its executables name their libraries by full path. */
async function readCached(home: string): Promise<RabbitMqInstallation | undefined> {
  try {
    if ((await readFile(join(home, MARKER), 'utf8')).trim() !== home) return undefined;
    const servers = join(home, 'usr', 'lib', 'rabbitmq', 'lib');
    const [server] = await readdir(servers);
    return await readInstallation(join(servers, server!), join(home, 'usr', 'lib', 'erlang'), 'debian');
  } catch {
    return undefined;
  }
}

async function moveIntoPlace(tree: string, home: string): Promise<void> {
  // Only what could not be used is cleared away: a cache that was moved here from elsewhere, or damaged.
  if (!(await readCached(home))) await rm(home, { recursive: true, force: true });
  try {
    await rename(tree, home);
  } catch (error) {
    if (!(await readCached(home))) throw error;
  }
}

async function lockOrWait(lock: string, series: string, onProgress: ProgressListener | undefined): Promise<void> {
  if (await tryLock(lock)) return;
  await narrate(onProgress, `Another process is fetching RabbitMQ ${series}; waiting for it…`, async () => {
    while (!(await tryLock(lock))) await sleep(LOCK_POLL_MS);
  });
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

async function removeAbandonedBuilds(cacheDir: string): Promise<void> {
  for (const entry of await readdir(cacheDir)) {
    const builder = /^building-([\d-]+)-/.exec(entry)?.[1];
    if (builder && !(await isStillRunning(builder))) await rm(join(cacheDir, entry), { recursive: true, force: true });
  }
}
