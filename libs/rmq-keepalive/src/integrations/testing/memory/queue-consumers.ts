/** Who consumes from a queue, and whose turn it is: the highest priority first, and in turns among equals. */

/** A consumer, as its queue sees it. */
export interface QueueConsumer {
  readonly tag: string;
  readonly isExclusive: boolean;
  readonly priority: number;
  /** Whether its prefetch has room. */
  canTake(): boolean;
}

export class QueueConsumers<Consumer extends QueueConsumer> {
  #list: Consumer[] = [];
  #active: Consumer | undefined;

  constructor(private readonly how: { readonly isSingleActive: boolean; readonly prefersPriority: boolean }) {}

  get count(): number {
    return this.#list.length;
  }

  get all(): readonly Consumer[] {
    return this.#list;
  }

  get hasExclusive(): boolean {
    return this.#list.some(({ isExclusive }) => isExclusive);
  }

  add(consumer: Consumer): void {
    this.#list.push(consumer);
    if (this.how.isSingleActive && (this.#active === undefined || this.how.prefersPriority)) this.#choose();
  }

  remove(consumer: Consumer): boolean {
    const before = this.#list.length;
    this.#list = this.#list.filter((other) => other !== consumer);
    if (this.#active === consumer) {
      this.#active = undefined;
      this.#choose();
    }
    return this.#list.length < before;
  }

  /** Who gets the next message, if anybody has room for it. The others of its priority come before it next time. */
  next(): Consumer | undefined {
    if (this.how.isSingleActive) return this.#active?.canTake() === true ? this.#active : undefined;
    let best: Consumer | undefined;
    for (const consumer of this.#list)
      if (consumer.canTake() && (best === undefined || consumer.priority > best.priority)) best = consumer;
    if (best !== undefined) this.#list = [...this.#list.filter((other) => other !== best), best];
    return best;
  }

  /** The active one stays, unless a quorum queue has one of a higher priority. */
  #choose(): void {
    if (!this.how.isSingleActive) return;
    for (const consumer of this.#list)
      if (this.#active === undefined || (this.how.prefersPriority && consumer.priority > this.#active.priority))
        this.#active = consumer;
  }
}
