import { describe, expect, it } from '@jest/globals';
import { OptionsError } from '../../errors/options-error.js';
import { OutboxFullError } from '../../errors/publish-errors.js';
import { Outbox, type OutboxEntry, type OutboxOptions, resolveOutbox } from './outbox.js';

class Entry implements OutboxEntry {
  readonly exchange = '';
  readonly routingKey = 'work';
  isHeld = false;
  wasSent = false;
  error: Error | undefined;
  isSettled = false;
  /** As the publisher does: what is settled makes room. */
  constructor(
    readonly messageId: string,
    readonly bytes: number,
    private readonly outbox: Outbox<Entry>,
    private readonly told: (entry: Entry) => void = () => undefined,
  ) {}

  settle(error?: Error): void {
    if (this.isSettled) return;
    this.isSettled = true;
    this.error = error;
    this.outbox.release(this);
    this.told(this);
  }
}

function outboxWith(options: OutboxOptions) {
  const outbox = new Outbox<Entry>(resolveOutbox(options));
  const entries = new Map<string, Entry>();
  const add = (messageId: string, bytes = 1, told?: (entry: Entry) => void): Entry => {
    const entry = new Entry(messageId, bytes, outbox, told);
    entries.set(messageId, entry);
    outbox.add(entry);
    return entry;
  };
  const full = () => [...entries.values()].filter(({ error }) => error instanceof OutboxFullError).map(idOf);
  const send = (): string | undefined => outbox.next()?.messageId;
  return { outbox, add, full, send, entry: (id: string) => entries.get(id) as Entry };
}

const idOf = ({ messageId }: Entry): string => messageId;
const KB = 1024;

describe('when there is room', () => {
  it('sends in the order of arrival, and keeps what was sent until it is settled', () => {
    const { outbox, add, send, entry } = outboxWith({});
    for (const id of ['a', 'b', 'c']) add(id, 10);
    expect([send(), send()]).toEqual(['a', 'b']);
    expect(outbox).toMatchObject({ messages: 3, bytes: 30, waiting: 0 });
    entry('a').settle();
    expect(outbox).toMatchObject({ messages: 2, bytes: 20 });
    expect([send(), send()]).toEqual(['c', undefined]);
  });

  it('sends what comes back after a lost link first, in its old order', () => {
    const { outbox, add, send, entry } = outboxWith({});
    for (const id of ['a', 'b', 'c']) add(id);
    expect([send(), send()]).toEqual(['a', 'b']);
    outbox.putBack([entry('a'), entry('b')]);
    expect([...outbox.unsent()].map(idOf)).toEqual(['a', 'b', 'c']);
    expect([send(), send(), send()]).toEqual(['a', 'b', 'c']);
    expect(outbox.messages).toBe(3);
  });

  it('skips what was settled before it could be sent', () => {
    const { outbox, add, send, entry } = outboxWith({});
    for (const id of ['a', 'b', 'c']) add(id);
    entry('b').settle(new Error('too late'));
    expect([send(), send(), send()]).toEqual(['a', 'c', undefined]);
    expect(outbox.messages).toBe(2);
  });

  it('stays in order over a hundred thousand messages that come and go', () => {
    const { outbox, add, entry } = outboxWith({ maxMessages: 100_000 });
    let next = 0;
    for (let i = 0; i < 100_000; i++) {
      add(`${i}`);
      if (i % 3 !== 2) continue;
      for (let times = 0; times < 2; times++) {
        expect(outbox.next()).toBe(entry(`${next}`));
        entry(`${next++}`).settle();
      }
    }
    expect(outbox.messages).toBe(100_000 - next);
  });
});

describe("when it is full, with whenFull 'reject'", () => {
  it.each([
    ['messages', { maxMessages: 2 }, 1],
    ['bytes', { maxBytes: 2 * KB }, KB],
  ])('counts %s, and tells the one that does not fit', (_, bound, bytes) => {
    const { outbox, add, full, entry } = outboxWith({ ...bound, whenFull: 'reject' });
    for (const id of ['a', 'b', 'c']) add(id, bytes);
    expect(full()).toEqual(['c']);
    expect(entry('c').error?.message).toMatch(
      /^Message c to queue "work" was not accepted: the outbox holds 2 messages/,
    );
    entry('a').settle();
    add('d', bytes);
    expect(full()).toEqual(['c']);
    expect(outbox.messages).toBe(2);
  });

  it('counts what is on its way to the broker', () => {
    const { add, full, send } = outboxWith({ maxMessages: 2, whenFull: 'reject' });
    for (const id of ['a', 'b']) add(id);
    send();
    send();
    add('c');
    expect(full()).toEqual(['c']);
  });

  it('lets a single message through that is larger than the whole bound, when nothing else is held', () => {
    const { add, full, entry } = outboxWith({ maxBytes: KB, whenFull: 'reject' });
    add('large', 5 * KB);
    add('small', 1);
    expect(full()).toEqual(['small']);
    entry('large').settle();
    add('small again', 1);
    add('large again', 5 * KB);
    expect(full()).toEqual(['small', 'large again']);
  });
});

describe("when it is full, with whenFull 'wait'", () => {
  const EIGHT = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];

  it('lets a quarter of its bound wait, and admits them in order as room is made', () => {
    const { outbox, add, full, send, entry } = outboxWith({ maxMessages: 8 });
    for (const id of [...EIGHT, 'i', 'j', 'k']) add(id);
    expect(full()).toEqual(['k']);
    expect(outbox).toMatchObject({ messages: 8, waiting: 2 });
    expect(EIGHT.map(send)).toEqual(EIGHT);
    expect(send()).toBeUndefined();
    entry('b').settle();
    expect(outbox).toMatchObject({ messages: 8, waiting: 1 });
    expect(send()).toBe('i');
    entry('a').settle();
    entry('i').settle();
    expect(send()).toBe('j');
    expect(outbox).toMatchObject({ messages: 7, waiting: 0 });
  });

  it('bounds the waiting room by bytes too', () => {
    const { outbox, add, full } = outboxWith({ maxBytes: 8 * KB });
    for (const id of [...EIGHT, 'i', 'j', 'k']) add(id, KB);
    expect(full()).toEqual(['k']);
    expect(outbox).toMatchObject({ messages: 8, bytes: 8 * KB, waiting: 2 });
  });

  it('lets nobody overtake those that wait, not even one that would fit', () => {
    const { add, send, entry } = outboxWith({ maxBytes: 2 * KB });
    add('a', KB);
    add('large', 1.5 * KB);
    expect(send()).toBe('a');
    expect(send()).toBeUndefined();
    entry('a').settle();
    add('small', 1);
    expect([send(), send()]).toEqual(['large', 'small']);
  });

  it('gives the room of those that gave up waiting to others, wherever they stood', () => {
    const { outbox, add, full, entry, send } = outboxWith({ maxMessages: 8 });
    for (const id of [...EIGHT, 'i', 'j']) add(id);
    EIGHT.forEach(send);
    // The one behind gives up; the one before it goes on waiting.
    entry('j').settle(new Error('too late'));
    add('k');
    expect(full()).toEqual(['k']);
    outbox.forgetSettled();
    expect(outbox.waiting).toBe(1);
    add('l');
    expect(full()).toEqual(['k']);
    entry('a').settle();
    entry('b').settle();
    expect([send(), send()]).toEqual(['i', 'l']);
  });

  it('says beforehand when nothing more is taken, and how much room there is', () => {
    const { outbox, add, entry } = outboxWith({ maxMessages: 8 });
    expect(outbox.room).toBe(8);
    for (const id of [...EIGHT, 'i']) add(id);
    expect(outbox).toMatchObject({ room: 0, refusal: undefined });
    add('j');
    expect(outbox.refusal).toMatch(/holds 8 messages and 8 bytes, and 2 wait for room/);
    entry('a').settle();
    entry('b').settle();
    expect(outbox).toMatchObject({ room: 0, refusal: undefined });
    entry('c').settle();
    expect(outbox.room).toBe(1);
  });
});

describe("when it is full, with whenFull 'drop-oldest'", () => {
  it('drops the oldest unsent one for the new one, and says so', () => {
    const { outbox, add, full, entry, send } = outboxWith({ maxMessages: 2, whenFull: 'drop-oldest' });
    for (const id of ['a', 'b', 'c', 'd']) add(id);
    expect(full()).toEqual(['a', 'b']);
    expect(entry('a').error?.message).toMatch(/was dropped for a newer one: the outbox held 2 messages/);
    expect([send(), send(), send()]).toEqual(['c', 'd', undefined]);
    expect(outbox.messages).toBe(2);
  });

  it('never drops what is on its way: then the new one is not accepted', () => {
    const { add, full, send } = outboxWith({ maxMessages: 2, whenFull: 'drop-oldest' });
    for (const id of ['a', 'b']) add(id);
    send();
    add('c');
    expect(full()).toEqual(['b']);
    send();
    add('d');
    expect(full()).toEqual(['b', 'd']);
  });

  it('prefers those that were never sent to those that were and wait to be sent again, however old', () => {
    const { outbox, add, full, entry, send } = outboxWith({ maxMessages: 3, whenFull: 'drop-oldest' });
    for (const id of ['a', 'b', 'c']) add(id);
    send();
    send();
    // The link was lost: they may have arrived, so dropping them would invite duplicates under other ids.
    for (const id of ['a', 'b']) entry(id).wasSent = true;
    outbox.putBack([entry('a'), entry('b')]);
    add('d');
    expect(full()).toEqual(['c']);
    add('e');
    expect(full()).toEqual(['c', 'd']);
    expect([send(), send(), send()]).toEqual(['a', 'b', 'e']);
  });

  it('drops as many as are needed for a large one, and none if even all would not be enough', () => {
    const { outbox, add, full, send } = outboxWith({ maxBytes: 4 * KB, whenFull: 'drop-oldest' });
    for (const id of ['a', 'b', 'c', 'd']) add(id, KB);
    add('two', 2 * KB);
    expect(full()).toEqual(['a', 'b']);
    // 'c' is on its way: 3 KB are left, and 3.5 KB do not fit, whatever else is dropped.
    expect(send()).toBe('c');
    add('too large', 3.5 * KB);
    expect(full()).toEqual(['a', 'b', 'too large']);
    expect([send(), send()]).toEqual(['d', 'two']);
    expect(outbox.bytes).toBe(4 * KB);
  });

  it('loses nobody when the one that is told publishes again at once', () => {
    const { outbox, add, full, send } = outboxWith({ maxMessages: 2, whenFull: 'drop-oldest' });
    add('a', 1, () => add('again'));
    add('b');
    add('c');
    const sent = [send(), send(), send()];
    expect(outbox.messages).toBe(2);
    // Everybody was either told or is sent.
    expect([...full(), ...sent].filter((id) => id !== undefined).sort()).toEqual(['a', 'again', 'b', 'c']);
  });
});

describe('when nothing can be sent for a long time', () => {
  it.each(['reject', 'wait', 'drop-oldest'] as const)('keeps nothing that was given up (%s)', (whenFull) => {
    const { outbox, add } = outboxWith({ maxMessages: 10, whenFull });
    for (let round = 0; round < 100; round++) {
      const entries = Array.from({ length: 25 }, (_, i) => add(`${round}-${i}`));
      for (const entry of entries) entry.settle(new Error('too late'));
      outbox.forgetSettled();
    }
    expect([...outbox.unsent()]).toEqual([]);
    expect(outbox).toMatchObject({ messages: 0, bytes: 0, waiting: 0 });
  });
});

describe('when its options are checked', () => {
  it.each([
    [{ maxMessages: 0 }, 'outbox.maxMessages'],
    [{ maxMessages: 1.5 }, 'outbox.maxMessages'],
    [{ maxBytes: 1 }, 'outbox.maxBytes'],
    [{ whenFull: 'block' as never }, 'outbox.whenFull'],
    [{ max: 1 } as never, 'outbox'],
  ])('refuses %j and names the option', (options, path) => {
    expect(() => resolveOutbox(options)).toThrow(OptionsError);
    expect(() => resolveOutbox(options)).toThrow(new RegExp(`^${path.replace('.', '\\.')}`));
  });

  it('has defaults', () => {
    expect(resolveOutbox()).toEqual({ maxMessages: 10_000, maxBytes: 16 * KB * KB, whenFull: 'wait' });
  });
});
