/** What a publish may be told: unit, default, consequence; and the checks of it, which cost nothing when nothing is told. */
import { canPack, type Packing, PACKINGS } from '../codec/packing.js';
import { OptionsError } from '../errors/options-error.js';
import { MAX_TIMER_MS } from '../base/clock.js';
import {
  checkBoolean,
  checkNumber,
  checkOptionsObject,
  checkRecord,
  checkShortString,
  oneOf,
  shown,
} from '../base/option-checks.js';

/** Defaults of the time limit, and of two promises about a message. */
export interface PublishDefaults {
  /** How long `publish()` may take until the confirm, the wait for the link included. @default 30_000 */
  timeoutMs?: number;
  /**
   * Rejects a message that no queue is bound for, instead of losing it. Costs the broker a fifth to a third of its rate of small
   * transient messages, where that is the limit. @default true
   */
  mandatory?: boolean;
  /** Durable queues store the message on disk, so that it survives a broker restart. @default true */
  persistent?: boolean;
  /**
   * Compresses JSON and text that is larger, where that makes it smaller, and says so in the content encoding. The JSON codec of every
   * version that has this option unpacks it; consumers of other libraries must know how. It happens on the event loop: a megabyte takes
   * some 20 ms. `false`: not for this message. @default nothing is compressed
   */
  compress?: CompressOptions | false;
}

/** Which bodies are compressed, and how. */
export interface CompressOptions {
  /** A body of at most so many bytes goes as it is. */
  overBytes: number;
  /** `zstd` needs Node 22.15 or later, on both sides. @default 'gzip' */
  encoding?: Packing;
}

/** Defaults and bounds for all publishes of a connection, or of one publisher. */
export interface PublisherDefaults extends PublishDefaults {
  /**
   * The largest body; a larger one is rejected with RMQ_PAYLOAD_TOO_LARGE before it is sent. A broker that gets more than its own
   * `max_message_size` closes the channel. If you raise it here, the JSON codec takes bodies of that size in both directions, unless
   * `json.maxBytes` says otherwise; the limit of one publisher (`createPublisher`) does not raise it.
   * @default 16_777_216 (16 MiB, RabbitMQ's `max_message_size` since 4.0; 128 MiB before)
   */
  maxMessageBytes?: number;
}

/** The option `publish` of a connection. */
export interface ConnectionPublishOptions extends PublisherDefaults {
  /**
   * How long publishes may wait on a link that confirms nothing at all; at least 100. Then health is `degraded` (`no-confirms`), the
   * library discards the link (`RMQ_NO_CONFIRMS`), dials the next address, and sends what waits again there under the same message
   * ids. It leaves a cluster node that lost its peers this way. A value below the pauses of your broker's disks and elections means
   * copies sent twice for nothing; `Infinity` switches it off.
   * @default a third of `timeoutMs`, at least 1_000
   */
  noConfirmsAfterMs?: number;
}

/**
 * Options of one message.
 *
 * ```ts
 * const soon: PublishOptions = { messageId: order.id, timeoutMs: 2_000, headers: { 'x-tenant': tenant } };
 * await publisher.publish('shop', 'order.created', order, soon);
 * ```
 */
export interface PublishOptions extends PublishDefaults {
  /** Stays the same when the message has to be sent again: consumers recognise duplicates by it. @default a random UUID */
  messageId?: string;
  /**
   * Strings, numbers, bigints, booleans, null, Buffers, Dates, arrays and objects of these, and amqplib's `{ '!': type, value }`.
   * @default none
   */
  headers?: Record<string, unknown>;
  /** Ties a reply to its request. @default none */
  correlationId?: string;
  /** The queue that a reply is wanted in. @default none */
  replyTo?: string;
  /** After how long the broker may drop the message unconsumed, a whole number. @unit ms @default never */
  expiration?: number;
  /** For priority queues, 0 to 255. @unit a whole number @default none, which counts as 0 */
  priority?: number;
  /** The kind of message, in the application's own words. @default none */
  type?: string;
  /** The kind of body, if the codec's word is not precise enough (`application/vnd.shop.order+json`). @default the codec's */
  contentType?: string;
  /** How the body is wrapped (`gzip`): for payloads that are bytes already. @default the codec's */
  contentEncoding?: string;
  /** When it happened; AMQP carries whole seconds. @default now */
  timestamp?: Date;
  /** The application that publishes. @default none */
  appId?: string;
  /** Must be the user that the connection logged in as, else the broker refuses the message. @default none */
  userId?: string;
  /** Ends the wait: a message that was not sent yet is taken back; one that was sent may still arrive. @default none */
  signal?: AbortSignal;
}

export type ResolvedPublishDefaults = Required<PublisherDefaults>;
export type ResolvedConnectionPublish = Required<ConnectionPublishOptions>;

const DEFAULT_NAMES = ['timeoutMs', 'mandatory', 'persistent', 'compress', 'maxMessageBytes'] as const;

const OPTION_NAMES = [
  'timeoutMs',
  'mandatory',
  'persistent',
  'compress',
  'messageId',
  'headers',
  'correlationId',
  'replyTo',
  'expiration',
  'priority',
  'type',
  'contentType',
  'contentEncoding',
  'timestamp',
  'appId',
  'userId',
  'signal',
] as const satisfies readonly (keyof PublishOptions)[];

const SHORT_STRINGS = [
  'messageId',
  'correlationId',
  'replyTo',
  'type',
  'contentType',
  'contentEncoding',
  'appId',
  'userId',
] as const satisfies readonly (keyof PublishOptions)[];

/** What a publish without options is told. */
export const NO_OPTIONS: PublishOptions = Object.freeze({});

const MIN_NO_CONFIRMS_MS = 100;
const DEFAULT_NO_CONFIRMS_SHARE = 1 / 3;
/** A default that is shorter than that would take a slow disk for a dead node. */
const LEAST_DEFAULT_NO_CONFIRMS_MS = 1_000;
/** The broker reads it as an unsigned 32-bit number. */
const MAX_EXPIRATION_MS = 4_294_967_295;

/** @throws {@link OptionsError} */
export function resolveConnectionPublish(options: ConnectionPublishOptions = {}): ResolvedConnectionPublish {
  checkOptionsObject(options, [...DEFAULT_NAMES, 'noConfirmsAfterMs'], 'publish');
  const { noConfirmsAfterMs: wanted, ...others } = options;
  const defaults = resolvePublishDefaults(others);
  const byDefault = Math.max(LEAST_DEFAULT_NO_CONFIRMS_MS, defaults.timeoutMs * DEFAULT_NO_CONFIRMS_SHARE);
  const noConfirmsAfterMs = wanted ?? byDefault;
  const range = { min: MIN_NO_CONFIRMS_MS, max: MAX_TIMER_MS, unit: 'milliseconds', orInfinity: true };
  checkNumber(noConfirmsAfterMs, range, 'publish.noConfirmsAfterMs');
  return { ...defaults, noConfirmsAfterMs };
}

/** @throws {@link OptionsError} */
export function resolvePublishDefaults(
  options: PublisherDefaults = {},
  path = 'publish',
  defaults: PublisherDefaults = {},
): ResolvedPublishDefaults {
  checkOptionsObject(options, DEFAULT_NAMES, path);
  const {
    timeoutMs = 30_000,
    mandatory = true,
    persistent = true,
    compress = false,
    maxMessageBytes = 16 * 1024 * 1024,
  } = { ...defaults, ...withoutUndefined(options) };
  checkNumber(timeoutMs, { min: 1, max: MAX_TIMER_MS, unit: 'milliseconds' }, `${path}.timeoutMs`);
  checkBoolean(mandatory, `${path}.mandatory`);
  checkBoolean(persistent, `${path}.persistent`);
  checkCompress(compress, `${path}.compress`);
  // RabbitMQ itself allows half a GiB at most.
  checkNumber(maxMessageBytes, { min: 1, max: 0x2000_0000, unit: 'bytes', integer: true }, `${path}.maxMessageBytes`);
  return { timeoutMs, mandatory, persistent, compress, maxMessageBytes };
}

/** @throws {@link OptionsError} naming the value and the way out */
export function checkPublish(exchange: string, routingKey: string, options: PublishOptions): void {
  if (typeof exchange !== 'string')
    throw new OptionsError(
      'publish(exchange)',
      `${shown(exchange)} is not an exchange name`,
      "Give a string; '' is the default exchange",
    );
  if (typeof routingKey !== 'string')
    throw new OptionsError('publish(routingKey)', `${shown(routingKey)} is not a routing key`, 'Give a string');
  checkShortString(exchange, 'exchange');
  checkShortString(routingKey, 'routingKey');
  if (options !== NO_OPTIONS) checkOptions(options);
}

function checkOptions(options: PublishOptions): void {
  checkOptionsObject(options, OPTION_NAMES, 'publish options');
  const { timeoutMs, mandatory, persistent, compress, priority, expiration, timestamp, headers } = options;
  if (timeoutMs !== undefined)
    checkNumber(timeoutMs, { min: 1, max: MAX_TIMER_MS, unit: 'milliseconds' }, 'publish options.timeoutMs');
  if (mandatory !== undefined) checkBoolean(mandatory, 'publish options.mandatory');
  if (persistent !== undefined) checkBoolean(persistent, 'publish options.persistent');
  if (compress !== undefined) checkCompress(compress, 'publish options.compress');
  if (priority !== undefined) checkNumber(priority, { min: 0, max: 255, integer: true }, 'publish options.priority');
  if (expiration !== undefined)
    checkNumber(
      expiration,
      { min: 0, max: MAX_EXPIRATION_MS, unit: 'milliseconds', integer: true },
      'publish options.expiration',
    );
  if (timestamp !== undefined && !(Object.prototype.toString.call(timestamp) === '[object Date]' && +timestamp >= 0))
    throw new OptionsError('publish options.timestamp', `${shown(timestamp)} is not a Date since 1970`, 'Give a Date');
  if (headers !== undefined) checkRecord(headers, 'publish options.headers');
  for (const name of SHORT_STRINGS) {
    const value = options[name];
    if (value !== undefined) checkShortString(value, name);
  }
}

function checkCompress(compress: unknown, path: string): void {
  if (compress === false) return;
  checkOptionsObject(compress, ['overBytes', 'encoding'], path);
  const { overBytes, encoding = 'gzip' } = compress as CompressOptions;
  checkNumber(
    overBytes,
    { min: 0, max: 0x2000_0000, unit: 'bytes', integer: true, isRequired: true },
    `${path}.overBytes`,
  );
  if (!canPack(oneOf(encoding, PACKINGS, `${path}.encoding`)))
    throw new OptionsError(
      `${path}.encoding`,
      `Node ${process.versions.node} has no ${encoding}`,
      'Use Node 22.15 or later, or another encoding',
    );
}

function withoutUndefined<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;
}
