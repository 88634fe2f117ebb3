/** All consumers of a connection: attached together in recovery, repaired one by one afterwards, drained at the end. */
import { type Timer, withDeadline } from '../../base/clock.js';
import type { Link } from '../../link/link.js';
import { subscriptionAsked, type AskingOrder } from '../../link/link-culprit-search.js';
import { Patience } from '../../link/patience.js';
import type { RecoveryProgress } from '../../recovery/recovery-steps.js';
import { OptionsError } from '../../errors/options-error.js';
import { SubscriptionKeeper, type SubscriptionKeeperNeeds } from './subscription-keeper.js';
import { OwnReturns } from '../poison/redeliveries.js';
import type { WantedSubscription } from '../options/subscription.js';
import { type ConsumerCounters, noCounts } from '../delivery/counters.js';

interface SubscriptionKeepersNeeds extends Omit<
  SubscriptionKeeperNeeds,
  'needsRepair' | 'needsChannel' | 'isIdle' | 'ownReturns'
> {
  /** The consuming link while it is up. */
  link(): Link | undefined;
  /** Attaches one consumer, its topology first, within a time limit; discards the link when the broker does not answer. */
  repair(keeper: SubscriptionKeeper, link: Link): Promise<void>;
  /** Which of them are attached one at a time, on trial. */
  turnsFor(keepers: readonly SubscriptionKeeper[]): AskingOrder<SubscriptionKeeper>;
  /** After how long a silence about one consumer the link itself is asked. */
  readonly patienceMs: number;
}

/** A message that ends the link has come to be the first of its queue by then, as a rule. */
const TRIALS_LAST_MS = 10_000;
const REMEMBERED_RETURNS = 1_000;
/** Of queues that nobody may ever subscribe to again. */
const REMEMBERED_QUEUES = 1_000;

export class SubscriptionKeepers {
  readonly #keepers = new Map<string, SubscriptionKeeper>();
  /** Unsubscribed, with handlers that still run. */
  readonly #leaving = new Set<SubscriptionKeeper>();
  readonly #countersOfGone = noCounts();
  /** By queue, those subscribed to last at the end. */
  readonly #ownReturns = new Map<string, OwnReturns>();
  readonly #repairs = new Map<SubscriptionKeeper, Timer>();
  /** In the order in which they found none. */
  readonly #waitingForChannel = new Set<SubscriptionKeeper>();
  #isDraining = false;
  #trialsEnd: Timer | undefined;

  constructor(private readonly needs: SubscriptionKeepersNeeds) {}

  get size(): number {
    return this.#keepers.size;
  }

  /** Whether a handler runs. */
  get isBusy(): boolean {
    return this.all().some(({ isBusy }) => isBusy);
  }

  /** Also those that were unsubscribed and still finish what they run. */
  all(): SubscriptionKeeper[] {
    return [...this.#keepers.values(), ...this.#leaving];
  }

  /** Those that are wanted, and neither attached nor named as missing. */
  get undecided(): SubscriptionKeeper[] {
    return this.all().filter(({ isDecided }) => !isDecided);
  }

  named(name: string): SubscriptionKeeper | undefined {
    return this.#keepers.get(name);
  }

  add(wanted: WantedSubscription): SubscriptionKeeper {
    if (this.#keepers.has(wanted.name)) {
      throw new OptionsError(
        `subscription "${wanted.name}"`,
        'there is another subscription of this name on the connection',
        'Give one of them a name of its own',
      );
    }
    const keeper = new SubscriptionKeeper(wanted, {
      ...this.needs,
      ownReturns: this.#returnsTo(wanted),
      needsRepair: (broken, delayMs) => this.scheduleRepair(broken, delayMs),
      needsChannel: (waiting) => this.#needsChannel(waiting),
      isIdle: (paused) => void (this.#waitingForChannel.size > 0 && paused.giveUpIdleChannel()),
    });
    this.#keepers.set(wanted.name, keeper);
    return keeper;
  }

  #returnsTo({ queue: { name }, prefetch }: WantedSubscription): OwnReturns {
    const returns = this.#ownReturns.get(name) ?? new OwnReturns(REMEMBERED_RETURNS);
    returns.makeRoomFor(prefetch);
    this.#ownReturns.delete(name);
    this.#ownReturns.set(name, returns);
    const [oldest] = this.#ownReturns.keys();
    if (this.#ownReturns.size > REMEMBERED_QUEUES) this.#ownReturns.delete(oldest as string);
    return returns;
  }

  /** Its name is free at once; until its last handler is done it counts, and {@link drain} waits for it. */
  async end(keeper: SubscriptionKeeper): Promise<void> {
    // Ended before: the name may be another one's by now.
    if (this.#keepers.get(keeper.name) !== keeper) return keeper.cancel();
    this.#endRepair(keeper);
    this.#waitingForChannel.delete(keeper);
    this.#keepers.delete(keeper.name);
    this.#leaving.add(keeper);
    await keeper.cancel();
    // Not waited for: a handler may be the one who unsubscribes.
    void this.#leave(keeper);
  }

  async #leave(keeper: SubscriptionKeeper): Promise<void> {
    await keeper.untilIdle();
    await keeper.closeChannel();
    this.#leaving.delete(keeper);
    addUp(this.#countersOfGone, keeper.counters);
  }

  /** The recovery step: all at the same time, so that round trips do not add up; but for those that may cost the link. */
  async attachAll(link: Link, progress: RecoveryProgress): Promise<void> {
    const keepers = this.all().filter((keeper) => keeper.isWanted);
    progress.consumersWanted = keepers.length;
    const patience = new Patience(this.needs.clock, this.needs.patienceMs);
    const attached = async (keeper: SubscriptionKeeper, attaching: Promise<void>): Promise<void> => {
      if (!(await patience.answered(link, attaching))) keeper.hasNoAnswer();
      attaching.catch(() => undefined); // with the link lost meanwhile, recovery attaches it again
      progress.advanced();
      noteOutcome(keeper, progress);
    };
    const { together, oneByOne } = this.needs.turnsFor(keepers);
    for (const keeper of together) keeper.endTrial();
    await Promise.all(together.map((keeper) => attached(keeper, keeper.attach(link))));
    for (const keeper of oneByOne) await attached(keeper, keeper.attachOnTrial(link));
    if (oneByOne.length === 0 || this.#isDraining || !link.isUp) return;
    this.#trialsEnd?.cancel();
    this.#trialsEnd = this.needs.clock.setTimer(() => oneByOne.forEach((one) => one.endTrial()), TRIALS_LAST_MS);
  }

  /** How many are attached that are not `asked` for at the moment. */
  attachedBeside(asked: ReadonlySet<string>): number {
    return this.all().filter(({ name, isAttached }) => isAttached && !asked.has(subscriptionAsked(name))).length;
  }

  get waitingForChannel(): number {
    return [...this.#waitingForChannel].filter(({ isWanted }) => isWanted).length;
  }

  /** So many have a channel that is needed more elsewhere: those that came last, what is idle first. They wait for another one. */
  giveUpChannels(count: number): void {
    const attached = this.all().filter(({ isAttached }) => isAttached);
    const lastFirst = attached.toReversed();
    const idleFirst = [...lastFirst.filter(({ isBusy }) => !isBusy), ...lastFirst.filter(({ isBusy }) => isBusy)];
    for (const keeper of idleFirst.slice(0, count)) void keeper.giveUpChannel();
  }

  /** As many of those that wait for a channel are attached as can have one now. */
  channelFreed(): void {
    const link = this.needs.link();
    if (link === undefined || this.#isDraining) return;
    for (const keeper of this.#waitingForChannel) {
      // What was paused meanwhile asks again when it is resumed.
      if (keeper.isWanted && !keeper.reservePlace(link)) break;
      this.#waitingForChannel.delete(keeper);
      this.scheduleRepair(keeper, 0);
    }
    if (this.#waitingForChannel.size > 0) this.#freeIdleChannels();
  }

  #needsChannel(keeper: SubscriptionKeeper): void {
    this.#waitingForChannel.add(keeper);
    this.#freeIdleChannels();
  }

  #freeIdleChannels(): void {
    for (const keeper of this.#keepers.values()) if (keeper.isPaused) void keeper.giveUpIdleChannel();
  }

  /** Before the link is given up for another one, as far as that is done within `limitMs`. */
  async finishInHand(cause: Error, limitMs: number): Promise<void> {
    const done = Promise.all(this.all().map((keeper) => keeper.finishInHand(cause)));
    // What is not done by then is delivered again.
    await withDeadline(this.needs.clock, done, limitMs, () => cause).catch(() => undefined);
  }

  detachAll(cause: Error): void {
    this.#trialsEnd?.cancel();
    this.#waitingForChannel.clear();
    for (const keeper of this.all()) {
      this.#endRepair(keeper);
      keeper.detach(cause);
    }
  }

  scheduleRepair(keeper: SubscriptionKeeper, delayMs: number): void {
    // A listener that hears of the loss may have unsubscribed.
    if (this.#isDraining || !keeper.isWanted) return;
    this.#endRepair(keeper);
    this.#repairs.set(
      keeper,
      this.needs.clock.setTimer(() => {
        this.#repairs.delete(keeper);
        const link = this.needs.link();
        // Without a link there is nothing to repair on: the next recovery attaches everything.
        if (link !== undefined) void this.needs.repair(keeper, link);
      }, delayMs),
    );
  }

  /**
   * Cancels all, lets running handlers finish until `isOver` resolves, gives back the rest. A broker that has not answered
   * the cancels when `isUnanswered` resolves is not waited for.
   * @returns how many finished
   */
  async drain(isOver: Promise<void>, isUnanswered: Promise<void>): Promise<number> {
    this.#isDraining = true;
    this.#trialsEnd?.cancel();
    for (const keeper of this.#repairs.keys()) this.#endRepair(keeper);
    const keepers = this.all();
    const running = (): number => keepers.reduce((sum, keeper) => sum + keeper.running, 0);
    const runningAtStart = running();
    const allIdle = Promise.all(
      keepers.map(async (keeper) => {
        await Promise.race([keeper.cancel(), isUnanswered]);
        keeper.endWaits();
        await keeper.untilIdle();
      }),
    );
    await Promise.race([allIdle, isOver]);
    const finished = Math.max(0, runningAtStart - running());
    for (const keeper of keepers) keeper.handBackRunning();
    return finished;
  }

  async closeChannels(): Promise<void> {
    await Promise.all(this.all().map((keeper) => keeper.closeChannel()));
  }

  counters(): ConsumerCounters {
    const sum = { ...this.#countersOfGone };
    for (const { counters } of this.all()) addUp(sum, counters);
    return sum;
  }

  #endRepair(keeper: SubscriptionKeeper): void {
    this.#repairs.get(keeper)?.cancel();
    this.#repairs.delete(keeper);
  }
}

function noteOutcome(keeper: SubscriptionKeeper, progress: RecoveryProgress): void {
  const { name, isAttached, missingBecause } = keeper;
  if (isAttached) progress.consumersAttached += 1;
  else if (missingBecause !== undefined)
    progress.refused.push({ entity: `consumer "${name}"`, cause: missingBecause.cause });
}

function addUp(sum: ConsumerCounters, more: Readonly<ConsumerCounters>): void {
  for (const key of Object.keys(sum) as (keyof ConsumerCounters)[]) sum[key] += more[key];
}
