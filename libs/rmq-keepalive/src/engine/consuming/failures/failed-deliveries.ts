/**
 * What becomes of a delivery that was not handled: it waits for another attempt, it is moved to the dead-letter queue, or
 * it is rejected where there is none.
 *
 * Danger: the broker may be out of reach for copies just when everything fails. Then the delivery is kept, unsettled, and
 * the move tried again ({@link StuckDeliveries}): nothing is dropped, and the prefetch bounds what is held.
 */
import { hasBody } from '../../codec/readable.js';
import type { ConnectionEvent, FailedHandlerFate } from '../../reporting/events.js';
import { asError } from '../../errors/reasons.js';
import { ConnectionClosedError } from '../../errors/connection-errors.js';
import { Admission, type AdmissionNeeds } from '../poison/admission.js';
import { isUnwritable } from '../../copies/copy-transport.js';
import { moveToDeadLetters } from './move-to-dead-letters.js';
import type { Delivery } from '../delivery/delivery.js';
import { moveToEndOfQueue } from '../poison/redelivery-copy.js';
import { moveToRetryQueue } from './retry-copy.js';
import { delayAfter, delaysOf, ladderStep } from '../options/retry-policy.js';
import { retryQueueName } from '../../copies/retry-queues.js';
import { RetryWay } from './retry-way.js';
import { StuckDeliveries, type StuckLine } from './stuck-deliveries.js';
import type { DeadLetterReason, Settlement } from '../delivery/settlement.js';
import { WakeableWaits } from '../../base/wakeable-waits.js';
import type { WantedSubscription } from '../options/subscription.js';
import type { ConsumerCounters } from '../delivery/counters.js';
import { worthAnotherAttempt } from './worth-another-attempt.js';

export type FailureHost = AdmissionNeeds;

/** Where a delivery is to go, and how that is told. */
interface Move {
  /** The queue. */
  readonly to: string;
  send(): Promise<void>;
  sent(): void;
  failed(cause: Error, retryInMs: number): ConnectionEvent;
  /** Takes over when another try would end the same way. */
  hopeless?(thrown: unknown): Promise<void>;
}

/** What is to become of a failed delivery. */
interface Plan {
  readonly delivery: Delivery;
  readonly retryInMs: number | undefined;
}

export class FailedDeliveries {
  #isStopped = false;
  readonly #waits: WakeableWaits;
  readonly #way: RetryWay;
  readonly #admission: Admission;
  readonly #stuck: StuckDeliveries;

  constructor(
    private readonly wanted: WantedSubscription,
    private readonly needs: FailureHost,
    private readonly counters: ConsumerCounters,
    /** Also of a queue that nobody called one. */
    private readonly isStream: () => boolean,
  ) {
    this.#waits = new WakeableWaits(needs.clock);
    const usualDelaysMs = wanted.retry === undefined ? [] : delaysOf(wanted.retry);
    this.#way = new RetryWay(needs.copies, usualDelaysMs, (ms) => this.#rest(ms));
    const { name: subscription } = wanted;
    this.#stuck = new StuckDeliveries(needs.clock, {
      began: (to, cause) => needs.event({ type: 'deliveries-stuck', subscription, to, cause }),
      over: (to, moved, afterMs) => needs.event({ type: 'deliveries-unstuck', subscription, to, moved, afterMs }),
    });
    this.#admission = new Admission(wanted, needs, (delivery, reason, error) => this.giveUp(delivery, reason, error));
  }

  /** What could not be moved by now is handed back, and comes again elsewhere. */
  end(): void {
    this.#isStopped = true;
    this.#admission.end();
    this.#waits.end();
    this.#stuck.end();
  }

  /** What cannot be moved now, and where to. */
  get stuck(): readonly StuckLine[] {
    return this.#stuck.lines;
  }

  /** Whether it comes for the first time; else {@link admit} decides. */
  isNew(delivery: Delivery): boolean {
    return this.#admission.isNew(delivery);
  }

  /** It has come back: `handle` is called if that is right, and when. Resolves when it was handled, or something else became of it. */
  admit(delivery: Delivery, handle: () => Promise<void>): Promise<void> {
    return this.#admission.admit(delivery, handle);
  }

  /** Given back as it is, the broker might drop it: {@link renew} it. When we end, it must go back all the same. */
  mustNotGoBack(delivery: Delivery): boolean {
    return !this.#isStopped && this.#admission.mustNotGoBack(delivery);
  }

  /** Gives it back as a copy, however long that takes. */
  async renew(delivery: Delivery): Promise<void> {
    const { queue, messageId, redeliveries, headers } = delivery;
    const { name: subscription } = this.wanted;
    const counts = { redeliveries, renewals: delivery.renewals + 1 };
    await this.#move(delivery, {
      to: queue,
      send: () => moveToEndOfQueue(delivery, counts, this.needs.copies),
      sent: () =>
        this.needs.event({
          type: 'delivery-renewed',
          subscription,
          messageId,
          returns: headers['x-delivery-count'] as number,
        }),
      failed: (cause, retryInMs) => ({ type: 'renewal-failed', subscription, queue, cause, retryInMs }),
    });
  }

  /** It goes back to its queue from our hands: requeued, handed back, or its link is lost. */
  goesBack(delivery: Delivery): void {
    this.#admission.goesBack(delivery);
    this.#stuck.goesBack(delivery);
  }

  /** The handler threw, rejected, took too long, or could not be called. @returns a promise for each, of its settlement */
  failed(deliveries: readonly Delivery[], error: unknown): Promise<void>[] {
    const plans = deliveries.map((delivery) => ({ delivery, retryInMs: this.#nextAttemptIn(delivery, error) }));
    this.#report(plans, error);
    return plans.map(({ delivery, retryInMs }) => {
      if (retryInMs === undefined) return this.giveUp(delivery, 'handler-failed', error);
      return this.#moveToRetryQueue(delivery, { delayMs: retryInMs, attempt: delivery.attempt + 1, error });
    });
  }

  /** The handler asked for it. */
  async retryIn(delivery: Delivery, settlement: Settlement): Promise<void> {
    const { delayMs, countsAsAttempt } = settlement;
    const { retry, isOwnQueue } = this.wanted;
    if (delivery.isSettled) return;
    // Nothing comes back to a stream without being new to all who read it.
    if (this.isStream()) return this.giveUp(delivery, 'rejected', undefined);
    if (isOwnQueue) {
      // Its queue is gone with the link, and there is nothing to wait for.
      await this.#waits.wait(delayMs, delivery.signal);
      return void delivery.leave();
    }
    if (countsAsAttempt && retry !== undefined && delivery.attempt >= retry.attempts)
      return this.giveUp(delivery, 'attempts-spent', undefined);
    const attempt = delivery.attempt + (countsAsAttempt ? 1 : 0);
    await this.#moveToRetryQueue(delivery, { delayMs: ladderStep(delayMs), attempt });
  }

  #nextAttemptIn(delivery: Delivery, error: unknown): number | undefined {
    const { retry, name } = this.wanted;
    if (retry === undefined || delivery.isSettled || this.isStream()) return undefined;
    const delayMs = delayAfter(retry, delivery.attempt, Math.random());
    if (delayMs === undefined) return undefined;
    const isWorthIt = worthAnotherAttempt(retry, error, (cause) =>
      this.needs.event({ type: 'listener-failed', event: `retry.on of "${name}"`, cause }),
    );
    return isWorthIt ? delayMs : undefined;
  }

  /** A batch fails as a whole: its deliveries at the same attempt, with the same fate, are one failure. */
  #report(plans: readonly Plan[], error: unknown): void {
    // What the handler had settled before it failed has not failed, unless there is nothing else to tell.
    const unsettled = plans.filter(({ delivery }) => !delivery.isSettled);
    const alike = new Map<string, Plan[]>();
    for (const plan of unsettled.length === 0 ? plans : unsettled) {
      const key = `${plan.delivery.attempt} ${this.#fateOf(plan, error).kind}`;
      const group = alike.get(key);
      if (group === undefined) alike.set(key, [plan]);
      else group.push(plan);
    }
    for (const group of alike.values()) this.#tell(group, error);
  }

  #tell(group: readonly Plan[], error: unknown): void {
    const [first] = group as [Plan];
    const { name: subscription, retry } = this.wanted;
    this.needs.event({
      type: 'handler-failed',
      subscription,
      messageId: group.length === 1 ? first.delivery.messageId : undefined,
      count: group.length,
      cause: asError(error),
      attempt: first.delivery.attempt,
      attempts: retry?.attempts ?? 1,
      fate: this.#fateOf(first, error),
    });
  }

  #fateOf({ delivery, retryInMs }: Plan, error: unknown): FailedHandlerFate {
    const { deadLetter, answers } = this.wanted;
    if (answers !== undefined && retryInMs === undefined)
      return { kind: 'answered', isDeliberate: answers.isDeliberate(error) };
    if (delivery.isSettled) return { kind: 'settled' };
    if (!delivery.isLive) return { kind: 'redelivery' };
    if (retryInMs !== undefined) return { kind: 'retry', retryInMs };
    return deadLetter === false ? { kind: 'reject' } : { kind: 'dead-letter', queue: deadLetter };
  }

  /** Another attempt would change nothing. */
  async giveUp(delivery: Delivery, reason: DeadLetterReason, error: unknown): Promise<void> {
    const { deadLetter, name: subscription, isStream } = this.wanted;
    const answered = this.wanted.answers?.answer(delivery, reason, error);
    if (answered !== undefined) return answered;
    if (delivery.isSettled) return;
    const what = {
      subscription,
      messageId: delivery.messageId,
      reason,
      cause: error === undefined ? error : asError(error),
    };
    const isWhole = hasBody(delivery.properties);
    // A stream keeps what is passed over.
    if (deadLetter === false || (isStream && !isWhole)) {
      if (delivery.reject()) this.needs.event({ type: 'delivery-rejected', ...what });
      return;
    }
    await this.#move(delivery, {
      // Without its body it cannot be copied: it is held. Others are not to wait in its line.
      to: isWhole ? deadLetter : `${deadLetter} (larger than maxInboundBytes)`,
      send: () =>
        moveToDeadLetters(delivery, deadLetter, { reason, error, at: this.needs.clock.wallClock() }, this.needs.copies),
      sent: () => {
        this.counters.deadLettered += 1;
        this.needs.event({ type: 'delivery-dead-lettered', deadLetterQueue: deadLetter, ...what });
      },
      failed: (cause, retryInMs) => ({
        type: 'dead-letter-failed',
        subscription,
        deadLetterQueue: deadLetter,
        cause,
        retryInMs,
      }),
    });
  }

  async #moveToRetryQueue(
    delivery: Delivery,
    order: { delayMs: number; attempt: number; error?: unknown },
  ): Promise<void> {
    const { name: subscription } = this.wanted;
    const { delayMs, attempt } = order;
    const at = this.needs.clock.wallClock();
    await this.#move(delivery, {
      to: retryQueueName(delayMs),
      send: async () => {
        await this.#way.layBack(delivery);
        await moveToRetryQueue(delivery, { ...order, at }, this.needs.copies, () => this.#way.layThere(delayMs));
      },
      sent: () => {
        this.counters.retried += 1;
        const { messageId } = delivery;
        this.needs.event({ type: 'delivery-retried', subscription, messageId, attempt, delayMs });
      },
      failed: (cause, retryInMs) => ({ type: 'retry-failed', subscription, delayMs, cause, retryInMs }),
      // Its headers cannot be written again, and without them it would be another message.
      hopeless: (thrown) => this.giveUp(delivery, 'handler-failed', order.error ?? thrown),
    });
  }

  /** Sends the copy, then acks; tries for as long as it takes. Does not throw. */
  async #move(delivery: Delivery, move: Move): Promise<void> {
    // A stale delivery comes again by itself: moving it as well would make two of it.
    while (delivery.isLive && !delivery.isSettled) {
      if ((await this.#stuck.turn(move.to, delivery)) === 'stop') break;
      if (!delivery.isLive || delivery.isSettled) break;
      try {
        await move.send();
        delivery.ack();
        this.#stuck.moved(move.to, delivery);
        return move.sent();
      } catch (thrown) {
        if (move.hopeless !== undefined && isUnwritable(thrown)) {
          this.#stuck.left(move.to, delivery);
          return move.hopeless(thrown);
        }
        if (!delivery.isLive || this.#isStopped) break;
        const cause = asError(thrown);
        this.needs.event(move.failed(cause, this.#stuck.failed(move.to, delivery, cause)));
      }
    }
    this.#stuck.left(move.to, delivery);
    if (!delivery.isSettled) delivery.leave(); // stale: counted as such
  }

  async #rest(ms: number): Promise<void> {
    await this.#waits.wait(ms);
    if (this.#isStopped)
      throw new ConnectionClosedError('The consumer stopped before the retry queue could be relied on');
  }
}
