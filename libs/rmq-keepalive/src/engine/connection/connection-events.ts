/**
 * Everything that happens to a connection, as past facts: typed, one sentence each. Log lines, metrics and the dashboard
 * are written from these, so nothing here carries a password, an unredacted URL or a payload.
 */
import {
  ChannelClosedError,
  ConsumerCancelledError,
  ConsumeRefusedError,
  type DeduplicationStep,
  reasonOf,
} from '../errors.js';
import type { ConnectionState } from './connection-state.js';
import type { LinkRole } from './link.js';
import type { RecoveryReport } from './recovery.js';

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
  | { readonly type: 'gave-up'; readonly cause: Error }
  | { readonly type: 'blocked'; readonly role: LinkRole; readonly reason: string }
  | { readonly type: 'unblocked'; readonly role: LinkRole }
  | {
      readonly type: 'event-loop-stalled';
      readonly stalledForMs: number;
      /** The heartbeat thread went on meanwhile. */
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
  | { readonly type: 'listener-failed'; readonly event: string; readonly cause: Error };

/** What becomes of a delivery whose handler failed. */
export type FailedHandlerFate =
  | { readonly kind: 'retry'; readonly retryInMs: number }
  | { readonly kind: 'dead-letter'; readonly queue: string }
  | { readonly kind: 'reject' }
  /** RPC: whoever asked was told the error. Deliberate: the handler said so on purpose (`RpcFailure`, Nest's `RpcException`). */
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

export type EventLevel = 'debug' | 'info' | 'warn' | 'error';

/** How an event reads in a log: its level, and one sentence without secrets. `undefined`: not worth a line. */
export function describeEvent(event: ConnectionEvent): { level: EventLevel; sentence: string } | undefined {
  switch (event.type) {
    case 'state-changed':
      return { level: 'debug', sentence: `${event.from.name} -> ${event.to.name}` };
    case 'link-opened':
      // That it recovered is the news, and says this too.
      return { level: 'debug', sentence: `${link(event.role)} to ${event.endpoint} is up (attempt ${event.attempt})` };
    case 'attempt-failed':
      // A long outage has many attempts; the 1st, 16th (some seconds), 64th (a minute or two) ... are news enough.
      return {
        level: isNewsworthy(event.attempt) ? 'warn' : 'debug',
        sentence: `${link(event.role)}, attempt ${event.attempt}: ${reasonOf(event.cause)}; next attempt in ${seconds(event.retryInMs)}`,
      };
    case 'link-lost':
      return {
        level: 'warn',
        sentence: `${link(event.role)}: ${reasonOf(event.cause)}; next attempt in ${seconds(event.retryInMs)}`,
      };
    case 'recovered':
      return recoveredSentence(event);
    case 'gave-up':
      return { level: 'error', sentence: reasonOf(event.cause) };
    case 'blocked':
      return {
        level: 'warn',
        sentence: `${link(event.role)} is blocked by the broker (${event.reason}); publishes wait in the outbox`,
      };
    case 'unblocked':
      return { level: 'info', sentence: `${link(event.role)} is unblocked` };
    case 'event-loop-stalled':
      return {
        level: 'warn',
        sentence: stalledSentence(event),
      };
    case 'entity-refused':
    case 'consumer-refused':
      return { level: 'error', sentence: reasonOf(event.cause) };
    case 'entity-healed':
      return { level: 'info', sentence: `${event.entity} could be declared after all` };
    case 'consumer-attached':
      return {
        level: isOwnTrouble(event.missedBecause) ? 'info' : 'debug',
        sentence: `Subscription "${event.subscription}" ${event.restored ? 'consumes again' : 'consumes'} from queue "${event.queue}"`,
      };
    case 'consumer-lost':
      return {
        level: isOwnTrouble(event.cause) ? 'warn' : 'debug',
        sentence: `Subscription "${event.subscription}" lost its consumer: ${reasonOf(event.cause)}`,
      };
    case 'subscription-paused':
      return { level: 'info', sentence: `Subscription "${event.subscription}" was paused` };
    case 'subscription-resumed':
      return { level: 'info', sentence: `Subscription "${event.subscription}" was resumed` };
    case 'handler-failed':
      return failedHandlerSentence(event);
    case 'delivery-retried':
      return {
        level: 'debug',
        sentence: `${messageOf(event)} waits ${seconds(event.delayMs)} at the broker for attempt ${event.attempt}`,
      };
    case 'retry-failed':
      return {
        level: 'error',
        sentence: `A delivery of "${event.subscription}" cannot be put into the retry queue: ${reasonOf(event.cause)}; it is kept and tried again in ${seconds(event.retryInMs)}`,
      };
    case 'redelivery-counted':
      return {
        level: 'debug',
        sentence: `${messageOf(event)} came back from somebody who is gone, for the ${event.redeliveries}. time, and was moved to the end of its queue`,
      };
    case 'delivery-dead-lettered':
      return {
        // The failure of a handler was told already, with what becomes of its message.
        level: event.reason === 'handler-failed' ? 'debug' : 'warn',
        sentence: `${messageOf(event)} was moved to "${event.deadLetterQueue}" (${event.reason})${becauseOf(event.cause)}`,
      };
    case 'delivery-rejected':
      return {
        level: 'warn',
        sentence: `${messageOf(event)} was rejected without a dead-letter queue of ours (${event.reason})${becauseOf(event.cause)}`,
      };
    case 'dead-letter-failed':
      return {
        level: 'error',
        sentence: `A delivery of "${event.subscription}" cannot be moved to "${event.deadLetterQueue}": ${reasonOf(event.cause)}; it is kept and tried again in ${seconds(event.retryInMs)}`,
      };
    case 'duplicate-skipped':
      return {
        level: 'debug',
        sentence: `${messageOf(event)} was handled before; this copy is skipped`,
      };
    case 'deduplication-failed':
      return { level: 'warn', sentence: reasonOf(event.cause) };
    case 'deliveries-dropped':
      return {
        level: 'error',
        sentence: `Subscription "${event.subscription}" takes messages without acks faster than its handlers work: ${event.dropped} dropped so far`,
      };
    case 'stale-settlement':
      return {
        level: 'debug',
        sentence: `A late ${event.settlement} of "${event.subscription}" was dropped: its channel is gone, so the broker delivers the message again, or its time was over`,
      };
    case 'publishing-channel-missing':
      return {
        level: 'warn',
        sentence: `A publisher got no channel: ${reasonOf(event.cause)}; the next attempt is in ${seconds(event.retryInMs)}, its messages wait`,
      };
    case 'publish-failed':
      return {
        level: isNewsworthy(event.unheardTimes) ? 'warn' : 'debug',
        sentence: reasonOf(event.cause) + (event.unheardTimes === undefined ? '' : '; what was under way is lost'),
      };
    case 'publish-returned':
      return {
        level: 'warn',
        sentence: `Message ${event.messageId ?? '(no id)'} to exchange "${event.exchange}" with routing key "${event.routingKey}" was returned as unroutable (${event.replyCode} ${event.replyText}); it was published without confirms, so nobody else knows`,
      };
    case 'republished':
      return {
        level: 'info',
        sentence: `${event.count} unconfirmed publish${event.count === 1 ? ' was' : 'es were'} sent again`,
      };
    case 'drained':
      return { level: 'info', sentence: drainedSentence(event.report) };
    case 'listener-failed':
      return { level: 'error', sentence: `A listener of "${event.event}" threw: ${reasonOf(event.cause)}` };
  }
}

function failedHandlerSentence(event: ConnectionEventOf<'handler-failed'>): { level: EventLevel; sentence: string } {
  const { subscription, messageId, count, cause, attempt, attempts, fate } = event;
  const what = count > 1 ? `${count} messages` : `message ${messageId ?? '(no id)'}`;
  const which = attempts > 1 ? ` (attempt ${attempt} of ${attempts})` : '';
  return {
    level: levelOf(fate),
    sentence: `The handler of "${subscription}" failed on ${what}${which}: ${reasonOf(cause)}; ${fateSentence(fate)}`,
  };
}

function levelOf(fate: FailedHandlerFate): EventLevel {
  if (fate.kind === 'answered' && fate.isDeliberate) return 'debug';
  return fate.kind === 'retry' || fate.kind === 'redelivery' ? 'warn' : 'error';
}

function fateSentence(fate: FailedHandlerFate): string {
  switch (fate.kind) {
    case 'retry':
      return `next attempt in ${seconds(fate.retryInMs)}`;
    case 'dead-letter':
      return `the message goes to "${fate.queue}"`;
    case 'reject':
      return 'the message is rejected';
    case 'answered':
      return 'whoever asked was told';
    case 'redelivery':
      return 'its link or channel is gone, so the broker delivers it again';
    case 'settled':
      return 'it was settled before';
  }
}

function isNewsworthy(attempt: number = 0): boolean {
  return attempt === 1 || (attempt >= 16 && Number.isInteger(Math.log2(attempt) / 2));
}

/** Trouble of one consumer. When the link is lost, a line for each of a thousand would bury the one that says so. */
function isOwnTrouble(cause: Error | undefined): boolean {
  return (
    cause instanceof ChannelClosedError ||
    cause instanceof ConsumerCancelledError ||
    cause instanceof ConsumeRefusedError
  );
}

function recoveredSentence(event: ConnectionEventOf<'recovered'>): { level: EventLevel; sentence: string } {
  const { role, endpoint, heartbeatTimeoutSeconds, report, downForMs } = event;
  const open = downForMs > 0 ? `open again after ${seconds(downForMs)}` : 'open';
  const heartbeat = heartbeatTimeoutSeconds === 0 ? 'none' : `${heartbeatTimeoutSeconds} s`;
  const done = `${link(role)} to ${endpoint} is ${open}, recovered in ${Math.round(report.tookMs)} ms, heartbeat timeout ${heartbeat}`;
  const consumers =
    report.consumersWanted > 0 ? `, ${report.consumersAttached} of ${report.consumersWanted} consumers attached` : '';
  if (report.refused.length === 0) return { level: 'info', sentence: done + consumers };
  return {
    level: 'warn',
    sentence: `${done}${consumers}; still refused: ${report.refused.map((r) => r.entity).join(', ')}`,
  };
}

function stalledSentence(event: ConnectionEventOf<'event-loop-stalled'>): string {
  const meanwhile = event.heartbeatsKept
    ? 'the heartbeat thread went on meanwhile'
    : 'no heartbeat could go out meanwhile';
  const advice = event.advice === undefined ? '' : `. ${event.advice}`;
  return `The event loop was blocked for ${seconds(event.stalledForMs)}; ${meanwhile}${advice}`;
}

function drainedSentence(report: DrainReport): string {
  const { handlersFinished, deliveriesReturned, publishesFlushed, publishesAbandoned, wasAborted, tookMs } = report;
  const took = `${wasAborted ? 'Aborted after' : 'Closed in'} ${seconds(tookMs)}`;
  if (handlersFinished + deliveriesReturned + publishesFlushed + publishesAbandoned + report.callsAbandoned === 0)
    return `${took}; nothing was under way`;
  const calls = report.callsAbandoned > 0 ? [`${counted(report.callsAbandoned, 'call')} without an answer`] : [];
  return [
    `${took}: ${counted(handlersFinished, 'handler')} finished`,
    `${counted(deliveriesReturned, 'delivery', 'deliveries')} given back`,
    `${counted(publishesFlushed, 'publish', 'publishes')} confirmed`,
    `${publishesAbandoned} abandoned`,
    ...calls,
  ].join(', ');
}

const messageOf = (event: { subscription: string; messageId: string | undefined }): string =>
  `Message ${event.messageId ?? '(no id)'} of "${event.subscription}"`;
const becauseOf = (cause: Error | undefined): string => (cause === undefined ? '' : `: ${reasonOf(cause)}`);
const counted = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`;
const link = (role: LinkRole): string =>
  role === 'shared' ? 'Link' : `${role === 'publishing' ? 'Publishing' : 'Consuming'} link`;
const seconds = (ms: number): string => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);
