import { describe, expect, it } from '@jest/globals';
import type { ConsumeMessage } from 'amqplib';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

const faults = useFaults();

describe('what is published', () => {
  it('arrives as it was sent: properties, headers and bodies of every size, in order', async () => {
    const { channel } = await bareClient(faults);
    await channel.assertQueue('work');
    const arrived: ConsumeMessage[] = [];
    await channel.consume('work', (message) => message !== null && arrived.push(message), { noAck: true });
    const connection = faults.connect();
    await connection.start();
    const { publisher } = connection;
    const sizes = [0, 1, 100, 4_096, 8_191, 8_192, 100_000, 131_064, 131_065, 1_000_000, 16 * 1024 * 1024];
    const headers = {
      text: 'ä€😀',
      numbers: [1, -1, 300, 70_000, 2 ** 40, 0.5],
      flags: { yes: true, no: false, nothing: null },
      bytes: Buffer.from([0, 255]),
      when: new Date(1_700_000_000_000),
    };
    await Promise.all([
      publisher.sendToQueue(
        'work',
        { id: 1 },
        {
          headers,
          messageId: 'm-1',
          correlationId: 'c-1',
          replyTo: 'r',
          expiration: 3_600_000,
          priority: 3,
          type: 'order',
          appId: 'shop',
          userId: 'guest',
          contentType: 'application/vnd.shop+json',
          contentEncoding: 'utf-8',
          timestamp: new Date(1_600_000_000_000),
          persistent: false,
        },
      ),
      ...sizes.map((size) => publisher.sendToQueue('work', Buffer.alloc(size, size % 251))),
    ]);
    await until('all arrived', () => arrived.length === sizes.length + 1);
    const [first, ...rest] = arrived;
    expect(JSON.parse(String(first!.content))).toEqual({ id: 1 });
    expect(first!.properties).toMatchObject({
      headers: { ...headers, when: { '!': 'timestamp', value: 1_700_000_000 } },
      messageId: 'm-1',
      correlationId: 'c-1',
      replyTo: 'r',
      expiration: '3600000',
      priority: 3,
      type: 'order',
      appId: 'shop',
      userId: 'guest',
      contentType: 'application/vnd.shop+json',
      contentEncoding: 'utf-8',
      timestamp: 1_600_000_000,
      deliveryMode: 1,
    });
    expect(rest.map(({ content }) => content.length)).toEqual(sizes);
    for (const { content, properties } of rest) {
      expect(content.equals(Buffer.alloc(content.length, content.length % 251))).toBe(true);
      expect(properties).toMatchObject({ contentType: 'application/octet-stream', deliveryMode: 2 });
    }
  }, 60_000);

  it('arrives from a thousand publishers of one turn, each confirmed, while others open and close channels', async () => {
    const connection = faults.connect({ links: 'shared' });
    connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    const churn = Array.from({ length: 10 }, async (_, i) => {
      const handle = connection.subscribe({ queue: `churn-${i}` }, () => undefined);
      await until('it consumes', () => handle.isAttached);
      await handle.unsubscribe();
    });
    for (let turn = 0; turn < 10; turn++) {
      await Promise.all(
        Array.from({ length: 1_000 }, (_, i) => faults.oracle.publish(connection, '', 'work', `m${turn}-${i}`)),
      );
    }
    await Promise.all(churn);
    expect(faults.oracle.confirmed.size).toBe(10_000);
    expect(faults.oracle.duplicates).toBe(0);
    await faults.oracle.expectNothingLost();
  }, 60_000);
});
