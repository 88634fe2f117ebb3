/** What `Transport.RMQ` declares, in our words: pure, from its options to queues, exchanges and bindings. */
import type { ExchangeOptions, QueueOptions, TopologyOptions } from '../../../engine/topology/topology.js';
import type { NestTransportOptions, TransportQueueOptions } from './transport-options.js';

/** amqplib's names for arguments of a queue. */
const QUEUE_ARGUMENTS = {
  expires: 'x-expires',
  messageTtl: 'x-message-ttl',
  deadLetterExchange: 'x-dead-letter-exchange',
  deadLetterRoutingKey: 'x-dead-letter-routing-key',
  maxLength: 'x-max-length',
  maxPriority: 'x-max-priority',
  overflow: 'x-overflow',
  queueMode: 'x-queue-mode',
} as const satisfies Partial<Record<keyof TransportQueueOptions, string>>;

const FLAGS = ['durable', 'exclusive', 'autoDelete'] as const;

/** As amqplib reads them; what it does not know counts for nothing. */
export function queueDeclaration(options: TransportQueueOptions = {}): Omit<QueueOptions, 'name'> {
  const queueArguments: Record<string, unknown> = { ...options.arguments };
  for (const [name, argument] of Object.entries(QUEUE_ARGUMENTS))
    if (options[name] !== undefined) queueArguments[argument] = options[name];
  const declaration: Omit<QueueOptions, 'name'> = {};
  for (const flag of FLAGS) if (options[flag] !== undefined) declaration[flag] = options[flag];
  return Object.keys(queueArguments).length === 0 ? declaration : { ...declaration, arguments: queueArguments };
}

/** Whether the broker has a place of the team's own for what is rejected. */
export function hasDeadLetterExchange(options: TransportQueueOptions = {}): boolean {
  return queueDeclaration(options).arguments?.['x-dead-letter-exchange'] !== undefined;
}

export function isNotDeclared({ noAssert, queueOptions }: NestTransportOptions): boolean {
  return noAssert ?? queueOptions?.noAssert ?? false;
}

/** How a consumer's queue is bound: to no exchange, to one by keys, or by nothing at all (headers, fanout). */
interface ServerRouting {
  readonly exchange?: ExchangeOptions;
  /** Empty: the exchange is declared, and others bind the queue to it. */
  readonly routingKeys: readonly string[];
}

/** @param patterns those of the handlers: with `wildcards` they are the routing keys */
export function serverRouting(options: NestTransportOptions, patterns: Iterable<string>): ServerRouting {
  const { exchangeType, routingKey, wildcards = false } = options;
  if (!options.exchange && !wildcards) return { routingKeys: [] };
  const ownKeys = exchangeType === 'fanout' ? [''] : routingKey ? [routingKey] : [];
  const keys = wildcards ? [...ownKeys, ...patterns] : ownKeys;
  return { exchange: exchangeDeclaration(options), routingKeys: [...new Set(keys)] };
}

/** Where a client's messages go: to an exchange by their pattern, or to the queue. */
export function isRoutedByPattern({ wildcards = false, exchangeType }: NestTransportOptions): boolean {
  return wildcards || exchangeType === 'fanout';
}

export function exchangeOf({ exchange, queue = '' }: NestTransportOptions): string {
  return exchange ? exchange : queue;
}

/** Nest declares an exchange as topic exchange when nothing else is said. */
function exchangeDeclaration(options: NestTransportOptions): ExchangeOptions {
  const { exchangeType: type = 'topic', exchangeArguments } = options;
  const declaration: ExchangeOptions = { name: exchangeOf(options), type };
  return exchangeArguments === undefined ? declaration : { ...declaration, arguments: exchangeArguments };
}

/** What a client declares: the exchange it publishes to, or its queue, bound if it is told where. */
export function clientTopology(options: NestTransportOptions): TopologyOptions {
  if (isRoutedByPattern(options)) return { exchanges: [exchangeDeclaration(options)] };
  const { queue = '', queueOptions, exchange, exchangeType, routingKey } = options;
  const queues = isNotDeclared(options) || queue === '' ? [] : [{ ...queueDeclaration(queueOptions), name: queue }];
  if (!exchange || !routingKey) return { queues };
  return {
    queues,
    // Without a type the exchange is the server's to declare.
    exchanges: exchangeType === undefined ? [] : [exchangeDeclaration(options)],
    bindings: [{ exchange, queue, routingKey }],
  };
}
