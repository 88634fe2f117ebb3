import { describe, expect, it } from '@jest/globals';
import type { DeduplicationOptions } from '#engine/consuming/options/deduplication-options.js';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import type { Delivery } from '#engine/consuming/delivery/delivery.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

const MINUTE_MS = 60_000;

describe('when a message comes again', () => {
  const faults = useFaults();

  /** A consumer whose handler of `slow` messages ends when the spec says so. */
  async function consumer(deduplicate?: DeduplicationOptions) {
    const connection = faults.connect();
    const started: string[] = [];
    let finish!: () => void;
    const mayFinish = new Promise<void>((resolve) => (finish = resolve));
    faults.afterwards(() => finish());
    connection.subscribe({ queue: 'orders', deduplicate }, async (payload) => {
      const { id } = payload as { id: string };
      started.push(id);
      if (id.startsWith('slow')) await mayFinish;
    });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    return { connection, started, finish };
  }

  const publish = (connection: RmqConnection, id: string): Promise<void> =>
    connection.publisher.sendToQueue('orders', { id }, { messageId: id });
  const queueIsEmpty = async (): Promise<boolean> => {
    const [queue] = await faults.broker.listQueues(faults.vhost.name);
    return queue !== undefined && queue.messages === 0;
  };

  it('because it was published twice under one id, the second copy is acked without its handler', async () => {
    const { connection, started } = await consumer({ ttlMs: MINUTE_MS });
    const skipped: unknown[] = [];
    connection.on('duplicate-skipped', (event) => skipped.push(event));
    for (const id of ['a', 'b', 'a', 'a']) await publish(connection, id);
    await until('all copies are settled', () => connection.status().counters.acked === 4);

    expect(started).toEqual(['a', 'b']);
    expect(connection.status().counters).toMatchObject({ delivered: 4, acked: 4, duplicatesSkipped: 2 });
    expect(skipped).toHaveLength(2);
    expect(skipped[0]).toEqual({ type: 'duplicate-skipped', subscription: 'orders', messageId: 'a' });
  });

  it('because the link was lost while its handler ran, it waits for that handler, and is then skipped', async () => {
    const { connection, started, finish } = await consumer({ ttlMs: MINUTE_MS });
    await publish(connection, 'slow');
    await until('the handler runs', () => started.length === 1);
    await faults.broker.closeAllConnections('maintenance');
    await until('the copy is there', () => connection.status().counters.delivered === 2);
    expect(started).toEqual(['slow']);
    finish();
    await until('the copy is skipped', () => connection.status().counters.duplicatesSkipped === 1);

    expect(started).toEqual(['slow']);
    await until('the broker has forgotten the message', queueIsEmpty);
  });

  it('control: without deduplicate, both of these run a handler twice, the second at the same time', async () => {
    const { connection, started, finish } = await consumer();
    for (const id of ['a', 'a', 'slow']) await publish(connection, id);
    await until('the handler runs', () => started.length === 3);
    await faults.broker.closeAllConnections('maintenance');
    await until('it runs again', () => started.length === 4);
    finish();
    expect(started).toEqual(['a', 'a', 'slow', 'slow']);
  });

  it.each<[string, (delivery: Delivery) => unknown]>([
    ['its link was lost', () => faults.broker.closeAllConnections('maintenance')],
    ['it gave the message back itself', (delivery) => delivery.requeue()],
  ])(
    'a copy does not wait for ever for a handler that never ends, when %s before its time was over',
    async (_, part) => {
      const connection = faults.connect();
      const seen: boolean[] = [];
      connection.subscribe(
        { queue: 'orders', deduplicate: { ttlMs: MINUTE_MS }, handlerTimeoutMs: 2_000 },
        async (__, delivery) => {
          seen.push(delivery.redelivered);
          if (seen.length > 1) return;
          await part(delivery);
          await new Promise(() => undefined);
        },
      );
      await started(connection);
      await publish(connection, 'a');
      await until('the copy is handled', () => connection.status().counters.acked === 1);
      expect(seen).toEqual([false, true]);
      await until('the broker has forgotten the message', queueIsEmpty);
    },
  );

  it('while the connection closes, the waiting copy goes back to the queue and nothing is lost', async () => {
    const { connection, started, finish } = await consumer({ ttlMs: MINUTE_MS });
    for (let copy = 0; copy < 2; copy++) await publish(connection, 'slow');
    await until('one runs and one waits', () => connection.status().counters.delivered === 2);
    const closing = connection.close({ drainTimeoutMs: 5_000 });
    await until('the copy is back', () => connection.status().counters.requeued === 1);
    finish();
    await closing;
    expect(started).toEqual(['slow']);
    const [queue] = await faults.broker.listQueues(faults.vhost.name);
    expect(queue).toMatchObject({ name: 'orders', messages: 1 });
  });
});
