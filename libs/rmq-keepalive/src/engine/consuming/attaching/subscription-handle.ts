import type { SubscriptionKeeper } from './subscription-keeper.js';

/** A subscription in the hands of the application: `connection.subscribe()` gives it, `connection.subscription(name)` finds it. */
export interface Subscription {
  readonly name: string;
  /** The queue; for a server-named one the broker's present name of it. */
  readonly queue: string;
  readonly isAttached: boolean;
  readonly isPaused: boolean;
  /**
   * Resolves when the broker has its consumer, at once while that is so. It waits for the link, for a `resume()`, and for what comes
   * after a loss. Read it again after each of them: a promise is about one wait. Nobody has to read it.
   *
   * It rejects when the broker refuses the consumer, or when there is no channel for it. The library goes on asking all the same:
   * `status().consumers.missing` names it, and the next `ready` is about the next attempt.
   * @throws {@link ConsumeRefusedError}, {@link ChannelsExhaustedError}, {@link ClosesTheLinkError}, {@link NoAnswerYetError};
   * {@link ConnectionClosedError} when it was unsubscribed, or the connection was closed
   */
  readonly ready: Promise<void>;
  /**
   * No more deliveries, until {@link resume}: also not after a reconnect. Running handlers go on and settle; what waits for
   * its turn is given back. Resolves when the broker has consented, or the link is gone. The queue fills meanwhile, except
   * one that the broker named: that goes with its consumer.
   */
  pause(): Promise<void>;
  /**
   * Consumes again, as soon as the link is up. Resolves when that is under way; {@link ready} and the event
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
    get ready() {
      return keeper.ready;
    },
    pause: () => keeper.pause(),
    resume: () => keeper.resume(),
    unsubscribe: () => end(keeper),
  };
}
