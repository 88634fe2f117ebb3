/** A subscription as it is wanted: a handler for a queue, with its bindings. Checked on entry; a `SubscriptionKeeper` keeps it attached. */
import type { Codec } from '../../codec/codec.js';
import { OptionsError } from '../../errors/options-error.js';
import { checkOptionsObject, checkShortString, copyOfRecord, oneOf, shown } from '../../base/option-checks.js';
import {
  type Binding,
  type Entity,
  type Exchange,
  type ExchangeOptions,
  type Queue,
  type QueueOptions,
  toQueue,
} from '../../topology/topology.js';
import { type KnownExchange, resolveWaysToQueue, type SubscriptionBinding } from './bindings.js';
import {
  type DeduplicationOptions,
  type ResolvedDeduplication,
  resolveDeduplication,
} from './deduplication-options.js';
import { type EventContract, isEventContract } from '../../contracts/event.js';
import { checkDeclaredAckTimeout, declaredAckTimeout } from './ack-timeout.js';
import type { AroundDeliver } from '../delivery/around.js';
import type { DeliveryWatch } from '../delivery/watch.js';
import type { Delivery } from '../delivery/delivery.js';
import type { DeliveryBatch } from '../delivery/delivery-batch.js';
import {
  type BatchOptions,
  HANDLING_OPTION_NAMES,
  type HandlingOptions,
  resolveHandling,
  type WantedHandling,
} from './handling-options.js';
import type { DeadLetterReason } from '../delivery/settlement.js';
import { type RedeliveryLimits, resolveRedeliveryLimits } from './redelivery-limit.js';
import { forOneConsumer, isSingleActive } from './one-consumer-options.js';
import { resolveRetry, type RetryOptions, type RetryPolicy } from './retry-policy.js';
import { ackTimeoutDoubts } from './ack-timeout-doubts.js';

/**
 * Called for every delivery. Resolves: ack. Throws or rejects: retry, then dead-letter. Returns a `Settlement`: that.
 * @typeParam T what the payload is said to be; nobody checks it
 */
export type DeliveryHandler<T = unknown> = (payload: T, delivery: Delivery) => unknown;

/**
 * Called for every batch, with the payloads and, at the same indexes, their deliveries. Resolves: all are acked. Throws or
 * rejects: each one fails by itself. Returns a `Settlement`: for all; an array: the `Settlement` at an index is for the
 * delivery at that index, and whatever else stands there is an ack. What the handler settled by itself stays settled.
 */
export type BatchHandler<T = unknown> = (payloads: T[], batch: DeliveryBatch) => unknown;

/**
 * Options of `connection.subscribeBatch()`: a subscription, and the size of its batches.
 *
 * ```ts
 * const views: BatchSubscriptionOptions = { queue: 'views', batch: { size: 500, waitMs: 200 } };
 * const insert: BatchHandler<View> = async (rows) => work(rows);
 * connection.subscribeBatch(views, insert);
 * ```
 */
export interface BatchSubscriptionOptions extends Omit<SubscriptionOptions, 'orderedBy'> {
  /** The size of a batch, and how long its first message waits for others. */
  batch: BatchOptions;
}

/**
 * A subscription: the queue, its bindings, and how its deliveries are handled.
 *
 * ```ts
 * const created: SubscriptionOptions = { queue: 'orders', exchange: 'shop', routingKey: 'order.created', prefetch: 50 };
 * const onCreated: DeliveryHandler<Order> = async (order) => work(order);
 * connection.subscribe(created, onCreated);
 * ```
 */
export interface SubscriptionOptions<T = unknown> extends HandlingOptions<T> {
  /** The name in logs, health and status; unique per connection. @default the queue's name (`Class.method` with `@Subscribe`) */
  name?: string;
  /** The queue to consume from. `''`: an exclusive queue that the broker names, a new one after every reconnect. */
  queue: string;
  /** How the queue is declared. @default durable, shared, never deleted */
  queueOptions?: Omit<QueueOptions, 'name'>;
  /**
   * The event to consume, made by `defineEvent`, in the place of `exchange` and `routingKey`. With a schema every payload is
   * checked, and the handler gets the schema's result. A payload that does not match is dead-lettered as `not-valid`. @default none
   */
  event?: EventContract;
  /** Binds the queue to this exchange, which is declared too. @default no binding */
  exchange?: string;
  /** The type of that exchange. @default that of the exchange if it is declared elsewhere, else 'topic' */
  exchangeType?: string;
  /** How that exchange is declared. @default durable, never deleted */
  exchangeOptions?: Omit<ExchangeOptions, 'name' | 'type'>;
  /** One or several; needed for direct and topic exchanges. @default none */
  routingKey?: string | readonly string[];
  /** For headers exchanges; one object a binding. @default none */
  bindingArguments?: Record<string, unknown> | readonly Record<string, unknown>[];
  /**
   * Further ways to the queue, from other exchanges for example. They are declared with the queue: also with one that dies with its
   * link, after each reconnect. @default none
   */
  bindings?: readonly SubscriptionBinding[];
  /**
   * A queue that does not exist (any more): `declare` it, or `wait` until somebody else does. While it waits health is degraded, and
   * the library asks once a second. @default 'declare'
   */
  ifQueueMissing?: 'declare' | 'wait';
  /**
   * The queue for deliveries whose handler failed or whose body cannot be decoded. `false`: they are rejected, and so dropped
   * unless the queue has a dead-letter exchange. @default `<queue>.dead` (`<name>.dead` for a server-named queue)
   */
  deadLetter?: string | false;
  /**
   * Skips copies of a message that was handled before, by its message id. A message without one is never skipped. @default every
   * copy is handled
   */
  deduplicate?: DeduplicationOptions;
  /**
   * Tries a message again whose handler failed, after a delay at the broker, outside the prefetch. Not for queues that die with
   * the link, nor for streams. @default no retry: a failed message is dead-lettered at once
   */
  retry?: RetryOptions;
  /**
   * How often a message may come back unsettled from another process (its process died, its link was lost, it was requeued) before
   * it is dead-lettered as poison, unseen. To count it, the library moves it to the end of the queue: each time, or each second
   * time on a quorum queue. 1 to 1_000_000, `Infinity`: for ever.
   * @unit returns
   * @default 16, or less when queueOptions set `x-delivery-limit`; `Infinity` with `orderedBy` or `singleActive`, but on quorum queues
   */
  maxRedeliveries?: number;
  /** Passed to basic.consume, e.g. `{ 'x-priority': 10 }`. @default none */
  consumerArguments?: Record<string, unknown>;
  /** Decodes the bodies of this queue, if it is encoded differently from the others. @default the connection's codec */
  codec?: Pick<Codec, 'decode'>;
}

/** Who tells whoever sent a message that it failed. */
export interface FailureAnswers {
  /** Whether it is no fault of the handler, and nothing for the log. */
  isDeliberate(error: unknown): boolean;
  /**
   * @returns a promise when the answer is all that is to be done, settled when the delivery is; `undefined`: the delivery
   * goes its usual way
   */
  answer(delivery: Delivery, reason: DeadLetterReason, error: unknown): Promise<void> | undefined;
}

export const SUBSCRIPTION_OPTION_NAMES = [
  'name',
  'queue',
  'queueOptions',
  'event',
  'exchange',
  'exchangeType',
  'exchangeOptions',
  'routingKey',
  'bindingArguments',
  'bindings',
  'ifQueueMissing',
  'deadLetter',
  'deduplicate',
  'retry',
  'maxRedeliveries',
  'consumerArguments',
  'codec',
  ...HANDLING_OPTION_NAMES,
] as const satisfies readonly (keyof SubscriptionOptions)[];

/** A checked subscription. */
export interface WantedSubscription extends WantedHandling, RedeliveryLimits {
  readonly name: string;
  readonly queue: Queue;
  /** The queue is the broker's to name, or dies with the link: it is declared on the consumer's own channel, every time. */
  readonly isOwnQueue: boolean;
  readonly event: EventContract | undefined;
  readonly exchanges: readonly Exchange[];
  readonly bindings: readonly Binding[];
  readonly ifQueueMissing: 'declare' | 'wait';
  readonly deadLetter: string | false;
  readonly deduplicate: ResolvedDeduplication | undefined;
  readonly retry: RetryPolicy | undefined;
  readonly consumerArguments: Record<string, unknown>;
  readonly codec: Pick<Codec, 'decode'> | undefined;
  readonly isStream: boolean;
  readonly handler: (payload: unknown, context: Delivery | DeliveryBatch) => unknown;
  /** What stands around each call of the handler, all of it. */
  readonly around: AroundDeliver | undefined;
  readonly watch: DeliveryWatch | undefined;
  /** Decides whether and when a handler is called at all; what is around the handler is inside. */
  readonly gate: AroundDeliver | undefined;
  /** Of RPC. */
  readonly answers: FailureAnswers | undefined;
  /** What of it is possible, and hardly meant: a sentence each, for the log. */
  readonly doubts: readonly string[];
}

interface SubscriptionSurroundings {
  readonly batch?: BatchOptions;
  readonly knownExchange?: KnownExchange;
  readonly answers?: FailureAnswers;
  /** The connection's. */
  readonly ackTimeoutMs?: number;
  /** The connection's. */
  readonly around?: AroundDeliver;
  /** The connection's. */
  readonly watch?: DeliveryWatch;
}

/** @throws {@link OptionsError} naming the option, the value and the way out. */
export function resolveSubscription<T>(
  given: SubscriptionOptions<T>,
  handler: DeliveryHandler<T> | BatchHandler<T>,
  { batch, knownExchange = () => undefined, answers, ackTimeoutMs, around, watch }: SubscriptionSurroundings = {},
): WantedSubscription {
  const path = `subscription ${shown(given.name ?? given.queue)}`;
  checkOptionsObject(given, SUBSCRIPTION_OPTION_NAMES, path);
  const options = addressedByEvent(given, path);
  const handling = resolveHandling(options, batch, path, usualAckTimeout(options, path) ?? ackTimeoutMs);
  const named = resolveName(options, path);
  const { queue, isOwnQueue } = resolveQueue(options, { ...named, handling }, path);
  const isOrdered = options.orderedBy !== undefined || isSingleActive(queue);
  return {
    ...handling,
    ...named,
    singleActive: isSingleActive(queue),
    queue,
    isOwnQueue,
    event: options.event,
    ...resolveWaysToQueue(options, knownExchange, path),
    deadLetter: resolveDeadLetter(options, named.name, path),
    retry:
      options.retry === undefined
        ? undefined
        : resolveRetry(options.retry, `${path}.retry`, { queue, isOwnQueue, ack: handling.ack }),
    ...resolveRedeliveryLimits(options.maxRedeliveries, { queue, isOrdered }, path),
    deduplicate: resolveDeduplication(options.deduplicate, handling, `${path}.deduplicate`),
    consumerArguments: resolveConsumerArguments(options, path),
    codec: resolveCodec(options.codec, path),
    isStream: resolveIsStream(handling, queue, path),
    handler: handler as WantedSubscription['handler'],
    around,
    watch,
    gate: undefined,
    answers,
    doubts: ackTimeoutDoubts(handling, { isTimeoutGiven: options.handlerTimeoutMs !== undefined }),
  };
}

type Named = Pick<WantedSubscription, 'name' | 'ifQueueMissing'>;

function resolveName(options: SubscriptionOptions<never>, path: string): Named {
  const { queue, ifQueueMissing = 'declare' } = options;
  if (typeof queue !== 'string')
    throw new OptionsError(
      `${path}.queue`,
      `${shown(queue)} is not a queue name`,
      "Give a string, or '' for a queue that the broker names",
    );
  const name = options.name ?? queue;
  if (name === '')
    throw new OptionsError(
      `${path}.name`,
      'a subscription on a server-named queue needs a name of its own',
      'Give name',
    );
  oneOf(ifQueueMissing, ['declare', 'wait'], `${path}.ifQueueMissing`);
  if (queue === '' && ifQueueMissing === 'wait')
    throw new OptionsError(
      `${path}.ifQueueMissing`,
      'nobody else can make a queue that the broker names for us',
      "Use 'declare'",
    );
  return { name, ifQueueMissing };
}

function resolveQueue(
  options: SubscriptionOptions<never>,
  { handling, ifQueueMissing }: Pick<Named, 'ifQueueMissing'> & { handling: WantedHandling },
  path: string,
): Pick<WantedSubscription, 'queue' | 'isOwnQueue'> {
  const isServerNamed = options.queue === '';
  const defaults = queueDefaults(isServerNamed, handling);
  const asGiven = toQueue({ ...defaults, ...options.queueOptions, name: options.queue }, `${path}.queueOptions`);
  const isOwnQueue = isServerNamed || asGiven.options.exclusive === true;
  return { queue: forOneConsumer(asGiven, { handling, isOwnQueue, ifQueueMissing }, path), isOwnQueue };
}

function queueDefaults(isServerNamed: boolean, { streamOffset }: WantedHandling): Partial<QueueOptions> {
  // Auto-delete: without it the queue would stay, and fill, when only its channel or its consumer ends.
  if (isServerNamed) return { exclusive: true, durable: false, autoDelete: true };
  return streamOffset === undefined ? {} : { type: 'stream' };
}

/** The part of its topology that any link may declare. */
export function sharedEntities(wanted: WantedSubscription): Entity[] {
  const { exchanges, queue, bindings } = wanted;
  if (wanted.isOwnQueue || wanted.ifQueueMissing === 'wait') return [...exchanges];
  return [...exchanges, queue, ...bindings];
}

function addressedByEvent<T>(options: SubscriptionOptions<T>, path: string): SubscriptionOptions<T> {
  const event: unknown = options.event;
  if (event === undefined) return options;
  if (!isEventContract(event))
    throw new OptionsError(`${path}.event`, `${shown(event)} is no event`, 'Give what defineEvent({ ... }) returned');
  const twice = (['exchange', 'routingKey'] as const).find((key) => options[key] !== undefined);
  if (twice !== undefined)
    throw new OptionsError(`${path}.${twice}`, 'the event says it already', `Drop ${twice}, or event`);
  const { exchange, routingKey } = event;
  if (exchange !== '') return { ...options, exchange, routingKey };
  if (routingKey !== options.queue)
    throw new OptionsError(
      `${path}.event`,
      `it goes to queue ${shown(routingKey)} directly, and never to ${shown(options.queue)}`,
      `Use queue: ${shown(routingKey)}, or give the event an exchange`,
    );
  return options;
}

function resolveDeadLetter(options: SubscriptionOptions<never>, name: string, path: string): string | false {
  const { deadLetter = `${options.queue || name}.dead` } = options;
  if (deadLetter === false) return false;
  if (typeof deadLetter !== 'string' || deadLetter === '')
    throw new OptionsError(
      `${path}.deadLetter`,
      `${shown(deadLetter)} is not a queue name`,
      'Give a queue name, or false to reject',
    );
  checkShortString(deadLetter, `${path}.deadLetter`);
  if (deadLetter === options.queue)
    throw new OptionsError(
      `${path}.deadLetter`,
      'a queue cannot be its own dead-letter queue: a failed message would go round for ever',
      'Give another name',
    );
  return deadLetter;
}

function resolveCodec(codec: SubscriptionOptions['codec'], path: string): SubscriptionOptions['codec'] {
  if (codec === undefined || typeof codec?.decode === 'function') return codec;
  throw new OptionsError(`${path}.codec`, `${shown(codec)} cannot decode`, 'Give { decode(body, properties) }');
}

function usualAckTimeout({ queueOptions, consumerArguments }: SubscriptionOptions<never>, path: string) {
  checkDeclaredAckTimeout(queueOptions?.arguments, `${path}.queueOptions.arguments`);
  checkDeclaredAckTimeout(consumerArguments, `${path}.consumerArguments`);
  return declaredAckTimeout(queueOptions?.arguments, consumerArguments);
}

function resolveConsumerArguments(options: SubscriptionOptions<never>, path: string): Record<string, unknown> {
  const { consumerArguments = {}, priority } = options;
  if ('x-stream-offset' in consumerArguments)
    throw new OptionsError(
      `${path}.consumerArguments`,
      'with an x-stream-offset in it the stream would be read from there after every reconnect',
      'Use streamOffset: it is where reading begins, and goes on from there',
    );
  return copyOfRecord(priority === undefined ? consumerArguments : { ...consumerArguments, 'x-priority': priority });
}

function resolveIsStream({ ack, streamOffset }: WantedHandling, queue: Queue, path: string): boolean {
  const type: unknown = (queue.options.arguments as Record<string, unknown> | undefined)?.['x-queue-type'];
  const isStream = type === 'stream';
  if (!isStream && streamOffset !== undefined)
    throw new OptionsError(
      `${path}.streamOffset`,
      `a ${shown(type)} queue has no offsets`,
      "Drop it, or use queueOptions.type: 'stream'",
    );
  if (isStream && ack === 'none')
    throw new OptionsError(
      `${path}.ack`,
      "the acks are what keeps a stream flowing, so 'none' cannot read one",
      "Use 'auto' or 'manual'",
    );
  return isStream;
}
