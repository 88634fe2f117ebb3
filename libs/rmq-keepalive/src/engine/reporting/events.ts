/**
 * Everything that happens to a connection, as past facts: typed, one sentence each. Log lines, metrics and the dashboard
 * are written from these, so nothing here carries a password, an unredacted URL or a payload.
 */
import type { DeduplicationStep } from '../errors/delivery-errors.js';
import type { StallKind } from '../heartbeat/stall-kind.js';
import type { HeartbeatThread } from '../heartbeat/heartbeat-policy.js';
import type { ConnectionState, LinkRole } from './lifecycle.js';

/**
 * Everything that can happen to a connection: `type` tells the events apart.
 *
 * ```ts
 * const seen = new Map<string, number>();
 * connection.on('*', ({ type }: ConnectionEvent) => seen.set(type, (seen.get(type) ?? 0) + 1));
 * ```
 */
export type ConnectionEvent =
  | { readonly type: 'state-changed'; readonly from: ConnectionState; readonly to: ConnectionState }
  | {
      readonly type: 'link-opened';
      readonly role: LinkRole;
      readonly endpoint: string;
      readonly attempt: number;
      readonly heartbeatTimeoutSeconds: number;
    }
  | {
      readonly type: 'attempt-failed';
      readonly role: LinkRole;
      readonly attempt: number;
      readonly cause: Error;
      readonly retryInMs: number;
    }
  | { readonly type: 'link-lost'; readonly role: LinkRole; readonly cause: Error; readonly retryInMs: number }
  | {
      readonly type: 'recovered';
      readonly role: LinkRole;
      readonly endpoint: string;
      readonly heartbeatTimeoutSeconds: number;
      readonly report: RecoveryReport;
      /** How long the link had been lost; 0 the first time. */
      readonly downForMs: number;
    }
  | {
      readonly type: 'credentials-renewed';
      readonly role: LinkRole;
      /** Epoch ms; null: they do not end. */
      readonly expiresAt: number | null;
    }
  | {
      /** The provider gave none, for a link that lives; it is asked again. */
      readonly type: 'credentials-missing';
      readonly role: LinkRole;
      readonly cause: Error;
      readonly retryInMs: number;
      /** Of those that the link has, epoch ms; null: they do not end. */
      readonly expiresAt: number | null;
    }
  | {
      /** The broker refuses what it allowed before (403); the first of it. `status().accessRefused` has all. */
      readonly type: 'access-refused';
      readonly entity: string;
      readonly cause: Error;
    }
  | { readonly type: 'access-restored'; readonly refusedForMs: number }
  | { readonly type: 'gave-up'; readonly cause: Error }
  /** Told once, with the first link. */
  | { readonly type: 'amqplib-outdated' }
  | { readonly type: 'blocked'; readonly role: LinkRole; readonly reason: string }
  | { readonly type: 'unblocked'; readonly role: LinkRole }
  | {
      readonly type: 'event-loop-stalled';
      readonly stalledForMs: number;
      /** A handler blocked it, or the whole process did not run; `unknown` where it cannot be told. */
      readonly kind: StallKind;
      /** Which thread sends the heartbeats. */
      readonly thread: HeartbeatThread;
      /** The heartbeat thread went on all the time, and the link is still there. */
      readonly heartbeatsKept: boolean;
      /** What helps; each advice is given once. */
      readonly advice?: string;
    }
  | { readonly type: 'entity-refused'; readonly entity: string; readonly cause: Error }
  | { readonly type: 'entity-healed'; readonly entity: string }
  | {
      readonly type: 'consumer-attached';
      readonly subscription: string;
      readonly queue: string;
      /** It was attached before. */
      readonly restored: boolean;
      /** Why it was missing until now, if it was. */
      readonly missedBecause: Error | undefined;
    }
  | { readonly type: 'consumer-lost'; readonly subscription: string; readonly queue: string; readonly cause: Error }
  | { readonly type: 'consumer-refused'; readonly subscription: string; readonly queue: string; readonly cause: Error }
  | {
      /** Its queue is of a type that consents to an exclusive consumer, and to further ones. */
      readonly type: 'exclusive-ignored';
      readonly subscription: string;
      readonly queue: string;
      readonly queueType: string;
    }
  /** Nobody called its queue a stream, and it is one: it is read as one from now on. */
  | { readonly type: 'stream-found'; readonly subscription: string; readonly queue: string }
  /** Its options are possible, and hardly meant. */
  | { readonly type: 'subscription-doubtful'; readonly subscription: string; readonly doubt: string }
  | {
      /** For the time that messages wait for a handler: too long for the broker, or short enough again. */
      readonly type: 'prefetch-changed';
      readonly subscription: string;
      readonly from: number;
      readonly to: number;
      /** They had waited, and went back to the queue. */
      readonly handedBack: number;
      /** How long a handler takes, as a rule; `undefined` while none has returned. */
      readonly usualRunMs: number | undefined;
      /** How long the broker waits, as far as we know. */
      readonly ackTimeoutMs: number;
      /** Nobody said it: it cancelled the consumer when a delivery was of that age, which a queue made anew looks like, too. */
      readonly isAckTimeoutGuessed: boolean;
    }
  | { readonly type: 'subscription-paused'; readonly subscription: string }
  | { readonly type: 'subscription-resumed'; readonly subscription: string }
  | {
      readonly type: 'handler-failed';
      readonly subscription: string;
      /** `undefined` also for several of a batch. */
      readonly messageId: string | undefined;
      /** How many deliveries: of a batch those that are at the same attempt and have the same fate. */
      readonly count: number;
      readonly cause: Error;
      /** The number of the attempt that failed, from 1. */
      readonly attempt: number;
      /** How many there are to be. */
      readonly attempts: number;
      /** What becomes of the delivery. */
      readonly fate: FailedHandlerFate;
    }
  | {
      readonly type: 'delivery-retried';
      readonly subscription: string;
      readonly messageId: string | undefined;
      /** The number of the attempt that it waits for. */
      readonly attempt: number;
      readonly delayMs: number;
    }
  | {
      readonly type: 'retry-failed';
      readonly subscription: string;
      readonly delayMs: number;
      readonly cause: Error;
      readonly retryInMs: number;
    }
  | {
      readonly type: 'redelivery-counted';
      readonly subscription: string;
      readonly messageId: string | undefined;
      readonly redeliveries: number;
    }
  | {
      /** A message that came back was handled uncounted. Told of the first one, until one can be counted again. */
      readonly type: 'redelivery-not-counted';
      readonly subscription: string;
      readonly cause: Error;
    }
  | {
      readonly type: 'delivery-renewed';
      readonly subscription: string;
      readonly messageId: string | undefined;
      /** How often it had come back to its quorum queue, as the broker counted; of its copy it counts anew. */
      readonly returns: number;
    }
  | {
      /** It was given back to a quorum queue that may drop it, and could not be copied to its end instead. */
      readonly type: 'renewal-failed';
      readonly subscription: string;
      readonly queue: string;
      readonly cause: Error;
      readonly retryInMs: number;
    }
  | {
      readonly type: 'delivery-dead-lettered';
      readonly subscription: string;
      readonly messageId: string | undefined;
      readonly deadLetterQueue: string;
      readonly reason: string;
      /** The error over which it was given up; undefined when the handler rejected it. */
      readonly cause: Error | undefined;
    }
  | {
      readonly type: 'delivery-rejected';
      readonly subscription: string;
      readonly messageId: string | undefined;
      readonly reason: string;
      readonly cause: Error | undefined;
    }
  | {
      readonly type: 'dead-letter-failed';
      readonly subscription: string;
      readonly deadLetterQueue: string;
      readonly cause: Error;
      readonly retryInMs: number;
    }
  | {
      /** The first delivery that cannot be moved to that queue: it is held, as those that follow it are. */
      readonly type: 'deliveries-stuck';
      readonly subscription: string;
      /** The dead-letter queue, or a retry queue. */
      readonly to: string;
      readonly cause: Error;
    }
  | {
      /** None is held for that queue any more. */
      readonly type: 'deliveries-unstuck';
      readonly subscription: string;
      readonly to: string;
      /** So many were moved after all; the others, if any, went back to their own queue. */
      readonly moved: number;
      readonly afterMs: number;
    }
  | { readonly type: 'duplicate-skipped'; readonly subscription: string; readonly messageId: string }
  | {
      readonly type: 'deduplication-failed';
      readonly subscription: string;
      readonly step: DeduplicationStep;
      readonly cause: Error;
    }
  | {
      readonly type: 'deliveries-dropped';
      readonly subscription: string;
      /** So far, in all. Told of the first, the tenth, the hundredth ... */
      readonly dropped: number;
    }
  | { readonly type: 'stale-settlement'; readonly subscription: string; readonly settlement: string }
  | {
      readonly type: 'publish-failed';
      readonly cause: Error;
      /** Without confirms nobody else hears of it: so many times in short succession, from 1. */
      readonly unheardTimes?: number;
    }
  /** The link lives, but a publisher has no channel on it: it is out of channels, say. What it has to publish waits meanwhile. */
  | { readonly type: 'publishing-channel-missing'; readonly cause: Error; readonly retryInMs: number }
  | {
      /** Without confirms: no queue was bound for it, and nobody waits for it any more. */
      readonly type: 'publish-returned';
      readonly exchange: string;
      readonly routingKey: string;
      readonly messageId: string | undefined;
      readonly replyCode: number;
      readonly replyText: string;
    }
  | { readonly type: 'republished'; readonly count: number }
  | { readonly type: 'drained'; readonly report: DrainReport }
  | { readonly type: 'listener-failed'; readonly event: string; readonly cause: Error }
  /** A defect of this library that did not cost anything by itself: a state that cannot be, say. Please report it. */
  | { readonly type: 'internal-error'; readonly cause: Error };

/** What becomes of a delivery whose handler failed. */
export type FailedHandlerFate =
  | { readonly kind: 'retry'; readonly retryInMs: number }
  | { readonly kind: 'dead-letter'; readonly queue: string }
  | { readonly kind: 'reject' }
  /** RPC: the caller was told the error. Deliberate: the handler said so on purpose (`RpcFailure`, Nest's `RpcException`). */
  | { readonly kind: 'answered'; readonly isDeliberate: boolean }
  /** Its link or channel is gone: the broker delivers it again. */
  | { readonly kind: 'redelivery' }
  /** It was settled before the handler failed, or needed no settling (`ack: 'none'`). */
  | { readonly kind: 'settled' };

export type ConnectionEventType = ConnectionEvent['type'];
export type ConnectionEventOf<T extends ConnectionEventType> = Extract<ConnectionEvent, { type: T }>;
export type ConnectionEventListener<T extends ConnectionEventType> = (event: ConnectionEventOf<T>) => void;

/** What an orderly close did, in counts. */
export interface DrainReport {
  /** Handlers that were running when it began, and finished within the deadline. */
  readonly handlersFinished: number;
  /** Deliveries given back to their queues: their handlers did not finish, or they came too late to begin with. */
  readonly deliveriesReturned: number;
  /** Publishes that were confirmed while draining, those of the handlers included. */
  readonly publishesFlushed: number;
  /** Publishes that were not, and were rejected with RMQ_CLOSED. */
  readonly publishesAbandoned: number;
  /** Calls that had no last reply by then, and were rejected with RMQ_CLOSED. */
  readonly callsAbandoned: number;
  /** Whether abort() ended the wait. */
  readonly wasAborted: boolean;
  readonly tookMs: number;
}

export interface RecoveryReport {
  readonly tookMs: number;
  readonly consumersWanted: number;
  readonly consumersAttached: number;
  /** What the broker refused: skipped, named here and in status, retried while the link lives. */
  readonly refused: readonly Refusal[];
}

export interface Refusal {
  /** `queue "orders"`, `binding shop -> orders (order.*)`, `consumer "OrdersConsumer.onCreated"` */
  readonly entity: string;
  readonly cause: Error;
}
