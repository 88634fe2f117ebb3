/**
 * A RabbitMQ node of our own, for tests and for the demo: a child process on loopback that can be stopped, killed, frozen
 * and restarted at will, disturbs no other broker, and leaves nothing behind.
 *
 * Each node has its own ports and its own Erlang name service, and so its own name space: the node name is a constant,
 * and any number of brokers run side by side.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { RunningBrokerAddress } from './borrowed-broker.js';
import { BrokerFolder } from './broker-folder.js';
import { BrokerUnavailableError } from '../base/broker-unavailable-error.js';
import { evaluateErlang } from './erlang-control.js';
import { type NodePorts, startErlangNode } from './erlang-node.js';
import { findFreePorts, isPortFree } from '../base/free-ports.js';
import { NameService } from './name-service.js';
import { NodeControl } from './node-control.js';
import { obtainRabbitMq } from '../provision/obtain-rabbitmq.js';
import type { OwnedProcess } from './owned-process.js';
import { layOutPlugins } from './plugin-folder.js';
import { ProcessGuard } from './process-guard.js';
import { type ProgressListener, narrate } from '../base/progress.js';
import type { RabbitMqInstallation, RabbitMqSeries } from '../provision/rabbitmq-installation.js';
import { acceptsTcp, waitUntil } from '../base/wait-until.js';

/** How a {@link PrivateBroker} is started. */
export interface PrivateBrokerOptions {
  /** Release series. @default the one in RMQ_BROKER_VERSION, else '4.0' */
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

/** What makes a node a member of a cluster: the members share a secret and a name service. */
export interface ClusterMembership {
  /** For example `member1@localhost`; unique in the cluster. */
  nodeName: string;
  cookie: string;
  /** Belongs to the cluster: a member that stops leaves it running. */
  nameService: NameService;
}

/** The parts of a broker that outlive a crash of its node. */
interface BrokerParts {
  installation: RabbitMqInstallation;
  folder: BrokerFolder;
  guard: ProcessGuard;
  schedulers: number;
  nodeName: string;
  cookie: string;
  nameService: NameService;
  /** Ends what else belongs to the broker: name service, folder, guard. */
  dispose(): Promise<void>;
}

class NodeStartError extends Error {
  override readonly name = 'NodeStartError';

  constructor(
    message: string,
    readonly isPortConflict: boolean,
  ) {
    super(message);
  }
}

const LONE_NODE_NAME = 'private@localhost';
const BOOT_TIMEOUT_MS = 90_000;
const BOOT_POLL_MS = 80;
const STOP_PATIENCE_MS = 10_000;
const PORT_ATTEMPTS = 4;

/**
 * A real RabbitMQ as a child process of the tests: no root, no Docker. It is fetched once from Debian's packages (95 MB), started
 * in some two seconds, and gone without a trace when the tests are, even after `kill -9`.
 *
 * ```ts
 * const broker = await PrivateBroker.start({ version: '4.0' });
 * const vhost = await broker.createVhost();
 * await broker.kill();
 * await broker.restart();
 * await broker.stop();
 * ```
 */
export class PrivateBroker extends NodeControl {
  private constructor(
    private readonly parts: BrokerParts,
    private readonly ports: NodePorts,
    private state: BrokerState,
  ) {
    super();
  }

  /**
   * Boots a node and resolves when it is ready: about two seconds, and about ten more when it must be fetched first.
   *
   * @param membership for the nodes of a `PrivateCluster`
   */
  static async start(options: PrivateBrokerOptions = {}, membership?: ClusterMembership): Promise<PrivateBroker> {
    const { version, onProgress } = options;
    const installation = await obtainRabbitMq({ version, onProgress });
    const folder = options.dataDir ? await BrokerFolder.kept(options.dataDir) : await BrokerFolder.temporary();
    const guard = ProcessGuard.post(folder.isTemporary ? folder.path : undefined);
    let ownNames: NameService | undefined;
    const dispose = async () => {
      await ownNames?.stop();
      await folder.release();
      await guard.dismiss();
    };
    try {
      const { nodeName, cookie, nameService } = membership ?? {
        nodeName: LONE_NODE_NAME,
        cookie: randomBytes(16).toString('hex'),
        nameService: (ownNames = await NameService.start({ installation, guard, home: folder.home })),
      };
      await prepare(installation, folder, options, cookie);
      const { schedulers = 1, port } = options;
      const parts: BrokerParts = { installation, folder, guard, schedulers, nodeName, cookie, nameService, dispose };
      return await narrate(onProgress, `Starting RabbitMQ ${installation.version}…`, () =>
        PrivateBroker.bootOnFreePorts(parts, port),
      );
    } catch (error) {
      await dispose();
      throw error;
    }
  }

  /** A port that was free a moment ago may be taken when the node comes to it; then others are tried. */
  private static async bootOnFreePorts(parts: BrokerParts, chosenPort: number | undefined): Promise<PrivateBroker> {
    if (chosenPort !== undefined && !(await isPortFree(chosenPort))) {
      throw new BrokerUnavailableError(
        `Port ${chosenPort} on 127.0.0.1 is taken.`,
        'Stop what listens there, or choose another port.',
      );
    }
    for (let attempt = 1; ; attempt++) {
      const [amqp, distribution, control] = (await findFreePorts(3)) as [number, number, number];
      const ports = { amqp: chosenPort ?? amqp, distribution, control, epmd: parts.nameService.port };
      const broker = new PrivateBroker(parts, ports, { name: 'down' });
      try {
        await broker.launchNode();
        return broker;
      } catch (error) {
        if (attempt >= PORT_ATTEMPTS || !(error instanceof NodeStartError && error.isPortConflict)) throw error;
      }
    }
  }

  override get version(): string {
    return this.parts.installation.version;
  }

  override get port(): number {
    return this.ports.amqp;
  }

  /** For a `BorrowedBroker`, in this process or another. */
  get address(): RunningBrokerAddress {
    const node = { controlPort: this.ports.control, cookie: this.parts.cookie };
    return { node, port: this.port, version: this.version };
  }

  /** The process id of the node itself (`beam.smp`). */
  get pid(): number {
    return this.node.pid;
  }

  /** The node's log file. */
  get logPath(): string {
    return join(this.parts.folder.logDir, `${this.parts.nodeName}.log`);
  }

  /** The node's name among Erlang nodes. */
  get nodeName(): string {
    return this.parts.nodeName;
  }

  get isRunning(): boolean {
    return 'node' in this.state && !this.state.node.hasEnded;
  }

  override control(expression: string, timeoutMs?: number): Promise<string> {
    return evaluateErlang(this.address.node, expression, timeoutMs);
  }

  /** Ends the node in order, then everything that belongs to it. Only data in a `dataDir` is left. */
  async stop(): Promise<void> {
    if (this.state.name === 'disposed') return;
    await this.shutDown();
    this.state = { name: 'disposed' };
    await this.parts.dispose();
  }

  /**
   * Ends the node in order; its data stays for `restart()`. Clients see `320 CONNECTION_FORCED`.
   *
   * RabbitMQ is stopped inside the node, which closes its clients and its stores; what is left of the process is then
   * killed. SIGTERM does the same and then idles for a second.
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

  private get node(): OwnedProcess {
    if ('node' in this.state) return this.state.node;
    throw new Error(`The broker has no process: it is ${this.state.name}`);
  }

  private async launchNode(): Promise<void> {
    const node = await startErlangNode({ ...this.parts, ports: this.ports });
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
    const console = await this.parts.folder.consoleText();
    throw new NodeStartError(
      `RabbitMQ ${this.version} did not start: it ${failure}.\n${complaintsIn(console)}`,
      /eaddrinuse|port \d+ in use|could not bind to distribution port/i.test(console),
    );
  }
}

async function prepare(
  installation: RabbitMqInstallation,
  folder: BrokerFolder,
  options: PrivateBrokerOptions,
  cookie: string,
): Promise<void> {
  const { plugins = [], advancedConfig = '', heartbeatSeconds } = options;
  const config: Record<string, string> = { ...options.config };
  if (heartbeatSeconds !== undefined) config['heartbeat'] = `${heartbeatSeconds}`;
  await folder.write({ config, advancedConfig, plugins }, cookie);
  await layOutPlugins(join(installation.serverHome, 'plugins'), folder.pluginDir, plugins);
}

/** The first errors among what a failed node printed; the rest is their echo. */
function complaintsIn(console: string): string {
  const lines = console.split('\n').map((line) => line.replace(/^\S+ \S+ \[error\] <[\d.]+>\s*/, 'error: '));
  const first = lines.findIndex((line) => /^error: |^BOOT FAILED/.test(line));
  const telling = first < 0 ? lines.slice(-8) : lines.slice(first, first + 8);
  return telling.join('\n').trim();
}
