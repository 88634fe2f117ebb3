/** What must exist at the broker: exchanges, queues and bindings, wanted by the options or by a subscription. Data only. */
import type { Options } from 'amqplib';
import { OptionsError } from '../errors/options-error.js';
import {
  checkArray,
  checkBoolean,
  checkOptionsObject,
  checkRecord,
  checkShortString,
  copyOfRecord,
  oneOf,
  shown,
} from '../base/option-checks.js';

/** An exchange to declare. */
export interface ExchangeOptions {
  /** The exchange's name. */
  name: string;
  /** `topic`, `direct`, `fanout`, `headers`, or a plugin's type. @default 'topic' */
  type?: string;
  /** Survives a broker restart. @default true */
  durable?: boolean;
  /** Deleted when its last binding is. @default false */
  autoDelete?: boolean;
  /** Takes messages from other exchanges only. @default false */
  internal?: boolean;
  /** Further arguments, e.g. `{ 'alternate-exchange': 'unrouted' }`. @default none */
  arguments?: Record<string, unknown>;
}

/** A queue to declare. */
export interface QueueOptions {
  /** The queue's name. */
  name: string;
  /** Survives a broker restart. @default true */
  durable?: boolean;
  /** Used by this connection only, deleted with it. @default false */
  exclusive?: boolean;
  /** Deleted when its last consumer goes. @default false */
  autoDelete?: boolean;
  /** Sets `x-queue-type`. @default the vhost's default, `classic` as a rule */
  type?: 'classic' | 'quorum' | 'stream';
  /** Further arguments, e.g. `{ 'x-max-length': 1000 }`. @default none */
  arguments?: Record<string, unknown>;
}

/** A way from an exchange to a queue, or to another exchange. */
interface BindingOptions {
  /** The exchange that messages come from. */
  exchange: string;
  /** The queue that they go to. @default none: give `toExchange` */
  queue?: string;
  /** The exchange that they go to, in the place of a queue. @default none: give `queue` */
  toExchange?: string;
  /** One or several. @default '' */
  routingKey?: string | readonly string[];
  /** For headers exchanges. Bindings that differ only here are different bindings. @default none */
  arguments?: Record<string, unknown>;
}

/**
 * Exchanges, queues and bindings that are declared before anything is consumed or published, after every reconnect too.
 *
 * ```ts
 * const topology: TopologyOptions = {
 *   exchanges: [{ name: 'shop', type: 'topic' }],
 *   queues: [{ name: 'orders', type: 'quorum' }],
 *   bindings: [{ exchange: 'shop', queue: 'orders', routingKey: 'order.*' }],
 * };
 * ```
 */
export interface TopologyOptions {
  /** Exchanges to declare, before the queues. @default none */
  exchanges?: readonly ExchangeOptions[];
  /** Queues to declare, before the bindings. @default none */
  queues?: readonly QueueOptions[];
  /** Bindings to declare. @default none */
  bindings?: readonly BindingOptions[];
}

export interface Exchange {
  readonly kind: 'exchange';
  readonly name: string;
  readonly type: string;
  readonly options: Options.AssertExchange;
}

export interface Queue {
  readonly kind: 'queue';
  readonly name: string;
  readonly options: Options.AssertQueue;
}

export interface Binding {
  readonly kind: 'binding';
  readonly exchange: string;
  readonly destination: string;
  readonly destinationKind: 'queue' | 'exchange';
  readonly routingKey: string;
  readonly arguments: Record<string, unknown>;
}

export type Entity = Exchange | Queue | Binding;

/** How an entity is named in errors, events and status. */
export function entityName(entity: Entity): string {
  if (entity.kind !== 'binding') return `${entity.kind} "${entity.name}"`;
  const key = entity.routingKey === '' ? '' : ` (${entity.routingKey})`;
  const args = Object.keys(entity.arguments).length === 0 ? '' : ` ${stableJson(entity.arguments)}`;
  const kind = entity.destinationKind === 'exchange' ? 'exchange ' : '';
  return `binding ${entity.exchange} -> ${kind}${entity.destination}${key}${args}`;
}

export function toExchange(options: ExchangeOptions, path: string): Exchange {
  checkOptionsObject(options, ['name', 'type', 'durable', 'autoDelete', 'internal', 'arguments'], path);
  const { name, type = 'topic', durable = true, autoDelete = false, internal = false, arguments: args = {} } = options;
  if (typeof name !== 'string' || name === '')
    throw new OptionsError(
      `${path}.name`,
      `${shown(name)} is not an exchange name`,
      'Give a non-empty string; the default exchange needs no declaration',
    );
  if (typeof type !== 'string' || type === '')
    throw new OptionsError(
      `${path}.type`,
      `${shown(type)} is not an exchange type`,
      "Use 'topic', 'direct', 'fanout', 'headers', or the type of a plugin",
    );
  checkShortString(name, `${path}.name`);
  checkFlags({ durable, autoDelete, internal }, path);
  checkRecord(args, `${path}.arguments`);
  return { kind: 'exchange', name, type, options: { durable, autoDelete, internal, arguments: copyOfRecord(args) } };
}

export function toQueue(options: QueueOptions, path: string): Queue {
  checkOptionsObject(options, ['name', 'durable', 'exclusive', 'autoDelete', 'type', 'arguments'], path);
  const { name, durable = true, exclusive = false, autoDelete = false, type, arguments: args = {} } = options;
  if (typeof name !== 'string')
    throw new OptionsError(`${path}.name`, `${shown(name)} is not a queue name`, 'Give a string');
  checkShortString(name, `${path}.name`);
  if (type !== undefined) oneOf(type, ['classic', 'quorum', 'stream'], `${path}.type`);
  checkFlags({ durable, exclusive, autoDelete }, path);
  checkRecord(args, `${path}.arguments`);
  if ((type === 'quorum' || type === 'stream') && (exclusive || autoDelete || !durable)) {
    throw new OptionsError(
      path,
      `a ${type} queue is always durable, never exclusive or auto-delete`,
      `Drop those options, or the type`,
    );
  }
  return {
    kind: 'queue',
    name,
    options: {
      durable,
      exclusive,
      autoDelete,
      arguments: copyOfRecord(type === undefined ? args : { 'x-queue-type': type, ...args }),
    },
  };
}

export function toBindings(options: BindingOptions, path: string): Binding[] {
  checkOptionsObject(options, ['exchange', 'queue', 'toExchange', 'routingKey', 'arguments'], path);
  const { exchange, queue, toExchange: target, routingKey = '', arguments: args = {} } = options;
  if (typeof exchange !== 'string' || exchange === '') {
    throw new OptionsError(
      `${path}.exchange`,
      `${shown(exchange)} is not an exchange that can be bound to`,
      'Name an exchange; the default exchange has no bindings',
    );
  }
  if ((queue === undefined) === (target === undefined)) {
    throw new OptionsError(path, 'a binding leads to exactly one of queue and toExchange', 'Give one of them');
  }
  const keys: readonly unknown[] = typeof routingKey === 'string' ? [routingKey] : routingKey;
  if (!Array.isArray(keys) || !keys.every((key): key is string => typeof key === 'string'))
    throw new OptionsError(
      `${path}.routingKey`,
      `${shown(routingKey)} is not a routing key`,
      "Give a string, or several: ['order.*', 'invoice.#']",
    );
  for (const key of keys) checkShortString(key, `${path}.routingKey`);
  checkRecord(args, `${path}.arguments`);
  return keys.map((key) => ({
    kind: 'binding',
    exchange,
    destination: (queue ?? target) as string,
    destinationKind: queue === undefined ? 'exchange' : 'queue',
    routingKey: key,
    arguments: copyOfRecord(args),
  }));
}

/** The wanted entities, each once, with how often each is wanted: what one subscription no longer needs, another one may. */
export class Topology {
  readonly #entities = new Map<string, { entity: Entity; wishes: number }>();

  get exchanges(): Exchange[] {
    return this.#ofKind('exchange');
  }

  get queues(): Queue[] {
    return this.#ofKind('queue');
  }

  get bindings(): Binding[] {
    return this.#ofKind('binding');
  }

  get all(): Entity[] {
    return [...this.#entities.values()].map(({ entity }) => entity);
  }

  has(entity: Entity): boolean {
    return this.#entities.has(identityOf(entity));
  }

  exchangeNamed(name: string): Exchange | undefined {
    return this.#entities.get(`exchange:${name}`)?.entity as Exchange | undefined;
  }

  queueNamed(name: string): Queue | undefined {
    return this.#entities.get(`queue:${name}`)?.entity as Queue | undefined;
  }

  /** All that brings messages to this queue, in declaration order: it, its bindings, their exchanges, and so on upwards. */
  leadingTo(queue: string): Entity[] {
    const bindings = new Set<Binding>();
    const exchanges = new Set<string>();
    const follow = (destination: string, kind: Binding['destinationKind']): void => {
      for (const binding of this.bindings) {
        if (binding.destination !== destination || binding.destinationKind !== kind || bindings.has(binding)) continue;
        bindings.add(binding);
        exchanges.add(binding.exchange);
        follow(binding.exchange, 'exchange');
      }
    };
    follow(queue, 'queue');
    const known = this.queueNamed(queue);
    const declared = this.exchanges.filter(({ name }) => exchanges.has(name));
    return [...declared, ...(known === undefined ? [] : [known]), ...bindings];
  }

  /** These exchanges and all their bindings, in declaration order. */
  around(exchanges: ReadonlySet<string>): Entity[] {
    return [
      ...this.exchanges.filter(({ name }) => exchanges.has(name)),
      ...this.bindings.filter(
        ({ exchange, destination, destinationKind }) =>
          exchanges.has(exchange) || (destinationKind === 'exchange' && exchanges.has(destination)),
      ),
    ];
  }

  /** @returns what they ask for */
  addOptions(options: TopologyOptions, path: string): Entity[] {
    checkOptionsObject(options, ['exchanges', 'queues', 'bindings'], path);
    const { exchanges = [], queues = [], bindings = [] } = options;
    checkArray(exchanges, `${path}.exchanges`, "[{ name: 'shop', type: 'topic' }]");
    checkArray(queues, `${path}.queues`, "[{ name: 'orders' }]");
    checkArray(bindings, `${path}.bindings`, "[{ exchange: 'shop', queue: 'orders', routingKey: 'order.*' }]");
    const entities: Entity[] = [
      ...exchanges.map((exchange, i) => toExchange(exchange, `${path}.exchanges[${i}]`)),
      ...queues.map((queue, i) => toQueue(queue, `${path}.queues[${i}]`)),
      ...bindings.flatMap((binding, i) => toBindings(binding, `${path}.bindings[${i}]`)),
    ];
    this.add(entities, path);
    return entities;
  }

  /** All or nothing. @throws {@link OptionsError} when an entity of the same name is wanted differently. */
  add(entities: readonly Entity[], path: string): void {
    const together = new Map<string, Entity>();
    for (const entity of entities) {
      const key = identityOf(entity);
      const known = together.get(key) ?? this.#entities.get(key)?.entity;
      if (known !== undefined && stableJson(known) !== stableJson(entity)) {
        throw new OptionsError(
          path,
          `${entityName(entity)} is wanted in two ways: ${stableJson(known)} and ${stableJson(entity)}`,
          'Make the two declarations equal',
        );
      }
      together.set(key, entity);
    }
    for (const entity of entities) {
      const key = identityOf(entity);
      const known = this.#entities.get(key);
      if (known === undefined) this.#entities.set(key, { entity, wishes: 1 });
      else known.wishes += 1;
    }
  }

  /** Takes back one wish for each. @returns those that nobody wants any more */
  remove(entities: readonly Entity[]): Entity[] {
    return entities.filter((entity) => {
      const key = identityOf(entity);
      const known = this.#entities.get(key);
      if (known === undefined) return false;
      known.wishes -= 1;
      return known.wishes === 0 && this.#entities.delete(key);
    });
  }

  #ofKind<K extends Entity['kind']>(kind: K): Extract<Entity, { kind: K }>[] {
    return [...this.#entities.values()]
      .map(({ entity }) => entity)
      .filter((entity): entity is Extract<Entity, { kind: K }> => entity.kind === kind);
  }
}

function checkFlags(flags: Readonly<Record<string, unknown>>, path: string): void {
  for (const [name, flag] of Object.entries(flags)) checkBoolean(flag, `${path}.${name}`);
}

/** Bindings have no name: two are the same only if everything about them is. */
function identityOf(entity: Entity): string {
  return entity.kind === 'binding' ? stableJson(entity) : `${entity.kind}:${entity.name}`;
}

function stableJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
