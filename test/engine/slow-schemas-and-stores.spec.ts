/** Between arrival and handler a delivery may wait for a schema or for a store; what happens meanwhile must count. */
import { describe, expect, it } from '@jest/globals';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { defineEvent, type EventContract } from '#engine/contracts/event.js';
import type { StandardSchema } from '#engine/contracts/standard-schema.js';
import type { DeduplicationStore } from '#engine/consuming/options/deduplication-store.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

type Answer = ReturnType<StandardSchema['~standard']['validate']>;

/** An event to queue `work` whose schema answers as the spec says. */
function eventWith(validate: (value: unknown) => Answer): EventContract {
  const schema: StandardSchema = { '~standard': { version: 1, vendor: 'spec', validate } };
  return defineEvent({ exchange: '', routingKey: 'work', schema });
}

describe('what waits before a handler', () => {
  const faults = useFaults();
  const counters = (connection: RmqConnection) => connection.status().counters;

  it('keeps the order of arrival, whichever schema answers first', async () => {
    let letGo = (): void => undefined;
    const hold = new Promise<void>((resolve) => (letGo = resolve));
    const asked: unknown[] = [];
    const event = eventWith(async (value) => {
      asked.push(value);
      if (value === 0) await hold;
      return { value };
    });
    const seen: unknown[] = [];
    const connection = faults.connect();
    connection.subscribe({ queue: 'work', event, orderedBy: () => 'one' }, (number) => void seen.push(number));
    await started(connection);
    for (let i = 0; i < 4; i++) await connection.publisher.sendToQueue('work', i);
    await until('all were asked for', () => asked.length === 4);
    letGo();
    await until('all were handled', () => counters(connection).acked === 4);
    expect(seen).toEqual([0, 1, 2, 3]);
  });

  it('does not begin once its delivery went back at the end of the drain', async () => {
    let letGo = (): void => undefined;
    const hold = new Promise<void>((resolve) => (letGo = resolve));
    let isAsked = false;
    let hasAnswered = false;
    const event = eventWith(async (value) => {
      isAsked = true;
      await hold;
      hasAnswered = true;
      return { value };
    });
    const seen: unknown[] = [];
    const connection = faults.connect();
    connection.subscribe({ queue: 'work', event }, (payload) => void seen.push(payload));
    await started(connection);
    await connection.publisher.sendToQueue('work', 'late');
    await until('the schema was asked', () => isAsked);
    expect(await connection.close({ drainTimeoutMs: 100 })).toMatchObject({ deliveriesReturned: 1 });
    letGo();
    await until('it has answered', () => hasAnswered);
    // Whatever would begin now begins behind that answer.
    await new Promise((resolve) => setImmediate(resolve));
    expect(seen).toEqual([]);
  });

  it('has the time limit of a handler when it waits for a schema that never answers, and holds up nobody for longer', async () => {
    const event = eventWith((value) => (value === 'stuck' ? new Promise<never>(() => undefined) : { value }));
    const seen: unknown[] = [];
    const connection = faults.connect();
    connection.subscribe({ queue: 'work', event, handlerTimeoutMs: 200 }, (payload) => void seen.push(payload));
    await started(connection);
    for (const payload of ['stuck', 'next']) await connection.publisher.sendToQueue('work', payload);
    await until('both are settled', () => counters(connection).acked === 2);
    expect(seen).toEqual(['next']);
    expect(counters(connection)).toMatchObject({ deadLettered: 1 });
    expect(faults.oracle.eventsOf('handler-failed')[0]?.event.cause).toMatchObject({ code: 'RMQ_HANDLER_TIMEOUT' });
  });

  it('is late rather than dead-lettered while the store of deduplicate fails for longer than a handler may take', async () => {
    let isBroken = true;
    const store: DeduplicationStore = {
      claim: () => (isBroken ? Promise.reject(new Error('store down')) : Promise.resolve('new')),
      done: () => undefined,
      release: () => undefined,
    };
    const seen: unknown[] = [];
    const connection = faults.connect();
    connection.subscribe(
      { queue: 'work', handlerTimeoutMs: 200, deduplicate: { ttlMs: 60_000, store } },
      (payload) => void seen.push(payload),
    );
    await started(connection);
    await connection.publisher.sendToQueue('work', 'once');
    // The second failure comes a second after the first: five times the limit of a handler.
    await until('it failed twice', () => faults.oracle.eventsOf('deduplication-failed').length >= 2);
    const [failed] = faults.oracle.eventsOf('deduplication-failed');
    expect(failed?.event.cause).toMatchObject({ code: 'RMQ_DEDUPLICATION_FAILED' });
    isBroken = false;
    await until('it was handled', () => counters(connection).acked === 1);
    expect(seen).toEqual(['once']);
    expect(counters(connection)).toMatchObject({ deadLettered: 0 });
  });

  it('does not wait for a handler that ran out of its time, when it is the next attempt of its message', async () => {
    const attempts: number[] = [];
    const connection = faults.connect();
    connection.subscribe(
      {
        queue: 'work',
        handlerTimeoutMs: 200,
        retry: { attempts: 3, firstDelayMs: 100, factor: 1 },
        deduplicate: { ttlMs: 60_000 },
      },
      (_, { attempt }) => {
        attempts.push(attempt);
        return attempt === 1 ? new Promise(() => undefined) : undefined;
      },
    );
    await started(connection);
    await connection.publisher.sendToQueue('work', 'again');
    await until('the next attempt is done', () => counters(connection).acked === 2, { timeoutMs: 15_000 });
    expect(attempts).toEqual([1, 2]);
    expect(counters(connection)).toMatchObject({ deadLettered: 0, retried: 1, duplicatesSkipped: 0 });
  });
});
