/** What is wanted: a handler for a queue, with its bindings. Checked on entry; the live attachment is a {@link Consumer}. */
import { OptionsError } from '../errors.js';
import { checkNumber, checkOptionsObject, shown } from '../option-checks.js';
import {
  type Binding,
  type Entity,
  type Exchange,
  type ExchangeOptions,
  type Queue,
  type QueueOptions,
  toBindings,
  toExchange,
  toQueue,
} from '../topology/topology.js';
import {
  type DeduplicationOptions,
  type ResolvedDeduplication,
  resolveDeduplication,
} from './deduplication-options.js';
import type { Delivery } from './delivery.js';
import { resolveMaxRedeliveries } from './redelivery-limit.js';
import { resolveRetry, type RetryOptions, type RetryPolicy } from './retry-policy.js';

/** Called for every delivery. Resolves: ack. Throws or rejects: retry, then dead-letter. Returns a `Settlement`: that. */
export type DeliveryHandler = (payload: unknown, delivery: Delivery) => unknown;

export interface SubscriptionOptions {
  /** Shown in logs, health and status; unique per connection. @default the queue's name (`Class.method` with `@Subscribe`) */
  name?: string;
  /** The queue to consume from. `''`: an exclusive queue that the broker names, a new one after every reconnect. */
  queue: string;
  /** How the queue is declared. @default durable, shared, never deleted */
  queueOptions?: Omit<QueueOptions, 'name'>;
  /** Binds the queue to this exchange, which is declared too. */
  exchange?: string;
  /** @default that of the exchange if it is declared elsewhere, else 'topic' */
  exchangeType?: string;
  exchangeOptions?: Omit<ExchangeOptions, 'name' | 'type'>;
  /** One or several; needed for direct and topic exchanges. */
  routingKey?: string | readonly string[];
  /** For headers exchanges; one object a binding. */
  bindingArguments?: Record<string, unknown> | readonly Record<string, unknown>[];
  /** What to do when the queue does not exist (any more): `declare` it, or `wait` until somebody else does, degraded, asking once a second. @default 'declare' */
  ifQueueMissing?: 'declare' | 'wait';
  /** How many unacknowledged deliveries the broker may have under way to us. 1..65535 @default 20 */
  prefetch?: number;
  /** Where a delivery goes whose handler failed or whose body cannot be decoded. `false`: rejected, and so dropped unless the queue has a dead-letter exchange. @default `<queue>.dead` (`<name>.dead` for a server-named queue) */
  deadLetter?: string | false;
  /**
   * Tries a message again whose handler failed, after a delay at the broker, outside the prefetch. Not for queues that die
   * with the link, nor for streams. @default no retry: a failed message is dead-lettered at once
   */
  retry?: RetryOptions;
  /**
   * How often a message may come back unsettled (its process died, its link was lost, it was requeued) before it is
   * dead-lettered as poison, unseen. On a queue that is not a quorum queue, a message that comes back from somebody else's
   * hands is first moved to the end of the queue, with its count. 1..1_000_000, `Infinity`: for ever.
   * @default 10, or less when queueOptions set `x-delivery-limit`
   */
  maxRedeliveries?: number;
  /** Skips copies of a message that was handled before, by its message id; a message without one is never skipped. @default every copy is handled */
  deduplicate?: DeduplicationOptions;
  /** Passed to basic.consume, e.g. `{ 'x-priority': 10 }`. */
  consumerArguments?: Record<string, unknown>;
}

const OPTION_NAMES = [
  'name',
  'queue',
  'queueOptions',
  'exchange',
  'exchangeType',
  'exchangeOptions',
  'routingKey',
  'bindingArguments',
  'ifQueueMissing',
  'prefetch',
  'deadLetter',
  'retry',
  'maxRedeliveries',
  'deduplicate',
  'consumerArguments',
] as const satisfies readonly (keyof SubscriptionOptions)[];

const DEFAULT_PREFETCH = 20;

/** A checked subscription. */
export interface WantedSubscription {
  readonly name: string;
  readonly queue: Queue;
  /** The queue is the broker's to name, or dies with the link: it is declared on the consumer's own channel, every time. */
  readonly isOwnQueue: boolean;
  readonly exchange: Exchange | undefined;
  readonly bindings: readonly Binding[];
  readonly ifQueueMissing: 'declare' | 'wait';
  readonly prefetch: number;
  readonly deadLetter: string | false;
  readonly retry: RetryPolicy | undefined;
  readonly maxRedeliveries: number;
  readonly deduplicate: ResolvedDeduplication | undefined;
  readonly consumerArguments: Record<string, unknown>;
  readonly handler: DeliveryHandler;
}

/** @throws {@link OptionsError} naming the option, the value and the way out. */
export function resolveSubscription(
  options: SubscriptionOptions,
  handler: DeliveryHandler,
  knownExchange?: Exchange,
): WantedSubscription {
  const path = `subscription ${shown(options.name ?? options.queue)}`;
  checkOptionsObject(options, OPTION_NAMES, path);
  if (typeof options.queue !== 'string')
    throw new OptionsError(
      `${path}.queue`,
      `${shown(options.queue)} is not a queue name`,
      "Give a string, or '' for a queue that the broker names",
    );
  const isServerNamed = options.queue === '';
  const name = options.name ?? options.queue;
  if (name === '')
    throw new OptionsError(
      `${path}.name`,
      'a subscription on a server-named queue needs a name of its own',
      'Give name',
    );
  const { prefetch = DEFAULT_PREFETCH, ifQueueMissing = 'declare' } = options;
  checkNumber(prefetch, { min: 1, max: 65_535, unit: 'deliveries', integer: true }, `${path}.prefetch`);
  if (ifQueueMissing !== 'declare' && ifQueueMissing !== 'wait') {
    throw new OptionsError(
      `${path}.ifQueueMissing`,
      `${shown(ifQueueMissing)} is not known`,
      "Use 'declare' or 'wait'",
    );
  }
  if (isServerNamed && ifQueueMissing === 'wait')
    throw new OptionsError(
      `${path}.ifQueueMissing`,
      'nobody else can make a queue that the broker names for us',
      "Use 'declare'",
    );

  // Auto-delete: without it the queue would stay, and fill, when only its channel or its consumer ends.
  const queueDefaults = isServerNamed ? { exclusive: true, durable: false, autoDelete: true } : {};
  const queue = toQueue({ ...queueDefaults, ...options.queueOptions, name: options.queue }, `${path}.queueOptions`);
  const exchange = resolveExchange(options, knownExchange, path);
  const isOwnQueue = isServerNamed || queue.options.exclusive === true;
  return {
    name,
    queue,
    isOwnQueue,
    exchange,
    bindings: exchange === undefined ? [] : resolveBindings(options, exchange, path),
    ifQueueMissing,
    prefetch,
    deadLetter: resolveDeadLetter(options, name, path),
    retry:
      options.retry === undefined ? undefined : resolveRetry(options.retry, `${path}.retry`, { queue, isOwnQueue }),
    maxRedeliveries: resolveMaxRedeliveries(options.maxRedeliveries, queue, path),
    deduplicate: resolveDeduplication(options.deduplicate, `${path}.deduplicate`),
    consumerArguments: options.consumerArguments ?? {},
    handler,
  };
}

/** The part of its topology that any link may declare. */
export function sharedEntities(wanted: WantedSubscription): Entity[] {
  const exchange = wanted.exchange === undefined ? [] : [wanted.exchange];
  if (wanted.isOwnQueue || wanted.ifQueueMissing === 'wait') return exchange;
  return [...exchange, wanted.queue, ...wanted.bindings];
}

/** An exchange that is known by name need not be described a second time. */
function resolveExchange(
  options: SubscriptionOptions,
  known: Exchange | undefined,
  path: string,
): Exchange | undefined {
  const { exchange, exchangeType = 'topic', exchangeOptions } = options;
  if (known !== undefined && options.exchangeType === undefined && exchangeOptions === undefined) return known;
  if (exchange === undefined) {
    const orphan = (['exchangeType', 'exchangeOptions', 'routingKey', 'bindingArguments'] as const).find(
      (key) => options[key] !== undefined,
    );
    if (orphan !== undefined)
      throw new OptionsError(`${path}.${orphan}`, 'there is no exchange to bind to', 'Give exchange too, or drop it');
    return undefined;
  }
  return toExchange({ ...exchangeOptions, name: exchange, type: exchangeType }, path);
}

function resolveBindings(options: SubscriptionOptions, exchange: Exchange, path: string): Binding[] {
  const { routingKey, bindingArguments } = options;
  const needsKey = exchange.type === 'topic' || exchange.type === 'direct';
  if (needsKey && (routingKey === undefined || routingKey.length === 0) && routingKey !== '') {
    throw new OptionsError(
      `${path}.routingKey`,
      `a ${exchange.type} exchange routes by key, and there is none`,
      "Give one or several; '#' takes everything of a topic exchange",
    );
  }
  if (exchange.type === 'headers' && bindingArguments === undefined) {
    throw new OptionsError(
      `${path}.bindingArguments`,
      'a headers exchange routes by arguments, and there are none',
      "Give e.g. { 'x-match': 'all', kind: 'invoice' }",
    );
  }
  const argumentSets = Array.isArray(bindingArguments)
    ? (bindingArguments as Record<string, unknown>[])
    : [(bindingArguments ?? {}) as Record<string, unknown>];
  return argumentSets.flatMap((args) =>
    toBindings({ exchange: exchange.name, queue: options.queue, routingKey, arguments: args }, path),
  );
}

function resolveDeadLetter(options: SubscriptionOptions, name: string, path: string): string | false {
  const { deadLetter = `${options.queue || name}.dead` } = options;
  if (deadLetter === false) return false;
  if (typeof deadLetter !== 'string' || deadLetter === '')
    throw new OptionsError(
      `${path}.deadLetter`,
      `${shown(deadLetter)} is not a queue name`,
      'Give a queue name, or false to reject',
    );
  if (deadLetter === options.queue)
    throw new OptionsError(
      `${path}.deadLetter`,
      'a queue cannot be its own dead-letter queue: a failed message would go round for ever',
      'Give another name',
    );
  return deadLetter;
}
