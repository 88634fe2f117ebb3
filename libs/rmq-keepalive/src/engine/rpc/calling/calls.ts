/**
 * Requests and their replies over one channel of the publishing link; knows nothing of what the bodies say.
 *
 * Duty: a call ends exactly once: by whoever made it, or by a time limit, a signal, the broker's word that nobody takes it,
 * the loss of the link, a bound, the close.
 * Danger: the reply address (`amq.rabbitmq.reply-to`) dies with the channel. What was sent before cannot be answered any
 * more, on whichever channel comes next; and a reply that is late must not be taken for that of another call.
 * Choice: the replies are heard on the channel that publishes the requests, as the broker demands, in front of the first
 * of them. Ids are never used twice: a random word of this object, and a count. When the channel is over, what was sent
 * ends at once, and what was not waits for the next one.
 * Source: https://www.rabbitmq.com/docs/direct-reply-to
 */
import { randomUUID } from 'node:crypto';
import type { ConsumeMessage } from 'amqplib';
import type { Clock, Timer } from '../../base/clock.js';
import type { ReturnedPublish } from '../../link/link.js';
import { NOT_FOUND } from '../../errors/reply-codes.js';
import { ConnectionClosedError } from '../../errors/connection-errors.js';
import { OutboxFullError, PublishClosedError, PublishTimeoutError } from '../../errors/publish-errors.js';
import {
  RpcClosedError,
  RpcLinkLostError,
  RpcRefusedError,
  RpcTimeoutError,
  RpcTooManyCallsError,
  RpcUnroutableError,
} from '../../errors/rpc-errors.js';
import { asError } from '../../errors/reasons.js';
import { AbortWatch } from '../../base/abort-watch.js';
import { Deadlines } from '../../base/deadlines.js';
import type { OutboxSender } from '../../publishing/sending/outbox-sender.js';
import { Outgoing, type OutgoingMessage, type PublishKind } from '../../publishing/sending/outgoing-message.js';
import type { ResolvedOutbox } from '../../publishing/sending/outbox.js';
import type { Publishers } from '../../publishing/publishers.js';
import { Call, type CallEnd, type CallListener, type CallRequest, type CallWatch } from './call.js';
import { isMissing, MissingExchanges } from './missing-exchanges.js';
import { RequestProperties } from './request-properties.js';
import type { MessageProperties } from '../../wire/message-properties.js';

export interface ResolvedCallsOptions {
  /** Shown in errors and status. */
  readonly name: string;
  /** Where replies come to: {@link DIRECT_REPLY_TO}, or a queue that exists. */
  readonly replyQueue: string;
  /** Outstanding at a time. */
  readonly maxCalls: number;
  /** Of what waits for the link or the socket; by default that of a publisher, which refuses what is beyond. */
  readonly outbox?: ResolvedOutbox;
  /** Hears replies that came after the end of their call. Must not throw. */
  readonly late?: (message: ConsumeMessage) => void;
  readonly watch?: CallWatch;
}

/** Counts since the start, and what is outstanding now. */
export interface CallsStatus extends Readonly<Record<CallEnd, number>> {
  readonly outstanding: number;
  /** Replies to calls that had ended: late ones, and second ones. */
  readonly lateReplies: number;
  /** Replies to nothing that this object ever asked. */
  readonly strayReplies: number;
}

const NONE_ENDED: Record<CallEnd, number> = {
  finished: 0,
  failed: 0,
  timedOut: 0,
  aborted: 0,
  unroutable: 0,
  linkLost: 0,
  refused: 0,
  closed: 0,
};

/** Of whoever has not asked anything. */
export const NO_CALLS: CallsStatus = { outstanding: 0, ...NONE_ENDED, lateReplies: 0, strayReplies: 0 };

/** A message that no reply is expected to. */
interface PostedMessage {
  readonly kind: PublishKind;
  readonly exchange: string;
  readonly routingKey: string;
  readonly content: Buffer;
  readonly properties: MessageProperties;
  /** Limit of the wait for the link. */
  readonly timeoutMs: number;
}

/** Calls that end within this time of each other are looked at together. */
const TOGETHER_MS = 5;
const RETRY_REPLY_QUEUE_MS = { first: 1_000, max: 30_000 };

export class Calls {
  readonly name: string;
  readonly #options: ResolvedCallsOptions;
  readonly #publishers: Publishers;
  readonly #clock: Clock;
  #ownDispatcher: OutboxSender | undefined;
  readonly #outstanding = new Map<string, Call>();
  readonly #deadlines: Deadlines<Call>;
  readonly #aborts = new AbortWatch();
  readonly #missing: MissingExchanges;
  readonly #idPrefix = `${randomUUID().replaceAll('-', '').slice(0, 20)}.`;
  #lastId = 0;
  #isClosed = false;
  #replyQueueRefused: Error | undefined;
  #retryReplyQueueInMs = RETRY_REPLY_QUEUE_MS.first;
  #retryTimer: Timer | undefined;
  #whenIdle: (() => void)[] = [];
  readonly #ends = { ...NONE_ENDED };
  #lateReplies = 0;
  #strayReplies = 0;

  constructor(
    options: ResolvedCallsOptions,
    publishers: Publishers,
    clock: Clock,
    private readonly gone: () => void,
  ) {
    this.name = options.name;
    this.#options = options;
    this.#publishers = publishers;
    this.#clock = clock;
    this.#missing = new MissingExchanges(clock);
    this.#deadlines = new Deadlines(clock, {
      all: () => this.#outstanding.values(),
      deadlineOf: ({ deadline }) => deadline,
      overdue: (these) => these.forEach((call) => this.#timedOut(call)),
      togetherMs: TOGETHER_MS,
    });
  }

  /** Where channels are few, one is kept for it from now on. */
  reserveChannel(): void {
    void this.#sender;
  }

  /** Unguessable beforehand, and never given twice. */
  newId(): string {
    return this.#idPrefix + (++this.#lastId).toString(36);
  }

  get status(): CallsStatus {
    return {
      outstanding: this.#outstanding.size,
      ...this.#ends,
      lateReplies: this.#lateReplies,
      strayReplies: this.#strayReplies,
    };
  }

  /**
   * Sends a request; the listener hears every reply, and the end. Does not throw: what cannot be sent ends at once, before
   * this returns.
   */
  call(request: CallRequest, listener: CallListener): Call {
    const call = new Call(request.id ?? this.newId(), request, listener, this.#end, this.#renew);
    if (this.#outstanding.has(call.id)) {
      // Not in the map, so the other one stays.
      call.end(new RpcRefusedError(call, new Error('a call with this id is outstanding')));
      return call;
    }
    const { signal } = request;
    this.#outstanding.set(call.id, call);
    call.watched = this.#options.watch?.(call);
    if (signal?.aborted === true) call.aborted(signal.reason);
    else if (this.#isClosed || this.#sender.isOver) this.#end(call, 'closed', new RpcClosedError(call, false));
    else if (this.#outstanding.size > this.#options.maxCalls) this.#end(call, 'refused', this.#tooMany(call));
    else if (this.#missing.has(call.exchange))
      this.#end(
        call,
        'unroutable',
        new RpcUnroutableError(call, NOT_FOUND, `NOT_FOUND - no exchange '${call.exchange}'`),
      );
    else this.#send(call, request);
    return call;
  }

  /**
   * Sends a message that nobody answers: a reply, say. It waits for the link; `settled` is called once, without an error
   * when it was handed to the socket.
   */
  post(message: PostedMessage, settled: (error?: Error) => void): void {
    if (this.#isClosed && this.#ownDispatcher === undefined) return settled(new ConnectionClosedError());
    const { properties, timeoutMs } = message;
    const outgoing: OutgoingMessage = {
      kind: message.kind,
      exchange: message.exchange,
      routingKey: message.routingKey,
      content: message.content,
      options: properties.messageId === undefined ? { ...properties, messageId: properties.correlationId } : properties,
      timeoutMs,
    };
    let entry: Outgoing;
    try {
      entry = new Outgoing(outgoing, this.#clock.now() + timeoutMs, this.#sender.settled, settled, settled);
    } catch (thrown) {
      return settled(asError(thrown));
    }
    this.#sender.send(entry);
  }

  /** Resolves when no call is outstanding any more. */
  async untilIdle(): Promise<void> {
    if (this.#outstanding.size > 0) await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }

  /** Ends all calls; no further ones are made. @returns how many it ended */
  giveUp(): number {
    this.#isClosed = true;
    this.#retryTimer?.cancel();
    const left = [...this.#outstanding.values()];
    for (const call of left) this.#end(call, 'closed', new RpcClosedError(call, call.wasSent));
    this.#deadlines.end();
    return left.length;
  }

  /** As {@link giveUp}, and gives the channel back. Resolves when the broker has read what was posted. */
  async close(): Promise<void> {
    this.giveUp();
    this.gone();
    if (this.#ownDispatcher !== undefined) await this.#publishers.release(this.#ownDispatcher);
  }

  /** Opened with the first use: it has an outbox of its own. */
  get #sender(): OutboxSender {
    return (this.#ownDispatcher ??= this.#open());
  }

  #open(): OutboxSender {
    return this.#publishers.open(
      {
        confirms: 'off',
        bounds: this.#options.outbox,
        replies: {
          owner: `RPC "${this.name}"`,
          queue: this.#options.replyQueue,
          received: (message) => this.#received(message),
          ended: (cause) => this.#channelEnded(cause),
          refused: (cause, tryAgain) => this.#replyQueueIsRefused(cause, tryAgain),
        },
      },
      {
        failed: () => undefined,
        returned: (message) => this.#returned(message),
      },
    );
  }

  #send(call: Call, request: CallRequest): void {
    const { exchange, routingKey, content, properties, timeoutMs, signal, kind = 'request' } = request;
    const message: OutgoingMessage = {
      kind,
      exchange,
      routingKey,
      content,
      // Its other limit and its signal end the call, and the call takes the message back.
      timeoutMs: call.sendTimeoutMs,
      options: new RequestProperties(
        properties,
        this.#options.replyQueue,
        call,
        request.expires === true ? this.#clock : undefined,
      ),
    };
    let outgoing: Outgoing;
    try {
      outgoing = new Outgoing(
        message,
        this.#clock.now() + call.sendTimeoutMs,
        this.#sender.settled,
        () => this.#sent(call),
        (error) => this.#notSent(call, error),
      );
    } catch (thrown) {
      return this.#end(call, 'refused', new RpcRefusedError(call, thrown));
    }
    call.outgoing = outgoing;
    if (signal !== undefined) this.#aborts.add(signal, call);
    if (timeoutMs !== undefined) this.#renew(call);
    if (call.watched === undefined) this.#sender.send(outgoing);
    else call.watched.send(() => this.#sender.send(outgoing));
  }

  #sent(call: Call): void {
    call.isSent = true;
    call.outgoing = undefined;
    if (this.#replyQueueRefused === undefined) return;
    this.#replyQueueRefused = undefined;
    this.#retryReplyQueueInMs = RETRY_REPLY_QUEUE_MS.first;
  }

  #notSent(call: Call, error: Error): void {
    call.outgoing = undefined;
    if (call.isEnded) return;
    if (error instanceof OutboxFullError)
      this.#end(
        call,
        'refused',
        new RpcTooManyCallsError(call, 'the requests that wait for the link fill the outbox', error),
      );
    else if (error instanceof PublishTimeoutError) this.#timedOut(call, call.sendTimeoutMs);
    else if (error instanceof PublishClosedError) this.#end(call, 'closed', new RpcClosedError(call, false));
    else this.#end(call, 'refused', new RpcRefusedError(call, error.cause ?? error));
  }

  #received(message: ConsumeMessage): void {
    const id: unknown = message.properties.correlationId;
    const call = typeof id === 'string' ? this.#outstanding.get(id) : undefined;
    if (call === undefined) return this.#unexpected(message, id);
    try {
      call.listener.reply(message, call);
    } catch (thrown) {
      call.end(asError(thrown));
    }
  }

  #unexpected(message: ConsumeMessage, id: unknown): void {
    if (typeof id !== 'string' || !id.startsWith(this.#idPrefix)) {
      this.#strayReplies += 1;
      return;
    }
    this.#lateReplies += 1;
    this.#options.late?.(message);
  }

  #returned({ correlationId, replyCode, replyText }: ReturnedPublish): void {
    const call = correlationId === undefined ? undefined : this.#outstanding.get(correlationId);
    if (call !== undefined) this.#end(call, 'unroutable', new RpcUnroutableError(call, replyCode, replyText));
  }

  #channelEnded(cause: Error): Iterable<string> {
    const exchanges = new Set<string>();
    for (const call of [...this.#outstanding.values()]) {
      // Settled: it is out, and what is around it has not returned yet.
      if (!call.isSent && call.outgoing?.isSettled !== true) continue;
      exchanges.add(call.exchange);
      if (isMissing(call.exchange, cause)) {
        this.#missing.add(call.exchange);
        const text = `NOT_FOUND - no exchange '${call.exchange}'`;
        this.#end(call, 'unroutable', new RpcUnroutableError(call, NOT_FOUND, text));
      } else this.#end(call, 'linkLost', new RpcLinkLostError(call, cause));
    }
    return exchanges;
  }

  #replyQueueIsRefused(cause: Error, tryAgain: () => void): void {
    this.#replyQueueRefused = cause;
    if (this.#isClosed) return;
    this.#retryTimer?.cancel();
    this.#retryTimer = this.#clock.setTimer(tryAgain, this.#retryReplyQueueInMs, 'background');
    this.#retryReplyQueueInMs = Math.min(this.#retryReplyQueueInMs * 2, RETRY_REPLY_QUEUE_MS.max);
  }

  #timedOut(call: Call, timeoutMs = call.timeoutMs ?? 0): void {
    const { wasSent } = call;
    const cause = wasSent
      ? undefined
      : (this.#replyQueueRefused ?? this.#sender.hindrance ?? new Error(this.#sender.obstacle ?? 'no answer'));
    this.#end(call, 'timedOut', new RpcTimeoutError(call, timeoutMs, wasSent, cause));
  }

  #tooMany(call: Call): Error {
    return new RpcTooManyCallsError(call, `${this.#options.maxCalls} calls are outstanding, its bound (maxCalls)`);
  }

  readonly #renew = (call: Call): void => {
    if (call.timeoutMs === undefined) return;
    call.deadline = this.#clock.now() + call.timeoutMs;
    this.#deadlines.set(call.deadline);
  };

  /** The only way out of a call. */
  readonly #end = (call: Call, how: CallEnd, error: Error | undefined): void => {
    if (call.isEnded) return;
    call.isEnded = true;
    this.#ends[how] += 1;
    if (this.#outstanding.get(call.id) === call) this.#outstanding.delete(call.id);
    if (call.signal !== undefined) this.#aborts.remove(call.signal, call);
    const { outgoing } = call;
    call.outgoing = undefined;
    // Not sent yet: it is taken back.
    outgoing?.settle(error ?? new RpcClosedError(call, false));
    call.watched?.ended(error);
    try {
      call.listener.ended(error);
    } catch {
      // Whoever listens has had his say; there is nobody else to tell.
    }
    if (this.#outstanding.size === 0) for (const resolve of this.#whenIdle.splice(0)) resolve();
  };
}
