/**
 * Gets hold of a real RabbitMQ: the one in the cache, else one from Debian's packages (about ten seconds, once), else one
 * that is installed here. Docker is not a set of files; `docker-broker.ts` has that way out.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { brokerCacheFolder } from './broker-cache.js';
import { BrokerUnavailableError } from '../base/broker-unavailable-error.js';
import { relocateRabbitMq } from './erlang-relocation.js';
import { PackageCache, type PackagedProgram } from './package-cache.js';
import type { ProgressListener } from '../base/progress.js';
import {
  asSeries,
  findSystemInstallation,
  isOfSeries,
  readInstallation,
  type RabbitMqInstallation,
  type RabbitMqSeries,
} from './rabbitmq-installation.js';

interface ObtainOptions {
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

const DEBIAN_SUITES: Record<RabbitMqSeries, string> = { '3.10': 'bookworm', '4.0': 'trixie', '4.3': 'forky' };

const PACKAGES = {
  install: ['rabbitmq-server'],
  wanted: [
    /^rabbitmq-server$/,
    /^erlang-/,
    /^(libc6|libgcc-s1|libstdc\+\+6|libtinfo6|zlib1g|libsctp1)$/,
    /^libssl3/,
    /^(libsystemd0|libcap2|libzstd1|liblzma5|liblz4-1|libgcrypt20|libgpg-error0)$/,
  ],
};

export async function obtainRabbitMq(options: ObtainOptions = {}): Promise<RabbitMqInstallation> {
  const wanted = options.version ?? seriesOfEnvironment();
  const series = wanted ?? '4.0';
  const cacheDir = options.cacheDir ?? (await brokerCacheFolder());
  const outcome = await new PackageCache(rabbitMq(series), cacheDir, options.onProgress).obtain();
  if (typeof outcome === 'object') return outcome;

  const installed = await findSystemInstallation();
  if (installed && (!wanted || isOfSeries(installed.version, series))) return installed;
  const other = installed ? ` (RabbitMQ ${installed.version} is installed here, but ${series} was asked for)` : '';
  throw new BrokerUnavailableError(`No RabbitMQ ${series} could be had: ${outcome}${other}.`);
}

function rabbitMq(series: RabbitMqSeries): PackagedProgram<RabbitMqInstallation> {
  return {
    title: 'RabbitMQ',
    series,
    suite: DEBIAN_SUITES[series],
    packages: PACKAGES,
    mainPackage: /^rabbitmq-server$/,
    relocate: relocateRabbitMq,
    async read(home) {
      const servers = join(home, 'usr', 'lib', 'rabbitmq', 'lib');
      const [server] = await readdir(servers);
      return readInstallation(join(servers, server!), join(home, 'usr', 'lib', 'erlang'), 'debian');
    },
  };
}

function seriesOfEnvironment(): RabbitMqSeries | undefined {
  const named = process.env['RMQ_BROKER_VERSION'];
  return named ? asSeries(named) : undefined;
}
