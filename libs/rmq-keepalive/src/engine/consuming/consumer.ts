/**
 * One subscription's live attachment: its channel and its consumer tag.
 *
 * Duty: whatever ends the attachment (link, channel error, broker cancel), be attached again, and be named until then.
 * Danger: a channel error must not touch other subscriptions; a delivery must never be settled on a later channel.
 * Choice: one channel each; everything that belongs to one channel hangs on one `Attachment` object, which dies with it.
 */
import type { Channel, ConsumeMessage } from 'amqplib';
import { closeChannel, openGuardedChannel } from '../connection/guarded-channel.js';
import type { Link } from '../connection/link.js';
import {
  asError,
  ChannelClosedError,
  ConsumeRefusedError,
  ConsumerCancelledError,
  LinkLostError,
  reasonOf,
} from '../errors.js';
import type { Entity } from '../topology/topology.js';
import { Deduplication } from './deduplication.js';
import { Delivery, type DeliveryOrigin } from './delivery.js';
import { DeliveryHandling, type HandlingHost } from './delivery-handling.js';
import { FailedDeliveries, type FailureHost } from './failed-deliveries.js';
import type { SettlementKind } from './settlement.js';
import { sharedEntities, type WantedSubscription } from './subscription.js';

export interface ConsumerHost extends HandlingHost, FailureHost {
  /** Whether the broker refuses to declare any of these. */
  isAnyRefused(entities: readonly Entity[]): boolean;
  /** The consumer has to be attached again while its link lives; call back `attach` after `delayMs`. */
  needsRepair(consumer: Consumer, delayMs: number): void;
}

export interface ConsumerCounters {
  delivered: number;
  acked: number;
  requeued: number;
  rejected: number;
  deadLettered: number;
  retried: number;
  duplicatesSkipped: number;
  staleSettlements: number;
}

export function noCounts(): ConsumerCounters {
  return {
    delivered: 0,
    acked: 0,
    requeued: 0,
    rejected: 0,
    deadLettered: 0,
    retried: 0,
    duplicatesSkipped: 0,
    staleSettlements: 0,
  };
}

interface Attachment extends DeliveryOrigin {
  readonly link: Link;
  queueName: string;
  consumerTag: string | undefined;
  attachedAt: number;
}

/**
 * Pauses before the next attempt; the last one is repeated. A refusal may be over in a moment (the broker still clears
 * away what the last link left) or last for hours: together at most 12 attempts a minute.
 */
const REFUSED_RETRIES_MS = [100, 1_000, 6_000] as const;
/** The queue vanished between its declaration and ours to consume: it is declared again each time. */
const VANISHED_RETRIES_MS = [100, 1_000] as const;
/** At most one a second, back within two after the queue exists. */
const WAITING_RETRIES_MS = [1_000] as const;
/** What dies young is restored a little later: a handler that kills its channel each time cannot spin. */
const YOUNG_MS = 1_000;
const YOUNG_RETRY_MS = 100;
const NOT_FOUND = 404;

export class Consumer {
  #attachment: Attachment | undefined;
  #attaching: { link: Link; done: Promise<void> } | undefined;
  #refusals = 0;
  #strayQueue: { link: Link; name: string } | undefined;
  #isStopped = false;
  #wasAttached = false;
  #missingBecause: { cause: Error; since: number } | undefined;
  #channelClosed: Promise<void> | undefined;
  readonly counters = noCounts();
  readonly #handling: DeliveryHandling;

  constructor(
    readonly wanted: WantedSubscription,
    private readonly host: ConsumerHost,
  ) {
    const { name, deduplicate } = wanted;
    this.#handling = new DeliveryHandling(
      wanted,
      host,
      new FailedDeliveries(wanted, host, this.counters),
      deduplicate && new Deduplication(name, deduplicate, host, this.counters),
    );
  }

  get name(): string {
    return this.wanted.name;
  }

  /** The broker's name of the queue while attached to a server-named one. */
  get queueName(): string {
    return this.#attachment?.queueName ?? this.wanted.queue.name;
  }

  get isAttached(): boolean {
    return this.#attachment?.consumerTag !== undefined;
  }

  get consumerTag(): string | undefined {
    return this.#attachment?.consumerTag;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** Why it is not attached, if it is not. */
  get missingBecause(): { cause: Error; since: number } | undefined {
    return this.isAttached ? undefined : this.#missingBecause;
  }

  get running(): number {
    return this.#handling.running;
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
    if (this.#isStopped || this.isAttached) return;
    const attaching = { link, done: this.#attachOn(link) };
    this.#attaching = attaching;
    try {
      await attaching.done;
    } finally {
      if (this.#attaching === attaching) this.#attaching = undefined;
    }
  }

  async #attachOn(link: Link): Promise<void> {
    try {
      const attachment = await this.#openAttachment(link);
      await this.#consume(attachment);
    } catch (thrown) {
      if (!link.isUp) throw new LinkLostError(thrown);
      this.#refused(asError(thrown));
    }
  }

  /** The link is gone, and the channel with it. */
  detach(cause: Error): void {
    this.#endAttachment(cause);
  }

  /** No more deliveries; what runs goes on. Idempotent. */
  async cancel(): Promise<void> {
    this.#isStopped = true;
    this.#handling.stop();
    // An attachment under way stops before it consumes, or cancels at once.
    await this.#attaching?.done.catch(() => undefined);
    const attachment = this.#attachment;
    const tag = attachment?.consumerTag;
    if (attachment === undefined || tag === undefined || !attachment.isLive) return;
    attachment.consumerTag = undefined;
    // If the channel ends first, there is nothing left to cancel.
    await attachment.channel.cancel(tag).catch(() => undefined);
  }

  /** Resolves when no handler runs any more. */
  untilIdle(): Promise<void> {
    return this.#handling.untilIdle();
  }

  /** Gives back every delivery whose handler still runs. Returns how many. */
  handBackRunning(): number {
    return this.#handling.handBackRunning();
  }

  /** Closing in order makes sure that the last acks are with the broker: wait for it before the link is closed. */
  closeChannel(): Promise<void> {
    return (this.#channelClosed ??= this.#closeChannel());
  }

  async #closeChannel(): Promise<void> {
    const attachment = this.#attachment;
    this.#attachment = undefined;
    if (attachment === undefined || !attachment.isLive) return;
    await closeChannel(attachment.channel);
    attachment.isLive = false;
  }

  async #openAttachment(link: Link): Promise<Attachment> {
    const current = this.#attachment;
    if (current !== undefined && current.isLive && current.link === link) return current;
    const opening: { attachment?: Attachment; cause?: Error; ended?: true } = {};
    const channel = await openGuardedChannel(link, (cause) => {
      opening.ended = true;
      opening.cause = cause;
      if (opening.attachment !== undefined) this.#channelEnded(opening.attachment, cause);
    });
    if (opening.ended)
      throw (
        opening.cause ?? new ChannelClosedError(`subscription "${this.name}"`, 'it ended while it was being opened')
      );
    opening.attachment = this.#newAttachment(link, channel);
    this.#attachment = opening.attachment;
    return opening.attachment;
  }

  #newAttachment(link: Link, channel: Channel): Attachment {
    return {
      link,
      channel,
      isLive: true,
      queueName: this.wanted.queue.name,
      consumerTag: undefined,
      attachedAt: 0,
      settled: (_, kind) => this.#countSettled(kind),
      stale: (_, kind) => {
        this.counters.staleSettlements += 1;
        this.host.event({ type: 'stale-settlement', subscription: this.name, settlement: kind });
      },
    };
  }

  async #consume(attachment: Attachment): Promise<void> {
    const { channel } = attachment;
    const { wanted } = this;
    if (wanted.isOwnQueue) {
      await this.#deleteStrayQueue(attachment);
      const { queue } = await channel.assertQueue(wanted.queue.name, wanted.queue.options);
      attachment.queueName = queue;
      if (wanted.queue.name === '') this.#strayQueue = { link: attachment.link, name: queue };
    }
    if (wanted.isOwnQueue || wanted.ifQueueMissing === 'wait') await this.#bind(attachment);
    await channel.prefetch(wanted.prefetch);
    if (this.#isStopped) return;
    // Both may be read in the same turn as the broker's consent, before this function goes on.
    let isCancelled = false;
    const { consumerTag } = await channel.consume(
      attachment.queueName,
      (message) => {
        if (message !== null) this.#arrived(attachment, message);
        else if (attachment.consumerTag === undefined) isCancelled = true;
        else this.#cancelled(attachment);
      },
      { arguments: wanted.consumerArguments },
    );
    if (!attachment.isLive)
      throw new ChannelClosedError(`subscription "${this.name}"`, 'it ended right after basic.consume');
    if (this.#isStopped) {
      await channel.cancel(consumerTag);
      return;
    }
    this.#attached(attachment, consumerTag);
    if (isCancelled) this.#cancelled(attachment);
  }

  /** The broker names a new queue each time; the one before lives as long as the link, and would fill without a consumer. */
  async #deleteStrayQueue({ link, channel }: Attachment): Promise<void> {
    const stray = this.#strayQueue;
    this.#strayQueue = undefined;
    if (stray?.link === link) await channel.deleteQueue(stray.name);
  }

  #attached(attachment: Attachment, consumerTag: string): void {
    attachment.consumerTag = consumerTag;
    attachment.attachedAt = this.host.clock.now();
    const missedBecause = this.#missingBecause?.cause;
    this.#missingBecause = undefined;
    this.#refusals = 0;
    this.host.event({
      type: 'consumer-attached',
      subscription: this.name,
      queue: attachment.queueName,
      restored: this.#wasAttached,
      missedBecause,
    });
    this.#wasAttached = true;
  }

  async #bind({ channel, queueName }: Attachment): Promise<void> {
    for (const binding of this.wanted.bindings)
      await channel.bindQueue(queueName, binding.exchange, binding.routingKey, binding.arguments);
  }

  #refused(thrown: Error): void {
    if (this.#isStopped) return;
    const cause = new ConsumeRefusedError(this.name, this.wanted.queue.name || '(server-named)', thrown);
    const isNews = this.#missingBecause === undefined || reasonOf(this.#missingBecause.cause) !== reasonOf(cause);
    this.#missing(cause);
    if (isNews) this.host.event({ type: 'consumer-refused', subscription: this.name, queue: this.queueName, cause });
    const retries = this.#retriesAfter(thrown);
    this.host.needsRepair(this, retries[Math.min(this.#refusals++, retries.length - 1)] as number);
  }

  #retriesAfter(thrown: Error): readonly number[] {
    const isMissing = (thrown as { code?: unknown }).code === NOT_FOUND;
    // It is missing because it was refused: its declaration is what has to be tried, in its own time.
    if (!isMissing || this.host.isAnyRefused(sharedEntities(this.wanted))) return REFUSED_RETRIES_MS;
    return this.wanted.ifQueueMissing === 'wait' ? WAITING_RETRIES_MS : VANISHED_RETRIES_MS;
  }

  #missing(cause: Error): void {
    this.#missingBecause = { cause, since: this.#missingBecause?.since ?? this.host.clock.wallClock() };
  }

  /** The channel is over: by the broker (406, 404 ...), by a mistake of a handler, or with its link. */
  #channelEnded(attachment: Attachment, cause: Error | undefined): void {
    attachment.isLive = false;
    if (this.#attachment !== attachment) return;
    // Not attached yet: attach() is under way and sees the error itself.
    if (attachment.consumerTag === undefined) this.#attachment = undefined;
    // Without a cause it ends because its link does: detach() follows, with the reason.
    if (cause === undefined || attachment.consumerTag === undefined || this.#isStopped) return;
    this.#endAttachment(new ChannelClosedError(`subscription "${this.name}"`, cause));
    this.#repairSoon(attachment);
  }

  #repairSoon({ attachedAt }: Attachment): void {
    const age = this.host.clock.now() - attachedAt;
    this.host.needsRepair(this, age > YOUNG_MS ? 0 : YOUNG_RETRY_MS);
  }

  #endAttachment(cause: Error): void {
    const attachment = this.#attachment;
    this.#attachment = undefined;
    if (attachment === undefined) return;
    attachment.isLive = false;
    if (this.#isStopped || attachment.consumerTag === undefined) return;
    this.#missing(cause);
    this.host.event({ type: 'consumer-lost', subscription: this.name, queue: attachment.queueName, cause });
  }

  /** basic.cancel from the broker: the channel lives on, and so do its unsettled deliveries. */
  #cancelled(attachment: Attachment): void {
    const { channel, consumerTag: tag } = attachment;
    if (this.#attachment !== attachment || this.#isStopped || tag === undefined) return;
    attachment.consumerTag = undefined;
    // RabbitMQ 4.3 keeps a consumer whose ack was late, and after that ack delivers to it again; amqplib has forgotten it.
    // Sent now, it arrives before any such ack. The broker consents to the cancel of a consumer that it does not know.
    channel.cancel(tag).catch(() => undefined);
    const cause = new ConsumerCancelledError(this.name, attachment.queueName, this.#handling.oldestInHandMs);
    this.#missing(cause);
    this.host.event({ type: 'consumer-lost', subscription: this.name, queue: attachment.queueName, cause });
    this.#repairSoon(attachment);
  }

  /** Runs inside amqplib's read loop: it must not throw. */
  #arrived(attachment: Attachment, message: ConsumeMessage): void {
    this.counters.delivered += 1;
    this.#handling.arrived(new Delivery(attachment.queueName, this.name, message, attachment));
  }

  #countSettled(kind: SettlementKind): void {
    if (kind === 'ack') this.counters.acked += 1;
    else if (kind === 'requeue') this.counters.requeued += 1;
    else this.counters.rejected += 1;
  }
}
