/**
 * A queue in memory: messages in their order, consumers in their turns, and the ways in which a message leaves without having
 * been handled: expired, pushed out, rejected, returned too often.
 */
import type { BrokerClock } from './broker-clock.js';
import type { BrokerMessage, DeathReason } from './broker-message.js';
import { type QueueConsumer, QueueConsumers } from './queue-consumers.js';
import type { QueueDeclaration, QueueSettings } from './queue-settings.js';

/** A message in a queue; `unacked` while a consumer has it. */
export interface QueueEntry {
  /** Its place in the queue. */
  order: number;
  readonly message: BrokerMessage;
  /** Epoch ms. */
  readonly expiresAt: number | undefined;
  /** How often it came back. */
  returns: number;
  wasDelivered: boolean;
}

export interface DeliveringConsumer extends QueueConsumer {
  /** False: what it is given counts as handled. */
  readonly wantsAcks: boolean;
  deliver(queue: MemoryQueue, entry: QueueEntry): void;
  /** The queue is gone, or shall be thought so. */
  cancelled(): void;
}

interface QueueHost {
  readonly clock: BrokerClock;
  deadLettered(queue: MemoryQueue, message: BrokerMessage, reason: DeathReason): void;
  /** Nobody needs the queue any more. */
  unwanted(queue: MemoryQueue): void;
}

/** What a consumer makes of what it was given. */
export type Outcome = 'ack' | 'requeue' | 'reject';

/** Before every message that has not been delivered yet. */
const FRONT = -Number.MAX_SAFE_INTEGER;

/** Who has a queue to itself, and takes it along. */
export type QueueOwner = object | undefined;

export class MemoryQueue {
  readonly consumers: QueueConsumers<DeliveringConsumer>;
  #ready: QueueEntry[] = [];
  readonly #unacked = new Set<QueueEntry>();
  #order = 0;
  #takenBack = 0;
  #endExpiry: (() => void) | undefined;
  #endUnused: (() => void) | undefined;
  #isDelivering = false;

  constructor(
    readonly declaration: QueueDeclaration,
    readonly settings: QueueSettings,
    readonly owner: QueueOwner,
    private readonly host: QueueHost,
  ) {
    const { isSingleActive, type } = settings;
    this.consumers = new QueueConsumers({ isSingleActive, prefersPriority: type === 'quorum' });
    this.used();
  }

  get name(): string {
    return this.declaration.name;
  }

  get readyCount(): number {
    return this.#ready.length;
  }

  get unackedCount(): number {
    return this.#unacked.size;
  }

  /** Whether its messages wait for time to pass, for the dead-letter exchange. */
  get isWaitingRoom(): boolean {
    return this.consumers.count === 0 && this.settings.deadLetterExchange !== undefined;
  }

  /** @returns whether it was taken; otherwise its publisher gets a nack */
  enqueue(message: BrokerMessage): boolean {
    const { overflow } = this.settings;
    if (overflow !== 'drop-head' && this.#isFull) {
      if (overflow === 'reject-publish-dlx') this.host.deadLettered(this, message, 'maxlen');
      return false;
    }
    this.#insert({
      order: ++this.#order,
      message,
      expiresAt: this.#expiryOf(message),
      returns: 0,
      wasDelivered: false,
    });
    this.#flow();
    return true;
  }

  /** The next message, for basic.get. */
  take(wantsAcks: boolean): QueueEntry | undefined {
    this.used();
    const entry = this.#ready.shift();
    if (entry !== undefined) this.#handOut(entry, wantsAcks);
    this.#flow();
    return entry;
  }

  /** All of them go back before the first one is delivered again. */
  settle(entries: readonly QueueEntry[], outcome: Outcome): void {
    // Those of a queue that was deleted meanwhile are gone.
    const known = entries.filter((entry) => this.#unacked.delete(entry));
    for (const entry of known)
      if (outcome === 'requeue') this.#takeBack(entry);
      else if (outcome === 'reject') this.#die(entry, 'rejected');
    this.#flow();
  }

  consume(consumer: DeliveringConsumer): void {
    this.consumers.add(consumer);
    this.used();
    this.#flow();
  }

  cancel(consumer: DeliveringConsumer): void {
    if (!this.consumers.remove(consumer)) return;
    this.used();
    if (this.declaration.autoDelete && this.consumers.count === 0) this.host.unwanted(this);
    else this.#flow();
  }

  /** @returns how many there were */
  purge(): number {
    const { length } = this.#ready;
    this.#ready = [];
    this.#flow();
    return length;
  }

  /** The prefetch of one of its consumers has room again. */
  roomMade(): void {
    this.#flow();
  }

  /** What waits in it, for those who look and do not take. */
  peek(): readonly BrokerMessage[] {
    return this.#ready.map(({ message }) => message);
  }

  /** A queue with `x-expires` is deleted when it was not used for so long. */
  used(): void {
    this.#endUnused?.();
    this.#endUnused = undefined;
    const { expiresMs } = this.settings;
    if (expiresMs === undefined || this.consumers.count > 0) return;
    this.#endUnused = this.host.clock.after(expiresMs, () => this.host.unwanted(this));
  }

  /** The queue is gone, and its consumers are told. */
  end(): void {
    this.#endExpiry?.();
    this.#endUnused?.();
    this.#ready = [];
    this.#unacked.clear();
    for (const consumer of this.consumers.all) {
      this.consumers.remove(consumer);
      consumer.cancelled();
    }
  }

  get #isFull(): boolean {
    const { maxLength = Infinity, maxBytes = Infinity } = this.settings;
    return this.#ready.length >= maxLength || this.#readyBytes >= maxBytes;
  }

  get #readyBytes(): number {
    return this.#ready.reduce((sum, { message }) => sum + message.bytes, 0);
  }

  #expiryOf({ expirationMs }: BrokerMessage): number | undefined {
    const { messageTtlMs } = this.settings;
    const ttl = Math.min(messageTtlMs ?? Infinity, expirationMs ?? Infinity);
    return ttl === Infinity ? undefined : this.host.clock.now + ttl;
  }

  /** Where its priority and its place put it. */
  #insert(entry: QueueEntry): void {
    const at = this.#ready.findIndex((other) => this.#isBefore(entry, other));
    if (at < 0) this.#ready.push(entry);
    else this.#ready.splice(at, 0, entry);
  }

  #isBefore(one: QueueEntry, other: QueueEntry): boolean {
    const [mine, theirs] = [this.#priorityOf(one), this.#priorityOf(other)];
    return mine > theirs || (mine === theirs && one.order < other.order);
  }

  #priorityOf({ message }: QueueEntry): number {
    return Math.min(message.properties.priority ?? 0, this.settings.maxPriority);
  }

  /** Delivers, then expires and pushes out what nobody took, then waits for the next expiry. */
  #flow(): void {
    // A delivery may settle or publish at once; what that changes is seen by the loop that runs.
    if (this.#isDelivering) return;
    this.#isDelivering = true;
    try {
      do this.#deliverAll();
      while (this.#dropOne());
    } finally {
      this.#isDelivering = false;
    }
    this.#awaitExpiry();
  }

  #deliverAll(): void {
    for (;;) {
      this.#expireHead();
      if (this.#ready.length === 0) return;
      const consumer = this.consumers.next();
      if (consumer === undefined) return;
      const entry = this.#ready.shift() as QueueEntry;
      this.#handOut(entry, consumer.wantsAcks);
      consumer.deliver(this, entry);
    }
  }

  #takeBack(entry: QueueEntry): void {
    entry.returns += 1;
    const { type, deliveryLimit } = this.settings;
    if (type === 'quorum' && entry.returns > deliveryLimit) return this.#die(entry, 'delivery_limit');
    // To a classic queue it comes back at its old place, to a quorum queue at the front, behind those that were there before it.
    if (type === 'quorum') entry.order = FRONT + ++this.#takenBack;
    this.#insert(entry);
  }

  #handOut(entry: QueueEntry, wantsAcks: boolean): void {
    if (wantsAcks) this.#unacked.add(entry);
  }

  /** With a time to live of 0 a message is delivered at once, or not at all: so one that is due now may still go out. */
  #expireHead(): void {
    const { now } = this.host.clock;
    const isOver = ({ expiresAt = Infinity }: QueueEntry): boolean =>
      expiresAt < now || (expiresAt === now && !this.consumers.all.some((consumer) => consumer.canTake()));
    for (let [head] = this.#ready; head !== undefined && isOver(head); [head] = this.#ready) {
      this.#ready.shift();
      this.#die(head, 'expired');
    }
  }

  #dropOne(): boolean {
    const { maxLength = Infinity, maxBytes = Infinity, overflow } = this.settings;
    if (overflow !== 'drop-head') return false;
    if (this.#ready.length <= maxLength && this.#readyBytes <= maxBytes) return false;
    this.#die(this.#ready.shift() as QueueEntry, 'maxlen');
    return true;
  }

  #awaitExpiry(): void {
    this.#endExpiry?.();
    this.#endExpiry = undefined;
    const expiresAt = this.#ready[0]?.expiresAt;
    if (expiresAt === undefined) return;
    this.#endExpiry = this.host.clock.after(Math.max(0, expiresAt - this.host.clock.now), () => this.#flow());
  }

  #die({ message }: QueueEntry, reason: DeathReason): void {
    this.host.deadLettered(this, message, reason);
  }
}
