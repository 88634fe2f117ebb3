/** The life of one subscription: the state it is in, and what follows from that alone. */
import type { Clock } from '../../base/clock.js';
import { tookStep } from '../../base/steps.js';
import {
  type MissingBecause,
  missingBecauseOf,
  nextSubscriptionState,
  type SubscriptionState,
} from './subscription-state.js';

export class SubscriptionLife {
  #state: SubscriptionState = { name: 'waiting', missing: undefined };

  constructor(
    private readonly owner: string,
    private readonly clock: Clock,
    private readonly illegal: (error: Error) => void,
  ) {}

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

  /** The same, for a reason that is known now; since when it is missing does not change. */
  missingFor(cause: Error): MissingBecause {
    return { cause, since: this.missing?.since ?? this.clock.wallClock() };
  }

  moveTo(to: SubscriptionState): void {
    const from = this.#state;
    this.#state = to;
    tookStep(this.owner, nextSubscriptionState, [from, to], this.illegal);
  }
}
