/** A link to a scripted broker, without the connection that would keep it: for what is asked for on a link and how. */
import { ChannelBudget } from '#engine/link/channel-budget.js';
import { resolveConnectionOptions } from '#engine/connection/connection-options.js';
import { CredentialsSource } from '#engine/dialling/credentials-source.js';
import type { Link } from '#engine/link/link.js';
import { onOwnLink } from '#engine/recovery/own-link.js';
import { TopologyKeeper, type TopologyKeeperNeeds } from '#engine/topology/topology-keeper.js';
import { ScriptedBroker } from '../../../tools/broker/scripted-broker.js';
import type { ScriptedRequest, ScriptedSession } from '../../../tools/broker/scripted-session.js';
import { ManualClock } from '../manual-clock.js';
import { until } from '../until.js';

export const RETRY_MS = 5_500;
export const PATIENCE_MS = 1_000;
export const STALL_MS = 3_000;

/** One queue.declare, which the spec answers. */
export interface Asked {
  readonly queue: string;
  accept(): void;
  refuse(): void;
}

/** Time moves by hand, and every queue.declare is answered by hand. */
export class ScriptedLinks {
  readonly clock = new ManualClock();
  readonly asked: Asked[] = [];
  readonly told: string[] = [];
  readonly #end = new AbortController();
  readonly #budget = new ChannelBudget({
    clock: this.clock,
    publishers: () => 0,
    waiting: () => 0,
    freed: () => undefined,
    overdrawn: () => undefined,
    probe: async () => undefined,
  });
  broker!: ScriptedBroker;
  /** The one that everything is on. */
  link!: Link;
  keeper!: TopologyKeeper;

  static async start(options: { channelMax?: number } = {}): Promise<ScriptedLinks> {
    const links = new ScriptedLinks();
    links.broker = await ScriptedBroker.start({
      tune: options,
      script: { 'queue.declare': (session, request) => void links.asked.push(askedOf(session, request)) },
    });
    links.link = await new Promise<Link>((resolve, reject) => {
      const untilTheEnd = (link: Link): Promise<void> => {
        resolve(link);
        return new Promise(() => undefined);
      };
      links.onOwnLink(untilTheEnd).catch(reject);
    });
    links.keeper = new TopologyKeeper(links.#keeperHost());
    return links;
  }

  /** How often that queue was asked for. */
  times(queue: string): number {
    return this.asked.filter((asked) => asked.queue === queue).length;
  }

  /** The question for that queue, the `time`-th one. */
  async question(queue: string, time = 1): Promise<Asked> {
    return until(
      `queue "${queue}" is asked for the ${time}. time`,
      () => this.asked.filter((asked) => asked.queue === queue)[time - 1],
    );
  }

  onOwnLink(work: (link: Link) => Promise<void>): Promise<void> {
    const { clock } = this;
    const options = resolveConnectionOptions({ urls: this.broker.url });
    const dial = async () => {
      const endpoint = await options.endpoints().next();
      const login = await new CredentialsSource(options.logins, clock, 1_000).loginAt(endpoint, new Promise(() => {}));
      const { tls, maxInboundBytes } = options;
      const rest = { timeoutMs: 60_000, heartbeat: 'off', connectionName: 'spec', clientProperties: {} } as const;
      return { endpoint, login, tls, maxInboundBytes, passesAgents: () => false, ...rest };
    };
    return onOwnLink(
      { role: 'shared', clock, channels: this.#budget, dial, limitMs: 3_600_000, signal: this.#end.signal },
      work,
    );
  }

  async end(): Promise<void> {
    this.keeper.end();
    this.#end.abort();
    await this.broker.close();
  }

  #keeperHost(): TopologyKeeperNeeds {
    return {
      clock: this.clock,
      stallTimeoutMs: STALL_MS,
      patienceMs: PATIENCE_MS,
      link: () => (this.link.isUp ? this.link : undefined),
      onOwnLink: (work) => this.onOwnLink(work),
      turnsFor: (together) => ({ together, oneByOne: [] }),
      refused: (entity, { code }) => void this.told.push(`${entity}: ${code}`),
      healed: (entity) => void this.told.push(`${entity}: healed`),
      advanced: () => undefined,
    };
  }
}

function askedOf(session: ScriptedSession, { channel, fields }: ScriptedRequest): Asked {
  const queue = String(fields['queue']);
  return {
    queue,
    accept: () => session.send('queue.declare-ok', channel, { queue, messageCount: 0, consumerCount: 0 }),
    refuse: () => session.closeChannel(channel, 406, 'PRECONDITION_FAILED - scripted'),
  };
}
