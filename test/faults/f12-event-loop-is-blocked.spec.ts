import { describe, expect, it } from '@jest/globals';
import { connect as connectManager } from 'amqp-connection-manager';
import type { ConsumeMessage } from 'amqplib';
import { describeEvent } from '#engine/reporting/event-sentences.js';
import { RmqConnection } from '#engine/connection/rmq-connection.js';
import { heartbeatPlan, type HeartbeatVerdict, heartbeatVerdict } from '#engine/heartbeat/heartbeat-policy.js';
import { heardCall, openCalls } from '../support/calls.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

/** Short, so that the tests are: RabbitMQ drops a client after two to three of it in silence, we a broker after one and a half. */
const TIMEOUT_SECONDS = 2;
const THE_BROKERS_IS_OVER_MS = TIMEOUT_SECONDS * 4_000;
/** Between our patience and the broker's is half of it: enough that a busy machine does not end the broker's as well. */
const LONGER_TIMEOUT_SECONDS = 4;
const OURS_IS_OVER_MS = LONGER_TIMEOUT_SECONDS * 1_500 + 200;
const BACK_WITHIN_MS = 2_000;
/** More than a broker needs for a confirm when the machine is busy. */
const BEYOND_MS = 1_500;

describe('F12: when a handler blocks the event loop', () => {
  const faults = useFaults();
  const heartbeat = { timeoutSeconds: TIMEOUT_SECONDS };

  /** Publishes without a connection of this process, which would be blocked as well. */
  const put = async (...ids: string[]): Promise<void> => {
    const publisher = new RmqConnection({ urls: faults.vhost.url });
    publisher.addTopology({ queues: [{ name: 'work' }] });
    await publisher.start();
    for (const id of ids) await publisher.publisher.sendToQueue('work', { id }, { messageId: id });
    await publisher.close();
  };
  const idOf = (payload: unknown): string => (payload as { id: string }).id;
  const atBroker = async (): Promise<string[]> =>
    (await faults.broker.listConnections(faults.vhost.name)).map(({ pid }) => pid);
  const inQueue = async (): Promise<{ all: number; unacked: number } | undefined> => {
    const queue = (await faults.broker.listQueues(faults.vhost.name)).find(({ name }) => name === 'work');
    return queue && { all: queue.messages, unacked: queue.messagesUnacknowledged };
  };

  describe("for longer than our patience, but not the broker's", () => {
    it('keeps the connection: what the broker sent meanwhile is read before it is judged', async () => {
      const connection = faults.connect({ heartbeat: { timeoutSeconds: LONGER_TIMEOUT_SECONDS } });
      let verdictAtWakeUp: HeartbeatVerdict | undefined;
      connection.subscribe({ queue: 'work' }, async (payload, delivery) => {
        // The worst instant: not in the turn that read the delivery, and all that was read has been looked at.
        await new Promise<void>((resolve) => {
          setImmediate(() => {
            if (verdictAtWakeUp === undefined) {
              connection.status();
              blockEventLoop(OURS_IS_OVER_MS);
              verdictAtWakeUp = hastyVerdict(connection);
            }
            resolve();
          });
        });
        faults.oracle.consume(payload, delivery);
      });
      await connection.start();
      await connection.whenOpen({ timeoutMs: 5_000 });
      const before = await atBroker();
      await put('blocker', 'follower');
      await until('both messages were consumed', () => faults.oracle.consumed.size === 2, { timeoutMs: 15_000 });
      const stall = await until('the stall was noticed', () => faults.oracle.eventsOf('event-loop-stalled')[0]);

      // Long enough for a verdict that was only late.
      const wokeAt = performance.now();
      await until('another timeout has passed', () => performance.now() - wokeAt > LONGER_TIMEOUT_SECONDS * 1_000);
      expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
      expect(await atBroker()).toEqual(before);
      expect(faults.oracle.duplicates).toBe(0);
      expect(stall.event.stalledForMs).toBeGreaterThan(OURS_IS_OVER_MS - LONGER_TIMEOUT_SECONDS * 1_000);
      expect(describeEvent(stall.event)?.sentence).toMatch(/event loop was blocked for \d\.\d s/);
      expect(connection.status()).toMatchObject({
        state: { name: 'open' },
        reconnects: 0,
        eventLoop: { stalls: expect.any(Number), longestStallMs: stall.event.stalledForMs },
      });
      // Control: the same policy, asked at the wake-up before the sockets were read, raises the false alarm.
      expect(verdictAtWakeUp).toBe('peer-is-dead');
    });
  });

  describe('for longer than a publish may take', () => {
    it('counts the confirm that came meanwhile, though the time limit is over at the wake-up', async () => {
      const connection = faults.connect({ heartbeat: { timeoutSeconds: 60 } });
      connection.addTopology({ queues: [{ name: 'work' }] });
      await connection.start();
      await connection.whenOpen({ timeoutMs: 5_000 });
      await connection.publisher.sendToQueue('work', { id: 'first' });
      for (const timeoutMs of [200, 500]) {
        let isConfirmed = false;
        const publish = connection.publisher.sendToQueue('work', { id: `${timeoutMs}` }, { timeoutMs });
        const outcome = publish.then(
          () => (isConfirmed = true),
          (error: Error) => error,
        );
        // Control: a timer of the same length that does not look at the sockets first, as the limit would be without it.
        const hasty = new Promise((resolve) => setTimeout(() => resolve(isConfirmed), timeoutMs));
        // It has been written, and no socket was read since.
        setImmediate(() => blockEventLoop(timeoutMs + BEYOND_MS));
        expect(await hasty).toBe(false);
        expect(await outcome).toBe(true);
      }
      expect(connection.status().counters.publishFailed).toBe(0);
    });
  });

  describe('for longer than a call may take', () => {
    it('hears the answer that came meanwhile, though the time limit is over at the wake-up', async () => {
      const connection = faults.connect({ heartbeat: { timeoutSeconds: 60 } });
      await connection.start();
      await connection.whenOpen({ timeoutMs: 5_000 });
      const calls = openCalls(connection, { name: 'test' });
      // The broker answers itself, so that no other process has to: nobody takes it.
      const call = (timeoutMs: number) => heardCall(calls, 'nowhere', '', { timeoutMs });
      expect(await call(10_000).over).toMatchObject({ code: 'RMQ_RPC_UNROUTABLE' });
      for (const timeoutMs of [200, 500]) {
        const { over, ends } = call(timeoutMs);
        // Control: a timer of the same length that does not look at the sockets first, as the limit would be without it.
        const hasty = new Promise((resolve) => setTimeout(() => resolve(ends.length), timeoutMs));
        setImmediate(() => blockEventLoop(timeoutMs + BEYOND_MS));
        expect(await hasty).toBe(0);
        expect(await over).toMatchObject({ code: 'RMQ_RPC_UNROUTABLE' });
      }
    });
  });

  describe("for longer than the broker's patience", () => {
    /** The first delivery blocks, and is done only when its message has come again; the second one waits to be released. */
    const scene = () => {
      const seen: { id: string; redelivered: boolean }[] = [];
      let wokeAt = 0;
      let isReleased = false;
      const handle = async (id: string, redelivered: boolean): Promise<void> => {
        seen.push({ id, redelivered });
        if (seen.length === 1) {
          blockEventLoop(THE_BROKERS_IS_OVER_MS);
          wokeAt = performance.now();
          await until('the message came again', () => seen.length === 2, { everyMs: 5 });
          return;
        }
        if (seen.length === 2) await until('it may finish', () => isReleased, { timeoutMs: 20_000 });
      };
      return { seen, handle, wokeAt: () => wokeAt, release: () => (isReleased = true) };
    };

    it('is back within two seconds of the wake-up, says why, and acks nothing on the wrong channel', async () => {
      const { seen, handle, wokeAt, release } = scene();
      const connection = faults.connect({ heartbeat });
      connection.subscribe({ queue: 'work', prefetch: 1 }, (payload, delivery) =>
        handle(idOf(payload), delivery.redelivered),
      );
      await connection.start();
      await connection.whenOpen({ timeoutMs: 5_000 });
      const before = await atBroker();
      await put('first', 'second');

      await until('the first message came again', () => seen.length === 2, {
        timeoutMs: THE_BROKERS_IS_OVER_MS + 10_000,
        everyMs: 5,
      });
      expect(faults.tookMs(wokeAt())).toBeLessThanOrEqual(BACK_WITHIN_MS);
      expect(seen).toEqual([
        { id: 'first', redelivered: false },
        { id: 'first', redelivered: true },
      ]);
      expect(await atBroker()).not.toEqual(before);
      const [stall] = faults.oracle.eventsOf('event-loop-stalled');
      expect(stall!.event.stalledForMs).toBeGreaterThan(THE_BROKERS_IS_OVER_MS - TIMEOUT_SECONDS * 1_000);

      await until('the late ack was dropped', () => connection.status().counters.staleSettlements === 1);
      expect(await inQueue()).toEqual({ all: 2, unacked: 1 });
      release();
      await until('both are acked', async () => (await inQueue())?.all === 0);
      expect(seen.map(({ id }) => id)).toEqual(['first', 'first', 'second']);
      expect(faults.oracle.eventsOf('consumer-lost')).toHaveLength(1);
      await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, ['work']);
    }, 40_000);

    it("control: amqp-connection-manager's late ack takes away the message that is being worked on again", async () => {
      const { seen, handle, release } = scene();
      await put('first', 'second');
      const manager = connectManager(faults.vhost.url, {
        heartbeatIntervalInSeconds: TIMEOUT_SECONDS,
        reconnectTimeInSeconds: 0.1,
      });
      faults.afterwards(() => manager.close());
      const channel = manager.createChannel();
      const consume = async (message: ConsumeMessage): Promise<void> => {
        await handle(idOf(JSON.parse(message.content.toString())), message.fields.redelivered);
        channel.ack(message);
      };
      await channel.consume('work', (message) => void consume(message), { prefetch: 1 });

      await until('the first message came again', () => seen.length >= 2, {
        timeoutMs: THE_BROKERS_IS_OVER_MS + 10_000,
      });
      await until('the first message is gone, with nobody done with it', async () => ((await inQueue())?.all ?? 2) < 2);
      release();
    }, 40_000);
  });
});

/** What the heartbeat policy says to the ages as they are now, without another look at the sockets. */
function hastyVerdict(connection: RmqConnection): HeartbeatVerdict {
  const link = connection.status().links.find(({ role }) => role === 'consuming')!;
  const timeoutSeconds = LONGER_TIMEOUT_SECONDS;
  const activity = { lastReceivedAt: -link.lastByteReceivedAgoMs!, lastSentAt: -link.lastByteSentAgoMs! };
  return heartbeatVerdict(activity, heartbeatPlan(timeoutSeconds, { timeoutSeconds }), 0);
}

/** Nothing of this process runs meanwhile: no timer, no socket. It costs no processor time, unlike a busy loop. */
function blockEventLoop(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
