/**
 * The villains: each does for a while what takes others down with a client that cares too little, and must harm only itself.
 * This is the side of the broker; `villains-inside.ts` is what the consuming service has to do with them.
 */
import { readFileSync } from 'node:fs';
import { connect, type ConfirmChannel } from 'amqplib';
import { nestedTable, publishWithHeaderTable } from '../broker/raw-publish.js';
import { VILLAIN_QUEUES, type VillainName } from './protocol.js';
import type { World } from './world.js';
import { CONSUMER_LOGIN } from './consumer-files.js';

export interface Villain {
  readonly name: VillainName;
  /** What the service's health, or its log of dead letters, must name while it acts. */
  readonly isNamedBy: (named: string) => boolean;
  begin(world: World): Promise<void>;
  /** What it broke it mends. */
  end(world: World): Promise<void>;
}

/** Enough for those who deserve one, for dead letters and for work; not for the extra subscriptions. */
const CHANNELS = 8;
const FAILING_MESSAGES = 40;
/** Far beyond what anybody means; amqplib reads them recursively, and raises an error. */
const LEVELS = 10_000;

const nothing = async (): Promise<void> => undefined;

export const VILLAINS: readonly Villain[] = [
  {
    name: 'transient queue',
    isNamedBy: (named) => named === `queue "${VILLAIN_QUEUES.transient}": RMQ_CLOSES_THE_LINK`,
    // The service subscribes to it; the broker does not permit such queues.
    begin: nothing,
    end: nothing,
  },
  {
    name: 'unreadable message',
    isNamedBy: (named) => named === `${VILLAIN_QUEUES.unreadable}: not-decodable`,
    begin: async ({ broker }) =>
      onChannel(broker.url, (channel) =>
        publishWithHeaderTable(channel, VILLAIN_QUEUES.unreadable, {
          body: Buffer.from('{}'),
          table: nestedTable(LEVELS),
        }),
      ),
    end: nothing,
  },
  {
    name: 'channel limit',
    isNamedBy: (named) => named.startsWith(VILLAIN_QUEUES.extra) && named.endsWith(': RMQ_CHANNELS_EXHAUSTED'),
    begin: ({ broker }) => broker.setUserLimits(CONSUMER_LOGIN.user, { 'max-channels': CHANNELS }),
    end: ({ broker }) => broker.setUserLimits(CONSUMER_LOGIN.user, {}),
  },
  {
    name: 'full dead-letter queue',
    isNamedBy: (named) => named.startsWith(`${VILLAIN_QUEUES.failing}: stuck, `),
    begin: async ({ broker }) => {
      await broker.setPolicy('full', `^${VILLAIN_QUEUES.failing}.dead$`, FULL);
      await onChannel(broker.url, async (channel) => {
        await channel.assertQueue(`${VILLAIN_QUEUES.failing}.dead`);
        for (let number = 0; number <= FAILING_MESSAGES; number++)
          channel.sendToQueue(VILLAIN_QUEUES.failing, Buffer.from(`${number}`), { contentType: 'application/json' });
        await channel.waitForConfirms();
      });
    },
    end: ({ broker }) => broker.deletePolicy('full'),
  },
  {
    name: 'expired token',
    isNamedBy: (named) => named === 'tokens: access-refused' || named === 'tokens: backing-off',
    begin: async (world) => world.tokens?.letExpire(),
    end: async (world) => world.tokens?.renew(),
  },
];

const FULL = { 'max-length': 1, overflow: 'reject-publish' };

export function readActing(path: string): VillainName[] {
  return JSON.parse(readFileSync(path, 'utf8')) as VillainName[];
}

async function onChannel(url: string, work: (channel: ConfirmChannel) => Promise<unknown>): Promise<void> {
  const session = await connect(url);
  // An accident may end it: then the villain has missed its time, which the run says.
  session.on('error', () => undefined);
  try {
    await work(await session.createConfirmChannel());
  } finally {
    await session.close().catch(() => undefined);
  }
}
