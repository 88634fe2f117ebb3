/**
 * Skips a message that was handled before, and keeps two copies of one message from being handled at the same time.
 *
 * Duty: a message is remembered after its handler has succeeded, never before: remembered first, it would be lost with a
 * process that dies in between. So a crash between the effect and the memory still makes two of it; only an effect that is
 * in one transaction with its memory cannot double (docs/concepts/exactly-once.md).
 * Danger: copies that run at the same time, in two processes, or in one after a lost link, while the first handler is
 * still at work. So a copy claims the message before it runs. The claim ends with the handler; that of a process that died
 * expires, and while a handler runs its claim is renewed, so the expiry need not exceed the longest handler.
 * Choice: a copy of what is being handled waits, unsettled, until that is done (then it is skipped) or has failed (then it
 * runs). So does every delivery while the store fails, unless `onStoreError` says otherwise. The prefetch bounds what waits.
 */
import { randomUUID } from 'node:crypto';
import { type Clock, type Timer, withDeadline } from '../../base/clock.js';
import { isThenable } from '../../base/thenable.js';
import type { ConnectionEvent } from '../../reporting/events.js';
import { DeduplicationError, type DeduplicationStep, HandlerTimeoutError } from '../../errors/delivery-errors.js';
import type { ResolvedDeduplication } from '../options/deduplication-options.js';
import {
  type ClaimAnswer,
  type DeduplicationClaim,
  type DeduplicationStore,
  MemoryDeduplicationStore,
} from '../options/deduplication-store.js';
import type { Delivery } from '../delivery/delivery.js';
import { Settlement } from '../delivery/settlement.js';
import { WakeableWaits } from '../../base/wakeable-waits.js';

interface DeduplicationNeeds {
  readonly clock: Clock;
  event(event: ConnectionEvent): void;
  /** Called just before a handler runs: it may block the event loop. */
  beforeHandler(): void;
}

type Answer = ClaimAnswer | 'unknown';

/** A store that does not answer within this has failed. */
const STORE_TIMEOUT_MS = 10_000;
const BUSY_RETRY_MS = { first: 50, max: 1_000 };
const FAILED_RETRY_MS = { first: 1_000, max: 30_000 };
const RENEWALS_PER_TTL = 3;

export class Deduplication {
  readonly #store: DeduplicationStore;
  readonly #waits: WakeableWaits;
  readonly #handedBack = new WeakSet<Delivery>();
  #isStopped = false;

  constructor(
    private readonly subscription: string,
    private readonly options: ResolvedDeduplication,
    private readonly needs: DeduplicationNeeds,
    private readonly counters: { duplicatesSkipped: number },
  ) {
    this.#waits = new WakeableWaits(needs.clock);
    this.#store = options.store ?? new MemoryDeduplicationStore(needs.clock, options.maxEntries);
  }

  /**
   * Calls `run` unless the message was handled before. Resolves with what it returned, or with an ack for a copy to skip;
   * rejects with what it threw, and with nothing else. A delivery that has to be given back by then is settled here.
   */
  readonly around = async (delivery: Delivery, run: () => unknown): Promise<unknown> => {
    const { messageId } = delivery;
    if (messageId === undefined || messageId === '') return run();
    const claim = { subscription: this.subscription, messageId, holder: randomUUID() };
    const verdict = await this.#verdict(claim, delivery);
    if (verdict === 'skip') return this.#skipped(messageId);
    if (verdict === 'give-back') return void (delivery.isLive && delivery.leave());
    return this.#run(claim, delivery, run);
  };

  /** A delivery whose handler still runs goes back to the queue at shutdown: what its handler says still counts. */
  handedBack(delivery: Delivery): void {
    this.#handedBack.add(delivery);
  }

  /** What waits is handed back. */
  end(): void {
    this.#isStopped = true;
    this.#waits.end();
  }

  async #verdict(claim: DeduplicationClaim, delivery: Delivery): Promise<'run' | 'skip' | 'give-back'> {
    for (let asked = 1; this.#isWanted(delivery); asked++) {
      const answer = await this.#ask(claim);
      if (answer === 'done') return 'skip';
      if (!this.#isWanted(delivery)) {
        if (answer === 'new') await this.#release(claim);
        break;
      }
      const mayRun = answer === 'new' || (answer === 'unknown' && this.options.onStoreError === 'handle');
      if (mayRun) return 'run';
      await this.#waits.wait(retryAfterMs(answer, asked));
    }
    return 'give-back';
  }

  #isWanted(delivery: Delivery): boolean {
    return !this.#isStopped && delivery.isLive && !delivery.isSettled;
  }

  async #run(claim: DeduplicationClaim, delivery: Delivery, run: () => unknown): Promise<unknown> {
    const renewal = this.options.store === undefined ? undefined : this.#keepClaimed(claim);
    // A handler that took too long may never end, and its message comes again, as another attempt or because its link was
    // lost before: that copy must not wait for it.
    delivery.onAbort((cause) => {
      if (cause instanceof HandlerTimeoutError) void this.#letGo(claim, renewal);
    });
    let result: unknown;
    try {
      this.needs.beforeHandler();
      result = await run();
    } catch (thrown) {
      await renewal?.end();
      await this.#release(claim);
      throw thrown;
    }
    await renewal?.end();
    if (this.#isHandled(delivery, result)) await this.#remember(claim);
    else await this.#release(claim);
    return result;
  }

  async #letGo(claim: DeduplicationClaim, renewal: { end(): Promise<void> } | undefined): Promise<void> {
    await renewal?.end();
    await this.#release(claim);
  }

  /** Whatever is to come again must not be remembered. */
  #isHandled(delivery: Delivery, result: unknown): boolean {
    if (result instanceof Settlement && result.kind !== 'ack') return false;
    const { settledAs } = delivery;
    const isTakenOver = settledAs === 'taken-over'; // it took too long, and has succeeded all the same
    return settledAs === undefined || settledAs === 'ack' || isTakenOver || this.#handedBack.has(delivery);
  }

  #skipped(messageId: string): Settlement {
    this.counters.duplicatesSkipped += 1;
    this.needs.event({ type: 'duplicate-skipped', subscription: this.subscription, messageId });
    return Settlement.ack();
  }

  async #ask(claim: DeduplicationClaim): Promise<Answer> {
    try {
      return await this.#claim(claim);
    } catch (thrown) {
      this.#failed('claim', claim, thrown);
      return 'unknown';
    }
  }

  async #claim(claim: DeduplicationClaim): Promise<ClaimAnswer> {
    const answer: unknown = await this.#inTime(this.#store.claim(claim, this.options.claimTtlMs));
    if (answer === 'new' || answer === 'done' || answer === 'busy') return answer;
    throw new TypeError("its answer is none of 'new', 'done' and 'busy'");
  }

  /** The effect is there, and is acked whatever becomes of its memory. */
  async #remember(claim: DeduplicationClaim): Promise<void> {
    try {
      await this.#inTime(this.#store.done(claim, this.options.ttlMs));
    } catch (thrown) {
      this.#failed('done', claim, thrown);
    }
  }

  async #release(claim: DeduplicationClaim): Promise<void> {
    try {
      await this.#inTime(this.#store.release(claim));
    } catch (thrown) {
      this.#failed('release', claim, thrown);
    }
  }

  /** Ended before the claim is released: a renewal that arrives later would claim it anew, for nobody. */
  #keepClaimed(claim: DeduplicationClaim): { end(): Promise<void> } {
    const everyMs = this.options.claimTtlMs / RENEWALS_PER_TTL;
    let timer: Timer;
    let renewing: Promise<void> | undefined;
    let isOver = false;
    const renewLater = (): void => {
      const onTime = (): void => {
        renewing = renew();
      };
      timer = this.needs.clock.setTimer(onTime, everyMs, 'background');
    };
    const renew = async (): Promise<void> => {
      const isKept = await this.#renew(claim);
      if (isKept && !isOver) renewLater();
    };
    renewLater();
    return {
      end: async () => {
        isOver = true;
        timer.cancel();
        await renewing;
      },
    };
  }

  /** False once another copy has it: then there is nothing to renew. */
  async #renew(claim: DeduplicationClaim): Promise<boolean> {
    try {
      if ((await this.#claim(claim)) === 'new') return true;
      this.#failed('renew', claim, new Error('the claim expired, and another copy has taken it'));
      return false;
    } catch (thrown) {
      this.#failed('renew', claim, thrown);
      return true;
    }
  }

  async #inTime<T>(work: T | Promise<T>): Promise<T> {
    if (!isThenable(work)) return work;
    return withDeadline(
      this.needs.clock,
      work,
      STORE_TIMEOUT_MS,
      () => new Error(`it did not answer within ${STORE_TIMEOUT_MS} ms`),
    );
  }

  #failed(step: DeduplicationStep, { messageId }: DeduplicationClaim, thrown: unknown): void {
    const { subscription } = this;
    const consequence =
      step === 'claim' && this.options.onStoreError === 'handle' ? 'the message is handled all the same' : AFTER[step];
    const cause = new DeduplicationError(step, { subscription, messageId, consequence }, thrown);
    this.needs.event({ type: 'deduplication-failed', subscription, step, cause });
  }
}

const AFTER: Record<DeduplicationStep, string> = {
  claim: 'the delivery is kept, and the store asked again',
  renew: 'another copy of the message may be handled at the same time',
  done: 'another copy of the message may be handled again',
  release: 'copies of the message wait until the claim has expired',
};

function retryAfterMs(answer: Answer, asked: number): number {
  const { first, max } = answer === 'busy' ? BUSY_RETRY_MS : FAILED_RETRY_MS;
  return Math.min(max, first * 2 ** (asked - 1));
}
