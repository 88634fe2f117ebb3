/**
 * Messages that the broker has not confirmed yet, within a bound of count and bytes.
 *
 *   publish() -> [waiting room] -> queued -> in flight -> confirmed
 *
 * What is in flight counts too: after a lost link it has to be sent again, so it has to be kept. At the bound `whenFull`
 * decides: `wait` (a waiting room of a quarter of its size, then reject), `reject`, or `drop-oldest` (the oldest unsent message
 * is rejected for the new one). Nothing is ever dropped without its caller being told.
 */
import { OutboxFullError, type PublishAddress } from '../../errors/publish-errors.js';
import { checkNumber, checkOptionsObject, oneOf } from '../../base/option-checks.js';
import { Fifo } from '../../base/fifo.js';

/** Bounds of what a publisher holds in memory. With the defaults it takes less than 64 MB at its fullest, waiting room included. */
export interface OutboxOptions {
  /** Messages held, unsent and unconfirmed together. @unit messages @default 10_000 */
  maxMessages?: number;
  /**
   * Bytes of bodies and headers held. A single message larger than that may go when nothing else is held.
   * @default 16_777_216 (16 MiB)
   */
  maxBytes?: number;
  /**
   * How `publish()` behaves at the bound.
   * - `wait`: waits for room, until its timeout. The waiting room is bounded too, at a quarter of `maxMessages` and
   *   `maxBytes` beyond the outbox itself; when it is full, `publish()` rejects with RMQ_OUTBOX_FULL. A producer that awaits
   *   each publish, or `whenReady()`, never gets there.
   * - `reject`: rejects with RMQ_OUTBOX_FULL at once.
   * - `drop-oldest`: rejects the oldest message that was never sent, with RMQ_OUTBOX_FULL, and takes the new one.
   * @default 'wait'
   */
  whenFull?: 'wait' | 'reject' | 'drop-oldest';
}

export type ResolvedOutbox = Required<OutboxOptions>;

/** For messages that something else bounds: each waits until the socket takes it. */
export const UNBOUNDED: ResolvedOutbox = {
  maxMessages: Number.MAX_SAFE_INTEGER,
  maxBytes: Number.MAX_SAFE_INTEGER,
  whenFull: 'reject',
};

/** The waiting room's bounds, of the outbox's. */
const WAITING_ROOM_SHARE = 1 / 4;

/** @throws {@link OptionsError} */
export function resolveOutbox(options: OutboxOptions = {}, path = 'outbox'): ResolvedOutbox {
  checkOptionsObject(options, ['maxMessages', 'maxBytes', 'whenFull'], path);
  const { maxMessages = 10_000, maxBytes = 16 * 1024 * 1024, whenFull = 'wait' } = options;
  checkNumber(maxMessages, { min: 1, max: 10_000_000, unit: 'messages', integer: true }, `${path}.maxMessages`);
  checkNumber(maxBytes, { min: 1024, max: Number.MAX_SAFE_INTEGER, unit: 'bytes', integer: true }, `${path}.maxBytes`);
  oneOf(whenFull, ['wait', 'reject', 'drop-oldest'], `${path}.whenFull`);
  return { maxMessages, maxBytes, whenFull };
}

export interface OutboxEntry extends PublishAddress {
  readonly bytes: number;
  /** Settles the caller's promise; the first call counts. */
  settle(error?: Error): void;
  readonly isSettled: boolean;
  /** It may have reached the broker: dropping it would invite a duplicate under another id. */
  readonly wasSent: boolean;
  /** Set by the outbox while the entry counts towards its bound. */
  isHeld: boolean;
}

export class Outbox<E extends OutboxEntry> {
  readonly #queued = new Fifo<E>();
  readonly #waiting = new Fifo<E>();
  #heldMessages = 0;
  #heldBytes = 0;
  #waitingMessages = 0;
  #waitingBytes = 0;

  readonly #waitingRoom: { readonly maxMessages: number; readonly maxBytes: number };

  constructor(readonly bounds: ResolvedOutbox) {
    const { maxMessages, maxBytes } = bounds;
    this.#waitingRoom = {
      maxMessages: Math.ceil(maxMessages * WAITING_ROOM_SHARE),
      maxBytes: Math.ceil(maxBytes * WAITING_ROOM_SHARE),
    };
  }

  /** Held: queued and in flight. */
  get messages(): number {
    return this.#heldMessages;
  }

  get bytes(): number {
    return this.#heldBytes;
  }

  /** Publishes that wait for room. */
  get waiting(): number {
    return this.#waitingMessages;
  }

  /** How many more messages of no size it would take without waiting. */
  get room(): number {
    if (this.#waitingMessages > 0 || this.#heldBytes >= this.bounds.maxBytes) return 0;
    return this.bounds.maxMessages - this.#heldMessages;
  }

  /** Why even the smallest message would not be taken now, if it would not: known before anything is encoded. */
  get refusal(): string | undefined {
    const isFull = this.#waitingMessages > 0 || this.#heldMessages >= this.bounds.maxMessages;
    if (!isFull || this.bounds.whenFull === 'drop-oldest') return undefined;
    if (this.bounds.whenFull === 'wait' && this.#waitingMessages < this.#waitingRoom.maxMessages) return undefined;
    return this.#notTaken;
  }

  /** Takes the entry in, lets it wait, or settles it with {@link OutboxFullError}. */
  add(entry: E): void {
    if (this.#waiting.size > 0) this.#admitWaiting();
    if (this.#waitingMessages === 0 && this.#hasRoomFor(entry)) return this.#hold(entry);
    switch (this.bounds.whenFull) {
      case 'wait':
        return this.#letWait(entry);
      case 'drop-oldest':
        return this.#makeRoomFor(entry);
      case 'reject':
        entry.settle(this.#notAccepted(entry));
    }
  }

  /** The next entry to send; it stays held until {@link release}. Entries that were settled meanwhile are skipped. */
  next(): E | undefined {
    for (let entry = this.#queued.shift(); entry !== undefined; entry = this.#queued.shift()) {
      if (!entry.isSettled) return entry;
    }
    return undefined;
  }

  /** Back to the front, in order: sent, but never confirmed. */
  putBack(entries: readonly E[]): void {
    this.#queued.unshiftAll(entries);
  }

  /** The entry is settled: its room, if it had any, is free. */
  release(entry: E): void {
    if (!entry.isHeld) return;
    entry.isHeld = false;
    this.#heldMessages -= 1;
    this.#heldBytes -= entry.bytes;
    if (this.#waiting.size > 0) this.#admitWaiting();
  }

  /** Lets go of entries that were settled while they waited for a link or for room; call it after some were. */
  forgetSettled(): void {
    this.#queued.keepOnly((entry) => !entry.isSettled);
    this.#waiting.keepOnly((entry) => !entry.isSettled);
    this.#waitingMessages = this.#waiting.size;
    this.#waitingBytes = 0;
    for (const entry of this.#waiting) this.#waitingBytes += entry.bytes;
    this.#admitWaiting();
  }

  /** Everything that is not in flight: queued, then waiting for room. */
  *unsent(): IterableIterator<E> {
    yield* this.#queued;
    yield* this.#waiting;
  }

  #hold(entry: E): void {
    this.#heldMessages += 1;
    this.#heldBytes += entry.bytes;
    this.#queued.push(entry);
    entry.isHeld = true;
  }

  #letWait(entry: E): void {
    const { maxMessages, maxBytes } = this.#waitingRoom;
    const isFull =
      this.#waitingMessages >= maxMessages ||
      (this.#waitingMessages > 0 && this.#waitingBytes + entry.bytes > maxBytes);
    if (isFull) return entry.settle(this.#notAccepted(entry));
    this.#waitingMessages += 1;
    this.#waitingBytes += entry.bytes;
    this.#waiting.push(entry);
  }

  #makeRoomFor(entry: E): void {
    // Whoever is told of a drop may publish at once and take the room again.
    while (!this.#hasRoomFor(entry)) {
      const victims = this.#oldestInTheWayOf(entry);
      if (victims.length === 0) return entry.settle(this.#notAccepted(entry));
      for (const victim of victims)
        victim.settle(new OutboxFullError(victim, `was dropped for a newer one: the outbox held ${this.#held}`));
      this.#queued.dropWhile((queued) => queued.isSettled);
    }
    this.#hold(entry);
  }

  /** The unsent entries that have to go for this one; none if even all of them would not be enough, so that none goes in vain. */
  #oldestInTheWayOf(entry: E): E[] {
    const victims: E[] = [];
    let messages = this.#heldMessages;
    let bytes = this.#heldBytes;
    for (const queued of this.#queued) {
      if (queued.isSettled || queued.wasSent) continue;
      victims.push(queued);
      messages -= 1;
      bytes -= queued.bytes;
      if (this.#fits(entry, messages, bytes)) return victims;
    }
    return [];
  }

  #admitWaiting(): void {
    for (;;) {
      const first = this.#firstWaiting();
      if (first === undefined || !this.#hasRoomFor(first)) return;
      this.#takeFirstWaiting();
      this.#hold(first);
    }
  }

  /** Drops settled ones from the front. */
  #firstWaiting(): E | undefined {
    for (const entry of this.#waiting) {
      if (!entry.isSettled) return entry;
      this.#takeFirstWaiting();
    }
    return undefined;
  }

  #takeFirstWaiting(): void {
    const entry = this.#waiting.shift();
    if (entry === undefined) return;
    this.#waitingMessages -= 1;
    this.#waitingBytes -= entry.bytes;
  }

  #hasRoomFor(entry: E): boolean {
    return this.#fits(entry, this.#heldMessages, this.#heldBytes);
  }

  /** A single message larger than `maxBytes` may go when nothing else is held; else it could never go. */
  #fits(entry: E, heldMessages: number, heldBytes: number): boolean {
    const { maxMessages, maxBytes } = this.bounds;
    return heldMessages < maxMessages && (heldMessages === 0 || heldBytes + entry.bytes <= maxBytes);
  }

  #notAccepted(entry: E): OutboxFullError {
    return new OutboxFullError(entry, this.#notTaken);
  }

  get #notTaken(): string {
    return `was not accepted: the outbox holds ${this.#held}`;
  }

  get #held(): string {
    const waiting = this.#waitingMessages > 0 ? `, and ${this.#waitingMessages} wait for room` : '';
    return `${this.#heldMessages} messages and ${this.#heldBytes} bytes${waiting}`;
  }
}
