import { describe, expect, it } from '@jest/globals';
import type { Message } from 'amqplib';
import { describeEvent } from '#engine/reporting/event-sentences.js';
import { ScriptedBroker } from '../../tools/broker/scripted-broker.js';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

const ACK_TIMEOUT_MS = 2_000;

/** The broker looks at the age of deliveries every second then. */
const BROKER = {
  config: { consumer_timeout: `${ACK_TIMEOUT_MS}` },
  advancedConfig: '[{rabbit,[{channel_tick_interval,1000}]}].',
};

describe.each([
  {
    // Until RabbitMQ 4.2 the channel is closed.
    version: '4.0',
    type: 'classic',
    cause: { code: 'RMQ_CHANNEL_CLOSED', message: /406.*delivery acknowledgement on channel \d+ timed out/ },
  },
  {
    // From 4.3 on only the consumer is cancelled; its queue says no more than that.
    version: '4.3',
    type: 'quorum',
    cause: { code: 'RMQ_CONSUMER_CANCELLED', message: /a delivery has been in hand for \d\.\d s/ },
  },
] as const)(
  "F14: when a handler outlives the broker's ack timeout ($version, $type queue)",
  ({ version, type, cause }) => {
    const faults = useFaults({ ownBroker: { version, ...BROKER } });

    it('is back within two seconds, names the cause, and leaves the other subscriptions alone', async () => {
      const connection = faults.connect();
      let letGo = (): void => undefined;
      const stuck = new Promise<void>((resolve) => (letGo = resolve));
      let runs = 0;
      connection.subscribe({ queue: 'slow', queueOptions: { type } }, async (payload, delivery) => {
        if (++runs === 1) await stuck;
        faults.oracle.consume(payload, delivery);
      });
      connection.subscribe({ queue: 'other' }, faults.oracle.consume);
      await connection.start();
      await connection.whenOpen({ timeoutMs: 10_000 });
      const placeOfOther = async () =>
        (await faults.broker.listConsumers(faults.vhost.name)).filter(({ queue }) => queue === 'other');
      const before = await placeOfOther();
      await faults.oracle.publish(connection, '', 'slow', 'm1');

      const lost = await until('the consumer is lost', () => faults.oracle.eventsOf('consumer-lost').at(0));
      expect(lost.event).toMatchObject({ subscription: 'slow', cause: { code: cause.code } });
      expect(describeEvent(lost.event)).toMatchObject({
        level: 'warn',
        sentence: expect.stringMatching(cause.message),
      });
      const attached = await until('it is back', () =>
        faults.oracle.eventsOf('consumer-attached').find(({ event }) => event.restored),
      );
      expect(faults.tookMs(lost.at, attached.at)).toBeLessThanOrEqual(2_000);

      // The broker gives the message out again; the first handler's ack is too late and harms nobody.
      await until('it came again', () => runs === 2);
      letGo();
      await until('both are done', () => connection.status().counters.handlersRunning === 0);
      await faults.oracle.publish(connection, '', 'slow', 'm2');
      await faults.oracle.publish(connection, '', 'other', 'm3');
      await faults.oracle.expectNothingLost();
      await until('the queues are empty', async () =>
        (await faults.broker.listQueues(faults.vhost.name)).every(({ messages }) => messages === 0),
      );
      expect(await placeOfOther()).toEqual(before);
      expect(faults.oracle.eventsOf('consumer-lost')).toHaveLength(1);
      expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
      await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, ['other', 'slow']);
    });

    it('control: bare amqplib consumes no more', async () => {
      const { channel, errors } = await bareClient(faults);
      await channel.assertQueue('slow', { arguments: { 'x-queue-type': type } });
      const received: unknown[] = [];
      await channel.consume('slow', (message) => received.push(message));
      channel.sendToQueue('slow', Buffer.from('{}'));
      await until('it was told', () => received.includes(null) || errors.length > 0);
      const { channel: another } = await bareClient(faults);
      another.sendToQueue('slow', Buffer.from('{}'));
      await until('both messages wait', async () => (await another.checkQueue('slow')).messageCount === 2);
      expect(received.filter((message) => message !== null)).toHaveLength(1);
    });
  },
);

/** By default: the next delivery will be late at another check of the broker than the one before. */
async function aged(byMs = ACK_TIMEOUT_MS / 5): Promise<void> {
  const since = performance.now();
  await until('it is so old', () => performance.now() - since > byMs);
}

/** RabbitMQ 4.3 keeps the consumer that it cancelled, and cancels it again for each further delivery that is late. */
describe('F14: when several deliveries of one consumer are late (4.3, quorum queue)', () => {
  const faults = useFaults({ ownBroker: { version: '4.3', ...BROKER } });

  it('loses that consumer once, and neither the link nor the subscription beside it', async () => {
    const connection = faults.connect();
    const letGo: (() => void)[] = [];
    const runs: unknown[] = [];
    connection.subscribe(
      { queue: 'slow', queueOptions: { type: 'quorum' }, prefetch: 3, concurrency: 3 },
      async (payload, delivery) => {
        runs.push(payload);
        if (runs.length <= 3) await new Promise<void>((resolve) => letGo.push(resolve));
        faults.oracle.consume(payload, delivery);
      },
    );
    connection.subscribe({ queue: 'other' }, faults.oracle.consume);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 10_000 });
    for (const [index, id] of ['m1', 'm2', 'm3'].entries()) {
      await faults.oracle.publish(connection, '', 'slow', id);
      await until(`${id} is in hand`, () => runs.length === index + 1);
      await aged();
    }

    await until('all came again', () => runs.length === 6);
    for (const resolve of letGo) resolve();
    await faults.oracle.publish(connection, '', 'slow', 'm4');
    await faults.oracle.publish(connection, '', 'other', 'm5');
    await faults.oracle.expectNothingLost();
    await until('the queues are empty', async () =>
      (await faults.broker.listQueues(faults.vhost.name)).every(({ messages }) => messages === 0),
    );
    expect(faults.oracle.eventsOf('consumer-lost').map(({ event }) => event.subscription)).toEqual(['slow']);
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
    await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, ['other', 'slow']);
  });

  it('keeps the link when the broker cancels it again, or delivers to it, before it has read our answer', async () => {
    const scripted = await ScriptedBroker.start();
    faults.afterwards(() => scripted.close());
    const connection = faults.connect({ urls: scripted.url, links: 'shared' });
    let inHand = 0;
    connection.subscribe({ queue: 'slow', prefetch: 2, concurrency: 2 }, async () => {
      inHand += 1;
      await new Promise<void>((resolve) => faults.afterwards(resolve));
    });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 10_000 });
    const [session] = scripted.sessions;
    const [consumer] = [...session!.consumers.values()];
    const { channel, consumerTag } = consumer!;
    for (const body of ['1', '2']) session!.deliver(consumerTag, body);
    await until('both are in hand', () => inHand === 2);
    await aged(ACK_TIMEOUT_MS);
    for (let times = 0; times < 2; times++) session!.send('basic.cancel', channel, { consumerTag, nowait: true });
    session!.deliver(consumerTag, '3');
    await until('it is back', () => faults.oracle.eventsOf('consumer-attached').some(({ event }) => event.restored));
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
    expect(scripted.sessions).toHaveLength(1);
  });

  it('control: bare amqplib that acks late loses its channel over a consumer it has forgotten', async () => {
    const bare = await bareClient(faults);
    await bare.channel.assertQueue('slow', { arguments: { 'x-queue-type': 'quorum' } });
    const received: (Message | null)[] = [];
    await bare.channel.consume('slow', (message) => received.push(message));
    bare.channel.sendToQueue('slow', Buffer.from('{}'));
    await until('it was cancelled', () => received.includes(null));
    const other = await bareClient(faults);
    await until('its message waits', async () => (await other.channel.checkQueue('slow')).messageCount === 1);
    bare.channel.ack(received[0]!);
    await until('the channel is lost', () => !bare.isChannelOpen);
    expect(bare.errors.map(({ message }) => message)).toContainEqual(expect.stringContaining('Unknown consumer'));
  });
});
