/**
 * Decides whether a delivery that came back may be handled, has to be counted first, or is poison; see redeliveries.ts.
 *
 * Danger: a consumer must not depend on publishing. While an alarm blocks publishers, it is the consumers who end the
 * alarm. So what cannot be counted now is handled uncounted.
 */
import type { Clock } from '../../clock.js';
import type { ConnectionEvent } from '../../connection/connection-events.js';
import { asError, PoisonMessageError } from '../../errors.js';
import { type CopyTransport, isUnwritable } from './copy-transport.js';
import type { Delivery } from '../delivery.js';
import { isSuspect, type OwnReturns, redeliveryVerdict } from './redeliveries.js';
import { moveToEndOfQueue } from './redelivery-copy.js';
import type { WantedSubscription } from '../subscription.js';
import { ReceivedProperties } from '../../wire/received-properties.js';
import { SuspectLane } from './suspect-lane.js';

export interface AdmissionHost {
  readonly clock: Clock;
  readonly copies: CopyTransport;
  /** To the subscription's queue, from the hands of this process. */
  readonly ownReturns: OwnReturns;
  event(event: ConnectionEvent): void;
}

/** A handler waits no longer for the count of its message... */
const COUNT_TIMEOUT_MS = 5_000;
/** ... and, once that was in vain, for so long not at all. */
const COUNT_PAUSE_MS = 30_000;

export class Admission {
  /** Only where a message that comes back may have to be counted by us. */
  readonly #ownReturns: OwnReturns | undefined;
  readonly #suspects: SuspectLane;
  #countsAgainAt = -Infinity;
  #cannotCount = false;
  /** Each until the broker has read the ack of its original. */
  readonly #copying = new Set<Promise<boolean>>();

  constructor(
    private readonly wanted: WantedSubscription,
    private readonly host: AdmissionHost,
    private readonly isPoison: (delivery: Delivery, error: PoisonMessageError) => Promise<void>,
  ) {
    this.#suspects = new SuspectLane(host.clock);
    if (mayBringPoison(wanted)) this.#ownReturns = host.ownReturns;
  }

  /** What waits for its turn is handed back. */
  stop(): void {
    this.#suspects.stop();
  }

  /** It goes back to its queue, and not because anybody died. */
  goesBack(delivery: Delivery): void {
    this.#ownReturns?.add(delivery);
  }

  /** Whether it comes for the first time; else {@link admit} decides. */
  isNew(delivery: Delivery): boolean {
    return !delivery.isBack && delivery.redeliveries === 0;
  }

  /** For one that has come back. `handle` is called when the time has come; what it answers ends a suspect's turn. */
  async admit(delivery: Delivery, handle: () => Promise<void>): Promise<void> {
    const { maxRedeliveries } = this.wanted;
    const isOwnReturn = delivery.isBack && (this.#ownReturns?.take(delivery) ?? true);
    const verdict = redeliveryVerdict(
      {
        isBack: delivery.isBack,
        deliveryCount: delivery.headers['x-delivery-count'],
        acquiredCount: delivery.headers['x-acquired-count'],
        counted: delivery.redeliveries,
        isOwnReturn,
      },
      maxRedeliveries,
    );
    const { redeliveries } = verdict;
    // Our copy comes sooner than the confirm that lets us ack the original. If it killed us before the broker has read that
    // ack, both would come back, and be copied again: twice as many with every death.
    if (!delivery.isBack) await Promise.all(this.#copying);
    if (verdict.kind === 'poison')
      return this.isPoison(delivery, new PoisonMessageError(redeliveries, maxRedeliveries));
    if (verdict.kind === 'count' && (await this.#counted(delivery, redeliveries))) return;
    if (isOwnReturn || !isSuspect(redeliveries, maxRedeliveries)) return handle();
    const isHandled = await this.#suspects.run(async () => {
      // Its link may be gone by now: it comes again.
      if (delivery.isLive) await handle();
    });
    if (!isHandled) delivery.leave();
  }

  /** Told once, for as long as it lasts: meanwhile a message that kills its process is not found. */
  #countFailed(cause: Error): void {
    this.#countsAgainAt = this.host.clock.now() + COUNT_PAUSE_MS;
    if (this.#cannotCount) return;
    this.#cannotCount = true;
    this.host.event({ type: 'redelivery-not-counted', subscription: this.wanted.name, cause });
  }

  async #counted(delivery: Delivery, redeliveries: number): Promise<boolean> {
    const copying = this.#count(delivery, redeliveries);
    this.#copying.add(copying);
    try {
      return await copying;
    } finally {
      this.#copying.delete(copying);
    }
  }

  /** Whether it was counted, and so comes again. Does not throw. */
  async #count(delivery: Delivery, redeliveries: number): Promise<boolean> {
    const { name: subscription } = this.wanted;
    const { clock, copies } = this.host;
    // What cannot be read cannot be copied; it is given up as soon as somebody tries to decode it.
    if (ReceivedProperties.faultOf(delivery.properties) !== undefined) return false;
    if (clock.now() < this.#countsAgainAt) return false;
    try {
      await moveToEndOfQueue(delivery, redeliveries, copies, COUNT_TIMEOUT_MS);
    } catch (thrown) {
      if (!isUnwritable(thrown)) this.#countFailed(asError(thrown));
      return false;
    }
    this.#cannotCount = false;
    delivery.ack();
    await delivery.acksRead();
    const { messageId } = delivery;
    this.host.event({ type: 'redelivery-counted', subscription, messageId, redeliveries });
    return true;
  }
}

/** A queue that dies with its link brings nothing back after a death, and streams give nothing back. */
function mayBringPoison({ isOwnQueue, maxRedeliveries, isStream }: WantedSubscription): boolean {
  return !isOwnQueue && maxRedeliveries !== Infinity && !isStream;
}
