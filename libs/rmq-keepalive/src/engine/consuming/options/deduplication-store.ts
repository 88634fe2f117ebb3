/** Remembers which messages were handled: the port that a shared store implements, and the memory of one process. */
import type { Clock } from '../../base/clock.js';

/** One copy's wish to be the one that is handled. Subscription and message id together name the message. */
export interface DeduplicationClaim {
  readonly subscription: string;
  readonly messageId: string;
  /** Names this copy: a claim is renewed and released by its holder only. */
  readonly holder: string;
}

/** `new`: the holder has the claim, and handles the message. `done`: it was handled before. `busy`: another copy is being handled now. */
export type ClaimAnswer = 'new' | 'done' | 'busy';

/**
 * A memory of handled messages, for example in a database that several processes share. Each call must be atomic, and
 * should fail rather than hang (after 10 s it counts as failed). Give every service a table or a prefix of its own: two
 * services may have subscriptions of one name.
 */
export interface DeduplicationStore {
  /**
   * Claims the message for `claimTtlMs`: `new` if nobody has, if the claim that somebody had has expired, or if the holder
   * has it already (then it is renewed).
   */
  claim(claim: DeduplicationClaim, claimTtlMs: number): ClaimAnswer | Promise<ClaimAnswer>;
  /** The message was handled: `claim` answers `done` for `ttlMs`, whoever holds the claim by now. */
  done(claim: DeduplicationClaim, ttlMs: number): void | Promise<void>;
  /** It was not: ends the claim, if the holder still has it. */
  release(claim: DeduplicationClaim): void | Promise<void>;
}

/**
 * The memory of one subscription in one process, bounded: beyond `maxEntries` the message handled longest ago is
 * forgotten. Claims do not expire, since they die with the process that holds them.
 */
export class MemoryDeduplicationStore implements DeduplicationStore {
  /** Holders, by message id; as many as there are deliveries in hand. */
  readonly #claims = new Map<string, string>();
  /** When each is to be forgotten, by message id, in the order of handling. */
  readonly #done = new Map<string, number>();
  /** One walk for good, just ahead of the forgetting: each new one would step over all that was ever deleted. */
  readonly #walk = this.#done.entries();
  #oldest: [string, number] | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly maxEntries: number,
  ) {}

  /** How many handled messages it holds. */
  get size(): number {
    return this.#done.size;
  }

  claim({ messageId, holder }: DeduplicationClaim): ClaimAnswer {
    if ((this.#done.get(messageId) ?? -Infinity) > this.clock.now()) return 'done';
    const present = this.#claims.get(messageId);
    if (present !== undefined && present !== holder) return 'busy';
    this.#claims.set(messageId, holder);
    return 'new';
  }

  done({ messageId }: DeduplicationClaim, ttlMs: number): void {
    const now = this.clock.now();
    this.#claims.delete(messageId);
    this.#done.delete(messageId);
    this.#done.set(messageId, now + ttlMs);
    this.#forgetOld(now);
  }

  release({ messageId, holder }: DeduplicationClaim): void {
    if (this.#claims.get(messageId) === holder) this.#claims.delete(messageId);
  }

  #forgetOld(now: number): void {
    while ((this.#oldest ??= this.#walk.next().value) !== undefined) {
      const [messageId, forgetAt] = this.#oldest;
      // Else it was handled once more, and stands further back by now.
      const isCurrent = this.#done.get(messageId) === forgetAt;
      if (isCurrent && this.#done.size <= this.maxEntries && forgetAt > now) return;
      if (isCurrent) this.#done.delete(messageId);
      this.#oldest = undefined;
    }
  }
}
