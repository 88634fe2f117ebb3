import { getEventListeners } from 'node:events';
import { describe, expect, it } from '@jest/globals';
import type { MessageToPublish, RmqPublisher } from 'nestjs-rmq-keepalive';
import { defineEvent } from '#engine/contracts/event.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

const faults = useFaults({ ownBroker: {} });

async function open(options: Parameters<typeof faults.connect>[0] = {}) {
  const connection = faults.connect({ topology: { queues: [{ name: 'work' }] }, ...options });
  await connection.start();
  await connection.whenOpen({ timeoutMs: 10_000 });
  return connection;
}

const toWork = (id: string): MessageToPublish => ({
  exchange: '',
  routingKey: 'work',
  payload: { id },
  options: { messageId: id },
});

/** Counts how far ahead of the confirms it was asked. */
function* watched(count: number, publisher: RmqPublisher, seen: { most: number }, inFlight: () => number) {
  for (let i = 0; i < count; i++) {
    seen.most = Math.max(seen.most, inFlight());
    expect(publisher.writable).toBe(true);
    yield toWork(`m${i}`);
  }
}

describe('when many messages are published', () => {
  it('are confirmed in order, and are taken only as fast as the bounds allow', async () => {
    const connection = await open({ outbox: { maxMessages: 100, whenFull: 'reject' } });
    const { publisher } = connection;
    const inFlight = (): number => connection.status().outbox.inFlight + connection.status().outbox.queued;
    for (const [maxInFlight, most] of [
      [10, 10],
      [1_000, 100],
    ] as const) {
      const seen = { most: 0 };
      const report = await publisher.publishMany(watched(1_000, publisher, seen, inFlight), { maxInFlight });
      expect(report).toEqual({ taken: 1_000, confirmed: 1_000, failures: [], endedEarlyBecause: undefined });
      expect(seen.most).toBeLessThanOrEqual(most);
    }
    const order: string[] = [];
    connection.subscribe({ queue: 'work' }, (payload) => void order.push((payload as { id: string }).id));
    await until('all arrived', () => order.length === 2_000);
    expect(order.slice(1_000)).toEqual(Array.from({ length: 1_000 }, (_, i) => `m${i}`));
  });

  it('report each failure by its index, whatever it is, and hide none', async () => {
    const { publisher } = await open({ publish: { maxMessageBytes: 1_000 } });
    const messages: MessageToPublish[] = Array.from({ length: 100 }, (_, i) => toWork(`m${i}`));
    messages[3] = { exchange: '', routingKey: 'nowhere', payload: 1 };
    messages[50] = { exchange: 'missing', routingKey: '', payload: 1 };
    messages[51] = { exchange: '', routingKey: 'work', payload: 'x'.repeat(2_000) };
    messages[52] = { event: defineEvent({ exchange: '', routingKey: 'work' }), payload: 1 };
    messages[60] = { exchange: '', routingKey: 'work', payload: 1n };
    messages[99] = null as never;
    const report = await publisher.publishMany(messages);
    expect(report).toMatchObject({ taken: 100, confirmed: 95, endedEarlyBecause: undefined });
    expect(report.failures.map(({ index, error }) => [index, (error as { code?: string }).code])).toEqual([
      [3, 'RMQ_PUBLISH_RETURNED'],
      [50, 'RMQ_PUBLISH_REFUSED'],
      [51, 'RMQ_PAYLOAD_TOO_LARGE'],
      [60, 'RMQ_PAYLOAD_NOT_ENCODABLE'],
      [99, 'RMQ_OPTIONS_INVALID'],
    ]);
  });

  it('wait through a lost link, and lose none', async () => {
    const connection = await open();
    connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    async function* slowly() {
      for (let i = 0; i < 2_000; i++) {
        if (i === 700 || i === 1_400) await faults.broker.closeAllConnections();
        yield toWork(`m${i}`);
      }
    }
    expect(await connection.publisher.publishMany(slowly(), { maxInFlight: 100 })).toMatchObject({ confirmed: 2_000 });
    await until('all arrived', () => faults.oracle.consumed.size === 2_000);
    expect(faults.oracle.unexplained).toEqual([]);
  });

  it('end early when the iterable throws, the signal fires, or too many fail, and account for all that was taken', async () => {
    const { publisher } = await open();
    const broken = new Error('no more rows');
    const reports = await Promise.all([
      publisher.publishMany(
        (function* () {
          yield* [toWork('a'), toWork('b')];
          throw broken;
        })(),
      ),
      publisher.publishMany(
        Array.from({ length: 100 }, (_, i) => ({ exchange: '', routingKey: `no-${i}`, payload: 1 })),
        {
          maxFailures: 5,
          maxInFlight: 1,
        },
      ),
    ]);
    expect(reports[0]).toEqual({ taken: 2, confirmed: 2, failures: [], endedEarlyBecause: broken });
    expect(reports[1]).toMatchObject({
      taken: 5,
      confirmed: 0,
      endedEarlyBecause: { message: '5 messages failed (maxFailures)' },
    });
    const controller = new AbortController();
    let isClosed = false;
    async function* endless() {
      try {
        for (let i = 0; ; i++) {
          if (i === 100) controller.abort(new Error('enough'));
          yield toWork(`m${i}`);
        }
      } finally {
        isClosed = true;
      }
    }
    const report = await publisher.publishMany(endless(), { signal: controller.signal });
    // The one during which it fired was taken already.
    expect(report).toMatchObject({ taken: 101, endedEarlyBecause: { message: 'enough' } });
    expect(report.confirmed + report.failures.length).toBe(101);
    expect(isClosed).toBe(true);
  });

  it('give up on the rest when the broker does not come back in time, and refuse what is no list', async () => {
    const connection = faults.connect({ urls: 'amqp://127.0.0.1:1' });
    const report = await connection.publisher.publishMany([toWork('a')], { readyTimeoutMs: 50 });
    expect(report).toMatchObject({ taken: 0, confirmed: 0, endedEarlyBecause: { code: 'RMQ_NOT_READY' } });
    await expect(connection.publisher.publishMany(7 as never)).rejects.toMatchObject({ code: 'RMQ_OPTIONS_INVALID' });
    await expect(connection.publisher.publishMany([], { maxInflight: 1 } as never)).rejects.toThrow(/"maxInFlight"/);
  });
});

describe('when a producer asks whether it may go on', () => {
  it('hears when there is room again, in the order of asking, no more of them than there is room', async () => {
    const proxy = await faults.proxy();
    const connection = await open({
      urls: proxy.url(faults.vhost.url),
      outbox: { maxMessages: 2, whenFull: 'reject' },
    });
    const { publisher } = connection;
    await proxy.refuse();
    proxy.reset();
    await until('the link is lost', () => connection.status().links[0]?.state !== 'open');
    const held = ['a', 'b'].map((id) => faults.oracle.publish(connection, '', 'work', id));
    expect(publisher.writable).toBe(false);
    await expect(publisher.whenReady({ timeoutMs: 20 })).rejects.toMatchObject({ code: 'RMQ_NOT_READY' });
    const asked = Array.from({ length: 20 }, async (_, i) => {
      await publisher.whenReady();
      await faults.oracle.publish(connection, '', 'work', `m${i}`);
    });
    await proxy.accept();
    await Promise.all([...held, ...asked]);
    expect(faults.oracle.rejected).toEqual([]);
    expect(faults.oracle.confirmed.size).toBe(22);
  });

  it('hears of its signal, and of the end', async () => {
    const connection = faults.connect({ urls: 'amqp://127.0.0.1:1' });
    const { publisher } = connection;
    await expect(publisher.whenReady({ signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow('no');
    const controller = new AbortController();
    const aborted = publisher.whenReady({ signal: controller.signal });
    const closed = publisher.whenReady();
    closed.catch(() => undefined);
    controller.abort(new Error('changed my mind'));
    await expect(aborted).rejects.toThrow('changed my mind');
    await connection.close();
    await expect(closed).rejects.toMatchObject({ code: 'RMQ_CLOSED' });
    await expect(publisher.whenReady()).rejects.toMatchObject({ code: 'RMQ_CLOSED' });
    expect(publisher.writable).toBe(false);
  });

  it('listens to a signal once, however many wait with it', async () => {
    const { publisher } = faults.connect({ urls: 'amqp://127.0.0.1:1' });
    const controller = new AbortController();
    const { signal } = controller;
    const waits = Array.from({ length: 100 }, () => publisher.whenReady({ signal }));
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    controller.abort();
    const outcomes = await Promise.allSettled(waits);
    expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(100);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });
});

describe('when the source of many misbehaves', () => {
  it('its silence is ended by the signal', async () => {
    const connection = await open();
    const controller = new AbortController();
    let isAsked = false;
    const silent: AsyncIterable<never> = {
      [Symbol.asyncIterator]: () => ({
        next: () => {
          isAsked = true;
          return new Promise(() => undefined);
        },
      }),
    };
    const report = connection.publisher.publishMany(silent, { signal: controller.signal });
    await until('it was asked', () => isAsked);
    controller.abort(new Error('enough'));
    expect(await report).toMatchObject({ taken: 0, endedEarlyBecause: { message: 'enough' } });
  });

  it('a throw from its end does not cost the report', async () => {
    const connection = await open();
    const failing = {
      [Symbol.iterator]: () => ({
        next: (): never => {
          throw new Error('the cursor is gone');
        },
        return: (): never => {
          throw new Error('and so is its end');
        },
      }),
    };
    expect(await connection.publisher.publishMany(failing)).toMatchObject({
      endedEarlyBecause: { message: 'the cursor is gone' },
    });
  });
});

describe('while the broker blocks publishers', () => {
  it('publishes wait, and are confirmed after the alarm; only their time limit ends the wait', async () => {
    const connection = await open();
    connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    await faults.broker.setMemoryAlarm('on');
    faults.afterwards(() => faults.broker.setMemoryAlarm('off'));
    // The broker blocks a connection when it publishes.
    const first = faults.oracle.publish(connection, '', 'work', 'first');
    await until('it is blocked', () => connection.status().blocked !== null);
    const waiting = Array.from({ length: 100 }, (_, i) => faults.oracle.publish(connection, '', 'work', `m${i}`));
    await expect(connection.publisher.whenReady({ timeoutMs: 20 })).rejects.toThrow(/blocks publishers/);
    await expect(connection.publisher.sendToQueue('work', 1, { timeoutMs: 300 })).rejects.toMatchObject({
      code: 'RMQ_PUBLISH_TIMEOUT',
      wasSent: false,
    });
    expect(connection.status().outbox).toMatchObject({ queued: 100 });
    await faults.broker.setMemoryAlarm('off');
    await Promise.all([first, ...waiting]);
    expect(faults.oracle.rejected).toEqual([]);
    await faults.oracle.expectNothingLost();
  });
});
