/**
 * Several RabbitMQ nodes in one cluster, each a private broker of its own: nodes can be killed, frozen, restarted, and cut
 * off from the others.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestVhost } from '#testing/real/broker-control.js';
import { erlangBinary } from '#testing/real/erlang-control.js';
import { NameService } from '#testing/real/name-service.js';
import { obtainRabbitMq } from '#testing/provision/obtain-rabbitmq.js';
import { type ClusterMembership, PrivateBroker, type PrivateBrokerOptions } from '#testing/real/private-broker.js';
import { ProcessGuard } from '#testing/real/process-guard.js';
import { waitUntil } from '#testing/base/wait-until.js';

export interface PrivateClusterOptions extends Pick<
  PrivateBrokerOptions,
  'version' | 'config' | 'advancedConfig' | 'plugins' | 'heartbeatSeconds' | 'schedulers' | 'onProgress'
> {
  /** Number of nodes. @default 3 */
  size?: number;
}

/** A vhost of the whole cluster, with its address on every node. */
export interface ClusterVhost extends Omit<TestVhost, 'url'> {
  urls: string[];
}

const FORMING_TIMEOUT_MS = 60_000;
/** Seconds after which a node that answers nothing is taken for gone by the others. */
const NET_TICK_SECONDS = 10;

export class PrivateCluster {
  private constructor(
    readonly nodes: readonly PrivateBroker[],
    private readonly cookie: string,
    private readonly dispose: () => Promise<void>,
  ) {}

  /** Forms a cluster of empty nodes, all started at the same time: six seconds for three nodes, twelve with 3.10. */
  static async start(options: PrivateClusterOptions = {}): Promise<PrivateCluster> {
    const { size = 3, version, onProgress } = options;
    const installation = await obtainRabbitMq({ version, onProgress });
    const home = await mkdtemp(join(tmpdir(), 'rmq-cluster-'));
    const guard = ProcessGuard.post(home);
    const cookie = randomBytes(16).toString('hex');
    const nodes: PrivateBroker[] = [];
    let nameService: NameService | undefined;
    const cluster = new PrivateCluster(nodes, cookie, async () => {
      await nameService?.stop();
      await rm(home, { recursive: true, force: true });
      await guard.dismiss();
    });
    try {
      nameService = await NameService.start({ installation, guard, home });
      const names = Array.from({ length: size }, (_, index) => `member${index + 1}@localhost`);
      const config = { ...formationConfig(names, installation.version), ...options.config };
      nodes.push(...(await startAll(names, { ...options, config }, { cookie, nameService })));
      await cluster.untilComplete();
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  get urls(): string[] {
    return this.nodes.map(({ url }) => url);
  }

  /** A fresh vhost on all nodes. */
  async createVhost(label?: string): Promise<ClusterVhost> {
    const { name } = await this.anyNode().createVhost(label);
    const urls = this.nodes.map((node) => node.urlFor(name));
    return { name, urls, delete: () => this.anyNode().deleteVhost(name) };
  }

  /** The node on which a queue's leader runs. */
  async leaderOf(queue: string, vhost: string, asked = this.anyNode()): Promise<PrivateBroker> {
    const nodeName = await asked.control(`
      {ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(${erlangBinary(vhost)}, queue, ${erlangBinary(queue)})),
      case amqqueue:get_pid(Q) of {_, Node} -> Node; Pid when is_pid(Pid) -> node(Pid) end`);
    const leader = this.nodes.find((node) => node.nodeName === unquoted(nodeName));
    if (!leader)
      throw new Error(`The leader of "${queue}" is said to be ${nodeName}, which is no node of this cluster`);
    return leader;
  }

  /** Names of the nodes that `asked` takes for running members. */
  async membersSeenBy(asked: PrivateBroker): Promise<string[]> {
    const list = await asked.control(`
      Members = case erlang:function_exported(rabbit_nodes, list_running, 0) of
        true -> rabbit_nodes:list_running();
        false -> rabbit_nodes:all_running()
      end,
      iolist_to_binary(lists:join(",", [atom_to_list(N) || N <- Members]))`);
    return list.split(',').sort();
  }

  /** Cuts a node off from the others; its clients keep their connections. */
  async isolate(node: PrivateBroker): Promise<void> {
    await node.control(
      `[begin erlang:set_cookie(N, wrong), erlang:disconnect_node(N) end || N <- ${this.othersOf(node)}], ok`,
    );
  }

  /**
   * Connects a node that was cut off with the others again. Before 4.3 (with Mnesia) its view of the cluster stays apart
   * until it is restarted, as for an operator; its quorum queues come together at once.
   */
  async rejoin(node: PrivateBroker): Promise<void> {
    await node.control(`
      [begin erlang:set_cookie(N, '${this.cookie}'), net_kernel:connect_node(N) end || N <- ${this.othersOf(node)}], ok`);
  }

  /** Resolves when every node takes every node for a running member. */
  async untilComplete(): Promise<void> {
    const isComplete = async () => {
      const views = await Promise.all(this.nodes.map((node) => this.membersSeenBy(node)));
      return views.every((members) => members.length === this.nodes.length);
    };
    if (await waitUntil(isComplete, { timeoutMs: FORMING_TIMEOUT_MS, everyMs: 100 })) return;
    throw new Error(`The nodes did not find together within ${FORMING_TIMEOUT_MS} ms`);
  }

  /** Ends all nodes and everything that belongs to them. */
  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
    await this.dispose();
  }

  private anyNode(): PrivateBroker {
    const node = this.nodes.find(({ isRunning }) => isRunning);
    if (!node) throw new Error('No node of the cluster runs');
    return node;
  }

  private othersOf(node: PrivateBroker): string {
    const others = this.nodes.filter((other) => other !== node).map(({ nodeName }) => `'${nodeName}'`);
    return `[${others.join(', ')}]`;
  }
}

/** Waits for every node, also when one fails: none is left behind half started. */
async function startAll(
  names: readonly string[],
  options: PrivateBrokerOptions,
  shared: Omit<ClusterMembership, 'nodeName'>,
): Promise<PrivateBroker[]> {
  const starting = names.map((nodeName) => PrivateBroker.start(options, { nodeName, ...shared }));
  const outcomes = await Promise.allSettled(starting);
  const started = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? outcome.value : []));
  if (started.length < names.length) await Promise.all(started.map((node) => node.stop()));
  return Promise.all(starting);
}

function formationConfig(names: readonly string[], version: string): Record<string, string> {
  const config: Record<string, string> = {
    'cluster_formation.peer_discovery_backend': 'classic_config',
    cluster_partition_handling: 'ignore',
    net_ticktime: `${NET_TICK_SECONDS}`,
  };
  names.forEach((name, index) => (config[`cluster_formation.classic_config.nodes.${index + 1}`] = name));
  if (version.startsWith('3.')) {
    // Nodes that start together wait for a random time, by default at least five seconds.
    config['cluster_formation.randomized_startup_delay_range.min'] = '0';
    config['cluster_formation.randomized_startup_delay_range.max'] = '1';
  } else {
    config['cluster_formation.target_cluster_size_hint'] = `${names.length}`;
  }
  return config;
}

/** Erlang prints an atom in quotes when it holds an `@`. */
function unquoted(atom: string): string {
  return atom.replace(/^'|'$/g, '');
}
