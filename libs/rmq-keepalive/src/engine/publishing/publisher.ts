/**
 * Publishes with confirms over one channel of the publishing link.
 *
 * Duty: `publish()` resolves when the broker has confirmed, and rejects with a typed error otherwise; it never hangs.
 * Danger: a link may be lost between the send and the confirm. Then nobody knows whether the message arrived, so it is
 * sent again under the same message id once the link is back: at least once, and perhaps twice.
 * Choice: what is unconfirmed stays in the outbox. When the broker closes the channel because of one message, all others
 * in flight suffer; they go again one at a time, so that exactly the guilty one is found and rejected.
 */
import { randomUUID } from 'node:crypto';
import type { ConfirmChannel, Message, Options } from 'amqplib';
import type { Clock, Timer } from '../clock.js';
import type { Codec } from '../codec/codec.js';
import { openGuardedConfirmChannel } from '../connection/guarded-channel.js';
import type { Link } from '../connection/link.js';
import {
  asError,
  ChannelClosedError,
  ConnectionClosedError,
  OptionsError,
  PublishAbortedError,
  type PublishAddress,
  PublishNackedError,
  PublishRefusedError,
  PublishReturnedError,
  PublishTimeoutError,
} from '../errors.js';
import { checkNumber, checkOptionsObject, shown } from '../option-checks.js';
import { ConfirmLedger } from './confirm-ledger.js';
import { Outbox, type OutboxEntry, type ResolvedOutbox } from './outbox.js';

/** Defaults for all publishes of a connection. */
export interface PublishDefaults {
  /** How long `publish()` may take until the confirm, in ms, waiting for the link included. @default 30_000 */
  timeoutMs?: number;
  /** Reject a message that no queue is bound for, instead of losing it. @default true */
  mandatory?: boolean;
  /** Stored on disk by durable queues, so that it survives a broker restart. @default true */
  persistent?: boolean;
}

export interface PublishOptions extends PublishDefaults {
  /** Stays the same when the message has to be sent again: consumers recognise duplicates by it. @default a random UUID */
  messageId?: string;
  headers?: Record<string, unknown>;
  correlationId?: string;
  replyTo?: string;
  /** Milliseconds after which the broker may drop the message unconsumed. */
  expiration?: number;
  /** 0..255; for priority queues. */
  priority?: number;
  /** Application-defined kind of message. */
  type?: string;
  /** Ends the wait: a message that was not sent yet is taken back; one that was may still arrive. */
  signal?: AbortSignal;
}

const OPTION_NAMES = [
  'timeoutMs',
  'mandatory',
  'persistent',
  'messageId',
  'headers',
  'correlationId',
  'replyTo',
  'expiration',
  'priority',
  'type',
  'signal',
] as const satisfies readonly (keyof PublishOptions)[];

export type ResolvedPublishDefaults = Required<PublishDefaults>;

export function resolvePublishDefaults(options: PublishDefaults = {}, path = 'publish'): ResolvedPublishDefaults {
  checkOptionsObject(options, ['timeoutMs', 'mandatory', 'persistent'], path);
  const { timeoutMs = 30_000, mandatory = true, persistent = true } = options;
  checkNumber(timeoutMs, { min: 1, max: 2_147_483_647, unit: 'milliseconds' }, `${path}.timeoutMs`);
  return { timeoutMs, mandatory, persistent };
}

/** Says how often a message was sent before: set when it is sent again after a lost link. */
export const REPUBLISHED_HEADER = 'x-republished';

/** Messages sent without a confirm at a time: enough to keep the broker busy, few enough to send again quickly. */
const MAX_IN_FLIGHT = 4_096;
const SWEEP_EVERY_MS = 250;
/** A message that closed the channel this often, alone in flight and after its topology was declared again, is refused. */
const MAX_CHANNEL_CLOSES = 2;

export interface PublisherHost {
  /** Starts the publishing link if nobody has needed it yet. */
  needLink(): void;
  /** The broker closed the publishing channel. Declares these exchanges again, one may be missing, then lets `attach` open a new channel. */
  repair(link: Link, exchanges: ReadonlySet<string>, attach: () => Promise<void>): Promise<void>;
  published(): void;
  failed(cause: Error): void;
  replayed(count: number): void;
}

export interface OutgoingMessage {
  readonly exchange: string;
  readonly routingKey: string;
  readonly content: Buffer;
  readonly options: Options.Publish;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

class Outgoing implements OutboxEntry {
  isHeld = false;
  isSettled = false;
  sends = 0;
  channelCloses = 0;
  /** While it is in flight: its tag in the ledger. */
  tag: number | undefined;
  returned: { replyCode: number; replyText: string } | undefined;
  readonly messageId: string;

  constructor(
    readonly message: OutgoingMessage,
    readonly deadline: number,
    private readonly settled: (entry: Outgoing, error: Error | undefined) => void,
  ) {
    this.messageId = message.options.messageId as string;
  }

  get exchange(): string {
    return this.message.exchange;
  }

  get wasSent(): boolean {
    return this.sends > 0;
  }

  get routingKey(): string {
    return this.message.routingKey;
  }

  get bytes(): number {
    return this.message.content.length;
  }

  settle(error?: Error): void {
    if (this.isSettled) return;
    this.isSettled = true;
    this.settled(this, error);
  }
}

export interface PublisherStatus {
  readonly queued: number;
  readonly inFlight: number;
  readonly waiting: number;
  readonly bytes: number;
}

export class RmqPublisher {
  readonly #outbox: Outbox<Outgoing>;
  #ledger = new ConfirmLedger<Outgoing>();
  #channel: ConfirmChannel | undefined;
  #link: Link | undefined;
  #isWritable = true;
  /** While set, what was in flight when the broker closed the channel goes one at a time. */
  #suspects = new Set<Outgoing>();
  #sweeper: Timer | undefined;
  #isClosed = false;
  #isClosing = false;
  #abandoned = 0;
  #toReplay = 0;
  #emptied: (() => void)[] = [];

  /** @internal Made by `RmqConnection`. */
  constructor(
    private readonly host: PublisherHost,
    private readonly codec: Codec,
    private readonly defaults: ResolvedPublishDefaults,
    bounds: ResolvedOutbox,
    private readonly clock: Clock,
  ) {
    this.#outbox = new Outbox(bounds);
  }

  /**
   * Publishes `payload` and resolves when the broker has confirmed it. While the link is down or blocked the message waits
   * in the outbox; after a lost link it is sent again under the same message id.
   *
   * @throws {@link PublishReturnedError} no queue is bound for it (`mandatory`, the default)
   * @throws {@link PublishNackedError} the broker refused to store it
   * @throws {@link PublishRefusedError} no such exchange, or no right to write
   * @throws {@link PublishTimeoutError} no confirm within `timeoutMs`
   * @throws {@link OutboxFullError} the outbox is at its bound
   * @throws {@link PublishAbortedError} `signal` fired
   * @throws {@link PayloadNotEncodableError} the codec cannot encode it
   * @throws {@link ConnectionClosedError} the connection was closed before the confirm
   */
  async publish(exchange: string, routingKey: string, payload: unknown, options: PublishOptions = {}): Promise<void> {
    checkPublish(exchange, routingKey, options);
    const body = this.codec.encode(payload);
    const {
      timeoutMs = this.defaults.timeoutMs,
      mandatory = this.defaults.mandatory,
      persistent = this.defaults.persistent,
      signal,
    } = options;
    const { messageId = randomUUID(), headers = {}, correlationId, replyTo, expiration, priority, type } = options;
    await this.send({
      exchange,
      routingKey,
      content: body.content,
      options: {
        mandatory,
        persistent,
        messageId,
        headers,
        correlationId,
        replyTo,
        expiration,
        priority,
        type,
        contentType: body.contentType,
        contentEncoding: body.contentEncoding,
        timestamp: Math.floor(this.clock.wallClock() / 1000),
      },
      timeoutMs,
      signal,
    });
  }

  /** Publishes to one queue, through the default exchange. Otherwise as {@link publish}. */
  async sendToQueue(queue: string, payload: unknown, options?: PublishOptions): Promise<void> {
    return this.publish('', queue, payload, options);
  }

  /**
   * Resolves when nothing is left unconfirmed, or when `deadlineMs` have passed or nothing can be sent any more.
   * @returns how many are left
   */
  async flush(deadlineMs: number): Promise<number> {
    if (this.#outbox.messages === 0) return 0;
    let timer: Timer | undefined;
    await new Promise<void>((resolve) => {
      this.#emptied.push(resolve);
      timer = this.clock.setTimer(resolve, deadlineMs);
    });
    timer?.cancel();
    return this.#outbox.messages;
  }

  /** @internal */
  get status(): PublisherStatus {
    const inFlight = this.#ledger.size;
    return {
      queued: Math.max(0, this.#outbox.messages - inFlight),
      inFlight,
      waiting: this.#outbox.waiting,
      bytes: this.#outbox.bytes,
    };
  }

  /** @internal Sends bytes as they are; the message id must be set. */
  async send(message: OutgoingMessage): Promise<void> {
    if (this.#isClosed || (this.#isClosing && this.#link === undefined))
      throw new ConnectionClosedError('The connection is closed: nothing can be published any more');
    if (message.signal?.aborted === true) throw new PublishAbortedError(addressOf(message), message.signal.reason);
    await new Promise<void>((resolve, reject) => {
      const entry = new Outgoing(message, this.clock.now() + message.timeoutMs, (settled, error) => {
        endAbort();
        this.#settled(settled, error);
        if (error === undefined) resolve();
        else reject(error);
      });
      const abort = (): void => entry.settle(new PublishAbortedError(entry, message.signal?.reason));
      const endAbort = (): void => message.signal?.removeEventListener('abort', abort);
      message.signal?.addEventListener('abort', abort, { once: true });
      this.#outbox.add(entry);
      this.#armSweeper();
      this.host.needLink();
      this.#pump();
    });
  }

  /** @internal A recovery step: opens the channel and sends again what was never confirmed. */
  async attach(link: Link): Promise<void> {
    this.#link = link;
    let ended = false;
    const opening: { channel?: ConfirmChannel } = {};
    opening.channel = await openGuardedConfirmChannel(link, (cause) => {
      ended = true;
      if (opening.channel !== undefined && opening.channel === this.#channel) this.#channelClosed(cause);
    });
    const { channel } = opening;
    if (ended) throw new ChannelClosedError('the publisher', 'it ended while it was being opened');
    this.#channel = channel;
    this.#isWritable = true;
    this.#ledger = new ConfirmLedger();
    channel.on('ack', ({ deliveryTag, multiple }) => this.#confirmed(deliveryTag, multiple));
    channel.on('nack', ({ deliveryTag, multiple }) => this.#nacked(deliveryTag, multiple));
    channel.on('return', (message) => this.#returned(message));
    channel.on('drain', () => {
      this.#isWritable = true;
      this.#pump();
    });
    const replayed = this.#toReplay;
    this.#toReplay = 0;
    if (replayed > 0) this.host.replayed(replayed);
    this.#pump();
  }

  /** @internal The link is gone: everything in flight goes back to the front of the outbox. */
  detach(cause: Error): void {
    this.#link = undefined;
    this.#channel = undefined;
    const inFlight = this.#takeBackInFlight();
    if (isOverOurFrames(cause)) this.#suspect(inFlight, cause);
    else this.#suspects.clear();
    if (this.#isClosing) this.#abandonAll();
  }

  /** @internal No link comes up any more: what has no channel now never gets one, and is told at once. */
  beginClosing(): void {
    this.#isClosing = true;
    if (this.#channel === undefined && this.#link === undefined) this.#abandonAll();
  }

  /** @internal The broker's alarm is over, or room was made: go on sending. */
  resume(): void {
    this.#pump();
  }

  /** @internal Nothing more is accepted; what is left is rejected. Returns how many that were. */
  close(): number {
    this.#isClosed = true;
    this.#sweeper?.cancel();
    this.#abandonAll();
    return this.#abandoned;
  }

  #abandonAll(): void {
    for (const entry of [...this.#takeBackInFlight(), ...this.#outbox.unsent()]) {
      if (entry.isSettled) continue;
      this.#abandoned += 1;
      entry.settle(closedBefore(entry));
    }
    this.#outbox.forgetSettled();
  }

  #pump(): void {
    while (this.#mayWrite()) {
      const entry = this.#outbox.next();
      if (entry === undefined) return;
      this.#write(entry);
    }
  }

  #mayWrite(): boolean {
    if (this.#channel === undefined || !this.#isWritable || this.#link?.blockedBecause !== undefined) return false;
    return this.#ledger.size < (this.#suspects.size > 0 ? 1 : MAX_IN_FLIGHT);
  }

  #write(entry: Outgoing): void {
    const { exchange, routingKey, content, options } = entry.message;
    const finalOptions =
      entry.sends === 0
        ? options
        : { ...options, headers: { ...(options.headers as object), [REPUBLISHED_HEADER]: entry.sends } };
    try {
      this.#isWritable = (this.#channel as ConfirmChannel).publish(exchange, routingKey, content, finalOptions);
      entry.sends += 1;
      entry.tag = this.#ledger.sent(entry);
    } catch (thrown) {
      if (this.#channelEndsWith(thrown)) this.#outbox.putBack([entry]);
      // A value that the AMQP codec cannot encode (a header, say): only this message is wrong.
      else entry.settle(new PublishRefusedError(entry, thrown));
    }
  }

  /** amqplib throws IllegalOperationError on a channel that is closing; its 'close' follows. */
  #channelEndsWith(thrown: unknown): boolean {
    if (asError(thrown).name !== 'IllegalOperationError') return false;
    this.#isWritable = false;
    return true;
  }

  #confirmed(tag: number, multiple: boolean): void {
    for (const entry of this.#ledger.settle(tag, multiple)) {
      const { returned } = entry;
      entry.settle(
        returned === undefined ? undefined : new PublishReturnedError(entry, returned.replyCode, returned.replyText),
      );
    }
    this.#pump();
  }

  #nacked(tag: number, multiple: boolean): void {
    for (const entry of this.#ledger.settle(tag, multiple)) {
      entry.settle(new PublishNackedError(entry));
    }
    this.#pump();
  }

  /** basic.return comes before the confirm of the same message, in publishing order. */
  #returned(message: Message): void {
    const { replyCode, replyText, exchange, routingKey } = message.fields as unknown as {
      replyCode: number;
      replyText: string;
      exchange: string;
      routingKey: string;
    };
    const entry = this.#ledger.find(
      (sent) =>
        sent.returned === undefined &&
        sent.message.options.mandatory === true &&
        sent.messageId === message.properties.messageId &&
        sent.exchange === exchange &&
        sent.routingKey === routingKey,
    );
    if (entry !== undefined) entry.returned = { replyCode, replyText };
  }

  #channelClosed(cause: Error | undefined): void {
    // Without a cause the channel ends because its link does: detach() follows, and a new channel with the next link.
    const link = this.#link;
    if (cause === undefined || link === undefined) return;
    this.#channel = undefined;
    const inFlight = this.#takeBackInFlight();
    this.#suspect(inFlight, cause);
    // They go again to find the guilty one, not because they were lost.
    this.#toReplay = 0;
    const exchanges = new Set(inFlight.map(({ exchange }) => exchange));
    void this.host.repair(link, exchanges, async () => {
      if (link === this.#link) await this.attach(link);
    });
  }

  #suspect(inFlight: readonly Outgoing[], cause: Error): void {
    if (inFlight.length === 1 || this.#suspects.size > 0) this.#accuse(inFlight, cause);
    for (const entry of inFlight) if (!entry.isSettled) this.#suspects.add(entry);
  }

  /** One message alone in flight and the channel closed: that one it was. It gets a second chance after the topology was declared again. */
  #accuse(inFlight: readonly Outgoing[], cause: Error): void {
    for (const entry of inFlight) {
      entry.channelCloses += 1;
      if (entry.channelCloses < MAX_CHANNEL_CLOSES) continue;
      entry.settle(new PublishRefusedError(entry, cause));
    }
  }

  #takeBackInFlight(): Outgoing[] {
    const inFlight = this.#ledger.takeAll().filter((entry) => !entry.isSettled);
    for (const entry of inFlight) entry.returned = entry.tag = undefined;
    this.#outbox.putBack(inFlight);
    this.#toReplay += inFlight.length;
    return inFlight;
  }

  #settled(entry: Outgoing, error: Error | undefined): void {
    this.#suspects.delete(entry);
    // A body that nobody waits for is not kept until a confirm that may never come.
    if (entry.tag !== undefined) this.#ledger.forget(entry.tag);
    this.#outbox.release(entry);
    if (error === undefined) this.host.published();
    else this.host.failed(error);
    if (this.#outbox.messages === 0) {
      for (const resolve of this.#emptied.splice(0)) resolve();
    }
  }

  #armSweeper(): void {
    if (this.#sweeper !== undefined || this.#isClosed) return;
    this.#sweeper = this.clock.setTimer(() => this.#sweep(), SWEEP_EVERY_MS);
  }

  /** One timer for all time limits: a timer for every message would cost more than the message. */
  #sweep(): void {
    this.#sweeper = undefined;
    const now = this.clock.now();
    for (const [entries, wereSent] of [
      [[...this.#outbox.unsent()], false],
      [[...this.#ledger.entries()], true],
    ] as const) {
      for (const entry of entries) {
        if (entry.isSettled || now < entry.deadline) continue;
        entry.settle(new PublishTimeoutError(entry, entry.message.timeoutMs, wereSent || entry.sends > 0));
      }
    }
    this.#outbox.forgetSettled();
    if (this.#outbox.messages > 0 || this.#outbox.waiting > 0) this.#armSweeper();
    this.#pump();
  }
}

function closedBefore({ messageId, wasSent }: Outgoing): ConnectionClosedError {
  const fate = wasSent ? 'it was sent and may have arrived' : 'it was never sent';
  return new ConnectionClosedError(`The connection was closed before message ${messageId} was confirmed; ${fate}`);
}

/** The broker ended the whole connection over something that we sent (frame, syntax, command, not allowed, internal error). */
function isOverOurFrames(cause: Error): boolean {
  const code: unknown = (cause.cause as { code?: unknown } | undefined)?.code;
  return typeof code === 'number' && [501, 502, 503, 504, 505, 541].includes(code);
}

function addressOf({ exchange, routingKey, options }: OutgoingMessage): PublishAddress {
  return { exchange, routingKey, messageId: options.messageId as string };
}

function checkPublish(exchange: string, routingKey: string, options: PublishOptions): void {
  if (typeof exchange !== 'string')
    throw new OptionsError(
      'publish(exchange)',
      `${shown(exchange)} is not an exchange name`,
      "Give a string; '' is the default exchange",
    );
  if (typeof routingKey !== 'string')
    throw new OptionsError('publish(routingKey)', `${shown(routingKey)} is not a routing key`, 'Give a string');
  checkOptionsObject(options, OPTION_NAMES, 'publish options');
  if (options.timeoutMs !== undefined)
    checkNumber(options.timeoutMs, { min: 1, max: 2_147_483_647, unit: 'milliseconds' }, 'publish options.timeoutMs');
  if (options.priority !== undefined)
    checkNumber(options.priority, { min: 0, max: 255, unit: 'priority', integer: true }, 'publish options.priority');
  // The protocol's shortstr: one length octet.
  for (const [name, value] of [
    ['exchange', exchange],
    ['routingKey', routingKey],
    ['messageId', options.messageId ?? ''],
    ['correlationId', options.correlationId ?? ''],
    ['replyTo', options.replyTo ?? ''],
    ['type', options.type ?? ''],
  ] as const) {
    if (typeof value !== 'string') throw new OptionsError(name, `${shown(value)} is not a string`, 'Give a string');
    if (Buffer.byteLength(value) > 255)
      throw new OptionsError(
        name,
        `${Buffer.byteLength(value)} bytes are more than the 255 that AMQP allows`,
        'Shorten it',
      );
  }
}

export type { PublishAddress };
