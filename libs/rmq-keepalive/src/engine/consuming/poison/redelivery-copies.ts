/** Copies what came back to the end of its queue, with its counts, and acks it: see redeliveries.ts. */
import { isReadable } from '../../codec/readable.js';
import type { Clock } from '../../base/clock.js';
import type { ConnectionEvent } from '../../reporting/events.js';
import { asError } from '../../errors/reasons.js';
import { CopiedOriginals } from './copied-originals.js';
import { type CopyTransport, isUnwritable } from '../../copies/copy-transport.js';
import type { Delivery } from '../delivery/delivery.js';
import type { RedeliveryVerdict } from './redeliveries.js';
import { moveToEndOfQueue } from './redelivery-copy.js';

interface RedeliveryCopiesNeeds {
  readonly clock: Clock;
  readonly copies: CopyTransport;
  event(event: ConnectionEvent): void;
}

/** What became of it. */
type Replacement =
  /** A copy comes in its stead. */
  | 'replaced'
  /** A copy comes beside it: it may go back, or be dropped. */
  | 'has-copy'
  | 'not-now'
  /** AMQP cannot carry it again, with our headers beside its own. */
  | 'never';

type Reason = Extract<RedeliveryVerdict, { kind: 'count' | 'renew' }>;

/** A handler waits no longer for the copy of its message... */
const COPY_TIMEOUT_MS = 5_000;
/** ... and, once that was in vain, for so long not at all. */
const COPY_PAUSE_MS = 30_000;

export class RedeliveryCopies {
  #copiesAgainAt = -Infinity;
  #cannotCopy = false;
  /** Each until the broker has read the ack of its original. */
  readonly #underWay = new Set<Promise<Replacement>>();
  readonly #originals = new CopiedOriginals();

  constructor(
    private readonly subscription: string,
    private readonly needs: RedeliveryCopiesNeeds,
  ) {}

  /** Of the originals of all copies that were sent by now. */
  async untilAcksRead(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  /** Puts a copy in its place, if that is possible now. Does not throw. */
  async replace(delivery: Delivery, reason: Reason): Promise<Replacement> {
    if (await this.#originals.hasCopy(delivery, returnsOf(reason))) return 'has-copy';
    // What cannot be read cannot be copied; it is given up as soon as somebody tries to decode it.
    if (!isReadable(delivery.properties)) return 'not-now';
    if (!delivery.isLive || this.needs.clock.now() < this.#copiesAgainAt) return 'not-now';
    const replacing = this.#replace(delivery, reason);
    this.#underWay.add(replacing);
    try {
      return await replacing;
    } finally {
      this.#underWay.delete(replacing);
    }
  }

  /** Calls `handle`; remembers no longer than it takes that the delivery has a copy. */
  async handled(delivery: Delivery, handle: () => Promise<void>): Promise<void> {
    await handle();
    if (this.#originals.has(delivery)) await this.#forgetOnceRead(delivery);
  }

  async #replace(delivery: Delivery, reason: Reason): Promise<Replacement> {
    const sending = this.#send(delivery, reason);
    const isCopied = sending.then((sent) => sent === 'replaced');
    // Where nobody counts, one that comes back cannot be told from another message that says the same: it is copied again.
    if (reason.kind === 'renew') this.#originals.add(delivery, reason.returns, isCopied);
    if (!(await isCopied)) {
      this.#originals.remove(delivery);
      return sending;
    }
    delivery.ack();
    await this.#forgetOnceRead(delivery);
    this.needs.event(this.#eventOf(delivery, reason));
    return 'replaced';
  }

  /** `replaced` when the broker has confirmed the copy. */
  async #send(delivery: Delivery, { kind, redeliveries }: Reason): Promise<Replacement> {
    const renewals = delivery.renewals + (kind === 'renew' ? 1 : 0);
    try {
      await moveToEndOfQueue(delivery, { redeliveries, renewals }, this.needs.copies, COPY_TIMEOUT_MS);
      this.#cannotCopy = false;
      return 'replaced';
    } catch (thrown) {
      if (isUnwritable(thrown)) return 'never';
      this.#failed(asError(thrown));
      return 'not-now';
    }
  }

  /** Told once, for as long as it lasts. */
  #failed(cause: Error): void {
    this.#copiesAgainAt = this.needs.clock.now() + COPY_PAUSE_MS;
    if (this.#cannotCopy) return;
    this.#cannotCopy = true;
    this.needs.event({ type: 'redelivery-not-counted', subscription: this.subscription, cause });
  }

  async #forgetOnceRead(delivery: Delivery): Promise<void> {
    await delivery.acksRead();
    if (delivery.isLive) this.#originals.remove(delivery);
  }

  #eventOf({ messageId }: Delivery, reason: Reason): ConnectionEvent {
    const { subscription } = this;
    const { kind, redeliveries } = reason;
    if (kind === 'count') return { type: 'redelivery-counted', subscription, messageId, redeliveries };
    return { type: 'delivery-renewed', subscription, messageId, returns: reason.returns };
  }
}

/** Of a classic queue nobody knows. */
function returnsOf(reason: Reason): number {
  return reason.kind === 'renew' ? reason.returns : Infinity;
}
