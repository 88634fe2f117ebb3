/** A consumer on its channel: what it is given becomes a delivery, within its prefetch. */
import type { DeliveringConsumer, MemoryQueue, QueueEntry } from './memory-queue.js';

export interface ConsumerWish {
  readonly tag: string;
  readonly wantsAcks: boolean;
  readonly isExclusive: boolean;
  readonly priority: number;
  /** 0: as many as there are. */
  readonly prefetch: number;
}

interface ConsumerHost {
  /** Whether the channel's own prefetch has room. */
  hasRoom(): boolean;
  deliver(consumer: ChannelConsumer, entry: QueueEntry): void;
  cancelled(consumer: ChannelConsumer): void;
}

export class ChannelConsumer implements DeliveringConsumer {
  #unacked = 0;

  constructor(
    readonly queue: MemoryQueue,
    private readonly wish: ConsumerWish,
    private readonly host: ConsumerHost,
  ) {}

  get tag(): string {
    return this.wish.tag;
  }

  get wantsAcks(): boolean {
    return this.wish.wantsAcks;
  }

  get isExclusive(): boolean {
    return this.wish.isExclusive;
  }

  get priority(): number {
    return this.wish.priority;
  }

  canTake(): boolean {
    if (!this.wantsAcks) return true;
    const { prefetch } = this.wish;
    return (prefetch === 0 || this.#unacked < prefetch) && this.host.hasRoom();
  }

  deliver(_: MemoryQueue, entry: QueueEntry): void {
    if (this.wantsAcks) this.#unacked += 1;
    this.host.deliver(this, entry);
  }

  settled(): void {
    this.#unacked -= 1;
  }

  cancelled(): void {
    this.host.cancelled(this);
  }
}
