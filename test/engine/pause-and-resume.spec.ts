import { describe, expect, it } from '@jest/globals';
import { describeEvent } from '#engine/reporting/event-sentences.js';
import { verdict } from '../../libs/rmq-keepalive/src/integrations/terminus/health-verdict.js';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

describe('a paused subscription', () => {
  const faults = useFaults();
  const consumers = async (): Promise<string[]> =>
    (await faults.broker.listConsumers(faults.vhost.name)).map(({ queue }) => queue).sort();
  const messages = async (): Promise<number | undefined> =>
    (await faults.broker.listQueues(faults.vhost.name)).find(({ name }) => name === 'work')?.messages;

  it('gets nothing, finishes what it runs, gives back what waits, and is no trouble to health', async () => {
    let letGo = (): void => undefined;
    const hold = new Promise<void>((resolve) => (letGo = resolve));
    let begun = 0;
    const connection = faults.connect();
    const work = connection.subscribe({ queue: 'work', concurrency: 2 }, async () => {
      begun += 1;
      await hold;
    });
    connection.subscribe({ queue: 'other' }, () => undefined);
    await started(connection);
    for (let i = 0; i < 6; i++) await connection.publisher.sendToQueue('work', { i });
    await until('all were delivered', () => connection.status().counters.delivered === 6);

    await Promise.all([work.pause(), work.pause()]);
    expect(work).toMatchObject({ isPaused: true, isAttached: false });
    expect(connection.status().consumers).toMatchObject({ wanted: 1, attached: 1, missing: [], paused: ['work'] });
    expect(verdict(connection.status(), Date.now())).toMatchObject({ status: 'up', reason: 'open' });
    await until('the broker knows', async () => (await consumers()).join() === 'other');
    letGo();
    await until('the running ones are acked', () => connection.status().counters.acked === 2);
    await until('the others are back in the queue', async () => (await messages()) === 4);
    expect(begun).toBe(2);
    expect(connection.status().counters).toMatchObject({ requeued: 4, staleSettlements: 0 });

    await work.resume();
    await until('all are handled', () => connection.status().counters.acked === 6);
    expect(work).toMatchObject({ isPaused: false, isAttached: true });
    expect(connection.status().consumers).toMatchObject({ wanted: 2, attached: 2, paused: [] });
    const events = ['subscription-paused', 'subscription-resumed'] as const;
    for (const type of events) expect(faults.oracle.eventsOf(type)).toHaveLength(1);
    expect(events.map((type) => describeEvent(faults.oracle.eventsOf(type)[0]!.event)?.sentence)).toEqual([
      'Subscription "work" was paused',
      'Subscription "work" was resumed',
    ]);
  });

  it('stays paused through a reconnect, and comes back when it is resumed', async () => {
    const connection = faults.connect();
    const work = connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    connection.subscribe({ queue: 'other' }, () => undefined);
    await started(connection);
    await work.pause();
    await faults.oracle.publish(connection, '', 'work', 'm1');
    await faults.broker.closeAllConnections('maintenance');
    await until('the other one is back', () =>
      faults.oracle.eventsOf('consumer-attached').some(({ event }) => event.restored && event.subscription === 'other'),
    );
    await connection.whenOpen({ timeoutMs: 5_000 });
    expect(await consumers()).toEqual(['other']);
    expect(connection.status().consumers).toMatchObject({ missing: [], paused: ['work'] });
    await work.resume();
    await faults.oracle.expectNothingLost();
    await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, ['other', 'work']);
  });

  it('may be paused before the connection starts, while it is attached, and while the link is down', async () => {
    const connection = faults.connect();
    const work = connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    await work.pause();
    await started(connection);
    expect(await consumers()).toEqual([]);
    for (let round = 0; round < 20; round++) {
      const resumed = work.resume();
      // Into the middle of the attachment, a little later each time.
      for (let turn = 0; turn < round; turn++) await new Promise((resolve) => setImmediate(resolve));
      await Promise.all([resumed, work.pause()]);
      await until('the broker has no consumer', async () => (await consumers()).length === 0);
      expect(work.isAttached).toBe(false);
    }
    await faults.broker.closeAllConnections('maintenance');
    await work.resume();
    await faults.oracle.publish(connection, '', 'work', 'm1');
    await faults.oracle.expectNothingLost();
    await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, ['work']);
  });

  it('gets a new queue where the broker names it', async () => {
    const connection = faults.connect();
    const news = connection.subscribe(
      { name: 'news', queue: '', exchange: 'news', exchangeType: 'fanout' },
      faults.oracle.consume,
    );
    await started(connection);
    const before = news.queue;
    await news.pause();
    await until(
      'it went with its consumer',
      async () => (await faults.broker.listQueues(faults.vhost.name)).length === 0,
    );
    await news.resume();
    await until('it is attached', () => news.isAttached);
    expect(news.queue).not.toBe(before);
    await faults.oracle.publish(connection, 'news', '', 'm1');
    await faults.oracle.expectNothingLost();
  });

  it('is found by its name, until it is ended', async () => {
    const connection = faults.connect();
    const work = connection.subscribe({ queue: 'work' }, () => undefined);
    await started(connection);
    const found = connection.subscription('work')!;
    await found.pause();
    expect(work.isPaused).toBe(true);
    expect(connection.subscription('other')).toBeUndefined();
    await found.unsubscribe();
    await Promise.all([work.unsubscribe(), work.resume(), work.pause()]);
    expect(connection.subscription('work')).toBeUndefined();
    expect(connection.status().consumers).toEqual({
      wanted: 0,
      attached: 0,
      missing: [],
      paused: [],
      stuck: [],
      singleActive: [],
      notExclusive: [],
    });
    // The name is free, and the old handle does not touch the new one.
    const again = connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    await work.unsubscribe();
    await faults.oracle.publish(connection, '', 'work', 'm1');
    await faults.oracle.expectNothingLost();
    expect(again.isAttached).toBe(true);
  });

  it('is named as not attached yet before the connection has started, once it is wanted', () => {
    const connection = faults.connect();
    connection.subscribe({ queue: 'work' }, () => undefined);
    expect(connection.status().consumers.missing).toMatchObject([{ name: 'work', code: 'RMQ_NOT_ATTACHED_YET' }]);
  });

  /** Each second return, where the queue counts it. */
  const renewals = (type: 'quorum' | 'classic', returns: number, messages: number): number =>
    type === 'quorum' && !faults.broker.version.startsWith('4.3') ? messages * Math.floor(returns / 2) : 0;

  it.each(['quorum', 'classic'] as const)('makes no poison of what it gives back, however often (%s)', async (type) => {
    let begun = 0;
    const connection = faults.connect();
    const work = connection.subscribe(
      { queue: 'work', queueOptions: { type }, concurrency: 1, maxRedeliveries: 2 },
      () => {
        begun += 1;
        return new Promise(() => undefined);
      },
    );
    await started(connection);
    // Of a foreign publisher: without ids, and all the same.
    const { channel } = await bareClient(faults);
    for (let i = 0; i < 3; i++) channel.sendToQueue('work', Buffer.from('"tick"'), { contentType: 'application/json' });
    await until('one runs, the others wait', () => begun === 1 && connection.status().counters.delivered === 3);
    for (let round = 1; round <= 5; round++) {
      await work.pause();
      await work.resume();
      const renewed = renewals(type, round, 2);
      await until('both are back', () => connection.status().counters.delivered === 3 + 2 * round + renewed);
      await until('none is under way', () => faults.oracle.eventsOf('delivery-renewed').length === renewed);
    }
    expect(connection.status().counters).toMatchObject({ requeued: 10, deadLettered: 0 });
    expect(faults.oracle.eventsOf('delivery-dead-lettered')).toEqual([]);
    expect(faults.oracle.eventsOf('redelivery-counted')).toEqual([]);
  });

  it.each(['quorum', 'classic'] as const)(
    'nor of what the one before it gave back, in this process (%s)',
    async (type) => {
      const connection = faults.connect();
      // In the making for longer than the subscription lives.
      const batch = { size: 10, waitMs: 60_000 };
      const subscribe = () =>
        connection.subscribeBatch(
          { queue: 'work', queueOptions: { type }, batch, maxRedeliveries: 2 },
          () => undefined,
        );
      const isThere = async (returns: number): Promise<void> => {
        const renewed = renewals(type, returns, 1);
        await until('it is there', () => connection.status().counters.delivered === 1 + returns + renewed);
        await until('none is under way', () => faults.oracle.eventsOf('delivery-renewed').length === renewed);
      };
      let work = subscribe();
      await started(connection);
      await faults.oracle.publish(connection, '', 'work', 'm1');
      for (let round = 1; round <= 5; round++) {
        await isThere(round - 1);
        await work.unsubscribe();
        work = subscribe();
      }
      await isThere(5);
      expect(connection.status().counters).toMatchObject({ requeued: 5, deadLettered: 0 });
      expect(faults.oracle.eventsOf('redelivery-counted')).toEqual([]);
      await work.unsubscribe();
      connection.subscribe({ queue: 'work', queueOptions: { type } }, faults.oracle.consume);
      await faults.oracle.expectNothingLost();
    },
  );
});
