/**
 * What each link carries: one table for what recovery restores on it, in this order, and for what its loss takes along.
 *
 * Queues that die with the link are declared by the consuming link alone. A message that goes out before they are back would
 * be returned as unroutable, so the publishing link gives the other one a head start.
 */
import type { SubscriptionKeepers } from '../consuming/attaching/subscription-keepers.js';
import { ChannelsExhaustedError } from '../errors/channel-errors.js';
import type { Link } from '../link/link.js';
import type { Publishers } from '../publishing/publishers.js';
import type { RecoveryProgress, RecoveryStep } from '../recovery/recovery-steps.js';
import type { LinkRole } from '../reporting/lifecycle.js';
import type { TopologyKeeper } from '../topology/topology-keeper.js';

interface RecoveryPlanNeeds {
  readonly topology: TopologyKeeper;
  readonly keepers: SubscriptionKeepers;
  readonly publishers: Publishers;
}

/** One thing that a link carries. */
interface Carried extends RecoveryStep {
  /** The link that carried it is gone. */
  lost(cause: Error): void;
}

export class RecoveryPlan {
  readonly #carriedBy: Readonly<Record<LinkRole, readonly Carried[]>>;
  readonly #recovering = new Set<() => void>();
  /** Its topology found no channel to be declared on. */
  #heldUp: Link | undefined;

  constructor(
    private readonly needs: RecoveryPlanNeeds,
    /** Resolves when the consuming link has restored the queues that died with it, or has had its time. */
    private readonly untilOwnQueuesAreBack: () => Promise<void>,
  ) {
    const { topology, subscriptions, publishers, ownQueuesFirst } = this.#carried();
    this.#carriedBy = {
      consuming: [topology, subscriptions],
      publishing: [topology, ownQueuesFirst, publishers],
      shared: [topology, subscriptions, publishers],
    };
  }

  /** In the order in which recovery takes them. */
  stepsFor(role: LinkRole): readonly RecoveryStep[] {
    return this.#carriedBy[role];
  }

  /** A link of that role is gone, with all that it carried. */
  lost(role: LinkRole, cause: Error): void {
    for (const carried of this.#carriedBy[role]) carried.lost(cause);
  }

  /** A declaration was answered: a recovery that waits for it is not stuck. */
  declaringAdvances(): void {
    for (const advanced of this.#recovering) advanced();
  }

  /** A channel is free: declares what found none in a recovery. */
  channelFreed(): void {
    const link = this.#heldUp;
    // With the link lost, the next recovery does it.
    if (link?.isUp === true) this.#declareAll(link).catch(() => undefined);
  }

  #carried(): Record<'topology' | 'subscriptions' | 'publishers' | 'ownQueuesFirst', Carried> {
    const { topology, keepers, publishers } = this.needs;
    return {
      topology: {
        name: 'declaring the topology',
        run: (link, progress) => this.#declare(link, progress),
        lost: () => topology.linkLost(),
      },
      subscriptions: {
        name: 'attaching consumers',
        run: (link, progress) => keepers.attachAll(link, progress),
        lost: (cause) => keepers.detachAll(cause),
      },
      publishers: {
        name: 'opening the publishing channels',
        run: (link) => publishers.attachAll(link),
        lost: (cause) => publishers.detachAll(cause),
      },
      ownQueuesFirst: {
        name: 'waiting for queues that died with the link',
        run: () => this.untilOwnQueuesAreBack(),
        // A wait carries nothing.
        lost: () => undefined,
      },
    };
  }

  async #declare(link: Link, progress: RecoveryProgress): Promise<void> {
    this.#recovering.add(progress.advanced);
    try {
      await this.#declareAll(link, progress);
    } finally {
      this.#recovering.delete(progress.advanced);
    }
    progress.refused.push(...this.needs.topology.refusals);
  }

  /** A link without a channel to declare on now may have one soon, and what others have on it goes on. */
  async #declareAll(link: Link, progress?: RecoveryProgress): Promise<void> {
    try {
      this.#heldUp = undefined;
      await this.needs.topology.declareAll(link);
    } catch (thrown) {
      if (!(thrown instanceof ChannelsExhaustedError)) throw thrown;
      this.#heldUp = link;
      progress?.refused.push({ entity: 'the topology', cause: thrown });
    }
  }
}
