/** Finds out whether an exclusive consumer is one: the broker consents to it also on queues that ignore it. */
import type { Clock } from '../../base/clock.js';
import type { ConnectionEvent } from '../../reporting/events.js';
import type { Link } from '../../link/link.js';
import { mayIgnoreExclusive } from '../options/one-consumer-options.js';
import { askForQueueType, type QueueType } from './queue-type.js';
import type { WantedSubscription } from '../options/subscription.js';

export class Exclusivity {
  #queueType: QueueType | undefined;

  constructor(
    private readonly wanted: WantedSubscription,
    private readonly host: { readonly clock: Clock; event(event: ConnectionEvent): void },
  ) {}

  /** Others may consume beside it. */
  get isIgnored(): boolean {
    return this.#queueType !== undefined && this.#queueType !== 'classic';
  }

  /** Asks, where nobody has said of which type the queue is, until the broker has answered once. Does not reject. */
  async attached({ link, queueName: queue }: { link: Link; queueName: string }): Promise<void> {
    const { exclusive, isOwnQueue, name: subscription } = this.wanted;
    if (!exclusive || this.#queueType !== undefined || !mayIgnoreExclusive(this.wanted.queue, isOwnQueue)) return;
    const queueType = await askForQueueType(link, queue, this.host.clock);
    this.#queueType = queueType;
    if (queueType !== undefined && this.isIgnored)
      this.host.event({ type: 'exclusive-ignored', subscription, queue, queueType });
  }
}
