/** The life of one subscription: the state it is in, and what follows from that alone. */
import type { Clock } from '../../base/clock.js';
import { tookStep } from '../../base/steps.js';
import { Readiness } from './readiness.js';
import {
  type MissingBecause,
  missingBecauseOf,
  nextSubscriptionState,
  type SubscriptionState,
} from './subscription-state.js';

export class SubscriptionLife {
  #state: SubscriptionState = { name: 'waiting', missing: undefined };
  readonly #readiness: Readiness;

  constructor(
    private readonly owner: string,
    private readonly clock: Clock,
    private readonly illegal: (error: Error) => void,
  ) {
    this.#readiness = new Readiness(owner);
  }

  get state(): SubscriptionState {
    return this.#state;
  }

  get isStopped(): boolean {
    return this.#state.name === 'leaving' || this.#state.name === 'ended';
  }

  get isPaused(): boolean {
    return this.#state.name === 'paused';
  }

  /** Neither paused nor ended: it shall be attached. */
  get isWanted(): boolean {
    return !this.isStopped && !this.isPaused;
  }

  /** Why it is not attached, if it should be. */
  get missing(): MissingBecause | undefined {
    return missingBecauseOf(this.#state);
  }

  /** It is attached, or named as missing; nobody wants one that was paused or ended. */
  get isDecided(): boolean {
    return !this.isWanted || this.#state.name === 'attached' || this.missing !== undefined;
  }

  /** Resolves when it is attached; rejects when that was refused, or it has ended. */
  get ready(): Promise<void> {
    return this.#readiness.promise;
  }

  /** The same, for a reason that is known now; since when it is missing does not change. */
  missingFor(cause: Error): MissingBecause {
    return { cause, since: this.missing?.since ?? this.clock.wallClock() };
  }

  moveTo(to: SubscriptionState): void {
    const from = this.#state;
    this.#state = to;
    tookStep(this.owner, nextSubscriptionState, [from, to], this.illegal);
    this.#readiness.step(from, to);
  }
}
