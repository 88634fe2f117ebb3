/**
 * Keeps one subscription attached for as long as it is wanted: a keeper outlives links, channels and consumers.
 *
 * Duty: whatever ends the consumer, attach another one, and name the subscription as missing until then; and let go of it for a
 * pause, for the end, or where its channel or its link is needed elsewhere.
 */
import type { ConsumeMessage } from 'amqplib';
import type { Link } from '../../link/link.js';
import { subscriptionAsked } from '../../link/link-culprit-search.js';
import { ClosesTheLinkError } from '../../errors/channel-errors.js';
import { LinkLostError } from '../../errors/connection-errors.js';
import type { Consumer } from '../consumer/consumer.js';
import { firstMessage } from '../consumer/first-message.js';
import type { ConsumerCounters } from '../delivery/counters.js';
import type { StuckLine } from '../failures/stuck-deliveries.js';
import type { WantedSubscription } from '../options/subscription.js';
import { Attaching, type AttachingNeeds } from './attaching.js';
import { LinkTrial } from './link-trial.js';
import { readOnce } from './readiness.js';
import { SubscriptionLife } from './subscription-life.js';
import type { MissingBecause } from './subscription-state.js';

export interface SubscriptionKeeperNeeds extends Omit<AttachingNeeds, 'needsRepair' | 'needsChannel'> {
  /** The consumer has to be attached again while its link lives; call back `attach` after `delayMs`. */
  needsRepair(keeper: SubscriptionKeeper, delayMs: number): void;
  /** Its link has no channel for it. Call back `attach` when one is free. */
  needsChannel(keeper: SubscriptionKeeper): void;
  /** It was paused, and what ran has ended. */
  isIdle(keeper: SubscriptionKeeper): void;
}

export class SubscriptionKeeper {
  readonly #life: SubscriptionLife;
  readonly #attaching: Attaching;
  readonly #trial: LinkTrial;

  constructor(
    readonly wanted: WantedSubscription,
    private readonly needs: SubscriptionKeeperNeeds,
  ) {
    const illegal = (cause: Error): void => needs.event({ type: 'internal-error', cause });
    this.#life = new SubscriptionLife(`subscription "${wanted.name}"`, needs.clock, illegal);
    this.#attaching = new Attaching(wanted, this.#life, {
      ...needs,
      needsRepair: (delayMs) => needs.needsRepair(this, delayMs),
      needsChannel: () => needs.needsChannel(this),
    });
    this.#trial = new LinkTrial(wanted, this.#attaching.inHand.holding, (prefetch) => this.#grow(prefetch));
  }

  get name(): string {
    return this.wanted.name;
  }

  /** The broker's name of the queue while attached to a server-named one. */
  get queueName(): string {
    return this.#attaching.channel.consumer?.queueName ?? this.wanted.queue.name;
  }

  /** The broker has its consumer: also for a moment after a pause, or the end, until that is cancelled. */
  get isAttached(): boolean {
    return this.#attaching.isAttached;
  }

  /** It is attached, or status names why it is not; nobody wants one that was paused or ended. */
  get isDecided(): boolean {
    return this.#life.isDecided;
  }

  /** Resolves when it is attached; rejects when that was refused, or it has ended. */
  get ready(): Promise<void> {
    // A pause that is not over yet takes the consumer away that is there now.
    return readOnce(this.#attaching.cancels.done.then(() => this.#life.ready));
  }

  get consumerTag(): string | undefined {
    return this.#attaching.channel.consumer?.consumerTag;
  }

  get isStopped(): boolean {
    return this.#life.isStopped;
  }

  get isPaused(): boolean {
    return this.#life.isPaused;
  }

  /** Neither ended nor paused: it shall be attached. */
  get isWanted(): boolean {
    return this.#life.isWanted;
  }

  /** The connection is closed over it: nobody attaches it beside others. */
  get isLeftOut(): boolean {
    return this.#life.state.name === 'left-out';
  }

  get counters(): Readonly<ConsumerCounters> {
    return this.#attaching.inHand.counters;
  }

  /** Why it is not attached, if it should be. */
  get missingBecause(): MissingBecause | undefined {
    return this.#life.missing;
  }

  /** Epoch ms since when its present consumer has been given deliveries. */
  get servedSince(): number | undefined {
    const { state } = this.#life;
    return state.name === 'attached' ? state.consumer.servedSince : undefined;
  }

  /** It wants to be exclusive, and its queue lets others consume as well. */
  get isExclusiveInVain(): boolean {
    return this.isAttached && this.#attaching.exclusivity.isIgnored;
  }

  /** What cannot be moved now, and where to. */
  get stuck(): readonly StuckLine[] {
    return this.#attaching.inHand.stuck;
  }

  /** Whether it has been attached at any time. */
  get wasAttached(): boolean {
    return this.#attaching.wasAttached;
  }

  get running(): number {
    return this.#attaching.inHand.running;
  }

  get isBusy(): boolean {
    return this.#attaching.inHand.isBusy;
  }

  /** Of the next basic.consume. */
  get consumerArguments(): Record<string, unknown> {
    return this.#attaching.request.arguments;
  }

  /**
   * Attaches on `link`. Resolves when attached, or when the broker refused (then it is named and retried).
   * Rejects only when the link is lost.
   */
  attach(link: Link): Promise<void> {
    return this.#attaching.attach(link);
  }

  /** The broker answers others, and not the attempt to attach that is under way, which goes on. */
  hasNoAnswer(): void {
    this.#attaching.hasNoAnswer();
  }

  /** The link is gone, and the channel with it. */
  detach(cause: Error): void {
    this.#attaching.detach(cause);
  }

  /** As {@link attach}, for one that may cost the link: it resolves when the first message has come, or none is there. */
  async attachOnTrial(link: Link): Promise<void> {
    const answered = link.asking(subscriptionAsked(this.wanted.name));
    this.#trial.begin();
    try {
      await this.attach(link);
      const { consumer } = this.#attaching.channel;
      if (consumer !== undefined && this.isAttached) await firstMessage(consumer, this.needs.clock);
    } finally {
      this.#trial.attemptEnded();
    }
    answered();
    if (!link.isUp) throw new LinkLostError('it ended while a subscription was on trial');
  }

  /** The link lives: all of its prefetch again. */
  endTrial(): void {
    this.#trial.end({ isAttempting: this.#attaching.attempts.underWay !== undefined });
  }

  #grow(prefetch: number): boolean {
    if (this.#life.state.name !== 'attached') return false;
    void this.#attaching.prefetchIsDue(this.#life.state.consumer, { kind: 'grow', prefetch });
    return true;
  }

  /** The connection is closed over it. It is named, and not attached any more until {@link comeBack}. */
  leaveOut(thrown: Error): void {
    // Paused, say: with the resume it is tried again like any other.
    if (this.#life.state.name !== 'waiting') return;
    const cause = new ClosesTheLinkError(subscriptionAsked(this.wanted.name), thrown);
    this.#life.moveTo({ name: 'left-out', missing: this.#life.missingFor(cause) });
    this.#attaching.tellRefused(cause);
  }

  /** It was looked at in a trial of ours, and given back. */
  noteReturn({ properties, fields: { exchange, routingKey }, content: body }: ConsumeMessage): void {
    const messageId = typeof properties.messageId === 'string' ? properties.messageId : undefined;
    this.needs.ownReturns.add({ messageId, exchange, routingKey, body });
  }

  /** It costs the link no more. */
  comeBack(): void {
    if (this.#life.state.name !== 'left-out') return;
    this.#life.moveTo({ name: 'waiting', missing: this.#life.state.missing });
    this.needs.needsRepair(this, 0);
  }

  /** No more deliveries until {@link resume}; what runs goes on, what waits is given back. Idempotent. */
  async pause(): Promise<void> {
    if (!this.#life.isWanted) return;
    this.#life.moveTo({ name: 'paused' });
    this.#attaching.inHand.beginNoMore();
    this.needs.event({ type: 'subscription-paused', subscription: this.wanted.name });
    await this.#attaching.cancels.handOver();
    void this.untilIdle().then(() => this.needs.isIdle(this));
  }

  /** Idempotent. */
  async resume(): Promise<void> {
    if (!this.#life.isPaused) return;
    this.#attaching.isWantedAgain();
    this.needs.event({ type: 'subscription-resumed', subscription: this.wanted.name });
    // A pause that is not over yet would cancel the consumer that we attach now.
    await this.#attaching.cancels.done;
    if (!this.#life.isWanted) return;
    // Where it was not handed over yet.
    this.#attaching.inHand.handBackNotBegun();
    this.#attaching.inHand.beginAgain();
    this.needs.needsRepair(this, 0);
  }

  /** No more deliveries, ever; what runs goes on. Idempotent. */
  async cancel(): Promise<void> {
    if (!this.#life.isStopped) this.#life.moveTo({ name: 'leaving' });
    this.#attaching.inHand.beginNoMore();
    await this.#attaching.cancels.handOver();
    this.endWaits();
  }

  /** What waits, for a dead-letter queue out of reach, say, is given back: not before the cancel, or it comes to us again. */
  endWaits(): void {
    this.#attaching.inHand.end();
  }

  /** Its channel is needed more elsewhere: what runs is finished first. Then it waits for another one. */
  async giveUpChannel(): Promise<void> {
    const { consumer } = this.#attaching.channel;
    if (!this.#life.isWanted || consumer === undefined) return;
    await this.#finish(consumer, () => undefined);
    // Attached again meanwhile, paused, or ended: that has its own way on.
    if (this.#life.state.name === 'waiting' && consumer.link.isUp)
      this.#attaching.withoutChannel(this.#attaching.channel.exhausted(consumer.link));
  }

  /** Its link is given up for another one: what runs is finished, and the broker has read its acks. The next link attaches it. */
  async finishInHand(cause: Error): Promise<void> {
    const { consumer } = this.#attaching.channel;
    if (!this.#life.isWanted || consumer === undefined) return;
    await this.#finish(consumer, () => {
      if (this.#life.state.name === 'waiting')
        this.#life.moveTo({ name: 'missing', missing: this.#life.missingFor(cause) });
    });
  }

  async #finish(consumer: Consumer, cancelled: () => void): Promise<void> {
    this.#attaching.inHand.beginNoMore();
    await this.#attaching.cancels.cancel();
    cancelled();
    await this.untilIdle();
    if (this.#attaching.channel.consumer === consumer && consumer.isLive) {
      this.#attaching.detached();
      await this.#attaching.channel.closeInOrder(consumer);
    }
    if (this.#life.isWanted) this.#attaching.inHand.beginAgain();
  }

  /** Takes a place for its next channel, and keeps it. */
  reservePlace(link: Link): boolean {
    return this.#attaching.channel.reservePlace(link);
  }

  /** While it is paused and has nothing in hand, others can use its channel. */
  async giveUpIdleChannel(): Promise<void> {
    await this.#attaching.cancels.done;
    const { consumer } = this.#attaching.channel;
    if (!this.#life.isPaused) return;
    if (consumer === undefined || !consumer.isLive) return this.#attaching.channel.freePlace();
    if (!this.isBusy && consumer.oldestInHandMs === undefined) await this.#attaching.channel.closeInOrder(consumer);
  }

  /** Resolves when no handler runs any more; of one that is handed over then, when the broker was told. */
  async untilIdle(): Promise<void> {
    await this.#attaching.inHand.untilIdle();
    await this.#attaching.cancels.handedOver;
  }

  /** Gives back every delivery whose handler still runs. Returns how many. */
  handBackRunning(): number {
    return this.#attaching.inHand.handBackRunning();
  }

  /** Closing in order makes sure that the last acks are with the broker: wait for it before the link is closed. */
  closeChannel(): Promise<void> {
    const { state } = this.#life;
    if (state.name === 'ended') return state.closed;
    const closed = this.#attaching.closeChannels();
    this.#life.moveTo({ name: 'ended', closed });
    return closed;
  }
}
