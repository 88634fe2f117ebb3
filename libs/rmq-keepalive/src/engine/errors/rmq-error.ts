/** The base of every error: a code for programs, and what is underneath. */
import { isOfAnyCopy, markForAllCopies } from './any-copy.js';

/**
 * The codes of all errors. They are stable: programs may compare them, and alerts may name them.
 *
 * ```ts
 * const worthAnotherTry: readonly RmqErrorCode[] = ['RMQ_PUBLISH_TIMEOUT', 'RMQ_OUTBOX_FULL'];
 * ```
 */
export type RmqErrorCode =
  | 'RMQ_PAYLOAD_NOT_ENCODABLE'
  | 'RMQ_PAYLOAD_NOT_DECODABLE'
  | 'RMQ_MESSAGE_TOO_LARGE'
  | 'RMQ_DEDUPLICATION_FAILED'
  | 'RMQ_AROUND_CALLED_TWICE'
  | 'RMQ_PUBLISH_AROUND_FAILED'
  | 'RMQ_HANDLER_TIMEOUT'
  | 'RMQ_PAYLOAD_TOO_LARGE'
  | 'RMQ_PAYLOAD_INVALID'
  | 'RMQ_POISON_MESSAGE'
  | 'RMQ_DELIVERY_LIMIT'
  | 'RMQ_DEAD_LETTERS_UNREACHABLE'
  | 'RMQ_PUBLISH_NACKED'
  | 'RMQ_PUBLISH_RETURNED'
  | 'RMQ_PUBLISH_REFUSED'
  | 'RMQ_PUBLISH_TIMEOUT'
  | 'RMQ_PUBLISH_ABORTED'
  | 'RMQ_OUTBOX_FULL'
  | 'RMQ_NOT_READY'
  | 'RMQ_RPC_TIMEOUT'
  | 'RMQ_RPC_ABORTED'
  | 'RMQ_RPC_UNROUTABLE'
  | 'RMQ_RPC_REFUSED'
  | 'RMQ_RPC_LINK_LOST'
  | 'RMQ_RPC_TOO_MANY_CALLS'
  | 'RMQ_RPC_REMOTE'
  | 'RMQ_RPC_BAD_REPLY'
  | 'RMQ_RPC_REPLY_TO_REFUSED'
  | 'RMQ_TOPOLOGY_REFUSED'
  | 'RMQ_CONSUME_REFUSED'
  | 'RMQ_NOT_SINGLE_ACTIVE'
  | 'RMQ_CONSUMER_CANCELLED'
  | 'RMQ_CHANNEL_CLOSED'
  | 'RMQ_CHANNELS_EXHAUSTED'
  | 'RMQ_CLOSES_THE_LINK'
  | 'RMQ_NO_ANSWER_YET'
  | 'RMQ_CONNECT_FAILED'
  | 'RMQ_CONNECT_TIMEOUT'
  | 'RMQ_LOGIN_REFUSED'
  | 'RMQ_NO_ADDRESS'
  | 'RMQ_NO_CREDENTIALS'
  | 'RMQ_CREDENTIALS_CHANGED'
  | 'RMQ_PEER_DEAD'
  | 'RMQ_NO_CONFIRMS'
  | 'RMQ_LINK_LOST'
  | 'RMQ_EVENT_LOOP_BLOCKED'
  | 'RMQ_PROCESS_STOPPED'
  | 'RMQ_HEARTBEAT_THREAD'
  | 'RMQ_RECOVERY_STALLED'
  | 'RMQ_GAVE_UP'
  | 'RMQ_CLOSED'
  | 'RMQ_NOT_OPEN'
  | 'RMQ_ILLEGAL_STATE'
  | 'RMQ_OPTIONS_INVALID';

/**
 * Base of all errors of this library: `code` for programs, `cause` for the error underneath, if there is one.
 *
 * ```ts
 * await publisher.publish('shop', 'order.created', order).catch((error: unknown) => {
 *   if (!(error instanceof RmqError)) throw error;
 *   logger.error(`${error.code}: ${error.message}`);
 * });
 * ```
 */
export class RmqError extends Error {
  static {
    markForAllCopies(this);
  }

  /** @internal */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return isOfAnyCopy(value, this, RmqError);
  }

  constructor(
    readonly code: RmqErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = new.target.name;
  }
}
