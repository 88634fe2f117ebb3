import { describe, expect, it } from '@jest/globals';
import { EventEmitter, on } from 'node:events';
import { concat, EMPTY, from, Observable, of, range, Subject, throwError } from 'rxjs';
import { itemsOf, lastItemOf } from './async-items.js';

const END = { done: true, value: undefined };
const never = new AbortController().signal;

async function all(items: AsyncIterable<unknown>): Promise<unknown[]> {
  const them: unknown[] = [];
  for await (const item of items) them.push(item);
  return them;
}

async function* count(to: number): AsyncGenerator<number> {
  for (let n = 0; n < to; n++) yield n;
}

describe('items of what a handler returned', () => {
  it.each<[string, () => AsyncIterable<unknown> | Observable<unknown>, unknown[]]>([
    ['an iterable', () => count(3), [0, 1, 2]],
    ['an Observable', () => range(0, 3), [0, 1, 2]],
    ['one inside the other', () => from([count(2), 'a', of(count(1), EMPTY), count(0)]), [0, 1, 'a', 0]],
    ['promises', () => from([Promise.resolve(1), Promise.resolve(count(1))]), [1, 0]],
  ])('come from %s, in order', async (_, make, items) => {
    expect(await all(itemsOf(make()))).toEqual(items);
    expect(await all(itemsOf(itemsOf(make())))).toEqual(items);
  });

  it.each<[string, (subject: Subject<unknown>) => AsyncIterable<unknown> | Observable<unknown>]>([
    ['as it is', (subject) => subject],
    ['inside another', (subject) => of(subject)],
    ['watched', (subject) => itemsOf(subject, { caught: () => 'an error' })],
  ])('leave a silent Observable at once: %s', async (_, make) => {
    const subject = new Subject<unknown>();
    const items = itemsOf(make(subject), { check: () => undefined });
    const reading = items.next();
    // Subscribed to in one turn, or some.
    await new Promise(setImmediate);
    expect(subject.observed).toBe(true);
    void items.return();
    await new Promise(setImmediate);
    expect(subject.observed).toBe(false);
    expect(await reading).toEqual(END);
    expect(await items.next()).toEqual(END);
  });

  it('tell an iterator that waits to end, and one that was never asked', async () => {
    const emitter = new EventEmitter();
    const waiting = itemsOf(of(on(emitter, 'row')));
    const reading = waiting.next();
    await new Promise(setImmediate);
    const untouched = itemsOf(itemsOf(on(emitter, 'row')));
    expect(emitter.listenerCount('row')).toBe(2);
    void waiting.return();
    void untouched.return();
    expect(emitter.listenerCount('row')).toBe(0);
    expect(await reading).toEqual(END);
  });

  it('end what they come from when an item does not pass, and when one inside fails', async () => {
    for (const wrong of [throwError(() => new Error('wrong')), Promise.reject(new Error('wrong')), 'wrong']) {
      const subject = new Subject<unknown>();
      const items = itemsOf(subject, {
        check: (item) => item === 'wrong' && Promise.reject(new Error('wrong')),
      });
      const reading = items.next();
      await new Promise(setImmediate);
      subject.next(wrong);
      await expect(reading).rejects.toThrow('wrong');
      expect(subject.observed).toBe(false);
      expect(await items.next()).toEqual(END);
    }
  });

  it('go on with what was made of an error, once', async () => {
    const failing = concat(
      of(1),
      throwError(() => new RangeError('first')),
    );
    const caught = (thrown: unknown): unknown => (thrown instanceof RangeError ? of(2, 3) : 'none');
    expect(await all(itemsOf(failing, { caught }))).toEqual([1, 2, 3]);
    const again = itemsOf(failing, { caught: () => throwError(() => new Error('second')) });
    await expect(all(again)).rejects.toThrow('second');
    expect(await again.next()).toEqual(END);
  });

  it('stop an Observable that emits without end while it is subscribed to', async () => {
    let emitted = 0;
    const endless = new Observable<number>((subscriber) => {
      while (!subscriber.closed && emitted < 50_000) subscriber.next(emitted++);
    });
    await expect(all(itemsOf(endless))).rejects.toThrow(/faster than its reader/);
    expect(emitted).toBeLessThan(10_010);
  });
});

describe('the last item', () => {
  it('is kept of however many', async () => {
    expect(await lastItemOf(range(0, 20_001), never)).toBe(20_000);
    expect(await lastItemOf(itemsOf(of(range(0, 20_001))), never)).toBe(20_000);
    expect(await lastItemOf(EMPTY, never)).toBeUndefined();
    expect(await lastItemOf(from([1, count(0), EMPTY]), never)).toBe(1);
    expect(await lastItemOf(from([count(5), 1, Promise.resolve(2)]), never)).toBe(2);
  });

  it('is not waited for when the signal has fired', async () => {
    const controller = new AbortController();
    const subject = new Subject<number>();
    const last = lastItemOf(itemsOf(subject), controller.signal);
    await new Promise(setImmediate);
    subject.next(1);
    controller.abort(new Error('too late'));
    expect(subject.observed).toBe(false);
    await expect(last).rejects.toThrow('too late');
    await expect(lastItemOf(subject, controller.signal)).rejects.toThrow('too late');
    expect(subject.observed).toBe(false);
  });
});
