/**
 * The managed connection: one or two links, a topology, consumers and a publisher that outlive every disconnect.
 *
 * It composes: `Links` keeps the links, each of which walks the lifecycle, `OverallState` sums them up, `ConnectionRecord`
 * remembers, `Subscriptions` ties consumers to their topology, and `LinkRepairs` mends what broke on a link that lives.
 */
import type { Observable } from 'rxjs';
import { type Clock, systemClock } from '../base/clock.js';
import { SubscriptionKeepers } from '../consuming/attaching/subscription-keepers.js';
import type { CopyTransport } from '../copies/copy-transport.js';
import { RmqDeadLetters } from '../dead-letters/dead-letters.js';
import type {
  BatchHandler,
  BatchSubscriptionOptions,
  DeliveryHandler,
  SubscriptionOptions,
} from '../consuming/options/subscription.js';
import type { Subscription } from '../consuming/attaching/subscription-handle.js';
import type { EventContract, EventPayload } from '../contracts/event.js';
import { ConnectionClosedError } from '../errors/connection-errors.js';
import type { RmqPublisher } from '../publishing/publisher.js';
import { type CreatePublisherOptions, Publishers } from '../publishing/publishers.js';
import type { ConnectionStatus } from '../reporting/status.js';
import type { Calls } from '../rpc/calling/calls.js';
import type { Replies } from '../rpc/answering/replies.js';
import type { AnswerOptions } from '../rpc/answering/answer-options.js';
import type { RmqRpcClient } from '../rpc/calling/rpc-client.js';
import { type AnswerHabits, type CallsOptions, Rpc } from '../rpc/rpc.js';
import { entityName, type TopologyOptions } from '../topology/topology.js';
import { TopologyKeeper } from '../topology/topology-keeper.js';
import { ChannelBudget } from '../link/channel-budget.js';
import { mayPublish } from '../link/access-probe.js';
import { AccessWatch, isAccessRefused } from './access-watch.js';
import { Closing } from './closing.js';
import type {
  ConnectionEvent,
  ConnectionEventListener,
  ConnectionEventType,
  DrainReport,
} from '../reporting/events.js';
import {
  checkDrainTimeout,
  type ResolvedConnectionOptions,
  resolveConnectionOptions,
  type RmqConnectionOptions,
} from './connection-options.js';
import { ConnectionRecord } from './connection-record.js';
import type { ConnectionState } from '../reporting/lifecycle.js';
import { EventBus } from '../reporting/event-bus.js';
import { LinkRepairs } from './link-repairs.js';
import type { LinkKeeper } from '../recovery/link-keeper.js';
import { LeftOutSubscriptions } from '../consuming/attaching/left-out-subscriptions.js';
import { LinkCulpritSearch, subscriptionAsked } from '../link/link-culprit-search.js';
import type { Link } from '../link/link.js';
import { Links } from './links.js';
import { OverallState } from './overall-state.js';
import { Startup } from './startup.js';
import { takeSnapshot } from './status-snapshot.js';
import { type SubscriptionKind, Subscriptions } from './subscriptions.js';

/** Copies of deliveries and dead letters need an open link, and wait for it so long at a time. */
const LINK_WAIT_MS = 10_000;

export class RmqConnection {
  readonly name: string;
  /** The publisher that is always there; {@link createPublisher} makes further ones. */
  readonly publisher: RmqPublisher;
  /** Asks, and gets answers. */
  readonly rpc: RmqRpcClient;
  /** Looks at dead letters, replays them, throws them away. */
  readonly deadLetters: RmqDeadLetters;

  readonly #options: ResolvedConnectionOptions;
  readonly #clock: Clock;
  readonly #bus = new EventBus();
  readonly #channels: ChannelBudget;
  readonly #links: Links;
  readonly #state: OverallState;
  readonly #record: ConnectionRecord;
  readonly #repairs: LinkRepairs;
  readonly #culprits = new LinkCulpritSearch();
  readonly #leftOut: LeftOutSubscriptions;
  readonly #ownLinksEnd = new AbortController();
  readonly #startup: Startup;
  readonly #access: AccessWatch;
  readonly #topology: TopologyKeeper;
  readonly #keepers: SubscriptionKeepers;
  readonly #subscriptions: Subscriptions;
  readonly #publishers: Publishers;
  readonly #rpc: Rpc;
  /** Or needed, for a publish, before it was. */
  #isStarted = false;
  #closing: Closing | undefined;
  #gaveUp: Error | undefined;

  /** @throws {@link OptionsError} before anything is dialled. */
  constructor(options: RmqConnectionOptions, identity: { name?: string; clock?: Clock } = {}) {
    this.name = identity.name ?? 'default';
    this.#clock = identity.clock ?? systemClock;
    this.#options = resolveConnectionOptions(options);
    this.#record = new ConnectionRecord(this.#clock);
    this.#access = new AccessWatch({
      clock: this.#clock,
      refusals: () => [
        ...this.#subscriptions.accessRefusals(),
        ...this.#topology.refusalsSinceDeclared.filter(({ cause }) => isAccessRefused(cause)),
      ],
      renewCredentials: () => this.#links.all.forEach((keeper) => keeper.renewCredentials()),
      retry: () => {
        this.#topology.retryNow();
        this.#subscriptions.retryRefused();
      },
      mayPublish: async (target) => {
        const { link } = this.#links.publishing;
        return link === undefined ? 'unknown' : mayPublish(link, target, this.#clock, this.#options.recoveryTimeoutMs);
      },
      event: (event) => this.#bus.emit(event),
    });
    this.#state = new OverallState(this.#clock, (from, to) => this.#emit({ type: 'state-changed', from, to }));
    const { codec } = this.#options;
    this.#topology = new TopologyKeeper({
      clock: this.#clock,
      stallTimeoutMs: this.#options.recoveryTimeoutMs,
      patienceMs: this.#patienceMs,
      link: () => this.#links.any(),
      onOwnLink: (work) => this.#onOwnLink(work),
      turnsFor: (entities) => this.#culprits.turnsFor(entities, entityName, this.#clock.now()),
      refused: (entity, cause) => this.#emit({ type: 'entity-refused', entity, cause }),
      healed: (entity) => {
        this.#emit({ type: 'entity-healed', entity });
        this.#subscriptions.healed(entity);
      },
      advanced: () => this.#links.declaringAdvances(),
    });
    this.#topology.addOptions(this.#options.topology, 'topology');
    this.#repairs = new LinkRepairs(this.#clock, this.#options.recoveryTimeoutMs, this.#topology, this.#patienceMs);
    this.#leftOut = new LeftOutSubscriptions({
      clock: this.#clock,
      onOwnLink: (work) => this.#onOwnLink(work),
    });
    this.#subscriptions = new Subscriptions(this.#topology, this.#repairs, () => this.#keepers, {
      ackTimeoutMs: this.#options.ackTimeoutMs,
      event: (event) => this.#emit(event),
    });
    this.#publishers = new Publishers(
      codec,
      this.#options,
      {
        needLink: () => this.#links.start(this.#links.publishing),
        hindrance: () => this.#links.publishing.awayBecause ?? this.#links.confirms.error,
        repair: (link, exchanges, attach) => this.#repairs.publishingChannel(link, exchanges, attach),
        noChannel: (cause, retryInMs) => this.#emit({ type: 'publishing-channel-missing', cause, retryInMs }),
        published: (exchange) => this.#published(exchange),
        failed: (cause) => this.#publishFailedWith(cause),
        failedUnheard: (cause, times) => this.#publishFailedWith(cause, times),
        republished: (count) => this.#republished(count),
        returned: ({ exchange, routingKey, messageId, replyCode, replyText }) =>
          this.#emit({ type: 'publish-returned', exchange, routingKey, messageId, replyCode, replyText }),
      },
      this.#clock,
    );
    this.publisher = this.#publishers.main;
    const { rpc, publish } = this.#options;
    const { maxMessageBytes } = publish;
    this.#rpc = new Rpc({ publishers: this.#publishers, clock: this.#clock, codec, options: rpc, maxMessageBytes });
    this.rpc = this.#rpc.client;
    const copies: CopyTransport = {
      signatures: this.#options.copies,
      send: (message) => this.#publishers.sendCopy(message),
      declare: async (entities) =>
        this.#repairs.copiesWay(await this.#links.whenOpen(this.#links.publishing, LINK_WAIT_MS), entities),
    };
    this.deadLetters = new RmqDeadLetters({
      clock: this.#clock,
      codec,
      copies,
      link: () => this.#links.whenOpen(this.#links.consuming, LINK_WAIT_MS),
      queueOf: (subscription) => this.#keepers.all().find(({ name }) => name === subscription)?.wanted.deadLetter,
    });
    this.#keepers = new SubscriptionKeepers({
      clock: this.#clock,
      codec,
      event: (event) => this.#emit(event),
      isAnyRefused: (entities) => this.#topology.isAnyRefused(entities),
      troubleWith: (entity) => this.#topology.troubleWith(entity),
      patienceMs: this.#patienceMs,
      turnsFor: (keepers) => this.#culprits.turnsFor(keepers, ({ name }) => subscriptionAsked(name), this.#clock.now()),
      link: () => this.#links.consuming.link,
      repair: (keeper, link) => this.#subscriptions.repair(keeper, link),
      // All of them: a handler that blocks the loop silences every link.
      beforeHandler: () => this.#links.all.forEach((keeper) => keeper.beforeHandler()),
      copies,
    });
    this.#channels = new ChannelBudget({
      clock: this.#clock,
      publishers: () => this.#publishers.count,
      waiting: () => this.#publishers.waitingForChannel + this.#keepers.waitingForChannel,
      freed: () => {
        this.#links.channelFreed();
        this.#publishers.channelFreed();
        this.#keepers.channelFreed();
      },
      overdrawn: (consumers) => this.#keepers.giveUpChannels(consumers),
      probe: (wish, signal) => this.#links.probeChannels(wish, signal),
    });
    this.#links = new Links(
      {
        name: this.name,
        options: this.#options,
        clock: this.#clock,
        topology: this.#topology,
        subscriptions: this.#keepers,
        publishers: this.#publishers,
        channels: this.#channels,
      },
      {
        mayStart: () => this.#closing?.mayDialToPublish !== false,
        starts: (keeper) => this.#linkStarts(keeper),
        stateChanged: (keeper, to) => this.#linkStateChanged(keeper, to),
        lost: (link, cause) => this.#linkLost(link, cause),
        event: (event) => this.#linkEvent(event),
        isClosing: () => this.#closing !== undefined,
      },
    );
    this.#startup = new Startup({
      name: this.name,
      clock: this.#clock,
      state: this.#state,
      events: this.#bus,
      linkChanged: this.#links.changed$,
      awayBecause: () => this.#links.awayBecause,
      gaveUpBecause: () => this.#gaveUp,
      giveUp: (cause) => (this.#closing ?? this.#beginClosing(0, cause)).report,
    });
  }

  /** An answer that stays away for so long is asked after. */
  get #patienceMs(): number {
    return this.#options.recoveryTimeoutMs / 4;
  }

  get state(): ConnectionState {
    return this.#state.value;
  }

  /** The state, now and after every change; completes when closed. */
  get state$(): Observable<ConnectionState> {
    return this.#state.value$;
  }

  /** All events; completes when closed. */
  get events$(): Observable<ConnectionEvent> {
    return this.#bus.events$;
  }

  /** What the options deserve to be warned of; for the log, once. */
  get warnings(): readonly string[] {
    return this.#options.warnings;
  }

  /** Calls `listener` on every event of that type (`'*'`: all). A listener that throws is reported, and breaks nothing. @returns the function that ends it */
  on<T extends ConnectionEventType>(type: T, listener: ConnectionEventListener<T>): () => void;
  on(type: '*', listener: (event: ConnectionEvent) => void): () => void;
  on(type: ConnectionEventType | '*', listener: (event: never) => void): () => void {
    return this.#bus.on(type as '*', listener as (event: ConnectionEvent) => void);
  }

  /** Adds entities to be declared, now if a link is up, and after every reconnect. @throws {@link OptionsError} */
  addTopology(topology: TopologyOptions): void {
    const entities = this.#topology.addOptions(topology, 'topology');
    const link = this.#links.any();
    // Out of channels: status names them, and they are asked for again.
    if (link !== undefined) this.#repairs.topology(link, entities).catch(() => undefined);
  }

  /**
   * As {@link addTopology}; resolves when the broker has answered, whatever it said (see status), at once while no link is up.
   * @throws {@link OptionsError}; {@link ChannelsExhaustedError} when no channel is left to ask on: it is asked for again meanwhile
   */
  async declareTopology(topology: TopologyOptions): Promise<void> {
    const entities = this.#topology.addOptions(topology, 'topology');
    const link = this.#links.any();
    if (link !== undefined) await this.#repairs.topology(link, entities);
  }

  /**
   * A further publisher, with a channel and an outbox of its own on the publishing link. It is recovered, drained, counted
   * in status and closed with the connection: make a few at the start, not one for every message.
   * @throws {@link OptionsError}
   */
  createPublisher(options: CreatePublisherOptions = {}): RmqPublisher {
    if (this.#closing !== undefined)
      throw new ConnectionClosedError('The connection is closed: nothing can be published any more');
    return this.#publishers.create(options);
  }

  /** A channel for requests and their replies, for whoever speaks a protocol of his own. @throws {@link OptionsError} */
  openCalls(options: CallsOptions): Calls {
    if (this.#closing !== undefined)
      throw new ConnectionClosedError('The connection is closed: nothing can be called any more');
    return this.#rpc.openCalls(options);
  }

  /** @internal The bound of `publish.maxMessageBytes`, for whoever encodes messages himself. */
  get maxMessageBytes(): number {
    return this.#options.publish.maxMessageBytes;
  }

  /** What sends replies, for whoever speaks a protocol of his own. */
  get replies(): Replies {
    return this.#rpc.replies;
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
    const { subscription, handle, answers } = this.#rpc.answering(options, handler, habits);
    return this.#subscribe(subscription, handle, { answers });
  }

  /** The subscription of that name, until it is unsubscribed. */
  subscription(name: string): Subscription | undefined {
    return this.#subscriptions.named(name);
  }

  #subscribe<T>(
    options: SubscriptionOptions<T>,
    handler: DeliveryHandler<T> | BatchHandler<T>,
    kind: SubscriptionKind = {},
  ): Subscription {
    if (this.#closing !== undefined)
      throw new ConnectionClosedError('The connection is closed: nothing can be subscribed any more');
    const keeper = this.#subscriptions.add(options, handler, kind);
    // Also while recovery is under way: it may have passed by already.
    if (this.#links.consuming.link !== undefined) this.#keepers.scheduleRepair(keeper, 0);
    else if (this.#isStarted) this.#links.start(this.#links.consuming);
    return this.#subscriptions.handleOf(keeper);
  }

  /**
   * Connects, as the startup policy says. The publishing link is dialled with the first publish, or here if there is
   * nothing to consume.
   * @throws {@link GaveUpError} `fail-fast`, and every address failed once
   */
  async start(): Promise<void> {
    if (this.#closing !== undefined) throw new ConnectionClosedError();
    this.#isStarted = true;
    const first = this.#keepers.size > 0 ? this.#links.consuming : this.#links.publishing;
    this.#links.start(first);
    await this.#startup.untilStarted(first, this.#options.startup);
  }

  /** Resolves when the connection is open. @throws {@link NotOpenError} after `timeoutMs`; {@link ConnectionClosedError} when it closes */
  async whenOpen(options: { timeoutMs?: number } = {}): Promise<void> {
    await this.#startup.whenOpen(options.timeoutMs);
  }

  /** One plain snapshot of everything; cheap, and never touches the network. */
  status(): ConnectionStatus {
    const { downAfterMs } = this.#options;
    return takeSnapshot({
      name: this.name,
      downAfterMs,
      state: this.#state,
      record: this.#record,
      keepers: this.#links.all,
      noConfirms: this.#links.confirms.status,
      accessRefused: this.#access.status,
      subscriptions: this.#keepers,
      topology: this.#topology,
      publishers: this.#publishers,
      rpc: this.#rpc,
    });
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
    if (this.#closing === undefined) return this.#beginClosing(drainTimeoutMs ?? this.#options.drainTimeoutMs).report;
    if (drainTimeoutMs !== undefined) this.#closing.shorten(drainTimeoutMs);
    return this.#closing.report;
  }

  /**
   * Ends at once, also in the middle of {@link close}: running deliveries are handed back, publishes without a confirm
   * rejected with `RMQ_CLOSED`, sockets destroyed if the broker has not taken that in after half a second.
   */
  abort(): Promise<DrainReport> {
    const closing = this.#closing ?? this.#beginClosing(0);
    closing.abort();
    return closing.report;
  }

  #beginClosing(drainTimeoutMs: number, cause?: Error): Closing {
    const closing = new Closing(
      {
        clock: this.#clock,
        keepers: this.#links.all,
        consuming: this.#links.consuming,
        publishing: this.#links.publishing,
        subscriptions: this.#keepers,
        publishers: this.#publishers,
        rpc: this.#rpc,
        topology: this.#topology,
        confirmed: () => this.#record.published,
        ended: (report) => this.#ended(report),
      },
      drainTimeoutMs,
    );
    this.#channels.end();
    // Known before the first event of it: a listener that hears of the closing may call close() itself.
    this.#closing = closing;
    this.#leftOut.end();
    this.#ownLinksEnd.abort();
    closing.begin(cause);
    return closing;
  }

  #ended(report: DrainReport): void {
    this.#access.end();
    this.#emit({ type: 'drained', report });
    this.#links.confirms.end();
    this.#state.end();
    this.#bus.end();
  }

  #linkStarts(keeper: LinkKeeper): void {
    this.#isStarted = true;
    this.#state.linkStarts(keeper);
  }

  #linkStateChanged(keeper: LinkKeeper, to: ConnectionState): void {
    if (to.name === 'open') this.#record.linkOpened(keeper.role);
    this.#state.sumUp(keeper, this.#links.all);
  }

  #linkLost(link: Link, cause: Error): void {
    const { role, asked } = link;
    const attachedBeside = role === 'publishing' ? 0 : this.#keepers.attachedBeside(asked);
    const culprit = this.#culprits.linkLost({ role, asked, attachedBeside }, cause, this.#clock.now());
    this.#record.linkLost(link, cause);
    this.#topology.linkLost();
    if (link.role !== 'publishing') this.#keepers.detachAll(cause);
    if (link.role !== 'consuming') this.#publishers.detachAll(cause);
    this.#record.noteAlarm(this.#links.blockedBecause);
    if (culprit !== undefined) this.#leaveOut(culprit, cause);
  }

  /** So that all others can work. */
  #leaveOut(culprit: string, cause: Error): void {
    const keeper = this.#keepers.all().find(({ name }) => subscriptionAsked(name) === culprit);
    if (keeper === undefined) this.#topology.leaveOut(culprit, cause);
    else this.#leftOut.add(keeper, cause);
  }

  #onOwnLink<T>(work: (link: Link) => Promise<T>): Promise<T> {
    return this.#links.consuming.onOwnLink(work, this.#ownLinksEnd.signal);
  }

  #linkEvent(event: ConnectionEvent): void {
    if (event.type === 'blocked' || event.type === 'unblocked') {
      this.#record.noteAlarm(this.#links.blockedBecause);
      this.#publishers.resume();
    }
    if (event.type === 'attempt-failed') this.#record.noteFailedAttempt(event.role, event.cause);
    const noted = event.type === 'event-loop-stalled' ? this.#record.noteStall(event) : event;
    if (noted === undefined) return;
    this.#emit(noted);
    if (event.type === 'attempt-failed') this.#closing?.cannotDial();
    if (event.type === 'gave-up') this.#gaveUp = event.cause;
    if (event.type === 'gave-up' && this.#closing === undefined)
      this.#beginClosing(this.#options.drainTimeoutMs, event.cause);
  }

  #publishFailedWith(cause: Error, unheardTimes?: number): void {
    this.#record.publishFailed += 1;
    this.#emit({ type: 'publish-failed', cause, unheardTimes });
  }

  #republished(count: number): void {
    this.#record.republished += count;
    this.#emit({ type: 'republished', count });
  }

  #published(exchange: string | undefined): void {
    this.#record.published += 1;
    if (exchange !== undefined) this.#access.published(exchange);
  }

  #emit(event: ConnectionEvent): void {
    this.#bus.emit(event);
    this.#access.hear(event);
  }
}
