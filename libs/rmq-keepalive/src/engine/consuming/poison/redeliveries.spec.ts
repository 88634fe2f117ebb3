import { describe, expect, it } from '@jest/globals';
import { toQueue } from '../../topology/topology.js';
import type { Delivery } from '../delivery/delivery.js';
import { isSuspect, OwnReturns, type RedeliveryFacts, redeliveryVerdict } from './redeliveries.js';
import { resolveRedeliveryLimits } from '../options/redelivery-limit.js';

const LIMITS = { maxRedeliveries: 3, renewAfter: 2 };
const verdict = (facts: Partial<RedeliveryFacts>) =>
  redeliveryVerdict(
    {
      isBack: true,
      deliveryCount: undefined,
      acquiredCount: undefined,
      counted: 0,
      isOwnReturn: false,
      isDeadLetter: false,
      ...facts,
    },
    LIMITS,
  );

describe('when a message comes for the first time', () => {
  it('is handled, whatever its headers say', () => {
    expect(verdict({ isBack: false, deliveryCount: 77, counted: 77 })).toMatchObject({ kind: 'handle' });
  });
});

describe('when a message comes back from a quorum queue', () => {
  it('is handled where it is the first time, and copied the second time, with the deaths before', () => {
    expect(verdict({ deliveryCount: 1 })).toEqual({ kind: 'handle', redeliveries: 1 });
    expect(verdict({ deliveryCount: 2 })).toEqual({ kind: 'renew', redeliveries: 2, returns: 2 });
    expect(verdict({ deliveryCount: 1, counted: 2 })).toEqual({ kind: 'handle', redeliveries: 3 });
  });

  it("is poison beyond the limit, by the broker's count and ours together", () => {
    expect(verdict({ deliveryCount: 4 })).toEqual({ kind: 'poison', redeliveries: 4 });
    expect(verdict({ deliveryCount: 2, counted: 2 })).toEqual({ kind: 'poison', redeliveries: 4 });
  });

  it('is copied for what this process gave back, and that is no death', () => {
    expect(verdict({ deliveryCount: 2, counted: 3, isOwnReturn: true })).toEqual({
      kind: 'renew',
      redeliveries: 3,
      returns: 2,
    });
    expect(verdict({ deliveryCount: 1, isOwnReturn: true })).toEqual({ kind: 'handle', redeliveries: 0 });
  });

  it('is neither poison nor copied because somebody was handed it often and gave it back in order (RabbitMQ 4.3)', () => {
    expect(verdict({ acquiredCount: 50 })).toEqual({ kind: 'handle', redeliveries: 0 });
    expect(verdict({ acquiredCount: 50, deliveryCount: 1 })).toMatchObject({ kind: 'handle' });
  });

  it('is not poison over the count of the queue that it was dead-lettered from (RabbitMQ 4.3)', () => {
    const died = { isDeadLetter: true, deliveryCount: 21 };
    expect(verdict({ ...died, acquiredCount: 21 })).toEqual({ kind: 'renew', redeliveries: 0, returns: 21 });
    expect(verdict({ ...died, isDeadLetter: false, acquiredCount: 21 })).toMatchObject({ kind: 'poison' });
    // Brokers before leave no dead letter a count: what they say is about this queue.
    expect(verdict(died)).toMatchObject({ kind: 'poison' });
  });

  it('is not poison because its publisher says so', () => {
    expect(verdict({ acquiredCount: 1, deliveryCount: 77 })).toEqual({ kind: 'renew', redeliveries: 1, returns: 77 });
  });

  it('is copied whatever its publisher says', () => {
    expect(verdict({ acquiredCount: 0, deliveryCount: 2 })).toMatchObject({ kind: 'renew' });
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

describe('when the limits are checked at boot', () => {
  const quorum = (limit?: number, more: Record<string, unknown> = {}) =>
    toQueue(
      { name: 'work', type: 'quorum', arguments: limit === undefined ? more : { 'x-delivery-limit': limit, ...more } },
      'queue',
    );
  const limits = (given: number | undefined, queue: ReturnType<typeof toQueue>, isOrdered = false) =>
    resolveRedeliveryLimits(given, { queue, isOrdered }, 'x');

  it('counts nothing where counting would cost the order that was asked for', () => {
    const classic = toQueue({ name: 'work' }, 'queue');
    expect(limits(undefined, classic, true).maxRedeliveries).toBe(Infinity);
    expect(limits(3, classic, true).maxRedeliveries).toBe(3);
    expect(limits(undefined, quorum(), true).maxRedeliveries).toBe(16);
  });

  it("takes a message for poison before the queue's own limit does, unless told otherwise", () => {
    const byDefault = [undefined, 5, 1, -1].map((limit) => limits(undefined, quorum(limit)).maxRedeliveries);
    expect(byDefault).toEqual([16, 4, 1, 16]);
    expect(limits(50, quorum(5)).maxRedeliveries).toBe(50);
    expect(limits(Infinity, quorum(5)).maxRedeliveries).toBe(Infinity);
    expect(() => limits(0, quorum())).toThrow(/^x\.maxRedeliveries: 0 is not a whole number/);
  });

  it('has a message copied at its second return, and where an order was asked for as late as a known limit allows', () => {
    const after = (isOrdered: boolean) =>
      [undefined, 20, 3, 2, 1, -1].map((limit) => limits(undefined, quorum(limit), isOrdered).renewAfter);
    expect(after(false)).toEqual([2, 2, 2, 2, 1, 2]);
    expect(after(true)).toEqual([2, 19, 2, 1, 1, Infinity]);
  });

  it('refuses a limit at which the first return is the end of a message', () => {
    expect(() => limits(undefined, quorum(0))).toThrow(
      /^x\.queueOptions\.arguments\.x-delivery-limit: with 0 the broker drops a message when it comes back/,
    );
    expect(limits(undefined, quorum(0, { 'x-dead-letter-exchange': 'dlx' })).renewAfter).toBe(0);
  });
});
