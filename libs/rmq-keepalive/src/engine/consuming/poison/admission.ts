/**
 * Decides whether a delivery that came back may be handled, has to be copied first, or is poison; see redeliveries.ts.
 *
 * Danger: a consumer must not depend on publishing. While an alarm blocks publishers, it is the consumers who end the
 * alarm. So what cannot be copied now is handled uncounted. From a quorum queue it must not be given back then: a handler that
 * requeues would be at the broker's limit within milliseconds. Such a requeue waits until a copy can be sent.
 */
import type { Clock } from '../../base/clock.js';
import type { ConnectionEvent } from '../../reporting/events.js';
import { DeliveryLimitError, PoisonMessageError } from '../../errors/delivery-errors.js';
import type { CopyTransport } from '../../copies/copy-transport.js';
import type { DeadLetterReason } from '../delivery/settlement.js';
import type { Delivery } from '../delivery/delivery.js';
import { isSuspect, type OwnReturns, redeliveryVerdict, type RedeliveryVerdict } from './redeliveries.js';
import { RedeliveryCopies } from './redelivery-copies.js';
import { isRetryQueue } from '../../copies/retry-queues.js';
import type { WantedSubscription } from '../options/subscription.js';
import { SuspectTurns } from './suspect-turns.js';

export interface AdmissionNeeds {
  readonly clock: Clock;
  readonly copies: CopyTransport;
  /** To the subscription's queue, from the hands of this process. */
  readonly ownReturns: OwnReturns;
  event(event: ConnectionEvent): void;
}

export class Admission {
  /** Only where a message that comes back may have to be counted by us. */
  readonly #ownReturns: OwnReturns | undefined;
  readonly #suspects: SuspectTurns;
  readonly #copies: RedeliveryCopies;
  /** Handled although they should have been copied. */
  readonly #uncopied = new WeakSet<Delivery>();

  constructor(
    private readonly wanted: WantedSubscription,
    needs: AdmissionNeeds,
    private readonly giveUp: (delivery: Delivery, reason: DeadLetterReason, error: Error) => Promise<void>,
  ) {
    this.#suspects = new SuspectTurns(needs.clock);
    this.#copies = new RedeliveryCopies(wanted.name, needs);
    if (mayBringPoison(wanted)) this.#ownReturns = needs.ownReturns;
  }

  /** What waits for its turn is handed back. */
  end(): void {
    this.#suspects.end();
  }

  /** It goes back to its queue, and not because anybody died. */
  goesBack(delivery: Delivery): void {
    this.#ownReturns?.add(delivery);
  }

  /** Given back as it is, it might be dropped by the broker. */
  mustNotGoBack(delivery: Delivery): boolean {
    return this.#uncopied.has(delivery);
  }

  /** Whether it comes for the first time; else {@link admit} decides. */
  isNew(delivery: Delivery): boolean {
    return !delivery.isBack && delivery.redeliveries === 0 && delivery.renewals === 0;
  }

  /** For one that has come back. `handle` is called when the time has come; what it answers ends a suspect's turn. */
  async admit(delivery: Delivery, handle: () => Promise<void>): Promise<void> {
    const { maxRedeliveries } = this.wanted;
    const isOwnReturn = delivery.isBack && (this.#ownReturns?.take(delivery) ?? true);
    const verdict = this.#verdictOn(delivery, isOwnReturn);
    const { redeliveries } = verdict;
    // Our copy comes sooner than the confirm that lets us ack the original. If it killed us before the broker has read that
    // ack, both would come back, and be copied again: twice as many with every death.
    if (!delivery.isBack) await this.#copies.untilAcksRead();
    if (verdict.kind === 'poison')
      return this.giveUp(delivery, 'poison', new PoisonMessageError(redeliveries, maxRedeliveries));
    if (verdict.kind === 'count' && (await this.#copies.replace(delivery, verdict)) === 'replaced') return;
    if (verdict.kind === 'renew' && (await this.#isRenewed(delivery, verdict))) return;
    if (isOwnReturn || !isSuspect(redeliveries, maxRedeliveries)) return this.#copies.handled(delivery, handle);
    const isHandled = await this.#suspects.run(async () => {
      // Its link may be gone by now: it comes again.
      if (delivery.isLive) await this.#copies.handled(delivery, handle);
    });
    if (!isHandled) delivery.leave();
  }

  /** Whether it comes again as a copy, or is a dead letter now. */
  async #isRenewed(delivery: Delivery, verdict: RedeliveryVerdict & { kind: 'renew' }): Promise<boolean> {
    const { deadLetter } = this.wanted;
    const replacement = await this.#copies.replace(delivery, verdict);
    if (replacement === 'not-now') this.#uncopied.add(delivery);
    if (replacement !== 'never' || deadLetter === false) return replacement === 'replaced';
    await this.giveUp(delivery, 'delivery-limit', new DeliveryLimitError(delivery.queue, verdict.returns));
    return true;
  }

  #verdictOn(delivery: Delivery, isOwnReturn: boolean): RedeliveryVerdict {
    const facts = {
      isBack: delivery.isBack,
      deliveryCount: delivery.headers['x-delivery-count'],
      acquiredCount: delivery.headers['x-acquired-count'],
      counted: delivery.redeliveries,
      isOwnReturn,
      isDeadLetter: isDeadLetter(delivery),
    };
    return redeliveryVerdict(facts, this.wanted);
  }
}

/** What waited for its next attempt was never delivered from where it waited. */
function isDeadLetter({ headers, queue, redeliveries, renewals }: Delivery): boolean {
  const from = headers['x-last-death-queue'];
  return redeliveries === 0 && renewals === 0 && typeof from === 'string' && from !== queue && !isRetryQueue(from);
}

/** A queue that dies with its link brings nothing back after a death, and streams give nothing back. */
function mayBringPoison({ isOwnQueue, maxRedeliveries, isStream }: WantedSubscription): boolean {
  return !isOwnQueue && maxRedeliveries !== Infinity && !isStream;
}
