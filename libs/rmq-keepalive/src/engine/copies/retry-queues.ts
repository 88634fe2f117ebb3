/**
 * The queues in which failed messages wait: one for each delay, for all subscriptions of a vhost together.
 *
 * ```
 * copy -> rmq-keepalive.retry (headers) -> rmq-keepalive.retry.1000ms -(expired)-> rmq-keepalive.return (direct) -> its queue
 *                                                                     the queue is gone: -> rmq-keepalive.unreturned
 * ```
 * A copy is published with the name of its queue as the routing key; the delay is a header, so that the key is free for
 * the way back. The broker does the waiting: nothing is lost with us, and nothing counts against a prefetch.
 *
 * Danger 1: classic queues move what expired without waiting for the other queue to have it. When RabbitMQ 4.0 or 4.3 is
 * killed a moment after that, everything that was moved is gone. So these are quorum queues that dead-letter at least once
 * (https://www.rabbitmq.com/docs/quorum-queues#activating-at-least-once-dead-lettering), which needs `reject-publish`.
 * Danger 2: such a queue holds on to what cannot be routed, and after 32 of these moves nothing any more, for nobody. So
 * the way back is an exchange of our own whose alternate exchange takes what has no queue any more.
 * Danger 3: `x-expires` would delete a queue with the messages in it. So retry queues stay until an operator deletes them.
 *
 * The arguments belong to the names: services of several versions share them, and whoever declares one differently is
 * refused (406). A change needs new names.
 */
import { RETURN_EXCHANGE } from './carried-headers.js';
import { type Entity, type Queue, toBindings, toExchange, toQueue } from '../topology/topology.js';

export const RETRY_EXCHANGE = 'rmq-keepalive.retry';
/** An exchange and its queue: what came back and found its queue gone. */
const UNRETURNED = 'rmq-keepalive.unreturned';
/** Not `x-...`: a headers exchange does not look at those. */
export const DELAY_HEADER = 'rmq-keepalive-delay';

/**
 * RabbitMQ writes the name of a new quorum queue to disk up to a second later. If its node is killed before, the queue and
 * all that was confirmed to it are gone (3.10 to 4.3). So a queue that we made rests for a while before we rely on it.
 */
export const NEW_QUEUE_REST_MS = 2_000;

const PATH = 'retry';

export function retryQueueName(delayMs: number): string {
  return `${RETRY_EXCHANGE}.${delayMs}ms`;
}

export function isRetryQueue(name: unknown): boolean {
  return typeof name === 'string' && name.startsWith(`${RETRY_EXCHANGE}.`);
}

/** The value of {@link DELAY_HEADER}. */
export function delayKey(delayMs: number): string {
  return `${delayMs}ms`;
}

/** In declaration order, what waiting for these delays needs. */
export function retryEntities(delaysMs: readonly number[]): Entity[] {
  return [
    toExchange({ name: RETRY_EXCHANGE, type: 'headers' }, PATH),
    ...delaysMs.flatMap((delayMs) => [
      retryQueue(delayMs),
      ...toBindings(
        {
          exchange: RETRY_EXCHANGE,
          queue: retryQueueName(delayMs),
          arguments: { 'x-match': 'all', [DELAY_HEADER]: delayKey(delayMs) },
        },
        PATH,
      ),
    ]),
  ];
}

/** In declaration order, what the way back to this queue needs. */
export function returnPathEntities(queue: string): Entity[] {
  return [
    toExchange({ name: UNRETURNED, type: 'fanout' }, PATH),
    toQueue({ name: UNRETURNED }, PATH),
    ...toBindings({ exchange: UNRETURNED, queue: UNRETURNED }, PATH),
    toExchange({ name: RETURN_EXCHANGE, type: 'direct', arguments: { 'alternate-exchange': UNRETURNED } }, PATH),
    ...toBindings({ exchange: RETURN_EXCHANGE, queue, routingKey: queue }, PATH),
  ];
}

function retryQueue(delayMs: number): Queue {
  return toQueue(
    {
      name: retryQueueName(delayMs),
      type: 'quorum',
      arguments: {
        'x-message-ttl': delayMs,
        'x-dead-letter-exchange': RETURN_EXCHANGE,
        'x-dead-letter-strategy': 'at-least-once',
        'x-overflow': 'reject-publish',
      },
    },
    PATH,
  );
}
