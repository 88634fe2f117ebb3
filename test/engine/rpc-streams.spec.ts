import { describe, expect, it } from '@jest/globals';
import { EventEmitter, on } from 'node:events';
import { from, interval, Observable, of, range, Subject } from 'rxjs';
import { type ConnectionStatus, type Delivery, RpcFailure } from 'nestjs-rmq-keepalive';
import { useFaults } from '../support/fault-fixture.js';
import { openConnection, rpcPair } from '../support/rpc-pair.js';
import { until } from '../support/until.js';

const faults = useFaults();

describe('a stream of replies', () => {
  const rows = { queue: 'rows' };

  async function streaming(make: (payload: never, delivery: Delivery) => unknown) {
    const both = await rpcPair(faults);
    both.answering.answer<never>(rows, make);
    await both.untilAttached();
    const all = async (options?: object): Promise<unknown[]> => {
      const items: unknown[] = [];
      for await (const item of both.rpc.stream(rows, 1, options)) items.push(item);
      return items;
    };
    return { ...both, all };
  }

  async function* count(to: number): AsyncGenerator<number> {
    for (let n = 0; n < to; n++) yield n;
  }

  const upTo = (to: number): number[] => Array.from({ length: to }, (_, n) => n);
  const rpcOf = (status: ConnectionStatus) => status.rpc;

  it.each<[string, () => unknown, unknown[]]>([
    ['an async iterable', () => count(500), upTo(500)],
    ['an Observable', () => from(upTo(500)), upTo(500)],
    ['an Observable of an iterable, as interceptors make it', () => of(count(3)), [0, 1, 2]],
    ['a promise of one', async () => count(2), [0, 1]],
    ['one value', () => 'only', ['only']],
    ['an empty iterable', () => count(0), []],
  ])('comes from %s, in order and complete', async (_, make, items) => {
    const { all, asking, answering } = await streaming(make);
    expect(await all()).toEqual(items);
    expect(await all({ window: 1 })).toEqual(items);
    await until('both are acked', () => answering.status().counters.acked === 2);
    expect(rpcOf(asking.status())).toMatchObject({ finished: 2, outstanding: 0, lateReplies: 0 });
    expect(rpcOf(answering.status())).toMatchObject({ streaming: 0 });
  });

  it('is its last item for who asks for one answer', async () => {
    const { rpc } = await streaming(() => from([1, 2, 3]));
    expect(await rpc.request(rows, 1)).toBe(3);
  });

  it('is its last item also where there are more than a reader could be kept waiting with', async () => {
    const { rpc } = await streaming(() => range(0, 20_001));
    expect(await rpc.request(rows, 1)).toBe(20_000);
  });

  it.each([
    ['its time is over', { handlerTimeoutMs: 300 }],
    ['its link is lost', {}],
  ])('without an end is left by who asks for one answer when %s', async (how, options) => {
    const proxy = await faults.proxy();
    const answering = await openConnection(faults, { urls: proxy.url(faults.vhost.url) });
    const { rpc } = await openConnection(faults);
    let [subscribed, left] = [0, 0];
    answering.answer({ ...rows, ...options }, () => {
      subscribed += 1;
      if (subscribed > 1) return 'answered by the next one';
      return new Observable((subscriber) => {
        const ticks = interval(10).subscribe(subscriber);
        return () => {
          left += 1;
          ticks.unsubscribe();
        };
      });
    });
    await until('it consumes', () => answering.status().consumers.attached === 1);
    const answer = Promise.allSettled([rpc.request(rows, 1)]);
    await until('it runs', () => subscribed === 1);
    if (how === 'its link is lost') proxy.reset();
    await until('it is left', () => left === 1);
    const [result] = await answer;
    if (how === 'its link is lost') expect(result).toMatchObject({ value: 'answered by the next one' });
    else expect(result).toMatchObject({ reason: { code: 'RMQ_RPC_REMOTE', remoteCode: 'RMQ_HANDLER_TIMEOUT' } });
    await until('none runs', () => answering.status().counters.handlersRunning === 0);
  });

  it("ends with the handler's error, after the items before it", async () => {
    const { rpc } = await streaming(async function* () {
      yield 1;
      throw new RpcFailure('no more', { code: 'DRY' });
    });
    const items: unknown[] = [];
    const read = async (): Promise<void> => {
      for await (const item of rpc.stream(rows, 1)) items.push(item);
    };
    await expect(read()).rejects.toMatchObject({ remoteCode: 'DRY' });
    expect(items).toEqual([1]);
  });

  it('is complete, however much of it waits for the socket', async () => {
    const item = 'x'.repeat(500_000);
    const { rpc, asking, answering } = await streaming(async function* () {
      for (let n = 0; n < 150; n++) yield item;
    });
    let items = 0;
    for await (const one of rpc.stream<string>(rows, 1, { window: 100 })) items += one.length === item.length ? 1 : 0;
    expect(items).toBe(150);
    expect(rpcOf(answering.status())).toMatchObject({ repliesLost: 0 });
    expect(asking.status().outbox.maxMessages).toBeLessThan(1e6);
    expect(answering.status().outbox.maxMessages).toBeLessThan(1e6);
  });

  it('goes on when there was no room to ask for more', async () => {
    // One message waits for the socket at a time; streams that ask for more in one turn are in each other's way.
    const { rpc, answering, untilAttached } = await rpcPair(faults, { outbox: { maxMessages: 1 } });
    answering.answer({ ...rows, prefetch: 20 }, () => count(120));
    await untilAttached();
    const streams = Array.from({ length: 20 }, () => rpc.stream<number>(rows, 1, { window: 100 }));
    const first: unknown[] = [];
    for (const stream of streams) first.push((await stream.next()).value);
    expect(first).toEqual(streams.map(() => 0));
    const rest = async (stream: AsyncIterableIterator<number>): Promise<number> => {
      let items = 0;
      for await (const _ of stream) items += 1;
      return items;
    };
    expect(await Promise.all(streams.map(rest))).toEqual(streams.map(() => 119));
  });

  it('reports what the handler threw, once, and does not try it again', async () => {
    const both = await rpcPair(faults);
    let runs = 0;
    both.answering.answer({ ...rows, retry: { attempts: 3, firstDelayMs: 10 } }, async function* () {
      runs += 1;
      yield 1;
      throw new Error('the cursor is gone');
    });
    await both.untilAttached();
    const reported: string[] = [];
    both.answering.on('handler-failed', ({ cause }) => reported.push(cause.message));
    const stream = both.rpc.stream(rows, 1);
    expect(await stream.next()).toMatchObject({ value: 1 });
    await expect(stream.next()).rejects.toMatchObject({ remoteMessage: 'the cursor is gone' });
    await until('it is acked', () => both.answering.status().counters.acked === 1);
    expect(reported).toEqual(['the cursor is gone']);
    expect(runs).toBe(1);
    expect(rpcOf(both.answering.status())).toMatchObject({ errorsSent: 1, streaming: 0 });
  });

  it('does not run ahead of a slow reader by more than its window', async () => {
    let produced = 0;
    const { rpc } = await streaming(async function* () {
      for (;;) yield produced++;
    });
    const stream = rpc.stream(rows, 1, { window: 10 });
    expect(await stream.next()).toEqual({ done: false, value: 0 });
    await until('the window is full', () => produced >= 10);
    // Time enough for thousands: each round trip is a chance to send more.
    const echo = await streaming2();
    for (let i = 0; i < 50; i++) await echo();
    expect(produced).toBe(10);
    for (let n = 1; n <= 100; n++) expect(await stream.next()).toEqual({ done: false, value: n });
    expect(produced).toBeLessThanOrEqual(112);
    await stream.return?.();

    async function streaming2() {
      const { rpc: other, answering, untilAttached } = await rpcPair(faults);
      answering.answer({ queue: 'echo' }, (payload) => payload);
      await untilAttached();
      return () => other.request({ queue: 'echo' }, 1);
    }
  });

  it.each<[string, (controller: AbortController) => AsyncGenerator<number> | Observable<number>]>([
    [
      'iterable',
      async function* () {
        for (let n = 0; ; n++) yield n;
      },
    ],
    [
      'Observable',
      () =>
        new Observable<number>((subscriber) => {
          let n = 0;
          const timer = setInterval(() => subscriber.next(n++), 1);
          return () => clearInterval(timer);
        }),
    ],
  ])('is cancelled over there when its reader leaves the loop: %s', async (_, make) => {
    let isTold = false;
    const { rpc, answering } = await streaming((_payload, delivery) => {
      delivery.signal.addEventListener('abort', () => (isTold = true));
      return make(new AbortController());
    });
    for await (const item of rpc.stream<number>(rows, 1)) if (item === 5) break;
    await until('it stopped', () => rpcOf(answering.status()).streaming === 0 && isTold);
    await until('it is acked', () => answering.status().counters.acked === 1);
  });

  it('is cancelled over there when its signal fires, also before the first item', async () => {
    let ended = 0;
    const { rpc, answering } = await streaming(async function* (_payload: never, { signal }: Delivery) {
      try {
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        yield 1;
      } finally {
        ended += 1;
      }
    });
    const controller = new AbortController();
    const reading = rpc.stream(rows, 1, { signal: controller.signal }).next();
    await until('it runs', () => rpcOf(answering.status()).streaming === 1);
    controller.abort(new Error('enough'));
    await expect(reading).rejects.toMatchObject({ code: 'RMQ_RPC_ABORTED' });
    await until('it stopped', () => ended === 1 && answering.status().counters.acked === 1);
  });

  it('that says nothing more is left when its reader leaves, and nothing keeps listening', async () => {
    const [subject, emitter] = [new Subject<number>(), new EventEmitter()];
    const { rpc, answering, untilAttached } = await streaming(() => subject);
    answering.answer({ queue: 'events' }, () => on(emitter, 'row'));
    await untilAttached();
    const [one, other] = [rpc.stream(rows, 1), rpc.stream({ queue: 'events' }, 1)];
    const reading = [one.next(), other.next()];
    await until('both listen', () => subject.observed && emitter.listenerCount('row') === 1);
    await one.return?.();
    await other.return?.();
    await until('nobody listens', () => !subject.observed && emitter.listenerCount('row') === 0);
    await Promise.all(reading);
    await until('both are acked', () => answering.status().counters.acked === 2);
  });

  it('is cancelled over there when its call ended before it began', async () => {
    let begin = (): void => undefined;
    const { rpc, answering, asking } = await streaming(async () => {
      await new Promise<void>((resolve) => (begin = resolve));
      return count(1e9);
    });
    const stream = rpc.stream(rows, 1);
    const reading = stream.next();
    await until('it was asked', () => answering.status().counters.handlersRunning === 1);
    await stream.return?.();
    expect(await reading).toEqual({ done: true, value: undefined });
    begin();
    await until('it is acked', () => answering.status().counters.acked === 1);
    expect(rpcOf(asking.status())).toMatchObject({ lateReplies: expect.any(Number) as unknown, outstanding: 0 });
  });

  it('times out when an item stays away, and not while its reader takes its time', async () => {
    let release = (): void => undefined;
    const { rpc } = await streaming(async function* () {
      yield 1;
      yield 2;
      yield 3;
      await new Promise<void>((resolve) => (release = resolve));
    });
    const timeoutMs = 1_200;
    const stream = rpc.stream(rows, 1, { timeoutMs, window: 1 });
    expect(await stream.next()).toMatchObject({ value: 1 });
    const takenAt = performance.now();
    await until('the reader took more time than an item has', () => performance.now() - takenAt > 1.25 * timeoutMs);
    // The second one waits for the reader, and the third one is not sent before that is taken.
    expect(await stream.next()).toMatchObject({ value: 2 });
    expect(await stream.next()).toMatchObject({ value: 3 });
    await expect(stream.next()).rejects.toMatchObject({ code: 'RMQ_RPC_TIMEOUT' });
    expect(await stream.next()).toEqual({ done: true, value: undefined });
    release();
  });

  it('that does not end by itself ends with an error at the deadline', async () => {
    const { rpc, answering, untilAttached } = await rpcPair(faults);
    answering.answer(rows, async function* () {
      for (let n = 0; ; n++) yield n;
    });
    await untilAttached();
    const items = rpc.stream(rows, 1);
    await items.next();
    const closing = answering.close({ drainTimeoutMs: 300 });
    const read = async (): Promise<void> => {
      for await (const _ of items);
    };
    await expect(read()).rejects.toMatchObject({ remoteCode: 'RMQ_CLOSED' });
    await closing;
  });
});
