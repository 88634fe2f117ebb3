/**
 * How events read in a log: a level and one sentence each, a row for each type. No sentence carries a payload, a password or
 * an unredacted URL.
 */
import { reasonOf } from '../errors/reasons.js';
import {
  becauseOf,
  drainedSentence,
  failedHandlerSentence,
  isNewsworthy,
  isOwnTrouble,
  levelOfFate,
  link,
  messageOf,
  prefetchSentence,
  recoveredSentence,
  seconds,
  stalledSentence,
  untilWhen,
} from './event-phrases.js';
import type { ConnectionEvent, ConnectionEventOf, ConnectionEventType } from './events.js';

export type EventLevel = 'debug' | 'info' | 'warn' | 'error';

type Row<T extends ConnectionEventType> = readonly [
  level: EventLevel | ((event: ConnectionEventOf<T>) => EventLevel),
  sentence: (event: ConnectionEventOf<T>) => string,
];

/**
 * How an event reads in a log: its level, and one sentence without secrets.
 *
 * ```ts
 * connection.on('*', (event) => {
 *   const { level, sentence } = describeEvent(event);
 *   if (level === 'error') alerts.raise(sentence);
 * });
 * ```
 */
export function describeEvent(event: ConnectionEvent): { level: EventLevel; sentence: string } {
  return lineOf(event);
}

function lineOf<T extends ConnectionEventType>(event: ConnectionEventOf<T>): { level: EventLevel; sentence: string } {
  const [level, sentence] = ROWS[event.type];
  return { level: typeof level === 'function' ? level(event) : level, sentence: sentence(event) };
}

const ROWS: { readonly [T in ConnectionEventType]: Row<T> } = {
  // --- the connection and its links
  'state-changed': ['debug', ({ from, to }) => `${from.name} -> ${to.name}`],
  // That it recovered is the news, and says this too.
  'link-opened': ['debug', ({ role, endpoint, attempt }) => `${link(role)} to ${endpoint} is up (attempt ${attempt})`],
  // A long outage has many attempts; the 1st, 16th (some seconds), 64th (a minute or two) ... are news enough.
  'attempt-failed': [
    ({ attempt }) => (isNewsworthy(attempt) ? 'warn' : 'debug'),
    ({ role, attempt, cause, retryInMs }) =>
      `${link(role)}, attempt ${attempt}: ${reasonOf(cause)}; next attempt in ${seconds(retryInMs)}`,
  ],
  'link-lost': [
    'warn',
    ({ role, cause, retryInMs }) => `${link(role)}: ${reasonOf(cause)}; next attempt in ${seconds(retryInMs)}`,
  ],
  recovered: [({ report }) => (report.refused.length === 0 ? 'info' : 'warn'), recoveredSentence],
  'credentials-renewed': ['debug', ({ role, expiresAt }) => `${link(role)} has new credentials${untilWhen(expiresAt)}`],
  'credentials-missing': [
    'warn',
    ({ role, cause, expiresAt, retryInMs }) =>
      `${link(role)}: ${reasonOf(cause)}. It has those it logged in with${untilWhen(expiresAt)}; ` +
      `next question in ${seconds(retryInMs)}`,
  ],
  'amqplib-outdated': [
    'warn',
    () =>
      'amqplib before 2.3.0 is installed (advisory GHSA-37f9-7m79-6866): a host that answers in the place of the broker ' +
      'can exhaust the memory of this process. Install amqplib ^2.3.0',
  ],
  'access-refused': [
    'error',
    ({ entity, cause }) => `The broker refuses access to ${entity}, which it allowed before: ${reasonOf(cause)}`,
  ],
  'access-restored': [
    'info',
    ({ refusedForMs }) => `The broker allows again what it had refused for ${seconds(refusedForMs)}`,
  ],
  'gave-up': ['error', ({ cause }) => reasonOf(cause)],
  blocked: [
    'warn',
    ({ role, reason }) => `${link(role)} is blocked by the broker (${reason}); publishes wait in the outbox`,
  ],
  unblocked: ['info', ({ role }) => `${link(role)} is unblocked`],
  'event-loop-stalled': ['warn', stalledSentence],
  drained: ['info', ({ report }) => drainedSentence(report)],
  'listener-failed': ['error', ({ event, cause }) => `A listener of "${event}" threw: ${reasonOf(cause)}`],
  'internal-error': ['error', ({ cause }) => reasonOf(cause)],

  // --- topology
  'entity-refused': ['error', ({ cause }) => reasonOf(cause)],
  'entity-healed': ['info', ({ entity }) => `${entity} could be declared after all`],

  // --- consumers
  'consumer-refused': ['error', ({ cause }) => reasonOf(cause)],
  'consumer-attached': [
    ({ missedBecause }) => (isOwnTrouble(missedBecause) ? 'info' : 'debug'),
    ({ subscription, restored, queue }) =>
      `Subscription "${subscription}" ${restored ? 'consumes again' : 'consumes'} from queue "${queue}"`,
  ],
  'consumer-lost': [
    ({ cause }) => (isOwnTrouble(cause) ? 'warn' : 'debug'),
    ({ subscription, cause }) => `Subscription "${subscription}" lost its consumer: ${reasonOf(cause)}`,
  ],
  'exclusive-ignored': [
    'warn',
    ({ subscription, queue, queueType }) =>
      `Subscription "${subscription}" is not exclusive: queue "${queue}" is a ${queueType} queue, which lets others consume ` +
      'as well. Use singleActive: true, or a classic queue',
  ],
  'stream-found': [
    'warn',
    ({ subscription, queue }) =>
      `Queue "${queue}" of subscription "${subscription}" is a stream, though no option says so, and is read as one from ` +
      'now on: after a reconnect behind what was settled; it takes nothing back, and what fails is dead-lettered without ' +
      "another attempt. Say so with queueOptions: { type: 'stream' }",
  ],
  'subscription-doubtful': ['warn', ({ subscription, doubt }) => `Subscription "${subscription}": ${doubt}`],
  'prefetch-changed': ['info', prefetchSentence],
  'subscription-paused': ['info', ({ subscription }) => `Subscription "${subscription}" was paused`],
  'subscription-resumed': ['info', ({ subscription }) => `Subscription "${subscription}" was resumed`],

  // --- deliveries
  'handler-failed': [({ fate }) => levelOfFate(fate), failedHandlerSentence],
  'delivery-retried': [
    'debug',
    (event) => `${messageOf(event)} waits ${seconds(event.delayMs)} at the broker for attempt ${event.attempt}`,
  ],
  // That deliveries are stuck is told once for all of them, and when it is over.
  'retry-failed': [
    'debug',
    ({ subscription, cause, retryInMs }) =>
      `A delivery of "${subscription}" cannot be put into the retry queue: ${reasonOf(cause)}; ` +
      `the next try is in ${seconds(retryInMs)}`,
  ],
  'redelivery-counted': [
    'debug',
    (event) =>
      `${messageOf(event)} came back unsettled from another process (return number ${event.redeliveries}) ` +
      'and was moved to the end of its queue',
  ],
  'redelivery-not-counted': [
    'warn',
    ({ subscription, cause }) =>
      `Messages of "${subscription}" that come back cannot be counted: ${reasonOf(cause)}; until they can, one that kills ` +
      'its process is not found, and a quorum queue drops one that comes back too often',
  ],
  'delivery-renewed': [
    'debug',
    (event) =>
      `${messageOf(event)} came back ${event.returns} times and was moved to the end of its queue, ` +
      "before the broker's delivery limit drops it",
  ],
  'renewal-failed': [
    'debug',
    ({ subscription, queue, cause, retryInMs }) =>
      `A delivery of "${subscription}" that was given back cannot be copied to the end of "${queue}": ${reasonOf(cause)}; ` +
      `the next try is in ${seconds(retryInMs)}`,
  ],
  'delivery-dead-lettered': [
    // The failure of a handler was told already, with what becomes of its message.
    ({ reason }) => (reason === 'handler-failed' ? 'debug' : 'warn'),
    (event) => `${messageOf(event)} was moved to "${event.deadLetterQueue}" (${event.reason})${becauseOf(event.cause)}`,
  ],
  'delivery-rejected': [
    'warn',
    (event) =>
      `${messageOf(event)} was rejected without a dead-letter queue of ours (${event.reason})${becauseOf(event.cause)}`,
  ],
  'dead-letter-failed': [
    'debug',
    ({ subscription, deadLetterQueue, cause, retryInMs }) =>
      `A delivery of "${subscription}" cannot be moved to "${deadLetterQueue}": ${reasonOf(cause)}; ` +
      `the next try is in ${seconds(retryInMs)}`,
  ],
  'deliveries-stuck': [
    'error',
    ({ subscription, to, cause }) =>
      `Deliveries of "${subscription}" cannot be moved to "${to}": ${reasonOf(cause)}; they are held and tried again, ` +
      'every 30 s at the latest, and with a prefetch full of them nothing is consumed',
  ],
  'deliveries-unstuck': [
    ({ moved }) => (moved > 0 ? 'info' : 'debug'),
    ({ subscription, to, moved, afterMs }) =>
      moved > 0
        ? `Deliveries of "${subscription}" can be moved to "${to}" again: ${moved} had been held, for ${seconds(afterMs)} at most`
        : `No delivery of "${subscription}" is held for "${to}" any more`,
  ],
  'duplicate-skipped': ['debug', (event) => `${messageOf(event)} was handled before; this copy is skipped`],
  'deduplication-failed': ['warn', ({ cause }) => reasonOf(cause)],
  'deliveries-dropped': [
    'error',
    ({ subscription, dropped }) =>
      `Subscription "${subscription}" takes messages without acks faster than its handlers work: ${dropped} dropped so far`,
  ],
  'stale-settlement': [
    'debug',
    ({ subscription, settlement }) =>
      `A late ${settlement} of "${subscription}" was dropped: its channel is gone, so the broker delivers the message again, ` +
      'or its time was over',
  ],

  // --- publishes
  'publishing-channel-missing': [
    'warn',
    ({ cause, retryInMs }) =>
      `A publisher got no channel: ${reasonOf(cause)}; the next attempt is in ${seconds(retryInMs)}, its messages wait`,
  ],
  'publish-failed': [
    ({ unheardTimes }) => (isNewsworthy(unheardTimes) ? 'warn' : 'debug'),
    ({ cause, unheardTimes }) => reasonOf(cause) + (unheardTimes === undefined ? '' : '; what was under way is lost'),
  ],
  'publish-returned': [
    'warn',
    ({ messageId, exchange, routingKey, replyCode, replyText }) =>
      `Message ${messageId ?? '(no id)'} to exchange "${exchange}" with routing key "${routingKey}" was returned as ` +
      `unroutable (${replyCode} ${replyText}); it was published without confirms, so only this line says so`,
  ],
  republished: ['info', ({ count }) => `${count} unconfirmed publish${count === 1 ? ' was' : 'es were'} sent again`],
};
