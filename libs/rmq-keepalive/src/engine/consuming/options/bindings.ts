/** The ways to the queue of a subscription: its exchanges, each described once, and its bindings. */
import { checkArray, checkOptionsObject } from '../../base/option-checks.js';
import { OptionsError } from '../../errors/options-error.js';
import { type Binding, type Exchange, type ExchangeOptions, toBindings, toExchange } from '../../topology/topology.js';

/**
 * One more way to the queue of a subscription.
 *
 * ```ts
 * const refunds = { exchange: 'payments', routingKey: ['refund.*', 'chargeback.#'] };
 * connection.subscribe({ queue: 'ledger', exchange: 'shop', routingKey: 'order.paid', bindings: [refunds] }, (entry) => work(entry));
 * ```
 */
export interface SubscriptionBinding {
  /** The exchange that messages come from. It is declared too. */
  exchange: string;
  /** The type of that exchange. @default that of the exchange if it is declared elsewhere, else 'topic' */
  exchangeType?: string;
  /** How that exchange is declared. @default durable, never deleted */
  exchangeOptions?: Omit<ExchangeOptions, 'name' | 'type'>;
  /** One or several; needed for direct and topic exchanges. @default none */
  routingKey?: string | readonly string[];
  /** For headers exchanges; one object a binding. @default none */
  bindingArguments?: Record<string, unknown> | readonly Record<string, unknown>[];
}

/** An exchange that is declared already need not be described a second time. */
export type KnownExchange = (name: string) => Exchange | undefined;

interface WaysToQueue {
  /** Each once. */
  readonly exchanges: readonly Exchange[];
  readonly bindings: readonly Binding[];
}

const BINDING_OPTION_NAMES = [
  'exchange',
  'exchangeType',
  'exchangeOptions',
  'routingKey',
  'bindingArguments',
] as const satisfies readonly (keyof SubscriptionBinding)[];

/** @throws {@link OptionsError} */
export function resolveWaysToQueue(
  options: Partial<SubscriptionBinding> & { queue: string; bindings?: readonly SubscriptionBinding[] },
  known: KnownExchange,
  path: string,
): WaysToQueue {
  const { bindings: further = [], queue } = options;
  checkArray(further, `${path}.bindings`, "[{ exchange: 'payments', routingKey: 'refund.*' }]");
  const ways = new Ways(queue, known);
  if (options.exchange === undefined) refuseOrphans(options, path);
  else ways.add(options as SubscriptionBinding, path);
  for (const [index, binding] of further.entries()) {
    const where = `${path}.bindings[${index}]`;
    checkOptionsObject(binding, BINDING_OPTION_NAMES, where);
    ways.add(binding, where);
  }
  return { exchanges: [...ways.exchanges.values()], bindings: ways.bindings };
}

class Ways {
  readonly exchanges = new Map<string, Exchange>();
  readonly bindings: Binding[] = [];

  constructor(
    private readonly queue: string,
    private readonly known: KnownExchange,
  ) {}

  add(binding: SubscriptionBinding, path: string): void {
    const exchange = this.#exchangeOf(binding, path);
    this.exchanges.set(exchange.name, exchange);
    this.bindings.push(...bindingsFrom(exchange, this.queue, binding, path));
  }

  #exchangeOf({ exchange, exchangeType, exchangeOptions }: SubscriptionBinding, path: string): Exchange {
    const isDescribed = exchangeType !== undefined || exchangeOptions !== undefined;
    const before = this.exchanges.get(exchange);
    if (!isDescribed && before !== undefined) return before;
    const elsewhere = isDescribed ? undefined : this.known(exchange);
    if (elsewhere !== undefined) return elsewhere;
    const described = toExchange({ ...exchangeOptions, name: exchange, type: exchangeType ?? 'topic' }, path);
    if (before !== undefined && JSON.stringify(before) !== JSON.stringify(described))
      throw new OptionsError(path, `exchange "${exchange}" is described in two ways`, 'Describe it once');
    return described;
  }
}

function refuseOrphans(options: Partial<SubscriptionBinding>, path: string): void {
  const orphan = (['exchangeType', 'exchangeOptions', 'routingKey', 'bindingArguments'] as const).find(
    (key) => options[key] !== undefined,
  );
  if (orphan !== undefined)
    throw new OptionsError(`${path}.${orphan}`, 'there is no exchange to bind to', 'Give exchange too, or drop it');
}

function bindingsFrom(
  { name, type }: Exchange,
  queue: string,
  { routingKey, bindingArguments }: SubscriptionBinding,
  path: string,
): Binding[] {
  const needsKey = type === 'topic' || type === 'direct';
  if (needsKey && (routingKey === undefined || routingKey.length === 0) && routingKey !== '')
    throw new OptionsError(
      `${path}.routingKey`,
      `a ${type} exchange routes by key, and there is none`,
      "Give one or several; '#' takes everything of a topic exchange",
    );
  if (type === 'headers' && bindingArguments === undefined)
    throw new OptionsError(
      `${path}.bindingArguments`,
      'a headers exchange routes by arguments, and there are none',
      "Give e.g. { 'x-match': 'all', kind: 'invoice' }",
    );
  const argumentSets = Array.isArray(bindingArguments)
    ? (bindingArguments as Record<string, unknown>[])
    : [(bindingArguments ?? {}) as Record<string, unknown>];
  return argumentSets.flatMap((args) => toBindings({ exchange: name, queue, routingKey, arguments: args }, path));
}
