/** One call: a request on its way, its replies, and its one end. */
import type { ConsumeMessage } from 'amqplib';
import { type CallAddress, RpcAbortedError } from '../../errors/rpc-errors.js';
import type { Abortable } from '../../base/abort-watch.js';
import type { Outgoing, PublishKind } from '../../publishing/sending/outgoing-message.js';
import type { MessageProperties } from '../../wire/message-properties.js';

/** A request as it is sent. */
export interface CallRequest {
  readonly exchange: string;
  readonly routingKey: string;
  readonly content: Buffer;
  /** The call sets `replyTo` and, unless it is here, `correlationId`, `messageId` and `mandatory`. */
  readonly properties: MessageProperties;
  /** From `newId()`, when the id has to be known before the request is encoded. */
  readonly id?: string;
  /** Limit until the end of the call, waiting for the link included; {@link Call.renew} begins it anew. Without it there is none. */
  readonly timeoutMs?: number;
  /** Limit of the wait for the link alone. @default none */
  readonly sendTimeoutMs?: number;
  /** With `timeoutMs`: a queue drops the request when that is over. */
  readonly expires?: boolean;
  readonly signal?: AbortSignal;
  /** @default 'request' */
  readonly kind?: PublishKind;
}

/** Who hears what becomes of a call. Both are called inside the read loop: keep it short. */
export interface CallListener {
  /** A reply, in the order of their sending. What it throws ends the call. */
  reply(message: ConsumeMessage, call: Call): void;
  /** Called once, last. Without an error: the listener itself has ended the call. */
  ended(error: Error | undefined): void;
}

/** Told of each call when it begins. */
export type CallWatch = (call: CallAddress) => WatchedCall;

interface WatchedCall {
  /** Calls `work`, which sends the request. */
  send(work: () => void): void;
  /** Called once. Must not throw. */
  ended(error: Error | undefined): void;
}

/** How a call ended, as it is counted. */
export type CallEnd = 'finished' | 'failed' | 'timedOut' | 'aborted' | 'unroutable' | 'linkLost' | 'refused' | 'closed';

export class Call implements CallAddress, Abortable {
  readonly exchange: string;
  readonly routingKey: string;
  readonly timeoutMs: number | undefined;
  readonly sendTimeoutMs: number;
  readonly signal: AbortSignal | undefined;
  deadline = Infinity;
  /** While it waits to be sent. */
  outgoing: Outgoing | undefined;
  /** Handed to the socket. */
  isSent = false;
  isEnded = false;
  /** By whoever wants to know of it. */
  watched: WatchedCall | undefined;

  constructor(
    readonly id: string,
    request: CallRequest,
    readonly listener: CallListener,
    private readonly ending: (call: Call, how: CallEnd, error: Error | undefined) => void,
    private readonly renewing: (call: Call) => void,
  ) {
    this.exchange = request.exchange;
    this.routingKey = request.routingKey;
    this.timeoutMs = request.timeoutMs;
    this.sendTimeoutMs = request.sendTimeoutMs ?? Infinity;
    this.signal = request.signal;
  }

  /** Goes out, or has: what was added to the frames of this turn is not taken back any more. */
  get wasSent(): boolean {
    return this.isSent || this.outgoing?.wasSent === true;
  }

  get correlationId(): string {
    return this.id;
  }

  /** That was the last reply, or nobody wants another. Replies that still come are dropped and counted. The first end counts. */
  end(error?: Error): void {
    this.ending(this, error === undefined ? 'finished' : 'failed', error);
  }

  /** Its signal fired. */
  aborted(reason: unknown): void {
    this.ending(this, 'aborted', new RpcAbortedError(this, reason, this.wasSent));
  }

  /** Its time stands still until {@link renew}: nothing is waited for. */
  pause(): void {
    this.deadline = Infinity;
  }

  /** Its time begins anew. */
  renew(): void {
    if (!this.isEnded) this.renewing(this);
  }
}
