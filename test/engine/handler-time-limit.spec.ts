import { describe, expect, it } from '@jest/globals';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import type { Delivery } from '#engine/consuming/delivery/delivery.js';
import { describeEvent } from '#engine/reporting/event-sentences.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

/** Resolves when the signal aborts, with the code of its reason. */
const untilAborted = (signal: AbortSignal): Promise<unknown> =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve((signal.reason as { code?: unknown }).code)));

describe('when a handler does not end', () => {
  const faults = useFaults();
  const counters = (connection: RmqConnection) => connection.status().counters;

  it('tells it so, moves its delivery away, and goes on with the next one', async () => {
    const told: unknown[] = [];
    const seen: number[] = [];
    const connection = faults.connect();
    connection.subscribe<number>(
      { queue: 'work', handlerTimeoutMs: 200, concurrency: 1 },
      async (number, { signal }) => {
        seen.push(number);
        if (number > 0) return;
        told.push(await untilAborted(signal));
        await new Promise(() => undefined);
      },
    );
    await started(connection);
    for (let i = 0; i < 3; i++) await connection.publisher.sendToQueue('work', i);
    await until('all are settled', () => counters(connection).acked === 3);
    expect(seen).toEqual([0, 1, 2]);
    expect(told).toEqual(['RMQ_HANDLER_TIMEOUT']);
    expect(counters(connection)).toMatchObject({ deadLettered: 1, handlersRunning: 0 });
    const [failed] = faults.oracle.eventsOf('handler-failed');
    expect(failed?.event.cause).toMatchObject({ code: 'RMQ_HANDLER_TIMEOUT', timeoutMs: 200, subscription: 'work' });
    expect(describeEvent(failed!.event)?.sentence).toMatch(
      /^The handler of "work" failed on message \S+: No end within handlerTimeoutMs \(200 ms\)\. Let the handler end when delivery\.signal aborts, or raise the limit; the message goes to "work\.dead"$/,
    );
  });

  it('is warned of at boot where a full prefetch would outlast the ack timeout, and not for a prefetch that fits', async () => {
    const connection = faults.connect({ ackTimeoutMs: 60_000 });
    connection.subscribe({ queue: 'fits', handlerTimeoutMs: 10_000, concurrency: 1, prefetch: 6 }, () => undefined);
    connection.subscribe({ queue: 'work', handlerTimeoutMs: 10_000, concurrency: 1, prefetch: 7 }, () => undefined);
    await started(connection);
    expect(faults.oracle.eventsOf('subscription-doubtful')).toMatchObject([
      { event: { subscription: 'work', doubt: expect.stringMatching(/Use prefetch: 6/) } },
    ]);
  });

  it('drops what the late handler still says, and counts it', async () => {
    const late: unknown[] = [];
    let letGo = (): void => undefined;
    const hold = new Promise<void>((resolve) => (letGo = resolve));
    const connection = faults.connect();
    connection.subscribe({ queue: 'work', handlerTimeoutMs: 150 }, async (_, delivery) => {
      await hold;
      late.push(delivery.isSettled, delivery.requeue());
    });
    await started(connection);
    await connection.publisher.sendToQueue('work', {});
    await until('it was moved', () => counters(connection).deadLettered === 1);
    letGo();
    await until('both late settlements are counted', () => counters(connection).staleSettlements === 2);
    expect(late).toEqual([true, false]);
    expect(counters(connection)).toMatchObject({ acked: 1, requeued: 0 });
    const queues = await faults.broker.listQueues(faults.vhost.name);
    expect(Object.fromEntries(queues.map(({ name, messages }) => [name, messages]))).toEqual({
      work: 0,
      'work.dead': 1,
    });
  });

  it("holds a forgotten delivery to the same limit with ack: 'manual'", async () => {
    const held: Delivery[] = [];
    const connection = faults.connect();
    connection.subscribe(
      { queue: 'work', ack: 'manual', handlerTimeoutMs: 200 },
      (_, delivery) => void held.push(delivery),
    );
    await started(connection);
    await connection.publisher.sendToQueue('work', {});
    await until('it was moved', () => counters(connection).deadLettered === 1);
    expect(held[0]!.ack()).toBe(false);
    expect(held[0]!.signal.aborted).toBe(true);
    expect(held[0]!.signal.reason).toMatchObject({
      message: expect.stringMatching(/^Not settled within .*Call ack\(\)/),
    });
  });

  it('leaves those alone that are within their time, however many came before', async () => {
    const connection = faults.connect();
    // Twelve rounds of 0.2 s: all of them together take longer than one may.
    connection.subscribe({ queue: 'work', handlerTimeoutMs: 2_000, prefetch: 5 }, async () => {
      await new Promise((resolve) => setTimeout(resolve, 200));
    });
    await started(connection);
    for (let i = 0; i < 60; i++) await connection.publisher.sendToQueue('work', {});
    await until('all are acked', () => counters(connection).acked === 60);
    expect(counters(connection)).toMatchObject({ deadLettered: 0, staleSettlements: 0 });
  });

  it('control: without a limit the delivery is in hand for ever, and the next one waits behind it', async () => {
    const seen: number[] = [];
    const connection = faults.connect();
    connection.subscribe<number>({ queue: 'work', handlerTimeoutMs: false, concurrency: 1 }, (number) => {
      seen.push(number);
      return new Promise(() => undefined);
    });
    await started(connection);
    for (let i = 0; i < 3; i++) await connection.publisher.sendToQueue('work', i);
    await until('all were delivered', () => counters(connection).delivered === 3);
    expect(seen).toEqual([0]);
    expect(counters(connection)).toMatchObject({ acked: 0, deadLettered: 0, handlersRunning: 1 });
  });

  it('tells it when its link is lost, for its message comes again', async () => {
    const told: unknown[] = [];
    const connection = faults.connect();
    connection.subscribe({ queue: 'work' }, async (_, { redelivered, signal }) => {
      if (!redelivered) told.push(await untilAborted(signal));
    });
    await started(connection);
    await connection.publisher.sendToQueue('work', {});
    await until('it is in hand', () => counters(connection).handlersRunning === 1);
    await faults.broker.closeAllConnections('maintenance');
    await until('the other one is acked', () => counters(connection).acked === 1);
    expect(told).toEqual(['RMQ_LINK_LOST']);
  });

  it('tells it when the connection closes and can wait no longer', async () => {
    const told: unknown[] = [];
    const connection = faults.connect();
    connection.subscribe({ queue: 'work' }, async (_, { signal }) => void told.push(await untilAborted(signal)));
    await started(connection);
    await connection.publisher.sendToQueue('work', {});
    await until('it is in hand', () => counters(connection).handlersRunning === 1);
    const report = await connection.close({ drainTimeoutMs: 100 });
    expect(report).toMatchObject({ handlersFinished: 0, deliveriesReturned: 1 });
    await until('it was told', () => told.length === 1);
    expect(told).toEqual(['RMQ_CLOSED']);
  });

  it('keeps its limit when its link is lost, so that what waits without acks begins', async () => {
    let begun = 0;
    const connection = faults.connect();
    connection.subscribe({ queue: 'work', ack: 'none', concurrency: 1, handlerTimeoutMs: 1_000 }, () => {
      begun += 1;
      return new Promise(() => undefined);
    });
    await started(connection);
    for (let i = 0; i < 3; i++) await connection.publisher.sendToQueue('work', i);
    await until('all came, and one runs', () => counters(connection).delivered === 3 && begun > 0);
    await faults.broker.closeAllConnections('maintenance');
    await until('all of them began', () => begun === 3);
    // They are nobody's to settle any more; that they took too long is said all the same.
    await until('each is reported', () => faults.oracle.eventsOf('handler-failed').length === 3);
    expect(counters(connection).handlersRunning).toBe(0);
  });

  it('keeps its limit when its link is lost, so that nobody waits for it at the end', async () => {
    let begun = 0;
    const connection = faults.connect();
    connection.subscribe({ queue: 'work', handlerTimeoutMs: 500 }, () => {
      begun += 1;
      return begun === 1 ? new Promise(() => undefined) : undefined;
    });
    await started(connection);
    await connection.publisher.sendToQueue('work', {});
    await until('it runs', () => begun === 1);
    await faults.broker.closeAllConnections('maintenance');
    await until('its message came again, and was handled', () => counters(connection).acked === 1);
    await until('the first one was given up', () => counters(connection).handlersRunning === 0);
  });
});
