import { beforeEach, describe, expect, it } from '@jest/globals';
import type { ConsumeMessage } from 'amqplib';
import { ManualClock } from '../../../../../../test/support/manual-clock.js';
import type { ConnectionEvent } from '../../reporting/events.js';
import { Deduplication } from './deduplication.js';
import { type DeduplicationOptions, resolveDeduplication } from '../options/deduplication-options.js';
import {
  type ClaimAnswer,
  type DeduplicationClaim,
  type DeduplicationStore,
  MemoryDeduplicationStore,
} from '../options/deduplication-store.js';
import { CopySignatures } from '../../copies/copy-signatures.js';
import { Delivery, type DeliveryOrigin } from '../delivery/delivery.js';
import { Settlement } from '../delivery/settlement.js';

const TTL_MS = 60_000;
const ONE_BY_ONE = { ack: 'auto', batch: undefined } as const;
let clock: ManualClock;
let events: ConnectionEvent[];
let counters: { duplicatesSkipped: number };
let handled: string[];
let settlements: string[];

beforeEach(() => {
  clock = new ManualClock();
  events = [];
  counters = { duplicatesSkipped: 0 };
  handled = [];
  settlements = [];
});

function deduplication(options: Partial<DeduplicationOptions> = {}): Deduplication {
  const resolved = resolveDeduplication({ ttlMs: TTL_MS, ...options }, ONE_BY_ONE, 'deduplicate')!;
  const host = { clock, event: (event: ConnectionEvent) => events.push(event), beforeHandler: () => undefined };
  return new Deduplication('orders', resolved, host, counters);
}

interface TestOrigin extends DeliveryOrigin {
  isLive: boolean;
}

function delivery(messageId: string | undefined): { delivery: Delivery; origin: TestOrigin } {
  const origin: TestOrigin = {
    isLive: true,
    needsSettling: true,
    takesBack: true,
    signatures: new CopySignatures(),
    settle: (_, kind) => settlements.push(kind),
    stale: () => undefined,
    acksRead: () => Promise.resolve(),
    replaced: () => undefined,
  };
  const message = { content: Buffer.alloc(0), fields: {}, properties: { messageId } } as unknown as ConsumeMessage;
  return { delivery: new Delivery('orders', 'orders', message, origin), origin };
}

/** A handler whose end the spec decides. */
function slowHandler(id: string): { run: () => Promise<unknown>; end: (result?: unknown) => void; fail: () => void } {
  let end!: (result?: unknown) => void;
  let fail!: () => void;
  const outcome = new Promise<unknown>((resolve, reject) => {
    end = resolve;
    fail = () => reject(new Error('handler failed'));
  });
  const run = (): Promise<unknown> => {
    handled.push(id);
    return outcome;
  };
  return { run, end, fail };
}

const handle = (id: string) => (): void => void handled.push(id);
const failures = (): unknown[] => events.flatMap((event) => (event.type === 'deduplication-failed' ? event.step : []));

/** The memory of several processes, with failures on demand. */
class SharedStore implements DeduplicationStore {
  readonly calls: string[] = [];
  isBroken = false;
  isSilent = false;
  readonly holders = new Map<string, string>();
  readonly handled = new Set<string>();

  async claim({ messageId, holder }: DeduplicationClaim, claimTtlMs: number): Promise<ClaimAnswer> {
    await this.called(`claim ${messageId} for ${claimTtlMs}`);
    if (this.handled.has(messageId)) return 'done';
    const present = this.holders.get(messageId);
    if (present !== undefined && present !== holder) return 'busy';
    this.holders.set(messageId, holder);
    return 'new';
  }

  async done({ messageId }: DeduplicationClaim, ttlMs: number): Promise<void> {
    await this.called(`done ${messageId} for ${ttlMs}`);
    this.handled.add(messageId);
  }

  async release({ messageId, holder }: DeduplicationClaim): Promise<void> {
    await this.called(`release ${messageId}`);
    if (this.holders.get(messageId) === holder) this.holders.delete(messageId);
  }

  private async called(call: string): Promise<void> {
    this.calls.push(call);
    if (this.isSilent) await new Promise(() => undefined);
    if (this.isBroken) throw new Error('connection refused by postgres://shop:secret@db');
  }
}

describe('a message that comes again', () => {
  it('is skipped, acked and counted, for as long as it is remembered', async () => {
    const dedup = deduplication();
    await dedup.around(delivery('m1').delivery, handle('m1'));
    const result = await dedup.around(delivery('m1').delivery, handle('m1 again'));

    expect(handled).toEqual(['m1']);
    expect(result).toEqual(Settlement.ack());
    expect(counters.duplicatesSkipped).toBe(1);
    expect(events).toEqual([{ type: 'duplicate-skipped', subscription: 'orders', messageId: 'm1' }]);

    await clock.advance(TTL_MS);
    await dedup.around(delivery('m1').delivery, handle('m1 after its time'));
    expect(handled).toEqual(['m1', 'm1 after its time']);
  });

  it.each([undefined, ''])('is never skipped without an id (%j)', async (id) => {
    const dedup = deduplication();
    await dedup.around(delivery(id).delivery, handle('first'));
    await dedup.around(delivery(id).delivery, handle('second'));
    expect(handled).toEqual(['first', 'second']);
  });

  it('is handled again when its handler failed, and the failure is the handler’s own', async () => {
    const dedup = deduplication();
    const failing = (): never => {
      throw new Error('no stock');
    };
    await expect(dedup.around(delivery('m1').delivery, failing)).rejects.toThrow('no stock');
    await dedup.around(delivery('m1').delivery, handle('m1'));
    expect(handled).toEqual(['m1']);
  });

  it.each([
    ['returned requeue', () => Settlement.requeue()],
    ['returned reject', () => Settlement.reject()],
    ['requeued it by hand', (it: Delivery) => void it.requeue()],
    ['rejected it by hand', (it: Delivery) => void it.reject()],
  ])('is handled again when its handler %s', async (_, refuse) => {
    const dedup = deduplication();
    const first = delivery('m1').delivery;
    await dedup.around(first, () => refuse(first));
    await dedup.around(delivery('m1').delivery, handle('m1'));
    expect(handled).toEqual(['m1']);
  });

  it('is skipped when a shutdown gave it back and its handler succeeded after all', async () => {
    const store = new SharedStore();
    const dedup = deduplication({ store });
    const { run, end } = slowHandler('m1');
    const first = delivery('m1').delivery;
    const running = dedup.around(first, run);
    await clock.advance(0);
    dedup.end();
    first.requeue();
    dedup.handedBack(first);
    end();
    await running;
    await deduplication({ store }).around(delivery('m1').delivery, handle('elsewhere'));
    expect(handled).toEqual(['m1']);
  });
});

describe('a copy of a message that is being handled', () => {
  it('waits, and is skipped once the handler has succeeded', async () => {
    const dedup = deduplication();
    const { run, end } = slowHandler('m1');
    const first = dedup.around(delivery('m1').delivery, run);
    const copy = dedup.around(delivery('m1').delivery, handle('copy'));
    await clock.advance(5_000);
    expect(handled).toEqual(['m1']);
    end();
    await first;
    await clock.advance(1_000);
    await copy;
    expect(handled).toEqual(['m1']);
    expect(counters.duplicatesSkipped).toBe(1);
  });

  it('waits, and runs once the handler has failed', async () => {
    const dedup = deduplication();
    const { run, fail } = slowHandler('m1');
    const first = dedup.around(delivery('m1').delivery, run);
    const copy = dedup.around(delivery('m1').delivery, handle('copy'));
    await clock.advance(100);
    fail();
    await expect(first).rejects.toThrow('handler failed');
    await clock.advance(1_000);
    await copy;
    expect(handled).toEqual(['m1', 'copy']);
  });

  it('is given back at once when consuming stops', async () => {
    const dedup = deduplication();
    const { run, end } = slowHandler('m1');
    const first = dedup.around(delivery('m1').delivery, run);
    const waiting = dedup.around(delivery('m1').delivery, handle('copy'));
    await clock.advance(10);
    dedup.end();
    await waiting;
    expect(settlements).toEqual(['requeue']);
    expect(handled).toEqual(['m1']);
    end();
    await first;
  });

  it('is left to the broker when its link was lost meanwhile', async () => {
    const dedup = deduplication();
    const { run, fail } = slowHandler('m1');
    const first = dedup.around(delivery('m1').delivery, run);
    const { delivery: copy, origin } = delivery('m1');
    const waiting = dedup.around(copy, handle('copy'));
    await clock.advance(10);
    origin.isLive = false;
    fail();
    await expect(first).rejects.toThrow();
    await clock.advance(1_000);
    await waiting;
    expect(handled).toEqual(['m1']);
  });
});

describe('a claim in a shared store', () => {
  it('is renewed every third of its time while the handler runs, and no longer', async () => {
    const store = new SharedStore();
    const dedup = deduplication({ store, claimTtlMs: 3_000 });
    const { run, end } = slowHandler('m1');
    const running = dedup.around(delivery('m1').delivery, run);
    await clock.advance(3_500);
    expect(store.calls).toEqual(Array<string>(4).fill('claim m1 for 3000'));
    end();
    await running;
    await clock.advance(10_000);
    expect(store.calls.slice(4)).toEqual([`done m1 for ${TTL_MS}`]);
  });

  it('is not renewed after its release, by an answer that was on its way', async () => {
    const store = new SharedStore();
    const dedup = deduplication({ store, claimTtlMs: 3_000 });
    const { run, fail } = slowHandler('m1');
    const running = dedup.around(delivery('m1').delivery, run);
    await clock.advance(999);
    const renewing = clock.advance(1);
    fail();
    await expect(running).rejects.toThrow('handler failed');
    await renewing;
    expect(store.holders.size).toBe(0);
    expect(store.calls.at(-1)).toBe('release m1');
  });

  it('that was taken over is reported, and the effect is remembered all the same', async () => {
    const store = new SharedStore();
    const dedup = deduplication({ store, claimTtlMs: 3_000 });
    const { run, end } = slowHandler('m1');
    const running = dedup.around(delivery('m1').delivery, run);
    await clock.advance(0);
    store.holders.set('m1', 'somebody else');
    await clock.advance(3_000);
    expect(failures()).toEqual(['renew']);
    end();
    await running;
    expect(store.handled).toEqual(new Set(['m1']));
  });
});

describe('when the store fails', () => {
  it('keeps the delivery and asks again, less and less often', async () => {
    const store = new SharedStore();
    store.isBroken = true;
    const dedup = deduplication({ store });
    const running = dedup.around(delivery('m1').delivery, handle('m1'));
    await clock.advance(7_500);
    expect(failures()).toEqual(['claim', 'claim', 'claim', 'claim']);
    expect(handled).toEqual([]);
    store.isBroken = false;
    await clock.advance(8_000);
    await running;
    expect(handled).toEqual(['m1']);
  });

  it('hands back what it kept when consuming stops', async () => {
    const store = new SharedStore();
    store.isBroken = true;
    const dedup = deduplication({ store });
    const running = dedup.around(delivery('m1').delivery, handle('m1'));
    await clock.advance(10);
    dedup.end();
    await running;
    expect(settlements).toEqual(['requeue']);
    expect(handled).toEqual([]);
  });

  it('handles the message at once where twice is better than late', async () => {
    const store = new SharedStore();
    store.isBroken = true;
    await deduplication({ store, onStoreError: 'handle' }).around(delivery('m1').delivery, handle('m1'));
    expect(handled).toEqual(['m1']);
    expect(failures()).toEqual(['claim', 'done']);
  });

  it('does not wait for ever for an answer', async () => {
    const store = new SharedStore();
    store.isSilent = true;
    const dedup = deduplication({ store, onStoreError: 'handle' });
    const running = dedup.around(delivery('m1').delivery, handle('m1'));
    await clock.advance(10_000);
    expect(handled).toEqual(['m1']);
    await clock.advance(10_000);
    await running;
  });

  it.each(['done', 'release'] as const)('in %s(), the handler’s outcome stands', async (step) => {
    const store = new SharedStore();
    const dedup = deduplication({ store });
    const run = (): string => {
      store.isBroken = true;
      if (step === 'release') throw new Error('no stock');
      return 'result';
    };
    const running = dedup.around(delivery('m1').delivery, run);
    if (step === 'release') await expect(running).rejects.toThrow('no stock');
    else await expect(running).resolves.toBe('result');
    expect(failures()).toEqual([step]);
  });

  it('says so without the secrets of its own error', async () => {
    const store = new SharedStore();
    store.isBroken = true;
    await deduplication({ store, onStoreError: 'handle' }).around(delivery('m1').delivery, handle('m1'));
    expect(events[0]).toMatchObject({
      type: 'deduplication-failed',
      cause: {
        code: 'RMQ_DEDUPLICATION_FAILED',
        message:
          'The deduplication store of "orders" could not claim message m1: connection refused by postgres://***@db; the message is handled all the same',
      },
    });
  });

  it('with an answer that is none, the store counts as failed', async () => {
    const store = new SharedStore();
    store.claim = () => Promise.resolve('yes' as ClaimAnswer);
    await deduplication({ store, onStoreError: 'handle' }).around(delivery('m1').delivery, handle('m1'));
    expect(failures()).toEqual(['claim']);
  });
});

describe('the memory of one process', () => {
  const claim = (messageId: string, holder = 'me'): DeduplicationClaim => ({
    subscription: 'orders',
    messageId,
    holder,
  });

  it('forgets the message handled longest ago when it is full', () => {
    const memory = new MemoryDeduplicationStore(clock, 2);
    for (const id of ['a', 'b', 'c']) memory.done(claim(id), TTL_MS);
    expect(['a', 'b', 'c'].map((id) => memory.claim(claim(id)))).toEqual(['new', 'done', 'done']);
  });

  it('forgets what is over its time while new messages are handled', async () => {
    const memory = new MemoryDeduplicationStore(clock, 100);
    memory.done(claim('a'), TTL_MS);
    await clock.advance(TTL_MS);
    memory.done(claim('b'), TTL_MS);
    expect(memory.size).toBe(1);
  });

  it('lets only the holder end a claim', () => {
    const memory = new MemoryDeduplicationStore(clock, 2);
    expect(memory.claim(claim('a'))).toBe('new');
    memory.release(claim('a', 'somebody else'));
    expect(memory.claim(claim('a', 'somebody else'))).toBe('busy');
    expect(memory.claim(claim('a'))).toBe('new');
    memory.release(claim('a'));
    expect(memory.claim(claim('a', 'somebody else'))).toBe('new');
  });
});

describe('options that cannot be meant', () => {
  const store = new SharedStore();
  it.each([
    [{}, 'ttlMs', /undefined is not a number of milliseconds/],
    [{ ttlMs: 0 }, 'ttlMs', /0 is not a number of milliseconds from 1/],
    [{ ttlMs: 1, store: {} }, 'store', /has no method claim\(\)/],
    [{ ttlMs: 1, store: null }, 'store', /null has no method claim\(\)/],
    [{ ttlMs: 1, store, maxEntries: 5 }, 'maxEntries', /with a store it would have no effect/],
    [{ ttlMs: 1, claimTtlMs: 5_000 }, 'claimTtlMs', /with no store it would have no effect/],
    [{ ttlMs: 1, onStoreError: 'skip' }, 'onStoreError', /"skip" is not known/],
    [{ ttlMs: 1, ttl: 2 }, undefined, /no option "ttl".*"ttlMs"/],
  ])('%j are refused', (options, name, problem) => {
    const refused = (): unknown =>
      resolveDeduplication(options as unknown as DeduplicationOptions, ONE_BY_ONE, 'deduplicate');
    expect(refused).toThrow(problem);
    expect(refused).toThrow(
      expect.objectContaining({
        code: 'RMQ_OPTIONS_INVALID',
        option: name === undefined ? 'deduplicate' : `deduplicate.${name}`,
      }),
    );
  });

  it.each([
    [{ ack: 'manual', batch: undefined } as const, /nobody says when/],
    [{ ack: 'none', batch: undefined } as const, /nobody says when/],
    [{ ack: 'auto', batch: { size: 10, waitMs: 100 } } as const, /a batch is handled as a whole/],
  ])('are refused with %j', (handling, problem) => {
    expect(() => resolveDeduplication({ ttlMs: 1 }, handling, 'deduplicate')).toThrow(problem);
  });
});
