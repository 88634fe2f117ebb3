/** The outcome of a delivery, as a handler may return it. */
export type SettlementKind = 'ack' | 'requeue' | 'reject';

/**
 * What a handler returns when the default (ack on success, dead-letter on error) is not what it wants.
 *
 * ```ts
 * if (!ready) return Settlement.requeue();
 * ```
 */
export class Settlement {
  private constructor(readonly kind: SettlementKind) {}

  /** Done: the broker may forget the message. */
  static ack(): Settlement {
    return new Settlement('ack');
  }

  /** Give it back, at once, to whoever consumes from the queue, marked `redelivered`. Without a delay: a message that can never succeed goes round and round. */
  static requeue(): Settlement {
    return new Settlement('requeue');
  }

  /** Not wanted: moved to the subscription's dead-letter queue, or dropped by the broker with `deadLetter: false` (unless the queue has a dead-letter exchange). */
  static reject(): Settlement {
    return new Settlement('reject');
  }
}
