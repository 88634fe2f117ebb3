import { describe, expect, it } from '@jest/globals';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { Settlement } from '#engine/consuming/delivery/settlement.js';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

describe('a subscription that takes batches', () => {
  const faults = useFaults();
  const counters = (connection: RmqConnection) => connection.status().counters;

  async function publish(connection: RmqConnection, numbers: readonly number[]): Promise<void> {
    await Promise.all(numbers.map((number) => connection.publisher.sendToQueue('work', number)));
  }

  const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

  it('gets full batches in order, and what is left when it has waited long enough', async () => {
    const batches: number[][] = [];
    const connection = faults.connect();
    connection.subscribeBatch<number>({ queue: 'work', batch: { size: 10, waitMs: 1_500 } }, async (numbers, batch) => {
      expect(batch.size).toBe(numbers.length);
      expect(batch.deliveries.map((delivery) => Number(delivery.body))).toEqual(numbers);
      batches.push(numbers);
    });
    await publish(connection, upTo(25));
    await started(connection);
    await until('all are acked', () => counters(connection).acked === 25);
    expect(batches).toEqual([upTo(10), upTo(10).map((i) => i + 10), upTo(5).map((i) => i + 20)]);
  });

  it('runs one batch at a time unless told otherwise', async () => {
    let running = 0;
    let most = 0;
    const connection = faults.connect();
    connection.subscribeBatch({ queue: 'work', batch: { size: 5, waitMs: 50 } }, async () => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 10));
      running -= 1;
    });
    await publish(connection, upTo(50));
    await started(connection);
    await until('all are acked', () => counters(connection).acked === 50);
    expect(most).toBe(1);
  });

  it('settles each message by itself: by its place in what the handler returns, or by its delivery', async () => {
    let rounds = 0;
    const again: number[] = [];
    const connection = faults.connect();
    const batch = { size: 6, waitMs: 60_000 };
    connection.subscribeBatch<number>({ queue: 'work', batch }, async (numbers, batch) => {
      if (++rounds > 1) return void again.push(...numbers);
      batch.deliveries[5]!.reject();
      return [undefined, Settlement.reject(), Settlement.requeue(), Settlement.ack(), 'fine'];
    });
    await publish(connection, upTo(6));
    await started(connection);
    await until('one is requeued', () => counters(connection).requeued === 1);
    await publish(connection, [10, 11, 12, 13, 14]);
    await until('the requeued one came again, with company', () => again.length === 6);
    await until('all are settled', () => counters(connection).acked === 10);
    expect(again.toSorted((a, b) => a - b)).toEqual([2, 10, 11, 12, 13, 14]);
    expect(counters(connection)).toMatchObject({ requeued: 1, deadLettered: 1, rejected: 1, delivered: 12 });
  });

  it('fails each message by itself when the handler throws, but for those it settled before', async () => {
    const connection = faults.connect();
    connection.subscribeBatch<number>({ queue: 'work', batch: { size: 4, waitMs: 60_000 } }, async (_, batch) => {
      batch.deliveries[0]!.ack();
      throw new Error('the database is down');
    });
    await publish(connection, upTo(4));
    await started(connection);
    await until('all are settled', () => counters(connection).acked === 4);
    expect(counters(connection).deadLettered).toBe(3);
    // One batch, one line.
    const failures = faults.oracle.eventsOf('handler-failed').map(({ event }) => event);
    expect(failures).toMatchObject([{ count: 3, messageId: undefined, fate: { kind: 'dead-letter' } }]);
  });

  it('never sees what cannot be decoded, and is not held up by it', async () => {
    const batches: unknown[][] = [];
    const connection = faults.connect();
    connection.subscribeBatch({ queue: 'work', batch: { size: 2, waitMs: 10_000 } }, (payloads) => {
      batches.push(payloads);
    });
    await started(connection);
    const { channel } = await bareClient(faults);
    for (const body of ['1', '{', '2']) channel.sendToQueue('work', Buffer.from(body));
    await until('all are settled', () => counters(connection).acked === 3);
    expect(batches).toEqual([[1, 2]]);
    expect(counters(connection).deadLettered).toBe(1);
  });

  it('loses nothing when the link is lost in the middle of a batch, or of gathering one', async () => {
    const connection = faults.connect();
    const seen: string[] = [];
    let letGo = (): void => undefined;
    const hold = new Promise<void>((resolve) => (letGo = resolve));
    connection.subscribeBatch<{ id: string }>(
      { queue: 'work', batch: { size: 10, waitMs: 60_000 } },
      async (all, batch) => {
        seen.push(...all.map(({ id }) => id));
        if (seen.length === 10) await hold;
        for (const [i, delivery] of batch.deliveries.entries()) faults.oracle.consume(all[i], delivery);
      },
    );
    await started(connection);
    await Promise.all(upTo(15).map((i) => faults.oracle.publish(connection, '', 'work', `m${i}`)));
    await until('a batch is in hand, and half of the next one', () => counters(connection).delivered === 15);
    await faults.broker.closeAllConnections('maintenance');
    await until('all came again', () => counters(connection).delivered === 30);
    letGo();
    await Promise.all(upTo(5).map((i) => faults.oracle.publish(connection, '', 'work', `m${15 + i}`)));
    await faults.oracle.expectNothingLost();
    await until('all are acked', () => counters(connection).acked === 20);
    expect(counters(connection).staleSettlements).toBe(10);
  });

  it('gives back at close what it has gathered', async () => {
    const connection = faults.connect();
    let calls = 0;
    connection.subscribeBatch({ queue: 'work', batch: { size: 10, waitMs: 60_000 } }, () => void (calls += 1));
    await started(connection);
    await publish(connection, upTo(3));
    await until('they were delivered', () => counters(connection).delivered === 3);
    await connection.close({ drainTimeoutMs: 1_000 });
    expect(calls).toBe(0);
    expect((await faults.broker.listQueues(faults.vhost.name))[0]).toMatchObject({ name: 'work', messages: 3 });
  });

  it('moves every message of a batch away whose handler does not end', async () => {
    const connection = faults.connect();
    const aborted: boolean[] = [];
    connection.subscribeBatch(
      { queue: 'work', batch: { size: 3, waitMs: 60_000 }, handlerTimeoutMs: 150 },
      async (_, { signal }) => {
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        aborted.push(signal.aborted);
      },
    );
    await started(connection);
    await publish(connection, upTo(3));
    await until('all were moved', () => counters(connection).deadLettered === 3);
    await until('the handler was told', () => aborted.length === 1);
  });
});
