import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Channel, Message } from 'amqplib';
import type { Delivery } from '#engine/consuming/delivery/delivery.js';
import { bareClient } from '../support/bare-amqplib.js';
import { consumerPlaces } from '../support/consumer-places.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';
import { passed, recordingProxy } from '../support/wire.js';

/** By its prefetch the channel of the subscription under test is known among amqplib's. */
const PREFETCH = 10;
let channel: Channel | undefined;
let stopWatching = (): void => undefined;

/** Keeps an eye on amqplib, for what no handler can reach: the raw channel, on which mistakes can be forced. */
function watchChannels(anyChannel: Channel): void {
  const prototype = Object.getPrototypeOf(anyChannel) as Channel;
  const { prefetch } = prototype;
  prototype.prefetch = function (this: Channel, count) {
    // eslint-disable-next-line typescript/no-this-alias
    if (count === PREFETCH) channel = this;
    return prefetch.call(this, count);
  };
  stopWatching = () => (prototype.prefetch = prefetch);
}

const ack = (deliveryTag: number): void => channel!.ack({ fields: { deliveryTag } } as Message);

const MISTAKES: Record<string, (delivery: Delivery) => void> = {
  'acks a delivery twice': ({ deliveryTag }) => {
    ack(deliveryTag);
    ack(deliveryTag);
  },
  'acks a delivery tag that was never given': () => ack(4_711),
};

describe('F10: when a channel dies of an error', () => {
  const faults = useFaults();
  beforeEach(async () => watchChannels((await bareClient(faults)).channel));
  afterEach(() => stopWatching());

  it.each(Object.entries(MISTAKES))(
    'because somebody %s: only that channel is rebuilt, within a second',
    async (_, make) => {
      const connection = faults.connect();
      let isMistaken = false;
      const held: Delivery[] = [];
      let letGo = (): void => undefined;
      const inHand = new Promise<void>((resolve) => (letGo = resolve));
      connection.subscribe({ queue: 'work', prefetch: PREFETCH }, async (payload, delivery) => {
        if (!isMistaken) {
          held.push(delivery);
          if (held.length === 10) {
            isMistaken = true;
            make(delivery);
          }
          await inHand;
        }
        faults.oracle.consume(payload, delivery);
      });
      const others = ['other-1', 'other-2', 'other-3'];
      for (const queue of others) connection.subscribe({ queue }, faults.oracle.consume);
      await started(connection);
      const before = await consumerPlaces(faults, others);
      for (let i = 0; i < 10; i++) await faults.oracle.publish(connection, '', 'work', `m${i}`);

      const lost = await until('the channel is gone', () => faults.oracle.eventsOf('consumer-lost').at(0));
      expect(lost.event).toMatchObject({
        subscription: 'work',
        cause: { code: 'RMQ_CHANNEL_CLOSED', message: expect.stringMatching(/406.*unknown delivery tag/) },
      });
      const attached = await until('it is rebuilt', () =>
        faults.oracle.eventsOf('consumer-attached').find(({ event }) => event.restored),
      );
      expect(faults.tookMs(lost.at, attached.at)).toBeLessThanOrEqual(1_000);
      letGo();
      // What was in hand when the channel died comes again on the new one; the late settlements are dropped.
      await faults.oracle.expectNothingLost();
      await until('the late settlements are counted', () => connection.status().counters.staleSettlements === 10);
      expect(faults.oracle.eventsOf('consumer-lost')).toHaveLength(1);
      expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
      expect(await consumerPlaces(faults, others)).toEqual(before);
      await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, ['work', ...others]);
    },
  );

  it('does not spin when a handler kills its channel with every delivery', async () => {
    const connection = faults.connect();
    connection.subscribe({ queue: 'work', prefetch: PREFETCH }, (_, delivery) =>
      MISTAKES['acks a delivery tag that was never given']!(delivery),
    );
    connection.subscribe({ queue: 'other' }, faults.oracle.consume);
    await started(connection);
    const before = await consumerPlaces(faults, ['other']);
    await connection.publisher.sendToQueue('work', { id: 'poison' });
    await until('it has died ten times', () => faults.oracle.eventsOf('consumer-lost').length >= 10);
    const deaths = faults.oracle.eventsOf('consumer-lost').map(({ at }) => at);
    expect(deaths[9]! - deaths[0]!).toBeGreaterThanOrEqual(9 * 100);
    await faults.oracle.publish(connection, '', 'other', 'm1');
    await faults.oracle.expectNothingLost();
    expect(await consumerPlaces(faults, ['other'])).toEqual(before);
  });

  it('drops and counts 1,000 settlements that come after a reconnect, and sends none of them on the new channel', async () => {
    const proxy = await recordingProxy(faults);
    const connection = faults.connect({ urls: proxy.url(faults.vhost.url) });
    const held: Delivery[] = [];
    const letGo: (() => void)[] = [];
    connection.subscribe({ queue: 'work', prefetch: 1_000 }, async (payload, delivery) => {
      held.push(delivery);
      await new Promise<void>((resolve) => letGo.push(resolve));
      faults.oracle.consume(payload, delivery);
    });
    await started(connection);
    await Promise.all(Array.from({ length: 1_000 }, (_, i) => faults.oracle.publish(connection, '', 'work', `m${i}`)));
    await until('all are in hand', () => held.length === 1_000);

    await faults.broker.closeAllConnections('maintenance');
    await until('all came again', () => held.length === 2_000);

    const old = held.slice(0, 1_000);
    const settlements = [(d: Delivery) => d.ack(), (d: Delivery) => d.requeue(), (d: Delivery) => d.reject()];
    for (const [i, delivery] of old.entries()) {
      expect(delivery.isLive).toBe(false);
      // Every third in each of the ways; each of them twice.
      for (let times = 0; times < 2; times++) expect(settlements[i % 3]!(delivery)).toBe(false);
    }
    for (const end of letGo.splice(0, 1_000)) end();
    expect(connection.status().counters).toMatchObject({ staleSettlements: 1_000, acked: 0, requeued: 0, rejected: 0 });
    const sent = () => passed(proxy, ['basic.ack', 'basic.nack', 'basic.reject']);
    expect(sent()).toEqual([]);

    for (const end of letGo.splice(0)) end();
    // One ack may stand for many, on one channel, each time for all up to its tag.
    await until('every new one is acked', () => sent().at(-1)?.fields['deliveryTag'] === 1_000);
    expect(sent().at(-1)!.fields['multiple']).toBe(true);
    expect(new Set(sent().map(({ link, channel: on }) => `${link}/${on}`)).size).toBe(1);
    await until('every ack is counted', () => connection.status().counters.acked === 1_000);
    await until('the queue is empty', async () =>
      (await faults.broker.listQueues(faults.vhost.name)).every(({ messages }) => messages === 0),
    );
    expect(faults.oracle.eventsOf('stale-settlement')).toHaveLength(1_000);
    expect(faults.oracle.eventsOf('consumer-lost').map(({ event }) => event.cause.name)).toEqual(['LinkLostError']);
    await faults.oracle.expectNothingLost();
  });

  it('control: with bare amqplib the channel stays dead, and its consumer with it', async () => {
    const { channel, errors } = await bareClient(faults);
    await channel.assertQueue('work');
    channel.sendToQueue('work', Buffer.from('{}'));
    await channel.consume('work', (message) => {
      channel.ack(message!);
      channel.ack(message!);
    });
    await until('the channel is dead', () => errors.length === 1);
    expect(errors[0]).toMatchObject({ code: 406 });
    expect(await faults.broker.listConsumers(faults.vhost.name)).toEqual([]);
  });

  it('control: with bare amqplib an ack of before the reconnect kills the new channel', async () => {
    const before = await bareClient(faults);
    await before.channel.assertQueue('work');
    before.channel.sendToQueue('work', Buffer.from('{}'));
    const held: Message[] = [];
    // A tag that the new channel has not given out.
    for (let times = 0; times < 5; times++) before.channel.sendToQueue('work', Buffer.from('{}'));
    await before.channel.consume('work', (message) => held.push(message!));
    await until('it is in hand', () => held.length === 6);
    await faults.broker.closeAllConnections('maintenance');
    await until('amqplib noticed', () => !before.isSessionOpen);
    const after = await bareClient(faults);
    after.channel.ack(held.at(-1)!);
    await until('the channel is dead', () => after.errors.length === 1);
    expect(after.errors[0]).toMatchObject({ code: 406 });
  });
});
