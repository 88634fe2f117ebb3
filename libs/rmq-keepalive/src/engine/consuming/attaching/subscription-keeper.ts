/**
 * Keeps one subscription attached: a keeper outlives links, channels and consumers.
 *
 * Duty: whatever ends the consumer (link, channel error, broker cancel), attach another one, and name the subscription as
 * missing until then.
 * Danger: a channel error must not touch other subscriptions; a delivery must never be settled on a later channel.
 * Choice: one channel each; everything that belongs to one channel hangs on one `Consumer` object, which dies with it.
 * The place for a channel is kept from one channel to the next, for as long as the subscription can use one.
 */
import type { ConsumeMessage } from 'amqplib';
import { closeChannel, openGuardedChannel } from '../../link/guarded-channel.js';
import type { ChannelPlace } from '../../link/link-channels.js';
import type { Link } from '../../link/link.js';
import { subscriptionAsked } from '../../link/link-culprit-search.js';
import { asError, reasonOf } from '../../errors/reasons.js';
import {
  ChannelClosedError,
  ChannelsExhaustedError,
  ClosesTheLinkError,
  ConsumerCancelledError,
  ConsumeRefusedError,
  NoAnswerYetError,
  NotSingleActiveError,
} from '../../errors/channel-errors.js';
import { ConnectionClosedError, LinkLostError } from '../../errors/connection-errors.js';
import type { Entity } from '../../topology/topology.js';
import type { Consumer, DueVerdict } from './consumer.js';
import { isPlausibleTimeout } from '../options/ack-timeout.js';
import { canChangePrefetch, PrefetchChange } from './prefetch-change.js';
import { type RefusalKind, retryAfterLossMs, retryAfterRefusalMs } from './attach-retries.js';
import { Exclusivity } from './exclusivity.js';
import type { StuckLine } from '../failures/stuck-deliveries.js';
import { firstMessage } from './first-message.js';
import { isRefusedOffset } from './queue-type.js';
import { sharedEntities, type WantedSubscription } from '../options/subscription.js';
import { InHand, type InHandNeeds } from './in-hand.js';
import { NOT_FOUND } from '../../errors/reply-codes.js';
import type { ConsumerCounters } from '../delivery/counters.js';

export interface SubscriptionKeeperNeeds extends InHandNeeds {
  /** Whether the broker refuses to declare any of these. */
  isAnyRefused(entities: readonly Entity[]): boolean;
  /** Why it is not declared, as far as is known. */
  troubleWith(entity: Entity): Error | undefined;
  /** The consumer has to be attached again while its link lives; call back `attach` after `delayMs`. */
  needsRepair(keeper: SubscriptionKeeper, delayMs: number): void;
  /** Its link has no channel for it. Call back `attach` when one is free. */
  needsChannel(keeper: SubscriptionKeeper): void;
  /** It was paused, and what ran has ended. */
  isIdle(keeper: SubscriptionKeeper): void;
}

export class SubscriptionKeeper {
  #consumer: Consumer | undefined;
  /** Cancelled by the broker, with the places of their channels, on which what ran at that time goes on. */
  readonly #cancelledConsumers = new Map<Consumer, ChannelPlace | undefined>();
  #attaching: { link: Link; done: Promise<void> } | undefined;
  #refusals = 0;
  #strayQueue: { link: Link; name: string } | undefined;
  #isStopped = false;
  #isPaused = false;
  #wasAttached = false;
  #missingBecause: { cause: Error; since: number } | undefined;
  #isLeftOut = false;
  /** `shrunk`: with a prefetch of 1. `over`: no more, as soon as the consumer that is under way is attached. */
  #trial: 'none' | 'shrunk' | 'over' = 'none';
  /** The attempt to attach that is under way has no answer, while the link answers others. */
  #hasNoAnswer = false;
  #channelClosed: Promise<void> | undefined;
  #place: ChannelPlace | undefined;
  #cancelling: Promise<void> = Promise.resolve();
  #handedOver: Promise<void> = Promise.resolve();
  readonly #inHand: InHand;
  readonly #exclusivity: Exclusivity;

  constructor(
    readonly wanted: WantedSubscription,
    private readonly needs: SubscriptionKeeperNeeds,
  ) {
    this.#inHand = new InHand(wanted, needs, (consumer, verdict) => void this.#prefetchIsDue(consumer, verdict));
    this.#exclusivity = new Exclusivity(wanted, needs);
  }

  get name(): string {
    return this.wanted.name;
  }

  /** The broker's name of the queue while attached to a server-named one. */
  get queueName(): string {
    return this.#consumer?.queueName ?? this.wanted.queue.name;
  }

  get isAttached(): boolean {
    return this.#consumer?.consumerTag !== undefined;
  }

  get consumerTag(): string | undefined {
    return this.#consumer?.consumerTag;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Neither ended nor paused: it shall be attached. */
  get isWanted(): boolean {
    return !this.#isStopped && !this.#isPaused;
  }

  /** The connection is closed over it: nobody attaches it beside others. */
  get isLeftOut(): boolean {
    return this.#isLeftOut;
  }

  get counters(): Readonly<ConsumerCounters> {
    return this.#inHand.counters;
  }

  /** Why it is not attached, if it is not. */
  get missingBecause(): { cause: Error; since: number } | undefined {
    return this.isAttached ? undefined : this.#missingBecause;
  }

  /** Epoch ms since when its present consumer has been given deliveries. */
  get servedSince(): number | undefined {
    return this.isAttached ? this.#consumer?.servedSince : undefined;
  }

  /** It wants to be exclusive, and its queue lets others consume as well. */
  get isExclusiveInVain(): boolean {
    return this.isAttached && this.#exclusivity.isIgnored;
  }

  /** What cannot be moved now, and where to. */
  get stuck(): readonly StuckLine[] {
    return this.#inHand.stuck;
  }

  /** Whether it has been attached at any time. */
  get wasAttached(): boolean {
    return this.#wasAttached;
  }

  get running(): number {
    return this.#inHand.running;
  }

  get isBusy(): boolean {
    return this.#inHand.isBusy;
  }

  /**
   * Attaches on `link`. Resolves when attached, or when the broker refused (then it is named and retried).
   * Rejects only when the link is lost.
   */
  async attach(link: Link): Promise<void> {
    while (this.#attaching !== undefined) {
      if (this.#attaching.link === link) return this.#attaching.done;
      // On an earlier link: it fails with that one.
      await this.#attaching.done.catch(() => undefined);
    }
    if (!this.isWanted || this.isAttached || this.#isLeftOut) return;
    const attaching = { link, done: this.#attachOn(link) };
    this.#attaching = attaching;
    try {
      await attaching.done;
    } finally {
      if (this.#attaching === attaching) {
        this.#attaching = undefined;
        this.#hasNoAnswer = false;
      }
    }
  }

  async #attachOn(link: Link): Promise<void> {
    const answered = link.asking(subscriptionAsked(this.name));
    try {
      const consumer = await this.#openAttachment(link);
      await this.#consume(consumer);
      answered();
    } catch (thrown) {
      if (!link.isUp) throw new LinkLostError(thrown);
      answered();
      if (thrown instanceof ChannelsExhaustedError) return this.#withoutChannel(thrown);
      this.#leaveStuckChannel();
      if (isRefusedOffset(thrown)) this.#inHand.isNoStream();
      this.#refused(asError(thrown));
    }
  }

  /**
   * As {@link attach}, for one that may cost the link: it resolves when the first message has come, or none is there. With a
   * prefetch of 1, until {@link endTrial}: the link takes no other message along, and the one that ends it is the first of its
   * queue, sooner or later.
   */
  async attachOnTrial(link: Link): Promise<void> {
    const answered = link.asking(subscriptionAsked(this.name));
    if (canChangePrefetch(this.wanted)) {
      this.#trial = 'shrunk';
      this.#inHand.holding.change(1);
    }
    try {
      await this.attach(link);
      const consumer = this.#consumer;
      if (consumer !== undefined && this.isAttached) await firstMessage(consumer, this.needs.clock);
    } finally {
      if ((this.#trial as string) === 'over') this.#growAgain();
    }
    answered();
    if (!link.isUp) throw new LinkLostError('it ended while a subscription was on trial');
  }

  /** The link lives: all of its prefetch again. */
  endTrial(): void {
    if (this.#trial === 'none') return;
    if (this.#attaching !== undefined) this.#trial = 'over';
    else this.#growAgain();
  }

  #growAgain(): void {
    this.#trial = 'none';
    const { prefetch } = this.wanted;
    const consumer = this.#consumer;
    if (consumer === undefined || !this.isAttached) this.#inHand.holding.change(prefetch);
    else void this.#prefetchIsDue(consumer, { kind: 'grow', prefetch });
  }

  /** The connection is closed over it. It is named, and not attached any more until {@link comeBack}. */
  leaveOut(thrown: Error): void {
    this.#isLeftOut = true;
    const cause = new ClosesTheLinkError(subscriptionAsked(this.name), thrown);
    this.#missing(cause);
    this.needs.event({ type: 'consumer-refused', subscription: this.name, queue: this.queueName, cause });
  }

  /** It was looked at in a trial of ours, and given back. */
  noteReturn({ properties, fields: { exchange, routingKey }, content: body }: ConsumeMessage): void {
    const messageId = typeof properties.messageId === 'string' ? properties.messageId : undefined;
    this.needs.ownReturns.add({ messageId, exchange, routingKey, body });
  }

  /** It costs the link no more. */
  comeBack(): void {
    if (!this.#isLeftOut) return;
    this.#isLeftOut = false;
    this.needs.needsRepair(this, 0);
  }

  /** The broker answers others, and not this attempt to attach, which goes on. */
  hasNoAnswer(): void {
    if (!this.isWanted || this.isAttached) return;
    const cause = new NoAnswerYetError(subscriptionAsked(this.name));
    const isNews = !this.#hasNoAnswer;
    this.#hasNoAnswer = true;
    this.#missing(cause);
    if (isNews) this.needs.event({ type: 'consumer-refused', subscription: this.name, queue: this.queueName, cause });
  }

  /**
   * As a rule the broker has closed the channel. When amqplib itself refused (an argument that it cannot write) it lives on,
   * and amqplib waits on it for the answer to what it never asked: nothing else is ever asked on that channel.
   */
  #leaveStuckChannel(): void {
    const consumer = this.#consumer;
    if (consumer === undefined || !consumer.isLive) return;
    void this.#closeInOrder(consumer);
  }

  /** For the acks. Its end is told by itself. */
  async #closeInOrder(consumer: Consumer): Promise<void> {
    const place = this.#place;
    this.#consumer = this.#place = undefined;
    consumer.flush();
    await closeChannel(consumer.channel);
    place?.release();
  }

  /** The link is gone, and the channel with it. */
  detach(cause: Error): void {
    this.#place = undefined;
    this.#endAttachment(cause);
  }

  /** No more deliveries, ever; what runs goes on. Idempotent. */
  async cancel(): Promise<void> {
    this.#isStopped = true;
    this.#inHand.beginNoMore();
    await this.#handOver();
    this.endWaits();
  }

  /** What waits, for a dead-letter queue out of reach, say, is given back: not before the cancel, or it comes to us again. */
  endWaits(): void {
    this.#inHand.stop();
  }

  /** No more deliveries until {@link resume}; what runs goes on, what waits is given back. Idempotent. */
  async pause(): Promise<void> {
    if (!this.isWanted) return;
    this.#isPaused = true;
    this.#missingBecause = undefined;
    // With the resume it is tried again like any other.
    this.#isLeftOut = false;
    this.#inHand.beginNoMore();
    this.needs.event({ type: 'subscription-paused', subscription: this.name });
    await this.#handOver();
    void this.untilIdle().then(() => this.needs.isIdle(this));
  }

  /** Its channel is needed more elsewhere: what runs is finished first. Then it waits for another one. */
  async giveUpChannel(): Promise<void> {
    const consumer = this.#consumer;
    if (!this.isWanted || consumer === undefined) return;
    this.#inHand.beginNoMore();
    await this.#cancelConsumer();
    await this.untilIdle();
    if (this.#consumer === consumer && consumer.isLive) await this.#closeInOrder(consumer);
    // Paused meanwhile, or ended: that has its own way on.
    if (!this.isWanted) return;
    this.#inHand.beginAgain();
    if (!this.isAttached && consumer.link.isUp) this.#withoutChannel(consumer.link.channels.exhausted(this.#who));
  }

  /** Its link is given up for another one: what runs is finished, and the broker has read its acks. The next link attaches it. */
  async finishInHand(cause: Error): Promise<void> {
    const consumer = this.#consumer;
    if (!this.isWanted || consumer === undefined) return;
    this.#inHand.beginNoMore();
    await this.#cancelConsumer();
    if (this.isWanted) this.#missing(cause);
    await this.untilIdle();
    if (this.#consumer === consumer && consumer.isLive) await this.#closeInOrder(consumer);
    if (this.isWanted) this.#inHand.beginAgain();
  }

  get #who(): string {
    return `subscription "${this.name}"`;
  }

  /** Takes a place for its next channel, and keeps it. */
  reservePlace({ channels }: Link): boolean {
    if (this.#place?.channels !== channels) this.#place = channels.tryTake('consumer');
    return this.#place !== undefined;
  }

  /** While it is paused and has nothing in hand, others can use its channel. */
  async giveUpIdleChannel(): Promise<void> {
    await this.#cancelling;
    const consumer = this.#consumer;
    if (!this.#isPaused) return;
    if (consumer === undefined || !consumer.isLive) return this.#freePlace();
    if (!this.isBusy && consumer.oldestInHandMs === undefined) await this.#closeInOrder(consumer);
  }

  /** Idempotent. */
  async resume(): Promise<void> {
    if (this.#isStopped || !this.#isPaused) return;
    this.#isPaused = false;
    this.needs.event({ type: 'subscription-resumed', subscription: this.name });
    // A pause that is not over yet would cancel the consumer that we attach now.
    await this.#cancelling;
    if (!this.isWanted) return;
    // Where it was not handed over yet.
    this.#inHand.handBackNotBegun();
    this.#inHand.beginAgain();
    this.needs.needsRepair(this, 0);
  }

  /**
   * Of a single active consumer the next process begins as soon as ours is cancelled: that waits until no handler of ours is at work.
   * Nobody waits for it here, since a handler may be the one who asks.
   */
  async #handOver(): Promise<void> {
    if (!this.wanted.singleActive || !this.#inHand.isHandling) return this.#cancelConsumer();
    this.#handedOver = this.#inHand.untilQuiet().then(() => {
      // Resumed meanwhile.
      if (this.isWanted) return;
      return new Promise((resolve) => void this.#cancelConsumer(resolve));
    });
  }

  /** One after the other: between two of them the consumer may have been attached again. */
  #cancelConsumer(isSent: () => void = () => undefined): Promise<void> {
    return (this.#cancelling = this.#cancelling.then(async () => {
      // An attempt under way stops before it consumes, or cancels at once; one without an answer, when that comes.
      if (!this.#hasNoAnswer) await this.#attaching?.done.catch(() => undefined);
      const consumer = this.#consumer;
      const tag = consumer?.consumerTag;
      if (consumer !== undefined && tag !== undefined && consumer.isLive) {
        consumer.consumerTag = undefined;
        // If the channel ends first, there is nothing left to cancel.
        const answered = consumer.channel.cancel(tag).catch(() => undefined);
        isSent();
        await answered;
      } else isSent();
      this.#inHand.handBackNotBegun();
    }));
  }

  /** Resolves when no handler runs any more; of one that is handed over then, when the broker was told. */
  async untilIdle(): Promise<void> {
    await this.#inHand.untilIdle();
    await this.#handedOver;
  }

  /** Gives back every delivery whose handler still runs. Returns how many. */
  handBackRunning(): number {
    return this.#inHand.handBackRunning();
  }

  /** Closing in order makes sure that the last acks are with the broker: wait for it before the link is closed. */
  closeChannel(): Promise<void> {
    return (this.#channelClosed ??= this.#closeChannel());
  }

  async #closeChannel(): Promise<void> {
    const cause = new ConnectionClosedError(`Subscription "${this.name}" has ended`);
    const cancelled = [...this.#cancelledConsumers.keys()];
    await Promise.all([this.#closeCurrent(cause), ...cancelled.map((consumer) => this.#closeCancelled(consumer))]);
  }

  async #closeCurrent(cause: Error): Promise<void> {
    const consumer = this.#consumer;
    if (consumer === undefined || !consumer.isLive) {
      this.#consumer = undefined;
      return this.#freePlace();
    }
    await this.#closeInOrder(consumer);
    this.#end(consumer, cause);
  }

  #freePlace(): void {
    this.#place?.release();
    this.#place = undefined;
  }

  async #openAttachment(link: Link): Promise<Consumer> {
    const current = this.#consumer;
    if (current !== undefined && current.isLive && current.link === link) return current;
    if (!this.reservePlace(link)) throw link.channels.exhausted(this.#who);
    const opening: { consumer?: Consumer; cause?: Error; ended?: true } = {};
    const channel = await openGuardedChannel(link, (cause) => {
      opening.ended = true;
      opening.cause = cause;
      if (opening.consumer !== undefined) this.#channelEnded(opening.consumer, cause);
    });
    if (opening.ended)
      throw (
        opening.cause ?? new ChannelClosedError(`subscription "${this.name}"`, 'it ended while it was being opened')
      );
    opening.consumer = this.#inHand.open(link, channel);
    this.#consumer = opening.consumer;
    return opening.consumer;
  }

  async #consume(consumer: Consumer): Promise<void> {
    const { channel } = consumer;
    const { wanted } = this;
    const trouble = wanted.singleActive && this.needs.troubleWith(wanted.queue);
    if (trouble) throw new NotSingleActiveError(trouble);
    if (wanted.isOwnQueue) {
      await this.#deleteStrayQueue(consumer);
      const { queue } = await channel.assertQueue(wanted.queue.name, wanted.queue.options);
      consumer.queueName = queue;
      if (wanted.queue.name === '') this.#strayQueue = { link: consumer.link, name: queue };
    }
    if (wanted.isOwnQueue || wanted.ifQueueMissing === 'wait') await this.#bind(consumer);
    const begun = await this.#beginConsuming(consumer);
    if (begun === undefined) return;
    if (!this.isWanted) {
      await channel.cancel(begun.tag);
      // What came meanwhile: the cancel that gives such back may be over by now.
      this.#inHand.handBackNotBegun();
      return;
    }
    this.#attached(consumer, begun.tag);
    if (begun.isCancelled) this.#cancelled(consumer);
  }

  /** `undefined`: it is not wanted any more. */
  async #beginConsuming(consumer: Consumer): Promise<{ tag: string; isCancelled: boolean } | undefined> {
    const { wanted } = this;
    const { channel } = consumer;
    await channel.prefetch(this.#inHand.holding.prefetch);
    if (!this.isWanted) return undefined;
    const begun: { tag?: string; isCancelled: boolean } = { isCancelled: false };
    const { consumerTag } = await channel.consume(
      consumer.queueName,
      (message) => {
        if (message !== null) {
          this.#inHand.counters.delivered += 1;
          consumer.arrived(message);
        } else if (begun.tag === undefined || consumer.consumerTag !== begun.tag) begun.isCancelled = true;
        else this.#cancelled(consumer);
      },
      { arguments: this.consumerArguments, exclusive: wanted.exclusive, noAck: wanted.ack === 'none' },
    );
    if (!consumer.isLive)
      throw new ChannelClosedError(`subscription "${this.name}"`, 'it ended right after basic.consume');
    begun.tag = consumerTag;
    // Both may be read in the same turn as the broker's consent, before this function goes on.
    return begun as { tag: string; isCancelled: boolean };
  }

  async #prefetchIsDue(consumer: Consumer, verdict: DueVerdict): Promise<void> {
    const change = new PrefetchChange(this.wanted, this.#inHand.holding, {
      consume: () => this.#beginConsuming(consumer),
      isWanted: () => this.isWanted,
      cancelled: () => this.#cancelled(consumer),
      event: (event) => this.needs.event(event),
    });
    if (!(await change.prepare(consumer, verdict))) return;
    // In turn with pauses and ends, which do the same kind of thing to the same consumer.
    this.#cancelling = this.#cancelling.then(async () => {
      if (!this.isWanted || this.#consumer !== consumer || consumer.consumerTag === undefined) return;
      await change.make(consumer, verdict);
    });
  }

  /** Of the next basic.consume. */
  get consumerArguments(): Record<string, unknown> {
    const { consumerArguments } = this.wanted;
    const { position } = this.#inHand;
    return position === undefined ? consumerArguments : { ...consumerArguments, 'x-stream-offset': position.resume() };
  }

  /** The broker names a new queue each time; the one before lives as long as the link, and would fill without a consumer. */
  async #deleteStrayQueue({ link, channel }: Consumer): Promise<void> {
    const stray = this.#strayQueue;
    this.#strayQueue = undefined;
    if (stray?.link === link) await channel.deleteQueue(stray.name);
  }

  #attached(consumer: Consumer, consumerTag: string): void {
    consumer.consumerTag = consumerTag;
    consumer.attachedAt = this.needs.clock.now();
    // For the time when it may hold more again.
    if (this.#inHand.holding.isShrunk) consumer.waits();
    const missedBecause = this.#missingBecause?.cause;
    this.#missingBecause = undefined;
    this.#refusals = 0;
    this.needs.event({
      type: 'consumer-attached',
      subscription: this.name,
      queue: consumer.queueName,
      restored: this.#wasAttached,
      missedBecause,
    });
    this.#wasAttached = true;
    void this.#exclusivity.attached(consumer);
  }

  async #bind({ channel, queueName }: Consumer): Promise<void> {
    for (const binding of this.wanted.bindings)
      await channel.bindQueue(queueName, binding.exchange, binding.routingKey, binding.arguments);
  }

  #refused(thrown: Error): void {
    // Its channel is closed. Whoever has waited for one may have more luck with it.
    this.#freePlace();
    if (!this.isWanted) return;
    this.#missingNow(new ConsumeRefusedError(this.name, this.wanted.queue.name || '(server-named)', thrown));
    this.needs.needsRepair(this, retryAfterRefusalMs(this.#refusalKind(thrown), this.#refusals++));
  }

  #withoutChannel(cause: ChannelsExhaustedError): void {
    if (!this.isWanted) return;
    this.#missingNow(cause);
    this.needs.needsChannel(this);
  }

  #missingNow(cause: Error): void {
    const isNews = this.#missingBecause === undefined || reasonOf(this.#missingBecause.cause) !== reasonOf(cause);
    this.#missing(cause);
    if (isNews) this.needs.event({ type: 'consumer-refused', subscription: this.name, queue: this.queueName, cause });
  }

  #refusalKind(thrown: Error): RefusalKind {
    const isMissing = (thrown as { code?: unknown }).code === NOT_FOUND;
    // It is missing because it was refused: its declaration is what has to be tried, in its own time.
    if (!isMissing || this.needs.isAnyRefused(sharedEntities(this.wanted))) return 'refused';
    return this.wanted.ifQueueMissing === 'wait' ? 'awaited' : 'vanished';
  }

  #missing(cause: Error): void {
    this.#missingBecause = { cause, since: this.#missingBecause?.since ?? this.needs.clock.wallClock() };
  }

  /** The channel is over: by the broker (406, 404 ...), by a mistake of a handler, or with its link. */
  #channelEnded(consumer: Consumer, reason: Error | undefined): void {
    const cause = new ChannelClosedError(`subscription "${this.name}"`, reason ?? 'its link was lost');
    this.#inHand.holding.heard(reason?.message);
    if (this.#consumer !== consumer) return this.#end(consumer, cause);
    const wasAttached = consumer.consumerTag !== undefined;
    // Without a reason it ends because its link does: detach() follows, with the reason.
    if (reason === undefined && wasAttached) return consumer.channelIsGone();
    this.#endAttachment(cause);
    // Not attached: attach() is under way and sees the error itself, or nobody wants it now.
    if (wasAttached && this.isWanted) this.#repairSoon(consumer);
  }

  #repairSoon({ attachedAt }: Consumer): void {
    this.needs.needsRepair(this, retryAfterLossMs(this.needs.clock.now() - attachedAt));
  }

  #endAttachment(cause: Error): void {
    const consumer = this.#consumer;
    this.#consumer = undefined;
    if (consumer === undefined) return;
    this.#end(consumer, cause);
    if (!this.isWanted || consumer.consumerTag === undefined) return;
    this.#missing(cause);
    this.needs.event({ type: 'consumer-lost', subscription: this.name, queue: consumer.queueName, cause });
  }

  #end(consumer: Consumer, cause: Error): void {
    this.#cancelledConsumers.get(consumer)?.release();
    this.#cancelledConsumers.delete(consumer);
    consumer.end(cause);
    void this.#inHand.ended(consumer);
  }

  /** basic.cancel from the broker; the channel lives on. */
  #cancelled(consumer: Consumer): void {
    const { channel, consumerTag: tag, oldestInHandMs } = consumer;
    if (this.#consumer !== consumer || tag === undefined) return;
    consumer.consumerTag = undefined;
    // RabbitMQ 4.3 keeps a consumer whose ack was late, and after that ack delivers to it again; amqplib has forgotten it.
    // Sent now, it arrives before any such ack. The broker consents to the cancel of a consumer that it does not know.
    // If the channel ends first, that is told by itself.
    channel.cancel(tag).catch(() => undefined);
    const cause = new ConsumerCancelledError(this.name, consumer.queueName, oldestInHandMs);
    const isFree = this.#afterCancel(consumer, cause);
    if (!this.isWanted) return;
    this.#missing(cause);
    this.needs.event({ type: 'consumer-lost', subscription: this.name, queue: consumer.queueName, cause });
    void isFree.then(() => this.#repairSoon(consumer));
  }

  /** @returns resolves when the next one can be opened */
  async #afterCancel(consumer: Consumer, cause: ConsumerCancelledError): Promise<void> {
    if (this.#inHand.position !== undefined) return this.#forgetPositionIfGone(consumer);
    if (cause.oldestInHandMs !== undefined) return this.#leaveCancelled(consumer, cause);
  }

  /** Asked before anybody, we for one, makes the stream again. If it is gone the answer ends the channel, which is told by itself. */
  async #forgetPositionIfGone({ channel, queueName }: Consumer): Promise<void> {
    try {
      await channel.checkQueue(queueName);
    } catch (thrown) {
      if ((thrown as { code?: unknown }).code === NOT_FOUND) this.#inHand.position?.streamIsGone();
    }
  }

  /**
   * Something is in hand. The next consumer gets a channel of its own: RabbitMQ 4.3 closes this one (406) when another
   * delivery of the cancelled consumer is too late.
   * @returns resolves when the next one can be opened
   */
  async #leaveCancelled(consumer: Consumer, cause: ConsumerCancelledError): Promise<void> {
    const place = this.#place;
    this.#consumer = this.#place = undefined;
    const mayStay = !this.isWanted || this.reservePlace(consumer.link);
    this.#cancelledConsumers.set(consumer, mayStay ? place : undefined);
    if (!mayStay) this.#place = place;
    const finished = this.#finishCancelled(consumer, { cause, mayStay });
    if (!mayStay) await finished;
  }

  /**
   * A delivery may have been too late, if the queue is still there: then only what is as old was taken from us. Else all
   * that is in hand is void. What has not begun is left to whoever consumes next.
   */
  async #finishCancelled(
    consumer: Consumer,
    { cause, mayStay }: { cause: ConsumerCancelledError; mayStay: boolean },
  ): Promise<void> {
    consumer.intake.beginNoMore();
    const tooLate = consumer.asOldAsOldest();
    try {
      if (isPlausibleTimeout(cause.oldestInHandMs)) {
        // A queue that is gone ends the channel, and so tells all who are still at work.
        await consumer.channel.checkQueue(consumer.queueName);
        this.#inHand.holding.wasTooLate(cause.oldestInHandMs);
        consumer.intake.takeBack(tooLate, cause);
        consumer.intake.handBackNotBegun();
        if (mayStay) await consumer.intake.untilIdle();
      }
      await this.#closeCancelled(consumer);
    } catch {
      // The channel has ended, which is told by itself.
    }
  }

  /** In order, for the acks; its end is told by itself. */
  async #closeCancelled(consumer: Consumer): Promise<void> {
    if (!consumer.isLive) return;
    consumer.flush();
    await closeChannel(consumer.channel);
  }
}
