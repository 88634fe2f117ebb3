/**
 * A RabbitMQ node of our own, for tests and for the demo: a child process on loopback that can be stopped, killed, frozen
 * and restarted at will, disturbs no other broker, and leaves nothing behind.
 *
 * Each node has its own ports and its own Erlang name service, and so its own name space: the node name is a constant,
 * and any number of brokers run side by side.
 */
import { connect } from 'node:net';
import { join } from 'node:path';
import { BrokerControl } from './broker-control.js';
import { BrokerFolder } from './broker-folder.js';
import { evaluateErlang } from './erlang-control.js';
import { type NodePorts, startEpmd, startErlangNode } from './erlang-node.js';
import { findFreePorts } from './free-ports.js';
import { obtainRabbitMq } from './obtain-rabbitmq.js';
import type { OwnedProcess } from './owned-process.js';
import { layOutPlugins } from './plugin-folder.js';
import { ProcessGuard } from './process-guard.js';
import { type ProgressListener, narrate } from './progress.js';
import type { RabbitMqInstallation, RabbitMqSeries } from './rabbitmq-installation.js';
import { waitUntil } from './wait-until.js';

export interface PrivateBrokerOptions {
  /** Release series. @default '4.0' */
  version?: RabbitMqSeries;
  /** Folder whose data is kept when the broker stops. @default a temporary folder, removed with the broker */
  dataDir?: string;
  /** AMQP port on 127.0.0.1. @default a free one */
  port?: number;
  /** Lines for `rabbitmq.conf`, for example `{ 'vm_memory_high_watermark.relative': '0.2' }`. @default none */
  config?: Record<string, string>;
  /** The content of `advanced.config`, an Erlang term with its final dot. @default `[].` */
  advancedConfig?: string;
  /** Plugins to enable, by name. Each adds to the start-up time. @default none */
  plugins?: readonly string[];
  /** Heartbeat timeout that the broker proposes, in seconds; 0 proposes none. @default 60, RabbitMQ's own */
  heartbeatSeconds?: number;
  /** Erlang scheduler threads; more serve heavy load better and start more slowly. @default 1 */
  schedulers?: number;
  /** Told in plain sentences what is being waited for. @default nobody is told */
  onProgress?: ProgressListener;
}

/** What the broker is doing, as far as this process made it. */
type BrokerState =
  | { name: 'running'; node: OwnedProcess }
  | { name: 'frozen'; node: OwnedProcess }
  | { name: 'down' }
  | { name: 'disposed' };

/** The parts of a broker that outlive a crash of its node. */
interface BrokerParts {
  installation: RabbitMqInstallation;
  folder: BrokerFolder;
  guard: ProcessGuard;
  schedulers: number;
}

const NODE_NAME = 'private@localhost';
const BOOT_TIMEOUT_MS = 90_000;
const BOOT_POLL_MS = 80;
const STOP_PATIENCE_MS = 10_000;
const PORT_ATTEMPTS = 4;

export class PrivateBroker extends BrokerControl {
  private constructor(
    private readonly parts: BrokerParts,
    private readonly ports: NodePorts,
    private readonly epmd: OwnedProcess,
    private state: BrokerState,
  ) {
    super();
  }

  /** Boots a node and resolves when it is ready: about two seconds, and about ten more when it must be fetched first. */
  static async start(options: PrivateBrokerOptions = {}): Promise<PrivateBroker> {
    const { version, onProgress } = options;
    const installation = await obtainRabbitMq({ version, onProgress });
    const folder = options.dataDir ? await BrokerFolder.kept(options.dataDir) : await BrokerFolder.temporary();
    const guard = ProcessGuard.post(folder.isTemporary ? folder.path : undefined);
    try {
      await prepare(installation, folder, options);
      const parts = { installation, folder, guard, schedulers: options.schedulers ?? 1 };
      return await narrate(onProgress, `Starting RabbitMQ ${installation.version}…`, () =>
        PrivateBroker.bootOnFreePorts(parts, options.port),
      );
    } catch (error) {
      await folder.release();
      await guard.dismiss();
      throw error;
    }
  }

  /** A port that was free a moment ago may be taken when the node comes to it; then others are tried. */
  private static async bootOnFreePorts(parts: BrokerParts, chosenPort: number | undefined): Promise<PrivateBroker> {
    for (let attempt = 1; ; attempt++) {
      const [amqp, distribution, epmd] = await findFreePorts(3);
      const ports = { amqp: chosenPort ?? amqp!, distribution: distribution!, epmd: epmd! };
      try {
        return await PrivateBroker.boot(parts, ports);
      } catch (error) {
        if (attempt >= PORT_ATTEMPTS || !isPortConflict(error)) throw error;
      }
    }
  }

  private static async boot(parts: BrokerParts, ports: NodePorts): Promise<PrivateBroker> {
    const epmd = await startEpmd(parts, ports.epmd);
    const broker = new PrivateBroker(parts, ports, epmd, { name: 'down' });
    try {
      if (!(await waitUntil(() => acceptsTcp(ports.epmd), { timeoutMs: 5_000, everyMs: 10 }))) {
        throw new Error(
          `Erlang's name service did not open port ${ports.epmd} (eaddrinuse?); it ${epmd.ending ?? 'runs'}`,
        );
      }
      await broker.launchNode();
      return broker;
    } catch (error) {
      await epmd.kill();
      throw error;
    }
  }

  /** The exact version, for example `4.0.5`. */
  get version(): string {
    return this.parts.installation.version;
  }

  get port(): number {
    return this.ports.amqp;
  }

  /** The process id of the node itself (`beam.smp`). */
  get pid(): number {
    return this.node.pid;
  }

  /** The default vhost's address. */
  get url(): string {
    return `amqp://guest:guest@127.0.0.1:${this.port}`;
  }

  /** The node's log file. */
  get logPath(): string {
    return join(this.parts.folder.logDir, `${NODE_NAME}.log`);
  }

  get isRunning(): boolean {
    return 'node' in this.state && !this.state.node.hasEnded;
  }

  /** The address of a vhost, for guest or for another user. */
  urlFor(vhost: string, login: { user: string; password: string } = { user: 'guest', password: 'guest' }): string {
    const [user, password] = [login.user, login.password].map(encodeURIComponent);
    return `amqp://${user}:${password}@127.0.0.1:${this.port}/${encodeURIComponent(vhost)}`;
  }

  /** Evaluates Erlang in the node. A binary comes back as its text, anything else as Erlang prints it. */
  override control(expression: string, timeoutMs?: number): Promise<string> {
    return evaluateErlang(this.address, expression, timeoutMs);
  }

  /** Ends the node in order, then everything that belongs to it. Only data in a `dataDir` is left. */
  async stop(): Promise<void> {
    if (this.state.name === 'disposed') return;
    await this.shutDown();
    this.state = { name: 'disposed' };
    await this.epmd.kill();
    await this.parts.folder.release();
    await this.parts.guard.dismiss();
  }

  /**
   * Ends the node in order; its data stays for `restart()`. Clients see `320 CONNECTION_FORCED`.
   *
   * RabbitMQ is stopped inside the node, which closes its clients and its stores; what is left of the process is then
   * killed. SIGTERM does the same and then idles for a second, or six with the management plugin.
   */
  async shutDown(): Promise<void> {
    // A node that does not stop in time, or no longer answers, has only the kill to come.
    if (this.state.name === 'running') await this.control('rabbit:stop()', STOP_PATIENCE_MS).catch(() => undefined);
    await this.kill();
  }

  /** Crashes the node with SIGKILL; resolves when the process is gone. */
  async kill(): Promise<void> {
    if (!('node' in this.state)) return;
    await this.state.node.kill();
    this.state = { name: 'down' };
  }

  /** Starts the node again on the same data and the same port, after ending it in order if it still runs. */
  async restart(): Promise<void> {
    if (this.state.name === 'disposed')
      throw new Error('This broker was stopped for good; use shutDown() to come back');
    await this.shutDown();
    await this.launchNode();
  }

  /** Stops the whole node in mid-air: sockets stay open, nothing answers. */
  freeze(): void {
    const { node } = this;
    node.signal('SIGSTOP');
    this.state = { name: 'frozen', node };
  }

  thaw(): void {
    const { node } = this;
    node.signal('SIGCONT');
    this.state = { name: 'running', node };
  }

  /** Stops RabbitMQ inside the living node: clients are closed with 320, the port refuses. Half a second. */
  async stopApp(): Promise<void> {
    await this.control('rabbit:stop()');
  }

  /** Starts RabbitMQ inside the node again; resolves when it is fully booted. */
  async startApp(): Promise<void> {
    await this.control('rabbit:start()', BOOT_TIMEOUT_MS);
    await this.untilBooted();
  }

  /** Resolves when a TCP connection to the AMQP port is accepted. */
  async untilAcceptsTcp(timeoutMs = 30_000): Promise<void> {
    if (await waitUntil(() => acceptsTcp(this.port), { timeoutMs, everyMs: 20 })) return;
    throw new Error(`The broker accepted no TCP connection on port ${this.port} within ${timeoutMs} ms`);
  }

  private get address() {
    const { installation, folder } = this.parts;
    return { erlCall: installation.erlCall, nodeName: NODE_NAME, epmdPort: this.ports.epmd, home: folder.home };
  }

  private get node(): OwnedProcess {
    if ('node' in this.state) return this.state.node;
    throw new Error(`The broker has no process: it is ${this.state.name}`);
  }

  private async launchNode(): Promise<void> {
    const node = await startErlangNode({ ...this.parts, nodeName: NODE_NAME, ports: this.ports });
    this.state = { name: 'running', node };
    try {
      await this.untilBooted();
    } catch (error) {
      await this.kill();
      throw error;
    }
  }

  /**
   * The port opens a little before the node is ready, and in between some listeners are still closed and a stop crashes
   * the node. So the node is asked for its boot state.
   */
  private async untilBooted(): Promise<void> {
    const { node } = this;
    const hasBooted = async () => {
      const state = await this.control('{init:get_status(), rabbit_boot_state:get()}', 5_000);
      return state === '{{started,started},ready}';
    };
    const ready = await waitUntil(async () => node.hasEnded || (await hasBooted()), {
      timeoutMs: BOOT_TIMEOUT_MS,
      everyMs: BOOT_POLL_MS,
    });
    if (ready && !node.hasEnded) return;
    const failure = node.ending ?? `was not ready after ${BOOT_TIMEOUT_MS} ms`;
    throw new Error(`RabbitMQ ${this.version} did not start: it ${failure}.\n${await this.parts.folder.lastWords()}`);
  }
}

async function prepare(
  installation: RabbitMqInstallation,
  folder: BrokerFolder,
  options: PrivateBrokerOptions,
): Promise<void> {
  const { plugins = [], advancedConfig = '', heartbeatSeconds } = options;
  const config: Record<string, string> = { ...options.config };
  if (heartbeatSeconds !== undefined) config['heartbeat'] = `${heartbeatSeconds}`;
  await folder.write({ config, advancedConfig, plugins });
  await layOutPlugins(join(installation.serverHome, 'plugins'), folder.pluginDir, plugins);
}

function isPortConflict(error: unknown): boolean {
  return error instanceof Error && /eaddrinuse|address already in use|port.*in use/i.test(error.message);
}

function acceptsTcp(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
