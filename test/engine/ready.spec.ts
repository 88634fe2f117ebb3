import { describe, expect, it } from '@jest/globals';
import type { Subscription } from '#engine/consuming/attaching/subscription-handle.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

/** What `ready` says, without waiting for more than what is known by then. */
const outcomeOf = (ready: Promise<void>): Promise<unknown> =>
  ready.then(
    () => 'attached',
    (thrown: { code?: unknown }) => thrown.code,
  );

describe('a subscription that somebody waits for', () => {
  const faults = useFaults();
  const consumers = async (): Promise<string[]> =>
    (await faults.broker.listConsumers(faults.vhost.name)).map(({ queue }) => queue).sort();

  it('is ready when the broker has its consumer, and not before', async () => {
    const connection = faults.connect();
    await started(connection);
    const work = connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    expect(work.isAttached).toBe(false);
    await work.ready;
    expect(work.isAttached).toBe(true);
    expect(await consumers()).toEqual(['work']);
    await work.ready;
  });

  it('waits for the start, for the link, and for what comes after a loss', async () => {
    const proxy = await faults.proxy();
    const connection = faults.connect({ urls: proxy.url(faults.vhost.url) });
    const work = connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    const first = work.ready;
    await connection.start();
    await first;
    // Asked inside of the loss itself.
    const again = new Promise<void>((resolve) => {
      const endListening = connection.on('consumer-lost', () => {
        endListening();
        void work.ready.then(resolve);
      });
    });
    proxy.reset();
    await again;
    expect(work.isAttached).toBe(true);
    await work.ready;
    expect(await consumers()).toEqual(['work']);
  });

  it('is ready again after a pause, and not while that lasts', async () => {
    const connection = faults.connect();
    const work = connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    await started(connection);
    await work.ready;
    const paused = work.pause();
    const resumed = paused.then(() => work.resume());
    const ready = work.ready;
    await Promise.all([paused, resumed, ready]);
    expect(work).toMatchObject({ isAttached: true, isPaused: false });
    expect(await consumers()).toEqual(['work']);
    for (let round = 0; round < 20; round++) {
      const pausing = work.pause();
      // Into the middle of the pause, a little later each time.
      for (let turn = 0; turn < round; turn++) await new Promise((resolve) => setImmediate(resolve));
      void work.resume();
      await work.ready;
      expect(work.isAttached).toBe(true);
      await pausing;
    }
    expect(await consumers()).toEqual(['work']);
  });

  it('says why when the broker refuses it, and is ready once it is attached after all', async () => {
    const connection = faults.connect();
    await started(connection);
    await faults.broker.setPermissions('guest', faults.vhost.name, { configure: '.*', write: '.*', read: '^$' });
    const work = connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    expect(await outcomeOf(work.ready)).toBe('RMQ_CONSUME_REFUSED');
    expect(connection.status().consumers.missing).toMatchObject([{ name: 'work', code: 'RMQ_CONSUME_REFUSED' }]);
    await faults.broker.setPermissions('guest', faults.vhost.name);
    await until('it is attached', () => work.isAttached, { timeoutMs: 10_000 });
    await work.ready;
  });

  it('says so when it is ended before, by itself or with its connection', async () => {
    const connection = faults.connect();
    const subscribe = (queue: string): Subscription => connection.subscribe({ queue }, faults.oracle.consume);
    const [mine, its] = [subscribe('mine'), subscribe('its')];
    const outcomes = [mine, its].map(({ ready }) => outcomeOf(ready));
    await mine.unsubscribe();
    await connection.close();
    expect(await Promise.all(outcomes)).toEqual(['RMQ_CLOSED', 'RMQ_CLOSED']);
    expect(await outcomeOf(mine.ready)).toBe('RMQ_CLOSED');
  });
});

describe('somebody who waits for the connection', () => {
  const faults = useFaults();

  it('waits for the consumers that are wanted by then, also for those that were subscribed while it was open', async () => {
    const connection = faults.connect();
    await connection.start();
    // The publishing link alone: nothing is consumed yet.
    await connection.whenOpen({ timeoutMs: 5_000 });
    const all = Array.from({ length: 20 }, (_, i) =>
      connection.subscribe({ name: `work-${i}`, queue: `work-${i}` }, faults.oracle.consume),
    );
    expect(connection.state.name).toBe('open');
    expect(connection.status().consumers.missing).toHaveLength(20);
    await connection.whenOpen({ timeoutMs: 5_000 });
    expect(all.filter(({ isAttached }) => !isAttached)).toEqual([]);
  });

  it('waits for the first consumers although a publish has opened its own link before them', async () => {
    const connection = faults.connect();
    const work = connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    connection.addTopology({ queues: [{ name: 'work' }] });
    const published = connection.publisher.sendToQueue('work', {});
    const attachedWhenOpen = new Promise<boolean>((resolve) => {
      connection.state$.subscribe(({ name }) => name === 'open' && resolve(work.isAttached));
    });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    expect(work.isAttached).toBe(true);
    expect(await attachedWhenOpen).toBe(true);
    await published;
  });

  it('does not wait for one that was refused: status names it', async () => {
    const connection = faults.connect();
    await started(connection);
    await faults.broker.setPermissions('guest', faults.vhost.name, { configure: '.*', write: '.*', read: '^$' });
    connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    await connection.whenOpen({ timeoutMs: 5_000 });
    expect(connection.status().consumers.missing).toMatchObject([{ name: 'work', code: 'RMQ_CONSUME_REFUSED' }]);
    await faults.broker.setPermissions('guest', faults.vhost.name);
  });

  it('hears which consumers it waited for when the time is over', async () => {
    const proxy = await faults.proxy();
    const connection = faults.connect({ urls: proxy.url(faults.vhost.url) });
    connection.subscribe({ queue: 'first' }, faults.oracle.consume);
    await started(connection);
    proxy.silence();
    connection.subscribe({ queue: 'second' }, faults.oracle.consume);
    await expect(connection.whenOpen({ timeoutMs: 300 })).rejects.toMatchObject({
      code: 'RMQ_NOT_OPEN',
      message: expect.stringContaining('it is open and waits for the consumers of second'),
    });
  });
});
