/** Parts of the sentences of events, and what makes an event news. */
import {
  ChannelClosedError,
  ChannelsExhaustedError,
  ClosesTheLinkError,
  ConsumerCancelledError,
  ConsumeRefusedError,
  NoAnswerYetError,
} from '../errors/channel-errors.js';
import { failureReasonOf } from '../errors/failure-reasons.js';
import type { ConnectionEventOf, DrainReport, FailedHandlerFate } from './events.js';
import type { StallKind } from '../heartbeat/stall-kind.js';
import type { LinkRole } from './lifecycle.js';

export function failedHandlerSentence(event: ConnectionEventOf<'handler-failed'>): string {
  const { subscription, messageId, count, cause, attempt, attempts, fate } = event;
  const what = count > 1 ? `${count} messages` : `message ${messageId ?? '(no id)'}`;
  const which = attempts > 1 ? ` (attempt ${attempt} of ${attempts})` : '';
  return `The handler of "${subscription}" failed on ${what}${which}: ${failureReasonOf(cause)}; ${fateSentence(fate)}`;
}

export function levelOfFate(fate: FailedHandlerFate): 'debug' | 'warn' | 'error' {
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

export function isNewsworthy(attempt: number = 0): boolean {
  return attempt === 1 || (attempt >= 16 && Number.isInteger(Math.log2(attempt) / 2));
}

/** Trouble of one consumer. When the link is lost, a line for each of a thousand would bury the one that says so. */
export function isOwnTrouble(cause: Error | undefined): boolean {
  return (
    cause instanceof ChannelClosedError ||
    cause instanceof ChannelsExhaustedError ||
    cause instanceof ClosesTheLinkError ||
    cause instanceof NoAnswerYetError ||
    cause instanceof ConsumerCancelledError ||
    cause instanceof ConsumeRefusedError
  );
}

export function recoveredSentence(event: ConnectionEventOf<'recovered'>): string {
  const { role, endpoint, heartbeatTimeoutSeconds, report, downForMs } = event;
  const open = downForMs > 0 ? `open again after ${seconds(downForMs)}` : 'open';
  const heartbeat = heartbeatTimeoutSeconds === 0 ? 'none' : `${heartbeatTimeoutSeconds} s`;
  const done =
    `${link(role)} to ${endpoint} is ${open}, recovered in ${Math.round(report.tookMs)} ms, ` +
    `heartbeat timeout ${heartbeat}`;
  const consumers =
    report.consumersWanted > 0 ? `, ${report.consumersAttached} of ${report.consumersWanted} consumers attached` : '';
  if (report.refused.length === 0) return done + consumers;
  return `${done}${consumers}; still refused: ${report.refused.map((r) => r.entity).join(', ')}`;
}

export function stalledSentence(event: ConnectionEventOf<'event-loop-stalled'>): string {
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

export function prefetchSentence(event: ConnectionEventOf<'prefetch-changed'>): string {
  const { subscription, from, to, handedBack, usualRunMs, ackTimeoutMs, isAckTimeoutGuessed } = event;
  const holds = `Subscription "${subscription}" holds ${counted(to, 'message')} at most, no longer ${from}`;
  if (to > from) return `${holds}: its handlers are fast enough again`;
  const pace =
    usualRunMs === undefined ? 'None of its handlers has returned yet' : `A handler takes ${seconds(usualRunMs)}`;
  const guessed = isAckTimeoutGuessed ? ', it seems: it cancelled the consumer when a delivery was that old' : '';
  return (
    `${holds}; ${counted(handedBack, 'message')} went back to the queue. ${pace}, and the broker waits ` +
    `${seconds(ackTimeoutMs)} for an ack${guessed}: see prefetch, concurrency and ackTimeoutMs`
  );
}

export function drainedSentence(report: DrainReport): string {
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

export const untilWhen = (epochMs: number | null): string =>
  epochMs === null ? '' : `, until ${new Date(epochMs).toISOString()}`;
export const messageOf = (event: { subscription: string; messageId: string | undefined }): string =>
  `Message ${event.messageId ?? '(no id)'} of "${event.subscription}"`;
export const becauseOf = (cause: Error | undefined): string =>
  cause === undefined ? '' : `: ${failureReasonOf(cause)}`;
const counted = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`;
export const link = (role: LinkRole): string =>
  role === 'shared' ? 'Link' : `${role === 'publishing' ? 'Publishing' : 'Consuming'} link`;
export const seconds = (ms: number): string => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);
