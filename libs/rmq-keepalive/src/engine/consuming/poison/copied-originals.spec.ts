import { describe, expect, it } from '@jest/globals';
import type { Delivery } from '../delivery/delivery.js';
import { CopiedOriginals } from './copied-originals.js';

/** Its link can be lost. */
type Held = Omit<Delivery, 'isLive'> & { isLive: boolean } & Delivery;

const delivery = (changes: { messageId?: string; isLive?: boolean; renewals?: number } = {}): Held =>
  ({
    messageId: 'm1',
    exchange: '',
    routingKey: 'work',
    body: Buffer.from('tick'),
    redeliveries: 0,
    renewals: 0,
    isLive: true,
    ...changes,
  }) as unknown as Held;
const confirmed = Promise.resolve(true);

describe('when a message comes back although its copy is in the queue', () => {
  it('is known, as often as that happens, until the broker has read its ack', async () => {
    const originals = new CopiedOriginals();
    const first = delivery();
    originals.add(first, 2, confirmed);
    first.isLive = false;
    const second = delivery();
    expect(await originals.hasCopy(second, 3)).toBe(true);
    second.isLive = false;
    const third = delivery();
    expect(await originals.hasCopy(third, 4)).toBe(true);
    originals.remove(third);
    expect(originals.has(third)).toBe(false);
    third.isLive = false;
    expect(await originals.hasCopy(delivery(), 5)).toBe(false);
  });

  it('is not known when the copy was not confirmed after all', async () => {
    const originals = new CopiedOriginals();
    const first = delivery();
    originals.add(first, 2, Promise.resolve(false));
    first.isLive = false;
    expect(await originals.hasCopy(delivery(), 3)).toBe(false);
    expect(await originals.hasCopy(delivery(), 4)).toBe(false);
  });

  it('is not taken for its copy, nor for another message that says the same', async () => {
    const originals = new CopiedOriginals();
    const first = delivery({ messageId: undefined });
    originals.add(first, 2, confirmed);
    const beside = delivery({ messageId: undefined });
    expect(await originals.hasCopy(beside, 2)).toBe(false);
    expect(await originals.hasCopy(beside, 9)).toBe(false);
    first.isLive = false;
    expect(await originals.hasCopy(delivery({ messageId: undefined, renewals: 1 }), 3)).toBe(false);
    expect(await originals.hasCopy(delivery({ messageId: undefined }), 2)).toBe(false);
    expect(await originals.hasCopy(delivery({ messageId: undefined }), 3)).toBe(true);
  });

  it('is one of as many as were copied, and no more', async () => {
    const originals = new CopiedOriginals();
    const before = [delivery(), delivery()];
    for (const one of before) originals.add(one, 2, confirmed);
    for (const one of before) one.isLive = false;
    const back = [delivery(), delivery(), delivery()];
    const known: boolean[] = [];
    for (const one of back) known.push(await originals.hasCopy(one, 3));
    expect(known).toEqual([true, true, false]);
  });

  it('is forgotten when ten thousand others were copied since', async () => {
    const originals = new CopiedOriginals();
    const first = delivery({ messageId: 'oldest', isLive: false });
    originals.add(first, 2, confirmed);
    for (let i = 0; i < 10_000; i++) originals.add(delivery({ messageId: `m${i}`, isLive: false }), 2, confirmed);
    expect(await originals.hasCopy(delivery({ messageId: 'oldest' }), 3)).toBe(false);
    expect(await originals.hasCopy(delivery({ messageId: 'm9999' }), 3)).toBe(true);
  });
});
