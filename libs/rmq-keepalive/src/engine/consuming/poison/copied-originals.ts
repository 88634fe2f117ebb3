/**
 * Deliveries of which we have sent a copy to the end of their queue, until the broker is known to have read their ack.
 *
 * Danger: a link that is lost between the copy and the ack brings the original back beside its copy. Copied again each time
 * that happens, a message would multiply while its link flaps: two, four, eight of them. So what comes back although its copy
 * is in the queue is not copied again: it may be handled where it is, or dropped by the broker, and nothing is lost.
 *
 * A message has no identity of its own in AMQP. It is known by its id or, without one, by what it says, together with the
 * counts that our copies carry, so that a copy is not taken for its original; and it must have come back more often than
 * when it was copied, so that another message that says the same is not.
 *
 * Most of them never come again. So they are remembered by their keys, and no delivery is kept in memory, with its body, for
 * their sake: while it matters which one it is, its channel or the handling of it has it in hand.
 */
import type { Delivery } from '../delivery/delivery.js';
import { keyOf } from './redeliveries.js';

interface CopiedOriginal {
  /** The delivery that was copied, or as which it came back last. Gone: it is not live any more. */
  holder: WeakRef<Delivery>;
  /** As the broker counted then. */
  returns: number;
  readonly isCopied: Promise<boolean>;
}

/** More than come back at once; the oldest are forgotten. */
const REMEMBERED = 10_000;

export class CopiedOriginals {
  readonly #byKey = new Map<string, Set<CopiedOriginal>>();
  #size = 0;

  /**
   * @param returns as the broker counts them
   * @param isCopied resolves with whether the broker confirmed it
   */
  add(holder: Delivery, returns: number, isCopied: Promise<boolean>): void {
    const key = keyOfOriginal(holder);
    const alike = this.#byKey.get(key) ?? new Set();
    alike.add({ holder: new WeakRef(holder), returns, isCopied });
    this.#byKey.set(key, alike);
    this.#size += 1;
    if (this.#size > REMEMBERED) this.#forgetOldest();
  }

  /** Resolves with whether a copy of this delivery, which came back so often, is in the queue already. */
  async hasCopy(delivery: Delivery, returns: number): Promise<boolean> {
    if (this.#size === 0) return false;
    for (const original of this.#byKey.get(keyOfOriginal(delivery)) ?? []) {
      if (original.holder.deref()?.isLive === true || original.returns >= returns) continue;
      Object.assign(original, { holder: new WeakRef(delivery), returns });
      if (await original.isCopied) return true;
      this.remove(delivery);
    }
    return false;
  }

  /** Whether it is one of them. */
  has(delivery: Delivery): boolean {
    if (this.#size === 0) return false;
    return [...(this.#byKey.get(keyOfOriginal(delivery)) ?? [])].some(({ holder }) => holder.deref() === delivery);
  }

  /** It does not come again: the broker has read its ack, or there is no copy. */
  remove(holder: Delivery): void {
    if (this.#size === 0) return;
    const key = keyOfOriginal(holder);
    const alike = this.#byKey.get(key);
    for (const original of alike ?? []) {
      if (original.holder.deref() !== holder) continue;
      alike?.delete(original);
      this.#size -= 1;
    }
    if (alike?.size === 0) this.#byKey.delete(key);
  }

  #forgetOldest(): void {
    const [oldest] = this.#byKey;
    if (oldest === undefined) return;
    this.#byKey.delete(oldest[0]);
    this.#size -= oldest[1].size;
  }
}

function keyOfOriginal(delivery: Delivery): string {
  return `${delivery.redeliveries}/${delivery.renewals}/${keyOf(delivery)}`;
}
