/** The options of `Transport.RMQ`, as Nest 11 and 12 have them, and those that come with this transport. */
import type { Deserializer, Serializer } from '@nestjs/microservices';
import type { RmqConnectionOptions } from '../../../engine/connection/connection-options.js';
import type { RmqConnection } from '../../../engine/connection/rmq-connection.js';
import type { RetryOptions } from '../../../engine/consuming/options/retry-policy.js';
import { OptionsError } from '../../../engine/errors/options-error.js';
import { checkBoolean, checkOptionsObject, shown } from '../../../engine/base/option-checks.js';

/** An address in parts, as Nest allows beside a URL. */
export interface TransportUrl {
  protocol?: string;
  hostname?: string;
  port?: number;
  username?: string;
  password?: string;
  locale?: string;
  frameMax?: number;
  /** Heartbeat timeout, seconds. */
  heartbeat?: number;
  vhost?: string;
}

/** What Nest hands to amqp-connection-manager. */
export interface TransportSocketOptions {
  /** The longest pause between two attempts: with Nest the fixed one. @default 30 */
  reconnectTimeInSeconds?: number;
  /** The heartbeat *timeout*, which is what amqp-connection-manager means by it; we send after half of it. 0: none. @default 10 */
  heartbeatIntervalInSeconds?: number;
  /** Asked for the addresses before every attempt, in the place of `urls`. */
  findServers?: () => string | string[] | Promise<string | string[]>;
  /** `timeout`, `clientProperties`, `credentials` and what node:tls takes; `noDelay` is always on. */
  connectionOptions?: object;
  clientProperties?: Record<string, unknown>;
  [key: string]: unknown;
}

/** What Nest hands to `assertQueue`. */
export interface TransportQueueOptions {
  durable?: boolean;
  exclusive?: boolean;
  autoDelete?: boolean;
  arguments?: Record<string, unknown>;
  messageTtl?: number;
  expires?: number;
  deadLetterExchange?: string;
  deadLetterRoutingKey?: string;
  maxLength?: number;
  maxPriority?: number;
  overflow?: string;
  queueMode?: string;
  noAssert?: boolean;
  [key: string]: unknown;
}

/** The options of Nest's `Transport.RMQ`, unchanged; server and client may share one object. */
export interface NestTransportOptions {
  /** Addresses for a connection of its own. @default ['amqp://localhost'], as Nest's, unless `connection` is given */
  urls?: string | readonly string[] | readonly TransportUrl[];
  /** Server: the queue to consume from; `''` one of its own, named by the broker. Client: the queue to send to. @default '' */
  queue?: string;
  /** Server: unacknowledged messages under way at most; 0: as many as AMQP can say (65,535). @default 0; 20 with `ack: 'auto'` */
  prefetchCount?: number;
  /** No difference here: each consumer has a channel of its own. */
  isGlobalPrefetchCount?: boolean;
  /** How the queue is declared, in the words of amqplib. */
  queueOptions?: TransportQueueOptions;
  socketOptions?: TransportSocketOptions;
  /**
   * Server: `true`: at most once, nobody acks. `false`: the handlers do, through `context.getChannelRef()`. @default true;
   * see also `ack`
   */
  noAck?: boolean;
  /** Not used: the broker names the consumers, anew after every reconnect. */
  consumerTag?: string;
  serializer?: Serializer;
  deserializer?: Deserializer;
  /** Client: a queue of its own for the replies. Server: one that replies may be sent to. @default direct reply-to */
  replyQueue?: string;
  /** Client: stored on disk by durable queues. @default true for events, false for requests */
  persistent?: boolean;
  /** Client: headers of every message. */
  headers?: Record<string, unknown>;
  /** Do not declare the queue: it is somebody else's. @default false */
  noAssert?: boolean;
  /** @default the queue's name, with `wildcards` */
  exchange?: string;
  /** @default 'topic' */
  exchangeType?: string;
  exchangeArguments?: Record<string, unknown>;
  routingKey?: string;
  /** Patterns are routing keys, and may have `*` and `#`. @default false */
  wildcards?: boolean;
  /** Server: how many attempts to connect may fail before `listen()` does. -1: any number. @default -1 */
  maxConnectionAttempts?: number;
}

/** Which connection to use: one of the module's, or its own. */
export interface ConnectionChoice {
  /**
   * The managed connection: the name it has in `RmqKeepaliveModule.forRoot({ name })` (`'default'` for the one without a
   * name), or the connection itself. Without it there is a connection of its own, to `urls`.
   */
  connection?: string | RmqConnection;
  /** Further options of a connection of its own: heartbeat, TLS, outbox ... They go before what `socketOptions` say. */
  connectionOptions?: Omit<RmqConnectionOptions, 'urls'>;
}

/** Options of {@link RmqServer}. */
export interface RmqServerOptions extends NestTransportOptions, ConnectionChoice {
  /**
   * Who acks, instead of `noAck`. `auto`: we do, when an event's handler is done or a request is answered. `manual` is
   * `noAck: false`, `none` is `noAck: true`.
   * @default 'none' or 'manual', by `noAck`
   */
  ack?: 'auto' | 'manual' | 'none';
  /**
   * Where an event goes whose handler failed, and any message that nobody can handle; `false`: rejected. Needs acks.
   * @default `<queue>.dead`; false if queueOptions name a dead-letter exchange
   */
  deadLetter?: string | false;
  /**
   * Tries an event again whose handler failed. A request is not tried again: its caller was told. Needs `ack: 'auto'` or
   * `'manual'`. @default no retry
   */
  retry?: RetryOptions;
  /** How many handlers run at a time. @default prefetchCount */
  concurrency?: number;
  /** How long a handler may take, ms; `false`: as long as it likes. @default 1500000 (25 minutes) */
  handlerTimeoutMs?: number | false;
  /**
   * How the names of queues begin that replies may be sent to, beside direct reply-to and `replyQueue`. A request that wants
   * its reply elsewhere is not handled. @default none
   */
  replyTo?: string | readonly string[];
  /** How long `close()` waits for running handlers, ms. @default 10_000, or the connection's when it is its own */
  drainTimeoutMs?: number;
}

/** Options of {@link RmqClient}. */
export interface RmqClientOptions extends NestTransportOptions, ConnectionChoice {
  /**
   * How long a request may go without a reply, ms; each reply of a stream begins it anew. `false`: for ever, as with Nest.
   * @default false
   */
  timeoutMs?: number | false;
  /** How long a request may wait for the link, and an event for its confirm, ms. @default 30_000 */
  publishTimeoutMs?: number;
  /**
   * Whether an event that no queue takes is an error, as such a request always is. @default true for events to a queue,
   * false for events to an exchange
   */
  mandatory?: boolean;
  /** Requests outstanding at a time. @default 10_000 */
  maxCalls?: number;
}

const NEST_OPTION_NAMES = [
  'urls',
  'queue',
  'prefetchCount',
  'isGlobalPrefetchCount',
  'queueOptions',
  'socketOptions',
  'noAck',
  'consumerTag',
  'serializer',
  'deserializer',
  'replyQueue',
  'persistent',
  'headers',
  'noAssert',
  'exchange',
  'exchangeType',
  'exchangeArguments',
  'routingKey',
  'wildcards',
  'maxConnectionAttempts',
] as const satisfies readonly (keyof NestTransportOptions)[];

const CHOICE_NAMES = ['connection', 'connectionOptions'] as const satisfies readonly (keyof ConnectionChoice)[];

/** A server may be given the options of its clients too, and the other way round. */
const OWN_NAMES = [
  'ack',
  'deadLetter',
  'retry',
  'concurrency',
  'handlerTimeoutMs',
  'replyTo',
  'drainTimeoutMs',
  'timeoutMs',
  'publishTimeoutMs',
  'mandatory',
  'maxCalls',
] as const satisfies readonly (keyof RmqServerOptions | keyof RmqClientOptions)[];

const FLAGS = ['isGlobalPrefetchCount', 'noAck', 'persistent', 'noAssert', 'wildcards'] as const;
const TEXTS = ['queue', 'replyQueue', 'exchange', 'exchangeType', 'routingKey', 'consumerTag'] as const;

/** @throws {@link OptionsError} for a name that nobody knows, and for a value of the wrong kind */
export function checkTransportOptions(options: NestTransportOptions & ConnectionChoice, path: string): void {
  checkOptionsObject(options, [...NEST_OPTION_NAMES, ...CHOICE_NAMES, ...OWN_NAMES], path);
  for (const name of FLAGS) if (options[name] !== undefined) checkBoolean(options[name], `${path}.${name}`);
  for (const name of TEXTS) {
    const value = options[name];
    if (value !== undefined && typeof value !== 'string')
      throw new OptionsError(`${path}.${name}`, `${shown(value)} is not a string`, 'Give a string, or leave it out');
  }
  if (options.wildcards === true && !options.exchange && !options.queue)
    throw new OptionsError(
      `${path}.wildcards`,
      'patterns become bindings, and there is neither an exchange nor a queue to name one after',
      'Give exchange, or queue',
    );
}

/** What they ask for and do not get, in sentences for the log. */
export function transportWarnings(options: NestTransportOptions, path: string): string[] {
  if (options.consumerTag === undefined) return [];
  return [
    `${path}.consumerTag is not used: the broker names the consumers, anew after every reconnect. Look for them by their queue`,
  ];
}
