/** One event of each type and of each way to tell it: what a page says of log lines is held against their sentences. */
import { IllegalStateError } from '#engine/errors/connection-errors.js';
import type { ConnectionEventOf, ConnectionEventType } from '#engine/reporting/events.js';
import {
  ChannelClosedError,
  ConsumeRefusedError,
  DeduplicationError,
  GaveUpError,
  LinkLostError,
  TopologyRefusedError,
} from 'nestjs-rmq-keepalive/errors';

const cause = new LinkLostError(new Error('socket closed'));
const closed = new ChannelClosedError('subscription "orders"', new Error('404 (NOT_FOUND)'));
const close = { wasAborted: false, callsAbandoned: 0, tookMs: 12 };
const nothing = { handlersFinished: 0, deliveriesReturned: 0, publishesFlushed: 0, publishesAbandoned: 0 };
const some = { handlersFinished: 1, deliveriesReturned: 2, publishesFlushed: 1, publishesAbandoned: 0 };
const orders = { subscription: 'Orders.onCreated', queue: 'orders' } as const;
const message = { subscription: 'Orders.onCreated', messageId: 'order-17' } as const;
const failure = { ...message, cause: new Error('no stock'), attempt: 1, attempts: 5, count: 1 } as const;
const recovery = { role: 'consuming', endpoint: 'amqp://a:5672/', heartbeatTimeoutSeconds: 10 } as const;
const report = { tookMs: 30, consumersWanted: 0, consumersAttached: 0, refused: [] };
const prefetch = { subscription: 'Orders.onCreated', ackTimeoutMs: 1_800_000, isAckTimeoutGuessed: false } as const;

export const SAMPLE_EVENTS: { readonly [T in ConnectionEventType]: readonly ConnectionEventOf<T>[] } = {
  'state-changed': [{ type: 'state-changed', from: { name: 'idle' }, to: { name: 'connecting', attempt: 1 } }],
  'link-opened': [{ type: 'link-opened', ...recovery, attempt: 1 }],
  'attempt-failed': [1, 2].map((attempt) => ({
    type: 'attempt-failed',
    role: 'consuming',
    attempt,
    cause,
    retryInMs: 90,
  })),
  'link-lost': [{ type: 'link-lost', role: 'consuming', cause, retryInMs: 90 }],
  recovered: [
    { type: 'recovered', ...recovery, report, downForMs: 0 },
    {
      type: 'recovered',
      ...recovery,
      report: { ...report, consumersWanted: 2, consumersAttached: 1, refused: [{ entity: 'queue "orders"', cause }] },
      downForMs: 700,
    },
  ],
  'credentials-renewed': [{ type: 'credentials-renewed', role: 'consuming', expiresAt: 1_800_000_000_000 }],
  'credentials-missing': [
    { type: 'credentials-missing', role: 'consuming', cause, retryInMs: 1_000, expiresAt: 1_800_000_000_000 },
  ],
  'access-refused': [{ type: 'access-refused', entity: 'exchange "shop"', cause }],
  'access-restored': [{ type: 'access-restored', refusedForMs: 4_000 }],
  'gave-up': [{ type: 'gave-up', cause: new GaveUpError(3, cause) }],
  'amqplib-outdated': [{ type: 'amqplib-outdated' }],
  blocked: [{ type: 'blocked', role: 'publishing', reason: 'low on memory' }],
  unblocked: [{ type: 'unblocked', role: 'publishing' }],
  'event-loop-stalled': (['loop-blocked', 'process-stopped'] as const).map((kind) => ({
    type: 'event-loop-stalled',
    stalledForMs: 3_000,
    kind,
    thread: 'main',
    heartbeatsKept: false,
  })),
  'entity-refused': [
    {
      type: 'entity-refused',
      entity: 'queue "orders"',
      cause: new TopologyRefusedError('queue "orders"', new Error('406 (PRECONDITION_FAILED)')),
    },
  ],
  'entity-healed': [{ type: 'entity-healed', entity: 'queue "orders"' }],
  'consumer-attached': [
    { type: 'consumer-attached', ...orders, restored: false, missedBecause: undefined },
    { type: 'consumer-attached', ...orders, restored: true, missedBecause: closed },
  ],
  'consumer-lost': [
    { type: 'consumer-lost', ...orders, cause: closed },
    { type: 'consumer-lost', ...orders, cause },
  ],
  'consumer-refused': [
    { type: 'consumer-refused', ...orders, cause: new ConsumeRefusedError('Orders.onCreated', 'orders', closed) },
  ],
  'exclusive-ignored': [{ type: 'exclusive-ignored', ...orders, queueType: 'quorum' }],
  'stream-found': [{ type: 'stream-found', ...orders }],
  'subscription-doubtful': [
    { type: 'subscription-doubtful', subscription: 'Orders.onCreated', doubt: 'handlerTimeoutMs is too long' },
  ],
  'prefetch-changed': [
    { type: 'prefetch-changed', ...prefetch, from: 20, to: 2, handedBack: 18, usualRunMs: 120_000 },
    { type: 'prefetch-changed', ...prefetch, from: 2, to: 20, handedBack: 0, usualRunMs: 100 },
  ],
  'subscription-paused': [{ type: 'subscription-paused', subscription: 'Orders.onCreated' }],
  'subscription-resumed': [{ type: 'subscription-resumed', subscription: 'Orders.onCreated' }],
  'handler-failed': [
    { type: 'handler-failed', ...failure, fate: { kind: 'retry', retryInMs: 1_000 } },
    { type: 'handler-failed', ...failure, fate: { kind: 'dead-letter', queue: 'orders.dead' } },
    { type: 'handler-failed', ...failure, fate: { kind: 'answered', isDeliberate: true } },
  ],
  'delivery-retried': [{ type: 'delivery-retried', ...message, attempt: 2, delayMs: 1_000 }],
  'retry-failed': [{ type: 'retry-failed', ...message, delayMs: 1_000, cause, retryInMs: 1_000 }],
  'redelivery-counted': [{ type: 'redelivery-counted', ...message, redeliveries: 2 }],
  'redelivery-not-counted': [{ type: 'redelivery-not-counted', ...message, cause }],
  'delivery-renewed': [{ type: 'delivery-renewed', ...message, returns: 2 }],
  'renewal-failed': [{ type: 'renewal-failed', ...orders, cause, retryInMs: 1_000 }],
  'delivery-dead-lettered': (['handler-failed', 'poison'] as const).map((reason) => ({
    type: 'delivery-dead-lettered',
    ...message,
    deadLetterQueue: 'orders.dead',
    reason,
    cause,
  })),
  'delivery-rejected': [{ type: 'delivery-rejected', ...message, reason: 'rejected', cause: undefined }],
  'dead-letter-failed': [
    { type: 'dead-letter-failed', ...message, deadLetterQueue: 'orders.dead', cause, retryInMs: 1_000 },
  ],
  'deliveries-stuck': [{ type: 'deliveries-stuck', ...message, to: 'orders.dead', cause }],
  'deliveries-unstuck': [1, 0].map((moved) => ({
    type: 'deliveries-unstuck',
    ...message,
    to: 'orders.dead',
    moved,
    afterMs: 9_000,
  })),
  'duplicate-skipped': [{ type: 'duplicate-skipped', ...message }],
  'deduplication-failed': [
    {
      type: 'deduplication-failed',
      subscription: 'Orders.onCreated',
      step: 'claim',
      cause: new DeduplicationError(
        'claim',
        { ...message, consequence: 'it is asked again in 1.0 s' },
        new Error('store down'),
      ),
    },
  ],
  'deliveries-dropped': [{ type: 'deliveries-dropped', subscription: 'Orders.onCreated', dropped: 10 }],
  'stale-settlement': [{ type: 'stale-settlement', subscription: 'Orders.onCreated', settlement: 'ack' }],
  'publish-failed': [
    { type: 'publish-failed', cause: new ChannelClosedError('the publisher', closed), unheardTimes: 1 },
    { type: 'publish-failed', cause: new ChannelClosedError('the publisher', closed) },
  ],
  'publishing-channel-missing': [{ type: 'publishing-channel-missing', cause: closed, retryInMs: 5_000 }],
  'publish-returned': [
    {
      type: 'publish-returned',
      exchange: 'shop',
      routingKey: 'order.created',
      messageId: 'order-17',
      replyCode: 312,
      replyText: 'NO_ROUTE',
    },
  ],
  republished: [1, 5].map((count) => ({ type: 'republished', count })),
  drained: [
    { type: 'drained', report: { ...close, ...nothing } },
    { type: 'drained', report: { ...close, ...some } },
    { type: 'drained', report: { ...close, ...some, wasAborted: true, callsAbandoned: 1 } },
  ],
  'listener-failed': [{ type: 'listener-failed', event: 'link-lost', cause: new Error('listener') }],
  'internal-error': [{ type: 'internal-error', cause: new IllegalStateError('the publisher', 'waiting', 'sending') }],
};
