import { describe, expect, it } from '@jest/globals';
import type { GetMessage, Options } from 'amqplib';
import { gzipSync } from 'node:zlib';
import { DEAD_LETTER_HEADERS, type DeliveryHandler, type RmqConnection } from 'nestjs-rmq-keepalive';
import { bareClient } from '../support/bare-amqplib.js';
import { nestedTable, publishWithHeaderTable } from '../../tools/broker/raw-publish.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

const JSON_TYPE = { contentType: 'application/json' };
const deep = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);

const HOSTILE: Record<string, { body: Buffer; properties: Options.Publish; because: RegExp }> = {
  'invalid JSON': { body: Buffer.from('{"id":'), properties: JSON_TYPE, because: /JSON/ },
  'an empty body': { body: Buffer.alloc(0), properties: JSON_TYPE, because: /empty/ },
  'nesting without end': { body: Buffer.from(deep(30_000)), properties: JSON_TYPE, because: /deep|levels|nest/i },
  'a key __proto__': {
    body: Buffer.from('{"id":"x","__proto__":{"isAdmin":true}}'),
    properties: JSON_TYPE,
    because: /__proto__/,
  },
  'an escaped key __proto__': {
    body: Buffer.from('{"id":"x","\\u005f_proto__":{"isAdmin":true}}'),
    properties: JSON_TYPE,
    because: /__proto__/,
  },
  'a body that is no UTF-8': { body: Buffer.from([0x22, 0xff, 0xfe, 0x22]), properties: JSON_TYPE, because: /UTF-8/ },
  'a content type that nobody knows': {
    body: Buffer.from('<order/>'),
    properties: { contentType: 'application/xml' },
    because: /application\/xml/,
  },
  'a compressed body': {
    body: Buffer.from('{}'),
    properties: { ...JSON_TYPE, contentEncoding: 'gzip' },
    because: /said to be packed \(gzip\), and cannot be unpacked/,
  },
  'a body that unpacks into too much': {
    body: gzipSync(Buffer.alloc(20_000_000)),
    properties: { ...JSON_TYPE, contentEncoding: 'gzip' },
    because: /unpack \(gzip\) into more than json\.maxBytes/,
  },
  'a body that kombu (Celery) has compressed in a way that Node does not know': {
    body: Buffer.from('BZh91AY&SY'),
    properties: { ...JSON_TYPE, contentEncoding: 'utf-8', headers: { compression: 'application/x-bz2' } },
    because: /compressed \(header "compression": "application\/x-bz2"\)/,
  },
  'a value of AMQP 1.0, still encoded': {
    body: Buffer.from('\x00Sw\xa1\x05hello', 'latin1'),
    properties: { type: 'amqp-1.0' },
    because: /AMQP 1\.0 value section/,
  },
  'more bytes than allowed': {
    body: Buffer.from(JSON.stringify('x'.repeat(70_000))),
    properties: JSON_TYPE,
    because: /65536|bytes/,
  },
};

describe('F26: when a message is hostile', () => {
  const faults = useFaults();

  async function consumeWith(handler: DeliveryHandler = faults.oracle.consume): Promise<RmqConnection> {
    const connection = faults.connect({ links: 'shared', json: { maxBytes: 65_536 } });
    connection.subscribe({ queue: 'work' }, handler);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    return connection;
  }

  it.each(Object.keys(HOSTILE))(
    '%s is moved to the dead-letter queue as it is, once, with the reason; the handler never sees it, and goes on',
    async (name) => {
      const { body, properties, because } = HOSTILE[name] as (typeof HOSTILE)[string];
      const connection = await consumeWith();
      const { channel } = await bareClient(faults);

      channel.sendToQueue('work', body, { ...properties, messageId: 'hostile' });
      const dead = await until(
        'the message is in the dead-letter queue',
        () => faults.oracle.eventsOf('delivery-dead-lettered')[0],
      );
      expect(dead.event).toMatchObject({ subscription: 'work', deadLetterQueue: 'work.dead', reason: 'not-decodable' });
      await faults.oracle.publish(connection, '', 'work', 'after');
      await faults.oracle.expectNothingLost();

      const letter = await until('the dead letter is there', async () => channel.get('work.dead', { noAck: true }));
      expect(letter.content.equals(body)).toBe(true);
      expect(letter.properties.messageId).toBe('hostile');
      expect(letter.properties.headers).toMatchObject({
        [DEAD_LETTER_HEADERS.reason]: 'not-decodable',
        [DEAD_LETTER_HEADERS.queue]: 'work',
      });
      const message = String(letter.properties.headers?.[DEAD_LETTER_HEADERS.errorMessage]);
      expect(message).toMatch(because);
      expect(message.length).toBeLessThanOrEqual(500);
      // Delivered once each: no loop of requeues.
      expect(connection.status().counters).toMatchObject({ delivered: 2, deadLettered: 1 });
      expect([...faults.oracle.consumed.keys()]).toEqual(['after']);
      expect(({} as { isAdmin?: boolean }).isAdmin).toBeUndefined();
    },
  );

  it('a header named __proto__ reaches nobody: headers are own properties of an object without a prototype', async () => {
    const seen: { headers: Readonly<Record<string, unknown>> }[] = [];
    await consumeWith((_, { headers }) => void seen.push({ headers }));
    const { channel } = await bareClient(faults);
    const headers = JSON.parse('{"__proto__":{"isAdmin":true},"tenant":"a"}') as Record<string, unknown>;
    channel.sendToQueue('work', Buffer.from('{"id":"x"}'), { ...JSON_TYPE, headers });
    const { headers: received } = await until('the delivery came', () => seen[0]);
    expect(Object.getPrototypeOf(received)).toBeNull();
    expect({ ...received }).toEqual({ tenant: 'a' });
    expect((received as { isAdmin?: boolean }).isAdmin).toBeUndefined();
    expect(({} as { isAdmin?: boolean }).isAdmin).toBeUndefined();
  });

  it('headers nested without end cost that one message: it is dead, and neither the link nor its neighbours are', async () => {
    const connection = await consumeWith();
    const { session } = await bareClient(faults);
    const channel = await session.createConfirmChannel();
    const neighbours = ['before', 'between', 'after'];
    for (const id of neighbours) {
      await faults.oracle.publish(connection, '', 'work', id);
      if (id !== 'after')
        await publishWithHeaderTable(channel, 'work', {
          body: Buffer.from(`"beside ${id}"`),
          table: nestedTable(10_000),
        });
    }
    await until('both are moved', () => connection.status().counters.deadLettered === 2);
    await faults.oracle.expectNothingLost();
    const dead = [await channel.get('work.dead', { noAck: true }), await channel.get('work.dead', { noAck: true })];
    for (const letter of dead) {
      expect(letter).toMatchObject({ properties: { headers: { [DEAD_LETTER_HEADERS.reason]: 'not-decodable' } } });
    }
    // Two moves go on at the same time, and the first of them may have to declare the queue: their order is not promised.
    const bodies = dead.map((letter) => (letter as GetMessage).content.toString());
    expect(bodies.toSorted()).toEqual(['"beside before"', '"beside between"']);
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
    expect(connection.status().counters).toMatchObject({ delivered: 5, acked: 5 });
  });

  it('control: headers nested without end cost bare amqplib its connection', async () => {
    const { channel, errors } = await bareClient(faults);
    const publisher = await (await bareClient(faults)).session.createConfirmChannel();
    await channel.assertQueue('bare');
    await publishWithHeaderTable(publisher, 'bare', { body: Buffer.from('{}'), table: nestedTable(10_000) });
    await channel.consume('bare', () => undefined);
    await until('the connection is lost', () => errors.length > 0);
    expect(errors[0]?.message).toMatch(/call stack/);
  });

  it('copies, a foreign user id and a time to live are not carried over to the dead letter', async () => {
    await consumeWith(() => {
      throw new Error('no');
    });
    const { channel } = await bareClient(faults);
    await channel.assertQueue('copies');
    const purge = async (): Promise<void> => void (await channel.purgeQueue('copies'));
    channel.sendToQueue('work', Buffer.from('{"id":"x"}'), {
      ...JSON_TYPE,
      CC: ['copies'],
      expiration: 60_000,
      userId: 'guest',
      messageId: 'x',
    });
    await until('the message is in the dead-letter queue', () => faults.oracle.eventsOf('delivery-dead-lettered')[0]);
    await purge();
    const letter = await until('the dead letter is there', async () => channel.get('work.dead', { noAck: true }));
    expect(letter.properties.expiration).toBeUndefined();
    expect(letter.properties.userId).toBeUndefined();
    expect((await channel.checkQueue('copies')).messageCount).toBe(0);
  });

  it('control: bare amqplib hands the hostile header on as the prototype of the headers object', async () => {
    const { channel } = await bareClient(faults);
    await channel.assertQueue('bare');
    const prototypes: unknown[] = [];
    await channel.consume('bare', (message) => prototypes.push(message?.properties.headers), { noAck: true });
    const headers = JSON.parse('{"__proto__":{"isAdmin":true}}') as Record<string, unknown>;
    channel.sendToQueue('bare', Buffer.from('{"id":'), { ...JSON_TYPE, headers });
    const [received] = await until('the delivery came', () => prototypes.length === 1 && prototypes);
    expect((received as { isAdmin?: boolean }).isAdmin).toBe(true);
  });
});
