/**
 * Whether a subscription can be counted on, as a promise: each step of its state says a part of the answer.
 *
 * Danger: a rejected promise that nobody reads ends the process.
 * Choice: a promise is made when it is asked for, and is always read once here.
 */
import { ConnectionClosedError } from '../../errors/connection-errors.js';
import type { SubscriptionState } from './subscription-state.js';

type Answer = { readonly kind: 'none-yet' } | { readonly kind: 'attached' } | { readonly kind: 'no'; cause: Error };

interface Asked {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (cause: Error) => void;
}

/** The word of a step, from one state to the next, to those who wait for the consumer. */
export function answerOf(owner: string, from: SubscriptionState, to: SubscriptionState): Answer {
  switch (to.name) {
    case 'attached':
      return { kind: 'attached' };
    case 'missing':
    case 'left-out':
      return { kind: 'no', cause: to.missing.cause };
    case 'leaving':
    case 'ended':
      return { kind: 'no', cause: new ConnectionClosedError(`${capitalized(owner)} has ended`) };
    case 'attaching':
      // From itself: the broker answers others, and not this attempt. An attempt that begins says nothing.
      return from.name === 'attaching' && to.missing !== undefined
        ? { kind: 'no', cause: to.missing.cause }
        : { kind: 'none-yet' };
    case 'waiting':
    case 'paused':
      return { kind: 'none-yet' };
  }
}

export class Readiness {
  #answer: Answer = { kind: 'none-yet' };
  #asked: Asked | undefined;

  constructor(private readonly owner: string) {}

  /** Resolves when it is attached. Rejects when that was refused, and when it has ended. */
  get promise(): Promise<void> {
    const asked = (this.#asked ??= newlyAsked());
    this.#settle();
    return asked.promise;
  }

  step(from: SubscriptionState, to: SubscriptionState): void {
    this.#answer = answerOf(this.owner, from, to);
    this.#settle();
  }

  #settle(): void {
    const asked = this.#asked;
    if (asked === undefined || this.#answer.kind === 'none-yet') return;
    this.#asked = undefined;
    if (this.#answer.kind === 'attached') asked.resolve();
    else asked.reject(this.#answer.cause);
  }
}

/** The same promise; its rejection is no concern of the process when nobody reads it. */
export function readOnce(promise: Promise<void>): Promise<void> {
  promise.catch(() => undefined);
  return promise;
}

function newlyAsked(): Asked {
  let resolve!: () => void;
  let reject!: (cause: Error) => void;
  const promise = new Promise<void>((resolved, rejected) => {
    resolve = resolved;
    reject = rejected;
  });
  return { promise: readOnce(promise), resolve, reject };
}

function capitalized(owner: string): string {
  return owner.charAt(0).toUpperCase() + owner.slice(1);
}
