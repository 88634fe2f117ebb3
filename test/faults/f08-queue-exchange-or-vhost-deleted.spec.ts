import { describe, expect, it } from '@jest/globals';
import { ScriptedBroker } from '../../tools/broker/scripted-broker.js';
import { bareClient } from '../support/bare-amqplib.js';
import { consumerPlaces } from '../support/consumer-places.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';
import { passed, recordingProxy } from '../support/wire.js';

const faults = useFaults();

describe('F8: when a queue is deleted under its consumer', () => {
  it('sees it within a second, and within two has the queue, all its bindings and the consumer back, alone', async () => {
    const connection = faults.connect({
      topology: {
        exchanges: [{ name: 'audit', type: 'fanout' }],
        bindings: [{ exchange: 'audit', queue: 'work' }],
      },
    });
    connection.subscribe(
      { queue: 'work', exchange: 'shop', routingKey: ['order.*', 'refund.*'] },
      faults.oracle.consume,
    );
    for (const queue of ['other-1', 'other-2']) connection.subscribe({ queue }, faults.oracle.consume);
    await started(connection);
    const others = await consumerPlaces(faults, ['other-1', 'other-2']);
    const bindings = await faults.broker.listBindings(faults.vhost.name);

    const deletedAt = performance.now();
    await faults.broker.deleteQueue('work', faults.vhost.name);

    const lost = await until('the loss was seen', () => faults.oracle.eventsOf('consumer-lost').at(0));
    expect(lost.event).toMatchObject({ subscription: 'work', cause: { code: 'RMQ_CONSUMER_CANCELLED' } });
    expect(faults.tookMs(deletedAt, lost.at)).toBeLessThanOrEqual(1_000);
    const attached = await until('it consumes again', () =>
      faults.oracle.eventsOf('consumer-attached').find(({ event }) => event.restored),
    );
    expect(faults.tookMs(deletedAt, attached.at)).toBeLessThanOrEqual(2_000);

    await faults.oracle.publish(connection, 'shop', 'order.new', 'm1');
    await faults.oracle.publish(connection, 'audit', '', 'm2');
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.rejected).toEqual([]);
    expect(await faults.broker.listBindings(faults.vhost.name)).toEqual(bindings);
    expect(await consumerPlaces(faults, ['other-1', 'other-2'])).toEqual(others);
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
    await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, [
      'work',
      'other-1',
      'other-2',
    ]);
  });

  it('keeps exactly one consumer while it happens again and again, also in the middle of the repair', async () => {
    const connection = faults.connect();
    const handle = connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    await started(connection);
    for (let deletions = 0; deletions < 5; deletions++) {
      const deleted = () => faults.broker.deleteQueue('work', faults.vhost.name).then(() => true);
      await until('the queue is there, and deleted', deleted, { everyMs: 1 });
    }
    const lastAt = performance.now();
    await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, ['work']);
    expect(faults.tookMs(lastAt)).toBeLessThanOrEqual(2_000);
    await until('it says so', () => handle.isAttached);
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
  });

  it('is not fooled by a consumer that is cancelled in the same breath in which it is granted', async () => {
    const scripted = await ScriptedBroker.start();
    faults.afterwards(() => scripted.close());
    let grants = 0;
    scripted.manners.script['basic.consume'] = (session, { channel }) => {
      const consumerTag = `tag-${++grants}`;
      session.send('basic.consume-ok', channel, { consumerTag });
      if (grants === 1) session.send('basic.cancel', channel, { consumerTag, nowait: true });
    };
    const connection = faults.connect({ urls: scripted.url });
    const handle = connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    await connection.start();
    await until('it asked again', () => grants === 2, { timeoutMs: 4_000 });
    await until('it is attached', () => handle.isAttached);
    expect(faults.oracle.eventsOf('consumer-lost')).toHaveLength(1);
    expect(faults.oracle.eventsOf('consumer-attached')).toHaveLength(2);
  });

  describe("and the subscription says ifQueueMissing: 'wait'", () => {
    it('names it, asks at most once a second, and resumes within two after the queue exists again', async () => {
      const proxy = await recordingProxy(faults);
      const owner = await bareClient(faults);
      await owner.channel.assertQueue('orders');
      const connection = faults.connect({ urls: proxy.url(faults.vhost.url) });
      const subscription = {
        queue: 'orders',
        exchange: 'shop',
        routingKey: 'order.*',
        ifQueueMissing: 'wait',
      } as const;
      const handle = connection.subscribe(subscription, faults.oracle.consume);
      connection.subscribe({ queue: 'other' }, faults.oracle.consume);
      await started(connection);
      const others = await consumerPlaces(faults, ['other']);

      const deletedAt = performance.now();
      await faults.broker.deleteQueue('orders', faults.vhost.name);

      const lost = await until('the loss was seen', () => faults.oracle.eventsOf('consumer-lost').at(0));
      expect(faults.tookMs(deletedAt, lost.at)).toBeLessThanOrEqual(1_000);
      // The binding is asked for first; the queue's absence shows there.
      const attempts = () =>
        passed(proxy, ['queue.bind', 'basic.consume'], { from: deletedAt }).filter(
          ({ fields }) => fields['queue'] === 'orders',
        );
      await until('it has asked four times', () => attempts().length >= 4);
      const times = attempts().map(({ at }) => at);
      for (const [i, at] of times.slice(1).entries()) expect(at - times[i]!).toBeGreaterThanOrEqual(990);
      expect(connection.status().consumers).toMatchObject({
        wanted: 2,
        attached: 1,
        missing: [
          { name: 'orders', queue: 'orders', code: 'RMQ_CONSUME_REFUSED', message: expect.stringMatching(/404/) },
        ],
      });
      expect(connection.state.name).toBe('open');
      expect(faults.oracle.eventsOf('consumer-refused')).toHaveLength(1);
      // The queue is somebody else's: nothing of ours declares it.
      expect(passed(proxy, 'queue.declare').map(({ fields }) => fields['queue'])).toEqual(['other']);

      await owner.channel.assertQueue('orders');
      const existsAt = performance.now();
      await until('it consumes again', () => handle.isAttached, { everyMs: 2 });
      expect(faults.tookMs(existsAt)).toBeLessThanOrEqual(2_000);
      await faults.oracle.publish(connection, 'shop', 'order.new', 'm1');
      await faults.oracle.expectNothingLost();
      expect(await consumerPlaces(faults, ['other'])).toEqual(others);
      await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, ['orders', 'other']);
    });
  });

  it('control: bare amqplib is told with a null, and consumes no more', async () => {
    const { channel } = await bareClient(faults);
    await channel.assertQueue('work');
    const received: unknown[] = [];
    await channel.consume('work', (message) => received.push(message));
    await faults.broker.deleteQueue('work', faults.vhost.name);
    await until('amqplib was told', () => received.length === 1);
    expect(received).toEqual([null]);
    await channel.assertQueue('work');
    channel.sendToQueue('work', Buffer.from('{}'));
    await until('the message waits', async () => {
      const queues = await faults.broker.listQueues(faults.vhost.name);
      return queues.find(({ name, consumers }) => name === 'work' && consumers === 0)?.messages === 1;
    });
    expect(received).toEqual([null]);
  });
});

describe('F8: when an exchange is deleted', () => {
  it('declares it again, with its bindings, at the next publish: confirmed and consumed within two seconds', async () => {
    const connection = faults.connect({
      topology: { exchanges: [{ name: 'all' }], bindings: [{ exchange: 'all', toExchange: 'shop', routingKey: '#' }] },
    });
    connection.subscribe({ queue: 'work', exchange: 'shop', routingKey: 'order.*' }, faults.oracle.consume);
    await connection.start();
    await faults.oracle.publish(connection, 'shop', 'order.new', 'm1');
    const before = await faults.broker.listConsumers(faults.vhost.name);
    const bindings = await faults.broker.listBindings(faults.vhost.name);

    await faults.broker.deleteExchange('shop', faults.vhost.name);
    const publishedAt = performance.now();
    await Promise.all(
      Array.from({ length: 50 }, (_, i) => faults.oracle.publish(connection, 'shop', 'order.new', `after-${i}`)),
    );
    await until('all were consumed', () => faults.oracle.consumed.size === 51);
    expect(faults.tookMs(publishedAt)).toBeLessThanOrEqual(2_000);
    expect(faults.oracle.rejected).toEqual([]);
    await faults.oracle.expectNothingLost();
    expect(await faults.broker.listBindings(faults.vhost.name)).toEqual(bindings);
    expect(await faults.broker.listConsumers(faults.vhost.name)).toEqual(before);
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
  });

  it('tells the caller when nobody declared the exchange, and spares the messages around that one', async () => {
    const connection = faults.connect();
    connection.subscribe({ queue: 'work', exchange: 'shop', routingKey: '#' }, faults.oracle.consume);
    await connection.start();
    await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        faults.oracle.publish(connection, i === 50 ? 'no-such-exchange' : 'shop', 'order.new', `m${i}`),
      ),
    );
    expect(faults.oracle.rejected).toMatchObject([{ id: 'm50', error: { code: 'RMQ_PUBLISH_REFUSED' } }]);
    expect(faults.oracle.confirmed.size).toBe(99);
    await faults.oracle.expectNothingLost();
  });

  it('control: bare amqplib loses the channel, and with it every message on its way', async () => {
    const { channel, errors } = await bareClient(faults);
    await channel.assertExchange('shop', 'topic');
    await faults.broker.deleteExchange('shop', faults.vhost.name);
    channel.publish('shop', 'order.new', Buffer.from('{}'));
    await until('the channel is closed', () => errors.length === 1);
    expect(errors[0]).toMatchObject({ code: 404 });
    expect(() => channel.publish('shop', 'order.new', Buffer.from('{}'))).toThrow('Channel closed');
  });
});

describe('F8: when a vhost is deleted and made again', () => {
  it('sees it within a second, and within two after its return has everything back', async () => {
    const connection = faults.connect();
    connection.subscribe({ queue: 'work', exchange: 'shop', routingKey: '#' }, faults.oracle.consume);
    connection.subscribe({ queue: 'other' }, faults.oracle.consume);
    await connection.start();
    await faults.oracle.publish(connection, 'shop', 'before', 'm1');
    await faults.oracle.expectNothingLost();

    const deletedAt = performance.now();
    await faults.broker.deleteVhost(faults.vhost.name);
    const lost = await until('the loss was seen', () => faults.oracle.eventsOf('link-lost').at(0));
    expect(faults.tookMs(deletedAt, lost.at)).toBeLessThanOrEqual(1_000);
    await until('three attempts have failed', () => faults.oracle.eventsOf('attempt-failed').length >= 3);
    const meanwhile = faults.oracle.publish(connection, 'shop', 'meanwhile', 'm2');

    await faults.broker.addVhost(faults.vhost.name);
    const existsAt = performance.now();
    await connection.whenOpen({ timeoutMs: 5_000 });
    expect(faults.tookMs(existsAt)).toBeLessThanOrEqual(2_000);
    await meanwhile;
    await faults.oracle.publish(connection, 'shop', 'after', 'm3');
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.rejected).toEqual([]);
    await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, ['work', 'other']);
  });

  it('control: bare amqplib is disconnected, and finds neither queue nor consumer when the vhost is back', async () => {
    const bare = await bareClient(faults);
    await bare.channel.assertQueue('work');
    await bare.channel.consume('work', () => undefined);
    await faults.broker.deleteVhost(faults.vhost.name);
    await until('amqplib noticed', () => !bare.isSessionOpen);
    await faults.broker.addVhost(faults.vhost.name);
    await expect(bare.session.createChannel()).rejects.toThrow(/closed/i);
    expect(await faults.broker.listQueues(faults.vhost.name)).toEqual([]);
  });
});
