import { describe, expect, it } from '@jest/globals';
import { asError, errorNameOf, reasonOf } from './reasons.js';
import { PublishRefusedError } from './publish-errors.js';

/** Throws whatever is done to it. */
const untouchable: unknown = new Proxy(
  {},
  {
    get: () => {
      throw new Error('get');
    },
    has: () => {
      throw new Error('has');
    },
    getPrototypeOf: () => {
      throw new Error('getPrototypeOf');
    },
  },
);

const THROWN: [string, unknown, string][] = [
  ['an error', new Error('no such order'), 'no such order'],
  ['an error without a message', Object.assign(new Error(''), { code: 'ECONNRESET' }), 'ECONNRESET'],
  ['a string', 'no such order', 'no such order'],
  ['undefined', undefined, 'a thrown value of type undefined'],
  ['null', null, 'a thrown value of type null'],
  ['a frozen object', Object.freeze({ code: 1 }), 'a thrown value of type object'],
  ['a symbol', Symbol('x'), 'a thrown value of type symbol'],
  ['a proxy that throws', untouchable, 'a thrown value that cannot be read'],
  [
    'an error whose message throws',
    Object.defineProperty(new Error('x'), 'message', {
      get: () => {
        throw new Error('not even this');
      },
    }),
    'a thrown value that cannot be read',
  ],
];

describe('when something was thrown', () => {
  it.each(THROWN)('%s has a reason and a name, and is an error after all', (_, thrown, reason) => {
    expect(reasonOf(thrown)).toBe(reason);
    expect(typeof errorNameOf(thrown)).toBe('string');
    expect(reasonOf(asError(thrown))).toBe(reason);
    const address = { exchange: '', routingKey: 'work', messageId: 'm1' };
    expect(new PublishRefusedError(address, thrown).message).toContain(reason);
  });

  it('is one line, with the passwords of URLs hidden', () => {
    const thrown = new Error('first amqp://user:s3cret@host/ failed,\n  then amqps://u:p@ss@host:5671 did');
    expect(reasonOf(thrown)).toBe('first amqp://***@host/ failed, then amqps://***@host:5671 did');
  });

  it.each([
    ['words without end', 'a-a-'.repeat(250_000)],
    ['URLs without end', 'x://'.repeat(250_000)],
    ['spaces without end', ' '.repeat(1_000_000)],
  ])('takes no time over a message that quotes a megabyte of payload: %s', (_, text) => {
    const startedAt = performance.now();
    expect(reasonOf(new Error(text)).length).toBeLessThanOrEqual(2_100);
    // A pattern that goes back over what it read would take minutes.
    expect(performance.now() - startedAt).toBeLessThanOrEqual(2_000);
  });

  it('never cuts a URL in two, since half of one would show its password', () => {
    for (let at = 1_900; at <= 2_010; at++) {
      const text = `${'x'.repeat(at - 1)} amqp://user:s3cret@host ${'y'.repeat(2_000)}`;
      expect(reasonOf(text)).not.toContain('s3c');
    }
  });
});

describe('a publish that the broker refused', () => {
  const address = { exchange: 'shop', routingKey: 'order', messageId: 'm1' };
  const refusedWith = (code: number): string =>
    new PublishRefusedError(address, new Error('why', { cause: Object.assign(new Error('said'), { code }) })).message;

  it.each([
    [404, /Declare the exchange/],
    [403, /Grant the user the right/],
    [406, /Change what the broker names/],
    [541, /Change its headers or properties/],
  ])('names the way out by the reply code: %i', (code, wayOut) => {
    expect(refusedWith(code)).toMatch(wayOut);
  });

  it('over which the link was closed does not send anybody to declare an exchange', () => {
    for (const code of [501, 502, 503, 504, 505, 541]) expect(refusedWith(code)).not.toMatch(/[Dd]eclare/);
  });
});
