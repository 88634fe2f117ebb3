/** How one call can end other than with its answer, and what a responder does not answer. */
import { isOfAnyCopy, markForAllCopies } from './any-copy.js';
import { targetOf } from './publish-errors.js';
import { reasonOf } from './reasons.js';
import { RmqError, type RmqErrorCode } from './rmq-error.js';

/** A request says a place to reply to that we must not publish to. It was not handled; it went to the dead-letter queue. */
export class ReplyToRefusedError extends RmqError {
  constructor(why: string) {
    super('RMQ_RPC_REPLY_TO_REFUSED', `The request is not answered: ${why}`);
  }
}

/** Where a call went. */
export interface CallAddress {
  readonly exchange: string;
  readonly routingKey: string;
  /** Ties its replies to it. */
  readonly correlationId: string;
}

/**
 * Base of the errors that a call ends with. Its request may have been handled all the same where `wasSent` is true.
 *
 * ```ts
 * await rpc.request(quote, { item, quantity: 2 }).catch((error: unknown) => {
 *   if (error instanceof RpcRemoteError && error.remoteCode === 'OUT_OF_STOCK') return offerLess(error.data);
 *   if (error instanceof RmqRpcError && !error.wasSent) logger.error(`${error.correlationId} never went out`);
 * });
 * ```
 */
export class RmqRpcError extends RmqError {
  readonly exchange: string;
  readonly routingKey: string;
  readonly correlationId: string;
  constructor(
    code: RmqErrorCode,
    address: CallAddress,
    what: string,
    /** Whether the request was handed to the socket before the call ended. */
    readonly wasSent: boolean,
    options?: { cause?: unknown },
  ) {
    super(code, `Call ${address.correlationId} to ${targetOf(address)} ${what}`, options);
    this.exchange = address.exchange;
    this.routingKey = address.routingKey;
    this.correlationId = address.correlationId;
  }
}

/** No reply, or no further one, within the time limit. */
export class RpcTimeoutError extends RmqRpcError {
  constructor(
    address: CallAddress,
    readonly timeoutMs: number,
    wasSent: boolean,
    cause?: unknown,
  ) {
    const because = cause === undefined ? '' : `: ${reasonOf(cause)}`;
    const what = wasSent
      ? `got no reply within ${timeoutMs} ms. It may have been handled`
      : `could not be sent within ${timeoutMs} ms and was taken back${because}`;
    super('RMQ_RPC_TIMEOUT', address, what, wasSent, { cause });
  }
}

/** The caller's AbortSignal fired before the last reply; `cause` is its reason. */
export class RpcAbortedError extends RmqRpcError {
  constructor(address: CallAddress, cause: unknown, wasSent: boolean) {
    const fate = wasSent ? 'the request was sent, and may be handled' : 'the request was never sent';
    super('RMQ_RPC_ABORTED', address, `was aborted by its signal; ${fate}`, wasSent, { cause });
  }
}

/** No queue is bound for the request, or there is no such exchange: known at once. */
export class RpcUnroutableError extends RmqRpcError {
  constructor(
    address: CallAddress,
    readonly replyCode: number,
    readonly replyText: string,
  ) {
    super(
      'RMQ_RPC_UNROUTABLE',
      address,
      `is unroutable (${replyCode} ${replyText}): no queue takes it. Start whoever answers it first, or mend the address`,
      true,
    );
  }
}

/** AMQP cannot carry the request. Nothing was sent. */
export class RpcRefusedError extends RmqRpcError {
  constructor(address: CallAddress, cause: unknown) {
    super('RMQ_RPC_REFUSED', address, `cannot be sent: ${reasonOf(cause)}. Change its headers or properties`, false, {
      cause,
    });
  }
}

/** The link, the channel or whoever answered was lost after the request was sent: no reply can come any more. */
export class RpcLinkLostError extends RmqRpcError {
  constructor(address: CallAddress, cause: unknown) {
    const what = `lost its way back: ${reasonOf(cause)}. It may have been handled; call again if that does no harm`;
    super('RMQ_RPC_LINK_LOST', address, what, true, { cause });
  }
}

/** As many calls as may be are outstanding, or their requests fill the outbox. Nothing was sent. */
export class RpcTooManyCallsError extends RmqRpcError {
  constructor(address: CallAddress, why: string, cause?: unknown) {
    super('RMQ_RPC_TOO_MANY_CALLS', address, `was not made: ${why}. Slow down, or raise the limit`, false, { cause });
  }
}

/** The connection was closed before the last reply, or before the call. */
export class RpcClosedError extends RmqRpcError {
  constructor(address: CallAddress, wasSent: boolean) {
    const fate = wasSent ? 'it was sent, and may be handled' : 'it was never sent';
    super('RMQ_CLOSED', address, `had not ended when the connection was closed; ${fate}`, wasSent);
  }
}

/** What is told of an error. */
export interface RemoteErrorFields {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
  readonly data?: unknown;
}

/**
 * What a handler throws to tell its caller more than a message: a code for programs, and data. It is an answer, and no
 * fault of the handler: the log says nothing of it.
 *
 * ```ts
 * throw new RpcFailure('Not enough tea', { code: 'OUT_OF_STOCK', data: { left: 2 } });
 * ```
 */
export class RpcFailure extends Error {
  static {
    markForAllCopies(this);
  }

  /** @internal */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return isOfAnyCopy(value, this, RpcFailure);
  }

  readonly code: string | undefined;
  /** Whatever has a JSON form, whichever codec carries the payloads. */
  readonly data: unknown;
  constructor(message: string, options: { code?: string; data?: unknown; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = new.target.name;
    this.code = options.code;
    this.data = options.data;
  }
}

/** Whoever answered said that it failed. */
export class RpcRemoteError extends RmqRpcError {
  /** The error's `name` there. */
  readonly remoteName: string;
  readonly remoteMessage: string;
  /** For programs, if it has one. */
  readonly remoteCode: string | undefined;
  readonly data: unknown;
  constructor(address: CallAddress, { name, message, code, data }: RemoteErrorFields) {
    super('RMQ_RPC_REMOTE', address, `was answered with an error: ${name}: ${message}`, true);
    this.remoteName = name;
    this.remoteMessage = message;
    this.remoteCode = code;
    this.data = data;
  }
}

/** The reply cannot be read, or breaks the rules of a stream. */
export class RpcBadReplyError extends RmqRpcError {
  constructor(address: CallAddress, why: string, cause?: unknown) {
    super('RMQ_RPC_BAD_REPLY', address, `was answered, but ${why}`, true, { cause });
  }
}
