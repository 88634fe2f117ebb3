/** A harness for each test, with one of its two brokers, and bare amqplib beside it; all closed after the test. */
import { afterEach, beforeEach } from '@jest/globals';
import { type ChannelModel, type ConfirmChannel, connect } from 'amqplib';
import { RmqTestHarness } from 'nestjs-rmq-keepalive/testing';
import { borrowAddress } from './shared-brokers/borrow.js';

export type BackendName = 'memory' | 'broker';

export interface HarnessFixture {
  readonly harness: RmqTestHarness;
  /** A channel of amqplib with confirms, on a connection of its own. What ends either is no error of the test. */
  channel(): Promise<ConfirmChannel>;
  /** Ends the connection of such a channel. */
  hangUp(channel: ConfirmChannel): Promise<void>;
  /** Runs after the test, last first, before the harness is closed. */
  afterwards(end: () => unknown): void;
}

/** Call in a `describe`; the fields are valid inside tests. */
export function useHarness(backend: BackendName): HarnessFixture {
  let harness: RmqTestHarness;
  let ends: (() => unknown)[] = [];
  beforeEach(async () => {
    harness = await RmqTestHarness.start({
      backend,
      ...(backend === 'broker' && { broker: await borrowAddress() }),
    });
  });
  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end();
    await harness.close();
  });
  const connections = new WeakMap<ConfirmChannel, ChannelModel>();
  const fixture: HarnessFixture = {
    get harness() {
      return harness;
    },
    async channel() {
      const connection = await connect(harness.url);
      connection.on('error', () => undefined);
      fixture.afterwards(() => closed(connection));
      const channel = await connection.createConfirmChannel();
      channel.on('error', () => undefined);
      connections.set(channel, connection);
      return channel;
    },
    hangUp: (channel) => closed(connections.get(channel) as ChannelModel),
    afterwards: (end) => void ends.push(end),
  };
  return fixture;
}

async function closed(connection: ChannelModel): Promise<void> {
  await connection.close().catch(() => undefined);
}
