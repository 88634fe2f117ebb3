import { describe, expect, it } from '@jest/globals';
import type { Codec, PublishOptions } from 'nestjs-rmq-keepalive';
import { PublishError, RmqPublisher } from 'nestjs-rmq-keepalive';
import { z } from 'zod';
import { defineEvent } from '#engine/contracts/event.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

const faults = useFaults();

async function open(options: Parameters<typeof faults.connect>[0] = {}) {
  const connection = faults.connect({ topology: { queues: [{ name: 'work' }] }, ...options });
  await connection.start();
  await connection.whenOpen({ timeoutMs: 10_000 });
  return connection;
}

const rejectionOf = (published: Promise<unknown>): Promise<unknown> =>
  published.then(
    () => 'nothing',
    (thrown: unknown) => thrown,
  );

describe('a message that cannot be sent', () => {
  const address = { exchange: '', routingKey: 'work', messageId: 'm1' };

  it.each<[string, unknown, PublishOptions, object]>([
    ['is a cycle', Object.assign([], [[]]).concat([[]]), { headers: { f: () => 1 } }, { code: 'RMQ_PUBLISH_REFUSED' }],
    ['is a BigInt', 1n, {}, { code: 'RMQ_PAYLOAD_NOT_ENCODABLE' }],
    ['is too large', 'x'.repeat(1_000), {}, { code: 'RMQ_PAYLOAD_TOO_LARGE', bytes: 1_002, maxBytes: 1_000 }],
    ['has headers larger than a frame', 1, { headers: { a: 'x'.repeat(200_000) } }, { code: 'RMQ_PUBLISH_REFUSED' }],
  ])('because it %s names its address and nobody else is hurt', async (_, payload, options, expected) => {
    const connection = await open({ publish: { maxMessageBytes: 1_000 } });
    const before = connection.publisher.sendToQueue('work', 1);
    const error = await rejectionOf(connection.publisher.sendToQueue('work', payload, { ...options, messageId: 'm1' }));
    expect(error).toBeInstanceOf(PublishError);
    expect(error).toMatchObject({ ...expected, ...address });
    expect(String(error)).not.toMatch(/xxxx/);
    await Promise.all([before, connection.publisher.sendToQueue('work', 2)]);
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
    expect(connection.status().outbox).toMatchObject({ queued: 0, inFlight: 0, bytes: 0 });
  });

  it.each<[object, RegExp]>([
    [{ expiration: 1.5 }, /expiration/],
    [{ expiration: '1000' }, /expiration/],
    [{ timestamp: 5 }, /timestamp/],
    [{ headers: [] }, /headers/],
    [{ mandatory: 'yes' }, /mandatory/],
    [{ contentType: 'x'.repeat(256) }, /contentType/],
    [{ userId: 7 }, /userId/],
    [{ experation: 1 }, /Did you mean "expiration"/],
  ])('because of its options %j is refused before anything is dialled', async (options, why) => {
    const error = await rejectionOf(faults.connect().publisher.sendToQueue('work', 1, options as PublishOptions));
    expect(error).toMatchObject({ code: 'RMQ_OPTIONS_INVALID', message: expect.stringMatching(why) as unknown });
  });

  it('because its user is another than ours is refused alone', async () => {
    const connection = await open();
    const [guilty, ...innocent] = await Promise.allSettled([
      connection.publisher.sendToQueue('work', 1, { userId: 'somebody-else' }),
      ...Array.from({ length: 20 }, (_, i) => connection.publisher.sendToQueue('work', i)),
    ]);
    expect(guilty).toMatchObject({ status: 'rejected', reason: { code: 'RMQ_PUBLISH_REFUSED' } });
    expect(innocent.every(({ status }) => status === 'fulfilled')).toBe(true);
  });
});

describe('an event that is published by its contract', () => {
  const created = defineEvent({
    exchange: 'shop',
    routingKey: 'order.created',
    schema: z.object({ id: z.string(), at: z.iso.datetime().default('2026-01-01T00:00:00Z') }),
  });

  it('is checked, sent where the contract says, and as it was given', async () => {
    const connection = await open();
    const seen: unknown[] = [];
    connection.subscribe(
      { queue: 'orders', exchange: 'shop', routingKey: 'order.*' },
      (payload) => void seen.push(payload),
    );
    await until('it consumes', () => connection.status().consumers.attached === 1);
    await connection.publisher.publish(created, { id: '1' });
    await until('it arrived', () => seen.length === 1);
    expect(seen).toEqual([{ id: '1' }]);
    // @ts-expect-error the compiler sees it as well
    const wrong = connection.publisher.publish(created, { id: 1 });
    expect(await rejectionOf(wrong)).toMatchObject({ code: 'RMQ_PAYLOAD_INVALID', issues: [{ path: 'id' }] });
    expect(connection.status().counters).toMatchObject({ published: 1 });
  });
});

describe('a codec of the user’s own', () => {
  const reversed = (text: string): string => Array.from(text).toReversed().join('');
  const codec: Codec = {
    contentType: 'text/reversed',
    encode: (payload) => {
      if (typeof payload !== 'string') throw new TypeError(`cannot take ${JSON.stringify(payload)}`);
      return { content: Buffer.from(reversed(payload)), contentType: 'text/reversed' };
    },
    decode: (body) => reversed(String(body)),
  };

  it('encodes and decodes, and what it throws becomes a typed error that quotes nothing', async () => {
    const connection = await open({ codec });
    const seen: unknown[] = [];
    connection.subscribe(
      { queue: 'work' },
      (payload, { properties }) => void seen.push([payload, properties.contentType]),
    );
    await connection.publisher.sendToQueue('work', 'hello');
    await until('it arrived', () => seen.length === 1);
    expect(seen).toEqual([['hello', 'text/reversed']]);
    const error = await rejectionOf(connection.publisher.sendToQueue('work', { card: 4111 }));
    expect(error).toMatchObject({
      code: 'RMQ_PAYLOAD_NOT_ENCODABLE',
      routingKey: 'work',
      cause: { name: 'TypeError' },
    });
    expect((error as Error).message).not.toMatch(/4111/);
  });

  it('is refused at boot when it is none, or when JSON is bounded besides', () => {
    expect(() => faults.connect({ codec: {} as Codec })).toThrow(/^codec: an object is no codec/);
    expect(() => faults.connect({ codec, json: {} })).toThrow(/^json: /);
  });
});

describe('a test double of the publisher', () => {
  it('needs no more than the public methods', async () => {
    const published: unknown[] = [];
    class Double implements RmqPublisher {
      readonly writable = true;
      publish = (...args: readonly unknown[]): Promise<void> => Promise.resolve(void published.push(args));
      sendToQueue = (...args: readonly unknown[]): Promise<void> => Promise.resolve(void published.push(args));
      publishMany = () => Promise.resolve({ taken: 0, confirmed: 0, failures: [], endedEarlyBecause: undefined });
      whenReady = () => Promise.resolve();
      flush = () => Promise.resolve(0);
    }
    const publisher: RmqPublisher = new Double();
    await publisher.publish('shop', 'order.created', { id: 1 });
    expect(published).toEqual([['shop', 'order.created', { id: 1 }]]);
  });
});
