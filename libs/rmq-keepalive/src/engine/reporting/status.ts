/** One plain snapshot of everything. Health, metrics and dashboard read only this; no secret is in it. */
import { RmqError } from '../errors/rmq-error.js';
import type { ConnectionState, LinkRole, StateName } from './lifecycle.js';
import type { StallKind } from '../heartbeat/stall-kind.js';
import type { HeartbeatThread } from '../heartbeat/heartbeat-policy.js';

/**
 * What `connection.status()` returns: links, consumers, publishing, topology and the event loop, as plain values.
 *
 * ```ts
 * const status: ConnectionStatus = connection.status();
 * const missing = status.consumers.missing.map(({ name }) => name);
 * ```
 */
export interface ConnectionStatus {
  /** The connection's name within the application. */
  readonly name: string;
  readonly state: ConnectionState;
  /** Epoch ms of the last change of the state's name. */
  readonly stateSince: number;
  /** Epoch ms since which the connection has not been open; null while it is. */
  readonly downSince: number | null;
  /** How long an outage is `degraded` before it is `down`, ms. Before it was ever open, health says `down` at once. */
  readonly downAfterMs: number;
  /** Whether it was ever open. */
  readonly hasBeenOpen: boolean;
  /** The broker's resource alarm, while it lasts. */
  readonly blocked: { readonly reason: string; readonly since: number } | null;
  /**
   * Since when publishes have got no confirm of any kind (epoch ms), and how many wait now; null again with the first
   * confirm. Set when `publish.noConfirmsAfterMs` are over.
   */
  readonly noConfirms: { readonly since: number; readonly waiting: number } | null;
  /** What the broker refuses now (403) and allowed before: a token is over, rights were taken away; null when it does not. */
  readonly accessRefused: {
    readonly since: number;
    readonly refusals: readonly { readonly entity: string; readonly code: string; readonly message: string }[];
  } | null;
  readonly links: readonly LinkStatus[];
  readonly lastLoss: {
    readonly at: number;
    readonly role: LinkRole;
    readonly code: string;
    readonly message: string;
  } | null;
  /** The last attempt that failed, until that link is open: what is wrong before there was a link to lose. */
  readonly lastFailedAttempt: ConnectionStatus['lastLoss'];
  /** Links that came up again after a loss. */
  readonly reconnects: number;
  readonly consumers: {
    /** Subscriptions that should have a consumer now: without those that are paused. */
    readonly wanted: number;
    readonly attached: number;
    readonly missing: readonly MissingConsumer[];
    /** Names of subscriptions that were paused: they count neither as wanted nor as missing. */
    readonly paused: readonly string[];
    /** Deliveries that failed and cannot be moved to where they have to go: held, unsettled, within the prefetch. */
    readonly stuck: readonly StuckDeliveriesStatus[];
    /** Those with `singleActive` that are attached. */
    readonly singleActive: readonly SingleActiveStatus[];
    /** Names of those with `exclusive` whose queue is of a type that ignores it: others may consume beside them. */
    readonly notExclusive: readonly string[];
  };
  readonly topology: {
    readonly refused: readonly { readonly entity: string; readonly code: string; readonly message: string }[];
  };
  readonly publishing: {
    /** Publishers that have no channel although their link is up. What they have to send waits, until its time is over. */
    readonly missing: readonly MissingPublisher[];
  };
  /**
   * Of the publishers of the connection together: the one that is always there, and every further one since its first
   * publish. The bounds, too, are sums: each publisher has its own.
   */
  readonly outbox: {
    readonly queued: number;
    /** Sent, and not confirmed yet. */
    readonly inFlight: number;
    /** Publishes that wait for room. */
    readonly waiting: number;
    readonly bytes: number;
    readonly maxMessages: number;
    readonly maxBytes: number;
  };
  readonly counters: {
    /** Confirmed, the library's own copies (retries, dead letters, replays) included; without confirms, handed to the socket. */
    readonly published: number;
    /** Publishes of yours that were rejected. */
    readonly publishFailed: number;
    readonly republished: number;
    readonly delivered: number;
    readonly acked: number;
    readonly requeued: number;
    readonly rejected: number;
    readonly deadLettered: number;
    /** Copies acked without a call of the handler, because the message had been handled. */
    readonly duplicatesSkipped: number;
    /** Moved to a retry queue. */
    readonly retried: number;
    readonly staleSettlements: number;
    /** Came without acks (`ack: 'none'`), more than could wait. */
    readonly dropped: number;
    readonly handlersRunning: number;
  };
  readonly rpc: RpcStatus;
  /**
   * Times at which the event loop stood still, or the process, as the heartbeat timers saw it: they count what is late by
   * more than a quarter of a second.
   */
  readonly eventLoop: {
    readonly stalls: number;
    readonly longestStallMs: number;
    /** How long the last one was, and when it ended (epoch ms). */
    readonly lastStallMs: number;
    readonly lastStallAt: number | null;
    readonly lastStallKind: StallKind | null;
  };
}

/** Calls that were made and requests that were answered; counts since the start, but for what is under way now. */
export interface RpcStatus {
  /** Calls without an end so far. */
  readonly outstanding: number;
  /** Answered. */
  readonly finished: number;
  /** Answered with an error, or with what cannot be read. */
  readonly failed: number;
  readonly timedOut: number;
  readonly aborted: number;
  readonly unroutable: number;
  readonly linkLost: number;
  /** Too many at a time, or AMQP cannot carry them. */
  readonly refused: number;
  /** Ended by the close of the connection. */
  readonly closed: number;
  /** Replies to calls that had ended: late ones, and second ones. */
  readonly lateReplies: number;
  /** Replies to what was never asked. */
  readonly strayReplies: number;
  /** Replies that were handed to the socket, items of streams and errors included. */
  readonly repliesSent: number;
  /** Replies that could not be: no link in time, or AMQP cannot carry them. */
  readonly repliesLost: number;
  readonly errorsSent: number;
  /** Requests that came too late, and were not handled. */
  readonly expired: number;
  /** Requests whose reply-to is not allowed; they were dead-lettered. */
  readonly replyToRefused: number;
  /** Streams that are being sent now. */
  readonly streaming: number;
}

export interface LinkStatus {
  readonly role: LinkRole;
  readonly state: StateName;
  /** `amqp://host:port/vhost`, never with credentials. */
  readonly endpoint: string | null;
  /** Attempts of the present outage; 0 while open. */
  readonly attempt: number;
  /** Epoch ms at which the credentials that the link has end; null: they do not, or there is no link. */
  readonly credentialsExpireAt: number | null;
  /** 0: none. */
  readonly heartbeatTimeoutSeconds: number | null;
  /** Who sends heartbeats while the event loop is blocked: nobody (`main`), or a thread of its own (`worker`). */
  readonly heartbeatThread: HeartbeatThread;
  /** After how long a silence we send. */
  readonly heartbeatIntervalMs: number | null;
  readonly lastByteReceivedAgoMs: number | null;
  readonly lastByteSentAgoMs: number | null;
}

export interface MissingConsumer {
  readonly name: string;
  readonly queue: string;
  readonly code: string;
  readonly message: string;
  readonly since: number;
}

/** Cleared when there is a channel; for others than the one that is always there also when nothing waits for it any more. */
interface MissingPublisher {
  /** `the publisher` (the one that is always there), `a further publisher`, or `RPC "<name>"`. */
  readonly name: string;
  /** Of the last try. */
  readonly code: string;
  readonly message: string;
  /** Epoch ms since when. */
  readonly since: number;
}

/** Of one subscription, for one queue. */
export interface StuckDeliveriesStatus {
  /** The subscription's name. */
  readonly name: string;
  /** The queue that they came from. */
  readonly queue: string;
  /** The queue that they are for: its dead-letter queue, or a retry queue. */
  readonly to: string;
  /** How many are held. With as many as the prefetch nothing is consumed any more. */
  readonly deliveries: number;
  /** Epoch ms since when. */
  readonly since: number;
  /** Of the last try. */
  readonly code: string;
  readonly message: string;
}

/**
 * What this process knows of the part of a subscription with `singleActive`. The broker does not say whom it serves: a
 * delivery does.
 */
export interface SingleActiveStatus {
  /** The subscription's name. */
  readonly name: string;
  readonly queue: string;
  /**
   * `active`: it has been given deliveries since it was attached. It stays so until it is detached, but for quorum queues
   * since RabbitMQ 4.0, where a consumer with a higher `priority` takes over. `standby`: attached, and given none: another one
   * is active, or there has been nothing to deliver.
   */
  readonly role: 'active' | 'standby';
  /** Epoch ms of the first delivery since it was attached. */
  readonly activeSince: number | null;
}

/** The stable code under which an error stands in a status. */
export function codeOf(cause: Error): string {
  return cause instanceof RmqError ? cause.code : 'RMQ_CHANNEL_CLOSED';
}
