/**
 * Decides whether a delivery that came back may be handled, has to be counted first, or is poison; see redeliveries.ts.
 *
 * Danger: a consumer must not depend on publishing. While an alarm blocks publishers, it is the consumers who end the
 * alarm. So what cannot be counted now is handled uncounted.
 */
import type { Clock } from '../clock.js';
import type { ConnectionEvent } from '../connection/connection-events.js';
import { PoisonMessageError } from '../errors.js';
import { type CopyTransport, isUnwritable } from './copy-transport.js';
import type { Delivery } from './delivery.js';
import { RecentlyInHand, redeliveryVerdict } from './redeliveries.js';
import { moveToEndOfQueue } from './redelivery-copy.js';
import type { WantedSubscription } from './subscription.js';

export interface AdmissionHost {
  readonly clock: Clock;
  readonly copies: CopyTransport;
  event(event: ConnectionEvent): void;
}

/** A handler waits no longer for the count of its message... */
const COUNT_TIMEOUT_MS = 5_000;
/** ... and, once that was in vain, for so long not at all. */
const COUNT_PAUSE_MS = 30_000;
const REMEMBERED_IDS = 1_000;

export class Admission {
  readonly #inHand: RecentlyInHand;
  #countsAgainAt = -Infinity;

  constructor(
    private readonly wanted: WantedSubscription,
    private readonly host: AdmissionHost,
    private readonly isPoison: (delivery: Delivery, error: PoisonMessageError) => Promise<void>,
  ) {
    this.#inHand = new RecentlyInHand(Math.max(REMEMBERED_IDS, wanted.prefetch));
  }

  /** `true`: handle it. A promise: it has come back; handle it if that answers `true`, else it is settled. */
  admit(delivery: Delivery): true | Promise<boolean> {
    if (delivery.isBack) return this.#admitBack(delivery);
    this.#inHand.add(delivery);
    return true;
  }

  async #admitBack(delivery: Delivery): Promise<boolean> {
    const { maxRedeliveries } = this.wanted;
    const isKnown = this.#inHand.has(delivery);
    this.#inHand.add(delivery);
    const verdict = redeliveryVerdict(
      {
        isBack: true,
        deliveryCount: delivery.headers['x-delivery-count'],
        acquiredCount: delivery.headers['x-acquired-count'],
        counted: delivery.redeliveries,
        isKnown,
      },
      maxRedeliveries,
    );
    if (verdict.kind === 'handle') return true;
    if (verdict.kind === 'count') return !(await this.#count(delivery, verdict.redeliveries));
    await this.isPoison(delivery, new PoisonMessageError(verdict.redeliveries, maxRedeliveries));
    return false;
  }

  /** Whether it was counted, and so comes again. */
  async #count(delivery: Delivery, redeliveries: number): Promise<boolean> {
    const { isOwnQueue, maxRedeliveries, name: subscription } = this.wanted;
    const { clock, copies } = this.host;
    // A queue that dies with its link brings nothing back after a death.
    if (isOwnQueue || maxRedeliveries === Infinity || clock.now() < this.#countsAgainAt) return false;
    try {
      await moveToEndOfQueue(delivery, redeliveries, copies, COUNT_TIMEOUT_MS);
    } catch (thrown) {
      if (!isUnwritable(thrown)) this.#countsAgainAt = clock.now() + COUNT_PAUSE_MS;
      return false;
    }
    delivery.ack();
    const { messageId } = delivery;
    this.host.event({ type: 'redelivery-counted', subscription, messageId, redeliveries });
    return true;
  }
}
