import { describe, expect, it } from '@jest/globals';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { Settlement } from '#engine/consuming/delivery/settlement.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

const DAY_MS = 24 * 3_600_000;

/** Heard as it happens: a link that is back within milliseconds is never seen to be down by somebody who asks now and then. */
function lossOfBothLinks(connection: RmqConnection): Promise<void> {
  const lost = new Set<string>();
  return new Promise((resolve) => {
    const endListening = connection.on('link-lost', ({ role }) => {
      if (lost.add(role).size < 2) return;
      endListening();
      resolve();
    });
  });
}

describe('queues that the broker names', () => {
  const faults = useFaults();
  const queues = async (): Promise<string[]> =>
    (await faults.broker.listQueues(faults.vhost.name)).map(({ name }) => name);

  it('do not pile up while their consumer cannot be attached', async () => {
    const connection = faults.connect({ links: 'shared' });
    connection.addTopology({ exchanges: [{ name: 'news', type: 'fanout' }] });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    await faults.broker.setPermissions('guest', faults.vhost.name, {
      configure: '.*',
      write: '.*',
      read: '^amq.gen.*',
    });
    connection.subscribe({ name: 'news', queue: '', exchange: 'news', exchangeType: 'fanout' }, faults.oracle.consume);
    await until('it was refused', () => faults.oracle.eventsOf('consumer-refused').length > 0);
    const attempts = (): number => connection.status().consumers.missing.length;
    expect(attempts()).toBe(1);
    await until('the quick retries are over', async () => (await queues()).length <= 1, { timeoutMs: 5_000 });
    await faults.broker.setPermissions('guest', faults.vhost.name);
    await until('it is attached', () => connection.status().consumers.attached === 1, { timeoutMs: 10_000 });
    expect(await queues()).toHaveLength(1);
  });

  it('go when their subscription does', async () => {
    const connection = faults.connect({ links: 'shared' });
    const handle = connection.subscribe(
      { name: 'news', queue: '', exchange: 'news', exchangeType: 'fanout' },
      faults.oracle.consume,
    );
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    expect(await queues()).toHaveLength(1);
    await handle.unsubscribe();
    await until('the queue is gone', async () => (await queues()).length === 0);
  });

  it('are back before publishes made in the outage go out, so that none of these is returned', async () => {
    const proxy = await faults.proxy();
    const connection = faults.connect({ urls: proxy.url(faults.vhost.url) });
    for (let i = 0; i < 30; i++) {
      connection.subscribe({ name: `news-${i}`, queue: '', exchange: 'news', exchangeType: 'fanout' }, () => undefined);
    }
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    for (let round = 0; round < 8; round++) {
      await faults.oracle.publish(connection, 'news', '', `before-${round}`);
      const bothLost = lossOfBothLinks(connection);
      // At once: while only the consuming link is down, there is nobody to route to, and the broker says so.
      proxy.reset();
      await bothLost;
      await Promise.all(
        Array.from({ length: 5 }, (_, i) => faults.oracle.publish(connection, 'news', '', `during-${round}-${i}`)),
      );
      await connection.whenOpen({ timeoutMs: 10_000 });
    }
    expect(faults.oracle.rejected).toEqual([]);
  });

  it('keep a delivery in hand that shall come later, for as long as that takes, but not beyond their link', async () => {
    const connection = faults.connect();
    let handled = 0;
    connection.subscribe({ queue: 'mine', queueOptions: { exclusive: true } }, () => {
      handled += 1;
      return Settlement.retryIn(30 * DAY_MS);
    });
    connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    await started(connection);
    await connection.publisher.sendToQueue('mine', {});
    await until('it was handled', () => handled === 1);
    await faults.oracle.publish(connection, '', 'work', 'm1');
    await faults.oracle.expectNothingLost();
    expect(connection.status().counters).toMatchObject({ handlersRunning: 1, requeued: 0 });
    await faults.broker.closeAllConnections('maintenance');
    await until('nobody waits any more', () => connection.status().counters.handlersRunning === 0);
    expect(handled).toBe(1);
  });

  it('a handler may unsubscribe itself, and is waited for at close', async () => {
    const connection = faults.connect({ links: 'shared' });
    const seen: string[] = [];
    const handle = connection.subscribe({ queue: 'work' }, async (payload) => {
      await handle.unsubscribe();
      seen.push((payload as { id: string }).id);
    });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    await connection.publisher.sendToQueue('work', { id: 'the one' });
    await until('it came', () => seen.length === 1);
    await until('it was acked', () => connection.status().counters.acked === 1);
    expect(connection.status().consumers.wanted).toBe(0);
  });
});
