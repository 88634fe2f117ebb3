/** A virtual host in memory: exchanges, queues, bindings, and the way of a message through them. */
import { randomBytes } from 'node:crypto';
import type { BrokerClock } from './broker-clock.js';
import type { BrokerMessage, DeathReason } from './broker-message.js';
import { type Destination, type ExchangeDeclaration, isSame, MemoryExchange } from './memory-exchange.js';
import { MemoryQueue, type QueueOwner } from './memory-queue.js';
import { type QueueDeclaration, readSettings, refuseOtherDeclaration } from './queue-settings.js';
import { noExchange, noQueue, Refusal } from './refusal.js';

export interface BindingOrder {
  readonly exchange: string;
  readonly to: Destination;
  readonly routingKey: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

interface Published {
  readonly isRouted: boolean;
  /** Whether every queue has taken it. */
  readonly isTaken: boolean;
}

const BUILT_IN = { '': 'direct', 'amq.direct': 'direct', 'amq.fanout': 'fanout', 'amq.topic': 'topic' } as const;
const BUILT_IN_HEADERS = ['amq.headers', 'amq.match'];

export class MemoryVhost {
  readonly #exchanges = new Map<string, MemoryExchange>();
  readonly #queues = new Map<string, MemoryQueue>();

  constructor(
    readonly name: string,
    private readonly clock: BrokerClock,
  ) {
    for (const [exchange, type] of Object.entries(BUILT_IN)) this.#addBuiltIn(exchange, type);
    for (const exchange of BUILT_IN_HEADERS) this.#addBuiltIn(exchange, 'headers');
  }

  get queues(): readonly MemoryQueue[] {
    return [...this.#queues.values()];
  }

  queue(name: string): MemoryQueue | undefined {
    return this.#queues.get(name);
  }

  /** @throws Refusal when it is not there, or somebody else's */
  queueFor(owner: object, name: string): MemoryQueue {
    const queue = this.#queues.get(name);
    if (queue === undefined) throw noQueue(name, this.name);
    if (queue.owner !== undefined && queue.owner !== owner) throw this.#locked(name);
    return queue;
  }

  /** @throws Refusal */
  exchange(name: string): MemoryExchange {
    const exchange = this.#exchanges.get(name);
    if (exchange === undefined) throw noExchange(name, this.name);
    return exchange;
  }

  /** @throws Refusal */
  declareQueue(wanted: QueueDeclaration, owner: object): MemoryQueue {
    const name = wanted.name || `amq.gen-${randomBytes(16).toString('base64url')}`;
    const there = this.#queues.get(name);
    if (there !== undefined) return this.#declareAgain(there, wanted, owner);
    if (wanted.name.startsWith('amq.'))
      throw Refusal.ofChannel(403, `queue name '${name}' contains reserved prefix 'amq.*'`);
    const declaration = { ...wanted, name };
    const settings = readSettings(declaration, this.name);
    const queueOwner: QueueOwner = wanted.exclusive ? owner : undefined;
    const queue = new MemoryQueue(declaration, settings, queueOwner, {
      clock: this.clock,
      deadLettered: (from, message, reason) => this.#deadLetter(from, message, reason),
      unwanted: (unwanted) => this.deleteQueue(unwanted),
    });
    this.#queues.set(name, queue);
    return queue;
  }

  /** @returns how many messages were in it */
  deleteQueue(queue: MemoryQueue): number {
    if (this.#queues.get(queue.name) !== queue) return 0;
    const { readyCount } = queue;
    this.#queues.delete(queue.name);
    this.#unbindAll({ kind: 'queue', name: queue.name });
    queue.end();
    return readyCount;
  }

  /** Those that belong to a connection that has ended. */
  deleteQueuesOf(owner: object): void {
    for (const queue of this.queues) if (queue.owner === owner) this.deleteQueue(queue);
  }

  /** @throws Refusal */
  declareExchange(wanted: ExchangeDeclaration): void {
    const there = this.#exchanges.get(wanted.name);
    if (there !== undefined) return there.refuseOther(wanted, this.name);
    if (wanted.name.startsWith('amq.'))
      throw Refusal.ofChannel(403, `exchange name '${wanted.name}' contains reserved prefix 'amq.*'`);
    this.#exchanges.set(wanted.name, new MemoryExchange(wanted));
  }

  /** @throws Refusal */
  deleteExchange(name: string, onlyIf: 'unused' | 'always'): void {
    const exchange = this.#exchanges.get(name);
    if (name === '' || name.startsWith('amq.'))
      throw Refusal.ofChannel(403, `deletion of system exchange '${name}' in vhost '${this.name}' not allowed`);
    if (exchange === undefined) return;
    if (onlyIf === 'unused' && exchange.isUsed)
      throw Refusal.ofChannel(406, `exchange '${name}' in vhost '${this.name}' in use`);
    this.#exchanges.delete(name);
    this.#unbindAll({ kind: 'exchange', name });
  }

  /** @throws Refusal */
  bind(order: BindingOrder): void {
    const exchange = this.#bindable(order);
    exchange.bind(order);
  }

  /** @throws Refusal */
  unbind(order: BindingOrder): void {
    const exchange = this.#bindable(order);
    if (exchange.unbind((binding) => isSame(binding, order)) && exchange.declaration.autoDelete)
      this.deleteExchange(exchange.name, 'always');
  }

  /** @throws Refusal */
  publish(published: BrokerMessage): Published {
    const exchange = this.exchange(published.exchange);
    if (exchange.declaration.internal)
      throw Refusal.ofChannel(403, `cannot publish to internal exchange '${exchange.name}' in vhost '${this.name}'`);
    const targets = this.#targetsOf(published);
    const message = published.withoutBcc();
    let isTaken = true;
    for (const queue of targets) if (!queue.enqueue(message)) isTaken = false;
    return { isRouted: targets.length > 0, isTaken };
  }

  #addBuiltIn(name: string, type: string): void {
    const declaration = { name, type, durable: true, autoDelete: false, internal: false, arguments: {} };
    this.#exchanges.set(name, new MemoryExchange(declaration));
  }

  #declareAgain(there: MemoryQueue, wanted: QueueDeclaration, owner: object): MemoryQueue {
    const isOthers = there.owner !== undefined && there.owner !== owner;
    if (isOthers || wanted.exclusive !== there.declaration.exclusive) throw this.#locked(there.name);
    refuseOtherDeclaration(there.declaration, wanted, this.name);
    there.used();
    return there;
  }

  #locked(name: string): Refusal {
    return Refusal.ofChannel(
      405,
      `cannot obtain exclusive access to locked queue '${name}' in vhost '${this.name}'. It could be originally declared on ` +
        'another connection or the exclusive property value does not match that of the original declaration.',
    );
  }

  #bindable({ exchange: name, to }: BindingOrder): MemoryExchange {
    const exchange = this.exchange(name);
    if (to.kind === 'queue' && !this.#queues.has(to.name)) throw noQueue(to.name, this.name);
    if (to.kind === 'exchange') this.exchange(to.name);
    if (name === '' || (to.kind === 'exchange' && to.name === ''))
      throw Refusal.ofChannel(403, 'operation not permitted on the default exchange');
    return exchange;
  }

  #unbindAll(gone: Destination): void {
    for (const exchange of this.#exchanges.values()) {
      const isLast = exchange.unbind(({ to }) => to.kind === gone.kind && to.name === gone.name);
      if (isLast && exchange.declaration.autoDelete) this.deleteExchange(exchange.name, 'always');
    }
  }

  /** Each queue once, whatever leads there. */
  #targetsOf(message: BrokerMessage): readonly MemoryQueue[] {
    const { headers, routingKeys } = message;
    const names = new Set<string>();
    for (const routingKey of routingKeys) this.#follow(message.exchange, { routingKey, headers }, names, new Set());
    return [...names].flatMap((name) => this.#queues.get(name) ?? []);
  }

  #follow(
    name: string,
    message: { readonly routingKey: string; readonly headers: Readonly<Record<string, unknown>> },
    found: Set<string>,
    seen: Set<string>,
  ): void {
    const exchange = this.#exchanges.get(name);
    if (exchange === undefined || seen.has(name)) return;
    seen.add(name);
    const destinations = this.#destinations(exchange, message);
    for (const { kind, name: next } of destinations)
      if (kind === 'queue') found.add(next);
      else this.#follow(next, message, found, seen);
    if (destinations.length === 0 && exchange.alternate !== undefined)
      this.#follow(exchange.alternate, message, found, seen);
  }

  #destinations(
    exchange: MemoryExchange,
    message: { readonly routingKey: string; readonly headers: Readonly<Record<string, unknown>> },
  ): readonly Destination[] {
    if (exchange.name !== '') return exchange.destinationsOf(message);
    const { routingKey: name } = message;
    return this.#queues.has(name) ? [{ kind: 'queue', name }] : [];
  }

  #deadLetter(from: MemoryQueue, message: BrokerMessage, reason: DeathReason): void {
    const { deadLetterExchange: exchange, deadLetterRoutingKey: routingKey } = from.settings;
    if (exchange === undefined) return;
    const dead = message.died(
      {
        queue: from.name,
        reason,
        at: this.clock.now,
        exchange: message.exchange,
        routingKeys: message.routingKeys,
        originalExpiration: message.properties.expiration,
      },
      { exchange, routingKey },
    );
    for (const queue of this.#targetsOf(dead)) if (!goesRound(dead, queue)) queue.enqueue(dead.withoutBcc());
  }
}

/** A message that comes back to a queue by itself, without anybody's reject, would do so for ever. */
function goesRound({ deaths }: BrokerMessage, { name }: MemoryQueue): boolean {
  const last = deaths.findIndex(({ queue }) => queue === name);
  return last >= 0 && deaths.slice(0, last + 1).every(({ reason }) => reason !== 'rejected');
}
