/** An exchange in memory with its bindings: where it sends a message. */
import { isDeepStrictEqual } from 'node:util';
import type { AmqpFields } from '../wire/amqp-codec.js';
import { type BindingRule, EXCHANGE_TYPES, type ExchangeType, isMatch, type RoutedBy } from './route-matching.js';
import { Refusal } from './refusal.js';

export interface ExchangeDeclaration {
  readonly name: string;
  readonly type: string;
  readonly durable: boolean;
  readonly autoDelete: boolean;
  readonly internal: boolean;
  readonly arguments: AmqpFields;
}

export interface Destination {
  readonly kind: 'queue' | 'exchange';
  readonly name: string;
}

interface Binding extends BindingRule {
  readonly to: Destination;
}

export class MemoryExchange {
  #bindings: Binding[] = [];
  readonly #type: ExchangeType;

  /** @throws Refusal */
  constructor(readonly declaration: ExchangeDeclaration) {
    const type = EXCHANGE_TYPES.find((known) => known === declaration.type);
    if (type === undefined) throw Refusal.ofConnection(503, `unknown exchange type '${declaration.type}'`);
    this.#type = type;
  }

  get name(): string {
    return this.declaration.name;
  }

  get alternate(): string | undefined {
    const name = this.declaration.arguments['alternate-exchange'];
    return typeof name === 'string' ? name : undefined;
  }

  get isUsed(): boolean {
    return this.#bindings.length > 0;
  }

  destinationsOf(message: RoutedBy): readonly Destination[] {
    return this.#bindings.filter((rule) => isMatch(this.#type, rule, message)).map(({ to }) => to);
  }

  bind(binding: Binding): void {
    if (!this.#bindings.some((known) => isSame(known, binding))) this.#bindings.push(binding);
  }

  /** @returns whether the exchange has lost its last one */
  unbind(isGone: (binding: Binding) => boolean): boolean {
    const before = this.#bindings.length;
    this.#bindings = this.#bindings.filter((binding) => !isGone(binding));
    return before > 0 && this.#bindings.length === 0;
  }

  /** @throws Refusal when it was declared otherwise */
  refuseOther(wanted: ExchangeDeclaration, vhost: string): void {
    const there = this.declaration;
    const pairs = [
      ['type', wanted.type, there.type],
      ['durable', wanted.durable, there.durable],
      ['auto_delete', wanted.autoDelete, there.autoDelete],
      ['internal', wanted.internal, there.internal],
    ] as const;
    const place = `for exchange '${there.name}' in vhost '${vhost}'`;
    for (const [name, received, current] of pairs)
      if (received !== current)
        throw Refusal.ofChannel(
          406,
          `inequivalent arg '${name}' ${place}: received '${received}' but current is '${current}'`,
        );
    const [received, current] = [wanted, there].map(({ arguments: args }) => args['alternate-exchange']);
    if (!isDeepStrictEqual(received, current))
      throw Refusal.ofChannel(
        406,
        `inequivalent arg 'alternate-exchange' ${place}: received ${described(received)} but current is ${described(current)}`,
      );
  }
}

export function isSame(one: Binding, other: Binding): boolean {
  return (
    one.to.kind === other.to.kind &&
    one.to.name === other.to.name &&
    one.routingKey === other.routingKey &&
    isDeepStrictEqual(one.arguments, other.arguments)
  );
}

function described(value: unknown): string {
  return typeof value === 'string' ? `the value '${value}' of type 'longstr'` : 'none';
}
