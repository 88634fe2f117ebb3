/** All consumers of a connection: attached together in recovery, repaired one by one afterwards, drained at the end. */
import { type Timer, withDeadline } from '../../base/clock.js';
import type { Link } from '../../link/link.js';
import { subscriptionAsked, type Turns } from '../../link/link-culprit-search.js';
import { Patience } from '../../link/patience.js';
import type { RecoveryProgress } from '../../recovery/recovery-steps.js';
import { OptionsError } from '../../errors/options-error.js';
import { Consumer, type ConsumerHost } from './subscription-keeper.js';
import { OwnReturns } from '../poison/redeliveries.js';
import type { WantedSubscription } from '../options/subscription.js';
import { type ConsumerCounters, noCounts } from '../delivery/counters.js';

export interface RegistryHost extends Omit<ConsumerHost, 'needsRepair' | 'needsChannel' | 'isIdle' | 'ownReturns'> {
  /** The consuming link while it is up. */
  link(): Link | undefined;
  /** Attaches one consumer, its topology first, within a time limit; discards the link when the broker does not answer. */
  repair(consumer: Consumer, link: Link): Promise<void>;
  /** Which of them are attached one at a time, on trial. */
  turnsFor(consumers: readonly Consumer[]): Turns<Consumer>;
  /** After how long a silence about one consumer the link itself is asked. */
  readonly patienceMs: number;
}

/** A message that ends the link has come to be the first of its queue by then, as a rule. */
const TRIALS_LAST_MS = 10_000;
const REMEMBERED_RETURNS = 1_000;
/** Of queues that nobody may ever subscribe to again. */
const REMEMBERED_QUEUES = 1_000;

export class ConsumerRegistry {
  readonly #consumers = new Map<string, Consumer>();
  /** Unsubscribed, with handlers that still run. */
  readonly #leaving = new Set<Consumer>();
  readonly #countersOfGone = noCounts();
  /** By queue, those subscribed to last at the end. */
  readonly #ownReturns = new Map<string, OwnReturns>();
  readonly #repairs = new Map<Consumer, Timer>();
  /** In the order in which they found none. */
  readonly #waitingForChannel = new Set<Consumer>();
  #isDraining = false;
  #trialsEnd: Timer | undefined;

  constructor(private readonly host: RegistryHost) {}

  get size(): number {
    return this.#consumers.size;
  }

  /** Whether a handler runs. */
  get isBusy(): boolean {
    return this.all().some(({ isBusy }) => isBusy);
  }

  /** Also those that were unsubscribed and still finish what they run. */
  all(): Consumer[] {
    return [...this.#consumers.values(), ...this.#leaving];
  }

  named(name: string): Consumer | undefined {
    return this.#consumers.get(name);
  }

  add(wanted: WantedSubscription): Consumer {
    if (this.#consumers.has(wanted.name)) {
      throw new OptionsError(
        `subscription "${wanted.name}"`,
        'there is another subscription of this name on the connection',
        'Give one of them a name of its own',
      );
    }
    const consumer = new Consumer(wanted, {
      ...this.host,
      ownReturns: this.#returnsTo(wanted),
      needsRepair: (broken, delayMs) => this.scheduleRepair(broken, delayMs),
      needsChannel: (waiting) => this.#needsChannel(waiting),
      isIdle: (paused) => void (this.#waitingForChannel.size > 0 && paused.giveUpIdleChannel()),
    });
    this.#consumers.set(wanted.name, consumer);
    return consumer;
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
  async end(consumer: Consumer): Promise<void> {
    // Ended before: the name may be another one's by now.
    if (this.#consumers.get(consumer.name) !== consumer) return consumer.cancel();
    this.#endRepair(consumer);
    this.#waitingForChannel.delete(consumer);
    this.#consumers.delete(consumer.name);
    this.#leaving.add(consumer);
    await consumer.cancel();
    // Not waited for: a handler may be the one who unsubscribes.
    void this.#leave(consumer);
  }

  async #leave(consumer: Consumer): Promise<void> {
    await consumer.untilIdle();
    await consumer.closeChannel();
    this.#leaving.delete(consumer);
    addUp(this.#countersOfGone, consumer.counters);
  }

  /** The recovery step: all at the same time, so that round trips do not add up; but for those that may cost the link. */
  async attachAll(link: Link, progress: RecoveryProgress): Promise<void> {
    const consumers = this.all().filter((consumer) => consumer.isWanted);
    progress.consumersWanted = consumers.length;
    const patience = new Patience(this.host.clock, this.host.patienceMs);
    const attached = async (consumer: Consumer, attaching: Promise<void>): Promise<void> => {
      if (!(await patience.answered(link, attaching))) consumer.hasNoAnswer();
      attaching.catch(() => undefined); // with the link lost meanwhile, recovery attaches it again
      progress.advanced();
      noteOutcome(consumer, progress);
    };
    const { together, oneByOne } = this.host.turnsFor(consumers);
    for (const consumer of together) consumer.endTrial();
    await Promise.all(together.map((consumer) => attached(consumer, consumer.attach(link))));
    for (const consumer of oneByOne) await attached(consumer, consumer.attachOnTrial(link));
    if (oneByOne.length === 0 || this.#isDraining || !link.isUp) return;
    this.#trialsEnd?.cancel();
    this.#trialsEnd = this.host.clock.setTimer(() => oneByOne.forEach((one) => one.endTrial()), TRIALS_LAST_MS);
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
    for (const consumer of idleFirst.slice(0, count)) void consumer.giveUpChannel();
  }

  /** As many of those that wait for a channel are attached as can have one now. */
  channelFreed(): void {
    const link = this.host.link();
    if (link === undefined || this.#isDraining) return;
    for (const consumer of this.#waitingForChannel) {
      // What was paused meanwhile asks again when it is resumed.
      if (consumer.isWanted && !consumer.reservePlace(link)) break;
      this.#waitingForChannel.delete(consumer);
      this.scheduleRepair(consumer, 0);
    }
    if (this.#waitingForChannel.size > 0) this.#freeIdleChannels();
  }

  #needsChannel(consumer: Consumer): void {
    this.#waitingForChannel.add(consumer);
    this.#freeIdleChannels();
  }

  #freeIdleChannels(): void {
    for (const consumer of this.#consumers.values()) if (consumer.isPaused) void consumer.giveUpIdleChannel();
  }

  /** Before the link is given up for another one, as far as that is done within `limitMs`. */
  async finishInHand(cause: Error, limitMs: number): Promise<void> {
    const done = Promise.all(this.all().map((consumer) => consumer.finishInHand(cause)));
    // What is not done by then is delivered again.
    await withDeadline(this.host.clock, done, limitMs, () => cause).catch(() => undefined);
  }

  detachAll(cause: Error): void {
    this.#trialsEnd?.cancel();
    this.#waitingForChannel.clear();
    for (const consumer of this.all()) {
      this.#endRepair(consumer);
      consumer.detach(cause);
    }
  }

  scheduleRepair(consumer: Consumer, delayMs: number): void {
    // A listener that hears of the loss may have unsubscribed.
    if (this.#isDraining || !consumer.isWanted) return;
    this.#endRepair(consumer);
    this.#repairs.set(
      consumer,
      this.host.clock.setTimer(() => {
        this.#repairs.delete(consumer);
        const link = this.host.link();
        // Without a link there is nothing to repair on: the next recovery attaches everything.
        if (link !== undefined) void this.host.repair(consumer, link);
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
    for (const consumer of this.#repairs.keys()) this.#endRepair(consumer);
    const consumers = this.all();
    const running = (): number => consumers.reduce((sum, consumer) => sum + consumer.running, 0);
    const runningAtStart = running();
    const allIdle = Promise.all(
      consumers.map(async (consumer) => {
        await Promise.race([consumer.cancel(), isUnanswered]);
        consumer.endWaits();
        await consumer.untilIdle();
      }),
    );
    await Promise.race([allIdle, isOver]);
    const finished = Math.max(0, runningAtStart - running());
    for (const consumer of consumers) consumer.handBackRunning();
    return finished;
  }

  async closeChannels(): Promise<void> {
    await Promise.all(this.all().map((consumer) => consumer.closeChannel()));
  }

  counters(): ConsumerCounters {
    const sum = { ...this.#countersOfGone };
    for (const { counters } of this.all()) addUp(sum, counters);
    return sum;
  }

  #endRepair(consumer: Consumer): void {
    this.#repairs.get(consumer)?.cancel();
    this.#repairs.delete(consumer);
  }
}

function noteOutcome(consumer: Consumer, progress: RecoveryProgress): void {
  const { name, isAttached, missingBecause } = consumer;
  if (isAttached) progress.consumersAttached += 1;
  else if (missingBecause !== undefined)
    progress.refused.push({ entity: `consumer "${name}"`, cause: missingBecause.cause });
}

function addUp(sum: ConsumerCounters, more: Readonly<ConsumerCounters>): void {
  for (const key of Object.keys(sum) as (keyof ConsumerCounters)[]) sum[key] += more[key];
}
