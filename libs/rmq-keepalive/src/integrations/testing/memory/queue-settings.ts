/** The arguments of a queue: read, checked, and compared when it is declared again. */
import { isDeepStrictEqual } from 'node:util';
import type { AmqpFields } from '../wire/amqp-codec.js';
import { Refusal } from './refusal.js';

export interface QueueSettings {
  readonly type: 'classic' | 'quorum';
  readonly messageTtlMs: number | undefined;
  readonly expiresMs: number | undefined;
  readonly deadLetterExchange: string | undefined;
  readonly deadLetterRoutingKey: string | undefined;
  readonly maxLength: number | undefined;
  readonly maxBytes: number | undefined;
  readonly overflow: 'drop-head' | 'reject-publish' | 'reject-publish-dlx';
  /** Of a quorum queue: how often a message may come back. */
  readonly deliveryLimit: number;
  readonly isSingleActive: boolean;
  readonly maxPriority: number;
}

export interface QueueDeclaration {
  readonly name: string;
  readonly durable: boolean;
  readonly exclusive: boolean;
  readonly autoDelete: boolean;
  readonly arguments: AmqpFields;
}

/** RabbitMQ's own since 4.0. */
const DELIVERY_LIMIT = 20;

const ONLY_OF: Readonly<Record<QueueSettings['type'], readonly string[]>> = {
  classic: ['x-max-priority', 'x-queue-mode'],
  quorum: ['x-delivery-limit', 'x-dead-letter-strategy', 'x-quorum-initial-group-size', 'x-queue-leader-locator'],
};

const COMPARED = [
  ...['x-expires', 'x-message-ttl', 'x-dead-letter-exchange', 'x-dead-letter-routing-key', 'x-max-length'],
  ...['x-max-length-bytes', 'x-overflow', 'x-max-priority', 'x-single-active-consumer', 'x-dead-letter-strategy'],
  ...['x-delivery-limit'],
];

/** @throws Refusal */
export function readSettings(declaration: QueueDeclaration, vhost: string): QueueSettings {
  const { name, arguments: args } = declaration;
  const place = `for queue '${name}' in vhost '${vhost}'`;
  const type = args['x-queue-type'] ?? 'classic';
  if (type === 'stream')
    throw Refusal.ofChannel(
      406,
      "the broker in memory has no streams: start the harness with { backend: 'broker' } for tests of them",
    );
  if (type !== 'classic' && type !== 'quorum')
    throw Refusal.ofChannel(406, `invalid arg 'x-queue-type' ${place}: "unsupported queue type"`);
  refuseForeignArguments(type, args, place);
  if (type === 'quorum' && !declaration.durable)
    throw Refusal.ofChannel(406, `invalid property 'non-durable' ${place}`);
  if (type === 'quorum' && declaration.exclusive)
    throw Refusal.ofChannel(406, `invalid property 'exclusive-owner' ${place}`);
  const number = (key: string): number | undefined => numberIn(args, key, place);
  const deadLetterExchange = textIn(args, 'x-dead-letter-exchange');
  const deadLetterRoutingKey = textIn(args, 'x-dead-letter-routing-key');
  if (deadLetterRoutingKey !== undefined && deadLetterExchange === undefined)
    throw Refusal.ofChannel(406, `invalid arg 'x-dead-letter-routing-key' ${place}: routing_key_but_no_dlx_defined`);
  return {
    type,
    messageTtlMs: number('x-message-ttl'),
    expiresMs: number('x-expires'),
    deadLetterExchange,
    deadLetterRoutingKey,
    maxLength: number('x-max-length'),
    maxBytes: number('x-max-length-bytes'),
    overflow: (textIn(args, 'x-overflow') ?? 'drop-head') as QueueSettings['overflow'],
    deliveryLimit: number('x-delivery-limit') ?? DELIVERY_LIMIT,
    isSingleActive: args['x-single-active-consumer'] === true,
    maxPriority: number('x-max-priority') ?? 0,
  };
}

/** @throws Refusal when the queue that is there was declared otherwise */
export function refuseOtherDeclaration(there: QueueDeclaration, wanted: QueueDeclaration, vhost: string): void {
  const place = `for queue '${there.name}' in vhost '${vhost}'`;
  const properties = [
    ['durable', wanted.durable, there.durable],
    ['auto_delete', wanted.autoDelete, there.autoDelete],
  ] as const;
  for (const [name, received, current] of properties)
    if (received !== current)
      throw Refusal.ofChannel(
        406,
        `inequivalent arg '${name}' ${place}: received '${received}' but current is '${current}'`,
      );
  const typeOf = (args: AmqpFields): unknown => args['x-queue-type'] ?? 'classic';
  refuseOther('x-queue-type', typeOf(wanted.arguments), typeOf(there.arguments), place);
  for (const key of COMPARED) refuseOther(key, wanted.arguments[key], there.arguments[key], place);
}

function refuseOther(key: string, received: unknown, current: unknown, place: string): void {
  if (isDeepStrictEqual(received, current)) return;
  throw Refusal.ofChannel(
    406,
    `inequivalent arg '${key}' ${place}: received ${described(received)} but current is ${described(current)}`,
  );
}

function described(value: unknown): string {
  if (value === undefined) return 'none';
  if (typeof value === 'string') return `the value '${value}' of type 'longstr'`;
  return `the value '${JSON.stringify(value)}' of type '${typeof value === 'boolean' ? 'bool' : 'signedint'}'`;
}

function refuseForeignArguments(type: QueueSettings['type'], args: AmqpFields, place: string): void {
  const others = ONLY_OF[type === 'classic' ? 'quorum' : 'classic'];
  const foreign = Object.keys(args).find((key) => others.includes(key));
  if (foreign !== undefined)
    throw Refusal.ofChannel(406, `invalid arg '${foreign}' ${place} of queue type rabbit_${type}_queue`);
}

function numberIn(args: AmqpFields, key: string, place: string): number | undefined {
  const value = args[key];
  if (value === undefined) return undefined;
  if (typeof value !== 'number')
    throw Refusal.ofChannel(406, `invalid arg '${key}' ${place}: {unacceptable_type,longstr}`);
  if (value < 0) throw Refusal.ofChannel(406, `invalid arg '${key}' ${place}: {value_negative,${value}}`);
  return value;
}

function textIn(args: AmqpFields, key: string): string | undefined {
  const value = args[key];
  return typeof value === 'string' ? value : undefined;
}
