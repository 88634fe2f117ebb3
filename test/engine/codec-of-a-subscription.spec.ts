import { describe, expect, it } from '@jest/globals';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

describe('when one queue speaks another language than the rest', () => {
  const faults = useFaults();

  it('has its bodies decoded by the codec of its subscription, and those of others by that of the connection', async () => {
    const seen: unknown[] = [];
    const connection = faults.connect();
    const csv = { decode: (body: Buffer) => body.toString().split(';') };
    connection.subscribe({ queue: 'csv', codec: csv }, (payload) => seen.push(payload));
    connection.subscribe({ queue: 'json' }, (payload) => seen.push(payload));
    await connection.start();
    await connection.whenOpen();
    await connection.publisher.sendToQueue('csv', Buffer.from('a;b'));
    await connection.publisher.sendToQueue('json', { a: 'b' });
    await until('both came', () => seen.length === 2);
    expect(seen).toEqual(expect.arrayContaining([['a', 'b'], { a: 'b' }]));
  });

  it('dead-letters what that codec refuses', async () => {
    const connection = faults.connect();
    const none = {
      decode(): never {
        throw new Error('not my language');
      },
    };
    connection.subscribe({ queue: 'csv', codec: none }, () => undefined);
    await connection.start();
    await connection.whenOpen();
    await connection.publisher.sendToQueue('csv', 'x');
    await until('it is a dead letter', () => connection.status().counters.deadLettered === 1);
    const [letter] = await connection.deadLetters.list('csv.dead');
    expect(letter?.reason).toBe('not-decodable');
  });

  it('refuses a codec that cannot decode', () => {
    expect(() => faults.connect().subscribe({ queue: 'csv', codec: {} as never }, () => undefined)).toThrow(
      /csv.*codec.*cannot decode/,
    );
  });
});
