/** Copies what came back to the end of its queue, with its counts, and acks it: see redeliveries.ts. */
import { isReadable } from '../../codec/readable.js';
import type { Clock } from '../../clock.js';
import type { ConnectionEvent } from '../../connection/connection-events.js';
import { asError } from '../../errors.js';
import { CopiedOriginals } from './copied-originals.js';
import { type CopyTransport, isUnwritable } from './copy-transport.js';
import type { Delivery } from '../delivery.js';
import type { RedeliveryVerdict } from './redeliveries.js';
import { moveToEndOfQueue } from './redelivery-copy.js';

export interface RedeliveryCopiesHost {
  readonly clock: Clock;
  readonly copies: CopyTransport;
  event(event: ConnectionEvent): void;
}

type Reason = Extract<RedeliveryVerdict, { kind: 'count' | 'renew' }>;

/** A handler waits no longer for the copy of its message... */
const COPY_TIMEOUT_MS = 5_000;
/** ... and, once that was in vain, for so long not at all. */
const COPY_PAUSE_MS = 30_000;

export class RedeliveryCopies {
  #copiesAgainAt = -Infinity;
  #cannotCopy = false;
  /** Each until the broker has read the ack of its original. */
  readonly #underWay = new Set<Promise<boolean>>();
  readonly #originals = new CopiedOriginals();

  constructor(
    private readonly subscription: string,
    private readonly host: RedeliveryCopiesHost,
  ) {}

  /** Of the originals of all copies that were sent by now. */
  async untilAcksRead(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  /** Whether a copy took its place, and so comes in its stead. Does not throw. */
  async replaced(delivery: Delivery, reason: Reason): Promise<boolean> {
    if (await this.#originals.hasCopy(delivery, returnsOf(reason))) return false;
    // What cannot be read cannot be copied; it is given up as soon as somebody tries to decode it.
    if (!isReadable(delivery.properties)) return false;
    if (!delivery.isLive || this.host.clock.now() < this.#copiesAgainAt) return false;
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

  async #replace(delivery: Delivery, reason: Reason): Promise<boolean> {
    const sending = this.#send(delivery, reason);
    this.#originals.add(delivery, returnsOf(reason), sending);
    if (!(await sending)) {
      this.#originals.remove(delivery);
      return false;
    }
    delivery.ack();
    await this.#forgetOnceRead(delivery);
    this.host.event(this.#eventOf(delivery, reason));
    return true;
  }

  /** Whether the broker confirmed it. */
  async #send(delivery: Delivery, { kind, redeliveries }: Reason): Promise<boolean> {
    const renewals = delivery.renewals + (kind === 'renew' ? 1 : 0);
    try {
      await moveToEndOfQueue(delivery, { redeliveries, renewals }, this.host.copies, COPY_TIMEOUT_MS);
      this.#cannotCopy = false;
      return true;
    } catch (thrown) {
      if (!isUnwritable(thrown)) this.#failed(asError(thrown));
      return false;
    }
  }

  /** Told once, for as long as it lasts. */
  #failed(cause: Error): void {
    this.#copiesAgainAt = this.host.clock.now() + COPY_PAUSE_MS;
    if (this.#cannotCopy) return;
    this.#cannotCopy = true;
    this.host.event({ type: 'redelivery-not-counted', subscription: this.subscription, cause });
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
