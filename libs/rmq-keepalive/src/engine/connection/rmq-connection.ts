/**
 * The managed connection, as its users see it: subscribe, publish, ask and answer, look at it, close it. It outlives every
 * disconnect. `Composition` wires the parts that do the work.
 */
import type { Observable } from 'rxjs';
import type { Subscription } from '../consuming/attaching/subscription-handle.js';
import type {
  BatchHandler,
  BatchSubscriptionOptions,
  DeliveryHandler,
  SubscriptionOptions,
} from '../consuming/options/subscription.js';
import type { EventContract, EventPayload } from '../contracts/event.js';
import type { RmqDeadLetters } from '../dead-letters/dead-letters.js';
import type { RmqPublisher } from '../publishing/rmq-publisher.js';
import type { CreatePublisherOptions } from '../publishing/publishers.js';
import type {
  ConnectionEvent,
  ConnectionEventListener,
  ConnectionEventType,
  DrainReport,
} from '../reporting/events.js';
import type { ConnectionState } from '../reporting/lifecycle.js';
import type { ConnectionStatus } from '../reporting/status.js';
import type { AnswerOptions } from '../rpc/answering/answer-options.js';
import type { AnswerRoute } from '../rpc/answering/answer-routes.js';
import type { Replies } from '../rpc/answering/replies.js';
import type { Calls } from '../rpc/calling/calls.js';
import type { RmqRpcClient } from '../rpc/calling/rpc-client.js';
import type { AnswerHabits, CallsOptions } from '../rpc/rpc.js';
import type { TopologyOptions } from '../topology/topology.js';
import { Composition, type Identity } from './composition.js';
import { checkDrainTimeout, type RmqConnectionOptions } from './connection-options.js';
import type { SubscriptionKind } from './subscriptions.js';

/**
 * A connection that outlives its links: topology, consumers and publishers come back after every disconnect. In a Nest application
 * `RmqKeepaliveModule` makes, starts and closes it; inject it where you need it.
 *
 * ```ts
 * const orders = new RmqConnection({ urls: 'amqp://localhost' });
 * orders.subscribe<Order>({ queue: 'orders' }, (order) => work(order));
 * await orders.start();
 * await orders.publisher.sendToQueue('orders', { id: '1' });
 * await orders.close();
 * ```
 */
export class RmqConnection {
  readonly name: string;
  /** The publisher that is always there; {@link createPublisher} makes further ones. */
  readonly publisher: RmqPublisher;
  /** Sends requests, and resolves with their replies. */
  readonly rpc: RmqRpcClient;
  /** Looks at dead letters, replays them, throws them away. */
  readonly deadLetters: RmqDeadLetters;
  readonly #parts: Composition;

  /** @throws {@link OptionsError} before anything is dialled. */
  constructor(options: RmqConnectionOptions, identity: Identity = {}) {
    this.#parts = new Composition(options, identity);
    this.name = this.#parts.name;
    this.publisher = this.#parts.publishers.main;
    this.rpc = this.#parts.rpc.client;
    this.deadLetters = this.#parts.deadLetters;
  }

  get state(): ConnectionState {
    return this.#parts.state.value;
  }

  /** The state, now and after every change; completes when closed. */
  get state$(): Observable<ConnectionState> {
    return this.#parts.state.value$;
  }

  /** All events; completes when closed. */
  get events$(): Observable<ConnectionEvent> {
    return this.#parts.bus.events$;
  }

  /** What the options deserve to be warned of; for the log, once. */
  get warnings(): readonly string[] {
    return this.#parts.options.warnings;
  }

  /**
   * Calls `listener` on every event of that type (`'*'`: all). A listener that throws is reported, and breaks nothing.
   * @returns the function that ends it
   */
  on<T extends ConnectionEventType>(type: T, listener: ConnectionEventListener<T>): () => void;
  on(type: '*', listener: (event: ConnectionEvent) => void): () => void;
  on(type: ConnectionEventType | '*', listener: (event: never) => void): () => void {
    return this.#parts.bus.on(type as '*', listener as (event: ConnectionEvent) => void);
  }

  /** Adds entities to be declared, now if a link is up, and after every reconnect. @throws {@link OptionsError} */
  addTopology(topology: TopologyOptions): void {
    const { topology: keeper, links, repairs } = this.#parts;
    const entities = keeper.addOptions(topology, 'topology');
    const link = links.any();
    // Out of channels: status names them, and they are asked for again.
    if (link !== undefined) repairs.topology(link, entities).catch(() => undefined);
  }

  /**
   * As {@link addTopology}; resolves when the broker has answered, whatever it said (see status), at once while no link is up.
   * @throws {@link OptionsError}; {@link ChannelsExhaustedError} when no channel is left to ask on: it is asked for again meanwhile
   */
  async declareTopology(topology: TopologyOptions): Promise<void> {
    const { topology: keeper, links, repairs } = this.#parts;
    const entities = keeper.addOptions(topology, 'topology');
    const link = links.any();
    if (link !== undefined) await repairs.topology(link, entities);
  }

  /**
   * A further publisher, with a channel and an outbox of its own on the publishing link. It is recovered, drained, counted
   * in status and closed with the connection: make a few at the start, not one for every message.
   * @throws {@link OptionsError}
   */
  createPublisher(options: CreatePublisherOptions = {}): RmqPublisher {
    this.#parts.shutdown.refuse('nothing can be published');
    return this.#parts.publishers.create(options);
  }

  /** @internal A channel for requests and their replies, for a transport with a wire format of its own. @throws {@link OptionsError} */
  openCalls(options: CallsOptions): Calls {
    this.#parts.shutdown.refuse('nothing can be called');
    return this.#parts.rpc.openCalls(options);
  }

  /** @internal The bound of `publish.maxMessageBytes`, for a transport that encodes messages by itself. */
  get maxMessageBytes(): number {
    return this.#parts.options.publish.maxMessageBytes;
  }

  /** @internal Sends replies, for a transport with a wire format of its own. */
  get replies(): Replies {
    return this.#parts.rpc.replies;
  }

  /**
   * Wants a consumer from now on, through every disconnect. Before {@link start} or later.
   * @typeParam T what the payloads are said to be; nobody checks it
   * @throws {@link OptionsError}
   */
  subscribe<E extends EventContract>(
    options: SubscriptionOptions<EventPayload<E>> & { event: E },
    handler: DeliveryHandler<EventPayload<E>>,
  ): Subscription;
  subscribe<T = unknown>(options: SubscriptionOptions<T>, handler: DeliveryHandler<T>): Subscription;
  subscribe<T>(options: SubscriptionOptions<T>, handler: DeliveryHandler<T>): Subscription {
    return this.#subscribe(options, handler);
  }

  /**
   * As {@link subscribe}, with a handler that gets up to `batch.size` messages at once, the first of which has waited
   * `batch.waitMs` at most.
   * @throws {@link OptionsError}
   */
  subscribeBatch<T = unknown>(options: BatchSubscriptionOptions, handler: BatchHandler<T>): Subscription {
    const { batch, ...others } = options;
    return this.#subscribe(others, handler, { batch });
  }

  /**
   * As {@link subscribe}, with a handler that answers: what it returns, resolves or throws goes to whoever asked. An
   * Observable or an async iterable is a stream for a caller that asked with `stream()`, and its last item for any other.
   * @throws {@link OptionsError}
   */
  answer<T = unknown>(options: AnswerOptions<T>, handler: DeliveryHandler<T>, habits?: AnswerHabits): Subscription {
    const { subscription, handle, answers } = this.#parts.rpc.answering(options, handler, habits);
    return this.#subscribe(subscription, handle, { answers });
  }

  /**
   * As {@link answer}, with several handlers for one queue: the routing key of a request says whose it is. Their options have to
   * agree, but for the address, the contract, and to whom they may answer. A request that is nobody's is dead-lettered as `no-handler`.
   * @throws {@link OptionsError}
   */
  answerEach(routes: readonly AnswerRoute[], habits?: AnswerHabits): Subscription {
    const { subscription, handle, answers } = this.#parts.rpc.answeringEach(routes, habits);
    return this.#subscribe(subscription, handle, { answers });
  }

  /** The subscription of that name, until it is unsubscribed. */
  subscription(name: string): Subscription | undefined {
    return this.#parts.subscriptions.named(name);
  }

  #subscribe<T>(
    options: SubscriptionOptions<T>,
    handler: DeliveryHandler<T> | BatchHandler<T>,
    kind: SubscriptionKind = {},
  ): Subscription {
    const { shutdown, subscriptions, keepers, links } = this.#parts;
    shutdown.refuse('nothing can be subscribed');
    const keeper = subscriptions.add(options, handler, kind);
    // Also while recovery is under way: it may have passed by already.
    if (links.consuming.link !== undefined) keepers.scheduleRepair(keeper, 0);
    else if (links.areStarted) links.start(links.consuming);
    return subscriptions.handleOf(keeper);
  }

  /**
   * Connects, as the startup policy says. The publishing link is dialled with the first publish, or here if there is
   * nothing to consume.
   * @throws {@link GaveUpError} `fail-fast`, and every address failed once
   * @throws {@link HeartbeatThreadError} `heartbeat.thread: 'worker'`, and no such thread can run in this process
   */
  async start(): Promise<void> {
    const { shutdown, keepers, links, startup, options } = this.#parts;
    shutdown.refuse();
    const first = keepers.size > 0 ? links.consuming : links.publishing;
    links.start(first);
    await first.untilThreadRuns();
    await startup.untilStarted(first, options.startup);
  }

  /**
   * Resolves when the connection is open and every consumer that is wanted by then is attached, or named in
   * `status().consumers.missing` with the reason: also one that was subscribed while it was open.
   * @throws {@link NotOpenError} after `timeoutMs`; {@link ConnectionClosedError} when it closes
   */
  async whenOpen(options: { timeoutMs?: number } = {}): Promise<void> {
    await this.#parts.startup.whenOpen(options.timeoutMs);
  }

  /** One plain snapshot of everything; cheap, and never touches the network. */
  status(): ConnectionStatus {
    return this.#parts.snapshot();
  }

  /**
   * Closes in order: consumers cancelled, running handlers finished and acked, the rest given back, publishes confirmed,
   * links closed. Every step is bounded; half-open links are destroyed, and publishes that the broker's alarm holds back
   * are given up after 3 s of it. Called again it is the same closing, which a smaller `drainTimeoutMs` shortens.
   * @param options.drainTimeoutMs limit for handlers and publishes together, from now; default: the connection's
   */
  close(options: { drainTimeoutMs?: number } = {}): Promise<DrainReport> {
    const { drainTimeoutMs } = options;
    if (drainTimeoutMs !== undefined) checkDrainTimeout(drainTimeoutMs);
    return this.#parts.shutdown.close(drainTimeoutMs);
  }

  /**
   * Ends at once, also in the middle of {@link close}: running deliveries are handed back, publishes without a confirm
   * rejected with `RMQ_CLOSED`, sockets destroyed if the broker has not taken that in after half a second.
   */
  abort(): Promise<DrainReport> {
    return this.#parts.shutdown.abort();
  }
}
