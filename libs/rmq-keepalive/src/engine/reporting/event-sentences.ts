/** How events read in a log: a level and one sentence each. No sentence carries a payload, a password or an unredacted URL. */
import {
  ChannelClosedError,
  ChannelsExhaustedError,
  ClosesTheLinkError,
  ConsumerCancelledError,
  ConsumeRefusedError,
  NoAnswerYetError,
} from '../errors/channel-errors.js';
import { reasonOf } from '../errors/reasons.js';
import type { ConnectionEvent, ConnectionEventOf, DrainReport, FailedHandlerFate } from './events.js';
import type { StallKind } from '../heartbeat/stall-kind.js';
import type { LinkRole } from './lifecycle.js';

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
    case 'credentials-renewed':
      return { level: 'debug', sentence: `${link(event.role)} has new credentials${untilWhen(event.expiresAt)}` };
    case 'credentials-missing':
      return {
        level: 'warn',
        sentence: `${link(event.role)}: ${reasonOf(event.cause)}. It has those it logged in with${untilWhen(event.expiresAt)}; next question in ${seconds(event.retryInMs)}`,
      };
    case 'amqplib-outdated':
      return {
        level: 'warn',
        sentence:
          'amqplib before 2.3.0 is installed (advisory GHSA-37f9-7m79-6866): a host that answers in the place of the broker can exhaust the memory of this process. Install amqplib ^2.3.0',
      };
    case 'access-refused':
      return {
        level: 'error',
        sentence: `The broker refuses access to ${event.entity}, which it allowed before: ${reasonOf(event.cause)}`,
      };
    case 'access-restored':
      return {
        level: 'info',
        sentence: `The broker allows again what it had refused for ${seconds(event.refusedForMs)}`,
      };
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
    case 'exclusive-ignored':
      return {
        level: 'warn',
        sentence: `Subscription "${event.subscription}" is not exclusive: queue "${event.queue}" is a ${event.queueType} queue, which lets others consume as well. Use singleActive: true, or a classic queue`,
      };
    case 'stream-found':
      return {
        level: 'warn',
        sentence: `Queue "${event.queue}" of subscription "${event.subscription}" is a stream, though no option says so, and is read as one from now on: after a reconnect behind what was settled; it takes nothing back, and what fails is dead-lettered without another attempt. Say so with queueOptions: { type: 'stream' }`,
      };
    case 'subscription-doubtful':
      return { level: 'warn', sentence: `Subscription "${event.subscription}": ${event.doubt}` };
    case 'prefetch-changed':
      return { level: 'info', sentence: prefetchSentence(event) };
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
    // That deliveries are stuck is told once for all of them, and when it is over.
    case 'retry-failed':
      return {
        level: 'debug',
        sentence: `A delivery of "${event.subscription}" cannot be put into the retry queue: ${reasonOf(event.cause)}; the next try is in ${seconds(event.retryInMs)}`,
      };
    case 'redelivery-counted':
      return {
        level: 'debug',
        sentence: `${messageOf(event)} came back unsettled from another process (return number ${event.redeliveries}) and was moved to the end of its queue`,
      };
    case 'redelivery-not-counted':
      return {
        level: 'warn',
        sentence: `Messages of "${event.subscription}" that come back cannot be counted: ${reasonOf(event.cause)}; until they can, one that kills its process is not found, and a quorum queue drops one that comes back too often`,
      };
    case 'delivery-renewed':
      return {
        level: 'debug',
        sentence: `${messageOf(event)} came back ${event.returns} times and was moved to the end of its queue, before the broker's delivery limit drops it`,
      };
    case 'renewal-failed':
      return {
        level: 'debug',
        sentence: `A delivery of "${event.subscription}" that was given back cannot be copied to the end of "${event.queue}": ${reasonOf(event.cause)}; the next try is in ${seconds(event.retryInMs)}`,
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
        level: 'debug',
        sentence: `A delivery of "${event.subscription}" cannot be moved to "${event.deadLetterQueue}": ${reasonOf(event.cause)}; the next try is in ${seconds(event.retryInMs)}`,
      };
    case 'deliveries-stuck':
      return {
        level: 'error',
        sentence: `Deliveries of "${event.subscription}" cannot be moved to "${event.to}": ${reasonOf(event.cause)}; they are held and tried again, every 30 s at the latest, and with a prefetch full of them nothing is consumed`,
      };
    case 'deliveries-unstuck':
      return event.moved > 0
        ? {
            level: 'info',
            sentence: `Deliveries of "${event.subscription}" can be moved to "${event.to}" again: ${event.moved} had been held, for ${seconds(event.afterMs)} at most`,
          }
        : { level: 'debug', sentence: `No delivery of "${event.subscription}" is held for "${event.to}" any more` };
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
        sentence: `Message ${event.messageId ?? '(no id)'} to exchange "${event.exchange}" with routing key "${event.routingKey}" was returned as unroutable (${event.replyCode} ${event.replyText}); it was published without confirms, so only this line says so`,
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
    case 'internal-error':
      return { level: 'error', sentence: reasonOf(event.cause) };
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
      return 'the caller was told';
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
    cause instanceof ChannelsExhaustedError ||
    cause instanceof ClosesTheLinkError ||
    cause instanceof NoAnswerYetError ||
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
  const notKept =
    event.thread === 'main'
      ? 'no heartbeat could go out meanwhile'
      : 'the heartbeat thread did not go on all the time (stopped as well, at its limit, or full)';
  const meanwhile = event.heartbeatsKept ? 'the heartbeat thread went on meanwhile' : notKept;
  const advice = event.advice === undefined ? '' : `. ${event.advice}`;
  return `${stallSentence(event.kind, seconds(event.stalledForMs))}; ${meanwhile}${advice}`;
}

function stallSentence(kind: StallKind, time: string): string {
  if (kind === 'process-stopped') return `The process did not run for ${time} (stopped, frozen, or without CPU)`;
  const doubt = kind === 'unknown' ? ' (in a system call, or the process was stopped in the middle of its work)' : '';
  return `The event loop was blocked for ${time}${doubt}`;
}

function prefetchSentence(event: ConnectionEventOf<'prefetch-changed'>): string {
  const { subscription, from, to, handedBack, usualRunMs, ackTimeoutMs, isAckTimeoutGuessed } = event;
  const holds = `Subscription "${subscription}" holds ${counted(to, 'message')} at most, no longer ${from}`;
  if (to > from) return `${holds}: its handlers are fast enough again`;
  const pace =
    usualRunMs === undefined ? 'None of its handlers has returned yet' : `A handler takes ${seconds(usualRunMs)}`;
  const guessed = isAckTimeoutGuessed ? ', it seems: it cancelled the consumer when a delivery was that old' : '';
  return `${holds}; ${counted(handedBack, 'message')} went back to the queue. ${pace}, and the broker waits ${seconds(ackTimeoutMs)} for an ack${guessed}: see prefetch, concurrency and ackTimeoutMs`;
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

const untilWhen = (epochMs: number | null): string =>
  epochMs === null ? '' : `, until ${new Date(epochMs).toISOString()}`;
const messageOf = (event: { subscription: string; messageId: string | undefined }): string =>
  `Message ${event.messageId ?? '(no id)'} of "${event.subscription}"`;
const becauseOf = (cause: Error | undefined): string => (cause === undefined ? '' : `: ${reasonOf(cause)}`);
const counted = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`;
const link = (role: LinkRole): string =>
  role === 'shared' ? 'Link' : `${role === 'publishing' ? 'Publishing' : 'Consuming'} link`;
const seconds = (ms: number): string => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);
