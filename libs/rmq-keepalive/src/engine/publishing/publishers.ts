/** The publishers of a connection: one that is always there, and those that were asked for. All share the publishing link. */
import type { Clock } from '../base/clock.js';
import type { Codec } from '../codec/codec.js';
import type { Link } from '../link/link.js';
import { checkOptionsObject } from '../base/option-checks.js';
import { ChannelPublisher } from './channel-publisher.js';
import { CopySender, type OwnChannel } from './copy-sender.js';
import {
  OutboxSender,
  type OutboxSenderOptions,
  type OutboxSenderNeeds,
  type PublisherStatus,
} from './outbox-sender.js';
import { type OutboxOptions, type ResolvedOutbox, resolveOutbox, UNBOUNDED } from './outbox.js';
import { type PublisherDefaults, type ResolvedPublishDefaults, resolvePublishDefaults } from './publish-options.js';
import type { ConfirmTraffic } from './publish-session.js';
import type { OutgoingMessage, RmqPublisher } from './publisher.js';

/** Options of `connection.createPublisher()`. */
export interface CreatePublisherOptions {
  /**
   * `false`: the broker does not confirm. `publish()` then resolves when the message was handed to the socket, and promises
   * nothing beyond: it is lost without a word when the link is lost, when the broker refuses it, or when the broker
   * crashes. Returned messages are reported as the event `publish-returned`, a channel that the broker closed (a missing
   * exchange) as `publish-failed`. For telemetry and the like.
   * @default true
   */
  confirm?: boolean;
  /** Bounds of its own outbox. @default the connection's */
  outbox?: OutboxOptions;
  /** Defaults of its publishes. @default the connection's */
  publish?: PublisherDefaults;
}

interface Defaults {
  readonly outbox: ResolvedOutbox;
  readonly publish: ResolvedPublishDefaults;
}

type OpenOptions = Omit<OutboxSenderOptions, 'opens' | 'bounds'> & Partial<Pick<OutboxSenderOptions, 'bounds'>>;

export class Publishers {
  /** The one that is injected by its class. Its channel is opened with every link. */
  readonly main: RmqPublisher;
  readonly #senders = new Set<OutboxSender>();
  readonly #copies: CopySender;
  #link: Link | undefined;
  readonly #codec: Codec;
  readonly #defaults: Defaults;
  readonly #needs: OutboxSenderNeeds;
  readonly #clock: Clock;

  constructor(codec: Codec, defaults: Defaults, needs: OutboxSenderNeeds, clock: Clock) {
    this.#codec = codec;
    this.#defaults = defaults;
    this.#needs = needs;
    this.#clock = clock;
    this.main = this.#add({ bounds: defaults.outbox, confirms: 'on', opens: 'at-once' }, defaults.publish);
    this.#copies = new CopySender(this.main, (lacksChannel) => this.#openCopyLane(lacksChannel));
  }

  /** A copy of ours. Resolves on the confirm. */
  sendCopy(message: OutgoingMessage): Promise<void> {
    return this.#copies.send(message);
  }

  /** Its channel is opened with the first publish. @throws {@link OptionsError} */
  create(options: CreatePublisherOptions): RmqPublisher {
    checkOptionsObject(options, ['confirm', 'outbox', 'publish'], 'createPublisher');
    const { confirm = true, outbox, publish } = options;
    const bounds = outbox === undefined ? this.#defaults.outbox : resolveOutbox(outbox, 'createPublisher.outbox');
    const defaults = resolvePublishDefaults(publish, 'createPublisher.publish', this.#defaults.publish);
    return this.#add({ bounds, confirms: confirm ? 'on' : 'off', opens: 'on-demand' }, defaults);
  }

  /**
   * A channel of its own kind for a caller that makes its messages itself, with a host of its own. Otherwise as {@link create}.
   * @param options.bounds where something else than the outbox bounds what is sent
   */
  open(
    { bounds = { ...this.#defaults.outbox, whenFull: 'reject' }, ...options }: OpenOptions,
    told: Pick<OutboxSenderNeeds, 'published' | 'failed' | 'returned'>,
  ): OutboxSender {
    const needs: OutboxSenderNeeds = { ...this.#needs, republished: () => undefined, ...told };
    return this.#addDispatcher({ ...options, bounds, opens: 'on-demand' }, needs);
  }

  /** Ends one that {@link open} made, while the others go on. Resolves when the broker has read what it sent. */
  async release(sender: OutboxSender): Promise<void> {
    this.#senders.delete(sender);
    sender.close();
    await sender.release();
  }

  get waitingForChannel(): number {
    return [...this.#senders].filter(({ isWaitingForChannel }) => isWaitingForChannel).length;
  }

  /** Those that lack a channel on a link that lives, while somebody waits for it. */
  get missing(): readonly NonNullable<OutboxSender['missing']>[] {
    return [...this.#senders].flatMap(({ missing }) => missing ?? []);
  }

  /** How many there are, in use or not: each of them may want a channel. */
  get count(): number {
    return this.#senders.size;
  }

  /** All of them that are in use together; the bounds too. */
  get status(): PublisherStatus & { readonly maxMessages: number; readonly maxBytes: number } {
    const sum = { queued: 0, inFlight: 0, waiting: 0, bytes: 0, maxMessages: 0, maxBytes: 0 };
    for (const { status, bounds, isInUse } of this.#senders) {
      if (!isInUse) continue;
      sum.queued += status.queued;
      sum.inFlight += status.inFlight;
      sum.waiting += status.waiting;
      sum.bytes += status.bytes;
      if (bounds === UNBOUNDED) continue;
      sum.maxMessages += bounds.maxMessages;
      sum.maxBytes += bounds.maxBytes;
    }
    return sum;
  }

  /** Of all that the broker confirms on the present link together. */
  get confirms(): ConfirmTraffic {
    const sum = { inFlight: 0, acks: 0, nacks: 0, sentBefore: 0, sentBeforeConfirmed: 0 };
    for (const { confirms } of this.#senders) {
      if (confirms === undefined) continue;
      sum.inFlight += confirms.inFlight;
      sum.acks += confirms.acks;
      sum.nacks += confirms.nacks;
      sum.sentBefore += confirms.sentBefore;
      sum.sentBeforeConfirmed += confirms.sentBeforeConfirmed;
    }
    return sum;
  }

  /** A recovery step: opens the channels and sends again what was never confirmed. Rejects without one for the main publisher. */
  async attachAll(link: Link): Promise<void> {
    this.#link = link;
    const [main, ...further] = this.#senders;
    await Promise.all([main?.attachOrWait(link), ...further.map((sender) => sender.attachOrRetry(link))]);
  }

  /** Whoever waits for a channel of the link tries again. The main one comes first. */
  channelFreed(): void {
    for (const sender of this.#senders) sender.channelFreed();
  }

  /** The link is gone. */
  detachAll(cause: Error): void {
    this.#link = undefined;
    for (const sender of this.#senders) sender.detach(cause);
  }

  /** The broker's alarm began or is over. */
  resume(): void {
    for (const sender of this.#senders) sender.resume();
  }

  /** No link comes up any more. */
  beginClosing(): void {
    for (const sender of this.#senders) sender.beginClosing();
  }

  async flush(deadlineMs: number): Promise<void> {
    await Promise.all([...this.#senders].map((sender) => sender.flush(deadlineMs)));
  }

  /** Nothing more is accepted; what is left is rejected. @returns how many that were */
  close(): number {
    return [...this.#senders].reduce((sum, sender) => sum + sender.close(), 0);
  }

  /** After {@link close}: so that the broker has read all that was written before the link ends. */
  async closeChannels(): Promise<void> {
    await Promise.all([...this.#senders].map((sender) => sender.closeChannel()));
  }

  /** Unbounded: the prefetch of the subscriptions bounds what is copied. */
  #openCopyLane(lacksChannel: () => void): OwnChannel {
    const needs: OutboxSenderNeeds = {
      ...this.#needs,
      noChannel: (cause, retryInMs) => {
        lacksChannel();
        this.#needs.noChannel(cause, retryInMs);
      },
    };
    const sender = this.#addDispatcher({ bounds: UNBOUNDED, confirms: 'on', opens: 'on-demand' }, needs);
    return {
      channel: sender,
      sender: new ChannelPublisher(this.#codec, this.#defaults.publish, sender, this.#clock),
    };
  }

  #add(options: OutboxSenderOptions, defaults: ResolvedPublishDefaults): RmqPublisher {
    const sender = this.#addDispatcher(options, this.#needs);
    return new ChannelPublisher(this.#codec, defaults, sender, this.#clock);
  }

  #addDispatcher(options: OutboxSenderOptions, needs: OutboxSenderNeeds): OutboxSender {
    const sender = new OutboxSender(options, needs, this.#clock);
    this.#senders.add(sender);
    // Opens nothing yet: it only gets to know the link.
    if (this.#link !== undefined) void sender.attach(this.#link);
    return sender;
  }
}
