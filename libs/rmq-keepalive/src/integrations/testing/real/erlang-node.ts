/**
 * Launches a RabbitMQ node as a direct child: `erlexec` replaces itself by `beam.smp`, so the child's pid is the broker's.
 * (RabbitMQ's own start script stays in between as a shell; killing that leaves the broker behind with its port open.)
 */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { BrokerFolder } from './broker-folder.js';
import { evaluatorSource } from './erlang-evaluator.js';
import { OwnedProcess } from './owned-process.js';
import type { ProcessGuard } from './process-guard.js';
import type { RabbitMqInstallation } from '../provision/rabbitmq-installation.js';

export interface NodePorts {
  amqp: number;
  /** Where other Erlang nodes reach this one. */
  distribution: number;
  /** Where our control calls reach it. */
  control: number;
  /** Erlang's name service. */
  epmd: number;
}

interface ErlangNodeOptions {
  installation: RabbitMqInstallation;
  folder: BrokerFolder;
  guard: ProcessGuard;
  nodeName: string;
  ports: NodePorts;
  /** Erlang scheduler threads. One starts fastest and is plenty on a small machine. */
  schedulers: number;
}

export async function startErlangNode(options: ErlangNodeOptions): Promise<OwnedProcess> {
  const { installation, folder, guard } = options;
  const console = await open(folder.consoleLog, 'w');
  try {
    return await OwnedProcess.start(join(installation.ertsBin, 'erlexec'), erlangArguments(options), {
      env: nodeEnvironment(options),
      guard,
      outputFd: console.fd,
    });
  } finally {
    await console.close();
  }
}

function erlangArguments({ schedulers, ports }: ErlangNodeOptions): string[] {
  return [
    ...['-noinput', '-eval', evaluatorSource(ports.control), '-s', 'rabbit', 'boot', '-boot', 'start_sasl'],
    ...['+W', 'w', '+S', `${schedulers}:${schedulers}`],
    // Idle schedulers sleep at once instead of spinning: tests share the processor with the broker.
    ...['+sbwt', 'none', '+sbwtdcpu', 'none', '+sbwtdio', 'none'],
    ...['+B', 'i', '+pc', 'unicode'],
    ...['-kernel', 'inet_dist_use_interface', '{127,0,0,1}', '-kernel', 'prevent_overlapping_partitions', 'false'],
    // Quorum queues publish their message counts on a tick of five seconds otherwise.
    ...['-rabbit', 'quorum_tick_interval', '500'],
    ...['-syslog', 'logger', '[]', '-syslog', 'syslog_error_logger', 'false'],
  ];
}

/** Built from nothing: a RABBITMQ_ or ERL_ variable of the person's own shell must not reach our node. */
function baseEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], LANG: 'C.UTF-8' };
}

function nodeEnvironment({ installation, folder, nodeName, ports }: ErlangNodeOptions): NodeJS.ProcessEnv {
  return {
    ...baseEnvironment(),
    HOME: folder.home,
    ROOTDIR: installation.erlangRoot,
    BINDIR: installation.ertsBin,
    EMU: 'beam',
    PROGNAME: 'erl',
    ERL_LIBS: folder.pluginDir,
    ERL_EPMD_PORT: `${ports.epmd}`,
    ERL_EPMD_ADDRESS: '127.0.0.1',
    ERL_CRASH_DUMP_SECONDS: '0',
    ERL_MAX_ETS_TABLES: '50000',
    ERL_MAX_PORTS: '65536',
    SYS_PREFIX: '',
    RABBITMQ_HOME: installation.serverHome,
    RABBITMQ_PLUGINS_DIR: folder.pluginDir,
    RABBITMQ_NODENAME: nodeName,
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_NODE_PORT: `${ports.amqp}`,
    RABBITMQ_DIST_PORT: `${ports.distribution}`,
    // Data of one release series may be unreadable for another, so each has its own.
    RABBITMQ_MNESIA_BASE: folder.file(`data-${installation.version.split('.').slice(0, 2).join('.')}`),
    RABBITMQ_LOG_BASE: folder.logDir,
    RABBITMQ_PID_FILE: folder.file('node.pid'),
    RABBITMQ_ENABLED_PLUGINS_FILE: folder.file('enabled_plugins'),
    RABBITMQ_CONFIG_FILE: folder.file('rabbitmq.conf'),
    RABBITMQ_ADVANCED_CONFIG_FILE: folder.file('advanced.config'),
    RABBITMQ_CONF_ENV_FILE: '/dev/null',
  };
}
