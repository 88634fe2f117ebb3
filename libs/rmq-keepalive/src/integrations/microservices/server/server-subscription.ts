/** From the options of a server to a subscription of the engine, and what has to be declared beside it. */
import type { SubscriptionOptions } from '../../../engine/consuming/options/subscription.js';
import { OptionsError } from '../../../engine/errors/options-error.js';
import { checkNumber } from '../../../engine/base/option-checks.js';
import type { ExchangeOptions } from '../../../engine/topology/topology.js';
import { incomingPacketCodec } from '../packets/packet-codec.js';
import type { RmqServerOptions } from '../options/transport-options.js';
import {
  hasDeadLetterExchange,
  isNotDeclared,
  queueDeclaration,
  serverRouting,
} from '../options/transport-topology.js';

/** As much as AMQP can say; Nest says 0, which is no limit at all. */
const MOST = 65_535;

interface ServerSubscription {
  readonly options: SubscriptionOptions;
  /** Declared, with no binding of ours to it. */
  readonly unboundExchange: ExchangeOptions | undefined;
}

/**
 * @param patterns of the handlers
 * @throws {@link OptionsError}
 */
export function serverSubscription(
  given: RmqServerOptions,
  patterns: Iterable<string>,
  path: string,
): ServerSubscription {
  const { queue = '', queueOptions, concurrency, handlerTimeoutMs, retry } = given;
  const ack = ackMode(given, path);
  const prefetch = prefetchOf(given, ack, path);
  const { exchange, routingKeys } = serverRouting(given, patterns);
  const isBound = exchange !== undefined && routingKeys.length > 0;
  const isServerNamed = queue === '';
  const options: SubscriptionOptions = {
    name: subscriptionName(given),
    queue,
    queueOptions: queueDeclaration(queueOptions),
    ifQueueMissing: isNotDeclared(given) && !isServerNamed ? 'wait' : 'declare',
    ack,
    prefetch,
    concurrency: concurrency ?? prefetch ?? (ack === 'auto' ? undefined : MOST),
    codec: incomingPacketCodec,
    handlerTimeoutMs,
    retry,
    deadLetter: deadLetterOf(given, ack),
    ...(isBound && binding(given, exchange, routingKeys)),
  };
  return { options, unboundExchange: isBound ? undefined : exchange };
}

export function subscriptionName({ queue, exchange }: RmqServerOptions): string {
  return `RmqServer(${queue || exchange || 'server-named'})`;
}

function binding(
  { exchangeType, exchangeArguments }: RmqServerOptions,
  exchange: ExchangeOptions,
  routingKeys: readonly string[],
): Partial<SubscriptionOptions> {
  return {
    exchange: exchange.name,
    // Unsaid, it is what the module may have declared under this name, else a topic exchange.
    ...(exchangeType !== undefined && { exchangeType }),
    ...(exchangeArguments !== undefined && { exchangeOptions: { arguments: exchangeArguments } }),
    routingKey: routingKeys,
    ...(exchangeType === 'headers' && { bindingArguments: {} }),
  };
}

function ackMode({ ack, noAck }: RmqServerOptions, path: string): NonNullable<RmqServerOptions['ack']> {
  if (ack === undefined) return (noAck ?? true) ? 'none' : 'manual';
  if (noAck !== undefined)
    throw new OptionsError(`${path}.noAck`, 'it stands beside ack, which says the same', 'Drop one of them');
  return ack;
}

function prefetchOf(
  { prefetchCount = 0 }: RmqServerOptions,
  ack: RmqServerOptions['ack'],
  path: string,
): number | undefined {
  checkNumber(prefetchCount, { min: 0, max: MOST, unit: 'messages', integer: true }, `${path}.prefetchCount`);
  if (prefetchCount > 0) return prefetchCount;
  return ack === 'auto' ? undefined : MOST;
}

/** A team that has a dead-letter exchange keeps it: a reject is what leads there. */
function deadLetterOf(
  { deadLetter, queueOptions }: RmqServerOptions,
  ack: RmqServerOptions['ack'],
): SubscriptionOptions['deadLetter'] {
  if (deadLetter !== undefined) return deadLetter;
  return ack === 'none' || hasDeadLetterExchange(queueOptions) ? false : undefined;
}
