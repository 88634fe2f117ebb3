import { describe, expect, it } from '@jest/globals';
import { toQueue } from '../../topology/topology.js';
import type { Delivery } from '../delivery.js';
import { isSuspect, OwnReturns, type RedeliveryFacts, redeliveryVerdict } from './redeliveries.js';
import { resolveMaxRedeliveries } from './redelivery-limit.js';

const LIMIT = 3;
const verdict = (facts: Partial<RedeliveryFacts>) =>
  redeliveryVerdict(
    { isBack: true, deliveryCount: undefined, acquiredCount: undefined, counted: 0, isOwnReturn: false, ...facts },
    LIMIT,
  );

describe('when a message comes for the first time', () => {
  it('is handled, whatever its headers say', () => {
    expect(verdict({ isBack: false, deliveryCount: 77, counted: 77 })).toMatchObject({ kind: 'handle' });
  });
});

describe('when a message comes back from a quorum queue', () => {
  it("is handled up to the limit by the broker's own count, and poison beyond", () => {
    expect(verdict({ deliveryCount: 3 })).toMatchObject({ kind: 'handle' });
    expect(verdict({ deliveryCount: 4 })).toEqual({ kind: 'poison', redeliveries: 4 });
  });

  it('is not poison because somebody was handed it often and gave it back in order (RabbitMQ 4.3)', () => {
    expect(verdict({ acquiredCount: 50 })).toMatchObject({ kind: 'handle' });
    expect(verdict({ acquiredCount: 50, deliveryCount: 2 })).toMatchObject({ kind: 'handle' });
  });

  it('is not poison because its publisher says so', () => {
    expect(verdict({ acquiredCount: 1, deliveryCount: 77 })).toMatchObject({ kind: 'handle' });
  });
});

describe('when a message comes back from a classic queue', () => {
  it('is counted up to the limit, and poison beyond', () => {
    expect(verdict({})).toEqual({ kind: 'count', redeliveries: 1 });
    expect(verdict({ counted: 2 })).toEqual({ kind: 'count', redeliveries: 3 });
    expect(verdict({ counted: 3 })).toEqual({ kind: 'poison', redeliveries: 4 });
  });

  it('is handled when this process had it before: it lives', () => {
    expect(verdict({ counted: 3, isOwnReturn: true })).toMatchObject({ kind: 'handle' });
  });
});

describe('when a message came back suspiciously often', () => {
  it('is handled alone, after half of its chances', () => {
    expect([0, 5, 6, 10].map((redeliveries) => isSuspect(redeliveries, 10))).toEqual([false, false, true, true]);
    expect([0, 1, 2].map((redeliveries) => isSuspect(redeliveries, 2))).toEqual([false, false, true]);
    expect(isSuspect(1_000, Infinity)).toBe(false);
  });
});

describe('when it is remembered what came back from our own hands', () => {
  const message = (messageId?: string, body = ''): Delivery =>
    ({ messageId, exchange: '', routingKey: 'work', body: Buffer.from(body) }) as Delivery;

  it('forgets the oldest, and never more than twice as many are kept', () => {
    const returns = new OwnReturns(10);
    for (let i = 0; i < 35; i++) returns.add(message(`m${i}`));
    const known = Array.from({ length: 35 }, (_, i) => i).filter((i) => returns.take(message(`m${i}`)));
    expect(known[0]).toBeLessThanOrEqual(25);
    expect(known.at(-1)).toBe(34);
    expect(known.length).toBeLessThanOrEqual(20);
  });

  it('excuses a return once', () => {
    const returns = new OwnReturns(10);
    returns.add(message('m1'));
    expect([returns.take(message('m1')), returns.take(message('m1'))]).toEqual([true, false]);
  });

  it('knows a message without an id by what it says, as often as it was given back', () => {
    const returns = new OwnReturns(10);
    for (const body of ['tick', 'tick', 'tock']) returns.add(message(undefined, body));
    const taken = ['tick', 'tick', 'tick', 'tock', 'tack'].map((body) => returns.take(message(undefined, body)));
    expect(taken).toEqual([true, true, false, true, false]);
    expect(returns.take(message('', 'tack'))).toBe(false);
  });
});

describe('when the limit is checked at boot', () => {
  const queue = (args: Record<string, unknown> = {}) =>
    toQueue({ name: 'work', type: 'quorum', arguments: args }, 'queue');

  it('counts nothing where counting would cost the order that was asked for', () => {
    const classic = toQueue({ name: 'work' }, 'queue');
    expect(resolveMaxRedeliveries(undefined, { queue: classic, isOrdered: true }, 'x')).toBe(Infinity);
    expect(resolveMaxRedeliveries(3, { queue: classic, isOrdered: true }, 'x')).toBe(3);
    expect(resolveMaxRedeliveries(undefined, { queue: queue(), isOrdered: true }, 'x')).toBe(16);
  });

  it("stays below the queue's own limit, at which the broker drops the message", () => {
    expect(resolveMaxRedeliveries(undefined, { queue: queue(), isOrdered: false }, 'x')).toBe(16);
    expect(resolveMaxRedeliveries(undefined, { queue: queue({ 'x-delivery-limit': 5 }), isOrdered: false }, 'x')).toBe(
      4,
    );
    expect(resolveMaxRedeliveries(undefined, { queue: queue({ 'x-delivery-limit': -1 }), isOrdered: false }, 'x')).toBe(
      16,
    );
    expect(resolveMaxRedeliveries(Infinity, { queue: queue({ 'x-delivery-limit': 5 }), isOrdered: false }, 'x')).toBe(
      Infinity,
    );
    expect(() => resolveMaxRedeliveries(5, { queue: queue({ 'x-delivery-limit': 5 }), isOrdered: false }, 'x')).toThrow(
      /^x\.maxRedeliveries: the queue's own x-delivery-limit of 5 would come first/,
    );
    expect(() => resolveMaxRedeliveries(0, { queue: queue(), isOrdered: false }, 'x')).toThrow(
      /^x\.maxRedeliveries: 0 is not a whole number/,
    );
  });
});
