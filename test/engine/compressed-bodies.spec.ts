import { describe, expect, it } from '@jest/globals';
import type { GetMessage } from 'amqplib';
import { deflateSync, gunzipSync } from 'node:zlib';
import { type Delivery, OptionsError } from 'nestjs-rmq-keepalive';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

const large = { text: 'x'.repeat(10_000) };
const small = { text: 'x' };

describe('a message that is compressed', () => {
  const faults = useFaults();

  /** What was published, as it is on the wire. */
  async function onTheWire(queue: string): Promise<GetMessage[]> {
    const { channel } = await bareClient(faults);
    const messages: GetMessage[] = [];
    for (;;) {
      const message = await channel.get(queue, { noAck: true });
      if (message === false) return messages;
      messages.push(message);
    }
  }

  it('is so where it is large and text: of a connection, of a publisher, or of one publish, and not of bytes', async () => {
    const connection = faults.connect({
      topology: { queues: [{ name: 'raw' }] },
      publish: { compress: { overBytes: 1_000 } },
    });
    await started(connection);
    const brotli = connection.createPublisher({ publish: { compress: { overBytes: 100, encoding: 'br' } } });
    await connection.publisher.sendToQueue('raw', large);
    await connection.publisher.sendToQueue('raw', small);
    await connection.publisher.sendToQueue('raw', Buffer.alloc(10_000));
    await connection.publisher.sendToQueue('raw', large, { compress: false });
    await brotli.sendToQueue('raw', large);
    const messages = await onTheWire('raw');
    expect(messages.map(({ properties }) => properties.contentEncoding as unknown)).toEqual([
      'gzip',
      undefined,
      undefined,
      undefined,
      'br',
    ]);
    expect(messages.map(({ content }) => content.length < 1_000)).toEqual([true, true, false, false, true]);
    expect(JSON.parse(gunzipSync(messages[0]!.content).toString())).toEqual(large);
  });

  it.each([[{ overBytes: -1 }], [{}], [{ overBytes: 1, encoding: 'lzma' }], [true]])(
    'is refused with %j',
    async (compress) => {
      const connection = faults.connect();
      const options = { compress: compress as never };
      await expect(connection.publisher.sendToQueue('any', 1, options)).rejects.toBeInstanceOf(OptionsError);
      expect(() => faults.connect({ publish: options })).toThrow(OptionsError);
    },
  );

  it('reaches its handler as it was, by our publisher and by kombu; retries and dead letters have its very bytes', async () => {
    const connection = faults.connect({ publish: { compress: { overBytes: 1_000 } } });
    const seen: { payload: unknown; delivery: Delivery }[] = [];
    const work = connection.subscribe(
      { queue: 'work', retry: { attempts: 2, firstDelayMs: 50 } },
      (payload, delivery) => {
        seen.push({ payload, delivery });
        throw new Error('never');
      },
    );
    await started(connection);
    await work.ready;
    await connection.publisher.sendToQueue('work', large);
    const { channel } = await bareClient(faults);
    const byKombu = deflateSync(JSON.stringify(large));
    channel.sendToQueue('work', byKombu, {
      contentType: 'application/json',
      contentEncoding: 'utf-8',
      headers: { compression: 'application/x-gzip' },
    });
    await until('both are dead', () => connection.status().counters.deadLettered === 2);
    expect(seen.map(({ payload }) => payload)).toEqual([large, large, large, large]);
    const letters = await connection.deadLetters.list('work.dead');
    expect(letters.map(({ payload }) => payload)).toEqual([large, large]);
    const bodies = [...seen.map(({ delivery }) => delivery.body), ...letters.map(({ body }) => body)];
    const kinds = new Set(bodies.map((body) => body.toString('hex')));
    expect(kinds.size).toBe(2);
    expect(kinds).toContain(byKombu.toString('hex'));
    expect(letters.map(({ properties }) => String(properties.contentEncoding)).sort()).toEqual(['gzip', 'utf-8']);
  });
});
