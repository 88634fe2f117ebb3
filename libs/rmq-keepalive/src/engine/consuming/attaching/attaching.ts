/**
 * Attaches the consumer of one subscription, and another one after whatever has ended it: link, channel error, broker cancel.
 *
 * Danger: a channel error must not touch other subscriptions; a delivery must never be settled on a later channel.
 * Choice: one channel each; everything that belongs to one channel hangs on one `Consumer` object, which dies with it.
 */
import type { Link } from '../../link/link.js';
import { subscriptionAsked } from '../../link/link-culprit-search.js';
import { asError, reasonOf } from '../../errors/reasons.js';
import {
  ChannelClosedError,
  ChannelsExhaustedError,
  ConsumerCancelledError,
  ConsumeRefusedError,
  NoAnswerYetError,
} from '../../errors/channel-errors.js';
import { ConnectionClosedError, LinkLostError } from '../../errors/connection-errors.js';
import type { Entity } from '../../topology/topology.js';
import { CancelledConsumers } from '../consumer/cancelled-consumers.js';
import { type BegunConsumer, ConsumeRequest } from '../consumer/consume-request.js';
import type { Consumer, DueVerdict } from '../consumer/consumer.js';
import { ConsumerChannel } from '../consumer/consumer-channel.js';
import { Exclusivity } from '../consumer/exclusivity.js';
import { InHand, type InHandNeeds } from '../consumer/in-hand.js';
import { PrefetchChange } from '../consumer/prefetch-change.js';
import { isRefusedOffset } from '../consumer/queue-type.js';
import type { WantedSubscription } from '../options/subscription.js';
import { AttachAttempts } from './attach-attempts.js';
import { refusalKindOf, retryAfterLossMs, retryAfterRefusalMs } from './attach-retries.js';
import { ConsumerCancels } from './consumer-cancels.js';
import type { SubscriptionLife } from './subscription-life.js';

export interface AttachingNeeds extends InHandNeeds {
  /** Whether the broker refuses to declare any of these. */
  isAnyRefused(entities: readonly Entity[]): boolean;
  /** Why it is not declared, as far as is known. */
  troubleWith(entity: Entity): Error | undefined;
  /** The consumer has to be attached again while its link lives; call `attach` after `delayMs`. */
  needsRepair(delayMs: number): void;
  /** Its link has no channel for it. Call `attach` when one is free. */
  needsChannel(): void;
}

export class Attaching {
  readonly inHand: InHand;
  readonly channel: ConsumerChannel;
  readonly attempts = new AttachAttempts();
  readonly request: ConsumeRequest;
  readonly cancels: ConsumerCancels;
  readonly #cancelled: CancelledConsumers;
  readonly exclusivity: Exclusivity;
  #wasAttached = false;
  /** In a row. */
  #refusals = 0;
  readonly #life: SubscriptionLife;

  constructor(
    private readonly wanted: WantedSubscription,
    life: SubscriptionLife,
    private readonly needs: AttachingNeeds,
  ) {
    this.#life = life;
    const isWanted = (): boolean => life.isWanted;
    const inHand = new InHand(wanted, needs, (consumer, verdict) => void this.prefetchIsDue(consumer, verdict));
    const channel = new ConsumerChannel(this.#who, inHand, (consumer, reason) => this.#channelEnded(consumer, reason));
    const { attempts } = this;
    this.inHand = inHand;
    this.channel = channel;
    this.request = new ConsumeRequest(wanted, inHand, {
      isWanted,
      troubleWith: (entity) => needs.troubleWith(entity),
      cancelled: (consumer) => this.#cancelledByBroker(consumer),
    });
    const cancelling = (): void => this.detached();
    this.cancels = new ConsumerCancels({ wanted, attempts, channel, inHand, isWanted, cancelling });
    this.#cancelled = new CancelledConsumers(channel, inHand, isWanted);
    this.exclusivity = new Exclusivity(wanted, needs);
  }

  get #who(): string {
    return `subscription "${this.wanted.name}"`;
  }

  /** The broker has its consumer: also for a moment after a pause, or the end, until that is cancelled. */
  get isAttached(): boolean {
    return this.channel.consumer?.consumerTag !== undefined;
  }

  /** Whether it has been attached at any time. */
  get wasAttached(): boolean {
    return this.#wasAttached;
  }

  /**
   * Attaches on `link`. Resolves when attached, or when the broker refused (then it is named and retried).
   * Rejects only when the link is lost.
   */
  attach(link: Link): Promise<void> {
    const isDue = (): boolean => this.#life.isWanted && !this.isAttached && this.#life.state.name !== 'left-out';
    return this.attempts.make(link, isDue, () => this.#attachOn(link));
  }

  async #attachOn(link: Link): Promise<void> {
    this.#life.moveTo({ name: 'attaching', link, missing: this.#life.missing });
    const answered = link.asking(subscriptionAsked(this.wanted.name));
    try {
      const consumer = await this.channel.open(link);
      const begun = await this.request.make(consumer);
      if (begun !== undefined) this.#attached(consumer, begun);
      answered();
    } catch (thrown) {
      if (!link.isUp) throw new LinkLostError(thrown);
      answered();
      if (thrown instanceof ChannelsExhaustedError) return this.withoutChannel(thrown);
      this.#leaveStuckChannel();
      if (isRefusedOffset(thrown)) this.inHand.isNoStream();
      this.#refused(asError(thrown));
    }
  }

  /** After a pause: what was under way when it began may be so still. */
  isWantedAgain(): void {
    const { consumer } = this.channel;
    const { underWay } = this.attempts;
    if (consumer?.consumerTag !== undefined) this.#life.moveTo({ name: 'attached', consumer });
    else if (underWay?.link.isUp === true)
      this.#life.moveTo({ name: 'attaching', link: underWay.link, missing: undefined });
    else this.#life.moveTo({ name: 'waiting', missing: undefined });
  }

  #attached(consumer: Consumer, { tag, isCancelled }: BegunConsumer): void {
    consumer.consumerTag = tag;
    consumer.attachedAt = this.needs.clock.now();
    // For the time when it may hold more again.
    if (this.inHand.holding.isShrunk) consumer.waits();
    const missedBecause = this.#life.missing?.cause;
    this.#refusals = 0;
    this.#life.moveTo({ name: 'attached', consumer });
    const restored = this.#wasAttached;
    this.#wasAttached = true;
    const { queueName: queue } = consumer;
    this.needs.event({ type: 'consumer-attached', subscription: this.wanted.name, queue, restored, missedBecause });
    void this.exclusivity.attached(consumer);
    if (isCancelled) this.#cancelledByBroker(consumer);
  }

  /**
   * As a rule the broker has closed the channel. When amqplib itself refused (an argument that it cannot write) it lives on,
   * and amqplib waits on it for the answer to what it never asked: nothing else is ever asked on that channel.
   */
  #leaveStuckChannel(): void {
    const { consumer } = this.channel;
    if (consumer?.isLive === true) void this.channel.closeInOrder(consumer);
  }

  #refused(thrown: Error): void {
    // Its channel is closed. One that has waited for a channel may have more luck with it.
    this.channel.freePlace();
    if (!this.#life.isWanted) return;
    this.#missing(new ConsumeRefusedError(this.wanted.name, this.wanted.queue.name || '(server-named)', thrown));
    const kind = refusalKindOf(thrown, this.wanted, (entities) => this.needs.isAnyRefused(entities));
    this.needs.needsRepair(retryAfterRefusalMs(kind, this.#refusals++));
  }

  withoutChannel(cause: ChannelsExhaustedError): void {
    if (!this.#life.isWanted) return;
    this.#missing(cause);
    this.needs.needsChannel();
  }

  /** The broker answers others, and not the attempt that is under way, which goes on. */
  hasNoAnswer(): void {
    const { underWay } = this.attempts;
    if (underWay === undefined || this.#life.state.name !== 'attaching') return;
    const isNews = !underWay.hasNoAnswer;
    underWay.hasNoAnswer = true;
    const cause = new NoAnswerYetError(subscriptionAsked(this.wanted.name));
    this.#life.moveTo({ ...this.#life.state, missing: this.#life.missingFor(cause) });
    if (isNews) this.tellRefused(cause);
  }

  #missing(cause: Error): void {
    const before = this.#life.missing;
    this.#life.moveTo({ name: 'missing', missing: this.#life.missingFor(cause) });
    if (before === undefined || reasonOf(before.cause) !== reasonOf(cause)) this.tellRefused(cause);
  }

  tellRefused(cause: Error): void {
    const queue = this.channel.consumer?.queueName ?? this.wanted.queue.name;
    this.needs.event({ type: 'consumer-refused', subscription: this.wanted.name, queue, cause });
  }

  #tellLost({ queueName: queue }: Consumer, cause: Error): void {
    this.needs.event({ type: 'consumer-lost', subscription: this.wanted.name, queue, cause });
  }

  /** The link is gone, and the channel with it. */
  detach(cause: Error): void {
    const consumer = this.channel.linkLost();
    if (consumer !== undefined) this.#end(consumer, cause);
    const state = this.#life.state;
    if (state.name === 'attaching' || state.name === 'missing')
      this.#life.moveTo({ name: 'waiting', missing: state.missing });
    if (state.name !== 'attached') return;
    this.#life.moveTo({ name: 'waiting', missing: this.#life.missingFor(cause) });
    this.#tellLost(state.consumer, cause);
  }

  /** The channel is over: by the broker (406, 404 ...), by a mistake of a handler, or with its link. */
  #channelEnded(consumer: Consumer, reason: Error | undefined): void {
    const cause = new ChannelClosedError(this.#who, reason ?? 'its link was lost');
    this.inHand.holding.heard(reason?.message);
    if (this.channel.consumer !== consumer) return this.#end(consumer, cause);
    // Without a reason it ends because its link does: detach() follows, with the reason.
    if (reason === undefined && this.isAttached) return consumer.channelIsGone();
    this.channel.channelLost();
    this.#end(consumer, cause);
    // Not attached: attach() is under way and sees the error itself, or it is not wanted now.
    if (this.#life.state.name !== 'attached') return;
    this.#lost(consumer, cause);
    this.#repairSoon(consumer);
  }

  /** basic.cancel from the broker; the channel lives on. */
  #cancelledByBroker(consumer: Consumer): void {
    const { channel, consumerTag: tag, oldestInHandMs } = consumer;
    if (this.channel.consumer !== consumer || tag === undefined) return;
    consumer.consumerTag = undefined;
    // RabbitMQ 4.3 keeps a consumer whose ack was late, and after that ack delivers to it again; amqplib has forgotten it.
    // Sent now, it arrives before any such ack. The broker consents to the cancel of a consumer that it does not know.
    // If the channel ends first, that is told by itself.
    channel.cancel(tag).catch(() => undefined);
    const cause = new ConsumerCancelledError(this.wanted.name, consumer.queueName, oldestInHandMs);
    const isFree = this.#cancelled.add(consumer, cause);
    if (!this.#life.isWanted) return;
    this.#lost(consumer, cause);
    void isFree.then(() => this.#repairSoon(consumer));
  }

  #lost(consumer: Consumer, cause: Error): void {
    this.#life.moveTo({ name: 'missing', missing: this.#life.missingFor(cause) });
    this.#tellLost(consumer, cause);
  }

  /** We cancel it ourselves, or close its channel. */
  detached(): void {
    if (this.#life.state.name === 'attached') this.#life.moveTo({ name: 'waiting', missing: undefined });
  }

  #repairSoon({ attachedAt }: Consumer): void {
    this.needs.needsRepair(retryAfterLossMs(this.needs.clock.now() - attachedAt));
  }

  #end(consumer: Consumer, cause: Error): void {
    this.#cancelled.ended(consumer);
    consumer.end(cause);
    void this.inHand.ended(consumer);
  }

  /** In order, for the acks. */
  async closeChannels(): Promise<void> {
    const cause = new ConnectionClosedError(`Subscription "${this.wanted.name}" has ended`);
    await Promise.all([this.#closeCurrent(cause), this.#cancelled.closeAll()]);
  }

  async #closeCurrent(cause: Error): Promise<void> {
    const { consumer } = this.channel;
    if (consumer === undefined || !consumer.isLive) {
      this.channel.channelLost();
      return this.channel.freePlace();
    }
    await this.channel.closeInOrder(consumer);
    this.#end(consumer, cause);
  }

  async prefetchIsDue(consumer: Consumer, verdict: DueVerdict): Promise<void> {
    const change = new PrefetchChange(this.wanted, this.inHand.holding, {
      consume: () => this.request.consume(consumer),
      isWanted: () => this.#life.isWanted,
      cancelled: () => this.#cancelledByBroker(consumer),
      event: (event) => this.needs.event(event),
    });
    if (!(await change.prepare(consumer, verdict))) return;
    // In turn with pauses and ends, which do the same kind of thing to the same consumer.
    await this.cancels.inTurn(async () => {
      if (!this.#life.isWanted || this.channel.consumer !== consumer || consumer.consumerTag === undefined) return;
      await change.make(consumer, verdict);
    });
  }
}
