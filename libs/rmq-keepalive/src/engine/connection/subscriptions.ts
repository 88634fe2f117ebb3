/** What a connection is subscribed to: each subscription with its topology and its consumer, mended and ended together. */
import type { SubscriptionKeeper } from '../consuming/attaching/subscription-keeper.js';
import type { SubscriptionKeepers } from '../consuming/attaching/subscription-keepers.js';
import type { BatchOptions } from '../consuming/options/handling-options.js';
import {
  type BatchHandler,
  type DeliveryHandler,
  type FailureAnswers,
  resolveSubscription,
  sharedEntities,
  type SubscriptionOptions,
} from '../consuming/options/subscription.js';
import { type Subscription, subscriptionHandle } from '../consuming/attaching/subscription-handle.js';
import { entityName } from '../topology/topology.js';
import type { TopologyKeeper } from '../topology/topology-keeper.js';
import { type AccessRefusal, isAccessRefused } from './access-watch.js';
import type { ConnectionEvent } from '../reporting/events.js';
import type { ResolvedAround } from '../around/rmq-around.js';
import type { LinkRepairs } from './link-repairs.js';
import type { Link } from '../link/link.js';

/** What makes a subscription another kind of subscription. */
export interface SubscriptionKind {
  readonly batch?: BatchOptions;
  readonly answers?: FailureAnswers;
}

/** A consumer that could not even be asked for, on a link that lives. */
const FAILED_REPAIR_RETRY_MS = 6_000;

export class Subscriptions {
  constructor(
    private readonly topology: TopologyKeeper,
    private readonly repairs: LinkRepairs,
    private readonly consumers: () => SubscriptionKeepers,
    private readonly needs: {
      readonly ackTimeoutMs: number;
      readonly around: Pick<ResolvedAround, 'deliver' | 'watch'>;
      event(event: ConnectionEvent): void;
    },
  ) {}

  /** Not attached yet: that is for whoever knows the link. @throws {@link OptionsError} */
  add<T>(
    options: SubscriptionOptions<T>,
    handler: DeliveryHandler<T> | BatchHandler<T>,
    kind: SubscriptionKind,
  ): SubscriptionKeeper {
    const wanted = resolveSubscription(options, handler, {
      ...kind,
      knownExchange: (name) => this.topology.topology.exchangeNamed(name),
      ackTimeoutMs: this.needs.ackTimeoutMs,
      around: this.needs.around.deliver,
      watch: this.needs.around.watch,
    });
    const entities = sharedEntities(wanted);
    this.topology.add(entities, `subscription "${wanted.name}"`);
    let keeper: SubscriptionKeeper;
    try {
      keeper = this.consumers().add(wanted);
    } catch (thrown) {
      this.topology.remove(entities);
      throw thrown;
    }
    for (const doubt of wanted.doubts)
      this.needs.event({ type: 'subscription-doubtful', subscription: wanted.name, doubt });
    return keeper;
  }

  named(name: string): Subscription | undefined {
    const keeper = this.consumers().named(name);
    return keeper === undefined ? undefined : this.handleOf(keeper);
  }

  handleOf(keeper: SubscriptionKeeper): Subscription {
    return subscriptionHandle(keeper, () => this.#end(keeper));
  }

  /** Attaches it on a link that lives. */
  async repair(keeper: SubscriptionKeeper, link: Link): Promise<void> {
    try {
      await this.repairs.consumer(keeper, link);
    } catch {
      // With the link lost, recovery attaches everything; on one that lives (out of channels, say) it is tried again.
      if (link.isUp) this.consumers().scheduleRepair(keeper, FAILED_REPAIR_RETRY_MS);
    }
  }

  /** What was refused could be declared after all: those who waited for that queue can have it. */
  healed(entity: string): void {
    for (const keeper of this.consumers().all())
      if (entityName(keeper.wanted.queue) === entity && !keeper.isAttached) this.consumers().scheduleRepair(keeper, 0);
  }

  /** Consumers that the broker refuses now, and did not before. */
  accessRefusals(): AccessRefusal[] {
    return this.consumers()
      .all()
      .flatMap((keeper) => {
        const { name, wasAttached, missingBecause } = keeper;
        const isRefused = wasAttached && missingBecause !== undefined && isAccessRefused(missingBecause.cause);
        return isRefused ? [{ entity: `consumer "${name}"`, cause: missingBecause.cause }] : [];
      });
  }

  /** What the broker refuses may not be refused any more. */
  retryRefused(): void {
    for (const keeper of this.consumers().all()) {
      const cause = keeper.missingBecause?.cause;
      if (cause !== undefined && isAccessRefused(cause)) this.consumers().scheduleRepair(keeper, 0);
    }
  }

  async #end(keeper: SubscriptionKeeper): Promise<void> {
    const isKnown = this.consumers().named(keeper.name) === keeper;
    if (isKnown) this.topology.remove(sharedEntities(keeper.wanted));
    await this.consumers().end(keeper);
  }
}
