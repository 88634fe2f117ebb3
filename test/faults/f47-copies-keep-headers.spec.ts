import { describe, expect, it } from '@jest/globals';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { type RetryOptions, Settlement } from 'nestjs-rmq-keepalive';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { recordContentHeaders } from '../support/raw-headers.js';
import { int64, publishWithHeaderTable, rawField } from '../../tools/broker/raw-publish.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

const bytes = (...values: number[]): Buffer => Buffer.from(values);

/** What JavaScript cannot hold, or would write otherwise. */
const FOREIGN = {
  'an integer of 8 bits': rawField('b', 'b', bytes(0xff)),
  'an integer of 16 bits': rawField('s', 's', bytes(1, 44)),
  'a small integer of 64 bits': rawField('l', 'l', int64(3n)),
  'an integer beyond 2^53': rawField('huge', 'l', int64(2n ** 60n + 1n)),
  'a float': rawField('f', 'f', bytes(0x3f, 0xc0, 0, 0)),
  'a whole double': rawField('d', 'd', bytes(0x40, 0, 0, 0, 0, 0, 0, 0)),
  'a negative decimal': rawField('D', 'D', bytes(2, 0xff, 0xff, 0xff, 131)),
  'a text that is no UTF-8': rawField('latin', 'S', bytes(0, 0, 0, 1, 0xe4)),
  'a list of those': rawField('A', 'A', Buffer.concat([bytes(0, 0, 0, 9), Buffer.from('l'), int64(1n)])),
  'a table that looks like a type of amqplib': rawField(
    '!',
    'F',
    Buffer.concat([bytes(0, 0, 0, 11), rawField('!', 'S', Buffer.concat([bytes(0, 0, 0, 4), Buffer.from('evil')]))]),
  ),
  'a time after the end of all numbers': rawField('T', 'T', Buffer.alloc(8, 0xff)),
};
const TABLE = Buffer.concat(Object.values(FOREIGN));

const RETRY: RetryOptions = { attempts: 2, firstDelayMs: 10 };

describe('F47: when a message of a stranger is copied', () => {
  const faults = useFaults();

  async function publishForeign(queue: string): Promise<void> {
    const channel = await (await bareClient(faults)).session.createConfirmChannel();
    await publishWithHeaderTable(channel, queue, { body: Buffer.from('{}'), table: TABLE });
  }

  /** The content header of the next message in the queue. */
  async function nextIn(queue: string): Promise<Buffer> {
    const { session, channel } = await bareClient(faults);
    const recorded = recordContentHeaders(session);
    await until('it is there', async () => channel.get(queue, { noAck: true }));
    return recorded[0] as Buffer;
  }

  /** A broker may write some types otherwise, once and for all. What it passes on to everybody must be in copies too. */
  async function passedOn(): Promise<Buffer[]> {
    const { channel } = await bareClient(faults);
    await channel.assertQueue('as-it-is');
    await publishForeign('as-it-is');
    const header = await nextIn('as-it-is');
    const fields = Object.values(FOREIGN).filter((field) => header.includes(field));
    expect(fields.length).toBeGreaterThan(5);
    return fields;
  }

  const missingIn = (header: Buffer, fields: readonly Buffer[]): string[] =>
    fields.filter((field) => !header.includes(field)).map((field) => field.toString('latin1'));

  it('a retry, a dead letter and its replay have every header as it was written', async () => {
    const fields = await passedOn();
    const connection = faults.connect();
    let calls = 0;
    connection.subscribe({ queue: 'work', retry: RETRY }, () => {
      calls += 1;
      throw new Error('no');
    });
    await started(connection);
    await publishForeign('work');
    await until('it is dead', () => faults.oracle.eventsOf('delivery-dead-lettered')[0]);
    expect(calls).toBe(2);
    await connection.deadLetters.replay('work.dead');
    await until('it is dead again', () => faults.oracle.eventsOf('delivery-dead-lettered')[1]);
    expect(missingIn(await nextIn('work.dead'), fields)).toEqual([]);
  });

  it('so has one that was counted because it came back, and one whose handler asked for another attempt', async () => {
    const fields = await passedOn();
    const { channel, session } = await bareClient(faults);
    await channel.assertQueue('work');
    await publishForeign('work');
    await channel.get('work');
    await session.close();
    const connection = faults.connect();
    let calls = 0;
    connection.subscribe({ queue: 'work' }, () => (++calls < 2 ? Settlement.retryIn(100) : Settlement.reject()));
    await started(connection);
    await until('it is dead', () => faults.oracle.eventsOf('delivery-dead-lettered')[0]);
    expect(faults.oracle.eventsOf('redelivery-counted').length).toBe(1);
    expect(missingIn(await nextIn('work.dead'), fields)).toEqual([]);
  });

  it('control: most of what amqplib has read, it writes otherwise', async () => {
    const fields = await passedOn();
    const require = createRequire(import.meta.url);
    const codec = require(join(dirname(require.resolve('amqplib')), 'lib', 'codec.js')) as {
      decodeFields(fields: Buffer): object;
      encodeTable(buffer: Buffer, table: object, offset: number): number;
    };
    const survives = (field: Buffer): boolean => {
      const buffer = Buffer.alloc(256);
      try {
        return buffer.subarray(4, codec.encodeTable(buffer, codec.decodeFields(field), 0)).equals(field);
      } catch {
        return false;
      }
    };
    expect(fields.filter(survives).length).toBeLessThan(fields.length / 2);
  });
});
