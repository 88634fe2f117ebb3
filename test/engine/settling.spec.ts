import { describe, expect, it } from '@jest/globals';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import type { Delivery } from '#engine/consuming/delivery/delivery.js';
import { Settlement } from '#engine/consuming/delivery/settlement.js';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';
import { passed, recordingProxy } from '../support/wire.js';

describe('who settles a delivery', () => {
  const faults = useFaults();
  const messages = async (queue: string): Promise<{ messages: number; messagesUnacknowledged: number } | undefined> =>
    (await faults.broker.listQueues(faults.vhost.name)).find(({ name }) => name === queue);
  const counters = (connection: RmqConnection) => connection.status().counters;

  async function publish(connection: RmqConnection, count: number, queue = 'work'): Promise<void> {
    await Promise.all(
      Array.from({ length: count }, (_, i) => faults.oracle.publish(connection, '', queue, `${queue}-${i}`)),
    );
  }

  describe('we do, by default', () => {
    it('with far fewer acks than messages, none of which covers a message that is still being handled', async () => {
      const proxy = await recordingProxy(faults);
      const connection = faults.connect({ urls: proxy.url(faults.vhost.url) });
      let letGo = (): void => undefined;
      const hold = new Promise<void>((resolve) => (letGo = resolve));
      connection.subscribe<{ id: string }>({ queue: 'work', prefetch: 100 }, async (payload, delivery) => {
        if (payload.id === 'work-150') await hold;
        faults.oracle.consume(payload, delivery);
      });
      await started(connection);
      await publish(connection, 500);
      await until('all but one are acked', () => counters(connection).acked === 499);
      await until('one is in hand', async () => (await messages('work'))?.messages === 1);
      const first = passed(proxy, 'basic.ack').filter(({ fields }) => fields['multiple']);
      expect(first.length).toBeGreaterThan(0);

      // Nothing covered it: it comes again.
      await faults.broker.closeAllConnections('maintenance');
      await until(
        'it came again',
        () => faults.oracle.consumed.has('work-150') || counters(connection).delivered === 501,
      );
      letGo();
      await faults.oracle.expectNothingLost();
      await until('the queue is empty', async () => (await messages('work'))?.messages === 0);
      expect(counters(connection)).toMatchObject({ delivered: 501, acked: 500, staleSettlements: 1 });
    });

    it('one by one where an older delivery is still in hand', async () => {
      const proxy = await recordingProxy(faults);
      const connection = faults.connect({ urls: proxy.url(faults.vhost.url) });
      let letGo = (): void => undefined;
      const hold = new Promise<void>((resolve) => (letGo = resolve));
      let seen = 0;
      connection.subscribe({ queue: 'work' }, async () => {
        if (++seen === 1) await hold;
      });
      await started(connection);
      await publish(connection, 10);
      await until('nine acks went out', () => passed(proxy, 'basic.ack').length === 9);
      const acks = passed(proxy, 'basic.ack').map(({ fields }) => fields);
      expect(acks.map(({ multiple }) => multiple)).toEqual(Array.from({ length: 9 }, () => false));
      expect(acks.map(({ deliveryTag }) => deliveryTag)).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10]);
      letGo();
      await until('the queue is empty', async () => (await messages('work'))?.messages === 0);
    });

    it('and counts an ack that its link did not live to carry as stale', async () => {
      const connection = faults.connect();
      let killed = 0;
      connection.subscribe({ queue: 'work' }, async (payload, delivery) => {
        faults.oracle.consume(payload, delivery);
        if (killed++ > 0) return;
        await faults.broker.killConnections();
        await until('the link is lost', () => !delivery.isLive);
      });
      await started(connection);
      await faults.oracle.publish(connection, '', 'work', 'm1');
      await until('the second one is acked', () => counters(connection).acked === 1);
      expect(counters(connection)).toMatchObject({ delivered: 2, acked: 1, staleSettlements: 1 });
      expect(faults.oracle.eventsOf('stale-settlement')).toHaveLength(1);
    });

    it('before the channel is closed: what the last turn acked does not come again', async () => {
      const connection = faults.connect();
      connection.subscribe({ queue: 'work', prefetch: 100 }, (payload, delivery) => {
        faults.oracle.consume(payload, delivery);
        if (faults.oracle.consumed.size === 100) void connection.close();
      });
      await started(connection);
      await publish(connection, 100);
      await until('it is closed', () => connection.state.name === 'closed');
      expect(faults.oracle.consumed.size).toBe(100);
      expect(await messages('work')).toMatchObject({ messages: 0 });
    });
  });

  describe("the holder does (ack: 'manual')", () => {
    it('when the handler has long returned, in any order and in every way', async () => {
      const held: Delivery[] = [];
      const connection = faults.connect();
      connection.subscribe({ queue: 'work', ack: 'manual', prefetch: 4 }, (_, delivery) => void held.push(delivery));
      await started(connection);
      await publish(connection, 4);
      await until('all are in hand', () => held.length === 4);
      await until('nothing is settled', async () => (await messages('work'))?.messagesUnacknowledged === 4);
      expect(counters(connection).handlersRunning).toBe(4);
      expect(held[3]!.ack()).toBe(true);
      expect(held[0]!.reject()).toBe(true);
      expect(held[1]!.requeue()).toBe(true);
      await until('the requeued one came again', () => held.length === 5);
      expect(held[4]!.redelivered).toBe(true);
      expect(held[2]!.ack() && held[4]!.ack()).toBe(true);
      expect(held[2]!.ack()).toBe(false);
      await until('all are settled', () => counters(connection).acked === 3);
      expect(counters(connection)).toMatchObject({ requeued: 1, rejected: 1, handlersRunning: 0 });
      expect(await messages('work')).toMatchObject({ messages: 0 });
    });

    it('unless the handler throws, or returns a Settlement', async () => {
      const connection = faults.connect();
      connection.subscribe<{ id: string }>({ queue: 'work', ack: 'manual' }, ({ id }) => {
        if (id === 'work-0') throw new Error('broken');
        return Settlement.reject();
      });
      await started(connection);
      await publish(connection, 2);
      await until('both were moved', () => counters(connection).deadLettered === 2);
      await until('they are acked', async () => (await messages('work'))?.messages === 0);
    });

    it('and is waited for at close; what is not settled by then goes back', async () => {
      const held: Delivery[] = [];
      const connection = faults.connect();
      connection.subscribe({ queue: 'work', ack: 'manual' }, (_, delivery) => void held.push(delivery));
      await started(connection);
      await publish(connection, 2);
      await until('both are in hand', () => held.length === 2);
      const closing = connection.close({ drainTimeoutMs: 500 });
      expect(held[0]!.ack()).toBe(true);
      const report = await closing;
      expect(report).toMatchObject({ handlersFinished: 1, deliveriesReturned: 1 });
      expect(held[1]!.signal.aborted).toBe(true);
      expect(await messages('work')).toMatchObject({ messages: 1 });
    });

    it('or nobody can: when its channel is lost, a delivery is no longer waited for', async () => {
      const held: Delivery[] = [];
      const connection = faults.connect();
      connection.subscribe({ queue: 'work', ack: 'manual' }, (_, delivery) => void held.push(delivery));
      await started(connection);
      await publish(connection, 3);
      await until('all are in hand', () => held.length === 3);
      await faults.broker.closeAllConnections('maintenance');
      await until('all came again', () => held.length === 6);
      expect(held.slice(0, 3).map((delivery) => [delivery.isLive, delivery.ack()])).toEqual(
        Array.from({ length: 3 }, () => [false, false]),
      );
      expect(counters(connection)).toMatchObject({ handlersRunning: 3, staleSettlements: 3 });
      for (const delivery of held.slice(3)) expect(delivery.ack()).toBe(true);
    });
  });

  describe("nobody does (ack: 'none')", () => {
    it('the message is gone from the queue before its handler runs, and a failure is only reported', async () => {
      const seen: Delivery[] = [];
      const connection = faults.connect();
      connection.subscribe({ queue: 'work', ack: 'none' }, (_, delivery) => {
        seen.push(delivery);
        throw new Error('broken');
      });
      await started(connection);
      await publish(connection, 3);
      const { channel } = await bareClient(faults);
      channel.sendToQueue('work', Buffer.from('{'));
      await until('all were reported', () => faults.oracle.eventsOf('handler-failed').length === 4);
      expect(seen.map((delivery) => [delivery.isSettled, delivery.ack(), delivery.requeue()])).toEqual(
        Array.from({ length: 3 }, () => [true, false, false]),
      );
      expect(await messages('work')).toMatchObject({ messages: 0, messagesUnacknowledged: 0 });
      expect(await messages('work.dead')).toBeUndefined();
      expect(counters(connection)).toMatchObject({ delivered: 4, acked: 0, deadLettered: 0, staleSettlements: 0 });
    });

    it('as many handlers run as were asked for, and what cannot wait is dropped and counted', async () => {
      let letGo = (): void => undefined;
      const hold = new Promise<void>((resolve) => (letGo = resolve));
      let running = 0;
      let most = 0;
      let done = 0;
      const connection = faults.connect();
      connection.subscribe({ queue: 'work', ack: 'none', concurrency: 5 }, async () => {
        most = Math.max(most, ++running);
        await hold;
        running -= 1;
        done += 1;
      });
      await started(connection);
      const { channel } = await bareClient(faults);
      for (let i = 0; i < 10_020; i++) channel.sendToQueue('work', Buffer.from('1'));
      await until('all came', () => counters(connection).delivered === 10_020, { timeoutMs: 20_000 });
      expect(counters(connection).dropped).toBe(15);
      expect(faults.oracle.eventsOf('deliveries-dropped').map(({ event }) => event.dropped)).toEqual([1, 10]);
      letGo();
      await until('the others were handled', () => done === 10_005);
      expect(most).toBe(5);
    });

    it('what runs or waits when the connection closes is finished, for nobody has it but us', async () => {
      let done = 0;
      const connection = faults.connect();
      connection.subscribe({ queue: 'work', ack: 'none', concurrency: 1 }, async () => {
        await new Promise((resolve) => setTimeout(resolve, 5));
        done += 1;
      });
      await started(connection);
      await publish(connection, 50);
      await until('all came', () => counters(connection).delivered === 50);
      await connection.close({ drainTimeoutMs: 5_000 });
      expect(done).toBe(50);
    });
  });
});
