/** The publishers of a connection: one that is always there, and those that were asked for. All share the publishing link. */
import type { Clock } from '../base/clock.js';
import type { Codec } from '../codec/codec.js';
import type { Link } from '../link/link.js';
import { checkOptionsObject } from '../base/option-checks.js';
import { EncodingPublisher } from './encoding-publisher.js';
import { CopySender, type OwnChannel } from './copy-sender.js';
import { OutboxSender } from './sending/outbox-sender.js';
import type {
  OutboxSenderNeeds,
  OutboxSenderOptions,
  PublisherCounters,
  PublisherStatus,
} from './sending/sender-needs.js';
import { type OutboxOptions, type ResolvedOutbox, resolveOutbox, UNBOUNDED } from './sending/outbox.js';
import { type PublisherDefaults, type ResolvedPublishDefaults, resolvePublishDefaults } from './publish-options.js';
import type { ConfirmTraffic } from './sending/publish-session.js';
import type { OutgoingMessage, RmqPublisher } from './rmq-publisher.js';

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

/** What the publishers ask of the connection around them. */
export type PublishersNeeds = Omit<OutboxSenderNeeds, 'link' | 'isEnding'>;

/** Makes what sends the messages of one publisher. */
export type MakeSender = (options: OutboxSenderOptions, needs: OutboxSenderNeeds, clock: Clock) => OutboxSender;

type OpenOptions = Omit<OutboxSenderOptions, 'opens' | 'bounds'> & Partial<Pick<OutboxSenderOptions, 'bounds'>>;

export class Publishers {
  /** The one that is injected by its class. Its channel is opened with every link. */
  readonly main: RmqPublisher;
  readonly #senders = new Set<OutboxSender>();
  /** Those whose messages are the application's, as publishes; of calls and replies others keep count. */
  readonly #counted = new Set<OutboxSender>();
  readonly #copies: CopySender;
  #link: Link | undefined;
  #isEnding = false;
  readonly #codec: Codec;
  readonly #defaults: Defaults;
  readonly #needs: OutboxSenderNeeds;
  readonly #clock: Clock;

  constructor(
    codec: Codec,
    defaults: Defaults,
    needs: PublishersNeeds,
    clock: Clock,
    private readonly makeSender: MakeSender = (...given) => new OutboxSender(...given),
  ) {
    this.#codec = codec;
    this.#defaults = defaults;
    this.#needs = { ...needs, link: () => this.#link, isEnding: () => this.#isEnding };
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
    told: Pick<OutboxSenderNeeds, 'failed' | 'returned'>,
  ): OutboxSender {
    const untold = { confirmed: () => undefined, republished: () => undefined };
    const needs: OutboxSenderNeeds = { ...this.#needs, ...untold, ...told };
    return this.#addSender({ ...options, bounds, opens: 'on-demand' }, needs);
  }

  /** Ends one that {@link open} made, while the others go on. Resolves when the broker has read what it sent. */
  async release(sender: OutboxSender): Promise<void> {
    this.#senders.delete(sender);
    sender.close();
    await sender.channel.release();
  }

  get waitingForChannel(): number {
    return [...this.#senders].filter(({ channel }) => channel.isWaitingForChannel).length;
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

  /** What has become of all that the application has published. */
  get counters(): PublisherCounters {
    const sum = { published: 0, publishFailed: 0, republished: 0 };
    for (const { counters } of this.#counted) {
      sum.published += counters.published;
      sum.publishFailed += counters.publishFailed;
      sum.republished += counters.republished;
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
    await Promise.all([
      main?.channel.attachOrWait(link),
      ...further.map((sender) => sender.channel.attachOrRetry(link)),
    ]);
  }

  /** Whoever waits for a channel of the link tries again. The main one comes first. */
  channelFreed(): void {
    for (const sender of this.#senders) sender.channel.channelFreed();
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
    this.#isEnding = true;
    for (const sender of this.#senders) sender.beginClosing();
  }

  async flush(deadlineMs: number): Promise<void> {
    await Promise.all([...this.#senders].map((sender) => sender.flush(deadlineMs)));
  }

  /** Nothing more is accepted; what is left is rejected. @returns how many that were */
  giveUp(): number {
    return [...this.#senders].reduce((sum, sender) => sum + sender.close(), 0);
  }

  /** After {@link giveUp}: so that the broker has read all that was written before the link ends. */
  async closeChannels(): Promise<void> {
    await Promise.all([...this.#senders].map((sender) => sender.channel.closeChannel()));
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
    const sender = this.#addSender({ bounds: UNBOUNDED, confirms: 'on', opens: 'on-demand' }, needs);
    this.#counted.add(sender);
    return {
      channel: sender.channel,
      sender: new EncodingPublisher(this.#codec, this.#defaults.publish, sender, this.#clock),
    };
  }

  #add(options: OutboxSenderOptions, defaults: ResolvedPublishDefaults): RmqPublisher {
    const sender = this.#addSender(options, this.#needs);
    this.#counted.add(sender);
    return new EncodingPublisher(this.#codec, defaults, sender, this.#clock);
  }

  #addSender(options: OutboxSenderOptions, needs: OutboxSenderNeeds): OutboxSender {
    const sender = this.makeSender(options, needs, this.#clock);
    this.#senders.add(sender);
    return sender;
  }
}
