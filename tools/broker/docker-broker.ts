/**
 * RabbitMQ in a Docker container: the way out for machines that have neither Debian's packages nor a RabbitMQ.
 *
 * The container is to end when we do, however we end. So it runs in the foreground with its standard input on a pipe from
 * us: inside, a shell runs the broker until that input ends, and `--rm` removes the rest.
 *
 * Nothing in this file was run by its authors' tests: where they run, no Docker engine answers.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type Socket, connect } from 'node:net';
import { PROTOCOL_HEADER } from '#testing/wire/amqp-frames.js';
import { BrokerUnavailableError } from '#testing/base/broker-unavailable-error.js';
import { findFreePort } from '#testing/base/free-ports.js';
import { type ProgressListener, narrate } from '#testing/base/progress.js';
import type { RabbitMqSeries } from '#testing/provision/rabbitmq-installation.js';
import { findCommand, runCommand } from '#testing/base/run-command.js';
import { waitUntil } from '#testing/base/wait-until.js';

export interface DockerBrokerOptions {
  /** Release series, as a tag of the official image. @default '4.0' */
  version?: RabbitMqSeries;
  /** AMQP port on 127.0.0.1. @default a free one */
  port?: number;
  onProgress?: ProgressListener;
}

const RUN_UNTIL_INPUT_ENDS =
  'docker-entrypoint.sh rabbitmq-server & server=$!; cat >/dev/null; kill $server; wait $server';
const START_TIMEOUT_MS = 180_000;
const STOP_PATIENCE_MS = 15_000;

export class DockerBroker {
  private constructor(
    private readonly client: ChildProcess,
    private readonly container: string,
    readonly version: string,
    readonly port: number,
  ) {}

  static async start(options: DockerBrokerOptions = {}): Promise<DockerBroker> {
    const { version = '4.0', onProgress } = options;
    const docker = await findDocker();
    if (!docker) throw new BrokerUnavailableError('No Docker engine answers on this machine.');
    const port = options.port ?? (await findFreePort());
    const container = `rmq-private-${randomBytes(4).toString('hex')}`;
    const run = ['run', '--rm', '--interactive', '--name', container, '--publish', `127.0.0.1:${port}:5672`];
    const client = spawn(docker, [...run, `rabbitmq:${version}`, 'sh', '-c', RUN_UNTIL_INPUT_ENDS], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
    client.stdin.on('error', () => undefined);
    client.on('error', () => undefined);
    client.unref();
    (client.stdin as Socket).unref();
    const broker = new DockerBroker(client, container, version, port);
    const isUp = await narrate(onProgress, `Starting RabbitMQ ${version} in Docker…`, () => broker.untilItSpeaks());
    if (isUp) return broker;
    await broker.stop();
    throw new BrokerUnavailableError(`The Docker image rabbitmq:${version} did not come up on port ${port}.`);
  }

  get url(): string {
    return `amqp://guest:guest@127.0.0.1:${this.port}`;
  }

  async stop(): Promise<void> {
    if (this.hasEnded) return;
    this.client.ref();
    const ended = once(this.client, 'exit');
    const impatience = setTimeout(() => {
      void runCommand('docker', ['kill', this.container]).catch(() => this.client.kill('SIGKILL'));
    }, STOP_PATIENCE_MS);
    this.client.stdin!.end();
    await ended;
    clearTimeout(impatience);
  }

  private get hasEnded(): boolean {
    return this.client.exitCode !== null || this.client.signalCode !== null;
  }

  /** Docker itself accepts connections long before the broker does; a broker answers the protocol header. */
  private async untilItSpeaks(): Promise<boolean> {
    const options = { timeoutMs: START_TIMEOUT_MS, everyMs: 250 };
    await waitUntil(async () => this.hasEnded || (await answersAmqp(this.port)), options);
    return !this.hasEnded && (await answersAmqp(this.port));
  }
}

async function findDocker(): Promise<string | undefined> {
  const docker = await findCommand('docker');
  if (!docker) return undefined;
  const answer = runCommand(docker, ['version', '--format', '{{.Server.Version}}'], { timeoutMs: 5_000 });
  return answer.then(
    () => docker,
    () => undefined,
  );
}

function answersAmqp(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', timeout: 1_000 }, () => socket.write(PROTOCOL_HEADER));
    const settle = (answers: boolean) => {
      socket.destroy();
      resolve(answers);
    };
    socket.once('data', () => settle(true));
    socket.once('timeout', () => settle(false));
    socket.once('error', () => settle(false));
    socket.once('end', () => settle(false));
  });
}
