/**
 * Another prefetch for a consumer that is attached.
 *
 * Danger: RabbitMQ has no other prefetch for a consumer that it has, so another consumer takes its place, on the same
 * channel, where what is in hand stays in hand. A queue may die with its last consumer (auto-delete), and what is in it.
 * Choice: the new consumer comes before the old one goes; but an exclusive one can only come after it, and where a stream
 * is to be read from is known only then. What waited, and what either consumer brought meanwhile, goes back when only the
 * new one is left: so it keeps its order.
 * Danger: with a single active consumer the new one stands behind those of other processes, and one of these is served as soon
 * as the old one is cancelled. So that is done when nothing of ours runs any more, and only to hold fewer: to hold more again
 * it waits for the next consumer.
 */
import type { ConnectionEvent } from '../../reporting/events.js';
import type { Consumer, DueVerdict } from './consumer.js';
import type { Holding } from '../handling/holding.js';
import { isSingleActive } from '../options/one-consumer-options.js';
import type { WantedSubscription } from '../options/subscription.js';

interface PrefetchChangeNeeds {
  /** With the new prefetch, on the same channel; `undefined`: it is not wanted any more. */
  consume(): Promise<{ tag: string; isCancelled: boolean } | undefined>;
  isWanted(): boolean;
  /** The broker cancelled the new consumer. */
  cancelled(): void;
  event(event: ConnectionEvent): void;
}

type ExchangeOrder = 'new-first' | 'old-first' | 'when-idle' | 'never';

function exchangeOrder({
  exclusive,
  isOwnQueue,
  ifQueueMissing,
  queue,
  takesBack,
}: Pick<WantedSubscription, 'exclusive' | 'isOwnQueue' | 'ifQueueMissing' | 'queue'> & {
  readonly takesBack: boolean;
}): ExchangeOrder {
  if (!takesBack) return 'old-first';
  if (isSingleActive(queue)) return 'when-idle';
  if (!exclusive) return 'new-first';
  const mayDieWithIt = isOwnQueue || ifQueueMissing === 'wait' || queue.options.autoDelete === true;
  return mayDieWithIt ? 'never' : 'old-first';
}

/** Whether the prefetch of a consumer that is attached can be made smaller, and as large again. */
export function canChangePrefetch(
  wanted: Pick<WantedSubscription, 'exclusive' | 'isOwnQueue' | 'ifQueueMissing' | 'queue'>,
): boolean {
  const order = exchangeOrder({ ...wanted, takesBack: true });
  return order === 'new-first' || order === 'old-first';
}

export class PrefetchChange {
  constructor(
    private readonly wanted: WantedSubscription,
    private readonly holding: Holding,
    private readonly needs: PrefetchChangeNeeds,
  ) {}

  /**
   * Waits, where that is needed, until {@link make} can follow; does not throw. What waits begins no more meanwhile.
   * @returns whether it shall follow
   */
  async prepare(consumer: Consumer, verdict: DueVerdict): Promise<boolean> {
    const order = this.#orderFor(consumer);
    if (verdict.kind === 'grow') {
      if (order === 'when-idle') this.holding.changeLater(verdict.prefetch);
      return order !== 'when-idle' && order !== 'never';
    }
    if (order !== 'when-idle') return true;
    // That may last: it goes back as it is, and comes again with its time begun anew.
    if (consumer.handBackAside() > 0) return false;
    consumer.intake.beginNoMore();
    if (await consumer.idleInTime()) return true;
    if (this.needs.isWanted() && consumer.isLive && consumer.consumerTag !== undefined) {
      consumer.handBackWaiting();
      consumer.intake.beginAgain();
    }
    return false;
  }

  /** Does not throw: if the channel ends meanwhile, that is told by itself. */
  async make(consumer: Consumer, verdict: DueVerdict): Promise<void> {
    const { intake } = consumer;
    const order = this.#orderFor(consumer);
    // Paused and resumed since then: there will be another verdict.
    if (order === 'when-idle' && (!intake.beginsNoMore || intake.unfinished > 0)) return;
    const from = this.holding.prefetch;
    if (verdict.kind === 'shrink') intake.beginNoMore();
    if (order !== 'never') this.holding.change(verdict.prefetch);
    let handedBack: number;
    try {
      if (order === 'old-first') await consumer.channel.cancel(consumer.consumerTag as string);
      if (order === 'new-first' || order === 'when-idle') await this.#exchange(consumer);
      handedBack = verdict.kind === 'shrink' ? consumer.handBackWaiting() : 0;
      // Not if the broker has cancelled it meanwhile.
      if (this.needs.isWanted() && consumer.consumerTag !== undefined) intake.beginAgain();
      if (order === 'old-first') await this.#exchange(consumer);
    } catch {
      return;
    }
    if (this.holding.prefetch === from) return;
    const { name: subscription } = this.wanted;
    const { prefetch: to, pace } = this.holding;
    this.needs.event({ type: 'prefetch-changed', subscription, from, to, handedBack, ...pace });
  }

  #orderFor({ takesBack }: Consumer): ExchangeOrder {
    return exchangeOrder({ ...this.wanted, takesBack });
  }

  /** Cancels the old consumer as well, where that is not gone. */
  async #exchange(consumer: Consumer): Promise<void> {
    const { channel, consumerTag: old } = consumer;
    const begun = await this.needs.consume();
    if (begun === undefined || old === undefined) return;
    // The broker may have cancelled the old one meanwhile; then all of this channel is given up.
    if (consumer.consumerTag !== old) return void (await channel.cancel(begun.tag));
    consumer.consumerTag = begun.tag;
    if (begun.isCancelled) return this.needs.cancelled();
    // Once more where it is gone already: the broker consents to the cancel of a consumer that it does not know.
    await channel.cancel(old);
  }
}
