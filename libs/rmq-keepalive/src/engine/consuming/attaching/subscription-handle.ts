import type { SubscriptionKeeper } from './subscription-keeper.js';

/** A subscription in the hands of the application: `connection.subscribe()` gives it, `connection.subscription(name)` finds it. */
export interface Subscription {
  readonly name: string;
  /** The queue; for a server-named one the broker's present name of it. */
  readonly queue: string;
  readonly isAttached: boolean;
  readonly isPaused: boolean;
  /**
   * No more deliveries, until {@link resume}: also not after a reconnect. Running handlers go on and settle; what waits for
   * its turn is given back. Resolves when the broker has consented, or the link is gone. The queue fills meanwhile, except
   * one that the broker named: that goes with its consumer.
   */
  pause(): Promise<void>;
  /**
   * Consumes again, as soon as the link is up. Resolves when that is under way; `isAttached` and the event
   * `consumer-attached` tell when it is done.
   */
  resume(): Promise<void>;
  /** Ends it for good: no more deliveries; running handlers go on. Nothing brings it back. */
  unsubscribe(): Promise<void>;
}

export function subscriptionHandle(
  keeper: SubscriptionKeeper,
  end: (keeper: SubscriptionKeeper) => Promise<void>,
): Subscription {
  return {
    name: keeper.name,
    get queue() {
      return keeper.queueName;
    },
    get isAttached() {
      return keeper.isAttached;
    },
    get isPaused() {
      return keeper.isPaused;
    },
    pause: () => keeper.pause(),
    resume: () => keeper.resume(),
    unsubscribe: () => end(keeper),
  };
}
