/** The outcome of a delivery, as a handler may return it. */
import { checkNumber } from '../../base/option-checks.js';
import { isOfAnyCopy, markForAllCopies } from '../../errors/any-copy.js';

export type SettlementKind = 'ack' | 'requeue' | 'reject';

/** A message that waits longer is a calendar, not a retry. */
export const MAX_DELAY_MS = 30 * 24 * 3_600_000;

interface RetryInOptions {
  /**
   * Whether this was a failed attempt: `delivery.attempt` goes up, and with a `retry` policy the message is dead-lettered when its
   * attempts are spent. Otherwise it may come back for ever. @default false
   */
  countsAsAttempt?: boolean;
}

/**
 * What a handler returns when the default (ack on success, retry or dead-letter on error) is not what it wants.
 *
 * ```ts
 * if (!(await this.tenants.isReady(tenant))) return Settlement.retryIn(30_000);
 * ```
 */
export class Settlement {
  static {
    markForAllCopies(this);
  }

  /** @internal */
  static [Symbol.hasInstance](value: unknown): boolean {
    return isOfAnyCopy(value, this, Settlement);
  }

  private constructor(
    readonly kind: SettlementKind | 'retry',
    /** @internal With `retry`. */
    readonly delayMs: number = 0,
    /** @internal With `retry`. */
    readonly countsAsAttempt: boolean = false,
    /** @internal With `reject`: why. */
    readonly because?: { readonly reason: DeadLetterReason; readonly error: unknown },
  ) {}

  /** Done: the broker may forget the message. */
  static ack(): Settlement {
    return new Settlement('ack');
  }

  /**
   * Give it back, at once, to whoever consumes from the queue, marked `redelivered`. Without a delay: a message that can
   * never succeed goes round and round.
   */
  static requeue(): Settlement {
    return new Settlement('requeue');
  }

  /**
   * Not wanted: moved to the subscription's dead-letter queue, or dropped by the broker with `deadLetter: false` (unless the
   * queue has a dead-letter exchange).
   */
  static reject(): Settlement {
    return new Settlement('reject');
  }

  /** @internal As {@link reject}, with a reason of our own for the dead letter. */
  static refuse(reason: DeadLetterReason, error: unknown): Settlement {
    return new Settlement('reject', 0, false, { reason, error });
  }

  /**
   * Later: the message waits at the broker, outside the prefetch, and comes back to the end of its queue. The time is
   * rounded up, by a third at most (100, 120, 150, 200, 250, 300, 400, 500, 600, 800 ms, 1 s, 1.2 s ...), because each
   * needs a queue. A queue of our own (server-named or exclusive) is gone with the link, so its delivery is kept in hand
   * for that time, and then requeued. A stream takes nothing back:
   * its message is dead-lettered, as with {@link reject}.
   * @param delayMs 1..2_592_000_000 (30 days)
   * @throws {@link OptionsError}
   */
  static retryIn(delayMs: number, options: RetryInOptions = {}): Settlement {
    checkNumber(
      delayMs,
      { min: 1, max: MAX_DELAY_MS, unit: 'milliseconds', isRequired: true },
      'Settlement.retryIn(delayMs)',
    );
    return new Settlement('retry', delayMs, options.countsAsAttempt ?? false);
  }
}

export type DeadLetterReason =
  | 'handler-failed'
  | 'not-decodable'
  | 'not-valid'
  | 'rejected'
  | 'attempts-spent'
  | 'poison'
  | 'delivery-limit'
  | 'reply-to-refused'
  | 'no-handler';
