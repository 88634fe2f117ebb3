/**
 * What the spans say, by the semantic conventions of OpenTelemetry 1.45 (messaging: in development; RPC: stable).
 *
 * Choice: 1.45 has renamed three attributes of messages. They stand there under both names: the tools that people look at
 * spans with read the older ones for years to come.
 */
import type { Attributes } from '@opentelemetry/api';
import type { Delivery } from '../../engine/consuming/delivery/delivery.js';
import type { SettlementKind } from '../../engine/consuming/delivery/settlement.js';
import type { Outgoing } from '../../engine/publishing/sending/outgoing-message.js';

type OperationType = 'send' | 'process' | 'settle';
type Address = Pick<Delivery, 'exchange' | 'routingKey'>;

const SYSTEM: Attributes = { 'messaging.system.name': 'rabbitmq', 'messaging.system': 'rabbitmq' };
/** The exchange without a name, addressed without a routing key. */
const DEFAULT_EXCHANGE = 'amq.default';

/** Of a message that goes out: its exchange and routing key. */
export function publishDestination({ exchange, routingKey }: Address): string {
  return joined(exchange, routingKey) || DEFAULT_EXCHANGE;
}

/** Of a delivery: where it was published to, and the queue that it came from. */
export function deliveryDestination({
  exchange,
  routingKey,
  queue,
}: Pick<Delivery, 'exchange' | 'routingKey' | 'queue'>): string {
  return joined(exchange, routingKey, queue === routingKey ? '' : queue);
}

/** The name of the procedure that a request asks for: its queue, or its exchange and routing key. */
export function procedureName({ exchange, routingKey }: Address): string {
  return exchange === '' ? routingKey : `${exchange}/${routingKey}`;
}

/** With which a span begins. */
export function startAttributes(type: OperationType, destination: string, routingKey: string): Attributes {
  return { ...operation(type, type, destination), ...routing(routingKey) };
}

export function ofOutgoing({ messageId, properties, content, kind }: Outgoing): Attributes {
  const attributes: Attributes = {
    'messaging.message.id': messageId,
    'messaging.message.body.size': content.length,
  };
  if (properties.correlationId !== undefined)
    attributes['messaging.message.conversation_id'] = properties.correlationId;
  if (kind !== 'event') attributes['rmq_keepalive.message.kind'] = kind;
  return attributes;
}

export function ofDelivery(delivery: Delivery): Attributes {
  const { attempt, body } = delivery;
  const attributes = messageOf(delivery);
  attributes['messaging.message.body.size'] = body.length;
  if (attempt > 1) attributes['rmq_keepalive.message.attempt'] = attempt;
  return attributes;
}

/** As AMQP names it. */
export const SETTLE_NAMES: Readonly<Record<SettlementKind, string>> = { ack: 'ack', requeue: 'nack', reject: 'reject' };

export function ofSettlement(delivery: Delivery, kind: SettlementKind): Attributes {
  const { routingKey } = delivery;
  const destination = deliveryDestination(delivery);
  return { ...operation('settle', SETTLE_NAMES[kind], destination), ...routing(routingKey), ...messageOf(delivery) };
}

export function ofProcedure(procedure: string): Attributes {
  return { ...SYSTEM, 'rpc.system.name': 'rabbitmq', 'rpc.method': procedure };
}

/** @param endpoint `amqp://host:port/vhost` */
export function ofServer(endpoint: string | undefined, clientId: string | undefined): Attributes {
  const attributes: Attributes = {};
  if (clientId !== undefined) attributes['messaging.client.id'] = clientId;
  if (endpoint === undefined || !URL.canParse(endpoint)) return attributes;
  const { hostname, port } = new URL(endpoint);
  attributes['server.address'] = hostname.replace(/^\[(.*)\]$/, '$1');
  if (port !== '') attributes['server.port'] = Number(port);
  return attributes;
}

function operation(type: OperationType, name: string, destination: string): Attributes {
  return {
    ...SYSTEM,
    'messaging.operation.type': type,
    'messaging.operation.name': name,
    'messaging.destination.name': destination,
  };
}

function messageOf({ deliveryTag, messageId, properties }: Delivery): Attributes {
  const conversation: unknown = properties.correlationId;
  const attributes: Attributes = {
    'rabbitmq.message.delivery_tag': deliveryTag,
    'messaging.rabbitmq.message.delivery_tag': deliveryTag,
  };
  if (messageId !== undefined) attributes['messaging.message.id'] = messageId;
  if (typeof conversation === 'string') attributes['messaging.message.conversation_id'] = conversation;
  return attributes;
}

function routing(routingKey: string): Attributes {
  if (routingKey === '') return {};
  return { 'rabbitmq.destination.routing_key': routingKey, 'messaging.rabbitmq.destination.routing_key': routingKey };
}

function joined(...parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join(':');
}
